//! The configuration as it stands in the file, and the way to the checked one.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use obol_kms_client::SpkiId;
use obol_verifier_sdk::Operator;
use serde::Deserialize;

use super::templates::Templates;
use super::{Config, ConfigError, EnrolmentConfig, TerminalsConfig, TlsFiles};
use crate::clients::{Client, Clients, Registration};
use crate::issuance::Policy;
use crate::publisher::Settings;

const HOUR_S: u32 = 3600;
const DAY_S: u32 = 24 * HOUR_S;
const BUNDLE_LIFE_HOURS: RangeInclusive<u32> = 1..=720;
const STATUS_LIST_SIZE: RangeInclusive<u32> = 1 << 10..=1 << 24;
const KEEP_DAYS: RangeInclusive<u32> = 3..=400;
const SAMPLE_PERCENT: RangeInclusive<u8> = 0..=100;
const DAILY_QUOTA: RangeInclusive<u32> = 1..=100_000_000;
const CERTIFICATE_DAYS: RangeInclusive<u32> = 1..=366;
const SHARDS_MAX: usize = 16;

// What is deleted has expired: a credential of the oldest day that is kept, and a day of slack.
const _: () = assert!(*KEEP_DAYS.start() * DAY_S >= obol_credential::LIFE_MAX_S + DAY_S);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    listen: SocketAddr,
    database: PathBuf,
    kms_socket: PathBuf,
    pub(super) templates: PathBuf,
    #[serde(default = "bundle_life_hours")]
    bundle_life_hours: u32,
    #[serde(default = "status_list_size")]
    status_list_size: u32,
    #[serde(default = "keep_days")]
    keep_days: u32,
    #[serde(default = "sample_percent")]
    sample_percent: u8,
    #[serde(default = "daily_quota")]
    daily_quota: u32,
    tls: RawTls,
    keys: RawKeys,
    enrolment: Option<RawEnrolment>,
    terminals: Option<RawTerminals>,
    clients: Vec<RawClient>,
    publisher: Option<RawPublisher>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPublisher {
    repository: PathBuf,
    offline: PathBuf,
    state: PathBuf,
    timestamp: String,
    snapshot: String,
    denylist: String,
    fares: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEnrolment {
    listen: SocketAddr,
    kms_socket: PathBuf,
    #[serde(default = "certificate_days")]
    certificate_days: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTerminals {
    operator: String,
    enrolment_url: String,
    issuer_url: String,
    platform_url: String,
    root: PathBuf,
    repository_url: Option<String>,
    trust_root: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    certificate: PathBuf,
    key: PathBuf,
    trust: PathBuf,
    crl: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeys {
    signing: OneOrMore,
    #[serde(default)]
    published: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(PathBuf),
    More(Vec<PathBuf>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClient {
    uri: String,
    spki: String,
    daily_quota: Option<u32>,
}

fn bundle_life_hours() -> u32 {
    96
}

fn status_list_size() -> u32 {
    1 << 20
}

fn keep_days() -> u32 {
    35
}

fn sample_percent() -> u8 {
    1
}

fn certificate_days() -> u32 {
    90
}

fn daily_quota() -> u32 {
    1_000_000
}

impl Raw {
    pub(super) fn check(self, folder: &Path, templates: Templates) -> Result<Config, ConfigError> {
        let (bundle, keep) = (self.bundle_life_hours, self.keep_days);
        in_range("bundle_life_hours", bundle, &BUNDLE_LIFE_HOURS, "1 to 720")?;
        in_range("keep_days", keep, &KEEP_DAYS, "3 to 400")?;
        in_range(
            "sample_percent",
            self.sample_percent,
            &SAMPLE_PERCENT,
            "0 to 100",
        )?;
        in_range(
            "daily_quota",
            self.daily_quota,
            &DAILY_QUOTA,
            "1 to 100000000",
        )?;
        let size = self.status_list_size;
        if !STATUS_LIST_SIZE.contains(&size) || !size.is_power_of_two() {
            let expected = "a power of two from 1024 to 16777216";
            return Err(value("status_list_size", size, expected));
        }
        let enrolment = self.enrolment.map(|raw| raw.check(folder)).transpose()?;
        if enrolment.is_some() && self.tls.crl.is_none() {
            return Err(value(
                "crl",
                "missing",
                "a file, as enrolment revokes by it",
            ));
        }
        Ok(Config {
            listen: self.listen,
            database: folder.join(self.database),
            kms_socket: folder.join(self.kms_socket),
            bundle_life_s: bundle * HOUR_S,
            policy: Policy {
                life_s: templates.life_s,
                status_list_size: size,
                keep_s: keep * DAY_S,
                sample_percent: self.sample_percent,
                templates: templates.by_class,
            },
            tls: TlsFiles {
                certificate: folder.join(self.tls.certificate),
                key: folder.join(self.tls.key),
                trust: folder.join(self.tls.trust),
                crl: self.tls.crl.map(|path| folder.join(path)),
            },
            signing_certificates: signing(self.keys.signing, folder)?,
            published_certificates: self.keys.published.iter().map(|p| folder.join(p)).collect(),
            clients: clients(&self.clients, self.daily_quota)?,
            publisher: match self.publisher {
                Some(raw) => Some(raw.check(folder)?),
                None => None,
            },
            daily_quota: self.daily_quota,
            enrolment,
            terminals: self.terminals.map(|raw| raw.check(folder)).transpose()?,
        })
    }
}

impl RawPublisher {
    fn check(&self, folder: &Path) -> Result<Settings, ConfigError> {
        let key = |name: &'static str, text: &str| {
            let expected = "64 lower-case hexadecimal digits";
            text.parse::<SpkiId>()
                .map_err(|_| value(name, text, expected))
        };
        Ok(Settings {
            repository: folder.join(&self.repository),
            offline: folder.join(&self.offline),
            state: folder.join(&self.state),
            keys: [
                key("timestamp", &self.timestamp)?,
                key("snapshot", &self.snapshot)?,
                key("denylist", &self.denylist)?,
                key("fares", &self.fares)?,
            ],
        })
    }
}

impl RawEnrolment {
    fn check(self, folder: &Path) -> Result<EnrolmentConfig, ConfigError> {
        let days = self.certificate_days;
        in_range("certificate_days", days, &CERTIFICATE_DAYS, "1 to 366")?;
        Ok(EnrolmentConfig {
            listen: self.listen,
            kms_socket: folder.join(self.kms_socket),
            certificate_days: days,
        })
    }
}

impl RawTerminals {
    fn check(self, folder: &Path) -> Result<TerminalsConfig, ConfigError> {
        let operator = Operator::new(&self.operator).ok_or_else(|| {
            value(
                "operator",
                &self.operator,
                "1 to 32 characters of a-z 0-9 -",
            )
        })?;
        let repository = match (self.repository_url, self.trust_root) {
            (None, None) => None,
            (Some(url), Some(root)) => Some((
                address("repository_url", url, Scheme::Any)?,
                folder.join(root),
            )),
            (Some(url), None) => {
                return Err(value("repository_url", url, "beside a trust_root"));
            }
            (None, Some(root)) => {
                let root = root.display();
                return Err(value("trust_root", root, "beside a repository_url"));
            }
        };
        Ok(TerminalsConfig {
            operator,
            enrolment_url: address("enrolment_url", self.enrolment_url, Scheme::Https)?,
            issuer_url: address("issuer_url", self.issuer_url, Scheme::Https)?,
            platform_url: address("platform_url", self.platform_url, Scheme::Https)?,
            root: folder.join(self.root),
            repository,
        })
    }
}

#[derive(Clone, Copy)]
enum Scheme {
    /// mTLS.
    Https,
    /// What is signed may come over a plain connection.
    Any,
}

/// As terminals take it: no slash at the end, nothing that needs quoting.
fn address(key: &'static str, url: String, scheme: Scheme) -> Result<String, ConfigError> {
    let (rest, expected) = match scheme {
        Scheme::Https => (
            url.strip_prefix("https://"),
            "https://HOST or https://HOST:PORT",
        ),
        Scheme::Any => (
            url.strip_prefix("https://")
                .or_else(|| url.strip_prefix("http://")),
            "an http:// or https:// address without a slash at the end",
        ),
    };
    let slash = |rest: &str| match scheme {
        Scheme::Https => rest.contains('/'),
        Scheme::Any => rest.ends_with('/'),
    };
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    match rest {
        Some(rest) if !rest.is_empty() && rest.bytes().all(plain) && !slash(rest) => Ok(url),
        _ => Err(value(key, url, expected)),
    }
}

fn signing(raw: OneOrMore, folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let paths = match raw {
        OneOrMore::One(path) => vec![path],
        OneOrMore::More(paths) => paths,
    };
    if paths.is_empty() || paths.len() > SHARDS_MAX {
        return Err(value(
            "signing",
            format!("{} files", paths.len()),
            "1 to 16",
        ));
    }
    Ok(paths.iter().map(|path| folder.join(path)).collect())
}

fn clients(raw: &[RawClient], daily_quota: u32) -> Result<Clients, ConfigError> {
    let mut clients = Clients::default();
    for client in raw {
        let bytes = HEXLOWER.decode(client.spki.as_bytes()).ok();
        let spki = bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| value("spki", &client.spki, "64 lower-case hexadecimal digits"))?;
        let daily_quota = client.daily_quota.unwrap_or(daily_quota);
        in_range("daily_quota", daily_quota, &DAILY_QUOTA, "1 to 100000000")?;
        let Registration::New = clients.register(&client.uri, spki, Client { daily_quota }) else {
            return Err(ConfigError::Twice {
                what: format!("client {}", client.uri),
            });
        };
    }
    Ok(clients)
}

pub(super) fn in_range<T: PartialOrd + Display>(
    key: &'static str,
    found: T,
    range: &RangeInclusive<T>,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if range.contains(&found) {
        Ok(())
    } else {
        Err(value(key, found, expected))
    }
}

pub(super) fn value(key: &'static str, found: impl Display, expected: &'static str) -> ConfigError {
    ConfigError::Value {
        key,
        found: found.to_string(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANUAL: &str = include_str!("../../issuer.toml");
    const TEMPLATES: &str = include_str!("../../../policies/credentials/metro.toml");

    fn refusal(from: &str, to: &str) -> String {
        assert!(MANUAL.contains(from), "{from}");
        let text = MANUAL.replacen(from, to, 1);
        Config::parse(&text, TEMPLATES, Path::new(""))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_manual_is_a_configuration_at_its_defaults() {
        let config = Config::parse(MANUAL, TEMPLATES, Path::new("/etc/obol")).unwrap();
        assert_eq!(config.bundle_life_s, bundle_life_hours() * HOUR_S);
        assert_eq!(config.policy.status_list_size, status_list_size());
        assert_eq!(config.policy.keep_s, keep_days() * DAY_S);
        assert_eq!(config.policy.sample_percent, sample_percent());
        assert_eq!(config.tls.trust, Path::new("/etc/obol/access.pem"));
    }

    #[test]
    fn values_out_of_range_are_refused_with_the_value_seen() {
        let cases = [
            (
                "bundle_life_hours = 96",
                "bundle_life_hours = 0",
                "bundle_life_hours is 0, not 1 to 720",
            ),
            (
                "status_list_size = 1048576",
                "status_list_size = 1000000",
                "status_list_size is 1000000, not a power of two from 1024 to 16777216",
            ),
            (
                "keep_days = 35",
                "keep_days = 2",
                "keep_days is 2, not 3 to 400",
            ),
            (
                "sample_percent = 1",
                "sample_percent = 101",
                "sample_percent is 101, not 0 to 100",
            ),
            (
                "daily_quota = 1000000",
                "daily_quota = 0",
                "daily_quota is 0, not 1 to 100000000",
            ),
            (
                "signing = \"issuer.pem\"",
                "signing = []",
                "signing is 0 files, not 1 to 16",
            ),
        ];
        for (from, to, refused) in cases {
            assert_eq!(refusal(from, to), refused);
        }
        let short = refusal("spki = \"00", "spki = \"");
        assert!(
            short.ends_with("not 64 lower-case hexadecimal digits"),
            "{short}"
        );
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        let refused = refusal("keep_days = 35", "keep_weeks = 5");
        assert!(refused.contains("unknown field `keep_weeks`"), "{refused}");
        let line = MANUAL
            .lines()
            .position(|line| line == "keep_days = 35")
            .unwrap()
            + 1;
        let place = format!("the configuration does not parse, line {line}: ");
        assert!(refused.starts_with(&place), "{refused}");
    }

    #[test]
    fn a_client_that_stands_twice_is_refused() {
        let client = &MANUAL[MANUAL.rfind("[[clients]]").unwrap()..];
        assert_eq!(
            refusal("[[clients]]", &format!("{client}\n[[clients]]")),
            "client obol://platform/main stands twice"
        );
    }
}
