use std::{thread, time::Duration};

use miette::Diagnostic;
use obol_console::{Mode, Outcome, replace_atomically, two_lines, unix_now};
use obol_pos_sdk::{Backoff, FarePack, Provisioning, Repository, Trust, TrustRefused, UnixTime};
use obol_transport::{HttpsClient, Problem, Reply};
use serde::Serialize;
use thiserror::Error;

use crate::{
    clock,
    folder::{Folder, credentials},
    identity::NoRandomness,
    say::{self, Format},
    trust,
    upload::runtime,
};

/// Seconds between updates: a revocation has reached a bus that is online within two of them.
pub(crate) const EVERY_S: u32 = 60;

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
    #[error("{url} is refused: {problem}")]
    #[diagnostic(
        code(refused::service),
        help("the service's log names the request and the reason")
    )]
    Problem { url: String, problem: Problem },
    #[error("{url} does not answer with {expected}: {found}")]
    #[diagnostic(help("check the address and that service and terminal are of the same release"))]
    WrongReply {
        url: String,
        expected: &'static str,
        found: String,
    },
}

#[derive(Serialize)]
struct Synced {
    result: &'static str,
    keys: usize,
    expires_at: u32,
    pack: String,
    currency: String,
}

/// Updates again and again until it is interrupted. After a failure it pauses, longer each time, but
/// never longer than after a success; what it says of it goes to standard error, and what the
/// terminal has stays in use.
pub(crate) fn keep(folder: &Folder, every_s: u32, format: Format) -> miette::Result<Outcome> {
    let every = Duration::from_secs(every_s.into());
    let mut backoff = Backoff::up_to(every);
    loop {
        let pause = match sync(folder, format) {
            Ok(_) => {
                backoff.reset();
                every
            }
            Err(report) => {
                eprintln!("{}", two_lines(&report));
                let random = getrandom::u32().map_err(NoRandomness)?;
                backoff.after_failure(random)
            }
        };
        thread::sleep(pause);
    }
}

/// Fetches the trust bundle and the fare pack. Each is accepted before it is stored, and stored
/// whole; a failure of one leaves the other's old file in use.
pub(crate) fn sync(folder: &Folder, format: Format) -> miette::Result<Outcome> {
    let provisioning = folder.provisioning()?;
    if let Some(repository) = &provisioning.repository {
        return sync_repository(folder, &provisioning, repository, format);
    }
    let runtime = runtime()?;
    let trust = runtime.block_on(fetch_trust(folder, &provisioning))?;
    let (fares, date) = runtime.block_on(fetch_fares(folder, &provisioning))?;
    clock::heard(&folder.journal(&provisioning)?, date);
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

#[derive(Serialize)]
struct Updated {
    result: &'static str,
    version: u32,
    keys: usize,
    fresh_until: u32,
    pack: String,
}

/// Takes all of it from the trust repository, in one step.
fn sync_repository(
    folder: &Folder,
    provisioning: &Provisioning,
    repository: &Repository,
    format: Format,
) -> miette::Result<Outcome> {
    let set = trust::update(folder, provisioning, repository)?;
    let fares = folder.fares_of(provisioning, &set)?;
    let value = Updated {
        result: "synced",
        version: set.version,
        keys: set.state.keys().len(),
        fresh_until: set.state.periods().fresh_until.0,
        pack: fares.map_or("none".to_owned(), |pack| pack.id().to_string()),
    };
    let text = format!(
        "SYNCED version={} keys={} fresh_until={} fares={}",
        value.version, value.keys, value.fresh_until, value.pack
    );
    say::result(format, &text, &value)?;
    Ok(Outcome::Done)
}

async fn fetch_trust(folder: &Folder, provisioning: &Provisioning) -> miette::Result<Trust> {
    let url = format!("{}/v1/trust-bundle", provisioning.issuer_url);
    let bytes = fetch("issuer", &url, "a trust bundle", provisioning)
        .await?
        .body;
    let root = folder.root(provisioning)?;
    let refused = |source| SyncError::Trust { source };
    let trust = Trust::from_bundle(&bytes, &root).map_err(refused)?;
    let in_use = in_use(folder, provisioning);
    trust
        .may_replace(in_use.as_ref(), UnixTime(unix_now()))
        .map_err(refused)?;
    replace_atomically(&folder.trust_path(), &bytes, Mode::Public)?;
    Ok(trust)
}

/// The stored bundle, if it is any good. One that is not must not keep a good one out.
fn in_use(folder: &Folder, provisioning: &Provisioning) -> Option<Trust> {
    match folder.trust(provisioning) {
        Ok(trust) => trust,
        Err(unusable) => {
            eprintln!("note: {unusable}; it is replaced");
            None
        }
    }
}

async fn fetch_fares(
    folder: &Folder,
    provisioning: &Provisioning,
) -> miette::Result<(FarePack, Option<u64>)> {
    const EXPECTED: &str = "a fare pack";
    let url = format!("{}/v1/fare-pack", provisioning.platform_url);
    let reply = fetch("platform", &url, EXPECTED, provisioning).await?;
    let fares = FarePack::decode(&reply.body).map_err(|malformed| SyncError::WrongReply {
        url,
        expected: EXPECTED,
        found: malformed.to_string(),
    })?;
    replace_atomically(&folder.fares_path(), &reply.body, Mode::Public)?;
    Ok((fares, reply.date))
}

/// The CBOR at `url`, from a server whose certificate carries `role`.
async fn fetch(
    role: &str,
    url: &str,
    expected: &'static str,
    provisioning: &Provisioning,
) -> miette::Result<Reply> {
    let (anchor, identity) = credentials(provisioning)?;
    let client = HttpsClient::expecting(role, &anchor, Some(identity));
    let url = url.to_owned();
    let reply = match client.get(&url).await?.success() {
        Ok(reply) => reply,
        Err(problem) => return Err(SyncError::Problem { url, problem }.into()),
    };
    if reply.content_type != "application/cbor" {
        let found = format!("content type {:?}", reply.content_type);
        return Err(SyncError::WrongReply {
            url,
            expected,
            found,
        }
        .into());
    }
    Ok(reply)
}
