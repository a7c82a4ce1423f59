//! What connections of one process share: locks on files, and the memory of a WAL's index.

use std::collections::BTreeMap;

use rusqlite::ffi::{
    SQLITE_BUSY, SQLITE_LOCK_EXCLUSIVE, SQLITE_LOCK_RESERVED, SQLITE_LOCK_SHARED, SQLITE_OK,
};

/// A connection's file.
pub(super) type Holder = usize;
type Code = std::ffi::c_int;

/// Who holds which lock on a file (sqlite.org/lockingv3.html).
#[derive(Default)]
pub(super) struct Locks(BTreeMap<Holder, Code>);

impl Locks {
    pub(super) fn lock(&mut self, holder: Holder, level: Code) -> Code {
        let own = self.0.get(&holder).copied().unwrap_or(0);
        if own >= level {
            return SQLITE_OK;
        }
        let others = self.0.iter().filter(|(other, _)| **other != holder);
        let highest = others.map(|(_, level)| *level).max().unwrap_or(0);
        let allowed = match level {
            SQLITE_LOCK_SHARED => highest < SQLITE_LOCK_EXCLUSIVE,
            SQLITE_LOCK_RESERVED => highest < SQLITE_LOCK_RESERVED,
            _ => highest < SQLITE_LOCK_SHARED,
        };
        if !allowed {
            return SQLITE_BUSY;
        }
        self.0.insert(holder, level);
        SQLITE_OK
    }

    pub(super) fn unlock(&mut self, holder: Holder, level: Code) {
        if level == 0 {
            self.0.remove(&holder);
        } else if let Some(own) = self.0.get_mut(&holder) {
            *own = level.min(*own);
        }
    }

    pub(super) fn reserved(&self) -> bool {
        self.0.values().any(|level| *level >= SQLITE_LOCK_RESERVED)
    }
}

/// The shared memory of a WAL: pieces that never move, and eight locks.
#[derive(Default)]
pub(super) struct Shared {
    pieces: Vec<Box<[u64]>>,
    users: BTreeMap<Holder, Masks>,
}

/// The locks that one connection holds, a bit each.
#[derive(Clone, Copy, Default)]
struct Masks {
    shared: u32,
    exclusive: u32,
}

/// How a lock is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Shared,
    Exclusive,
}

impl Shared {
    /// Where a piece lies; null when it does not exist and is not to be made.
    pub(super) fn piece(
        &mut self,
        holder: Holder,
        index: usize,
        size: usize,
        extend: Code,
    ) -> *mut std::ffi::c_void {
        self.users.entry(holder).or_default();
        while self.pieces.len() <= index {
            if extend == 0 {
                return std::ptr::null_mut();
            }
            self.pieces.push(vec![0; size.div_ceil(8)].into());
        }
        self.pieces[index].as_mut_ptr().cast()
    }

    pub(super) fn lock(&mut self, holder: Holder, mask: u32, mode: Mode) -> Code {
        let mut others = self.users.iter().filter(|(other, _)| **other != holder);
        let taken = others.any(|(_, masks)| match mode {
            Mode::Shared => masks.exclusive & mask != 0,
            Mode::Exclusive => (masks.exclusive | masks.shared) & mask != 0,
        });
        if taken {
            return SQLITE_BUSY;
        }
        let own = self.users.entry(holder).or_default();
        match mode {
            Mode::Shared => own.shared |= mask,
            Mode::Exclusive => own.exclusive |= mask,
        }
        SQLITE_OK
    }

    pub(super) fn unlock(&mut self, holder: Holder, mask: u32) {
        let own = self.users.entry(holder).or_default();
        own.shared &= !mask;
        own.exclusive &= !mask;
    }

    /// The last one to leave takes the memory along.
    pub(super) fn leave(&mut self, holder: Holder) {
        self.users.remove(&holder);
        if self.users.is_empty() {
            self.pieces.clear();
        }
    }
}
