#![doc = include_str!("../README.md")]

mod act;
mod approval;
mod audit;
mod event;
mod hash;
mod plan;
mod procedure;
mod records;
mod rehearsal;
mod rosters;
mod shares;
mod transcript;
mod verify;

pub use act::Act;
pub use approval::{
    APPROVAL_LIFE_MAX_S, APPROVAL_MAX, APPROVALS_MAX, Approval, ApprovalRefusal, Approved,
    CeremonyId, STATEMENT_MAX, Statement, authorise,
};
pub use audit::{AuditRefused, AuditSpan, audit_head, audit_span};
pub use event::{Content, EVENT_MAX, Fact, FileHash, Mode, Opened, Outcome};
pub use hash::{Hash, Words};
pub use plan::{Environment, InvalidPlan, PLAN_MAX, Plan, PlanToken, Step, is_file_name, step};
pub use procedure::{to_html, to_markdown, to_sentence};
pub use records::{RecordsRefused, TokenRecords};
pub use rehearsal::{Difference, RehearsalRefused, Rehearsed, differences};
pub use rosters::{CHANGE_MAX, RosterChain, RosterChange, RostersRefused};
pub use shares::{Pins, Share, ShareSheet, SharesRefused, split};
pub use transcript::{Draft, Next, TRANSCRIPT_MAX, Transcript, TranscriptRefused};
pub use verify::{
    AUDIT_AFTER, AUDIT_BEFORE, BUNDLE_FILE_MAX, Bundle, Examiner, Problem, Report, Shown,
    token_after, token_before, verify,
};
