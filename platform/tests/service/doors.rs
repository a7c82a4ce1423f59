//! Certificates and the revocation list while the service runs.

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use obol_platform::{Doors, TlsFiles};
use obol_transport::{HttpsClient, Identity, TransportError, serve};
use tokio::net::TcpListener;

use crate::authorities::Authorities;

const PATIENCE: Duration = Duration::from_secs(60);

struct House {
    folder: tempfile::TempDir,
    authorities: Authorities,
    url: String,
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
        tokio::spawn(doors.keep(Duration::from_millis(50), |_, _| {}));
        Self {
            folder,
            authorities,
            url,
        }
    }

    fn client(&self, identity: Identity) -> HttpsClient {
        HttpsClient::new(&self.authorities.anchor(), Some(identity))
    }

    async fn ask(&self, client: &HttpsClient) -> Result<(), TransportError> {
        client.get(&self.url).await.map(drop)
    }

    /// Until TLS refuses the client.
    async fn until_refused(&self, client: &HttpsClient) {
        let begun = Instant::now();
        loop {
            match self.ask(client).await {
                // The open connection was closed under the request.
                Ok(()) | Err(TransportError::ConnectionLost { .. }) => {}
                Err(TransportError::CertificateRefused { alert, .. }) => {
                    return assert_eq!(alert, "certificate_revoked");
                }
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
