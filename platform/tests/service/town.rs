//! A platform with everything around it, in a folder of its own.

use std::path::Path;
use std::sync::Arc;

use obol_mint::NOW;
use obol_platform::{App, Config, passenger_router, terminal_router};
use obol_transport::{ClientAuth, HttpsClient, ServerTls, serve, server_config};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{authorities::Authorities, bank::Bank, issuer::Issuer};

/// How clients are told to call the platform; proofs name it.
pub(crate) const PUBLIC_URL: &str = "https://platform.example";

pub(crate) struct Town {
    pub(crate) app: Arc<App>,
    pub(crate) authorities: Authorities,
    pub(crate) issuer: Issuer,
    pub(crate) bank: Bank,
    pub(crate) folder: TempDir,
    /// Where the passengers' listener really is, and the terminals'.
    pub(crate) passengers: String,
    pub(crate) terminals: String,
}

impl Town {
    pub(crate) async fn new() -> Self {
        Self::with(|_, _| String::new()).await
    }

    /// With more in the configuration, and the files that it names.
    pub(crate) async fn with(more: impl FnOnce(&Path, &Authorities) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authorities = Authorities::new(folder.path());
        let (issuer, issuer_url) = Issuer::start(&authorities).await;
        let bank = Bank::new(folder.path());
        let identity = authorities.identity("platform", "platform");
        let tariff = include_str!("../../../policies/tariffs/flat.toml");
        std::fs::write(folder.path().join("flat.toml"), tariff).unwrap();
        let config = include_str!("../../platform.toml")
            .replace("/var/lib/obol-platform/", "")
            .replace("https://localhost:8443", &issuer_url)
            .replace("https://localhost:8444", PUBLIC_URL);
        let config = config + &more(folder.path(), &authorities);
        std::fs::write(folder.path().join("platform.toml"), config).unwrap();

        let app = open(&folder);
        let public = server_config(identity.clone(), ClientAuth::None);
        let passengers = listen(public, passenger_router(Arc::clone(&app))).await;
        let mutual = server_config(identity, ClientAuth::Required(authorities.anchor()));
        let terminals = listen(mutual, terminal_router(Arc::clone(&app))).await;
        Self {
            app,
            authorities,
            issuer,
            bank,
            folder,
            passengers,
            terminals,
        }
    }

    /// A client that shows no certificate.
    pub(crate) fn anybody(&self) -> HttpsClient {
        HttpsClient::new(&self.authorities.anchor(), None)
    }

    pub(crate) fn config(&self) -> Config {
        config(&self.folder)
    }

    /// The platform of this folder once more, as after a restart.
    pub(crate) fn reopened(&self) -> Arc<App> {
        open(&self.folder)
    }
}

fn config(folder: &TempDir) -> Config {
    Config::load(&folder.path().join("platform.toml")).unwrap()
}

fn open(folder: &TempDir) -> Arc<App> {
    Arc::new(App::open(config(folder), clock).unwrap())
}

fn clock() -> u32 {
    NOW.0 + 60
}

async fn listen(tls: ServerTls, router: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, tls, router, std::future::pending()));
    format!("https://{address}")
}
