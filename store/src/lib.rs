#![doc = include_str!("../README.md")]

mod answers;
mod fault;
mod sqlite;

pub use answers::{
    AuditFinding, BooksReport, Credit, Disposition, Enrolment, Event, FareApplied, FraudCase, Kept,
    KeyStanding, KeysHeard, NotCharged, PostedRecord, PostedUpload, Receipt, Receipts, Reposted,
    Standing, Statement, StatementLine, SubjectCommand, Terminal, TerminalRefresh, ToRenew,
};
pub use fault::{
    AdmitRefused, AuthoriseIssueRefused, BindRefused, CommandRefused, CreateOrderRefused,
    CreditRefused, EnrolRefused, Fault, OpenRefused, RegisterRefused, StatementRefused, Unmatched,
};
pub use sqlite::{
    Admitted, Book, Books, COMMANDS_MAX, EVENTS_MAX, IN_FLIGHT_S, LIVE_CREDENTIALS_MAX,
    REJECTED_MAX, STATEMENT_LINES_MAX, SqliteStore,
};
