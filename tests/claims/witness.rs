//! The platform as the witness of what the key daemon signs.

use std::fs;

use obol_log::{Checkpoint, Note, WitnessKey};

use crate::stage::{Stage, eventually};

fn remove_log(stage: &Stage) {
    fs::remove_dir_all(stage.world.folder().join("audit")).unwrap();
}

fn rename(stage: &Stage, from: &str, to: &str) {
    let folder = stage.world.folder();
    fs::rename(folder.join(from), folder.join(to)).unwrap();
}

fn size(checkpoint: &str) -> u64 {
    let note = Note::parse(checkpoint.as_bytes()).unwrap();
    Checkpoint::parse(note.text()).unwrap().size
}

/// A line of the daemon's metrics.
fn gauge(stage: &Stage, name: &str) -> u64 {
    let (status, metrics) = stage.world.ask_kms("/metrics").unwrap();
    assert_eq!(status, "200 OK");
    let mut values = metrics.lines().filter_map(|line| {
        let (found, value) = line.split_once(' ')?;
        (found == name).then(|| value.parse().unwrap())
    });
    values.next().unwrap()
}

/// It signs, so it is no fault; why a person should look stands there as long as it lasts.
fn demand_degraded(stage: &Stage, why: &str) {
    let (status, health) = stage.world.ask_kms("/healthz").unwrap();
    let line = format!("degraded: the audit log is not witnessed: {why}");
    assert_eq!(status, "200 OK", "{health}");
    assert!(health.starts_with(&line), "{health}");
    assert_eq!(health.lines().count(), 1, "{health}");
    assert_eq!(gauge(stage, "obol_kms_audit_unwitnessed"), 1);
}

#[test]
fn the_platform_witnesses_what_the_daemon_signs() {
    let stage = Stage::running(&[]);
    stage.rider("ada");
    stage.world.wait_for_witness(1).unwrap();
    eventually("the daemon keeps the cosignature", || {
        stage.world.folder().join("audit/witnessed").exists()
    });
    let key = WitnessKey::from_vkey(&stage.read("witness.pub")).unwrap();
    let kept = stage.read("audit/witnessed");
    key.verify(&Note::parse(kept.as_bytes()).unwrap()).unwrap();
    assert!(size(&kept) <= size(&stage.read("audit/checkpoint")));
    let verified = stage.world.verify_log("audit").unwrap();
    assert_eq!(verified.code, 0, "{}", verified.stderr);
}

#[test]
fn a_log_that_was_set_back_with_all_it_knows_is_found_by_the_platform() {
    let mut stage = Stage::running(&[]);
    let ada = stage.rider("ada");
    stage.world.wait_for_witness(1).unwrap();
    stage.world.copy_log("audit-before").unwrap();
    let before = size(&stage.read("audit-before/checkpoint"));
    let bob = stage.rider("bob");
    (0..3).for_each(|_| bob.refresh().unwrap());
    stage.world.wait_for_witness(before + 4).unwrap();
    let witnessed = stage.read("witnessed.checkpoint");
    let found = stage.world.verify_log("audit-before").unwrap();
    assert_eq!(found.code, 1);
    assert!(
        found.stderr.contains("the log was rolled back"),
        "{}",
        found.stderr
    );

    stage.world.kill("kms").unwrap();
    remove_log(&stage);
    rename(&stage, "audit-before", "audit");
    stage.world.start_kms().unwrap();
    stage
        .world
        .wait_for_log("kms", "it was set back", 1)
        .unwrap();
    demand_degraded(&stage, "the witness has cosigned ");
    let (_, health) = stage.world.ask_kms("/healthz").unwrap();
    assert!(health.ends_with(": it was set back\n"), "{health}");
    // It goes on signing and brings what it has: the platform has said so already.
    ada.refresh().unwrap();
    stage
        .world
        .wait_for_log("kms", "it was set back", 2)
        .unwrap();
    assert_eq!(stage.read("witnessed.checkpoint"), witnessed);
    let told = stage.world.log("platform").unwrap();
    assert_eq!(told.matches("an audit log was set back").count(), 1);
}

#[test]
fn a_log_that_was_set_back_behind_its_own_cosignature_does_not_open() {
    let mut stage = Stage::running(&[]);
    stage.rider("ada");
    stage.world.wait_for_witness(1).unwrap();
    stage.world.copy_log("audit-before").unwrap();
    let before = size(&stage.read("audit-before/checkpoint"));
    stage.rider("bob");
    eventually("the daemon keeps the cosignature", || {
        let path = stage.world.folder().join("audit/witnessed");
        fs::read_to_string(path).is_ok_and(|kept| size(&kept) > before)
    });
    stage.world.kill("kms").unwrap();
    rename(&stage, "audit/witnessed", "audit-before/witnessed");
    remove_log(&stage);
    rename(&stage, "audit-before", "audit");
    let refused = stage.world.start_kms().unwrap_err().to_string();
    assert!(refused.contains("the log was rolled back"), "{refused}");
}

#[test]
fn signing_goes_on_while_the_witness_is_away_and_what_was_missed_is_witnessed_later() {
    let mut stage = Stage::running(&[]);
    let ada = stage.rider("ada");
    stage.world.wait_for_witness(1).unwrap();
    // The daemon brings its log to a port where nobody listens.
    stage.world.kill("kms").unwrap();
    let config = stage.world.kms_config().unwrap();
    let port = stage.world.ports.terminals.to_string();
    stage.write("kms.toml", &config.replace(&port, "1"));
    let serve = ["serve", "--config", "kms.toml"];
    let daemon = stage.world.serve("obol-kms", "kms", &serve).unwrap();
    stage
        .world
        .wait_for_log("kms", "the audit log is not witnessed", 1)
        .unwrap();
    let witnessed = size(&stage.read("witnessed.checkpoint"));
    demand_degraded(&stage, "");
    ada.refresh().unwrap();
    stage.world.wait_for_checkpoint(witnessed + 1).unwrap();
    eventually(
        "the daemon counts the checkpoint that it has written",
        || gauge(&stage, "obol_kms_audit_signed") > witnessed,
    );
    // It may have been killed before it kept the first cosignature.
    assert!(gauge(&stage, "obol_kms_audit_witnessed") <= witnessed);
    assert_eq!(size(&stage.read("witnessed.checkpoint")), witnessed);
    daemon.stop().unwrap();
    stage.world.start_kms().unwrap();
    stage.world.wait_for_witness(witnessed + 1).unwrap();
    eventually("the daemon knows", || {
        gauge(&stage, "obol_kms_audit_unwitnessed") == 0
            && gauge(&stage, "obol_kms_audit_witnessed") > witnessed
    });
    let healthy = ("200 OK".to_owned(), "ok\n".to_owned());
    assert_eq!(stage.world.ask_kms("/healthz").unwrap(), healthy);
}
