#![doc = include_str!("../README.md")]

mod answers;
mod fault;
mod sqlite;

pub use answers::{
    AuditFinding, BooksReport, Credit, Disposition, Enrolment, Event, FraudCase, PostedRecord,
    PostedUpload, Statement, StatementLine, Terminal,
};
pub use fault::{
    AdmitRefused, AuthoriseIssueRefused, BindRefused, CreateOrderRefused, CreditRefused,
    EnrolRefused, Fault, OpenRefused, RegisterRefused, StatementRefused,
};
pub use sqlite::{Admitted, Book, EVENTS_MAX, STATEMENT_LINES_MAX, SqliteStore};
