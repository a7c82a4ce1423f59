//! The witness cosigns what continues what it saw, and nothing else.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

use obol_log::witness::{Refusal, Submission, SubmissionError, judge};
use obol_log::{
    Checkpoint, CheckpointError, Leaves, LogKey, Note, NoteError, ProofRefused, SignatureRefused,
    VkeyError, WitnessKey, WitnessSigner, consistency_proof,
};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};

const ORIGIN: &str = "kms.test/audit";

struct Log {
    key: SigningKey,
    public: LogKey,
    tree: Leaves,
}

impl Log {
    fn new(size: u64) -> Self {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let mut spki = data_encoding::HEXLOWER
            .decode(b"3059301306072a8648ce3d020106082a8648ce3d030107034200")
            .unwrap();
        spki.extend_from_slice(key.verifying_key().to_sec1_point(false).as_bytes());
        let public = LogKey::from_spki_der(ORIGIN, &spki).unwrap();
        let mut tree = Leaves::default();
        (0..size).for_each(|index| tree.push(&index.to_be_bytes()));
        Self { key, public, tree }
    }

    fn note(&self, size: u64) -> Note {
        self.sign(&Checkpoint {
            origin: ORIGIN.to_owned(),
            size,
            root: self.tree.root(size),
        })
    }

    fn sign(&self, checkpoint: &Checkpoint) -> Note {
        let mut note = Note::new(checkpoint.to_text()).unwrap();
        let signature: Signature = self.key.sign(note.text().as_bytes());
        let raw = <[u8; 64]>::from(signature.to_bytes());
        note.sign(self.public.line(note.text(), &raw).unwrap());
        note
    }

    fn submission(&self, old_size: u64, size: u64) -> Submission {
        Submission {
            old_size,
            proof: consistency_proof(&self.tree, old_size, size).unwrap(),
            note: self.note(size),
        }
    }
}

fn witness() -> WitnessSigner {
    WitnessSigner::from_seed("platform.test/witness", &[9; 32]).unwrap()
}

#[test]
fn a_log_that_grows_is_cosigned_each_time() {
    let log = Log::new(20);
    let first = judge(&log.public, ORIGIN, None, log.submission(0, 5)).unwrap();
    let second = log.submission(5, 20);
    let seen = first.checkpoint().clone();
    let second = judge(&log.public, ORIGIN, Some(&seen), second).unwrap();
    let witness = witness();
    let mut note = second.note().clone();
    note.sign(second.cosign(&witness, 1_800_000_000));
    let read = Note::parse(note.to_text().as_bytes()).unwrap();
    assert_eq!(
        witness.public().verify(&read).map(|seen| seen.at),
        Ok(1_800_000_000)
    );
    assert_eq!(log.public.verify(&read), Ok(()));
}

#[test]
fn a_log_that_shrank_is_refused() {
    let log = Log::new(20);
    let seen = Checkpoint::parse(log.note(20).text()).unwrap();
    let refused = judge(&log.public, ORIGIN, Some(&seen), log.submission(5, 12));
    assert_eq!(
        refused,
        Err(Refusal::RolledBack {
            found: 12,
            seen: 20
        })
    );
}

#[test]
fn a_log_with_another_history_is_refused() {
    let log = Log::new(20);
    let seen = Checkpoint::parse(log.note(8).text()).unwrap();
    let mut forged = Log::new(0);
    (0..20_u64).for_each(|index| forged.tree.push(&(index ^ 3).to_be_bytes()));
    for size in [8, 20] {
        let refused = judge(&log.public, ORIGIN, Some(&seen), forged.submission(8, size));
        assert!(
            matches!(
                refused,
                Err(Refusal::Inconsistent {
                    seen: 8,
                    why: ProofRefused::Root { .. }
                })
            ),
            "{refused:?}"
        );
    }
}

#[test]
fn a_proof_from_another_size_is_refused() {
    let log = Log::new(20);
    let seen = Checkpoint::parse(log.note(8).text()).unwrap();
    assert_eq!(
        judge(&log.public, ORIGIN, Some(&seen), log.submission(0, 20)),
        Err(Refusal::OldSize {
            found: 0,
            expected: 8
        })
    );
    assert_eq!(
        judge(&log.public, ORIGIN, None, log.submission(8, 20)),
        Err(Refusal::OldSize {
            found: 8,
            expected: 0
        })
    );
}

#[test]
fn a_checkpoint_that_the_log_did_not_sign_is_refused() {
    let log = Log::new(4);
    let mut submission = log.submission(0, 4);
    submission.note = Note::new(submission.note.text().to_owned()).unwrap();
    let (name, key_id) = (ORIGIN.to_owned(), log.public.key_id());
    assert_eq!(
        judge(&log.public, ORIGIN, None, submission),
        Err(Refusal::Signature(SignatureRefused::Missing {
            name,
            key_id
        }))
    );
}

