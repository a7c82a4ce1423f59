//! What Prometheus asks for.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::expiry::Expiry;
use crate::issuance::IssueRefused;
use crate::issuer::IssuedCredential;

const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Bounds of waiting: what is bearable for one, for a batch, and twice that.
const WAITED: [f64; 8] = [0.01, 0.1, 0.5, 1.0, 2.0, 4.0, 10.0, 20.0];

/// Counters of one issuer.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    issued: Counter,
    refused: Family<CodeLabel, Counter>,
    shed: Counter,
    gave_up: Counter,
    waited: Histogram,
    sampled: Counter,
    sample_failed: Counter,
    waiting: Gauge,
    away: Gauge,
    standing_changes: Counter,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
    expires: Family<ExpiryLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExpiryLabels {
    what: &'static str,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("obol_issuer"),
            issued: Counter::default(),
            refused: Family::default(),
            shed: Counter::default(),
            gave_up: Counter::default(),
            waited: Histogram::new(WAITED),
            sampled: Counter::default(),
            sample_failed: Counter::default(),
            waiting: Gauge::default(),
            away: Gauge::default(),
            standing_changes: Counter::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            expires: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let mut counter = |name, help, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("credentials", "Credentials signed", &self.issued);
        counter(
            "shed",
            "Items turned away because too much waited",
            &self.shed,
        );
        counter(
            "gave_up",
            "Items let in that had no turn in time",
            &self.gave_up,
        );
        counter(
            "sampled",
            "Credentials that were verified as a terminal would",
            &self.sampled,
        );
        counter(
            "sample_failures",
            "Credentials that a terminal would refuse; any is an alarm",
            &self.sample_failed,
        );
        counter(
            "standing_changes",
            "Commands on subjects and devices",
            &self.standing_changes,
        );
        let refused = "Credentials refused, by the problem's code";
        registry.register("refused", refused, self.refused.clone());
        registry.register(
            "waiting",
            "Items that wait for a signature",
            self.waiting.clone(),
        );
        let away = "Shards in force whose tokens give no signatures";
        registry.register("shards_away", away, self.away.clone());
        let waited = "Time that an item waited for its turn";
        registry.register("wait_seconds", waited, self.waited.clone());
        let requests = "HTTP requests answered, by route and status";
        registry.register("http_requests", requests, self.requests.clone());
        let seconds = "Time from a request's header to its answer's, by route";
        registry.register("http_request_seconds", seconds, self.seconds.clone());
        let expires = "When certificates and the revocation list run out, seconds since 1970 UTC";
        registry.register("expires_timestamp_seconds", expires, self.expires.clone());
    }

    pub(crate) fn issued(&self, results: &[Result<IssuedCredential, IssueRefused>]) {
        for result in results {
            match result {
                Ok(_) => self.issued.inc(),
                Err(refused) => {
                    let code = refused.code();
                    self.refused.get_or_create(&CodeLabel { code }).inc()
                }
            };
        }
    }

    pub(crate) fn shed(&self, items: usize) {
        self.shed.inc_by(items as u64);
    }

    pub(crate) fn gave_up(&self) {
        self.gave_up.inc();
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.waited.observe(time.as_secs_f64());
    }

    pub(crate) fn sampled(&self) {
        self.sampled.inc();
    }

    pub(crate) fn sample_failed(&self) {
        self.sample_failed.inc();
    }

    pub(crate) fn standing_changed(&self) {
        self.standing_changes.inc();
    }

    pub(crate) fn answered(&self, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        let labels = RequestLabels {
            route: route.clone(),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        let seconds = self.seconds.get_or_create(&RouteLabel { route });
        seconds.observe(took.as_secs_f64());
    }

    /// The text of the exposition format, with what a counter cannot know: what waits, what is away,
    /// what runs out.
    pub(crate) fn text(
        &self,
        waiting: usize,
        away: usize,
        expiries: &[Expiry],
    ) -> Result<String, fmt::Error> {
        // What was replaced is gone.
        self.expires.clear();
        for Expiry { what, name, at } in expiries {
            let name = name.clone();
            let labels = ExpiryLabels { what, name };
            self.expires.get_or_create(&labels).set(at.0.into());
        }
        for (gauge, count) in [(&self.waiting, waiting), (&self.away, away)] {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
