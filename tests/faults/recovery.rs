//! What each answer of a module costs: a test for each class of `kms/src/error/class.rs`.

use obol_kms_client::wire::RefusalKind;

use crate::device::Device;

const TRANSIENT: [&str; 7] = [
    "CKR_HOST_MEMORY",
    "CKR_DEVICE_MEMORY",
    "CKR_FUNCTION_FAILED",
    "CKR_FUNCTION_CANCELED",
    "CKR_OPERATION_ACTIVE",
    "CKR_CANT_LOCK",
    "CKR_SESSION_COUNT",
];
const SESSION: [&str; 6] = [
    "CKR_SESSION_HANDLE_INVALID",
    "CKR_SESSION_CLOSED",
    "CKR_OPERATION_NOT_INITIALIZED",
    "CKR_KEY_HANDLE_INVALID",
    "CKR_OBJECT_HANDLE_INVALID",
    "CKR_USER_NOT_LOGGED_IN",
];
const MODULE: [&str; 7] = [
    "CKR_DEVICE_ERROR",
    "CKR_DEVICE_REMOVED",
    "CKR_TOKEN_NOT_PRESENT",
    "CKR_TOKEN_NOT_RECOGNIZED",
    "CKR_SLOT_ID_INVALID",
    "CKR_CRYPTOKI_NOT_INITIALIZED",
    "CKR_GENERAL_ERROR",
];
const PIN: [&str; 5] = [
    "CKR_PIN_INCORRECT",
    "CKR_PIN_INVALID",
    "CKR_PIN_LEN_RANGE",
    "CKR_PIN_EXPIRED",
    "CKR_PIN_LOCKED",
];
const REQUEST: [&str; 4] = [
    "CKR_ARGUMENTS_BAD",
    "CKR_MECHANISM_INVALID",
    "CKR_DATA_LEN_RANGE",
    "CKR_KEY_FUNCTION_NOT_PERMITTED",
];

/// Calls after the module answered `answer` so many times: of `C_Sign` and `C_Initialize`.
fn signed_after(device: &Device, answer: &str, times: u32) -> (u64, u64) {
    let rules = format!("C_Sign 1-{times} return {answer}");
    device.faults.set(&rules);
    device
        .sign()
        .unwrap_or_else(|refusal| panic!("{answer}: {refusal:?}"));
    calls(device)
}

fn calls(device: &Device) -> (u64, u64) {
    let calls = |function| device.faults.calls(function);
    (calls("C_Sign"), calls("C_Initialize"))
}

/// The module answers `answer` for ever: what the caller is told, and the calls it cost.
fn refused_after(device: &Device, answer: &str) -> (u64, u64) {
    device.faults.set(&format!("C_Sign * return {answer}"));
    let refusal = device.sign().unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::TokenFailure, "{refusal:?}");
    assert_eq!(refusal.reason, format!("C_Sign: {answer}"));
    let calls = calls(device);
    device.faults.clear();
    device.recover();
    calls
}

#[test]
fn every_return_value_of_the_table_is_in_these_tests() {
    let source = include_str!("../../kms/src/error/class.rs");
    let mut found = Vec::new();
    for line in source.lines().map(str::trim) {
        let Some((rv, class)) = line
            .strip_prefix("(RvError::")
            .and_then(|rest| rest.strip_suffix("),"))
            .and_then(|rest| rest.split_once(", ErrorClass::"))
        else {
            continue;
        };
        let mut name = String::from("CKR");
        for letter in rv.chars() {
            let words = if letter.is_ascii_uppercase() { "_" } else { "" };
            name.push_str(words);
            name.push(letter.to_ascii_uppercase());
        }
        found.push((name, class));
    }
    let mut wanted = Vec::new();
    let classes: [(&str, &[&str]); 4] = [
        ("Transient", &TRANSIENT),
        ("Session", &SESSION),
        ("Module", &MODULE),
        ("Pin", &PIN),
    ];
    for (class, answers) in classes {
        wanted.extend(answers.iter().map(|answer| ((*answer).to_owned(), class)));
    }
    assert_eq!(found, wanted);
}

#[test]
fn a_busy_device_is_asked_once_more_and_no_more() {
    let device = Device::new();
    for answer in TRANSIENT {
        assert_eq!(signed_after(&device, answer, 1), (2, 0), "{answer}");
        assert_eq!(refused_after(&device, answer), (2, 0), "{answer}");
    }
}

#[test]
fn a_dead_session_is_replaced_and_if_that_does_not_help_the_module_is_initialised_again() {
    let device = Device::new();
    for answer in SESSION {
        assert_eq!(signed_after(&device, answer, 1), (2, 0), "{answer}");
        assert_eq!(signed_after(&device, answer, 2), (3, 1), "{answer}");
        assert_eq!(refused_after(&device, answer), (3, 1), "{answer}");
    }
}

#[test]
fn a_dead_module_is_initialised_again_and_signs_the_same_request() {
    let device = Device::new();
    for answer in MODULE {
        assert_eq!(signed_after(&device, answer, 1), (2, 1), "{answer}");
        assert_eq!(signed_after(&device, answer, 2), (3, 2), "{answer}");
        let (signs, initialisations) = refused_after(&device, answer);
        assert_eq!((signs, initialisations), (3, 2), "{answer}");
    }
}

#[test]
fn a_pin_that_is_refused_while_signing_is_not_offered_again() {
    for answer in PIN {
        let device = Device::new();
        assert_eq!(refused_after(&device, answer), (1, 0), "{answer}");
        assert_eq!(device.faults.calls("C_Login"), 0, "{answer}");
    }
}

#[test]
fn a_wrong_request_fails_alone_and_at_once() {
    let device = Device::new();
    for answer in REQUEST {
        assert_eq!(refused_after(&device, answer), (1, 0), "{answer}");
    }
}

#[test]
fn a_vendors_own_code_is_taken_for_a_dead_session() {
    let device = Device::new();
    assert_eq!(signed_after(&device, "0x80000042", 2), (3, 1));
}

#[test]
fn sessions_that_are_dropped_under_the_daemon_come_back_by_themselves() {
    let device = Device::new();
    device.sign().unwrap();
    device.faults.set("C_SignInit 1 drop-sessions");
    device.sign().unwrap();
    for end in device.sign_many(8, 4) {
        end.unwrap();
    }
}

#[test]
fn a_token_that_looks_empty_is_not_believed_and_used_again_when_its_keys_are_back() {
    let device = Device::new();
    device
        .faults
        .set("C_Sign 1 return CKR_DEVICE_ERROR\nC_FindObjects * empty");
    let refusal = device.sign().unwrap_err();
    assert!(
        refusal.reason.contains("the token is not the one it was"),
        "{refusal:?}"
    );
    device.faults.clear();
    device.recover();
}

#[test]
fn the_first_good_signature_follows_the_device_by_itself() {
    let device = Device::new();
    device
        .faults
        .set("C_Sign 1- return CKR_DEVICE_REMOVED\nC_GetSlotList * empty");
    for end in device.sign_many(16, 2) {
        end.unwrap_err();
    }
    std::thread::sleep(std::time::Duration::from_secs(2));
    device.faults.clear();
    let took = device.recover();
    println!(
        "first good signature {} ms after the device",
        took.as_millis()
    );
}
