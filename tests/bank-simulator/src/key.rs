use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use miette::Diagnostic;
use thiserror::Error;

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// The bank's P-256 key.
#[derive(Debug)]
pub struct BankKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

/// A new key as the texts of its two files.
pub struct KeyFiles {
    /// PKCS#8 PEM; secret.
    pub private: String,
    /// SubjectPublicKeyInfo PEM, for whoever has to believe the bank.
    pub public: String,
}

/// Why there is no key, or no signature.
#[derive(Debug, Error, Diagnostic)]
pub enum KeyError {
    /// The file is not what `keygen` writes.
    #[error("the key file is not a P-256 private key in PEM (PKCS#8)")]
    #[diagnostic(help("make one with: bank-simulator keygen --key FILE --public FILE"))]
    NotAKey,
    /// The cryptographic library failed.
    #[error("aws-lc could not {0}")]
    #[diagnostic(help("try again; if it persists, the system's source of randomness is broken"))]
    Library(&'static str),
}

impl BankKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn generate() -> Result<KeyFiles, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| KeyError::Library("generate a key"))?;
        let private = pair
            .to_pkcs8v1()
            .map_err(|_| KeyError::Library("write the private key"))?;
        let public = pair
            .public_key()
            .as_der()
            .map_err(|_| KeyError::Library("write the public key"))?;
        let (private, public) = (pem(PRIVATE, private.as_ref()), pem(PUBLIC, public.as_ref()));
        Ok(KeyFiles { private, public })
    }

    /// Reads the file that [`BankKey::generate`] made the text of.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`].
    pub fn from_pem(text: &[u8]) -> Result<BankKey, KeyError> {
        let der = der(PRIVATE, text).ok_or(KeyError::NotAKey)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
            .map_err(|_| KeyError::NotAKey)?;
        Ok(BankKey {
            pair,
            random: SystemRandom::new(),
        })
    }

    /// The value of `Bank-Signature` over `body` at `now`: `t=UNIX,v1=BASE64URL(r ‖ s)`.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn signature_header(&self, body: &[u8], now: u32) -> Result<String, KeyError> {
        let mut message = now.to_string().into_bytes();
        message.push(b'.');
        message.extend_from_slice(body);
        let signature = self
            .pair
            .sign(&self.random, &message)
            .map_err(|_| KeyError::Library("sign a notice"))?;
        Ok(format!(
            "t={now},v1={}",
            BASE64URL_NOPAD.encode(signature.as_ref())
        ))
    }
}

/// RFC 7468: lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = BASE64.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for start in (0..base64.len()).step_by(64) {
        text.push_str(&base64[start..base64.len().min(start + 64)]);
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

fn der(label: &str, text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let body = text
        .strip_prefix(&format!("-----BEGIN {label}-----"))?
        .strip_suffix(&format!("-----END {label}-----"))?;
    let base64: String = body.split_ascii_whitespace().collect();
    BASE64.decode(base64.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_from_its_file() {
        let files = BankKey::generate().unwrap();
        assert!(BankKey::from_pem(files.private.as_bytes()).is_ok());
    }

    #[test]
    fn a_file_that_is_no_private_key_is_refused() {
        let files = BankKey::generate().unwrap();
        for text in ["", "noise", &files.public, &files.private[..80]] {
            assert!(
                matches!(BankKey::from_pem(text.as_bytes()), Err(KeyError::NotAKey)),
                "{text}"
            );
        }
    }
}
