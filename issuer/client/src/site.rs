//! One issuer, and a request made of it until it is answered or time is up.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use obol_transport::http::header::{CONTENT_TYPE, RETRY_AFTER};
use obol_transport::http::{HeaderMap, Method, Request};
use obol_transport::{Bytes, HttpsClient, Problem, Reply, TransportError};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::error::{IssuerClientError, Placement};
use crate::repeat::{ATTEMPTS_MAX, Again, Fate, drawn, is_out_of_service, is_strike, judge, pause};

/// Attempts in a row without an answer after which an issuer counts as lost.
const STRIKES_MAX: u32 = 2;
/// How often a lost issuer is asked whether it is ready.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_WITHIN: Duration = Duration::from_secs(5);

const JSON: &str = "application/json";

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) name: String,
    base: String,
    http: HttpsClient,
    lost: AtomicBool,
    strikes: AtomicU32,
    seed: [u8; 16],
    drawn: Arc<AtomicU64>,
}

/// A request as it is sent, the same bytes each time.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    method: Method,
    path: String,
    key: Option<String>,
    body: Bytes,
    expects: &'static str,
}

/// How long a call may take, and each attempt of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    pub(crate) until: Instant,
    pub(crate) attempt: Duration,
}

/// What to do when no connection can be made: nothing was sent then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfNotSent {
    /// Give up at once: somebody else may be asked.
    GiveUp,
    /// The same, and somebody else is there: also give up a request that was taken when this issuer
    /// has no signature for it and is lost. Its sender asks anew, and is served.
    GiveUpLost,
    /// Try again.
    TryAgain,
}

/// No success: the last thing that was heard, and the worst that may be.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: IssuerClientError,
    pub(crate) fate: Fate,
}

impl Failed {
    /// Whether another issuer may be asked: this one has taken nothing and serves nobody.
    pub(crate) fn moves_on(&self) -> bool {
        self.fate <= Fate::NotTaken && is_out_of_service(&self.error)
    }

    /// The caller's error: it says so where the request may have been done.
    pub(crate) fn into_error(self, issuer: &str, wanted: &Wanted) -> IssuerClientError {
        match (&wanted.key, self.fate) {
            (Some(key), Fate::Unknown) => IssuerClientError::Unsettled {
                placement: Placement {
                    issuer: issuer.to_owned(),
                    key: key.clone(),
                },
                cause: Arc::new(self.error),
            },
            _ => self.error,
        }
    }
}

impl Wanted {
    pub(crate) fn get(path: impl Into<String>, expects: &'static str) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            key: None,
            body: Bytes::new(),
            expects,
        }
    }

    pub(crate) fn get_json(path: impl Into<String>) -> Self {
        Self::get(path, JSON)
    }

    pub(crate) fn post(path: impl Into<String>, key: Option<&str>, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("strings and numbers are JSON");
        Self {
            method: Method::POST,
            path: path.into(),
            key: key.map(str::to_owned),
            body: body.into(),
            expects: JSON,
        }
    }

    fn at(&self, base: &str) -> Result<Request<Bytes>, IssuerClientError> {
        let url = format!("{base}{}", self.path);
        let mut request = Request::builder().method(self.method.clone()).uri(&url);
        if self.method == Method::POST {
            request = request.header(CONTENT_TYPE, JSON);
        }
        if let Some(key) = &self.key {
            request = request.header("Idempotency-Key", key);
        }
        let request = request.body(self.body.clone());
        request.map_err(|_| TransportError::BadUrl { url }.into())
    }
}

