//! Rules that each certificate and each revocation list is held to, twice: before the key of its
//! issuer signs it, and after.

mod body;
mod chain;
mod crl;
mod extensions;
#[cfg(test)]
mod violations;

use std::fmt;

use serde::Deserialize;

use crate::public_key::{Curve, PublicKey};
use crate::x509::anatomy::{Signed, Tbs, TbsList};
use crate::x509::der::NotDer;
use crate::x509::profile::{CrlProfile, Profile, ProfileName, RULES_FILE_MAX};

pub(crate) use extensions::alternative_names_fit;

/// A rule broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Id of the rule.
    pub rule: &'static str,
    /// Its version.
    pub version: u32,
    /// The clause it enforces.
    pub clause: String,
    /// What is wrong.
    pub fault: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding {
            rule,
            version,
            clause,
            fault,
        } = self;
        write!(f, "{rule} (version {version}, {clause}): {fault}")
    }
}

/// A certificate beside its profile and its issuer.
pub(crate) struct Examined<'a> {
    pub(crate) tbs: &'a Tbs<'a>,
    /// AlgorithmIdentifier beside the signature, all its bytes.
    pub(crate) outer_algorithm: &'a [u8],
    /// The issuer's certificate; a root's is itself.
    pub(crate) issuer: &'a Tbs<'a>,
    pub(crate) profile: &'a Profile,
}

/// A revocation list beside its profile and its issuer.
pub(crate) struct ExaminedList<'a> {
    pub(crate) tbs: &'a TbsList<'a>,
    pub(crate) outer_algorithm: &'a [u8],
    pub(crate) issuer: &'a Tbs<'a>,
    pub(crate) profile: &'a CrlProfile,
    pub(crate) days_max: u32,
}

/// What is wrong, in words.
pub(crate) type Verdict = Result<(), String>;

/// A rule of the code.
struct Rule {
    id: &'static str,
    version: u32,
    check: Check,
}

