//! Many credentials at once: split by owner, each part a request of its own name.

use std::collections::BTreeMap;
use std::sync::Arc;

use obol_credential::possession::Possession;
use obol_transport::Problem;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::asked::{Ask, Issued, RequestKey};
use crate::client::{IssuerClient, parse, proof_of};
use crate::error::{IssuerClientError, Placement};
use crate::repeat::{ATTEMPTS_MAX, Fate, pause};
use crate::site::{Failed, IfNotSent, Site, Time, Wanted};
use crate::wire::{BatchReply, BatchRequest, BatchResult, CredentialRequest};

/// Items of one request: what an issuer signs well within its own deadline for a batch.
pub const PART_MAX: usize = 1000;

/// What became of a batch.
#[derive(Debug)]
pub struct Batch {
    /// A result for each item, in the order of the batch.
    pub results: Vec<Result<Issued, IssuerClientError>>,
    /// Parts of which some item may have been signed and was not answered.
    pub unsettled: Vec<UnsettledPart>,
}

/// A part of a batch that was left open at one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsettledPart {
    /// Where, and under which name.
    pub placement: Placement,
    /// The places of its items in the batch.
    pub places: Vec<usize>,
}

/// A request to one issuer.
struct Part {
    wanted: Wanted,
    key: String,
    places: Vec<usize>,
}

type Answer = Result<Vec<BatchResult>, Failed>;

impl IssuerClient {
    /// Has many credentials signed, each by its subject's owner as in [`IssuerClient::sign`]; the
    /// issuers work side by side. One item's refusal spoils no other.
    pub async fn sign_batch(&self, key: RequestKey, asks: &[Ask]) -> Batch {
        let time = self.batch_time();
        let mut gathered = Gathered::new(asks);
        let mut left = gathered.open();
        let mut parts_made = 0;
        for round in 1.. {
            let parts = self.split(asks, &left, &key, &mut parts_made);
            left = Vec::new();
            for (issuer, part, answer) in send_all(parts, time).await {
                match answer {
                    Err(failed) if failed.moves_on() && round < ATTEMPTS_MAX => {
                        gathered.put_off(&part, &failed.error);
                        left.extend(part.places);
                    }
                    answer => gathered.take(&issuer, part, answer),
                }
            }
            let pause = pause(round, self.sites[0].draw(), None);
            if left.is_empty() || Instant::now() + pause >= time.until {
                return gathered.finish(left);
            }
            sleep(pause).await;
        }
        unreachable!("rounds are counted")
    }

    /// Asks the issuer where a part was left open, and no other, under the name it had: its places
    /// with their results. `asks` must be the batch that it was.
    ///
    /// # Errors
    /// [`IssuerClientError::UnknownIssuer`] when that issuer is no longer configured.
    pub async fn settle_part(
        &self,
        part: &UnsettledPart,
        asks: &[Ask],
    ) -> Result<Vec<(usize, Result<Issued, IssuerClientError>)>, IssuerClientError> {
        let site = self.site(&part.placement.issuer)?;
        let mut gathered = Gathered::new(asks);
        let made = Part::new(asks, part.places.clone(), part.placement.key.clone());
        let answer = send(site, &made, self.batch_time(), IfNotSent::TryAgain).await;
        // Whatever is heard now, the part was open before.
        let answer = answer.map_err(|failed| Failed {
            fate: Fate::Unknown,
            ..failed
        });
        gathered.take(&site.name, made, answer);
        let all = gathered.finish(Vec::new()).results.into_iter().enumerate();
        Ok(all
            .filter(|(place, _)| part.places.contains(place))
            .collect())
    }

    /// Parts for the best issuer of each item, none longer than [`PART_MAX`].
    fn split(
        &self,
        asks: &[Ask],
        places: &[usize],
        key: &RequestKey,
        parts_made: &mut u32,
    ) -> Vec<(Arc<Site>, Vec<Part>)> {
        let mut by_site: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for place in places {
            let best = self.candidates(&asks[*place].subject)[0];
            by_site.entry(best).or_default().push(*place);
        }
        let mut split = Vec::new();
        for (at, places) in by_site {
            let mut parts = Vec::new();
            for places in places.chunks(PART_MAX) {
                *parts_made += 1;
                let name = format!("{}.{parts_made}", key.text());
                parts.push(Part::new(asks, places.to_vec(), name));
            }
            split.push((Arc::clone(&self.sites[at]), parts));
        }
        split
    }
}

impl Part {
    fn new(asks: &[Ask], places: Vec<usize>, key: String) -> Self {
        let items = places
            .iter()
            .map(|place| CredentialRequest::of(&asks[*place]));
        let body = BatchRequest {
            items: items.collect(),
        };
        Self {
            wanted: Wanted::post("/v1/credentials/batch", Some(&key), &body),
            key,
            places,
        }
    }
}

/// The issuers side by side, the parts of one after another.
async fn send_all(parts: Vec<(Arc<Site>, Vec<Part>)>, time: Time) -> Vec<(String, Part, Answer)> {
    let mut sending = JoinSet::new();
    for (site, parts) in parts {
        sending.spawn(async move {
            let mut answers = Vec::new();
            for part in parts {
                let answer = send(&site, &part, time, IfNotSent::GiveUp).await;
                answers.push((site.name.clone(), part, answer));
            }
            answers
        });
    }
    sending.join_all().await.into_iter().flatten().collect()
}

