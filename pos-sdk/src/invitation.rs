//! What a terminal needs to begin, in one file that the issuer's operator made for it.

use std::fmt;

use miette::Diagnostic;
use obol_tap::TerminalName;
use obol_verifier_sdk::{Operator, x509::Root};
use serde::Deserialize;
use thiserror::Error;

/// Bytes of the longest file: two certificates and the metadata of a trust root.
pub const INVITATION_MAX: usize = 256 * 1024;

const VERSION: u8 = 2;
const CODE_DIGITS: usize = 32;
const NAME: &str = "1 to 32 characters of a-z, 0-9 and -";
const ADDRESS: &str = "an address like https://localhost:8443";
const REPOSITORY: &str = "an http:// or https:// address, without a slash at the end";

/// Names of the files that a terminal keeps of it.
const ROOT: &str = "root.pem";
const ACCESS: &str = "access.pem";
const TRUST_ROOT: &str = "trust-root.json";

/// A terminal's beginning: who it is, whom to believe, where to enrol, and the code for it. Made by
/// `obol-issuer enrolment-code --provisioning`; strict TOML.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// The terminal's name.
    pub terminal: TerminalName,
    /// Whose fares it takes.
    pub operator: Operator,
    /// Good for this terminal, one key and a day.
    pub code: EnrolmentCode,
    /// The enrolment listener, `https://HOST:PORT`.
    pub enrolment_url: String,
    issuer_url: String,
    platform_url: String,
    access_ca: String,
    root_ca: String,
    repository: Option<(String, String)>,
}

/// 32 lower-case hexadecimal digits that nobody else may see.
#[derive(Clone)]
pub struct EnrolmentCode(String);

impl EnrolmentCode {
    /// For the issuer alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EnrolmentCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolmentCode")
    }
}

/// Why a file is no invitation. No message repeats the code.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum InvitationError {
    /// Not TOML, a missing key or an unknown one.
    #[error("{0}")]
    Toml(String),
    /// Of another release.
    #[error("version {0}, not {VERSION}")]
    Version(u8),
    /// A value that is not allowed; it is not repeated.
    #[error("{key} is not {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it may hold.
        expected: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    version: u8,
    terminal: String,
    operator: String,
    code: String,
    /// For people: the issuer judges it by its own clock.
    #[serde(rename = "code_expires_at")]
    _code_expires_at: u32,
    enrolment_url: String,
    issuer_url: String,
    platform_url: String,
    access_ca: String,
    root_ca: String,
    repository_url: Option<String>,
    trust_root: Option<String>,
}

impl Invitation {
    /// Reads the file's text.
    ///
    /// # Errors
    /// [`InvitationError`] names the key.
    pub fn parse(text: &str) -> Result<Self, InvitationError> {
        // The parser's own text would quote the line, and with it perhaps the code.
        let raw: Raw = toml::from_str(text)
            .map_err(|error: toml::de::Error| InvitationError::Toml(error.message().to_owned()))?;
        if raw.version != VERSION {
            return Err(InvitationError::Version(raw.version));
        }
        let terminal = TerminalName::new(&raw.terminal).ok_or(value("terminal", NAME))?;
        let operator = Operator::new(&raw.operator).ok_or(value("operator", NAME))?;
        let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if raw.code.len() != CODE_DIGITS || !raw.code.bytes().all(digits) {
            return Err(value("code", "32 lower-case hexadecimal digits"));
        }
        if Root::from_pem(raw.root_ca.as_bytes()).is_err() {
            return Err(value("root_ca", "the root CA's certificate, PEM"));
        }
        Ok(Self {
            terminal,
            operator,
            code: EnrolmentCode(raw.code),
            enrolment_url: https("enrolment_url", raw.enrolment_url)?,
            issuer_url: https("issuer_url", raw.issuer_url)?,
            platform_url: https("platform_url", raw.platform_url)?,
            access_ca: raw.access_ca,
            root_ca: raw.root_ca,
            repository: repository(raw.repository_url, raw.trust_root)?,
        })
    }

    /// What becomes a terminal's `terminal.toml`, all but the code.
    pub(crate) fn provisioning(&self) -> String {
        let mut lines = vec![
            ("terminal", self.terminal.as_str()),
            ("operator", self.operator.as_str()),
            ("root", ROOT),
            ("access", ACCESS),
            ("certificate", "terminal.pem"),
            ("key", "terminal.key"),
            ("issuer_url", self.issuer_url.as_str()),
            ("platform_url", self.platform_url.as_str()),
        ];
        if let Some((url, _)) = &self.repository {
            lines.extend([("repository_url", url.as_str()), ("trust_root", TRUST_ROOT)]);
        }
        // Checked before: no value has a quote, a backslash or a control character.
        let line = |(key, value)| format!("{key} = \"{value}\"\n");
        lines.into_iter().map(line).collect()
    }

