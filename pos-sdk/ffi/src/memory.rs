//! Everything that touches a pointer of the caller's. Sound as long as the caller keeps what the
//! header demands: pointers valid for their lengths, the terminal's memory used by one thread at a
//! time, and moved or freed by nobody while it is open.
#![allow(unsafe_code)]

use core::{ffi::c_char, ptr, slice};

use crate::{ObolPosCode, context::Context, ports::ObolPosFile, types::write_text};

/// A terminal's memory begins at a multiple of this.
pub const OBOL_POS_ALIGNMENT: usize = 16;
const ALIGNMENT: usize = OBOL_POS_ALIGNMENT;
const _: () = assert!(align_of::<ObolPos>() <= ALIGNMENT);
const MAGIC: u64 = 0x4f42_4f4c_504f_5301;

/// A terminal in memory of the caller's.
#[derive(Debug)]
pub struct ObolPos {
    magic: u64,
    context: Context,
}

/// Looks at the memory that a terminal shall take.
pub(crate) fn fits(memory: *mut ObolPos, size: usize) -> Result<(), ObolPosCode> {
    if memory.is_null() {
        return Err(ObolPosCode::OBOL_POS_ERROR_NULL);
    }
    if !memory.addr().is_multiple_of(ALIGNMENT) {
        return Err(ObolPosCode::OBOL_POS_ERROR_ALIGNMENT);
    }
    if size < size_of::<ObolPos>() {
        return Err(ObolPosCode::OBOL_POS_ERROR_MEMORY);
    }
    Ok(())
}

/// # Safety
/// `memory` is valid for writes of an [`ObolPos`], and [`fits`] has looked at it.
pub(crate) unsafe fn place(memory: *mut ObolPos, context: Context) {
    let magic = MAGIC;
    // SAFETY: as the caller vouches.
    unsafe { memory.write(ObolPos { magic, context }) };
}

/// Takes the terminal out of `memory`, which holds none afterwards.
///
/// # Safety
/// As for [`context`].
pub(crate) unsafe fn take(memory: *mut ObolPos) -> Result<Context, ObolPosCode> {
    // SAFETY: as the caller vouches; the mark goes first, so that nobody takes it twice.
    unsafe {
        context(memory)?;
        ptr::addr_of_mut!((*memory).magic).write(0);
        Ok(ptr::addr_of!((*memory).context).read())
    }
}

/// The terminal at `memory`.
///
/// # Safety
/// `memory` is NULL, or valid for reads of an [`ObolPos`] and used by nobody else during the call.
pub(crate) unsafe fn context<'a>(memory: *mut ObolPos) -> Result<&'a mut Context, ObolPosCode> {
    fits(memory, size_of::<ObolPos>())?;
    // SAFETY: aligned, and the caller vouches for the rest. The mark is read before anything else.
    unsafe {
        if ptr::addr_of!((*memory).magic).read() != MAGIC {
            return Err(ObolPosCode::OBOL_POS_ERROR_NOT_OPEN);
        }
        Ok(&mut (*memory).context)
    }
}

/// `len` bytes at `data`; NULL is good for none.
///
/// # Safety
/// `data` is NULL or valid for reads of `len` bytes during the call.
pub(crate) unsafe fn bytes<'a>(data: *const u8, len: usize) -> Result<&'a [u8], ObolPosCode> {
    match (data.is_null(), len) {
        (true, 0) => Ok(&[]),
        (true, _) => Err(ObolPosCode::OBOL_POS_ERROR_NULL),
        (false, len) if len > isize::MAX as usize => Err(ObolPosCode::OBOL_POS_ERROR_MEMORY),
        // SAFETY: not NULL, bytes need no alignment, and the caller vouches for the length.
        (false, len) => Ok(unsafe { slice::from_raw_parts(data, len) }),
    }
}

/// The path of a folder.
///
/// # Safety
/// `path` is NULL or valid for reads of `len` bytes during the call.
pub(crate) unsafe fn path<'a>(path: *const c_char, len: usize) -> Result<&'a str, ObolPosCode> {
    // SAFETY: as the caller vouches.
    let bytes = unsafe { bytes(path.cast(), len)? };
    let text = core::str::from_utf8(bytes).ok().filter(|t| !t.is_empty());
    text.ok_or(ObolPosCode::OBOL_POS_ERROR_PATH)
}

