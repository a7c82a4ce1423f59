//! Changes that officers approve.

use std::path::PathBuf;

use obol_console::{Mode, Outcome, read_limited, write_new_atomically};
use obol_kms_registry::{
    APPROVALS_MAX, Approval, ApprovalRefusal, Change, ChangeError, Clearance, KeyRecord,
    PlanRefusal, Registry, SpkiId, State,
};

use crate::failure::Failure;
use crate::failure::registry::{NotAnApproval, NothingToCancel, PlanForNothing, TokenMissing};
use crate::keys::arguments::{Act, Activate, Destroy, Request, Verb};
use crate::keys::{now, shown};
use crate::output::must_be_free;
use crate::rotation::clearance;
use crate::tokens::Modules;

/// Largest approval, in bytes.
const APPROVAL_MAX: usize = 1_024;

pub(super) fn request(arguments: &Request) -> Result<Outcome, Failure> {
    let Request {
        spki,
        verb,
        plain,
        valid_for,
        cleared_by,
        out,
    } = arguments;
    must_be_free(out)?;
    let registry = Registry::open(&plain.registry)?;
    let key = known(&registry, *spki)?;
    let to = target(*verb, &key)?;
    let until = now().plus(*valid_for);
    let statement = match clearance(cleared_by)? {
        None if *verb == Verb::Activate && is_asked_a_plan(&key) => {
            return Err(ChangeError::from(PlanRefusal::Missing(key.class)).into());
        }
        None => registry.statement(*spki, to, until)?,
        Some(_) if *verb != Verb::Activate => return Err(PlanForNothing(key.class).into()),
        Some(clearance) => registry.activation(*spki, &clearance, now(), until)?,
    };
    write_new_atomically(out, &statement.encode(), Mode::Public)?;
    shown::statement(&statement, plain.json)
}

pub(super) fn act(verb: Verb, arguments: &Act) -> Result<Outcome, Failure> {
    let registry = Registry::open(&arguments.plain.registry)?;
    let key = known(&registry, arguments.spki)?;
    let record = change(&registry, verb, &key, arguments, None)?;
    shown::key(&record, arguments.plain.json)
}

pub(super) fn activate(arguments: &Activate) -> Result<Outcome, Failure> {
    let Activate { act, cleared_by } = arguments;
    let clearance = clearance(cleared_by)?;
    let registry = Registry::open(&act.plain.registry)?;
    let key = known(&registry, act.spki)?;
    let record = change(&registry, Verb::Activate, &key, act, clearance.as_ref())?;
    shown::key(&record, act.plain.json)
}

/// Whether the registry will ask for one: a suspended key returns without.
fn is_asked_a_plan(key: &KeyRecord) -> bool {
    key.state == State::Published && key.class.met_by_terminals()
}

/// First the registry, then the token: a key that is destroyed in the registry never signs again,
/// and what the token still has can be destroyed by running the command once more.
pub(super) fn destroy(arguments: &Destroy) -> Result<Outcome, Failure> {
    let Destroy { act, token } = arguments;
    let registry = Registry::open(&act.plain.registry)?;
    let mut key = known(&registry, act.spki)?;
    if key.state == State::PendingDestruction && token.is_none() {
        return Err(TokenMissing(key.token_serial).into());
    }
    if key.state != State::Destroyed {
        key = change(&registry, Verb::Destroy, &key, act, None)?;
    }
    if let (State::Destroyed, Some(token)) = (key.state, token) {
        let token = Modules::default().open(token)?;
        let held = token
            .keys()
            .into_iter()
            .find(|pair| pair.id.0 == key.spki.0);
        if let Some(pair) = held {
            token.discard(token.key(pair.id)?)?;
        }
    }
    shown::key(&key, act.plain.json)
}

fn known(registry: &Registry, spki: SpkiId) -> Result<KeyRecord, Failure> {
    Ok(registry.key(spki)?.ok_or(ChangeError::Unknown(spki))?)
}

fn change(
    registry: &Registry,
    verb: Verb,
    key: &KeyRecord,
    arguments: &Act,
    clearance: Option<&Clearance>,
) -> Result<KeyRecord, Failure> {
    let change = Change {
        spki: key.spki,
        from: key.state,
        to: target(verb, key)?,
        version: key.version,
        reason: arguments.reason.clone(),
    };
    let approvals = read_approvals(&arguments.approval)?;
    Ok(match clearance {
        Some(clearance) => registry.activate(&change, clearance, &approvals, now())?,
        None => registry.transition(&change, &approvals, now())?,
    })
}

/// Where a command leads depends on where the key is: whether it may go there says the registry.
fn target(verb: Verb, key: &KeyRecord) -> Result<State, Failure> {
    Ok(match verb {
        Verb::Activate => State::Active,
        Verb::Retire if key.state == State::Retiring => State::Retired,
        Verb::Retire => State::Retiring,
        Verb::Suspend => State::Suspended,
        Verb::Compromise => State::Compromised,
        Verb::Destroy if key.state == State::PendingDestruction => State::Destroyed,
        Verb::Destroy => State::PendingDestruction,
        Verb::Cancel => key.scheduled_from.ok_or(NothingToCancel(key.state))?,
    })
}

fn read_approvals(paths: &[PathBuf]) -> Result<Vec<Approval>, Failure> {
    if paths.len() > APPROVALS_MAX {
        return Err(ChangeError::from(ApprovalRefusal::TooMany(paths.len())).into());
    }
    let mut approvals = Vec::with_capacity(paths.len());
    for path in paths {
        let bytes = read_limited(path, APPROVAL_MAX)?;
        let approval = Approval::decode(&bytes).map_err(|source| NotAnApproval {
            path: path.clone(),
            source,
        })?;
        approvals.push(approval);
    }
    Ok(approvals)
}
