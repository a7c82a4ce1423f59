//! The root of one closed business day of one book.

use std::convert::Infallible;

use minicbor::Encoder;
use obol_credential::Malformed;
use obol_credential::strict::Reader;

/// Longest name of a book, in bytes.
pub const BOOK_MAX: usize = 32;
/// What the signature is about; no other signed structure of the house begins like this.
const CONTEXT: &str = "obol ledger day";

/// What closes a day: the trial balance's hash, chained to the day before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayRoot {
    /// The book: 1 to [`BOOK_MAX`] of a-z, 0-9 and -.
    pub book: String,
    /// The business day, in days since 1970-01-01.
    pub business_day: u32,
    /// SHA-256 over the day's trial balance.
    pub trial_hash: [u8; 32],
    /// SHA-256 of the day root before; zeros for a book's first.
    pub previous_hash: [u8; 32],
}

impl DayRoot {
    /// Deterministic CBOR (RFC 8949 section 4.2.1): the bytes that are signed.
    ///
    /// # Panics
    /// Never: a vector takes what is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut sink = Encoder::new(Vec::new());
        self.write(&mut sink)
            .expect("a vector takes what is written");
        sink.into_writer()
    }

    fn write(
        &self,
        sink: &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<Infallible>> {
        sink.map(5)?;
        sink.u8(1)?.str(CONTEXT)?;
        sink.u8(2)?.str(&self.book)?;
        sink.u8(3)?.u32(self.business_day)?;
        sink.u8(4)?.bytes(&self.trial_hash)?;
        sink.u8(5)?.bytes(&self.previous_hash)?;
        Ok(())
    }

    /// Reads a day root.
    ///
    /// # Errors
    /// [`Malformed`] for anything but the deterministic encoding of exactly these members.
    pub fn decode(bytes: &[u8]) -> Result<DayRoot, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.map(5)?;
        reader.key(1)?;
        let at = reader.position();
        if reader.text(CONTEXT.len())? != CONTEXT {
            let rule = "not the root of a ledger's day";
            return Err(Malformed { at, rule });
        }
        reader.key(2)?;
        let at = reader.position();
        let book = reader.text(BOOK_MAX)?;
        if !crate::x509::is_name(book) {
            let rule = "a book's name is 1 to 32 of a-z, 0-9 and -";
            return Err(Malformed { at, rule });
        }
        reader.key(3)?;
        let business_day = reader.uint_as()?;
        reader.key(4)?;
        let trial_hash = *reader.bytes_exact()?;
        reader.key(5)?;
        let previous_hash = *reader.bytes_exact()?;
        reader.finish()?;
        Ok(DayRoot {
            book: book.to_owned(),
            business_day,
            trial_hash,
            previous_hash,
        })
    }
}
