//! A credential whose issuer key is blocked is renewed at the next contact.

use std::path::Path;

use obol_credential::{Presentation, from_text};
use serde_json::Value;

use crate::{done, enrolled, wallet};

/// The number of the credential that is shown.
async fn shown(folder: &Path) -> u8 {
    let text = done(folder, &["show", "--text"]).await;
    let bytes = from_text(text.trim_end().as_bytes()).unwrap();
    let presentation = Presentation::decode(&bytes).unwrap();
    presentation.credential().claims().cti.0[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_told_so_renews_by_itself_once_and_says_so() {
    let (folder, platform) = enrolled().await;
    let folder = folder.path();
    done(folder, &["refresh"]).await;
    platform.tell_to_renew(9);
    let other = done(folder, &["statement"]).await;
    assert!(!other.contains("renewed"), "{other}");
    assert_eq!(shown(folder).await, 1);

    platform.tell_to_renew(1);
    let said = done(folder, &["statement"]).await;
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("credential renewed, until  2"), "{said}");
    assert_eq!(shown(folder).await, 2);
    // The old one is marked still, and it is not held any more.
    let again = done(folder, &["statement"]).await;
    assert!(!again.contains("renewed"), "{again}");
    assert_eq!(shown(folder).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recharge_is_a_contact_too_and_its_json_stays_one_line() {
    let (folder, platform) = enrolled().await;
    let folder = folder.path();
    done(folder, &["refresh"]).await;
    platform.tell_to_renew(1);
    let output = wallet(folder, &["recharge", "50.00", "--json"]).await;
    assert!(output.status.success(), "{output:?}");
    let order: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(order["renew"], serde_json::json!(["0101010101010101"]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("credential renewed, until  2"), "{said}");
    assert_eq!(shown(folder).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_is_refused_is_two_lines_and_what_was_asked_for_is_done() {
    let (folder, platform) = enrolled().await;
    let folder = folder.path();
    done(folder, &["refresh"]).await;
    platform.tell_to_renew(1);
    platform.be_out_of_credentials();
    let output = wallet(folder, &["statement"]).await;
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("closing balance"), "{printed}");
    let expected = "error: terminals refuse the credential, and it was not renewed: \
        the platform refused: The balance is too low (balance-too-low): 0.00\n\
        help: go online again soon: `obol-wallet refresh`\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
    assert_eq!(shown(folder).await, 1);
}
