//! From what was asked to what was signed.

mod without_tokens;

use std::sync::Arc;
use std::time::{Duration, Instant};

use obol_credential::{Claims, Cti, Kid, UnixTime, assemble_credential};
use obol_kms_client::KmsError;
use tokio::task::{JoinError, JoinSet};
use tracing::error;

use super::{Issuer, Live, unavailable};
use crate::admission::{Overloaded, Promise, Ticket, Turn};
use crate::availability::{Pass, Passes};
use crate::issuance::{Asked, IssueRefused, Proven, prove};
use crate::register::{
    Batch, CANDIDATES, CredentialRecord, RequestKey, Reservation, ReserveRefused, Reserved,
    RestorePoint,
};

/// Items of a batch that are proven and reserved together, while those before are signed: a large
/// request keeps neither the processors nor the disk to itself.
const PART: usize = 128;
/// A request of one item is let in when it is expected to wait for so long at most; the rest is the
/// client's to try elsewhere.
const PATIENCE: Duration = Duration::from_secs(2);
/// A batch may take longer, and gives up before the connection's own deadline of 30 s.
const BATCH_PATIENCE: Duration = Duration::from_secs(10);

/// Credentials that one client asks for at once.
#[derive(Clone, Debug)]
pub struct Request {
    /// The client's URI.
    pub client: String,
    /// The request's name, where the client gave one.
    pub key: Option<RequestKey>,
    /// Credentials that the client may have of one key in one day.
    pub quota: u32,
    /// What is asked, at least one.
    pub items: Vec<Asked>,
}

/// A credential that the daemon signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCredential {
    /// The CWT, a tagged COSE_Sign1.
    pub credential: Vec<u8>,
    /// What it says.
    pub claims: Claims,
    /// The key that signed it.
    pub kid: Kid,
}

type Issued = Result<IssuedCredential, IssueRefused>;

/// An item that stands in the register.
struct Named {
    place: usize,
    kid: Kid,
    claims: Claims,
    /// Of what was written down for this request; an earlier one's is asked for when it is signed.
    pass: Option<Pass>,
}

/// What a request has in the register that is to be signed, and whether it may be.
struct Taken {
    named: Vec<Named>,
    passes: Passes,
}

impl Taken {
    fn new(issuer: &Issuer) -> Self {
        Self {
            named: Vec::new(),
            passes: Passes::new(&issuer.availability),
        }
    }

    fn due(&mut self) -> Vec<Named> {
        let mut named = std::mem::take(&mut self.named);
        for named in &mut named {
            if named.pass.is_none() {
                named.pass = self.passes.of(named.kid);
            }
        }
        named
    }
}

impl Issuer {
    /// Issues credentials: lines up, proves, reserves, then signs. One result for each item.
    /// Where a later part of a batch fails, its items have the refusal each.
    ///
    /// # Errors
    /// [`IssueRefused`] of the whole request; nothing was signed then.
    pub async fn issue(
        self: &Arc<Self>,
        request: Request,
        now: UnixTime,
    ) -> Result<Vec<Issued>, IssueRefused> {
        let _under_way = match request.key {
            Some(key) => Some(
                self.in_flight
                    .begin(key.id)
                    .ok_or(IssueRefused::InProgress)?,
            ),
            None => None,
        };
        let live = self.live.load_full();
        if let Some(kid) = self.nobody_signs(&request, &live, now) {
            return self.answer_without_tokens(&request, kid, &live, now).await;
        }
        let count = request.items.len();
        let patience = if count == 1 { PATIENCE } else { BATCH_PATIENCE };
        let promise = self
            .admission
            .line_up(&request.client, count, patience)
            .map_err(|refused| {
                self.metrics.shed(count);
                overloaded(refused)
            })?;
        let mut results = vec![Err(IssueRefused::Unavailable); count];
        if count == 1 {
            results[0] = self.issue_one(request, promise, &live, now).await?;
        } else {
            self.issue_batch(request, promise, &live, now, &mut results)
                .await?;
        }
        self.metrics.issued(&results);
        Ok(results)
    }

