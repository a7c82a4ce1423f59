use core::ffi::CStr;

use obol_pos_sdk::RefusalCode;

/// What a call came to. 0: done; of a scan: the ride is on disk, open the gate. 1 to 99: the
/// boarding code is refused, and this is the reason, with the number it has in every journal. From
/// 100: neither. Below 0: the call itself could not be carried out. Numbers are never changed and
/// never used again.
#[allow(non_camel_case_types, clippy::upper_case_acronyms)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ObolPosCode {
    /// Done; of a scan: the ride is on disk, open the gate.
    OBOL_POS_OK = 0,
    /// Not base45, not deterministic CBOR, or not a PT1 presentation.
    OBOL_POS_MALFORMED = 1,
    /// Another prefix than `PT1:`: some other system's code.
    OBOL_POS_UNKNOWN_SCHEME = 2,
    /// No issuer key with this kid and algorithm.
    OBOL_POS_UNKNOWN_KEY = 3,
    /// The issuer key is suspended.
    OBOL_POS_KEY_SUSPENDED = 4,
    /// The issuer key or this terminal does not serve this operator, class or time.
    OBOL_POS_OUT_OF_SCOPE = 5,
    /// The issuer's signature does not verify.
    OBOL_POS_ISSUER_SIG = 6,
    /// The device key's signature does not verify.
    OBOL_POS_DEVICE_SIG = 7,
    /// The credential has expired.
    OBOL_POS_CRED_EXPIRED = 8,
    /// The boarding code is past its window.
    OBOL_POS_CODE_STALE = 9,
    /// The boarding code or the credential is from the future.
    OBOL_POS_CODE_FUTURE = 10,
    /// A status list denies the credential.
    OBOL_POS_DENIED = 11,
    /// No status list covers the credential.
    OBOL_POS_STATUS_MISSING = 12,
    /// This boarding code was taken before.
    OBOL_POS_DUPLICATE = 13,
    /// The credential was used here within the passback interval.
    OBOL_POS_PASSBACK = 14,
    /// The credential has paid for too many rides here.
    OBOL_POS_VELOCITY = 15,
    /// The fare is above the credential's cap, or above the terminal's while trust is stale.
    OBOL_POS_CAP = 16,
    /// No fare for this class now.
    OBOL_POS_FARE_UNKNOWN = 17,
    /// The clock is behind a time that is certain.
    OBOL_POS_CLOCK_FAULT = 18,
    /// The terminal's trust is out of date for longer than it may be.
    OBOL_POS_BUNDLE_EXPIRED = 19,
    /// The journal failed: obol_pos_fault() says how.
    OBOL_POS_STORAGE_FAULT = 20,
    /// The credential was used less than three seconds ago: keep the gate as it is, say nothing.
    OBOL_POS_IGNORED = 100,
    /// A pointer that must not be NULL is.
    OBOL_POS_ERROR_NULL = -1,
    /// The memory does not begin at a multiple of OBOL_POS_ALIGNMENT.
    OBOL_POS_ERROR_ALIGNMENT = -2,
    /// The memory is smaller than obol_pos_size() says, or a length is impossible.
    OBOL_POS_ERROR_MEMORY = -3,
    /// The memory holds no open terminal.
    OBOL_POS_ERROR_NOT_OPEN = -4,
    /// `struct_size` of a structure is not one that this library knows.
    OBOL_POS_ERROR_STRUCT_SIZE = -5,
    /// A path is not UTF-8 or is empty.
    OBOL_POS_ERROR_PATH = -6,
    /// A file of the folder is missing or unusable: the reason says which.
    OBOL_POS_ERROR_FOLDER = -7,
    /// The journal is missing, damaged, foreign, or its disk fails: the reason says which.
    OBOL_POS_ERROR_JOURNAL = -8,
    /// Another process takes rides with this journal.
    OBOL_POS_ERROR_JOURNAL_IN_USE = -9,
    /// The terminal has no trust bundle yet.
    OBOL_POS_ERROR_TRUST_MISSING = -10,
    /// The trust bundle or the repository is not believed. What was in use stays.
    OBOL_POS_ERROR_TRUST_REFUSED = -11,
    /// The fare pack is malformed. What was in use stays.
    OBOL_POS_ERROR_FARES_REFUSED = -12,
    /// No granted ride waits for its gate.
    OBOL_POS_ERROR_NOT_GRANTED = -13,
    /// The terminal's key is missing, unusable or did not sign. Nothing is lost.
    OBOL_POS_ERROR_KEY = -14,
    /// The acknowledgement is not about this journal. Nothing is lost.
    OBOL_POS_ERROR_ACKNOWLEDGEMENT_REFUSED = -15,
    /// The buffer is too small; the length says how much is needed.
    OBOL_POS_ERROR_ROOM = -16,
    /// The repository did not answer, or broke off. What came so far is kept.
    OBOL_POS_ERROR_SOURCE = -17,
    /// The number is no code with words.
    OBOL_POS_ERROR_CODE = -18,
    /// A bug of this library: report it. Close the terminal and open it again.
    OBOL_POS_ERROR_PANIC = -19,
    /// An earlier call ended in a bug, or another call is still running.
    OBOL_POS_ERROR_UNUSABLE = -20,
    /// The software's name is not 1 to 32 printable characters of ASCII.
    OBOL_POS_ERROR_SOFTWARE = -21,
}

use ObolPosCode::*;

