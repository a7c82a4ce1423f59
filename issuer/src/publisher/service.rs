//! The publisher beside the service: stands for election, gathers, publishes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use obol_console::read_limited;
use obol_credential::{Kid, UnixTime};
use obol_kms_client::{KmsClient, SpkiId};
use tracing::{error, info};

use super::{
    Elected, Election, Inputs, KmsSigner, OnlineKeys, OnlineRole, PublishError, Publisher,
    StandFailed, TICK, publish_while_elected,
};
use crate::issuer::Issuer;

const SUSPENDED_MAX: usize = 4096;
const FARES_MAX: usize = 64 * 1024;

/// Where a publisher reads and writes, and with which keys it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder that a static server serves.
    pub repository: PathBuf,
    /// The officers' folder.
    pub offline: PathBuf,
    /// What all candidates share: the lock, `suspended` (a kid a line), `fares/OPERATOR.cbor`.
    pub state: PathBuf,
    /// Keys of the online roles in the order of [`OnlineRole::ALL`].
    pub keys: [SpkiId; 4],
}

/// Publishes the trust repository for as long as this process holds the lock; waits for it
/// otherwise. Never ends; to be aborted.
pub async fn run(issuer: Arc<Issuer>, settings: Settings, clock: fn() -> u32) {
    let mut said = String::new();
    loop {
        match begin(&issuer, &settings).await {
            Ok(Some((elected, mut publisher))) => {
                info!(repository = %settings.repository.display(), "this process publishes");
                let gather = |now| gather(Arc::clone(&issuer), settings.state.clone(), now);
                publish_while_elected(&mut publisher, clock, gather).await;
                drop(elected);
            }
            Ok(None) => {}
            Err(cause) => {
                // The same failure each second says nothing new.
                if said != cause.to_string() {
                    said = cause.to_string();
                    let cause: &(dyn std::error::Error + 'static) = &cause;
                    error!(cause, "the trust repository is not published");
                }
            }
        }
        tokio::time::sleep(TICK).await;
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

async fn gather(
    issuer: Arc<Issuer>,
    state: PathBuf,
    now: UnixTime,
) -> Result<Inputs, PublishError> {
    let (kids, size) = issuer.listed_keys();
    let denied = issuer.register().denied_indexes(now).await?;
    let mut inputs = Inputs::new(&kids, size, denied, now).suspending(suspended(&state)?);
    for (operator, bytes) in fare_packs(&state)? {
        inputs = inputs.with_fares(&operator, bytes)?;
    }
    Ok(inputs)
}

/// The file `suspended`: a kid a line, 8 hexadecimal digits; not there when nobody is.
fn suspended(state: &Path) -> Result<Vec<Kid>, PublishError> {
    let path = state.join("suspended");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = read_limited(&path, SUSPENDED_MAX)?;
    let wrong = |line: String| PublishError::Suspended {
        path: path.clone(),
        line,
    };
    let text = String::from_utf8(bytes).map_err(|_| wrong("not UTF-8".to_owned()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let kid = u32::from_str_radix(line, 16).ok();
            let kid = kid.filter(|_| line.len() == 8 && !line.starts_with('+'));
            let kid = kid.ok_or_else(|| wrong(line.to_owned()))?;
            Ok(Kid(kid.to_be_bytes()))
        })
        .collect()
}

fn fare_packs(state: &Path) -> Result<BTreeMap<String, Vec<u8>>, PublishError> {
    let folder = state.join("fares");
    let mut packs = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(packs);
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let operator = path.file_stem().and_then(|stem| stem.to_str());
        let is_pack = path
            .extension()
            .is_some_and(|extension| extension == "cbor");
        if let Some(operator) = operator.filter(|_| is_pack) {
            let bytes = read_limited(&path, FARES_MAX)?;
            packs.insert(operator.to_owned(), bytes);
        }
    }
    Ok(packs)
}
