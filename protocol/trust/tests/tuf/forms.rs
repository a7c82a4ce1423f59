//! Bad input: every member of every role absent, doubled, of another kind, huge; nesting, noise.

use obol_trust::json::{JSON_DEPTH_MAX, JSON_VALUES_MAX, Json};
use obol_trust::tuf::*;
use proptest::prelude::*;

use crate::repository::*;

pub(crate) type Read = fn(&Json) -> Result<(), FormError>;

/// Each role's signed part and its reader.
pub(crate) fn roles() -> Vec<(&'static str, Json, Read)> {
    let repository = Repository::new();
    let mut targets = repository.targets["targets"].clone();
    targets.targets.clear();
    targets.targets.insert("t".to_owned(), TargetFile::of(b"t"));
    vec![
        ("root", repository.root.to_json(), |json| {
            Root::read(json).map(|_| ())
        }),
        ("timestamp", repository.timestamp.to_json(), |json| {
            Timestamp::read(json).map(|_| ())
        }),
        ("snapshot", repository.snapshot.to_json(), |json| {
            Snapshot::read(json).map(|_| ())
        }),
        ("targets", targets.to_json(), |json| {
            Targets::read(json).map(|_| ())
        }),
    ]
}

/// Paths to every member of an object below `json`.
pub(crate) fn members(json: &Json, path: &[String], found: &mut Vec<Vec<String>>) {
    match json {
        Json::Object(inside) => {
            for (name, value) in inside {
                let here = [path, std::slice::from_ref(name)].concat();
                found.push(here.clone());
                members(value, &here, found);
            }
        }
        Json::List(items) => {
            for (index, value) in items.iter().enumerate() {
                members(value, &[path, &[index.to_string()]].concat(), found);
            }
        }
        _ => {}
    }
}

/// `json` with the member at `path` replaced, or taken out.
pub(crate) fn with(json: &Json, path: &[String], value: Option<&Json>) -> Json {
    let (first, rest) = path.split_first().unwrap();
    let mut changed = json.clone();
    match &mut changed {
        Json::Object(inside) => match (rest.is_empty(), value) {
            (true, Some(value)) => drop(inside.insert(first.clone(), value.clone())),
            (true, None) => drop(inside.remove(first)),
            _ => {
                let inner = with(&inside[first], rest, value);
                inside.insert(first.clone(), inner);
            }
        },
        Json::List(items) => {
            let index: usize = first.parse().unwrap();
            items[index] = with(&items[index], rest, value);
        }
        _ => panic!("a path leads through objects and arrays"),
    }
    changed
}

/// Members that may be absent; and the names of maps, each of which may lack any one entry.
fn may_be_absent(role: &str, path: &[String]) -> bool {
    let last = path.last().unwrap().as_str();
    let parent = path.len().checked_sub(2).map(|at| path[at].as_str());
    match role {
        "root" => parent == Some("keys"),
        "timestamp" => matches!(last, "x-obol-issued" | "length" | "hashes"),
        "snapshot" => matches!(last, "length" | "hashes") || parent == Some("meta"),
        _ => last == "delegations" || matches!(parent, Some("targets" | "keys")),
    }
}

#[test]
fn every_member_of_every_role_that_is_absent_is_refused() {
    for (role, json, read) in roles() {
        read(&json).unwrap();
        let mut paths = Vec::new();
        members(&json, &[], &mut paths);
        for path in paths.iter().filter(|path| !may_be_absent(role, path)) {
            // The only hash of a file cannot be missing either.
            let refused = read(&with(&json, path, None));
            assert!(refused.is_err(), "{role} without {path:?}");
        }
    }
}

#[test]
fn every_member_of_every_role_of_another_kind_is_refused() {
    let kinds = [
        Json::Null,
        Json::Flag(true),
        Json::Whole(-1),
        Json::text("\u{0}"),
        Json::List(vec![Json::Null]),
    ];
    for (role, json, read) in roles() {
        let mut paths = Vec::new();
        members(&json, &[], &mut paths);
        for path in &paths {
            for kind in &kinds {
                let last = path.last().unwrap().as_str();
                let same = match kind {
                    Json::Flag(_) => matches!(last, "consistent_snapshot" | "terminating"),
                    // Any text may name a role: it is quoted where it names a file. A key of a
                    // kind that nobody knows is refused too: its name is not its hash.
                    Json::Text(_) => last == "name",
                    _ => false,
                };
                let refused = read(&with(&json, path, Some(kind)));
                assert_eq!(refused.is_err(), !same, "{role} {path:?} as {kind:?}");
            }
        }
    }
}

