//! The daemon of an issuer over a module that fails on command.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use obol_credential::{
    Claims, Credential, Cti, DeviceKey, FareTerms, UnixTime, credential_signature_input,
};
use obol_kms_client::wire::RefusalKind;
use obol_kms_client::{KeyClass, KmsClient, KmsError, SpkiId};
use obol_pkcs11_shim::{Faults, shim};
use obol_world::{Ports, World};
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha384};
use tokio::runtime::Runtime;

/// How long a test waits for what must come by itself. It comes within about a second.
const WITHIN: Duration = Duration::from_secs(60);
/// The daemon's limits in these tests.
const LIMITS: &str = "request_deadline_ms = 6000\ncall_limit_ms = 1500\n";

/// A certified issuer key behind a daemon, a worker and the failing module.
pub(crate) struct Device {
    pub(crate) world: World,
    pub(crate) faults: Faults,
    runtime: Runtime,
    signer: Option<Signer>,
    _folder: tempfile::TempDir,
}

/// What asks for signatures, from many tasks at a time, and believes none.
#[derive(Clone)]
pub(crate) struct Signer {
    client: Arc<KmsClient>,
    key: SpkiId,
    point: Vec<u8>,
}

/// How a request ended that got no signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: RefusalKind,
    pub(crate) reason: String,
}

impl Device {
    /// Tokens and certificates are made with the healthy module, the daemon runs on the failing one.
    pub(crate) fn new() -> Device {
        let mut device = Device::stopped();
        device.start();
        device.faults.clear();
        device
    }

    /// As [`Device::new`], before the daemon's first start.
    pub(crate) fn stopped() -> Device {
        Device::stopped_over(None).0
    }

    /// The failing module forwards to `below`, or to the tokens' own, which is returned.
    pub(crate) fn stopped_over(below: Option<&Path>) -> (Device, PathBuf) {
        let mut device = Device::healthy();
        let module = device.exchange_module(&shim().unwrap());
        for (name, value) in device.faults.environment(below.unwrap_or(&module)) {
            device.world.set_variable(name, &value);
        }
        device.faults.clear();
        (device, module)
    }

    /// Before the daemon's first start, and on the module as it is.
    pub(crate) fn healthy() -> Device {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World::new(&folder.path().join("world"), Ports::any()).unwrap();
        world.prepare_tokens().unwrap();
        world.make_authorities().unwrap();
        // Checkpoints of the log are signed elsewhere: these tests count what the device is asked.
        world.keep_audit_key_in("access");
        world.make_registry().unwrap();
        let faults = Faults::at(&world.folder().join("faults"));
        world.set_kms_options(LIMITS);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Device {
            world,
            faults,
            runtime,
            signer: None,
            _folder: folder,
        }
    }

    pub(crate) fn start(&mut self) {
        self.world.start_kms().unwrap();
        let socket = self.world.folder().join("kms.sock");
        self.signer = Some(self.runtime.block_on(Signer::connect(&socket)));
    }

    /// Has the issuer's token file name `module`; the one that it named.
    pub(crate) fn exchange_module(&self, module: &Path) -> PathBuf {
        let token = self.world.folder().join("tokens/issuer.token.toml");
        exchange_module(&token, module)
    }

    /// One request.
    pub(crate) fn sign(&self) -> Result<(), Refusal> {
        self.runtime.block_on(self.signer().sign(0))
    }

    /// `callers` of them, each `times` one after the other, all at once.
    pub(crate) fn sign_many(&self, callers: u64, times: u64) -> Vec<Result<(), Refusal>> {
        self.runtime.block_on(async {
            let tasks: Vec<_> = (0..callers)
                .map(|caller| {
                    let signer = self.signer();
                    tokio::spawn(async move {
                        let mut ends = Vec::new();
                        for number in 0..times {
                            ends.push(signer.sign(caller * times + number).await);
                        }
                        ends
                    })
                })
                .collect();
            let mut ends = Vec::new();
            for task in tasks {
                ends.extend(task.await.unwrap());
            }
            ends
        })
    }

