//! The simulated bank's notice: JSON, signed with the bank's P-256 key.
//!
//! Header `Bank-Signature: t=UNIX,v1=SIGNATURE`, where SIGNATURE is base64url of r ‖ s over
//! `UNIX.BODY` (SHA-256).

use core::fmt;

use data_encoding::BASE64URL_NOPAD;
use obol_credential::UnixTime;
use obol_ledger::Amount;
use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use p256::pkcs8::DecodePublicKey;
use serde::Deserialize;

use super::{Channel, Notice, TransactionId, Verified};
use crate::order::OrderNumber;

/// The name of the header that carries the signature.
pub const SIGNATURE_HEADER: &str = "Bank-Signature";
/// The longest notice, in bytes.
pub const NOTICE_MAX: usize = 4096;
/// How far the signature's time may lie from our clock, in seconds, either way.
pub const NOTICE_WINDOW_S: u32 = 300;

/// Ten digits of time, 86 characters of signature, and what stands around them.
const SIGNATURE_HEADER_MAX: usize = 128;

/// The bank's public key, pinned in our configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankKey(VerifyingKey);

/// A file that is not a P-256 public key in PEM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a P-256 public key in PEM (SubjectPublicKeyInfo): {0}")]
pub struct BankKeyRefused(String);

impl BankKey {
    /// The key of a PEM `PUBLIC KEY`.
    ///
    /// # Errors
    /// [`BankKeyRefused`] for anything else.
    pub fn from_pem(pem: &str) -> Result<BankKey, BankKeyRefused> {
        VerifyingKey::from_public_key_pem(pem)
            .map(BankKey)
            .map_err(|error| BankKeyRefused(error.to_string()))
    }
}

/// Why a notice was not believed. Nothing is credited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyRefusal {
    /// Longer than [`NOTICE_MAX`].
    #[error("a notice has at most {NOTICE_MAX} bytes, not {0}")]
    TooLong(usize),
    /// The signature header is not `t=UNIX,v1=BASE64URL`.
    #[error("{SIGNATURE_HEADER} is not t=UNIX,v1=BASE64URL of 64 bytes")]
    Header,
    /// The signature is too old or from the future.
    #[error("signed at {signed_at}, it is {now}: more than {NOTICE_WINDOW_S} s apart")]
    Time {
        /// When it was signed.
        signed_at: UnixTime,
        /// Our clock.
        now: UnixTime,
    },
    /// The bank's key did not sign this.
    #[error("the signature does not verify under the bank's key")]
    Signature,
    /// The body is signed, but is not a notice.
    #[error("not a notice: {0}")]
    Body(String),
}

/// Believes a notice, or says why not. `signature` is the value of [`SIGNATURE_HEADER`], `body`
/// the bytes as received, `now` our clock.
///
/// That the amount is the order's is checked where the order is known: see
/// [`Order::settle`](crate::order::Order::settle).
///
/// # Errors
/// [`NotifyRefusal`] with the first check that failed.
pub fn parse_notify(
    signature: &[u8],
    body: &[u8],
    key: &BankKey,
    now: UnixTime,
) -> Result<Verified<Notice>, NotifyRefusal> {
    if body.len() > NOTICE_MAX {
        return Err(NotifyRefusal::TooLong(body.len()));
    }
    let header = SignatureHeader::parse(signature)?;
    if now.since(header.signed_at).unsigned_abs() > u64::from(NOTICE_WINDOW_S) {
        return Err(NotifyRefusal::Time {
            signed_at: header.signed_at,
            now,
        });
    }
    // Only the canonical spelling of the time was accepted, so printing it gives the signed text.
    let signed = [format!("{}.", header.signed_at).as_bytes(), body].concat();
    key.0
        .verify(&signed, &header.signature)
        .map_err(|_| NotifyRefusal::Signature)?;
    parse_body(body).map(Verified)
}

struct SignatureHeader {
    signed_at: UnixTime,
    signature: Signature,
}

impl SignatureHeader {
    fn parse(value: &[u8]) -> Result<SignatureHeader, NotifyRefusal> {
        let text = core::str::from_utf8(value).map_err(|_| NotifyRefusal::Header)?;
        let parts = text
            .strip_prefix("t=")
            .and_then(|rest| rest.split_once(",v1="));
        let (time, signature) = parts
            .filter(|_| text.len() <= SIGNATURE_HEADER_MAX)
            .ok_or(NotifyRefusal::Header)?;
        let signed_at: u32 = time.parse().map_err(|_| NotifyRefusal::Header)?;
        if signed_at.to_string() != time {
            return Err(NotifyRefusal::Header);
        }
        let signature = BASE64URL_NOPAD
            .decode(signature.as_bytes())
            .map_err(|_| NotifyRefusal::Header)?;
        let signature = Signature::from_slice(&signature).map_err(|_| NotifyRefusal::Header)?;
        Ok(SignatureHeader {
            signed_at: UnixTime(signed_at),
            signature,
        })
    }
}

/// The body as it stands on the wire. serde refuses unknown members and a member that stands
/// twice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNotice {
    transaction: String,
    order: String,
    amount_minor: i64,
    currency: String,
    paid_at: u32,
}

fn parse_body(body: &[u8]) -> Result<Notice, NotifyRefusal> {
    let raw: RawNotice = serde_json::from_slice(body).map_err(refused)?;
    let transaction = TransactionId::new(raw.transaction)
        .ok_or_else(|| refused("transaction is not 1 to 64 of A-Z a-z 0-9 . _ -"))?;
    let order = OrderNumber::parse(&raw.order)
        .ok_or_else(|| refused(format_args!("{:?} is not an order number", raw.order)))?;
    if raw.amount_minor <= 0 {
        return Err(refused(format_args!(
            "amount_minor {} is not positive",
            raw.amount_minor
        )));
    }
    Ok(Notice {
        channel: Channel::SimulatedBank,
        transaction,
        order,
        amount: Amount::from_minor(raw.amount_minor),
        currency: raw.currency,
        paid_at: UnixTime(raw.paid_at),
    })
}

fn refused(reason: impl fmt::Display) -> NotifyRefusal {
    NotifyRefusal::Body(reason.to_string())
}
