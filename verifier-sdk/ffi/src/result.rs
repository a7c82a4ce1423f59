use core::ffi::c_char;

use obol_credential::PRESENTATION_MAX;
use obol_verifier_sdk::{Refusal, Verified};

/// Bytes of the longest presentation.
pub const OBOL_PRESENTATION_MAX: usize = 319;
const _: () = assert!(OBOL_PRESENTATION_MAX == PRESENTATION_MAX);

/// Bytes of `rule`, the closing NUL among them.
pub const OBOL_RULE_SIZE: usize = 64;

/// What a scan found. Where the boarding code was refused, `rule` alone is meaningful and the rest
/// is zero.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ObolResult {
    /// In: sizeof(obol_result), by which the library knows the caller's version of it.
    pub struct_size: u32,
    /// 1 when the trust bundle has expired and the host's grace still lasts, otherwise 0.
    pub trust_is_stale: u32,
    /// The rule that is broken, in words; empty when the boarding code is good.
    pub rule: [c_char; OBOL_RULE_SIZE],
    /// The issuer key.
    pub kid: [u8; 4],
    /// The credential.
    pub cti: [u8; 8],
    /// The boarding code's nonce. (kid, cti, code_issued_at, nonce) tells it from every other.
    pub nonce: [u8; 4],
    /// When the phone made the boarding code, seconds since 1970.
    pub code_issued_at: u32,
    /// The credential's use counter.
    pub counter: u32,
    /// When the credential was issued, seconds since 1970.
    pub credential_issued_at: u32,
    /// The first second at which the credential is no longer good.
    pub credential_expires_at: u32,
    /// The rider class, 0 to 31.
    pub rider_class: u32,
    /// The dearest single fare the credential stands for, minor units.
    pub cap_minor: u32,
    /// How long a boarding code is good, seconds, as the issuer set it.
    pub window_s: u32,
    /// The credential's place in the status list of its key and day.
    pub status_index: u32,
    /// The issuer's flags.
    pub flags: u32,
    /// Bytes of `presentation`.
    pub presentation_len: u32,
    /// What was verified, for the journal: the platform verifies it again.
    pub presentation: [u8; OBOL_PRESENTATION_MAX],
}

/// An issuer key that the host vouches for.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ObolKey {
    /// In: sizeof(obol_key).
    pub struct_size: u32,
    /// COSE algorithm: -51 (ESP384) or -9 (ESP256).
    pub algorithm: i32,
    /// The public key as a SEC1 point, compressed or not.
    pub point: *const u8,
    /// Bytes of `point`.
    pub point_len: usize,
    /// The first second at which it is good, seconds since 1970.
    pub not_before: u32,
    /// The last second at which it is good.
    pub not_after: u32,
    /// The operator it may issue for: 1 to 32 characters of a-z 0-9 -, not closed by a NUL.
    pub operator_name: *const c_char,
    /// Bytes of `operator_name`.
    pub operator_len: usize,
    /// The rider classes it may issue, one bit each.
    pub classes: u32,
    /// 1 when this very key is suspended, otherwise 0.
    pub suspended: u32,
}

impl ObolResult {
    pub(crate) fn empty() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            trust_is_stale: 0,
            rule: [0; OBOL_RULE_SIZE],
            kid: [0; 4],
            cti: [0; 8],
            nonce: [0; 4],
            code_issued_at: 0,
            counter: 0,
            credential_issued_at: 0,
            credential_expires_at: 0,
            rider_class: 0,
            cap_minor: 0,
            window_s: 0,
            status_index: 0,
            flags: 0,
            presentation_len: 0,
            presentation: [0; OBOL_PRESENTATION_MAX],
        }
    }

    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let mut result = Self::empty();
        write_text(refusal.rule, &mut result.rule);
        result
    }

    pub(crate) fn good(verified: &Verified) -> Self {
        let (claims, dynamic) = (verified.claims(), verified.dynamic());
        let mut result = Self {
            kid: verified.kid().0,
            cti: claims.cti.0,
            nonce: dynamic.nonce.0,
            code_issued_at: dynamic.issued_at.0,
            counter: dynamic.counter,
            credential_issued_at: claims.issued_at.0,
            credential_expires_at: claims.expires_at.0,
            rider_class: claims.fare.class.into(),
            cap_minor: claims.fare.cap_minor,
            window_s: claims.fare.window_s.into(),
            status_index: claims.fare.status_index,
            flags: claims.fare.flags.into(),
            presentation_len: verified.presentation().len() as u32,
            ..Self::empty()
        };
        let bytes = result.presentation.iter_mut().zip(verified.presentation());
        bytes.for_each(|(to, from)| *to = *from);
        result
    }
}

/// Copies as much of `text` as fits, and always a NUL behind it.
pub(crate) fn write_text(text: &str, room: &mut [c_char]) {
    let Some((last, before)) = room.split_last_mut() else {
        return;
    };
    *last = 0;
    before.fill(0);
    let bytes = before.iter_mut().zip(text.bytes());
    bytes.for_each(|(to, from)| *to = from as c_char);
}
