//! What stood around a ceremony: the tokens' records, and the audit log of the daemon that serves
//! them.

use std::fs;
use std::sync::Arc;

use obol_kms_audit::{AuditLog, CheckpointSigner, SignFailed, Trusted};
use obol_log::LogKey;
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use p256::pkcs8::EncodePublicKey;

use crate::world::{INITIALS, PIN, Ready, World, text};

const ORIGIN: &str = "kms.test/audit";

struct Key(SigningKey, LogKey);

impl Key {
    fn new(seed: u8) -> Key {
        let secret = SigningKey::from_slice(&[seed; 32]).unwrap();
        let spki = secret.verifying_key().to_public_key_der().unwrap();
        let public = LogKey::from_spki_der(ORIGIN, spki.as_bytes()).unwrap();
        Key(secret, public)
    }
}

impl CheckpointSigner for Key {
    fn key(&self) -> &LogKey {
        &self.1
    }

    fn sign(&self, text: &str) -> Result<[u8; 64], SignFailed> {
        let signature: Signature = self.0.sign(text.as_bytes());
        Ok(signature.to_bytes().into())
    }
}

/// Appends leaves, and publishes a checkpoint.
fn grow(world: &World, folder: &str, key: u8, leaves: u32) {
    fs::create_dir_all(world.path(folder)).unwrap();
    let key = Arc::new(Key::new(key));
    let log = AuditLog::open(&world.path(folder), ORIGIN, key, &Trusted::default()).unwrap();
    for number in 0..leaves {
        log.append(format!("entry {number}").as_bytes()).unwrap();
    }
    log.checkpoint().unwrap();
}

/// A key request at the online site, whose token a daemon with an audit log serves.
fn served() -> (World, Ready) {
    let world = World::new();
    world.token("online", "issuer");
    grow(&world, "log", 7, 3);
    let template = fs::read_to_string(world.template("issuer-key-request")).unwrap();
    fs::write(world.path("served.template"), template).unwrap();
    let fill = format!(
        "ceremony fill served.template --token issuer=issuer.token.toml --audit {} --out served.plan",
        Key::new(7).1.to_vkey()
    );
    world.done("online", &fill, "");
    world.rehearse("served", &["issuer"]);
    world.request("served", "online");
    let approvals = world.approvals("served", &["alice", "bob"]);
    let ready = Ready {
        name: "served".to_owned(),
        tokens: "--token issuer=issuer.token.toml --audit-log log".to_owned(),
        approvals,
    };
    (world, ready)
}

fn problems(world: &World) -> String {
    let shown = text(&world.verify("served.bundle").stdout);
    let problems = shown.lines().filter(|line| line.starts_with("PROBLEM "));
    problems.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_ceremony_stands_between_two_checkpoints_of_the_daemons_log_and_they_are_checked_again() {
    let (world, ready) = served();
    // The daemon signs while the ceremony is interrupted.
    let typed = format!("{PIN}\nyes\nalice\nwendy\n");
    world.refused("online", &ready.command(), &typed);
    grow(&world, "log", 7, 5);
    world.done(
        "online",
        &ready.resume(),
        &format!("{PIN}\n{}", INITIALS.repeat(3)),
    );
    let shown = world.holds("served.bundle");
    assert!(
        shown.contains("audit log kms.test/audit: 3 entries before, 8 after"),
        "{shown}"
    );
    assert!(
        shown.contains("token issuer: 0 ceremonies before this one"),
        "{shown}"
    );
    // Each byte of the signed texts counts: the transcript names the file, and the note says why.
    for name in ["audit/before", "audit/after"] {
        let path = world.path("served.bundle").join(name);
        let good = fs::read(&path).unwrap();
        for at in [0, good.len() / 2, good.len() - 20] {
            let mut bad = good.clone();
            bad[at] ^= 0x01;
            fs::write(&path, bad).unwrap();
            let found = problems(&world);
            assert!(
                found.contains(&format!("PROBLEM FILE_CHANGED in {name}")),
                "{found}"
            );
            assert!(
                found.contains("PROBLEM AUDIT_REFUSED in audit: "),
                "{found}"
            );
        }
        fs::write(&path, good).unwrap();
    }
    // The later in the place of the earlier.
    let before = world.path("served.bundle/audit/before");
    let after = text(&world.read("served.bundle/audit/after"));
    let (_, later) = after.split_once("\n\n").unwrap();
    fs::write(before, later).unwrap();
    let found = problems(&world);
    assert!(
        found.contains("the proof starts at size 3; the last cosigned size is 8"),
        "{found}"
    );
}

#[test]
fn a_log_that_is_not_given_not_planned_not_the_plans_or_rolled_back_stops_the_ceremony() {
    let (world, ready) = served();
    let typed = world.typed(&ready);
    let with = |change: &str| ready.command().replace("--audit-log log", change);
    let (error, help) = world.refused("online", &with(""), &typed);
    assert_eq!(
        error,
        "the plan names the audit log kms.test/audit, which is not given"
    );
    assert_eq!(
        help,
        "give --audit-log with the folder of that log, or of a copy of it"
    );
    grow(&world, "other", 8, 3);
    let (error, _) = world.refused("online", &with("--audit-log other"), &typed);
    assert!(
        error.starts_with("checkpoint: no signature by kms.test/audit"),
        "{error}"
    );
    assert!(!world.path("served.bundle").exists());
    assert!(world.keys("online", "issuer").is_empty());
    // Rolled back while it runs: it does not close.
    world.refused(
        "online",
        &ready.command(),
        &format!("{PIN}\nyes\nalice\nwendy\n"),
    );
    grow(&world, "short", 7, 1);
    let resume = ready
        .resume()
        .replace("--audit-log log", "--audit-log short");
    let rest = format!("{PIN}\n{}", INITIALS.repeat(3));
    let (error, _) = world.refused("online", &resume, &rest);
    assert!(
        error.contains("the log was rolled back: it has 1 entries where 3 were cosigned"),
        "{error}"
    );
    world.done("online", &ready.resume(), &rest);
    world.holds("served.bundle");
}

#[test]
fn an_audit_log_without_a_plan_that_names_it_is_refused() {
    let world = World::with_root_token();
    grow(&world, "log", 7, 1);
    let ready = world.root_ready();
    let command = format!("{} --audit-log log", ready.command());
    let (error, _) = world.refused("offline", &command, &world.typed(&ready));
    assert_eq!(error, "the plan names no audit log, and one is given");
    assert!(!world.path("root-generation.bundle").exists());
}

#[test]
fn each_ceremony_names_those_that_its_token_had_before() {
    let world = World::with_root_token();
    world.hold("root-generation", "offline", &["root"], &[]);
    let bundle = world.hold("first-revocation-list", "offline", &["root"], &["root.pem"]);
    let shown = world.holds(&bundle);
    assert!(
        shown.contains("token root: 1 ceremonies before this one"),
        "{shown}"
    );
    // What the first left is what the second found.
    assert_eq!(
        world.read("root-generation.bundle/tokens/root.after"),
        world.read("first-revocation-list.bundle/tokens/root.before"),
    );
}
