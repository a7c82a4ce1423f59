use std::error::Error;

use obol_log::LogKey;

/// What a signer said when it made no signature.
pub type SignFailed = Box<dyn Error + Send + Sync>;

/// Whoever holds the log's key. Two implementations: the daemon's, through the HSM, and the one of
/// whoever embeds the log with a key of his own.
pub trait CheckpointSigner: Send + Sync {
    /// Name and public key of the log.
    fn key(&self) -> &LogKey;

    /// ECDSA on P-256 over SHA-256 of the text of a checkpoint: r || s.
    ///
    /// # Errors
    /// The signer's own; the log goes on, without a new checkpoint.
    fn sign(&self, text: &str) -> Result<[u8; 64], SignFailed>;
}
