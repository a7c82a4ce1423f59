use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use obol_log::{
    Checkpoint, Hash, LEAF_MAX, LogKey, Note, SignatureRefused, TILE_WIDTH, WitnessKey, root,
};
use thiserror::Error;

use crate::journal::{Chain, ZEROS_MAX};
use crate::open::{OpenError, Trusted};
use crate::publish::{CHECKPOINT, Publisher, WITNESSED, journal_path};
use crate::queue::{Queue, Stopped, Visit};
use crate::reader::{LogReader, Proof, ReadError};
use crate::signer::{CheckpointSigner, SignFailed};
use crate::storage::{Disk, Lock, Storage, StoredFile};
use crate::tail::{Completed, Tail, Tree};

/// Proof that an entry is durable: made by a completed sync alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Place of the entry in the log, from 0.
    pub index: u64,
}

/// An open log. Threads share it; only one process has it open.
pub struct AuditLog {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) origin: String,
    pub(crate) signer: Arc<dyn CheckpointSigner>,
    pub(crate) queue: Queue,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) publisher: Publisher,
    pub(crate) published: Mutex<Option<(u64, Note)>>,
    pub(crate) former_keys: Vec<LogKey>,
    pub(crate) _lock: Box<dyn Lock>,
}

/// What the thread that writes a group needs.
pub(crate) struct Writer {
    pub(crate) journal: Box<dyn StoredFile>,
    pub(crate) chain: Chain,
    pub(crate) tail: Tail,
    /// Hash tiles of a bundle that could not be published.
    pub(crate) unwritten: Vec<Completed>,
}

/// Why something was not written.
#[derive(Debug, Error)]
pub enum AuditError {
    /// An entry that no log takes.
    #[error("an entry of {0} bytes, or with a long run of zeros; 1 to {LEAF_MAX} bytes are taken")]
    Entry(usize),
    /// A write failed, now or earlier. Nothing is appended until the log was opened anew, which
    /// finds out what is on the disk.
    #[error("the audit log has stopped: {0}")]
    Stopped(Arc<str>),
    /// A tile that was durable cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The signer made no signature; entries are still taken.
    #[error("the checkpoint was not signed")]
    Sign(#[source] SignFailed),
    /// The signer made a signature that its own key does not verify.
    #[error("the signature on the checkpoint does not verify")]
    WrongSignature,
}

/// Why a cosignature was not kept.
#[derive(Debug, Error)]
pub enum CosignatureError {
    /// Not signed by the log or the witness.
    #[error(transparent)]
    Signature(#[from] SignatureRefused),
    /// Not a tree head of this log.
    #[error("a tree head of {origin} at size {size}, which this log never had")]
    Foreign {
        /// Origin seen.
        origin: String,
        /// Size seen.
        size: u64,
    },
    /// No checkpoint at all.
    #[error("no checkpoint: {0}")]
    Checkpoint(#[from] obol_log::CheckpointError),
    /// It could not be written or compared.
    #[error(transparent)]
    Log(#[from] AuditError),
}

impl AuditLog {
    /// Opens the log in a folder that exists, or begins it there, and repairs what a crash left.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is appended to a log that is damaged, rolled back or in use.
    pub fn open(
        folder: &Path,
        origin: &str,
        signer: Arc<dyn CheckpointSigner>,
        trusted: &Trusted,
    ) -> Result<Self, OpenError> {
        Self::open_in(Arc::new(Disk::new(folder)), origin, signer, trusted)
    }

    /// Says that this thread works on something that it appends. When many do, a sync waits some
    /// milliseconds for the entries of others; alone, nobody waits.
    pub fn visit(&self) -> Visit<'_> {
        self.queue.visit()
    }

    /// Appends one entry and returns when it is on the medium. All threads that wait share one
    /// sync.
    ///
    /// # Errors
    /// [`AuditError`]; then the entry may or may not be in the log, and nothing may rely on it.
    pub fn append(&self, entry: &[u8]) -> Result<Appended, AuditError> {
        self.append_all(&[entry])
            .map(|range| Appended { index: range.start })
    }

    /// Appends entries in a row, with no other between them; returns their places.
    ///
    /// # Errors
    /// As for [`AuditLog::append`].
    pub fn append_all(&self, entries: &[&[u8]]) -> Result<std::ops::Range<u64>, AuditError> {
        if let Some(bad) = entries.iter().find(|entry| !is_entry(entry)) {
            return Err(AuditError::Entry(bad.len()));
        }
        let entries = entries.iter().map(|entry| entry.to_vec()).collect();
        self.queue
            .append(entries, |group| self.write(group))
            .map_err(AuditError::Stopped)
    }

    /// How many entries are durable.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.writer().tail.size
    }

    /// Why nothing is appended any more, if so: for the service's health.
    #[must_use]
    pub fn stopped(&self) -> Option<Arc<str>> {
        self.queue.stopped()
    }

    /// Signs the tree as it stands and publishes it: tiles first, then the checkpoint, which is
    /// durable when this returns. No lock that appends need is held while the signer works, so the
    /// signing may itself be audited. Without new entries it returns the last checkpoint.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn checkpoint(&self) -> Result<Note, AuditError> {
        let mut published = self
            .published
            .lock()
            .expect("no holder of this lock panics");
        self.demand_running()?;
        let storage = &*self.storage;
        // With the writer held: a bundle that fills up takes its partial tiles away.
        let writer = self.writer();
        let tail = writer.tail.clone();
        if let Some((size, note)) = &*published
            && *size == tail.size
        {
            return Ok(note.clone());
        }
        self.stop_at(self.publisher.partial_tiles(storage, &tail), "tiles")?;
        drop(writer);
        let root = self.root_of(&tail, tail.size)?;
        let note = self.sign(tail.size, root)?;
        let text = note.to_text();
        let written = Publisher::write(storage, CHECKPOINT, text.as_bytes());
        self.stop_at(written, CHECKPOINT)?;
        *published = Some((tail.size, note.clone()));
        Ok(note)
    }

