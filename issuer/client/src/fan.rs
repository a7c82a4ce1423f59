//! What goes to all issuers: commands, and questions about standing and trust.

use std::future::Future;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use obol_credential::Cti;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::asked::{Command, Target, Verb};
use crate::client::{IssuerClient, is_unknown_here, parse};
use crate::error::{IssuerClientError, Missing, NotConfirmed};
use crate::site::{IfNotSent, Site, Time, Wanted};
use crate::wire::CommandRequest;

/// An issuer's answer.
pub type Heard<T> = (String, Result<T, IssuerClientError>);

/// How an issuer took a command that it has now dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// It holds.
    Holds,
    /// Something stronger or later holds: the target is revoked, or a command of a higher number
    /// came before. Giving it again changes nothing.
    Overruled,
}

/// What holds at one issuer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingStatus {
    /// `active`, `suspended` or `revoked`.
    pub standing: String,
    /// Why, in the words of the last command.
    pub reason: Option<String>,
    /// The client that gave it.
    pub changed_by: Option<String>,
    /// When, seconds since 1970 UTC.
    pub changed_at: Option<u32>,
    /// Credentials that have not expired, the newest first; for a subject only.
    pub credentials: Option<Vec<CredentialStatus>>,
}

/// A credential as its issuer has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialStatus {
    /// Its name, 16 hexadecimal digits.
    pub cti: String,
    /// The key that signed it, 8 hexadecimal digits.
    pub kid: String,
    /// The rider class.
    pub class: u8,
    /// The status list: whole days since 1970 UTC.
    pub epoch: u32,
    /// Its bit there.
    pub status_index: u32,
    /// Seconds since 1970 UTC.
    pub issued_at: u32,
    /// The first second at which it is refused.
    pub expires_at: u32,
    /// `live`, `suspended`, `revoked` or `expired`.
    pub state: String,
}

/// A key of an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct KeyStatus {
    /// 8 hexadecimal digits.
    pub kid: String,
    /// SHA-256 of the SubjectPublicKeyInfo, 64 hexadecimal digits.
    pub spki: String,
    /// `signing` or `published`.
    pub use_here: String,
    /// `available`, `unavailable`, `not-in-force`, `verify-only`, or `suspended`: blocked.
    pub state: String,
}

#[derive(Deserialize)]
struct KeysReply {
    keys: Vec<KeyStatus>,
}

