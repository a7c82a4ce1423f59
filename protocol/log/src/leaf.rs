//! The leaf of the audit log: who wanted what signed, and what was decided
//! (docs/spec/audit-log.md section 2).

use alloc::vec::Vec;
use core::convert::Infallible;

use minicbor::encode::{Encoder, Error};
use obol_credential::strict::Reader;
use obol_credential::{Malformed, UnixTime};

/// Longest leaf, bytes.
pub const LEAF_MAX: usize = 1024;
/// Longest text of a leaf, bytes; names are shorter still.
pub const TEXT_MAX: usize = 256;
const NAME_MAX: usize = 128;

const FORMAT_VERSION: u64 = 1;

const VERSION: i64 = 1;
const TIME: i64 = 2;
const ACTOR: i64 = 3;
const OPERATION: i64 = 4;
const KEY: i64 = 5;
const CLASS: i64 = 6;
const PAYLOAD_TYPE: i64 = 7;
const PAYLOAD_HASH: i64 = 8;
const DECISION: i64 = 9;
const POLICY_HASH: i64 = 10;
const REASON: i64 = 11;
const OF: i64 = 12;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be carried out; the leaf was durable before the key was used.
    Approved,
    /// It was refused, and no key was used.
    Denied,
    /// It was approved by the leaf at this index, but no signature left.
    Failed {
        /// Index of the leaf that approved it.
        of: u64,
    },
}

/// One entry. Its place in the tree is its sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// By the daemon's clock.
    pub time: UnixTime,
    /// Who asked: 1 to 128 bytes, such as `obol://issuer/city` or `uid:990`.
    pub actor: &'a str,
    /// What was asked: 1 to 128 bytes, such as `sign` or `activate`.
    pub operation: &'a str,
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub key: [u8; 32],
    /// The key's class, 1 to 128 bytes.
    pub class: &'a str,
    /// Type of the payload, 1 to 128 bytes.
    pub payload_type: &'a str,
    /// SHA-256 of the bytes to be signed.
    pub payload_hash: [u8; 32],
    /// What was decided.
    pub decision: Decision,
    /// Hash of the policy set that decided; absent when the request never reached the policy.
    pub policy_hash: Option<[u8; 32]>,
    /// Why, for people: at most 256 bytes.
    pub reason: &'a str,
}

type Sink = Encoder<Vec<u8>>;
type Written = Result<(), Error<Infallible>>;

impl<'a> Leaf<'a> {
    /// The deterministic encoding; `None` when a text is empty where it must not be, or too long.
    ///
    /// # Panics
    /// Never: a vector takes what it is given.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let names = [self.actor, self.operation, self.class, self.payload_type];
        let fits = names
            .iter()
            .all(|name| (1..=NAME_MAX).contains(&name.len()));
        if !fits || self.reason.len() > TEXT_MAX {
            return None;
        }
        let mut sink = Encoder::new(Vec::new());
        self.write(&mut sink)
            .expect("a vector takes what it is given");
        Some(sink.into_writer())
    }

    fn write(&self, sink: &mut Sink) -> Written {
        let policy: &[u8] = self.policy_hash.as_ref().map_or(&[], |hash| hash);
        let (decision, of) = match self.decision {
            Decision::Approved => (1, None),
            Decision::Denied => (2, None),
            Decision::Failed { of } => (3, Some(of)),
        };
        sink.map(11 + u64::from(of.is_some()))?;
        sink.i64(VERSION)?.u64(FORMAT_VERSION)?;
        sink.i64(TIME)?.u32(self.time.0)?;
        sink.i64(ACTOR)?.str(self.actor)?;
        sink.i64(OPERATION)?.str(self.operation)?;
        sink.i64(KEY)?.bytes(&self.key)?;
        sink.i64(CLASS)?.str(self.class)?;
        sink.i64(PAYLOAD_TYPE)?.str(self.payload_type)?;
        sink.i64(PAYLOAD_HASH)?.bytes(&self.payload_hash)?;
        sink.i64(DECISION)?.u64(decision)?;
        sink.i64(POLICY_HASH)?.bytes(policy)?;
        sink.i64(REASON)?.str(self.reason)?;
        if let Some(of) = of {
            sink.i64(OF)?.u64(of)?;
        }
        Ok(())
    }

    /// Reads a leaf.
    ///
    /// # Errors
    /// [`Malformed`] for more than 1 KiB and for anything but the deterministic encoding.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > LEAF_MAX {
            let (at, rule) = (LEAF_MAX, "leaf too long");
            return Err(Malformed { at, rule });
        }
        let mut reader = Reader::new(bytes);
        // Only a failed request names another leaf, so the number of entries says which it is.
        let refers = bytes.first() == Some(&0xac);
        reader.map(if refers { 12 } else { 11 })?;
        reader.key(VERSION)?;
        demand(&mut reader, "unknown version of the leaf", |r| {
            Ok((r.uint()? == FORMAT_VERSION).then_some(()))
        })?;
        reader.key(TIME)?;
        let time = UnixTime(reader.uint_as()?);
        let actor = name(&mut reader, ACTOR)?;
        let operation = name(&mut reader, OPERATION)?;
        reader.key(KEY)?;
        let key = *reader.bytes_exact()?;
        let class = name(&mut reader, CLASS)?;
        let payload_type = name(&mut reader, PAYLOAD_TYPE)?;
        reader.key(PAYLOAD_HASH)?;
        let payload_hash = *reader.bytes_exact()?;
        reader.key(DECISION)?;
        let decision = demand(&mut reader, "no such decision", |r| {
            Ok(match (r.uint()?, refers) {
                (1, false) => Some(Decision::Approved),
                (2, false) => Some(Decision::Denied),
                (3, true) => Some(Decision::Failed { of: 0 }),
                _ => None,
            })
        })?;
        reader.key(POLICY_HASH)?;
        let policy_hash = demand(&mut reader, "a policy hash has 0 or 32 bytes", |r| {
            let bytes = r.bytes()?;
            Ok(if bytes.is_empty() {
                Some(None)
            } else {
                bytes.try_into().ok().map(Some)
            })
        })?;
        reader.key(REASON)?;
        let reason = reader.text(TEXT_MAX)?;
        let decision = match decision {
            Decision::Failed { .. } => {
                reader.key(OF)?;
                Decision::Failed { of: reader.uint()? }
            }
            other => other,
        };
        reader.finish()?;
        Ok(Self {
            time,
            actor,
            operation,
            key,
            class,
            payload_type,
            payload_hash,
            decision,
            policy_hash,
            reason,
        })
    }
}

fn name<'a>(reader: &mut Reader<'a>, key: i64) -> Result<&'a str, Malformed> {
    reader.key(key)?;
    demand(reader, "a name must not be empty", |r| {
        let text = r.text(NAME_MAX)?;
        Ok((!text.is_empty()).then_some(text))
    })
}

fn demand<'a, T>(
    reader: &mut Reader<'a>,
    rule: &'static str,
    read: impl FnOnce(&mut Reader<'a>) -> Result<Option<T>, Malformed>,
) -> Result<T, Malformed> {
    let at = reader.position();
    read(reader)?.ok_or(Malformed { at, rule })
}
