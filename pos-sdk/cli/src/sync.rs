use miette::Diagnostic;
use obol_console::{Mode, Outcome, replace_atomically, unix_now};
use obol_issuer_client::IssuerClient;
use obol_pos_sdk::{FarePack, Provisioning, Trust, TrustRefused, UnixTime};
use obol_transport::{HttpsClient, Problem};
use serde::Serialize;
use thiserror::Error;

use crate::{
    folder::{Folder, credentials},
    say::{self, Format},
    upload::runtime,
};

/// Why what was fetched was not taken. What the terminal has stays in use.
#[derive(Debug, Error, Diagnostic)]
enum SyncError {
    #[error("the issuer's trust bundle was not taken")]
    #[diagnostic(code(refused::trust))]
    Trust {
        #[source]
        #[diagnostic_source]
        source: TrustRefused,
    },
    #[error("the platform refused the fare pack: {0}")]
    #[diagnostic(
        code(refused::platform),
        help("the platform's log names the request and the reason")
    )]
    Problem(Problem),
    #[error("the platform's fare pack was not taken: {0}")]
    #[diagnostic(
        code(refused::fares),
        help("check that platform and terminal are of the same release")
    )]
    Fares(String),
}

#[derive(Serialize)]
struct Synced {
    result: &'static str,
    keys: usize,
    expires_at: u32,
    pack: String,
    currency: String,
}

/// Fetches the trust bundle and the fare pack. Each is accepted before it is stored, and stored
/// whole; a failure of one leaves the other's old file in use.
pub(crate) fn sync(folder: &Folder, format: Format) -> miette::Result<Outcome> {
    let provisioning = folder.provisioning()?;
    let runtime = runtime()?;
    let trust = runtime.block_on(fetch_trust(folder, &provisioning))?;
    let fares = runtime.block_on(fetch_fares(folder, &provisioning))?;
    let value = Synced {
        result: "synced",
        keys: trust.keys().len(),
        expires_at: trust.expires_at().0,
        pack: fares.id().to_string(),
        currency: fares.currency().as_str().to_owned(),
    };
    let text = format!(
        "SYNCED keys={} expires={} fares={} {}",
        value.keys, value.expires_at, value.pack, value.currency
    );
    say::result(format, &text, &value)?;
    Ok(Outcome::Done)
}

async fn fetch_trust(folder: &Folder, provisioning: &Provisioning) -> miette::Result<Trust> {
    let (anchor, identity) = credentials(provisioning)?;
    let client = IssuerClient::new(&provisioning.issuer_url, &anchor, identity);
    let bytes = client.trust_bundle().await?;
    let root = folder.root(provisioning)?;
    let refused = |source| SyncError::Trust { source };
    let trust = Trust::from_bundle(&bytes, &root).map_err(refused)?;
    let in_use = folder.trust(provisioning)?;
    trust
        .may_replace(in_use.as_ref(), UnixTime(unix_now()))
        .map_err(refused)?;
    replace_atomically(&folder.trust_path(), &bytes, Mode::Public)?;
    Ok(trust)
}

async fn fetch_fares(folder: &Folder, provisioning: &Provisioning) -> miette::Result<FarePack> {
    let (anchor, identity) = credentials(provisioning)?;
    let client = HttpsClient::expecting("platform", &anchor, Some(identity));
    let url = format!("{}/v1/fare-pack", provisioning.platform_url);
    let reply = client
        .get(&url)
        .await?
        .success()
        .map_err(SyncError::Problem)?;
    if reply.content_type != "application/cbor" {
        let found = format!("content type {:?}", reply.content_type);
        return Err(SyncError::Fares(found).into());
    }
    let fares = FarePack::decode(&reply.body)
        .map_err(|malformed| SyncError::Fares(malformed.to_string()))?;
    replace_atomically(&folder.fares_path(), &reply.body, Mode::Public)?;
    Ok(fares)
}
