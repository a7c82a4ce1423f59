//! What the signing daemon asks before it signs, and what it leaves behind.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use obol_kms_client::{
    KmsClient, KmsError, PayloadType, SpkiId, VerifiedSignature,
    wire::{FrameError, RefusalKind},
};
use obol_world::{Service, World};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use crate::stage::Stage;

/// How long something that must happen may take on a busy machine.
const EVENTUALLY: Duration = Duration::from_secs(60);

/// Tokens, an issuer's key, and a ledger's key of some uses; a daemon for one client.
struct Signing {
    stage: Stage,
    ledger: SpkiId,
    issuer: SpkiId,
    runtime: Runtime,
}

impl Signing {
    fn new(uses: &str) -> Signing {
        let stage = Stage::with_tokens();
        stage.world.make_authorities().unwrap();
        stage.world.make_registry().unwrap();
        let made = stage.world.tool("obol-kms").succeed(&[
            "keys",
            "generate",
            "--registry",
            "keys.registry",
            "--class",
            "ledger-close",
            "--label",
            "ledger",
            "--token",
            "tokens/issuer.token.toml",
            "--lifetime-uses",
            uses,
        ]);
        let ledger = made.unwrap().stdout.split(' ').next().unwrap().to_owned();
        stage.world.activate(&ledger).unwrap();
        let issuer = stage.world.key_of_class("issuer").unwrap();
        Signing {
            ledger: ledger.parse().unwrap(),
            issuer: issuer.parse().unwrap(),
            runtime: Runtime::new().unwrap(),
            stage,
        }
    }

    fn world(&self) -> &World {
        &self.stage.world
    }

    /// A daemon whose one client has this role.
    fn daemon(&self, role: &str) -> Service {
        let config = self.world().kms_config().unwrap();
        let config = config.replace("role = \"issuer\"", &format!("role = \"{role}\""));
        self.stage.write("kms.toml", &config);
        self.serve()
    }

    fn serve(&self) -> Service {
        let serve = ["serve", "--config", "kms.toml"];
        self.world().serve("obol-kms", "kms", &serve).unwrap()
    }

    fn client(&self) -> KmsClient {
        let socket = self.world().folder().join("kms.sock");
        self.runtime.block_on(KmsClient::connect(socket)).unwrap()
    }

