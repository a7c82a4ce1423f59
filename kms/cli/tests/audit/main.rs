//! The audit log as auditors and witnesses check it, with the shipped command alone.
#![allow(clippy::unwrap_used)] // everything here is a test

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use obol_credential::UnixTime;
use obol_kms_audit::{AuditLog, CheckpointSigner, SignFailed, Trusted};
use obol_log::{Decision, Leaf, LogKey};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use p256::pkcs8::{EncodePublicKey, LineEnding};

const ORIGIN: &str = "kms.test/audit";

struct Key {
    secret: SigningKey,
    public: LogKey,
}

impl CheckpointSigner for Key {
    fn key(&self) -> &LogKey {
        &self.public
    }

    fn sign(&self, text: &str) -> Result<[u8; 64], SignFailed> {
        let signature: Signature = self.secret.sign(text.as_bytes());
        Ok(signature.to_bytes().into())
    }
}

/// A folder with a log, a witness and what they send each other.
struct Desk {
    folder: tempfile::TempDir,
    signer: Arc<Key>,
}

impl Desk {
    fn new() -> Desk {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("log")).unwrap();
        let secret = SigningKey::from_slice(&[7; 32]).unwrap();
        let spki = secret.verifying_key().to_public_key_der().unwrap();
        let public = LogKey::from_spki_der(ORIGIN, spki.as_bytes()).unwrap();
        let signer = Arc::new(Key { secret, public });
        Desk { folder, signer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn key(&self) -> String {
        self.signer.public.to_vkey()
    }

    fn open(&self) -> AuditLog {
        let log = self.path("log");
        AuditLog::open(&log, ORIGIN, self.signer.clone(), &Trusted::default()).unwrap()
    }

    /// Appends the leaves `from..to` and publishes a checkpoint.
    fn grow(&self, from: u64, to: u64) {
        let log = self.open();
        for index in from..to {
            assert_eq!(log.append(&leaf(index)).unwrap().index, index);
        }
        log.checkpoint().unwrap();
    }

    fn audit(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_obol-kms"))
            .arg("audit")
            .args(arguments)
            .current_dir(&self.folder)
            .output()
            .unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.audit(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The error's first line; the second must be advice.
    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.audit(arguments);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<_> = errors.lines().collect();
        assert!(
            matches!(lines[..], [_, help] if help.starts_with("help: ")),
            "{errors}"
        );
        lines[0].to_owned()
    }

    fn verify(&self, log: &str, more: &[&str]) -> Vec<String> {
        let key = self.key();
        let arguments = ["verify", "--log", log, "--key", &key];
        let all = arguments.iter().chain(more);
        all.map(|word| (*word).to_owned()).collect()
    }

    /// A witness with a key; returns its public key.
    fn witness_key(&self) -> String {
        let made = self.done(&["witness-key", "--name", "auditor.test/w1", "--out", "w.key"]);
        made.trim().to_owned()
    }

    fn witness(&self, more: &[&str]) -> Vec<String> {
        let key = self.key();
        let arguments = [
            "witness",
            "--key",
            &key,
            "--witness-key",
            "w.key",
            "--state",
            "seen",
        ];
        let all = arguments.iter().chain(more);
        all.map(|word| (*word).to_owned()).collect()
    }
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(|word| &**word).collect()
}

fn leaf(index: u64) -> Vec<u8> {
    let leaf = Leaf {
        time: UnixTime(1_800_000_000),
        actor: "obol://issuer/city",
        operation: "sign",
        key: [7; 32],
        class: "issuer",
        payload_type: "credential-claims",
        payload_hash: [u8::try_from(index % 256).unwrap(); 32],
        decision: Decision::Approved,
        policy_hash: Some([9; 32]),
        reason: "issuers sign credentials",
    };
    leaf.encode().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap().path();
        let to = to.join(item.file_name().unwrap());
        if item.is_dir() {
            copy(&item, &to);
        } else {
            fs::copy(&item, to).unwrap();
        }
    }
}

#[test]
fn a_good_log_is_found_good() {
    let desk = Desk::new();
    desk.grow(0, 20);
    let said = desk.done(&words(&desk.verify("log", &[])));
    assert_eq!(
        said,
        "good: 20 entries, 20 of them under the log's checkpoint, none of them under a witnessed one; 5 files compared\n"
    );
    let json = desk.done(&words(&desk.verify("log", &["--json"])));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["good"], true);
    assert_eq!(json["entries"], 20);
}

