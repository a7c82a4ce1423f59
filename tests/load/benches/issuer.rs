//! Signing through the shipped issuer and key daemon over mTLS, from a second process on the same
//! cores, beside a bare loop of `C_Sign` and one verification on as many sessions of the same
//! token, in one run.

#![allow(clippy::unwrap_used)] // a benchmark that cannot be set up has nothing to say

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use obol_bench::{Budget, Group};
use obol_load::{Arrivals, Deployment, Generator, Http, Plan, ProcessFigures, Report, Settings};

const SESSIONS: usize = 16;
const ROUNDS: usize = 3;
/// How long each figure of a round is measured, seconds.
const SECONDS: f64 = 5.0;
const CALLERS: usize = 64;
const BATCH: usize = 1_000;
/// Batches under way at a time: one is parsed and answered while the other is signed.
const BATCHERS: usize = 2;
const BATCHED: Budget = Budget::AtLeast(0.85);
const SINGLE: Budget = Budget::AtLeast(0.65);
/// Seconds: the worker is killed, clients are served again.
const RECOVERY: Budget = Budget::AtMost(2.0);

type Done = Result<(), Box<dyn Error>>;

/// A curve's names in figures.
struct Names {
    certificate: &'static str,
    label: &'static str,
    bare: &'static str,
    batch: &'static str,
    single: &'static str,
}

const P384: Names = Names {
    certificate: "issuer.pem",
    label: "issuer-metro",
    bare: "bare_p384",
    batch: "batch_p384",
    single: "single_p384",
};
const P256: Names = Names {
    certificate: "issuer-p256.pem",
    label: "issuer-p256",
    bare: "bare_p256",
    batch: "batch_p256",
    single: "single_p256",
};

fn main() -> Done {
    let mut group = Group::new("issuer");
    let folder = group.disk()?;
    let settings = Settings {
        sessions: SESSIONS,
        platforms: &[],
        issuer_options: "",
    };
    let mut deployment = Deployment::prepare(&folder.join("deployment"), &settings)?;
    deployment.start_kms()?;
    let rate = rates(&mut group, &mut deployment, &P384, (BATCHED, SINGLE))?;
    deployment.start_issuer(P384.certificate)?;
    open_loop(&mut group, &deployment, rate)?;
    recovery(&mut group, &deployment)?;
    memory(&mut group, &deployment)?;
    deployment.stop_issuer()?;
    rates(
        &mut group,
        &mut deployment,
        &P256,
        (Budget::None, Budget::None),
    )?;
    deployment.stop()?;
    drop(deployment);
    std::fs::remove_dir_all(&folder)?;
    group.report()?;
    Ok(())
}

/// Rounds of the bare loop, batches and single requests, one after another so that a slow moment of
/// the machine meets them all; the medians. Returns the rate of single requests.
fn rates(
    group: &mut Group,
    deployment: &mut Deployment,
    names: &Names,
    (batched, one_by_one): (Budget, Budget),
) -> Result<f64, Box<dyn Error>> {
    let (mut bare, mut batches, mut singles) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(bare_rate(deployment, names)?);
        deployment.start_issuer(names.certificate)?;
        batches.push(closed(deployment, BATCHERS, BATCH)?);
        singles.push(closed(deployment, CALLERS, 1)?);
        deployment.stop_issuer()?;
    }
    let bare = median(bare.into_iter().map(|rate| (rate, ())).collect()).0;
    let of = |reports: Vec<Report>| median(reports.into_iter().map(|r| (r.rate(), r)).collect());
    let ((batch, in_batches), (single, singly)) = (of(batches), of(singles));
    group.measured(names.bare, bare, "/s", None, Budget::None);
    group.measured(names.batch, batch, "/s", Some(bare), batched);
    group.measured(names.single, single, "/s", Some(bare), one_by_one);
    let times = |name: &str, report: &Report, group: &mut Group| {
        let quantiles = [report.served.p50, report.served.p99, report.served.p999];
        for (quantile, time) in ["p50", "p99", "p99.9"].iter().zip(quantiles) {
            let name = format!("{name}_{quantile}").leak();
            group.measured(name, time, "ms", None, Budget::None);
        }
    };
    times(names.batch, &in_batches, group);
    times(names.single, &singly, group);
    Ok(single)
}

