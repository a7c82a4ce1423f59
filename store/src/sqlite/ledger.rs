//! Posting: groups into rows, and one update per touched account and transaction.

use std::collections::BTreeMap;

use obol_ledger::{
    AccountId, Amount, Bucket, Code, Counters, Delta, Floor, FloorState, Group, Transfer,
};
use rusqlite::{OptionalExtension, Transaction, params};

use super::Doing;
use super::row::{account_id, number_from, to_sql};
use crate::Fault;

/// Posts groups within one database transaction.
pub(super) struct Poster<'t> {
    transaction: &'t Transaction<'t>,
    touched: BTreeMap<AccountId, Touched>,
    last_seq: BTreeMap<Bucket, i64>,
}

struct Touched {
    counters: Counters,
    floor: Floor,
    delta: Delta,
}

/// Runs `work` with a poster and then writes the counters, each account once. A hot operator
/// account costs one update per upload, not one per ride.
pub(super) fn posting<T, E: From<Fault>>(
    transaction: &Transaction<'_>,
    work: impl FnOnce(&mut Poster<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let mut poster = Poster {
        transaction,
        touched: BTreeMap::new(),
        last_seq: BTreeMap::new(),
    };
    let answer = work(&mut poster)?;
    poster.write_counters()?;
    Ok(answer)
}

impl Poster<'_> {
    /// Posts a group: once, always, floor or not.
    pub(super) fn post(&mut self, group: &Group) -> Result<(), Fault> {
        if self.stands_already(group)? {
            return Ok(());
        }
        let mut state = FloorState::Kept;
        for (leg, transfer) in group.legs().iter().enumerate() {
            self.insert_transfer(group, leg, transfer)?;
            for account in [transfer.dr(), transfer.cr()] {
                if self.add(account, Delta::of(transfer, account))? == FloorState::Forced {
                    state = FloorState::Forced;
                }
            }
        }
        self.insert_group(group, state)
    }

    fn stands_already(&self, group: &Group) -> Result<bool, Fault> {
        let hash: Option<Vec<u8>> = self
            .transaction
            .prepare_cached(
                "SELECT hash FROM ledger_group WHERE bucket = ?1 AND kind = ?2 AND source_key = ?3",
            )
            .and_then(|mut statement| {
                let key = group.source_key().as_str();
                statement
                    .query_row(
                        params![group.bucket().number(), group.kind().number(), key],
                        |row| row.get(0),
                    )
                    .optional()
            })
            .doing("looking for a group")?;
        match hash {
            None => Ok(false),
            Some(hash) if hash == group.hash() => Ok(true),
            Some(_) => Err(Fault::GroupConflict(group.source_key().to_string())),
        }
    }

    fn insert_group(&self, group: &Group, state: FloorState) -> Result<(), Fault> {
        self.transaction
            .prepare_cached(
                "INSERT INTO ledger_group (bucket, kind, source_key, id, hash, transfers, forced)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    group.bucket().number(),
                    group.kind().number(),
                    group.source_key().as_str(),
                    group.id().0,
                    group.hash(),
                    group.legs().len() as i64,
                    state == FloorState::Forced,
                ])
            })
            .doing("inserting a group")?;
        Ok(())
    }

    fn insert_transfer(
        &mut self,
        group: &Group,
        leg: usize,
        transfer: &Transfer,
    ) -> Result<(), Fault> {
        let posted_seq = self.next_seq(group.bucket())?;
        self.transaction
            .prepare_cached(
                "INSERT INTO transfer (bucket, business_day, group_id, leg, dr_code, dr_owner,
                   cr_code, cr_owner, amount, why, event_at, posted_seq)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    group.bucket().number(),
                    transfer.business_day().number(),
                    group.id().0,
                    leg as i64,
                    transfer.dr().code.number(),
                    to_sql(transfer.dr().owner),
                    transfer.cr().code.number(),
                    to_sql(transfer.cr().owner),
                    transfer.amount().minor(),
                    transfer.why().number(),
                    transfer.event_at(),
                    posted_seq,
                ])
            })
            .doing("inserting a transfer")?;
        Ok(())
    }

    /// The next number of the bucket's own sequence; the one writer makes it gapless.
    fn next_seq(&mut self, bucket: Bucket) -> Result<i64, Fault> {
        let last = match self.last_seq.get(&bucket) {
            Some(last) => *last,
            None => self
                .transaction
                .query_row(
                    "SELECT COALESCE(MAX(posted_seq), 0) FROM transfer WHERE bucket = ?1",
                    [bucket.number()],
                    |row| row.get(0),
                )
                .doing("numbering transfers")?,
        };
        self.last_seq.insert(bucket, last + 1);
        Ok(last + 1)
    }

    fn add(&mut self, account: AccountId, delta: Delta) -> Result<FloorState, Fault> {
        if !self.touched.contains_key(&account) {
            let (counters, floor) = read_account(self.transaction, account)?;
            self.touched.insert(
                account,
                Touched {
                    counters,
                    floor,
                    delta: Delta::ZERO,
                },
            );
        }
        let touched = self.touched.get_mut(&account).expect("inserted above");
        let (counters, state) = touched
            .counters
            .post(delta, account.code.side(), touched.floor)?;
        touched.counters = counters;
        touched.delta = touched.delta.plus(delta)?;
        Ok(state)
    }

    fn write_counters(self) -> Result<(), Fault> {
        for (account, touched) in self.touched {
            add_to_account(self.transaction, account, touched.delta)?;
        }
        Ok(())
    }
}

