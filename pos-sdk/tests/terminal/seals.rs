//! Segments under the terminal's signature.

use std::cell::Cell;

use obol_pos_sdk::{
    JournalError, KeyFault, SealError, Sealing, Seals, SegmentKey, SegmentSigner, UploadError,
    upload,
};
use obol_tap::{SpkiId, TerminalKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};

use crate::upload::{Fault, Platform};
use crate::world::World;

fn key() -> (SegmentSigner, TerminalKey) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let public = TerminalKey::from_sec1(key.der_bytes()).unwrap();
    let signer = SegmentSigner::from_pkcs8_pem(&key.serialize_pem()).unwrap();
    (signer, public)
}

/// A token that is not always there.
struct Token {
    inner: SegmentSigner,
    works: Cell<bool>,
}

impl SegmentKey for Token {
    fn id(&self) -> SpkiId {
        self.inner.id()
    }

    fn sign(&self, input: &[u8]) -> Result<[u8; 64], KeyFault> {
        match self.works.get() {
            true => self.inner.sign(input),
            false => Err(KeyFault("C_Sign: CKR_DEVICE_REMOVED".into())),
        }
    }
}

#[test]
fn a_rewritten_journal_is_told_by_its_seals() {
    let mut world = World::with_rides(6);
    let (signer, public) = key();
    let journal = world.terminal().journal();
    assert_eq!(journal.seal(&signer, Sealing::Full).unwrap(), 0);
    assert_eq!(journal.seal(&signer, Sealing::All).unwrap(), 1);
    assert_eq!(journal.seal(&signer, Sealing::All).unwrap(), 0);
    let good = Seals {
        good: 1,
        of_another_key: 0,
    };
    assert_eq!(journal.check_seals(&public).unwrap(), good);
    let strange = journal.check_seals(&key().1).unwrap();
    assert_eq!((strange.good, strange.of_another_key), (0, 1));
    world.stop();
    world.rewrite_fare_of_record(6);
    world.restart();
    let journal = world.terminal().journal();
    assert_eq!(
        journal.check().unwrap(),
        6,
        "the chain follows, as whoever rewrote it saw to"
    );
    let refused = journal.check_seals(&public).unwrap_err();
    let what = "its segment is not as it was sealed";
    assert!(
        matches!(refused, JournalError::Damaged { seq: 1, what: found, .. } if found == what),
        "{refused}"
    );
}

#[test]
fn a_segment_whose_answer_was_lost_is_sent_again_byte_for_byte_and_newer_rides_after_it() {
    let (mut platform, signer) = Platform::new();
    let mut world = World::with_rides(3);
    platform.fault = Fault::AnswerLost;
    let journal = world.terminal().journal();
    upload(journal, &signer, &mut platform).unwrap_err();
    let first = journal.next_sealed(signer.id()).unwrap().unwrap();
    assert_eq!((first.first_seq, first.last_seq), (1, 3));
    let code = world.phone(50).code(crate::world::T, 50);
    world.grant(&code, crate::world::T);
    world.restart();
    let journal = world.terminal().journal();
    assert_eq!(journal.next_sealed(signer.id()).unwrap(), Some(first));
    platform.fault = Fault::None;
    let done = upload(journal, &signer, &mut platform).unwrap();
    assert_eq!((done.records, done.watermark), (4, 4));
}

#[test]
fn a_key_that_does_not_sign_loses_nothing_and_a_new_key_seals_again() {
    let (mut platform, signer) = Platform::new();
    let mut world = World::with_rides(3);
    let token = Token {
        inner: signer,
        works: Cell::new(false),
    };
    let journal = world.terminal().journal();
    let refused = upload(journal, &token, &mut platform).unwrap_err();
    assert!(
        matches!(refused, UploadError::Seal(SealError::Key(_))),
        "{refused}"
    );
    let (stolen, _) = key();
    assert_eq!(journal.seal(&stolen, Sealing::All).unwrap(), 1);
    token.works.set(true);
    let done = upload(journal, &token, &mut platform).unwrap();
    assert_eq!((done.records, done.watermark), (3, 3));
}
