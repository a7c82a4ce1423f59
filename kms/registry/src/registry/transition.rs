use obol_credential::UnixTime;
use rusqlite::{Connection, params};

use crate::approval::{Approval, ApprovalRefusal, authorise};
use crate::clearance::{Clearance, Cleared};
use crate::fault::{Doing, Fault};
use crate::machine::{Act, Guard, Rule, State, rule};
use crate::registry::history::{self, NewChange};
use crate::registry::{Identity, KeyRecord, PlanRefusal, Registry, cleared, record};
use crate::settings::Settings;
use crate::spki::SpkiId;
use crate::statement::Statement;

/// Longest reason, in characters.
pub const REASON_MAX: usize = 200;

/// A wished change of a key's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub spki: SpkiId,
    /// The state it must be in.
    pub from: State,
    /// The state it shall be in.
    pub to: State,
    /// The version it must have.
    pub version: u64,
    /// Why, in one line of 1 to 200 characters.
    pub reason: String,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// No such key.
    #[error("key {0} is not registered")]
    Unknown(SpkiId),
    /// The key has changed since the caller looked.
    #[error(
        "key {spki} is {found} at version {found_version}, not {expected} at version {expected_version}"
    )]
    Overtaken {
        /// The key.
        spki: SpkiId,
        /// The state expected.
        expected: State,
        /// The version expected.
        expected_version: u64,
        /// The state it is in.
        found: State,
        /// The version it has.
        found_version: u64,
    },
    /// There is no way from the one state to the other.
    #[error("a key that is {from} cannot become {to}")]
    NoWay {
        /// The state before.
        from: State,
        /// The state wished for.
        to: State,
    },
    /// A certificate must be handed in with this change.
    #[error("a key becomes certified by its certificate")]
    CertificateMissing,
    /// It must wait.
    #[error("key {spki} is {state} and cannot become {to} before {until}")]
    TooEarly {
        /// The key.
        spki: SpkiId,
        /// The state it waits in.
        state: State,
        /// The state wished for.
        to: State,
        /// The first second in which it can.
        until: UnixTime,
    },
    /// It goes back to where it came from, and nowhere else.
    #[error("a key that came to be {from} from {came_from} cannot become {to}")]
    OtherWayBack {
        /// The state it is in.
        from: State,
        /// The state it came from.
        came_from: State,
        /// The state wished for.
        to: State,
    },
    /// The plan of rotations is missing, or does not fit what the registry knows.
    #[error(transparent)]
    Plan(#[from] PlanRefusal),
    /// Approvals are missing or wrong.
    #[error(transparent)]
    Approval(#[from] ApprovalRefusal),
    /// The reason is empty, too long, or more than one line.
    #[error("reason {0:?} is not one line of 1 to {REASON_MAX} characters")]
    Reason(String),
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Registry {
    /// Changes a key's state, if it still is as the caller has seen it: of two that race, exactly
    /// one wins. Approvals are over [`Registry::statement`] of this change.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed.
    pub fn transition(
        &self,
        change: &Change,
        approvals: &[Approval],
        now: UnixTime,
    ) -> Result<KeyRecord, ChangeError> {
        self.change(change, None, approvals, now)
    }

    /// As [`Registry::transition`], for the activation of a key that terminals meet. Approvals are
    /// over [`Registry::activation`].
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was changed.
    pub fn activate(
        &self,
        change: &Change,
        clearance: &Clearance,
        approvals: &[Approval],
        now: UnixTime,
    ) -> Result<KeyRecord, ChangeError> {
        self.change(change, Some(clearance), approvals, now)
    }

    fn change(
        &self,
        change: &Change,
        clearance: Option<&Clearance>,
        approvals: &[Approval],
        now: UnixTime,
    ) -> Result<KeyRecord, ChangeError> {
        self.write("changing a key", |transaction| {
            let key = expected(transaction, change)?;
            if rule(change.from, change.to).is_some_and(|rule| rule.act == Act::Certify) {
                return Err(ChangeError::CertificateMissing);
            }
            let asked = Asked {
                change,
                clearance,
                approvals,
            };
            apply(transaction, &self.identity, &key, &asked, now)
        })
    }

    /// Records that those who verify have been told of a key, now: from here its propagation time
    /// counts.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn publish(&self, spki: SpkiId, now: UnixTime) -> Result<KeyRecord, ChangeError> {
        self.write("publishing a key", |transaction| {
            let key = record::one(transaction, spki)?.ok_or(ChangeError::Unknown(spki))?;
            let change = Change {
                spki,
                from: key.state,
                to: State::Published,
                version: key.version,
                reason: "published".to_owned(),
            };
            // From pending destruction it is a cancellation, which takes approvals.
            let asked = Asked::plainly(&change);
            apply(transaction, &self.identity, &key, &asked, now)
        })
    }

    /// What officers sign for a key to go from where it is to `to`.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`], or [`ChangeError::NoWay`].
    pub fn statement(
        &self,
        spki: SpkiId,
        to: State,
        not_after: UnixTime,
    ) -> Result<Statement, ChangeError> {
        let key = self.key(spki)?.ok_or(ChangeError::Unknown(spki))?;
        let from = key.state;
        rule(from, to).ok_or(ChangeError::NoWay { from, to })?;
        Ok(wanted(&self.identity, &key, to, None, not_after))
    }

    /// What officers sign for a key that terminals meet to become active by this clearance. It is
    /// held against the registry already: a plan that does not fit is not worth a signature.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`], [`ChangeError::NoWay`], or [`ChangeError::Plan`].
    pub fn activation(
        &self,
        spki: SpkiId,
        clearance: &Clearance,
        now: UnixTime,
        not_after: UnixTime,
    ) -> Result<Statement, ChangeError> {
        let key = self.key(spki)?.ok_or(ChangeError::Unknown(spki))?;
        let (from, to) = (key.state, State::Active);
        let act = rule(from, to).ok_or(ChangeError::NoWay { from, to })?.act;
        let (settings, given) = (&self.identity.settings, Some(clearance));
        let cleared = self
            .read(|connection| Ok(cleared::check(connection, settings, &key, act, given, now)))??;
        Ok(wanted(&self.identity, &key, to, cleared, not_after))
    }
}

fn expected(connection: &Connection, change: &Change) -> Result<KeyRecord, ChangeError> {
    let spki = change.spki;
    let key = record::one(connection, spki)?.ok_or(ChangeError::Unknown(spki))?;
    if (key.state, key.version) != (change.from, change.version) {
        return Err(ChangeError::Overtaken {
            spki,
            expected: change.from,
            expected_version: change.version,
            found: key.state,
            found_version: key.version,
        });
    }
    Ok(key)
}

/// A change, and what is handed in for it.
pub(super) struct Asked<'a> {
    change: &'a Change,
    clearance: Option<&'a Clearance>,
    approvals: &'a [Approval],
}

