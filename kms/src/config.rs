//! `NAME.token.toml`: which token, and where its PIN is.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cryptoki::types::AuthPin;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Largest token file that is read, in bytes.
const CONFIG_MAX: u64 = 16 * 1024;
/// Longest PIN, in bytes: what SoftHSM accepts.
const PIN_MAX: usize = 255;
/// Shortest PIN, in bytes.
const PIN_MIN: usize = 4;

/// One token: addressed by label *and* serial, never by slot, because slot numbers change when a
/// token is initialised or a device is plugged elsewhere.
///
/// ```toml
/// module = "/usr/lib/softhsm/libsofthsm2.so" # PKCS#11 library; relative paths start at this file
/// label = "issuer"                           # as the module reports it
/// serial = "a1b2c3d4e5f60718"                # as the module reports it
/// pin_file = "issuer.pin"                    # mode 0600 or 0400, the PIN and at most one newline
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// Token label.
    pub label: String,
    /// Token serial number.
    pub serial: String,
    /// File that holds the user PIN.
    pub pin_file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTokenConfig {
    module: PathBuf,
    label: String,
    serial: String,
    pin_file: PathBuf,
}

/// Why a token file or its PIN was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is larger than any sensible configuration.
    #[error("{} is longer than {CONFIG_MAX} bytes", .0.display())]
    TooLong(PathBuf),
    /// The file is no strict TOML of this shape.
    #[error("{} is not a valid configuration", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Place and reason.
        source: Box<toml::de::Error>,
    },
    /// A value is out of its range.
    #[error("{}: {reason}", path.display())]
    Range {
        /// The file.
        path: PathBuf,
        /// Key, value and range.
        reason: String,
    },
    /// A PIN that others could read is no secret.
    #[error("PIN file {} has mode {mode:04o}", path.display())]
    PinMode {
        /// The PIN file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The PIN's length is impossible.
    #[error("PIN file {} does not hold a PIN of {PIN_MIN} to {PIN_MAX} printable bytes", .0.display())]
    PinShape(PathBuf),
}

impl TokenConfig {
    /// Reads a token file. Relative paths inside it start at its own folder.
    ///
    /// # Errors
    /// [`ConfigError`]: unreadable, too long, or not exactly the four keys.
    pub fn load(path: &Path) -> Result<TokenConfig, ConfigError> {
        let text = read_config(path)?;
        let raw: RawTokenConfig = toml::from_str(&text).map_err(|source| ConfigError::Syntax {
            path: path.to_path_buf(),
            source: Box::new(source),
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        Ok(TokenConfig {
            module: folder.join(raw.module),
            label: raw.label,
            serial: raw.serial,
            pin_file: folder.join(raw.pin_file),
        })
    }

    /// Reads the PIN. The mode is asked of the opened file, so it cannot be swapped in between.
    ///
    /// # Errors
    /// [`ConfigError::PinMode`] unless the mode is 0600 or 0400; [`ConfigError::PinShape`].
    pub fn read_pin(&self) -> Result<Pin, ConfigError> {
        let path = &self.pin_file;
        let failed = |source| ConfigError::Read {
            path: path.clone(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode != 0o600 && mode != 0o400 {
            return Err(ConfigError::PinMode {
                path: path.clone(),
                mode,
            });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(PIN_MAX + 2));
        file.take(PIN_MAX as u64 + 2)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let pin = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        Pin::new(pin).ok_or_else(|| ConfigError::PinShape(path.clone()))
    }
}

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

    pub(crate) fn as_auth_pin(&self) -> &AuthPin {
        &self.0
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// Reads a configuration file of bounded size.
pub(crate) fn read_config(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.size() > CONFIG_MAX {
        return Err(ConfigError::TooLong(path.to_path_buf()));
    }
    let mut text = String::new();
    file.take(CONFIG_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}
