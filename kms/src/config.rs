//! `NAME.token.toml` and PKCS#11 URIs: which token, and where its PIN is.

mod pin;
mod uri;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::module::TokenSummary;
use pin::{PIN_MAX, PIN_MIN};
use uri::Pkcs11Uri;

pub use pin::{HeldPin, Pin, PinSource};
pub use uri::InvalidUri;

/// Largest token file that is read, in bytes.
const CONFIG_MAX: u64 = 16 * 1024;

/// One token: addressed by label *and* serial, never by slot, because slot numbers change when a
/// token is initialised or a device is plugged elsewhere.
///
/// ```toml
/// module = "/usr/lib/softhsm/libsofthsm2.so" # PKCS#11 library; relative paths start at this file
/// label = "issuer"                           # as the module reports it
/// serial = "a1b2c3d4e5f60718"                # as the module reports it
/// pin_file = "issuer.pin"                    # mode 0600 or 0400, the PIN and at most one newline
/// ```
///
/// or one PKCS#11 URI (RFC 7512) with `token`, `serial`, `module-path` and `pin-source`
/// (`file:PATH`, `credential:NAME` or `prompt:`); `model` and `manufacturer` are compared if they
/// are there:
///
/// ```toml
/// uri = "pkcs11:token=issuer;serial=a1b2c3d4e5f60718?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=credential:issuer-pin"
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// Token label.
    pub label: String,
    /// Token serial number.
    pub serial: String,
    /// Model that the token must have; `None` accepts any.
    pub model: Option<String>,
    /// Manufacturer that the token must have; `None` accepts any.
    pub manufacturer: Option<String>,
    /// Where the user PIN comes from.
    pub pin: PinSource,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTokenConfig {
    module: PathBuf,
    label: String,
    serial: String,
    pin_file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUri {
    uri: String,
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
    #[error("{0} does not hold a PIN of {PIN_MIN} to {PIN_MAX} printable bytes")]
    PinShape(PinSource),
    /// A credential is asked for, and no service manager has passed any.
    #[error("PIN credential {0:?} was not passed: $CREDENTIALS_DIRECTORY is not set")]
    NoCredentials(String),
    /// Nobody could be asked.
    #[error("no PIN could be asked for at the terminal")]
    Prompt(#[source] std::io::Error),
    /// The URI selects no token, or in a way that is refused.
    #[error("the PKCS#11 URI is refused: {0}")]
    Uri(#[from] InvalidUri),
}

impl TokenConfig {
    /// Reads a token file. Relative paths inside it start at its own folder.
    ///
    /// # Errors
    /// [`ConfigError`]: unreadable, too long, not exactly the four keys or the one, or a URI that
    /// is refused.
    pub fn load(path: &Path) -> Result<TokenConfig, ConfigError> {
        let text = read_config(path)?;
        let syntax = |source| ConfigError::Syntax {
            path: path.to_path_buf(),
            source: Box::new(source),
        };
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let table: toml::Table = toml::from_str(&text).map_err(syntax)?;
        if table.contains_key("uri") {
            let RawUri { uri } = toml::from_str(&text).map_err(syntax)?;
            return TokenConfig::of_uri(&uri, folder);
        }
        let raw: RawTokenConfig = toml::from_str(&text).map_err(syntax)?;
        Ok(TokenConfig {
            module: folder.join(raw.module),
            label: raw.label,
            serial: raw.serial,
            model: None,
            manufacturer: None,
            pin: PinSource::File(folder.join(raw.pin_file)),
        })
    }

    /// Reads the argument of `--token`: a PKCS#11 URI, or the path of a token file. Relative paths
    /// in a URI start at the current folder.
    ///
    /// # Errors
    /// [`ConfigError`], as [`TokenConfig::load`].
    pub fn of_argument(argument: &Path) -> Result<TokenConfig, ConfigError> {
        match argument.to_str() {
            Some(text) if text.starts_with("pkcs11:") => TokenConfig::of_uri(text, Path::new("")),
            _ => TokenConfig::load(argument),
        }
    }

    /// Reads a PKCS#11 URI (RFC 7512); relative paths in it start at `folder`.
    ///
    /// # Errors
    /// [`ConfigError::Uri`]: `token`, `serial`, `module-path` or `pin-source` is missing, an
    /// attribute selects something else, or the PIN stands in the URI.
    pub fn of_uri(text: &str, folder: &Path) -> Result<TokenConfig, ConfigError> {
        let uri = Pkcs11Uri::parse(text)?;
        uri.only_a_token()?;
        let path = |name: &'static str| match uri.path(name)? {
            Some(value) if !value.is_empty() => Ok(Some(value.to_owned())),
            _ => Ok::<_, InvalidUri>(None),
        };
        let source = uri
            .query("pin-source")?
            .ok_or(InvalidUri::Missing("pin-source"))?;
        let module = uri
            .query("module-path")?
            .filter(|module| !module.is_empty())
            .ok_or(InvalidUri::Missing("module-path"))?;
        Ok(TokenConfig {
            module: folder.join(module),
            label: path("token")?.ok_or(InvalidUri::Missing("token"))?,
            serial: path("serial")?.ok_or(InvalidUri::Missing("serial"))?,
            model: path("model")?,
            manufacturer: path("manufacturer")?,
            pin: PinSource::parse(source, folder)?,
        })
    }

    /// Takes the PIN from where it is.
    ///
    /// # Errors
    /// [`ConfigError::PinMode`] when others could read it; [`ConfigError::PinShape`];
    /// [`ConfigError::NoCredentials`]; [`ConfigError::Prompt`].
    pub fn read_pin(&self) -> Result<Pin, ConfigError> {
        self.pin.read()
    }

    /// Whether this is the token.
    pub(crate) fn selects(&self, token: &TokenSummary) -> bool {
        let same = |wanted: &Option<String>, found| wanted.as_ref().is_none_or(|w| w == found);
        token.label == self.label
            && token.serial == self.serial
            && same(&self.model, &token.model)
            && same(&self.manufacturer, &token.manufacturer)
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

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str =
        "pkcs11:token=the%20issuer;serial=a1b2?module-path=/lib/p11.so&pin-source=file:issuer.pin";

    fn of(text: &str) -> Result<TokenConfig, ConfigError> {
        TokenConfig::of_uri(text, Path::new("/etc/obol"))
    }

    fn refusal(text: &str) -> InvalidUri {
        match of(text) {
            Err(ConfigError::Uri(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_uri_says_what_the_four_keys_say() {
        let config = TokenConfig {
            module: "/lib/p11.so".into(),
            label: "the issuer".to_owned(),
            serial: "a1b2".to_owned(),
            model: None,
            manufacturer: None,
            pin: PinSource::File("/etc/obol/issuer.pin".into()),
        };
        assert_eq!(of(WHOLE).unwrap(), config);
        // As p11tool prints it.
        let more = WHOLE.replace("pkcs11:", "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM;");
        let config = of(&more).unwrap();
        assert_eq!(config.model.as_deref(), Some("SoftHSM v2"));
        assert_eq!(config.manufacturer.as_deref(), Some("SoftHSM"));
    }

    #[test]
    fn a_token_file_holds_the_four_keys_or_the_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.token.toml");
        std::fs::write(&path, format!("uri = '{WHOLE}'\n")).unwrap();
        let config = TokenConfig::load(&path).unwrap();
        assert_eq!(
            config.pin,
            PinSource::File(folder.path().join("issuer.pin"))
        );
        std::fs::write(&path, format!("uri = '{WHOLE}'\nlabel = 'l'\n")).unwrap();
        let both = TokenConfig::load(&path);
        assert!(matches!(both, Err(ConfigError::Syntax { .. })));
    }

    #[test]
    fn what_a_uri_lacks_is_named() {
        for (part, name) in [
            ("token=the%20issuer;", "token"),
            ("serial=a1b2", "serial"),
            ("module-path=/lib/p11.so&", "module-path"),
            ("&pin-source=file:issuer.pin", "pin-source"),
        ] {
            let text = WHOLE.replace(part, "").replace(";?", "?");
            assert_eq!(refusal(&text), InvalidUri::Missing(name), "{text}");
        }
        let empty = WHOLE.replace("serial=a1b2", "serial=");
        assert_eq!(refusal(&empty), InvalidUri::Missing("serial"));
    }

    #[test]
    fn a_pin_in_the_uri_is_refused_and_not_repeated() {
        let text = WHOLE.replace("pin-source=file:issuer.pin", "pin-value=hunter2");
        let error = of(&text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the PKCS#11 URI is refused: pin-value is refused: it puts the PIN into files, process \
             lists and logs"
        );
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn a_pin_comes_from_a_file_a_credential_or_a_person() {
        let source = |text: &str| PinSource::parse(text, Path::new("/f"));
        let file = |path: &str| Ok(PinSource::File(path.into()));
        assert_eq!(source("file:/p"), file("/p"));
        assert_eq!(source("file:///p"), file("/p"));
        assert_eq!(source("file:p"), file("/f/p"));
        let credential = PinSource::Credential("issuer-pin.1".to_owned());
        assert_eq!(source("credential:issuer-pin.1"), Ok(credential));
        assert_eq!(source("prompt:"), Ok(PinSource::Prompt));
        for refused in [
            "",
            "/etc/pin",
            "file:",
            "file://host/p",
            "file:a%20b",
            "|cat /p",
            "prompt:now",
            "credential:",
            "credential:..",
            "credential:a/b",
            "https://pins",
            "value:1234",
        ] {
            assert_eq!(source(refused), Err(InvalidUri::PinSource), "{refused}");
        }
    }

    #[cfg(not(feature = "pin-from-environment"))]
    #[test]
    fn a_pin_does_not_come_from_the_environment() {
        let source = PinSource::parse("env:PIN", Path::new(""));
        assert_eq!(source, Err(InvalidUri::PinSource));
    }

    #[cfg(feature = "pin-from-environment")]
    #[test]
    fn a_test_may_take_the_pin_from_the_environment() {
        // Cargo sets it for every test it runs.
        let source = PinSource::parse("env:CARGO_PKG_NAME", Path::new("")).unwrap();
        source.read().unwrap();
        let source = PinSource::parse("env:OBOL_NO_SUCH_VARIABLE", Path::new("")).unwrap();
        assert!(matches!(source.read(), Err(ConfigError::PinShape(_))));
    }
}
