use std::path::{Path, PathBuf};

use miette::Diagnostic;
use obol_fare::Zone;
use obol_tap::TerminalName;
use obol_verifier_sdk::{Operator, Passback, WithinInterval};
use serde::Deserialize;
use thiserror::Error;

use crate::rules::{ALL_CLASSES, CLASS_COUNT, INTERVAL_MAX_S, Rules, Velocity};

/// Bytes of the longest provisioning file.
pub const PROVISIONING_MAX: usize = 16 * 1024;

const CLASS_MAX: u8 = 31;
const _: () = assert!(CLASS_MAX as usize + 1 == CLASS_COUNT);

/// What a terminal is told before its first ride. Made by hand or by the operator's tools, in
/// TOML; paths are relative to the file.
#[derive(Clone, Debug)]
pub struct Provisioning {
    /// The terminal's name.
    pub terminal: TerminalName,
    /// What it takes fares for, and how.
    pub rules: Rules,
    /// Certificate of the root CA, PEM: what the terminal believes comes from here.
    pub root: PathBuf,
    /// Certificate of the access CA, PEM: whom the terminal talks to.
    pub access: PathBuf,
    /// The terminal's certificate, PEM.
    pub certificate: PathBuf,
    /// The terminal's key, PKCS#8 PEM.
    pub key: PathBuf,
    /// Where the issuer listens, `https://HOST:PORT`.
    pub issuer_url: String,
    /// Where the platform listens to terminals, `https://HOST:PORT`.
    pub platform_url: String,
    /// The trust repository, where the deployment has one: then the trust bundle comes from there,
    /// with status lists and fare packs, and not from the issuer itself.
    pub repository: Option<Repository>,
}

/// A trust repository (docs/spec/trust.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Its base URL, `http://` or `https://`, without a slash at the end.
    pub url: String,
    /// The first root that is trusted, TUF metadata.
    pub root: PathBuf,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProvisioning {
    terminal: String,
    operator: String,
    classes: Option<Vec<u8>>,
    root: PathBuf,
    access: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    issuer_url: String,
    platform_url: String,
    repository_url: Option<String>,
    trust_root: Option<PathBuf>,
    passback_s: Option<u32>,
    #[serde(default, rename = "class")]
    passback_of: Vec<RawClass>,
    velocity_taps: Option<u32>,
    velocity_within_s: Option<u32>,
    degraded_cap_minor: Option<u32>,
    zone: Option<u8>,
}

/// What one class does within its passback interval.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClass {
    class: u8,
    passback_s: Option<u32>,
    second_code: Option<RawSecondCode>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawSecondCode {
    Refuse,
    Companion,
}

/// Why a provisioning file is not usable.
#[derive(Debug, Error, Diagnostic)]
pub enum ProvisioningError {
    /// Not TOML, a missing field or an unknown one.
    #[error("the provisioning file is not readable")]
    #[diagnostic(help("compare it with the example in the README of obol-pos"))]
    Toml {
        /// What the parser says.
        #[from]
        source: toml::de::Error,
    },
    /// A value that is not allowed.
    #[error("the provisioning file has {field} = {value:?}")]
    #[diagnostic(help("give {expected}"))]
    Value {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
}

impl Provisioning {
    /// Reads a provisioning file's text. `folder` is where the file lies.
    ///
    /// # Errors
    /// [`ProvisioningError`] names the field and the value seen.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ProvisioningError> {
        let raw: RawProvisioning = toml::from_str(text)?;
        let terminal = TerminalName::new(&raw.terminal)
            .ok_or_else(|| value("terminal", &raw.terminal, NAME))?;
        let operator =
            Operator::new(&raw.operator).ok_or_else(|| value("operator", &raw.operator, NAME))?;
        Ok(Self {
            terminal,
            rules: Rules {
                classes: classes(raw.classes)?,
                passback: passback(raw.passback_s, &raw.passback_of)?,
                velocity: velocity(raw.velocity_taps, raw.velocity_within_s)?,
                degraded_cap_minor: raw
                    .degraded_cap_minor
                    .unwrap_or(Rules::of(operator).degraded_cap_minor),
                zone: zone(raw.zone)?,
                ..Rules::of(operator)
            },
            root: folder.join(raw.root),
            access: folder.join(raw.access),
            certificate: folder.join(raw.certificate),
            key: folder.join(raw.key),
            issuer_url: https("issuer_url", raw.issuer_url)?,
            platform_url: https("platform_url", raw.platform_url)?,
            repository: repository(raw.repository_url, raw.trust_root, folder)?,
        })
    }
}

