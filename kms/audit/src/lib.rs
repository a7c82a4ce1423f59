#![doc = include_str!("../README.md")]

mod copy;
#[doc(hidden)]
pub mod fuzzing;
mod journal;
mod log;
mod open;
mod publish;
mod queue;
mod reader;
mod signer;
mod storage;
mod tail;
mod verify;

pub use copy::copy;
pub use log::{Appended, AuditError, AuditLog, CosignatureError};
pub use open::{OpenError, Trusted};
pub use queue::Visit;
pub use reader::{LogReader, Proof, ReadError};
pub use signer::{CheckpointSigner, SignFailed};
pub use storage::{Disk, Lock, Storage, StoredFile};
pub use verify::{Finding, Report, Torn, VerifyError, Witnesses, verify};
