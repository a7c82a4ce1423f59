//! Whatever bytes come through the C ABI, an answer comes back: no panic, no write outside the
//! caller's memory, and a terminal that goes on as before.

#![allow(unsafe_code)]
#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

#[path = "abi/fixture.rs"]
#[allow(dead_code)]
mod fixture;
#[path = "../../tests/terminal/issuing.rs"]
mod issuing;
#[path = "../../tests/trust/repository.rs"]
mod repository;

use core::{
    ffi::{c_char, c_void},
    ptr,
};
use std::sync::Mutex;

use obol_pos::*;
use proptest::prelude::*;

const CANARY: u8 = 0xa5;
const NOW: u32 = fixture::NOW.0;

/// An open terminal, one for all the cases of a test: none of them may change it.
struct Terminal {
    memory: Vec<u128>,
    folder: tempfile::TempDir,
}

impl Terminal {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fixture::write_into(folder.path());
        let memory = vec![0; obol_pos_size().div_ceil(16)];
        let mut terminal = Self { memory, folder };
        let path = terminal.path();
        let (text, len) = (path.as_ptr().cast::<c_char>(), path.len());
        // SAFETY: all of it is ours and as long as it says.
        let opened = unsafe {
            let epoch = [7; 8];
            let made = obol_pos_make_journal(text, len, epoch.as_ptr(), ptr::null_mut(), 0);
            assert_eq!(made, 0);
            let pos = terminal.pos();
            let size = obol_pos_size();
            obol_pos_open(pos, size, text, len, ptr::null(), ptr::null_mut(), 0)
        };
        assert_eq!(opened, 0);
        terminal
    }

    fn path(&self) -> String {
        self.folder.path().to_str().unwrap().to_owned()
    }

    fn pos(&mut self) -> *mut ObolPos {
        self.memory.as_mut_ptr().cast()
    }

    fn scan(&mut self, text: &[u8], now: u32) -> i32 {
        // SAFETY: a structure of integers may be of zeros; all of it is ours.
        unsafe {
            let mut decision: ObolPosDecision = core::mem::zeroed();
            decision.struct_size = size_of::<ObolPosDecision>() as u32;
            let data = text.as_ptr().cast::<c_char>();
            obol_pos_scan(self.pos(), data, text.len(), now, &raw mut decision)
        }
    }

    fn last_seq(&mut self) -> u64 {
        // SAFETY: as above.
        unsafe {
            let mut status: ObolPosStatus = core::mem::zeroed();
            status.struct_size = size_of::<ObolPosStatus>() as u32;
            assert_eq!(obol_pos_get_status(self.pos(), NOW, &raw mut status), 0);
            status.last_seq
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody else uses it.
        let closed = unsafe { obol_pos_close(self.pos()) };
        assert_eq!(closed, 0);
    }
}

