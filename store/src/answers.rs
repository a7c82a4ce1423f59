use obol_account::{AccountNumber, Passenger, SubjectHandle};
use obol_ledger::{AccountId, Amount, TrialBalance, Why};
use obol_payment::order::Payment;
use obol_payment::ride::{Fraud, Head, RideKey, TerminalName};
use obol_payment::{Kid, PackId, RuleId, UnixTime};

use crate::Unmatched;

/// What enrolling did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// A new account.
    Created(Passenger),
    /// The key was enrolled before.
    Existing(Passenger),
}

impl Enrolment {
    /// The passenger, new or known.
    pub const fn passenger(&self) -> Passenger {
        match self {
            Enrolment::Created(passenger) | Enrolment::Existing(passenger) => *passenger,
        }
    }
}

/// What a genuine notice did. In each case the channel may be told `success`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credit {
    /// Booked now: to the wallet, or to suspense.
    Booked(Payment),
    /// Kept now and booked nowhere: somebody has to look at it.
    Unmatched(Unmatched),
    /// Kept before; nothing changed.
    Repeated,
}

/// A genuine notice that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The channel's name.
    pub channel: &'static str,
    /// The channel's name of the payment.
    pub transaction: String,
    /// The order it names, which may be none of ours.
    pub order: String,
    /// How much was paid, minor units.
    pub amount_minor: i64,
    /// ISO 4217, as the channel says.
    pub currency: String,
    /// When it was paid, by the channel's clock.
    pub paid_at: u32,
    /// When the notice arrived.
    pub received_at: u32,
    /// credited, duplicate-receipt, paid-after-expiry, unmatched.
    pub settlement: &'static str,
    /// Why it is unmatched.
    pub reason: Option<String>,
}

/// Which receipts to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipts {
    /// Every one.
    All,
    /// Those whose money is in no wallet: unmatched or in suspense.
    Uncredited,
}

/// A record that was received and is not charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotCharged {
    /// Its place in its journal.
    pub key: RideKey,
    /// When it arrived.
    pub received_at: u32,
    /// Where it lies.
    pub kept: Kept,
}

/// Where a record lies that is not charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In the inbox, with the stable code of its refusal.
    Rejected(String),
    /// In the quarantine: it contradicts the journal that is held.
    Quarantined,
}

/// What examining a refused record again has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reposted {
    /// It is accepted now, and charged unless another ride with the same code comes first.
    Accepted,
    /// It is refused still; the code may be another one.
    Rejected(&'static str),
    /// It was accepted meanwhile, or never lay there: nothing changed.
    NothingToDo,
}

/// What issuers shall hold of a passenger. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// 0: credentials are issued.
    Active,
    /// 1: live credentials are denied and new ones refused, until it is active again.
    Suspended,
    /// 2: denied for good.
    Revoked,
}

impl Standing {
    /// `active`, `suspended` or `revoked`.
    pub const fn name(self) -> &'static str {
        match self {
            Standing::Active => "active",
            Standing::Suspended => "suspended",
            Standing::Revoked => "revoked",
        }
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Standing::Active => 0,
            Standing::Suspended => 1,
            Standing::Revoked => 2,
        }
    }

    pub(crate) const fn of_number(number: u8) -> Option<Standing> {
        match number {
            0 => Some(Standing::Active),
            1 => Some(Standing::Suspended),
            2 => Some(Standing::Revoked),
            _ => None,
        }
    }
}

/// The last command on a passenger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectCommand {
    /// The name under which issuers know the passenger.
    pub subject: SubjectHandle,
    /// Its place among the commands on this passenger: it grows.
    pub number: u64,
    /// The account.
    pub account: AccountNumber,
    /// What shall hold.
    pub standing: Standing,
    /// Why, for those who look later.
    pub reason: String,
    /// When, seconds since 1970 UTC.
    pub given_at: u32,
}

/// What an issuer says of one of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStanding {
    /// Terminals may believe what it signed.
    Good,
    /// Terminals refuse what it signed.
    Blocked,
}

/// What an issuer's word on its keys has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysHeard {
    /// Keys that it did not block before.
    pub blocked: Vec<Kid>,
    /// Keys whose block it has lifted.
    pub lifted: Vec<Kid>,
}

/// Live credentials of a blocked key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToRenew {
    /// How many.
    pub credentials: u64,
    /// How many accounts have them.
    pub wallets: u64,
}