const ALL: [(ObolPosCode, &CStr); 43] = [
    (OBOL_POS_OK, c"OK"),
    (OBOL_POS_MALFORMED, c"MALFORMED"),
    (OBOL_POS_UNKNOWN_SCHEME, c"UNKNOWN_SCHEME"),
    (OBOL_POS_UNKNOWN_KEY, c"UNKNOWN_KEY"),
    (OBOL_POS_KEY_SUSPENDED, c"KEY_SUSPENDED"),
    (OBOL_POS_OUT_OF_SCOPE, c"OUT_OF_SCOPE"),
    (OBOL_POS_ISSUER_SIG, c"ISSUER_SIG"),
    (OBOL_POS_DEVICE_SIG, c"DEVICE_SIG"),
    (OBOL_POS_CRED_EXPIRED, c"CRED_EXPIRED"),
    (OBOL_POS_CODE_STALE, c"CODE_STALE"),
    (OBOL_POS_CODE_FUTURE, c"CODE_FUTURE"),
    (OBOL_POS_DENIED, c"DENIED"),
    (OBOL_POS_STATUS_MISSING, c"STATUS_MISSING"),
    (OBOL_POS_DUPLICATE, c"DUPLICATE"),
    (OBOL_POS_PASSBACK, c"PASSBACK"),
    (OBOL_POS_VELOCITY, c"VELOCITY"),
    (OBOL_POS_CAP, c"CAP"),
    (OBOL_POS_FARE_UNKNOWN, c"FARE_UNKNOWN"),
    (OBOL_POS_CLOCK_FAULT, c"CLOCK_FAULT"),
    (OBOL_POS_BUNDLE_EXPIRED, c"BUNDLE_EXPIRED"),
    (OBOL_POS_STORAGE_FAULT, c"STORAGE_FAULT"),
    (OBOL_POS_IGNORED, c"IGNORED"),
    (OBOL_POS_ERROR_NULL, c"ERROR_NULL"),
    (OBOL_POS_ERROR_ALIGNMENT, c"ERROR_ALIGNMENT"),
    (OBOL_POS_ERROR_MEMORY, c"ERROR_MEMORY"),
    (OBOL_POS_ERROR_NOT_OPEN, c"ERROR_NOT_OPEN"),
    (OBOL_POS_ERROR_STRUCT_SIZE, c"ERROR_STRUCT_SIZE"),
    (OBOL_POS_ERROR_PATH, c"ERROR_PATH"),
    (OBOL_POS_ERROR_FOLDER, c"ERROR_FOLDER"),
    (OBOL_POS_ERROR_JOURNAL, c"ERROR_JOURNAL"),
    (OBOL_POS_ERROR_JOURNAL_IN_USE, c"ERROR_JOURNAL_IN_USE"),
    (OBOL_POS_ERROR_TRUST_MISSING, c"ERROR_TRUST_MISSING"),
    (OBOL_POS_ERROR_TRUST_REFUSED, c"ERROR_TRUST_REFUSED"),
    (OBOL_POS_ERROR_FARES_REFUSED, c"ERROR_FARES_REFUSED"),
    (OBOL_POS_ERROR_NOT_GRANTED, c"ERROR_NOT_GRANTED"),
    (OBOL_POS_ERROR_KEY, c"ERROR_KEY"),
    (
        OBOL_POS_ERROR_ACKNOWLEDGEMENT_REFUSED,
        c"ERROR_ACKNOWLEDGEMENT_REFUSED",
    ),
    (OBOL_POS_ERROR_ROOM, c"ERROR_ROOM"),
    (OBOL_POS_ERROR_SOURCE, c"ERROR_SOURCE"),
    (OBOL_POS_ERROR_CODE, c"ERROR_CODE"),
    (OBOL_POS_ERROR_PANIC, c"ERROR_PANIC"),
    (OBOL_POS_ERROR_UNUSABLE, c"ERROR_UNUSABLE"),
    (OBOL_POS_ERROR_SOFTWARE, c"ERROR_SOFTWARE"),
];

impl ObolPosCode {
    /// The name of a number, `UNKNOWN` for one that is no code.
    pub(crate) fn name(number: i32) -> &'static CStr {
        let found = ALL.iter().find(|(code, _)| *code as i32 == number);
        found.map_or(c"UNKNOWN", |(_, name)| name)
    }

    /// The code of a refusal.
    pub(crate) fn of(refusal: RefusalCode) -> Self {
        let number = i32::from(refusal.number());
        let found = ALL.iter().find(|(code, _)| *code as i32 == number);
        found.map_or(OBOL_POS_ERROR_PANIC, |(code, _)| *code)
    }

    /// The refusal of a number.
    pub(crate) fn refusal(number: i32) -> Option<RefusalCode> {
        let mut all = RefusalCode::all().iter();
        all.find(|code| i32::from(code.number()) == number).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_the_number_and_the_name_it_has_everywhere() {
        for refusal in RefusalCode::all() {
            let code = ObolPosCode::of(*refusal);
            assert_eq!(code as i32, i32::from(refusal.number()));
            assert_eq!(ObolPosCode::name(code as i32).to_str(), Ok(refusal.name()));
            assert_eq!(ObolPosCode::refusal(code as i32), Some(*refusal));
        }
    }

    #[test]
    fn no_number_stands_for_two_codes_and_other_numbers_for_none() {
        let mut numbers: Vec<_> = ALL.iter().map(|(code, _)| *code as i32).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ALL.len());
        for number in [i32::MIN, -22, 21, 99, 101, i32::MAX] {
            assert_eq!(ObolPosCode::name(number), c"UNKNOWN");
            assert_eq!(ObolPosCode::refusal(number), None);
        }
    }
}
