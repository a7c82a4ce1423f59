//! The life of a key as data: which change is allowed, what it asks, who must approve it.

use std::fmt;
use std::str::FromStr;

use crate::class::{Class, PayloadType, UnknownName, named};

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Not made yet.
    Planned,
    /// The token has made it.
    Generated,
    /// Its certificate exists.
    Certified,
    /// Those who verify have been told of it; it signs nothing yet.
    Published,
    /// It signs.
    Active,
    /// What it signed is still believed; it signs no more (a CA still signs its CRL).
    Retiring,
    /// Nothing it signed is in use any more.
    Retired,
    /// The token no longer has it. Its record stays.
    Destroyed,
    /// Stopped, and able to come back.
    Suspended,
    /// Somebody else may have it. It never comes back.
    Compromised,
    /// To be destroyed when its waiting time is over, unless that is cancelled.
    PendingDestruction,
}

named!(State {
    Planned = "planned",
    Generated = "generated",
    Certified = "certified",
    Published = "published",
    Active = "active",
    Retiring = "retiring",
    Retired = "retired",
    Destroyed = "destroyed",
    Suspended = "suspended",
    Compromised = "compromised",
    PendingDestruction = "pending-destruction",
});

/// All states.
pub const STATES: &[State] = State::ALL;

/// What is done to a key. Two changes of the same act are asked the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Register a key that a token has made.
    Generate,
    /// Record its certificate.
    Certify,
    /// Record that those who verify have been told.
    Publish,
    /// Let it sign.
    Activate,
    /// Let it sign no more.
    Retire,
    /// Record that nothing it signed is in use.
    Finish,
    /// Stop it for now.
    Suspend,
    /// Let it return from suspension.
    Unsuspend,
    /// Stop it for good: somebody else may have it.
    Compromise,
    /// Set the day of its destruction.
    ScheduleDestruction,
    /// Take that back.
    CancelDestruction,
    /// Destroy it.
    Destroy,
}

named!(Act {
    Generate = "generate",
    Certify = "certify",
    Publish = "publish",
    Activate = "activate",
    Retire = "retire",
    Finish = "finish",
    Suspend = "suspend",
    Unsuspend = "unsuspend",
    Compromise = "compromise",
    ScheduleDestruction = "schedule-destruction",
    CancelDestruction = "cancel-destruction",
    Destroy = "destroy",
});

/// How many officers must have signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Needs {
    /// Nobody: the change records what has happened.
    Nobody,
    /// One: stopping must be quick.
    OneOfficer,
    /// As many as the roster says for the act, at least two.
    Quorum,
}

impl Act {
    /// Whose approval it takes.
    #[must_use]
    pub const fn needs(self) -> Needs {
        match self {
            Act::Generate | Act::Certify | Act::Publish | Act::Finish => Needs::Nobody,
            Act::Suspend | Act::Compromise | Act::Retire => Needs::OneOfficer,
            Act::Activate
            | Act::Unsuspend
            | Act::ScheduleDestruction
            | Act::CancelDestruction
            | Act::Destroy => Needs::Quorum,
        }
    }
}

/// What else must hold before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// Nothing.
    Free,
    /// Keys of the class have certificates.
    HasCertificate,
    /// Keys of the class have none.
    HasNoCertificate,
    /// Published for as long as the slowest terminal needs to hear of it and, where terminals meet
    /// keys of the class, cleared: a plan of rotations strands nobody.
    Cleared,
    /// Retiring for as long as anything it signed may be used.
    TailOver,
    /// The new state is the one it was suspended from.
    SuspendedFromThere,
    /// The new state is the one its destruction was scheduled from.
    ScheduledFromThere,
    /// Pending for the whole waiting time.
    WaitOver,
}

/// One allowed change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// What is done.
    pub act: Act,
    /// What must hold.
    pub guard: Guard,
}

/// Every allowed change; whatever is not here is refused.
///
/// Return from suspension to `retiring` is open from both states that can be suspended: it gives
/// back less than an active key had. There is no way from `retiring` to `active`, also not by way
/// of `suspended`.
pub const RULES: &[Rule] = {
    use Act as A;
    use Guard as G;
    use State::*;
    &[
        allow(Planned, Generated, A::Generate, G::Free),
        allow(Generated, Certified, A::Certify, G::HasCertificate),
        allow(Generated, Published, A::Publish, G::HasNoCertificate),
        allow(Certified, Published, A::Publish, G::Free),
        allow(Published, Active, A::Activate, G::Cleared),
        allow(Active, Retiring, A::Retire, G::Free),
        allow(Retiring, Retired, A::Finish, G::TailOver),
        allow(Active, Suspended, A::Suspend, G::Free),
        allow(Retiring, Suspended, A::Suspend, G::Free),
        allow(Suspended, Active, A::Unsuspend, G::SuspendedFromThere),
        allow(Suspended, Retiring, A::Unsuspend, G::Free),
        compromise(Generated),
        compromise(Certified),
        compromise(Published),
        compromise(Active),
        compromise(Retiring),
        compromise(Retired),
        compromise(Suspended),
        schedule_destruction(Generated),
        schedule_destruction(Certified),
        schedule_destruction(Published),
        schedule_destruction(Retired),
        schedule_destruction(Suspended),
        schedule_destruction(Compromised),
        cancel_destruction(Generated),
        cancel_destruction(Certified),
        cancel_destruction(Published),
        cancel_destruction(Retired),
        cancel_destruction(Suspended),
        cancel_destruction(Compromised),
        allow(PendingDestruction, Destroyed, A::Destroy, G::WaitOver),
    ]
};

const fn allow(from: State, to: State, act: Act, guard: Guard) -> Rule {
    Rule {
        from,
        to,
        act,
        guard,
    }
}

