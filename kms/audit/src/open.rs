//! Opening: what a crash left is repaired, what anything else left is refused.

use std::io;
use std::sync::{Arc, Mutex};

use obol_log::{Checkpoint, Hash, LogKey, Note, SignatureRefused, TILE_WIDTH, root};
use thiserror::Error;

use crate::journal::{Chain, End, JOURNAL_MAX, scan};
use crate::log::{AuditLog, Writer};
use crate::publish::{CHECKPOINT, JOURNAL, PART, Publisher, WITNESSED, journal_path};
use crate::queue::Queue;
use crate::reader::{ReadError, read_head};
use crate::signer::CheckpointSigner;
use crate::storage::{Lock, Storage, StoredFile};
use crate::tail::{Tail, Tree};

/// What is known about a log from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    /// Keys that signed earlier checkpoints of this log.
    pub former_keys: Vec<LogKey>,
    /// The last tree head that was kept outside the folder, such as a witness's: a log that does
    /// not continue it was rolled back or rewritten.
    pub kept: Option<Checkpoint>,
}

/// Why a log was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process, or another part of this one, has it open.
    #[error("the log is open already")]
    InUse,
    /// The origin can be no line of a checkpoint.
    #[error("origin {0:?} is no line of 1 to 255 bytes")]
    Origin(String),
    /// The system's error.
    #[error("the log's folder cannot be used")]
    Io(#[from] io::Error),
    /// A file that was durable is missing or cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The write-ahead file is missing, though the folder holds a log.
    #[error("the folder holds a log without its write-ahead file")]
    NoJournal,
    /// The write-ahead file was changed where no interrupted write could have changed it.
    #[error("{path}, byte {at}: {rule}")]
    Damaged {
        /// The file.
        path: String,
        /// Offset.
        at: usize,
        /// What stands there.
        rule: &'static str,
    },
    /// A checkpoint in the folder is not signed by the log's key or a former one.
    #[error("the file {file}: {source}")]
    Signature {
        /// The file.
        file: &'static str,
        /// Why it is not believed.
        source: SignatureRefused,
    },
    /// A checkpoint in the folder, or the one kept elsewhere, is of another log.
    #[error("{known} is of {found}, not of {expected}")]
    Origins {
        /// Which checkpoint.
        known: &'static str,
        /// Its origin.
        found: String,
        /// The origin asked for.
        expected: String,
    },
    /// Entries that were there are gone.
    #[error("the log was rolled back: it has {found} entries, {known} has {size}")]
    RolledBack {
        /// Entries found.
        found: u64,
        /// Which checkpoint has more.
        known: &'static str,
        /// Entries that it covers.
        size: u64,
    },
    /// Entries that were there are others now.
    #[error(
        "the log was rewritten: its first {size} entries have root {found}, {known} has {expected}"
    )]
    Rewritten {
        /// Entries compared.
        size: u64,
        /// Root found.
        found: Hash,
        /// Which checkpoint says otherwise.
        known: &'static str,
        /// Its root.
        expected: Hash,
    },
}

