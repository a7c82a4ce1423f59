//! The daemon as its callers see it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use obol_credential::{
    Algorithm, CREDENTIAL_MAX, Claims, Encoded, Kid, Malformed, assemble_credential,
};
use tokio::sync::{Mutex, Semaphore};

use crate::connection::Connection;
use crate::spki::SpkiId;
use crate::wire::{Answer, FrameError, PIPELINE_MAX, RefusalKind, Request};

/// Longest wait for an answer; the daemon's own deadline is shorter.
const DEADLINE: Duration = Duration::from_secs(15);

/// A connection to `obol-kms serve`. Cheap to share: requests run in parallel over one stream, and a
/// stream that broke (the daemon was restarted) is replaced.
#[derive(Debug)]
pub struct KmsClient {
    path: PathBuf,
    connection: Mutex<Option<Arc<Connection>>>,
    places: Semaphore,
    keys: Vec<KeyInfo>,
}

/// An issuer key that the daemon serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// SHA-256 of [`KeyInfo::spki_der`], as the daemon found it.
    pub spki: SpkiId,
    /// DER SubjectPublicKeyInfo.
    pub spki_der: Vec<u8>,
    /// The algorithm it signs with.
    pub algorithm: Algorithm,
}

/// A credential that the daemon signed and whose signature it verified. Only
/// [`KmsClient::sign_credential`] returns one.
#[derive(Debug, Clone)]
pub struct VerifiedSignature {
    credential: Encoded<CREDENTIAL_MAX>,
    signature: Vec<u8>,
    kid: Kid,
}

impl VerifiedSignature {
    /// The assembled credential: a tagged COSE_Sign1.
    pub fn credential(&self) -> &[u8] {
        &self.credential
    }

    /// Which issuer key signed.
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// Raw r||s: 64 or 96 bytes.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
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
    #[error("the key management daemon did not answer within {} s", DEADLINE.as_secs())]
    Deadline,
    /// The daemon refused; nothing was signed.
    #[error("the key management daemon refused ({kind:?}): {reason}")]
    Refused {
        /// Why, for programs.
        kind: RefusalKind,
        /// Why, for the log.
        reason: String,
    },
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
        let mut client = KmsClient {
            path: path.as_ref().to_path_buf(),
            connection: Mutex::new(None),
            places: Semaphore::new(PIPELINE_MAX),
            keys: Vec::new(),
        };
        client.keys = client.keys().await?;
        Ok(client)
    }

    /// The keys served now.
    ///
    /// # Errors
    /// [`KmsError`].
    pub async fn keys(&self) -> Result<Vec<KeyInfo>, KmsError> {
        let Answer::Keys(keys) = self.ask(&Request::Keys).await? else {
            return Err(KmsError::Unexpected("no list of keys"));
        };
        keys.into_iter()
            .map(|key| {
                let algorithm = Algorithm::from_cose_id(i64::from(key.algorithm))
                    .ok_or(KmsError::Unexpected("an unknown algorithm"))?;
                let spki_der = Vec::from(key.spki_der);
                Ok(KeyInfo {
                    spki: SpkiId::of(&spki_der),
                    spki_der,
                    algorithm,
                })
            })
            .collect()
    }

    /// Has `claims` signed by `key` and assembles the credential.
    ///
    /// # Errors
    /// [`KmsError::Refused`] names the rule that the claims broke; nothing was signed then.
    pub async fn sign_credential(
        &self,
        key: SpkiId,
        claims: &Claims,
    ) -> Result<VerifiedSignature, KmsError> {
        let info = self
            .keys
            .iter()
            .find(|info| info.spki == key)
            .ok_or(KmsError::UnknownKey(key))?;
        let claims = claims.encode();
        let request = Request::SignCredential {
            key: key.0.into(),
            claims: claims.to_vec().into(),
        };
        let Answer::Signature(signature) = self.ask(&request).await? else {
            return Err(KmsError::Unexpected("no signature"));
        };
        let kid = key.kid();
        let credential = assemble_credential(info.algorithm, kid, &claims, &signature)
            .map_err(KmsError::Assemble)?;
        Ok(VerifiedSignature {
            credential,
            signature: signature.into(),
            kid,
        })
    }

    async fn ask(&self, request: &Request) -> Result<Answer, KmsError> {
        let place = self.places.acquire().await;
        let answer = tokio::time::timeout(DEADLINE, self.ask_on_any_stream(request)).await;
        drop(place);
        match answer.map_err(|_| KmsError::Deadline)?? {
            Answer::Refused { code: kind, reason } => Err(KmsError::Refused { kind, reason }),
            answer => Ok(answer),
        }
    }

    /// A kept stream may have died with an earlier daemon, so its failure only means a fresh one.
    async fn ask_on_any_stream(&self, request: &Request) -> Result<Answer, KmsError> {
        if let Some(kept) = self.kept().await
            && let Ok(answer) = kept.ask(request, DEADLINE).await
        {
            return Ok(answer);
        }
        let fresh = self.connected().await?;
        match fresh.ask(request, DEADLINE).await {
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
