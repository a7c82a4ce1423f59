//! A statement in words: all that is signed, and nothing that is not.

use obol_console::utc_text;
use obol_kms_registry::{State, Statement};

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
    } = statement;
    format!(
        "Your signature will say:\n\
         \x20 the {class} key {spki}\n\
         \x20 which is {from} (version {version}) shall be {to}:\n\
         \x20 {}\n\
         \x20 in registry {registry} with roster {roster}\n\
         \x20 until {}",
        meaning(*from, *to),
        utc_text(not_after.0)
    )
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
