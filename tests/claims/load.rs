//! More than can be signed, clients that take more than their part, and workers that die under
//! load: through the shipped issuer and key daemon, from generators that are processes of their own.

use std::{fs, path::Path, thread, time::Duration};

use obol_load::{Arrivals, Deployment, Generator, Http, Plan, ProcessFigures, Report, Settings};
use obol_pkcs11_shim::{Faults, shim};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::caller::Caller;

/// Signatures a second of the slow token.
const SLOW_PER_S: f64 = 50.0;
const MANY: Http = Http::Two { connections: 32 };
/// What two thousand waiting requests and their connections may cost, KiB.
const MEMORY: u64 = 128 * 1024;

struct Served {
    deployment: Deployment,
    _folder: TempDir,
}

impl Served {
    fn new() -> Served {
        let mut served = Served::stopped(4);
        served.start();
        served
    }

    /// With one session of a token that takes 20 ms for a signature, whatever the machine does
    /// besides: [`SLOW_PER_S`].
    fn slow() -> Served {
        let mut served = Served::stopped(1);
        let token = served.deployment.path("tokens/issuer.token.toml");
        let text = fs::read_to_string(&token).unwrap();
        let line = text.lines().find(|line| line.starts_with("module = "));
        let line = line.unwrap();
        let real = line.trim_start_matches("module = ").trim_matches('"');
        let slow = format!("module = {:?}", shim().unwrap().to_str().unwrap());
        fs::write(&token, text.replace(line, &slow)).unwrap();
        let faults = Faults::at(&served.deployment.path("faults"));
        for (name, value) in faults.environment(Path::new(real)) {
            served.deployment.world_mut().set_variable(name, &value);
        }
        faults.set("C_Sign * delay 20\n");
        served.start();
        served
    }

    fn stopped(sessions: usize) -> Served {
        let folder = TempDir::new().unwrap();
        let settings = Settings {
            sessions,
            platforms: &["modest"],
            issuer_options: "",
        };
        let deployment = Deployment::prepare(folder.path(), &settings).unwrap();
        Served {
            deployment,
            _folder: folder,
        }
    }

    fn start(&mut self) {
        self.deployment.start_kms().unwrap();
        self.deployment.start_issuer("issuer.pem").unwrap();
    }

    fn plan(&self, platform: &str, http: Http, arrivals: Arrivals, seconds: f64) -> Plan {
        let mut plan = self.deployment.plan(platform, http, arrivals);
        plan.seconds = seconds;
        if let Arrivals::Open { per_s } = arrivals {
            plan.ahead = (per_s * seconds) as usize + 1;
            plan.requests = Some(plan.ahead);
        }
        plan
    }

    fn prepare(&self, plan: &Plan) -> Generator {
        let folder = self.deployment.world().folder();
        Generator::prepare(&Deployment::binaries(), folder, plan).unwrap()
    }

    fn run(&self, plans: &[Plan]) -> Vec<Report> {
        let mut generators: Vec<_> = plans.iter().map(|plan| self.prepare(plan)).collect();
        for generator in &mut generators {
            generator.begin().unwrap();
        }
        let reports = generators.into_iter().map(Generator::report);
        reports.map(Result::unwrap).collect()
    }

    /// A figure of the issuer's metrics.
    fn metric(&self, name: &str) -> u64 {
        let caller = Caller::known(self.deployment.world(), "platform-tls.pem", "platform.key");
        let port = self.deployment.world().ports.issuer;
        let url = format!("https://localhost:{port}/metrics");
        let text = caller.send(&url, &[], None).unwrap().body;
        let text = String::from_utf8(text.to_vec()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}: {text}"))
            .trim()
            .parse()
            .unwrap()
    }
}

/// Every answer is a credential or a 503 that says when to come again.
fn served_or_told(report: &Report) {
    let names: Vec<_> = report.answers.keys().map(String::as_str).collect();
    let told = report.answered("503 overloaded");
    assert!(
        names
            .iter()
            .all(|name| ["201", "503 overloaded"].contains(name)),
        "{report:?}"
    );
    assert_eq!(report.with_retry_after, told, "{report:?}");
    assert_eq!(report.answered("201") + told, report.requests, "{report:?}");
}

#[test]
fn at_three_times_the_capacity_the_surplus_is_told_at_once_and_a_modest_client_notices_nothing() {
    let served = Served::slow();
    let before = ProcessFigures::of(served.deployment.issuer().unwrap()).unwrap();
    let flood = Arrivals::Open {
        per_s: 3.0 * SLOW_PER_S,
    };
    let modest = Arrivals::Open {
        per_s: 0.1 * SLOW_PER_S,
    };
    let reports = served.run(&[
        served.plan("main", MANY, flood, 8.0),
        served.plan("modest", Http::Two { connections: 4 }, modest, 8.0),
    ]);
    let [flood, modest] = &reports[..] else {
        unreachable!("two plans")
    };
    served_or_told(flood);
    assert!(flood.answered("503 overloaded") > 0, "{flood:?}");
    // Told before they have waited, while those who are served have.
    assert!(flood.refused.p50 < flood.served.p50, "{flood:?}");
    let goodput = (flood.credentials + modest.credentials) as f64 / flood.seconds;
    assert!(goodput > 0.5 * SLOW_PER_S, "{goodput}: {flood:?}");
    // Hardly any of those who were let in had waited in vain.
    let (gave_up, issued) = (
        served.metric("obol_issuer_gave_up_total"),
        served.metric("obol_issuer_credentials_total"),
    );
    assert!(10 * gave_up < issued, "{gave_up} gave up, {issued} served");
    assert_eq!(served.metric("obol_issuer_waiting"), 0);

    let share = modest.answered("201") as f64 / modest.requests as f64;
    assert!(share > 0.95, "{modest:?}");
    assert!(modest.served.p50 < flood.served.p50, "{modest:?} {flood:?}");

    let after = ProcessFigures::of(served.deployment.issuer().unwrap()).unwrap();
    assert!(
        after.peak_kib < before.peak_kib + MEMORY,
        "{before:?} {after:?}"
    );
}

