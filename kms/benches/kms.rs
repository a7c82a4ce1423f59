//! Signing credentials: in this process without and with the audit log, and through daemon and
//! worker, each beside a bare loop of `C_Sign` and one verification on as many sessions of the same
//! token, in one run.

#![allow(clippy::unwrap_used)] // a benchmark that cannot be set up has nothing to say

#[path = "kms/bare.rs"]
mod bare;
#[path = "kms/service.rs"]
mod service;

// The tests' own world and officers.
#[allow(dead_code, unreachable_pub)]
#[path = "../tests/kms/registered.rs"]
mod registered;
#[allow(dead_code, unreachable_pub)]
#[path = "../tests/kms/world.rs"]
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, io};

use obol_bench::{Budget, Group};
use obol_credential::{Claims, Cti, DeviceKey, FareTerms};
use obol_kms::Curve;

use bare::{Bare, Place};
use service::{InProcess, Served};
use world::{FOLDER, NOW, World, in_a_world};

/// What rules, registry, policy, quota and audit log may cost in this process, and through daemon
/// and worker.
const IN_PROCESS: Budget = Budget::AtMost(1.05);
const SERVED: Budget = Budget::AtMost(1.15);
/// In microseconds: the worker is killed, another signs.
const RECOVERY: Budget = Budget::AtMost(2_000_000.0);
const SESSIONS: [usize; 3] = [1, 4, 16];
/// Keys of the token while recovery is measured.
const KEYS: usize = 16;

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1);
    let (act, file) = (arguments.next(), arguments.next());
    match (act.as_deref().and_then(|act| act.to_str()), file) {
        (Some("worker"), Some(file)) => return service::work(file.as_ref()),
        (Some("daemon"), Some(file)) => return service::serve(file.as_ref()),
        _ => {}
    }
    if env::var_os(FOLDER).is_none() {
        return run_in_a_world();
    }
    let mut group = Group::new("kms");
    in_a_world("", |world| measure(&mut group.criterion(), world));
    for name in names() {
        let beside = |path: &str| format!("bare_{}", name.trim_start_matches(path));
        let in_budget = |budget| match name.contains("p384") {
            true => budget,
            false => Budget::None,
        };
        match name.split('_').next() {
            Some("typed") => group.row(name, Some(&beside("typed_")), in_budget(IN_PROCESS))?,
            Some("engine") => group.row(name, Some(&beside("engine_")), in_budget(IN_PROCESS))?,
            Some("daemon") => group.row(name, Some(&beside("daemon_")), in_budget(SERVED))?,
            _ => group.row(name, None, Budget::None)?,
        }
    }
    group.row("recovery_16_keys", None, RECOVERY)?;
    group.report()
}

/// SoftHSM takes its configuration from the environment, which a process cannot safely change for
/// itself: the benchmark runs itself again in a world of its own.
fn run_in_a_world() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens)?;
    let conf = folder.path().join("module.conf");
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    fs::write(&conf, text)?;
    let status = std::process::Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env("SOFTHSM2_CONF", &conf)
        .env(FOLDER, folder.path())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(status.to_string()))
    }
}

/// Every figure but that of recovery: the way, the curve, the sessions.
fn names() -> Vec<&'static str> {
    let mut names = Vec::new();
    for curve in ["p384", "p256"] {
        for sessions in SESSIONS {
            for way in ["bare", "typed", "engine", "daemon"] {
                let name = format!("{way}_{curve}_{sessions}_sessions");
                names.push(&*name.leak());
            }
        }
    }
    names
}

fn measure(criterion: &mut criterion::Criterion, world: &World) {
    let issuers = service::prepare(world, KEYS);
    let mut group = criterion.benchmark_group("kms");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    for issuer in &issuers {
        for sessions in SESSIONS {
            let name = |way: &str| format!("{way}_{}_{sessions}_sessions", issuer.name);
            {
                let in_process = InProcess::open(world, sessions);
                let (module, label) = (
                    World::module_path(),
                    label_of(issuer.key.key().public().curve()),
                );
                let place = Place {
                    module: &module,
                    token: "bench",
                    label: &label,
                };
                let bare = Bare::open(&issuer.key, &place, &claims().encode(), sessions);
                let run = |rounds| shared(sessions, rounds, |thread| bare.sign(thread));
                group.bench_function(name("bare"), |b| b.iter_custom(run));
                drop(bare);
                let run = |rounds| shared(sessions, rounds, |_| in_process.typed(issuer));
                group.bench_function(name("typed"), |b| b.iter_custom(run));
                let engine = in_process.engine();
                // A leaf waits for the disk with others: more callers than sessions, as in service.
                let run = |rounds| shared(4 * sessions, rounds, |_| engine.sign(issuer));
                group.bench_function(name("engine"), |b| b.iter_custom(run));
            }
            world.unload();
            let daemon = Served::start(world, sessions);
            let run = |rounds| daemon.sign(issuer, 4 * sessions, rounds);
            group.bench_function(name("daemon"), |b| b.iter_custom(run));
        }
    }
    let daemon = Served::start(world, 4);
    let run = |rounds| (0..rounds).map(|_| daemon.recover(&issuers[0])).sum();
    group.bench_function("recovery_16_keys", |b| b.iter_custom(run));
    group.finish();
}

/// `rounds` calls of `work`, shared among `threads`; the wall time of them all.
fn shared(threads: usize, rounds: u64, work: impl Fn(usize) + Sync) -> Duration {
    let begun_calls = AtomicU64::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (begun_calls, work) = (&begun_calls, &work);
            scope.spawn(move || {
                while begun_calls.fetch_add(1, Ordering::Relaxed) < rounds {
                    work(thread);
                }
            });
        }
    });
    begun.elapsed()
}

fn curve_name(curve: Curve) -> &'static str {
    match curve {
        Curve::P384 => "p384",
        Curve::P256 => "p256",
    }
}

fn claims() -> Claims {
    let mut point = [0x11; 33];
    point[0] = 2;
    Claims {
        issued_at: NOW,
        expires_at: NOW.plus(86_400),
        cti: Cti([7; 8]),
        device_key: DeviceKey::from_sec1(point).unwrap(),
        fare: FareTerms {
            class: 1,
            cap_minor: 1_000,
            window_s: 30,
            status_index: 9,
            flags: 0,
        },
    }
}

/// A bare private key is found by its label.
fn label_of(curve: Curve) -> String {
    format!("issuer-{}", curve_name(curve))
}
