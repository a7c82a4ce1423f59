//! The audit log's checkpoints are brought to a witness (c2sp.org/tlog-witness). Signing does not wait
//! for it: health and metrics say how far behind it is.

use std::sync::Arc;

use obol_kms::daemon::WitnessConfig;
use obol_kms::engine::Engine;
use obol_kms_audit::{CosignatureError, ReadError};
use obol_log::{Note, NoteError};
use obol_transport::http::StatusCode;
use obol_transport::{
    Bytes, HttpsClient, Identity, IdentityError, Problem, Reply, TransportError, TrustAnchor,
};
use thiserror::Error;
use tokio::time::MissedTickBehavior;

use crate::failure::Failure;

/// The role of whoever witnesses: no other member of the deployment can stand in for it.
const WITNESS_ROLE: &str = "platform";
/// Longest size in a 409: 20 digits and a newline.
const SIZE_MAX: usize = 21;

/// Why a checkpoint was not witnessed.
#[derive(Debug, Error)]
enum NotWitnessed {
    #[error(transparent)]
    Away(#[from] TransportError),
    #[error("the witness refuses: {0}")]
    Refused(#[from] Problem),
    #[error("the witness has cosigned {known} entries and the log has {found}: it was set back")]
    SetBack { known: u64, found: u64 },
    #[error("the witness answered no signature line: {0}")]
    Answer(NoteError),
    #[error(transparent)]
    Cosignature(#[from] CosignatureError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the proof's thread failed")]
    Thread(#[from] tokio::task::JoinError),
}

/// One log on its way to one witness.
pub(super) struct Witnessing {
    engine: Arc<Engine>,
    client: HttpsClient,
    config: WitnessConfig,
    url: String,
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Failure {
        Failure::with_help(
            error,
            "certificate, private_key and trust of [audit.witness] are PEM files of the access CA",
        )
    }
}

impl Witnessing {
    pub(super) fn new(config: &WitnessConfig, engine: Arc<Engine>) -> Result<Self, Failure> {
        let identity = Identity::load(&config.certificate, &config.private_key)?;
        let anchor = TrustAnchor::load(&config.trust)?;
        Ok(Self {
            engine,
            client: HttpsClient::expecting(WITNESS_ROLE, &anchor, Some(identity)),
            url: format!("{}/add-checkpoint", config.url),
            config: config.clone(),
        })
    }

    /// Goes on until it is dropped.
    pub(super) async fn keep_witnessed(self) {
        let mut turns = tokio::time::interval(self.config.interval);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut failing, mut asked) = (None, false);
        loop {
            turns.tick().await;
            let (witnessed, signed) = self.engine.to_be_witnessed();
            // Once after the start in any case: the log may have been set back meanwhile.
            if asked && failing.is_none() && signed <= witnessed {
                continue;
            }
            match self.submit(witnessed).await {
                Ok(()) => {
                    asked = signed > 0;
                    failing = None;
                }
                Err(error) => {
                    let why = chain(&error);
                    self.engine.not_witnessed(&why);
                    // Said once, not each turn; health says it as long as it lasts.
                    if failing.as_ref() != Some(&why) {
                        tracing::error!(error = why, "the audit log is not witnessed");
                    }
                    failing = Some(why);
                }
            }
        }
    }

    async fn submit(&self, witnessed: u64) -> Result<(), NotWitnessed> {
        let Some((mut reply, mut note)) = self.bring(witnessed).await? else {
            return Ok(());
        };
        // Its answer was lost the last time, or this log is not what it was.
        if let Some(known) = known_size(&reply) {
            let again = self.bring(known).await?;
            let (_, found) = self.engine.to_be_witnessed();
            (reply, note) = again.ok_or(NotWitnessed::SetBack { known, found })?;
        }
        let reply = reply.success()?;
        let mut text = note.to_text().into_bytes();
        text.extend_from_slice(&reply.body);
        let note = Note::parse(&text).map_err(NotWitnessed::Answer)?;
        let (engine, key) = (Arc::clone(&self.engine), self.config.key.clone());
        tokio::task::spawn_blocking(move || engine.keep_witnessed(&key, &note)).await??;
        Ok(())
    }

    /// `None` when the log has no checkpoint of that many entries.
    async fn bring(&self, old: u64) -> Result<Option<(Reply, Note)>, NotWitnessed> {
        let engine = Arc::clone(&self.engine);
        let submission = tokio::task::spawn_blocking(move || engine.submission(old)).await??;
        let Some(submission) = submission else {
            return Ok(None);
        };
        let body = Bytes::from(submission.to_text());
        let reply = self.client.post(&self.url, "text/plain", body).await?;
        Ok(Some((reply, submission.note)))
    }
}

/// The size in a 409, when the proof has to begin there.
fn known_size(reply: &Reply) -> Option<u64> {
    let shown = reply.status == StatusCode::CONFLICT && reply.content_type == "text/x.tlog.size";
    if !shown || reply.body.len() > SIZE_MAX {
        return None;
    }
    let text = std::str::from_utf8(&reply.body).ok()?;
    text.strip_suffix('\n')?.parse().ok()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