    /// The last published checkpoint; `None` before the first.
    #[must_use]
    pub fn published(&self) -> Option<Note> {
        let published = self
            .published
            .lock()
            .expect("no holder of this lock panics");
        published.as_ref().map(|(_, note)| note.clone())
    }

    /// Proves that the entry at `index` stands in the tree of `size` entries.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
        let tail = self.writer().tail.clone();
        ReadError::demand_size(size, tail.size)?;
        Proof::inclusion(&*self.storage, &tail, index, size)
    }

    /// Proves that the tree of `old` entries is a prefix of the tree of `new` entries.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ReadError> {
        let tail = self.writer().tail.clone();
        ReadError::demand_size(new, tail.size)?;
        Proof::consistency(&*self.storage, &tail, old, new)
    }

    /// An entry that the last published checkpoint covers, with its proof and the cosignatures that
    /// the checkpoint has by now.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] when no checkpoint covers it yet.
    pub fn prove(&self, index: u64) -> Result<Proof, ReadError> {
        if self.published().is_none() {
            return Err(ReadError::OutOfRange {
                asked: index,
                size: 0,
            });
        }
        let keys = std::slice::from_ref(self.signer.key());
        LogReader::open(&*self.storage, keys)?.prove(index)
    }

    /// Keeps a witness's cosignature beside the log, durably: the note is a checkpoint of this log
    /// with its own signature and the witness's.
    ///
    /// # Errors
    /// [`CosignatureError`].
    pub fn add_cosignature(
        &self,
        witness: &WitnessKey,
        note: &Note,
    ) -> Result<(), CosignatureError> {
        let published = self
            .published
            .lock()
            .expect("no holder of this lock panics");
        self.signer.key().verify(note)?;
        witness.verify(note)?;
        let head = Checkpoint::parse(note.text())?;
        let tail = self.writer().tail.clone();
        let ours = head.origin == self.origin
            && head.size <= tail.size
            && self.root_of(&tail, head.size)? == head.root;
        if !ours {
            let Checkpoint { origin, size, .. } = head;
            return Err(CosignatureError::Foreign { origin, size });
        }
        let kept = self.witnessed().map_err(AuditError::Read)?;
        let merged = match kept {
            Some((old, _)) if old.size > head.size => return Ok(()),
            Some((old, mut kept)) if old == head => {
                note.signatures()
                    .iter()
                    .cloned()
                    .for_each(|line| kept.sign(line));
                kept
            }
            _ => note.clone(),
        };
        let text = merged.to_text();
        let written = Publisher::write(&*self.storage, WITNESSED, text.as_bytes());
        self.stop_at(written, WITNESSED)?;
        drop(published);
        Ok(())
    }

    /// The last checkpoint that a witness cosigned, with its cosignatures.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn witnessed(&self) -> Result<Option<(Checkpoint, Note)>, ReadError> {
        crate::reader::read_head(&*self.storage, WITNESSED)
    }

    fn write(&self, group: Vec<Vec<u8>>) -> Result<(), Stopped> {
        let mut writer = self.writer();
        let written = writer.write(&*self.storage, &self.publisher, &self.origin, group);
        written.map_err(|error| stopped(&error, "entries"))
    }

    fn sign(&self, size: u64, root: Hash) -> Result<Note, AuditError> {
        let origin = self.origin.clone();
        let head = Checkpoint { origin, size, root };
        let mut note = Note::new(head.to_text()).expect("an origin that was checked at opening");
        let raw = self.signer.sign(note.text()).map_err(AuditError::Sign)?;
        let line = self.signer.key().line(note.text(), &raw);
        note.sign(line.ok_or(AuditError::WrongSignature)?);
        Ok(note)
    }

    pub(crate) fn root_of(&self, tail: &Tail, size: u64) -> Result<Hash, AuditError> {
        let storage = &*self.storage;
        let unwritten = &[];
        let tree = Tree {
            storage,
            tail,
            unwritten,
        };
        root(&tree, size).map_err(|error| ReadError::Tile(error).into())
    }

    fn demand_running(&self) -> Result<(), AuditError> {
        match self.queue.stopped() {
            Some(why) => Err(AuditError::Stopped(why)),
            None => Ok(()),
        }
    }

    fn stop_at<T>(&self, written: io::Result<T>, what: &str) -> Result<T, AuditError> {
        written.map_err(|error| {
            let why = stopped(&error, what);
            self.queue.stop(Arc::clone(&why));
            AuditError::Stopped(why)
        })
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().expect("no holder of this lock panics")
    }
}

