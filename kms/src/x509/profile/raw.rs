//! The files as they are written, and what no file may say.

use serde::Deserialize;

use super::{
    CrlProfile, DAYS_MAX, ExtendedKeyUsage, InvalidProfile, IssuedBy, KeyUsage,
    NEXT_UPDATE_DAYS_MAX, Names, PathLength, Profile, ProfileName, Purpose, RULES_FILE_MAX,
    RevocationReason, ScopeWanted,
};
use crate::public_key::Curve;
use crate::x509::scope::is_name;

const REFERENCE_MAX: usize = 200;
const SERVER_NAMES_LIMIT: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    version: u32,
    policy_reference: String,
    issued_by: RawIssuedBy,
    days_max: u32,
    curves: Vec<RawCurve>,
    key_usage: Vec<RawKeyUsage>,
    ca: Option<RawCa>,
    extended_key_usage: Option<RawExtendedKeyUsage>,
    names: Option<RawNames>,
    scope: Option<RawScope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawIssuedBy {
    #[serde(rename = "self")]
    Itself,
    Root,
    AccessCa,
}

#[derive(Deserialize)]
enum RawCurve {
    #[serde(rename = "P-256")]
    P256,
    #[serde(rename = "P-384")]
    P384,
}

#[derive(Deserialize)]
enum RawKeyUsage {
    #[serde(rename = "digitalSignature")]
    DigitalSignature,
    #[serde(rename = "keyCertSign")]
    KeyCertSign,
    #[serde(rename = "cRLSign")]
    CrlSign,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCa {
    path_length: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExtendedKeyUsage {
    critical: bool,
    purposes: Vec<RawPurpose>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum RawPurpose {
    ServerAuth,
    ClientAuth,
    CredentialIssuer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNames {
    roles: Vec<String>,
    server_names_max: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScope {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCrl {
    version: u32,
    policy_reference: String,
    next_update_days: RawNextUpdate,
    reasons: RawReasons,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawNextUpdate {
    root: u32,
    access_ca: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReasons {
    allowed: Vec<String>,
}

pub(super) fn certificate(name: ProfileName, text: &str) -> Result<Profile, InvalidProfile> {
    let invalid = |fault: String| InvalidProfile {
        name: name.name(),
        fault,
    };
    let raw: RawProfile = parse(text).map_err(invalid)?;
    heading(raw.version, &raw.policy_reference).map_err(invalid)?;
    let profile = Profile {
        name,
        issued_by: match raw.issued_by {
            RawIssuedBy::Itself => IssuedBy::Itself,
            RawIssuedBy::Root => IssuedBy::Root,
            RawIssuedBy::AccessCa => IssuedBy::AccessCa,
        },
        days_max: raw.days_max,
        curves: raw.curves.iter().map(RawCurve::curve).collect(),
        key_usage: raw.key_usage.iter().map(RawKeyUsage::usage).collect(),
        ca: raw.ca.map(|ca| PathLength(ca.path_length)),
        extended_key_usage: raw.extended_key_usage.map(|usage| ExtendedKeyUsage {
            critical: usage.critical,
            purposes: usage.purposes.iter().map(RawPurpose::purpose).collect(),
        }),
        names: raw.names.map(|names| Names {
            roles: names.roles,
            server_names_max: names.server_names_max,
        }),
        scope: raw.scope.map(|RawScope {}| ScopeWanted),
    };
    check(&profile).map_err(|fault| invalid(fault.to_owned()))?;
    Ok(profile)
}

pub(super) fn crl(text: &str) -> Result<CrlProfile, InvalidProfile> {
    let invalid = |fault: String| InvalidProfile {
        name: ProfileName::Crl.name(),
        fault,
    };
    let raw: RawCrl = parse(text).map_err(invalid)?;
    heading(raw.version, &raw.policy_reference).map_err(invalid)?;
    let RawNextUpdate { root, access_ca } = raw.next_update_days;
    for days in [root, access_ca] {
        if !(1..=NEXT_UPDATE_DAYS_MAX).contains(&days) {
            let fault = format!("next_update_days {days} is not 1 to {NEXT_UPDATE_DAYS_MAX}");
            return Err(invalid(fault));
        }
    }
    let known = |name: &String| {
        let reason = RevocationReason::ALL
            .into_iter()
            .find(|reason| reason.name() == name);
        reason.ok_or_else(|| invalid(format!("{name:?} is no reason that a list here may give")))
    };
    let reasons: Vec<_> = raw
        .reasons
        .allowed
        .iter()
        .map(known)
        .collect::<Result<_, _>>()?;
    Ok(CrlProfile {
        root_days: root,
        access_ca_days: access_ca,
        reasons,
    })
}

fn parse<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    if text.len() > RULES_FILE_MAX {
        return Err(format!("longer than {RULES_FILE_MAX} bytes"));
    }
    toml::from_str(text).map_err(|error| error.to_string())
}

fn heading(version: u32, policy_reference: &str) -> Result<(), String> {
    if version == 0 {
        return Err("version 0: versions begin with 1".to_owned());
    }
    let graphic = policy_reference.bytes().all(|byte| byte.is_ascii_graphic());
    if !graphic || !(1..=REFERENCE_MAX).contains(&policy_reference.len()) {
        return Err(format!(
            "policy_reference {policy_reference:?} names no document"
        ));
    }
    Ok(())
}

/// What no file may say, whoever edits it.
fn check(profile: &Profile) -> Result<(), &'static str> {
    let Profile {
        name,
        issued_by,
        key_usage,
        ca,
        extended_key_usage,
        names,
        scope,
        ..
    } = profile;
    if !(1..=DAYS_MAX).contains(&profile.days_max) {
        return Err("days_max is not 1 to 7305");
    }
    if profile.curves.is_empty() || has_twice(&profile.curves) {
        return Err("curves is empty or names one twice");
    }
    if key_usage.is_empty() || has_twice(key_usage) {
        return Err("key_usage is empty or names one twice");
    }
    if ca.is_some() != matches!(name, ProfileName::Root | ProfileName::AccessCa) {
        return Err("root and access-ca are CAs, and nothing else is");
    }
    let signs_others =
        key_usage.contains(&KeyUsage::KeyCertSign) || key_usage.contains(&KeyUsage::CrlSign);
    if signs_others != ca.is_some()
        || signs_others == key_usage.contains(&KeyUsage::DigitalSignature)
    {
        return Err("keyCertSign and cRLSign are for CAs, digitalSignature for all others");
    }
    let expected_issuer = match name {
        ProfileName::Root => IssuedBy::Itself,
        ProfileName::AccessCa | ProfileName::Issuer => IssuedBy::Root,
        _ => IssuedBy::AccessCa,
    };
    if *issued_by != expected_issuer {
        return Err("issued_by: the root signs itself, access-ca and issuer; access-ca the others");
    }
    if *name == ProfileName::AccessCa && *ca != Some(PathLength(Some(0))) {
        return Err("the access CA has path_length = 0");
    }
    let is_issuer = *name == ProfileName::Issuer;
    let purposes = extended_key_usage
        .as_ref()
        .map(|usage| (usage.critical, usage.purposes.as_slice()));
    let for_credentials = purposes == Some((true, &[Purpose::CredentialIssuer]));
    if is_issuer != for_credentials || is_issuer != scope.is_some() {
        return Err(
            "an issuer, and nothing else, has [scope] and the one critical purpose credentialIssuer",
        );
    }
    let is_identity = ca.is_none() && !is_issuer;
    if is_identity != names.is_some() || is_identity != (purposes.is_some() && !is_issuer) {
        return Err("identities, and nothing else, have [names] and purposes of TLS");
    }
    if purposes.is_some_and(|(_, all)| {
        all.is_empty() || has_twice(all) || (!is_issuer && all.contains(&Purpose::CredentialIssuer))
    }) {
        return Err("purposes is empty, names one twice, or mixes credentialIssuer with others");
    }
    match names {
        Some(names) if names.roles.is_empty() || !names.roles.iter().all(|role| is_name(role)) => {
            Err("roles is empty or has one that is not a-z, 0-9 and -")
        }
        Some(names) if names.server_names_max > SERVER_NAMES_LIMIT => {
            Err("server_names_max is not 0 to 16")
        }
        _ => Ok(()),
    }
}

fn has_twice<T: PartialEq>(items: &[T]) -> bool {
    items
        .iter()
        .enumerate()
        .any(|(index, item)| items[..index].contains(item))
}

impl RawCurve {
    fn curve(&self) -> Curve {
        match self {
            RawCurve::P256 => Curve::P256,
            RawCurve::P384 => Curve::P384,
        }
    }
}

impl RawKeyUsage {
    fn usage(&self) -> KeyUsage {
        match self {
            RawKeyUsage::DigitalSignature => KeyUsage::DigitalSignature,
            RawKeyUsage::KeyCertSign => KeyUsage::KeyCertSign,
            RawKeyUsage::CrlSign => KeyUsage::CrlSign,
        }
    }
}

impl RawPurpose {
    fn purpose(&self) -> Purpose {
        match self {
            RawPurpose::ServerAuth => Purpose::ServerAuth,
            RawPurpose::ClientAuth => Purpose::ClientAuth,
            RawPurpose::CredentialIssuer => Purpose::CredentialIssuer,
        }
    }
}
