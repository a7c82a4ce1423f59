//! The C side: every function of PKCS#11 2.40, forwarded.
#![allow(unsafe_code)] // the caller and the real module are C: see each block
#![allow(non_snake_case)] // the names are the standard's
#![allow(clippy::disallowed_methods)] // a module is configured by its environment

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use cryptoki_sys::*;

use crate::control::{Action, Control, Refused};
use crate::faults::{CONTROL, MODULE, tally};

type Session = CK_SESSION_HANDLE;
type Slot = CK_SLOT_ID;
type Slots = *mut CK_SLOT_ID;
type Object = CK_OBJECT_HANDLE;
type Objects = *mut CK_OBJECT_HANDLE;
type Bytes = *mut CK_BYTE;
type Length = CK_ULONG;
type Lengths = *mut CK_ULONG;
type Attributes = *mut CK_ATTRIBUTE;
type Mechanism = *mut CK_MECHANISM;
type Anything = *mut c_void;

/// Loaded at the first call and never unloaded: its functions are used until the process ends.
static REAL: LazyLock<CK_FUNCTION_LIST> = LazyLock::new(|| match load() {
    Ok(list) => list,
    Err(why) => misused(&why),
});

/// Slots on which sessions were opened.
static SLOTS: Mutex<BTreeSet<CK_SLOT_ID>> = Mutex::new(BTreeSet::new());

fn load() -> Result<CK_FUNCTION_LIST, String> {
    let path = std::env::var_os(MODULE).ok_or_else(|| format!("{MODULE} names no module"))?;
    let described = |error: libloading::Error| error.to_string();
    let mut list = std::ptr::null_mut();
    // SAFETY: the library is a PKCS#11 module, whose one entry point has this type.
    let answer = unsafe {
        let library = libloading::Library::new(path).map_err(described)?;
        let library = std::mem::ManuallyDrop::new(library);
        type Entry = unsafe extern "C" fn(*mut *mut CK_FUNCTION_LIST) -> CK_RV;
        let entry = library
            .get::<Entry>(b"C_GetFunctionList\0")
            .map_err(described)?;
        entry(&raw mut list)
    };
    if answer != CKR_OK || list.is_null() {
        return Err(format!("C_GetFunctionList: 0x{answer:x}"));
    }
    // SAFETY: the standard has the list stay where it is as long as the library is loaded.
    Ok(unsafe { *list })
}

/// A test that is set up wrongly must not look like a device that fails.
fn misused(why: &str) -> ! {
    eprintln!("pkcs11-shim: {why}");
    std::process::abort()
}

/// What remains to be done after a call was forwarded.
#[derive(Default)]
struct After {
    answer: Option<CK_RV>,
    corrupt: bool,
    empty: bool,
}

/// One call: counted, obeyed, forwarded.
fn call(function: &str, forward: impl FnOnce() -> CK_RV) -> CK_RV {
    call_and_spoil(function, forward, |_| {})
}

fn call_and_spoil(
    function: &str,
    forward: impl FnOnce() -> CK_RV,
    spoil: impl FnOnce(&After),
) -> CK_RV {
    obey(&actions(function), forward, spoil)
}

fn obey(actions: &[Action], forward: impl FnOnce() -> CK_RV, spoil: impl FnOnce(&After)) -> CK_RV {
    let mut after = After::default();
    for action in actions {
        match *action {
            Action::Delay(time) => std::thread::sleep(time),
            Action::Hang => hang(),
            Action::Return(answer) => return answer,
            Action::Replace(answer) => after.answer = Some(answer),
            Action::DropSessions => drop_sessions(),
            Action::Corrupt => after.corrupt = true,
            Action::Empty => after.empty = true,
            Action::Length { .. } => {}
            Action::Abort => std::process::abort(),
        }
    }
    let answer = forward();
    if answer == CKR_OK {
        spoil(&after);
    }
    after.answer.unwrap_or(answer)
}

fn actions(function: &str) -> Vec<Action> {
    let Some((path, control)) = control() else {
        return Vec::new();
    };
    let number = count(&path, control.epoch, function);
    control.actions(function, number)
}

fn control() -> Option<(PathBuf, Control)> {
    let path = PathBuf::from(std::env::var_os(CONTROL)?);
    let text = fs::read_to_string(&path).ok()?;
    match Control::parse(&text) {
        Ok(control) => Some((path, control)),
        Err(Refused(why)) => misused(&why),
    }
}

