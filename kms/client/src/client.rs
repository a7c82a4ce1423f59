//! The daemon as its callers see it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use obol_credential::{Algorithm, Claims, Malformed, assemble_credential};
use tokio::sync::{Mutex, Semaphore};

use crate::connection::Connection;
use crate::names::{KeyClass, KeyState, PayloadType};
use crate::spki::SpkiId;
use crate::verified::{Asked, Released, SignedCredential, VerifiedSignature};
use crate::wire::{
    Answer, FrameError, PAYLOAD_MAX, PIPELINE_MAX, RefusalKind, Request, WireAudit, WireKey,
    WireToken,
};

/// Longest wait for an answer; the daemon's own deadline is shorter.
pub const DEADLINE_MAX: Duration = Duration::from_secs(15);

/// A connection to `obol-kms serve`. Cheap to share: requests run in parallel over one stream, and a
/// stream that broke (the daemon was restarted) is replaced.
#[derive(Debug)]
pub struct KmsClient {
    path: PathBuf,
    connection: Mutex<Option<Arc<Connection>>>,
    places: Semaphore,
    known: RwLock<HashMap<SpkiId, Arc<KeyInfo>>>,
}

/// A key that the daemon serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// SHA-256 of [`KeyInfo::spki_der`], computed here.
    pub spki: SpkiId,
    /// DER SubjectPublicKeyInfo.
    pub spki_der: Vec<u8>,
    /// The algorithm it signs with.
    pub algorithm: Algorithm,
    /// What it is for.
    pub class: KeyClass,
    /// Its state when the daemon was asked.
    pub state: KeyState,
    /// Serial number of the token that has it, as in [`Status::tokens`], where the daemon says so.
    pub token: Option<String>,
}

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its tokens.
    pub tokens: Vec<WireToken>,
    /// Its audit log.
    pub audit: WireAudit,
}

/// A leaf of the audit log and the proof that it is in it, as the daemon gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    /// The leaf: docs/spec/audit-log.md section 2.
    pub entry: Vec<u8>,
    /// c2sp.org/tlog-proof: index, audit path, signed checkpoint.
    pub proof: String,
}

