use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;

use data_encoding::HEXLOWER;
use minicbor::Encoder;
use minicbor::encode::Error;
use obol_credential::strict::Reader;
use obol_credential::{Malformed, UnixTime};
use obol_kms_registry::{Officer, OfficerKey, Roster, RosterHash};

use crate::hash::Hash;
use crate::plan::Plan;
use crate::rehearsal::Rehearsed;

/// Most approvals of one ceremony: as many as a roster has officers.
pub const APPROVALS_MAX: usize = 16;
/// The longest time an approval may still be good for, in seconds: 30 days.
pub const APPROVAL_LIFE_MAX_S: u32 = 30 * 86_400;
/// Longest statement, in bytes.
pub const STATEMENT_MAX: usize = 1_024;
/// Longest approval, in bytes.
pub const APPROVAL_MAX: usize = STATEMENT_MAX + 256;
const SERIALS_MAX: u64 = 4;
const SERIAL_MAX: usize = 200;
/// What the signature is about; no other signed structure of the house begins like this.
const CONTEXT: &str = "obol ceremony approval";

/// Names one ceremony: 16 random bytes, drawn when approvals are asked for. It runs once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CeremonyId(pub [u8; 16]);

/// What an officer signs (docs/spec/ceremony.md section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The roster that the officer stands on.
    pub roster: RosterHash,
    /// The plan.
    pub plan: Hash,
    /// The ceremony.
    pub id: CeremonyId,
    /// Serial numbers of the tokens, in the plan's order.
    pub serials: Vec<String>,
    /// SHA-256 of the program.
    pub tool: Hash,
    /// Head of the rehearsal's transcript.
    pub rehearsal: Hash,
    /// The last second in which the approval counts.
    pub not_after: UnixTime,
}

/// An officer's signature over a [`Statement`]: ECDSA on P-256 with SHA-256, raw r || s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    statement: Vec<u8>,
    officer: OfficerKey,
    signature: [u8; 64],
}

/// Enough officers have approved exactly this ceremony: made by [`authorise`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    pub(crate) statement: Statement,
    /// Who approved.
    officers: Vec<String>,
}

/// Why approvals do not carry a ceremony.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalRefusal {
    /// The roster says nothing about ceremonies.
    #[error("the roster has no [[witnesses]] and no [ceremony]: it allows none")]
    NoCeremonies,
    /// Fewer than the act takes.
    #[error("an act {act} takes the approval of {needed} officers, {given} given")]
    TooFew {
        /// The act.
        act: &'static str,
        /// How many it takes.
        needed: u8,
        /// How many there were.
        given: usize,
    },
    /// More than a roster has officers.
    #[error("{0} approvals, at most {APPROVALS_MAX} are read")]
    TooMany(usize),
    /// The key that signed is on no line of the roster.
    #[error("the approval by {0} is not an officer's of this roster")]
    NotAnOfficer(OfficerKey),
    /// Two approvals by one officer.
    #[error("officer {0:?} has approved twice")]
    Twice(String),
    /// The signature is not that officer's over this statement.
    #[error("the signature of officer {0:?} does not verify")]
    Signature(String),
    /// The officer approved something else.
    #[error("officer {officer:?} approved another {field}: {approved}, wanted {wanted}")]
    Other {
        /// The officer.
        officer: String,
        /// What differs.
        field: &'static str,
        /// What the officer signed.
        approved: String,
        /// What this ceremony has.
        wanted: String,
    },
    /// Its time is over.
    #[error(
        "the approval of officer {officer:?} ended at {not_after}, it is {now} (seconds since 1970)"
    )]
    Expired {
        /// The officer.
        officer: String,
        /// Its last second.
        not_after: UnixTime,
        /// Now.
        now: UnixTime,
    },
    /// It would be good for longer than an approval may be.
    #[error(
        "the approval of officer {officer:?} is good until {not_after}, more than 30 days from now"
    )]
    TooLong {
        /// The officer.
        officer: String,
        /// Its last second.
        not_after: UnixTime,
    },
}

