use core::fmt;

use data_encoding::BASE64URL_NOPAD;
use p256::ecdsa::VerifyingKey;
use sha2::{Digest, Sha256};

/// The P-256 key by which a phone identifies itself to the platform, as an uncompressed point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EnrolledKey {
    x: [u8; 32],
    y: [u8; 32],
}

/// Bytes that are not a point of P-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is not a point of P-256")]
pub struct InvalidKey;

impl EnrolledKey {
    /// A key from its affine coordinates, big-endian.
    ///
    /// # Errors
    /// [`InvalidKey`] when they are not on the curve.
    pub fn from_coordinates(x: [u8; 32], y: [u8; 32]) -> Result<EnrolledKey, InvalidKey> {
        let key = EnrolledKey { x, y };
        key.verifying_key().map(|_| key)
    }

    /// A key from its uncompressed SEC1 form (65 bytes), as the store keeps it.
    ///
    /// # Errors
    /// [`InvalidKey`] when it is not an uncompressed point of P-256.
    pub fn from_sec1(sec1: &[u8]) -> Result<EnrolledKey, InvalidKey> {
        let coordinates = sec1
            .strip_prefix(&[4])
            .and_then(|rest| rest.split_first_chunk::<32>());
        let (x, y) = coordinates.ok_or(InvalidKey)?;
        EnrolledKey::from_coordinates(*x, y.try_into().map_err(|_| InvalidKey)?)
    }

    /// The uncompressed SEC1 form: 4, x, y.
    pub fn to_sec1(&self) -> [u8; 65] {
        let mut sec1 = [4; 65];
        sec1[1..33].copy_from_slice(&self.x);
        sec1[33..].copy_from_slice(&self.y);
        sec1
    }

    /// The RFC 7638 thumbprint: SHA-256 over the JWK's required members, in their order.
    pub fn thumbprint(&self) -> Thumbprint {
        let canonical = format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            BASE64URL_NOPAD.encode(&self.x),
            BASE64URL_NOPAD.encode(&self.y)
        );
        Thumbprint(Sha256::digest(canonical).into())
    }

    pub(crate) fn verifying_key(&self) -> Result<VerifyingKey, InvalidKey> {
        VerifyingKey::from_sec1_bytes(&self.to_sec1()).map_err(|_| InvalidKey)
    }
}

impl fmt::Debug for EnrolledKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolledKey({})", self.thumbprint())
    }
}

/// The name of an enrolled key (RFC 7638, SHA-256).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint(pub [u8; 32]);

impl fmt::Display for Thumbprint {
    /// 43 characters of base64url.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the example proof in RFC 9449 section 4.1; its thumbprint is the `jkt` of
    /// section 6.1.
    #[test]
    fn the_thumbprint_is_the_one_of_rfc_9449() {
        let coordinate = |text: &str| -> [u8; 32] {
            BASE64URL_NOPAD
                .decode(text.as_bytes())
                .unwrap()
                .try_into()
                .unwrap()
        };
        let key = EnrolledKey::from_coordinates(
            coordinate("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs"),
            coordinate("9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"),
        )
        .unwrap();
        assert_eq!(
            key.thumbprint().to_string(),
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
        );
        assert_eq!(EnrolledKey::from_sec1(&key.to_sec1()), Ok(key));
    }

    #[test]
    fn a_point_off_the_curve_is_no_key() {
        assert_eq!(
            EnrolledKey::from_coordinates([1; 32], [1; 32]),
            Err(InvalidKey)
        );
        assert_eq!(EnrolledKey::from_sec1(&[4; 64]), Err(InvalidKey));
        assert_eq!(EnrolledKey::from_sec1(&[]), Err(InvalidKey));
    }
}
