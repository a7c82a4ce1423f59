//! Every act, over two sites.

use std::fs;

use obol_kms::PublicKey;
use obol_kms::payload::tuf_key_id;
use p256::ecdsa::SigningKey;
use p256::pkcs8::{EncodePublicKey, LineEnding};
use std::io::{Read, Write};

use crate::world::World;

fn hierarchy() -> World {
    let world = World::with_root_token();
    world.token("online", "issuer");
    world.hold("root-generation", "offline", &["root"], &[]);
    world.hold("issuer-key-request", "online", &["issuer"], &[]);
    let files = ["root.pem", "issuer-1.csr"];
    world.hold("issuer-certificate", "offline", &["root"], &files);
    world
}

#[test]
fn an_issuer_is_made_over_two_sites_installed_rotated_revoked_and_its_key_destroyed() {
    let world = hierarchy();
    let files = ["issuer-1.csr", "issuer-1.pem", "root.pem"];
    let bundle = world.hold("issuer-install", "online", &["issuer"], &files);
    world.holds("issuer-certificate.bundle");
    world.holds(&bundle);
    assert_eq!(
        world.read("issuer-1.pem"),
        world.read("issuer-1-installed.pem")
    );
    // The next key, beside the first.
    let text = fs::read_to_string(world.template("issuer-key-request")).unwrap();
    let text = text
        .replace("issuer-1", "issuer-2")
        .replace("Issuer 1", "Issuer 2");
    let ready = world.ready_of(&text, "request-2", "online", &["issuer"], &[]);
    world.hold_ready(&ready, "online");
    let files = ["root.pem", "issuer-2.csr", "issuer-1.pem"];
    let bundle = world.hold("issuer-rotation", "offline", &["root"], &files);
    world.holds(&bundle);
    // The first is revoked, on the list after the empty one.
    world.hold("first-revocation-list", "offline", &["root"], &["root.pem"]);
    let files = ["root.pem", "root-1.crl", "issuer-1.pem"];
    let bundle = world.hold("revocation-list", "offline", &["root"], &files);
    assert!(world.holds(&bundle).contains("number: 2"));
    // And its key is destroyed.
    let spki = spki_of(&world, "issuer-1");
    let text = fs::read_to_string(world.template("key-destruction")).unwrap();
    let text = text.replace(&"0".repeat(64), &spki);
    let ready = world.ready_of(&text, "key-destruction", "online", &["issuer"], &[]);
    let bundle = world.hold_ready(&ready, "online");
    world.holds(&bundle);
    assert_eq!(world.keys("online", "issuer"), ["issuer-2"]);
}

