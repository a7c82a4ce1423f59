//! Whatever bytes come through the C ABI, an answer comes back: no panic, and no write outside the
//! caller's memory.
#![allow(unsafe_code)]

use core::ffi::c_char;
use std::sync::LazyLock;

use obol_mint::{Mint, NOW};
use obol_verifier::*;
use proptest::prelude::*;

static CODE: LazyLock<String> = LazyLock::new(|| Mint::default().text());
const CANARY: u8 = 0xa5;
const GUARD: usize = 64;

/// A verifier between two guards.
struct Room {
    memory: Vec<u128>,
    size: usize,
}

impl Room {
    fn new(limits: ObolLimits) -> Self {
        // SAFETY: the structure has the size that it says.
        let size = unsafe { obol_verifier_size(&raw const limits) };
        let canary = u128::from_ne_bytes([CANARY; 16]);
        let memory = vec![canary; (size + 2 * GUARD).div_ceil(16)];
        let mut room = Self { memory, size };
        // SAFETY: the memory behind the first guard is as long as it must be, and ours.
        let code = unsafe {
            let operator = c"metro".as_ptr();
            obol_verifier_init(room.verifier(), size, &raw const limits, operator, 5)
        };
        assert_eq!(code, 0);
        room
    }

    fn verifier(&mut self) -> *mut ObolVerifier {
        self.memory[GUARD / 16..].as_mut_ptr().cast()
    }

    fn guards_hold(&self) -> bool {
        let bytes = self.memory.iter().flat_map(|word| word.to_ne_bytes());
        let bytes: Vec<_> = bytes.collect();
        let (before, after) = (&bytes[..GUARD], &bytes[GUARD + self.size..]);
        before.iter().chain(after).all(|byte| *byte == CANARY)
    }
}

fn limits() -> ObolLimits {
    ObolLimits {
        struct_size: size_of::<ObolLimits>() as u32,
        keys: 2,
        table_chunks: 0,
        cached_credentials: 8,
        status_lists: 2,
        stale_grace_s: 0,
    }
}

fn result() -> ObolResult {
    // SAFETY: a structure of integers may be of zeros.
    let mut result: ObolResult = unsafe { core::mem::zeroed() };
    result.struct_size = size_of::<ObolResult>() as u32;
    result
}

fn scan(room: &mut Room, text: &[u8], now: u32) -> i32 {
    let mut result = result();
    let data = text.as_ptr().cast::<c_char>();
    // SAFETY: all of it is ours and as long as it says.
    unsafe { obol_verifier_scan(room.verifier(), data, text.len(), now, &raw mut result) }
}

fn noise(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered_with_a_refusal(text in noise(1024), now in any::<u32>()) {
        let mut room = Room::new(limits());
        prop_assert_eq!(scan(&mut room, &text, now), ObolCode::OBOL_UNKNOWN_SCHEME as i32);
        let prefixed = [b"PT1:", &text[..]].concat();
        prop_assert_eq!(scan(&mut room, &prefixed, now), ObolCode::OBOL_MALFORMED as i32);
        prop_assert!(room.guards_hold());
    }

    #[test]
    fn a_good_code_at_any_time_is_answered_with_a_code_above_zero(now in any::<u32>()) {
        let mut room = Room::new(limits());
        let code = scan(&mut room, CODE.as_bytes(), now);
        prop_assert_eq!(code, ObolCode::OBOL_UNKNOWN_KEY as i32);
    }

    #[test]
    fn any_bundle_and_any_list_is_refused_and_changes_nothing(
        root in noise(256), bundle in noise(256), list in noise(256), reason_size in 0..32_usize,
    ) {
        let mut room = Room::new(limits());
        let mut reason = [CANARY as c_char; 40];
        let (mut bits, kid) = ([CANARY; 32], [1_u8; 4]);
        // SAFETY: all of it is ours and as long as it says.
        let (loaded, put) = unsafe {
            let verifier = room.verifier();
            let loaded = obol_verifier_load_bundle(
                verifier, root.as_ptr(), root.len(), bundle.as_ptr(), bundle.len(),
                reason.as_mut_ptr(), reason_size,
            );
            let put = obol_verifier_put_status_list(
                verifier, kid.as_ptr(), 1, list.as_ptr(), list.len(), bits.as_mut_ptr(), bits.len(),
            );
            (loaded, put)
        };
        prop_assert_eq!(loaded, ObolCode::OBOL_ERROR_ROOT_REFUSED as i32);
        prop_assert_eq!(put, ObolCode::OBOL_ERROR_STATUS_LIST_REFUSED as i32);
        prop_assert!(reason[reason_size..].iter().all(|byte| *byte == CANARY as c_char));
        prop_assert!(reason_size == 0 || reason[reason_size - 1] == 0);
        prop_assert!(bits.iter().all(|byte| *byte == CANARY));
        prop_assert!(room.guards_hold());
        let code = scan(&mut room, CODE.as_bytes(), NOW.0);
        prop_assert_eq!(code, ObolCode::OBOL_UNKNOWN_KEY as i32);
    }

    #[test]
    fn any_limits_are_refused_or_have_a_size_that_suffices(
        keys in 0..70_u32, chunks in 0..40_u32, cached in any::<u32>(), lists in 0..300_u32,
        grace in any::<u32>(),
    ) {
        let limits = ObolLimits {
            keys, table_chunks: chunks, cached_credentials: cached % (1 << 21),
            status_lists: lists, stale_grace_s: grace % 300_000, ..limits()
        };
        // SAFETY: the structure has the size that it says.
        let size = unsafe { obol_verifier_size(&raw const limits) };
        if size > 0 && size < 4 << 20 {
            let mut room = Room::new(limits);
            prop_assert_eq!(scan(&mut room, b"PT1:", 0), ObolCode::OBOL_MALFORMED as i32);
            prop_assert!(room.guards_hold());
        }
    }

    #[test]
    fn any_key_is_refused_or_taken(
        algorithm in prop::sample::select(vec![-51, -9, 0, -7]), point in noise(100),
        operator in noise(40), times in any::<(u32, u32, u32, u32)>(),
    ) {
        let mut room = Room::new(limits());
        let key = ObolKey {
            struct_size: size_of::<ObolKey>() as u32,
            algorithm, point: point.as_ptr(), point_len: point.len(),
            not_before: times.0, not_after: times.1,
            operator_name: operator.as_ptr().cast(), operator_len: operator.len(),
            classes: times.2, suspended: times.3,
        };
        // SAFETY: all of it is ours and as long as it says.
        let code = unsafe { obol_verifier_add_key(room.verifier(), &raw const key) };
        prop_assert!([
            ObolCode::OBOL_ERROR_KEY as i32, ObolCode::OBOL_ERROR_OPERATOR as i32, 0,
        ].contains(&code));
        prop_assert!(room.guards_hold());
    }
}
