use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use obol_credential::possession::{self, Possession};
use obol_credential::{Cti, is_name};
use obol_transport::{HttpsClient, Identity, Reply, TrustAnchor};
use tokio::time::{Instant, sleep};

use crate::asked::{Ask, Issued, RequestKey};
use crate::error::{BadIssuers, IssuerClientError, Placement};
use crate::owner::order_of;
use crate::repeat::{ATTEMPTS_MAX, pause};
use crate::site::{Failed, IfNotSent, Site, Time, Wanted};
use crate::wire::{CredentialReply, CredentialRequest, RenewalRequest};

/// A call on one credential, on standings, keys or status ends within this, unless
/// [`IssuerClient::within`] says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(15);
/// A batch ends within this, unless [`IssuerClient::within`] says otherwise.
pub const BATCH_DEADLINE: Duration = Duration::from_secs(60);
/// An attempt that is not answered within this is made again; the issuer makes one item wait for
/// 2 s at most, and a connection is made within 5 s or not at all.
const ATTEMPT: Duration = Duration::from_secs(6);
/// The issuer makes a batch wait for 15 s at most, and then signs it.
pub(crate) const BATCH_ATTEMPT: Duration = Duration::from_secs(30);
/// As many as keys in a bundle: each issuer has one at least.
pub const ISSUERS_MAX: usize = 16;

/// Where an issuer is, and the name by which subjects fall to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerAddress {
    /// 1 to 32 of a-z 0-9 -. It must stay when the address changes.
    pub name: String,
    /// `https://HOST:PORT`.
    pub url: String,
}

/// The issuers of a deployment; cheap to clone, and clones share connections and what is known of
/// who is lost. Its calls belong into a tokio runtime.
#[derive(Clone, Debug)]
pub struct IssuerClient {
    pub(crate) sites: Arc<[Arc<Site>]>,
    names: Arc<[String]>,
    http: HttpsClient,
    deadline: Option<Duration>,
}

impl IssuerClient {
    /// Talks to these issuers, each of which must show a certificate of `anchor` and of the role
    /// `issuer`. `seed` is 16 random bytes: they spread this client's repetitions in time.
    ///
    /// # Errors
    /// [`BadIssuers`] when there is none or more than [`ISSUERS_MAX`], or a name is none or stands
    /// twice.
    pub fn new(
        issuers: &[IssuerAddress],
        anchor: &TrustAnchor,
        identity: Identity,
        seed: [u8; 16],
    ) -> Result<Self, BadIssuers> {
        check(issuers)?;
        let http = HttpsClient::expecting("issuer", anchor, Some(identity));
        let drawn = Arc::new(AtomicU64::new(0));
        let site = |at: &IssuerAddress| {
            Site::new(&at.name, &at.url, http.clone(), (seed, Arc::clone(&drawn)))
        };
        Ok(Self {
            sites: issuers.iter().map(site).collect(),
            names: issuers.iter().map(|at| at.name.clone()).collect(),
            http,
            deadline: None,
        })
    }

    /// From the next call on, every clone believes `anchor` and shows `identity`; calls under way end
    /// as they began.
    pub fn replace_tls(&self, anchor: &TrustAnchor, identity: Identity) {
        self.http.replace(anchor, Some(identity));
    }

