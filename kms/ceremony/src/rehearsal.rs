use obol_credential::UnixTime;
use obol_kms_registry::Roster;

use crate::event::{Content, Mode};
use crate::hash::Hash;
use crate::plan::Plan;
use crate::transcript::{Next, Transcript, TranscriptRefused};

/// Facts whose names begin like this are new in every run: keys, serial numbers, hashes.
const FRESH: &str = "new ";

/// This plan was rehearsed to its end: made from a transcript alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsed {
    pub(crate) head: Hash,
    pub(crate) ended: UnixTime,
}

/// Why a rehearsal does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RehearsalRefused {
    /// The transcript does not hold.
    #[error("the rehearsal: {0}")]
    Transcript(TranscriptRefused),
    /// It is no rehearsal, or not of this.
    #[error("the rehearsal has another {what}: {found}, wanted {wanted}")]
    Other {
        /// What differs.
        what: &'static str,
        /// What the rehearsal has.
        found: String,
        /// What it should have.
        wanted: String,
    },
    /// It was not brought to its end.
    #[error("the rehearsal has not come to its end")]
    Unfinished,
}

/// A fact in which two runs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `STEP FACT`, the step from 1: as a plan's `changes.allowed` names it.
    pub name: String,
    /// In the last ceremony; `None` if it had no such fact.
    pub last: Option<String>,
    /// In this one.
    pub this: Option<String>,
}

impl From<TranscriptRefused> for RehearsalRefused {
    fn from(why: TranscriptRefused) -> RehearsalRefused {
        RehearsalRefused::Transcript(why)
    }
}

impl Rehearsed {
    /// Reads a rehearsal's transcript: whole, of this plan, this program, people of this roster.
    ///
    /// # Errors
    /// [`RehearsalRefused`].
    pub fn read(plan: &Plan, roster: &Roster, bytes: &[u8]) -> Result<Rehearsed, RehearsalRefused> {
        let transcript = Transcript::read(bytes)?;
        transcript.people_of(roster)?;
        let opened = transcript.opened();
        let mode = |mode| match mode {
            Mode::Rehearsal => "rehearsal".to_owned(),
            Mode::Ceremony => "ceremony".to_owned(),
        };
        let tool = plan.environment().tool;
        let same = [
            ("mode", mode(opened.mode), mode(Mode::Rehearsal)),
            ("plan", opened.plan.to_string(), plan.hash().to_string()),
            ("tool", opened.tool.to_string(), tool.to_string()),
        ];
        let other = same.into_iter().find(|(_, found, wanted)| found != wanted);
        if let Some((what, found, wanted)) = other {
            return Err(RehearsalRefused::Other {
                what,
                found,
                wanted,
            });
        }
        if transcript.next(plan.steps().len()) != Next::Over
            || transcript.outcome(plan.steps().len() as u32 - 1).is_none()
        {
            return Err(RehearsalRefused::Unfinished);
        }
        Ok(Rehearsed {
            head: transcript.head(),
            ended: transcript.last_time(),
        })
    }

    /// A rehearsal that officers have approved by its head, whose transcript lies elsewhere.
    pub(crate) const fn recorded(head: Hash) -> Rehearsed {
        Rehearsed {
            head,
            ended: UnixTime(0),
        }
    }

    /// Head of its transcript.
    #[must_use]
    pub const fn head(&self) -> Hash {
        self.head
    }

    /// When it ended.
    #[must_use]
    pub const fn ended(&self) -> UnixTime {
        self.ended
    }
}

/// Every fact in which `this` differs from `last`, but for what is new in every run.
#[must_use]
pub fn differences(last: &Transcript, this: &Transcript) -> Vec<Difference> {
    let (last, this) = (facts(last), facts(this));
    let value = |facts: &[(String, String)], name: &str| {
        let found = facts.iter().find(|(fact, _)| fact == name);
        found.map(|(_, value)| value.clone())
    };
    let mut names: Vec<&String> = last.iter().chain(&this).map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    let differences = names.into_iter().map(|name| Difference {
        name: name.clone(),
        last: value(&last, name),
        this: value(&this, name),
    });
    differences.filter(|one| one.last != one.this).collect()
}

fn facts(transcript: &Transcript) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    for (_, content) in transcript.entries() {
        let Content::Done { step, outcome } = content else {
            continue;
        };
        let lasting = outcome
            .facts
            .iter()
            .filter(|fact| !fact.name.starts_with(FRESH));
        facts.extend(lasting.map(|fact| {
            let name = format!("{} {}", step + 1, fact.name);
            (name, fact.value.clone())
        }));
    }
    facts
}
