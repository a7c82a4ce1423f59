//! Sends what a plan says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use obol_transport::http::Request;
use obol_transport::{HttpsClient, Identity, Problem, Reply, TransportError, TrustAnchor};
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::asks::{Ask, Asks};
use crate::figures::Figures;
use crate::generator::LoadError;
use crate::plan::{Arrivals, Http, Plan, Report};

/// A repeated request waits so long where the answer does not say.
const REPEAT_AFTER: Duration = Duration::from_millis(200);
/// After so long a repeated request is given up.
const GIVE_UP: Duration = Duration::from_secs(60);

/// Prepares, calls `begin`, which may wait for a sign, and sends.
///
/// # Errors
/// [`LoadError`] before anything is sent.
pub async fn drive(plan: Plan, begin: impl FnOnce()) -> Result<Report, LoadError> {
    let clients = clients(&plan)?;
    let mut asks = Asks::of(&plan);
    asks.ready().await;
    begin();
    let begun = Instant::now();
    let run = Arc::new(Run {
        url: match plan.items {
            1 => format!("{}/v1/credentials", plan.url),
            _ => format!("{}/v1/credentials/batch", plan.url),
        },
        clients,
        repeats: plan.repeats,
        tally: Mutex::new(Tally::new(begun)),
    });
    let until = begun + Duration::from_secs_f64(plan.seconds);
    match plan.arrivals {
        Arrivals::Closed { callers } => closed(&run, asks, callers, until).await,
        Arrivals::Open { per_s } => open(&run, &mut asks, per_s, begun, until).await,
    }
    let run = Arc::into_inner(run).expect("every request has ended");
    let tally = run.tally.into_inner();
    Ok(tally.unwrap_or_else(PoisonError::into_inner).report())
}

fn clients(plan: &Plan) -> Result<Vec<HttpsClient>, LoadError> {
    let anchor = TrustAnchor::load(&plan.trust)?;
    let identity = Identity::load(&plan.certificate, &plan.key)?;
    Ok(match plan.http {
        Http::One => vec![HttpsClient::new(&anchor, Some(identity))],
        Http::Two { connections } => (0..connections)
            .map(|_| HttpsClient::multiplexed(&anchor, Some(identity.clone())))
            .collect(),
    })
}

async fn closed(run: &Arc<Run>, asks: Asks, callers: usize, until: Instant) {
    let asks = Arc::new(tokio::sync::Mutex::new(asks));
    let mut calling = JoinSet::new();
    for caller in 0..callers {
        let (run, asks) = (Arc::clone(run), Arc::clone(&asks));
        calling.spawn(async move {
            while Instant::now() < until {
                // In a statement of its own: the next caller asks while this one waits.
                let ask = asks.lock().await.next().await;
                let Some(ask) = ask else { break };
                run.see_through(caller, ask, Instant::now()).await;
            }
        });
    }
    calling.join_all().await;
}

/// Each request has its time, and no answer that is late moves another's.
async fn open(run: &Arc<Run>, asks: &mut Asks, per_s: f64, begun: Instant, until: Instant) {
    let mut sent = JoinSet::new();
    for number in 0.. {
        let due = begun + Duration::from_secs_f64(number as f64 / per_s);
        if due >= until {
            break;
        }
        let Some(ask) = asks.next().await else { break };
        sleep_until(due.into()).await;
        let run = Arc::clone(run);
        sent.spawn(async move { run.see_through(number, ask, due).await });
        while sent.try_join_next().is_some() {}
    }
    sent.join_all().await;
}

struct Run {
    url: String,
    clients: Vec<HttpsClient>,
    repeats: bool,
    tally: Mutex<Tally>,
}

/// What an answer says.
enum Answer {
    Served { credentials: u64 },
    Refused { retry_after: Option<Duration> },
    Lost,
}