impl IssuerClient {
    /// Gives a command to every issuer, lost or not.
    ///
    /// # Errors
    /// [`NotConfirmed`] names those that did not confirm: keep the command and give it again.
    pub async fn command(&self, command: &Command) -> Result<(), NotConfirmed> {
        let mut confirmed = Vec::new();
        let mut missing = Vec::new();
        for (issuer, heard) in self.command_each(command, |_| true).await {
            match heard {
                Ok(_) => confirmed.push(issuer),
                Err(cause) => missing.push(Missing { issuer, cause }),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(NotConfirmed { confirmed, missing })
    }

    /// Gives a command to the issuers that `to` picks by name; an answer of each, in the order of
    /// the configuration.
    pub async fn command_each(
        &self,
        command: &Command,
        to: impl Fn(&str) -> bool,
    ) -> Vec<Heard<Confirmed>> {
        let path = format!("{}/{}", command.target.path(), command.verb.name());
        let body = CommandRequest {
            reason: &command.reason,
            number: command.number,
        };
        let (wanted, verb, time) = (Wanted::post(path, None, &body), command.verb, self.time());
        let each = self.sites.iter().filter(|site| to(&site.name)).cloned();
        side_by_side(each, move |site| {
            let wanted = wanted.clone();
            async move { give(&site, &wanted, verb, time).await }
        })
        .await
    }

    /// What holds for a target at each issuer.
    pub async fn standing(&self, target: Target) -> Vec<Heard<StandingStatus>> {
        self.ask_each(Wanted::get_json(target.path())).await
    }

    /// What became of a credential, by the issuer that made it.
    ///
    /// # Errors
    /// [`IssuerClientError`]; `credential-unknown` when each issuer says so.
    pub async fn status(&self, cti: Cti) -> Result<CredentialStatus, IssuerClientError> {
        let wanted = Wanted::get_json(format!("/v1/credentials/{}", HEXLOWER.encode(&cti.0)));
        let time = self.time();
        let (mut away, mut unknown) = (None, None);
        for site in self.sites.iter() {
            match site.persist(&wanted, time, IfNotSent::GiveUp).await {
                Ok(reply) => return parse(&reply),
                Err(failed) if is_unknown_here(&failed) => unknown = Some(failed.error),
                Err(failed) => away = Some(failed.error),
            }
        }
        Err(away.or(unknown).expect("there is one issuer at least"))
    }

    /// The keys of each issuer.
    pub async fn keys(&self) -> Vec<Heard<Vec<KeyStatus>>> {
        let heard = self
            .ask_each::<KeysReply>(Wanted::get_json("/v1/keys"))
            .await;
        let keys = |(issuer, reply): Heard<KeysReply>| (issuer, reply.map(|reply| reply.keys));
        heard.into_iter().map(keys).collect()
    }

    /// The trust bundle of each issuer, as bytes for `obol-trust`; nothing in them is believed yet.
    /// An issuer's bundle names its own keys and those it was told to publish.
    pub async fn trust_bundles(&self) -> Vec<Heard<Vec<u8>>> {
        let (wanted, time) = (
            Wanted::get("/v1/trust-bundle", "application/cbor"),
            self.time(),
        );
        side_by_side(self.sites.iter().cloned(), move |site| {
            let wanted = wanted.clone();
            async move {
                let reply = site.persist(&wanted, time, IfNotSent::TryAgain).await;
                Ok(reply.map_err(|failed| failed.error)?.body.to_vec())
            }
        })
        .await
    }

    async fn ask_each<T>(&self, wanted: Wanted) -> Vec<Heard<T>>
    where
        T: serde::de::DeserializeOwned + Send + 'static,
    {
        let time = self.time();
        side_by_side(self.sites.iter().cloned(), move |site| {
            let wanted = wanted.clone();
            async move {
                let reply = site.persist(&wanted, time, IfNotSent::TryAgain).await;
                parse(&reply.map_err(|failed| failed.error)?)
            }
        })
        .await
    }
}

async fn give(
    site: &Arc<Site>,
    wanted: &Wanted,
    verb: Verb,
    time: Time,
) -> Result<Confirmed, IssuerClientError> {
    let reply = match site.persist(wanted, time, IfNotSent::TryAgain).await {
        Ok(reply) => reply,
        Err(failed) if is_overruled(&failed.error) => return Ok(Confirmed::Overruled),
        Err(failed) => return Err(failed.error),
    };
    let status: StandingStatus = parse(&reply)?;
    let expected = match verb {
        Verb::Suspend => "suspended",
        Verb::Resume => "active",
        Verb::Revoke => "revoked",
    };
    if status.standing != expected {
        let found = format!("the standing is {:?}, not {expected:?}", status.standing);
        return Err(IssuerClientError::WrongReply(found));
    }
    Ok(Confirmed::Holds)
}

fn is_overruled(error: &IssuerClientError) -> bool {
    matches!(error, IssuerClientError::Refused(problem)
        if problem.code == "revoked" || problem.code == "superseded")
}

async fn side_by_side<T, F>(
    sites: impl Iterator<Item = Arc<Site>>,
    ask: impl Fn(Arc<Site>) -> F,
) -> Vec<Heard<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, IssuerClientError>> + Send + 'static,
{
    let mut asking = JoinSet::new();
    for (place, site) in sites.enumerate() {
        let (name, asked) = (site.name.clone(), ask(site));
        asking.spawn(async move { (place, (name, asked.await)) });
    }
    let mut heard = asking.join_all().await;
    heard.sort_by_key(|(place, _)| *place);
    heard.into_iter().map(|(_, heard)| heard).collect()
}
