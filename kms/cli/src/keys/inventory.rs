//! What is in a registry.

use obol_console::{Outcome, utc_text};
use obol_kms_registry::{AppliedChange, ChangeError, KeptClearance, KeyRecord, Registry, SpkiId};
use serde::Serialize;

use crate::failure::Failure;
use crate::keys::arguments::{List, Plain, Show};
use crate::keys::shown::{ShownKey, ShownRegistry};
use crate::output::print_json;
use crate::tokens::Modules;

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    registry: ShownRegistry,
    keys: Vec<ListedKey>,
}

#[derive(Serialize)]
struct ListedKey {
    #[serde(flatten)]
    key: ShownKey,
    /// Whether the given token shows the key now; absent for keys of other tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<bool>,
}

pub(super) fn list(arguments: &List) -> Result<Outcome, Failure> {
    let List { plain, token } = arguments;
    let registry = Registry::open(&plain.registry)?;
    let seen = token.as_deref().map(Seen::in_token).transpose()?;
    let keys = registry.list()?.into_iter().map(|key| ListedKey {
        key: ShownKey::of(&key, registry.settings()),
        available: seen.as_ref().and_then(|seen| seen.shows(&key)),
    });
    let listed = Listed {
        registry: ShownRegistry::of(&registry),
        keys: keys.collect(),
    };
    if plain.json {
        return print_json(&listed);
    }
    for ListedKey { key, available } in &listed.keys {
        let unavailable = match available {
            Some(false) => " UNAVAILABLE: its token does not show it",
            _ => "",
        };
        println!("{}{unavailable}", key.line());
    }
    Ok(Outcome::Done)
}

/// What one token shows now. Nothing of this is ever written into the registry.
struct Seen {
    serial: String,
    keys: Vec<SpkiId>,
}

impl Seen {
    fn in_token(token: &std::path::Path) -> Result<Seen, Failure> {
        let token = Modules::default().open(token)?;
        let keys = token.keys();
        Ok(Seen {
            serial: token.summary().serial.clone(),
            keys: keys.iter().map(|pair| SpkiId(pair.id.0)).collect(),
        })
    }

    fn shows(&self, key: &KeyRecord) -> Option<bool> {
        (key.token_serial == self.serial).then(|| self.keys.contains(&key.spki))
    }
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    key: ShownKey,
    history: Vec<ShownChange>,
}

#[derive(Serialize)]
struct ShownChange {
    version: u64,
    act: &'static str,
    from: &'static str,
    to: &'static str,
    at: u32,
    reason: String,
    approved_by: Vec<String>,
    /// What cleared the activation of a key that terminals meet.
    #[serde(skip_serializing_if = "Option::is_none")]
    cleared_by: Option<&'static str>,
}

impl From<AppliedChange> for ShownChange {
    fn from(change: AppliedChange) -> ShownChange {
        ShownChange {
            version: change.version,
            act: change.act.name(),
            from: change.from.name(),
            to: change.to.name(),
            at: change.at.0,
            reason: change.reason,
            cleared_by: change.clearance.as_ref().map(KeptClearance::kind),
            approved_by: change.approvals.into_iter().map(|(name, _)| name).collect(),
        }
    }
}

pub(super) fn show(arguments: &Show) -> Result<Outcome, Failure> {
    let Show { spki, plain } = arguments;
    let registry = Registry::open(&plain.registry)?;
    let key = registry.key(*spki)?.ok_or(ChangeError::Unknown(*spki))?;
    let history = registry.history(*spki)?;
    let shown = Shown {
        key: ShownKey::of(&key, registry.settings()),
        history: history.into_iter().map(ShownChange::from).collect(),
    };
    if plain.json {
        return print_json(&shown);
    }
    println!("{}", shown.key.line());
    for change in &shown.history {
        let ShownChange { version, to, .. } = change;
        let by = match change.approved_by.as_slice() {
            [] => String::new(),
            names => format!(", approved by {}", names.join(" and ")),
        };
        println!(
            "{version} {} {to}: {}{by}",
            utc_text(change.at),
            change.reason
        );
    }
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct ShownAlarm {
    spki: String,
    state: &'static str,
    payload: &'static str,
    first_at: u32,
    last_at: u32,
    attempts: u64,
}

pub(super) fn alarms(arguments: &Plain) -> Result<Outcome, Failure> {
    let registry = Registry::open(&arguments.registry)?;
    let alarms: Vec<_> = registry
        .alarms()?
        .into_iter()
        .map(|alarm| ShownAlarm {
            spki: alarm.spki.to_string(),
            state: alarm.state.name(),
            payload: alarm.payload.name(),
            first_at: alarm.first_at.0,
            last_at: alarm.last_at.0,
            attempts: alarm.attempts,
        })
        .collect();
    if arguments.json {
        return print_json(&alarms);
    }
    for alarm in &alarms {
        let ShownAlarm {
            spki,
            state,
            payload,
            attempts,
            ..
        } = alarm;
        let (first, last) = (utc_text(alarm.first_at), utc_text(alarm.last_at));
        println!("{spki} {state}: asked {attempts} times to sign {payload}, {first} to {last}");
    }
    Ok(Outcome::Done)
}
