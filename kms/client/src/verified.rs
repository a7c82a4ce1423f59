//! Signatures of which this process knows what they are over.

use obol_credential::{Algorithm, CREDENTIAL_MAX, Encoded, Kid, credential_signature_input};
use p256::ecdsa::signature::Verifier;
use p256::pkcs8::DecodePublicKey;
use sha2::{Digest as _, Sha256};

use crate::names::PayloadType;
use crate::spki::SpkiId;

/// A signature by the key that was asked over what was asked. The daemon verifies each before it
/// releases it, and answers with the key and the hash of what it verified; here both are compared
/// with what was asked. Signatures over anything but a credential, which are few and weigh much, are
/// verified in this process once more. Only [`KmsClient::sign`](crate::KmsClient::sign) returns one.
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

/// A credential with its [`VerifiedSignature`]. Only
/// [`KmsClient::sign_credential`](crate::KmsClient::sign_credential) returns one.
#[derive(Debug, Clone)]
pub struct SignedCredential {
    pub(crate) credential: Encoded<CREDENTIAL_MAX>,
    pub(crate) signature: VerifiedSignature,
}

/// Who was asked for what.
pub(crate) struct Asked<'a> {
    pub(crate) key: SpkiId,
    pub(crate) spki_der: &'a [u8],
    pub(crate) algorithm: Algorithm,
    pub(crate) payload_type: PayloadType,
    pub(crate) payload: &'a [u8],
}

/// What the daemon answered.
pub(crate) struct Released<'a> {
    pub(crate) key: SpkiId,
    pub(crate) hash: [u8; 32],
    pub(crate) raw: &'a [u8],
    pub(crate) leaf: u64,
}

impl Asked<'_> {
    /// `None` unless the answer is for what was asked.
    pub(crate) fn accept(&self, released: &Released<'_>) -> Option<VerifiedSignature> {
        let checked = match self.payload_type {
            PayloadType::CredentialClaims => {
                let kid = self.key.kid();
                let input = credential_signature_input(self.algorithm, kid, self.payload).ok()?;
                self.is_answered_by(released, &input)?;
                self.read(released.raw)?
            }
            // Of all other types the payload itself is signed.
            _ => {
                self.is_answered_by(released, self.payload)?;
                self.verify(released.raw)?
            }
        };
        Some(VerifiedSignature {
            key: self.key,
            payload_type: self.payload_type,
            checked,
            leaf: released.leaf,
        })
    }

    fn is_answered_by(&self, released: &Released<'_>, message: &[u8]) -> Option<()> {
        let hash: [u8; 32] = Sha256::digest(message).into();
        (released.key == self.key && released.hash == hash).then_some(())
    }

    fn read(&self, raw: &[u8]) -> Option<Checked> {
        match self.algorithm {
            Algorithm::Esp256 => p256::ecdsa::Signature::from_slice(raw)
                .ok()
                .map(Checked::P256),
            Algorithm::Esp384 => p384::ecdsa::Signature::from_slice(raw)
                .ok()
                .map(Checked::P384),
        }
    }

    fn verify(&self, raw: &[u8]) -> Option<Checked> {
        let checked = self.read(raw)?;
        match &checked {
            Checked::P256(signature) => {
                let key = p256::ecdsa::VerifyingKey::from_public_key_der(self.spki_der).ok()?;
                key.verify(self.payload, signature).ok()?;
            }
            Checked::P384(signature) => {
                let key = p384::ecdsa::VerifyingKey::from_public_key_der(self.spki_der).ok()?;
                key.verify(self.payload, signature).ok()?;
            }
        }
        Some(checked)
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

    fn asked<'a>(spki_der: &'a [u8], payload_type: PayloadType, payload: &'a [u8]) -> Asked<'a> {
        Asked {
            key: SpkiId::of(spki_der),
            spki_der,
            algorithm: Algorithm::Esp256,
            payload_type,
            payload,
        }
    }

    #[test]
    fn only_the_signature_of_the_key_that_was_asked_over_what_was_asked_is_accepted() {
        let (key, spki_der) = key();
        let signature: p256::ecdsa::Signature = key.sign(b"a day root");
        let raw = signature.to_bytes();
        let released = |raw| Released {
            key: SpkiId::of(&spki_der),
            hash: Sha256::digest(b"a day root").into(),
            raw,
            leaf: 41,
        };
        let day_root = |payload| asked(&spki_der, PayloadType::LedgerDayRoot, payload);
        let accepted = day_root(b"a day root").accept(&released(&raw)).unwrap();
        assert_eq!((accepted.to_raw(), accepted.leaf()), (raw.to_vec(), 41));
        assert_eq!(day_root(b"another root").accept(&released(&raw)), None);
        assert_eq!(day_root(b"a day root").accept(&released(&raw[1..])), None);
        let of_another_message: p256::ecdsa::Signature = key.sign(b"another root");
        let raw = of_another_message.to_bytes();
        assert_eq!(day_root(b"a day root").accept(&released(&raw)), None);
    }

    #[test]
    fn an_answer_for_another_credential_or_another_key_is_not_accepted() {
        let (key, spki_der) = key();
        let claims = asked(&spki_der, PayloadType::CredentialClaims, b"claims");
        let input = credential_signature_input(claims.algorithm, claims.key.kid(), b"claims");
        let input = input.unwrap();
        let signature: p256::ecdsa::Signature = key.sign(&input);
        let raw = signature.to_bytes();
        let released = |key, message: &[u8]| Released {
            key,
            hash: Sha256::digest(message).into(),
            raw: &raw,
            leaf: 7,
        };
        let accepted = claims.accept(&released(claims.key, &input)).unwrap();
        assert_eq!((accepted.key(), accepted.leaf()), (claims.key, 7));
        assert_eq!(claims.accept(&released(claims.key, b"claims")), None);
        assert_eq!(claims.accept(&released(SpkiId([9; 32]), &input)), None);
        let zeros = Released {
            raw: &[0; 64],
            ..released(claims.key, &input)
        };
        assert_eq!(claims.accept(&zeros), None);
    }
}
