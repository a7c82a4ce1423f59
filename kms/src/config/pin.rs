//! PINs, and where they come from.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use crate::config::{ConfigError, InvalidUri};

/// Longest PIN, in bytes: what SoftHSM accepts.
pub(super) const PIN_MAX: usize = 255;
/// Shortest PIN, in bytes.
pub(super) const PIN_MIN: usize = 4;
/// Longest name of a credential.
const CREDENTIAL_MAX: usize = 64;

/// Where a PIN is taken from, each time that a token is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinSource {
    /// A file of mode 0600 or 0400 that holds the PIN and at most one newline.
    File(PathBuf),
    /// A credential of the service manager (systemd `LoadCredential=`, `LoadCredentialEncrypted=`):
    /// a file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// The person at the terminal is asked. For commands: a service cannot be asked again when its
    /// token comes back.
    Prompt,
    /// The program has it from people, and keeps it until it ends.
    Held(HeldPin),
    /// A variable of the environment, which other processes of the user can read: in tests only.
    #[cfg(feature = "pin-from-environment")]
    Environment(String),
}

impl PinSource {
    /// `file:PATH`, `credential:NAME` or `prompt:`; relative paths start at `folder`.
    ///
    /// RFC 7512 section 2.4 leaves the meaning of `pin-source` to the application. A command to run
    /// (`|...`) is not among ours.
    pub(super) fn parse(text: &str, folder: &Path) -> Result<PinSource, InvalidUri> {
        match text.split_once(':') {
            Some(("file", path)) => file_path(path).map(|path| PinSource::File(folder.join(path))),
            Some(("credential", name)) if is_credential_name(name) => {
                Some(PinSource::Credential(name.to_owned()))
            }
            Some(("prompt", "")) => Some(PinSource::Prompt),
            #[cfg(feature = "pin-from-environment")]
            Some(("env", name)) => Some(PinSource::Environment(name.to_owned())),
            _ => None,
        }
        .ok_or(InvalidUri::PinSource)
    }

    /// Takes the PIN.
    ///
    /// # Errors
    /// [`ConfigError`]: not there, readable by others, or no PIN of 4 to 255 printable bytes.
    pub(super) fn read(&self) -> Result<Pin, ConfigError> {
        match self {
            PinSource::File(path) => read_file(path, &[0o600, 0o400]),
            PinSource::Credential(name) => {
                let folder = credentials_directory()
                    .ok_or_else(|| ConfigError::NoCredentials(name.clone()))?;
                // The service manager grants its service the read by an access list, which shows
                // as permission of the group.
                read_file(&Path::new(&folder).join(name), &[0o600, 0o400, 0o440])
            }
            PinSource::Prompt => {
                let typed = rpassword::prompt_password("PIN: ").map_err(ConfigError::Prompt)?;
                let typed = Zeroizing::new(typed);
                Pin::new(typed.as_bytes()).ok_or_else(|| ConfigError::PinShape(self.clone()))
            }
            PinSource::Held(HeldPin(pin)) => Ok(pin.copied()),
            #[cfg(feature = "pin-from-environment")]
            PinSource::Environment(name) => {
                #[allow(clippy::disallowed_methods)] // what this feature is for
                let value = std::env::var(name).map(Zeroizing::new).ok();
                let pin = value.and_then(|value| Pin::new(value.as_bytes()));
                pin.ok_or_else(|| ConfigError::PinShape(self.clone()))
            }
        }
    }
}

impl fmt::Display for PinSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinSource::File(path) => path.display().fmt(f),
            PinSource::Credential(name) => write!(f, "credential {name}"),
            PinSource::Prompt => f.write_str("the prompt"),
            PinSource::Held(_) => f.write_str("those who were asked"),
            #[cfg(feature = "pin-from-environment")]
            PinSource::Environment(name) => write!(f, "variable {name}"),
        }
    }
}

/// `file:` in the forms of RFC 8089: `/path`, `///path`; a relative path as an extension. A `%` that
/// is left after decoding could be meant either way.
fn file_path(text: &str) -> Option<&str> {
    let path = match text.strip_prefix("//") {
        Some(local) if local.starts_with('/') => local,
        Some(_) => return None,
        None => text,
    };
    (!path.is_empty() && !path.contains('%')).then_some(path)
}

fn is_credential_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=CREDENTIAL_MAX).contains(&name.len())
        && name.bytes().all(plain)
        && name != "."
        && name != ".."
}

/// The one setting that comes from the environment: systemd hands it over in no other way.
fn credentials_directory() -> Option<std::ffi::OsString> {
    std::env::var_os(OsStr::new("CREDENTIALS_DIRECTORY"))
}

/// Reads the PIN. The mode is asked of the opened file, so it cannot be swapped in between.
fn read_file(path: &Path, modes: &[u32]) -> Result<Pin, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !modes.contains(&mode) {
        return Err(ConfigError::PinMode {
            path: path.to_path_buf(),
            mode,
        });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(PIN_MAX + 2));
    file.take(PIN_MAX as u64 + 2)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let pin = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Pin::new(pin).ok_or_else(|| ConfigError::PinShape(PinSource::File(path.to_path_buf())))
}

/// A PIN in memory; two of them are equal only if they are the same one.
#[derive(Clone, Debug)]
pub struct HeldPin(Arc<Pin>);

impl HeldPin {
    /// Keeps `pin`.
    #[must_use]
    pub fn new(pin: Pin) -> HeldPin {
        HeldPin(Arc::new(pin))
    }
}

impl PartialEq for HeldPin {
    fn eq(&self, other: &HeldPin) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for HeldPin {}

/// A PIN: wiped when dropped, shown by no formatter.
pub struct Pin(AuthPin);

impl Pin {
    /// Takes 4 to 255 printable ASCII bytes; anything else is `None`.
    pub fn new(bytes: &[u8]) -> Option<Pin> {
        let text = std::str::from_utf8(bytes).ok()?;
        let printable = bytes.iter().all(u8::is_ascii_graphic);
        if !(PIN_MIN..=PIN_MAX).contains(&bytes.len()) || !printable {
            return None;
        }
        // A boxed string has no spare capacity, so it is never copied on its way into the secret.
        Some(Pin(AuthPin::from(Box::<str>::from(text))))
    }

    fn copied(&self) -> Pin {
        Pin(self.0.clone())
    }

    pub(crate) fn as_auth_pin(&self) -> &AuthPin {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}
