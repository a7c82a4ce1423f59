//! Everything that touches a pointer of the caller's. Sound as long as the caller keeps what the
//! header demands: pointers valid for their lengths, the verifier's memory used by one thread at a
//! time, and moved or freed by nobody while it is in use.
#![allow(unsafe_code)]

use core::alloc::{Layout, LayoutError};
use core::{ptr, slice};

use obol_verifier_sdk::{IssuerKey, Multiple, Operator, Place, TableRoom, TableSize};

use crate::{
    ObolCode,
    context::{Context, KEYS_MAX, List, Parts, no_key},
};

/// A verifier's memory begins at a multiple of this.
pub const OBOL_VERIFIER_ALIGNMENT: usize = 16;
const ALIGNMENT: usize = OBOL_VERIFIER_ALIGNMENT;
const _: () = assert!(align_of::<ObolVerifier>() <= ALIGNMENT);
const MAGIC: u64 = 0x4f42_4f4c_5054_3101;

const CACHED_MAX: u32 = 1 << 20;
const STATUS_LISTS_MAX: u32 = 256;

/// What a verifier has room for. All of it is fixed when the verifier is initialised.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ObolLimits {
    /// In: sizeof(obol_limits).
    pub struct_size: u32,
    /// Issuer keys, 1 to 64.
    pub keys: u32,
    /// How fast the issuer's signature is checked for how much memory: 0 (no tables), or 4, 8, 16
    /// or 32 chunks, which take 26, 52, 104 or 208 KiB for each key and as much once more.
    pub table_chunks: u32,
    /// Credentials that are remembered, 0 to 1048576; each takes 32 bytes.
    pub cached_credentials: u32,
    /// Status lists, 0 to 256. With 0 the host asks its own; with more, a credential that no list
    /// covers is refused.
    pub status_lists: u32,
    /// How long codes are still taken after the trust bundle has expired, seconds, 0 to 259200.
    pub stale_grace_s: u32,
}

/// A verifier in memory of the caller's.
#[derive(Debug)]
pub struct ObolVerifier {
    magic: u64,
    context: Context,
}

impl core::fmt::Debug for Context {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Context")
    }
}

/// Where the parts of a verifier lie, in bytes from its beginning.
struct Plan {
    whole: Layout,
    keys: usize,
    multiples: usize,
    places: usize,
    lists: usize,
}

impl ObolLimits {
    pub(crate) fn bytes(&self) -> Result<usize, ObolCode> {
        Ok(self.plan()?.whole.size())
    }

    fn table_size(&self) -> Result<Option<TableSize>, ObolCode> {
        match self.table_chunks {
            0 => Ok(None),
            4 => Ok(Some(TableSize::Chunks4)),
            8 => Ok(Some(TableSize::Chunks8)),
            16 => Ok(Some(TableSize::Chunks16)),
            32 => Ok(Some(TableSize::Chunks32)),
            _ => Err(ObolCode::OBOL_ERROR_LIMITS),
        }
    }

    fn multiples(&self) -> Result<usize, ObolCode> {
        let size = self.table_size()?;
        Ok(size.map_or(0, |size| size.room_for(self.keys as usize)))
    }

    fn plan(&self) -> Result<Plan, ObolCode> {
        let in_range = (1..=KEYS_MAX as u32).contains(&self.keys)
            && self.cached_credentials <= CACHED_MAX
            && self.status_lists <= STATUS_LISTS_MAX
            && self.stale_grace_s <= 259_200;
        if !in_range {
            return Err(ObolCode::OBOL_ERROR_LIMITS);
        }
        let multiples = self.multiples()?;
        self.lay_out(multiples)
            .map_err(|_| ObolCode::OBOL_ERROR_LIMITS)
    }

    fn lay_out(&self, multiples: usize) -> Result<Plan, LayoutError> {
        let head = Layout::new::<ObolVerifier>();
        let (whole, keys) = head.extend(Layout::array::<IssuerKey>(self.keys as usize)?)?;
        let (whole, multiples) = whole.extend(Layout::array::<Multiple>(multiples)?)?;
        let places = Layout::array::<Place>(self.cached_credentials as usize)?;
        let (whole, places) = whole.extend(places)?;
        let lists = Layout::array::<Option<List>>(self.status_lists as usize)?;
        let (whole, lists) = whole.extend(lists)?;
        let whole = whole.align_to(ALIGNMENT)?.pad_to_align();
        Ok(Plan {
            whole,
            keys,
            multiples,
            places,
            lists,
        })
    }
}

