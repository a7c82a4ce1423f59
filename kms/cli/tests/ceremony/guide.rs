//! The audit guide names tests; each of them is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where the guide's first word says that a test is, and how its file is found from the second.
const PLACES: [(&str, &[&str]); 7] = [
    ("ceremony", &["kms/cli/tests/ceremony"]),
    ("bundles", &["kms/ceremony/tests/bundles.rs"]),
    ("plan", &["kms/ceremony/src/plan/tests.rs"]),
    ("shares", &["kms/ceremony/src/shares.rs"]),
    ("roster", &["kms/registry/src/roster.rs"]),
    ("claims", &["tests/claims"]),
    (
        "",
        &[
            "tests/interop/test_ceremony.py",
            "tests/interop/test_ceremony_guide.py",
        ],
    ),
];

/// Tests as the guide writes them, in back quotes.
fn named(guide: &str) -> BTreeSet<&str> {
    let quoted = guide.split('`').skip(1).step_by(2);
    let word = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b))
    };
    let tests = quoted.filter(|text| word(text));
    let tests = tests.filter(|text| text.contains("::") || text.starts_with("test_"));
    tests.collect()
}

fn is_there(test: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let parts: Vec<_> = test.split("::").collect();
    let (first, file, name) = match parts.as_slice() {
        [name] => ("", None, *name),
        [first, name] => (*first, None, *name),
        [first, file, name] => (*first, Some(*file), *name),
        _ => return false,
    };
    let Some((_, places)) = PLACES.iter().find(|(place, _)| *place == first) else {
        return false;
    };
    places.iter().any(|place| {
        let path = match file {
            Some(file) => root.join(place).join(format!("{file}.rs")),
            None => root.join(place),
        };
        let text = fs::read_to_string(path).unwrap_or_default();
        let rust = format!("#[test]\nfn {name}() {{");
        let inside = format!("#[test]\n    fn {name}() {{");
        let python = format!("\ndef {name}(");
        [rust, inside, python]
            .iter()
            .any(|form| text.contains(form))
    })
}

#[test]
fn each_test_that_the_audit_guide_names_is_there() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/audit-guide.md");
    let guide = fs::read_to_string(path).unwrap();
    let named = named(&guide);
    assert!(named.len() > 40, "{named:?}");
    let gone: Vec<_> = named.iter().filter(|test| !is_there(test)).collect();
    assert!(gone.is_empty(), "{gone:?}");
    assert!(!is_there("ceremony::audit::a_test_that_nobody_wrote"));
    assert!(!is_there("test_that_nobody_wrote"));
}

#[test]
fn each_claim_of_the_audit_guide_names_a_test() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/audit-guide.md");
    let guide = fs::read_to_string(path).unwrap();
    let rows = guide.lines().filter(|line| line.starts_with("| "));
    let claims: Vec<_> = rows.skip(1).collect();
    assert!(claims.len() > 20, "{claims:?}");
    for row in claims {
        let shown = row.rsplit(" | ").next().unwrap();
        assert!(!named(shown).is_empty(), "{row}");
    }
}
