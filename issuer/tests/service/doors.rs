//! Who is turned away by TLS, and how.

use rcgen::ExtendedKeyUsagePurpose;
use rustls::AlertDescription;

use crate::raw::Raw;
use crate::world::{Leaf, World};

const HTTP_1: &str = "http/1.1";

#[tokio::test]
async fn a_certificate_that_is_not_good_for_this_and_now_is_refused_by_its_own_alert() {
    let world = World::new();
    let base = world.with_caller().await.base;
    let year = time::Duration::days(365);
    let now = time::OffsetDateTime::now_utc();
    let good = world.certificate(|_| {});
    let expired = world.certificate(|params| {
        (params.not_before, params.not_after) = (now - 2 * year, now - year);
    });
    let of_next_year = world.certificate(|params| {
        (params.not_before, params.not_after) = (now + year, now + 2 * year);
    });
    let of_a_server = world.certificate(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let of_nobody = world.certificate(|params| params.subject_alt_names.clear());
    let foreign = Leaf::of_a_stranger("strange");
    let of_the_same_name = Leaf::of_a_stranger("access-1");
    for (leaf, alert) in [
        (None, AlertDescription::CertificateRequired),
        (Some(&foreign), AlertDescription::UnknownCA),
        (Some(&of_the_same_name), AlertDescription::DecryptError),
        (Some(&expired), AlertDescription::CertificateExpired),
        (Some(&of_next_year), AlertDescription::CertificateExpired),
        (Some(&of_a_server), AlertDescription::UnsupportedCertificate),
        (Some(&of_nobody), AlertDescription::CertificateUnknown),
    ] {
        let raw = Raw::connect(&world, &base, leaf, HTTP_1).await;
        assert_eq!(raw.alert().await, alert);
    }
    // A good certificate of ours gets past TLS, and then its key is not registered.
    let raw = Raw::connect(&world, &base, Some(&good), HTTP_1).await;
    let asked = b"GET /v1/keys HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = raw.exchange(asked).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("\"code\":\"not-registered\""), "{answer}");
}

#[tokio::test]
async fn nobody_talks_less_than_tls_1_3() {
    let world = World::new();
    let base = world.with_caller().await.base;
    let address = base.trim_start_matches("https://").to_owned();
    for (version, alert) in [
        ("-tls1_2", "alert protocol version"),
        ("-tls1_1", "alert handshake failure"),
    ] {
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["s_client", "-connect", &address, version]);
        openssl.args(["-cipher", "ALL:@SECLEVEL=0"]);
        openssl.stdin(std::process::Stdio::null());
        let run = tokio::task::spawn_blocking(move || openssl.output().unwrap());
        let said = run.await.unwrap().stderr;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains(alert), "{version}: {said}");
    }
}
