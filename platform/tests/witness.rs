//! The platform as a witness: what it remembers outlives it, and what does not continue it is refused.
#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use obol_log::witness::{Refusal, Submission};
use obol_log::{Checkpoint, Leaves, LogKey, Note, WitnessSigner, consistency_proof};
use obol_platform::{LogWitness, WitnessError};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use p256::pkcs8::EncodePublicKey;

const ORIGIN: &str = "kms.test/audit";

struct Town {
    folder: tempfile::TempDir,
    secret: SigningKey,
    log: LogKey,
}

impl Town {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = WitnessSigner::from_seed("platform.test/w1", &[9; 32]).unwrap();
        let file = folder.path().join("witness.key");
        fs::write(&file, key.to_text().as_bytes()).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let secret = SigningKey::from_slice(&[7; 32]).unwrap();
        let spki = secret.verifying_key().to_public_key_der().unwrap();
        let log = LogKey::from_spki_der(ORIGIN, spki.as_bytes()).unwrap();
        Self {
            folder,
            secret,
            log,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn witness(&self) -> Result<LogWitness, WitnessError> {
        let (key, state) = (self.path("witness.key"), self.path("witnessed"));
        LogWitness::open(&key, self.log.clone(), &state)
    }

    /// What the log submits at `size` after `old`, with leaves that differ by `history`.
    fn submission(&self, history: u8, old: u64, size: u64) -> Submission {
        let mut tree = Leaves::default();
        (0..size).for_each(|index| tree.push(&[history, u8::try_from(index).unwrap()]));
        let origin = ORIGIN.to_owned();
        let root = tree.root(size);
        let mut note = Note::new(Checkpoint { origin, size, root }.to_text()).unwrap();
        let signature: Signature = self.secret.sign(note.text().as_bytes());
        let raw: [u8; 64] = signature.to_bytes().into();
        note.sign(self.log.line(note.text(), &raw).unwrap());
        Submission {
            old_size: old,
            proof: consistency_proof(&tree, old.min(size), size).unwrap(),
            note,
        }
    }
}

#[test]
fn what_was_cosigned_outlives_the_service() {
    let town = Town::new();
    let first = town.submission(0, 0, 5);
    let line = town.witness().unwrap().cosign(first.clone(), 1_800_000_000);
    let mut note = first.note;
    note.sign(line.unwrap());
    let witness = town.witness().unwrap();
    assert_eq!(witness.public().verify(&note).unwrap().at, 1_800_000_000);
    assert_eq!(witness.seen().unwrap().unwrap().size, 5);
    witness
        .cosign(town.submission(0, 5, 9), 1_800_000_001)
        .unwrap();
    assert_eq!(town.witness().unwrap().seen().unwrap().unwrap().size, 9);
}

#[test]
fn a_log_that_was_set_back_or_rewritten_is_not_cosigned() {
    let town = Town::new();
    let witness = town.witness().unwrap();
    witness.cosign(town.submission(0, 0, 9), 1).unwrap();
    let back = witness.cosign(town.submission(0, 9, 5), 2);
    assert!(matches!(
        back,
        Err(WitnessError::Refused(Refusal::RolledBack {
            found: 5,
            seen: 9
        }))
    ));
    let other = witness.cosign(town.submission(1, 9, 12), 3);
    assert!(matches!(
        other,
        Err(WitnessError::Refused(Refusal::Inconsistent { seen: 9, .. }))
    ));
    assert_eq!(witness.seen().unwrap().unwrap().size, 9);
}

#[test]
fn a_memory_that_the_witness_did_not_write_is_refused() {
    let town = Town::new();
    let note = town.submission(0, 0, 3).note;
    fs::write(town.path("witnessed"), note.to_text()).unwrap();
    assert!(matches!(
        town.witness().map(drop),
        Err(WitnessError::State(_))
    ));
    fs::write(town.path("witness.key"), "no key").unwrap();
    assert!(matches!(
        town.witness().map(drop),
        Err(WitnessError::Key { .. })
    ));
}