/// A terminal in the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Its name, as in its certificate.
    pub name: TerminalName,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki: [u8; 32],
    /// The operator it takes fares for.
    pub operator: String,
}

/// When a terminal heard news from the trust repository, as it tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalRefresh {
    /// The last time.
    pub refreshed_at: UnixTime,
    /// The longest silence in the 30 days before, in seconds; unknown before its second news.
    pub silence_s: Option<u32>,
}

/// What became of one record of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Stored now, and charged unless another ride with the same code comes first.
    Accepted,
    /// Held already: the same bytes at the same place.
    Duplicate,
    /// Another record stands at this place, or the record does not fit the journal we hold. Kept
    /// apart, charged to nobody.
    Conflict,
    /// Stored now, not charged: a stable code says why.
    Rejected(&'static str),
}

/// What became of one record, by its place in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostedRecord {
    /// Its place.
    pub seq: u64,
    /// What became of it.
    pub disposition: Disposition,
}

/// The answer to an upload, durable when it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedUpload {
    /// Each record, in the order of the upload.
    pub records: Vec<PostedRecord>,
    /// The last place up to which nothing is missing; 0 when the first record is missing.
    pub watermark: u64,
    /// The journal's chain at the watermark; its origin for 0.
    pub head: Head,
}

/// A period of a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The account.
    pub number: AccountNumber,
    /// ISO 4217.
    pub currency: String,
    /// Balance before the first line.
    pub opening: Amount,
    /// The lines, by time of the event.
    pub lines: Vec<StatementLine>,
    /// Balance behind the last line.
    pub closing: Amount,
}

/// One movement of a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementLine {
    /// When it happened, seconds since 1970, UTC.
    pub at: u32,
    /// Why.
    pub why: Why,
    /// What the wallet gained; negative when it paid.
    pub amount: Amount,
    /// The balance behind this line.
    pub balance: Amount,
    /// The business key: `simulated-bank/T1`, `ferry-1/0011223344556677/17`.
    pub reference: String,
    /// By which rule a ride is charged; `None` for anything else.
    pub fare: Option<FareApplied>,
}

/// The rule by which a ride is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FareApplied {
    /// The fare pack.
    pub pack: PackId,
    /// The rule in it: a fare's or a transfer's.
    pub rule: RuleId,
}

/// A recount of the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BooksReport {
    /// The books as the counters say.
    pub trial_balance: TrialBalance,
    /// Transfers recounted.
    pub transfers: u64,
    /// What does not fit; empty for books that are whole.
    pub findings: Vec<AuditFinding>,
}

/// Something in the books that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFinding {
    /// Debits and credits differ (invariant I1).
    Unbalanced {
        /// Debits less credits.
        difference: Amount,
    },
    /// The rides of a payer are not charged what its transfers say.
    RidesDiffer {
        /// The wallet, or suspense.
        account: AccountId,
    },
    /// Counters are not the sum of the account's transfers (invariant I2).
    CountersDiffer {
        /// The account.
        account: AccountId,
    },
    /// A group has lost or gained a transfer, or a transfer its group.
    GroupIncomplete {
        /// The group's business key, or the id of a transfer's missing group.
        group: String,
    },
    /// A transfer was changed: its group's hash no longer fits.
    GroupChanged {
        /// The group's business key.
        group: String,
    },
}

/// A code or counter that more than one ride claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FraudCase {
    /// How it was abused.
    pub kind: Fraud,
    /// The credential.
    pub cti: [u8; 8],
    /// Its issuer key.
    pub kid: [u8; 4],
    /// The code (time and nonce) or the counter.
    pub contested: String,
    /// The account the credential was issued to, if we know it.
    pub account: Option<AccountNumber>,
    /// When the platform noticed.
    pub opened_at: u32,
    /// When somebody closed it; `None` while it is open.
    pub closed_at: Option<u32>,
}

/// Something the rest of the world should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Part of the books it happened in.
    pub bucket: u8,
    /// Its place in the bucket's sequence, from 1.
    pub seq: u64,
    /// What: `recharge.credited`, `recharge.unmatched`, `fraud.opened`.
    pub topic: String,
    /// Which: an order number, a contested code.
    pub reference: String,
    /// When, by our clock.
    pub at: u32,
}