    /// The access CA's certificate, PEM.
    pub(crate) fn access_ca(&self) -> &str {
        &self.access_ca
    }

    /// The root CA's certificate, PEM.
    pub(crate) fn root_ca(&self) -> &str {
        &self.root_ca
    }

    /// The root of the trust repository to start from, where there is one.
    pub(crate) fn trust_root(&self) -> Option<&str> {
        self.repository.as_ref().map(|(_, root)| root.as_str())
    }
}

fn https(key: &'static str, url: String) -> Result<String, InvitationError> {
    let host = url.strip_prefix("https://");
    match host {
        Some(host) if !host.is_empty() && plain(host) && !host.contains('/') => Ok(url),
        _ => Err(value(key, ADDRESS)),
    }
}

fn repository(
    url: Option<String>,
    root: Option<String>,
) -> Result<Option<(String, String)>, InvitationError> {
    let (url, root) = match (url, root) {
        (None, None) => return Ok(None),
        (Some(url), Some(root)) => (url, root),
        (Some(_), None) => return Err(value("trust_root", "there, beside repository_url")),
        (None, Some(_)) => return Err(value("repository_url", "there, beside trust_root")),
    };
    let host = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && plain(host) && !host.ends_with('/') => {
            Ok(Some((url, root)))
        }
        _ => Err(value("repository_url", REPOSITORY)),
    }
}

fn plain(text: &str) -> bool {
    let quoting = |byte: u8| matches!(byte, b'"' | b'\\');
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && !quoting(byte))
}

fn value(key: &'static str, expected: &'static str) -> InvitationError {
    InvitationError::Value { key, expected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Provisioning;
    use std::path::Path;

    fn root() -> String {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    fn good() -> String {
        let code = "0a".repeat(16);
        format!(
            "version = 2\nterminal = 'bus-7'\noperator = 'metro'\ncode = '{code}'\n\
             code_expires_at = 1800000000\nenrolment_url = 'https://issuer.test:7002'\n\
             issuer_url = 'https://issuer.test:7001'\nplatform_url = 'https://platform.test'\n\
             access_ca = 'any'\nroot_ca = '''{}'''\n\
             repository_url = 'http://trust.test/a'\ntrust_root = '{{}}'\n",
            root()
        )
    }

    #[test]
    fn a_terminal_s_own_file_is_made_from_it_without_the_code() {
        let invitation = Invitation::parse(&good()).unwrap();
        assert_eq!(invitation.code.reveal(), "0a".repeat(16));
        assert!(!format!("{invitation:?}").contains("0a0a"));
        let made = invitation.provisioning();
        assert!(!made.contains("0a0a"), "{made}");
        let read = Provisioning::parse(&made, Path::new("/bus")).unwrap();
        assert_eq!(read.terminal, invitation.terminal);
        assert_eq!(read.rules.operator, invitation.operator);
        assert_eq!(read.access, Path::new("/bus/access.pem"));
        let repository = read.repository.unwrap();
        assert_eq!(repository.url, "http://trust.test/a");
        assert_eq!(repository.root, Path::new("/bus/trust-root.json"));
    }

    #[test]
    fn every_value_is_judged_and_none_is_repeated() {
        let whole = good();
        for (from, to, refused) in [
            ("version = 2", "version = 1", "version 1, not 2"),
            (
                "'bus-7'",
                "'Bus 7'",
                "terminal is not 1 to 32 characters of a-z, 0-9 and -",
            ),
            (
                "code = '0a",
                "code = '0A",
                "code is not 32 lower-case hexadecimal digits",
            ),
            (
                "'https://issuer.test:7002'",
                "'http://issuer.test:7002'",
                "enrolment_url is not an address like https://localhost:8443",
            ),
            (
                "'https://platform.test'",
                "'https://platform.test\"'",
                "platform_url is not an address like https://localhost:8443",
            ),
            (
                "BEGIN CERTIFICATE",
                "BEGUN CERTIFICATE",
                "root_ca is not the root CA's certificate, PEM",
            ),
            (
                "trust_root = '{}'\n",
                "",
                "trust_root is not there, beside repository_url",
            ),
            (
                "http://trust.test/a",
                "http://trust.test/a/",
                "repository_url is not an http:// or https:// address, without a slash at the end",
            ),
        ] {
            assert!(whole.contains(from), "{from}");
            let read = Invitation::parse(&whole.replacen(from, to, 1));
            assert_eq!(read.map(drop).unwrap_err().to_string(), refused);
        }
        let more = Invitation::parse(&format!("{whole}pin = 1\n")).map(drop);
        let more = more.unwrap_err().to_string();
        assert!(more.starts_with("unknown field `pin`"), "{more}");
        let cut = Invitation::parse(&whole.replace("code = '0a", "code = 0a")).map(drop);
        let cut = cut.unwrap_err().to_string();
        assert!(!cut.contains("0a0a"), "{cut}");
    }
}
