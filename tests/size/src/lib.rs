//! One function, so that the linker keeps what a verification needs and drops the rest.

#![no_std]

use core::panic::PanicInfo;

use obol_verifier_sdk::{IssuerKey, Operator, TrustStore, UnixTime, Verifier};

/// Decides on a text for a key that lies behind `key`: 0 for good, otherwise the refusal.
///
/// # Safety
/// `key` points to a key, `text` to `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn obol_size_scan(
    key: *const IssuerKey,
    text: *const u8,
    len: usize,
    now: u32,
) -> u8 {
    // SAFETY: as the caller vouches.
    let (key, text) = unsafe {
        (
            core::slice::from_ref(&*key),
            core::slice::from_raw_parts(text, len),
        )
    };
    let Some(operator) = Operator::new("metro") else {
        return u8::MAX;
    };
    let trust = TrustStore::new(key);
    #[cfg(feature = "tables")]
    let mut room = [obol_verifier_sdk::Multiple::EMPTY; 512];
    #[cfg(feature = "tables")]
    let trust = {
        let size = obol_verifier_sdk::TableSize::Chunks4;
        trust.with_tables(obol_verifier_sdk::Tables::build(size, key, &mut room))
    };
    let verifier = Verifier { trust, operator };
    verifier
        .verify_text(text, UnixTime(now))
        .err()
        .map_or(0, |refusal| refusal.code.number())
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
