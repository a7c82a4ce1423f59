use std::collections::BTreeSet;

use obol_credential::UnixTime;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::value::Datetime;

use crate::rotation::times::{duration_s, moment};

/// Longest fleet file, in bytes.
pub const FLEET_MAX: usize = 4 * 1024 * 1024;
const SCHEMA: u32 = 1;
/// Most terminals with a name, and most groups.
const ENTRIES_MAX: usize = 20_000;
/// Longest name.
const NAME_MAX: usize = 64;

/// How often terminals refresh. Made by [`Fleet::parse`] alone, so it has at least one terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    recorded: UnixTime,
    pub(super) gaps: Vec<Gap>,
    hash: [u8; 32],
}

/// The longest time between two refreshes of a terminal, or of a group of terminals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The terminal's or the group's name.
    pub name: String,
    /// How many terminals: 1, or as many as the group has.
    pub terminals: u32,
    /// In seconds.
    pub longest_s: u32,
}

/// Why a fleet was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFleet {
    /// Longer than any fleet.
    #[error("the fleet has {0} bytes, at most {FLEET_MAX} are read")]
    TooLong(usize),
    /// No strict TOML of this shape.
    #[error("the fleet does not read: {0}")]
    Syntax(String),
    /// Another version of this form.
    #[error("the fleet has schema {0}, this program reads {SCHEMA}")]
    Schema(u32),
    /// A name, a time or a number that is none.
    #[error("{field} = {found:?} is not {expected}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// No terminal, or more than are read.
    #[error("{0} terminals and groups, wanted 1 to {ENTRIES_MAX}")]
    Count(usize),
    /// A name that stands there twice.
    #[error("{0:?} stands there twice")]
    Twice(String),
    /// A terminal of which nothing is known.
    #[error("of terminal {0:?} neither intervals_s nor last is given")]
    Nothing(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFleet {
    schema: u32,
    recorded: Datetime,
    #[serde(default)]
    terminals: Vec<RawTerminal>,
    #[serde(default)]
    groups: Vec<RawGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTerminal {
    name: String,
    #[serde(default)]
    intervals_s: Vec<u32>,
    last: Option<Datetime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: String,
    terminals: u32,
    longest: String,
}

impl Fleet {
    /// Reads a fleet.
    ///
    /// # Errors
    /// [`InvalidFleet`] names what is wrong.
    pub fn parse(text: &str) -> Result<Fleet, InvalidFleet> {
        if text.len() > FLEET_MAX {
            return Err(InvalidFleet::TooLong(text.len()));
        }
        let raw: RawFleet =
            toml::from_str(text).map_err(|error| InvalidFleet::Syntax(error.to_string()))?;
        if raw.schema != SCHEMA {
            return Err(InvalidFleet::Schema(raw.schema));
        }
        let count = raw.terminals.len() + raw.groups.len();
        if !(1..=ENTRIES_MAX).contains(&count) {
            return Err(InvalidFleet::Count(count));
        }
        let recorded = time("recorded", &raw.recorded)?;
        let terminals = raw.terminals.into_iter().map(|raw| raw.gap(recorded));
        let groups = raw.groups.into_iter().map(RawGroup::gap);
        let gaps = terminals.chain(groups).collect::<Result<Vec<_>, _>>()?;
        let mut seen = BTreeSet::new();
        if let Some(gap) = gaps.iter().find(|gap| !seen.insert(&gap.name)) {
            return Err(InvalidFleet::Twice(gap.name.clone()));
        }
        Ok(Fleet {
            recorded,
            gaps,
            hash: Sha256::digest(text).into(),
        })
    }

    /// When it was written down.
    #[must_use]
    pub const fn recorded(&self) -> UnixTime {
        self.recorded
    }

    /// Each terminal's and each group's longest time between two refreshes.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// SHA-256 of the fleet's text, as `sha256sum` says it.
    #[must_use]
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

impl RawTerminal {
    /// The time since the last refresh is a gap as well: one that has not ended yet.
    fn gap(self, recorded: UnixTime) -> Result<Gap, InvalidFleet> {
        let name = name(self.name)?;
        let running = match self.last {
            None => None,
            Some(written) => {
                let last = time("last", &written)?;
                let since = u32::try_from(recorded.since(last));
                Some(since.map_err(|_| InvalidFleet::Value {
                    field: "last",
                    found: written.to_string(),
                    expected: "before the fleet was recorded",
                })?)
            }
        };
        let longest = self.intervals_s.iter().copied().chain(running).max();
        let longest_s = longest.ok_or_else(|| InvalidFleet::Nothing(name.clone()))?;
        Ok(Gap {
            name,
            terminals: 1,
            longest_s,
        })
    }
}

impl RawGroup {
    fn gap(self) -> Result<Gap, InvalidFleet> {
        let wrong = |field, found: String, expected| InvalidFleet::Value {
            field,
            found,
            expected,
        };
        if self.terminals == 0 {
            let expected = "at least one terminal";
            return Err(wrong("terminals", "0".to_owned(), expected));
        }
        let expected = "a number with s, m, h or d behind it";
        let longest_s =
            duration_s(&self.longest).ok_or_else(|| wrong("longest", self.longest, expected))?;
        Ok(Gap {
            name: name(self.name)?,
            terminals: self.terminals,
            longest_s,
        })
    }
}

fn name(name: String) -> Result<String, InvalidFleet> {
    let good =
        (1..=NAME_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if good {
        Ok(name)
    } else {
        Err(InvalidFleet::Value {
            field: "name",
            found: name,
            expected: "one line of 1 to 64 characters",
        })
    }
}

fn time(field: &'static str, written: &Datetime) -> Result<UnixTime, InvalidFleet> {
    moment(written).ok_or_else(|| InvalidFleet::Value {
        field,
        found: written.to_string(),
        expected: "a moment in whole seconds with an offset, 2027-01-15T00:00:00Z",
    })
}