    /// The same client, whose calls end within `deadline`, repetitions and pauses included.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Self {
        Self {
            deadline: Some(deadline),
            ..self.clone()
        }
    }

    /// Names of the issuers, as configured.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The issuer that a subject belongs to while none is lost.
    #[must_use]
    pub fn owner(&self, subject: &[u8; 16]) -> &str {
        &self.names[order_of(&self.names, subject)[0]]
    }

    /// Has a credential signed, by the subject's owner or, while that one is lost, by the next.
    ///
    /// # Errors
    /// [`IssuerClientError`]. [`IssuerClientError::Unsettled`] alone may have made a credential.
    pub async fn sign(&self, key: RequestKey, ask: &Ask) -> Result<Issued, IssuerClientError> {
        let proof = proof_of(&ask.possession)?;
        let body = CredentialRequest::of(ask);
        let wanted = Wanted::post("/v1/credentials", Some(key.text()), &body);
        let (site, reply) = self.place(&ask.subject, &wanted).await?;
        issued(&reply, &proof, Some(ask.class), &site.name)
    }

    /// Asks the issuer where a request was left open, and no other, under the name it had: the
    /// credential that was signed, or is signed now. `ask` must be what it was.
    ///
    /// # Errors
    /// [`IssuerClientError`]; it stays open after [`IssuerClientError::Unsettled`].
    pub async fn settle(
        &self,
        placement: &Placement,
        ask: &Ask,
    ) -> Result<Issued, IssuerClientError> {
        let proof = proof_of(&ask.possession)?;
        let site = self.site(&placement.issuer)?;
        let body = CredentialRequest::of(ask);
        let wanted = Wanted::post("/v1/credentials", Some(&placement.key), &body);
        let reply = site
            .persist(&wanted, self.time(), IfNotSent::TryAgain)
            .await;
        // Whatever is heard now, the request was open before.
        let reply = reply.map_err(|failed| Failed {
            fate: crate::repeat::Fate::Unknown,
            ..failed
        });
        let reply = reply.map_err(|failed| failed.into_error(&site.name, &wanted))?;
        issued(&reply, &proof, Some(ask.class), &site.name)
    }

    /// Renews a credential of a subject: the issuer that made it makes one more, for the same phone
    /// and class. An issuer that does not know it has made nothing, and the next is asked.
    ///
    /// # Errors
    /// [`IssuerClientError`]. Where the issuer that made it is away, [`IssuerClient::sign`] has one
    /// signed elsewhere.
    pub async fn renew(
        &self,
        key: RequestKey,
        subject: &[u8; 16],
        cti: Cti,
        possession: &[u8],
    ) -> Result<Issued, IssuerClientError> {
        let proof = proof_of(possession)?;
        let path = format!("/v1/credentials/{}/renew", HEXLOWER.encode(&cti.0));
        let possession = BASE64URL_NOPAD.encode(possession);
        let wanted = Wanted::post(path, Some(key.text()), &RenewalRequest { possession });
        let time = self.time();
        let (mut away, mut unknown) = (None, None);
        for at in order_of(&self.names, subject) {
            let site = &self.sites[at];
            match site.persist(&wanted, time, IfNotSent::GiveUp).await {
                Ok(reply) => return issued(&reply, &proof, None, &site.name),
                Err(failed) if failed.moves_on() => away = Some(failed.error),
                Err(failed) if is_unknown_here(&failed) => unknown = Some(failed.error),
                Err(failed) => return Err(failed.into_error(&site.name, &wanted)),
            }
        }
        Err(away.or(unknown).expect("there is one issuer at least"))
    }

    /// The issuer of this name.
    pub(crate) fn site(&self, name: &str) -> Result<&Arc<Site>, IssuerClientError> {
        let site = self.sites.iter().find(|site| site.name == name);
        site.ok_or_else(|| IssuerClientError::UnknownIssuer(name.to_owned()))
    }

    pub(crate) fn time(&self) -> Time {
        Time {
            until: Instant::now() + self.deadline.unwrap_or(DEADLINE),
            attempt: ATTEMPT,
        }
    }

    pub(crate) fn batch_time(&self) -> Time {
        Time {
            until: Instant::now() + self.deadline.unwrap_or(BATCH_DEADLINE),
            attempt: BATCH_ATTEMPT,
        }
    }

    /// Issuers for a new request of a subject, the best first: its own order, the lost ones last.
    pub(crate) fn candidates(&self, subject: &[u8; 16]) -> Vec<usize> {
        let order = order_of(&self.names, subject);
        let (lost, here): (Vec<_>, Vec<_>) =
            order.into_iter().partition(|at| self.sites[*at].is_lost());
        [here, lost].concat()
    }

    /// Finds an issuer that takes the request. Once one may have, no other is asked.
    async fn place(
        &self,
        subject: &[u8; 16],
        wanted: &Wanted,
    ) -> Result<(&Arc<Site>, Reply), IssuerClientError> {
        let time = self.time();
        for round in 1.. {
            let mut nobody = None;
            for at in self.candidates(subject) {
                let site = &self.sites[at];
                let mut others = self.sites.iter().filter(|other| other.name != site.name);
                let if_not_sent = match others.any(|other| !other.is_lost()) {
                    true => IfNotSent::GiveUpLost,
                    false => IfNotSent::GiveUp,
                };
                match site.persist(wanted, time, if_not_sent).await {
                    Ok(reply) => return Ok((site, reply)),
                    Err(failed) if failed.moves_on() => nobody = Some(failed.error),
                    Err(failed) => return Err(failed.into_error(&site.name, wanted)),
                }
            }
            let pause = pause(round, self.sites[0].draw(), None);
            if round >= ATTEMPTS_MAX || Instant::now() + pause >= time.until {
                return Err(nobody.expect("there is one issuer at least"));
            }
            sleep(pause).await;
        }
        unreachable!("rounds are counted")
    }
}

fn check(issuers: &[IssuerAddress]) -> Result<(), BadIssuers> {
    let bad = |reason: String| Err(BadIssuers { reason });
    if issuers.is_empty() || issuers.len() > ISSUERS_MAX {
        return bad(format!("{} issuers, not 1 to {ISSUERS_MAX}", issuers.len()));
    }
    for (at, issuer) in issuers.iter().enumerate() {
        if !is_name(&issuer.name) {
            return bad(format!("{:?} is no name of an issuer", issuer.name));
        }
        if issuers[..at].iter().any(|other| other.name == issuer.name) {
            return bad(format!("issuer {} stands twice", issuer.name));
        }
    }
    Ok(())
}

pub(crate) fn proof_of(possession: &[u8]) -> Result<Possession, IssuerClientError> {
    let (proof, _) = possession::decode(possession).map_err(IssuerClientError::Possession)?;
    Ok(proof)
}

fn issued(
    reply: &Reply,
    proof: &Possession,
    class: Option<u8>,
    issuer: &str,
) -> Result<Issued, IssuerClientError> {
    let reply: CredentialReply = parse(reply)?;
    let issued = reply.issued(proof, class, issuer);
    issued.map_err(IssuerClientError::WrongReply)
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(reply: &Reply) -> Result<T, IssuerClientError> {
    serde_json::from_slice(&reply.body)
        .map_err(|error| IssuerClientError::WrongReply(error.to_string()))
}

pub(crate) fn is_unknown_here(failed: &Failed) -> bool {
    let IssuerClientError::Refused(problem) = &failed.error else {
        return false;
    };
    problem.code == "credential-unknown" && failed.fate <= crate::repeat::Fate::NotTaken
}