#[test]
fn a_client_with_one_request_at_a_time_is_served_while_another_floods_with_batches() {
    let served = Served::new();
    let mut batches = served.plan("main", Http::One, Arrivals::Closed { callers: 8 }, 6.0);
    (batches.items, batches.ahead, batches.requests) = (200, 60, Some(60));
    let modest = served.plan("modest", Http::One, Arrivals::Closed { callers: 1 }, 6.0);
    let reports = served.run(&[batches, modest]);
    let [batches, modest] = &reports[..] else {
        unreachable!("two plans")
    };
    assert!(batches.credentials > 0, "{batches:?}");
    assert_eq!(
        (modest.without, modest.answered("lost")),
        (0, 0),
        "{modest:?}"
    );
    // A batch takes as long as its items; one request waits for no batch to end.
    assert!(
        modest.served.p99 < batches.served.p50,
        "{modest:?} {batches:?}"
    );
}

#[test]
fn a_token_that_hangs_is_told_to_who_comes_and_serves_again_by_itself() {
    let served = Served::slow();
    let faults = Faults::at(&served.deployment.path("faults"));
    let one = |seconds: f64| {
        let calls = Arrivals::Closed { callers: 4 };
        let mut plan = served.plan("main", Http::One, calls, seconds);
        (plan.ahead, plan.requests) = (400, Some(400));
        plan
    };
    let before = served.run(&[one(1.0)]).remove(0);
    assert!(before.credentials > 0 && before.without == 0, "{before:?}");

    // Those who come first wait for the daemon's deadline, and one at a time after them.
    faults.set("C_Sign * hang\n");
    let hung = served.run(&[one(8.0)]).remove(0);
    let names: Vec<_> = hung.answers.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["503 issuer-key-unavailable", "503 signing-unavailable"],
        "{hung:?}"
    );
    assert_eq!(hung.with_retry_after, hung.requests, "{hung:?}");
    let (told, waited) = (
        hung.answered("503 issuer-key-unavailable"),
        hung.answered("503 signing-unavailable"),
    );
    // Four callers could have waited for 5 s twice each.
    assert!(waited <= 8 && told > waited, "{hung:?}");
    // Half of them were told sooner than any signature of this token comes.
    assert!(
        hung.refused.p50 < before.served.p50 + 1.0,
        "{hung:?} {before:?}"
    );

    faults.set("C_Sign * delay 20\n");
    let mut again = one(5.0);
    again.repeats = true;
    let again = served.run(&[again]).remove(0);
    assert!(again.credentials > 0 && again.without == 0, "{again:?}");
}

#[test]
fn a_worker_killed_under_load_costs_what_was_in_flight_and_each_repeat_gets_the_same_name() {
    let callers = 16;
    let mut served = Served::new();
    let mut plan = served.plan("main", Http::One, Arrivals::Closed { callers }, 5.0);
    plan.repeats = true;
    let mut generator = served.prepare(&plan);
    generator.begin().unwrap();
    thread::sleep(Duration::from_secs(2));
    served.deployment.kill_worker().unwrap();
    let report = generator.report().unwrap();
    let (failed, told) = (
        report.answered("503 signing-unavailable"),
        report.answered("503 issuer-key-unavailable"),
    );
    assert_eq!(failed + told, report.with_retry_after, "{report:?}");
    assert_eq!(
        report.answered("201") + failed + told,
        report.answers.values().sum::<u64>()
    );
    assert!(failed <= callers as u64, "{report:?}");
    let again = (report.without, report.repeated);
    assert_eq!(again, (0, failed + told), "{report:?}");

    // The daemon as well: nobody is there for a while.
    let mut generator = served.prepare(&plan);
    generator.begin().unwrap();
    thread::sleep(Duration::from_secs(1));
    served.deployment.kill_kms().unwrap();
    served.deployment.start_kms().unwrap();
    let second = generator.report().unwrap();
    assert_eq!(second.without, 0, "{second:?}");
    assert!(second.repeated > 0, "{second:?}");

    // One name for each request, however often it came.
    served.deployment.stop().unwrap();
    let register = Connection::open(served.deployment.path("issuer.db")).unwrap();
    let counts = "SELECT count(*), count(DISTINCT request), count(signature) FROM issued";
    let counts: (i64, i64, i64) = register
        .query_row(counts, [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    let asked = i64::try_from(report.requests + second.requests).unwrap();
    assert_eq!(counts, (asked, asked, asked));
}
