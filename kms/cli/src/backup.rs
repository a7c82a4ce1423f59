//! Registry and audit log, copied together while the daemon runs, checked, and brought back.

pub(crate) mod arguments;

use std::fs;
use std::path::{Path, PathBuf};

use obol_console::Outcome;
use obol_kms_audit::{Disk, Report, VerifyError, Witnesses, copy, verify};
use obol_kms_registry::{Registry, Restored};
use obol_log::{LogKey, WitnessKey};
use serde::Serialize;

use crate::audit::read_note;
use crate::failure::Failure;
use crate::failure::audit::NoFolder;
use crate::keys::{now, random_id};
use crate::output::{must_be_free, print_json};
use arguments::{BackupCommand, Create, LogKeys, Restore, Verify};

const REGISTRY: &str = "registry";
const AUDIT: &str = "audit";
/// A copy that caught a moment between two files is made again; a log that fails each time is
/// itself not in order.
const TRIES: u32 = 5;

pub(crate) fn run(command: &BackupCommand) -> Result<Outcome, Failure> {
    match command {
        BackupCommand::Create(arguments) => create(arguments),
        BackupCommand::Verify(arguments) => verify_backup(arguments),
        BackupCommand::Restore(arguments) => restore(arguments),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written", path.display())]
struct NotWritten {
    path: PathBuf,
    source: std::io::Error,
}

impl From<NotWritten> for Failure {
    fn from(error: NotWritten) -> Failure {
        Failure::with_help(
            error,
            "check the path, its permissions and the space on the disk",
        )
    }
}

fn written(path: &Path) -> impl Fn(std::io::Error) -> NotWritten {
    move |source| NotWritten {
        path: path.to_owned(),
        source,
    }
}

/// A folder that is filled beside its final place, and removed unless it gets there.
struct Part {
    path: PathBuf,
}

impl Part {
    fn beside(out: &Path) -> Result<Part, Failure> {
        must_be_free(out)?;
        let path = out.with_added_extension(format!("{}.part", std::process::id()));
        fs::create_dir(&path).map_err(written(&path))?;
        Ok(Part { path })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        fs::create_dir(&path).map_err(written(&path))?;
        Ok(path)
    }

    /// The name is taken only if nobody has it: an empty folder would be replaced otherwise.
    fn become_folder(self, out: &Path) -> Result<(), Failure> {
        must_be_free(out)?;
        let sync = |path: &Path| fs::File::open(path)?.sync_all();
        let folder = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let moved = sync(&self.path)
            .and_then(|()| fs::rename(&self.path, out))
            .and_then(|()| sync(folder));
        Ok(moved.map_err(written(out))?)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It is gone when it has become what it was to be.
        drop(fs::remove_dir_all(&self.path));
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
    let report = copy_log(audit, &part, keys)?;
    let shown = Shown::of(out, source.list()?.len(), &report);
    part.become_folder(out)?;
    shown.print(*json)
}

fn copy_log(audit: &Path, part: &Part, keys: &LogKeys) -> Result<Report, Failure> {
    let mut tries = 1;
    loop {
        let folder = part.folder(AUDIT)?;
        copy(&Disk::new(audit), &Disk::new(&folder)).map_err(written(&folder))?;
        match keys.verify(&folder) {
            Err(VerifyError::Found(_)) if tries < TRIES => {
                fs::remove_dir_all(&folder).map_err(written(&folder))?;
                tries += 1;
            }
            other => return Ok(other?),
        }
    }
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
    copy(&source, &Disk::new(&part.path)).map_err(written(&part.path))?;
    let report = from.keys.verify(&part.path)?;
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
