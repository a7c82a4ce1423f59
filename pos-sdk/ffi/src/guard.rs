use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::ObolPosCode;

/// Runs what an export does: a panic, which would be a bug of ours, ends as a code and not in the
/// caller's stack.
pub(crate) fn guarded(body: impl FnOnce() -> Result<ObolPosCode, ObolPosCode>) -> i32 {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    let code = match outcome {
        Ok(Ok(code) | Err(code)) => code,
        Err(_) => ObolPosCode::OBOL_POS_ERROR_PANIC,
    };
    code as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_as_a_code() {
        let code = guarded(|| panic!("a bug"));
        assert_eq!(code, ObolPosCode::OBOL_POS_ERROR_PANIC as i32);
    }
}
