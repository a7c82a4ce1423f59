//! Public keys on the two curves, and the signatures that were checked with them.

use aws_lc_rs::digest::{Digest as Hash, SHA256, SHA384};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, ParsedPublicKey,
};
use obol_credential::Algorithm;
use obol_kms_client::SpkiId;

use crate::digest::Digest;

/// A curve of the key hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256 (secp256r1).
    P256,
    /// NIST P-384 (secp384r1).
    P384,
}

impl Curve {
    /// The credential algorithm of a key on this curve: ECDSA with the SHA-2 hash of its size.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Curve::P256 => Algorithm::Esp256,
            Curve::P384 => Algorithm::Esp384,
        }
    }

    /// `CKA_EC_PARAMS`: the DER object identifier of the named curve (RFC 5480 section 2.1.1.1).
    pub(crate) fn ec_params(self) -> &'static [u8] {
        match self {
            Curve::P256 => &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            Curve::P384 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
        }
    }

    pub(crate) fn from_ec_params(params: &[u8]) -> Option<Curve> {
        [Curve::P256, Curve::P384]
            .into_iter()
            .find(|curve| curve.ec_params() == params)
    }

    fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED,
        }
    }

    /// Length of an uncompressed SEC1 point.
    fn point_len(self) -> usize {
        match self {
            Curve::P256 => 65,
            Curve::P384 => 97,
        }
    }

    /// Everything of the DER SubjectPublicKeyInfo (RFC 5480 section 2) before the point.
    fn spki_prefix(self) -> &'static [u8] {
        match self {
            Curve::P256 => &[
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
            ],
            Curve::P384 => &[
                0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
            ],
        }
    }
}

impl std::fmt::Display for Curve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Curve::P256 => "P-256",
            Curve::P384 => "P-384",
        })
    }
}

/// A public key that lies on its curve.
#[derive(Debug, Clone)]
pub struct PublicKey {
    curve: Curve,
    point: Vec<u8>,
    /// A third of the time that the pure-Rust curves take, of each signature that is made.
    verifying: ParsedPublicKey,
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        (self.curve, &self.point) == (other.curve, &other.point)
    }
}

impl Eq for PublicKey {}

impl PublicKey {
    /// Takes an uncompressed SEC1 point; `None` unless it has the curve's length and lies on it.
    pub fn from_sec1(curve: Curve, point: &[u8]) -> Option<PublicKey> {
        // One key has one encoding: AWS-LC would take others of the same point.
        if point.len() != curve.point_len() || point.first() != Some(&0x04) {
            return None;
        }
        Some(PublicKey {
            curve,
            point: point.to_vec(),
            verifying: ParsedPublicKey::new(curve.verification(), point).ok()?,
        })
    }

    /// Takes a DER SubjectPublicKeyInfo of exactly the form that [`PublicKey::spki_der`] gives.
    pub fn from_spki_der(spki: &[u8]) -> Option<PublicKey> {
        [Curve::P256, Curve::P384]
            .into_iter()
            .find_map(|curve| PublicKey::from_sec1(curve, spki.strip_prefix(curve.spki_prefix())?))
    }

    /// `CKA_EC_POINT`: the standard wraps the point in a DER OCTET STRING, older tokens do not.
    pub(crate) fn from_ec_point(curve: Curve, attribute: &[u8]) -> Option<PublicKey> {
        let wrapped = [0x04, u8::try_from(curve.point_len()).ok()?];
        match attribute.strip_prefix(&wrapped) {
            Some(point) if point.len() == curve.point_len() => PublicKey::from_sec1(curve, point),
            _ => PublicKey::from_sec1(curve, attribute),
        }
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// Uncompressed SEC1 point: 65 or 97 bytes.
    pub fn as_sec1(&self) -> &[u8] {
        &self.point
    }

    /// DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    pub fn spki_der(&self) -> Vec<u8> {
        [self.curve().spki_prefix(), &self.point].concat()
    }

    /// SHA-256 of the DER SubjectPublicKeyInfo: the key's name everywhere.
    pub fn spki_id(&self) -> SpkiId {
        SpkiId::of(&self.spki_der())
    }

    /// Checks a raw r||s signature and returns it only if it holds.
    pub(crate) fn verify(&self, digest: &Digest, raw: &[u8]) -> Option<VerifiedSignature> {
        let (checked, hash) = match (self.curve, digest) {
            (Curve::P256, Digest::Sha256(_)) => {
                let signature = p256::ecdsa::Signature::from_slice(raw).ok()?;
                (Checked::P256(signature), &SHA256)
            }
            (Curve::P384, Digest::Sha384(_)) => {
                let signature = p384::ecdsa::Signature::from_slice(raw).ok()?;
                (Checked::P384(signature), &SHA384)
            }
            _ => return None,
        };
        let hash = Hash::import_less_safe(digest.as_bytes(), hash).ok()?;
        self.verifying.verify_digest_sig(&hash, raw).ok()?;
        Some(VerifiedSignature(checked))
    }
}

/// A signature that was checked with its public key after the token made it. Only signing returns one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature(Checked);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Checked {
    P256(p256::ecdsa::Signature),
    P384(p384::ecdsa::Signature),
}

impl VerifiedSignature {
    /// Fixed-length r||s as COSE wants it: 64 or 96 bytes.
    pub fn to_raw(&self) -> Vec<u8> {
        match &self.0 {
            Checked::P256(signature) => signature.to_bytes().to_vec(),
            Checked::P384(signature) => signature.to_bytes().to_vec(),
        }
    }

    /// DER `ECDSA-Sig-Value` as X.509 wants it (RFC 3279 section 2.2.3).
    pub(crate) fn to_der(&self) -> Vec<u8> {
        match &self.0 {
            Checked::P256(signature) => signature.to_der().as_bytes().to_vec(),
            Checked::P384(signature) => signature.to_der().as_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The base points of the curves (SEC 2), as any points that are surely on them.
    fn generator(curve: Curve) -> Vec<u8> {
        use p256::elliptic_curve::sec1::ToSec1Point as _;
        match curve {
            Curve::P256 => p256::AffinePoint::GENERATOR
                .to_sec1_point(false)
                .as_bytes()
                .to_vec(),
            Curve::P384 => p384::AffinePoint::GENERATOR
                .to_sec1_point(false)
                .as_bytes()
                .to_vec(),
        }
    }

    #[test]
    fn a_point_is_read_wrapped_or_raw() {
        for curve in [Curve::P256, Curve::P384] {
            let raw = generator(curve);
            let wrapped = [&[0x04, raw.len() as u8], raw.as_slice()].concat();
            let key = PublicKey::from_ec_point(curve, &raw).unwrap();
            assert_eq!(PublicKey::from_ec_point(curve, &wrapped).unwrap(), key);
            assert_eq!(PublicKey::from_spki_der(&key.spki_der()).unwrap(), key);
        }
    }

    #[test]
    fn a_point_off_the_curve_or_of_another_length_is_refused() {
        for curve in [Curve::P256, Curve::P384] {
            let mut point = generator(curve);
            let last = point.len() - 1;
            assert!(PublicKey::from_ec_point(curve, &point[..last]).is_none());
            assert!(PublicKey::from_ec_point(curve, &[point.as_slice(), &[0]].concat()).is_none());
            point[last] ^= 1;
            assert!(PublicKey::from_ec_point(curve, &point).is_none());
            point[last] ^= 1;
            // The hybrid form of X9.62 for the same point, which SEC 1 does not have.
            point[0] = 6 | (point[last] & 1);
            assert!(PublicKey::from_sec1(curve, &point).is_none());
        }
    }
}