    /// Everything in its turn, so that who must wait has cost nothing yet.
    async fn issue_one(
        self: &Arc<Self>,
        request: Request,
        mut promise: Promise,
        live: &Arc<Live>,
        now: UnixTime,
    ) -> Result<Issued, IssueRefused> {
        let _turn = self.turn(promise.ticket()).await?;
        let mut results = vec![Err(IssueRefused::Unavailable)];
        let mut taken = Taken::new(self);
        let fresh = self
            .recall(&request, live, now, &mut results, &mut taken.named)
            .await?;
        if !fresh.is_empty() {
            self.check_keys(now)?;
        }
        let mut proven = Vec::new();
        for place in fresh {
            match prove(&request.items[place], &live.policy, now) {
                Ok(good) => proven.push((place, good)),
                Err(refused) => results[place] = Err(refused),
            }
        }
        let proven = self.made_since_restore(proven, now, &mut results);
        self.reserve(&request, live, proven, now, &mut results, &mut taken)
            .await?;
        let keep = request.key.is_some();
        for named in taken.due() {
            let place = named.place;
            results[place] = self.sign(live, named, keep, now).await;
        }
        Ok(results.swap_remove(0))
    }

    /// Part by part: one is proven and reserved while the last is signed, each item at its turn.
    async fn issue_batch(
        self: &Arc<Self>,
        request: Request,
        mut promise: Promise,
        live: &Arc<Live>,
        now: UnixTime,
        results: &mut [Issued],
    ) -> Result<(), IssueRefused> {
        let mut taken = Taken::new(self);
        let fresh = self
            .recall(&request, live, now, results, &mut taken.named)
            .await?;
        if !fresh.is_empty() {
            self.check_restored(now)?;
        }
        let keep = request.key.is_some();
        let mut signing = JoinSet::new();
        self.spawn_signing(taken.due(), &mut promise, live, keep, now, &mut signing);
        for part in fresh.chunks(PART) {
            let proven = prove_all(&request, part, live, now, results).await;
            let proven = self.made_since_restore(proven, now, results);
            let reserved = self
                .reserve(&request, live, proven, now, results, &mut taken)
                .await;
            if let Err(refused) = reserved {
                if signing.is_empty() {
                    return Err(refused);
                }
                for place in part {
                    results[*place] = Err(refused.clone());
                }
            }
            self.spawn_signing(taken.due(), &mut promise, live, keep, now, &mut signing);
            while signing.len() > PART
                && let Some(done) = signing.join_next().await
            {
                take(done, results);
            }
        }
        while let Some(done) = signing.join_next().await {
            take(done, results);
        }
        Ok(())
    }

    async fn turn(&self, ticket: Ticket) -> Result<Turn, IssueRefused> {
        let lined_up = Instant::now();
        let turn = ticket.turn().await;
        self.metrics.waited(lined_up.elapsed());
        turn.map_err(|refused| {
            self.metrics.gave_up();
            overloaded(refused)
        })
    }

    /// Answers what the same request was given before; gives the places of what is new.
    async fn recall(
        &self,
        request: &Request,
        live: &Live,
        now: UnixTime,
        results: &mut [Issued],
        named: &mut Vec<Named>,
    ) -> Result<Vec<usize>, IssueRefused> {
        let Some(key) = request.key else {
            return Ok((0..results.len()).collect());
        };
        let count = u32::try_from(results.len()).unwrap_or(u32::MAX);
        let found = self.register.recall(key, count).await;
        let found = found.map_err(|cause| refused("recalling a request", cause))?;
        let mut fresh = Vec::new();
        for (place, prior) in found.into_iter().enumerate() {
            match prior {
                Some(prior) => answer_again(prior, live, now, place, results, named),
                None => fresh.push(place),
            }
        }
        Ok(fresh)
    }

    /// A proof of before the restore may be of a request that is forgotten.
    fn made_since_restore(
        &self,
        mut proven: Vec<(usize, Proven)>,
        now: UnixTime,
        results: &mut [Issued],
    ) -> Vec<(usize, Proven)> {
        if let Some(point) = &self.restored {
            proven.retain(|(place, proven)| {
                let made = proven.made();
                let fresh = point.lets_in(made);
                if !fresh {
                    results[*place] = Err(IssueRefused::Stale { made, now });
                }
                fresh
            });
        }
        proven
    }