/// Appends a byte; where it landed is the number of this call among those of all processes.
fn count(path: &std::path::Path, epoch: u64, function: &str) -> u64 {
    let counted = File::options()
        .create(true)
        .append(true)
        .open(tally(path, epoch, function))
        .and_then(|mut tally| {
            tally.write_all(b".")?;
            tally.stream_position()
        });
    match counted {
        Ok(number) => number,
        Err(why) => misused(&format!("{function} cannot be counted: {why}")),
    }
}

fn hang() {
    let epoch = || control().map(|(_, control)| control.epoch);
    let begun = epoch();
    while epoch() == begun {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn drop_sessions() {
    let slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    for slot in slots.iter() {
        if let Some(close) = REAL.C_CloseAllSessions {
            // SAFETY: the function takes a number; a wrong one is answered with an error.
            let answer = unsafe { close(*slot) };
            if answer != CKR_OK {
                eprintln!("pkcs11-shim: C_CloseAllSessions: 0x{answer:x}");
            }
        }
    }
}

macro_rules! forward {
    ($($arguments:tt $($name:ident)+;)*) => { $($(forward_one!($name $arguments);)+)* };
}

macro_rules! forward_one {
    ($name:ident ($($argument:ident: $kind:ty),*)) => {
        unsafe extern "C" fn $name($($argument: $kind),*) -> CK_RV {
            call(stringify!($name), || match REAL.$name {
                // SAFETY: the caller's promises are passed on as they came.
                Some(function) => unsafe { function($($argument),*) },
                None => CKR_FUNCTION_NOT_SUPPORTED,
            })
        }
    };
}

forward! {
    (a: Anything) C_Initialize C_Finalize;
    (a: *mut CK_INFO) C_GetInfo;
    (a: Slot, b: *mut CK_SLOT_INFO) C_GetSlotInfo;
    (a: Slot, b: *mut CK_TOKEN_INFO) C_GetTokenInfo;
    (a: Slot, b: *mut CK_MECHANISM_TYPE, c: Lengths) C_GetMechanismList;
    (a: Slot, b: CK_MECHANISM_TYPE, c: *mut CK_MECHANISM_INFO) C_GetMechanismInfo;
    (a: Slot, b: Bytes, c: Length, d: Bytes) C_InitToken;
    (a: Session, b: Bytes, c: Length) C_InitPIN C_DigestUpdate C_SignUpdate C_VerifyUpdate
        C_VerifyFinal C_SeedRandom C_GenerateRandom;
    (a: Session, b: Bytes, c: Length, d: Bytes, e: Length) C_SetPIN C_Verify;
    (a: Session) C_CloseSession C_Logout C_FindObjectsFinal C_GetFunctionStatus
        C_CancelFunction;
    (a: Slot) C_CloseAllSessions;
    (a: Session, b: *mut CK_SESSION_INFO) C_GetSessionInfo;
    (a: Session, b: Bytes, c: Lengths) C_GetOperationState C_EncryptFinal C_DecryptFinal
        C_DigestFinal C_SignFinal;
    (a: Session, b: Bytes, c: Length, d: Object, e: Object) C_SetOperationState;
    (a: Session, b: CK_USER_TYPE, c: Bytes, d: Length) C_Login;
    (a: Session, b: Attributes, c: Length, d: Objects) C_CreateObject;
    (a: Session, b: Object, c: Attributes, d: Length, e: Objects) C_CopyObject;
    (a: Session, b: Object) C_DestroyObject C_DigestKey;
    (a: Session, b: Object, c: Lengths) C_GetObjectSize;
    (a: Session, b: Object, c: Attributes, d: Length) C_SetAttributeValue;
    (a: Session, b: Attributes, c: Length) C_FindObjectsInit;
    (a: Session, b: Mechanism, c: Object) C_EncryptInit C_DecryptInit C_SignInit
        C_SignRecoverInit C_VerifyInit C_VerifyRecoverInit;
    (a: Session, b: Bytes, c: Length, d: Bytes, e: Lengths) C_Encrypt C_EncryptUpdate C_Decrypt
        C_DecryptUpdate C_Digest C_SignRecover C_VerifyRecover C_DigestEncryptUpdate
        C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate;
    (a: Session, b: Mechanism) C_DigestInit;
    (a: Session, b: Mechanism, c: Attributes, d: Length, e: Objects) C_GenerateKey;
    (a: Session, b: Mechanism, c: Attributes, d: Length, e: Attributes, f: Length, g: Objects,
        h: Objects) C_GenerateKeyPair;
    (a: Session, b: Mechanism, c: Object, d: Object, e: Bytes, f: Lengths) C_WrapKey;
    (a: Session, b: Mechanism, c: Object, d: Bytes, e: Length, f: Attributes, g: Length, h:
        Objects) C_UnwrapKey;
    (a: Session, b: Mechanism, c: Object, d: Attributes, e: Length, f: Objects) C_DeriveKey;
    (a: CK_FLAGS, b: Slots, c: Anything) C_WaitForSlotEvent;
}

unsafe extern "C" fn C_OpenSession(
    slot: Slot,
    flags: CK_FLAGS,
    application: Anything,
    notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    slots.insert(slot);
    drop(slots);
    call("C_OpenSession", || match REAL.C_OpenSession {
        // SAFETY: the caller's promises are passed on as they came.
        Some(open) => unsafe { open(slot, flags, application, notify, session) },
        None => CKR_FUNCTION_NOT_SUPPORTED,
    })
}

unsafe extern "C" fn C_Sign(
    session: Session,
    data: Bytes,
    data_length: Length,
    signature: Bytes,
    length: Lengths,
) -> CK_RV {
    let forward = || match REAL.C_Sign {
        // SAFETY: the caller's promises are passed on as they came.
        Some(sign) => unsafe { sign(session, data, data_length, signature, length) },
        None => CKR_FUNCTION_NOT_SUPPORTED,
    };
    if signature.is_null() {
        // It only asks how long the signature will be: no rule speaks of that.
        return forward();
    }
    call_and_spoil("C_Sign", forward, |after| {
        if after.corrupt {
            // SAFETY: the module answered CKR_OK, so it wrote `*length` bytes there, at least one.
            unsafe { *signature.add(*length as usize / 2) ^= 0x10 };
        }
    })
}

unsafe extern "C" fn C_GetAttributeValue(
    session: Session,
    object: Object,
    attributes: Attributes,
    count: Length,
) -> CK_RV {
    let actions = actions("C_GetAttributeValue");
    // SAFETY: the caller promises `count` attributes there.
    let only = (count == 1).then(|| unsafe { &mut *attributes });
    if let Some(only) = only.filter(|only| only.pValue.is_null()) {
        for action in &actions {
            if let Action::Length { attribute, bytes } = *action
                && attribute == only.type_
            {
                only.ulValueLen = bytes;
                return CKR_OK;
            }
        }
    }
    let forward = || match REAL.C_GetAttributeValue {
        // SAFETY: the caller's promises are passed on as they came.
        Some(get) => unsafe { get(session, object, attributes, count) },
        None => CKR_FUNCTION_NOT_SUPPORTED,
    };
    obey(&actions, forward, |_| {})
}

unsafe extern "C" fn C_FindObjects(
    session: Session,
    objects: Objects,
    most: Length,
    found: Lengths,
) -> CK_RV {
    let forward = || match REAL.C_FindObjects {
        // SAFETY: the caller's promises are passed on as they came.
        Some(find) => unsafe { find(session, objects, most, found) },
        None => CKR_FUNCTION_NOT_SUPPORTED,
    };
    // SAFETY: the module answered CKR_OK, so it wrote `*found`.
    call_and_spoil("C_FindObjects", forward, |after| unsafe {
        list_nothing(after, found)
    })
}

unsafe extern "C" fn C_GetSlotList(present: CK_BBOOL, slots: Slots, count: Lengths) -> CK_RV {
    let forward = || match REAL.C_GetSlotList {
        // SAFETY: the caller's promises are passed on as they came.
        Some(list) => unsafe { list(present, slots, count) },
        None => CKR_FUNCTION_NOT_SUPPORTED,
    };
    // SAFETY: the module answered CKR_OK, so it wrote `*count`.
    call_and_spoil("C_GetSlotList", forward, |after| unsafe {
        list_nothing(after, count)
    })
}

unsafe fn list_nothing(after: &After, count: Lengths) {
    if after.empty {
        // SAFETY: the caller has seen the module write there.
        unsafe { *count = 0 };
    }
}

static LIST: CK_FUNCTION_LIST = CK_FUNCTION_LIST {
    version: CK_VERSION {
        major: 2,
        minor: 40,
    },
    C_Initialize: Some(C_Initialize),
    C_Finalize: Some(C_Finalize),
    C_GetInfo: Some(C_GetInfo),
    C_GetFunctionList: Some(C_GetFunctionList),
    C_GetSlotList: Some(C_GetSlotList),
    C_GetSlotInfo: Some(C_GetSlotInfo),
    C_GetTokenInfo: Some(C_GetTokenInfo),
    C_GetMechanismList: Some(C_GetMechanismList),
    C_GetMechanismInfo: Some(C_GetMechanismInfo),
    C_InitToken: Some(C_InitToken),
    C_InitPIN: Some(C_InitPIN),
    C_SetPIN: Some(C_SetPIN),
    C_OpenSession: Some(C_OpenSession),
    C_CloseSession: Some(C_CloseSession),
    C_CloseAllSessions: Some(C_CloseAllSessions),
    C_GetSessionInfo: Some(C_GetSessionInfo),
    C_GetOperationState: Some(C_GetOperationState),
    C_SetOperationState: Some(C_SetOperationState),
    C_Login: Some(C_Login),
    C_Logout: Some(C_Logout),
    C_CreateObject: Some(C_CreateObject),
    C_CopyObject: Some(C_CopyObject),
    C_DestroyObject: Some(C_DestroyObject),
    C_GetObjectSize: Some(C_GetObjectSize),
    C_GetAttributeValue: Some(C_GetAttributeValue),
    C_SetAttributeValue: Some(C_SetAttributeValue),
    C_FindObjectsInit: Some(C_FindObjectsInit),
    C_FindObjects: Some(C_FindObjects),
    C_FindObjectsFinal: Some(C_FindObjectsFinal),
    C_EncryptInit: Some(C_EncryptInit),
    C_Encrypt: Some(C_Encrypt),
    C_EncryptUpdate: Some(C_EncryptUpdate),
    C_EncryptFinal: Some(C_EncryptFinal),
    C_DecryptInit: Some(C_DecryptInit),
    C_Decrypt: Some(C_Decrypt),
    C_DecryptUpdate: Some(C_DecryptUpdate),
    C_DecryptFinal: Some(C_DecryptFinal),
    C_DigestInit: Some(C_DigestInit),
    C_Digest: Some(C_Digest),
    C_DigestUpdate: Some(C_DigestUpdate),
    C_DigestKey: Some(C_DigestKey),
    C_DigestFinal: Some(C_DigestFinal),
    C_SignInit: Some(C_SignInit),
    C_Sign: Some(C_Sign),
    C_SignUpdate: Some(C_SignUpdate),
    C_SignFinal: Some(C_SignFinal),
    C_SignRecoverInit: Some(C_SignRecoverInit),
    C_SignRecover: Some(C_SignRecover),
    C_VerifyInit: Some(C_VerifyInit),
    C_Verify: Some(C_Verify),
    C_VerifyUpdate: Some(C_VerifyUpdate),
    C_VerifyFinal: Some(C_VerifyFinal),
    C_VerifyRecoverInit: Some(C_VerifyRecoverInit),
    C_VerifyRecover: Some(C_VerifyRecover),
    C_DigestEncryptUpdate: Some(C_DigestEncryptUpdate),
    C_DecryptDigestUpdate: Some(C_DecryptDigestUpdate),
    C_SignEncryptUpdate: Some(C_SignEncryptUpdate),
    C_DecryptVerifyUpdate: Some(C_DecryptVerifyUpdate),
    C_GenerateKey: Some(C_GenerateKey),
    C_GenerateKeyPair: Some(C_GenerateKeyPair),
    C_WrapKey: Some(C_WrapKey),
    C_UnwrapKey: Some(C_UnwrapKey),
    C_DeriveKey: Some(C_DeriveKey),
    C_SeedRandom: Some(C_SeedRandom),
    C_GenerateRandom: Some(C_GenerateRandom),
    C_GetFunctionStatus: Some(C_GetFunctionStatus),
    C_CancelFunction: Some(C_CancelFunction),
    C_WaitForSlotEvent: Some(C_WaitForSlotEvent),
};

/// The one symbol that a program looks up (PKCS#11 v2.40 section 5.4).
#[unsafe(no_mangle)]
unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    // SAFETY: not null, and the caller's to be written; nobody writes through what it gets.
    unsafe { *list = (&raw const LIST).cast_mut() };
    CKR_OK
}