fn noise(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[test]
fn any_text_at_any_time_is_refused_and_writes_nothing_down() {
    let terminal = Mutex::new(Terminal::new());
    proptest!(config(500), |(text in noise(1500), now in any::<u32>())| {
        let mut terminal = terminal.lock().unwrap();
        prop_assert_eq!(terminal.scan(&text, NOW), ObolPosCode::OBOL_POS_UNKNOWN_SCHEME as i32);
        let prefixed = [b"PT1:", &text[..]].concat();
        prop_assert_eq!(terminal.scan(&prefixed, NOW), ObolPosCode::OBOL_POS_MALFORMED as i32);
        prop_assert!((1..=20).contains(&terminal.scan(&prefixed, now)));
    });
    assert_eq!(terminal.lock().unwrap().last_seq(), 0);
}

/// One character changed, one cut off, one doubled: none of them rides.
#[test]
fn a_good_code_that_is_bent_anywhere_is_refused_and_writes_nothing_down() {
    let terminal = Mutex::new(Terminal::new());
    let path = terminal.lock().unwrap().folder.path().join("code");
    let code = std::fs::read(path).unwrap();
    proptest!(config(300), |(at in 0..code.len(), how in 0..3, to in 0x20..0x7f_u8)| {
        let mut bent = code.clone();
        match how {
            0 => bent[at] = to,
            1 => drop(bent.remove(at)),
            _ => bent.insert(at, to),
        }
        let trimmed = bent == code;
        let said = terminal.lock().unwrap().scan(&bent, NOW);
        prop_assert!(trimmed || (1..=20).contains(&said), "{}", said);
    });
    let mut terminal = terminal.into_inner().unwrap();
    let taken = terminal.last_seq();
    // Proptest may have put the same character in its place: that is the code itself.
    assert!(taken <= 1);
}

#[test]
fn any_bundle_pack_and_answer_is_refused_and_changes_nothing() {
    let terminal = Mutex::new(Terminal::new());
    let refused = [
        ObolPosCode::OBOL_POS_ERROR_TRUST_REFUSED,
        ObolPosCode::OBOL_POS_ERROR_FARES_REFUSED,
        ObolPosCode::OBOL_POS_ERROR_ACKNOWLEDGEMENT_REFUSED,
    ];
    let refused = refused.map(|code| code as i32);
    proptest!(config(300), |(bytes in noise(600), seq in any::<u64>(), size in 0..64_usize)| {
        let mut terminal = terminal.lock().unwrap();
        let mut reason = [CANARY as c_char; 80];
        let mut watermark = 9;
        let (data, len) = (bytes.as_ptr(), bytes.len());
        let pos = terminal.pos();
        // SAFETY: all of it is ours and as long as it says.
        let said = unsafe {
            let room = reason.as_mut_ptr();
            [
                obol_pos_take_trust(pos, data, len, NOW, room, size),
                obol_pos_take_fares(pos, data, len, room, size),
                obol_pos_acknowledge(pos, seq, data, len, &raw mut watermark, room, size),
            ]
        };
        prop_assert_eq!(said, refused);
        prop_assert_eq!(watermark, 0);
        prop_assert!(reason[size..].iter().all(|byte| *byte == CANARY as c_char));
        prop_assert!(size == 0 || reason[size - 1] == 0);
    });
    let mut terminal = terminal.into_inner().unwrap();
    let code = std::fs::read(terminal.folder.path().join("code")).unwrap();
    assert_eq!(
        terminal.scan(&code, NOW),
        0,
        "it takes good codes as before"
    );
}

/// A report is a header of a request: nobody slips a line of his own into it.
#[test]
fn any_software_is_said_in_printable_characters_or_not_at_all() {
    let terminal = Mutex::new(Terminal::new());
    proptest!(config(500), |(software in noise(40), room in 0..OBOL_POS_HEALTH_SIZE)| {
        let mut health = [CANARY; OBOL_POS_HEALTH_SIZE];
        let mut terminal = terminal.lock().unwrap();
        let (data, len) = (software.as_ptr().cast::<c_char>(), software.len());
        let text = health.as_mut_ptr().cast::<c_char>();
        let pos = terminal.pos();
        // SAFETY: all of it is ours and as long as it says.
        let said = unsafe {
            obol_pos_health(pos, NOW, data, len, text, room, ptr::null_mut(), 0)
        };
        prop_assert!(health[room..].iter().all(|byte| *byte == CANARY));
        let printable = software.iter().all(|byte| (0x20..=0x7e).contains(byte));
        if !printable || !(1..=32).contains(&len) {
            prop_assert_eq!(said, ObolPosCode::OBOL_POS_ERROR_SOFTWARE as i32);
        } else if said == 0 {
            let end = health.iter().position(|byte| *byte == 0).unwrap();
            prop_assert!(health[..end].iter().all(|byte| (0x20..=0x7e).contains(byte)));
            prop_assert_eq!(&health[..9], br#"{"clock":"#);
        } else {
            prop_assert_eq!(said, ObolPosCode::OBOL_POS_ERROR_ROOM as i32);
        }
    });
}

unsafe extern "C" fn noisy(
    host: *mut c_void,
    _shelf: u32,
    _name: *const c_char,
    _offset: usize,
    file: *mut ObolPosFile,
) -> i32 {
    // SAFETY: `host` is the case's own, and the file is the library's.
    unsafe {
        let (bytes, ending): &(Vec<u8>, i32) = &*host.cast_const().cast();
        obol_pos_file_write(file, bytes.as_ptr(), bytes.len());
        *ending
    }
}

#[test]
fn any_answer_of_a_repository_is_refused_and_leaves_a_terminal_without_trust_without() {
    let folder = tempfile::tempdir().unwrap();
    fixture::write_repository_into(folder.path());
    let path = folder.path().to_str().unwrap().to_owned();
    proptest!(config(100), |(bytes in noise(3000), ending in -1..3_i32)| {
        let mut answer = (bytes, ending);
        let source = ObolPosSource {
            struct_size: size_of::<ObolPosSource>() as u32,
            host: (&raw mut answer).cast(),
            fetch: Some(noisy),
        };
        let text = path.as_ptr().cast::<c_char>();
        // SAFETY: all of it is ours and as long as it says.
        let said = unsafe {
            obol_pos_update(text, path.len(), &raw const source, NOW, ptr::null_mut(), 0)
        };
        prop_assert!([
            ObolPosCode::OBOL_POS_ERROR_TRUST_REFUSED as i32,
            ObolPosCode::OBOL_POS_ERROR_SOURCE as i32,
        ].contains(&said), "{}", said);
    });
    assert!(!folder.path().join("trust/accepted-set").exists());
}