const NAME: &str = "1 to 32 characters of a-z, 0-9 and -";

fn classes(raw: Option<Vec<u8>>) -> Result<u32, ProvisioningError> {
    let Some(classes) = raw else {
        return Ok(ALL_CLASSES);
    };
    if classes.is_empty() || classes.iter().any(|class| *class > CLASS_MAX) {
        let seen = format!("{classes:?}");
        return Err(value(
            "classes",
            &seen,
            "classes of 0 to 31, or no such line for all",
        ));
    }
    Ok(classes.iter().fold(0, |mask, class| mask | 1 << class))
}

fn passback(
    default_s: Option<u32>,
    classes: &[RawClass],
) -> Result<[Passback; CLASS_COUNT], ProvisioningError> {
    let default = Passback {
        interval_s: interval("passback_s", default_s, Passback::default().interval_s)?,
        ..Passback::default()
    };
    let mut rules = [default; CLASS_COUNT];
    for raw in classes {
        let seen = raw.class.to_string();
        let rule = rules
            .get_mut(usize::from(raw.class))
            .ok_or_else(|| value("class", &seen, "a class of 0 to 31"))?;
        *rule = Passback {
            interval_s: interval("passback_s", raw.passback_s, default.interval_s)?,
            within: match raw.second_code {
                None | Some(RawSecondCode::Refuse) => WithinInterval::Refuse,
                Some(RawSecondCode::Companion) => WithinInterval::Companion,
            },
        };
    }
    Ok(rules)
}

fn velocity(taps: Option<u32>, within_s: Option<u32>) -> Result<Velocity, ProvisioningError> {
    let default = Velocity::default();
    let taps = taps.unwrap_or(default.taps);
    if taps == 0 {
        return Err(value("velocity_taps", "0", "at least 1"));
    }
    let within_s = interval("velocity_within_s", within_s, default.within_s)?;
    Ok(Velocity { taps, within_s })
}

fn interval(
    field: &'static str,
    raw: Option<u32>,
    default_s: u32,
) -> Result<u32, ProvisioningError> {
    match raw.unwrap_or(default_s) {
        seconds if seconds <= INTERVAL_MAX_S => Ok(seconds),
        seconds => Err(value(field, &seconds.to_string(), "0 to 86400 seconds")),
    }
}

fn zone(raw: Option<u8>) -> Result<Zone, ProvisioningError> {
    let number = raw.unwrap_or(Zone::NONE.number());
    let expected = "a fare zone of 1 to 63, or no such line for none";
    Zone::new(number).ok_or_else(|| value("zone", &number.to_string(), expected))
}

fn repository(
    url: Option<String>,
    root: Option<PathBuf>,
    folder: &Path,
) -> Result<Option<Repository>, ProvisioningError> {
    let (url, root) = match (url, root) {
        (None, None) => return Ok(None),
        (Some(url), Some(root)) => (url, folder.join(root)),
        (Some(url), None) => return Err(value("repository_url", &url, "trust_root as well")),
        (None, Some(root)) => {
            let seen = root.display().to_string();
            return Err(value("trust_root", &seen, "repository_url as well"));
        }
    };
    let host = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    if host.is_none_or(|host| host.is_empty() || host.ends_with('/')) {
        let expected = "an address like http://localhost:8080/trust, without a slash at the end";
        return Err(value("repository_url", &url, expected));
    }
    Ok(Some(Repository { url, root }))
}

fn https(field: &'static str, url: String) -> Result<String, ProvisioningError> {
    let address = url.strip_prefix("https://");
    if address.is_none_or(|address| address.is_empty() || address.contains('/')) {
        return Err(value(field, &url, "an address like https://localhost:8443"));
    }
    Ok(url)
}

