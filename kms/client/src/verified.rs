//! Signatures that this process has verified.

use obol_credential::{Algorithm, CREDENTIAL_MAX, Encoded, Kid, credential_signature_input};
use p256::ecdsa::signature::Verifier;
use p256::pkcs8::DecodePublicKey;

use crate::names::PayloadType;
use crate::spki::SpkiId;

/// A signature by the key that was asked, over the payload that was handed in, verified in this
/// process. Only [`KmsClient::sign`](crate::KmsClient::sign) returns one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature {
    key: SpkiId,
    payload_type: PayloadType,
    checked: Checked,
    leaf: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Checked {
    P256(p256::ecdsa::Signature),
    P384(p384::ecdsa::Signature),
}

/// A credential that was signed and whose signature was verified in this process. Only
/// [`KmsClient::sign_credential`](crate::KmsClient::sign_credential) returns one.
#[derive(Debug, Clone)]
pub struct SignedCredential {
    pub(crate) credential: Encoded<CREDENTIAL_MAX>,
    pub(crate) signature: VerifiedSignature,
}

/// What is verified: who was asked for what.
pub(crate) struct Asked<'a> {
    pub(crate) key: SpkiId,
    pub(crate) spki_der: &'a [u8],
    pub(crate) algorithm: Algorithm,
    pub(crate) payload_type: PayloadType,
    pub(crate) payload: &'a [u8],
}

impl Asked<'_> {
    /// `None` unless `raw` is this key's signature over what was asked.
    pub(crate) fn verified(&self, raw: &[u8], leaf: u64) -> Option<VerifiedSignature> {
        let checked = match self.payload_type {
            PayloadType::CredentialClaims => {
                let kid = self.key.kid();
                let input = credential_signature_input(self.algorithm, kid, self.payload).ok()?;
                self.check(&input, raw)?
            }
            // Of all other types the payload itself is signed.
            _ => self.check(self.payload, raw)?,
        };
        Some(VerifiedSignature {
            key: self.key,
            payload_type: self.payload_type,
            checked,
            leaf,
        })
    }

    fn check(&self, message: &[u8], raw: &[u8]) -> Option<Checked> {
        match self.algorithm {
            Algorithm::Esp256 => {
                let key = p256::ecdsa::VerifyingKey::from_public_key_der(self.spki_der).ok()?;
                let signature = p256::ecdsa::Signature::from_slice(raw).ok()?;
                key.verify(message, &signature).ok()?;
                Some(Checked::P256(signature))
            }
            Algorithm::Esp384 => {
                let key = p384::ecdsa::VerifyingKey::from_public_key_der(self.spki_der).ok()?;
                let signature = p384::ecdsa::Signature::from_slice(raw).ok()?;
                key.verify(message, &signature).ok()?;
                Some(Checked::P384(signature))
            }
        }
    }
}

impl VerifiedSignature {
    /// The key that signed.
    #[must_use]
    pub fn key(&self) -> SpkiId {
        self.key
    }

    /// What was signed.
    #[must_use]
    pub fn payload_type(&self) -> PayloadType {
        self.payload_type
    }

    /// Fixed-length r||s as COSE wants it: 64 or 96 bytes.
    #[must_use]
    pub fn to_raw(&self) -> Vec<u8> {
        match &self.checked {
            Checked::P256(signature) => signature.to_bytes().to_vec(),
            Checked::P384(signature) => signature.to_bytes().to_vec(),
        }
    }

    /// DER `ECDSA-Sig-Value` (RFC 3279 section 2.2.3) as X.509 and TUF want it.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        match &self.checked {
            Checked::P256(signature) => signature.to_der().as_bytes().to_vec(),
            Checked::P384(signature) => signature.to_der().as_bytes().to_vec(),
        }
    }

    /// Index of the leaf of the daemon's audit log that approved it.
    #[must_use]
    pub fn leaf(&self) -> u64 {
        self.leaf
    }
}

impl SignedCredential {
    /// The assembled credential: a tagged COSE_Sign1.
    #[must_use]
    pub fn credential(&self) -> &[u8] {
        &self.credential
    }

    /// Which issuer key signed.
    #[must_use]
    pub fn kid(&self) -> Kid {
        self.signature.key().kid()
    }

    /// The signature in it.
    #[must_use]
    pub fn signature(&self) -> &VerifiedSignature {
        &self.signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::signature::Signer;
    use p256::pkcs8::EncodePublicKey;

    fn key() -> (p256::ecdsa::SigningKey, Vec<u8>) {
        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let spki = key.verifying_key().to_public_key_der().unwrap();
        (key, spki.into_vec())
    }

    #[test]
    fn only_the_signature_of_the_key_that_was_asked_over_what_was_asked_is_verified() {
        let (key, spki_der) = key();
        let signature: p256::ecdsa::Signature = key.sign(b"a day root");
        let raw = signature.to_bytes();
        let asked = |payload| Asked {
            key: SpkiId::of(&spki_der),
            spki_der: &spki_der,
            algorithm: Algorithm::Esp256,
            payload_type: PayloadType::LedgerDayRoot,
            payload,
        };
        let verified = asked(b"a day root").verified(&raw, 41).unwrap();
        assert_eq!((verified.to_raw(), verified.leaf()), (raw.to_vec(), 41));
        assert_eq!(asked(b"another root").verified(&raw, 41), None);
        assert_eq!(asked(b"a day root").verified(&raw[1..], 41), None);
        let claims = Asked {
            payload_type: PayloadType::CredentialClaims,
            ..asked(b"a day root")
        };
        assert_eq!(claims.verified(&raw, 41), None);
    }
}
