//! One access CA follows another: issuer and terminals are the shipped ones, and nothing restarts.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use obol_transport::{CaCertificate, Identity, TransportError, TrustAnchor};
use serde_json::Value;

use crate::process::PATIENCE;
use crate::terminal::{Bus, obol_pos, said};
use crate::world::{World, json_of};

pub(crate) const READ_AGAIN: &str = "the configuration was read again";
const REFUSED: &str = "the changed configuration is refused";

impl Bus {
    fn log(&self) -> String {
        fs::read_to_string(self.world.path("issuer.log")).unwrap()
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    pub(crate) async fn until_said(&self, text: &str, times: usize) {
        let begun = Instant::now();
        while self.count(text) < times {
            assert!(begun.elapsed() < PATIENCE, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// These are trusted from now on, in this order.
    pub(crate) async fn trust(&self, pems: &[&str]) {
        self.world.write("access.pem", &pems.concat());
        let (taken, refused) = (self.count(READ_AGAIN), self.count(REFUSED));
        self.service.signal("-HUP");
        self.until_said(READ_AGAIN, taken + 1).await;
        assert_eq!(self.count(REFUSED), refused, "{}", self.log());
    }

    pub(crate) async fn fetches_as(&self, identity: &Identity) -> Result<u16, TransportError> {
        let caller = self.service.caller(&self.world, identity);
        let url = format!("{}/v1/trust-bundle", caller.base);
        caller
            .http
            .get(&url)
            .await
            .map(|reply| reply.status.as_u16())
    }

    pub(crate) fn own(&self) -> Identity {
        Identity::load(&self.path("terminal.pem"), &self.path("terminal.key")).unwrap()
    }

    pub(crate) fn renew(&self) -> (i32, String) {
        said(&self.enroll(&["--renew", &self.url()]))
    }

    /// How many lists there are: each of one that is trusted, none the second of its CA.
    pub(crate) fn lists(&self) -> usize {
        lists(&self.world)
    }

    /// The serial that was revoked, when the doors know it.
    pub(crate) async fn revoke(&self, by: &Identity, gone: &Identity) -> String {
        let caller = self.service.caller(&self.world, by);
        let taken = self.count(READ_AGAIN);
        let path = format!("/v1/members/{}/revoke", HEXLOWER.encode(&gone.spki()));
        let revoked = caller.post(&path, &[], &Value::Null).await;
        let revoked = json_of(&revoked, 200);
        self.until_said(READ_AGAIN, taken + 1).await;
        revoked["serial"].as_str().unwrap().to_uppercase()
    }
}

pub(crate) fn lists(world: &World) -> usize {
    let text = fs::read_to_string(world.path("access.crl.pem")).unwrap();
    world
        .anchor()
        .with_crl(&world.path("access.crl.pem"))
        .unwrap();
    text.matches("BEGIN X509 CRL").count()
}

fn authority(pem: &str) -> CaCertificate {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), pem).unwrap();
    let anchor = TrustAnchor::load(file.path()).unwrap();
    anchor.authorities().next().unwrap().clone()
}

fn is_by(ca: &str, certificate: &Path) -> bool {
    let show = ["x509", "-outform", "DER", "-in"];
    let mut openssl = Command::new("openssl");
    let shown = openssl.args(show).arg(certificate).output().unwrap();
    authority(ca).issued(&shown.stdout)
}

fn believed(path: &Path) -> usize {
    TrustAnchor::load(path).unwrap().authorities().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_ca_is_rotated_and_neither_issuer_nor_terminal_restarts() {
    let bus = Bus::new();
    let world = &bus.world;
    let file = bus.invitation("enrol.toml", "obol://terminal/bus-7");
    let (code, text) = said(&bus.begin(file.to_str().unwrap()));
    assert_eq!(code, 0, "{text}");
    let (first, old) = (
        bus.own(),
        fs::read_to_string(world.path("access.pem")).unwrap(),
    );
    let platform = Identity::load(&world.path("platform.pem"), &world.path("platform.key"));
    let platform = platform.unwrap();

    // Both are believed; the old one certifies still.
    let next = world.next_access();
    let new = next.pem();
    let config = fs::read_to_string(world.path("issuer.toml")).unwrap();
    let config = config.replace("\"access-kms.sock\"", "\"both-kms.sock\"");
    world.write("issuer.toml", &config);
    bus.trust(&[&old, &new]).await;
    assert_eq!(bus.lists(), 2);
    for identity in [&first, &platform] {
        assert_eq!(bus.fetches_as(identity).await.unwrap(), 200);
    }
    let (code, text) = bus.renew();
    assert_eq!(code, 0, "{text}");
    assert!(is_by(&old, &bus.path("terminal.pem")));
    assert_eq!(believed(&bus.path("access.pem")), 2);
    let second = bus.own();

    // The new one certifies, the issuer among others; what the old one made still counts.
    world.identity_by(&next, "issuer-tls", "obol://issuer/main");
    bus.trust(&[&new, &old]).await;
    for identity in [&first, &second, &platform] {
        assert_eq!(bus.fetches_as(identity).await.unwrap(), 200);
    }
    let folder = tempfile::tempdir().unwrap();
    let other = bus.invitation("enrol-8.toml", "obol://terminal/bus-8");
    let mut enrol = Command::new(obol_pos());
    enrol.arg("--dir").arg(folder.path()).arg("enroll");
    let enrolled = enrol.arg("--provisioning").arg(other).output().unwrap();
    assert_eq!(said(&enrolled).0, 0, "{enrolled:?}");
    assert!(is_by(&new, &folder.path().join("terminal.pem")));
    let (code, text) = bus.renew();
    assert_eq!(code, 0, "{text}");
    assert!(is_by(&new, &bus.path("terminal.pem")));
    let third = bus.own();
    assert_eq!(bus.fetches_as(&third).await.unwrap(), 200);
    // The register knows keys: one that stands there is let in by either CA, another by neither.
    let moved = world.certified_again(&next, "platform", "obol://platform/main");
    assert_eq!(bus.fetches_as(&moved).await.unwrap(), 200);
    let stranger = world.identity_by(&next, "stranger", "obol://platform/main");
    assert_eq!(bus.fetches_as(&stranger).await.unwrap(), 403);

    // Each CA's list names its own.
    for (gone, by) in [(&first, &old), (&third, &new)] {
        let serial = bus.revoke(&platform, gone).await;
        assert_eq!(bus.lists(), 2);
        assert_eq!(listing(&bus, by), [serial]);
    }
    assert_eq!(bus.renew().0, 2, "a revoked terminal renews");

    // The old one leaves: its certificates are refused, and its list goes.
    bus.trust(&[&new]).await;
    assert_eq!(bus.lists(), 1);
    for identity in [&second, &platform] {
        let refused = bus.fetches_as(identity).await.unwrap_err();
        let TransportError::CertificateRefused { alert, .. } = refused else {
            panic!("{refused:?}")
        };
        assert!(["unknown_ca", "decrypt_error"].contains(&alert.as_str()));
    }
    assert_eq!(bus.fetches_as(&moved).await.unwrap(), 200);
    let dir = ["--dir", folder.path().to_str().unwrap()];
    let mut renew = Command::new(obol_pos());
    let renew = renew.args(dir).args(["enroll", "--renew", &bus.url()]);
    let renewed = renew.output().unwrap();
    assert_eq!(said(&renewed).0, 0, "{renewed:?}");
    assert_eq!(believed(&folder.path().join("access.pem")), 1);
}

/// Serials that the list of a CA names.
fn listing(bus: &Bus, ca: &str) -> Vec<String> {
    let ca = authority(ca);
    let text = fs::read_to_string(bus.world.path("access.crl.pem")).unwrap();
    let lists = x509_parser::pem::Pem::iter_from_buffer(text.as_bytes());
    let mut lists = lists.map(|list| list.unwrap().contents);
    let list = lists.find(|list| ca.listed(list)).unwrap();
    let der = bus.world.path("one.crl");
    fs::write(&der, list).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["crl", "-inform", "DER", "-noout", "-text", "-in"]);
    let shown = String::from_utf8(openssl.arg(der).output().unwrap().stdout).unwrap();
    let serial = |line: &str| {
        line.trim()
            .strip_prefix("Serial Number: ")
            .map(str::to_owned)
    };
    shown.lines().filter_map(serial).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_takes_no_access_ca_that_the_root_has_not_signed_nor_one_that_shuts_it_out() {
    let bus = Bus::new();
    let world = &bus.world;
    let file = bus.invitation("enrol.toml", "obol://terminal/bus-7");
    assert_eq!(said(&bus.begin(file.to_str().unwrap())).0, 0);
    let before = fs::read(bus.path("access.pem")).unwrap();
    let old = fs::read_to_string(world.path("access.pem")).unwrap();
    bus.trust(&[&old, &world.foreign_access().pem()]).await;
    let (code, text) = bus.renew();
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("names an access CA that"), "{text}");
    assert_eq!(fs::read(bus.path("access.pem")).unwrap(), before);

    // Of the root, but the issuer's own certificate is not below it.
    let next = world.next_access();
    let config = fs::read_to_string(world.path("issuer.toml")).unwrap();
    let config = config.replace("\"access-kms.sock\"", "\"both-kms.sock\"");
    world.write("issuer.toml", &config);
    bus.trust(&[&old, &next.pem()]).await;
    assert_eq!(bus.renew().0, 0);
    world.identity_by(&next, "issuer-tls", "obol://issuer/main");
    bus.trust(&[&old, &next.pem()]).await;
    let both = fs::read(bus.path("access.pem")).unwrap();
    bus.trust(&[&old]).await;
    let (code, text) = bus.renew();
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("cannot be reached by the access CAs"),
        "{text}"
    );
    assert_eq!(fs::read(bus.path("access.pem")).unwrap(), both);
}
