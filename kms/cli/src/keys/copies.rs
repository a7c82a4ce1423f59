//! Backups.

use obol_console::Outcome;
use obol_kms_registry::Registry;
use serde::Serialize;

use crate::failure::Failure;
use crate::keys::arguments::{Backup, Plain, Restore};
use crate::keys::entries::random_id;
use crate::keys::now;
use crate::output::print_json;

#[derive(Serialize)]
struct Sound {
    keys: usize,
}

pub(super) fn examine(arguments: &Plain) -> Result<Outcome, Failure> {
    let registry = Registry::open(&arguments.registry)?;
    registry.examine()?;
    sound(registry.list()?.len(), arguments.json)
}

pub(super) fn backup(arguments: &Backup) -> Result<Outcome, Failure> {
    let Backup { plain, out } = arguments;
    let registry = Registry::open(&plain.registry)?;
    registry.back_up(out)?;
    sound(registry.list()?.len(), plain.json)
}

fn sound(keys: usize, as_json: bool) -> Result<Outcome, Failure> {
    if as_json {
        return print_json(&Sound { keys });
    }
    println!("{keys} keys, each where its history leads, with the approvals it took");
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct ShownRestored {
    keys: usize,
    suspended: Vec<String>,
}

pub(super) fn restore(arguments: &Restore) -> Result<Outcome, Failure> {
    let Restore {
        backup,
        out,
        json: as_json,
    } = arguments;
    let restored = Registry::restore(backup, out, random_id()?, now())?;
    let shown = ShownRestored {
        keys: restored.keys,
        suspended: restored.suspended.iter().map(ToString::to_string).collect(),
    };
    if *as_json {
        return print_json(&shown);
    }
    println!("{} keys restored", shown.keys);
    for spki in &shown.suspended {
        println!("{spki} was active and is suspended until officers let it return");
    }
    Ok(Outcome::Done)
}
