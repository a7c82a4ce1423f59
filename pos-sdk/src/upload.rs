use miette::Diagnostic;
use obol_tap::{Acknowledgement, SpkiId, TerminalKey};
use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer},
    pkcs8::DecodePrivateKey,
};
use thiserror::Error;

use crate::{
    AcknowledgementRefused, JournalError, JournalFile, KeyFault, SealError, Sealing, SegmentKey,
};

/// The way to the platform.
pub trait Uplink {
    /// Why a segment did not arrive, or was not acknowledged.
    type Error;

    /// Sends a signed segment and waits for its acknowledgement. Sending the same segment again
    /// is harmless.
    ///
    /// # Errors
    /// Whatever kept the platform from acknowledging.
    fn send(&mut self, segment: &[u8]) -> Result<Acknowledgement, Self::Error>;
}

/// Signs segments with the key of the terminal's TLS certificate, held in a file.
pub struct SegmentSigner {
    key: SigningKey,
    public: TerminalKey,
}

/// The text is not a P-256 private key.
#[derive(Debug, Error, Diagnostic)]
#[error("the terminal's key is not a P-256 private key in PKCS#8 PEM")]
#[diagnostic(help("give the key that was made together with this terminal's request"))]
pub struct KeyUnusable;

impl SegmentSigner {
    /// Reads a PKCS#8 PEM.
    ///
    /// # Errors
    /// [`KeyUnusable`]; the text is not repeated.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyUnusable> {
        let secret = SecretKey::from_pkcs8_pem(pem).map_err(|_| KeyUnusable)?;
        let key = SigningKey::from(secret);
        let point = key.verifying_key().to_sec1_point(false);
        let public = TerminalKey::from_sec1(point.as_bytes()).ok_or(KeyUnusable)?;
        Ok(Self { key, public })
    }

    /// The public half, by which the seals are checked.
    #[must_use]
    pub fn public(&self) -> &TerminalKey {
        &self.public
    }
}

impl SegmentKey for SegmentSigner {
    fn id(&self) -> SpkiId {
        self.public.id()
    }

    fn sign(&self, input: &[u8]) -> Result<[u8; 64], KeyFault> {
        let signature: Signature = self.key.sign(input);
        Ok(signature.to_bytes().into())
    }
}

impl std::fmt::Debug for SegmentSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentSigner")
            .field("id", &self.public.id())
            .finish_non_exhaustive()
    }
}

/// What an upload achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Records that the platform holds and did not acknowledge before.
    pub records: u64,
    /// The last record that the platform holds.
    pub watermark: u64,
}

/// Why an upload stopped. What was acknowledged before stays acknowledged; the rest can be
/// uploaded again.
#[derive(Debug, Error)]
pub enum UploadError<E> {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The records could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The segment was not acknowledged.
    #[error("the segment from record {first_seq} on was not acknowledged")]
    Uplink {
        /// The segment's first record.
        first_seq: u64,
        /// Why.
        source: E,
    },
    /// The acknowledgement is not about this journal as it stands.
    #[error(transparent)]
    Refused(#[from] AcknowledgementRefused),
}

/// Uploads everything behind the watermark, segment after segment, sealing what is not sealed yet.
/// The watermark moves only after each acknowledgement was compared with the journal. An upload that
/// is cut off goes on where it stood, with the same bytes.
///
/// # Errors
/// [`UploadError`], after which the same call can be made again.
pub fn upload<U: Uplink>(
    journal: &mut JournalFile,
    key: &dyn SegmentKey,
    uplink: &mut U,
) -> Result<Uploaded, UploadError<U::Error>> {
    let mut uploaded = Uploaded {
        records: 0,
        watermark: journal.watermark()?,
    };
    loop {
        let Some(segment) = journal.next_sealed(key.id())? else {
            if journal.seal(key, Sealing::All)? == 0 {
                return Ok(uploaded);
            }
            continue;
        };
        let first_seq = segment.first_seq;
        let acknowledgement = uplink
            .send(&segment.bytes)
            .map_err(|source| UploadError::Uplink { first_seq, source })?;
        uploaded.watermark = journal.acknowledge(first_seq, &acknowledgement)?;
        uploaded.records += uploaded.watermark + 1 - first_seq;
    }
}