impl AuditLog {
    /// As [`AuditLog::open`], in any storage.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_in(
        storage: Arc<dyn Storage>,
        origin: &str,
        signer: Arc<dyn CheckpointSigner>,
        trusted: &Trusted,
    ) -> Result<Self, OpenError> {
        let probe = Checkpoint {
            origin: origin.to_owned(),
            size: 0,
            root: obol_log::EMPTY_ROOT,
        };
        let good = Note::new(probe.to_text()).is_some();
        if !good || Checkpoint::parse(&probe.to_text()) != Ok(probe) {
            return Err(OpenError::Origin(origin.to_owned()));
        }
        let lock = take_lock(&*storage)?;
        let keys = keys(&*signer, &trusted.former_keys);
        let opened = Opened::of(&*storage, origin, keys, trusted.kept.as_ref())?;
        Ok(Self {
            origin: origin.to_owned(),
            queue: Queue::starting_at(opened.writer.tail.size),
            writer: Mutex::new(opened.writer),
            publisher: opened.publisher,
            published: Mutex::new(opened.published),
            former_keys: trusted.former_keys.clone(),
            storage,
            signer,
            _lock: lock,
        })
    }

    /// Opens a log anew that has stopped, without letting anybody else have it: it must continue
    /// what this one has promised. Whoever waits for an entry is told that it stopped. A log that
    /// has not stopped, or in which somebody still writes, is left as it is.
    ///
    /// # Errors
    /// [`OpenError`]; the log stays stopped, and may be tried again.
    pub fn reopen(&self) -> Result<(), OpenError> {
        let mut published = self
            .published
            .lock()
            .expect("no holder of this lock panics");
        let mut writer = self.writer.lock().expect("no holder of this lock panics");
        if !self.queue.rests() {
            return Ok(());
        }
        let tree = Tree {
            storage: &*self.storage,
            tail: &writer.tail,
            unwritten: &writer.unwritten,
        };
        let size = writer.tail.size;
        let promised = Checkpoint {
            origin: self.origin.clone(),
            size,
            root: root(&tree, size).map_err(ReadError::Tile)?,
        };
        let keys = keys(&*self.signer, &self.former_keys);
        let opened = Opened::of(&*self.storage, &self.origin, keys, Some(&promised))?;
        self.queue.go_on(opened.writer.tail.size);
        *writer = opened.writer;
        *published = opened.published;
        self.publisher.begin_again(opened.publisher);
        Ok(())
    }
}

fn keys<'a>(signer: &'a dyn CheckpointSigner, former: &'a [LogKey]) -> Vec<&'a LogKey> {
    std::iter::once(signer.key()).chain(former).collect()
}

/// What opening finds in a folder, and repairs there.
struct Opened {
    writer: Writer,
    publisher: Publisher,
    published: Option<(u64, Note)>,
}

impl Opened {
    fn of(
        storage: &dyn Storage,
        origin: &str,
        keys: Vec<&LogKey>,
        kept: Option<&Checkpoint>,
    ) -> Result<Opened, OpenError> {
        let (bundle, entries) = recovered(storage, origin)?;
        let mut tail = Tail::read(storage, bundle).map_err(ReadError::Tile)?;
        entries.iter().for_each(|entry| tail.push(entry.clone()));
        let completed = tail.take_completed();
        let tree = Tree {
            storage,
            tail: &tail,
            unwritten: &completed,
        };
        let heads = Heads { tree, origin, keys };
        let published = heads.check(kept)?;

        // Only a log that is what it should be is touched.
        let covered = published.as_ref().map_or(0, |(size, _)| *size);
        let publisher = Publisher::new(bundle, covered);
        let (journal, chain) = rewrite(storage, origin, bundle, &entries)?;
        let mut writer = Writer {
            journal,
            chain,
            tail,
            unwritten: Vec::new(),
        };
        if !completed.is_empty() {
            writer.next_bundle(storage, &publisher, origin, &completed)?;
        }
        remove_leftovers(storage, writer.tail.size / TILE_WIDTH)?;
        Ok(Opened {
            writer,
            publisher,
            published,
        })
    }
}

fn take_lock(storage: &dyn Storage) -> Result<Box<dyn Lock>, OpenError> {
    storage.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse,
        _ => OpenError::Io(error),
    })
}

/// The bundle that is being filled and its entries.
fn recovered(storage: &dyn Storage, origin: &str) -> Result<(u64, Vec<Vec<u8>>), OpenError> {
    let names = storage.list("")?;
    let bundles = names.iter().filter_map(|name| journal_bundle(name));
    let Some(bundle) = bundles.max() else {
        let begun = names
            .iter()
            .any(|name| name == CHECKPOINT || name == "tile/");
        return if begun {
            Err(OpenError::NoJournal)
        } else {
            Ok((0, Vec::new()))
        };
    };
    let path = journal_path(bundle);
    let bytes = read(storage, &path, JOURNAL_MAX)?;
    let scan = scan(&bytes, origin, bundle);
    match scan.end {
        End::Damaged { at, rule } => Err(OpenError::Damaged { path, at, rule }),
        End::Clean | End::Torn { .. } => Ok((bundle, scan.entries)),
    }
}

