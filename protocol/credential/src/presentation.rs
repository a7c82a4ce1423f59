use crate::{
    CREDENTIAL_MAX, Credential, Encoded, Malformed, UnixTime,
    claims::expect_int,
    cose::CONTEXT,
    encoded::{Sink, SinkError},
    strict::Reader,
};

/// Bytes of the longest presentation: what a QR code of version 13-M carries as base45 behind
/// the prefix.
pub const PRESENTATION_MAX: usize = 319;

const OUTER_HEADER_MAX: usize = 1 + (1 + 1) + (1 + CREDENTIAL_MAX) + (1 + 3);
const DYNAMIC_MAX: usize = 1 + (1 + 1 + AUDIENCE.len()) + (1 + 5) + (1 + 1 + 4) + (5 + 5);
const LONGEST: usize = 1 + (2 + OUTER_HEADER_MAX) + 1 + (2 + DYNAMIC_MAX) + (2 + 64);
const _: () = assert!(
    LONGEST <= PRESENTATION_MAX,
    "the byte budget of docs/spec/pt1.md is spent"
);

/// Bytes of the longest signature input of a presentation.
pub const PRESENTATION_SIGNATURE_INPUT_MAX: usize =
    1 + (1 + CONTEXT.len()) + (2 + OUTER_HEADER_MAX) + 1 + (2 + DYNAMIC_MAX);

/// The audience of every PT1 presentation.
pub const AUDIENCE: &str = "P1";

const AUDIENCE_MAX: usize = 16;
const ALG: i64 = 1;
const KCWT: i64 = 13;
const TYP: i64 = 16;
/// Media type of a key binding token with a CWT inside (docs/spec/pt1.md section 2).
const TYP_VALUE: u16 = 294;
const ESP256: i8 = -9;
const AUD: i64 = 3;
const IAT: i64 = 6;
const NONCE: i64 = 7;
const COUNTER: i64 = -65_538;

/// Four random bytes, fresh for each boarding code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub [u8; 4]);

/// The part that changes with every boarding code, signed by the device key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dynamic {
    /// `iat` (6): when the phone made the code.
    pub issued_at: UnixTime,
    /// `nonce` (7).
    pub nonce: Nonce,
    /// Private claim -65538: how many codes this device key has signed, this one included.
    pub counter: u32,
}

/// The bytes of a boarding code: an untagged COSE_Sign1 by the device key whose protected header
/// carries the credential (RFC 9528 `kcwt`). Decoding checks the form, not the signatures.
#[derive(Clone, Copy, Debug)]
pub struct Presentation<'a> {
    bytes: &'a [u8],
    protected: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8; 64],
    credential: Credential<'a>,
    audience: &'a str,
    dynamic: Dynamic,
}

impl<'a> Presentation<'a> {
    /// Reads a presentation.
    ///
    /// # Errors
    /// [`Malformed`] for more than 319 bytes and for anything but the deterministic encoding of
    /// docs/spec/pt1.md section 2.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > PRESENTATION_MAX {
            return Err(Malformed {
                at: PRESENTATION_MAX,
                rule: "longer than 319 bytes",
            });
        }
        let mut reader = Reader::new(bytes);
        reader.array(4)?;
        let (protected, credential) =
            reader.embedded(|protected| Ok((protected, read_outer_header(protected)?)))?;
        reader.map(0)?;
        let (payload, (audience, dynamic)) =
            reader.embedded(|payload| Ok((payload, read_dynamic(payload)?)))?;
        let signature = reader.bytes_exact()?;
        reader.finish()?;
        Ok(Self {
            bytes,
            protected,
            payload,
            signature,
            credential,
            audience,
            dynamic,
        })
    }

    /// The bytes it was read from.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The credential it presents.
    #[must_use]
    pub fn credential(&self) -> &Credential<'a> {
        &self.credential
    }

    /// `aud`; a verifier accepts [`AUDIENCE`] alone.
    #[must_use]
    pub fn audience(&self) -> &'a str {
        self.audience
    }

    /// Time, nonce and counter.
    #[must_use]
    pub fn dynamic(&self) -> &Dynamic {
        &self.dynamic
    }

    /// The device key's signature r ‖ s.
    #[must_use]
    pub fn signature(&self) -> &'a [u8; 64] {
        self.signature
    }

    /// The bytes that the device key's signature covers: the received ones, not re-encoded.
    #[must_use]
    pub fn signature_input(&self) -> Encoded<PRESENTATION_SIGNATURE_INPUT_MAX> {
        signature_input(self.protected, self.payload)
            .expect("both parts were read from a presentation, so they fit")
    }
}

