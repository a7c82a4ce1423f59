//! Policy sets that an operator might write.
#![allow(clippy::unwrap_used)] // everything here is a test

use std::fs;
use std::path::Path;

use obol_kms_policy::{FILE_MAX, FILES_MAX, Policy, PolicyError};

fn committed() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/kms"))
}

/// A copy of the committed set with one file more or changed.
fn set_with(name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(committed()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    fs::write(folder.path().join(name), text).unwrap();
    folder
}

#[test]
fn without_cedar_only_the_committed_set_is_taken() {
    let policy = Policy::load_committed(committed()).unwrap();
    assert_eq!(policy.hash(), Policy::built_in().hash());
    let other = set_with("own.cedar", "// nothing\n");
    let refused = Policy::load_committed(other.path()).unwrap_err();
    let PolicyError::NotTheBuiltIn {
        built_in, found, ..
    } = refused
    else {
        panic!("{refused}")
    };
    assert_eq!(built_in, policy.hash());
    assert_ne!(found, built_in);
}

#[test]
fn a_file_that_would_not_be_applied_is_refused() {
    for name in ["permits.ceder", "README.md", "Permits.cedar", ".cedar"] {
        let refused = Policy::load(set_with(name, "").path()).unwrap_err();
        assert!(matches!(refused, PolicyError::UnknownFile(path) if path.ends_with(name)));
    }
}

#[test]
fn an_incomplete_set_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = |folder: &Path| match Policy::load(folder).unwrap_err() {
        PolicyError::Incomplete { missing, .. } => missing,
        other => panic!("{other}"),
    };
    assert_eq!(missing(folder.path()), "schema.cedarschema");
    let schema = committed().join("schema.cedarschema");
    fs::copy(schema, folder.path().join("schema.cedarschema")).unwrap();
    assert_eq!(missing(folder.path()), "policy");
    let nowhere = Policy::load(&folder.path().join("nowhere")).unwrap_err();
    assert!(matches!(nowhere, PolicyError::Read { .. }));
}

#[test]
fn a_set_larger_than_its_limits_is_refused() {
    let long = "/".repeat(FILE_MAX as usize + 1);
    let refused = Policy::load(set_with("own.cedar", &long).path()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("own.cedar is larger than {FILE_MAX}")
    );
    let many = set_with("own.cedar", "");
    for number in 0..FILES_MAX {
        fs::write(many.path().join(format!("f{number}.cedar")), "").unwrap();
    }
    let refused = Policy::load(many.path()).unwrap_err();
    assert!(matches!(refused, PolicyError::TooLarge { limit, .. } if limit == FILES_MAX as u64));
}

#[cfg(feature = "cedar")]
mod with_cedar {
    use super::*;
    use obol_kms_policy::{Client, Context, Denial, Hour, KeyClass, Payload, Question, Role};
    use std::num::NonZeroU32;

    fn refusal(text: &str) -> PolicyError {
        Policy::load(set_with("own.cedar", text).path()).unwrap_err()
    }

    /// What lets an issuer have credentials signed.
    const PERMIT: &str = "issuer-signs-credentials";

    fn reason(policy: &Policy, question: &Question) -> Vec<String> {
        policy.decide(question).unwrap().reason().to_vec()
    }

    fn credentials(hour: u32) -> Question {
        Question {
            client: Client::new(Role::Issuer, "uid:7").unwrap(),
            spki: [1; 32],
            class: KeyClass::Issuer,
            payload: Payload::CredentialClaims,
            context: Context {
                hour: Hour::of(hour * 3_600),
                batch: NonZeroU32::MIN,
                approvals: 0,
            },
        }
    }

    #[test]
    fn an_operator_forbids_one_client_after_hours_and_the_hash_says_so() {
        let own = "@id(\"closed-at-night\")\n\
                   forbid (principal == Client::\"uid:7\", action, resource)\n\
                   when { context.hour < 4 };\n";
        let policy = Policy::load(set_with("own.cedar", own).path()).unwrap();
        assert_ne!(policy.hash(), Policy::built_in().hash());
        assert_eq!(reason(&policy, &credentials(4)), [PERMIT]);
        // The answer of hour 4 is not that of hour 3, though client, class and payload are the same.
        let denied = policy.decide(&credentials(3)).unwrap_err();
        assert_eq!(
            denied.reason,
            Denial::Forbidden(["closed-at-night".to_owned()].into())
        );
        assert_eq!(reason(&policy, &credentials(4)), [PERMIT]);
    }

