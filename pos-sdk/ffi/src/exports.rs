//! The functions of the header: each an adapter of a few lines over safe code.
#![allow(unsafe_code)]

use core::ffi::c_char;

use obol_pos_sdk::{ClockCheck, Language, UnixTime, wording};

use crate::{
    ObolPos, ObolPosCode,
    ObolPosCode::*,
    ObolPosDecision, ObolPosFile, ObolPosSigner, ObolPosSource, ObolPosStatus,
    context::{self, Context, Failed},
    guard::guarded,
    memory,
    ports::Signer,
    types::freshness,
};

/// The version of this interface. It grows when something is added; a program runs with a library
/// of the same version or a later one.
#[unsafe(no_mangle)]
pub extern "C" fn obol_pos_abi_version() -> u32 {
    2
}

/// The name of a code, as it stands in every log ("CODE_STALE"); "UNKNOWN" for another number.
/// The text is closed by a NUL and lasts for ever.
#[unsafe(no_mangle)]
pub extern "C" fn obol_pos_code_name(code: i32) -> *const c_char {
    ObolPosCode::name(code).as_ptr()
}

/// What a refusal means and what to do, one sentence each, for the display: `language` 0 is
/// English, 1 simplified Chinese. Both are cut to their room (UTF-8) and closed by a NUL.
///
/// # Safety
/// `what` and `todo` are NULL or valid for writes of their sizes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_wording(
    code: i32,
    language: u32,
    what: *mut c_char,
    what_size: usize,
    todo: *mut c_char,
    todo_size: usize,
) -> i32 {
    guarded(|| {
        let language = match language {
            0 => Language::En,
            1 => Language::ZhCn,
            _ => return Err(OBOL_POS_ERROR_CODE),
        };
        let refusal = ObolPosCode::refusal(code).ok_or(OBOL_POS_ERROR_CODE)?;
        let words = wording(refusal, language);
        // SAFETY: as the caller vouches.
        unsafe {
            memory::say(words.what, what, what_size);
            memory::say(words.todo, todo, todo_size);
        }
        Ok(OBOL_POS_OK)
    })
}

/// Makes the journal of the terminal that `terminal.toml` in the folder names; one that is there
/// stays. `epoch` is 8 random bytes. Once, when the terminal is set up.
///
/// # Safety
/// `epoch` is NULL or valid for reads of 8 bytes, the others for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_make_journal(
    folder: *const c_char,
    folder_len: usize,
    epoch: *const u8,
    reason: *mut c_char,
    reason_size: usize,
) -> i32 {
    // SAFETY: as the caller vouches.
    let made = || unsafe {
        let (path, epoch) = (memory::path(folder, folder_len)?, memory::bytes(epoch, 8)?);
        let epoch = epoch.try_into().map_err(|_| OBOL_POS_ERROR_NULL)?;
        Ok(context::make_journal(path, epoch))
    };
    // SAFETY: as the caller vouches.
    guarded(|| unsafe { told(made(), reason, reason_size) })
}

/// How many bytes a terminal takes.
#[unsafe(no_mangle)]
pub extern "C" fn obol_pos_size() -> usize {
    size_of::<ObolPos>()
}

/// Opens the terminal of a folder in `size` bytes at `pos`, which begin at a multiple of
/// OBOL_POS_ALIGNMENT and hold no open terminal. The memory stays the caller's: it must not move
/// until obol_pos_close(). One thread at a time uses a terminal, one process at a time a journal.
/// `signer` is NULL for the key file that `terminal.toml` names, or the key in a token of yours.
/// Where the terminal does not open, `reason` (NULL, or `reason_size` bytes) says why, closed by a
/// NUL; the same holds wherever a reason is asked for.
///
/// # Safety
/// The pointers are NULL or valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_open(
    pos: *mut ObolPos,
    size: usize,
    folder: *const c_char,
    folder_len: usize,
    signer: *const ObolPosSigner,
    reason: *mut c_char,
    reason_size: usize,
) -> i32 {
    // SAFETY: as the caller vouches.
    let open = || unsafe {
        memory::fits(pos, size)?;
        let signer = match signer.is_null() {
            true => None,
            false => Some(Signer::Host(memory::sized(signer)?)),
        };
        let opened = Context::open(memory::path(folder, folder_len)?, signer);
        Ok(opened.map(|context| memory::place(pos, context)))
    };
    // SAFETY: as the caller vouches.
    guarded(|| unsafe { told(open(), reason, reason_size) })
}

