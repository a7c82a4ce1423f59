//! The audit log as auditors and witnesses see it: from its files, without the daemon.

pub(crate) mod arguments;
mod copy;
mod prove;
mod shown;
mod verify;
mod witness;

use std::path::Path;

use obol_console::{Outcome, read_limited};
use obol_kms_audit::{Disk, LogReader};
use obol_log::{LogKey, NOTE_MAX, Note};

use crate::failure::Failure;
use crate::failure::audit::{NoFolder, NotANote};
use arguments::{Audit, Log};

pub(crate) use copy::copy_checked;

pub(crate) fn run(command: &Audit) -> Result<Outcome, Failure> {
    match command {
        Audit::Verify(arguments) => verify::verify(arguments),
        Audit::Copy(arguments) => copy::copy(arguments),
        Audit::Prove(arguments) => prove::prove(arguments),
        Audit::CheckProof(arguments) => prove::check(arguments),
        Audit::Submission(arguments) => witness::submission(arguments),
        Audit::Witness(arguments) => witness::witness(arguments),
        Audit::WitnessKey(arguments) => witness::new_key(arguments),
        Audit::Key(arguments) => shown::key(arguments),
    }
}

impl Log {
    /// The log's name: that of its first key, as checkpoints carry it.
    fn origin(&self) -> &str {
        self.keys.first().map_or("", LogKey::name)
    }

    /// Its folder, which must be there: an empty answer to a typing error would look like a log.
    fn disk(&self) -> Result<Disk, Failure> {
        if self.log.is_dir() {
            Ok(Disk::new(&self.log))
        } else {
            Err(NoFolder(self.log.clone()).into())
        }
    }
}

fn reader<'a>(disk: &'a Disk, log: &Log) -> Result<LogReader<'a>, Failure> {
    Ok(LogReader::open(disk, &log.keys)?)
}

pub(crate) fn read_note(path: &Path) -> Result<Note, Failure> {
    let bytes = read_limited(path, NOTE_MAX)?;
    Note::parse(&bytes).map_err(|source| {
        let path = path.to_path_buf();
        NotANote { path, source }.into()
    })
}