impl Writer {
    /// Makes a group durable; when it fills the bundle, publishes the tiles and begins the next.
    fn write(
        &mut self,
        storage: &dyn Storage,
        publisher: &Publisher,
        origin: &str,
        group: Vec<Vec<u8>>,
    ) -> io::Result<()> {
        let frame = self.chain.frame(self.tail.size, &group);
        self.journal.append(&frame)?;
        self.journal.sync()?;
        group.into_iter().for_each(|entry| self.tail.push(entry));
        if self.tail.size.is_multiple_of(TILE_WIDTH) {
            let completed = self.tail.take_completed();
            let begun = self.next_bundle(storage, publisher, origin, &completed);
            if begun.is_err() {
                self.unwritten = completed;
            }
            return begun;
        }
        Ok(())
    }

    /// The write-ahead file goes only after everything in it stands in durable tiles.
    pub(crate) fn next_bundle(
        &mut self,
        storage: &dyn Storage,
        publisher: &Publisher,
        origin: &str,
        completed: &[Completed],
    ) -> io::Result<()> {
        let entries = std::mem::take(&mut self.tail.entries);
        let bundle = self.tail.size / TILE_WIDTH;
        publisher.full_tiles(storage, bundle - 1, &entries, completed)?;
        self.journal = Publisher::write(storage, &journal_path(bundle), &[])?;
        self.chain = Chain::start(origin, bundle);
        storage.remove(&journal_path(bundle - 1))
    }
}

fn is_entry(entry: &[u8]) -> bool {
    let sized = (1..=LEAF_MAX).contains(&entry.len());
    let mut run = 0;
    let zeros = entry.iter().any(|byte| {
        run = if *byte == 0 { run + 1 } else { 0 };
        run > ZEROS_MAX
    });
    sized && !zeros
}

fn stopped(error: &io::Error, what: &str) -> Stopped {
    format!("{what} could not be written: {error}").into()
}
