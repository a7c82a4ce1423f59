//! The command as a person meets it, with a platform on the other end of a real socket.

#![allow(clippy::unwrap_used)] // clippy sees helpers of an integration test as no test

mod platform;
mod renewal;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use obol_credential::{Presentation, from_text};
use platform::Platform;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

async fn wallet(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_obol-wallet"));
    command
        .args(["--dir", "phone"])
        .args(arguments)
        .current_dir(folder);
    command.output().await.unwrap()
}

/// Standard output of a command that must succeed.
async fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = wallet(folder, arguments).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Exit code and the two lines of a command that must not succeed.
async fn refused(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = wallet(folder, arguments).await;
    let errors = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = errors.lines().collect();
    let [error, help] = lines[..] else {
        panic!("{errors}")
    };
    assert!(help.starts_with("help: "), "{help}");
    (
        output.status.code().unwrap(),
        error.to_owned(),
        help.to_owned(),
    )
}

async fn enrolled() -> (TempDir, Platform) {
    let folder = tempfile::tempdir().unwrap();
    let platform = Platform::start(folder.path()).await;
    let enrol = [
        "enrol",
        "--platform",
        &platform.url,
        "--trust",
        "access.pem",
    ];
    assert_eq!(done(folder.path(), &enrol).await, "account  17\n");
    (folder, platform)
}

