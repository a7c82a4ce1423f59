//! Proof of possession of the enrolled key on each request (RFC 9449), with the request's body
//! bound in.

mod raw;

use data_encoding::BASE64URL_NOPAD;
use obol_credential::UnixTime;
use p256::ecdsa::{Signature, signature::Verifier};
use sha2::{Digest, Sha256};

use crate::{EnrolledKey, Thumbprint};
use raw::{RawClaims, RawHeader};

/// The longest proof, in bytes.
pub const PROOF_MAX: usize = 2048;
/// How far `iat` may lie from our clock, in seconds, either way.
pub const IAT_WINDOW_S: u32 = 300;
/// The shortest `jti`: RFC 9449 section 4.2 asks for 96 bits of randomness, 16 base64 characters.
pub const JTI_MIN: usize = 16;
/// The longest `jti`, in bytes.
pub const JTI_MAX: usize = 64;

/// The request a proof must speak of.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method in capitals: `POST`.
    pub method: &'a str,
    /// The URL without query and fragment, exactly as clients are told to write it.
    pub url: &'a str,
    /// The body; empty when there is none.
    pub body: &'a [u8],
}

/// A request whose sender holds the key it names. Only [`verify`] makes one.
///
/// It is not yet known to be fresh: the caller still has to record (thumbprint, jti) and refuse
/// a second use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    key: EnrolledKey,
    jti: String,
    issued_at: UnixTime,
}

impl Authenticated {
    /// The key.
    pub const fn key(&self) -> EnrolledKey {
        self.key
    }

    /// The RFC 7638 thumbprint of the key.
    pub fn thumbprint(&self) -> Thumbprint {
        self.key.thumbprint()
    }

    /// The identifier of the proof, [`JTI_MIN`]..=[`JTI_MAX`] visible ASCII characters.
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// When the proof was made.
    pub const fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// The last second at which the same proof could be accepted again; until then its jti must
    /// be remembered.
    pub const fn expires_at(&self) -> UnixTime {
        self.issued_at.plus(IAT_WINDOW_S)
    }
}

/// Why a proof was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefused {
    /// Longer than [`PROOF_MAX`].
    #[error("a proof has at most {PROOF_MAX} bytes, not {0}")]
    TooLong(usize),
    /// Not three base64url parts.
    #[error("the proof is not a compact JWS")]
    NotCompact,
    /// The header is not {typ, alg, jwk} with a P-256 public key and nothing else.
    #[error("the proof's header: {0}")]
    Header(String),
    /// The payload is not {jti, htm, htu, iat, bdh} and nothing else.
    #[error("the proof's payload: {0}")]
    Claims(String),
    /// `jti` is too short, too long or not visible ASCII.
    #[error("jti is {JTI_MIN} to {JTI_MAX} visible ASCII characters, not {0:?}")]
    Jti(String),
    /// The signature does not verify.
    #[error("the proof's signature does not verify under its key")]
    Signature,
    /// The proof is for another method.
    #[error("the proof is for method {0:?}")]
    Method(String),
    /// The proof is for another URL.
    #[error("the proof is for {found:?}, the request went to {expected:?}")]
    Url {
        /// What the proof says.
        found: String,
        /// What we are.
        expected: String,
    },
    /// The proof is too old or from the future.
    #[error("the proof was made at {issued_at}, it is {now}: more than {IAT_WINDOW_S} s apart")]
    Time {
        /// When it was made.
        issued_at: UnixTime,
        /// Our clock.
        now: UnixTime,
    },
    /// The request has a body and the proof no `bdh`.
    #[error("the proof does not bind the request's body: bdh is missing")]
    BodyUnbound,
    /// The proof binds another body.
    #[error("the proof binds another body: bdh {0:?}")]
    Body(String),
}

/// Checks a `DPoP` header value against the request it came with (RFC 9449 section 4.3; the
/// numbers below are of that list).
///
/// `now` is our clock.
///
/// # Errors
/// [`ProofRefused`] with the first check that failed.
pub fn verify(
    proof: &[u8],
    request: &Request<'_>,
    now: UnixTime,
) -> Result<Authenticated, ProofRefused> {
    let parts = Parts::split(proof)?;
    let header = RawHeader::parse(&parts.header)?; // 2, 4, 5, 7
    let key = header.key()?;
    let claims = RawClaims::parse(&parts.payload)?; // 2, 3
    check_signature(&key, &parts)?; // 6
    check_request(&claims, request)?; // 8, 9
    check_time(claims.iat, now)?; // 11
    check_jti(&claims.jti)?;
    Ok(Authenticated {
        key,
        jti: claims.jti,
        issued_at: UnixTime(claims.iat),
    })
}

struct Parts<'a> {
    signed: &'a [u8],
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn split(proof: &'a [u8]) -> Result<Parts<'a>, ProofRefused> {
        if proof.len() > PROOF_MAX {
            return Err(ProofRefused::TooLong(proof.len()));
        }
        let mut parts = proof.split(|byte| *byte == b'.');
        let mut next = || parts.next().ok_or(ProofRefused::NotCompact);
        let (header, payload, signature) = (next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(ProofRefused::NotCompact);
        }
        let decode = |part| {
            BASE64URL_NOPAD
                .decode(part)
                .map_err(|_| ProofRefused::NotCompact)
        };
        Ok(Parts {
            signed: &proof[..header.len() + 1 + payload.len()],
            header: decode(header)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }
}

fn check_signature(key: &EnrolledKey, parts: &Parts<'_>) -> Result<(), ProofRefused> {
    let signature = Signature::from_slice(&parts.signature).map_err(|_| ProofRefused::Signature)?;
    let key = key
        .verifying_key()
        .map_err(|invalid| ProofRefused::Header(invalid.to_string()))?;
    key.verify(parts.signed, &signature)
        .map_err(|_| ProofRefused::Signature)
}

fn check_request(claims: &RawClaims, request: &Request<'_>) -> Result<(), ProofRefused> {
    if claims.htm != request.method {
        return Err(ProofRefused::Method(claims.htm.clone()));
    }
    if claims.htu != request.url {
        let (found, expected) = (claims.htu.clone(), request.url.to_owned());
        return Err(ProofRefused::Url { found, expected });
    }
    match &claims.bdh {
        None if request.body.is_empty() => Ok(()),
        None => Err(ProofRefused::BodyUnbound),
        Some(bdh) if *bdh == BASE64URL_NOPAD.encode(&Sha256::digest(request.body)) => Ok(()),
        Some(bdh) => Err(ProofRefused::Body(bdh.clone())),
    }
}

fn check_time(iat: u32, now: UnixTime) -> Result<(), ProofRefused> {
    let issued_at = UnixTime(iat);
    if now.since(issued_at).unsigned_abs() > u64::from(IAT_WINDOW_S) {
        return Err(ProofRefused::Time { issued_at, now });
    }
    Ok(())
}

fn check_jti(jti: &str) -> Result<(), ProofRefused> {
    let visible = jti.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || !(JTI_MIN..=JTI_MAX).contains(&jti.len()) {
        return Err(ProofRefused::Jti(jti.chars().take(JTI_MAX).collect()));
    }
    Ok(())
}
