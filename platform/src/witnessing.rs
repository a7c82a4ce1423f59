//! `add-checkpoint` (c2sp.org/tlog-witness): daemons bring the checkpoints of their audit logs.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Extension,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use obol_log::witness::{Refusal, Submission};
use obol_log::{Checkpoint, NOTE_MAX};
use obol_transport::{Peer, Problem};
use tracing::{error, info, warn};

use crate::app::{App, internal};
use crate::config::{WitnessConfig, WitnessedLog};
use crate::witness::{LogWitness, WitnessError};

/// A checkpoint behind at most 63 hashes.
pub(crate) const SUBMISSION_MAX: usize = NOTE_MAX + 64 * 64;
const SIZE_TYPE: &str = "text/x.tlog.size";

/// A log that is witnessed, and who may submit it.
pub(crate) struct Witnessed {
    log: WitnessedLog,
    witness: LogWitness,
    said: Mutex<Option<Evidence>>,
}

/// What was found against what is remembered. A daemon brings such a log at each turn, and more of
/// it: it is news once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Evidence {
    SetBack { seen: u64 },
    Rewritten { seen: u64 },
}

impl Witnessed {
    fn is_news(&self, found: Evidence) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.replace(found) != Some(found)
    }

    fn all_is_well(&self) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

pub(crate) fn open_all(
    config: Option<&WitnessConfig>,
) -> Result<Vec<Arc<Witnessed>>, WitnessError> {
    let Some(config) = config else {
        return Ok(Vec::new());
    };
    let open = |log: &WitnessedLog| {
        let witness = LogWitness::open(&config.key, log.key.clone(), &log.state)?;
        let log = log.clone();
        let said = Mutex::default();
        Ok(Arc::new(Witnessed { log, witness, said }))
    };
    config.logs.iter().map(open).collect()
}

/// Answers the cosignature's line.
pub(crate) async fn add_checkpoint(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Response, Problem> {
    let submission = Submission::parse(&body).map_err(|why| malformed(why.to_string()))?;
    let head = Checkpoint::parse(submission.note.text());
    let head = head.map_err(|why| malformed(why.to_string()))?;
    let mut all = app.witnessed.iter();
    let brought_to = all
        .find(|witnessed| witnessed.witness.origin() == head.origin)
        .ok_or_else(|| unknown(&head.origin))?;
    demand_submitter(&peer, &brought_to.log)?;
    if submission.old_size > head.size {
        let (old, size) = (submission.old_size, head.size);
        return Err(malformed(format!("a proof from {old} entries to {size}")));
    }
    let (witnessed, now) = (Arc::clone(brought_to), app.now().0);
    let cosigned = tokio::task::spawn_blocking(move || witnessed.witness.cosign(submission, now));
    match cosigned.await.map_err(internal)? {
        Ok(line) => {
            brought_to.all_is_well();
            info!(
                origin = head.origin,
                size = head.size,
                "cosigned an audit log"
            );
            Ok(line.to_text().into_response())
        }
        Err(WitnessError::Refused(refusal)) => refused(brought_to, &head, &refusal),
        Err(failure) => Err(internal(failure)),
    }
}

/// A certificate alone is not enough: the key is registered.
fn demand_submitter(peer: &Peer, log: &WitnessedLog) -> Result<(), Problem> {
    if peer.uri == log.client && peer.spki == log.spki {
        return Ok(());
    }
    warn!(
        peer = peer.uri,
        "a checkpoint was not taken from this client"
    );
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "submitter-not-registered",
        "This client may not submit checkpoints of the log",
        format!("{} is not registered for it with this key", peer.uri),
    ))
}

/// The statuses of c2sp.org/tlog-witness. A log that shrank or changed is evidence: it is logged with
/// what was brought, once as long as it lasts.
fn refused(
    witnessed: &Witnessed,
    head: &Checkpoint,
    refusal: &Refusal,
) -> Result<Response, Problem> {
    let (origin, size, root) = (&head.origin, head.size, head.root);
    let problem = |status, code, title| Err(Problem::new(status, code, title, refusal.to_string()));
    match refusal {
        Refusal::OldSize { expected, .. } => Ok(known_size(*expected)),
        Refusal::RolledBack { seen, .. } => {
            if witnessed.is_news(Evidence::SetBack { seen: *seen }) {
                error!(origin, size, %root, seen, "an audit log was set back");
            }
            Ok(known_size(*seen))
        }
        Refusal::Inconsistent { seen, .. } => {
            if witnessed.is_news(Evidence::Rewritten { seen: *seen }) {
                error!(origin, size, %root, seen, "an audit log does not continue what was cosigned");
            }
            // Two roots of one size are a conflict; anything else is a proof that fails.
            let status = match size == *seen {
                true => StatusCode::CONFLICT,
                false => StatusCode::UNPROCESSABLE_ENTITY,
            };
            problem(
                status,
                "log-inconsistent",
                "The log does not continue what was cosigned",
            )
        }
        Refusal::Signature(_) => problem(
            StatusCode::FORBIDDEN,
            "log-signature-refused",
            "The checkpoint is not signed by the log",
        ),
        Refusal::Checkpoint(why) => Err(malformed(why.to_string())),
        Refusal::Origin { found, .. } => Err(unknown(found)),
    }
}

/// 409 with the size the witness knows, which c2sp.org/tlog-witness demands as this type.
fn known_size(size: u64) -> Response {
    let body = format!("{size}\n");
    (StatusCode::CONFLICT, [(CONTENT_TYPE, SIZE_TYPE)], body).into_response()
}

fn malformed(detail: String) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "submission-malformed",
        "Not a checkpoint with its proof",
        detail,
    )
}

fn unknown(origin: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "log-unknown",
        "This log is not witnessed here",
        format!("{origin:?} is not in the configuration"),
    )
}