#[derive(Clone, Copy)]
enum Check {
    /// Found while the bytes are taken apart.
    Encoding,
    ListEncoding,
    Certificate(fn(&Examined<'_>) -> Verdict),
    List(fn(&ExaminedList<'_>) -> Verdict),
}

const fn certificate(id: &'static str, check: fn(&Examined<'_>) -> Verdict) -> Rule {
    let check = Check::Certificate(check);
    Rule {
        id,
        version: 1,
        check,
    }
}

const fn list(id: &'static str, check: fn(&ExaminedList<'_>) -> Verdict) -> Rule {
    let check = Check::List(check);
    Rule {
        id,
        version: 1,
        check,
    }
}

static RULES: [Rule; 31] = [
    Rule {
        id: "der-encoding",
        version: 1,
        check: Check::Encoding,
    },
    certificate("version-3", body::version_3),
    certificate("serial-number", body::serial_number),
    certificate("signature-algorithm", body::signature_algorithm),
    certificate("issuer-name", chain::issuer_name),
    certificate("validity-encoding", body::validity_encoding),
    certificate("validity-order", body::validity_order),
    certificate("validity-within-profile", body::validity_within_profile),
    certificate("validity-within-issuer", chain::validity_within_issuer),
    certificate("subject-name", body::subject_name),
    certificate("public-key", body::public_key),
    certificate("no-unique-identifiers", body::no_unique_identifiers),
    certificate("extensions-expected", extensions::expected),
    certificate("basic-constraints", extensions::basic_constraints),
    certificate("key-usage", extensions::key_usage),
    certificate("extended-key-usage", extensions::extended_key_usage),
    certificate("subject-key-identifier", extensions::subject_key_identifier),
    certificate(
        "authority-key-identifier",
        extensions::authority_key_identifier,
    ),
    certificate("issuer-is-ca", chain::issuer_is_ca),
    certificate("alternative-names", extensions::alternative_names),
    certificate("credential-scope", extensions::credential_scope),
    Rule {
        id: "crl-der-encoding",
        version: 1,
        check: Check::ListEncoding,
    },
    list("crl-version-2", crl::version_2),
    list("crl-signature-algorithm", crl::signature_algorithm),
    list("crl-issuer", crl::issuer),
    list("crl-times", crl::times),
    list("crl-extensions-expected", crl::extensions_expected),
    list("crl-number", crl::number),
    list(
        "crl-authority-key-identifier",
        crl::authority_key_identifier,
    ),
    list("crl-entries", crl::entries),
    list("crl-reasons", crl::reasons),
];

/// The rules, each with the clause and the profiles that `policies/lints.toml` gives it.
#[derive(Clone)]
pub(crate) struct Lints {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    rule: &'static Rule,
    clause: String,
    applies_to: Vec<ProfileName>,
}

/// Why `lints.toml` was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLints {
    /// Not strict TOML of its form.
    #[error("lints.toml: {0}")]
    Syntax(String),
    /// No such rule in the code.
    #[error("lints.toml: there is no rule {0:?}")]
    Unknown(String),
    /// A rule of the code is missing, or there twice.
    #[error("lints.toml: rule {rule:?} is there {count} times, wanted once")]
    Count {
        /// The rule.
        rule: &'static str,
        /// How often it is there.
        count: usize,
    },
    /// File and code mean different rules.
    #[error("lints.toml: rule {rule:?} has version {written}, the code has version {version}")]
    Version {
        /// The rule.
        rule: &'static str,
        /// The file's.
        written: u32,
        /// The code's.
        version: u32,
    },
    /// The clause is missing, or the rule cannot apply to the profile.
    #[error("lints.toml: rule {rule:?} has no clause, no profile, or one that it cannot apply to")]
    Entry {
        /// The rule.
        rule: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLints {
    lint: Vec<RawLint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLint {
    id: String,
    version: u32,
    clause: String,
    says: String,
    applies_to: Vec<String>,
}

impl Lints {
    pub(crate) fn parse(text: &str) -> Result<Lints, InvalidLints> {
        if text.len() > RULES_FILE_MAX {
            return Err(InvalidLints::Syntax(format!(
                "longer than {RULES_FILE_MAX} bytes"
            )));
        }
        let raw: RawLints =
            toml::from_str(text).map_err(|error| InvalidLints::Syntax(error.to_string()))?;
        let entries: Vec<Entry> = raw.lint.iter().map(Entry::read).collect::<Result<_, _>>()?;
        for rule in &RULES {
            let count = entries
                .iter()
                .filter(|entry| entry.rule.id == rule.id)
                .count();
            if count != 1 {
                return Err(InvalidLints::Count {
                    rule: rule.id,
                    count,
                });
            }
        }
        Ok(Lints { entries })
    }

    /// Version of the rule, if there is such a rule for this profile.
    pub(crate) fn version(&self, rule: &str, profile: ProfileName) -> Option<u32> {
        let entry = self.entries.iter().find(|entry| entry.rule.id == rule)?;
        entry
            .applies_to
            .contains(&profile)
            .then_some(entry.rule.version)
    }

    /// Holds the certificate `der` to the rules of `profile`; `issuer_der` is its issuer's
    /// certificate, `None` for a root.
    pub(crate) fn certificate(
        &self,
        der: &[u8],
        issuer_der: Option<&[u8]>,
        profile: &Profile,
    ) -> Vec<Finding> {
        let (signed, tbs, issuer) = match take_apart(der, issuer_der) {
            Ok(parts) => parts,
            Err(fault) => {
                return self.collect(profile.name, |check| match check {
                    Check::Encoding => Err(fault.to_string()),
                    _ => Ok(()),
                });
            }
        };
        let examined = Examined {
            tbs: &tbs,
            outer_algorithm: signed.algorithm,
            issuer: &issuer,
            profile,
        };
        self.collect(profile.name, |check| match check {
            Check::Certificate(check) => check(&examined),
            _ => Ok(()),
        })
    }

    /// Holds the revocation list `der` to its rules.
    pub(crate) fn list(
        &self,
        der: &[u8],
        issuer_der: &[u8],
        profile: &CrlProfile,
        days_max: u32,
    ) -> Vec<Finding> {
        let parts = Signed::read(der).and_then(|signed| {
            let issuer = Signed::read(issuer_der)?;
            Ok((signed, TbsList::read(signed.tbs)?, Tbs::read(issuer.tbs)?))
        });
        let (signed, tbs, issuer) = match parts {
            Ok(parts) => parts,
            Err(fault) => {
                return self.collect(ProfileName::Crl, |check| match check {
                    Check::ListEncoding => Err(fault.to_string()),
                    _ => Ok(()),
                });
            }
        };
        let examined = ExaminedList {
            tbs: &tbs,
            outer_algorithm: signed.algorithm,
            issuer: &issuer,
            profile,
            days_max,
        };
        self.collect(ProfileName::Crl, |check| match check {
            Check::List(check) => check(&examined),
            _ => Ok(()),
        })
    }

    fn collect(&self, profile: ProfileName, check: impl Fn(Check) -> Verdict) -> Vec<Finding> {
        let applying = self
            .entries
            .iter()
            .filter(|entry| entry.applies_to.contains(&profile));
        let broken = applying.filter_map(|entry| Some((entry, check(entry.rule.check).err()?)));
        broken
            .map(|(entry, fault)| Finding {
                rule: entry.rule.id,
                version: entry.rule.version,
                clause: entry.clause.clone(),
                fault,
            })
            .collect()
    }
}

impl fmt::Debug for Lints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.entries.iter().map(|entry| entry.rule.id))
            .finish()
    }
}

fn take_apart<'a>(
    der: &'a [u8],
    issuer_der: Option<&'a [u8]>,
) -> Result<(Signed<'a>, Tbs<'a>, Tbs<'a>), NotDer> {
    let signed = Signed::read(der)?;
    let tbs = Tbs::read(signed.tbs)?;
    let issuer = match issuer_der {
        None => tbs.clone(),
        Some(issuer) => Tbs::read(Signed::read(issuer)?.tbs)?,
    };
    Ok((signed, tbs, issuer))
}