impl<'a> Asked<'a> {
    /// A change that takes neither plan nor approvals.
    pub(super) const fn plainly(change: &'a Change) -> Asked<'a> {
        Asked {
            change,
            clearance: None,
            approvals: &[],
        }
    }
}

/// Checks everything, then writes the new state and its history.
pub(super) fn apply(
    connection: &Connection,
    identity: &Identity,
    key: &KeyRecord,
    asked: &Asked<'_>,
    now: UnixTime,
) -> Result<KeyRecord, ChangeError> {
    let Asked {
        change,
        clearance,
        approvals,
    } = *asked;
    check_reason(&change.reason)?;
    let (from, to) = (key.state, change.to);
    let rule = rule(from, to).ok_or(ChangeError::NoWay { from, to })?;
    check_guard(rule, key, &identity.settings, now)?;
    let settings = &identity.settings;
    let cleared = cleared::check(connection, settings, key, rule.act, clearance, now)?;
    let statement = wanted(identity, key, to, cleared, now);
    let authorised = authorise(&identity.roster, rule.act, &statement, approvals, now)?;
    write(connection, &after(key, rule, now))?;
    let change = NewChange {
        spki: key.spki,
        version: key.version + 1,
        from,
        to,
        act: rule.act,
        at: now,
        reason: &change.reason,
    };
    history::append(connection, identity.id, &change, &authorised.approvals)?;
    if let Some(clearance) = clearance {
        cleared::keep(connection, key.spki, change.version, clearance)?;
    }
    Ok(record::known(connection, key.spki)?)
}

fn wanted(
    identity: &Identity,
    key: &KeyRecord,
    to: State,
    cleared: Option<Cleared>,
    not_after: UnixTime,
) -> Statement {
    Statement {
        registry: identity.id,
        roster: identity.roster.hash(),
        spki: key.spki,
        class: key.class,
        from: key.state,
        to,
        version: key.version,
        not_after,
        cleared,
    }
}

fn check_reason(reason: &str) -> Result<(), ChangeError> {
    let length = reason.chars().count();
    if (1..=REASON_MAX).contains(&length) && !reason.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(ChangeError::Reason(reason.to_owned()))
    }
}

