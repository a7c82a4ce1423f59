//! Vendor templates as files.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cryptoki::mechanism::MechanismType;
use cryptoki::object::Attribute;
use serde::Deserialize;

use super::Template;

const FILES: [&str; 3] = [
    include_str!("../../../policies/tokens/softhsm.toml"),
    include_str!("../../../policies/tokens/kryoptic.toml"),
    include_str!("../../../policies/tokens/generic.toml"),
];

/// What no file can leave out or say otherwise: without these a key is not safe, or does not sign.
/// The rest may be missing where a vendor's module does not know it.
const DEMANDED_OF_PRIVATE: [(&str, bool); 9] = [
    ("CKA_TOKEN", true),
    ("CKA_PRIVATE", true),
    ("CKA_SENSITIVE", true),
    ("CKA_EXTRACTABLE", false),
    ("CKA_SIGN", true),
    ("CKA_SIGN_RECOVER", false),
    ("CKA_DECRYPT", false),
    ("CKA_UNWRAP", false),
    ("CKA_DERIVE", false),
];
const DEMANDED_CLAIMS: [(&str, bool); 3] = [
    ("CKA_ALWAYS_SENSITIVE", true),
    ("CKA_NEVER_EXTRACTABLE", true),
    ("CKA_LOCAL", true),
];

/// The templates of this program.
pub(super) fn built_in() -> &'static [Template] {
    static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
        let read = |text: &&str| Template::parse(text).expect("a test reads every built-in file");
        FILES.iter().map(read).collect()
    });
    &TEMPLATES
}

/// Why a template file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum InvalidTemplate {
    #[error("{0}")]
    Syntax(String),
    #[error("{0} is not an attribute with that kind of value")]
    Attribute(String),
    #[error("{0} must be there and be {1}")]
    Demanded(&'static str, bool),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTemplate {
    manufacturer: Option<String>,
    public: BTreeMap<String, Value>,
    private: BTreeMap<String, Value>,
    claims: BTreeMap<String, Value>,
}

#[derive(Deserialize, PartialEq)]
#[serde(untagged)]
enum Value {
    Flag(bool),
    Mechanism(String),
    Mechanisms(Vec<String>),
}

impl Template {
    fn parse(text: &str) -> Result<Template, InvalidTemplate> {
        let raw: RawTemplate =
            toml::from_str(text).map_err(|error| InvalidTemplate::Syntax(error.to_string()))?;
        demand(&raw.private, &DEMANDED_OF_PRIVATE)?;
        demand(&raw.claims, &DEMANDED_CLAIMS)?;
        Ok(Template {
            manufacturer: raw.manufacturer,
            public: attributes(&raw.public, &[])?,
            private: attributes(&raw.private, &DEMANDED_OF_PRIVATE)?,
            claims: attributes(&raw.claims, &DEMANDED_CLAIMS)?,
        })
    }
}

