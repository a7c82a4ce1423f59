//! Each way in which a plan strands somebody, named.

use obol_kms_registry::rotation::{Fleet, Plan, simulate};

const OLD: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// A rotation that strands nobody who refreshes once in four days.
pub(crate) fn good() -> String {
    format!(
        "schema = 1
begins = 2027-01-15T00:00:00Z
ends = 2027-04-15T00:00:00Z

[lives]
credential = '48h'
certificate = '90d'

[[keys]]
spki = '{OLD}'
class = 'issuer'
published = 2026-10-01T00:00:00Z
activated = 2026-10-15T00:00:00Z
retired = 2027-01-25T00:00:00Z
removed = 2027-01-28T00:00:00Z
good_until = 2027-01-28T00:00:00Z

[[keys]]
spki = '{NEW}'
class = 'issuer'
published = 2027-01-15T00:00:00Z
activated = 2027-01-24T00:00:00Z

[[roots]]
version = 3
published = 2026-06-01T00:00:00Z
expires = 2027-06-01T00:00:00Z

[[roots]]
version = 4
published = 2027-02-01T00:00:00Z
expires = 2028-02-01T00:00:00Z

[[bundles]]
version = 70
published = 2027-01-13T00:00:00Z
expires = 2027-02-14T00:00:00Z

[[bundles]]
version = 71
published = 2027-02-10T00:00:00Z
expires = 2027-03-14T00:00:00Z

[[bundles]]
version = 72
published = 2027-03-10T00:00:00Z
expires = 2027-04-16T00:00:00Z

[online]
every = '10m'
life = '24h'
"
    )
}

pub(crate) const FLEET: &str = "schema = 1
recorded = 2027-01-14T12:00:00Z

[[terminals]]
name = 'bus-17'
intervals_s = [60, 61, 3600, 60]
last = 2027-01-14T11:59:00Z

[[terminals]]
name = 'bus-18'
intervals_s = [60]
last = 2027-01-11T00:00:00Z

[[groups]]
name = 'line 9'
terminals = 200
longest = '26h'
";

fn found(plan: &str, fleet: &str) -> Vec<String> {
    let simulation = simulate(Plan::parse(plan).unwrap(), Fleet::parse(fleet).unwrap());
    let findings = simulation.findings().iter();
    findings.map(ToString::to_string).collect()
}

fn strands(from: &str, to: &str, expected: &[&str]) {
    let plan = good();
    assert!(plan.contains(from), "{from}");
    assert_eq!(found(&plan.replace(from, to), FLEET), expected);
}

#[test]
fn the_rotation_that_is_planned_well_strands_nobody() {
    assert_eq!(found(&good(), FLEET), Vec::<String>::new());
}

#[test]
fn a_terminal_that_meets_a_key_it_has_not_heard_of_is_named() {
    let expected = format!(
        "bus-18 (silent for up to 302400 s): key {NEW} signs from 2027-01-18T11:59:59Z, and is \
         known to all of them only from 2027-01-18T12:00:00Z"
    );
    strands(
        "activated = 2027-01-24T00:00:00Z",
        "activated = 2027-01-18T11:59:59Z",
        &[&expected],
    );
    strands(
        "activated = 2027-01-24T00:00:00Z",
        "activated = 2027-01-18T12:00:00Z",
        &[],
    );
}

#[test]
fn a_credential_that_is_alive_after_its_key_has_left_the_bundle_is_named() {
    let expected = format!(
        "live credentials: key {OLD} is gone, and what it signed is in use from \
         2027-01-27T00:00:00Z to 2027-01-27T00:00:00Z"
    );
    strands(
        "removed = 2027-01-28T00:00:00Z",
        "removed = 2027-01-27T00:00:00Z",
        &[&expected],
    );
    strands(
        "removed = 2027-01-28T00:00:00Z",
        "removed = 2027-01-27T00:00:01Z",
        &[],
    );
}