#[test]
fn a_checkpoint_of_another_log_is_refused() {
    let log = Log::new(4);
    assert_eq!(
        judge(&log.public, "other.test/log", None, log.submission(0, 4)),
        Err(Refusal::Origin {
            found: ORIGIN.to_owned(),
            expected: "other.test/log".to_owned()
        })
    );
}

#[test]
fn a_submission_is_read_back_and_a_damaged_one_is_refused() {
    let log = Log::new(20);
    let submission = log.submission(5, 20);
    let text = submission.to_text();
    assert_eq!(Submission::parse(text.as_bytes()), Ok(submission));
    for (from, to) in [("old 5", "old 05"), ("old 5", "5"), ("\n\n", "\n \n")] {
        let damaged = text.replacen(from, to, 1);
        let refused = Submission::parse(damaged.as_bytes());
        assert!(
            matches!(
                refused,
                Err(SubmissionError::Head | SubmissionError::Note(_))
            ),
            "{to:?}: {refused:?}"
        );
    }
    let long = format!("old 5\n{}{}", "AAAA\n".repeat(64), "\nx\n");
    assert_eq!(
        Submission::parse(long.as_bytes()),
        Err(SubmissionError::TooLong(64))
    );
}

#[test]
fn a_witness_key_is_read_back_from_its_file() {
    let signer = witness();
    let read = WitnessSigner::from_text(&signer.to_text()).unwrap();
    assert_eq!(read.public(), signer.public());
    let vkey = signer.public().to_vkey();
    assert_eq!(WitnessKey::from_vkey(&vkey).as_ref(), Ok(signer.public()));
    assert_eq!(
        WitnessSigner::from_text(&vkey).map(|_| ()),
        Err(VkeyError::Shape)
    );
    assert_eq!(
        LogKey::from_vkey(&vkey),
        Err(VkeyError::Type {
            found: 4,
            expected: 2
        })
    );
    assert!(!format!("{signer:?}").contains("0909"));
}

#[test]
fn a_key_id_that_does_not_belong_to_its_key_is_refused() {
    let key = Log::new(0).public;
    let vkey = key
        .to_vkey()
        .replacen(&key.key_id().to_string(), "00000000", 1);
    assert_eq!(
        LogKey::from_vkey(&vkey),
        Err(VkeyError::KeyId {
            found: obol_log::KeyId([0; 4]),
            expected: key.key_id()
        })
    );
}

#[test]
fn a_signature_that_does_not_verify_makes_no_line() {
    let log = Log::new(1);
    assert_eq!(log.public.line(log.note(1).text(), &[1; 64]), None);
}

#[test]
fn malformed_notes_and_checkpoints_are_told_apart() {
    let parse = |text: &str| Note::parse(text.as_bytes()).map(|_| ());
    let line = "\u{2014} a AAAAAAA=\n";
    assert_eq!(parse(&format!("t\n\n{line}")), Ok(()));
    assert_eq!(parse(&format!("t\n{line}")), Err(NoteError::Shape));
    assert_eq!(parse(&format!("\n\n{line}")), Err(NoteError::Shape));
    assert_eq!(
        parse("t\n\n- a AAAAAAA=\n"),
        Err(NoteError::Line { line: 1 })
    );
    assert_eq!(
        parse(&format!("t\n\n{line}\u{2014} a AAAAAB=\n")),
        Err(NoteError::Line { line: 2 })
    );
    assert_eq!(
        parse(&format!("t\r\n\n{line}")),
        Err(NoteError::Control { at: 1 })
    );
    assert_eq!(Note::parse(b"t\n\xff"), Err(NoteError::NotUtf8 { at: 2 }));
    assert_eq!(
        parse(&format!("t\n\n{}", line.repeat(65))),
        Err(NoteError::TooManySignatures(65))
    );
    let root = "A".repeat(43) + "=";
    for (text, error) in [
        (format!("o\n1\n{root}\n\nx\n"), CheckpointError::Lines),
        (format!("o\n1\n{root}"), CheckpointError::Lines),
        (format!("o\n01\n{root}\n"), CheckpointError::Size),
        (format!("o\n+1\n{root}\n"), CheckpointError::Size),
        ("o\n1\nAAAA\n".to_owned(), CheckpointError::Root),
        (
            format!("{}\n1\n{root}\n", "o".repeat(256)),
            CheckpointError::Origin(256),
        ),
    ] {
        assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
    }
}