fn read(storage: &dyn Storage, path: &str, limit: usize) -> Result<Vec<u8>, OpenError> {
    let bytes = storage.read(path, limit)?;
    bytes.ok_or(OpenError::NoJournal)
}

/// The bundle of a write-ahead file's name.
pub(crate) fn journal_bundle(name: &str) -> Option<u64> {
    let bundle = name.strip_prefix(JOURNAL)?.parse().ok()?;
    (journal_path(bundle) == name).then_some(bundle)
}

/// Writes what was recovered into a new file. The old one may show bytes that a failed sync left in
/// memory alone; they would be trusted now and gone after the next power cut.
fn rewrite(
    storage: &dyn Storage,
    origin: &str,
    bundle: u64,
    entries: &[Vec<u8>],
) -> io::Result<(Box<dyn StoredFile>, Chain)> {
    let mut chain = Chain::start(origin, bundle);
    let frame = if entries.is_empty() {
        Vec::new()
    } else {
        chain.frame(bundle * TILE_WIDTH, entries)
    };
    let journal = Publisher::write(storage, &journal_path(bundle), &frame)?;
    Ok((journal, chain))
}

/// Removes what a crash left half done: files that were being written, and the write-ahead file of
/// a bundle whose entries all stand in durable tiles.
fn remove_leftovers(storage: &dyn Storage, bundle: u64) -> io::Result<()> {
    for name in storage.list("")? {
        let older = journal_bundle(&name).is_some_and(|old| old < bundle);
        if older || name.ends_with(PART) {
            storage.remove(&name)?;
        }
    }
    Ok(())
}

/// The tree heads that a log must continue.
struct Heads<'a> {
    tree: Tree<'a>,
    origin: &'a str,
    keys: Vec<&'a LogKey>,
}

impl Heads<'_> {
    /// Compares with each head that is known; returns the published one.
    fn check(&self, kept: Option<&Checkpoint>) -> Result<Option<(u64, Note)>, OpenError> {
        if let Some(kept) = kept {
            self.continues(kept, "the checkpoint kept elsewhere")?;
        }
        self.signed(WITNESSED)?;
        self.signed(CHECKPOINT)
    }

    fn signed(&self, file: &'static str) -> Result<Option<(u64, Note)>, OpenError> {
        let Some((head, note)) = read_head(self.tree.storage, file)? else {
            return Ok(None);
        };
        let mut refused = None;
        let believed = self.keys.iter().any(|key| match key.verify(&note) {
            Ok(()) => true,
            Err(source) => {
                refused.get_or_insert(source);
                false
            }
        });
        if let (false, Some(source)) = (believed, refused) {
            return Err(OpenError::Signature { file, source });
        }
        self.continues(&head, file)?;
        Ok(Some((head.size, note)))
    }

    fn continues(&self, head: &Checkpoint, known: &'static str) -> Result<(), OpenError> {
        if head.origin != self.origin {
            return Err(OpenError::Origins {
                known,
                found: head.origin.clone(),
                expected: self.origin.to_owned(),
            });
        }
        let size = head.size;
        if size > self.tree.tail.size {
            let found = self.tree.tail.size;
            return Err(OpenError::RolledBack { found, known, size });
        }
        let found = root(&self.tree, size).map_err(ReadError::Tile)?;
        if found == head.root {
            return Ok(());
        }
        Err(OpenError::Rewritten {
            size,
            found,
            known,
            expected: head.root,
        })
    }
}