#[test]
fn a_credential_that_outlives_its_keys_certificate_is_named() {
    let expected = format!(
        "live credentials: the certificate of key {OLD} ends at 2027-01-26T00:00:00Z, and what it \
         signed is in use until 2027-01-27T00:00:00Z"
    );
    strands(
        "good_until = 2027-01-28T00:00:00Z",
        "good_until = 2027-01-26T00:00:00Z",
        &[&expected],
    );
}

#[test]
fn a_root_that_a_sleeping_terminal_cannot_follow_any_more_is_named() {
    let root = "expires = 2028-02-01T00:00:00Z";
    let removed = format!("{root}\nremoved = 2027-02-03T00:00:00Z");
    strands(
        root,
        &removed,
        &[
            "bus-18 (silent for up to 302400 s): root 4 is not served from 2027-02-03T00:00:00Z, and \
          some have not passed it",
        ],
    );
}

#[test]
fn more_roots_within_one_silence_than_an_update_follows_are_named() {
    let roots: String = (5..=68)
        .map(|version| {
            format!(
                "[[roots]]\nversion = {version}\npublished = 2027-02-01T{:02}:{:02}:00Z\n\
                 expires = 2028-02-01T00:00:00Z\n\n",
                version / 60,
                version % 60
            )
        })
        .collect();
    let plan = good().replacen("[[bundles]]", &format!("{roots}[[bundles]]"), 1);
    let expected = |who: &str| {
        format!("{who}: root 68 comes 4080 s after the 64th before it, and one update follows 64")
    };
    let expected = [
        expected("bus-18 (silent for up to 302400 s)"),
        expected("line 9 (200 terminals, silent for up to 93600 s)"),
    ];
    assert_eq!(found(&plan, FLEET), expected);
}

#[test]
fn metadata_that_ends_before_its_successor_is_named() {
    strands(
        "expires = 2027-02-14T00:00:00Z",
        "expires = 2027-02-09T00:00:00Z",
        &[
            "every terminal: bundle 70 ends at 2027-02-09T00:00:00Z, and there is no other until \
          2027-02-09T23:59:59Z",
        ],
    );
    strands(
        "expires = 2027-02-14T00:00:00Z",
        "expires = 2027-02-11T02:00:00Z",
        &[
            "bus-18 (silent for up to 302400 s): bundle 70 ends at 2027-02-11T02:00:00Z, and all of \
          them have the next only at 2027-02-13T12:00:00Z",
        ],
    );
    strands(
        "expires = 2027-04-16T00:00:00Z",
        "expires = 2027-04-14T00:00:00Z",
        &[
            "every terminal: bundle 72 ends at 2027-04-14T00:00:00Z, and there is no other until \
          2027-04-15T00:00:00Z",
        ],
    );
}

#[test]
fn a_terminal_that_is_silent_for_longer_than_freshness_and_degraded_time_is_named() {
    strands(
        "life = '24h'",
        "life = '1h'",
        &[
            "bus-18 (silent for up to 302400 s): without a refresh a terminal goes on for 262200 s, \
          degraded at the end",
        ],
    );
    strands(
        "every = '10m'",
        "every = '25h'",
        &["every terminal: the timestamp is signed each 90000 s and lives for 86400 s"],
    );
}

#[test]
fn an_online_key_that_the_root_drops_while_it_signs_stops_every_terminal() {
    let plan = good()
        + &format!(
            "\n[[keys]]\nspki = '{}'\nclass = 'tuf-online'\npublished = 2027-02-01T00:00:00Z\n\
         activated = 2027-01-31T23:59:59Z\nretired = 2027-03-01T00:00:00Z\n\
         removed = 2027-03-01T00:00:00Z\n",
            "3".repeat(64)
        );
    let key = "3".repeat(64);
    let expected = [
        format!(
            "every terminal: key {key} signs from 2027-01-31T23:59:59Z, and is known to all of \
             them only from 2027-02-01T00:00:00Z"
        ),
        format!(
            "every terminal: key {key} is gone, and what it signed is in use from \
             2027-03-01T00:00:00Z to 2027-03-01T00:00:00Z"
        ),
    ];
    assert_eq!(found(&plan, FLEET), expected);
}