/// `json` as text, with the member at `path` standing there twice, one behind the other.
fn doubled(json: &Json, path: Option<&[String]>) -> String {
    let below = |name: &str| match path {
        Some([first, rest @ ..]) if first == name && !rest.is_empty() => Some(rest),
        _ => None,
    };
    let text = |value: &Json| String::from_utf8(value.to_text()).unwrap();
    match json {
        Json::Object(members) => {
            let member = |(name, value): (&String, &Json)| {
                let one = format!(
                    "{}:{}",
                    text(&Json::text(name)),
                    doubled(value, below(name))
                );
                let twice = path.is_some_and(|path| *path == [name.clone()]);
                if twice { format!("{one},{one}") } else { one }
            };
            let members: Vec<_> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
        Json::List(items) => {
            let item = |(index, value): (usize, &Json)| doubled(value, below(&index.to_string()));
            let items: Vec<_> = items.iter().enumerate().map(item).collect();
            format!("[{}]", items.join(","))
        }
        value => text(value),
    }
}

#[test]
fn every_member_of_every_role_that_stands_twice_is_refused() {
    for (role, json, _) in roles() {
        assert_eq!(
            Json::parse(doubled(&json, None).as_bytes(), 1 << 20),
            Ok(json.clone())
        );
        let mut paths = Vec::new();
        members(&json, &[], &mut paths);
        for path in &paths {
            let text = doubled(&json, Some(path));
            let error = Json::parse(text.as_bytes(), 1 << 20)
                .unwrap_err()
                .to_string();
            let expected = format!("{:?} is there twice", path.last().unwrap());
            assert!(error.contains(&expected), "{role} {path:?}: {error}");
        }
    }
}

#[test]
fn every_member_of_every_role_that_is_huge_is_refused() {
    let long = "a".repeat(1 << 16);
    let many = Json::List(vec![Json::Null; 1 << 12]);
    let crowd = (0..1 << 12).map(|number| (format!("{number}"), Json::Null));
    let huge = [
        Json::Text(long.clone()),
        Json::Whole(i64::MAX),
        Json::Whole(i64::MIN),
        many,
        Json::Object(crowd.collect()),
        Json::object([(long.as_str(), Json::Null)]),
    ];
    for (role, json, read) in roles() {
        let mut paths = Vec::new();
        members(&json, &[], &mut paths);
        for path in &paths {
            for (number, value) in huge.iter().enumerate() {
                let name = number == 0 && path.last().unwrap() == "name";
                // Any length and any time are numbers that fit; what they name is never fetched.
                let length = number == 1 && path.last().unwrap() == "length";
                let taken = read(&with(&json, path, Some(value))).is_ok();
                assert_eq!(
                    taken,
                    name || length,
                    "{role} {path:?} as huge value {number}"
                );
            }
        }
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    for (role, json, read) in roles() {
        for version in [0, i64::from(VERSION_MAX) + 1, i64::MAX] {
            let bent = with(&json, &["version".to_owned()], Some(&Json::Whole(version)));
            let error = read(&bent).unwrap_err();
            assert_eq!(
                error.to_string(),
                "version is not 1 to 2^31 - 1",
                "{role} {version}"
            );
        }
    }
    let (_, root, read) = roles().swap_remove(0);
    let path = ["roles", "snapshot", "threshold"].map(str::to_owned);
    let error = read(&with(&root, &path, Some(&Json::Whole(0)))).unwrap_err();
    assert_eq!(error.to_string(), "threshold is not 1 to 2^31 - 1");
}

#[test]
fn a_role_is_not_taken_for_another() {
    for (role, json, _) in roles() {
        for (other, _, read) in roles() {
            assert_eq!(read(&json).is_ok(), role == other, "{role} as {other}");
        }
    }
}

#[test]
fn a_key_whose_name_is_not_its_hash_is_refused() {
    let mut root = Repository::new().root;
    let first = root.keys.remove(&keyid(1)).unwrap();
    root.keys.insert("ab".repeat(32), first);
    let error = Root::read(&root.to_json()).unwrap_err();
    assert_eq!(error.wanted, "the SHA-256 of its key");
}

#[test]
fn a_role_that_names_a_key_twice_is_refused() {
    let mut root = Repository::new().root;
    root.roles.insert("targets".to_owned(), role(&[6, 6], 2));
    let error = Root::read(&root.to_json()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "keyids is not 1 to 256 strings, each once"
    );
}

#[test]
fn a_role_delegated_twice_is_refused() {
    let mut targets = Repository::new().targets["targets"].clone();
    let roles = &mut targets.delegations.as_mut().unwrap().roles;
    roles.push(delegated("fares", &[7], &["*"]));
    let error = Targets::read(&targets.to_json()).unwrap_err();
    assert_eq!(error.to_string(), "fares is not there once");
}

#[test]
fn two_signatures_of_one_key_are_refused() {
    let json = Repository::new().timestamp.to_json();
    let twice = [signature(&json, 4), signature(&json, 4)];
    let error = Signed::parse(&Signed::assemble(json, &twice), 1 << 20).unwrap_err();
    assert_eq!(
        error.to_string(),
        "signatures is not there once for each key"
    );
}

#[test]
fn members_that_stand_twice_are_refused_wherever_they_stand() {
    let (_, json, _) = roles().swap_remove(1);
    let text = String::from_utf8(json.to_text()).unwrap();
    for (member, again) in [
        ("\"version\":1,", "\"version\":1,\"version\":2,"),
        (
            "\"snapshot.json\":{",
            "\"snapshot.json\":{},\"snapshot.json\":{",
        ),
    ] {
        assert!(text.contains(member), "{text}");
        let doubled = text.replacen(member, again, 1);
        let error = Json::parse(doubled.as_bytes(), 1 << 20)
            .unwrap_err()
            .to_string();
        assert!(error.contains("is there twice"), "{error}");
    }
}

#[test]
fn nesting_and_counts_have_bounds() {
    let nested = |depth| ["[".repeat(depth), "]".repeat(depth)].concat();
    Json::parse(nested(JSON_DEPTH_MAX).as_bytes(), 1 << 20).unwrap();
    let error = Json::parse(nested(JSON_DEPTH_MAX + 1).as_bytes(), 1 << 20).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("nested deeper than 16 levels"),
        "{error}"
    );
    let error = Json::parse("[".repeat(1 << 19).as_bytes(), 1 << 20).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("nested deeper than 16 levels"),
        "{error}"
    );
    let many = ["[", &"1,".repeat(JSON_VALUES_MAX), "1]"].concat();
    let error = Json::parse(many.as_bytes(), 1 << 20).unwrap_err();
    assert!(
        error.to_string().starts_with("more than 65536 values"),
        "{error}"
    );
    let error = Json::parse(b"[1, 2]", 5).unwrap_err();
    assert_eq!(error.to_string(), "6 bytes, more than 5");
}

