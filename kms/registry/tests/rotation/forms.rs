//! What reads as a plan and as a fleet, and what is said of the rest.

use obol_kms_registry::rotation::{FLEET_MAX, Fleet, PLAN_MAX, Plan};

use crate::findings::{FLEET, good};

fn plan_error(from: &str, to: &str) -> String {
    let text = good();
    assert!(text.contains(from), "{from}");
    Plan::parse(&text.replacen(from, to, 1))
        .unwrap_err()
        .to_string()
}

fn fleet_error(from: &str, to: &str) -> String {
    assert!(FLEET.contains(from), "{from}");
    Fleet::parse(&FLEET.replacen(from, to, 1))
        .unwrap_err()
        .to_string()
}

#[test]
fn what_is_wrong_with_a_plan_is_said_with_the_value() {
    let one = "1".repeat(64);
    let cases = [
        (
            "schema = 1",
            "schema = 2",
            "the plan has schema 2, this program reads 1",
        ),
        (
            "begins = 2027-01-15T00:00:00Z",
            "begins = 2027-01-15T00:00:00",
            "begins = \"2027-01-15T00:00:00\" is not a moment in whole seconds with an offset, \
             2027-01-15T00:00:00Z",
        ),
        (
            "ends = 2027-04-15T00:00:00Z",
            "ends = 2027-01-15T00:00:00Z",
            "the plan: ends at 2027-01-15T00:00:00Z is not after begins at 2027-01-15T00:00:00Z",
        ),
        (
            "credential = '48h'",
            "credential = '48'",
            "lives.credential = \"48\" is not 1s to 3660d: a number with s, m, h or d behind it",
        ),
        (
            "class = 'issuer'",
            "class = 'issuers'",
            "class = \"issuers\" is not a class of keys",
        ),
        (
            "retired = 2027-01-25T00:00:00Z",
            "retired = 2026-10-15T00:00:00Z",
            &format!(
                "key {one}: retired at 2026-10-15T00:00:00Z is not after activated at \
                 2026-10-15T00:00:00Z"
            ),
        ),
        ("version = 4", "version = 5", "root 5 does not follow 3"),
        (
            "version = 71",
            "version = 70",
            "bundle 70 does not follow 70",
        ),
        (
            "[online]\nevery = '10m'\nlife = '24h'\n",
            "",
            "the plan has some of [[roots]], [[bundles]] and [online]: give all three, or none",
        ),
        (
            "class = 'issuer'",
            "class = 'audit'",
            &format!("key {one} is of class audit, which no terminal meets: leave it out"),
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(plan_error(from, to), expected);
    }
    let twice = good().replace(&"2".repeat(64), &one);
    let error = Plan::parse(&twice).unwrap_err().to_string();
    assert_eq!(error, format!("key {one} stands there twice"));
    let error = plan_error("schema = 1", "schema = 1\nwaive = true");
    assert!(error.contains("unknown field `waive`"), "{error}");
    let long = "#".repeat(PLAN_MAX + 1);
    let error = Plan::parse(&long).unwrap_err().to_string();
    assert_eq!(error, "the plan has 65537 bytes, at most 65536 are read");
}

#[test]
fn what_is_wrong_with_a_fleet_is_said_with_the_value() {
    let cases = [
        (
            "schema = 1",
            "schema = 0",
            "the fleet has schema 0, this program reads 1",
        ),
        ("'bus-18'", "'bus-17'", "\"bus-17\" stands there twice"),
        (
            "'bus-18'",
            "''",
            "name = \"\" is not one line of 1 to 64 characters",
        ),
        (
            "terminals = 200",
            "terminals = 0",
            "terminals = \"0\" is not at least one terminal",
        ),
        (
            "last = 2027-01-14T11:59:00Z",
            "last = 2027-01-14T12:00:01Z",
            "last = \"2027-01-14T12:00:01Z\" is not before the fleet was recorded",
        ),
        (
            "intervals_s = [60]\nlast = 2027-01-11T00:00:00Z\n",
            "",
            "of terminal \"bus-18\" neither intervals_s nor last is given",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(fleet_error(from, to), expected);
    }
    let nobody = Fleet::parse("schema = 1\nrecorded = 2027-01-14T12:00:00Z\n");
    let error = nobody.unwrap_err().to_string();
    assert_eq!(error, "0 terminals and groups, wanted 1 to 20000");
    let long = "#".repeat(FLEET_MAX + 1);
    let error = Fleet::parse(&long).unwrap_err().to_string();
    assert_eq!(
        error,
        "the fleet has 4194305 bytes, at most 4194304 are read"
    );
}

#[test]
fn the_time_since_the_last_refresh_counts_as_a_gap() {
    let fleet = Fleet::parse(FLEET).unwrap();
    let gaps: Vec<_> = fleet.gaps().iter().map(|gap| gap.longest_s).collect();
    assert_eq!(gaps, [3_600, 302_400, 93_600]);
}
