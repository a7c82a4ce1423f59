use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use miette::Diagnostic;
use obol_console::{FileError, Mode, read_limited, replace_atomically};
use obol_credential::{Kid, UnixTime};
use obol_issuer_client::IssuerClientError;
use obol_store::Fault;
use obol_trust::TrustBundle;
use obol_verifier_sdk::x509::{BundleRefusal, CertificateRefusal, Root};
use obol_verifier_sdk::{IssuerKey, Multiple, TableRoom, TableSize, TrustStore};
use thiserror::Error;
use tokio::sync::Mutex;
use tracing::warn;

const PEM_MAX: usize = 16 * 1024;
const BUNDLE_MAX: usize = 64 * 1024;
/// How long after a refresh that an unknown key caused the next one may follow, seconds: whoever
/// uploads cannot make the platform hammer the issuer.
const ASK_PAUSE_S: u32 = 10;

/// The issuer keys by which the platform judges rides: those of the last bundle that the pinned
/// root vouched for, and every key that ever stood in one. A ride is judged by the time of the
/// ride, so a key that has left the bundle is good for what was ridden within its validity.
///
/// A copy of the bundle on disk lets it take uploads while the issuer is away.
pub(crate) struct TrustKeeper {
    root: Root,
    file: PathBuf,
    known: RwLock<Known>,
    asked_at: Mutex<Option<UnixTime>>,
}

/// The current keys first, so that a renewed certificate stands before the one it replaces.
struct Known {
    current: Vec<IssuerKey>,
    retired: Vec<IssuerKey>,
    all: Arc<KnownKeys>,
}

/// Issuer keys as rides are verified by them, the first of them with tables of their multiples.
pub(crate) struct KnownKeys {
    keys: Vec<IssuerKey>,
    tables: Arc<TableRoom<Vec<Multiple>>>,
}

/// Issuer keys that get a table: those of the current bundle come first. 104 KiB each.
const TABLES_MAX: usize = 64;

impl KnownKeys {
    /// `before` lends its tables when they are of the same keys.
    fn of(keys: Vec<IssuerKey>, before: Option<&Self>) -> Self {
        let names = |keys: &[IssuerKey]| -> Vec<[u8; 32]> {
            let prepared = keys.iter().take(TABLES_MAX);
            prepared.map(|key| *key.spki_hash()).collect()
        };
        let same = before.filter(|before| names(&before.keys) == names(&keys));
        let tables = same.map_or_else(
            || Arc::new(tables(&keys)),
            |before| Arc::clone(&before.tables),
        );
        Self { keys, tables }
    }

    pub(crate) fn keys(&self) -> &[IssuerKey] {
        &self.keys
    }

    pub(crate) fn store(&self) -> TrustStore<'_> {
        TrustStore::new(&self.keys).with_tables(self.tables.tables())
    }
}

fn tables(keys: &[IssuerKey]) -> TableRoom<Vec<Multiple>> {
    let size = TableSize::default();
    let prepared = &keys[..keys.len().min(TABLES_MAX)];
    let room = vec![Multiple::EMPTY; size.room_for(prepared.len())];
    let mut room = TableRoom::new(size, room);
    room.build(prepared);
    room
}

/// A bundle the pinned root vouches for, not yet in use.
pub(crate) struct Vouched {
    bytes: Vec<u8>,
    keys: Vec<IssuerKey>,
    /// The keys' certificates (DER), to be kept for good.
    pub(crate) certificates: Vec<Vec<u8>>,
}

/// Why issuer keys are not believed.
#[derive(Debug, Error, Diagnostic)]
pub enum TrustError {
    /// A file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The root's file holds no root certificate.
    #[error("the pinned root {}: {source}", path.display())]
    #[diagnostic(help("issuer.root is the certificate that the root ceremony wrote"))]
    Root {
        /// The file.
        path: PathBuf,
        /// The broken rule.
        source: CertificateRefusal,
    },
    /// An issuer gave no bundle.
    #[error("no trust bundle from issuer {issuer}")]
    #[diagnostic(help("is the issuer up, and this service registered there?"))]
    Issuer {
        /// Its name.
        issuer: String,
        /// What it said.
        source: IssuerClientError,
    },
    /// The pinned root does not vouch for the bundle.
    #[error("the trust bundle is not believed: {0}")]
    #[diagnostic(help("compare the issuer's certificates with the pinned root"))]
    Bundle(BundleRefusal),
    /// The keys cannot be kept.
    #[error("the issuer's certificates cannot be kept")]
    #[diagnostic(help("check the database and the disk"))]
    Kept(#[from] Fault),
    /// A storage operation panicked: a bug.
    #[error("a storage operation panicked: {0}")]
    #[diagnostic(help("report it with the service's log"))]
    Panicked(String),
}

impl TrustKeeper {
    /// `certificates` are those of every issuer key that was ever accepted, the newest first. A
    /// bundle file that cannot be believed is no reason to stay down: the next refresh replaces
    /// it.
    pub(crate) fn open(
        root: &Path,
        file: &Path,
        certificates: &[Vec<u8>],
    ) -> Result<Self, TrustError> {
        let refused = |source| TrustError::Root {
            path: root.to_owned(),
            source,
        };
        let root = Root::from_pem(&read_limited(root, PEM_MAX)?).map_err(refused)?;
        let retired = certificates
            .iter()
            .filter_map(|der| match root.issuer_key(der) {
                Ok(key) => Some(key),
                Err(refusal) => {
                    warn!(reason = %refusal, "an issuer key that was kept is not believed");
                    None
                }
            })
            .collect();
        let keeper = Self {
            root,
            file: file.to_owned(),
            known: RwLock::new(Known::of(Vec::new(), retired, None)),
            asked_at: Mutex::new(None),
        };
        if file.exists() {
            match keeper.read() {
                Ok(bundle) => keeper.put(bundle),
                Err(error) => {
                    let (reason, file) = (error.to_string(), file.display());
                    warn!(%file, reason, "started without the kept trust bundle");
                }
            }
        }
        Ok(keeper)
    }

