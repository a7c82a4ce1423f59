//! The configuration as it stands in the file, and the way to the checked one.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use obol_credential::is_name;
use obol_issuer_client::{ISSUERS_MAX, IssuerAddress};
use obol_ledger::{Amount, DayRule};
use obol_log::LogKey;
use obol_transport::Peer;
use obol_verifier_sdk::Operator;
use serde::Deserialize;

use super::{BankConfig, Config, ConfigError, IssuerConfig, TlsFiles, WitnessConfig, WitnessedLog};

/// The name of an issuer that has no other beside it.
const ONLY_ISSUER: &str = "main";
const CLASS_MAX: u8 = 31;
const FLOOR_MAX_MINOR: i64 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    passenger_listen: SocketAddr,
    public_url: String,
    terminal_listen: SocketAddr,
    database: PathBuf,
    tariff: PathBuf,
    fare_packs: PathBuf,
    #[serde(default = "shanghai")]
    business_day_offset_s: i32,
    operator: String,
    class: u8,
    #[serde(default = "one_ride")]
    credential_floor_minor: i64,
    tls: RawTls,
    issuer: RawIssuer,
    simulated_bank: RawBank,
    witness: Option<RawWitness>,
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
struct RawIssuer {
    url: Option<String>,
    #[serde(default)]
    nodes: Vec<RawNode>,
    root: PathBuf,
    bundle: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    name: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBank {
    public_key: PathBuf,
    pay_url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWitness {
    key: PathBuf,
    logs: Vec<RawLog>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    key: String,
    state: PathBuf,
    client: String,
    spki: String,
}

fn shanghai() -> i32 {
    28_800
}

fn one_ride() -> i64 {
    200
}

impl Raw {
    pub(super) fn check(self, folder: &Path) -> Result<Config, ConfigError> {
        let at = |path: PathBuf| folder.join(path);
        let (tls, issuer, bank) = (self.tls, self.issuer, self.simulated_bank);
        Ok(Config {
            passenger_listen: self.passenger_listen,
            public_url: https("public_url", self.public_url)?,
            terminal_listen: self.terminal_listen,
            database: at(self.database),
            tariff: at(self.tariff),
            fare_packs: at(self.fare_packs),
            business_day_offset_s: day_offset(self.business_day_offset_s)?,
            operator: operator(&self.operator)?,
            class: class(self.class)?,
            credential_floor: floor(self.credential_floor_minor)?,
            tls: TlsFiles {
                certificate: at(tls.certificate),
                key: at(tls.key),
                trust: at(tls.trust),
                crl: tls.crl.map(at),
            },
            issuer: IssuerConfig {
                issuers: issuers(issuer.url, issuer.nodes)?,
                root: at(issuer.root),
                bundle: at(issuer.bundle),
            },
            simulated_bank: BankConfig {
                public_key: at(bank.public_key),
                pay_url: bank.pay_url,
            },
            witness: self.witness.map(|raw| raw.check(folder)).transpose()?,
        })
    }
}

impl RawWitness {
    fn check(self, folder: &Path) -> Result<WitnessConfig, ConfigError> {
        let logs: Vec<WitnessedLog> = self
            .logs
            .into_iter()
            .map(|raw| raw.check(folder))
            .collect::<Result<_, _>>()?;
        for (at, log) in logs.iter().enumerate() {
            let before = &logs[..at];
            if before
                .iter()
                .any(|other| other.key.name() == log.key.name())
            {
                let name = log.key.name().to_owned();
                return Err(value(
                    "witness.logs.key",
                    name,
                    "a log that stands there once",
                ));
            }
            if before.iter().any(|other| other.state == log.state) {
                let state = log.state.display().to_string();
                return Err(value(
                    "witness.logs.state",
                    state,
                    "a file of one log alone",
                ));
            }
        }
        Ok(WitnessConfig {
            key: folder.join(self.key),
            logs,
        })
    }
}

impl RawLog {
    fn check(self, folder: &Path) -> Result<WitnessedLog, ConfigError> {
        if Peer::role_of(&self.client).is_none() {
            return Err(value(
                "witness.logs.client",
                self.client,
                "obol://ROLE/NAME",
            ));
        }
        let key = LogKey::from_vkey(&self.key)
            .map_err(|_| value("witness.logs.key", self.key, "NAME+KEYID+BASE64"))?;
        let spki = HEXLOWER
            .decode(self.spki.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok());
        Ok(WitnessedLog {
            key,
            state: folder.join(self.state),
            client: self.client,
            spki: spki
                .ok_or_else(|| value("witness.logs.spki", self.spki, "64 characters of 0-9 a-f"))?,
        })
    }
}

/// One issuer by its address alone, or each by name and address.
fn issuers(url: Option<String>, nodes: Vec<RawNode>) -> Result<Vec<IssuerAddress>, ConfigError> {
    const ONE_FORM: &str = "either issuer.url or one to 16 [[issuer.nodes]]";
    let nodes = match (url, nodes.len()) {
        (Some(url), 0) => {
            let url = https("issuer.url", url)?;
            let name = ONLY_ISSUER.to_owned();
            return Ok(vec![IssuerAddress { name, url }]);
        }
        (None, 1..=ISSUERS_MAX) => nodes,
        (None, count) => return Err(value("issuer", format!("{count} nodes"), ONE_FORM)),
        (Some(url), _) => return Err(value("issuer", format!("{url} and nodes"), ONE_FORM)),
    };
    let mut names = BTreeSet::new();
    let mut issuers = Vec::with_capacity(nodes.len());
    for RawNode { name, url } in nodes {
        if !is_name(&name) || !names.insert(name.clone()) {
            let expected = "a name of its own: 1 to 32 characters of a-z 0-9 -";
            return Err(value("issuer.nodes.name", name, expected));
        }
        let url = https("issuer.nodes.url", url)?;
        issuers.push(IssuerAddress { name, url });
    }
    Ok(issuers)
}

fn https(key: &'static str, url: String) -> Result<String, ConfigError> {
    let rest = url.strip_prefix("https://");
    if rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '?', '#'])) {
        return Ok(url);
    }
    Err(value(key, url, "https://HOST or https://HOST:PORT"))
}