impl Run {
    async fn see_through(&self, number: usize, ask: Ask, due: Instant) {
        self.tally().requests += 1;
        loop {
            let sent = self.send(number, &ask).await;
            let (name, answer) = read(sent);
            let served = matches!(answer, Answer::Served { .. });
            let again = self.tally().take(name, &answer, due);
            if served {
                return;
            }
            if !(self.repeats && again && due.elapsed() < GIVE_UP) {
                self.tally().without += 1;
                return;
            }
            self.tally().repeated += 1;
            let pause = match answer {
                Answer::Refused { retry_after } => retry_after,
                _ => None,
            };
            tokio::time::sleep(pause.unwrap_or(REPEAT_AFTER)).await;
        }
    }

    async fn send(&self, number: usize, ask: &Ask) -> Result<Reply, TransportError> {
        let mut request = Request::post(&self.url).header("Content-Type", "application/json");
        if self.repeats {
            request = request.header("Idempotency-Key", &ask.name);
        }
        let request = request.body(ask.body.clone());
        let client = &self.clients[number % self.clients.len()];
        client.send(request.expect("the URL was read before")).await
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(sent: Result<Reply, TransportError>) -> (String, Answer) {
    let reply = match sent {
        Ok(reply) => reply,
        Err(_) => return ("lost".to_owned(), Answer::Lost),
    };
    if reply.status.is_success() {
        let credentials = credentials(&reply);
        return (
            reply.status.as_str().to_owned(),
            Answer::Served { credentials },
        );
    }
    let seconds = reply.headers.get("retry-after");
    let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = seconds.map(Duration::from_secs);
    let problem = Problem::from_reply(&reply);
    let name = format!("{} {}", problem.status.as_u16(), problem.code);
    (name, Answer::Refused { retry_after })
}

#[derive(Deserialize)]
struct OneReply<'a> {
    #[serde(borrow)]
    credential: Option<&'a str>,
}

#[derive(Deserialize)]
struct BatchReply<'a> {
    #[serde(borrow)]
    results: Option<Vec<OneReply<'a>>>,
    #[serde(borrow)]
    credential: Option<&'a str>,
}

fn credentials(reply: &Reply) -> u64 {
    let read: BatchReply<'_> = match serde_json::from_slice(&reply.body) {
        Ok(read) => read,
        Err(_) => return 0,
    };
    let results = read.results.iter().flatten();
    let of_batch = results.filter(|one| one.credential.is_some()).count();
    of_batch as u64 + u64::from(read.credential.is_some())
}

struct Tally {
    begun: Instant,
    last_served: Instant,
    silence: Duration,
    requests: u64,
    credentials: u64,
    answers: BTreeMap<String, u64>,
    with_retry_after: u64,
    repeated: u64,
    without: u64,
    served: Figures,
    refused: Figures,
}

impl Tally {
    fn new(begun: Instant) -> Tally {
        Tally {
            begun,
            last_served: begun,
            silence: Duration::ZERO,
            requests: 0,
            credentials: 0,
            answers: BTreeMap::new(),
            with_retry_after: 0,
            repeated: 0,
            without: 0,
            served: Figures::default(),
            refused: Figures::default(),
        }
    }

    /// Whether the request may come again.
    fn take(&mut self, name: String, answer: &Answer, due: Instant) -> bool {
        let again = name.starts_with("503") || name == "lost";
        match answer {
            Answer::Served { credentials } => {
                self.credentials += credentials;
                self.served.add(due.elapsed());
                self.silence = self.silence.max(self.last_served.elapsed());
                self.last_served = Instant::now();
            }
            Answer::Refused { retry_after } => {
                self.refused.add(due.elapsed());
                let named = retry_after.is_some() && name.starts_with("503");
                self.with_retry_after += u64::from(named);
            }
            Answer::Lost => {}
        }
        *self.answers.entry(name).or_default() += 1;
        again
    }

    fn report(self) -> Report {
        Report {
            seconds: self.begun.elapsed().as_secs_f64(),
            requests: self.requests,
            credentials: self.credentials,
            answers: self.answers,
            with_retry_after: self.with_retry_after,
            repeated: self.repeated,
            without: self.without,
            served: self.served.times(),
            refused: self.refused.times(),
            silence_s: self.silence.as_secs_f64(),
        }
    }
}
