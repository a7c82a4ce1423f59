use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

pub(crate) type Id = usize;
pub(crate) type Names = BTreeMap<String, Id>;

/// A file system in memory. Clones share it.
#[derive(Clone)]
pub struct FaultFs {
    state: Arc<Mutex<State>>,
}

/// A file that is being written.
pub struct FaultFile {
    fs: FaultFs,
    id: Id,
    path: String,
}

/// A file or a folder.
#[derive(Clone)]
pub(crate) enum Node {
    File {
        durable: Vec<u8>,
        /// Changes since the last sync.
        writes: Vec<Write>,
        /// What a running system reads: also changes that a failed sync has given up, which the
        /// medium never will have.
        seen: Vec<u8>,
    },
    Folder {
        durable: Names,
        /// Changes of names since the last sync, each atomic.
        changes: Vec<Change>,
    },
}

/// What one call did to a file's bytes.
#[derive(Clone)]
pub(crate) enum Write {
    At(usize, Vec<u8>),
    Truncate(usize),
}

/// What one call did to a folder's names: removed some, then added some.
#[derive(Clone, Default)]
pub(crate) struct Change {
    pub(crate) removed: Vec<String>,
    pub(crate) added: Vec<(String, Id)>,
}

#[derive(Clone)]
pub(crate) struct State {
    pub(crate) nodes: Vec<Node>,
    syncs: Vec<String>,
    ignored: Option<usize>,
    failing: Option<usize>,
    operations: u64,
    capacity: Option<usize>,
    power_fails_at: Option<u64>,
    /// How many more moments to keep, and those kept: the state before each call.
    moments: usize,
    kept: Vec<Vec<Node>>,
}

pub(crate) const ROOT: Id = 0;
/// How many states are kept after a sync that was ignored.
const MOMENTS: usize = 24;

impl Default for FaultFs {
    fn default() -> Self {
        let root = Node::Folder {
            durable: Names::new(),
            changes: Vec::new(),
        };
        Self::of(vec![root])
    }
}