fn counter_of(text: &str) -> u32 {
    let bytes = from_text(text.trim_end_matches('\n').as_bytes()).unwrap();
    Presentation::decode(&bytes).unwrap().dynamic().counter
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_enrols_recharges_fetches_a_credential_and_shows_a_code_offline() {
    let (folder, platform) = enrolled().await;
    let order = done(folder.path(), &["recharge", "50.00", "--json"]).await;
    let order: Value = serde_json::from_str(&order).unwrap();
    let expected = json!({ "order": "r-1", "pay_url": "https://bank/r-1", "amount_minor": 5_000,
        "notify_url": "https://platform/notify", "currency": "CNY" });
    assert_eq!(order, expected);
    done(folder.path(), &["refresh"]).await;
    let statement = done(folder.path(), &["statement"]).await;
    assert!(
        statement.contains("recharge              50.00       50.00  r-1"),
        "{statement}"
    );

    let seen = platform.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 4);
    assert!(
        seen.iter().all(|key| *key == seen[0]),
        "one enrolled key signs every request"
    );

    platform.stop();
    let (_, error, _) = refused(folder.path(), &["statement"]).await;
    assert!(error.starts_with("error: cannot reach "), "{error}");
    let code = done(folder.path(), &["show", "--text", "--png", "code.png"]).await;
    assert_eq!(counter_of(&code), 1);
    assert_eq!(
        &std::fs::read(folder.path().join("code.png")).unwrap()[1..4],
        b"PNG"
    );
    let drawn = done(folder.path(), &["show"]).await;
    assert!(drawn.starts_with("\x1b[38;5;231;48;5;231m▀"));
    assert_eq!(
        counter_of(&done(folder.path(), &["show", "--text"]).await),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_made_at_once_have_counts_of_their_own() {
    let (folder, _platform) = enrolled().await;
    done(folder.path(), &["refresh"]).await;
    let shows: Vec<_> = (0..8)
        .map(|_| {
            let folder = folder.path().to_owned();
            tokio::spawn(async move { counter_of(&done(&folder, &["show", "--text"]).await) })
        })
        .collect();
    let mut counts = Vec::new();
    for show in shows {
        counts.push(show.await.unwrap());
    }
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_enrolments_at_once_one_makes_the_key_and_the_other_leaves_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let platform = Platform::start(folder.path()).await;
    let phone = folder.path().join("phone");
    std::fs::create_dir(&phone).unwrap();
    let lock = std::fs::File::create(phone.join("lock")).unwrap();
    lock.lock().unwrap();
    let enrol = || async {
        let url = platform.url.as_str();
        wallet(
            folder.path(),
            &["enrol", "--platform", url, "--trust", "access.pem"],
        )
        .await
    };
    let release = async {
        // long enough for both to have found no wallet and to wait for the lock
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        drop(lock);
    };
    let (one, other, ()) = tokio::join!(enrol(), enrol(), release);
    let (enrolled, told) = if one.status.success() {
        (one, other)
    } else {
        (other, one)
    };
    assert_eq!(enrolled.stdout, b"account  17\n");
    assert_eq!(told.status.code(), Some(2));
    let errors = String::from_utf8(told.stderr).unwrap();
    assert!(
        errors.contains("is enrolled already, as account 17"),
        "{errors}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wallets_files_are_its_owners_alone() {
    let (folder, _platform) = enrolled().await;
    let phone = folder.path().join("phone");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&phone), 0o700);
    for entry in std::fs::read_dir(&phone).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fetched_credential_has_a_device_key_of_its_own() {
    let (folder, _platform) = enrolled().await;
    let mut keys = Vec::new();
    for _ in 0..2 {
        done(folder.path(), &["refresh"]).await;
        let text = done(folder.path(), &["show", "--text"]).await;
        assert_eq!(counter_of(&text), 1);
        let bytes = from_text(text.trim_end_matches('\n').as_bytes()).unwrap();
        keys.push(
            Presentation::decode(&bytes)
                .unwrap()
                .credential()
                .claims()
                .device_key,
        );
    }
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_platform_refuses_is_two_lines_and_exit_code_1() {
    let (folder, _platform) = enrolled().await;
    let (code, error, _) = refused(folder.path(), &["recharge", "1000.01"]).await;
    let expected = "error: the platform refused: Too much (amount): at most 1000.00";
    assert_eq!((code, error.as_str()), (1, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_out_of_order_says_which_comes_first() {
    let (folder, platform) = enrolled().await;
    let (code, error, help) = refused(folder.path(), &["show"]).await;
    assert_eq!(
        (code, error.as_str()),
        (2, "error: the wallet holds no credential")
    );
    assert_eq!(help, "help: go online and fetch one: `obol-wallet refresh`");

    let again = [
        "enrol",
        "--platform",
        &platform.url,
        "--trust",
        "access.pem",
    ];
    let (code, error, _) = refused(folder.path(), &again).await;
    assert_eq!(
        (code, error.as_str()),
        (2, "error: phone is enrolled already, as account 17")
    );

    let elsewhere = [
        "enrol",
        "--platform",
        "https://localhost:1",
        "--trust",
        "access.pem",
    ];
    let (code, error, _) = refused(folder.path(), &elsewhere).await;
    assert_eq!(
        (code, error),
        (2, format!("error: phone belongs to {}", platform.url))
    );

    let empty = tempfile::tempdir().unwrap();
    let (code, error, _) = refused(empty.path(), &["refresh"]).await;
    assert_eq!(
        (code, error.as_str()),
        (2, "error: there is no wallet in phone")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_log_that_cannot_be_read_is_said_and_the_command_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_obol-wallet"));
    command
        .args(["--dir", "phone", "show"])
        .env("RUST_LOG", "obol_wallet=loud");
    let output = command.current_dir(folder.path()).output().await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = errors.lines().collect();
    assert!(
        lines[0].starts_with("error: RUST_LOG is not used: "),
        "{errors}"
    );
    assert!(lines[1].starts_with("help: "), "{errors}");
    assert_eq!(lines[2], "error: there is no wallet in phone", "{errors}");
    assert_eq!(lines.len(), 4, "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_credential_is_refused_on_the_phone() {
    let (folder, _platform) = enrolled().await;
    done(folder.path(), &["refresh"]).await;
    let (code, error, _) = refused(folder.path(), &["show", "--clock-offset", "86401"]).await;
    assert_eq!(code, 1);
    assert!(
        error.starts_with("error: the credential ended at "),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_that_found_no_platform_goes_on_with_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let platform = Platform::start(folder.path()).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let gone = format!("https://{closed}");
    let enrol = ["enrol", "--platform", &gone, "--trust", "access.pem"];
    let (code, error, _) = refused(folder.path(), &enrol).await;
    assert_eq!(code, 2);
    assert!(
        error.starts_with(&format!("error: cannot reach {gone}/v1/passengers: ")),
        "{error}"
    );
    let (_, error, _) = refused(folder.path(), &["refresh"]).await;
    assert_eq!(error, "error: the wallet has no account yet");

    let state = folder.path().join("phone/wallet.json");
    let text = std::fs::read_to_string(&state)
        .unwrap()
        .replace(&gone, &platform.url);
    std::fs::write(&state, text).unwrap();
    let enrol = [
        "enrol",
        "--platform",
        &platform.url,
        "--trust",
        "access.pem",
    ];
    assert_eq!(done(folder.path(), &enrol).await, "account  17\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_of_another_ca_is_not_trusted() {
    let (folder, platform) = enrolled().await;
    let other = tempfile::tempdir().unwrap();
    Platform::start(other.path()).await;
    std::fs::copy(
        other.path().join("access.pem"),
        folder.path().join("phone/access.pem"),
    )
    .unwrap();
    let (code, error, _) = refused(folder.path(), &["statement"]).await;
    assert_eq!(code, 2);
    let expected = format!(
        "error: the certificate of {}/v1/statement is not trusted: ",
        platform.url
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_is_named_and_left_alone() {
    let (folder, _platform) = enrolled().await;
    let state = folder.path().join("phone/wallet.json");
    let whole = std::fs::read(&state).unwrap();
    std::fs::write(&state, &whole[..whole.len() / 2]).unwrap();
    let (code, error, _) = refused(folder.path(), &["refresh"]).await;
    assert_eq!(code, 2);
    assert!(
        error.starts_with("error: phone/wallet.json is damaged: "),
        "{error}"
    );
    assert_eq!(std::fs::read(&state).unwrap(), &whole[..whole.len() / 2]);
}
