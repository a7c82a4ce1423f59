use std::convert::Infallible;
use std::fmt;

use data_encoding::HEXLOWER;
use minicbor::Encoder;
use minicbor::encode::Error;
use obol_credential::strict::Reader;
use obol_credential::{Malformed, UnixTime};

use crate::class::Class;
use crate::clearance::Cleared;
use crate::machine::{Act, State, rule};
use crate::roster::RosterHash;
use crate::spki::SpkiId;

/// Longest statement, in bytes.
pub const STATEMENT_MAX: usize = 384;
/// What the signature is about; no other signed structure of the house begins like this.
const CONTEXT: &str = "obol key change";
/// Longest name of a class or a state.
const NAME_MAX: usize = 32;

/// Names one life of one registry: drawn when it is made, and again when it is restored from a
/// backup, so that no approval given to an earlier life counts in a later one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RegistryId(pub [u8; 16]);

/// What an officer signs: this key, from this state at this version to that state, until then
/// (docs/spec/key-registry.md section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The registry.
    pub registry: RegistryId,
    /// The roster that the officer stands on.
    pub roster: RosterHash,
    /// The key.
    pub spki: SpkiId,
    /// Its class.
    pub class: Class,
    /// Its state now.
    pub from: State,
    /// Its state afterwards.
    pub to: State,
    /// Its version now. A change raises it, so an approval is good for one change at most.
    pub version: u64,
    /// The last second in which the approval counts.
    pub not_after: UnixTime,
    /// For the activation of a key that terminals meet: what clears it.
    pub cleared: Option<Cleared>,
}

impl Statement {
    /// Deterministic CBOR (RFC 8949 section 4.2.1): the bytes that are signed.
    ///
    /// # Panics
    /// Never: a vector takes what is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut sink = Encoder::new(Vec::with_capacity(STATEMENT_MAX));
        self.write(&mut sink)
            .expect("a vector takes what is written");
        sink.into_writer()
    }

    fn write(&self, sink: &mut Encoder<Vec<u8>>) -> Result<(), Error<Infallible>> {
        sink.map(if self.cleared.is_some() { 10 } else { 9 })?;
        sink.u8(1)?.str(CONTEXT)?;
        sink.u8(2)?.bytes(&self.registry.0)?;
        sink.u8(3)?.bytes(&self.roster.0)?;
        sink.u8(4)?.bytes(&self.spki.0)?;
        sink.u8(5)?.str(self.class.name())?;
        sink.u8(6)?.str(self.from.name())?;
        sink.u8(7)?.str(self.to.name())?;
        sink.u8(8)?.u64(self.version)?;
        sink.u8(9)?.u32(self.not_after.0)?;
        if let Some(cleared) = self.cleared {
            sink.u8(10)?;
            cleared.write(sink)?;
        }
        Ok(())
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// [`Malformed`] for anything but the deterministic encoding of exactly these members.
    pub fn decode(bytes: &[u8]) -> Result<Statement, Malformed> {
        let mut reader = Reader::new(bytes);
        // The tenth member is there for activations alone, and is the last.
        let ten = bytes.first() == Some(&0xaa);
        reader.map(if ten { 10 } else { 9 })?;
        reader.key(1)?;
        let at = reader.position();
        if reader.text(CONTEXT.len())? != CONTEXT {
            let rule = "not about a change of a key";
            return Err(Malformed { at, rule });
        }
        reader.key(2)?;
        let registry = RegistryId(*reader.bytes_exact()?);
        reader.key(3)?;
        let roster = RosterHash(*reader.bytes_exact()?);
        reader.key(4)?;
        let spki = SpkiId(*reader.bytes_exact()?);
        reader.key(5)?;
        let class = named(&mut reader, "unknown class")?;
        reader.key(6)?;
        let from = named(&mut reader, "unknown state")?;
        reader.key(7)?;
        let to = named(&mut reader, "unknown state")?;
        reader.key(8)?;
        let version = reader.uint()?;
        reader.key(9)?;
        let not_after = UnixTime(reader.uint_as()?);
        let cleared = ten
            .then(|| cleared(&mut reader, class, from, to))
            .transpose()?;
        reader.finish()?;
        Ok(Statement {
            registry,
            roster,
            spki,
            class,
            from,
            to,
            version,
            not_after,
            cleared,
        })
    }
}

fn cleared(
    reader: &mut Reader<'_>,
    class: Class,
    from: State,
    to: State,
) -> Result<Cleared, Malformed> {
    reader.key(10)?;
    let at = reader.position();
    let activates = rule(from, to).is_some_and(|rule| rule.act == Act::Activate);
    if !activates || !class.met_by_terminals() {
        let rule = "clearance of a change that is asked none";
        return Err(Malformed { at, rule });
    }
    Cleared::read(reader)
}

fn named<T: std::str::FromStr>(
    reader: &mut Reader<'_>,
    rule: &'static str,
) -> Result<T, Malformed> {
    let at = reader.position();
    let name = reader.text(NAME_MAX)?;
    name.parse().map_err(|_| Malformed { at, rule })
}

impl fmt::Display for RegistryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for RegistryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn statement(version: u64, not_after: u32, from: State, to: State) -> Statement {
        Statement {
            registry: RegistryId([7; 16]),
            roster: RosterHash([8; 32]),
            spki: SpkiId([9; 32]),
            class: Class::Issuer,
            from,
            to,
            version,
            not_after: UnixTime(not_after),
            cleared: None,
        }
    }

    fn any_state() -> impl Strategy<Value = State> {
        proptest::sample::select(State::ALL)
    }

    proptest! {
        #[test]
        fn a_statement_reads_back_and_fits(
            version: u64, not_after: u32, from in any_state(), to in any_state(),
        ) {
            let statement = statement(version, not_after, from, to);
            let bytes = statement.encode();
            prop_assert!(bytes.len() <= STATEMENT_MAX);
            prop_assert_eq!(Statement::decode(&bytes), Ok(statement));
        }

        #[test]
        fn whatever_reads_is_the_one_encoding(bytes: Vec<u8>) {
            if let Ok(statement) = Statement::decode(&bytes) {
                prop_assert_eq!(statement.encode(), bytes);
            }
        }

        #[test]
        fn a_changed_byte_is_another_statement_or_none(at in 0usize..150, flip in 1u8..) {
            let good = statement(4, 1_800_000_000, State::Published, State::Active);
            let mut bytes = good.encode();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert_ne!(Statement::decode(&bytes), Ok(good));
        }
    }

    #[test]
    fn empty_cut_and_lengthened_statements_are_refused() {
        let bytes = statement(4, 5, State::Published, State::Active).encode();
        for cut in 0..bytes.len() {
            assert!(Statement::decode(&bytes[..cut]).is_err());
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        let trailing = Statement::decode(&longer).unwrap_err();
        assert_eq!(trailing.rule, "trailing bytes");
    }
}