impl Entry {
    fn read(raw: &RawLint) -> Result<Entry, InvalidLints> {
        let rule = RULES
            .iter()
            .find(|rule| rule.id == raw.id)
            .ok_or_else(|| InvalidLints::Unknown(raw.id.clone()))?;
        let id = rule.id;
        if raw.version != rule.version {
            return Err(InvalidLints::Version {
                rule: id,
                written: raw.version,
                version: rule.version,
            });
        }
        let of_lists = matches!(rule.check, Check::List(_) | Check::ListEncoding);
        let profiles: Option<Vec<_>> = raw
            .applies_to
            .iter()
            .map(|name| ProfileName::from_name(name))
            .collect();
        let fits = |profile: &ProfileName| (*profile == ProfileName::Crl) == of_lists;
        match profiles {
            Some(applies_to)
                if !applies_to.is_empty()
                    && applies_to.iter().all(fits)
                    && !raw.clause.is_empty()
                    && !raw.says.is_empty() =>
            {
                Ok(Entry {
                    rule,
                    clause: raw.clause.clone(),
                    applies_to,
                })
            }
            _ => Err(InvalidLints::Entry { rule: id }),
        }
    }
}

/// AlgorithmIdentifier of what a key on this curve signs (RFC 5758 section 3.2).
pub(crate) fn algorithm_of(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
        Curve::P384 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
    }
}

/// Both identifiers, inside and outside what is signed.
fn algorithms(inner: &[u8], outer: &[u8], issuer: &Tbs<'_>) -> Verdict {
    let Some(key) = PublicKey::from_spki_der(issuer.spki) else {
        return Err("the issuer's key is on no known curve".to_owned());
    };
    let expected = algorithm_of(key.curve());
    if inner != expected {
        return Err(format!("inside it is not what a {} key signs", key.curve()));
    }
    if outer != expected {
        return Err("outside it differs from inside".to_owned());
    }
    Ok(())
}

/// A positive INTEGER in its shortest form, of at most `octets_max` octets.
fn positive(content: &[u8], octets_max: usize) -> Verdict {
    match content {
        [] => Err("it has no octets".to_owned()),
        [0x80..=0xff, ..] => Err("it is negative".to_owned()),
        [0] => Err("it is zero".to_owned()),
        [0, 0..=0x7f, ..] => Err("it has a leading zero octet".to_owned()),
        long if long.len() > octets_max => Err(format!("it has {} octets", long.len())),
        _ => Ok(()),
    }
}