    async fn reserve(
        &self,
        request: &Request,
        live: &Live,
        proven: Vec<(usize, Proven)>,
        now: UnixTime,
        results: &mut [Issued],
        taken: &mut Taken,
    ) -> Result<(), IssueRefused> {
        let mut items = Vec::with_capacity(proven.len());
        for (place, proven) in proven {
            let reservation = reservation(live, place, &proven, now, self.restored.as_ref());
            let admitted = reservation.and_then(|reservation| {
                let kid = reservation.kid;
                let pass = taken.passes.of(kid);
                let pass = pass.ok_or(IssueRefused::TokenAway(kid))?;
                Ok((place, proven, reservation, pass))
            });
            match admitted {
                Ok(item) => items.push(item),
                Err(refused) => results[place] = Err(refused),
            }
        }
        if items.is_empty() {
            return Ok(());
        }
        let batch = Batch {
            client: request.client.clone(),
            request: request.key,
            quota: request.quota,
            items: items.iter().map(|(_, _, item, _)| item.clone()).collect(),
        };
        let reserved = self.register.reserve(batch).await;
        let reserved = reserved.map_err(|cause| refused("reserving status indexes", cause))?;
        for ((place, proven, item, pass), reserved) in items.into_iter().zip(reserved) {
            match reserved {
                Ok(Reserved::New(index)) => taken.named.push(Named {
                    place,
                    kid: item.kid,
                    claims: proven.claims(now, item.expires_at, item.cti, index),
                    pass: Some(pass),
                }),
                Ok(Reserved::Again(prior)) => {
                    answer_again(*prior, live, now, place, results, &mut taken.named);
                }
                Err(cause) => {
                    results[place] = Err(refused("reserving a status index", cause));
                }
            }
        }
        Ok(())
    }

    /// Signs what is named, each item at its turn.
    fn spawn_signing(
        self: &Arc<Self>,
        named: Vec<Named>,
        promise: &mut Promise,
        live: &Arc<Live>,
        keep: bool,
        now: UnixTime,
        signing: &mut JoinSet<(usize, Issued)>,
    ) {
        for named in named {
            let place = named.place;
            let (issuer, live) = (Arc::clone(self), Arc::clone(live));
            let ticket = promise.ticket();
            signing.spawn(async move {
                let signed = match issuer.turn(ticket).await {
                    Ok(_turn) => issuer.sign(&live, named, keep, now).await,
                    Err(refused) => Err(refused),
                };
                (place, signed)
            });
        }
    }

    async fn sign(&self, live: &Live, named: Named, keep: bool, now: UnixTime) -> Issued {
        let Named {
            kid, claims, pass, ..
        } = named;
        let shard = live.shards.find(kid);
        let shard = shard.ok_or_else(|| IssueRefused::KeyNotValid(kid.to_string()))?;
        // It stands in the register, and is signed when it comes again.
        let pass = pass.filter(Pass::holds).ok_or(IssueRefused::Unavailable)?;
        let begun = Instant::now();
        let spki = shard.certificate.spki();
        let signed = tokio::select! {
            signed = self.kms.sign_credential(spki, &claims) => signed,
            () = self.availability.silence() => Err(KmsError::Deadline),
        };
        pass.ended(begun, &signed);
        let signed = signed.map_err(|cause| unavailable("signing", &cause))?;
        if is_sampled(claims.cti, live.policy.sample_percent) {
            let checked = shard.vouches_for(signed.credential(), now);
            self.metrics.sampled();
            checked.map_err(|reason| {
                self.metrics.sample_failed();
                error!(%kid, reason, "a terminal would refuse a credential that was just signed");
                IssueRefused::Unavailable
            })?;
        }
        let leaf = signed.signature().leaf();
        let signature = keep.then(|| signed.signature().to_raw());
        let kept = self.register.keep_signed(kid, &claims, leaf, signature);
        let kept = kept.await;
        kept.map_err(|cause| unavailable("keeping a signature", &cause))?;
        Ok(IssuedCredential {
            credential: signed.credential().to_vec(),
            claims,
            kid,
        })
    }
}

/// What was signed is given again, and what was only named is signed now: it is the same
/// credential.
fn answer_again(
    prior: CredentialRecord,
    live: &Live,
    now: UnixTime,
    place: usize,
    results: &mut [Issued],
    named: &mut Vec<Named>,
) {
    let CredentialRecord { kid, claims, .. } = prior;
    let Some(signature) = prior.signature else {
        named.push(Named {
            place,
            kid,
            claims,
            pass: None,
        });
        return;
    };
    results[place] = assembled(kid, claims, &signature, live, now);
}

fn assembled(kid: Kid, claims: Claims, signature: &[u8], live: &Live, now: UnixTime) -> Issued {
    let shard = live.shards.find(kid);
    let shard = shard.ok_or_else(|| IssueRefused::KeyNotValid(kid.to_string()))?;
    let algorithm = shard.certificate.algorithm();
    let credential = assemble_credential(algorithm, kid, &claims.encode(), signature)
        .map_err(|fault| unavailable("reading a kept signature", &fault))?;
    // An expired answer is an answer; one that was never signed is damage.
    let at = now.min(claims.expires_at.minus(1));
    if let Err(reason) = shard.vouches_for(&credential, at) {
        error!(%kid, reason, "a kept signature does not verify");
        return Err(IssueRefused::Unavailable);
    }
    Ok(IssuedCredential {
        credential: credential.to_vec(),
        claims,
        kid,
    })
}

