//! The methods of the file system (sqlite.org/c3ref/vfs.html).

use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::ffi::{
    SQLITE_CANTOPEN, SQLITE_IOERR_DELETE, SQLITE_IOERR_DELETE_NOENT, SQLITE_OK, SQLITE_OPEN_CREATE,
    SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_SUPER_JOURNAL, SQLITE_OPEN_WAL, sqlite3_file,
    sqlite3_vfs, sqlite3_vfs_register,
};

use super::files::{File, Open};
use super::{Disk, disk_of};
use crate::{FaultFile, FaultFs};

const NAME: &CStr = c"obol-fault";
const PATH_MAX: c_int = 1024;

pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let vfs = Box::leak(Box::new(sqlite3_vfs {
            iVersion: 1,
            szOsFile: size_of::<File>() as c_int,
            mxPathname: PATH_MAX,
            pNext: ptr::null_mut(),
            zName: NAME.as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_path_name),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: None,
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the VFS lives as long as the process.
        let code = unsafe { sqlite3_vfs_register(vfs, 1) };
        assert_eq!(code, SQLITE_OK, "SQLite does not take the VFS");
    });
}

/// # Safety
/// `name` is null or a C string.
unsafe fn text(name: *const c_char) -> Option<String> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    Some(name.to_string_lossy().into_owned())
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    static HOLDERS: AtomicUsize = AtomicUsize::new(1);
    // SAFETY: SQLite gives a name or null.
    let Some(opened) = (match unsafe { text(name) } {
        Some(path) => on_disk(&path, flags),
        None => temporary(),
    }) else {
        return SQLITE_CANTOPEN;
    };
    let (disk, name, found, new_name) = opened;
    let open = Open {
        file: found,
        disk,
        name,
        holder: HOLDERS.fetch_add(1, Ordering::Relaxed),
        new_name,
    };
    // SAFETY: SQLite gives `szOsFile` bytes for the file, and a place for the flags or null.
    unsafe {
        File::fill(file, open);
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    SQLITE_OK
}

type Opened = (std::sync::Arc<Disk>, String, FaultFile, bool);

fn on_disk(path: &str, flags: c_int) -> Option<Opened> {
    let (disk, name) = disk_of(path)?;
    if let Some(found) = disk.fs.open(&name) {
        return Some((disk, name, found, false));
    }
    if flags & SQLITE_OPEN_CREATE == 0 {
        return None;
    }
    let made = disk.fs.create(&name).ok()?;
    let journals = SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL;
    Some((disk, name, made, flags & journals != 0))
}

fn temporary() -> Option<Opened> {
    let fs = FaultFs::default();
    let file = fs.create("temporary").ok()?;
    let disk = Disk {
        fs,
        locks: std::sync::Mutex::default(),
        shared: std::sync::Mutex::default(),
    };
    Some((disk.into(), "temporary".to_owned(), file, false))
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite gives a name.
    let Some((disk, name)) = unsafe { text(name) }.and_then(|path| disk_of(&path)) else {
        return SQLITE_IOERR_DELETE;
    };
    if disk.fs.open(&name).is_none() {
        return SQLITE_IOERR_DELETE_NOENT;
    }
    let removed = disk.fs.remove(&name);
    let synced = removed.and_then(|()| match sync {
        0 => Ok(()),
        _ => disk.fs.sync_folder(""),
    });
    match synced {
        Ok(()) => SQLITE_OK,
        Err(_) => SQLITE_IOERR_DELETE,
    }
}

unsafe extern "C" fn access(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    _flags: c_int,
    found: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a name and a place for the answer.
    unsafe {
        let there = text(name)
            .and_then(|path| disk_of(&path))
            .and_then(|(disk, name)| disk.fs.open(&name));
        *found = c_int::from(there.is_some_and(|file| !file.is_empty()));
    }
    SQLITE_OK
}

unsafe extern "C" fn full_path_name(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite gives a name and `room` bytes.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes_with_nul();
        if name.len() > room as usize {
            return SQLITE_CANTOPEN;
        }
        ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len());
    }
    SQLITE_OK
}

/// SQLite draws its salts from here; for a test, numbers that differ are random enough.
unsafe extern "C" fn randomness(_: *mut sqlite3_vfs, amount: c_int, out: *mut c_char) -> c_int {
    static STATE: AtomicUsize = AtomicUsize::new(0x9e37_79b9);
    for place in 0..amount as usize {
        let drawn = STATE.fetch_add(0x5851_f42d, Ordering::Relaxed);
        // SAFETY: SQLite gives `amount` bytes.
        unsafe { *out.add(place) = (drawn >> 7) as c_char };
    }
    amount
}

unsafe extern "C" fn sleep(_: *mut sqlite3_vfs, microseconds: c_int) -> c_int {
    std::thread::sleep(std::time::Duration::from_micros(microseconds as u64));
    microseconds
}

/// A Julian day; nothing here asks SQLite for the time.
unsafe extern "C" fn current_time(_: *mut sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: a place for the answer.
    unsafe { *out = 2_461_000.5 };
    SQLITE_OK
}
