//! The COSE_Sign1 (RFC 9052 section 4.2) around a segment.

use alloc::vec::Vec;
use core::convert::Infallible;

use minicbor::{Encoder, data::Tag, encode::Error};
use obol_credential::{Algorithm, Malformed, strict::Reader};

use crate::SpkiId;

const COSE_SIGN1: u64 = 18;
const CONTEXT: &str = "Signature1";
const ALG: i64 = 1;
const KID: i64 = 4;
const TYP: i64 = 16;
/// Keeps a terminal's signature on a segment from meaning anything else (RFC 9596).
const TYPE: &str = "application/vnd.obol.segment+cose";

/// A segment's envelope, its parts as they were received.
pub(crate) struct Envelope<'a> {
    pub(crate) kid: SpkiId,
    pub(crate) payload: &'a [u8],
    /// Offset of the payload in the envelope.
    pub(crate) payload_at: usize,
    pub(crate) signature: &'a [u8; 64],
    protected: &'a [u8],
}

impl<'a> Envelope<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.tag(COSE_SIGN1)?;
        reader.array(4)?;
        let (protected, kid) =
            reader.embedded(|protected| Ok((protected, read_header(protected)?)))?;
        reader.map(0)?;
        let payload = reader.bytes()?;
        let payload_at = reader.position() - payload.len();
        let signature = reader.bytes_exact()?;
        reader.finish()?;
        Ok(Self {
            kid,
            payload,
            payload_at,
            signature,
            protected,
        })
    }

    /// The bytes that the signature covers: the received ones, not encoded again.
    pub(crate) fn signature_input(&self) -> Vec<u8> {
        sig_structure(self.protected, self.payload)
    }
}

pub(crate) fn signature_input(kid: SpkiId, payload: &[u8]) -> Vec<u8> {
    sig_structure(&header(kid), payload)
}

pub(crate) fn assemble(kid: SpkiId, payload: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    built(|sink| {
        sink.tag(Tag::new(COSE_SIGN1))?.array(4)?;
        sink.bytes(&header(kid))?.map(0)?;
        sink.bytes(payload)?.bytes(signature)?;
        Ok(())
    })
}

fn sig_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    built(|sink| {
        sink.array(4)?.str(CONTEXT)?;
        sink.bytes(protected)?.bytes(&[])?.bytes(payload)?;
        Ok(())
    })
}

fn header(kid: SpkiId) -> Vec<u8> {
    built(|sink| {
        sink.map(3)?.i64(ALG)?.i32(Algorithm::Esp256.cose_id())?;
        sink.i64(KID)?.bytes(&kid.0)?;
        sink.i64(TYP)?.str(TYPE)?;
        Ok(())
    })
}

fn read_header(bytes: &[u8]) -> Result<SpkiId, Malformed> {
    let mut reader = Reader::new(bytes);
    reader.map(3)?;
    reader.key(ALG)?;
    let at = reader.position();
    let algorithm = Algorithm::from_cose_id(reader.int()?);
    demand(
        at,
        algorithm == Some(Algorithm::Esp256),
        "algorithm is not ESP256",
    )?;
    reader.key(KID)?;
    let kid = SpkiId(*reader.bytes_exact()?);
    reader.key(TYP)?;
    let at = reader.position();
    let is_segment = reader.text(TYPE.len())? == TYPE;
    demand(at, is_segment, "another type than a segment")?;
    reader.finish()?;
    Ok(kid)
}

fn demand(at: usize, holds: bool, rule: &'static str) -> Result<(), Malformed> {
    if holds {
        Ok(())
    } else {
        Err(Malformed { at, rule })
    }
}

/// What `write` writes into an empty buffer.
pub(crate) fn built(
    write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Result<(), Error<Infallible>>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Encoder::new(&mut bytes)).expect("writing to a Vec cannot fail");
    bytes
}