fn demand(
    given: &BTreeMap<String, Value>,
    demanded: &[(&'static str, bool)],
) -> Result<(), InvalidTemplate> {
    for (name, flag) in demanded {
        if given.get(*name) != Some(&Value::Flag(*flag)) {
            return Err(InvalidTemplate::Demanded(name, *flag));
        }
    }
    Ok(())
}

/// What is demanded comes first: of a key that differs in several ways, the worst is named.
fn attributes(
    given: &BTreeMap<String, Value>,
    first: &[(&'static str, bool)],
) -> Result<Vec<Attribute>, InvalidTemplate> {
    let rank = |name: &str| first.iter().position(|(demanded, _)| *demanded == name);
    let mut ordered: Vec<_> = given.iter().collect();
    ordered.sort_by_key(|(name, _)| rank(name).unwrap_or(first.len()));
    let read = |(name, value): (&String, &Value)| {
        attribute(name, value).ok_or_else(|| InvalidTemplate::Attribute(name.clone()))
    };
    ordered.into_iter().map(read).collect()
}

fn attribute(name: &str, value: &Value) -> Option<Attribute> {
    match value {
        Value::Flag(flag) => flag_attribute(name, *flag),
        Value::Mechanism(text) if name == "CKA_KEY_GEN_MECHANISM" => (text
            == "CKM_EC_KEY_PAIR_GEN")
            .then_some(Attribute::KeyGenMechanism(MechanismType::ECC_KEY_PAIR_GEN)),
        // Digests are signed as they are: a key that may hash itself could be asked to.
        Value::Mechanisms(list) if name == "CKA_ALLOWED_MECHANISMS" => (list == &["CKM_ECDSA"])
            .then_some(Attribute::AllowedMechanisms(vec![MechanismType::ECDSA])),
        Value::Mechanism(_) | Value::Mechanisms(_) => None,
    }
}

fn flag_attribute(name: &str, flag: bool) -> Option<Attribute> {
    Some(match name {
        "CKA_ALWAYS_AUTHENTICATE" => Attribute::AlwaysAuthenticate(flag),
        "CKA_ALWAYS_SENSITIVE" => Attribute::AlwaysSensitive(flag),
        "CKA_COPYABLE" => Attribute::Copyable(flag),
        "CKA_DECRYPT" => Attribute::Decrypt(flag),
        "CKA_DERIVE" => Attribute::Derive(flag),
        "CKA_DESTROYABLE" => Attribute::Destroyable(flag),
        "CKA_ENCRYPT" => Attribute::Encrypt(flag),
        "CKA_EXTRACTABLE" => Attribute::Extractable(flag),
        "CKA_LOCAL" => Attribute::Local(flag),
        "CKA_MODIFIABLE" => Attribute::Modifiable(flag),
        "CKA_NEVER_EXTRACTABLE" => Attribute::NeverExtractable(flag),
        "CKA_PRIVATE" => Attribute::Private(flag),
        "CKA_SENSITIVE" => Attribute::Sensitive(flag),
        "CKA_SIGN" => Attribute::Sign(flag),
        "CKA_SIGN_RECOVER" => Attribute::SignRecover(flag),
        "CKA_TOKEN" => Attribute::Token(flag),
        "CKA_UNWRAP" => Attribute::Unwrap(flag),
        "CKA_VERIFY" => Attribute::Verify(flag),
        "CKA_VERIFY_RECOVER" => Attribute::VerifyRecover(flag),
        "CKA_WRAP" => Attribute::Wrap(flag),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_template_reads_and_the_right_one_is_found() {
        for text in FILES {
            Template::parse(text).unwrap();
        }
        for manufacturer in ["SoftHSM project", "Kryoptic Project"] {
            let found = Template::of_manufacturer(manufacturer);
            assert_eq!(found.manufacturer.as_deref(), Some(manufacturer));
        }
        assert_eq!(Template::of_manufacturer("Somebody").manufacturer, None);
    }

    #[test]
    fn no_file_makes_an_unsafe_key() {
        let generic = FILES[2];
        let all = DEMANDED_OF_PRIVATE.iter().chain(&DEMANDED_CLAIMS);
        for (name, flag) in all {
            let (head, private) = generic.split_once("[private]").unwrap();
            let line = format!("{name} = {flag}\n");
            for other in [String::new(), format!("{name} = {}\n", !flag)] {
                let text = format!("{head}[private]{}", private.replace(&line, &other));
                let expected = Err(InvalidTemplate::Demanded(name, *flag));
                assert_eq!(Template::parse(&text), expected, "{name}");
            }
        }
    }

    #[test]
    fn what_a_vendor_does_not_know_may_be_left_out_and_what_nobody_knows_is_refused() {
        let generic = FILES[2];
        let without = generic.replace("CKA_COPYABLE = false\n", "");
        assert_eq!(Template::parse(&without).unwrap().public.len(), 8);
        for (line, name) in [
            ("CKA_TRUSTED = true", "CKA_TRUSTED"),
            ("CKA_ID = \"x\"", "CKA_ID"),
            ("CKA_LABEL = true", "CKA_LABEL"),
        ] {
            let text = generic.replace("[private]\n", &format!("[private]\n{line}\n"));
            let expected = Err(InvalidTemplate::Attribute(name.to_owned()));
            assert_eq!(Template::parse(&text), expected);
        }
        let more = generic.replace("[\"CKM_ECDSA\"]", "[\"CKM_ECDSA\", \"CKM_ECDSA_SHA256\"]");
        let expected = Err(InvalidTemplate::Attribute(
            "CKA_ALLOWED_MECHANISMS".to_owned(),
        ));
        assert_eq!(Template::parse(&more), expected);
        let unknown = format!("{generic}[extra]\n");
        assert!(matches!(
            Template::parse(&unknown),
            Err(InvalidTemplate::Syntax(_))
        ));
    }
}
