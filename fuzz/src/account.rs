//! What phones and banks send to the platform.

use obol_account::dpop::{self, Request};
use obol_mint::NOW;
use obol_payment::channel::simulated_bank::{BankKey, parse_notify};

use crate::Taken;

/// The bank of the seeds.
const BANK: &str = include_str!("../corpus/bank_key/bank.pem");

pub(crate) fn dpop_proof(data: &[u8]) -> Taken {
    let request = Request {
        method: "POST",
        url: "https://localhost/v1/recharges",
        body: b"{}",
    };
    let verified = dpop::verify(data, &request, NOW);
    if let Ok(proof) = &verified {
        assert!((dpop::JTI_MIN..=dpop::JTI_MAX).contains(&proof.jti().len()));
        let apart = NOW.since(proof.issued_at()).unsigned_abs();
        assert!(apart <= u64::from(dpop::IAT_WINDOW_S));
    }
    verified.into()
}

/// The signature's header, a newline, the body.
pub(crate) fn bank_notice(data: &[u8]) -> Taken {
    let key = BankKey::from_pem(BANK).expect("the committed key");
    let end = data.iter().position(|byte| *byte == b'\n');
    let (header, body) = data.split_at(end.unwrap_or(data.len()));
    parse_notify(header, body.get(1..).unwrap_or_default(), &key, NOW).into()
}

pub(crate) fn bank_key(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    BankKey::from_pem(text).into()
}
