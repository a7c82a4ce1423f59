//! Rules about extensions. What the profile decides is compared with the bytes it decides, so that
//! nothing depends on how leniently somebody parses.

use sha2::{Digest, Sha256};

use crate::public_key::PublicKey;
use crate::x509::anatomy::{
    AUTHORITY_KEY_IDENTIFIER, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE, Extension, KEY_USAGE, SCOPE,
    SUBJECT_ALT_NAME, SUBJECT_KEY_IDENTIFIER, Tbs,
};
use crate::x509::der::{self, OCTET_STRING, Reader, SEQUENCE};
use crate::x509::lint::{Examined, Verdict};
use crate::x509::profile::Profile;
use crate::x509::request::role_and_name;
use crate::x509::scope::Scope;

/// RFC 7093 section 2, method 1.
const KEY_IDENTIFIER_LEN: usize = 20;
/// keyIdentifier [0] of an AuthorityKeyIdentifier.
const KEY_IDENTIFIER: u8 = 0x80;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
const IP_ADDRESS: u8 = 0x87;

pub(super) fn expected(examined: &Examined<'_>) -> Verdict {
    let profile = examined.profile;
    // Whether each is rightly there is said by its own rule.
    let allowed = [
        SUBJECT_KEY_IDENTIFIER,
        KEY_USAGE,
        SUBJECT_ALT_NAME,
        BASIC_CONSTRAINTS,
        AUTHORITY_KEY_IDENTIFIER,
        EXTENDED_KEY_USAGE,
        SCOPE,
    ];
    let all = &examined.tbs.extensions;
    for (index, extension) in all.iter().enumerate() {
        if !allowed.contains(&extension.oid) {
            return Err(format!(
                "extension {} is not one of profile {}",
                hex(extension.oid),
                profile.name.name()
            ));
        }
        if all[..index]
            .iter()
            .any(|earlier| earlier.oid == extension.oid)
        {
            return Err(format!("extension {} is there twice", hex(extension.oid)));
        }
    }
    Ok(())
}

pub(super) fn basic_constraints(examined: &Examined<'_>) -> Verdict {
    let value = examined.profile.basic_constraints_der();
    exactly(examined.tbs, BASIC_CONSTRAINTS, Critical::Yes, &value)
}

pub(super) fn key_usage(examined: &Examined<'_>) -> Verdict {
    let value = examined.profile.key_usage_der();
    exactly(examined.tbs, KEY_USAGE, Critical::Yes, &value)
}

pub(super) fn extended_key_usage(examined: &Examined<'_>) -> Verdict {
    match &examined.profile.extended_key_usage {
        None => absent(examined.tbs, EXTENDED_KEY_USAGE),
        Some(usage) => {
            let critical = if usage.critical {
                Critical::Yes
            } else {
                Critical::No
            };
            exactly(examined.tbs, EXTENDED_KEY_USAGE, critical, &usage.der())
        }
    }
}

pub(super) fn subject_key_identifier(examined: &Examined<'_>) -> Verdict {
    let identifier = key_identifier(examined.tbs)?;
    let value = der::element(OCTET_STRING, &[&identifier]);
    exactly(examined.tbs, SUBJECT_KEY_IDENTIFIER, Critical::No, &value)
}

pub(super) fn authority_key_identifier(examined: &Examined<'_>) -> Verdict {
    let value = authority_key_identifier_of(examined.issuer)?;
    exactly(examined.tbs, AUTHORITY_KEY_IDENTIFIER, Critical::No, &value)
}

pub(super) fn authority_key_identifier_of(issuer: &Tbs<'_>) -> Result<Vec<u8>, String> {
    let extension = issuer.extension(SUBJECT_KEY_IDENTIFIER);
    let mut value = Reader::new(extension.unwrap_or(&[]));
    let Ok(identifier) = value.expect(OCTET_STRING, "an identifier") else {
        return Err("the issuer's certificate has no key identifier".to_owned());
    };
    let identifier = der::element(KEY_IDENTIFIER, &[identifier.content]);
    Ok(der::element(SEQUENCE, &[&identifier]))
}

fn key_identifier(tbs: &Tbs<'_>) -> Result<Vec<u8>, String> {
    let key = PublicKey::from_spki_der(tbs.spki).ok_or("the key is on no known curve")?;
    Ok(Sha256::digest(key.as_sec1())[..KEY_IDENTIFIER_LEN].to_vec())
}

pub(super) fn alternative_names(examined: &Examined<'_>) -> Verdict {
    alternative_names_fit(examined.tbs, examined.profile)
}

pub(crate) fn alternative_names_fit(tbs: &Tbs<'_>, profile: &Profile) -> Verdict {
    let Some(wanted) = &profile.names else {
        return absent(tbs, SUBJECT_ALT_NAME);
    };
    let extension = only(tbs, SUBJECT_ALT_NAME)?;
    if extension.critical {
        return Err("it is critical although there is a subject".to_owned());
    }
    let mut outer = Reader::new(extension.value);
    let names = outer
        .expect(SEQUENCE, "names")
        .map_err(|fault| fault.to_string())?;
    outer.finish().map_err(|fault| fault.to_string())?;
    let (mut uris, mut servers, mut names) = (Vec::new(), 0, names.inside());
    while !names.is_empty() {
        let name = names.any().map_err(|fault| fault.to_string())?;
        match name.tag {
            URI => uris.push(name.content),
            DNS_NAME | IP_ADDRESS => servers += 1,
            tag => return Err(format!("there is a name with tag {tag:#04x}")),
        }
    }
    let [uri] = uris.as_slice() else {
        return Err(format!("it has {} URI names", uris.len()));
    };
    let uri = String::from_utf8_lossy(uri);
    match role_and_name(&uri) {
        Some((role, _)) if wanted.roles.contains(&role) => {}
        _ => return Err(format!("{uri:?} is no name of a role of this profile")),
    }
    if servers > wanted.server_names_max {
        return Err(format!("it has {servers} DNS names and addresses"));
    }
    Ok(())
}

pub(super) fn credential_scope(examined: &Examined<'_>) -> Verdict {
    if examined.profile.scope.is_none() {
        return absent(examined.tbs, SCOPE);
    }
    let extension = only(examined.tbs, SCOPE)?;
    if extension.critical {
        return Err("it is critical, and TLS libraries would refuse the certificate".to_owned());
    }
    Scope::from_der(extension.value)
        .map(|_| ())
        .map_err(|fault| fault.to_string())
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Critical {
    Yes,
    No,
}

fn exactly(tbs: &Tbs<'_>, oid: &[u8], critical: Critical, value: &[u8]) -> Verdict {
    holds(only(tbs, oid)?, critical, value)
}

/// The extension has this criticality and these bytes.
pub(super) fn holds(extension: &Extension<'_>, critical: Critical, value: &[u8]) -> Verdict {
    if extension.critical != (critical == Critical::Yes) {
        return Err(format!(
            "it is{} critical",
            if extension.critical { "" } else { " not" }
        ));
    }
    if extension.value != value {
        return Err(format!(
            "its value is {}, wanted {}",
            hex(extension.value),
            hex(value)
        ));
    }
    Ok(())
}

fn only<'a>(tbs: &'a Tbs<'a>, oid: &[u8]) -> Result<&'a Extension<'a>, String> {
    let found = tbs.extensions.iter().find(|extension| extension.oid == oid);
    found.ok_or_else(|| "it is missing".to_owned())
}

fn absent(tbs: &Tbs<'_>, oid: &[u8]) -> Verdict {
    match only(tbs, oid) {
        Ok(_) => Err("the profile has none".to_owned()),
        Err(_) => Ok(()),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
