use std::collections::BTreeMap;

use obol_pos_sdk::{
    Acknowledgement, AcknowledgementRefused, Epoch, JournalFile, SegmentSigner, Uplink,
    UploadError, Uploaded, repair, upload,
};
use obol_tap::{Head, RecordAcknowledgement, RecordStatus, TerminalKey, VerifiedSegment};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};

use crate::world::{EPOCH, T, World, name};

/// A platform that verifies each segment and keeps every record, and may be told to misbehave.
pub(crate) struct Platform {
    key: TerminalKey,
    records: BTreeMap<u64, (Vec<u8>, Head)>,
    pub(crate) fault: Fault,
    /// Records that came again with other bytes.
    pub(crate) conflicts: u64,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Keeps the records and loses the answer.
    AnswerLost,
    /// Answers for another journal.
    AnotherEpoch,
    /// Answers with a head of its own.
    AnotherHead,
    /// Claims to hold one record more than there is.
    Ahead,
    /// Finds other bytes at record 1.
    Conflict,
    /// Holds nothing and gives no reason.
    Idle,
}

impl Platform {
    pub(crate) fn new() -> (Self, SegmentSigner) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let platform = Self {
            key: TerminalKey::from_sec1(key.der_bytes()).unwrap(),
            records: BTreeMap::new(),
            fault: Fault::None,
            conflicts: 0,
        };
        let signer = SegmentSigner::from_pkcs8_pem(&key.serialize_pem()).unwrap();
        (platform, signer)
    }

    fn take(&mut self, segment: &VerifiedSegment) -> Vec<RecordAcknowledgement> {
        let mut statuses = Vec::new();
        for entry in segment.records() {
            let held = (entry.bytes.clone(), entry.head);
            let status = match self.records.insert(entry.record.seq, held.clone()) {
                Some(before) if before == held => RecordStatus::Duplicate,
                Some(_) => {
                    self.conflicts += 1;
                    RecordStatus::Conflict
                }
                None => RecordStatus::Accepted,
            };
            let seq = entry.record.seq;
            statuses.push(RecordAcknowledgement { seq, status });
        }
        statuses
    }
}

impl Platform {
    pub(crate) fn held(&self) -> Vec<u64> {
        self.records.keys().copied().collect()
    }

    /// The last record without a gap before it.
    fn watermark(&self) -> (u64, Head) {
        let without_gap = (1..)
            .zip(&self.records)
            .take_while(|(n, (seq, _))| n == *seq);
        let last = without_gap.last();
        let origin = (0, Head::origin(&name(), EPOCH));
        last.map_or(origin, |(seq, (_, (_, head)))| (seq, *head))
    }
}

impl Uplink for Platform {
    type Error = &'static str;

    fn send(&mut self, segment: &[u8]) -> Result<Acknowledgement, Self::Error> {
        let segment = VerifiedSegment::decode(segment, &self.key).unwrap();
        let origin = Head::origin(&name(), EPOCH);
        let refused = |status| Acknowledgement {
            epoch: EPOCH,
            watermark: 0,
            head: origin,
            records: vec![RecordAcknowledgement { seq: 1, status }],
        };
        match self.fault {
            Fault::Conflict => return Ok(refused(RecordStatus::Conflict)),
            Fault::Idle => return Ok(refused(RecordStatus::Accepted)),
            _ => {}
        }
        let records = self.take(&segment);
        let mut answer = Acknowledgement {
            epoch: EPOCH,
            watermark: self.watermark().0,
            head: self.watermark().1,
            records,
        };
        match self.fault {
            Fault::AnswerLost => return Err("connection reset"),
            Fault::AnotherEpoch => answer.epoch = Epoch([1; 8]),
            Fault::AnotherHead => answer.head = Head([1; 32]),
            Fault::Ahead => answer.watermark += 1,
            Fault::None | Fault::Conflict | Fault::Idle => {}
        }
        Ok(answer)
    }
}

#[test]
fn an_upload_moves_the_watermark_and_a_second_one_has_nothing_to_do() {
    let (mut platform, signer) = Platform::new();
    let mut world = World::with_rides(3);
    let journal = world.terminal().journal();
    let done = upload(journal, &signer, &mut platform).unwrap();
    assert_eq!(
        done,
        Uploaded {
            records: 3,
            watermark: 3
        }
    );
    let done = upload(journal, &signer, &mut platform).unwrap();
    assert_eq!(
        done,
        Uploaded {
            records: 0,
            watermark: 3
        }
    );
    assert_eq!(journal.records(1, 9).unwrap().len(), 3);

    let code = world.phone(9).code(T, 9);
    world.grant(&code, T);
    world.restart();
    let done = upload(world.terminal().journal(), &signer, &mut platform).unwrap();
    assert_eq!(
        done,
        Uploaded {
            records: 1,
            watermark: 4
        }
    );
}

/// Before its segment arrives, another process has uploaded everything.
struct Overtaken<'a> {
    platform: &'a mut Platform,
    journal: std::path::PathBuf,
    signer: &'a SegmentSigner,
}