impl FaultFs {
    pub(crate) fn of(nodes: Vec<Node>) -> Self {
        let state = State {
            nodes,
            syncs: Vec::new(),
            ignored: None,
            failing: None,
            operations: 0,
            capacity: None,
            power_fails_at: None,
            moments: 0,
            kept: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A disk with the same content, written and durable, and a life of its own.
    #[must_use]
    pub fn copy(&self) -> FaultFs {
        FaultFs::of(self.nodes())
    }

    /// Takes on the content of another disk.
    pub fn become_copy_of(&self, other: &FaultFs) {
        let nodes = other.nodes();
        self.lock().nodes = nodes;
    }

    /// Lets the `n`-th sync from now, counted from 0 as [`FaultFs::syncs`] counts, succeed without
    /// doing anything. The state before each of the next calls that change something is kept for
    /// [`FaultFs::moments`]: what one sync protects, a later one may protect as well.
    pub fn ignore_sync(&self, n: usize) {
        let mut state = self.lock();
        state.ignored = Some(state.syncs.len() + n);
    }

    /// The states that were kept since the last call of this, oldest first.
    #[must_use]
    pub fn moments(&self) -> Vec<FaultFs> {
        let kept = std::mem::take(&mut self.lock().kept);
        kept.into_iter().map(FaultFs::of).collect()
    }

    /// Lets the `n`-th sync from now fail, and what it should have made durable never be so, though
    /// a running system goes on to show it: what Linux does with pages that it could not write.
    pub fn fail_sync(&self, n: usize) {
        let mut state = self.lock();
        state.failing = Some(state.syncs.len() + n);
    }

    /// The syncs that had something to make durable, in their order: files by the path they were
    /// made at, folders with a `/` at the end.
    #[must_use]
    pub fn syncs(&self) -> Vec<String> {
        self.lock().syncs.clone()
    }

    /// How many calls there were that change something or sync it.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Lets the `n`-th such call, counted from 0, and every later one fail: the power is gone.
    pub fn fail_power_at(&self, n: u64) {
        self.lock().power_fails_at = Some(n);
    }

    /// As [`FaultFs::fail_power_at`] did not happen: it was the process that died, not the machine.
    pub fn revive(&self) {
        self.lock().power_fails_at = None;
    }

    /// Makes an empty file, in the place of one that is there.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without its folder.
    pub fn create(&self, path: &str) -> io::Result<FaultFile> {
        let mut state = self.operation()?;
        let (folder, name) = state.place(path)?;
        let id = state.nodes.len();
        state.nodes.push(Node::File {
            durable: Vec::new(),
            writes: Vec::new(),
            seen: Vec::new(),
        });
        state.change(folder, &[], Some((name, id)));
        drop(state);
        let (fs, path) = (self.clone(), path.to_owned());
        Ok(FaultFile { fs, id, path })
    }

    /// A file that is there; `None` when there is none.
    #[must_use]
    pub fn open(&self, path: &str) -> Option<FaultFile> {
        let state = self.lock();
        let id = state.find(path)?;
        let is_file = matches!(state.nodes[id], Node::File { .. });
        drop(state);
        let (fs, path) = (self.clone(), path.to_owned());
        is_file.then_some(FaultFile { fs, id, path })
    }

    /// Lets writes fail with [`ErrorKind::StorageFull`] that would take more than so many bytes;
    /// `None` for a disk without end.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.lock().capacity = bytes;
    }

    /// Bytes that all files take together.
    #[must_use]
    pub fn size(&self) -> usize {
        self.lock().size()
    }

    /// Turns one bit over in a file, on the medium and for whoever reads it.
    pub fn flip_bit(&self, path: &str, bit: usize) {
        let mut state = self.lock();
        let Some(id) = state.find(path) else { return };
        if let Node::File { durable, seen, .. } = &mut state.nodes[id] {
            for bytes in [durable, seen] {
                if let Some(byte) = bytes.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }

    /// The bytes of a file as a running system sees them; `None` when there is none.
    ///
    /// # Errors
    /// [`ErrorKind::IsADirectory`].
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let state = self.lock();
        match state.find(path).map(|id| &state.nodes[id]) {
            None => Ok(None),
            Some(Node::File { seen, .. }) => Ok(Some(seen.clone())),
            Some(Node::Folder { .. }) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    /// The names in a folder, those of folders with a `/` at the end; none when there is none.
    #[must_use]
    pub fn list(&self, path: &str) -> Vec<String> {
        let state = self.lock();
        let Some(names) = state.find(path).and_then(|id| state.names(id)) else {
            return Vec::new();
        };
        let shown = |(name, id): (String, Id)| match state.nodes[id] {
            Node::File { .. } => name,
            Node::Folder { .. } => format!("{name}/"),
        };
        names.into_iter().map(shown).collect()
    }

    /// Makes a folder; no error when it is there.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without the folder around it.
    pub fn create_folder(&self, path: &str) -> io::Result<()> {
        let mut state = self.operation()?;
        if state.find(path).is_some() {
            return Ok(());
        }
        let (folder, name) = state.place(path)?;
        let id = state.nodes.len();
        state.nodes.push(Node::Folder {
            durable: Names::new(),
            changes: Vec::new(),
        });
        state.change(folder, &[], Some((name, id)));
        Ok(())
    }

    /// Gives a file another name in its folder.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::CrossesDevices`] for another folder.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.operation()?;
        let id = state.find(from).ok_or(ErrorKind::NotFound)?;
        let (folder, old) = state.place(from)?;
        let (other, new) = state.place(to)?;
        if folder != other {
            return Err(ErrorKind::CrossesDevices.into());
        }
        state.change(folder, &[old], Some((new, id)));
        Ok(())
    }

    /// Gives a file a second name in its folder.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::AlreadyExists`]; [`ErrorKind::CrossesDevices`] for
    /// another folder.
    pub fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.operation()?;
        let id = state.find(from).ok_or(ErrorKind::NotFound)?;
        if state.find(to).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let (folder, _) = state.place(from)?;
        let (other, new) = state.place(to)?;
        if folder != other {
            return Err(ErrorKind::CrossesDevices.into());
        }
        state.change(folder, &[], Some((new, id)));
        Ok(())
    }

    /// Removes a file or an empty folder; no error when there is none.
    ///
    /// # Errors
    /// [`ErrorKind::DirectoryNotEmpty`].
    pub fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.operation()?;
        let Some(id) = state.find(path) else {
            return Ok(());
        };
        if state.names(id).is_some_and(|names| !names.is_empty()) {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        let (folder, name) = state.place(path)?;
        state.change(folder, &[name], None);
        Ok(())
    }

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// [`ErrorKind::NotADirectory`].
    pub fn sync_folder(&self, path: &str) -> io::Result<()> {
        let mut state = self.operation()?;
        let id = state.find(path).ok_or(ErrorKind::NotADirectory)?;
        state.sync(id, format!("{path}/"))
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.lock().nodes.clone()
    }

    /// Counts a call; fails it when the power is gone.
    fn operation(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        let number = state.operations;
        state.operations += 1;
        if state.power_fails_at.is_some_and(|at| number >= at) {
            return Err(io::Error::other("the power is gone"));
        }
        if state.moments > 0 {
            state.moments -= 1;
            let now = state.nodes.clone();
            state.kept.push(now);
        }
        Ok(state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl FaultFile {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// As [`FaultFile::write_at`].
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_at(self.len(), bytes)
    }

    /// Puts bytes anywhere; what lies between the old end and `at` is zeros.
    ///
    /// # Errors
    /// When the power is gone, and [`ErrorKind::StorageFull`].
    pub fn write_at(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.fs.operation()?;
        let grows = (at + bytes.len()).saturating_sub(state.seen(self.id).len());
        if state
            .capacity
            .is_some_and(|room| state.size() + grows > room)
            && grows > 0
        {
            return Err(ErrorKind::StorageFull.into());
        }
        state.write(self.id, Write::At(at, bytes.to_vec()));
        Ok(())
    }

    /// Makes the file so long, with zeros or by cutting it.
    ///
    /// # Errors
    /// When the power is gone.
    pub fn truncate(&mut self, len: usize) -> io::Result<()> {
        self.fs.operation()?.write(self.id, Write::Truncate(len));
        Ok(())
    }

    /// Fills as much of `into` as the file has from `at` on; returns how much.
    #[must_use]
    pub fn read_at(&self, at: usize, into: &mut [u8]) -> usize {
        let state = self.fs.lock();
        let from = state.seen(self.id).get(at..).unwrap_or(&[]);
        let len = from.len().min(into.len());
        into[..len].copy_from_slice(&from[..len]);
        len
    }

    /// Bytes of the file.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fs.lock().seen(self.id).len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the bytes durable. The name is another matter.
    ///
    /// # Errors
    /// When the power is gone, and where [`FaultFs::fail_sync`] says so.
    pub fn sync(&mut self) -> io::Result<()> {
        self.fs.operation()?.sync(self.id, self.path.clone())
    }
}

impl State {
    fn find(&self, path: &str) -> Option<Id> {
        let mut id = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            id = *self.names(id)?.get(name)?;
        }
        Some(id)
    }

    fn names(&self, id: Id) -> Option<Names> {
        match &self.nodes[id] {
            Node::File { .. } => None,
            Node::Folder { durable, changes } => {
                let mut names = durable.clone();
                changes.iter().for_each(|change| change.apply(&mut names));
                Some(names)
            }
        }
    }

    /// The folder a path lies in, and its name there.
    fn place(&self, path: &str) -> io::Result<(Id, String)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let id = self.find(folder).ok_or(ErrorKind::NotFound)?;
        Ok((id, name.to_owned()))
    }

    fn seen(&self, id: Id) -> &[u8] {
        match &self.nodes[id] {
            Node::File { seen, .. } => seen,
            Node::Folder { .. } => &[],
        }
    }

    fn size(&self) -> usize {
        (0..self.nodes.len()).map(|id| self.seen(id).len()).sum()
    }

    fn write(&mut self, id: Id, write: Write) {
        if let Node::File { writes, seen, .. } = &mut self.nodes[id] {
            write.apply(seen);
            writes.push(write);
        }
    }

    fn change(&mut self, folder: Id, removed: &[String], added: Option<(String, Id)>) {
        if let Node::Folder { changes, .. } = &mut self.nodes[folder] {
            changes.push(Change {
                removed: removed.to_vec(),
                added: added.into_iter().collect(),
            });
        }
    }

    fn sync(&mut self, id: Id, name: String) -> io::Result<()> {
        let waiting = match &self.nodes[id] {
            Node::File { writes, .. } => !writes.is_empty(),
            Node::Folder { changes, .. } => !changes.is_empty(),
        };
        if !waiting {
            return Ok(());
        }
        let number = self.syncs.len();
        self.syncs.push(name);
        if self.ignored == Some(number) {
            self.moments = MOMENTS;
            return Ok(());
        }
        let fails = self.failing == Some(number);
        match &mut self.nodes[id] {
            Node::File { writes, .. } if fails => writes.clear(),
            Node::File {
                durable, writes, ..
            } => writes.drain(..).for_each(|write| write.apply(durable)),
            Node::Folder { durable, changes } => {
                changes.iter().for_each(|change| change.apply(durable));
                changes.clear();
            }
        }
        if fails {
            Err(io::Error::other("the medium failed"))
        } else {
            Ok(())
        }
    }
}

impl Change {
    pub(crate) fn apply(&self, names: &mut Names) {
        for name in &self.removed {
            names.remove(name);
        }
        for (name, id) in &self.added {
            names.insert(name.clone(), *id);
        }
    }
}

impl Write {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Write::At(at, piece) => {
                let end = at + piece.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(piece);
            }
            Write::Truncate(len) => bytes.resize(*len, 0),
        }
    }
}
