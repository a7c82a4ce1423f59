//! The listeners' TLS, and what replaces it while they serve.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use obol_console::unix_now;
use obol_credential::UnixTime;
use obol_issuer::{Config, Issuer, TlsFiles};
use obol_transport::{
    ClientAuth, Identity, IdentityError, LiveTls, ServerTls, TrustAnchor, server_config,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tracing::{error, info};

/// How often certificates and lists are looked at: the list that another issuer writes turns somebody
/// out here as well.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub(crate) fn doors(
    files: &TlsFiles,
    clients: fn(TrustAnchor) -> ClientAuth,
) -> Result<ServerTls, IdentityError> {
    let identity = Identity::load(&files.certificate, &files.key)?;
    let mut anchor = TrustAnchor::load(&files.trust)?;
    if let Some(crl) = &files.crl {
        anchor = anchor.with_crl(crl)?;
    }
    Ok(server_config(identity, clients(anchor)))
}

/// The members' listener and the one where they enrol.
type Listeners = (LiveTls, LiveTls);

enum Due {
    Configuration,
    Files,
}

/// What stands in the files; one that cannot be read counts as none. It is looked at before anything
/// is read from them: what is written meanwhile is found at the next look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    trust: u64,
    all: u64,
}

impl Seen {
    pub(crate) fn of(files: &TlsFiles) -> Self {
        let own = [&files.certificate, &files.key, &files.trust];
        Self {
            trust: fingerprint([&files.trust]),
            all: fingerprint(own.into_iter().chain(&files.crl)),
        }
    }
}

fn fingerprint<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> u64 {
    let mut all = DefaultHasher::new();
    for path in paths {
        std::fs::read(path).ok().hash(&mut all);
    }
    all.finish()
}

/// Reads the configuration again at each SIGHUP and when the revocation list was written anew, and
/// takes all of it or nothing; so also when the access CAs that are trusted have changed, since lists
/// are made in their names. Of certificates and lists that have changed it takes these alone.
pub(crate) fn reload_when_due(
    path: PathBuf,
    (mut files, mut seen): (TlsFiles, Seen),
    issuer: Arc<Issuer>,
    tls: Listeners,
) -> std::io::Result<impl Future<Output = ()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    // Whom the issuer believes, in the doors as in the lists.
    let mut trusted = seen.trust;
    Ok(async move {
        loop {
            let due = tokio::select! {
                hung_up = hangup.recv() => match hung_up {
                    Some(()) => Due::Configuration,
                    None => return,
                },
                () = issuer.list_changed() => Due::Configuration,
                () = sleep(LOOK_EVERY) => {
                    let found = Seen::of(&files);
                    if found == seen {
                        continue;
                    }
                    seen = found;
                    match found.trust == trusted {
                        true => Due::Files,
                        false => Due::Configuration,
                    }
                }
            };
            match due {
                Due::Configuration => match reload(&path, &issuer, &tls).await {
                    Ok(taken) => {
                        (files, seen) = taken;
                        trusted = seen.trust;
                        info!(path = %path.display(), "the configuration was read again");
                    }
                    Err(refused) => {
                        let reason = format!("{refused:#}");
                        error!(
                            reason,
                            "the changed configuration is refused; the old one stays"
                        );
                    }
                },
                Due::Files => take_files(&files, &tls),
            }
        }
    })
}

async fn reload(path: &Path, issuer: &Issuer, tls: &Listeners) -> miette::Result<(TlsFiles, Seen)> {
    let config = Config::load(path)?;
    let seen = Seen::of(&config.tls);
    // The doors read what revocation lists this writes.
    let reopened = issuer.reopen_access(&config, UnixTime(unix_now())).await?;
    let members = doors(&config.tls, ClientAuth::Required)?;
    let enrolling = doors(&config.tls, ClientAuth::Optional)?;
    let now = UnixTime(unix_now());
    issuer.reload(&config, reopened, now).await?;
    tls.0.replace(members);
    tls.1.replace(enrolling);
    Ok((config.tls, seen))
}

fn take_files(files: &TlsFiles, tls: &Listeners) {
    let both = doors(files, ClientAuth::Required)
        .and_then(|members| Ok((members, doors(files, ClientAuth::Optional)?)));
    match both {
        Ok((members, enrolling)) => {
            tls.0.replace(members);
            tls.1.replace(enrolling);
            info!("certificates and lists were read again");
        }
        // A key without its certificate yet: the next look sees both.
        Err(refused) => {
            let reason = format!("{:#}", miette::Report::from(refused));
            error!(
                reason,
                "changed certificates are refused; the old ones stay"
            );
        }
    }
}
