use core::ffi::CStr;

use obol_verifier_sdk::RefusalCode;

/// What a call came to. 0: done, or the boarding code is good. Above 0: the boarding code is
/// refused, and this is the reason, with the number it has in every journal. Below 0: the call
/// itself could not be carried out. Numbers are never changed and never used again.
#[allow(non_camel_case_types, clippy::upper_case_acronyms)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ObolCode {
    /// Done; or the boarding code is good.
    OBOL_OK = 0,
    /// Not base45, not deterministic CBOR, or not a PT1 presentation.
    OBOL_MALFORMED = 1,
    /// Another prefix than `PT1:`: some other system's code.
    OBOL_UNKNOWN_SCHEME = 2,
    /// No issuer key with this kid and algorithm.
    OBOL_UNKNOWN_KEY = 3,
    /// The issuer key is suspended.
    OBOL_KEY_SUSPENDED = 4,
    /// The issuer key does not serve this operator, class or time.
    OBOL_OUT_OF_SCOPE = 5,
    /// The issuer's signature does not verify.
    OBOL_ISSUER_SIG = 6,
    /// The device key's signature does not verify.
    OBOL_DEVICE_SIG = 7,
    /// The credential has expired.
    OBOL_CRED_EXPIRED = 8,
    /// The boarding code is past its window.
    OBOL_CODE_STALE = 9,
    /// The boarding code or the credential is from the future.
    OBOL_CODE_FUTURE = 10,
    /// A status list denies the credential.
    OBOL_DENIED = 11,
    /// No status list covers the credential.
    OBOL_STATUS_MISSING = 12,
    /// The trust bundle is out of date for longer than the host allows.
    OBOL_BUNDLE_EXPIRED = 19,
    /// A pointer that must not be NULL is.
    OBOL_ERROR_NULL = -1,
    /// The memory does not begin at a multiple of OBOL_VERIFIER_ALIGNMENT.
    OBOL_ERROR_ALIGNMENT = -2,
    /// The memory is smaller than obol_verifier_size() says.
    OBOL_ERROR_MEMORY = -3,
    /// A limit is out of its range.
    OBOL_ERROR_LIMITS = -4,
    /// The memory was not given to obol_verifier_init().
    OBOL_ERROR_NOT_INITIALISED = -5,
    /// An operator's name is not 1 to 32 characters of a-z 0-9 -.
    OBOL_ERROR_OPERATOR = -6,
    /// The algorithm is unknown or the bytes are not a point of its curve.
    OBOL_ERROR_KEY = -7,
    /// More issuer keys than the limits have room for. Nothing was changed.
    OBOL_ERROR_KEYS_FULL = -8,
    /// The pinned root certificate is not one. Nothing was changed.
    OBOL_ERROR_ROOT_REFUSED = -9,
    /// The trust bundle is refused. Nothing was changed.
    OBOL_ERROR_BUNDLE_REFUSED = -10,
    /// The status list is refused. Nothing was changed.
    OBOL_ERROR_STATUS_LIST_REFUSED = -11,
    /// More status lists than the limits have room for. Nothing was changed.
    OBOL_ERROR_STATUS_LISTS_FULL = -12,
    /// `struct_size` of a structure is not one that this library knows.
    OBOL_ERROR_STRUCT_SIZE = -13,
    /// A bug of this library: report it. Initialise the verifier again before using it.
    OBOL_ERROR_PANIC = -14,
}

use ObolCode::*;

const ALL: [(ObolCode, &CStr); 28] = [
    (OBOL_OK, c"OK"),
    (OBOL_MALFORMED, c"MALFORMED"),
    (OBOL_UNKNOWN_SCHEME, c"UNKNOWN_SCHEME"),
    (OBOL_UNKNOWN_KEY, c"UNKNOWN_KEY"),
    (OBOL_KEY_SUSPENDED, c"KEY_SUSPENDED"),
    (OBOL_OUT_OF_SCOPE, c"OUT_OF_SCOPE"),
    (OBOL_ISSUER_SIG, c"ISSUER_SIG"),
    (OBOL_DEVICE_SIG, c"DEVICE_SIG"),
    (OBOL_CRED_EXPIRED, c"CRED_EXPIRED"),
    (OBOL_CODE_STALE, c"CODE_STALE"),
    (OBOL_CODE_FUTURE, c"CODE_FUTURE"),
    (OBOL_DENIED, c"DENIED"),
    (OBOL_STATUS_MISSING, c"STATUS_MISSING"),
    (OBOL_BUNDLE_EXPIRED, c"BUNDLE_EXPIRED"),
    (OBOL_ERROR_NULL, c"ERROR_NULL"),
    (OBOL_ERROR_ALIGNMENT, c"ERROR_ALIGNMENT"),
    (OBOL_ERROR_MEMORY, c"ERROR_MEMORY"),
    (OBOL_ERROR_LIMITS, c"ERROR_LIMITS"),
    (OBOL_ERROR_NOT_INITIALISED, c"ERROR_NOT_INITIALISED"),
    (OBOL_ERROR_OPERATOR, c"ERROR_OPERATOR"),
    (OBOL_ERROR_KEY, c"ERROR_KEY"),
    (OBOL_ERROR_KEYS_FULL, c"ERROR_KEYS_FULL"),
    (OBOL_ERROR_ROOT_REFUSED, c"ERROR_ROOT_REFUSED"),
    (OBOL_ERROR_BUNDLE_REFUSED, c"ERROR_BUNDLE_REFUSED"),
    (OBOL_ERROR_STATUS_LIST_REFUSED, c"ERROR_STATUS_LIST_REFUSED"),
    (OBOL_ERROR_STATUS_LISTS_FULL, c"ERROR_STATUS_LISTS_FULL"),
    (OBOL_ERROR_STRUCT_SIZE, c"ERROR_STRUCT_SIZE"),
    (OBOL_ERROR_PANIC, c"ERROR_PANIC"),
];

impl ObolCode {
    /// The name of a number, `UNKNOWN` for one that is no code.
    pub(crate) fn name(number: i32) -> &'static CStr {
        let found = ALL.iter().find(|(code, _)| *code as i32 == number);
        found.map_or(c"UNKNOWN", |(_, name)| name)
    }

    /// The code of a refusal of the verifier; it answers with no other.
    pub(crate) fn of(refusal: RefusalCode) -> Self {
        let number = i32::from(refusal.number());
        let found = ALL.iter().find(|(code, _)| *code as i32 == number);
        found.map_or(OBOL_ERROR_PANIC, |(code, _)| *code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_number_and_the_name_they_have_everywhere() {
        let verifiers = |code: &&RefusalCode| code.number() <= 12 || code.number() == 19;
        for refusal in RefusalCode::all().iter().filter(verifiers) {
            let code = ObolCode::of(*refusal);
            assert_eq!(code as i32, i32::from(refusal.number()));
            assert_eq!(ObolCode::name(code as i32).to_str(), Ok(refusal.name()));
        }
    }

    #[test]
    fn a_number_that_is_no_code_has_no_name_of_one() {
        for number in [i32::MIN, -15, 13, 20, 21, i32::MAX] {
            assert_eq!(ObolCode::name(number), c"UNKNOWN");
        }
    }
}
