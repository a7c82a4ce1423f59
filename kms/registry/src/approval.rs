use std::collections::BTreeSet;

use minicbor::Encoder;
use obol_credential::strict::Reader;
use obol_credential::{Malformed, UnixTime};

use crate::machine::Act;
use crate::roster::{Officer, OfficerKey, Roster};
use crate::statement::{STATEMENT_MAX, Statement};

/// Most approvals that are read for one change: as many as a roster has officers.
pub const APPROVALS_MAX: usize = 16;
/// The longest time an approval may still be good for, in seconds: 30 days.
pub const APPROVAL_LIFE_MAX_S: u32 = 30 * 86_400;

/// An officer's signature over a [`Statement`]: ECDSA on P-256 with SHA-256, raw r || s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    statement: Vec<u8>,
    officer: OfficerKey,
    signature: [u8; 64],
}

/// Why approvals do not carry a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalRefusal {
    /// Fewer than the act takes.
    #[error("{act} takes the approval of {needed} officers, {given} given")]
    TooFew {
        /// The act.
        act: Act,
        /// How many it takes.
        needed: u8,
        /// How many there were.
        given: usize,
    },
    /// More than a roster has officers.
    #[error("{0} approvals, at most {APPROVALS_MAX} are read")]
    TooMany(usize),
    /// The key that signed is on no line of the roster.
    #[error("the approval by {0} is not an officer's of this registry's roster")]
    NotAnOfficer(OfficerKey),
    /// Two approvals by one officer.
    #[error("officer {0:?} has approved twice")]
    Twice(String),
    /// The statement is about something else.
    #[error("the approval of {officer:?} is for another {field}")]
    OtherChange {
        /// The officer.
        officer: String,
        /// What differs.
        field: &'static str,
    },
    /// Its time is over.
    #[error("the approval of {officer:?} ended at {not_after}, it is {now}")]
    Expired {
        /// The officer.
        officer: String,
        /// Its last second.
        not_after: UnixTime,
        /// The time of asking.
        now: UnixTime,
    },
    /// It would be good for longer than an approval may be.
    #[error("the approval of {officer:?} is good until {not_after}, more than 30 days from now")]
    TooLong {
        /// The officer.
        officer: String,
        /// Its last second.
        not_after: UnixTime,
    },
    /// The signature is not the officer's.
    #[error("the signature of officer {0:?} does not verify")]
    Signature(String),
}

impl Approval {
    /// Puts a signature beside what it signs. Nothing is verified yet.
    #[must_use]
    pub fn new(statement: &Statement, officer: OfficerKey, signature: [u8; 64]) -> Approval {
        Approval {
            statement: statement.encode(),
            officer,
            signature,
        }
    }

    /// Deterministic CBOR: `[statement bstr, public key bstr, signature bstr]`.
    ///
    /// # Panics
    /// Never: a vector takes what is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut sink = Encoder::new(Vec::new());
        sink.array(3)
            .and_then(|sink| sink.bytes(&self.statement))
            .and_then(|sink| sink.bytes(self.officer.as_sec1()))
            .and_then(|sink| sink.bytes(&self.signature))
            .expect("a vector takes what is written");
        sink.into_writer()
    }

    /// Reads an approval; the signature is verified when it is used.
    ///
    /// # Errors
    /// [`Malformed`] for anything but the deterministic encoding, also of the statement inside.
    pub fn decode(bytes: &[u8]) -> Result<Approval, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array(3)?;
        let at = reader.position();
        let statement = reader.embedded(|bytes| Statement::decode(bytes).map(|_| bytes))?;
        if statement.len() > STATEMENT_MAX {
            let rule = "statement too long";
            return Err(Malformed { at, rule });
        }
        let at = reader.position();
        let officer = OfficerKey::from_sec1(*reader.bytes_exact()?).ok_or(Malformed {
            at,
            rule: "not a compressed point of P-256",
        })?;
        let signature = *reader.bytes_exact()?;
        reader.finish()?;
        let statement = statement.to_vec();
        Ok(Approval {
            statement,
            officer,
            signature,
        })
    }

    /// What was signed.
    ///
    /// # Panics
    /// Never: both ways to an approval encode or read the statement.
    #[must_use]
    pub fn statement(&self) -> Statement {
        Statement::decode(&self.statement).expect("new has encoded or decode has read it")
    }

    /// The bytes that were signed.
    #[must_use]
    pub fn statement_bytes(&self) -> &[u8] {
        &self.statement
    }

    /// Who signed.
    #[must_use]
    pub const fn officer(&self) -> &OfficerKey {
        &self.officer
    }

    /// ECDSA signature, raw r || s.
    #[must_use]
    pub const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

