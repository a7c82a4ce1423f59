use alloc::vec::Vec;
use core::fmt;

use obol_credential::{Malformed, strict::Reader};

use crate::{
    Epoch, Head, RECORD_MAX, SpkiId, TERMINAL_NAME_MAX, TapRecord, TerminalKey, TerminalName,
    envelope::{self, Envelope, built},
    record::{read_seq, read_version},
};

/// Records of the fullest segment.
pub const SEGMENT_RECORDS_MAX: usize = 1000;

/// Bytes of the longest segment that anyone accepts.
pub const SEGMENT_MAX: usize = 1 << 20;

const VERSION: u64 = 1;
const HEAD_LEN: usize = 2 + 32;
const FRAME_MAX: usize = 256;
const LONGEST: usize = FRAME_MAX
    + (1 + 1 + (2 + TERMINAL_NAME_MAX) + 9 + 9 + HEAD_LEN + 3 + HEAD_LEN)
    + SEGMENT_RECORDS_MAX * (3 + RECORD_MAX);
const _: () = assert!(LONGEST <= SEGMENT_MAX);

/// A piece of a journal that a terminal is about to sign.
#[derive(Clone, Debug)]
pub struct UnsignedSegment {
    payload: Vec<u8>,
    last_seq: u64,
    last_head: Head,
}

impl UnsignedSegment {
    /// Takes the encoded records that follow `previous_head`, in order.
    ///
    /// # Errors
    /// [`SegmentRefusal`], the one that [`VerifiedSegment::decode`] would give: a terminal signs
    /// nothing that a platform would not read.
    pub fn new<R: AsRef<[u8]>>(
        terminal: &TerminalName,
        epoch: Epoch,
        first_seq: u64,
        previous_head: Head,
        records: &[R],
    ) -> Result<Self, SegmentRefusal> {
        let last_head = records
            .iter()
            .fold(previous_head, |head, record| head.then(record.as_ref()));
        let payload = built(|sink| {
            sink.array(7)?.u64(VERSION)?.str(terminal.as_str())?;
            sink.bytes(&epoch.0)?
                .u64(first_seq)?
                .bytes(&previous_head.0)?;
            sink.array(records.len() as u64)?;
            for record in records {
                sink.bytes(record.as_ref())?;
            }
            sink.bytes(&last_head.0)?;
            Ok(())
        });
        let content = Content::read(&payload)?;
        Ok(Self {
            last_seq: content.last_seq(),
            last_head,
            payload,
        })
    }

    /// Sequence number of the last record.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The head behind the last record.
    #[must_use]
    pub fn last_head(&self) -> Head {
        self.last_head
    }

    /// The Sig_structure (RFC 9052 section 4.4) that the terminal's key signs with ESP256; `kid`
    /// is that key's.
    #[must_use]
    pub fn signature_input(&self, kid: SpkiId) -> Vec<u8> {
        envelope::signature_input(kid, &self.payload)
    }

    /// The signed segment. The signature, r ‖ s, is not verified.
    #[must_use]
    pub fn assemble(&self, kid: SpkiId, signature: &[u8; 64]) -> Vec<u8> {
        envelope::assemble(kid, &self.payload, signature)
    }
}

/// A segment whose signature, chain and sequence hold. Comes from [`VerifiedSegment::decode`]
/// alone. Whether `previous_head` continues what the platform holds is the platform's to compare.
#[derive(Clone, Debug)]
pub struct VerifiedSegment {
    content: Content,
    key: SpkiId,
}

/// A record of a verified segment.
#[derive(Clone, Debug)]
pub struct SegmentRecord {
    /// The record.
    pub record: TapRecord,
    /// Its bytes as received, which the chain covers.
    pub bytes: Vec<u8>,
    /// The head behind it.
    pub head: Head,
}

/// Why a segment was refused. Nothing of a refused segment is used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentRefusal {
    /// More than [`SEGMENT_MAX`] bytes.
    TooLong {
        /// Bytes received.
        len: usize,
    },
    /// Not the deterministic encoding of docs/spec/tap.md.
    Malformed(Malformed),
    /// The `kid` is not the key that was given.
    AnotherKey {
        /// The `kid` found.
        found: SpkiId,
    },
    /// The signature does not verify.
    Signature,
    /// A segment without records.
    Empty,
    /// A record has another sequence number than its place in the segment gives it.
    Sequence {
        /// The number at this place.
        expected: u64,
        /// The number in the record.
        found: u64,
    },
    /// A record names another terminal than the segment.
    Terminal {
        /// The record.
        seq: u64,
    },
    /// A segment that begins with record 1 does not begin at the origin of its journal.
    Origin {
        /// The previous head found.
        found: Head,
    },
    /// The records do not lead from the previous head to the last one.
    Chain {
        /// The head the records lead to.
        computed: Head,
        /// The head the segment claims.
        claimed: Head,
    },
}

