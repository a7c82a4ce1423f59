//! The ways of this house to a signature.

use std::cell::Cell;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use obol_credential::UnixTime;
use obol_kms::daemon::{Daemon, DaemonConfig, TokenPlace};
use obol_kms::engine::{AuditSetup, Engine, EngineSetup, Request};
use obol_kms::worker::WorkerCommand;
use obol_kms::x509::{IssuerCertificate, RootCa, Rules, Scope, Validity};
use obol_kms::{Curve, IssuerKey, Token, TokenConfig, unrecorded};
use obol_kms_client::KmsClient;
use obol_kms_policy::{Client, Policy, Role};
use obol_kms_registry::{Class, Limits, PayloadType, Rate, Registry};
use tokio::runtime::Runtime;

use crate::registered::activate_within;
use crate::world::{NOW, World};
use crate::{claims, curve_name, label_of};

const ORIGIN: &str = "kms.bench/audit";
const PATIENCE: Duration = Duration::from_secs(30);

/// An issuer key of the token and its name in figures.
pub(crate) struct Issuer {
    pub(crate) name: &'static str,
    pub(crate) key: IssuerKey,
}

fn clock() -> UnixTime {
    NOW
}

/// A token with `keys` keys, of which one issuer for each curve and the audit log's are active; the
/// module is finalised again.
pub(crate) fn prepare(world: &World, keys: usize) -> [Issuer; 2] {
    let config = world.new_token("bench");
    let token = world.open(&config, 1);
    let registry = world.registry();
    // The clock stands still here, and so do the permits that would come with it.
    let rate = Rate::new(1_000_000, 1, 1_000_000).unwrap();
    let limits = Limits::new(1 << 40, rate, rate).unwrap();
    let issuers = [Curve::P384, Curve::P256].map(|curve| {
        let validity = || Validity::days(NOW, 90).unwrap();
        let root = token.generate(Curve::P384, &format!("root-{}", curve_name(curve)));
        let root_key = root.unwrap();
        let root = RootCa::create(&token, &root_key, "Bench Root", validity()).unwrap();
        let root = RootCa::open(&token, root).unwrap();
        let label = label_of(curve);
        let key = token.generate(curve, &label).unwrap();
        let scope = Scope::new("metro", &[1]).unwrap();
        let certificate = root.issue_issuer(key.public(), &label, &scope, validity());
        let certificate = certificate.unwrap();
        let of = Some(&certificate);
        activate_within(&registry, &token, &key, Class::Issuer, of, limits);
        let certificate = IssuerCertificate::read(&certificate).unwrap();
        Issuer {
            name: curve_name(curve),
            key: IssuerKey::find(&token, certificate).unwrap(),
        }
    });
    let audit = token.generate(Curve::P256, "audit").unwrap();
    activate_within(&registry, &token, &audit, Class::Audit, None, limits);
    for number in token.keys().len()..keys {
        token
            .generate(Curve::P256, &format!("other-{number}"))
            .unwrap();
    }
    fs::create_dir(world.folder.join("audit")).unwrap();
    drop(token);
    world.unload();
    issuers
}

/// Everything in this process: first without, then with registry, policy, quota and audit log.
pub(crate) struct InProcess {
    token: Token,
    folder: PathBuf,
}

pub(crate) struct Recorded {
    engine: Engine,
    client: Client,
}

impl InProcess {
    pub(crate) fn open(world: &World, sessions: usize) -> InProcess {
        let config = TokenConfig::load(&world.token_file("bench")).unwrap();
        InProcess {
            token: world.open(&config, sessions),
            folder: world.folder.clone(),
        }
    }

    pub(crate) fn typed(&self, issuer: &Issuer) {
        let claims = claims().encode();
        unrecorded::sign_credential(&self.token, &issuer.key, &claims, NOW).unwrap();
    }

    pub(crate) fn engine(self) -> Recorded {
        let setup = EngineSetup {
            registry: Registry::open(&self.folder.join("keys.registry")).unwrap(),
            policy: Policy::built_in(),
            rules: Rules::built_in(),
            tokens: vec![self.token.into()],
            audit: AuditSetup {
                folder: self.folder.join("audit"),
                origin: ORIGIN.to_owned(),
                key: None,
                kept: None,
            },
            clock,
        };
        Recorded {
            engine: Engine::open(setup).unwrap(),
            client: Client::new(Role::Issuer, "obol://issuer/bench").unwrap(),
        }
    }
}

