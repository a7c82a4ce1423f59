//! The publisher beside the service: stands for election, gathers, publishes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use obol_credential::UnixTime;
use obol_kms_client::{KmsClient, SpkiId};
use tokio::sync::Mutex;
use tracing::{error, info};

use super::denials::{Denials, read_denials};
use super::{
    Elected, Election, Inputs, KmsSigner, OnlineKeys, OnlineRole, PublishError, Publisher,
    StandFailed, TICK, publish_while_elected,
};
use crate::issuer::Issuer;
use crate::register::DeniedIndexes;

/// Where a publisher reads and writes, and with which keys it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder that a static server serves.
    pub repository: PathBuf,
    /// The officers' folder.
    pub offline: PathBuf,
    /// What all candidates share: the lock, `suspended` (a kid a line), `fares/OPERATOR.cbor`.
    pub state: PathBuf,
    /// Keys of the online roles in the order of [`OnlineRole::ALL`], to begin with: where the
    /// officers' root and targets name another that the key management has, that one signs.
    pub keys: [SpkiId; 4],
}

/// Publishes the trust repository for as long as this process holds the lock; waits for it
/// otherwise. Never ends; to be aborted.
pub async fn run(issuer: Arc<Issuer>, settings: Settings, clock: fn() -> u32) {
    let mut said = String::new();
    let denials = Arc::new(Mutex::new(Denials::default()));
    loop {
        match begin(&issuer, &settings).await {
            Ok(Some((elected, mut publisher))) => {
                info!(repository = %settings.repository.display(), "this process publishes");
                let wake = || issuer.something_to_publish();
                let gather = |now| {
                    let (issuer, denials) = (Arc::clone(&issuer), Arc::clone(&denials));
                    gather(issuer, settings.state.clone(), now, denials)
                };
                publish_while_elected(&mut publisher, clock, wake, gather).await;
                drop(elected);
            }
            // What was blocked at another issuer is blocked here, and the one who publishes reads
            // what this one denies.
            Ok(None) => {
                if let Err(cause) = issuer.shared_state().await {
                    say(&mut said, &cause);
                }
                let now = UnixTime(clock());
                if let Err(cause) = share(&issuer, &settings.state, now, &denials).await {
                    say(&mut said, &cause);
                }
            }
            Err(cause) => say(&mut said, &cause),
        }
        tokio::time::sleep(TICK).await;
    }
}

/// The same failure each second says nothing new.
fn say(said: &mut String, cause: &(dyn std::error::Error + 'static)) {
    if *said != cause.to_string() {
        *said = cause.to_string();
        error!(cause, "the trust repository is not published");
    }
}

type Begun = Option<(Elected, Publisher<KmsSigner>)>;

async fn begin(issuer: &Issuer, settings: &Settings) -> Result<Begun, StandFailed> {
    let Some(elected) = Election::new(&settings.state).stand()? else {
        return Ok(None);
    };
    let kms = Arc::new(KmsClient::connect(issuer.kms_socket()).await?);
    let mut signers = Vec::new();
    for (role, spki) in OnlineRole::ALL.into_iter().zip(settings.keys) {
        let signer = KmsSigner::find(&kms, role, spki).await;
        signers.push(signer.map_err(PublishError::Sign)?);
    }
    let [timestamp, snapshot, denylist, fares] = [0, 1, 2, 3].map(|at| signers[at].clone());
    let keys = OnlineKeys {
        timestamp,
        snapshot,
        denylist,
        fares,
    };
    let offline = settings.offline.clone();
    let publisher = Publisher::new(&elected, &settings.repository, offline, keys)?;
    Ok(Some((elected, publisher)))
}

/// Leaves what this issuer denies where all of them look.
async fn share(
    issuer: &Issuer,
    state: &Path,
    now: UnixTime,
    denials: &Mutex<Denials>,
) -> Result<Vec<DeniedIndexes>, PublishError> {
    let denied = issuer.register().denied_indexes(now).await?;
    denials
        .lock()
        .await
        .write(state, &issuer.signing_kids(), &denied)?;
    Ok(denied)
}

async fn gather(
    issuer: Arc<Issuer>,
    state: PathBuf,
    now: UnixTime,
    denials: Arc<Mutex<Denials>>,
) -> Result<Inputs, PublishError> {
    let (kids, size) = issuer.listed_keys();
    let mut denied = share(&issuer, &state, now, &denials).await?;
    let own: BTreeSet<_> = denied.iter().map(|list| (list.kid, list.epoch)).collect();
    let others = read_denials(&state)?.into_iter();
    denied.extend(others.filter(|list| !own.contains(&(list.kid, list.epoch))));
    let (suspended, packs) = issuer.shared_state().await?;
    let mut inputs = Inputs::new(&kids, size, denied, now).suspending(suspended);
    for (operator, bytes) in packs {
        inputs = inputs.with_fares(&operator, bytes)?;
    }
    Ok(inputs)
}