impl Uplink for Overtaken<'_> {
    type Error = &'static str;

    fn send(&mut self, segment: &[u8]) -> Result<Acknowledgement, Self::Error> {
        let mut beside = JournalFile::open(&self.journal, &name()).unwrap();
        assert_eq!(
            upload(&mut beside, self.signer, self.platform)
                .unwrap()
                .records,
            3
        );
        self.platform.send(segment)
    }
}

#[test]
fn of_two_uploads_at_once_neither_fails_nor_moves_the_watermark_back() {
    let (mut platform, signer) = Platform::new();
    let mut world = World::with_rides(3);
    let mut overtaken = Overtaken {
        platform: &mut platform,
        journal: world.path(),
        signer: &signer,
    };
    let journal = world.terminal().journal();
    let done = upload(journal, &signer, &mut overtaken).unwrap();
    assert_eq!(done.watermark, 3);
    assert_eq!(journal.watermark().unwrap(), 3);
}

#[test]
fn a_lost_answer_is_made_up_for_by_the_same_upload_again() {
    let (mut platform, signer) = Platform::new();
    let mut world = World::with_rides(3);
    platform.fault = Fault::AnswerLost;
    let lost = upload(world.terminal().journal(), &signer, &mut platform).unwrap_err();
    assert!(matches!(lost, UploadError::Uplink { first_seq: 1, .. }));
    assert_eq!(world.terminal().journal().watermark().unwrap(), 0);

    // a ride between the two tries: the platform holds less than the second segment, not more
    let code = world.phone(9).code(T, 9);
    world.grant(&code, T);
    platform.fault = Fault::None;
    let done = upload(world.terminal().journal(), &signer, &mut platform).unwrap();
    assert_eq!(
        done,
        Uploaded {
            records: 4,
            watermark: 4
        }
    );
    assert_eq!(platform.records.len(), 4);
}

#[test]
fn an_acknowledgement_that_does_not_fit_the_journal_moves_nothing() {
    for fault in [
        Fault::AnotherEpoch,
        Fault::AnotherHead,
        Fault::Ahead,
        Fault::Conflict,
        Fault::Idle,
    ] {
        let (mut platform, signer) = Platform::new();
        let mut world = World::with_rides(2);
        platform.fault = fault;
        let refused = upload(world.terminal().journal(), &signer, &mut platform).unwrap_err();
        let UploadError::Refused(refused) = refused else {
            panic!("{refused}");
        };
        use AcknowledgementRefused as R;
        assert!(
            match fault {
                Fault::AnotherEpoch => matches!(refused, R::AnotherEpoch { .. }),
                Fault::AnotherHead => matches!(refused, R::AnotherHead { seq: 2, .. }),
                Fault::Ahead => matches!(refused, R::Ahead { found: 3, last: 2 }),
                Fault::Conflict => matches!(refused, R::Conflict { seq: 1 }),
                _ => matches!(
                    refused,
                    R::NoProgress {
                        expected: 1,
                        found: 0
                    }
                ),
            },
            "{refused}"
        );
        assert_eq!(world.terminal().journal().watermark().unwrap(), 0);
        world.restart();
        platform.fault = Fault::None;
        if fault != Fault::Conflict {
            let done = upload(world.terminal().journal(), &signer, &mut platform).unwrap();
            assert_eq!(done.watermark, 2);
        }
    }
}

#[test]
fn only_a_p256_key_signs_segments() {
    let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    for text in [
        other.serialize_pem().as_str(),
        "",
        "-----BEGIN PRIVATE KEY-----",
    ] {
        let refused = SegmentSigner::from_pkcs8_pem(text).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the terminal's key is not a P-256 private key in PKCS#8 PEM"
        );
    }
}

#[test]
fn behind_a_lost_record_the_others_reach_the_platform_once() {
    let (mut platform, signer) = Platform::new();
    let mut world = World::with_rides(6);
    let record = world.terminal().journal().records(4, 1).unwrap()[0]
        .record
        .encode();
    world.stop();
    let mut file = std::fs::read(world.path()).unwrap();
    while let Some(at) = file.windows(record.len()).position(|w| w == record) {
        file[at + 50..at + 90].fill(0);
    }
    std::fs::write(world.path(), &file).unwrap();
    assert_eq!(repair(&world.path(), &name()).unwrap().lost, [4]);
    world.restart();
    let journal = world.terminal().journal();
    let done = upload(journal, &signer, &mut platform).unwrap();
    assert_eq!((done.records, done.watermark), (5, 6));
    assert_eq!(platform.held(), [1, 2, 3, 5, 6]);
    let again = upload(journal, &signer, &mut platform).unwrap();
    assert_eq!(again.records, 0);
    let code = world.phone(60).code(T, 60);
    world.grant(&code, T);
    let done = upload(world.terminal().journal(), &signer, &mut platform).unwrap();
    assert_eq!((done.records, done.watermark), (1, 7));
    assert_eq!(platform.held(), [1, 2, 3, 5, 6, 7]);
}
