//! The C libraries of verifier and terminal, called as a vendor's program may call them: any call
//! after any other, with any bytes. An answer is one of the numbered codes, never the one that a
//! panic of ours ends as, and nothing is written outside the caller's memory.

#![allow(unsafe_code)] // a C interface has no other way in

mod terminal;
mod verifier;

pub(crate) use terminal::terminal_calls;
pub(crate) use verifier::verifier_calls;

use core::ffi::{CStr, c_char};

/// More of them in one input find nothing new, and cost time.
const CALLS_MAX: usize = 16;
const CANARY: u8 = 0xa5;
const REASON: usize = 80;

/// One call: which, a number (little endian), and bytes behind their length (little endian).
struct Call<'a> {
    which: u8,
    number: u32,
    bytes: &'a [u8],
}

/// The calls that an input says, until it says none.
fn calls(mut data: &[u8]) -> impl Iterator<Item = Call<'_>> {
    let next = move || {
        let (head, rest) = data.split_first_chunk::<7>()?;
        let [which, n0, n1, n2, n3, l0, l1] = *head;
        let wanted = usize::from(u16::from_le_bytes([l0, l1]));
        let (bytes, rest) = rest.split_at(wanted.min(rest.len()));
        data = rest;
        Some(Call {
            which,
            number: u32::from_le_bytes([n0, n1, n2, n3]),
            bytes,
        })
    };
    core::iter::from_fn(next).take(CALLS_MAX)
}

/// Room for a reason, of which the call is given `size` bytes.
struct Reason {
    text: [c_char; REASON],
    size: usize,
}

impl Reason {
    fn of(size: u32) -> Reason {
        Reason {
            text: [CANARY as c_char; REASON],
            size: size as usize % (REASON - 16),
        }
    }

    fn hold(&self) {
        let behind = &self.text[self.size..];
        assert!(behind.iter().all(|byte| *byte == CANARY as c_char));
    }
}

/// The code's name, which every code has.
fn name(code: i32, text: *const c_char) -> String {
    // SAFETY: both libraries close the names of their codes by a NUL and keep them for ever.
    let name = unsafe { CStr::from_ptr(text) };
    let name = name.to_str().expect("ASCII").to_owned();
    assert!(
        !["UNKNOWN", "ERROR_PANIC"].contains(&&*name),
        "{code} {name}"
    );
    name
}
