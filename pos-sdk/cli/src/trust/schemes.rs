use aws_lc_rs::signature::{
    ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use data_encoding::{BASE64, HEXLOWER};
use obol_pos_sdk::tuf::{CheckSignature, Key, P256};

/// Believes what the suites of others sign with, beside P-256: Ed25519 and RSA. A terminal's own
/// updates believe P-256 alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnyScheme;

impl CheckSignature for AnyScheme {
    fn signer(&self, key: &Key, message: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
        let algorithm: &'static dyn VerificationAlgorithm = match key.scheme() {
            "ed25519" => &ED25519,
            "rsassa-pss-sha256" => &RSA_PSS_2048_8192_SHA256,
            "rsa-pkcs1v15-sha256" => &RSA_PKCS1_2048_8192_SHA256,
            _ => return P256.signer(key, message, signature),
        };
        let public = match key.keytype() {
            "ed25519" => HEXLOWER.decode(key.public().as_bytes()).ok()?,
            _ => spki(key.public())?,
        };
        let verifier = UnparsedPublicKey::new(algorithm, &public);
        verifier.verify(message, signature).ok()?;
        Some(public)
    }
}

fn spki(pem: &str) -> Option<Vec<u8>> {
    let inside = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?;
    let inside = inside.strip_suffix("-----END PUBLIC KEY-----")?;
    let base64: String = inside.split_whitespace().collect();
    BASE64.decode(base64.as_bytes()).ok()
}
