//! What a publication is made from.

use std::collections::{BTreeMap, BTreeSet};

use miette::Diagnostic;
use obol_credential::{Kid, STATUS_EPOCH_S, UnixTime, is_name};
use obol_fare::FarePack;
use obol_trust::{StatusList, StatusListId, StatusListSize, SuspendedKeys, TooManySuspended};
use thiserror::Error;

use crate::register::DeniedIndexes;

/// Days behind today for which there are lists: a credential lives 48 h, and clocks differ.
pub const EPOCHS_BACK: u32 = 3;
/// Days ahead for which there are lists, empty ones: a terminal that hears nothing for 96 h still
/// finds the list of each credential that it is shown.
pub const EPOCHS_AHEAD: u32 = 5;

const SUSPENDED: &str = "denylist/suspended.cbor";

/// Why inputs cannot be published.
#[derive(Debug, Error, Diagnostic)]
pub enum InputsRefused {
    /// An index beyond the list.
    #[error("index {index} of key {kid} is beyond a list of {size} entries")]
    #[diagnostic(help("set status_list_size back: terminals refuse what is beyond a list"))]
    Beyond {
        /// The key.
        kid: Kid,
        /// The index.
        index: u32,
        /// The list's length.
        size: u32,
    },
    /// A length that no list has.
    #[error(transparent)]
    #[diagnostic(help("correct status_list_size"))]
    Size(#[from] StatusListSize),
    /// Too many suspended keys.
    #[error(transparent)]
    #[diagnostic(help("take the retired ones out of the bundle instead"))]
    Suspended(#[from] TooManySuspended),
    /// No fare pack, or not an operator's name.
    #[error("the fare pack of operator {operator:?} is refused: {reason}")]
    #[diagnostic(help("send the bytes that the tariff tools made, under the operator's name"))]
    Fares {
        /// The operator.
        operator: String,
        /// What is wrong.
        reason: String,
    },
}

/// Everything that the online roles say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    size: u32,
    lists: BTreeMap<(Kid, u32), Vec<u32>>,
    suspended: BTreeSet<Kid>,
    fares: BTreeMap<String, Vec<u8>>,
}

impl Inputs {
    /// Of the keys of the bundle: a list for each day from [`EPOCHS_BACK`] to [`EPOCHS_AHEAD`], and
    /// in them what the register denies.
    #[must_use]
    pub fn new(keys: &[Kid], size: u32, denied: Vec<DeniedIndexes>, now: UnixTime) -> Self {
        let today = now.0 / STATUS_EPOCH_S;
        let mut lists = BTreeMap::new();
        for kid in keys {
            for epoch in today.saturating_sub(EPOCHS_BACK)..=today.saturating_add(EPOCHS_AHEAD) {
                lists.insert((*kid, epoch), Vec::new());
            }
        }
        for list in denied {
            lists.insert((list.kid, list.epoch), list.indexes);
        }
        Self {
            size,
            lists,
            suspended: BTreeSet::new(),
            fares: BTreeMap::new(),
        }
    }

    /// Blocks these keys at once.
    #[must_use]
    pub fn suspending(mut self, kids: impl IntoIterator<Item = Kid>) -> Self {
        self.suspended.extend(kids);
        self
    }

    /// With an operator's fare pack.
    ///
    /// # Errors
    /// [`InputsRefused::Fares`].
    pub fn with_fares(mut self, operator: &str, bytes: Vec<u8>) -> Result<Self, InputsRefused> {
        let refused = |reason: String| InputsRefused::Fares {
            operator: operator.to_owned(),
            reason,
        };
        if !is_name(operator) {
            return Err(refused("not a name of 1 to 32 of a-z 0-9 -".to_owned()));
        }
        FarePack::decode(&bytes).map_err(|malformed| refused(malformed.to_string()))?;
        self.fares.insert(operator.to_owned(), bytes);
        Ok(self)
    }

    /// The files of the role, each list made anew only where it denies others than before.
    pub(super) fn denylist(
        &self,
        made: &mut MadeLists,
    ) -> Result<BTreeMap<String, Vec<u8>>, InputsRefused> {
        let suspended = SuspendedKeys::new(self.suspended.iter().copied().collect())?;
        let mut files = BTreeMap::from([(SUSPENDED.to_owned(), suspended.encode())]);
        made.begin(self.size)?;
        for ((kid, epoch), indexes) in &self.lists {
            let id = StatusListId {
                kid: *kid,
                epoch: *epoch,
            };
            files.insert(path(id), made.list(id, indexes)?);
        }
        made.lists
            .retain(|id, _| self.lists.contains_key(&(id.kid, id.epoch)));
        Ok(files)
    }

    pub(super) fn fares(&self) -> BTreeMap<String, Vec<u8>> {
        let file = |(operator, bytes): (&String, &Vec<u8>)| {
            (format!("fares/{operator}.cbor"), bytes.clone())
        };
        self.fares.iter().map(file).collect()
    }
}

/// Status lists as they were made last. A revocation costs the work on its own list, not on all.
#[derive(Debug, Default)]
pub(super) struct MadeLists {
    size: u32,
    nobody: Vec<u8>,
    lists: BTreeMap<StatusListId, (Vec<u32>, Vec<u8>)>,
    count: u64,
}

impl MadeLists {
    /// How many lists were made, rather than taken as they were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Lists of another size are other lists.
    fn begin(&mut self, size: u32) -> Result<(), InputsRefused> {
        if self.size != size || self.nobody.is_empty() {
            self.lists.clear();
            self.nobody = StatusList::empty(size as usize)?.encode();
            self.size = size;
            self.count += 1;
        }
        Ok(())
    }

    fn list(&mut self, id: StatusListId, indexes: &[u32]) -> Result<Vec<u8>, InputsRefused> {
        if indexes.is_empty() {
            return Ok(self.nobody.clone());
        }
        if let Some((_, bytes)) = self
            .lists
            .get(&id)
            .filter(|(made_of, _)| made_of == indexes)
        {
            return Ok(bytes.clone());
        }
        let mut list = StatusList::empty(self.size as usize)?;
        for index in indexes {
            list.deny(*index).ok_or(InputsRefused::Beyond {
                kid: id.kid,
                index: *index,
                size: self.size,
            })?;
        }
        let bytes = list.encode();
        self.count += 1;
        self.lists.insert(id, (indexes.to_vec(), bytes.clone()));
        Ok(bytes)
    }
}

fn path(id: StatusListId) -> String {
    format!("denylist/{}-{}.cbor", id.kid, id.epoch)
}
