//! An officer's private key in a file.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use obol_console::{FileError, Mode, write_new_atomically};
use obol_kms_registry::OfficerKey;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::failure::registry::{KeyFileMode, NotAnOfficersKey};

/// Largest key file, in bytes.
const KEY_FILE_MAX: u64 = 4_096;

/// A P-256 private key; zeroed when dropped, shown by no formatter.
pub(crate) struct OfficerSecret(SigningKey);

impl OfficerSecret {
    pub(crate) fn generate() -> Result<OfficerSecret, Failure> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).map_err(|error| {
            Failure::with_help(error, "the system's random generator does not answer")
        })?;
        // Out of range once in 2^32: running the command again draws another.
        let key = SigningKey::from_slice(bytes.as_ref())
            .map_err(|error| Failure::with_help(error, "run it again"))?;
        Ok(OfficerSecret(key))
    }

    /// PKCS#8 PEM, mode 0600.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let pem = self
            .0
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| NotAnOfficersKey(path.to_path_buf()))?;
        Ok(write_new_atomically(path, pem.as_bytes(), Mode::Private)?)
    }

    /// The mode is asked of the opened file, so it cannot be swapped in between.
    pub(crate) fn read(path: &Path) -> Result<OfficerSecret, Failure> {
        let failed = |source| FileError::Read {
            path: path.to_path_buf(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode != 0o600 && mode != 0o400 {
            let path = path.to_path_buf();
            return Err(KeyFileMode { path, mode }.into());
        }
        let mut pem = Zeroizing::new(String::with_capacity(KEY_FILE_MAX as usize));
        file.take(KEY_FILE_MAX)
            .read_to_string(&mut pem)
            .map_err(failed)?;
        let key =
            SigningKey::from_pkcs8_pem(&pem).map_err(|_| NotAnOfficersKey(path.to_path_buf()))?;
        Ok(OfficerSecret(key))
    }

    pub(crate) fn public(&self) -> OfficerKey {
        let point = self.0.verifying_key().to_sec1_point(true);
        let bytes = point.as_bytes().try_into().ok();
        bytes
            .and_then(OfficerKey::from_sec1)
            .expect("a compressed point of P-256")
    }

    /// ECDSA with SHA-256, raw r || s.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.0.sign(message);
        signature.to_bytes().into()
    }
}