/// Why the daemon gave no signature.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// Nobody listens at the socket.
    #[error("no key management daemon answers at {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The connection broke; a daemon that does not know this user closes at once.
    #[error("the key management daemon at {} closed the connection", .0.display())]
    Closed(PathBuf),
    /// The connection failed or carried something else than the protocol.
    #[error("the connection to the key management daemon failed")]
    Frame(#[from] FrameError),
    /// No answer in time.
    #[error("the key management daemon did not answer in time")]
    Deadline,
    /// The daemon refused; nothing was signed.
    #[error("the key management daemon refused ({kind:?}): {reason}")]
    Refused {
        /// Why, for programs.
        kind: RefusalKind,
        /// Why, for the log.
        reason: String,
    },
    /// The payload is empty or longer than any.
    #[error("a payload of {0} bytes, 1 to {PAYLOAD_MAX} are taken")]
    Payload(usize),
    /// What came back is not for the key and the bytes that were asked, or does not verify: it was
    /// thrown away.
    #[error("the key management daemon returned what key {0} did not sign; it was not used")]
    NotVerified(SpkiId),
    /// The key is not among [`KmsClient::keys`].
    #[error("the key management daemon does not serve key {0}")]
    UnknownKey(SpkiId),
    /// The daemon answered with something that does not belong to the request.
    #[error("the key management daemon gave an answer that does not fit: {0}")]
    Unexpected(&'static str),
    /// Claims and signature do not form a credential.
    #[error("claims and signature form no credential: {0}")]
    Assemble(Malformed),
}

impl KmsClient {
    /// Connects and asks which keys are served.
    ///
    /// # Errors
    /// [`KmsError`].
    pub async fn connect(path: impl AsRef<Path>) -> Result<KmsClient, KmsError> {
        let client = KmsClient {
            path: path.as_ref().to_path_buf(),
            connection: Mutex::new(None),
            places: Semaphore::new(PIPELINE_MAX),
            known: RwLock::default(),
        };
        client.keys().await?;
        Ok(client)
    }

    /// The keys served now, in any state.
    ///
    /// # Errors
    /// [`KmsError`].
    pub async fn keys(&self) -> Result<Vec<KeyInfo>, KmsError> {
        let until = Instant::now() + DEADLINE_MAX;
        let Answer::Keys(keys) = self.ask(&Request::Keys, until).await? else {
            return Err(KmsError::Unexpected("no list of keys"));
        };
        let keys: Vec<KeyInfo> = keys.into_iter().map(key_info).collect::<Result<_, _>>()?;
        let known = keys.iter().map(|key| (key.spki, Arc::new(key.clone())));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known.collect();
        Ok(keys)
    }

    /// How the daemon's tokens and its audit log are.
    ///
    /// # Errors
    /// [`KmsError`].
    pub async fn status(&self) -> Result<Status, KmsError> {
        let until = Instant::now() + DEADLINE_MAX;
        match self.ask(&Request::Status, until).await? {
            Answer::Status { tokens, audit } => Ok(Status { tokens, audit }),
            _ => Err(KmsError::Unexpected("no status")),
        }
    }

    /// A leaf of the audit log that this client caused, as [`VerifiedSignature::leaf`] names it, and
    /// the proof that it stands there. Nothing of it is judged here: `obol_log::parse_proof` and
    /// `verify_inclusion` do, with the log's key.
    ///
    /// # Errors
    /// [`KmsError::Refused`] with [`RefusalKind::NotCovered`] as long as no checkpoint covers it.
    pub async fn prove(&self, leaf: u64) -> Result<LogProof, KmsError> {
        let until = Instant::now() + DEADLINE_MAX;
        match self.ask(&Request::Prove { leaf }, until).await? {
            Answer::Proof { entry, proof } => Ok(LogProof {
                entry: entry.into(),
                proof,
            }),
            _ => Err(KmsError::Unexpected("no proof")),
        }
    }

    /// Has `payload` signed by `key` until `deadline`, at most [`DEADLINE_MAX`] from now. The daemon
    /// has verified the signature; here it is held against what was asked, as
    /// [`VerifiedSignature`] says. TUF metadata is handed in in its canonical form.
    ///
    /// # Errors
    /// [`KmsError::Refused`] says which of parser, rule, state, policy or quota refused;
    /// [`KmsError::NotVerified`] when what came back is no signature of that key.
    pub async fn sign(
        &self,
        key: SpkiId,
        payload_type: PayloadType,
        payload: &[u8],
        deadline: Instant,
    ) -> Result<VerifiedSignature, KmsError> {
        if !(1..=PAYLOAD_MAX).contains(&payload.len()) {
            return Err(KmsError::Payload(payload.len()));
        }
        let info = self.info(key).await?;
        let request = Request::Sign {
            key: key.0.into(),
            payload_type,
            payload: payload.to_vec().into(),
        };
        let Answer::Signed {
            signature,
            leaf,
            key: signed_by,
            hash,
        } = self.ask(&request, deadline).await?
        else {
            return Err(KmsError::Unexpected("no signature"));
        };
        let asked = Asked {
            key,
            spki_der: &info.spki_der,
            algorithm: info.algorithm,
            payload_type,
            payload,
        };
        let released = Released {
            key: SpkiId(signed_by.into()),
            hash: hash.into(),
            raw: &signature,
            leaf,
        };
        asked.accept(&released).ok_or(KmsError::NotVerified(key))
    }

    /// Has `claims` signed by `key` and assembles the credential.
    ///
    /// # Errors
    /// As for [`KmsClient::sign`].
    pub async fn sign_credential(
        &self,
        key: SpkiId,
        claims: &Claims,
    ) -> Result<SignedCredential, KmsError> {
        let claims = claims.encode();
        let deadline = Instant::now() + DEADLINE_MAX;
        let signature = self
            .sign(key, PayloadType::CredentialClaims, &claims, deadline)
            .await?;
        let algorithm = self.info(key).await?.algorithm;
        let credential = assemble_credential(algorithm, key.kid(), &claims, &signature.to_raw())
            .map_err(KmsError::Assemble)?;
        Ok(SignedCredential {
            credential,
            signature,
        })
    }

    /// A key registered since the last list is looked up once.
    async fn info(&self, key: SpkiId) -> Result<Arc<KeyInfo>, KmsError> {
        if let Some(info) = self.known(key) {
            return Ok(info);
        }
        self.keys().await?;
        self.known(key).ok_or(KmsError::UnknownKey(key))
    }

    fn known(&self, key: SpkiId) -> Option<Arc<KeyInfo>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&key).cloned()
    }

    async fn ask(&self, request: &Request, deadline: Instant) -> Result<Answer, KmsError> {
        let deadline = deadline.min(Instant::now() + DEADLINE_MAX);
        let answer = async {
            // Never closed; the place is given back when this future ends.
            let _place = self.places.acquire().await;
            self.ask_on_any_stream(request, deadline).await
        };
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Err(_) => Err(KmsError::Deadline),
            Ok(Ok(Answer::Refused { code: kind, reason })) => {
                Err(KmsError::Refused { kind, reason })
            }
            Ok(answer) => answer,
        }
    }

    /// A kept stream may have died with an earlier daemon, so its failure only means a fresh one.
    async fn ask_on_any_stream(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Answer, KmsError> {
        if let Some(kept) = self.kept().await
            && let Ok(answer) = kept.ask(request, deadline).await
        {
            return Ok(answer);
        }
        let fresh = self.connected().await?;
        match fresh.ask(request, deadline).await {
            Ok(answer) => Ok(answer),
            Err(FrameError::Io(_)) => Err(KmsError::Closed(self.path.clone())),
            Err(error) => Err(error.into()),
        }
    }

    async fn kept(&self) -> Option<Arc<Connection>> {
        self.connection.lock().await.clone()
    }

    /// The stream, a new one if the last has broken. Of many callers that find it broken, one
    /// connects.
    async fn connected(&self) -> Result<Arc<Connection>, KmsError> {
        let mut slot = self.connection.lock().await;
        if let Some(kept) = slot.as_ref().filter(|kept| kept.is_open()) {
            return Ok(Arc::clone(kept));
        }
        let opened = Connection::open(&self.path)
            .await
            .map_err(|source| KmsError::Connect {
                path: self.path.clone(),
                source,
            })?;
        let opened = Arc::new(opened);
        *slot = Some(Arc::clone(&opened));
        Ok(opened)
    }
}

fn key_info(key: WireKey) -> Result<KeyInfo, KmsError> {
    let algorithm = Algorithm::from_cose_id(i64::from(key.algorithm))
        .ok_or(KmsError::Unexpected("an unknown algorithm"))?;
    let spki_der = Vec::from(key.spki_der);
    Ok(KeyInfo {
        spki: SpkiId::of(&spki_der),
        spki_der,
        algorithm,
        class: key.class,
        state: key.state,
        token: key.token,
    })
}
