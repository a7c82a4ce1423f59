//! Witnesses: Ed25519 with a time, signature type 0x04 (c2sp.org/tlog-cosignature).

use alloc::{borrow::ToOwned, format, string::String};

use data_encoding::BASE64;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::log_key::SignatureRefused;
use crate::note::{KeyId, Note, SignatureLine, is_name};
use crate::vkey::{self, VkeyError};

const COSIGNATURE: u8 = 0x04;
const PRIVATE: &str = "PRIVATE+KEY+";
/// The specification's bound on timestamps: they stay positive where they are signed.
const TIME_MAX: u64 = i64::MAX.unsigned_abs();

/// A witness's name and public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    key: VerifyingKey,
    key_id: KeyId,
}

/// A witness's private key; wiped from memory when dropped, shown by no `Debug`.
pub struct WitnessSigner {
    public: WitnessKey,
    key: SigningKey,
}

/// A cosignature that was checked: the witness saw this tree head, consistent with all it had seen
/// before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// When, seconds since 1970 UTC, by the witness's clock.
    pub at: u64,
}

impl WitnessKey {
    fn new(name: &str, key: VerifyingKey) -> Option<Self> {
        let digest = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', COSIGNATURE])
            .chain_update(key.as_bytes())
            .finalize();
        let key_id = KeyId(*digest.first_chunk()?);
        (is_name(name) && !key.is_weak()).then(|| Self {
            name: name.to_owned(),
            key,
            key_id,
        })
    }

    /// Reads `NAME+KEYID+BASE64`.
    ///
    /// # Errors
    /// [`VkeyError`].
    pub fn from_vkey(text: &str) -> Result<Self, VkeyError> {
        let vkey = vkey::parse(text, COSIGNATURE)?;
        let bytes: [u8; 32] = vkey.key[..].try_into().map_err(|_| VkeyError::Key)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| VkeyError::Key)?;
        let key = Self::new(vkey.name, key).ok_or(VkeyError::Key)?;
        vkey.demand_id(key.key_id)?;
        Ok(key)
    }

    /// The key as one line for configurations and command lines.
    #[must_use]
    pub fn to_vkey(&self) -> String {
        vkey::to_text(&self.name, self.key_id, COSIGNATURE, self.key.as_bytes())
    }

    /// The witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256(name || newline || 0x04 || key).
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Checks that the note carries this witness's cosignature; the latest one when there are
    /// several. Lines by other keys are ignored.
    ///
    /// # Errors
    /// [`SignatureRefused`].
    pub fn verify(&self, note: &Note) -> Result<Cosigned, SignatureRefused> {
        let (name, key_id) = (self.name.clone(), self.key_id);
        let mut latest = None;
        for line in note.by(&self.name, key_id) {
            match self.holds(note.text(), line) {
                Some(at) => latest = latest.max(Some(at)),
                None => return Err(SignatureRefused::Wrong { name, key_id }),
            }
        }
        latest
            .map(|at| Cosigned { at })
            .ok_or(SignatureRefused::Missing { name, key_id })
    }

    fn holds(&self, text: &str, line: &SignatureLine) -> Option<u64> {
        let (time, signature) = line.signature.split_first_chunk::<8>()?;
        let at = u64::from_be_bytes(*time);
        let signature = Signature::from_slice(signature).ok()?;
        let message = message(text, at);
        let good = self.key.verify_strict(message.as_bytes(), &signature);
        (at <= TIME_MAX && good.is_ok()).then_some(at)
    }
}

impl WitnessSigner {
    /// A key from its 32 secret bytes; `None` for a name that no key may have.
    #[must_use]
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Option<Self> {
        let key = SigningKey::from_bytes(seed);
        let public = WitnessKey::new(name, key.verifying_key())?;
        Some(Self { public, key })
    }

    /// Reads the key's file: `PRIVATE+KEY+NAME+KEYID+BASE64(0x04 || seed)` and a newline.
    ///
    /// # Errors
    /// [`VkeyError`]; it shows nothing of the secret.
    pub fn from_text(text: &str) -> Result<Self, VkeyError> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_prefix(PRIVATE).ok_or(VkeyError::Shape)?;
        let vkey = vkey::parse(line, COSIGNATURE)?;
        let secret = Zeroizing::new(vkey.key.clone());
        let seed: Zeroizing<[u8; 32]> =
            Zeroizing::new(secret[..].try_into().map_err(|_| VkeyError::Key)?);
        let signer = Self::from_seed(vkey.name, &seed).ok_or(VkeyError::Key)?;
        vkey.demand_id(signer.public.key_id)?;
        Ok(signer)
    }

    /// The key as its file holds it.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut secret = Zeroizing::new([COSIGNATURE; 33]);
        secret[1..].copy_from_slice(self.key.as_bytes());
        let (name, key_id) = (&self.public.name, self.public.key_id);
        Zeroizing::new(format!(
            "{PRIVATE}{name}+{key_id}+{}\n",
            BASE64.encode(&secret[..])
        ))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &WitnessKey {
        &self.public
    }

    /// Signs a checkpoint's text at `now`, seconds since 1970 UTC. Private to the witness's rules:
    /// whoever cosigns has checked consistency first.
    pub(crate) fn cosign(&self, text: &str, now: u64) -> SignatureLine {
        let at = now.min(TIME_MAX);
        let signature = self.key.sign(message(text, at).as_bytes());
        let mut bytes = at.to_be_bytes().to_vec();
        bytes.extend_from_slice(&signature.to_bytes());
        SignatureLine {
            name: self.public.name.clone(),
            key_id: self.public.key_id,
            signature: bytes,
        }
    }
}

impl core::fmt::Debug for WitnessSigner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WitnessSigner")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

fn message(text: &str, at: u64) -> String {
    format!("cosignature/v1\ntime {at}\n{text}")
}