/// The Sig_structure (RFC 9052 section 4.4) that the device key signs with ESP256.
///
/// # Errors
/// [`Malformed`] when `credential` is longer than any credential.
pub fn presentation_signature_input(
    credential: &[u8],
    dynamic: &Dynamic,
) -> Result<Encoded<PRESENTATION_SIGNATURE_INPUT_MAX>, Malformed> {
    signature_input(&outer_header(credential)?, &dynamic.encode())
}

/// Puts a presentation together from a credential and the device key's signature over
/// [`presentation_signature_input`].
///
/// # Errors
/// [`Malformed`] when `credential` is not a credential. No signature is verified.
pub fn assemble_presentation(
    credential: &[u8],
    dynamic: &Dynamic,
    signature: &[u8; 64],
) -> Result<Encoded<PRESENTATION_MAX>, Malformed> {
    let header = outer_header(credential)?;
    let encoded = Encoded::build(|sink| {
        sink.array(4)?
            .bytes(&header)?
            .map(0)?
            .bytes(&dynamic.encode())?
            .bytes(signature)?;
        Ok(())
    })
    .map_err(|_| TOO_LONG)?;
    Presentation::decode(&encoded)?;
    Ok(encoded)
}

const TOO_LONG: Malformed = Malformed {
    at: 0,
    rule: "credential too long",
};

impl Dynamic {
    fn encode(&self) -> Encoded<DYNAMIC_MAX> {
        Encoded::build(|sink| self.write(sink)).expect("DYNAMIC_MAX holds the longest dynamic part")
    }

    fn write(&self, sink: &mut Sink<DYNAMIC_MAX>) -> Result<(), SinkError> {
        sink.map(4)?
            .i64(AUD)?
            .str(AUDIENCE)?
            .i64(IAT)?
            .u32(self.issued_at.0)?;
        sink.i64(NONCE)?
            .bytes(&self.nonce.0)?
            .i64(COUNTER)?
            .u32(self.counter)?;
        Ok(())
    }
}

fn signature_input(
    protected: &[u8],
    payload: &[u8],
) -> Result<Encoded<PRESENTATION_SIGNATURE_INPUT_MAX>, Malformed> {
    Encoded::build(|sink| {
        sink.array(4)?
            .str(CONTEXT)?
            .bytes(protected)?
            .bytes(&[])?
            .bytes(payload)?;
        Ok(())
    })
    .map_err(|_| TOO_LONG)
}

fn outer_header(credential: &[u8]) -> Result<Encoded<OUTER_HEADER_MAX>, Malformed> {
    Encoded::build(|sink| {
        sink.map(3)?.i64(ALG)?.i8(ESP256)?.i64(KCWT)?;
        minicbor::encode::Write::write_all(sink.writer_mut(), credential)
            .map_err(minicbor::encode::Error::write)?;
        sink.i64(TYP)?.u16(TYP_VALUE)?;
        Ok(())
    })
    .map_err(|_| TOO_LONG)
}

fn read_outer_header(bytes: &[u8]) -> Result<Credential<'_>, Malformed> {
    let mut reader = Reader::new(bytes);
    reader.map(3)?;
    reader.key(ALG)?;
    expect_int(
        &mut reader,
        i64::from(ESP256),
        "device algorithm is not ESP256",
    )?;
    reader.key(KCWT)?;
    let credential = Credential::read(bytes, &mut reader)?;
    reader.key(TYP)?;
    expect_int(&mut reader, i64::from(TYP_VALUE), "typ is not 294")?;
    reader.finish()?;
    Ok(credential)
}

fn read_dynamic(bytes: &[u8]) -> Result<(&str, Dynamic), Malformed> {
    let mut reader = Reader::new(bytes);
    reader.map(4)?;
    reader.key(AUD)?;
    let audience = reader.text(AUDIENCE_MAX)?;
    reader.key(IAT)?;
    let issued_at = UnixTime(reader.uint_as()?);
    reader.key(NONCE)?;
    let nonce = Nonce(*reader.bytes_exact()?);
    reader.key(COUNTER)?;
    let counter = reader.uint_as()?;
    reader.finish()?;
    Ok((
        audience,
        Dynamic {
            issued_at,
            nonce,
            counter,
        },
    ))
}