/// Closes a terminal and gives back all that it took from the heap. Its memory is the caller's
/// again.
///
/// # Safety
/// `pos` is NULL or valid for reads of obol_pos_size() bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_close(pos: *mut ObolPos) -> i32 {
    guarded(|| {
        // SAFETY: as the caller vouches.
        drop(unsafe { memory::take(pos)? });
        Ok(OBOL_POS_OK)
    })
}

/// Decides on what the scanner read, at `now`, seconds since 1970; one line end at its end is taken
/// off. 0: the ride is on disk; open the gate, then call obol_pos_opened(). Anything else: keep it
/// closed.
///
/// # Safety
/// `text` is NULL or valid for reads of `text_len`; `decision` is NULL or points to a structure of
/// the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_scan(
    pos: *mut ObolPos,
    text: *const c_char,
    text_len: usize,
    now: u32,
    decision: *mut ObolPosDecision,
) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe {
        using(pos, |context| {
            memory::of_size(decision.cast_const())?;
            let text = memory::bytes(text.cast(), text_len)?;
            let (code, found) = context.scan(text, UnixTime(now));
            memory::write(decision, found)?;
            Ok(code)
        })
    }
}

/// Notes that the gate is open for the ride of the last scan. A ride of which nothing is noted
/// opens the gate again for the same code, within its window, and is not charged again.
///
/// # Safety
/// `pos` is NULL or valid for reads of obol_pos_size() bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_opened(pos: *mut ObolPos, now: u32) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe {
        using(pos, |context| {
            context.opened(UnixTime(now))?;
            Ok(OBOL_POS_OK)
        })
    }
}

/// Says what lay behind the last OBOL_POS_STORAGE_FAULT, or behind a note that could not be made,
/// and forgets it. The reason is empty when there was none.
///
/// # Safety
/// `reason` is NULL or valid for writes of `reason_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_fault(
    pos: *mut ObolPos,
    reason: *mut c_char,
    reason_size: usize,
) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe {
        using(pos, |context| {
            let fault = context.take_fault();
            memory::say(fault.as_deref().unwrap_or(""), reason, reason_size);
            Ok(OBOL_POS_OK)
        })
    }
}

/// How often a refusal was the answer since the terminal was opened.
///
/// # Safety
/// `count` is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_count(pos: *mut ObolPos, code: i32, count: *mut u32) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe {
        using(pos, |context| {
            let refusal = ObolPosCode::refusal(code).ok_or(OBOL_POS_ERROR_CODE)?;
            memory::write(count, context.terminal().counts().of(refusal))?;
            Ok(OBOL_POS_OK)
        })
    }
}

/// How the terminal stands.
///
/// # Safety
/// `status` is NULL or points to a structure of the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_get_status(
    pos: *mut ObolPos,
    now: u32,
    status: *mut ObolPosStatus,
) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe {
        using(pos, |context| {
            memory::of_size(status.cast_const())?;
            let terminal = context.terminal();
            let unreadable = |_| OBOL_POS_ERROR_JOURNAL;
            let found = ObolPosStatus {
                struct_size: size_of::<ObolPosStatus>() as u32,
                freshness: freshness(terminal.freshness(UnixTime(now))),
                last_seq: terminal.journal().last_seq().map_err(unreadable)?,
                watermark: terminal.journal().watermark().map_err(unreadable)?,
                clock_floor: terminal.clock_floor().0,
                prepared_keys: u32::try_from(terminal.prepared_keys()).unwrap_or(u32::MAX),
            };
            memory::write(status, found)?;
            Ok(OBOL_POS_OK)
        })
    }
}

