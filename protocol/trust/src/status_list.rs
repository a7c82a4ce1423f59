//! Status lists: one bit for each credential of one issuer key and day
//! (draft-ietf-oauth-status-list sections 4.1 and 4.3; docs/spec/trust.md section 5).

use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;

use minicbor::encode::{Encoder, Error};
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use obol_credential::strict::Reader;
use obol_credential::{Kid, Malformed, STATUS_EPOCH_S, UnixTime};

/// Entries of the longest list: 2 MiB of bits.
pub const STATUS_LIST_BITS_MAX: usize = 1 << 24;
/// Bytes of the longest encoded list. Bits that no compression helps fit as well.
pub const STATUS_LIST_MAX: usize = STATUS_LIST_BITS_MAX / 8 + 4096;

const BITS: &str = "bits";
const LIST: &str = "lst";
const BITS_PER_ENTRY: u64 = 1;
/// zlib's best: the draft recommends it, and a list is made once and read by every terminal.
const LEVEL: u8 = 9;

/// Which list a credential is looked up in: its issuer key and the day it was issued on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusListId {
    /// The issuer key.
    pub kid: Kid,
    /// Days since 1970-01-01 of the credential's `iat`.
    pub epoch: u32,
}

impl StatusListId {
    /// The list of a credential that `kid` issued at `issued_at`.
    #[must_use]
    pub const fn of(kid: Kid, issued_at: UnixTime) -> Self {
        let epoch = issued_at.0 / STATUS_EPOCH_S;
        Self { kid, epoch }
    }
}

/// One bit for each index; a set one denies the credential that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusList {
    bits: Vec<u8>,
}

/// A list has 8 to 16 777 216 entries, a multiple of 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a status list of {0} entries, not a multiple of 8 from 8 to {STATUS_LIST_BITS_MAX}")]
pub struct StatusListSize(pub usize);

impl StatusList {
    /// A list of `entries` that denies nobody.
    ///
    /// # Errors
    /// [`StatusListSize`].
    pub fn empty(entries: usize) -> Result<Self, StatusListSize> {
        if entries == 0 || entries > STATUS_LIST_BITS_MAX || !entries.is_multiple_of(8) {
            return Err(StatusListSize(entries));
        }
        let bits = vec![0; entries / 8];
        Ok(Self { bits })
    }

    /// How many entries it has.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.bits.len() * 8
    }

    /// Denies the credential with `index`; `None` when the list has no such entry.
    #[must_use]
    pub fn deny(&mut self, index: u32) -> Option<()> {
        let byte = self.bits.get_mut(index as usize / 8)?;
        *byte |= 1 << (index % 8);
        Some(())
    }

    /// Whether the credential with `index` is denied; `None` when the list has no such entry.
    #[must_use]
    pub fn denies(&self, index: u32) -> Option<bool> {
        let byte = self.bits.get(index as usize / 8)?;
        Some(byte & 1 << (index % 8) != 0)
    }

    /// The bits as they are: entry n is bit n % 8, from the lowest, of byte n / 8.
    #[must_use]
    pub fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// How many credentials it denies.
    #[must_use]
    pub fn denied(&self) -> usize {
        self.bits
            .iter()
            .map(|byte| byte.count_ones() as usize)
            .sum()
    }

    /// CBOR `{"bits": 1, "lst": zlib}`, in the order of the draft's examples.
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
        sink.map(2)?.str(BITS)?.u64(BITS_PER_ENTRY)?;
        let compressed = compress_to_vec_zlib(&self.bits, LEVEL);
        sink.str(LIST)?.bytes(&compressed)?;
        Ok(())
    }

    /// Reads a list. Whatever the bytes say, at most [`STATUS_LIST_BITS_MAX`] / 8 bytes come out of
    /// the decompression.
    ///
    /// # Errors
    /// [`Malformed`] for anything but that CBOR in shortest forms, for entries of more than one bit,
    /// for zlib that is broken, has bytes behind it or gives no bit or more than the longest list.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let broken = |at, rule| Malformed { at, rule };
        if bytes.len() > STATUS_LIST_MAX {
            return Err(broken(STATUS_LIST_MAX, "longer than any status list"));
        }
        let mut reader = Reader::new(bytes);
        reader.map(2)?;
        member(&mut reader, BITS)?;
        let at = reader.position();
        if reader.uint()? != BITS_PER_ENTRY {
            return Err(broken(at, "entries are not of one bit"));
        }
        member(&mut reader, LIST)?;
        let at = reader.position();
        let compressed = reader.bytes()?;
        reader.finish()?;
        let bits = inflate(compressed).map_err(|rule| broken(at, rule))?;
        Ok(Self { bits })
    }
}

fn member(reader: &mut Reader<'_>, name: &'static str) -> Result<(), Malformed> {
    let at = reader.position();
    if reader.text(BITS.len())? == name {
        return Ok(());
    }
    let rule = "members are not bits and lst";
    Err(Malformed { at, rule })
}

fn inflate(compressed: &[u8]) -> Result<Vec<u8>, &'static str> {
    let most = STATUS_LIST_BITS_MAX / 8;
    let bits = decompress_to_vec_zlib_with_limit(compressed, most)
        .map_err(|_| "no zlib of at most 2 MiB of bits")?;
    if bits.is_empty() {
        return Err("a list without entries");
    }
    if trailing(compressed, bits.len())? {
        return Err("bytes behind the compressed list");
    }
    Ok(bits)
}

/// The library says nothing of bytes behind the stream, and two lists with the same bits must not
/// differ in what a careless reader makes of the rest: the stream is run once more and counted.
fn trailing(compressed: &[u8], len: usize) -> Result<bool, &'static str> {
    use miniz_oxide::inflate::TINFLStatus;
    use miniz_oxide::inflate::core::inflate_flags::{
        TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
    };
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
    let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut out = vec![0; len];
    let mut machine = DecompressorOxide::new();
    let (status, read, _) = decompress(&mut machine, compressed, &mut out, 0, flags);
    match status {
        TINFLStatus::Done => Ok(read != compressed.len()),
        _ => Err("no zlib of at most 2 MiB of bits"),
    }
}
