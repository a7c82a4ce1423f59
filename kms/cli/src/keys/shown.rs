//! Keys and registries as they are printed.

use obol_console::{Outcome, utc_text};
use obol_kms_registry::{KeyRecord, Registry, Settings, Statement};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::print_json;

#[derive(Serialize)]
pub(super) struct ShownRegistry {
    registry: String,
    roster: String,
    officers: Vec<String>,
    propagation_s: u32,
    tail_s: u32,
    destruction_wait_s: u32,
}

impl ShownRegistry {
    pub(super) fn of(registry: &Registry) -> ShownRegistry {
        let officers = registry.roster().officers().iter();
        let settings = registry.settings();
        ShownRegistry {
            registry: registry.id().to_string(),
            roster: registry.roster_hash().to_string(),
            officers: officers.map(|officer| officer.name().to_owned()).collect(),
            propagation_s: settings.propagation_s(),
            tail_s: settings.tail_s(),
            destruction_wait_s: settings.destruction_wait_s(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ShownKey {
    spki: String,
    class: &'static str,
    algorithm: &'static str,
    label: String,
    token_serial: String,
    state: &'static str,
    version: u64,
    /// The first second in which the key may leave a state that it waits in.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_until: Option<u32>,
    lifetime_uses: u64,
    reserved_uses: u64,
    certified: bool,
}

impl ShownKey {
    pub(super) fn of(key: &KeyRecord, settings: &Settings) -> ShownKey {
        ShownKey {
            waits_until: key.waits_until(settings).map(|time| time.0),
            ..ShownKey::without_wait(key)
        }
    }

    fn without_wait(key: &KeyRecord) -> ShownKey {
        ShownKey {
            spki: key.spki.to_string(),
            class: key.class.name(),
            algorithm: key.algorithm.name(),
            label: key.label.clone(),
            token_serial: key.token_serial.clone(),
            state: key.state.name(),
            version: key.version,
            waits_until: None,
            lifetime_uses: key.limits.lifetime(),
            reserved_uses: key.reserved,
            certified: key.certificate.is_some(),
        }
    }

    pub(super) fn line(&self) -> String {
        let ShownKey {
            spki,
            class,
            state,
            version,
            label,
            ..
        } = self;
        let waits = match self.waits_until {
            Some(time) => format!(" until {} at least", utc_text(time)),
            None => String::new(),
        };
        format!("{spki} {class} {label}: {state} (version {version}){waits}")
    }
}

pub(super) fn registry(registry: &Registry, as_json: bool) -> Result<Outcome, Failure> {
    let shown = ShownRegistry::of(registry);
    if as_json {
        return print_json(&shown);
    }
    println!("registry {} roster {}", shown.registry, shown.roster);
    Ok(Outcome::Done)
}

pub(super) fn key(key: &KeyRecord, as_json: bool) -> Result<Outcome, Failure> {
    let shown = ShownKey::without_wait(key);
    if as_json {
        return print_json(&shown);
    }
    println!("{}", shown.line());
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct ShownStatement {
    spki: String,
    from: &'static str,
    to: &'static str,
    version: u64,
    not_after: u32,
}

pub(super) fn statement(statement: &Statement, as_json: bool) -> Result<Outcome, Failure> {
    let shown = ShownStatement {
        spki: statement.spki.to_string(),
        from: statement.from.name(),
        to: statement.to.name(),
        version: statement.version,
        not_after: statement.not_after.0,
    };
    if as_json {
        return print_json(&shown);
    }
    let ShownStatement { spki, from, to, .. } = shown;
    let until = utc_text(statement.not_after.0);
    println!("{spki} {from} to {to}, approvals count until {until}");
    Ok(Outcome::Done)
}