#[test]
fn a_copy_is_made_and_checked_while_the_log_grows() {
    let desk = Desk::new();
    desk.grow(0, 20);
    let key = desk.key();
    let copy = |out: &str| {
        let copy = ["copy", "--log", "log", "--key", &key, "--out", out];
        copy.map(str::to_owned)
    };
    let grown = std::sync::atomic::AtomicU64::new(20);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let growing = scope.spawn(|| {
            let log = desk.open();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let index = log.append(&leaf(log.size())).unwrap().index;
                log.checkpoint().unwrap();
                grown.store(index + 1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        for round in 0..10 {
            let least = grown.load(std::sync::atomic::Ordering::Relaxed);
            let out = format!("copy-{round}");
            let said = desk.done(&words(&copy(&out)));
            assert_eq!(said, desk.done(&words(&desk.verify(&out, &[]))));
            let entries = said.split(' ').nth(1).unwrap();
            assert!(entries.parse::<u64>().unwrap() >= least, "{said} {least}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        growing.join().unwrap();
    });
    assert_eq!(
        desk.refused(2, &words(&copy("copy-0"))),
        "error: copy-0 exists already"
    );
    assert_eq!(
        desk.refused(
            2,
            &["copy", "--log", "nowhere", "--key", &key, "--out", "x"]
        ),
        "error: nowhere is no folder"
    );
}

#[test]
fn a_log_that_was_set_back_is_found_against_the_witnessed_checkpoint() {
    let desk = Desk::new();
    let witness = desk.witness_key();
    desk.grow(0, 20);
    copy(&desk.path("log"), &desk.path("earlier"));
    desk.grow(20, 25);
    desk.done(&words(
        &desk.witness(&["--log", "log", "--out", "cosigned"]),
    ));

    let against = ["--witness", &witness, "--witnessed", "cosigned"];
    desk.done(&words(&desk.verify("log", &against)));
    desk.done(&words(&desk.verify("earlier", &[])));
    assert_eq!(
        desk.refused(1, &words(&desk.verify("earlier", &against))),
        "error: the log was rolled back: it has 20 entries, the checkpoint kept elsewhere covers 25"
    );
}

#[test]
fn a_changed_byte_is_located() {
    let desk = Desk::new();
    desk.grow(0, 300);
    let bundle = desk.path("log/tile/entries/000");
    let mut bytes = fs::read(&bundle).unwrap();
    let length = leaf(0).len() + 2;
    bytes[41 * length + 30] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let at = 41 * length + 2;
    assert_eq!(
        desk.refused(1, &words(&desk.verify("log", &[]))),
        format!("error: entry 41 was changed: tile/entries/000, from byte {at}")
    );
    let output = desk.audit(&words(&desk.verify("log", &["--json"])));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["good"], false);
    assert!(json["finding"].as_str().unwrap().contains("entry 41"));
}

#[test]
fn an_entry_is_proved_to_somebody_who_has_only_the_key() {
    let desk = Desk::new();
    desk.grow(0, 300);
    let key = desk.key();
    let prove = ["prove", "--log", "log", "--key", &key, "--index", "41"];
    let more = ["--out", "41.tlog-proof", "--entry", "41.entry"];
    desk.done(&[&prove[..], &more].concat());
    let check = [
        "check-proof",
        "--key",
        &key,
        "--proof",
        "41.tlog-proof",
        "--entry",
        "41.entry",
    ];
    let json = desk.done(&[&check[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["index"], &json["size"]), (&41.into(), &300.into()));
    assert_eq!(json["leaf"]["actor"], "obol://issuer/city");
    assert_eq!(json["leaf"]["payload_hash"], "29".repeat(32));

    let mut entry = fs::read(desk.path("41.entry")).unwrap();
    *entry.last_mut().unwrap() ^= 1;
    fs::write(desk.path("41.entry"), entry).unwrap();
    let refused = desk.refused(1, &check);
    assert!(
        refused.contains("41.tlog-proof proves nothing"),
        "{refused}"
    );
    let beyond = ["prove", "--log", "log", "--key", &key, "--index", "300"];
    assert_eq!(
        desk.refused(1, &beyond),
        "error: 300 does not lie in a log of 300 entries"
    );
}

#[test]
fn a_witness_cosigns_what_grows_and_refuses_what_shrinks_or_differs() {
    let desk = Desk::new();
    desk.witness_key();
    desk.grow(0, 20);
    let from_log = desk.witness(&["--log", "log", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&desk.done(&words(&from_log))).unwrap();
    assert_eq!(
        (&json["size"], &json["before"]),
        (&20.into(), &serde_json::Value::Null)
    );
    copy(&desk.path("log"), &desk.path("earlier"));

    // By file, for a witness that has no access to the log's folder.
    desk.grow(20, 30);
    let key = desk.key();
    let submit = [
        "submission",
        "--log",
        "log",
        "--key",
        &key,
        "--old",
        "20",
        "--out",
        "sent",
    ];
    desk.done(&submit);
    let from_file = desk.witness(&["--submission", "sent", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&desk.done(&words(&from_file))).unwrap();
    assert_eq!((&json["size"], &json["before"]), (&30.into(), &20.into()));
    let seen = fs::read(desk.path("seen")).unwrap();

    let shrunk = desk.witness(&["--log", "earlier"]);
    assert_eq!(
        desk.refused(1, &words(&shrunk)),
        "error: the log was rolled back: it has 20 entries where 30 were cosigned"
    );
    let twice = desk.witness(&["--submission", "sent"]);
    assert_eq!(
        desk.refused(1, &words(&twice)),
        "error: the proof starts at size 20; the last cosigned size is 30"
    );
    fs::remove_dir_all(desk.path("log")).unwrap();
    fs::create_dir(desk.path("log")).unwrap();
    let log = desk.open();
    for index in 100..140 {
        log.append(&leaf(index)).unwrap();
    }
    log.checkpoint().unwrap();
    drop(log);
    let rewritten = desk.witness(&["--log", "log"]);
    let refused = desk.refused(1, &words(&rewritten));
    assert!(
        refused.starts_with("error: the log does not continue the 30 entries that were cosigned"),
        "{refused}"
    );
    assert_eq!(fs::read(desk.path("seen")).unwrap(), seen);
}

#[test]
fn a_state_that_the_witness_did_not_write_is_refused() {
    let desk = Desk::new();
    desk.witness_key();
    desk.grow(0, 3);
    fs::copy(desk.path("log/checkpoint"), desk.path("seen")).unwrap();
    let refused = desk.refused(1, &words(&desk.witness(&["--log", "log"])));
    assert_eq!(
        refused,
        "error: seen is not a checkpoint that this witness has cosigned"
    );
}

#[test]
fn the_key_of_a_log_is_shown_from_its_public_key() {
    let desk = Desk::new();
    let public = desk.signer.secret.verifying_key();
    let pem = public.to_public_key_pem(LineEnding::LF).unwrap();
    fs::write(desk.path("audit.pem"), pem).unwrap();
    let shown = desk.done(&["key", "--name", ORIGIN, "--public", "audit.pem"]);
    assert_eq!(shown.trim(), desk.key());
}

#[test]
fn what_is_no_log_is_said_to_be_none() {
    let desk = Desk::new();
    let missing = desk.refused(2, &words(&desk.verify("nowhere", &[])));
    assert_eq!(missing, "error: nowhere is no folder");
    let empty = desk.refused(2, &words(&desk.verify("log", &[])));
    assert_eq!(
        empty,
        "error: the folder holds no log: neither a checkpoint nor a write-ahead file"
    );
}