fn operator(name: &str) -> Result<Operator, ConfigError> {
    Operator::new(name).ok_or_else(|| {
        value(
            "operator",
            name.to_owned(),
            "1 to 32 characters of a-z 0-9 -",
        )
    })
}

fn class(class: u8) -> Result<u8, ConfigError> {
    if class <= CLASS_MAX {
        Ok(class)
    } else {
        Err(value("class", class.to_string(), "0 to 31"))
    }
}

fn floor(minor: i64) -> Result<Amount, ConfigError> {
    if (0..=FLOOR_MAX_MINOR).contains(&minor) {
        return Ok(Amount::from_minor(minor));
    }
    Err(value(
        "credential_floor_minor",
        minor.to_string(),
        "0 to 100000",
    ))
}

fn day_offset(offset_s: i32) -> Result<i32, ConfigError> {
    DayRule::new(offset_s).map(|_| offset_s).map_err(|_| {
        value(
            "business_day_offset_s",
            offset_s.to_string(),
            "-50400 to 50400",
        )
    })
}

fn value(key: &'static str, found: String, expected: &'static str) -> ConfigError {
    ConfigError::Value {
        key,
        found,
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANUAL: &str = include_str!("../../platform.toml");

    fn parse(text: &str) -> Result<Config, ConfigError> {
        let raw: Raw = toml::from_str(text).expect("the form holds");
        raw.check(Path::new("etc"))
    }

    #[test]
    fn the_manual_is_a_configuration_at_the_defaults() {
        let config = parse(MANUAL).unwrap();
        assert_eq!(config.tariff, Path::new("etc/flat.toml"));
        let without: String = MANUAL
            .lines()
            .filter(|line| !line.starts_with("business_day_offset_s"))
            .filter(|line| !line.starts_with("credential_floor_minor"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(
            format!("{:?}", parse(&without).unwrap()),
            format!("{config:?}")
        );
    }

    fn with_witness(logs: &str) -> Result<Config, ConfigError> {
        let start = MANUAL.find("#[witness]").expect("it is documented");
        let witness = MANUAL[start..].replace("\n#", "\n");
        let p256 = obol_log_key();
        let witness = witness[1..]
            .replace("LOGKEY", &p256)
            .replace("\"SPKI\"", &format!("\"{}\"", "a5".repeat(32)));
        parse(&format!("{}{witness}{logs}", &MANUAL[..start]).replace("LOGKEY", &p256))
    }

    /// A log's key as `obol-kms audit key` prints it.
    fn obol_log_key() -> String {
        use p256::pkcs8::EncodePublicKey;
        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let spki = key.verifying_key().to_public_key_der().unwrap();
        LogKey::from_spki_der("kms.test/audit", spki.as_bytes())
            .unwrap()
            .to_vkey()
    }

    #[test]
    fn the_documented_witness_is_read_and_each_log_has_one_witness() {
        let witness = with_witness("").unwrap().witness.unwrap();
        assert_eq!(witness.key, Path::new("etc/witness.key"));
        let [log] = &witness.logs[..] else {
            panic!("{:?}", witness.logs)
        };
        assert_eq!(log.key.name(), "kms.test/audit");
        assert_eq!(log.client, "obol://issuer/kms");
        assert_eq!(log.spki, [0xa5; 32]);
        let again = "[[witness.logs]]\nkey = \"LOGKEY\"\nstate = \"other\"\n\
                     client = \"obol://issuer/kms\"\nspki = \"SPKI\"\n";
        let spki = "a5".repeat(32);
        let refused = with_witness(&again.replace("SPKI", &spki)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "witness.logs.key is kms.test/audit, not a log that stands there once"
        );
        let refused = with_witness(&again.replace("SPKI", &spki[2..])).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "witness.logs.spki is {}, not 64 characters of 0-9 a-f",
                &spki[2..]
            )
        );
    }

    const NODES: &str = "[[issuer.nodes]]\nname = \"north\"\nurl = \"https://localhost:8443\"\n\
                         [[issuer.nodes]]\nname = \"south\"\nurl = \"https://localhost:8543\"\n";

    fn with_nodes(nodes: &str) -> Result<Config, ConfigError> {
        let url = "url = \"https://localhost:8443\"\n";
        let (before, after) = MANUAL.split_once(url).unwrap();
        let (files, rest) = after.split_once("\n\n").unwrap();
        parse(&format!("{before}{files}\n{nodes}{rest}"))
    }

    #[test]
    fn an_issuer_is_an_address_or_a_list_of_names_with_addresses() {
        let one = parse(MANUAL).unwrap().issuer.issuers;
        assert_eq!((one.len(), one[0].name.as_str()), (1, "main"));
        let two = with_nodes(NODES).unwrap().issuer.issuers;
        assert_eq!((two.len(), two[1].name.as_str()), (2, "south"));
        assert_eq!(two[1].url, "https://localhost:8543");
        let twice = with_nodes(&NODES.replace("north", "south")).unwrap_err();
        assert_eq!(
            twice.to_string(),
            "issuer.nodes.name is south, not a name of its own: 1 to 32 characters of a-z 0-9 -"
        );
        let none = with_nodes("").unwrap_err();
        let expected = "not either issuer.url or one to 16 [[issuer.nodes]]";
        assert_eq!(none.to_string(), format!("issuer is 0 nodes, {expected}"));
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_range() {
        for (from, to, message) in [
            ("class = 1", "class = 32", "class is 32, not 0 to 31"),
            (
                "operator = \"metro\"",
                "operator = \"Metro\"",
                "operator is Metro, not 1 to 32 characters of a-z 0-9 -",
            ),
            (
                "https://localhost:8444",
                "https://localhost:8444/",
                "public_url is https://localhost:8444/, not https://HOST or https://HOST:PORT",
            ),
            (
                "credential_floor_minor = 200",
                "credential_floor_minor = -1",
                "credential_floor_minor is -1, not 0 to 100000",
            ),
        ] {
            let refused = parse(&MANUAL.replacen(from, to, 1)).expect_err(to);
            assert_eq!(refused.to_string(), message);
        }
    }
}
