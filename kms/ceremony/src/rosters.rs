use std::convert::Infallible;

use minicbor::Encoder;
use minicbor::encode::Error;
use obol_credential::Malformed;
use obol_credential::strict::Reader;
use obol_kms_registry::{InvalidRoster, Roster};

use crate::act::Act;
use crate::approval::{APPROVAL_MAX, APPROVALS_MAX, Approval, ApprovalRefusal, authorise};
use crate::hash::Hash;
use crate::plan::{InvalidPlan, Plan, Step};
use crate::rehearsal::Rehearsed;

/// Longest change of a roster, in bytes.
pub const CHANGE_MAX: usize = 256 * 1024;
const CONTEXT: &str = "obol roster change";
const CHANGES_MAX: usize = 64;

/// A roster in place of another, with the approvals that carried the ceremony.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterChange {
    /// The plan, as its file.
    pub plan: Vec<u8>,
    /// The next roster, as its file.
    pub next: Vec<u8>,
    /// Head of the rehearsal's transcript.
    pub rehearsal: Hash,
    /// Officers of the roster before.
    pub approvals: Vec<Approval>,
}

/// The first roster and all that followed, each approved by the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterChain(Vec<Roster>);

/// Why rosters were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RostersRefused {
    /// Not a roster.
    #[error("roster {place}: {why}")]
    Roster {
        /// From 0.
        place: usize,
        /// What is wrong.
        why: InvalidRoster,
    },
    /// Not text.
    #[error("roster {0} is not UTF-8 text")]
    NotText(usize),
    /// Not a change.
    #[error("roster change {place} is malformed: {fault}")]
    Malformed {
        /// From 1.
        place: usize,
        /// What is wrong.
        fault: Malformed,
    },
    /// Its plan is none.
    #[error("roster change {place}: {why}")]
    Plan {
        /// From 1.
        place: usize,
        /// What is wrong.
        why: InvalidPlan,
    },
    /// Its plan is about something else.
    #[error("roster change {0}: its plan does not name this roster")]
    OtherPlan(usize),
    /// The officers before have not approved it.
    #[error("roster change {place}: {why}")]
    NotApproved {
        /// From 1.
        place: usize,
        /// Why.
        why: ApprovalRefusal,
    },
    /// More than anybody reads.
    #[error("{0} roster changes, at most 64 are read")]
    TooMany(usize),
}

impl RosterChange {
    /// Deterministic CBOR.
    ///
    /// # Panics
    /// Never: a vector takes what is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut sink = Encoder::new(Vec::new());
        self.write(&mut sink)
            .expect("a vector takes what is written");
        sink.into_writer()
    }

    fn write(&self, sink: &mut Encoder<Vec<u8>>) -> Result<(), Error<Infallible>> {
        sink.array(5)?.str(CONTEXT)?;
        sink.bytes(&self.plan)?.bytes(&self.next)?;
        sink.bytes(&self.rehearsal.0)?;
        sink.array(self.approvals.len() as u64)?;
        for approval in &self.approvals {
            sink.bytes(&approval.encode())?;
        }
        Ok(())
    }

    /// Reads a change; whether it was approved is the chain's question.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<RosterChange, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array(5)?;
        let at = reader.position();
        if reader.text(CONTEXT.len())? != CONTEXT {
            let rule = "not a change of the roster";
            return Err(Malformed { at, rule });
        }
        let plan = reader.bytes()?.to_vec();
        let next = reader.bytes()?.to_vec();
        let rehearsal = Hash(*reader.bytes_exact()?);
        let count = reader.array_up_to(APPROVALS_MAX as u64)?;
        let mut approvals = Vec::new();
        for _ in 0..count {
            let at = reader.position();
            let approval = reader.embedded(|bytes| match bytes.len() {
                0..=APPROVAL_MAX => Approval::decode(bytes),
                _ => {
                    let rule = "approval too long";
                    Err(Malformed { at, rule })
                }
            })?;
            approvals.push(approval);
        }
        reader.finish()?;
        Ok(RosterChange {
            plan,
            next,
            rehearsal,
            approvals,
        })
    }
}

impl RosterChain {
    /// Reads the first roster and the changes since, and checks that each was approved.
    ///
    /// # Errors
    /// [`RostersRefused`].
    pub fn read(first: &[u8], changes: &[Vec<u8>]) -> Result<RosterChain, RostersRefused> {
        if changes.len() > CHANGES_MAX {
            return Err(RostersRefused::TooMany(changes.len()));
        }
        let mut rosters = vec![roster(first, 0)?];
        for (place, bytes) in changes.iter().enumerate() {
            let place = place + 1;
            let malformed = |fault| RostersRefused::Malformed { place, fault };
            let change = RosterChange::decode(bytes).map_err(malformed)?;
            let before = &rosters[rosters.len() - 1];
            rosters.push(follow(before, &change, place)?);
        }
        Ok(RosterChain(rosters))
    }

    /// The first, whose hash is pinned in the tokens.
    #[must_use]
    pub fn first(&self) -> &Roster {
        &self.0[0]
    }

    /// The last, which says who may do what now.
    #[must_use]
    pub fn in_force(&self) -> &Roster {
        &self.0[self.0.len() - 1]
    }
}

fn follow(before: &Roster, change: &RosterChange, place: usize) -> Result<Roster, RostersRefused> {
    let next = roster(&change.next, place)?;
    let refused = |why| RostersRefused::Plan { place, why };
    let plan = Plan::parse(&change.plan).map_err(refused)?;
    let named = plan.steps().iter().any(|step| match step {
        Step::ReplaceRoster(step) => {
            let wanted = (step.next.clone(), Hash::of(&change.next));
            plan.inputs().contains(&wanted)
        }
        _ => false,
    });
    if plan.act() != Act::RosterChange || !named {
        return Err(RostersRefused::OtherPlan(place));
    }
    // When it was approved is for the ceremony to check; that it was is checked here, for ever.
    let ends = change.approvals.iter().map(|one| one.statement().not_after);
    let then = ends.min().unwrap_or(obol_credential::UnixTime(0));
    let rehearsed = Rehearsed::recorded(change.rehearsal);
    authorise(before, &plan, &rehearsed, &change.approvals, then)
        .map_err(|why| RostersRefused::NotApproved { place, why })?;
    Ok(next)
}

fn roster(bytes: &[u8], place: usize) -> Result<Roster, RostersRefused> {
    let text = std::str::from_utf8(bytes).map_err(|_| RostersRefused::NotText(place))?;
    Roster::parse(text).map_err(|why| RostersRefused::Roster { place, why })
}