    fn read(&self) -> Result<Vouched, TrustError> {
        self.vouch(read_limited(&self.file, BUNDLE_MAX)?)
    }

    /// Checks a bundle against the pinned root.
    pub(crate) fn vouch(&self, bytes: Vec<u8>) -> Result<Vouched, TrustError> {
        let accepted = self.root.accept_bundle(&bytes);
        let keys = accepted.map_err(TrustError::Bundle)?.keys().to_vec();
        let bundle = TrustBundle::decode(&bytes)
            .map_err(|malformed| TrustError::Bundle(BundleRefusal::Format(malformed)))?;
        let certificates = bundle
            .entries()
            .iter()
            .map(|entry| entry.certificate.to_vec())
            .collect();
        Ok(Vouched {
            bytes,
            keys,
            certificates,
        })
    }

    /// Believes a bundle, once its certificates are kept, and keeps a copy of it.
    pub(crate) fn believe(&self, bundle: Vouched) -> Result<(), TrustError> {
        let bytes = bundle.bytes.clone();
        self.put(bundle);
        Ok(replace_atomically(&self.file, &bytes, Mode::Public)?)
    }

    /// The keys known at this moment; none before the first bundle.
    pub(crate) fn known(&self) -> Arc<KnownKeys> {
        let known = self.known.read().expect("no holder of this lock panics");
        Arc::clone(&known.all)
    }

    /// Whether a key is missing that these rides name.
    pub(crate) fn lacks(&self, kids: &BTreeSet<Kid>) -> bool {
        let known = self.known();
        let keys = known.keys();
        let known = |kid: &Kid| keys.iter().any(|key| key.kid() == *kid);
        keys.is_empty() || !kids.iter().all(known)
    }

    /// Whether now is the time to ask the issuer for a missing key. Who comes meanwhile waits for
    /// the one who asks, so keep the guard until the answer is there.
    pub(crate) async fn turn_to_ask(
        &self,
        now: UnixTime,
    ) -> Option<tokio::sync::MutexGuard<'_, Option<UnixTime>>> {
        let mut asked_at = self.asked_at.lock().await;
        if asked_at.is_some_and(|asked_at| now < asked_at.plus(ASK_PAUSE_S)) {
            return None;
        }
        *asked_at = Some(now);
        Some(asked_at)
    }

    fn put(&self, bundle: Vouched) {
        let mut known = self.known.write().expect("no holder of this lock panics");
        let mut retired = std::mem::take(&mut known.current);
        retired.append(&mut known.retired);
        *known = Known::of(bundle.keys, retired, Some(&known.all));
    }
}

impl Known {
    fn of(
        current: Vec<IssuerKey>,
        mut retired: Vec<IssuerKey>,
        before: Option<&KnownKeys>,
    ) -> Self {
        let mut seen: BTreeSet<Kid> = current.iter().map(IssuerKey::kid).collect();
        retired.retain(|key| seen.insert(key.kid()));
        let all = current.iter().chain(&retired).cloned().collect();
        Self {
            all: Arc::new(KnownKeys::of(all, before)),
            current,
            retired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use obol_credential::Algorithm;
    use obol_mint::{Issuer, Mint};

    fn key(secret: u8) -> IssuerKey {
        let issuer = Issuer {
            algorithm: Algorithm::Esp384,
            secret,
        };
        let mint = Mint {
            issuer,
            ..Mint::default()
        };
        mint.issuer_key()
    }

    fn table_count(known: &KnownKeys) -> usize {
        known.tables.tables().table_count()
    }

    #[test]
    fn every_issuer_key_has_a_table_and_a_bundle_of_the_same_keys_computes_none() {
        let first = KnownKeys::of(vec![key(11), key(12)], None);
        assert_eq!(table_count(&first), 2);
        let same = KnownKeys::of(vec![key(11), key(12)], Some(&first));
        assert!(Arc::ptr_eq(&first.tables, &same.tables));
        let other = KnownKeys::of(vec![key(13), key(11)], Some(&same));
        assert!(!Arc::ptr_eq(&same.tables, &other.tables));
        assert_eq!((table_count(&other), other.keys().len()), (2, 2));
    }

    #[test]
    fn a_key_behind_the_last_table_is_known_all_the_same() {
        let keys: Vec<_> = (1..=TABLES_MAX as u8 + 1).map(key).collect();
        let known = KnownKeys::of(keys, None);
        assert_eq!(table_count(&known), TABLES_MAX);
        let last = TABLES_MAX as u8 + 1;
        let issuer = Issuer {
            algorithm: Algorithm::Esp384,
            secret: last,
        };
        let signature = issuer.sign(b"a credential");
        let store = known.store();
        assert!(store.has_signed(&known.keys()[TABLES_MAX], b"a credential", &signature));
        assert!(!store.has_signed(&known.keys()[0], b"a credential", &signature));
    }
}
