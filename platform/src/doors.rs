//! The TLS of both listeners, read again when its files change.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use obol_console::two_lines;
use obol_transport::{
    ClientAuth, Identity, IdentityError, LiveTls, ServerTls, TrustAnchor, server_config,
};
use tracing::{error, info};

use crate::config::TlsFiles;

/// What phones and what terminals meet.
#[derive(Clone, Debug)]
pub struct Doors {
    /// Nobody is asked for a certificate.
    pub passengers: LiveTls,
    /// A certificate of the access CA that its list does not name.
    pub terminals: LiveTls,
    files: TlsFiles,
    seen: u64,
}

impl Doors {
    /// Reads certificate, key, CA and revocation list.
    ///
    /// # Errors
    /// [`IdentityError`], naming the file.
    pub fn open(files: &TlsFiles) -> Result<Self, IdentityError> {
        let seen = fingerprint(files);
        let read = load(files)?;
        Ok(Self {
            passengers: LiveTls::new(read.passengers),
            terminals: LiveTls::new(read.terminals),
            files: files.clone(),
            seen,
        })
    }

    /// Looks at the files each `pause` and takes what has changed, all of it or nothing; `clients` is
    /// given what this service's own clients believe and show from then on. Open connections of
    /// terminals that are not let in any more are closed.
    pub async fn keep(mut self, pause: Duration, clients: impl Fn(&TrustAnchor, &Identity)) {
        loop {
            tokio::time::sleep(pause).await;
            let found = fingerprint(&self.files);
            if found == self.seen {
                continue;
            }
            self.seen = found;
            match load(&self.files) {
                Ok(read) => {
                    self.passengers.replace(read.passengers);
                    self.terminals.replace(read.terminals);
                    clients(&read.anchor, &read.identity);
                    info!("certificates and revocation list were read again");
                }
                Err(refused) => {
                    let reason = two_lines(&refused.into());
                    error!(
                        reason,
                        "changed certificates are refused; the old ones stay"
                    );
                }
            }
        }
    }
}

struct Read {
    passengers: ServerTls,
    terminals: ServerTls,
    anchor: TrustAnchor,
    identity: Identity,
}

fn load(files: &TlsFiles) -> Result<Read, IdentityError> {
    let identity = Identity::load(&files.certificate, &files.key)?;
    let anchor = TrustAnchor::load(&files.trust)?;
    let mut members = anchor.clone();
    if let Some(crl) = &files.crl {
        members = members.with_crl(crl)?;
    }
    let passengers = server_config(identity.clone(), ClientAuth::None);
    let terminals = server_config(identity.clone(), ClientAuth::Required(members));
    Ok(Read {
        passengers,
        terminals,
        anchor,
        identity,
    })
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