impl Site {
    pub(crate) fn new(
        name: &str,
        url: &str,
        http: HttpsClient,
        (seed, drawn): ([u8; 16], Arc<AtomicU64>),
    ) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            base: url.trim_end_matches('/').to_owned(),
            http,
            lost: AtomicBool::new(false),
            strikes: AtomicU32::new(0),
            seed,
            drawn,
        })
    }

    /// Whether new requests had better go elsewhere.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Makes the request until it succeeds, is refused for good, or the next attempt would begin
    /// too late.
    pub(crate) async fn persist(
        self: &Arc<Self>,
        wanted: &Wanted,
        time: Time,
        if_not_sent: IfNotSent,
    ) -> Result<Reply, Failed> {
        let mut fate = Fate::NotSent;
        for attempt in 1.. {
            let left = time.until.saturating_duration_since(Instant::now());
            let (error, retry_after) = match self.attempt(wanted, left.min(time.attempt)).await {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            let (this, again) = judge(&error);
            fate = fate.max(this);
            let elsewhere = match if_not_sent {
                IfNotSent::GiveUp => fate == Fate::NotSent,
                IfNotSent::GiveUpLost => {
                    fate == Fate::NotSent || (self.is_lost() && has_no_signature(&error))
                }
                IfNotSent::TryAgain => false,
            };
            let pause = pause(attempt, self.draw(), retry_after);
            if again == Again::No
                || elsewhere
                || attempt >= ATTEMPTS_MAX
                || Instant::now() + pause >= time.until
            {
                return Err(Failed { error, fate });
            }
            sleep(pause).await;
        }
        unreachable!("attempts are counted")
    }

    async fn attempt(
        self: &Arc<Self>,
        wanted: &Wanted,
        within: Duration,
    ) -> Result<Reply, (IssuerClientError, Option<Duration>)> {
        let request = wanted.at(&self.base).map_err(|error| (error, None))?;
        let answered = match self.http.send_within(request, within).await {
            Ok(reply) if reply.status.is_success() => right_type(reply, wanted.expects),
            Ok(reply) => {
                let asked = retry_after(&reply.headers);
                Err((
                    IssuerClientError::Refused(Problem::from_reply(&reply)),
                    asked,
                ))
            }
            Err(error) => Err((error.into(), None)),
        };
        if answered.is_ok() && wanted.key.is_some() {
            // It signs.
            self.lost.store(false, Ordering::Relaxed);
        }
        self.keep_score(answered.as_ref().err().map(|(error, _)| error));
        answered
    }

    /// An issuer that gives no answers is lost, and comes back when it says that it is ready.
    fn keep_score(self: &Arc<Self>, failure: Option<&IssuerClientError>) {
        let Some(error) = failure.filter(|error| is_strike(error) || is_out_of_service(error))
        else {
            self.strikes.store(0, Ordering::Relaxed);
            return;
        };
        let strikes = self.strikes.fetch_add(1, Ordering::Relaxed) + 1;
        if (strikes >= STRIKES_MAX || is_out_of_service(error))
            && !self.lost.swap(true, Ordering::Relaxed)
        {
            tokio::spawn(probe(Arc::downgrade(self)));
        }
    }

    async fn is_ready(&self) -> bool {
        let Ok(request) = Wanted::get("/readyz", "text/plain").at(&self.base) else {
            return false;
        };
        let reply = self.http.send_within(request, PROBE_WITHIN).await;
        reply.is_ok_and(|reply| reply.status.is_success())
    }

    pub(crate) fn draw(&self) -> u64 {
        drawn(&self.seed, self.drawn.fetch_add(1, Ordering::Relaxed))
    }
}

/// Ends when the issuer is back, or when the client is gone.
async fn probe(site: Weak<Site>) {
    loop {
        sleep(PROBE_EVERY).await;
        let Some(site) = site.upgrade() else { return };
        if site.is_ready().await {
            site.strikes.store(0, Ordering::Relaxed);
            site.lost.store(false, Ordering::Relaxed);
            return;
        }
    }
}

fn has_no_signature(error: &IssuerClientError) -> bool {
    matches!(error, IssuerClientError::Refused(problem) if problem.code == "signing-unavailable")
}

fn right_type(reply: Reply, expects: &str) -> Result<Reply, (IssuerClientError, Option<Duration>)> {
    if reply.content_type == expects {
        return Ok(reply);
    }
    let found = format!("content type {:?}, not {expects:?}", reply.content_type);
    Err((IssuerClientError::WrongReply(found), None))
}

/// Seconds, as the issuer sends them; the other form of the header, a date, is not heeded (RFC 9110
/// section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}