/// Makes a verifier in `size` bytes at `memory`.
///
/// # Safety
/// `memory` is NULL or valid for writes of `size` bytes.
pub(crate) unsafe fn place(
    memory: *mut ObolVerifier,
    size: usize,
    limits: &ObolLimits,
    operator: Operator,
) -> Result<(), ObolCode> {
    let plan = limits.plan()?;
    let base = memory.cast::<u8>();
    if base.is_null() {
        return Err(ObolCode::OBOL_ERROR_NULL);
    }
    if !base.addr().is_multiple_of(ALIGNMENT) {
        return Err(ObolCode::OBOL_ERROR_ALIGNMENT);
    }
    if size < plan.whole.size() {
        return Err(ObolCode::OBOL_ERROR_MEMORY);
    }
    let no_key = no_key(operator)?;
    let keys = limits.keys as usize;
    let (places, lists) = (
        limits.cached_credentials as usize,
        limits.status_lists as usize,
    );
    let multiples = limits.multiples()?;
    // SAFETY: the plan keeps each part aligned, apart from the others and within `size`.
    let parts = unsafe {
        Parts {
            keys: filled(base.add(plan.keys).cast(), keys, || no_key.clone()),
            tables: limits.table_size()?.map(|size| {
                let room = filled(base.add(plan.multiples).cast(), multiples, || {
                    Multiple::EMPTY
                });
                TableRoom::new(size, room)
            }),
            places: filled(base.add(plan.places).cast(), places, || Place::EMPTY),
            lists: filled(base.add(plan.lists).cast(), lists, || None),
        }
    };
    let verifier = ObolVerifier {
        magic: MAGIC,
        context: Context::new(operator, parts, limits.stale_grace_s),
    };
    // SAFETY: as above; the verifier itself is the first part.
    unsafe { memory.write(verifier) };
    Ok(())
}

/// # Safety
/// `to` is aligned and valid for writes of `count` values that nobody else uses.
unsafe fn filled<T>(to: *mut T, count: usize, value: impl Fn() -> T) -> &'static mut [T] {
    for at in 0..count {
        // SAFETY: within what the caller vouches for.
        unsafe { to.add(at).write(value()) };
    }
    // SAFETY: all of it was just written.
    unsafe { slice::from_raw_parts_mut(to, count) }
}

/// The verifier at `memory`.
///
/// # Safety
/// `memory` is NULL or valid, given to [`place`] before, and used by nobody else during the call.
pub(crate) unsafe fn context<'a>(memory: *mut ObolVerifier) -> Result<&'a mut Context, ObolCode> {
    if memory.is_null() {
        return Err(ObolCode::OBOL_ERROR_NULL);
    }
    if !memory.addr().is_multiple_of(ALIGNMENT) {
        return Err(ObolCode::OBOL_ERROR_ALIGNMENT);
    }
    // SAFETY: aligned, and the caller vouches for the rest. The mark is read before anything else.
    unsafe {
        if ptr::addr_of!((*memory).magic).read() != MAGIC {
            return Err(ObolCode::OBOL_ERROR_NOT_INITIALISED);
        }
        Ok(&mut (*memory).context)
    }
}

/// `len` bytes at `data`; NULL is good for none.
///
/// # Safety
/// `data` is NULL or valid for reads of `len` bytes during the call.
pub(crate) unsafe fn bytes<'a, T>(data: *const T, len: usize) -> Result<&'a [T], ObolCode> {
    if data.is_null() {
        return if len == 0 {
            Ok(&[])
        } else {
            Err(ObolCode::OBOL_ERROR_NULL)
        };
    }
    if len > isize::MAX as usize / size_of::<T>() {
        return Err(ObolCode::OBOL_ERROR_MEMORY);
    }
    // SAFETY: not NULL, bytes need no alignment, and the caller vouches for the length.
    Ok(unsafe { slice::from_raw_parts(data, len) })
}

/// `len` values at `data` to write to, for as long as the caller keeps them.
///
/// # Safety
/// `data` is NULL or valid for reads and writes of `len` bytes that nobody else uses.
pub(crate) unsafe fn room<T>(data: *mut T, len: usize) -> Result<&'static mut [T], ObolCode> {
    if data.is_null() {
        return if len == 0 {
            Ok(&mut [])
        } else {
            Err(ObolCode::OBOL_ERROR_NULL)
        };
    }
    if len > isize::MAX as usize / size_of::<T>() {
        return Err(ObolCode::OBOL_ERROR_MEMORY);
    }
    // SAFETY: not NULL, bytes need no alignment, and the caller vouches for the length.
    Ok(unsafe { slice::from_raw_parts_mut(data, len) })
}

/// A structure of the caller's that begins with its own size.
///
/// # Safety
/// `data` is NULL or valid for reads of a `u32` and of as many bytes as that says.
pub(crate) unsafe fn sized<T: Copy>(data: *const T) -> Result<T, ObolCode> {
    if data.is_null() {
        return Err(ObolCode::OBOL_ERROR_NULL);
    }
    // SAFETY: the size stands first in every such structure.
    let size = unsafe { data.cast::<u32>().read_unaligned() };
    if size as usize != size_of::<T>() {
        return Err(ObolCode::OBOL_ERROR_STRUCT_SIZE);
    }
    // SAFETY: the caller says that all of it is there.
    Ok(unsafe { data.read_unaligned() })
}

/// Writes `value` over a structure of the caller's that [`sized`] has looked at.
///
/// # Safety
/// `data` is valid for writes of a `T`.
pub(crate) unsafe fn write<T: Copy>(data: *mut T, value: T) {
    // SAFETY: the caller vouches for it.
    unsafe { data.write_unaligned(value) };
}
