//! What the journal forgets: codes that are too old to matter, and records that the platform holds.

use obol_credential::UnixTime;
use obol_tap::TapRecord;
use rusqlite::{Transaction, TransactionBehavior, params};

use super::{JournalError, JournalFile, check, schema};

/// How long a code is remembered after its tap, seconds: longer than a credential lives (48 h and
/// the clocks' skew) and than the longest interval of passback and velocity (24 h).
pub(super) const REMEMBERED_S: u32 = 49 * 3600;
const _: () = assert!(REMEMBERED_S > 48 * 3600 + 2 * obol_verifier_sdk::SKEW_S);
const _: () = assert!(REMEMBERED_S > crate::rules::INTERVAL_MAX_S);

/// Taps between two tidyings.
pub(super) const EVERY: u64 = 8;
/// Records that one tidying looks at: twice as many as come in between, so that it catches up.
const AT_ONCE: u64 = 2 * EVERY;

/// What is no longer there: records up to `base`, and codes of records up to `indexed`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) base: u64,
    pub(super) base_head: [u8; 32],
    pub(super) indexed: u64,
}

impl JournalFile {
    pub(super) fn kept(&self) -> Result<Kept, JournalError> {
        self.connection
            .prepare_cached("SELECT base, base_head, indexed FROM kept")
            .and_then(|mut statement| {
                statement.query_row([], |row| {
                    Ok(Kept {
                        base: row.get(0)?,
                        base_head: row.get(1)?,
                        indexed: row.get(2)?,
                    })
                })
            })
            .map_err(self.failed("read"))
    }

    /// Forgets what is too old at `newest`, the time of the latest tap, and deletes what is
    /// forgotten and behind the watermark. A bounded piece of work, without an fsync: should it be
    /// lost it is done again.
    pub(super) fn tidy(&self, newest: UnixTime) -> Result<(), JournalError> {
        let failed = || self.not_written("tidy up");
        schema::defer_commits(&self.connection).map_err(failed())?;
        let alone = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
            .map_err(failed())?;
        self.forget(newest)?;
        alone.commit().map_err(failed())
    }

    fn forget(&self, newest: UnixTime) -> Result<(), JournalError> {
        let kept = self.kept()?;
        let indexed = self.forget_codes(kept.indexed, newest.minus(REMEMBERED_S))?;
        let base = indexed.min(self.watermark()?).min(kept.base + AT_ONCE);
        let head = self.head_at(base.max(kept.base))?;
        let failed = || self.not_written("tidy up");
        if base > kept.base {
            for sql in [
                "DELETE FROM record WHERE seq <= ?1",
                "DELETE FROM granted WHERE seq <= ?1",
                "DELETE FROM seal WHERE last_seq <= ?1",
            ] {
                self.connection
                    .prepare_cached(sql)
                    .and_then(|mut statement| statement.execute(params![base]))
                    .map_err(failed())?;
            }
        }
        if (base.max(kept.base), indexed) != (kept.base, kept.indexed) {
            self.connection
                .execute(
                    "UPDATE kept SET base = ?1, base_head = ?2, indexed = ?3",
                    params![base.max(kept.base), head.0, indexed],
                )
                .map_err(failed())?;
        }
        Ok(())
    }

    fn forget_codes(&self, indexed: u64, before: UnixTime) -> Result<u64, JournalError> {
        let old =
            |bytes: &[u8]| TapRecord::decode(bytes).is_ok_and(|record| record.accepted_at < before);
        let mut forgotten = indexed;
        for (seq, bytes) in self.behind(indexed)? {
            if !old(&bytes) {
                break;
            }
            let columns = check::columns_of(&bytes, seq, self.terminal.as_str())
                .map_err(|what| self.damaged(seq, what))?;
            let (kid, cti, issued_at, nonce) = columns;
            self.connection
                .prepare_cached(
                    "DELETE FROM code
                     WHERE cti = ?1 AND kid = ?2 AND issued_at = ?3 AND nonce = ?4",
                )
                .and_then(|mut delete| delete.execute(params![cti, kid, issued_at, nonce]))
                .map_err(self.not_written("tidy up"))?;
            forgotten = seq;
        }
        Ok(forgotten)
    }

    fn behind(&self, seq: u64) -> Result<Vec<(u64, Vec<u8>)>, JournalError> {
        self.rows(
            "SELECT seq, bytes FROM record WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            params![seq, AT_ONCE],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
    }
}
