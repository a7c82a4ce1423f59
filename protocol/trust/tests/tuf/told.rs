//! What is said of each wrong member of each role, word for word.

use std::collections::BTreeSet;

use obol_trust::json::Json;

use crate::forms::{members, roles, with};

/// What stands in a member's place; `None`: nothing does.
fn changes() -> Vec<(&'static str, Option<Json>)> {
    let crowd = (0..1 << 12).map(|number| (format!("{number}"), Json::Null));
    let changes = [
        ("null", Json::Null),
        ("a flag", Json::Flag(true)),
        ("-1", Json::Whole(-1)),
        ("NUL", Json::text("\u{0}")),
        ("an array", Json::List(vec![Json::Null])),
        ("64 KiB", Json::Text("a".repeat(1 << 16))),
        ("2^63-1", Json::Whole(i64::MAX)),
        ("-2^63", Json::Whole(i64::MIN)),
        ("4096 values", Json::List(vec![Json::Null; 1 << 12])),
        ("4096 members", Json::Object(crowd.collect())),
    ];
    let changes = changes.map(|(name, json)| (name, Some(json)));
    [("nothing", None)].into_iter().chain(changes).collect()
}

/// Names of keys are hashes: which key it is says nothing.
fn plain(text: &str) -> String {
    let word = |word: &str| {
        let is_id = word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            "KEY".to_owned()
        } else {
            word.to_owned()
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A line for each member and each thing that is said of it, with what was put there.
fn told() -> String {
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    for (role, json, read) in roles() {
        let mut paths = Vec::new();
        members(&json, &[], &mut paths);
        for path in paths {
            let names: Vec<_> = path.iter().map(|name| plain(name)).collect();
            let mut said: Vec<(String, Vec<&str>)> = Vec::new();
            for (name, change) in changes() {
                let answer = match read(&with(&json, &path, change.as_ref())) {
                    Ok(()) => "taken".to_owned(),
                    Err(error) => plain(&error.to_string()),
                };
                match said.iter_mut().find(|(known, _)| *known == answer) {
                    Some((_, by)) => by.push(name),
                    None => said.push((answer, vec![name])),
                }
            }
            for (answer, by) in said {
                let line = format!(
                    "{role} {}: {answer} <- {}\n",
                    names.join("/"),
                    by.join(", ")
                );
                if seen.insert(line.clone()) {
                    lines.push(line);
                }
            }
        }
    }
    lines.concat()
}

#[test]
fn each_wrong_member_is_named_with_what_it_should_be() {
    let told = told();
    let expected = include_str!("told.txt");
    for (line, (told, expected)) in told.lines().zip(expected.lines()).enumerate() {
        assert_eq!(told, expected, "line {}", line + 1);
    }
    assert_eq!(told.lines().count(), expected.lines().count(), "{told}");
}
