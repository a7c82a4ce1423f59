#![doc = include_str!("../README.md")]

mod answers;
mod fault;
mod sqlite;

pub use answers::{
    AuditFinding, BooksReport, Credit, Disposition, Enrolment, Event, FareApplied, FraudCase, Kept,
    NotCharged, PostedRecord, PostedUpload, Receipt, Receipts, Reposted, Statement, StatementLine,
    Terminal,
};
pub use fault::{
    AdmitRefused, AuthoriseIssueRefused, BindRefused, CreateOrderRefused, CreditRefused,
    EnrolRefused, Fault, OpenRefused, RegisterRefused, StatementRefused, Unmatched,
};
pub use sqlite::{
    Admitted, Book, Books, EVENTS_MAX, LIVE_CREDENTIALS_MAX, REJECTED_MAX, STATEMENT_LINES_MAX,
    SqliteStore,
};
