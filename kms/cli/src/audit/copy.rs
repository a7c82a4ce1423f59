use std::fs;
use std::path::Path;

use obol_console::Outcome;
use obol_kms_audit::{Disk, Report, VerifyError, Witnesses, copy as copy_log, verify};

use super::arguments::Copy;
use super::verify::show;
use crate::failure::Failure;
use crate::part::{Part, written};

/// A copy that caught a moment between two files is made again; a log that fails each time is
/// itself not in order.
const TRIES: u32 = 5;

pub(super) fn copy(arguments: &Copy) -> Result<Outcome, Failure> {
    let (log, out) = (&arguments.log, &arguments.out);
    let source = log.disk()?;
    let part = Part::beside(out)?;
    let none = Witnesses {
        keys: &[],
        kept: None,
    };
    let report = copy_checked(&source, part.folder(), || {
        verify(&Disk::new(part.folder()), log.origin(), &log.keys, &none)
    })?;
    part.become_folder(out)?;
    show(&report, log.json)
}

/// Copies a log that may be in use into an empty folder, until the copy holds.
pub(crate) fn copy_checked(
    log: &Disk,
    to: &Path,
    check: impl Fn() -> Result<Report, VerifyError>,
) -> Result<Report, Failure> {
    for _ in 1..TRIES {
        copy_log(log, &Disk::new(to)).map_err(written(to))?;
        match check() {
            Err(VerifyError::Found(_)) => {
                fs::remove_dir_all(to)
                    .and_then(|()| fs::create_dir(to))
                    .map_err(written(to))?;
            }
            other => return Ok(other?),
        }
    }
    copy_log(log, &Disk::new(to)).map_err(written(to))?;
    Ok(check()?)
}
