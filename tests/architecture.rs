//! ARCHITECTURE.md draws the house; this compares the drawing with what cargo sees.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

type Arrows = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the root")
        .to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect(key)
}

/// What each package uses when it is shipped; what only its tests use does not count.
fn real_arrows() -> Arrows {
    let shipped = |dependency: &&Value| dependency["kind"] != "dev";
    packages()
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("a list");
            let ours = dependencies.iter().filter(shipped).map(|d| text(d, "name"));
            let ours = ours
                .filter(|name| name.starts_with("obol-"))
                .map(str::to_owned)
                .collect();
            (text(package, "name").to_owned(), ours)
        })
        .collect()
}

fn drawn_arrows() -> Arrows {
    let page = read("ARCHITECTURE.md");
    let block = page.split("```arrows\n").nth(1).expect("an arrows block");
    let block = block.split("```").next().expect("its end");
    block
        .lines()
        .map(|line| {
            let (name, uses) = line.split_once(':').expect("NAME: USES");
            (
                name.to_owned(),
                uses.split_whitespace().map(str::to_owned).collect(),
            )
        })
        .collect()
}

#[test]
fn the_arrows_are_those_of_the_drawing() {
    assert_eq!(real_arrows(), drawn_arrows());
}

#[test]
fn arrows_never_lead_back() {
    fn reaches(arrows: &Arrows, from: &str, to: &str) -> bool {
        arrows[from]
            .iter()
            .any(|next| next == to || reaches(arrows, next, to))
    }
    let arrows = real_arrows();
    for name in arrows.keys() {
        assert!(!reaches(&arrows, name, name), "{name} reaches itself");
    }
}

#[test]
fn only_the_key_management_reaches_cryptoki() {
    let users: Vec<_> = packages()
        .iter()
        .filter(|p| {
            p["dependencies"]
                .as_array()
                .expect("a list")
                .iter()
                .any(|d| d["name"] == "cryptoki")
        })
        .map(|p| text(p, "name").to_owned())
        .collect();
    assert_eq!(users, ["obol-kms"]);
}

#[test]
fn every_package_but_those_with_a_c_interface_forbids_unsafe_code() {
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""));
    for package in packages() {
        let manifest = fs::read_to_string(text(&package, "manifest_path")).expect("a manifest");
        // A C library, what calls one or is called back by one: each block says why it is sound.
        let demanded = match text(&package, "name") {
            "obol-fault-vfs" | "obol-fuzz" | "obol-pkcs11-shim" | "obol-pos-ffi"
            | "obol-verifier-ffi" => "[lints.rust]\nunsafe_code = \"deny\"",
            _ => "[lints]\nworkspace = true",
        };
        assert!(manifest.contains(demanded), "{}", text(&package, "name"));
    }
}

#[test]
fn every_member_has_its_line_in_the_index() {
    let manifest = read("Cargo.toml");
    let members = manifest
        .split("members = [")
        .nth(1)
        .and_then(|rest| rest.split("\n]").next());
    let lines: Vec<_> = members.expect("a members list").trim().lines().collect();
    assert_eq!(lines.len(), packages().len());
    for line in lines {
        assert!(
            line.contains(", # ") || line.contains(",  "),
            "no comment: {line}"
        );
        assert!(
            line.split_once('#').is_some_and(|(_, why)| why.len() > 10),
            "no comment: {line}"
        );
    }
}

#[test]
fn every_dependency_has_its_line_in_the_readme() {
    let readme = read("README.md");
    let external = |d: &&Value| d["source"].is_string();
    for package in packages() {
        for dependency in package["dependencies"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(external)
        {
            let name = text(dependency, "name");
            assert!(
                readme.contains(&format!("`{name}`")),
                "README.md does not argue for {name}"
            );
        }
    }
}

#[test]
fn every_attack_in_the_trust_specification_names_tests_that_exist() {
    let page = read("docs/spec/trust.md");
    let section = page.split("## 9. Attacks").nth(1).expect("section 9");
    let table = section.split("|---|---|---|\n").nth(1).expect("a table");
    let sources: String = [
        "protocol/trust/tests/tuf/attacks.rs",
        "protocol/trust/tests/tuf/forms.rs",
        "protocol/trust/tests/tuf/workflow.rs",
        "protocol/trust/tests/status_list.rs",
        "pos-sdk/tests/trust/update.rs",
        "pos-sdk/tests/trust/power.rs",
        "issuer/tests/publisher/clients.rs",
        "issuer/tests/publisher/power.rs",
        "issuer/tests/publisher/tough.rs",
        "tests/interop/test_tuf.py",
    ]
    .map(read)
    .concat();
    let named = tests_in_column(table, 3, &sources);
    assert!(named >= 26, "{named}");
}

#[test]
fn every_claim_of_the_audit_guide_names_tests_that_exist() {
    let page = read("docs/audit-guide.md");
    let table = page.split("|---|---|\n").nth(1).expect("a table");
    let table = table.split("\n\n").next().expect("its end");
    let mut sources = String::new();
    for folder in [
        "kms/ceremony",
        "kms/cli/tests",
        "kms/registry/src",
        "tests/claims",
        "tests/interop",
    ] {
        read_tree(&root().join(folder), &mut sources);
    }
    let named = tests_in_column(table, 2, &sources);
    assert!(named >= 40, "{named}");
}

/// How many tests the rows of a Markdown table name in a column; each must be in `sources`.
fn tests_in_column(table: &str, column: usize, sources: &str) -> usize {
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        let tests = row.split('|').nth(column).expect("its columns");
        let mut of_row = 0;
        for test in tests.split('`').skip(1).step_by(2) {
            // Modules and a package may stand before the name.
            let name = test.rsplit([':', ' ']).next().expect("a name");
            let there = ["fn", "def"]
                .iter()
                .any(|word| sources.contains(&format!("{word} {name}(")));
            assert!(there, "{test}");
            of_row += 1;
        }
        assert!(of_row > 0, "no test beside {row}");
        named += of_row;
    }
    named
}

/// Appends every Rust and Python file below a folder.
fn read_tree(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_tree(&path, into);
        } else if path
            .extension()
            .is_some_and(|end| end == "rs" || end == "py")
        {
            *into += &fs::read_to_string(&path).expect("text");
        }
    }
}