fn median<T>(mut figures: Vec<(f64, T)>) -> (f64, T) {
    figures.sort_by(|a, b| a.0.total_cmp(&b.0));
    let middle = figures.len() / 2;
    figures.swap_remove(middle)
}

/// The same token, while the daemon is idle.
fn bare_rate(deployment: &Deployment, names: &Names) -> Result<f64, Box<dyn Error>> {
    let world = deployment.world().folder();
    let output = Command::new(Deployment::binaries().join("examples/bare"))
        .args(["tokens/issuer.token.toml", names.certificate, names.label])
        .args([SESSIONS.to_string(), SECONDS.to_string()])
        .current_dir(world)
        .env("SOFTHSM2_CONF", world.join("tokens/softhsm2.conf"))
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let rate = said.trim().parse();
    rate.map_err(|_| format!("the bare loop: {}", String::from_utf8_lossy(&output.stderr)).into())
}

fn run(deployment: &Deployment, plan: &Plan) -> Result<Report, Box<dyn Error>> {
    let folder = deployment.world().folder();
    let mut generator = Generator::prepare(&Deployment::binaries(), folder, plan)?;
    generator.begin()?;
    Ok(generator.report()?)
}

/// Without any refusal: a figure with refusals is no figure of signing.
fn all_served(report: Report) -> Result<Report, Box<dyn Error>> {
    match report.without {
        0 => Ok(report),
        _ => Err(format!("not every request was served: {:?}", report.answers).into()),
    }
}

fn closed(deployment: &Deployment, callers: usize, items: usize) -> Result<Report, Box<dyn Error>> {
    let mut plan = deployment.plan("main", Http::One, Arrivals::Closed { callers });
    (plan.items, plan.seconds) = (items, SECONDS);
    // More than a token signs in that time; what is left over is thrown away.
    let most = (4_000.0 * SECONDS) as usize / items;
    (plan.ahead, plan.requests) = (most, Some(most));
    all_served(run(deployment, &plan)?)
}

/// At four fifths of what single requests got, whatever becomes of those before.
fn open_loop(group: &mut Group, deployment: &Deployment, rate: f64) -> Done {
    let per_s = 0.8 * rate;
    let http = Http::Two { connections: 16 };
    let mut plan = deployment.plan("main", http, Arrivals::Open { per_s });
    plan.seconds = 2.0 * SECONDS;
    let most = (per_s * plan.seconds) as usize + 1;
    (plan.ahead, plan.requests) = (most, Some(most));
    let report = all_served(run(deployment, &plan)?)?;
    group.measured("open_80_percent", report.rate(), "/s", None, Budget::None);
    let served = report.served;
    group.measured("open_80_percent_p50", served.p50, "ms", None, Budget::None);
    group.measured("open_80_percent_p99", served.p99, "ms", None, Budget::None);
    group.measured(
        "open_80_percent_p99.9",
        served.p999,
        "ms",
        None,
        Budget::None,
    );
    Ok(())
}

/// The worker is killed while clients ask: how long none of them was served, and how many requests
/// were told to come again. Each comes again, and each is served.
fn recovery(group: &mut Group, deployment: &Deployment) -> Done {
    let arrivals = Arrivals::Closed { callers: CALLERS };
    let mut plan = deployment.plan("main", Http::One, arrivals);
    plan.repeats = true;
    let folder = deployment.world().folder();
    let mut generator = Generator::prepare(&Deployment::binaries(), folder, &plan)?;
    generator.begin()?;
    for _ in 0..ROUNDS {
        std::thread::sleep(Duration::from_secs(1));
        deployment.kill_worker()?;
    }
    let report = all_served(generator.report()?)?;
    let silence = report.silence_s;
    group.measured("silence_after_kill_of_worker", silence, "s", None, RECOVERY);
    group.figure("repeated_after_3_kills", report.repeated as f64, "");
    Ok(())
}

fn memory(group: &mut Group, deployment: &Deployment) -> Done {
    for (name, process) in [
        ("peak_memory_issuer", deployment.issuer()?),
        ("peak_memory_daemon", deployment.kms()?),
        ("peak_memory_worker", deployment.worker()?),
    ] {
        let peak = ProcessFigures::of(process)?.peak_kib as f64 / 1024.0;
        group.figure(name, peak, "MiB");
    }
    Ok(())
}
