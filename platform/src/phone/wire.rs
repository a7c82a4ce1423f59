//! The JSON of the phones' API.

use data_encoding::HEXLOWER;
use obol_credential::Cti;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Enrol {}

#[derive(Serialize)]
pub(super) struct Enrolled {
    pub(super) account: u64,
    /// 32 hexadecimal digits, lower case.
    pub(super) subject: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recharge {
    pub(super) amount_minor: i64,
    pub(super) channel: String,
}

#[derive(Serialize)]
pub(super) struct Ordered {
    pub(super) order: String,
    /// Where the passenger pays.
    pub(super) pay_url: String,
    /// Where the channel tells us.
    pub(super) notify_url: String,
    pub(super) amount_minor: i64,
    /// ISO 4217.
    pub(super) currency: String,
    #[serde(flatten)]
    pub(super) renewal: Renewal,
}

/// Which credentials the phone has to renew: terminals refuse them.
#[derive(Serialize)]
pub(super) struct Renewal {
    /// The cti of each, 16 hexadecimal digits, lower case; left out when there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    renew: Vec<String>,
}

impl Renewal {
    pub(super) fn of(ctis: &[Cti]) -> Self {
        let renew = ctis.iter().map(|cti| HEXLOWER.encode(&cti.0)).collect();
        Self { renew }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskCredential {
    /// base64url without padding.
    pub(super) possession: String,
}

#[derive(Serialize)]
pub(super) struct Issued {
    /// base64url without padding.
    pub(super) credential: String,
    pub(super) expires_at: u32,
}

/// A query: seconds since 1970. Without both, the last movements.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Period {
    /// The first second.
    pub(super) from: Option<u32>,
    /// The first second after.
    pub(super) until: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct Statement {
    account: u64,
    currency: String,
    opening_minor: i64,
    lines: Vec<Line>,
    closing_minor: i64,
    #[serde(flatten)]
    renewal: Renewal,
}

#[derive(Serialize)]
struct Line {
    at: u32,
    kind: &'static str,
    amount_minor: i64,
    balance_minor: i64,
    reference: String,
    /// Of a ride: the fare pack and the rule in it by which it is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    fare: Option<FareApplied>,
}

#[derive(Serialize)]
struct FareApplied {
    pack: String,
    rule: u16,
}

impl Statement {
    pub(super) fn of(statement: &obol_store::Statement, renewal: Renewal) -> Self {
        let line = |line: &obol_store::StatementLine| Line {
            at: line.at,
            kind: line.why.name(),
            amount_minor: line.amount.minor(),
            balance_minor: line.balance.minor(),
            reference: line.reference.clone(),
            fare: line.fare.map(|fare| FareApplied {
                pack: fare.pack.to_string(),
                rule: fare.rule.0,
            }),
        };
        Self {
            account: statement.number.get(),
            currency: statement.currency.clone(),
            opening_minor: statement.opening.minor(),
            lines: statement.lines.iter().map(line).collect(),
            closing_minor: statement.closing.minor(),
            renewal,
        }
    }
}