/// Makes the request until each item is answered for good: what was signed is given again.
async fn send(site: &Arc<Site>, part: &Part, time: Time, if_not_sent: IfNotSent) -> Answer {
    for attempt in 1.. {
        let reply = site.persist(&part.wanted, time, if_not_sent).await?;
        let results = parse::<BatchReply>(&reply).map(|reply| reply.results);
        let results = results.map_err(wrong)?;
        if results.len() != part.places.len() {
            let found = format!("{} results for {} items", results.len(), part.places.len());
            return Err(wrong(IssuerClientError::WrongReply(found)));
        }
        let pause = pause(attempt, site.draw(), None);
        let open = results.iter().any(
            |result| matches!(result, BatchResult::Refused { problem } if problem.is_unavailable()),
        );
        if !open || attempt >= ATTEMPTS_MAX || Instant::now() + pause >= time.until {
            return Ok(results);
        }
        sleep(pause).await;
    }
    unreachable!("attempts are counted")
}

fn wrong(error: IssuerClientError) -> Failed {
    let fate = Fate::Unknown;
    Failed { error, fate }
}

/// Results as they come in.
struct Gathered<'a> {
    asks: &'a [Ask],
    proofs: Vec<Option<Possession>>,
    results: Vec<Option<Result<Issued, IssuerClientError>>>,
    last_words: BTreeMap<usize, String>,
    unsettled: Vec<UnsettledPart>,
}

impl<'a> Gathered<'a> {
    fn new(asks: &'a [Ask]) -> Self {
        let mut proofs = Vec::with_capacity(asks.len());
        let mut results = Vec::with_capacity(asks.len());
        for ask in asks {
            let (proof, result) = match proof_of(&ask.possession) {
                Ok(proof) => (Some(proof), None),
                Err(error) => (None, Some(Err(error))),
            };
            proofs.push(proof);
            results.push(result);
        }
        Self {
            asks,
            proofs,
            results,
            last_words: BTreeMap::new(),
            unsettled: Vec::new(),
        }
    }

    /// Places without a result.
    fn open(&self) -> Vec<usize> {
        let open = self.results.iter().enumerate();
        open.filter(|(_, result)| result.is_none())
            .map(|(place, _)| place)
            .collect()
    }

    fn put_off(&mut self, part: &Part, error: &IssuerClientError) {
        for place in &part.places {
            self.last_words.insert(*place, error.to_string());
        }
    }

    fn take(&mut self, issuer: &str, part: Part, answer: Answer) {
        let placement = Placement {
            issuer: issuer.to_owned(),
            key: part.key,
        };
        let places = part.places;
        match answer {
            Ok(results) => {
                let mut open = Vec::new();
                for (place, result) in places.iter().zip(results) {
                    self.put(*place, result, &placement, &mut open);
                }
                if !open.is_empty() {
                    self.unsettled.push(UnsettledPart { placement, places });
                }
            }
            Err(Failed {
                error,
                fate: Fate::Unknown,
            }) => {
                self.unsettle(UnsettledPart { placement, places }, &Arc::new(error));
            }
            Err(Failed { error, .. }) => {
                let said = error.to_string();
                for place in places {
                    let again = match &error {
                        IssuerClientError::Refused(problem) => {
                            IssuerClientError::Refused(problem.clone())
                        }
                        _ => IssuerClientError::Nobody(said.clone()),
                    };
                    self.results[place] = Some(Err(again));
                }
            }
        }
    }

    fn put(
        &mut self,
        place: usize,
        result: BatchResult,
        placement: &Placement,
        open: &mut Vec<usize>,
    ) {
        let result = match result {
            BatchResult::Signed(reply) => {
                let proof = self.proofs[place].as_ref().expect("only proofs are sent");
                let class = Some(self.asks[place].class);
                let issued = reply.issued(proof, class, &placement.issuer);
                issued.map_err(IssuerClientError::WrongReply)
            }
            BatchResult::Refused { problem } => {
                let unavailable = problem.is_unavailable();
                match problem.into_problem() {
                    Ok(problem) if unavailable => {
                        open.push(place);
                        Err(unsettled(placement, problem))
                    }
                    Ok(problem) => Err(IssuerClientError::Refused(problem)),
                    Err(reason) => Err(IssuerClientError::WrongReply(reason)),
                }
            }
        };
        self.results[place] = Some(result);
    }

    fn unsettle(&mut self, part: UnsettledPart, cause: &Arc<IssuerClientError>) {
        for place in &part.places {
            self.results[*place] = Some(Err(IssuerClientError::Unsettled {
                placement: part.placement.clone(),
                cause: Arc::clone(cause),
            }));
        }
        self.unsettled.push(part);
    }

    /// Those that are `left` reached nobody.
    fn finish(mut self, left: Vec<usize>) -> Batch {
        for place in left {
            let said = self.last_words.remove(&place);
            let said = said.unwrap_or_else(|| "no time was left".to_owned());
            self.results[place] = Some(Err(IssuerClientError::Nobody(said)));
        }
        let settled = self.results.into_iter().map(|result| {
            result.unwrap_or_else(|| {
                Err(IssuerClientError::Nobody("it was not asked for".to_owned()))
            })
        });
        Batch {
            results: settled.collect(),
            unsettled: self.unsettled,
        }
    }
}

fn unsettled(placement: &Placement, problem: Problem) -> IssuerClientError {
    IssuerClientError::Unsettled {
        placement: placement.clone(),
        cause: Arc::new(IssuerClientError::Refused(problem)),
    }
}