fn take(done: Result<(usize, Issued), JoinError>, results: &mut [Issued]) {
    match done {
        Ok((place, signed)) => results[place] = signed,
        Err(cause) => error!(%cause, "a task that signs ended early"),
    }
}

fn overloaded(Overloaded { retry_after_s }: Overloaded) -> IssueRefused {
    IssueRefused::Overloaded { retry_after_s }
}

/// Proofs are checked on every processor, away from the threads that serve connections.
async fn prove_all(
    request: &Request,
    places: &[usize],
    live: &Arc<Live>,
    now: UnixTime,
    results: &mut [Issued],
) -> Vec<(usize, Proven)> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut judging = Vec::new();
    for share in places.chunks(places.len().div_ceil(processors).max(1)) {
        let asked: Vec<_> = share
            .iter()
            .map(|&place| (place, request.items[place].clone()))
            .collect();
        let live = Arc::clone(live);
        judging.push(tokio::task::spawn_blocking(move || -> Vec<_> {
            let judged = asked.into_iter();
            judged
                .map(|(place, asked)| (place, prove(&asked, &live.policy, now)))
                .collect()
        }));
    }
    let mut proven = Vec::with_capacity(places.len());
    for judged in judging {
        let judged = judged.await;
        let judged = judged.expect("checking a signature does not panic, and nobody aborts it");
        for (place, verdict) in judged {
            match verdict {
                Ok(good) => proven.push((place, good)),
                Err(refused) => results[place] = Err(refused),
            }
        }
    }
    proven
}

fn reservation(
    live: &Live,
    place: usize,
    proven: &Proven,
    now: UnixTime,
    restored: Option<&RestorePoint>,
) -> Result<Reservation, IssueRefused> {
    let shard = live.shards.of_subject(proven.subject(), now, restored);
    let shard = shard.ok_or(IssueRefused::NoKey)?;
    // A credential does not outlive the certificate of the key that signed it.
    let certificate = &shard.certificate;
    let expires_at = now.plus(live.policy.life_s).min(certificate.not_after());
    if expires_at <= now {
        return Err(IssueRefused::KeyNotValid(certificate.kid().to_string()));
    }
    let mut candidates = [0; CANDIDATES];
    for candidate in &mut candidates {
        // The size is a power of two, so the mask favours no index.
        *candidate = u32::from_be_bytes(random()?) & (live.policy.status_list_size - 1);
    }
    Ok(Reservation {
        kid: certificate.kid(),
        subject: proven.subject(),
        device: proven.device(),
        device_key: proven.device_key(),
        cti: Cti(random()?),
        issued_at: now,
        expires_at,
        class: proven.class(),
        template: proven.template(),
        candidates,
        item: u32::try_from(place).unwrap_or(u32::MAX),
    })
}

/// A credential's name is random, so it also decides whether the credential is looked at again.
fn is_sampled(cti: Cti, percent: u8) -> bool {
    let [a, b, ..] = cti.0;
    u16::from_be_bytes([a, b]) % 100 < u16::from(percent)
}

fn random<const N: usize>() -> Result<[u8; N], IssueRefused> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|cause| unavailable("drawing random bytes", &cause))?;
    Ok(bytes)
}

fn refused(act: &str, cause: ReserveRefused) -> IssueRefused {
    match cause {
        ReserveRefused::DeviceKeyReused => IssueRefused::DeviceKeyReused,
        ReserveRefused::Full => IssueRefused::StatusListFull,
        ReserveRefused::Denied(target, standing) => IssueRefused::Denied { target, standing },
        ReserveRefused::Quota(quota) => IssueRefused::Quota(quota),
        ReserveRefused::OtherRequest => IssueRefused::OtherRequest,
        ReserveRefused::Register(cause) => unavailable(act, &cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_credentials_as_many_are_sampled_as_the_configuration_says() {
        let sampled = |percent| {
            let names = (0..=u16::MAX).map(|name| {
                let [a, b] = name.to_be_bytes();
                Cti([a, b, 9, 9, 9, 9, 9, 9])
            });
            names.filter(|cti| is_sampled(*cti, percent)).count()
        };
        let all = usize::from(u16::MAX) + 1;
        assert_eq!((sampled(0), sampled(100)), (0, all));
        assert_eq!(sampled(1), all.div_ceil(100));
    }
}
