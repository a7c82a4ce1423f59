use alloc::string::String;
use core::fmt;

use obol_credential::{Malformed, NAME_MAX, is_name, strict::Reader};

/// Characters of the longest terminal name.
pub const TERMINAL_NAME_MAX: usize = NAME_MAX;

/// Names a terminal: 1 ..= 32 characters of `a-z`, `0-9` and `-`, the NAME in its certificate's
/// `obol://terminal/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TerminalName(String);

impl TerminalName {
    /// Takes a name; `None` for any other length or character.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        is_name(name).then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let at = reader.position();
        Self::new(reader.text(TERMINAL_NAME_MAX)?).ok_or(Malformed {
            at,
            rule: "terminal name has another character than a-z, 0-9 and -",
        })
    }
}

impl fmt::Display for TerminalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_1_to_32_lower_case_letters_digits_and_hyphens() {
        let longest = "a".repeat(32);
        for good in ["a", "bus-12", "0", longest.as_str()] {
            assert_eq!(TerminalName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "A", "bus 12", "bus_12", "é", "a/b", &"a".repeat(33)] {
            assert_eq!(TerminalName::new(bad), None, "{bad}");
        }
    }
}
