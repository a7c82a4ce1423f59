//! Registry and audit log, copied together while the daemon runs, checked, and brought back.

pub(crate) mod arguments;

use std::fs;
use std::path::Path;

use obol_console::Outcome;
use obol_kms_audit::{Disk, Report, VerifyError, Witnesses, copy, verify};
use obol_kms_registry::{Registry, Restored};
use obol_log::{LogKey, WitnessKey};
use serde::Serialize;

use crate::audit::{copy_checked, read_note};
use crate::failure::Failure;
use crate::failure::audit::NoFolder;
use crate::keys::{now, random_id};
use crate::output::{must_be_free, print_json};
use crate::part::{Part, written};
use arguments::{BackupCommand, Create, LogKeys, Restore, Verify};

const REGISTRY: &str = "registry";
const AUDIT: &str = "audit";

pub(crate) fn run(command: &BackupCommand) -> Result<Outcome, Failure> {
    match command {
        BackupCommand::Create(arguments) => create(arguments),
        BackupCommand::Verify(arguments) => verify_backup(arguments),
        BackupCommand::Restore(arguments) => restore(arguments),
    }
}

#[derive(Serialize)]
struct Shown {
    backup: String,
    keys: usize,
    entries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    witnessed: Option<u64>,
}

impl Shown {
    fn of(backup: &Path, keys: usize, report: &Report) -> Shown {
        Shown {
            backup: backup.display().to_string(),
            keys,
            entries: report.entries,
            checkpoint: report.checkpoint,
            witnessed: report.witnessed,
        }
    }

    fn print(&self, as_json: bool) -> Result<Outcome, Failure> {
        if as_json {
            return print_json(self);
        }
        println!(
            "{}: {} keys, {} entries of the audit log",
            self.backup, self.keys, self.entries
        );
        Ok(Outcome::Done)
    }
}

fn create(arguments: &Create) -> Result<Outcome, Failure> {
    let Create {
        registry,
        audit,
        keys,
        out,
        json,
    } = arguments;
    if !audit.is_dir() {
        return Err(NoFolder(audit.clone()).into());
    }
    let part = Part::beside(out)?;
    // The registry first: a leaf may tell of a change that the registry's copy does not have, and
    // restoring it says so; the other way round, a change would have no leaf.
    let source = Registry::open(registry)?;
    source.back_up(&part.path(REGISTRY))?;
    let folder = part.new_folder(AUDIT)?;
    let report = copy_checked(&Disk::new(audit), &folder, || keys.verify(&folder))?;
    let shown = Shown::of(out, source.list()?.len(), &report);
    part.become_folder(out)?;
    shown.print(*json)
}

impl LogKeys {
    fn verify(&self, folder: &Path) -> Result<Report, VerifyError> {
        self.verify_against(folder, &[], None)
    }

    fn verify_against(
        &self,
        folder: &Path,
        witnesses: &[WitnessKey],
        kept: Option<&obol_log::Note>,
    ) -> Result<Report, VerifyError> {
        let origin = self.keys.first().map_or("", LogKey::name);
        let keys = witnesses;
        verify(
            &Disk::new(folder),
            origin,
            &self.keys,
            &Witnesses { keys, kept },
        )
    }
}

/// Restores into a folder of its own, which is removed again: the backup itself is only read.
fn verify_backup(arguments: &Verify) -> Result<Outcome, Failure> {
    let backup = &arguments.backup;
    let report = arguments.log(backup)?;
    let trial = backup.with_added_extension("trial");
    let part = Part::beside(&trial)?;
    let restored = restore_registry(backup, &part.path(REGISTRY))?;
    Shown::of(backup, restored.keys, &report).print(arguments.json)
}

impl Verify {
    fn log(&self, backup: &Path) -> Result<Report, Failure> {
        let folder = backup.join(AUDIT);
        if !folder.is_dir() {
            return Err(NoFolder(folder).into());
        }
        let kept = self.witnessed.as_deref().map(read_note).transpose()?;
        let report = self
            .keys
            .verify_against(&folder, &self.witnesses, kept.as_ref())?;
        Ok(report)
    }
}

fn restore_registry(backup: &Path, to: &Path) -> Result<Restored, Failure> {
    Ok(Registry::restore(
        &backup.join(REGISTRY),
        to,
        random_id()?,
        now(),
    )?)
}

#[derive(Serialize)]
struct ShownRestored {
    registry: String,
    audit: String,
    keys: usize,
    suspended: Vec<String>,
    entries: u64,
}

fn restore(arguments: &Restore) -> Result<Outcome, Failure> {
    let Restore {
        from,
        registry,
        audit,
    } = arguments;
    let backup = &from.backup;
    from.log(backup)?;
    must_be_free(registry)?;
    let part = Part::beside(audit)?;
    let source = Disk::new(&backup.join(AUDIT));
    copy(&source, &Disk::new(part.folder())).map_err(written(part.folder()))?;
    let report = from.keys.verify(part.folder())?;
    let restored = restore_registry(backup, registry)?;
    if let Err(error) = part.become_folder(audit) {
        // Half of what belongs together is worse than none.
        fs::remove_file(registry).map_err(written(registry))?;
        return Err(error);
    }
    let shown = ShownRestored {
        registry: registry.display().to_string(),
        audit: audit.display().to_string(),
        keys: restored.keys,
        suspended: restored.suspended.iter().map(ToString::to_string).collect(),
        entries: report.entries,
    };
    if from.json {
        return print_json(&shown);
    }
    println!(
        "{} has {} keys, {} has {} entries",
        shown.registry, shown.keys, shown.audit, shown.entries
    );
    for spki in &shown.suspended {
        println!("{spki} was active and is suspended until officers let it return");
    }
    Ok(Outcome::Done)
}
