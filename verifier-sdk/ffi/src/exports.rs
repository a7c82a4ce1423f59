//! The functions of the header: each an adapter of a few lines over safe code.
#![allow(unsafe_code)]

use core::ffi::c_char;

use obol_credential::{Algorithm, Kid, UnixTime};
use obol_trust::{StatusList, StatusListId};
use obol_verifier_sdk::{IssuerKey, KeyStatus, Operator, Validity};

use crate::{
    ObolCode, ObolKey, ObolLimits, ObolResult, ObolVerifier, context::List, guard::guarded, memory,
    result::write_text,
};

/// The version of this interface. It grows when something is added; a program runs with a library
/// of the same version or a later one.
#[unsafe(no_mangle)]
pub extern "C" fn obol_verifier_abi_version() -> u32 {
    1
}

/// The name of a code, as it stands in every log ("CODE_STALE"); "UNKNOWN" for another number.
/// The text is closed by a NUL and lasts for ever.
#[unsafe(no_mangle)]
pub extern "C" fn obol_code_name(code: i32) -> *const c_char {
    ObolCode::name(code).as_ptr()
}

/// How many bytes a verifier with these limits takes; 0 when a limit is out of its range.
///
/// # Safety
/// `limits` is NULL or points to a structure of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_verifier_size(limits: *const ObolLimits) -> usize {
    // SAFETY: as the caller vouches.
    unsafe { memory::sized(limits) }
        .and_then(|limits| limits.bytes())
        .unwrap_or(0)
}

/// Makes a verifier in `size` bytes at `verifier`, which begin at a multiple of
/// OBOL_VERIFIER_ALIGNMENT. The memory stays the caller's: it must not move while the verifier is
/// in use, and nothing has to be freed but itself. One thread at a time uses a verifier.
///
/// # Safety
/// `verifier` is NULL or valid for writes of `size` bytes; `operator_name` is NULL or valid for
/// reads of `operator_len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_verifier_init(
    verifier: *mut ObolVerifier,
    size: usize,
    limits: *const ObolLimits,
    operator_name: *const c_char,
    operator_len: usize,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller vouches.
        unsafe {
            let limits = memory::sized(limits)?;
            let operator = operator(operator_name, operator_len)?;
            memory::place(verifier, size, &limits, operator)?;
        }
        Ok(ObolCode::OBOL_OK)
    })
}

/// Believes the issuer keys of a trust bundle, and no others, when the pinned root certificate
/// (PEM or DER) vouches for each. Where it does not, nothing changes, and `reason` (NULL, or
/// `reason_size` bytes) says why, closed by a NUL. Takes heap memory while it runs and keeps none.
///
/// # Safety
/// The pointers are NULL or valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_verifier_load_bundle(
    verifier: *mut ObolVerifier,
    root: *const u8,
    root_len: usize,
    bundle: *const u8,
    bundle_len: usize,
    reason: *mut c_char,
    reason_size: usize,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller vouches.
        let (context, root, bundle, reason) = unsafe {
            (
                memory::context(verifier)?,
                memory::bytes(root, root_len)?,
                memory::bytes(bundle, bundle_len)?,
                memory::room(reason, if reason.is_null() { 0 } else { reason_size })?,
            )
        };
        write_text("", reason);
        context.load_bundle(root, bundle).map_err(|refused| {
            write_text(&refused.reason, reason);
            refused.code
        })?;
        Ok(ObolCode::OBOL_OK)
    })
}

/// Believes an issuer key that the host vouches for, besides those it believes already.
///
/// # Safety
/// `key` is NULL or points to a structure of the size that it says, whose pointers are NULL or
/// valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_verifier_add_key(
    verifier: *mut ObolVerifier,
    key: *const ObolKey,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller vouches.
        let (context, key, point, operator) = unsafe {
            let context = memory::context(verifier)?;
            let key = memory::sized(key)?;
            let point = memory::bytes(key.point, key.point_len)?;
            let operator = operator(key.operator_name, key.operator_len)?;
            (context, key, point, operator)
        };
        let algorithm = Algorithm::from_cose_id(key.algorithm.into());
        let validity = Validity {
            not_before: UnixTime(key.not_before),
            not_after: UnixTime(key.not_after),
        };
        let algorithm = algorithm.ok_or(ObolCode::OBOL_ERROR_KEY)?;
        let status = match key.suspended {
            0 => KeyStatus::Trusted,
            1 => KeyStatus::Suspended,
            _ => return Err(ObolCode::OBOL_ERROR_KEY),
        };
        let key = IssuerKey::new(algorithm, point, validity, operator, key.classes);
        let mut key = key.map_err(|_| ObolCode::OBOL_ERROR_KEY)?;
        key.status = status;
        context.add_key(key)?;
        Ok(ObolCode::OBOL_OK)
    })
}

