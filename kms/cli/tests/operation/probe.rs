use serde_json::Value;

use crate::world::World;

fn named<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    let list = list.as_array().unwrap();
    let found = list.iter().find(|one| one[key] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list:?}"))
}

#[test]
fn a_probe_says_what_a_token_can_do_and_leaves_nothing_in_it() {
    let world = World::new(&["root"]);
    world.done("root create --token root.token.toml --out root.pem");
    let keys = world.json("token show --token root.token.toml --json")["keys"].clone();

    let report = world.json("probe --token root.token.toml --json");
    assert_eq!(report["library"]["manufacturer"], "SoftHSM");
    assert_eq!(report["library"]["cryptoki"], "2.40");
    assert_eq!(named(&report["slots"], "label", "root")["pin"], "good");
    assert_eq!(report["usable"], true);
    let token = &report["token"];
    let ecdsa = named(&token["mechanisms"], "mechanism", "CKM_ECDSA");
    assert!(ecdsa["found"]["max_key"].as_u64().unwrap() >= 384);
    for (attribute, asked) in [
        ("CKA_SENSITIVE", "true"),
        ("CKA_EXTRACTABLE", "false"),
        ("CKA_MODIFIABLE", "false"),
        ("CKA_COPYABLE", "false"),
        ("CKA_ALLOWED_MECHANISMS", "CKM_ECDSA"),
        ("CKA_NEVER_EXTRACTABLE", "true"),
    ] {
        let found = named(&token["attributes"], "attribute", attribute);
        assert_eq!(
            (found["asked"].as_str(), found["honoured"].as_str()),
            (Some(asked), Some("yes"))
        );
    }
    for (question, answer) in [
        (
            "CKM_ECDSA over a digest, verified outside the token",
            "r || s, verifies",
        ),
        ("reading CKA_VALUE of the private key", "refused"),
        (
            "changing a key with CKA_MODIFIABLE false",
            "C_SetAttributeValue: CKR_ACTION_PROHIBITED",
        ),
        (
            "copying a key with CKA_COPYABLE false",
            "C_CopyObject: CKR_ACTION_PROHIBITED",
        ),
        ("CKM_ECDSA over 1 byte with a key on P-256", "done"),
        ("a second pair of the same CKA_ID", "accepted"),
        ("CKA_EC_POINT", "DER octet string, as the standard says"),
        ("CKA_PUBLIC_KEY_INFO of the private key", "not there"),
    ] {
        assert_eq!(
            named(&token["behaviours"], "question", question)["answer"],
            answer
        );
    }

    let [before, after] = [0, 1].map(|at| token["objects"][at].as_u64().unwrap());
    assert_eq!((before, after), (2, 2));
    assert_eq!(
        world.json("token show --token root.token.toml --json")["keys"],
        keys
    );
    let listed = world
        .command("pkcs11-tool")
        .args(["--module", World::module(), "--login", "--pin", "1234"])
        .args(["--token-label", "root", "--list-objects"])
        .output()
        .unwrap();
    assert!(!crate::world::text(&listed.stdout).contains("obol probe"));
}

#[test]
fn a_probe_of_a_module_needs_no_pin() {
    let world = World::new(&["root"]);
    std::fs::remove_file(world.path("root.pin")).unwrap();
    let report = world.json(&format!("probe --module {} --json", World::module()));
    assert_eq!(
        named(&report["slots"], "label", "root")["model"],
        "SoftHSM v2"
    );
    assert_eq!(report.get("token"), None);
    let (code, error, help) = world.fails("probe --token root.token.toml");
    assert_eq!(code, 2);
    assert!(error.contains("root.pin cannot be read"), "{error}");
    assert_eq!(help, "check the path and that this user may read the file");
}

#[test]
fn a_probe_of_no_module_is_two_lines() {
    let (code, error, help) = World::new(&[]).fails("probe --module /no/module.so");
    assert_eq!(
        (code, error.as_str()),
        (2, "PKCS#11 module /no/module.so does not exist")
    );
    assert!(help.starts_with("install the PKCS#11 module"), "{help}");
}
