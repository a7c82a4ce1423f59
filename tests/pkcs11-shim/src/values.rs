//! The return values, and the one attribute, that a control file may name.

use cryptoki_sys::*;

macro_rules! values {
    ($($name:ident)*) => {
        const VALUES: &[(&str, CK_RV)] = &[$((stringify!($name), $name)),*];
    };
}

values! {
    CKR_OK CKR_CANCEL CKR_HOST_MEMORY CKR_SLOT_ID_INVALID CKR_GENERAL_ERROR CKR_FUNCTION_FAILED
    CKR_ARGUMENTS_BAD CKR_CANT_LOCK CKR_ATTRIBUTE_VALUE_INVALID CKR_DATA_INVALID CKR_DATA_LEN_RANGE
    CKR_DEVICE_ERROR CKR_DEVICE_MEMORY CKR_DEVICE_REMOVED CKR_FUNCTION_CANCELED
    CKR_FUNCTION_NOT_SUPPORTED CKR_KEY_HANDLE_INVALID CKR_KEY_FUNCTION_NOT_PERMITTED
    CKR_MECHANISM_INVALID CKR_MECHANISM_PARAM_INVALID CKR_OBJECT_HANDLE_INVALID CKR_OPERATION_ACTIVE
    CKR_OPERATION_NOT_INITIALIZED CKR_PIN_INCORRECT CKR_PIN_INVALID CKR_PIN_LEN_RANGE
    CKR_PIN_EXPIRED CKR_PIN_LOCKED CKR_SESSION_CLOSED CKR_SESSION_COUNT CKR_SESSION_HANDLE_INVALID
    CKR_TEMPLATE_INCOMPLETE CKR_TEMPLATE_INCONSISTENT CKR_TOKEN_NOT_PRESENT
    CKR_TOKEN_NOT_RECOGNIZED CKR_USER_ALREADY_LOGGED_IN CKR_USER_NOT_LOGGED_IN
    CKR_USER_PIN_NOT_INITIALIZED CKR_BUFFER_TOO_SMALL CKR_CRYPTOKI_NOT_INITIALIZED
    CKR_CRYPTOKI_ALREADY_INITIALIZED CKA_ALLOWED_MECHANISMS
}

/// The number of a return value: `CKR_DEVICE_ERROR`, or `0x80000001` for a vendor's own.
pub fn value_of(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    VALUES
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value)
}

/// Every return value that has a name here.
pub fn named() -> impl Iterator<Item = &'static str> {
    VALUES.iter().map(|(name, _)| *name)
}
