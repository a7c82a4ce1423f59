use std::path::PathBuf;

use obol_account::{AccountNumber, Status};
use obol_ledger::{AmountOverflow, AuthoriseRefused};
use obol_payment::order::{OrderNumber, SettleRefused};

/// The storage failed, not the request: nothing was changed, and the same call may succeed later.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// SQLite refused.
    #[error("the database failed while {doing}")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A row does not mean anything we could have written.
    #[error("table {table} holds a row that cannot be read: {what}")]
    Damaged {
        /// The table.
        table: &'static str,
        /// The value seen.
        what: String,
    },
    /// A sum left 64 bits.
    #[error(transparent)]
    Overflow(#[from] AmountOverflow),
    /// A group with the same business key and another content stands in the books. The layers
    /// above make this impossible; if it happens, nothing is posted.
    #[error("group {0} stands in the books with another content")]
    GroupConflict(String),
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenRefused {
    /// SQLite cannot open the file.
    #[error("database {} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file cannot be made with mode 0600.
    #[error("database {} cannot be made", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Written by an earlier version of this program, and opened for reading alone.
    #[error("database {} has schema version {found}, the service brings it to {known}",
        path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Written by a later version of this program.
    #[error("database {} has schema version {found}, this program knows {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file's books are kept otherwise.
    #[error("the books of {} are kept in {found}, the configuration says {expected}",
        path.display())]
    OtherBook {
        /// The file.
        path: PathBuf,
        /// Currency and day of the file.
        found: String,
        /// Currency and day asked for.
        expected: String,
    },
    /// Storage failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a request is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmitRefused {
    /// The same proof was used before.
    #[error("proof {jti:?} was used before")]
    Replayed {
        /// Its identifier.
        jti: String,
    },
    /// The key was never enrolled; nothing was written.
    #[error("key {0} is not enrolled")]
    NotEnrolled(obol_account::Thumbprint),
    /// Storage failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a passenger is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolRefused {
    /// The subject handle is another passenger's. Draw another.
    #[error("the subject handle is taken")]
    SubjectTaken,
    /// The part of the books that this key leads to is full.
    #[error("bucket {0} has no account number left")]
    BucketFull(u8),
    /// Storage failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a credential cannot be bound to an account.
#[derive(Debug, thiserror::Error)]
pub enum BindRefused {
    /// Another account has a credential with the same kid and cti.
    #[error("the credential belongs to another account")]
    TakenByAnother,
    /// Storage failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why no credential may be issued to an account.
#[derive(Debug, thiserror::Error)]
pub enum AuthoriseIssueRefused {
    /// No such account.
    #[error("there is no account {0}")]
    UnknownAccount(AccountNumber),
    /// The account is not active.
    #[error("account {0} is {1:?}")]
    NotActive(AccountNumber, Status),
    /// A credential of the account has made two codes with one counter, as a copied key would,
    /// and nobody has closed the case.
    #[error("account {0} has an open case of a reused counter")]
    CounterReused(AccountNumber),
    /// The account has as many live credentials as it may.
    #[error("account {number} has {live} credentials that have not expired, at most {most}")]
    TooMany {
        /// The account.
        number: AccountNumber,
        /// Credentials that have not expired.
        live: u32,
        /// [`LIVE_CREDENTIALS_MAX`](crate::LIVE_CREDENTIALS_MAX).
        most: u32,
    },
    /// Too little money.
    #[error("account {number}: {reason}")]
    NotCovered {
        /// The account.
        number: AccountNumber,
        /// What is available and what is wanted.
        reason: AuthoriseRefused,
    },
    /// Storage failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why an order is not stored.
#[derive(Debug, thiserror::Error)]
pub enum CreateOrderRefused {
    /// The number is taken. Draw another.
    #[error("order number {0} is taken")]
    NumberTaken(OrderNumber),
    /// No such account.
    #[error("there is no account {0}")]
    UnknownAccount(u64),
    /// Storage failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a genuine notice is not kept.
#[derive(Debug, thiserror::Error)]
pub enum CreditRefused {
    /// The transaction was told before with another order, amount or currency.
    #[error("transaction {0:?} was told before and said something else")]
    Contradiction(String),
    /// Storage failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a receipt pays no order of ours. It is kept all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmatched {
    /// We never made this order.
    #[error("there is no order {0}")]
    UnknownOrder(OrderNumber),
    /// It is not a payment of its order.
    #[error(transparent)]
    NotThisOrder(#[from] SettleRefused),
}

/// Why a terminal is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterRefused {
    /// The key is another terminal's.
    #[error("the key is registered for terminal {0}")]
    KeyTaken(String),
    /// Storage failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a command on a passenger is not kept.
#[derive(Debug, thiserror::Error)]
pub enum CommandRefused {
    /// No such account.
    #[error("there is no account {0}")]
    UnknownAccount(AccountNumber),
    /// Nothing leads back from revoked.
    #[error("account {0} is revoked for good")]
    Revoked(AccountNumber),
    /// Storage failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why there is no statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementRefused {
    /// No such account.
    #[error("there is no account {0}")]
    UnknownAccount(AccountNumber),
    /// The period ends before it begins.
    #[error("the period ends at {until}, before it begins at {from}")]
    Period {
        /// First second.
        from: u32,
        /// First second after.
        until: u32,
    },
    /// More lines than one statement carries.
    #[error("the period has more than {0} lines: ask for a shorter one")]
    TooLong(usize),
    /// Storage failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}
