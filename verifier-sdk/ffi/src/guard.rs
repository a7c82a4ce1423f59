use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::ObolCode;

/// Runs what an export does: a panic, which would be a bug of ours, ends as a code and not in the
/// caller's stack.
pub(crate) fn guarded(body: impl FnOnce() -> Result<ObolCode, ObolCode>) -> i32 {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    let code = match outcome {
        Ok(Ok(code) | Err(code)) => code,
        Err(_) => ObolCode::OBOL_ERROR_PANIC,
    };
    code as i32
}
