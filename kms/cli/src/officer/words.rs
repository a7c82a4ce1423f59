//! A statement in words: all that is signed, and nothing that is not.

use obol_console::utc_text;
use obol_kms_registry::{Cleared, State, Statement};

use crate::rotation::hex;

pub(super) fn of(statement: &Statement) -> String {
    let Statement {
        registry,
        roster,
        spki,
        class,
        from,
        to,
        version,
        not_after,
        cleared,
    } = statement;
    format!(
        "Your signature will say:\n\
         \x20 the {class} key {spki}\n\
         \x20 which is {from} (version {version}) shall be {to}:\n\
         \x20 {}\n{}\
         \x20 in registry {registry} with roster {roster}\n\
         \x20 until {}",
        meaning(*from, *to),
        plan(*cleared),
        utc_text(not_after.0)
    )
}

/// By what a key that terminals meet is cleared, in a line of its own.
fn plan(cleared: Option<Cleared>) -> String {
    match cleared {
        None => String::new(),
        Some(Cleared::NoFleet) => "  no terminal is in service yet\n".to_owned(),
        Some(Cleared::Simulated { plan, fleet }) => {
            let (plan, fleet) = (hex(plan), hex(fleet));
            format!("  by plan {plan}\n  which strands nobody of fleet {fleet}\n")
        }
        Some(Cleared::Waived {
            plan,
            fleet,
            findings,
        }) => {
            let (plan, fleet) = (hex(plan), hex(fleet));
            format!(
                "  by plan {plan}\n  ALTHOUGH IT STRANDS some of fleet {fleet}: {findings} findings\n"
            )
        }
    }
}

fn meaning(from: State, to: State) -> &'static str {
    match (from, to) {
        (State::PendingDestruction, State::Destroyed) => {
            "it will be destroyed and cannot be brought back"
        }
        (State::PendingDestruction, _) => "its destruction is called off",
        (State::Suspended, State::Active) => "it will sign again",
        (_, State::Active) => "it will sign",
        (_, State::Retiring) => "it will sign no more; what it signed is still believed",
        (_, State::Suspended) => "it will not sign until two officers let it return",
        (_, State::Compromised) => "it will never sign again: somebody else may have it",
        (_, State::PendingDestruction) => "it will be destroyed when its waiting time is over",
        _ => "it will not sign by this",
    }
}
