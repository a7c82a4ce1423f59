//! The plan file.

use std::collections::BTreeSet;
use std::path::Path;

use obol_console::read_limited;
use serde::Deserialize;

use crate::failure::SetupError;

/// Largest plan, in bytes.
const PLAN_MAX: usize = 16 * 1024;
/// Most tokens of one plan.
const TOKENS_MAX: usize = 32;
/// PKCS#11 labels hold 32 bytes.
const NAME_MAX: usize = 32;

/// Which tokens to make.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    pub(crate) tokens: Vec<PlannedToken>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlannedToken {
    /// Label of the token and stem of its files.
    pub(crate) name: String,
}

impl Plan {
    pub(crate) fn load(path: &Path) -> Result<Plan, SetupError> {
        let bytes = read_limited(path, PLAN_MAX)?;
        Plan::parse(&bytes).map_err(|reason| SetupError::Plan {
            path: path.to_path_buf(),
            reason,
        })
    }

    fn parse(bytes: &[u8]) -> Result<Plan, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let plan: Plan = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        if plan.tokens.is_empty() || plan.tokens.len() > TOKENS_MAX {
            return Err(format!(
                "{} tokens, wanted 1 to {TOKENS_MAX}",
                plan.tokens.len()
            ));
        }
        let mut seen = BTreeSet::new();
        for PlannedToken { name } in &plan.tokens {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if !(1..=NAME_MAX).contains(&name.len()) || !name.bytes().all(plain) {
                return Err(format!(
                    "name {name:?} is not 1 to {NAME_MAX} of a-z, 0-9 and -"
                ));
            }
            if !seen.insert(name) {
                return Err(format!("name {name:?} is there twice"));
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_strictly() {
        assert_eq!(
            Plan::parse(b"tokens = [{ name = 'root' }]")
                .unwrap()
                .tokens
                .len(),
            1
        );
        for (plan, reason) in [
            ("tokens = []", "0 tokens, wanted 1 to 32"),
            (
                "tokens = [{ name = 'Root' }]",
                "name \"Root\" is not 1 to 32 of a-z, 0-9 and -",
            ),
            (
                "tokens = [{ name = 'a' }, { name = 'a' }]",
                "name \"a\" is there twice",
            ),
            (
                "tokens = [{ name = 'a', pin = '1234' }]",
                "unknown field `pin`, expected `name`",
            ),
        ] {
            assert_eq!(Plan::parse(plan.as_bytes()).unwrap_err(), reason);
        }
    }
}