/// Takes note of the time that a server told over an authenticated connection. When it agrees with
/// the clock, the clock's floor starts from here: the way out of OBOL_POS_CLOCK_FAULT. `off_s` is
/// the clock minus the server, seconds; 0 when they agree within 30 s.
///
/// # Safety
/// `off_s` is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_server_time(
    pos: *mut ObolPos,
    server_time: u32,
    now: u32,
    off_s: *mut i64,
) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe {
        using(pos, |context| {
            memory::write(off_s, 0)?;
            let (server_time, now) = (UnixTime(server_time), UnixTime(now));
            let check = context.terminal().server_time(server_time, now);
            let by_s = match check.map_err(|_| OBOL_POS_ERROR_JOURNAL)? {
                ClockCheck::Agrees => 0,
                ClockCheck::Off { by_s } => by_s,
            };
            memory::write(off_s, by_s)?;
            Ok(OBOL_POS_OK)
        })
    }
}

/// Believes a trust bundle that the pinned root vouches for, and keeps it in the folder: for a
/// terminal without a trust repository. What was in use stays when it is refused.
///
/// # Safety
/// The pointers are NULL or valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_take_trust(
    pos: *mut ObolPos,
    bundle: *const u8,
    bundle_len: usize,
    now: u32,
    reason: *mut c_char,
    reason_size: usize,
) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe {
        using(pos, |context| {
            let bundle = memory::bytes(bundle, bundle_len)?;
            let taken = context.take_trust(bundle, UnixTime(now));
            told(Ok(taken), reason, reason_size)
        })
    }
}

/// Charges by a fare pack from now on, and keeps it in the folder.
///
/// # Safety
/// The pointers are NULL or valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_take_fares(
    pos: *mut ObolPos,
    pack: *const u8,
    pack_len: usize,
    reason: *mut c_char,
    reason_size: usize,
) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe {
        using(pos, |context| {
            let taken = context.take_fares(memory::bytes(pack, pack_len)?);
            told(Ok(taken), reason, reason_size)
        })
    }
}

/// Updates the folder's trust from its repository: keys, status lists, suspensions and fares, all
/// or nothing. It uses no open terminal, so that another thread may run it while rides are taken;
/// obol_pos_reload() then takes what came. What came before it failed is kept for the next time.
///
/// # Safety
/// The pointers are NULL or valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_update(
    folder: *const c_char,
    folder_len: usize,
    source: *const ObolPosSource,
    now: u32,
    reason: *mut c_char,
    reason_size: usize,
) -> i32 {
    // SAFETY: as the caller vouches.
    let update = || unsafe {
        let (path, source) = (memory::path(folder, folder_len)?, memory::sized(source)?);
        Ok(context::update(path, source, UnixTime(now)))
    };
    // SAFETY: as the caller vouches.
    guarded(|| unsafe { told(update(), reason, reason_size) })
}

/// Hands over bytes of the file that is being fetched. Returns 1 while more is wanted, 0 when not.
///
/// # Safety
/// `file` is what the running fetch was given; `data` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_file_write(
    file: *mut ObolPosFile,
    data: *const u8,
    len: usize,
) -> i32 {
    // SAFETY: as the caller vouches.
    let (file, data) = unsafe { (memory::file(file), memory::bytes(data, len)) };
    match (file, data) {
        (Some(file), Ok(data)) => file.write(data).into(),
        _ => 0,
    }
}

/// Takes what the folder holds by now: what obol_pos_update() or another process has brought. What
/// cannot be used changes nothing.
///
/// # Safety
/// `reason` is NULL or valid for writes of `reason_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_reload(
    pos: *mut ObolPos,
    now: u32,
    reason: *mut c_char,
    reason_size: usize,
) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe {
        using(pos, |context| {
            let reloaded = context.reload(UnixTime(now));
            told(Ok(reloaded), reason, reason_size)
        })
    }
}