/// Approvals that carry a change: made by [`authorise`] alone.
pub(crate) struct Authorised<'a> {
    pub(crate) approvals: Vec<(&'a Officer, &'a Approval)>,
}

/// Checks that enough distinct officers approved exactly `wanted`, whose `not_after` is ignored:
/// each officer has set one. One bad approval spoils all: it says that somebody erred.
pub(crate) fn authorise<'a>(
    roster: &'a Roster,
    act: Act,
    wanted: &Statement,
    approvals: &'a [Approval],
    now: UnixTime,
) -> Result<Authorised<'a>, ApprovalRefusal> {
    let (needed, given) = (roster.needed(act), approvals.len());
    if given > APPROVALS_MAX {
        return Err(ApprovalRefusal::TooMany(given));
    }
    let mut seen = BTreeSet::new();
    let mut accepted = Vec::with_capacity(given);
    for approval in approvals {
        let officer = examine(roster, wanted, approval, now)?;
        if !seen.insert(officer.key()) {
            return Err(ApprovalRefusal::Twice(officer.name().to_owned()));
        }
        accepted.push((officer, approval));
    }
    if accepted.len() < usize::from(needed) {
        return Err(ApprovalRefusal::TooFew { act, needed, given });
    }
    Ok(Authorised {
        approvals: accepted,
    })
}

fn examine<'a>(
    roster: &'a Roster,
    wanted: &Statement,
    approval: &Approval,
    now: UnixTime,
) -> Result<&'a Officer, ApprovalRefusal> {
    let officer = roster
        .officer(&approval.officer)
        .ok_or(ApprovalRefusal::NotAnOfficer(approval.officer))?;
    let name = officer.name().to_owned();
    if !verifies(approval) {
        return Err(ApprovalRefusal::Signature(name));
    }
    let found = approval.statement();
    if let Some(field) = difference(&found, wanted) {
        let officer = name;
        return Err(ApprovalRefusal::OtherChange { officer, field });
    }
    let not_after = found.not_after;
    if now > not_after {
        return Err(ApprovalRefusal::Expired {
            officer: name,
            not_after,
            now,
        });
    }
    if not_after.since(now) > i64::from(APPROVAL_LIFE_MAX_S) {
        let officer = name;
        return Err(ApprovalRefusal::TooLong { officer, not_after });
    }
    Ok(officer)
}

pub(crate) fn verifies(approval: &Approval) -> bool {
    let Approval {
        statement,
        officer,
        signature,
    } = approval;
    officer.verifies(statement, signature)
}

fn difference(found: &Statement, wanted: &Statement) -> Option<&'static str> {
    let fields = [
        ("registry", found.registry == wanted.registry),
        ("roster", found.roster == wanted.roster),
        ("key", found.spki == wanted.spki),
        ("class", found.class == wanted.class),
        ("state before", found.from == wanted.from),
        ("state after", found.to == wanted.to),
        ("version", found.version == wanted.version),
        ("clearance", found.cleared == wanted.cleared),
    ];
    fields
        .into_iter()
        .find(|(_, same)| !same)
        .map(|(field, _)| field)
}
