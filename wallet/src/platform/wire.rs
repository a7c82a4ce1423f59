//! The JSON of the passenger API. Fields that a later platform adds are not refused.

use serde::{Deserialize, Serialize};

/// Who the platform says the enrolled key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passenger {
    /// The account's number.
    pub account: u64,
    /// The handle by which the issuer knows the passenger.
    pub subject: [u8; 16],
}

/// A recharge that waits to be paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The order's name.
    pub order: String,
    /// Where to pay.
    pub pay_url: String,
    /// Where the bank tells the platform that it was paid.
    pub notify_url: String,
    /// What to pay, minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Credentials to renew: see [`Wallet::has_to_renew`](crate::Wallet::has_to_renew).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renew: Vec<String>,
}

/// What happened on an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The account's number.
    pub account: u64,
    /// ISO 4217.
    pub currency: String,
    /// The balance before the first line, minor units.
    pub opening_minor: i64,
    /// In the order in which they were booked.
    pub lines: Vec<Line>,
    /// The balance after the last line, minor units.
    pub closing_minor: i64,
    /// Credentials to renew: see [`Wallet::has_to_renew`](crate::Wallet::has_to_renew).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renew: Vec<String>,
}

/// One booking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Seconds since 1970 UTC.
    pub at: u32,
    /// `recharge`, `ride`, …
    pub kind: String,
    /// Minor units, negative when the account paid.
    pub amount_minor: i64,
    /// The balance after it, minor units.
    pub balance_minor: i64,
    /// What it stands for: an order, a ride.
    pub reference: String,
    /// Of a ride: by which rule it is charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fare: Option<FareApplied>,
}

/// The rule by which a ride is charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FareApplied {
    /// The fare pack, 16 hexadecimal digits.
    pub pack: String,
    /// The rule in it: a fare's or a transfer's.
    pub rule: u16,
}

#[derive(Deserialize)]
pub(super) struct PassengerReply {
    pub(super) account: u64,
    pub(super) subject: String,
}

#[derive(Deserialize)]
pub(super) struct CredentialReply {
    pub(super) credential: String,
    pub(super) expires_at: u32,
}
