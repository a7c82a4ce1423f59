//! Compiles only while none of these crates brings std: std has a panic handler of its own, and a
//! program may have one.

#![no_std]

use core::panic::PanicInfo;

pub use {obol_credential, obol_fare, obol_tap, obol_trust, obol_verifier_sdk};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
