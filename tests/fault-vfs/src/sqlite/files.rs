//! The methods of an open file (sqlite.org/c3ref/io_methods.html).

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use rusqlite::ffi::{
    SQLITE_FULL, SQLITE_IOCAP_POWERSAFE_OVERWRITE, SQLITE_IOERR_FSYNC, SQLITE_IOERR_SHORT_READ,
    SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_WRITE, SQLITE_NOTFOUND, SQLITE_OK, SQLITE_SHM_EXCLUSIVE,
    SQLITE_SHM_LOCK, sqlite3_file, sqlite3_io_methods,
};

use super::locks::{Holder, Mode};
use super::{Disk, held};
use crate::FaultFile;

const SECTOR: c_int = 512;

/// What SQLite keeps for an open file: `base` first, as it demands.
#[repr(C)]
pub(super) struct File {
    base: sqlite3_file,
    open: *mut Open,
}

pub(super) struct Open {
    pub(super) file: FaultFile,
    pub(super) disk: Arc<Disk>,
    pub(super) name: String,
    pub(super) holder: Holder,
    /// Its name is not durable yet: the next sync makes it so, as SQLite does on Unix.
    pub(super) new_name: bool,
}

impl File {
    /// Fills the memory that SQLite gives for a file.
    ///
    /// # Safety
    /// `file` points to at least `size_of::<File>()` writable bytes.
    pub(super) unsafe fn fill(file: *mut sqlite3_file, open: Open) {
        let content = File {
            base: sqlite3_file { pMethods: &METHODS },
            open: Box::into_raw(Box::new(open)),
        };
        // SAFETY: the caller gives room for it.
        unsafe { file.cast::<File>().write(content) };
    }
}

/// # Safety
/// `file` was filled by [`File::fill`] and is not closed.
unsafe fn open<'a>(file: *mut sqlite3_file) -> &'a mut Open {
    // SAFETY: the caller's promise; SQLite uses a file from one thread at a time.
    unsafe { &mut *(*file.cast::<File>()).open }
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes each file once; what `fill` boxed is taken back.
    let open = unsafe { Box::from_raw((*file.cast::<File>()).open) };
    if let Some(locks) = held(&open.disk.locks).get_mut(&open.name) {
        locks.unlock(open.holder, 0);
    }
    SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    into: *mut c_void,
    amount: c_int,
    at: i64,
) -> c_int {
    // SAFETY: SQLite gives `amount` writable bytes.
    let (open, into) = unsafe {
        let into = std::slice::from_raw_parts_mut(into.cast::<u8>(), amount as usize);
        (open(file), into)
    };
    let len = open.file.read_at(at as usize, into);
    into[len..].fill(0);
    if len == into.len() {
        SQLITE_OK
    } else {
        SQLITE_IOERR_SHORT_READ
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    amount: c_int,
    at: i64,
) -> c_int {
    // SAFETY: SQLite gives `amount` readable bytes.
    let (open, from) = unsafe {
        let from = std::slice::from_raw_parts(from.cast::<u8>(), amount as usize);
        (open(file), from)
    };
    match open.file.write_at(at as usize, from) {
        Ok(()) => SQLITE_OK,
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => SQLITE_FULL,
        Err(_) => SQLITE_IOERR_WRITE,
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, len: i64) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { open(file) };
    match open.file.truncate(len as usize) {
        Ok(()) => SQLITE_OK,
        Err(_) => SQLITE_IOERR_TRUNCATE,
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { open(file) };
    if open.file.sync().is_err() {
        return SQLITE_IOERR_FSYNC;
    }
    // unixSync lets an error of the folder's sync pass, and forgets that it was due.
    if std::mem::take(&mut open.new_name) && open.disk.fs.sync_folder("").is_err() {
        return SQLITE_OK;
    }
    SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: an open file, and a place for the answer.
    unsafe { *size = open(file).file.len() as i64 };
    SQLITE_OK
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { open(file) };
    let mut locks = held(&open.disk.locks);
    let locks = locks.entry(open.name.clone()).or_default();
    locks.lock(open.holder, level)
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { open(file) };
    let mut locks = held(&open.disk.locks);
    let locks = locks.entry(open.name.clone()).or_default();
    locks.unlock(open.holder, level);
    SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, found: *mut c_int) -> c_int {
    // SAFETY: an open file, and a place for the answer.
    unsafe {
        let open = open(file);
        let locks = held(&open.disk.locks);
        let reserved = locks.get(&open.name).is_some_and(super::Locks::reserved);
        *found = c_int::from(reserved);
    }
    SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    SECTOR
}

/// As SQLite assumes of every disk on Unix.
unsafe extern "C" fn device_characteristics(_: *mut sqlite3_file) -> c_int {
    SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    index: c_int,
    size: c_int,
    extend: c_int,
    place: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file, and a place for the answer.
    unsafe {
        let open = open(file);
        let mut shared = held(&open.disk.shared);
        let shared = shared.entry(open.name.clone()).or_default();
        *place = shared.piece(open.holder, index as usize, size as usize, extend);
    }
    SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    offset: c_int,
    n: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { open(file) };
    let mut shared = held(&open.disk.shared);
    let shared = shared.entry(open.name.clone()).or_default();
    let mask = ((1_u32 << n) - 1) << offset;
    if flags & SQLITE_SHM_LOCK == 0 {
        shared.unlock(open.holder, mask);
        return SQLITE_OK;
    }
    let mode = if flags & SQLITE_SHM_EXCLUSIVE != 0 {
        Mode::Exclusive
    } else {
        Mode::Shared
    };
    shared.lock(open.holder, mask, mode)
}

unsafe extern "C" fn shm_barrier(_: *mut sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: an open file.
    let open = unsafe { open(file) };
    if let Some(shared) = held(&open.disk.shared).get_mut(&open.name) {
        shared.leave(open.holder);
    }
    SQLITE_OK
}