fn check_guard(
    rule: &Rule,
    key: &KeyRecord,
    settings: &Settings,
    now: UnixTime,
) -> Result<(), ChangeError> {
    let Rule {
        from, to, guard, ..
    } = *rule;
    match guard {
        Guard::Free => Ok(()),
        Guard::HasCertificate if key.class.has_certificate() => Ok(()),
        Guard::HasNoCertificate if !key.class.has_certificate() => Ok(()),
        Guard::HasCertificate | Guard::HasNoCertificate => Err(ChangeError::NoWay { from, to }),
        Guard::Cleared | Guard::TailOver | Guard::WaitOver => waited(key, to, settings, now),
        Guard::SuspendedFromThere => came_from(key.suspended_from, from, to),
        Guard::ScheduledFromThere => came_from(key.scheduled_from, from, to),
    }
}

fn waited(
    key: &KeyRecord,
    to: State,
    settings: &Settings,
    now: UnixTime,
) -> Result<(), ChangeError> {
    let (spki, state) = (key.spki, key.state);
    let until = key
        .waits_until(settings)
        .ok_or_else(|| Fault::Damaged(format!("key {spki} is {state} since no recorded time")))?;
    if now < until {
        return Err(ChangeError::TooEarly {
            spki,
            state,
            to,
            until,
        });
    }
    Ok(())
}

fn came_from(origin: Option<State>, from: State, to: State) -> Result<(), ChangeError> {
    match origin {
        Some(origin) if origin == to => Ok(()),
        Some(came_from) => Err(ChangeError::OtherWayBack {
            from,
            came_from,
            to,
        }),
        None => Err(Fault::Damaged(format!("a key is {from} from no recorded state")).into()),
    }
}

/// The key after the change: the one place that knows which times and origins go with a state.
fn after(key: &KeyRecord, rule: &Rule, now: UnixTime) -> KeyRecord {
    let mut next = key.clone();
    next.state = rule.to;
    next.version += 1;
    match rule.to {
        // Also after a cancelled destruction: terminals may have been told otherwise meanwhile.
        State::Published => next.published_at = Some(now),
        // A key suspended while retiring has not signed since, so its tail runs on.
        State::Retiring if key.suspended_from != Some(State::Retiring) => {
            next.retiring_at = Some(now);
        }
        State::Suspended if rule.act == Act::Suspend => next.suspended_from = Some(key.state),
        State::PendingDestruction => {
            next.pending_since = Some(now);
            next.scheduled_from = Some(key.state);
        }
        _ => {}
    }
    if key.state == State::PendingDestruction {
        (next.pending_since, next.scheduled_from) = (None, None);
    }
    if rule.act == Act::Unsuspend {
        next.suspended_from = None;
    }
    next
}

fn write(connection: &Connection, key: &KeyRecord) -> Result<(), Fault> {
    const DOING: &str = "writing a key's state";
    let name = |state: Option<State>| state.map(State::name);
    let time = |time: Option<UnixTime>| time.map(|time| time.0);
    let changed = connection
        .execute(
            "UPDATE key SET state = ?3, version = ?2, published_at = ?4, retiring_at = ?5,
                 pending_since = ?6, suspended_from = ?7, scheduled_from = ?8
             WHERE spki = ?1 AND version = ?2 - 1",
            params![
                key.spki.0,
                key.version,
                key.state.name(),
                time(key.published_at),
                time(key.retiring_at),
                time(key.pending_since),
                name(key.suspended_from),
                name(key.scheduled_from),
            ],
        )
        .doing(DOING)?;
    if changed == 1 {
        Ok(())
    } else {
        Err(Fault::Damaged(format!(
            "key {} changed under its lock",
            key.spki
        )))
    }
}
