//! The configuration as it stands in the file, and the way to the checked one.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::{Config, ConfigError, TlsFiles};
use crate::clients::{Clients, Registration};
use crate::issuance::{FareTemplate, Policy};

const HOUR_S: u32 = 3600;
const LIFE_HOURS: RangeInclusive<u32> = 1..=48;
const BUNDLE_LIFE_HOURS: RangeInclusive<u32> = 1..=720;
const STATUS_LIST_SIZE: RangeInclusive<u32> = 1 << 10..=1 << 24;
const WINDOW_S: RangeInclusive<u16> = 1..=60;
const CLASS: RangeInclusive<u8> = 0..=31;

const _: () = assert!(*LIFE_HOURS.end() * HOUR_S == obol_credential::LIFE_MAX_S);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    listen: SocketAddr,
    database: PathBuf,
    kms_socket: PathBuf,
    #[serde(default = "life_hours")]
    life_hours: u32,
    #[serde(default = "bundle_life_hours")]
    bundle_life_hours: u32,
    #[serde(default = "status_list_size")]
    status_list_size: u32,
    tls: RawTls,
    keys: RawKeys,
    classes: Vec<RawClass>,
    clients: Vec<RawClient>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    certificate: PathBuf,
    key: PathBuf,
    trust: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeys {
    signing: PathBuf,
    #[serde(default)]
    published: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClass {
    class: u8,
    cap_minor: u32,
    window_s: u16,
    #[serde(default)]
    flags: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClient {
    uri: String,
    spki: String,
}

fn life_hours() -> u32 {
    24
}

fn bundle_life_hours() -> u32 {
    96
}

fn status_list_size() -> u32 {
    1 << 20
}

impl Raw {
    pub(super) fn check(self, folder: &Path) -> Result<Config, ConfigError> {
        in_range("life_hours", self.life_hours, &LIFE_HOURS, "1 to 48")?;
        in_range(
            "bundle_life_hours",
            self.bundle_life_hours,
            &BUNDLE_LIFE_HOURS,
            "1 to 720",
        )?;
        let size = self.status_list_size;
        if !STATUS_LIST_SIZE.contains(&size) || !size.is_power_of_two() {
            let expected = "a power of two from 1024 to 16777216";
            return Err(value("status_list_size", size, expected));
        }
        Ok(Config {
            listen: self.listen,
            database: folder.join(self.database),
            kms_socket: folder.join(self.kms_socket),
            bundle_life_s: self.bundle_life_hours * HOUR_S,
            policy: Policy {
                life_s: self.life_hours * HOUR_S,
                status_list_size: size,
                templates: templates(&self.classes)?,
            },
            tls: TlsFiles {
                certificate: folder.join(self.tls.certificate),
                key: folder.join(self.tls.key),
                trust: folder.join(self.tls.trust),
            },
            signing_certificate: folder.join(self.keys.signing),
            published_certificates: self.keys.published.iter().map(|p| folder.join(p)).collect(),
            clients: clients(&self.clients)?,
        })
    }
}

fn templates(classes: &[RawClass]) -> Result<BTreeMap<u8, FareTemplate>, ConfigError> {
    let mut templates = BTreeMap::new();
    for raw in classes {
        in_range("class", raw.class, &CLASS, "0 to 31")?;
        in_range("window_s", raw.window_s, &WINDOW_S, "1 to 60")?;
        let RawClass {
            cap_minor,
            window_s,
            flags,
            ..
        } = *raw;
        let template = FareTemplate {
            cap_minor,
            window_s,
            flags,
        };
        if templates.insert(raw.class, template).is_some() {
            return Err(ConfigError::Twice {
                what: format!("class {}", raw.class),
            });
        }
    }
    if templates.is_empty() {
        return Err(value("classes", "empty", "one class or more"));
    }
    Ok(templates)
}

fn clients(raw: &[RawClient]) -> Result<Clients, ConfigError> {
    let mut clients = Clients::default();
    for client in raw {
        let bytes = HEXLOWER.decode(client.spki.as_bytes()).ok();
        let spki = bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| value("spki", &client.spki, "64 lower-case hexadecimal digits"))?;
        let Registration::New = clients.register(&client.uri, spki) else {
            return Err(ConfigError::Twice {
                what: format!("client {}", client.uri),
            });
        };
    }
    Ok(clients)
}

fn in_range<T: PartialOrd + Display>(
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

fn value(key: &'static str, found: impl Display, expected: &'static str) -> ConfigError {
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

    fn refusal(from: &str, to: &str) -> String {
        assert!(MANUAL.contains(from), "{from}");
        let text = MANUAL.replacen(from, to, 1);
        Config::parse(&text, Path::new("")).unwrap_err().to_string()
    }

    #[test]
    fn the_manual_is_a_configuration_at_its_defaults() {
        let config = Config::parse(MANUAL, Path::new("/etc/obol")).unwrap();
        assert_eq!(config.policy.life_s, life_hours() * HOUR_S);
        assert_eq!(config.bundle_life_s, bundle_life_hours() * HOUR_S);
        assert_eq!(config.policy.status_list_size, status_list_size());
        assert_eq!(config.tls.trust, Path::new("/etc/obol/access.pem"));
    }

    #[test]
    fn values_out_of_range_are_refused_with_the_value_seen() {
        assert_eq!(
            refusal("life_hours = 24", "life_hours = 49"),
            "life_hours is 49, not 1 to 48"
        );
        assert_eq!(
            refusal("bundle_life_hours = 96", "bundle_life_hours = 0"),
            "bundle_life_hours is 0, not 1 to 720"
        );
        assert_eq!(
            refusal("status_list_size = 1048576", "status_list_size = 1000000"),
            "status_list_size is 1000000, not a power of two from 1024 to 16777216"
        );
        assert_eq!(
            refusal("class = 1", "class = 32"),
            "class is 32, not 0 to 31"
        );
        assert_eq!(
            refusal("window_s = 30", "window_s = 61"),
            "window_s is 61, not 1 to 60"
        );
        let short = refusal("spki = \"00", "spki = \"");
        assert!(
            short.ends_with("not 64 lower-case hexadecimal digits"),
            "{short}"
        );
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        let refused = refusal("life_hours = 24", "life_days = 1");
        assert!(
            refused.starts_with("the configuration does not parse, line 13: "),
            "{refused}"
        );
        assert!(refused.contains("unknown field `life_days`"), "{refused}");
    }

    #[test]
    fn a_class_or_a_client_that_stands_twice_is_refused() {
        let class = "[[classes]]\nclass = 1\ncap_minor = 1\nwindow_s = 1\n\n[[clients]]";
        assert_eq!(refusal("[[clients]]", class), "class 1 stands twice");
        let client = &MANUAL[MANUAL.rfind("[[clients]]").unwrap()..];
        assert_eq!(
            refusal("[[clients]]", &format!("{client}\n[[clients]]")),
            "client obol://platform/main stands twice"
        );
    }
}