impl Recorded {
    pub(crate) fn sign(&self, issuer: &Issuer) {
        let request = Request {
            key: issuer.key.id(),
            payload_type: PayloadType::CredentialClaims,
            payload: claims().encode().to_vec(),
        };
        let deadline = Instant::now() + PATIENCE;
        self.engine.sign(&request, &self.client, deadline).unwrap();
    }
}

/// A daemon with its worker, each a process of its own, and a client on the same cores.
pub(crate) struct Served {
    daemon: Child,
    runtime: Runtime,
    client: Arc<KmsClient>,
    killed: Cell<u64>,
}

impl Served {
    pub(crate) fn start(world: &World, sessions: usize) -> Served {
        let uid = fs::metadata(&world.folder).unwrap().uid();
        let config = format!(
            "socket = 'kms.sock'\nregistry = 'keys.registry'\nrequest_deadline_ms = 10000\n\
             call_limit_ms = 5000\n[[tokens]]\nfile = 'bench.token.toml'\nsessions = {sessions}\n\
             [[clients]]\nuid = {uid}\nrole = 'issuer'\n[audit]\nfolder = 'audit'\n\
             origin = '{ORIGIN}'\n"
        );
        let file = world.folder.join("kms.toml");
        fs::write(&file, config).unwrap();
        let mut daemon = Command::new(std::env::current_exe().unwrap())
            .arg("daemon")
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(daemon.stdout.take().unwrap());
        lines.read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let socket = world.folder.join("kms.sock");
        let client = runtime.block_on(KmsClient::connect(&socket)).unwrap();
        Served {
            daemon,
            runtime,
            client: Arc::new(client),
            killed: Cell::new(0),
        }
    }

    /// `rounds` requests of `callers` at once; the wall time of them all.
    pub(crate) fn sign(&self, issuer: &Issuer, callers: usize, rounds: u64) -> Duration {
        let (key, claims) = (issuer.key.id(), claims());
        let begun_calls = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        self.runtime.block_on(async {
            let tasks: Vec<_> = (0..callers)
                .map(|_| {
                    let (client, begun_calls) =
                        (Arc::clone(&self.client), Arc::clone(&begun_calls));
                    tokio::spawn(async move {
                        while begun_calls.fetch_add(1, Ordering::Relaxed) < rounds {
                            client.sign_credential(key, &claims).await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        begun.elapsed()
    }

    /// `kill -9` of the worker; the time until the next signature.
    pub(crate) fn recover(&self, issuer: &Issuer) -> Duration {
        let worker = loop {
            if let Some(worker) = child_of(self.daemon.id()) {
                break worker;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let killed = Command::new("kill").args(["-9", &worker]).status();
        assert!(killed.unwrap().success());
        self.killed.set(self.killed.get() + 1);
        let begun = Instant::now();
        let (key, claims) = (issuer.key.id(), claims());
        let sign = || {
            self.runtime
                .block_on(self.client.sign_credential(key, &claims))
        };
        while sign().is_err() {
            assert!(begun.elapsed() < PATIENCE, "no recovery");
        }
        begun.elapsed()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.daemon.stdin.take());
        assert!(self.daemon.wait().unwrap().success());
    }
}

fn child_of(parent: u32) -> Option<String> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).ok()?;
    threads.filter_map(Result::ok).find_map(|thread| {
        let children = fs::read_to_string(thread.path().join("children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    })
}

/// The daemon's process, until its standard input closes.
pub(crate) fn serve(config: &Path) -> io::Result<()> {
    let config = DaemonConfig::load(config).unwrap();
    let runtime = Runtime::new()?;
    runtime.block_on(async {
        let worker = WorkerCommand {
            program: std::env::current_exe()?,
            arguments: vec!["worker".into()],
        };
        let daemon = Daemon::start(&config, TokenPlace::Worker(worker), clock).unwrap();
        println!("ready");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let ended = io::stdin().read_to_end(&mut Vec::new());
            stop.send(ended.is_ok()).unwrap();
        });
        daemon
            .serve(async {
                stopped.await.unwrap();
            })
            .await;
        Ok(())
    })
}

/// The worker's process.
pub(crate) fn work(token: &Path) -> io::Result<()> {
    let socket = obol_kms::worker::inherited_socket()?;
    obol_kms::worker::run(token, socket).map_err(io::Error::other)
}