pub(crate) fn spki_of(world: &World, label: &str) -> String {
    world.keys("online", "issuer");
    let shown = world.done("online", "token show --token look.token.toml", "");
    let line = shown.lines().find(|line| line.ends_with(label)).unwrap();
    line.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn the_access_ca_is_made_over_two_sites() {
    let world = World::with_root_token();
    world.token("online", "access");
    world.hold("root-generation", "offline", &["root"], &[]);
    world.hold("access-key-request", "online", &["access"], &[]);
    let bundle = world.hold(
        "access-ca",
        "offline",
        &["root"],
        &["root.pem", "access.csr"],
    );
    world.holds(&bundle);
    let files = ["access.csr", "access.pem", "root.pem"];
    let bundle = world.hold("access-install", "online", &["access"], &files);
    world.holds(&bundle);
}

#[test]
fn a_rehearsal_in_which_people_take_their_time_goes_as_one_in_haste() {
    let world = World::with_root_token();
    world.token("online", "access");
    world.hold("root-generation", "offline", &["root"], &[]);
    world.hold("access-key-request", "online", &["access"], &[]);
    let template = fs::read_to_string(world.template("access-ca")).unwrap();
    let inputs = ["root.pem", "access.csr"];
    world.fill(&template, "slow", "offline", &["root"], &inputs);
    world.token("rehearsals", "slow-root");
    let command = format!(
        "ceremony rehearse slow.plan {} --token root=slow-root.token.toml --out slow.rehearsal",
        crate::world::PEOPLE
    );
    let mut child = world.command("rehearsals", &command).spawn().unwrap();
    let (mut typed, mut seen) = (child.stdin.take().unwrap(), child.stderr.take().unwrap());
    writeln!(typed, "{}", crate::world::PIN).unwrap();
    let mut shown = Vec::new();
    while !shown.ends_with(b"initial:") {
        let mut byte = [0];
        seen.read_exact(&mut byte).unwrap();
        shown.push(byte[0]);
    }
    // The stand-in for the root was made in another second than what it now signs.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    typed.write_all(crate::world::INITIALS.as_bytes()).unwrap();
    let mut rest = String::new();
    seen.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
}

#[test]
fn files_that_travelled_are_traced_to_the_bundle_that_made_them() {
    let world = hierarchy();
    let all = "root-generation.bundle issuer-key-request.bundle issuer-certificate.bundle";
    let shown = world.holds(all);
    for line in [
        "bundle issuer-certificate.bundle",
        "input issuer-1.csr was made in issuer-key-request.bundle",
        "input root.pem was made in root-generation.bundle",
        "all 3 bundles hold",
    ] {
        assert!(shown.lines().any(|one| one == line), "{line}: {shown}");
    }
    let shown = world.holds("root-generation.bundle issuer-certificate.bundle");
    let line = "input issuer-1.csr was made in none of these bundles";
    assert!(shown.lines().any(|one| one == line), "{shown}");
    // A name alone proves nothing, and what one bundle lacks does not hide in the others.
    let csr = world.path("issuer-key-request.bundle/outputs/issuer-1.csr");
    fs::write(csr, "of another key").unwrap();
    let output = world.verify(all);
    assert_eq!(output.status.code(), Some(1));
    let shown = crate::world::text(&output.stdout);
    assert!(shown.lines().any(|one| one == line), "{shown}");
    assert!(
        shown.ends_with("1 of 3 bundles proves nothing\n"),
        "{shown}"
    );
}

#[test]
fn a_request_changed_on_its_way_and_a_certificate_of_another_key_are_refused() {
    let world = hierarchy();
    let text = fs::read_to_string(world.template("issuer-certificate")).unwrap();
    let files = ["root.pem", "issuer-1.csr"];
    let ready = world.ready_of(&text, "changed", "offline", &["root"], &files);
    let csr = text_of(&world, "issuer-1.csr");
    fs::write(world.path("issuer-1.csr"), csr.replacen("A", "B", 1)).unwrap();
    let (error, _) = world.refused("offline", &ready.command(), &world.typed(&ready));
    assert!(error.starts_with("issuer-1.csr has SHA-256 "), "{error}");
    assert!(!world.path("changed.bundle").exists());
    fs::write(world.path("issuer-1.csr"), csr).unwrap();
    // A plan for another name than the request asks for.
    let other = text.replace("Linea Issuer 1", "Linea Issuer 9");
    world.fill(&other, "other", "offline", &["root"], &files);
    world.token("rehearsals", "other");
    let command = format!(
        "ceremony rehearse other.plan {} --token root=other.token.toml --out other.rehearsal",
        crate::world::PEOPLE
    );
    let typed = format!("{}\nalice\nwendy\n", crate::world::PIN);
    let (error, _) = world.refused("rehearsals", &command, &typed);
    assert_eq!(
        error,
        "\"issuer-1.csr\" is not what was asked for: another name or another key"
    );
}

fn text_of(world: &World, name: &str) -> String {
    String::from_utf8(world.read(name)).unwrap()
}

#[test]
fn a_roster_changes_by_the_officers_before_and_later_bundles_hold_by_the_first_hash() {
    let world = World::with_root_token();
    world.roster(
        "roster-2.toml",
        &["alice", "bob", "dave"],
        &["wendy", "walter"],
    );
    let bundle = world.hold("roster-change", "offline", &[], &["roster-2.toml"]);
    world.holds(&bundle);
    let text = fs::read_to_string(world.template("root-generation")).unwrap();
    world.fill(&text, "root-generation", "offline", &["root"], &[]);
    world.token("rehearsals", "later");
    let with = |command: &str| {
        command.replace(
            "--roster roster.toml",
            "--roster roster.toml --roster-change roster-2.change",
        )
    };
    let people = "--roster roster.toml --executor dave.key --witness walter.key";
    let rehearse = format!(
        "ceremony rehearse root-generation.plan {people} --token root=later.token.toml \
         --out root-generation.rehearsal"
    );
    let initials = "dave\nwalter\n".repeat(4);
    let typed = format!("{}\n{initials}", crate::world::PIN);
    world.done("rehearsals", &with(&rehearse), &typed);
    let request = "ceremony request root-generation.plan --roster roster.toml \
                   --rehearsal root-generation.rehearsal --out root-generation.request";
    world.done("offline", &with(request), "");
    let approvals = world.approvals("root-generation", &["dave", "bob"]);
    let run = format!(
        "ceremony run root-generation.plan {people} --rehearsal root-generation.rehearsal \
         {approvals} --token root=root.token.toml --out root-generation.bundle"
    );
    let typed = format!("{}\nyes\n{initials}", crate::world::PIN);
    // By the first roster alone, dave is nobody.
    let (error, _) = world.refused("offline", &run, &typed);
    assert!(error.contains("is no officer of the roster"), "{error}");
    world.done("offline", &with(&run), &typed);
    assert!(
        world
            .holds("root-generation.bundle")
            .contains("approved by bob, dave")
    );
}

/// A TUF key, made like any key; then its role's ceremonies.
pub(crate) fn tuf_key(world: &World, token: &str, label: &str) {
    world.token("offline", token);
    let text = fs::read_to_string(world.template("issuer-key-request")).unwrap();
    let text = text
        .replace("token = \"issuer\"", &format!("token = \"{token}\""))
        .replace("issuer-1.csr", &format!("{token}.csr"))
        .replace("issuer-1", label)
        .replace("P-384", "P-256");
    let ready = world.ready_of(&text, &format!("{token}-key"), "offline", &[token], &[]);
    world.hold_ready(&ready, "offline");
}

pub(crate) fn targets(world: &World, version: u32) {
    let text = format!(
        "{{\"_type\":\"targets\",\"spec_version\":\"1.0.34\",\"version\":{version},\
         \"expires\":\"2030-01-01T00:00:00Z\",\"targets\":{{}}}}"
    );
    fs::write(world.path(&format!("targets-{version}.json")), text).unwrap();
}

/// Root metadata by three keys of nobody here: whose keys it lists is not the ceremony's question.
pub(crate) fn tuf_root(world: &World, version: u32) {
    let keys: Vec<_> = [1, 2, 3].map(listed_key).into();
    let ids: Vec<_> = keys.iter().map(|(id, _)| format!("\"{id}\"")).collect();
    let keys: Vec<_> = keys
        .iter()
        .map(|(id, key)| format!("\"{id}\":{key}"))
        .collect();
    let role = |name: &str, threshold| {
        let ids = ids.join(",");
        format!("\"{name}\":{{\"keyids\":[{ids}],\"threshold\":{threshold}}}")
    };
    let roles = [
        ("root", 2),
        ("targets", 1),
        ("snapshot", 1),
        ("timestamp", 1),
    ];
    let roles: Vec<_> = roles
        .iter()
        .map(|(name, threshold)| role(name, *threshold))
        .collect();
    let text = format!(
        "{{\"_type\":\"root\",\"spec_version\":\"1.0.34\",\"version\":{version},\
         \"expires\":\"2030-01-01T00:00:00Z\",\"consistent_snapshot\":true,\
         \"keys\":{{{}}},\"roles\":{{{}}}}}",
        keys.join(","),
        roles.join(",")
    );
    fs::write(world.path(&format!("root-{version}.json")), text).unwrap();
}

/// A key as root metadata lists it, and its id.
fn listed_key(seed: u8) -> (String, String) {
    let secret = SigningKey::from_slice(&[seed; 32]).unwrap();
    let spki = secret.verifying_key().to_public_key_der().unwrap();
    let pem = spki.to_pem("PUBLIC KEY", LineEnding::LF).unwrap();
    let id = tuf_key_id(&PublicKey::from_spki_der(spki.as_bytes()).unwrap());
    let key = serde_json::json!({
        "keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": { "public": pem }
    });
    (id, key.to_string())
}

#[test]
fn tuf_targets_are_signed_ahead_and_an_emergency_jumps_past_them() {
    let world = World::new();
    tuf_key(&world, "targets", "tuf-targets");
    for version in [1, 2, 3, 1000, 1001] {
        targets(&world, version);
    }
    let files = ["targets-1.json", "targets-2.json", "targets-3.json"];
    let bundle = world.hold("tuf-targets", "offline", &["targets"], &files);
    assert!(world.holds(&bundle).contains("version: 3"));
    let bundle = world.hold(
        "emergency-block",
        "offline",
        &["targets"],
        &["targets-1001.json"],
    );
    world.holds(&bundle);
    // A version that was signed ahead blocks nothing.
    let text = fs::read_to_string(world.template("emergency-block")).unwrap();
    let text = text.replace("targets-1001.json", "targets-1000.json");
    world.fill(
        &text,
        "late",
        "offline",
        &["targets"],
        &["targets-1000.json"],
    );
    world.token("rehearsals", "late");
    let command = format!(
        "ceremony rehearse late.plan {} --token targets=late.token.toml --out late.rehearsal",
        crate::world::PEOPLE
    );
    let typed = format!("{}\nalice\nwendy\n", crate::world::PIN);
    let (error, _) = world.refused("rehearsals", &command, &typed);
    assert_eq!(
        error,
        "\"targets-1000.json\" has version 1000, which is not above 1000"
    );
}

#[test]
fn metadata_of_another_role_is_not_signed_as_root() {
    let world = World::new();
    tuf_key(&world, "tuf-alice", "tuf-root-alice");
    targets(&world, 1);
    fs::rename(world.path("targets-1.json"), world.path("root-1.json")).unwrap();
    let text = fs::read_to_string(world.template("tuf-root")).unwrap();
    world.fill(
        &text,
        "tuf-root",
        "offline",
        &["tuf-alice"],
        &["root-1.json"],
    );
    world.token("rehearsals", "root-1");
    let command = format!(
        "ceremony rehearse tuf-root.plan {} --token tuf-alice=root-1.token.toml --out r",
        crate::world::PEOPLE
    );
    let typed = format!("{}\nalice\nwendy\n", crate::world::PIN);
    let (error, _) = world.refused("rehearsals", &command, &typed);
    assert!(error.contains("\"targets\""), "{error}");
    assert!(!world.path("r/outputs/root-1.alice.json").exists());
}