fn value(field: &'static str, value: &str, expected: &'static str) -> ProvisioningError {
    ProvisioningError::Value {
        field,
        value: value.to_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        terminal = "bus-12"
        operator = "metro"
        classes = [1, 3]
        root = "root.pem"
        access = "/etc/obol/access.pem"
        certificate = "terminal.pem"
        key = "terminal.key"
        issuer_url = "https://localhost:8443"
        platform_url = "https://localhost:8444"
        passback_s = 60
    "#;

    fn parse(text: &str) -> Result<Provisioning, ProvisioningError> {
        Provisioning::parse(text, Path::new("/terminal"))
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let read = parse(GOOD).unwrap();
        assert_eq!(read.root, Path::new("/terminal/root.pem"));
        assert_eq!(read.access, Path::new("/etc/obol/access.pem"));
        assert_eq!(read.rules.classes, 0b1010);
        assert_eq!(read.rules.passback[1].interval_s, 60);
    }

    #[test]
    fn without_classes_and_passback_a_terminal_serves_all_and_waits_five_minutes() {
        let text = GOOD
            .replace("classes = [1, 3]", "")
            .replace("passback_s = 60", "");
        let read = parse(&text).unwrap();
        assert_eq!(read.rules.classes, ALL_CLASSES);
        assert_eq!(read.rules.passback, [Passback::default(); 32]);
        assert_eq!(read.rules.velocity, Velocity::default());
    }

    #[test]
    fn a_class_may_have_an_interval_of_its_own_and_pay_for_companions() {
        let family = "[[class]]\nclass = 3\npassback_s = 20\nsecond_code = \"companion\"\n";
        let velocity = "velocity_taps = 4\nvelocity_within_s = 900\ndegraded_cap_minor = 300\n";
        let rules = parse(&format!("{GOOD}\n{velocity}{family}")).unwrap().rules;
        let companion = Passback {
            interval_s: 20,
            within: WithinInterval::Companion,
        };
        assert_eq!(rules.passback[3], companion);
        assert_eq!(rules.passback[1].interval_s, 60);
        let (taps, within_s) = (4, 900);
        assert_eq!(rules.velocity, Velocity { taps, within_s });
        assert_eq!(rules.degraded_cap_minor, 300);
    }

    #[test]
    fn a_terminal_stands_in_no_zone_unless_one_is_named() {
        assert_eq!(parse(GOOD).unwrap().rules.zone, Zone::NONE);
        let zoned = parse(&format!("{GOOD}\nzone = 2\n")).unwrap();
        assert_eq!(zoned.rules.zone.number(), 2);
    }

    #[test]
    fn a_class_and_a_velocity_that_cannot_be_are_refused() {
        for (more, error) in [
            ("[[class]]\nclass = 32\n", r#"class = "32""#),
            (
                "[[class]]\nclass = 1\npassback_s = 86401\n",
                r#"passback_s = "86401""#,
            ),
            ("velocity_taps = 0\n", r#"velocity_taps = "0""#),
            ("zone = 64\n", r#"zone = "64""#),
            (
                "velocity_within_s = 86401\n",
                r#"velocity_within_s = "86401""#,
            ),
        ] {
            let refused = parse(&format!("{GOOD}\n{more}")).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!("the provisioning file has {error}")
            );
        }
    }

    #[test]
    fn unknown_and_missing_fields_are_refused() {
        for text in [
            GOOD.replace("passback_s", "pasback_s"),
            GOOD.replace(r#"root = "root.pem""#, ""),
            "terminal = ".to_owned(),
        ] {
            assert!(matches!(
                parse(&text).unwrap_err(),
                ProvisioningError::Toml { .. }
            ));
        }
    }

    #[test]
    fn a_value_that_is_not_allowed_is_named_with_what_was_seen() {
        for (good, bad, error) in [
            ("bus-12", "Bus 12", r#"terminal = "Bus 12""#),
            ("metro", "", r#"operator = """#),
            ("[1, 3]", "[]", r#"classes = "[]""#),
            ("[1, 3]", "[32]", r#"classes = "[32]""#),
            ("= 60", "= 86401", r#"passback_s = "86401""#),
            (
                "https://localhost:8443",
                "http://a",
                r#"issuer_url = "http://a""#,
            ),
            (
                "passback_s = 60",
                "repository_url = \"http://a/\"\ntrust_root = \"r\"",
                r#"repository_url = "http://a/""#,
            ),
            (
                "passback_s = 60",
                "repository_url = \"http://a\"",
                r#"repository_url = "http://a""#,
            ),
            (
                "passback_s = 60",
                "trust_root = \"r.json\"",
                r#"trust_root = "r.json""#,
            ),
            (
                "https://localhost:8444",
                "https://a/b",
                r#"platform_url = "https://a/b""#,
            ),
        ] {
            let refused = parse(&GOOD.replace(good, bad)).unwrap_err();
            let expected = format!("the provisioning file has {error}");
            assert_eq!(refused.to_string(), expected);
        }
    }
}