impl VerifiedSegment {
    /// Verifies and reads a segment: the signature over the received bytes first, then form,
    /// sequence and chain.
    ///
    /// # Errors
    /// [`SegmentRefusal`], the first rule that does not hold.
    pub fn decode(bytes: &[u8], key: &TerminalKey) -> Result<Self, SegmentRefusal> {
        if bytes.len() > SEGMENT_MAX {
            return Err(SegmentRefusal::TooLong { len: bytes.len() });
        }
        let envelope = Envelope::decode(bytes)?;
        if envelope.kid != key.id() {
            return Err(SegmentRefusal::AnotherKey {
                found: envelope.kid,
            });
        }
        if !key.holds(&envelope.signature_input(), envelope.signature) {
            return Err(SegmentRefusal::Signature);
        }
        let content = Content::read(envelope.payload).map_err(|refusal| match refusal {
            SegmentRefusal::Malformed(inner) => SegmentRefusal::Malformed(Malformed {
                at: envelope.payload_at + inner.at,
                ..inner
            }),
            other => other,
        })?;
        Ok(Self {
            content,
            key: key.id(),
        })
    }

    /// The terminal that signed.
    #[must_use]
    pub fn terminal(&self) -> &TerminalName {
        &self.content.terminal
    }

    /// The key that signed.
    #[must_use]
    pub fn key(&self) -> SpkiId {
        self.key
    }

    /// The journal.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.content.epoch
    }

    /// Sequence number of the first record.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.content.first_seq
    }

    /// Sequence number of the last record.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.content.last_seq()
    }

    /// The head before the first record.
    #[must_use]
    pub fn previous_head(&self) -> Head {
        self.content.previous_head
    }

    /// The head behind the last record.
    #[must_use]
    pub fn last_head(&self) -> Head {
        self.content.last_head
    }

    /// The records, at least one and at most [`SEGMENT_RECORDS_MAX`], without gaps.
    #[must_use]
    pub fn records(&self) -> &[SegmentRecord] {
        &self.content.records
    }
}

#[derive(Clone, Debug)]
struct Content {
    terminal: TerminalName,
    epoch: Epoch,
    first_seq: u64,
    previous_head: Head,
    records: Vec<SegmentRecord>,
    last_head: Head,
}

impl Content {
    fn read(payload: &[u8]) -> Result<Self, SegmentRefusal> {
        let mut reader = Reader::new(payload);
        reader.array(7)?;
        read_version(&mut reader)?;
        let terminal = TerminalName::read(&mut reader)?;
        let epoch = Epoch(*reader.bytes_exact()?);
        let first_seq = read_seq(&mut reader)?;
        let previous_head = Head(*reader.bytes_exact()?);
        let records = read_records(&mut reader, previous_head)?;
        let last_head = Head(*reader.bytes_exact()?);
        reader.finish()?;
        let content = Self {
            terminal,
            epoch,
            first_seq,
            previous_head,
            records,
            last_head,
        };
        content.check()?;
        Ok(content)
    }

    fn check(&self) -> Result<(), SegmentRefusal> {
        let last = self.records.last().ok_or(SegmentRefusal::Empty)?;
        let origin = Head::origin(&self.terminal, self.epoch);
        if self.first_seq == 1 && self.previous_head != origin {
            return Err(SegmentRefusal::Origin {
                found: self.previous_head,
            });
        }
        for (expected, entry) in (self.first_seq..).zip(&self.records) {
            let TapRecord { seq, terminal, .. } = &entry.record;
            if *seq != expected {
                return Err(SegmentRefusal::Sequence {
                    expected,
                    found: *seq,
                });
            }
            if *terminal != self.terminal {
                return Err(SegmentRefusal::Terminal { seq: *seq });
            }
        }
        if last.head != self.last_head {
            return Err(SegmentRefusal::Chain {
                computed: last.head,
                claimed: self.last_head,
            });
        }
        Ok(())
    }

    fn last_seq(&self) -> u64 {
        self.first_seq + (self.records.len() as u64 - 1)
    }
}

fn read_records(
    reader: &mut Reader<'_>,
    previous_head: Head,
) -> Result<Vec<SegmentRecord>, Malformed> {
    let count = reader.array_up_to(SEGMENT_RECORDS_MAX as u64)?;
    let mut head = previous_head;
    let mut records = Vec::new();
    for _ in 0..count {
        let (bytes, record) =
            reader.embedded(|bytes| Ok((bytes.to_vec(), TapRecord::decode(bytes)?)))?;
        head = head.then(&bytes);
        records.push(SegmentRecord {
            record,
            bytes,
            head,
        });
    }
    Ok(records)
}

impl From<Malformed> for SegmentRefusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl fmt::Display for SegmentRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len } => write!(f, "segment of {len} bytes, more than {SEGMENT_MAX}"),
            Self::Malformed(malformed) => write!(f, "segment malformed at {malformed}"),
            Self::AnotherKey { found } => write!(f, "segment names another key, {found}"),
            Self::Signature => f.write_str("the segment's signature does not verify"),
            Self::Empty => f.write_str("segment without records"),
            Self::Sequence { expected, found } => {
                write!(f, "record {found} stands where record {expected} belongs")
            }
            Self::Terminal { seq } => write!(f, "record {seq} names another terminal"),
            Self::Origin { found } => {
                write!(f, "record 1 follows {found}, not the origin of its journal")
            }
            Self::Chain { computed, claimed } => {
                write!(f, "the records lead to head {computed}, not to {claimed}")
            }
        }
    }
}

impl core::error::Error for SegmentRefusal {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        None
    }
}
