//! What stood around a ceremony, before it and after: the records of its tokens, and the audit log
//! of the daemon that serves them.

use std::path::{Path, PathBuf};

use obol_kms_audit::{Disk, LogReader};
use obol_kms_ceremony::{
    AUDIT_AFTER, AUDIT_BEFORE, Bundle, CeremonyId, Hash, Plan, TokenRecords, Transcript,
    audit_head, audit_span, token_after, token_before,
};
use obol_log::LogKey;
use obol_log::witness::Submission;

use crate::ceremony::hall::{RECORD_PREFIX, Tokens};
use crate::failure::Failure;
use crate::failure::audit::NoFolder;
use crate::failure::ceremony::{LogNotGiven, LogNotPlanned, NotInBundle, TooManyRecords};

/// The audit log of a plan: its key, and the folder that was given.
pub(super) struct AuditLog<'a>(Option<(&'a LogKey, &'a Path)>);

impl<'a> AuditLog<'a> {
    /// The plan names a log and a folder is given, or neither.
    pub(super) fn of(plan: &'a Plan, folder: Option<&'a PathBuf>) -> Result<AuditLog<'a>, Failure> {
        match (&plan.environment().audit, folder) {
            (None, None) => Ok(AuditLog(None)),
            (Some(key), Some(folder)) if folder.is_dir() => Ok(AuditLog(Some((key, folder)))),
            (Some(_), Some(folder)) => Err(NoFolder(folder.clone()).into()),
            (Some(key), None) => Err(LogNotGiven(key.name().to_owned()).into()),
            (None, Some(_)) => Err(LogNotPlanned.into()),
        }
    }

    /// Of a rehearsal: its throwaway tokens are served by nobody.
    pub(super) const fn none() -> AuditLog<'a> {
        AuditLog(None)
    }
}

/// Puts down what holds before the first event.
pub(super) fn before(
    plan: &Plan,
    tokens: &Tokens,
    log: &AuditLog<'_>,
    files: &mut Bundle,
) -> Result<(), Failure> {
    for token in &plan.environment().tokens {
        let records = records(tokens, &token.name)?;
        files.insert(token_before(&token.name), records.encode());
    }
    if let AuditLog(Some((key, folder))) = log {
        let disk = Disk::new(folder);
        let reader = LogReader::open(&disk, std::slice::from_ref(*key))?;
        let note = reader.note().to_text().into_bytes();
        audit_head(key, &note)?;
        files.insert(AUDIT_BEFORE.to_owned(), note);
    }
    Ok(())
}

/// What holds after the last step, each of it checked against what held before.
pub(super) fn after(
    plan: &Plan,
    tokens: &Tokens,
    log: &AuditLog<'_>,
    files: &Bundle,
    transcript: &Transcript,
) -> Result<Bundle, Failure> {
    let mut ending = Bundle::new();
    for token in &plan.environment().tokens {
        let held = files.get(&token_before(&token.name));
        let held = held.ok_or(NotInBundle("records of a token"))?;
        let held = TokenRecords::decode(held).map_err(obol_kms_ceremony::RecordsRefused::from)?;
        let now = records(tokens, &token.name)?;
        held.followed_by(&now, transcript.id(), transcript.opening())?;
        ending.insert(token_after(&token.name), now.encode());
    }
    if let AuditLog(Some((key, folder))) = log {
        let held = files.get(AUDIT_BEFORE);
        let held = held.ok_or(NotInBundle("checkpoint of the audit log"))?;
        let old_size = audit_head(key, held)?.size;
        let disk = Disk::new(folder);
        let reader = LogReader::open(&disk, std::slice::from_ref(*key))?;
        let proof = match old_size <= reader.head().size {
            true => reader.prove_consistency(old_size)?,
            // A log that is shorter has no proof; the check below says what that means.
            false => Vec::new(),
        };
        let note = reader.note().clone();
        let submission = Submission {
            old_size,
            proof,
            note,
        };
        let text = submission.to_text().into_bytes();
        audit_span(key, held, &text)?;
        ending.insert(AUDIT_AFTER.to_owned(), text);
    }
    Ok(ending)
}

/// The ceremonies that a token remembers. What is no record of a ceremony is a stranger's, and no
/// token has one that this program initialised.
fn records(tokens: &Tokens, name: &str) -> Result<TokenRecords, Failure> {
    let mut records = TokenRecords::default();
    for (id, opening) in tokens.get(name)?.recorded_all(RECORD_PREFIX)? {
        let id = data_encoding::HEXLOWER.decode(id.as_bytes()).ok();
        let id = id.and_then(|id| id.try_into().ok()).map(CeremonyId);
        let opening = opening.try_into().ok().map(Hash);
        let added = id
            .zip(opening)
            .and_then(|(id, opening)| records.add(id, opening));
        added.ok_or_else(|| TooManyRecords(name.to_owned()))?;
    }
    Ok(records)
}