impl Statement {
    /// Deterministic CBOR (RFC 8949 section 4.2.1): the bytes that are signed.
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
        sink.array(8)?.str(CONTEXT)?;
        sink.bytes(&self.roster.0)?;
        sink.bytes(&self.plan.0)?;
        sink.bytes(&self.id.0)?;
        sink.array(self.serials.len() as u64)?;
        for serial in &self.serials {
            sink.str(serial)?;
        }
        sink.bytes(&self.tool.0)?;
        sink.bytes(&self.rehearsal.0)?;
        sink.u32(self.not_after.0)?;
        Ok(())
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// [`Malformed`] for anything but the deterministic encoding of exactly these members.
    pub fn decode(bytes: &[u8]) -> Result<Statement, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array(8)?;
        let at = reader.position();
        if reader.text(CONTEXT.len())? != CONTEXT {
            let rule = "not the approval of a ceremony";
            return Err(Malformed { at, rule });
        }
        let roster = RosterHash(*reader.bytes_exact()?);
        let plan = Hash(*reader.bytes_exact()?);
        let id = CeremonyId(*reader.bytes_exact()?);
        let count = reader.array_up_to(SERIALS_MAX)?;
        let mut serials = Vec::new();
        for _ in 0..count {
            serials.push(reader.text(SERIAL_MAX)?.to_owned());
        }
        let tool = Hash(*reader.bytes_exact()?);
        let rehearsal = Hash(*reader.bytes_exact()?);
        let not_after = UnixTime(reader.uint_as()?);
        reader.finish()?;
        Ok(Statement {
            roster,
            plan,
            id,
            serials,
            tool,
            rehearsal,
            not_after,
        })
    }

    /// The first member in which this differs from `wanted`, as (name, here, there).
    fn difference(&self, wanted: &Statement) -> Option<(&'static str, String, String)> {
        let fields = [
            ("ceremony", self.id.to_string(), wanted.id.to_string()),
            ("plan", self.plan.to_string(), wanted.plan.to_string()),
            ("roster", self.roster.to_string(), wanted.roster.to_string()),
            ("token", self.serials.join(" "), wanted.serials.join(" ")),
            ("tool", self.tool.to_string(), wanted.tool.to_string()),
            (
                "rehearsal",
                self.rehearsal.to_string(),
                wanted.rehearsal.to_string(),
            ),
        ];
        fields.into_iter().find(|(_, here, there)| here != there)
    }
}

impl Approval {
    /// Joins a statement with an officer's signature over its encoding.
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
        let rule = "not a compressed point of P-256";
        let officer =
            OfficerKey::from_sec1(*reader.bytes_exact()?).ok_or(Malformed { at, rule })?;
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

    /// Who signed.
    #[must_use]
    pub const fn officer(&self) -> &OfficerKey {
        &self.officer
    }
}

impl Approved {
    /// Who approved, by name.
    #[must_use]
    pub fn officers(&self) -> &[String] {
        &self.officers
    }

    /// The ceremony that may run.
    #[must_use]
    pub const fn id(&self) -> CeremonyId {
        self.statement.id
    }
}

/// Checks that enough distinct officers of `roster` approved `plan`, as it was `rehearsed`, for
/// one and the same ceremony, all at `now`. One bad approval spoils all: somebody erred.
///
/// # Errors
/// [`ApprovalRefusal`].
pub fn authorise(
    roster: &Roster,
    plan: &Plan,
    rehearsed: &Rehearsed,
    approvals: &[Approval],
    now: UnixTime,
) -> Result<Approved, ApprovalRefusal> {
    let ceremonies = roster.ceremonies().ok_or(ApprovalRefusal::NoCeremonies)?;
    let (needed, given) = (ceremonies.needed(plan.act().kind()), approvals.len());
    if given > APPROVALS_MAX {
        return Err(ApprovalRefusal::TooMany(given));
    }
    let act = plan.act().name();
    let too_few = ApprovalRefusal::TooFew { act, needed, given };
    let Some(first) = approvals.first() else {
        return Err(too_few);
    };
    let wanted = Statement {
        roster: roster.hash(),
        plan: plan.hash(),
        id: first.statement().id,
        serials: plan.serials(),
        tool: plan.environment().tool,
        rehearsal: rehearsed.head,
        not_after: now,
    };
    let (mut seen, mut officers) = (BTreeSet::new(), Vec::new());
    for approval in approvals {
        let officer = examine(roster, &wanted, approval, now)?;
        if !seen.insert(officer.key()) {
            return Err(ApprovalRefusal::Twice(officer.name().to_owned()));
        }
        officers.push(officer.name().to_owned());
    }
    if officers.len() < usize::from(needed) {
        return Err(too_few);
    }
    Ok(Approved {
        statement: wanted,
        officers,
    })
}

fn examine<'a>(
    roster: &'a Roster,
    wanted: &Statement,
    approval: &Approval,
    now: UnixTime,
) -> Result<&'a Officer, ApprovalRefusal> {
    let key = approval.officer;
    let officer = roster
        .officer(&key)
        .ok_or(ApprovalRefusal::NotAnOfficer(key))?;
    let name = officer.name().to_owned();
    if !key.verifies(&approval.statement, &approval.signature) {
        return Err(ApprovalRefusal::Signature(name));
    }
    let found = approval.statement();
    if let Some((field, approved, wanted)) = found.difference(wanted) {
        return Err(ApprovalRefusal::Other {
            officer: name,
            field,
            approved,
            wanted,
        });
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

impl fmt::Display for CeremonyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for CeremonyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CeremonyId({self})")
    }
}