    fn sign(
        &self,
        client: &KmsClient,
        key: SpkiId,
        payload: (PayloadType, &[u8]),
    ) -> Result<VerifiedSignature, KmsError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        self.runtime
            .block_on(client.sign(key, payload.0, payload.1, deadline))
    }

    fn close_day(&self, client: &KmsClient, day: u16) -> Result<VerifiedSignature, KmsError> {
        let root = day_root(day);
        self.sign(client, self.ledger, (PayloadType::LedgerDayRoot, &root))
    }

    /// The leaf at `index`, once a checkpoint covers it, with its proof checked by `obol-kms`.
    fn leaf(&self, index: u64) -> Value {
        let key = self.world().log_key().unwrap();
        let (begun, index) = (Instant::now(), index.to_string());
        let prove = [
            "audit", "prove", "--log", "audit", "--key", &key, "--index", &index, "--json",
        ];
        loop {
            let ran = self.world().tool("obol-kms").run(&prove).unwrap();
            if ran.code == 0 {
                let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
                return shown["leaf"].clone();
            }
            assert!(begun.elapsed() < EVENTUALLY, "{}", ran.unexpected());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn verify_log(&self) {
        let key = self.world().log_key().unwrap();
        let verify = ["audit", "verify", "--log", "audit", "--key", &key];
        self.world().tool("obol-kms").succeed(&verify).unwrap();
    }
}

/// Deterministic CBOR of the root of a day of the book `main` (docs/spec).
fn day_root(day: u16) -> Vec<u8> {
    let mut root = vec![0xa5, 0x01, 0x6f];
    root.extend(b"obol ledger day\x02\x64main\x03\x19");
    root.extend(day.max(1_000).to_be_bytes());
    root.extend([&[0x04, 0x58, 32][..], &[1; 32], &[0x05, 0x58, 32], &[2; 32]].concat());
    root
}

fn refusal(result: Result<VerifiedSignature, KmsError>) -> (RefusalKind, String) {
    match result {
        Err(KmsError::Refused { kind, reason }) => (kind, reason),
        other => panic!("no refusal: {other:?}"),
    }
}

#[test]
fn a_suspended_key_stops_signing_at_once_and_two_officers_let_it_sign_again() {
    let signing = Signing::new("1000");
    let daemon = signing.daemon("platform");
    let client = signing.client();
    signing.close_day(&client, 20_000).unwrap();
    let ledger = signing.ledger.to_string();
    signing.world().change(&ledger, "suspend").unwrap();
    let (kind, reason) = refusal(signing.close_day(&client, 20_001));
    assert_eq!(kind, RefusalKind::KeyState);
    assert!(reason.contains("suspended"), "{reason}");
    signing.world().change(&ledger, "activate").unwrap();
    assert_eq!(signing.close_day(&client, 20_002).unwrap().leaf(), 2);
    assert_eq!(signing.leaf(1)["decision"], "denied");
    daemon.stop().unwrap();
    signing.verify_log();
}

#[test]
fn what_the_policy_does_not_permit_is_denied_and_leaves_a_leaf() {
    let signing = Signing::new("1000");
    let daemon = signing.daemon("issuer");
    let client = signing.client();
    let (kind, reason) = refusal(signing.close_day(&client, 20_000));
    assert_eq!(kind, RefusalKind::Denied);
    assert!(reason.ends_with("no policy permits it"), "{reason}");
    let leaf = signing.leaf(0);
    assert_eq!(leaf["decision"], "denied");
    assert_eq!(leaf["actor"], "obol://issuer/main");
    assert_eq!(leaf["key"], signing.ledger.to_string());
    assert_eq!(
        leaf["payload_hash"],
        HEXLOWER.encode(&Sha256::digest(day_root(20_000)))
    );
    assert!(
        leaf["policy_hash"].is_string() && leaf["reason"] == reason,
        "{leaf}"
    );
    daemon.stop().unwrap();
}

#[test]
fn a_user_whom_the_configuration_does_not_name_is_refused() {
    let signing = Signing::new("1000");
    let config = signing.world().kms_config().unwrap();
    let line = config
        .lines()
        .find(|line| line.starts_with("uid = "))
        .unwrap();
    let uid: u32 = line.trim_start_matches("uid = ").parse().unwrap();
    let config = config.replace(line, &format!("uid = {}", uid + 1));
    signing.stage.write("kms.toml", &config);
    let daemon = signing.serve();
    let socket = signing.world().folder().join("kms.sock");
    let error = signing
        .runtime
        .block_on(KmsClient::connect(&socket))
        .unwrap_err();
    assert!(matches!(error, KmsError::Closed(path) if path == socket));
    daemon.stop().unwrap();
}

#[test]
fn a_quota_survives_kill_9() {
    let signing = Signing::new("3");
    let mut daemon = signing.daemon("platform");
    for day in 20_000..20_003 {
        signing.close_day(&signing.client(), day).unwrap();
        daemon.kill().unwrap();
        daemon = signing.serve();
    }
    let (kind, reason) = refusal(signing.close_day(&signing.client(), 20_003));
    assert_eq!(kind, RefusalKind::Quota);
    assert!(reason.ends_with("has had all its 3 uses"), "{reason}");
    daemon.stop().unwrap();
}

#[test]
fn a_payload_is_signed_by_a_key_of_its_class_and_by_no_other() {
    let signing = Signing::new("1000");
    let daemon = signing.daemon("platform");
    let client = signing.client();
    let audit: SpkiId = signing
        .world()
        .key_of_class("audit")
        .unwrap()
        .parse()
        .unwrap();
    let timestamp = br#"{"_type":"timestamp","expires":"2040-01-01T00:00:00Z","meta":{"snapshot.json":{"version":1}},"spec_version":"1.0.34","version":1,"x-obol-issued":1800000000}"#;
    let root = day_root(20_000);
    let checkpoint = b"kms.metro.example/audit\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    let day = (PayloadType::LedgerDayRoot, root.as_slice());
    for (key, payload) in [
        (signing.issuer, day),
        (audit, day),
        (
            signing.ledger,
            (PayloadType::TufTimestamp, timestamp.as_slice()),
        ),
        (
            signing.issuer,
            (PayloadType::TufTimestamp, timestamp.as_slice()),
        ),
        (
            signing.ledger,
            (PayloadType::CredentialClaims, root.as_slice()),
        ),
        (
            signing.ledger,
            (PayloadType::TbsCertificate, root.as_slice()),
        ),
        // Not even with the log's own key: checkpoints are the daemon's.
        (audit, (PayloadType::LogCheckpoint, checkpoint.as_slice())),
    ] {
        let (kind, reason) = refusal(signing.sign(&client, key, payload));
        assert_eq!(kind, RefusalKind::PayloadRefused, "{}: {reason}", payload.0);
    }
    assert_eq!(signing.close_day(&client, 20_000).unwrap().leaf(), 7);
    daemon.stop().unwrap();
}

#[test]
fn kill_9_before_the_token_signs_leaves_an_approval_without_a_signature() {
    let signing = Signing::new("1000");
    let daemon = signing.daemon("platform");
    let client = signing.client();
    let worker = only_child(daemon.id());
    signal(worker, "STOP");
    let asked = signing.runtime.spawn({
        let (socket, key) = (signing.world().folder().join("kms.sock"), signing.ledger);
        async move {
            let client = KmsClient::connect(socket).await.unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            let root = day_root(20_000);
            client
                .sign(key, PayloadType::LedgerDayRoot, &root, deadline)
                .await
        }
    });
    let begun = Instant::now();
    while signing
        .runtime
        .block_on(client.status())
        .unwrap()
        .audit
        .leaves
        == 0
    {
        assert!(begun.elapsed() < EVENTUALLY, "no leaf");
    }
    daemon.kill().unwrap();
    signal(worker, "KILL");
    let ended = signing.runtime.block_on(asked).unwrap().unwrap_err();
    // The connection broke, or the client found nobody when it made another.
    let broken = |error: &KmsError| {
        matches!(
            error,
            KmsError::Closed(_) | KmsError::Frame(FrameError::Io(_)) | KmsError::Connect { .. }
        )
    };
    assert!(broken(&ended), "{ended:?}");
    let daemon = signing.serve();
    assert_eq!(
        signing.close_day(&signing.client(), 20_001).unwrap().leaf(),
        1
    );
    let leaf = signing.leaf(0);
    assert_eq!(
        (&leaf["decision"], &leaf["class"]),
        (&"approved".into(), &"ledger-close".into())
    );
    daemon.stop().unwrap();
    signing.verify_log();
}

#[test]
fn kill_9_at_any_moment_leaves_no_signature_without_its_approval() {
    let signing = Signing::new("100000");
    let mut daemon = signing.daemon("platform");
    let mut signed = Vec::new();
    for round in 0..4_u16 {
        let client = signing.client();
        let asking = thread::spawn(move || {
            thread::sleep(Duration::from_millis(150 + 37 * u64::from(round)));
            daemon.kill().unwrap();
        });
        for day in 0.. {
            let day = 20_000 + 1_000 * round + day;
            match signing.close_day(&client, day) {
                Ok(signature) => signed.push((signature.leaf(), day)),
                Err(_) => break,
            }
        }
        asking.join().unwrap();
        daemon = signing.serve();
    }
    assert!(signed.len() >= 4, "{signed:?}");
    let last_of_rounds = signed.iter().rev().take(6);
    for (leaf, day) in last_of_rounds {
        let found = signing.leaf(*leaf);
        assert_eq!(found["decision"], "approved", "{found}");
        let hash = HEXLOWER.encode(&Sha256::digest(day_root(*day)));
        assert_eq!(found["payload_hash"], hash, "leaf {leaf} is another day's");
    }
    daemon.stop().unwrap();
    signing.verify_log();
}

#[test]
fn a_full_disk_under_the_audit_log_means_that_nothing_is_signed_until_there_is_room() {
    let signing = Signing::new("100000");
    // In a mount namespace of its own, where this user is user 0.
    let config = signing.world().kms_config().unwrap();
    let line = config
        .lines()
        .find(|line| line.starts_with("uid = "))
        .unwrap();
    let config = config
        .replace(line, "uid = 0")
        .replace("role = \"issuer\"", "role = \"platform\"");
    signing.stage.write("kms.toml", &config);
    let mount = "mount -t tmpfs -o size=64k full audit && exec \"$@\"";
    let wrapper = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        mount,
        "sh",
    ];
    let log = signing.world().folder().join("logs/kms.log");
    let serve = ["serve", "--config", "kms.toml", "--until-stdin-closes"];
    let daemon = signing
        .world()
        .tool("obol-kms")
        .under(&wrapper)
        .serve(&serve, log)
        .unwrap();
    let client = signing.client();
    let mut signed = 0_u16;
    let (kind, reason) = loop {
        match signing.close_day(&client, 20_000 + signed) {
            Ok(_) => signed += 1,
            refused => break refusal(refused),
        }
        assert!(signed < 100, "64 KiB hold no hundred leaves");
    };
    assert!(signed > 0, "there was room at first");
    assert_eq!(kind, RefusalKind::Unavailable);
    assert!(reason.contains("No space left on device"), "{reason}");
    for day in 0..3 {
        let (kind, _) = refusal(signing.close_day(&client, 21_000 + day));
        assert_eq!(kind, RefusalKind::Unavailable);
    }
    let status = signing.runtime.block_on(client.status()).unwrap();
    assert!(
        status
            .audit
            .trouble
            .unwrap()
            .contains("No space left on device")
    );

    // Room is made where the daemon sees the disk, and it goes on by itself.
    let namespace = daemon.id().to_string();
    let enter = [
        "-t",
        &namespace,
        "--user",
        "--preserve-credentials",
        "--mount",
    ];
    let grow = ["mount", "-o", "remount,size=1m", "audit"];
    let grown = std::process::Command::new("nsenter")
        .args(enter)
        .arg(format!("--wd={}", signing.world().folder().display()))
        .args(grow)
        .output()
        .unwrap();
    assert!(grown.status.success(), "{grown:?}");
    let mut next = 22_000;
    let signature = crate::stage::eventually_some("the log goes on", || {
        next += 1;
        signing.close_day(&client, next).ok()
    });
    // Not one leaf of those that were told is lost or told twice.
    assert_eq!(signature.leaf(), u64::from(signed));
    let status = signing.runtime.block_on(client.status()).unwrap();
    assert_eq!(status.audit.trouble, None);
    daemon.stop().unwrap();
}

fn only_child(process: u32) -> u32 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut children = threads.filter_map(|thread| {
        let children = fs::read_to_string(Path::new(&thread.ok()?.path()).join("children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    });
    children.next().unwrap()
}

fn signal(process: u32, name: &str) {
    let mut kill = std::process::Command::new("kill");
    let status = kill.args(["-s", name, &process.to_string()]).status();
    assert!(status.unwrap().success());
}
