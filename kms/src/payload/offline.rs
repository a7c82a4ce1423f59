//! Signatures that officers make at an offline token: TUF root and targets.

use data_encoding::HEXLOWER;
use obol_kms_registry::{Class, PayloadType};
use sha2::{Digest, Sha256};

use crate::keys::Key;
use crate::payload::{PayloadRefusal, TypedPayload};
use crate::public_key::{Curve, PublicKey};
use crate::token::{SignError, Token};
use crate::x509::to_pem;

/// One signature on TUF metadata, as its `signatures` list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TufSignature {
    /// SHA-256 of the key in canonical JSON, lower-case hexadecimal.
    pub keyid: String,
    /// DER `ECDSA-Sig-Value`, lower-case hexadecimal.
    pub sig: String,
    /// Version of the metadata.
    pub version: u64,
}

/// Why metadata was not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignTufError {
    /// It is not metadata of its role, or not for this key.
    #[error(transparent)]
    Payload(#[from] PayloadRefusal),
    /// TUF keys here are P-256.
    #[error("the key is on {0}, TUF keys are on P-256")]
    Curve(Curve),
    /// The token did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Signs the `signed` part of TUF metadata as root or targets: it is parsed here, and signed in the
/// canonical form that is built here.
///
/// # Errors
/// [`SignTufError`].
pub fn sign_tuf(
    token: &Token,
    key: &Key,
    class: Class,
    metadata: &[u8],
) -> Result<TufSignature, SignTufError> {
    let (canonical, version) = tuf_input(key.public(), class, metadata)?;
    let signature = token.sign(key, &canonical)?;
    Ok(TufSignature {
        keyid: tuf_key_id(key.public()),
        sig: HEXLOWER.encode(&signature.to_der()),
        version,
    })
}

/// Checks a signature on metadata: the same parsing, and the key that its id names.
///
/// # Errors
/// [`SignTufError`] if the metadata is refused; `Ok(false)` if the signature does not hold.
pub fn verify_tuf(
    public: &PublicKey,
    class: Class,
    metadata: &[u8],
    signature: &TufSignature,
) -> Result<bool, SignTufError> {
    use p256::ecdsa::signature::Verifier;
    let (canonical, version) = tuf_input(public, class, metadata)?;
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(public.as_sec1());
    let der = HEXLOWER.decode(signature.sig.as_bytes()).ok();
    let parsed = der.and_then(|der| p256::ecdsa::Signature::from_der(&der).ok());
    let holds = match (key, parsed) {
        (Ok(key), Some(parsed)) => key.verify(&canonical, &parsed).is_ok(),
        _ => false,
    };
    Ok(holds && signature.keyid == tuf_key_id(public) && signature.version == version)
}

fn tuf_input(
    public: &PublicKey,
    class: Class,
    metadata: &[u8],
) -> Result<(Vec<u8>, u64), SignTufError> {
    if public.curve() != Curve::P256 {
        return Err(SignTufError::Curve(public.curve()));
    }
    let payload = match class {
        Class::TufRoot => PayloadType::TufRoot,
        _ => PayloadType::TufTargets,
    };
    let typed = TypedPayload::parse(payload, metadata)?;
    typed.permitted_for(class)?;
    let version = match &typed {
        TypedPayload::Tuf(metadata) => u64::from(metadata.version()),
        _ => 0,
    };
    Ok((typed.signature_input(public)?, version))
}

/// TUF's name of a key: SHA-256 of its canonical JSON, whose strings keep their line feeds.
#[must_use]
pub fn tuf_key_id(public: &PublicKey) -> String {
    let pem = to_pem("PUBLIC KEY", &public.spki_der());
    let json = format!(
        "{{\"keytype\":\"ecdsa\",\"keyval\":{{\"public\":\"{pem}\"}},\
         \"scheme\":\"ecdsa-sha2-nistp256\"}}"
    );
    HEXLOWER.encode(&Sha256::digest(json))
}