/// Counters and floor of an account; zero and none for one that was never touched.
pub(super) fn read_account(
    transaction: &Transaction<'_>,
    account: AccountId,
) -> Result<(Counters, Floor), Fault> {
    let found = transaction
        .prepare_cached(
            "SELECT posted_dr, posted_cr, pend_dr, pend_cr, floor FROM account
             WHERE bucket = ?1 AND code = ?2 AND owner = ?3",
        )
        .and_then(|mut statement| {
            let (code, owner) = (account.code.number(), to_sql(account.owner));
            statement
                .query_row(params![account.bucket.number(), code, owner], |row| {
                    let floor: Option<i64> = row.get(4)?;
                    Ok((counters_of(row, 0)?, floor))
                })
                .optional()
        })
        .doing("reading an account")?;
    Ok(match found {
        None => (Counters::ZERO, Floor::None),
        Some((counters, None)) => (counters, Floor::None),
        Some((counters, Some(floor))) => (counters, Floor::At(Amount::from_minor(floor))),
    })
}

/// Opens a wallet with its floor.
pub(super) fn open_account(
    transaction: &Transaction<'_>,
    account: AccountId,
    floor: Amount,
) -> Result<(), Fault> {
    transaction
        .execute(
            "INSERT INTO account (bucket, code, owner, posted_dr, posted_cr, pend_dr, pend_cr,
               floor, version)
             VALUES (?1, ?2, ?3, 0, 0, 0, 0, ?4, 0)",
            params![
                account.bucket.number(),
                account.code.number(),
                to_sql(account.owner),
                floor.minor()
            ],
        )
        .doing("opening an account")?;
    Ok(())
}

/// Adds to the counters rather than writing them, so that a lost update would show in a recount.
fn add_to_account(
    transaction: &Transaction<'_>,
    account: AccountId,
    delta: Delta,
) -> Result<(), Fault> {
    transaction
        .prepare_cached(
            "INSERT INTO account (bucket, code, owner, posted_dr, posted_cr, pend_dr, pend_cr,
               floor, version)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, NULL, 1)
             ON CONFLICT (bucket, code, owner) DO UPDATE SET
               posted_dr = account.posted_dr + excluded.posted_dr,
               posted_cr = account.posted_cr + excluded.posted_cr,
               version = account.version + 1",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                account.bucket.number(),
                account.code.number(),
                to_sql(account.owner),
                delta.dr.minor(),
                delta.cr.minor(),
            ])
        })
        .doing("adding to an account")?;
    Ok(())
}

/// All accounts with their counters.
pub(super) fn all_accounts(
    transaction: &Transaction<'_>,
) -> Result<Vec<(AccountId, Counters)>, Fault> {
    const DOING: &str = "reading all accounts";
    let mut statement = transaction
        .prepare_cached(
            "SELECT bucket, code, owner, posted_dr, posted_cr, pend_dr, pend_cr FROM account
             ORDER BY bucket, code, owner",
        )
        .doing(DOING)?;
    let mut rows = statement.query([]).doing(DOING)?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next().doing(DOING)? {
        let column = |at| row.get(at).doing(DOING);
        let id = account_id("account", column(0)?, column(1)?, column(2)?)?;
        accounts.push((id, counters_of(row, 3).doing(DOING)?));
    }
    Ok(accounts)
}

fn counters_of(row: &rusqlite::Row<'_>, first: usize) -> Result<Counters, rusqlite::Error> {
    let column = |offset| row.get(first + offset).map(Amount::from_minor);
    Ok(Counters {
        posted_dr: column(0)?,
        posted_cr: column(1)?,
        pend_dr: column(2)?,
        pend_cr: column(3)?,
    })
}

/// The columns (code, owner) of one side of a transfer in `bucket`.
pub(super) fn side_of(bucket: Bucket, code: i64, owner: i64) -> Result<AccountId, Fault> {
    let code = Code::from_number(number_from("transfer", "code", code)?)
        .map_err(|unknown| super::row::damaged("transfer", unknown))?;
    Ok(AccountId {
        bucket,
        code,
        owner: number_from("transfer", "owner", owner)?,
    })
}
