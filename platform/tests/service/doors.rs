//! Certificates and the revocation list while the service runs.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use obol_platform::{Doors, TlsFiles};
use obol_transport::{ClientAuth, HttpsClient, Identity, TransportError, serve, server_config};
use tokio::net::TcpListener;

use crate::authorities::Authorities;

const PATIENCE: Duration = Duration::from_secs(60);

struct House {
    folder: tempfile::TempDir,
    authorities: Authorities,
    url: String,
    /// As the platform's own client of its issuers.
    own: HttpsClient,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authorities = Authorities::new(folder.path());
        authorities.identity("platform", "platform");
        authorities.revoke(&[]);
        let at = |name: &str| folder.path().join(name);
        let doors = Doors::open(&TlsFiles {
            certificate: at("platform.pem"),
            key: at("platform.key"),
            trust: at("access.pem"),
            crl: Some(at("access.crl.pem")),
        });
        let doors = doors.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let router = Router::new().route("/", get(|| async { "in" }));
        let ended = std::future::pending();
        tokio::spawn(serve(listener, doors.terminals.clone(), router, ended));
        let own = HttpsClient::new(&authorities.anchor(), None);
        let replaced = own.clone();
        let clients = move |anchor: &_, identity: &Identity| {
            replaced.replace(anchor, Some(identity.clone()));
        };
        tokio::spawn(doors.keep(Duration::from_millis(50), clients));
        Self {
            folder,
            authorities,
            url,
            own,
        }
    }

    /// One file of what both folders have under this name, put in place at once.
    fn put_together(&self, name: &str, folders: &[&Path]) {
        let texts = folders
            .iter()
            .map(|at| std::fs::read_to_string(at.join(name)));
        let text: String = texts.map(Result::unwrap).collect();
        let next = self.folder.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, self.folder.path().join(name)).unwrap();
    }

    async fn until_let_in(&self, client: &HttpsClient) {
        let begun = Instant::now();
        while let Err(error) = self.ask(client).await {
            assert!(begun.elapsed() < PATIENCE, "{error:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn client(&self, identity: Identity) -> HttpsClient {
        HttpsClient::new(&self.authorities.anchor(), Some(identity))
    }

    async fn ask(&self, client: &HttpsClient) -> Result<(), TransportError> {
        client.get(&self.url).await.map(drop)
    }

    /// Until TLS refuses the client as revoked.
    async fn until_refused(&self, client: &HttpsClient) {
        assert_eq!(self.alert(client).await, "certificate_revoked");
    }

    async fn alert(&self, client: &HttpsClient) -> String {
        let begun = Instant::now();
        loop {
            match self.ask(client).await {
                // The open connection was closed under the request.
                Ok(()) | Err(TransportError::ConnectionLost { .. }) => {}
                Err(TransportError::CertificateRefused { alert, .. }) => return alert,
                Err(other) => panic!("{other:?}"),
            }
            assert!(begun.elapsed() < PATIENCE, "it is still let in");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_a_new_revocation_list_names_is_refused_without_a_restart() {
    let house = House::new().await;
    let lost = house.client(house.authorities.identity("terminal", "bus-1"));
    let kept = house.client(house.authorities.identity("terminal", "bus-2"));
    house.ask(&lost).await.unwrap();
    house.ask(&kept).await.unwrap();
    house.authorities.revoke(&["bus-1"]);
    house.until_refused(&lost).await;
    house.ask(&kept).await.unwrap();

    // A list that is none changes nothing; the next good one counts.
    std::fs::write(house.folder.path().join("access.crl.pem"), "nonsense").unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    house.until_refused(&lost).await;
    house.ask(&kept).await.unwrap();
    house.authorities.revoke(&["bus-1", "bus-2"]);
    house.until_refused(&kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_access_ca_is_believed_and_the_last_one_refused_without_a_restart() {
    let house = House::new().await;
    let own = house.folder.path();
    let (next_folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let next = Authorities::new(next_folder.path());
    next.revoke(&[]);
    for name in ["access.pem", "access.crl.pem"] {
        std::fs::copy(own.join(name), kept.path().join(name)).unwrap();
    }
    let anchor = house.authorities.anchor();
    let client = |identity| HttpsClient::new(&anchor, Some(identity));
    let old_bus = client(house.authorities.identity("terminal", "bus-1"));
    let new_bus = client(next.identity("terminal", "bus-2"));
    let issuer = serve_as(next.identity("issuer", "main")).await;
    house.ask(&old_bus).await.unwrap();
    house.alert(&new_bus).await;
    let untrusted = house.own.get(&issuer).await.unwrap_err();
    assert!(
        matches!(untrusted, TransportError::ServerUntrusted { .. }),
        "{untrusted:?}"
    );

    // The CA comes first and its list behind: until then nothing of it is believed.
    let both = [kept.path(), next_folder.path()];
    house.put_together("access.pem", &both);
    let begun = Instant::now();
    while house.own.get(&issuer).await.is_err() {
        assert!(
            begun.elapsed() < PATIENCE,
            "the next issuer is not believed"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.alert(&new_bus).await;
    house.ask(&old_bus).await.unwrap();
    house.put_together("access.crl.pem", &both);
    house.until_let_in(&new_bus).await;
    house.ask(&old_bus).await.unwrap();

    // The list goes first, and the CA behind it.
    house.put_together("access.crl.pem", &[next_folder.path()]);
    house.alert(&old_bus).await;
    house.put_together("access.pem", &[next_folder.path()]);
    house.until_let_in(&new_bus).await;
    let alert = house.alert(&old_bus).await;
    assert!(["unknown_ca", "decrypt_error"].contains(&alert.as_str()));
}

/// Where somebody answers who shows this.
async fn serve_as(identity: Identity) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", get(|| async { "in" }));
    let tls = server_config(identity, ClientAuth::None);
    tokio::spawn(serve(listener, tls, router, std::future::pending()));
    url
}