/// Believes no issuer key.
///
/// # Safety
/// `verifier` is NULL or was initialised.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_verifier_clear_keys(verifier: *mut ObolVerifier) -> i32 {
    guarded(|| {
        // SAFETY: as the caller vouches.
        unsafe { memory::context(verifier)? }.clear_keys();
        Ok(ObolCode::OBOL_OK)
    })
}

/// Suspends the issuer keys of these `count` kids (0 to 64, four bytes each) and no others. It
/// holds for keys that are loaded later as well.
///
/// # Safety
/// `kids` is NULL or valid for reads of 4 * `count` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_verifier_suspend(
    verifier: *mut ObolVerifier,
    kids: *const [u8; 4],
    count: usize,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller vouches.
        let (context, kids) = unsafe { (memory::context(verifier)?, memory::bytes(kids, count)?) };
        context.suspend(kids)?;
        Ok(ObolCode::OBOL_OK)
    })
}

/// Asks a status list (its bytes as published) for the credentials that `kid` issued on day
/// `epoch` (seconds since 1970, divided by 86400), in the place of the one for the same day. Its
/// bits go to `bits`, which must stay until the list is replaced in other memory or dropped. Takes
/// heap memory while it runs and keeps none.
///
/// # Safety
/// The pointers are NULL or valid for their lengths; `kid` for four bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_verifier_put_status_list(
    verifier: *mut ObolVerifier,
    kid: *const u8,
    epoch: u32,
    list: *const u8,
    list_len: usize,
    bits: *mut u8,
    bits_size: usize,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller vouches.
        let (context, kid, list) = unsafe {
            let context = memory::context(verifier)?;
            (context, kid_at(kid)?, memory::bytes(list, list_len)?)
        };
        let list = StatusList::decode(list);
        let list = list.map_err(|_| ObolCode::OBOL_ERROR_STATUS_LIST_REFUSED)?;
        let wanted = list.bits().len();
        if bits.is_null() {
            return Err(ObolCode::OBOL_ERROR_NULL);
        }
        if bits_size < wanted {
            return Err(ObolCode::OBOL_ERROR_MEMORY);
        }
        let id = StatusListId { kid, epoch };
        let place = context.place_for(id)?;
        // SAFETY: as the caller vouches; no list of ours reads this memory any more.
        let bits = unsafe { memory::room(bits, wanted)? };
        bits.copy_from_slice(list.bits());
        *place = Some(List { id, bits });
        Ok(ObolCode::OBOL_OK)
    })
}

/// Asks the status list of that key and day no more: the memory of its bits is the caller's again.
///
/// # Safety
/// `kid` is NULL or valid for four bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_verifier_drop_status_list(
    verifier: *mut ObolVerifier,
    kid: *const u8,
    epoch: u32,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller vouches.
        let (context, kid) = unsafe { (memory::context(verifier)?, kid_at(kid)?) };
        context.drop_status_list(StatusListId { kid, epoch });
        Ok(ObolCode::OBOL_OK)
    })
}

/// Decides on the text of a boarding code at `now`, seconds since 1970. A scanner's line end must
/// be gone. Allocates nothing. The host still has to refuse a code that it has taken before.
///
/// # Safety
/// `text` is NULL or valid for reads of `text_len`; `result` is NULL or points to a structure of
/// the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_verifier_scan(
    verifier: *mut ObolVerifier,
    text: *const c_char,
    text_len: usize,
    now: u32,
    result: *mut ObolResult,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller vouches.
        let (context, text) = unsafe {
            memory::sized(result.cast_const())?;
            (
                memory::context(verifier)?,
                memory::bytes(text.cast::<u8>(), text_len)?,
            )
        };
        let (code, found) = match context.scan(text, UnixTime(now)) {
            Ok((verified, stale)) => {
                let mut found = ObolResult::good(&verified);
                found.trust_is_stale = stale.into();
                (ObolCode::OBOL_OK, found)
            }
            Err(refusal) => (ObolCode::of(refusal.code), ObolResult::refused(&refusal)),
        };
        // SAFETY: as the caller vouches.
        unsafe { memory::write(result, found) };
        Ok(code)
    })
}

/// # Safety
/// `name` is NULL or valid for reads of `len` bytes.
unsafe fn operator(name: *const c_char, len: usize) -> Result<Operator, ObolCode> {
    // SAFETY: as the caller vouches.
    let bytes = unsafe { memory::bytes(name.cast::<u8>(), len)? };
    let name = core::str::from_utf8(bytes).ok();
    name.and_then(Operator::new)
        .ok_or(ObolCode::OBOL_ERROR_OPERATOR)
}

/// # Safety
/// `kid` is NULL or valid for reads of four bytes.
unsafe fn kid_at(kid: *const u8) -> Result<Kid, ObolCode> {
    // SAFETY: as the caller vouches.
    let bytes = unsafe { memory::bytes(kid, 4)? };
    bytes
        .try_into()
        .map(Kid)
        .map_err(|_| ObolCode::OBOL_ERROR_NULL)
}
