//! The bytes of a bundle: deterministic CBOR (docs/spec/trust.md section 1).

use alloc::vec::Vec;
use core::convert::Infallible;

use minicbor::encode::{Encoder, Error};
use obol_credential::strict::Reader;
use obol_credential::{Algorithm, Kid, Malformed, UnixTime};

use crate::bundle::{
    BUNDLE_MAX, ENTRIES_MAX, Entry, OPERATOR_MAX, TOO_LARGE, TrustBundle, UNSORTED, check_life,
};

const FORMAT_VERSION: u64 = 1;

const VERSION: i64 = 1;
const ISSUED_AT: i64 = 2;
const EXPIRES_AT: i64 = 3;
const ENTRIES: i64 = 4;

const KID: i64 = 1;
const ALGORITHM: i64 = 2;
const POINT: i64 = 3;
const NOT_BEFORE: i64 = 4;
const NOT_AFTER: i64 = 5;
const OPERATOR: i64 = 6;
const CLASSES: i64 = 7;
const CERTIFICATE: i64 = 8;

type Sink = Encoder<Vec<u8>>;
type Written = Result<(), Error<Infallible>>;

impl<'a> TrustBundle<'a> {
    /// The deterministic encoding.
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

    fn write(&self, sink: &mut Sink) -> Written {
        sink.map(4)?.i64(VERSION)?.u64(FORMAT_VERSION)?;
        sink.i64(ISSUED_AT)?.u32(self.issued_at.0)?;
        sink.i64(EXPIRES_AT)?.u32(self.expires_at.0)?;
        sink.i64(ENTRIES)?.array(self.entries.len() as u64)?;
        self.entries.iter().try_for_each(|entry| entry.write(sink))
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// [`Malformed`] for more than 64 KiB, for anything but the deterministic encoding, and when a
    /// rule of docs/spec/trust.md section 2 is broken.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > BUNDLE_MAX {
            return Err(Malformed {
                at: BUNDLE_MAX,
                rule: TOO_LARGE,
            });
        }
        let mut reader = Reader::new(bytes);
        reader.map(4)?;
        reader.key(VERSION)?;
        let at = reader.position();
        if reader.uint()? != FORMAT_VERSION {
            return Err(Malformed {
                at,
                rule: "unknown version of the trust bundle",
            });
        }
        reader.key(ISSUED_AT)?;
        let at = reader.position();
        let issued_at = UnixTime(reader.uint_as()?);
        reader.key(EXPIRES_AT)?;
        let expires_at = UnixTime(reader.uint_as()?);
        check_life(issued_at, expires_at).map_err(|rule| Malformed { at, rule })?;
        reader.key(ENTRIES)?;
        let entries = read_entries(&mut reader)?;
        reader.finish()?;
        Ok(Self {
            issued_at,
            expires_at,
            entries,
        })
    }
}

fn read_entries<'a>(reader: &mut Reader<'a>) -> Result<Vec<Entry<'a>>, Malformed> {
    let at = reader.position();
    let count = reader.array_up_to(ENTRIES_MAX as u64)?;
    if count == 0 {
        return Err(Malformed { at, rule: "no key" });
    }
    let mut entries: Vec<Entry<'a>> = Vec::new();
    for _ in 0..count {
        let at = reader.position();
        let entry = Entry::read(reader)?;
        entry.check().map_err(|rule| Malformed { at, rule })?;
        if entries.last().is_some_and(|before| before.kid >= entry.kid) {
            return Err(Malformed { at, rule: UNSORTED });
        }
        entries.push(entry);
    }
    Ok(entries)
}

impl<'a> Entry<'a> {
    fn write(&self, sink: &mut Sink) -> Written {
        sink.map(8)?.i64(KID)?.bytes(&self.kid.0)?;
        sink.i64(ALGORITHM)?.i32(self.algorithm.cose_id())?;
        sink.i64(POINT)?.bytes(self.point)?;
        sink.i64(NOT_BEFORE)?.u32(self.not_before.0)?;
        sink.i64(NOT_AFTER)?.u32(self.not_after.0)?;
        sink.i64(OPERATOR)?.str(self.operator)?;
        sink.i64(CLASSES)?.u32(self.classes)?;
        sink.i64(CERTIFICATE)?.bytes(self.certificate)?;
        Ok(())
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.map(8)?;
        reader.key(KID)?;
        let kid = Kid(*reader.bytes_exact()?);
        reader.key(ALGORITHM)?;
        let at = reader.position();
        let algorithm = Algorithm::from_cose_id(reader.int()?).ok_or(Malformed {
            at,
            rule: "algorithm is neither ESP384 nor ESP256",
        })?;
        reader.key(POINT)?;
        let point = reader.bytes()?;
        reader.key(NOT_BEFORE)?;
        let not_before = UnixTime(reader.uint_as()?);
        reader.key(NOT_AFTER)?;
        let not_after = UnixTime(reader.uint_as()?);
        reader.key(OPERATOR)?;
        let operator = reader.text(OPERATOR_MAX)?;
        reader.key(CLASSES)?;
        let classes = reader.uint_as()?;
        reader.key(CERTIFICATE)?;
        let certificate = reader.bytes()?;
        Ok(Self {
            kid,
            algorithm,
            point,
            not_before,
            not_after,
            operator,
            classes,
            certificate,
        })
    }
}
