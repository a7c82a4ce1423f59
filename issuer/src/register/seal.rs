//! What a register that came back from a backup does not know, and what it must not do therefore.

use obol_credential::{Kid, STATUS_EPOCH_S, UnixTime};
use rusqlite::{Connection, OptionalExtension};

use super::{Register, RegisterError};
use crate::issuance::{POSSESSION_SKEW_S, epoch};

/// The last restore of a register.
///
/// Between the backup and the restore, status indexes were given away that the register does not
/// know, on any day up to that of the restore. Given away again, two passengers would share a bit of
/// a status list. So no key gives one away on those days, but for keys that had never signed: they
/// have no credentials that could be forgotten. A request of before the restore, which the register
/// does not know either, names a proof of before it, so none of those is taken, and nothing at all
/// while every proof may be one: other issuers serve those subjects meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestorePoint {
    at: UnixTime,
    fresh: Vec<Kid>,
}

impl RestorePoint {
    /// Whether the key may name credentials now.
    #[must_use]
    pub fn lets_sign(&self, kid: Kid, now: UnixTime) -> bool {
        self.lets_in(now) && (epoch(now) > epoch(self.at) || self.fresh.contains(&kid))
    }

    /// Whether a proof was made after the restore, by the clock of whoever made it.
    #[must_use]
    pub fn lets_in(&self, made: UnixTime) -> bool {
        made > self.at.plus(POSSESSION_SKEW_S)
    }

    /// From when one of these keys signs again.
    #[must_use]
    pub fn ends(&self, mut kids: impl Iterator<Item = Kid>) -> UnixTime {
        let proofs = self.at.plus(POSSESSION_SKEW_S + 1);
        if kids.any(|kid| self.fresh.contains(&kid)) {
            return proofs;
        }
        UnixTime((epoch(self.at) + 1) * STATUS_EPOCH_S).max(proofs)
    }
}

impl Register {
    /// The last restore, if the register ever came back from a backup.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn restore_point(&self) -> Result<Option<RestorePoint>, RegisterError> {
        self.read(find).await
    }
}

fn find(connection: &Connection) -> Result<Option<RestorePoint>, RegisterError> {
    const LAST: &str = "SELECT number, at FROM restoration ORDER BY number DESC LIMIT 1";
    let last: Option<(i64, u32)> = connection
        .query_row(LAST, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((number, at)) = last else {
        return Ok(None);
    };
    let mut statement = connection.prepare("SELECT kid FROM fresh_key WHERE restoration = ?1")?;
    let fresh = statement.query_map([number], |row| Ok(Kid(row.get(0)?)))?;
    Ok(Some(RestorePoint {
        at: UnixTime(at),
        fresh: fresh.collect::<Result<_, _>>()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixTime = UnixTime(20_000 * STATUS_EPOCH_S + 43_200);

    #[test]
    fn only_a_fresh_key_signs_before_the_next_day() {
        let point = RestorePoint {
            at: NOON,
            fresh: vec![Kid([1; 4])],
        };
        let (fresh, old) = (Kid([1; 4]), Kid([2; 4]));
        let midnight = UnixTime(20_001 * STATUS_EPOCH_S);
        let proofs = NOON.plus(POSSESSION_SKEW_S + 1);
        assert_eq!(point.ends([old].into_iter()), midnight);
        assert_eq!(point.ends([old, fresh].into_iter()), proofs);
        for (kid, now, may) in [
            (old, proofs, false),
            (old, midnight.minus(1), false),
            (old, midnight, true),
            // A clock that was set back.
            (old, NOON.minus(STATUS_EPOCH_S), false),
            (fresh, proofs.minus(1), false),
            (fresh, proofs, true),
        ] {
            assert_eq!(point.lets_sign(kid, now), may, "{kid} {now}");
        }
    }

    #[test]
    fn a_proof_of_before_the_restore_is_not_let_in_whatever_its_clock_said() {
        let point = RestorePoint {
            at: NOON,
            fresh: Vec::new(),
        };
        assert!(!point.lets_in(NOON.minus(1)));
        assert!(!point.lets_in(NOON.plus(POSSESSION_SKEW_S)));
        assert!(point.lets_in(NOON.plus(POSSESSION_SKEW_S + 1)));
    }
}