#[test]
fn what_is_no_strict_json_is_refused() {
    let float = "expected JSON with whole numbers";
    for (text, expected) in [
        ("", "EOF while parsing a value"),
        (" ", "EOF while parsing a value"),
        ("{", "EOF while parsing an object"),
        ("{}{}", "trailing characters"),
        ("{} x", "trailing characters"),
        ("1.0", float),
        ("1e3", float),
        ("-0", float),
        ("9223372036854775808", "a number beyond 64 bits"),
        ("nul", "EOF while parsing a value"),
        ("'a'", "expected value"),
        ("[1,]", "trailing comma"),
        ("{\"a\":1,}", "trailing comma"),
        ("\u{feff}{}", "expected value"),
        ("\"\\ud800\"", "unexpected end of hex escape"),
        ("\"\n\"", "control character (\\u0000-\\u001F)"),
    ] {
        let error = Json::parse(text.as_bytes(), 1 << 20).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
    let error = Json::parse(b"\"\xff\"", 1 << 20).unwrap_err();
    let expected = "invalid unicode code point at line 1 column 2";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_canonical_form_is_that_of_olpc() {
    let text = r#" {"b": [true, false, null, -7], "a": "q\" b\\ n\n \u00e9", "": {}} "#;
    let canonical = Json::parse(text.as_bytes(), 1 << 20).unwrap().canonical();
    let expected = "{\"\":{},\"a\":\"q\\\" b\\\\ n\n \u{e9}\",\"b\":[true,false,null,-7]}";
    assert_eq!(String::from_utf8(canonical).unwrap(), expected);
}

#[test]
fn unknown_members_are_kept_in_what_is_signed() {
    let mut repository = Repository::new();
    let mut medium = Medium::new(&repository);
    let mut json = repository.timestamp.to_json();
    if let Json::Object(members) = &mut json {
        members.insert("x-unknown".to_owned(), Json::text("kept"));
    }
    let bytes = repository.sign("timestamp", json);
    repository.files.insert("timestamp.json".to_owned(), bytes);
    medium.update(&repository).unwrap();
}

proptest! {
    #[test]
    fn noise_is_refused_without_a_panic(bytes: Vec<u8>) {
        prop_assert!(Signed::parse(&bytes, 1 << 20).is_err());
    }

    #[test]
    fn a_changed_byte_of_the_timestamp_never_changes_what_is_trusted(at: usize, value: u8) {
        let mut repository = Repository::new();
        let mut medium = Medium::new(&repository);
        let bytes = repository.files.get_mut("timestamp.json").unwrap();
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(client) = medium.update(&repository) {
            prop_assert_eq!(client.timestamp(), Some(&repository.timestamp));
        }
    }

    #[test]
    fn each_json_value_reads_back(values: Vec<i64>, text: String) {
        let list = values.into_iter().map(Json::Whole).collect();
        let json = Json::object([("l", Json::List(list)), ("t", Json::Text(text))]);
        prop_assert_eq!(Json::parse(&json.to_text(), 1 << 20), Ok(json));
    }
}
