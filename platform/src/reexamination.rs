//! Rides that were refused for a reason that passes are examined again and charged late.

use std::sync::Arc;

use obol_credential::UnixTime;
use obol_payment::ride::{Intake, Reexamined, RideRefusal, StoredRecord};
use obol_store::{Fault, Reposted, SqliteStore};
use obol_verifier_sdk::{Operator, Verifier};
use tracing::{error, info};

use crate::app::App;

/// Which refused records to examine again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those whose reason a trust bundle, a fare pack or time can mend.
    WhatMayPass,
    /// Every one, since the program itself may have changed.
    Everything,
}

/// What examining refused records again has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reexamination {
    /// Records that verify now: charged, unless another ride with the same code comes first.
    pub accepted: u64,
    /// Records that are refused still.
    pub refused: u64,
}

impl App {
    /// Examines refused records again from their stored bytes, each in a transaction of its own.
    /// It blocks; whatever it has done when it fails stays done.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn reexamine(&self, scope: Scope) -> Result<Reexamination, Fault> {
        let mut found = Reexamination::default();
        let mut page = self.store.rejected(None)?;
        while let Some((last, _)) = page.last() {
            let after = last.key.clone();
            for (record, reason) in page {
                if scope == Scope::WhatMayPass && !RideRefusal::may_pass(&reason) {
                    continue;
                }
                match self.examine_again(record)? {
                    Some(Reposted::Accepted) => found.accepted += 1,
                    Some(Reposted::Rejected(_)) => found.refused += 1,
                    Some(Reposted::NothingToDo) | None => {}
                }
            }
            page = self.store.rejected(Some(&after))?;
        }
        Ok(found)
    }

    /// `None` when the record's terminal has left the register.
    fn examine_again(&self, record: StoredRecord) -> Result<Option<Reposted>, Fault> {
        let (store, now): (&SqliteStore, UnixTime) = (&self.store, self.now());
        let Some(terminal) = store.terminal(&record.key.terminal)? else {
            return Ok(None);
        };
        let Some(operator) = Operator::new(&terminal.operator) else {
            return Ok(None);
        };
        let known = self.trust.known();
        let trust = known.store();
        let rules = Intake {
            verifier: Verifier { trust, operator },
            packs: self.packs.all(),
            received_at: record.received_at,
            now,
        };
        let record = Reexamined::of(record, &rules);
        let reposted = store.repost(&record, now)?;
        if reposted == Reposted::Accepted {
            info!(ride = %record.record().key, "a ride that was refused is charged");
        }
        Ok(Some(reposted))
    }
}

/// [`App::reexamine`] beside everything else; what it finds stands in the log.
pub fn reexamine_in_background(app: &Arc<App>, scope: Scope) {
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || match app.reexamine(scope) {
        Ok(found) if found == Reexamination::default() => {}
        Ok(Reexamination { accepted, refused }) => {
            info!(accepted, refused, "refused rides examined again");
        }
        Err(fault) => error!(reason = %fault, "refused rides cannot be examined again"),
    });
}