const fn compromise(from: State) -> Rule {
    allow(from, State::Compromised, Act::Compromise, Guard::Free)
}

const fn schedule_destruction(from: State) -> Rule {
    let (to, act) = (State::PendingDestruction, Act::ScheduleDestruction);
    allow(from, to, act, Guard::Free)
}

const fn cancel_destruction(to: State) -> Rule {
    let (from, act) = (State::PendingDestruction, Act::CancelDestruction);
    allow(from, to, act, Guard::ScheduledFromThere)
}

/// The rule for a change, if it is allowed at all.
#[must_use]
pub fn rule(from: State, to: State) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.from == from && rule.to == to)
}

/// Why a key may not sign something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpermitted {
    /// Keys of the class never sign it.
    #[error("a key of class {class} never signs {payload}")]
    Class {
        /// The key's class.
        class: Class,
        /// What it was asked to sign.
        payload: PayloadType,
    },
    /// The key does not sign it in its state.
    #[error("a key of class {class} that is {state} does not sign {payload}")]
    State {
        /// The key's class.
        class: Class,
        /// The key's state.
        state: State,
        /// What it was asked to sign.
        payload: PayloadType,
    },
}

/// Whether a key may sign this now.
///
/// Beside `active` there are two cases. A root signs its own certificate before it can be
/// `certified`. A CA that is `retiring` still signs the CRL of what it once certified.
///
/// # Errors
/// [`Unpermitted`] says whether class or state forbids it.
pub fn permits(class: Class, state: State, payload: PayloadType) -> Result<(), Unpermitted> {
    if !class.payloads().contains(&payload) {
        return Err(Unpermitted::Class { class, payload });
    }
    let permitted = match state {
        State::Active => true,
        State::Generated => class == Class::Root && payload == PayloadType::TbsCertificate,
        // Of the classes that sign CRLs, each is a CA.
        State::Retiring => payload == PayloadType::Crl,
        _ => false,
    };
    if permitted {
        Ok(())
    } else {
        Err(Unpermitted::State {
            class,
            state,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows are the state before, columns the state after, in the order of [`STATES`]; each letter
    /// is an act, `.` is refused.
    const MATRIX: [&str; 11] = [
        // P G C U A R T D S X W    (W: pending-destruction)
        ". g . . . . . . . . .", // planned
        ". . c p . . . . . x w", // generated
        ". . . p . . . . . x w", // certified
        ". . . . a . . . . x w", // published
        ". . . . . r . . s x .", // active
        ". . . . . . f . s x .", // retiring
        ". . . . . . . . . x w", // retired
        ". . . . . . . . . . .", // destroyed
        ". . . . u u . . . x w", // suspended
        ". . . . . . . . . . w", // compromised
        ". k k k . . k d k k .", // pending-destruction
    ];

    fn letter(act: Act) -> &'static str {
        match act {
            Act::Generate => "g",
            Act::Certify => "c",
            Act::Publish => "p",
            Act::Activate => "a",
            Act::Retire => "r",
            Act::Finish => "f",
            Act::Suspend => "s",
            Act::Unsuspend => "u",
            Act::Compromise => "x",
            Act::ScheduleDestruction => "w",
            Act::CancelDestruction => "k",
            Act::Destroy => "d",
        }
    }

    #[test]
    fn every_pair_of_states_is_allowed_or_refused_as_drawn() {
        for (from, row) in STATES.iter().zip(MATRIX) {
            let cells: Vec<_> = row.split(' ').collect();
            assert_eq!(cells.len(), STATES.len());
            for (to, cell) in STATES.iter().zip(cells) {
                let found = rule(*from, *to).map_or(".", |rule| letter(rule.act));
                assert_eq!(found, cell, "{from} to {to}");
            }
        }
    }

    #[test]
    fn no_pair_has_two_rules() {
        for (index, one) in RULES.iter().enumerate() {
            let again = RULES[index + 1..]
                .iter()
                .any(|other| (one.from, one.to) == (other.from, other.to));
            assert!(!again, "{one:?}");
        }
    }

    #[test]
    fn whatever_leads_to_active_needs_a_quorum() {
        for rule in RULES.iter().filter(|rule| rule.to == State::Active) {
            assert_eq!(rule.act.needs(), Needs::Quorum, "{rule:?}");
        }
    }

    #[test]
    fn destroyed_and_compromised_keys_never_sign_again() {
        let mut reached = vec![State::Destroyed, State::Compromised];
        while let Some(new) = RULES
            .iter()
            .filter(|rule| rule.guard != Guard::ScheduledFromThere || rule.to == State::Compromised)
            .find(|rule| reached.contains(&rule.from) && !reached.contains(&rule.to))
        {
            reached.push(new.to);
        }
        reached.sort_unstable();
        let expected = [
            State::Destroyed,
            State::Compromised,
            State::PendingDestruction,
        ];
        assert_eq!(reached, expected);
    }

    #[test]
    fn what_may_be_signed_outside_active_is_a_roots_own_certificate_and_a_retiring_cas_crl() {
        let mut exceptions = Vec::new();
        for class in Class::ALL {
            for state in STATES.iter().filter(|state| **state != State::Active) {
                for payload in PayloadType::ALL {
                    if permits(*class, *state, *payload).is_ok() {
                        exceptions.push((*class, *state, *payload));
                    }
                }
            }
        }
        let expected = [
            (Class::Root, State::Generated, PayloadType::TbsCertificate),
            (Class::Root, State::Retiring, PayloadType::Crl),
            (Class::AccessCa, State::Retiring, PayloadType::Crl),
        ];
        assert_eq!(exceptions, expected);
    }
}
