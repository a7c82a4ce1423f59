//! Issuer keys that are blocked: whose wallets hold credentials of them, so that phones renew them
//! at their next contact.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use miette::Diagnostic;
use obol_credential::{Kid, UnixTime};
use obol_issuer_client::{IssuerClientError, KeyStatus};
use obol_store::{Fault, KeyStanding, KeysHeard, ToRenew};
use thiserror::Error;
use tracing::{error, info};

use crate::app::{App, StartError, StoredError};
use crate::config::Config;
use crate::publishing::publishing;

/// How often issuers are asked which of their keys are blocked.
const EVERY: Duration = Duration::from_secs(10);
/// How long each has to answer.
const WITHIN: Duration = Duration::from_secs(5);
/// The most keys of one issuer that are heard of.
const KEYS_MAX: usize = 64;

/// Why an issuer's keys were not heard of. What was marked stays marked.
#[derive(Debug, Error)]
pub enum NotHeard {
    /// The issuer gives no answer, or one that names no keys.
    #[error("issuer {issuer} does not name its keys")]
    Issuer {
        /// Its name.
        issuer: String,
        /// What was heard.
        source: IssuerClientError,
    },
    /// The books.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A storage operation panicked: a bug.
    #[error("a storage operation panicked: {0}")]
    Panicked(String),
}

/// Why a key is not blocked, or its wallets are not marked.
#[derive(Debug, Error, Diagnostic)]
pub enum NotBlocked {
    /// No issuer took the command: nothing was changed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Issuer(#[from] IssuerClientError),
    /// The identity on mTLS cannot be used: nothing was changed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Start(#[from] StartError),
    /// Terminals refuse the key, and phones do not hear of it yet.
    #[error("key {kid} is blocked, and its wallets are not marked")]
    #[diagnostic(help("repeat the command when the books can be written; `serve` marks them too"))]
    NotMarked {
        /// The key.
        kid: Kid,
        /// What the books said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// 8 hexadecimal digits in lower case.
#[must_use]
pub fn parse_kid(text: &str) -> Option<Kid> {
    let kid = Kid(u32::from_str_radix(text, 16).ok()?.to_be_bytes());
    (kid.to_string() == text).then_some(kid)
}

/// Has the issuer block a key, and marks the wallets that hold live credentials of it.
///
/// # Errors
/// [`NotBlocked`]. Repeating it is harmless.
pub async fn block_key(
    config: &Config,
    kid: Kid,
    reason: &str,
    now: UnixTime,
) -> Result<ToRenew, NotBlocked> {
    // First of all the block: it must not wait for books that cannot be written.
    let issuer = publishing(config)?.suspend_key(kid, reason).await?;
    mark(config, kid, &issuer, now).map_err(|source| NotBlocked::NotMarked { kid, source })
}

fn mark(
    config: &Config,
    kid: Kid,
    issuer: &str,
    now: UnixTime,
) -> Result<ToRenew, Box<dyn std::error::Error + Send + Sync>> {
    let books = App::books(config)?;
    books.hear_of_keys(issuer, &[(kid, KeyStanding::Blocked)], now)?;
    Ok(books.to_renew(kid, now)?)
}

impl App {
    /// Asks each issuer which of its keys are blocked, and marks the wallets or takes the marks
    /// off. What has changed, by the issuer's name.
    pub async fn hear_of_keys(&self) -> Vec<(String, Result<KeysHeard, NotHeard>)> {
        let mut all = Vec::new();
        for (issuer, named) in self.issuer.within(WITHIN).keys().await {
            let heard = match named.and_then(|keys| standings(&keys)) {
                Ok(keys) => self.take_word(issuer.clone(), keys).await,
                Err(source) => Err(NotHeard::Issuer {
                    issuer: issuer.clone(),
                    source,
                }),
            };
            all.push((issuer, heard));
        }
        all
    }

    async fn take_word(
        &self,
        issuer: String,
        keys: Vec<(Kid, KeyStanding)>,
    ) -> Result<KeysHeard, NotHeard> {
        let now = self.now();
        self.stored(move |store| store.hear_of_keys(&issuer, &keys, now))
            .await
            .map_err(|error| match error {
                StoredError::Refused(fault) => NotHeard::Fault(fault),
                StoredError::Panicked(panic) => NotHeard::Panicked(panic),
            })
    }
}

/// A key that is named twice is blocked when it is so once.
fn standings(keys: &[KeyStatus]) -> Result<Vec<(Kid, KeyStanding)>, IssuerClientError> {
    if keys.len() > KEYS_MAX {
        let found = format!("{} keys, at most {KEYS_MAX}", keys.len());
        return Err(IssuerClientError::WrongReply(found));
    }
    let mut found = BTreeMap::new();
    for key in keys {
        let no_kid = || IssuerClientError::WrongReply(format!("{:?} is no kid", key.kid));
        let kid = parse_kid(&key.kid).ok_or_else(no_kid)?;
        let standing = found.entry(kid).or_insert(KeyStanding::Good);
        if key.state == "suspended" {
            *standing = KeyStanding::Blocked;
        }
    }
    Ok(found.into_iter().collect())
}

/// Asks for as long as the service runs. A failure is logged when it begins.
pub fn hear_of_keys_in_background(app: &Arc<App>) {
    tokio::spawn(keep_hearing(Arc::clone(app)));
}

async fn keep_hearing(app: Arc<App>) {
    let mut failing: BTreeMap<String, String> = BTreeMap::new();
    loop {
        for (issuer, heard) in app.hear_of_keys().await {
            match heard {
                Ok(KeysHeard { blocked, lifted }) => {
                    failing.remove(&issuer);
                    for kid in blocked {
                        info!(issuer, %kid, "a key is blocked: phones renew what it signed");
                    }
                    for kid in lifted {
                        info!(issuer, %kid, "the block of a key is lifted");
                    }
                }
                Err(cause) => {
                    let said = cause.to_string();
                    if failing.get(&issuer) != Some(&said) {
                        let cause: &(dyn std::error::Error + 'static) = &cause;
                        error!(cause, "it is not known which issuer keys are blocked");
                    }
                    failing.insert(issuer, said);
                }
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str, state: &str) -> KeyStatus {
        KeyStatus {
            kid: kid.to_owned(),
            spki: "00".repeat(32),
            use_here: "signing".to_owned(),
            state: state.to_owned(),
        }
    }

    #[test]
    fn a_key_is_blocked_when_it_is_named_so_once() {
        let keys = [
            key("00000002", "suspended"),
            key("00000001", "unavailable"),
            key("00000002", "verify-only"),
        ];
        let [one, two] = [1, 2].map(|number| Kid([0, 0, 0, number]));
        let expected = [(one, KeyStanding::Good), (two, KeyStanding::Blocked)];
        assert_eq!(standings(&keys).unwrap(), expected);
    }

    #[test]
    fn keys_that_are_none_and_too_many_are_refused_whole() {
        for kid in ["", "0000001", "0000000A", "+0000001", "000000001"] {
            let refused = standings(&[key("00000001", "suspended"), key(kid, "available")]);
            let expected = format!("{kid:?} is no kid");
            assert!(
                matches!(&refused, Err(IssuerClientError::WrongReply(said)) if *said == expected),
                "{refused:?}"
            );
        }
        let many = vec![key("00000001", "available"); KEYS_MAX + 1];
        let refused = standings(&many);
        assert!(
            matches!(&refused, Err(IssuerClientError::WrongReply(said))
                if said == "65 keys, at most 64"),
            "{refused:?}"
        );
    }
}
