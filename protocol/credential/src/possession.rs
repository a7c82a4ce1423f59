//! Proof that whoever asks for a credential holds its device key (docs/spec/pt1.md section 5).

use crate::{
    DeviceKey, Encoded, Malformed, UnixTime,
    cose::CONTEXT,
    encoded::{Sink, SinkError},
    strict::Reader,
};

/// Bytes of the longest proof.
pub const POSSESSION_MAX: usize = 1 + (1 + HEADER.len()) + 1 + (2 + PAYLOAD_MAX) + (2 + 64);
/// Bytes of the longest signature input of a proof.
pub const POSSESSION_SIGNATURE_INPUT_MAX: usize =
    1 + (1 + CONTEXT.len()) + (1 + HEADER.len()) + 1 + (2 + PAYLOAD_MAX);
const PAYLOAD_MAX: usize = 1 + (1 + 1 + AUDIENCE.len()) + (1 + 5) + (1 + 44) + (5 + 1 + 16);

/// `{1: -9}`: ESP256.
const HEADER: [u8; 3] = [0xa1, 0x01, 0x28];
const AUDIENCE: &str = "PT1-possession";
const AUD: i64 = 3;
const IAT: i64 = 6;
const CNF: i64 = 8;
const SUBJECT: i64 = -65_539;

/// What the device key signs once, before the issuer names it in a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Possession {
    /// The subject handle the credential is for.
    pub subject: [u8; 16],
    /// The device key, which also signs this.
    pub device_key: DeviceKey,
    /// When the phone made the proof; the issuer takes it for five minutes.
    pub issued_at: UnixTime,
}

/// The Sig_structure that the device key signs with ESP256.
///
/// # Panics
/// Never: the buffer is the size of the longest input.
#[must_use]
pub fn signature_input(possession: &Possession) -> Encoded<POSSESSION_SIGNATURE_INPUT_MAX> {
    let payload = possession.payload();
    Encoded::build(|sink| {
        sink.array(4)?
            .str(CONTEXT)?
            .bytes(&HEADER)?
            .bytes(&[])?
            .bytes(&payload)?;
        Ok(())
    })
    .expect("POSSESSION_SIGNATURE_INPUT_MAX holds the longest input")
}

/// Puts the proof together: an untagged COSE_Sign1. The signature is not verified.
///
/// # Panics
/// Never: the buffer is the size of the longest proof.
#[must_use]
pub fn encode(possession: &Possession, signature: &[u8; 64]) -> Encoded<POSSESSION_MAX> {
    let payload = possession.payload();
    Encoded::build(|sink| {
        sink.array(4)?
            .bytes(&HEADER)?
            .map(0)?
            .bytes(&payload)?
            .bytes(signature)?;
        Ok(())
    })
    .expect("POSSESSION_MAX holds the longest proof")
}

/// Reads a proof and its signature, which is the caller's to verify over [`signature_input`]
/// (the encoding is deterministic: the bytes are the same).
///
/// # Errors
/// [`Malformed`] for anything but the deterministic encoding.
pub fn decode(bytes: &[u8]) -> Result<(Possession, [u8; 64]), Malformed> {
    let mut reader = Reader::new(bytes);
    reader.array(4)?;
    let at = reader.position();
    if reader.bytes()? != HEADER {
        return Err(Malformed {
            at,
            rule: "header is not {1: -9}",
        });
    }
    reader.map(0)?;
    let possession = reader.embedded(Possession::read)?;
    let signature = *reader.bytes_exact()?;
    reader.finish()?;
    Ok((possession, signature))
}

impl Possession {
    fn payload(&self) -> Encoded<PAYLOAD_MAX> {
        Encoded::build(|sink| self.write(sink)).expect("PAYLOAD_MAX holds the longest payload")
    }

    fn write(&self, sink: &mut Sink<PAYLOAD_MAX>) -> Result<(), SinkError> {
        sink.map(4)?
            .i64(AUD)?
            .str(AUDIENCE)?
            .i64(IAT)?
            .u32(self.issued_at.0)?
            .i64(CNF)?;
        self.device_key.write_cnf(sink)?;
        sink.i64(SUBJECT)?.bytes(&self.subject)?;
        Ok(())
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.map(4)?;
        reader.key(AUD)?;
        let at = reader.position();
        if reader.text(AUDIENCE.len())? != AUDIENCE {
            return Err(Malformed {
                at,
                rule: "audience is not PT1-possession",
            });
        }
        reader.key(IAT)?;
        let issued_at = UnixTime(reader.uint_as()?);
        reader.key(CNF)?;
        let device_key = DeviceKey::read_cnf(&mut reader)?;
        reader.key(SUBJECT)?;
        let subject = *reader.bytes_exact()?;
        reader.finish()?;
        Ok(Self {
            subject,
            device_key,
            issued_at,
        })
    }
}
