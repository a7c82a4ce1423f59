//! PT1 by two hands: what one implementation makes the other accepts.

use std::{
    collections::HashMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use data_encoding::HEXLOWER;
use obol_console::unix_now;
use obol_trust::TrustBundle;
use obol_verifier_sdk::{IssuerKey, Operator, TrustStore, UnixTime, Verifier};
use serde_json::{Value, json};

use crate::{stage::Stage, trust_entry::issuer_key};

const CODES: usize = 100;

/// Runs a script of tests/interop; without its environment the claim fails rather than passes.
fn python(script: &str, arguments: &[&str], input: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python: PathBuf = root.join(".venv/bin/python");
    assert!(
        python.exists(),
        "there is no {}: run `make test`, which makes it from tests/interop/requirements.txt",
        python.display()
    );
    let mut child = Command::new(python)
        .arg(root.join("tests/interop").join(script))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{script} ended with {}",
        output.status
    );
    String::from_utf8(output.stdout).unwrap()
}

fn trust_of(code: &Value) -> Vec<IssuerKey> {
    let entries = code["trust"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            let text = |value: &Value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            };
            let fields: Vec<_> = entry
                .as_object()
                .unwrap()
                .iter()
                .map(|(key, value)| (key, text(value)))
                .collect();
            let fields: HashMap<_, _> = fields
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            issuer_key(&fields).unwrap()
        })
        .collect()
}

#[test]
fn codes_minted_by_the_python_implementation_are_accepted() {
    let minted: Value =
        serde_json::from_str(&python("mint.py", &[&CODES.to_string()], "")).unwrap();
    let codes = minted["codes"].as_array().unwrap();
    assert_eq!(codes.len(), CODES);
    for code in codes {
        let trust = trust_of(code);
        let verifier = Verifier {
            trust: TrustStore::new(&trust),
            operator: Operator::new(code["operator"].as_str().unwrap()).unwrap(),
        };
        let now = UnixTime(code["now"].as_u64().unwrap().try_into().unwrap());
        let verified = verifier.verify_text(code["text"].as_str().unwrap().as_bytes(), now);
        let verified = verified.unwrap_or_else(|refusal| panic!("{refusal}: {code}"));
        let claims = verified.claims();
        assert_eq!(HEXLOWER.encode(&claims.cti.0), code["cti"], "{code}");
        assert_eq!(verified.dynamic().counter, code["counter"], "{code}");
        assert_eq!(claims.fare.class, code["class"], "{code}");
        assert_eq!(claims.fare.cap_minor, code["cap"], "{code}");
    }
}

#[test]
fn codes_of_our_wallet_are_accepted_by_the_python_implementation() {
    let stage = Stage::running(&["bus-1"]);
    let ada = stage.rider("ada");
    let bundle = std::fs::read(stage.world.folder().join("bus-1/trust-bundle.cbor")).unwrap();
    let trust = entries(&TrustBundle::decode(&bundle).unwrap());
    let mut asked = Vec::new();
    for _ in 0..5 {
        ada.refresh().unwrap();
        let (text, now) = (ada.text().unwrap(), unix_now());
        let ask = |text: &str, now: u32, operator: &str, trust: &Value, expected: &'static str| {
            let request = json!({ "text": text, "now": now, "operator": operator, "trust": trust });
            (request, expected)
        };
        asked.push(ask(&text, now, "metro", &trust, "OK"));
        // It judges, and does not nod: the same codes with one thing wrong.
        asked.push(ask(&text, now + 120, "metro", &trust, "CODE_STALE"));
        asked.push(ask(&text, now, "tram", &trust, "OUT_OF_SCOPE"));
        asked.push(ask(&text, now, "metro", &json!([]), "UNKNOWN_KEY"));
        asked.push(ask(
            &text[..text.len() - 3],
            now,
            "metro",
            &trust,
            "MALFORMED",
        ));
    }
    let lines: String = asked
        .iter()
        .map(|(request, _)| format!("{request}\n"))
        .collect();
    let answers = python("verify.py", &[], &lines);
    let answers: Vec<Value> = answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), asked.len());
    for (answer, (request, expected)) in answers.iter().zip(&asked) {
        assert_eq!(answer["result"], *expected, "{request}");
    }
}

/// The bundle's entries in the spelling of the vectors.
fn entries(bundle: &TrustBundle<'_>) -> Value {
    let entry = |entry: &obol_trust::Entry<'_>| {
        json!({
            "kid": HEXLOWER.encode(&entry.kid.0), "alg": entry.algorithm.cose_id(),
            "point": HEXLOWER.encode(entry.point), "not_before": entry.not_before.0,
            "not_after": entry.not_after.0, "operator": entry.operator,
            "classes": format!("{:08x}", entry.classes), "status": "trusted",
        })
    };
    bundle.entries().iter().map(entry).collect()
}
