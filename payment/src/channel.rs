//! Recharge channels: who collects money, and what makes us believe that they did.

pub mod simulated_bank;

use core::fmt;

use obol_credential::UnixTime;
use obol_ledger::Amount;

use crate::order::OrderNumber;

/// A party that collects money for us. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Channel {
    /// 1: `simulated-bank`, a separate process with a key of its own.
    SimulatedBank = 1,
}

impl Channel {
    /// Its name in requests, account owners and business keys.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Channel::SimulatedBank => "simulated-bank",
        }
    }

    /// The channel with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Channel> {
        (name == Channel::SimulatedBank.name()).then_some(Channel::SimulatedBank)
    }

    /// The stored number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The channel with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Channel> {
        (number == Channel::SimulatedBank.number()).then_some(Channel::SimulatedBank)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A channel's name of one payment: 1..=64 characters of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(String);

impl TransactionId {
    /// The longest id, in bytes.
    pub const MAX: usize = 64;

    /// Takes an id; `None` for any other length or character.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Option<TransactionId> {
        let id = id.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let holds = (1..=TransactionId::MAX).contains(&id.len()) && id.bytes().all(allowed);
        holds.then_some(TransactionId(id))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a channel says about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Who says it.
    pub channel: Channel,
    /// The channel's name of the payment.
    pub transaction: TransactionId,
    /// The order that was paid.
    pub order: OrderNumber,
    /// How much was paid; positive.
    pub amount: Amount,
    /// In which currency (ISO 4217).
    pub currency: String,
    /// When, by the channel's clock.
    pub paid_at: UnixTime,
}

/// Something whose signature has been verified. Only the parsers of this module make one, and
/// `Verified<Notice>` is the only thing that credits money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// What was signed.
    pub const fn get(&self) -> &T {
        &self.0
    }
}