/// Writes `reason` where the caller wants to read it: NULL, or `size` bytes.
///
/// # Safety
/// `room` is NULL or valid for writes of `size` bytes.
pub(crate) unsafe fn say(reason: &str, room: *mut c_char, size: usize) {
    if room.is_null() || size > isize::MAX as usize {
        return;
    }
    // SAFETY: zeros make the memory a slice of characters whatever stood there.
    let room = unsafe {
        ptr::write_bytes(room, 0, size);
        slice::from_raw_parts_mut(room, size)
    };
    write_text(reason, room);
}

/// Writes a text that must not be cut, closed by a NUL, to `room`, which has `size` bytes.
///
/// # Safety
/// `room` is NULL or valid for writes of `size` bytes.
pub(crate) unsafe fn text(text: &str, room: *mut c_char, size: usize) -> Result<(), ObolPosCode> {
    if room.is_null() {
        return Err(ObolPosCode::OBOL_POS_ERROR_NULL);
    }
    if text.len() >= size {
        return Err(ObolPosCode::OBOL_POS_ERROR_ROOM);
    }
    // SAFETY: as the caller vouches.
    unsafe { say(text, room, size) };
    Ok(())
}

/// Copies `bytes` to `room`, which has `size`, and says how many there are in any case.
///
/// # Safety
/// `room` is NULL or valid for writes of `size` bytes, `len` is NULL or valid for writes.
pub(crate) unsafe fn copy(
    bytes: &[u8],
    room: *mut u8,
    size: usize,
    len: *mut usize,
) -> Result<(), ObolPosCode> {
    // SAFETY: as the caller vouches.
    unsafe { write(len, bytes.len())? };
    if bytes.len() > size {
        return Err(ObolPosCode::OBOL_POS_ERROR_ROOM);
    }
    if room.is_null() && !bytes.is_empty() {
        return Err(ObolPosCode::OBOL_POS_ERROR_NULL);
    }
    if !bytes.is_empty() {
        // SAFETY: as the caller vouches, and it is long enough.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len()) };
    }
    Ok(())
}

/// A structure of the caller's that begins with its own size.
///
/// # Safety
/// `data` is NULL or valid for reads of a `u32` and of as many bytes as that says; those are a `T`.
pub(crate) unsafe fn sized<T: Copy>(data: *const T) -> Result<T, ObolPosCode> {
    // SAFETY: as the caller vouches.
    unsafe {
        of_size(data)?;
        Ok(data.read_unaligned())
    }
}

/// Whether a structure of the caller's is a `T`. What stands in it is not looked at.
///
/// # Safety
/// `data` is NULL or valid for reads of a `u32`.
pub(crate) unsafe fn of_size<T>(data: *const T) -> Result<(), ObolPosCode> {
    if data.is_null() {
        return Err(ObolPosCode::OBOL_POS_ERROR_NULL);
    }
    // SAFETY: the size stands first in every such structure.
    let size = unsafe { data.cast::<u32>().read_unaligned() };
    if size as usize != size_of::<T>() {
        return Err(ObolPosCode::OBOL_POS_ERROR_STRUCT_SIZE);
    }
    Ok(())
}

/// Writes a value of the caller's.
///
/// # Safety
/// `data` is NULL or valid for writes of a `T`.
pub(crate) unsafe fn write<T: Copy>(data: *mut T, value: T) -> Result<(), ObolPosCode> {
    if data.is_null() {
        return Err(ObolPosCode::OBOL_POS_ERROR_NULL);
    }
    // SAFETY: the caller vouches for it.
    unsafe { data.write_unaligned(value) };
    Ok(())
}

/// The file that a fetch is given.
///
/// # Safety
/// `file` is NULL, or what this library gave to the fetch that is running.
pub(crate) unsafe fn file<'a>(file: *mut ObolPosFile) -> Option<&'a mut ObolPosFile> {
    // SAFETY: as the caller vouches.
    unsafe { file.as_mut() }
}
