//! `obol_verifier.h`.

use core::ffi::c_char;

use obol_verifier::*;

use super::{CANARY, Call, Reason, calls, name};
use crate::Taken;

const GUARD: usize = 64;
static LIMITS: ObolLimits = ObolLimits {
    struct_size: size_of::<ObolLimits>() as u32,
    keys: 2,
    table_chunks: 0,
    cached_credentials: 4,
    status_lists: 2,
    stale_grace_s: 0,
};
const BITS: usize = 256;

/// A verifier between two guards, and the memory of its status lists: each call has its own, which
/// stays as long as the verifier may read it.
struct Room {
    memory: Vec<u128>,
    bits: Vec<Vec<u8>>,
    size: usize,
}

/// Accepted is what lets a code in.
pub(crate) fn verifier_calls(data: &[u8]) -> Taken {
    let mut room = Room::new();
    let mut taken = Taken::Refused;
    for call in calls(data) {
        let code = room.answer(&call);
        name(code, obol_code_name(code));
        room.guards_hold();
        if call.which % 8 == 0 && code == 0 {
            taken = Taken::Accepted;
        }
    }
    taken
}

impl Room {
    fn new() -> Self {
        // SAFETY: the structure has the size that it says.
        let size = unsafe { obol_verifier_size(&raw const LIMITS) };
        let canary = u128::from_ne_bytes([CANARY; 16]);
        let memory = vec![canary; (size + 2 * GUARD).div_ceil(16)];
        let mut room = Self {
            memory,
            bits: Vec::new(),
            size,
        };
        // SAFETY: the memory behind the first guard is as long as it must be, and ours.
        let code = unsafe {
            let operator = c"metro".as_ptr();
            obol_verifier_init(room.verifier(), size, &raw const LIMITS, operator, 5)
        };
        assert_eq!(code, 0);
        room
    }

    fn verifier(&mut self) -> *mut ObolVerifier {
        self.memory[GUARD / 16..].as_mut_ptr().cast()
    }

    fn guards_hold(&self) {
        let bytes = self.memory.iter().flat_map(|word| word.to_ne_bytes());
        let bytes: Vec<_> = bytes.collect();
        let (before, after) = (&bytes[..GUARD], &bytes[GUARD + self.size..]);
        assert!(before.iter().chain(after).all(|byte| *byte == CANARY));
    }

    fn answer(&mut self, call: &Call<'_>) -> i32 {
        let Call {
            which,
            number,
            bytes,
        } = *call;
        let (data, len) = (bytes.as_ptr(), bytes.len());
        let kid = bytes.first_chunk().copied().unwrap_or([0; 4]);
        let verifier = self.verifier();
        // SAFETY: all of it is ours, outlives the call or the verifier, and is as long as it says.
        unsafe {
            match which % 8 {
                0 => {
                    let mut result: ObolResult = core::mem::zeroed();
                    result.struct_size = size_of::<ObolResult>() as u32;
                    let text = data.cast::<c_char>();
                    obol_verifier_scan(verifier, text, len, number, &raw mut result)
                }
                1 => add_key(verifier, number, bytes),
                2 => obol_verifier_clear_keys(verifier),
                3 => obol_verifier_suspend(verifier, data.cast(), len / 4),
                4 => {
                    let list = bytes.get(4..).unwrap_or_default();
                    let (list, len) = (list.as_ptr(), list.len());
                    self.bits.push(vec![0; BITS]);
                    let bits = self
                        .bits
                        .last_mut()
                        .map_or(core::ptr::null_mut(), Vec::as_mut_ptr);
                    let kid = kid.as_ptr();
                    obol_verifier_put_status_list(verifier, kid, number, list, len, bits, BITS)
                }
                5 => obol_verifier_drop_status_list(verifier, kid.as_ptr(), number),
                _ => {
                    let mut reason = Reason::of(number);
                    let (root, bundle) = bytes.split_at(len / 2);
                    let loaded = obol_verifier_load_bundle(
                        verifier,
                        root.as_ptr(),
                        root.len(),
                        bundle.as_ptr(),
                        bundle.len(),
                        reason.text.as_mut_ptr(),
                        reason.size,
                    );
                    reason.hold();
                    loaded
                }
            }
        }
    }
}

/// # Safety
/// The verifier is one.
unsafe fn add_key(verifier: *mut ObolVerifier, number: u32, point: &[u8]) -> i32 {
    let operator = b"metro";
    let key = ObolKey {
        struct_size: size_of::<ObolKey>() as u32,
        algorithm: if number & 1 == 0 { -51 } else { -9 },
        point: point.as_ptr(),
        point_len: point.len(),
        not_before: number & 0xff00,
        not_after: u32::MAX - (number & 0xff),
        operator_name: operator.as_ptr().cast(),
        operator_len: operator.len(),
        classes: u32::MAX,
        suspended: number >> 31,
    };
    // SAFETY: as the caller vouches; the key is ours.
    unsafe { obol_verifier_add_key(verifier, &raw const key) }
}
