//! `obol_pos.h`.

use core::{ffi::c_char, ptr};
use std::fs;
use std::sync::{LazyLock, Mutex, PoisonError};

use obol_fare::{Currency, FarePack, FareRule, RuleId, Tariff};
use obol_pos::*;
use p256::pkcs8::EncodePrivateKey;

use super::{CANARY, Call, Reason, calls, name};
use crate::Taken;
use crate::issuing::{Issuing, Phone};

use obol_mint::NOW;

/// One for all inputs: a terminal is not opened anew for each code either. Only codes and trust that
/// are its own change it.
static TERMINAL: LazyLock<Mutex<Terminal>> = LazyLock::new(|| Mutex::new(Terminal::new()));

struct Terminal {
    memory: Vec<u128>,
    /// What is bent before it is given: a good code, a newer bundle, another fare pack.
    own: [Vec<u8>; 3],
    /// Held open: the terminal's journal lies there.
    folder: tempfile::TempDir,
}

/// Accepted is what opens the gate, or brings trust or fares.
pub(crate) fn terminal_calls(data: &[u8]) -> Taken {
    let mut terminal = TERMINAL.lock().unwrap_or_else(PoisonError::into_inner);
    let mut taken = Taken::Refused;
    for call in calls(data) {
        let code = terminal.answer(&call);
        name(code, obol_pos_code_name(code));
        if call.which % 12 < 6 && code == 0 {
            taken = Taken::Accepted;
        }
    }
    taken
}

fn pack(amount_minor: u32) -> Vec<u8> {
    let cny = Currency::new("CNY").expect("a currency");
    let rules = vec![FareRule::flat(RuleId(10), 1, amount_minor)];
    let (from, until) = (NOW.minus(86_400), NOW.plus(86_400));
    let pack = FarePack::new(Tariff::plain(cny, from, until, rules));
    pack.expect("a tariff").bytes().to_vec()
}