/// The next segment to post to the platform (`POST /v1/segments`, `application/cbor`, mutual TLS
/// with the terminal's certificate), into `size` bytes at `segment`; OBOL_POS_SEGMENT_MAX always
/// suffices. `segment_len` 0: the platform holds everything. A segment that was not acknowledged is
/// given again byte for byte; posting it twice changes nothing.
///
/// # Safety
/// The pointers are NULL or valid for writes, `segment` of `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_next_segment(
    pos: *mut ObolPos,
    segment: *mut u8,
    size: usize,
    segment_len: *mut usize,
    first_seq: *mut u64,
    reason: *mut c_char,
    reason_size: usize,
) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe {
        using(pos, |context| {
            memory::write(segment_len, 0)?;
            memory::write(first_seq, 0)?;
            let next = match context.next_segment() {
                Ok(next) => next,
                Err(failed) => return told::<()>(Ok(Err(failed)), reason, reason_size),
            };
            memory::say("", reason, reason_size);
            if let Some(next) = next {
                memory::write(first_seq, next.first_seq)?;
                memory::copy(&next.bytes, segment, size, segment_len)?;
            }
            Ok(OBOL_POS_OK)
        })
    }
}

/// How the terminal stands, as the platform wants to hear it: the value of the header
/// `obol-terminal-health` of the request that posts a segment (docs/spec/tap.md section 6), closed
/// by a NUL; OBOL_POS_HEALTH_SIZE bytes always suffice. `software` says what the terminal runs: 1
/// to 32 printable characters of ASCII. The header proves nothing and decides nothing; people look
/// after a terminal by it.
///
/// # Safety
/// The pointers are NULL or valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_health(
    pos: *mut ObolPos,
    now: u32,
    software: *const c_char,
    software_len: usize,
    health: *mut c_char,
    health_size: usize,
    reason: *mut c_char,
    reason_size: usize,
) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe {
        using(pos, |context| {
            let software = memory::bytes(software.cast(), software_len)?;
            let text = match context.health(UnixTime(now), software) {
                Ok(text) => text,
                Err(failed) => return told::<()>(Ok(Err(failed)), reason, reason_size),
            };
            memory::say("", reason, reason_size);
            memory::text(&text, health, health_size)?;
            Ok(OBOL_POS_OK)
        })
    }
}

/// Takes the platform's answer (the body of 200, JSON) to the segment that began with `first_seq`,
/// and moves the watermark, durably, as far as the answer fits the journal.
///
/// # Safety
/// The pointers are NULL or valid for their lengths; `watermark` is NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_pos_acknowledge(
    pos: *mut ObolPos,
    first_seq: u64,
    answer: *const u8,
    answer_len: usize,
    watermark: *mut u64,
    reason: *mut c_char,
    reason_size: usize,
) -> i32 {
    // SAFETY: as the caller vouches.
    unsafe {
        using(pos, |context| {
            memory::write(watermark, 0)?;
            let answer = memory::bytes(answer, answer_len)?;
            let moved = context.acknowledge(first_seq, answer);
            if let Ok(moved) = &moved {
                memory::write(watermark, *moved)?;
            }
            told(Ok(moved), reason, reason_size)
        })
    }
}

/// Does something with an open terminal. One that a panic has left, or that is in use, does nothing
/// more.
///
/// # Safety
/// As for [`memory::context`].
unsafe fn using(
    pos: *mut ObolPos,
    body: impl FnOnce(&mut Context) -> Result<ObolPosCode, ObolPosCode>,
) -> i32 {
    guarded(|| {
        // SAFETY: as the caller vouches.
        let context = unsafe { memory::context(pos)? };
        if context.in_call {
            return Err(OBOL_POS_ERROR_UNUSABLE);
        }
        context.in_call = true;
        let done = body(context);
        context.in_call = false;
        done
    })
}

/// What became of a call that has a reason.
///
/// # Safety
/// `reason` is NULL or valid for writes of `size` bytes.
unsafe fn told<T>(
    outcome: Result<Result<T, Failed>, ObolPosCode>,
    reason: *mut c_char,
    size: usize,
) -> Result<ObolPosCode, ObolPosCode> {
    let failed = match outcome? {
        Ok(_) => {
            // SAFETY: as the caller vouches.
            unsafe { memory::say("", reason, size) };
            return Ok(OBOL_POS_OK);
        }
        Err(failed) => failed,
    };
    // SAFETY: as the caller vouches.
    unsafe { memory::say(&failed.reason, reason, size) };
    Err(failed.code)
}
