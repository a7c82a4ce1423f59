use core::fmt;

use crate::{
    CLAIMS_MAX, Claims, Encoded, Malformed,
    encoded::{Sink, SinkError},
    strict::Reader,
};

/// Bytes of the longest credential.
pub const CREDENTIAL_MAX: usize = 1 + 1 + (1 + HEADER_MAX) + 1 + (2 + CLAIMS_MAX) + (2 + 96);
const HEADER_MAX: usize = 1 + 1 + 2 + 1 + 1 + 4;

/// Bytes of the longest signature input of a credential.
pub const CREDENTIAL_SIGNATURE_INPUT_MAX: usize =
    1 + CONTEXT_LEN + (1 + HEADER_MAX) + 1 + (2 + CLAIMS_MAX);
const CONTEXT_LEN: usize = 1 + CONTEXT.len();

pub(crate) const CONTEXT: &str = "Signature1";
const COSE_SIGN1: u64 = 18;
const ALG: i64 = 1;
const KID: i64 = 4;

/// Signature algorithm of an issuer key, a fully specified COSE algorithm (RFC 9864).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256, COSE -9.
    Esp256,
    /// ECDSA on P-384 with SHA-384, COSE -51.
    Esp384,
}

impl Algorithm {
    /// The identifier in the IANA COSE registry.
    #[must_use]
    pub const fn cose_id(self) -> i32 {
        match self {
            Self::Esp256 => -9,
            Self::Esp384 => -51,
        }
    }

    /// The algorithm of a COSE identifier.
    #[must_use]
    pub fn from_cose_id(id: i64) -> Option<Self> {
        [Self::Esp256, Self::Esp384]
            .into_iter()
            .find(|alg| i64::from(alg.cose_id()) == id)
    }

    /// Bytes of a signature r ‖ s.
    #[must_use]
    pub const fn signature_len(self) -> usize {
        match self {
            Self::Esp256 => 64,
            Self::Esp384 => 96,
        }
    }
}

/// Names an issuer key: the first four bytes of the SHA-256 of its SubjectPublicKeyInfo. Unique
/// within a trust bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(pub [u8; 4]);

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A credential as the issuer signed it: a tagged COSE_Sign1 (RFC 9052 section 4.2) over a claims
/// set. Decoding checks the form, not the signature.
#[derive(Clone, Copy, Debug)]
pub struct Credential<'a> {
    bytes: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
    algorithm: Algorithm,
    kid: Kid,
    claims: Claims,
}

impl<'a> Credential<'a> {
    /// Reads a credential.
    ///
    /// # Errors
    /// [`Malformed`] for anything but the deterministic encoding of docs/spec/pt1.md section 3.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let credential = Self::read(bytes, &mut reader)?;
        reader.finish()?;
        Ok(credential)
    }

    /// Reads the credential that begins at the reader's position in `input`.
    pub(crate) fn read(input: &'a [u8], reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let start = reader.position();
        reader.tag(COSE_SIGN1)?;
        reader.array(4)?;
        let (algorithm, kid) = reader.embedded(read_header)?;
        reader.map(0)?;
        let (payload, claims) =
            reader.embedded(|payload| Ok((payload, Claims::decode(payload)?)))?;
        let at = reader.position();
        let signature = reader.bytes()?;
        if signature.len() != algorithm.signature_len() {
            return Err(Malformed {
                at,
                rule: "signature of another length than the algorithm's",
            });
        }
        let bytes = &input[start..reader.position()];
        Ok(Self {
            bytes,
            payload,
            signature,
            algorithm,
            kid,
            claims,
        })
    }

    /// The bytes it was read from, tag included.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What the issuer says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The issuer key that is said to have signed.
    #[must_use]
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// The algorithm that is said to have been used; the trust bundle pins one for each kid.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The issuer's signature r ‖ s.
    #[must_use]
    pub fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// The bytes that the issuer's signature covers.
    #[must_use]
    pub fn signature_input(&self) -> Encoded<CREDENTIAL_SIGNATURE_INPUT_MAX> {
        credential_signature_input(self.algorithm, self.kid, self.payload)
            .expect("the claims were read from a credential, so they fit")
    }
}

/// The Sig_structure (RFC 9052 section 4.4) that an issuer key signs: the claims and the header
/// that names algorithm and key.
///
/// # Errors
/// [`Malformed`] when `claims` are longer than any claims set.
pub fn credential_signature_input(
    algorithm: Algorithm,
    kid: Kid,
    claims: &[u8],
) -> Result<Encoded<CREDENTIAL_SIGNATURE_INPUT_MAX>, Malformed> {
    let header = header(algorithm, kid);
    Encoded::build(|sink| {
        sink.array(4)?
            .str(CONTEXT)?
            .bytes(&header)?
            .bytes(&[])?
            .bytes(claims)?;
        Ok(())
    })
    .map_err(|_| CLAIMS_TOO_LONG)
}

/// Puts a credential together from a claims set and the issuer's signature over
/// [`credential_signature_input`].
///
/// # Errors
/// [`Malformed`] when the claims are not a claims set or the signature has another length than
/// the algorithm's. The signature itself is not verified.
pub fn assemble_credential(
    algorithm: Algorithm,
    kid: Kid,
    claims: &[u8],
    signature: &[u8],
) -> Result<Encoded<CREDENTIAL_MAX>, Malformed> {
    let header = header(algorithm, kid);
    let encoded = Encoded::build(|sink| {
        sink.tag(minicbor::data::Tag::new(COSE_SIGN1))?
            .array(4)?
            .bytes(&header)?
            .map(0)?;
        sink.bytes(claims)?.bytes(signature)?;
        Ok(())
    })
    .map_err(|_| CLAIMS_TOO_LONG)?;
    Credential::decode(&encoded)?;
    Ok(encoded)
}

const CLAIMS_TOO_LONG: Malformed = Malformed {
    at: 0,
    rule: "claims or signature too long",
};

fn header(algorithm: Algorithm, kid: Kid) -> Encoded<HEADER_MAX> {
    Encoded::build(|sink| write_header(sink, algorithm, kid))
        .expect("HEADER_MAX holds the longest header")
}

fn write_header<const N: usize>(
    sink: &mut Sink<N>,
    algorithm: Algorithm,
    kid: Kid,
) -> Result<(), SinkError> {
    sink.map(2)?
        .i64(ALG)?
        .i32(algorithm.cose_id())?
        .i64(KID)?
        .bytes(&kid.0)?;
    Ok(())
}

fn read_header(bytes: &[u8]) -> Result<(Algorithm, Kid), Malformed> {
    let mut reader = Reader::new(bytes);
    reader.map(2)?;
    reader.key(ALG)?;
    let at = reader.position();
    let algorithm = Algorithm::from_cose_id(reader.int()?).ok_or(Malformed {
        at,
        rule: "issuer algorithm is neither ESP384 nor ESP256",
    })?;
    reader.key(KID)?;
    let kid = Kid(*reader.bytes_exact()?);
    reader.finish()?;
    Ok((algorithm, kid))
}
