//! What runs out by itself is made anew in time, or said.

use std::process::Command;

use obol_credential::UnixTime;
use obol_issuer::{Config, Issuer};

use crate::world::{NOW, World};

const DAY_S: u32 = 86_400;

/// Number and end of the list, as openssl reads them.
fn list(world: &World) -> (String, String) {
    let mut show = Command::new("openssl");
    show.args(["crl", "-noout", "-crlnumber", "-nextupdate", "-in"]);
    let shown = show.arg(world.path("access.crl.pem")).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    let mut lines = text.lines().map(|line| line.split_once('=').unwrap().1);
    let (number, end) = (lines.next().unwrap(), lines.next().unwrap());
    let number = number.trim_start_matches("0x").trim_start_matches('0');
    (number.to_owned(), end.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_revocation_list_is_made_anew_when_half_its_life_is_over() {
    let world = World::new();
    world.write_enrolling_config(&[]);
    let config = Config::load(&world.path("issuer.toml")).unwrap();
    let issuer = Issuer::start(&config, UnixTime(NOW)).await.unwrap();
    assert_eq!(list(&world).0, "1");
    issuer.keep_list(UnixTime(NOW + 3 * DAY_S)).await;
    assert_eq!(list(&world).0, "1");
    issuer.keep_list(UnixTime(NOW + 4 * DAY_S)).await;
    let (number, end) = list(&world);
    assert_eq!(number, "2");
    // Whoever serves by it reads it now.
    issuer.list_changed().await;

    // After a long rest the next start makes it, before anybody is let in.
    drop(issuer);
    let later = UnixTime(NOW + 20 * DAY_S);
    let issuer = Issuer::start(&config, later).await.unwrap();
    let (number, later_end) = list(&world);
    assert_eq!(number, "3");
    assert_ne!(end, later_end);
    issuer.keep_list(later).await;
    assert_eq!(list(&world).0, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_and_metrics_say_when_certificates_and_list_run_out() {
    let world = World::new();
    let caller = world.with_caller().await;
    let text = async |path: &str| {
        let reply = caller.http.get(&format!("{}{path}", caller.base)).await;
        let reply = reply.unwrap().success().unwrap();
        String::from_utf8(reply.body.to_vec()).unwrap()
    };
    let ready = text("/readyz").await;
    let lines: Vec<_> = ready.lines().collect();
    assert_eq!(lines[0], "ready");
    // The certificate of the issuer's key lives 31 days from the day before.
    let (name, end) = lines[1].rsplit_once(" until ").unwrap();
    assert!(name.starts_with("issuer-certificate "), "{ready}");
    assert_eq!(end, "2027-02-14 08:00:00Z");
    assert!(
        lines[2].starts_with("tls-certificate main until "),
        "{ready}"
    );
    assert_eq!(lines.len(), 3, "{ready}");
    let metrics = text("/metrics").await;
    let gauge = "obol_issuer_expires_timestamp_seconds{what=\"issuer-certificate\",name=\"";
    let line = metrics.lines().find(|line| line.starts_with(gauge));
    let end = NOW + 30 * DAY_S;
    assert!(line.unwrap().ends_with(&format!("\"}} {end}")), "{metrics}");
}
