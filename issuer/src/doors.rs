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

/// Reads the configuration again at each SIGHUP and when the revocation list was written anew, and
/// takes all of it or nothing; certificates, access CAs and lists also when they have changed.
pub(crate) fn reload_when_due(
    path: PathBuf,
    mut files: TlsFiles,
    issuer: Arc<Issuer>,
    tls: Listeners,
) -> std::io::Result<impl Future<Output = ()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut seen = fingerprint(&files);
    Ok(async move {
        loop {
            let due = tokio::select! {
                hung_up = hangup.recv() => match hung_up {
                    Some(()) => Due::Configuration,
                    None => return,
                },
                () = issuer.list_changed() => Due::Configuration,
                () = sleep(LOOK_EVERY) => Due::Files,
            };
            match due {
                Due::Configuration => match reload(&path, &issuer, &tls).await {
                    Ok(taken) => {
                        (seen, files) = (fingerprint(&taken), taken);
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
                Due::Files => {
                    let found = fingerprint(&files);
                    if found != seen {
                        seen = found;
                        take_files(&files, &tls);
                    }
                }
            }
        }
    })
}

async fn reload(path: &Path, issuer: &Issuer, tls: &Listeners) -> miette::Result<TlsFiles> {
    let config = Config::load(path)?;
    // The doors read what revocation lists this writes.
    let access = issuer.reopen_access(&config, UnixTime(unix_now())).await?;
    let members = doors(&config.tls, ClientAuth::Required)?;
    let enrolling = doors(&config.tls, ClientAuth::Optional)?;
    let now = UnixTime(unix_now());
    issuer.reload(&config, access, now).await?;
    tls.0.replace(members);
    tls.1.replace(enrolling);
    Ok(config.tls)
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

/// Of what stands in the files; one that cannot be read counts as none.
fn fingerprint(files: &TlsFiles) -> u64 {
    let paths = [&files.certificate, &files.key, &files.trust];
    let mut all = DefaultHasher::new();
    for path in paths.into_iter().chain(&files.crl) {
        std::fs::read(path).ok().hash(&mut all);
    }
    all.finish()
}