impl Terminal {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let put = |name, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("room");
        let issuing = Issuing::new();
        put(
            "terminal.toml",
            b"terminal = \"bus-12\"\noperator = \"metro\"\nroot = \"root.pem\"\n\
              access = \"access.pem\"\ncertificate = \"terminal.pem\"\nkey = \"terminal.key\"\n\
              issuer_url = \"https://issuer.test\"\nplatform_url = \"https://platform.test\"\n",
        );
        put("root.pem", issuing.root_pem.as_bytes());
        let key = p256::SecretKey::from_slice(&[0x21; 32]).expect("a scalar");
        let key = key.to_pkcs8_pem(p256::pkcs8::LineEnding::LF).expect("PEM");
        put("terminal.key", key.as_bytes());
        let bundle = |before| issuing.bundle(NOW.minus(before), |_| {});
        put("trust-bundle.cbor", &bundle(3600));
        put("fare-pack.cbor", &pack(200));
        let code = Phone::new(&issuing, 1, NOW).code(NOW, 1).into_bytes();
        let mut terminal = Self {
            memory: vec![0; obol_pos_size().div_ceil(16)],
            own: [code, bundle(60), pack(300)],
            folder,
        };
        terminal.open();
        terminal
    }

    fn open(&mut self) {
        let path = self.folder.path().to_str().expect("UTF-8").to_owned();
        let (text, len) = (path.as_ptr().cast::<c_char>(), path.len());
        let mut reason = [0 as c_char; 200];
        // SAFETY: all of it is ours and as long as it says.
        unsafe {
            let (why, room) = (reason.as_mut_ptr(), reason.len());
            let epoch = [7; 8];
            let made = obol_pos_make_journal(text, len, epoch.as_ptr(), why, room);
            assert_eq!(made, 0);
            let size = obol_pos_size();
            let opened = obol_pos_open(self.pos(), size, text, len, ptr::null(), why, room);
            assert_eq!(opened, 0);
        }
    }

    fn pos(&mut self) -> *mut ObolPos {
        self.memory.as_mut_ptr().cast()
    }

    /// What is its own with the call's bytes laid over it from a place on.
    fn bent(&self, which: usize, call: &Call<'_>) -> Vec<u8> {
        let mut bent = self.own[which].clone();
        let at = call.number as usize % bent.len();
        for (byte, by) in bent[at..].iter_mut().zip(call.bytes) {
            *byte ^= by;
        }
        bent
    }

    fn answer(&mut self, call: &Call<'_>) -> i32 {
        let at = NOW.0.wrapping_add_signed((call.number as i32) >> 16);
        match call.which % 12 {
            0 => self.scan(call.bytes, at),
            1 => self.scan(&self.bent(0, call), NOW.0),
            2 => self.take_trust(call.bytes, at, call.number),
            3 => self.take_trust(&self.bent(1, call), NOW.0, call.number),
            4 => self.take_fares(call.bytes, call.number),
            5 => self.take_fares(&self.bent(2, call), call.number),
            6 => self.acknowledge(call),
            7 => self.health(call, at),
            8 => self.next_segment(call),
            // SAFETY: the terminal is open; the rest is ours.
            9 => unsafe {
                let mut status: ObolPosStatus = core::mem::zeroed();
                status.struct_size = size_of::<ObolPosStatus>() as u32;
                obol_pos_get_status(self.pos(), at, &raw mut status)
            },
            10 => unsafe { obol_pos_opened(self.pos(), at) },
            _ => unsafe {
                let mut count = 0;
                obol_pos_count(self.pos(), call.number as i32, &raw mut count)
            },
        }
    }

    fn scan(&mut self, text: &[u8], now: u32) -> i32 {
        let data = text.as_ptr().cast::<c_char>();
        // SAFETY: a structure of integers may be of zeros; all of it is ours.
        unsafe {
            let mut decision: ObolPosDecision = core::mem::zeroed();
            decision.struct_size = size_of::<ObolPosDecision>() as u32;
            obol_pos_scan(self.pos(), data, text.len(), now, &raw mut decision)
        }
    }

    fn take_trust(&mut self, bundle: &[u8], now: u32, size: u32) -> i32 {
        let mut reason = Reason::of(size);
        let (data, len) = (bundle.as_ptr(), bundle.len());
        // SAFETY: all of it is ours and as long as it says.
        let code = unsafe {
            let why = reason.text.as_mut_ptr();
            obol_pos_take_trust(self.pos(), data, len, now, why, reason.size)
        };
        reason.hold();
        code
    }

    fn take_fares(&mut self, pack: &[u8], size: u32) -> i32 {
        let mut reason = Reason::of(size);
        let (data, len) = (pack.as_ptr(), pack.len());
        // SAFETY: all of it is ours and as long as it says.
        let code = unsafe {
            let why = reason.text.as_mut_ptr();
            obol_pos_take_fares(self.pos(), data, len, why, reason.size)
        };
        reason.hold();
        code
    }

    fn acknowledge(&mut self, call: &Call<'_>) -> i32 {
        let mut reason = Reason::of(call.number);
        let (mut watermark, seq) = (0, u64::from(call.number));
        let (data, len) = (call.bytes.as_ptr(), call.bytes.len());
        // SAFETY: all of it is ours and as long as it says.
        let code = unsafe {
            let why = reason.text.as_mut_ptr();
            let mark = &raw mut watermark;
            obol_pos_acknowledge(self.pos(), seq, data, len, mark, why, reason.size)
        };
        reason.hold();
        code
    }

    fn health(&mut self, call: &Call<'_>, now: u32) -> i32 {
        let room = call.number as usize % OBOL_POS_HEALTH_SIZE;
        let mut health = [CANARY; OBOL_POS_HEALTH_SIZE];
        let (data, len) = (call.bytes.as_ptr().cast::<c_char>(), call.bytes.len());
        let text = health.as_mut_ptr().cast::<c_char>();
        // SAFETY: all of it is ours and as long as it says.
        let code = unsafe {
            let (none, size) = (ptr::null_mut(), 0);
            obol_pos_health(self.pos(), now, data, len, text, room, none, size)
        };
        assert!(health[room..].iter().all(|byte| *byte == CANARY));
        code
    }

    fn next_segment(&mut self, call: &Call<'_>) -> i32 {
        let mut segment = vec![CANARY; call.bytes.len() + 16];
        let (mut len, mut first) = (0, 0);
        // SAFETY: all of it is ours and as long as it says.
        let code = unsafe {
            let (room, size) = (segment.as_mut_ptr(), call.bytes.len());
            let (len, first) = (&raw mut len, &raw mut first);
            obol_pos_next_segment(self.pos(), room, size, len, first, ptr::null_mut(), 0)
        };
        let behind = &segment[call.bytes.len()..];
        assert!(behind.iter().all(|byte| *byte == CANARY));
        code
    }
}
