//! Which issuer keys are blocked at once (docs/spec/trust.md section 6).

use alloc::vec::Vec;
use core::convert::Infallible;

use minicbor::encode::{Encoder, Error};
use obol_credential::strict::Reader;
use obol_credential::{Kid, Malformed};

use crate::bundle::ENTRIES_MAX;

const FORMAT_VERSION: u64 = 1;
const VERSION: i64 = 1;
const KIDS: i64 = 2;

/// Issuer keys whose credentials are refused with KEY_SUSPENDED, ascending, each once, at most 64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuspendedKeys {
    kids: Vec<Kid>,
}

/// More kids than a bundle has keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} suspended keys, more than {ENTRIES_MAX}")]
pub struct TooManySuspended(pub usize);

impl SuspendedKeys {
    /// These kids; they are sorted, and one that is there twice counts once.
    ///
    /// # Errors
    /// [`TooManySuspended`].
    pub fn new(mut kids: Vec<Kid>) -> Result<Self, TooManySuspended> {
        kids.sort_unstable();
        kids.dedup();
        if kids.len() > ENTRIES_MAX {
            return Err(TooManySuspended(kids.len()));
        }
        Ok(Self { kids })
    }

    /// The kids, ascending.
    #[must_use]
    pub fn kids(&self) -> &[Kid] {
        &self.kids
    }

    /// Whether `kid` is suspended.
    #[must_use]
    pub fn contains(&self, kid: Kid) -> bool {
        self.kids.binary_search(&kid).is_ok()
    }

    /// Deterministic CBOR.
    ///
    /// # Panics
    /// Never: a vector takes what it is given.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut sink = Encoder::new(Vec::new());
        self.write(&mut sink)
            .expect("a vector takes what it is given");
        sink.into_writer()
    }

    fn write(&self, sink: &mut Encoder<Vec<u8>>) -> Result<(), Error<Infallible>> {
        sink.map(2)?.i64(VERSION)?.u64(FORMAT_VERSION)?;
        sink.i64(KIDS)?.array(self.kids.len() as u64)?;
        for kid in &self.kids {
            sink.bytes(&kid.0)?;
        }
        Ok(())
    }

    /// Reads the list.
    ///
    /// # Errors
    /// [`Malformed`] for anything but its deterministic encoding, for more than 64 kids, and for
    /// kids that do not ascend.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.map(2)?;
        reader.key(VERSION)?;
        let at = reader.position();
        if reader.uint()? != FORMAT_VERSION {
            let rule = "unknown version of the list of suspended keys";
            return Err(Malformed { at, rule });
        }
        reader.key(KIDS)?;
        let mut kids: Vec<Kid> = Vec::new();
        for _ in 0..reader.array_up_to(ENTRIES_MAX as u64)? {
            let at = reader.position();
            let kid = Kid(*reader.bytes_exact()?);
            if kids.last().is_some_and(|before| *before >= kid) {
                let rule = "kids are not ascending, each once";
                return Err(Malformed { at, rule });
            }
            kids.push(kid);
        }
        reader.finish()?;
        Ok(Self { kids })
    }
}