    /// Requests until one is signed: nobody has helped the daemon meanwhile. How long it took.
    pub(crate) fn recover(&self) -> Duration {
        let begun = Instant::now();
        while let Err(refusal) = self.sign() {
            assert!(begun.elapsed() < WITHIN, "no recovery: {refusal:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        begun.elapsed()
    }

    /// Until `/healthz` answers with this status and says this, with no request meanwhile.
    pub(crate) fn wait_for_health(&self, status: &str, text: &str) {
        let begun = Instant::now();
        loop {
            let (found, body) = self.world.ask_kms("/healthz").unwrap();
            if found.starts_with(status) && body.contains(text) {
                return;
            }
            assert!(begun.elapsed() < WITHIN, "{found}: {body}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn signer(&self) -> Signer {
        self.signer.clone().unwrap()
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The worker's process, as the system knows it.
    pub(crate) fn worker(&self) -> Option<u32> {
        children(self.world.kms().unwrap().id()).first().copied()
    }
}

/// Processes that `parent` started, on any of its threads.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return Vec::new();
    };
    let of_threads = threads.filter_map(|thread| {
        let thread = thread.ok()?.path();
        fs::read_to_string(thread.join("children")).ok()
    });
    of_threads
        .flat_map(|ids| {
            ids.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

impl Signer {
    pub(crate) async fn connect(socket: &Path) -> Signer {
        let client = KmsClient::connect(socket).await.unwrap();
        let keys = client.keys().await.unwrap();
        let key = keys
            .iter()
            .find(|key| key.class == KeyClass::Issuer)
            .unwrap();
        let point = key.spki_der[key.spki_der.len() - 97..].to_vec();
        Signer {
            key: key.spki,
            point,
            client: Arc::new(client),
        }
    }

    /// Asks for a credential and verifies it here, with a library that is not the daemon's.
    ///
    /// # Panics
    /// When a signature that was released does not verify, or the request ends otherwise than with
    /// a signature or the daemon's own word.
    pub(crate) async fn sign(&self, number: u64) -> Result<(), Refusal> {
        let claims = claims(number);
        match self.client.sign_credential(self.key, &claims).await {
            Ok(signed) => {
                let credential = Credential::decode(signed.credential()).unwrap();
                assert_eq!(credential.claims(), &claims);
                let algorithm = obol_credential::Algorithm::Esp384;
                let input =
                    credential_signature_input(algorithm, credential.kid(), &claims.encode())
                        .unwrap();
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&self.point).unwrap();
                let signature =
                    p384::ecdsa::Signature::from_slice(&signed.signature().to_raw()).unwrap();
                key.verify_prehash(&Sha384::digest(&*input), &signature)
                    .expect("a signature was released that does not verify");
                Ok(())
            }
            Err(KmsError::Refused { kind, reason }) => Err(Refusal { kind, reason }),
            Err(other) => panic!("neither a signature nor a refusal: {other:?}"),
        }
    }
}

/// Writes `module` into a token file; the module that was there.
fn exchange_module(token: &Path, module: &Path) -> PathBuf {
    let text = fs::read_to_string(token).unwrap();
    let line = text.lines().find(|line| line.starts_with("module = "));
    let line = line.unwrap();
    let before = line
        .trim_start_matches("module = ")
        .trim_matches(['"', '\'']);
    let after = format!("module = {:?}", module.to_str().unwrap());
    fs::write(token, text.replace(line, &after)).unwrap();
    PathBuf::from(before)
}

fn claims(number: u64) -> Claims {
    let mut point = [0x11; 33];
    point[0] = 2;
    let now = UnixTime(obol_console::unix_now());
    Claims {
        issued_at: now,
        expires_at: now.plus(86_400),
        cti: Cti(number.to_be_bytes()),
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
