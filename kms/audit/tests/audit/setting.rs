use std::io;
use std::path::Path;
use std::sync::Arc;

use obol_fault_vfs::{FaultFile, FaultFs};
use obol_kms_audit::{
    AuditLog, CheckpointSigner, Disk, Lock, OpenError, Report, SignFailed, Storage, StoredFile,
    Trusted, VerifyError, Witnesses, verify,
};
use obol_log::witness::{Submission, judge};
use obol_log::{Checkpoint, Frontier, LogKey, Note, WitnessSigner, leaf_hash};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};

pub(crate) const ORIGIN: &str = "kms.test/audit";

/// A log's key in software.
pub(crate) struct Key {
    secret: SigningKey,
    public: LogKey,
}

impl Key {
    pub(crate) fn new(seed: u8) -> Arc<Self> {
        let secret = SigningKey::from_slice(&[seed; 32]).unwrap();
        let mut spki = data_encoding::HEXLOWER
            .decode(b"3059301306072a8648ce3d020106082a8648ce3d030107034200")
            .unwrap();
        spki.extend_from_slice(secret.verifying_key().to_sec1_point(false).as_bytes());
        let public = LogKey::from_spki_der(ORIGIN, &spki).unwrap();
        Arc::new(Self { secret, public })
    }
}

impl CheckpointSigner for Key {
    fn key(&self) -> &LogKey {
        &self.public
    }

    fn sign(&self, text: &str) -> Result<[u8; 64], SignFailed> {
        let signature: Signature = self.secret.sign(text.as_bytes());
        Ok(signature.to_bytes().into())
    }
}

pub(crate) fn key() -> Arc<Key> {
    Key::new(7)
}

pub(crate) fn entry(index: u64) -> Vec<u8> {
    format!("entry {index} {}", "x".repeat(1 + (index % 90) as usize)).into_bytes()
}

pub(crate) fn open(folder: &Path) -> Result<AuditLog, OpenError> {
    AuditLog::open(folder, ORIGIN, key(), &Trusted::default())
}

/// Appends the entries `from..to`, in groups that fill bundles quickly.
pub(crate) fn fill(log: &AuditLog, from: u64, to: u64) {
    let entries: Vec<_> = (from..to).map(entry).collect();
    let entries: Vec<_> = entries.iter().map(|entry| &entry[..]).collect();
    assert_eq!(log.append_all(&entries).unwrap(), from..to);
}

/// The tree head that entries `0..size` have.
pub(crate) fn head(size: u64) -> Checkpoint {
    let mut tree = Frontier::default();
    (0..size).for_each(|index| tree.push(leaf_hash(&entry(index))));
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size,
        root: tree.root(),
    }
}

pub(crate) fn verify_disk(folder: &Path, kept: Option<&Note>) -> Result<Report, VerifyError> {
    verify_in(&Disk::new(folder), kept)
}

pub(crate) fn verify_in(storage: &dyn Storage, kept: Option<&Note>) -> Result<Report, VerifyError> {
    let witness = [witness().public().clone()];
    let witnesses = Witnesses {
        keys: &witness,
        kept,
    };
    verify(storage, ORIGIN, &[key().key().clone()], &witnesses)
}

pub(crate) fn witness() -> WitnessSigner {
    WitnessSigner::from_seed("witness.test", &[9; 32]).unwrap()
}

/// The checkpoint with the witness's line, as a witness without memory gives it.
pub(crate) fn cosigned(note: &Note) -> Note {
    let submission = Submission {
        old_size: 0,
        proof: Vec::new(),
        note: note.clone(),
    };
    let consistent = judge(key().key(), ORIGIN, None, submission).unwrap();
    let mut note = note.clone();
    note.sign(consistent.cosign(&witness(), 1_800_000_000));
    note
}

/// The log's port to a file system whose power is cut.
pub(crate) struct Faulty(pub(crate) FaultFs);

struct File(FaultFile);

struct NoLock;

impl Lock for NoLock {}

impl StoredFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

impl Storage for Faulty {
    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        Ok(Box::new(NoLock))
    }

    fn read(&self, path: &str, _: usize) -> io::Result<Option<Vec<u8>>> {
        self.0.read(path)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        Ok(self.0.list(folder))
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        self.0.create_folder(path)
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn StoredFile>> {
        Ok(Box::new(File(self.0.create(path)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.remove(path)
    }

    fn sync_folder(&self, path: &str) -> io::Result<()> {
        self.0.sync_folder(path)
    }
}