    #[test]
    fn one_key_can_be_named() {
        let key = data_encoding::HEXLOWER.encode(&[1; 32]);
        let own =
            format!("@id(\"no-key\") forbid (principal, action, resource == Key::\"{key}\");");
        let policy = Policy::load(set_with("own.cedar", &own).path()).unwrap();
        let denied = policy.decide(&credentials(4)).unwrap_err();
        assert_eq!(
            denied.reason,
            Denial::Forbidden(["no-key".to_owned()].into())
        );
        let mut other = credentials(4);
        other.spki = [2; 32];
        assert_eq!(reason(&policy, &other), [PERMIT]);
    }

    #[test]
    fn a_policy_that_cannot_be_evaluated_denies() {
        // Strict validation cannot see an overflow.
        let own = "@id(\"overflows\") forbid (principal, action, resource)\n\
                   when { context.batch * 9223372036854775807 < 0 };";
        let policy = Policy::load(set_with("own.cedar", own).path()).unwrap();
        assert_eq!(reason(&policy, &credentials(4)), [PERMIT]);
        let mut question = credentials(4);
        question.context.batch = NonZeroU32::new(2).unwrap();
        let denied = policy.decide(&question).unwrap_err();
        assert_eq!(
            denied.reason,
            Denial::Broken(["overflows".to_owned()].into())
        );
    }

    #[test]
    fn a_policy_without_a_name_of_its_own_is_refused() {
        let number = |text: &str| match refusal(text) {
            PolicyError::Id { number, .. } => number,
            other => panic!("{other}"),
        };
        assert_eq!(number("forbid (principal, action, resource);"), 1);
        assert_eq!(number("@id(\"\") forbid (principal, action, resource);"), 1);
        assert_eq!(
            number("@id(\"Upper\") forbid (principal, action, resource);"),
            1
        );
        let twice = "@id(\"a\") forbid (principal, action, resource);\n".repeat(2);
        assert_eq!(number(&twice), 2);
        let taken = "@id(\"issuer-signs-credentials\") forbid (principal, action, resource);";
        let refused = Policy::load(set_with("zz.cedar", taken).path()).unwrap_err();
        assert!(matches!(refused, PolicyError::Id { .. }), "{refused}");
    }

    #[test]
    fn a_policy_with_words_that_the_schema_lacks_is_refused() {
        for own in [
            "@id(\"a\") permit (principal in Role::\"isuer\", action, resource);",
            "@id(\"a\") permit (principal, action == Action::\"sign-digest\", resource);",
            "@id(\"a\") permit (principal, action, resource) when { context.minute == 1 };",
            "@id(\"a\") permit (principal, action, resource) when { principal.name == \"x\" };",
            "@id(\"a\") permit (principal is Key, action, resource);",
        ] {
            let refused = refusal(own);
            assert!(
                matches!(refused, PolicyError::Invalid { .. }),
                "{own}: {refused}"
            );
        }
    }

    #[test]
    fn a_warning_of_the_validator_is_a_refusal() {
        let never = "@id(\"a\") permit (principal, action, resource) when { false };";
        assert!(matches!(refusal(never), PolicyError::Invalid { .. }));
    }

    #[test]
    fn a_template_or_a_syntax_error_is_refused() {
        let template = "@id(\"a\") permit (principal == ?principal, action, resource);";
        assert!(matches!(refusal(template), PolicyError::Syntax { .. }));
        let broken = refusal("@id(\"a\") permit (principal, action);");
        assert!(broken.to_string().starts_with("own.cedar: "), "{broken}");
    }

    #[test]
    fn a_schema_without_a_word_of_the_code_is_refused() {
        let schema = fs::read_to_string(committed().join("schema.cedarschema")).unwrap();
        let without = schema.replace("       \"sign-tuf-root\",\n", "");
        assert_ne!(schema, without);
        let set = set_with("schema.cedarschema", &without);
        fs::write(
            set.path().join("permits.cedar"),
            "@id(\"a\") permit (principal, action == Action::\"sign-crl\", resource);",
        )
        .unwrap();
        let refused = Policy::load(set.path()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the schema has no Action::\"sign-tuf-root\""
        );
    }
}
