//! Backup and restore of the register: the commands on a running service, and what a restored one
//! does not do.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use obol_credential::{Credential, Kid, UnixTime};
use obol_issuer::{BackupError, Config, DeniedIndexes, Register, Restore, back_up, restore};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::process::{Service, asked, world_and_platform};
use crate::world::{NOW, Phone, SUBJECT, World, json_of};

const DAY: u32 = 86_400;
const TOMORROW: u32 = (NOW / DAY + 1) * DAY;

fn issuer(world: &World, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_obol-issuer"));
    command
        .args(arguments)
        .current_dir(world.folder())
        .output()
        .unwrap()
}

fn backup(world: &World, file: &str) -> Output {
    issuer(world, &["backup", "--config", "issuer.toml", file])
}

fn bring_back(world: &World, file: &str) -> Output {
    issuer(world, &["restore", "--config", "issuer.toml", file])
}

fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The error's first line, with the exit code.
fn refusal(output: &Output) -> (i32, String) {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    let first = text.lines().next().unwrap().to_owned();
    (output.status.code().unwrap(), first)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_taken_while_the_service_signs_and_says_what_is_in_it() {
    let (world, platform) = world_and_platform();
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    json_of(&caller.post("/v1/credentials", &[], &asked(1)).await, 201);
    let items: Vec<_> = (2..300).map(asked).collect();
    let busy = caller.clone();
    let signing = tokio::spawn(async move {
        let body = json!({ "items": items });
        busy.post("/v1/credentials/batch", &[], &body).await
    });
    let made = backup(&world, "copy");
    json_of(&signing.await.unwrap(), 200);
    let said = lines(&made);
    assert_eq!(said[0], "version 5", "{made:?}");
    let rows: u32 = said[1].strip_prefix("issued ").unwrap().parse().unwrap();
    assert!((1..300).contains(&rows), "{rows}");
    let copy = world.path("copy");
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(std::fs::read(&copy).unwrap()));
    assert_eq!(said.last().unwrap(), &format!("sha256 {hash}"));
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(lines(&issuer(&world, &["check", "copy"])), said);
    // What is in use is examined as well, and has no hash.
    let live = lines(&issuer(&world, &["check", "issuer.sqlite"]));
    assert_eq!(live.last().unwrap(), "sha256 none: in use");

    let again = backup(&world, "copy");
    assert_eq!(
        refusal(&again),
        (2, "error: copy exists already".to_owned())
    );
    assert!(!world.path("copy.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_overwrites_nothing_and_takes_nothing_that_is_in_use_or_damaged() {
    let (world, platform) = world_and_platform();
    let service = Service::start(&world);
    let caller = service.caller(&world, &platform);
    json_of(&caller.post("/v1/credentials", &[], &asked(1)).await, 201);
    assert!(backup(&world, "copy").status.success());
    // Moved away, and the service still writes to it.
    std::fs::rename(world.path("issuer.sqlite"), world.path("aside")).unwrap();
    let (code, said) = refusal(&bring_back(&world, "copy"));
    assert_eq!(code, 2);
    assert!(
        said.starts_with("error: the register ") && said.ends_with(" is in use"),
        "{said}"
    );
    std::fs::rename(world.path("aside"), world.path("issuer.sqlite")).unwrap();
    service.stop().await;

    let (code, said) = refusal(&bring_back(&world, "copy"));
    assert_eq!(code, 2);
    assert!(said.ends_with("issuer.sqlite exists already"), "{said}");
    for file in ["issuer.sqlite", "issuer.sqlite-wal", "issuer.sqlite-shm"] {
        // Those beside it are gone when it was closed in order.
        std::fs::remove_file(world.path(file)).ok();
    }
    // The log of the lost register would be played into the new one.
    world.write("issuer.sqlite-wal", "left");
    let (_, said) = refusal(&bring_back(&world, "copy"));
    assert!(said.ends_with("issuer.sqlite-wal exists already"), "{said}");
    std::fs::remove_file(world.path("issuer.sqlite-wal")).unwrap();

    let whole = std::fs::read(world.path("copy")).unwrap();
    std::fs::write(world.path("torn"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(
        world.path("other"),
        b"no database at all, and long enough to be read",
    )
    .unwrap();
    for damaged in ["torn", "other"] {
        let (code, said) = refusal(&bring_back(&world, damaged));
        assert_eq!(code, 1, "{said}");
        assert!(
            said.contains(&format!("{damaged} is no whole register: ")),
            "{said}"
        );
        assert!(!world.path("issuer.sqlite").exists());
    }
    let done = bring_back(&world, "copy");
    assert!(done.status.success(), "{done:?}");
    assert!(lines(&done).contains(&"restoration 1".to_owned()));
}

fn at(config: &Config, database: &Path) -> Config {
    Config {
        database: database.to_owned(),
        ..config.clone()
    }
}

fn restored_at(at: u32) -> Restore {
    Restore {
        at: UnixTime(at),
        fresh: Vec::new(),
        denied: Vec::new(),
    }
}

fn named(reply: &Value) -> (String, u32) {
    let text = reply["credential"].as_str().unwrap();
    let bytes = data_encoding::BASE64URL_NOPAD
        .decode(text.as_bytes())
        .unwrap();
    let claims = *Credential::decode(&bytes).unwrap().claims();
    (
        reply["kid"].as_str().unwrap().to_owned(),
        claims.fare.status_index,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_credentials_of_a_key_and_day_share_an_index_whatever_a_restore_forgot() {
    let world = World::new();
    let platform = world.identity("platform", "obol://platform/main");
    // So few that an index that was given would soon be given again.
    let mut config = world.config(&[("obol://platform/main", &platform)]);
    config.policy.status_list_size = 1024;
    let before = world.caller_of(config.clone(), platform.clone()).await;
    let keyed = [("Idempotency-Key", "kept")];
    let kept = Phone::numbered(1).asks(SUBJECT);
    let known = json_of(&before.post("/v1/credentials", &keyed, &kept).await, 201);
    back_up(&config.database, &world.path("copy")).unwrap();
    let items: Vec<_> = (100..300)
        .map(|number| Phone::numbered(number).asks(SUBJECT))
        .collect();
    let body = json!({ "items": items });
    let key = [("Idempotency-Key", "lost")];
    let lost = before.post("/v1/credentials/batch", &key, &body).await;
    let mut given = BTreeSet::from([named(&known)]);
    for result in json_of(&lost, 200)["results"].as_array().unwrap() {
        assert!(given.insert(named(result)), "{result}");
    }

    let copy = world.path("restored.sqlite");
    restore(&world.path("copy"), &copy, &restored_at(NOW)).unwrap();
    let config = at(&config, &copy);
    let after = world.caller_of(config.clone(), platform.clone()).await;
    // What the backup knows is answered as ever.
    let again = json_of(&after.post("/v1/credentials", &keyed, &kept).await, 201);
    assert_eq!(again, known);
    // What it does not know makes nothing today: neither the lost request nor a new one.
    let refused = after.post("/v1/credentials/batch", &key, &body).await;
    assert_eq!(json_of(&refused, 503)["code"], "restored-today");
    assert_eq!(refused.headers["retry-after"], (TOMORROW - NOW).to_string());
    let new = Phone::numbered(400).asks(SUBJECT);
    let refused = after.post("/v1/credentials", &[], &new).await;
    assert_eq!(json_of(&refused, 503)["code"], "restored-today");
    let ready = after
        .http
        .get(&format!("{}/readyz", after.base))
        .await
        .unwrap();
    assert_eq!(ready.success().unwrap_err().code, "restored-today");

    let base = world.start_tomorrow(config).await;
    let tomorrow = crate::world::Caller { base, ..after };
    let new = Phone::numbered(400).asks_at(SUBJECT, TOMORROW);
    json_of(&tomorrow.post("/v1/credentials", &[], &new).await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_never_signed_signs_at_once_but_nothing_that_was_proven_before_the_restore() {
    let world = World::new();
    let caller = world.with_caller().await;
    let signed = Phone::numbered(1).asks(SUBJECT);
    let reply = json_of(&caller.post("/v1/credentials", &[], &signed).await, 201);
    let old = kid(&reply);
    back_up(&world.path("issuer.sqlite"), &world.path("copy")).unwrap();
    let other = world.beside();
    let asked = |fresh| Restore {
        fresh: vec![fresh],
        ..restored_at(NOW - 400)
    };
    let copy = other.path("restored.sqlite");
    let refused = restore(&world.path("copy"), &copy, &asked(old)).unwrap_err();
    assert!(
        matches!(refused, BackupError::NotFresh(kid) if kid == old),
        "{refused:?}"
    );
    assert!(!copy.exists());

    let platform = other.identity("platform", "obol://platform/main");
    let config = other.config(&[("obol://platform/main", &platform)]);
    restore(&world.path("copy"), &copy, &asked(other.kid())).unwrap();
    let caller = other.caller_of(at(&config, &copy), platform).await;
    let before = Phone::numbered(2).asks_at(SUBJECT, NOW - 100);
    let refused = caller.post("/v1/credentials", &[], &before).await;
    assert_eq!(json_of(&refused, 400)["code"], "possession-stale");
    let since = Phone::numbered(2).asks(SUBJECT);
    let signed = json_of(&caller.post("/v1/credentials", &[], &since).await, 201);
    assert_eq!(kid(&signed), other.kid());
}

fn kid(reply: &Value) -> Kid {
    obol_issuer::read_kid(reply["kid"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn what_was_denied_when_the_register_was_lost_is_denied_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    drop(Register::open(&at("lost")).unwrap());
    back_up(&at("lost"), &at("copy")).unwrap();
    let denied = vec![DeniedIndexes {
        kid: Kid([7; 4]),
        epoch: NOW / DAY,
        indexes: vec![3, 77],
    }];
    let asked = Restore {
        denied: denied.clone(),
        ..restored_at(NOW)
    };
    restore(&at("copy"), &at("back"), &asked).unwrap();
    let back = Register::open(&at("back")).unwrap();
    assert_eq!(back.denied_indexes(UnixTime(NOW)).await.unwrap(), denied);
    // Until no credential of that day can be alive.
    let later = UnixTime(NOW + 4 * DAY);
    assert_eq!(back.denied_indexes(later).await.unwrap(), []);
}
