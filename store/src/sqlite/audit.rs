//! The books recounted from their transfers.

use std::collections::BTreeMap;

use obol_ledger::{
    AccountId, Amount, Bucket, BusinessDay, Code, Counters, Delta, Group, GroupKind, SourceKey,
    Transfer, TrialBalance, Why,
};
use rusqlite::{Row, Transaction, params};

use super::ledger::{all_accounts, side_of};
use super::row::{account_id, damaged, number_from};
use super::{Books, Doing};
use crate::{AuditFinding, BooksReport, Fault};

impl Books {
    /// The trial balance, from the counters.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn trial_balance(&self) -> Result<TrialBalance, Fault> {
        self.read("drawing up a trial balance", |transaction| {
            Ok(TrialBalance::of(all_accounts(transaction)?)?)
        })
    }

    /// Recounts everything: debits equal credits (I1), counters are the sums of the transfers
    /// (I2), each group has its transfers and its hash, and each payer's rides are charged what its
    /// transfers say.
    ///
    /// # Errors
    /// [`Fault`] when storage fails or a row cannot be read at all.
    pub fn check_books(&self) -> Result<BooksReport, Fault> {
        self.read("recounting the books", |transaction| {
            let accounts = all_accounts(transaction)?;
            let trial_balance = TrialBalance::of(accounts.iter().copied())?;
            let mut findings = Vec::new();
            let difference = trial_balance.difference()?;
            if difference != Amount::ZERO {
                findings.push(AuditFinding::Unbalanced { difference });
            }
            let recount = Recount::of(transaction)?;
            findings.extend(recount.differing(accounts)?);
            findings.extend(check_groups(transaction)?);
            findings.extend(check_rides(transaction)?);
            Ok(BooksReport {
                trial_balance,
                transfers: recount.transfers,
                findings,
            })
        })
    }
}

/// The sums of all transfers, by account.
struct Recount {
    sums: BTreeMap<AccountId, Delta>,
    transfers: u64,
}

impl Recount {
    fn of(transaction: &Transaction<'_>) -> Result<Recount, Fault> {
        const DOING: &str = "recounting transfers";
        let mut statement = transaction
            .prepare(&format!("SELECT {LEG_COLUMNS} FROM transfer"))
            .doing(DOING)?;
        let mut rows = statement.query([]).doing(DOING)?;
        let mut recount = Recount {
            sums: BTreeMap::new(),
            transfers: 0,
        };
        while let Some(row) = rows.next().doing(DOING)? {
            let transfer = transfer_of(row, 0)?;
            for account in [transfer.dr(), transfer.cr()] {
                let sum = recount.sums.entry(account).or_insert(Delta::ZERO);
                *sum = sum.plus(Delta::of(&transfer, account))?;
            }
            recount.transfers += 1;
        }
        Ok(recount)
    }

    fn differing(&self, accounts: Vec<(AccountId, Counters)>) -> Result<Vec<AuditFinding>, Fault> {
        let mut counters: BTreeMap<AccountId, Delta> = BTreeMap::new();
        for (
            account,
            Counters {
                posted_dr,
                posted_cr,
                ..
            },
        ) in accounts
        {
            counters.insert(
                account,
                Delta {
                    dr: posted_dr,
                    cr: posted_cr,
                },
            );
        }
        let ids = counters
            .keys()
            .chain(self.sums.keys().filter(|id| !counters.contains_key(id)));
        let of = |map: &BTreeMap<AccountId, Delta>, id| map.get(id).copied().unwrap_or(Delta::ZERO);
        Ok(ids
            .filter(|id| of(&counters, id) != of(&self.sums, id))
            .map(|id| AuditFinding::CountersDiffer { account: *id })
            .collect())
    }
}

/// Payers whose rides, as they are charged, do not add up to the transfers they caused.
fn check_rides(transaction: &Transaction<'_>) -> Result<Vec<AuditFinding>, Fault> {
    const DOING: &str = "comparing rides with their transfers";
    let sql = "SELECT bucket, code, owner FROM (
           SELECT bucket, dr_code AS code, dr_owner AS owner, amount FROM transfer
            WHERE why BETWEEN ?1 AND ?2 AND dr_code <> ?3
           UNION ALL
           SELECT bucket, cr_code, cr_owner, -amount FROM transfer
            WHERE why BETWEEN ?1 AND ?2 AND cr_code <> ?3
           UNION ALL
           SELECT payer_bucket, payer_code, payer_owner, -charged_minor FROM code_use)
         GROUP BY bucket, code, owner HAVING SUM(amount) <> 0";
    let mut statement = transaction.prepare(sql).doing(DOING)?;
    let (first, last) = (Why::Ride.number(), Why::RideAdjustment.number());
    let mut rows = statement
        .query(params![first, last, Code::OperatorClearing.number()])
        .doing(DOING)?;
    let mut findings = Vec::new();
    while let Some(row) = rows.next().doing(DOING)? {
        let column = |at| row.get(at).doing(DOING);
        let account = account_id("code_use", column(0)?, column(1)?, column(2)?)?;
        findings.push(AuditFinding::RidesDiffer { account });
    }
    Ok(findings)
}

struct StoredGroup {
    bucket: u8,
    kind: GroupKind,
    source_key: String,
    id: Vec<u8>,
    hash: Vec<u8>,
    transfers: i64,
}

fn check_groups(transaction: &Transaction<'_>) -> Result<Vec<AuditFinding>, Fault> {
    const DOING: &str = "checking groups";
    let mut findings = orphans(transaction)?;
    let mut legs: BTreeMap<(u8, Vec<u8>), Vec<Transfer>> = BTreeMap::new();
    let sql = format!(
        "SELECT {LEG_COLUMNS}, group_id FROM transfer ORDER BY bucket, business_day, group_id, leg"
    );
    let mut statement = transaction.prepare(&sql).doing(DOING)?;
    let mut rows = statement.query([]).doing(DOING)?;
    while let Some(row) = rows.next().doing(DOING)? {
        let transfer = transfer_of(row, 0)?;
        let key = (transfer.dr().bucket.number(), row.get(LEGS).doing(DOING)?);
        legs.entry(key).or_default().push(transfer);
    }
    for stored in stored_groups(transaction)? {
        let legs = legs.remove(&(stored.bucket, stored.id.clone()));
        findings.extend(stored.finding(legs)?);
    }
    Ok(findings)
}

impl StoredGroup {
    fn finding(&self, legs: Option<Vec<Transfer>>) -> Result<Option<AuditFinding>, Fault> {
        let group = self.source_key.clone();
        let Some(legs) = legs.filter(|legs| legs.len() as i64 == self.transfers) else {
            return Ok(Some(AuditFinding::GroupIncomplete { group }));
        };
        let key =
            SourceKey::new(group.clone()).map_err(|refused| damaged("ledger_group", refused))?;
        let recomputed =
            Group::new(self.kind, key, legs).map_err(|refused| damaged("ledger_group", refused))?;
        let same = recomputed.hash() == self.hash[..] && recomputed.id().0 == self.id[..];
        Ok((!same).then_some(AuditFinding::GroupChanged { group }))
    }
}

fn stored_groups(transaction: &Transaction<'_>) -> Result<Vec<StoredGroup>, Fault> {
    const DOING: &str = "reading groups";
    let mut statement = transaction
        .prepare("SELECT bucket, kind, source_key, id, hash, transfers FROM ledger_group")
        .doing(DOING)?;
    let mut rows = statement.query(params![]).doing(DOING)?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next().doing(DOING)? {
        let kind: i64 = row.get(1).doing(DOING)?;
        groups.push(StoredGroup {
            bucket: row.get(0).doing(DOING)?,
            kind: GroupKind::from_number(number_from("ledger_group", "kind", kind)?)
                .ok_or_else(|| damaged("ledger_group", format_args!("kind {kind}")))?,
            source_key: row.get(2).doing(DOING)?,
            id: row.get(3).doing(DOING)?,
            hash: row.get(4).doing(DOING)?,
            transfers: row.get(5).doing(DOING)?,
        });
    }
    Ok(groups)
}

/// Transfers whose group is gone.
fn orphans(transaction: &Transaction<'_>) -> Result<Vec<AuditFinding>, Fault> {
    const DOING: &str = "looking for transfers without a group";
    let mut statement = transaction
        .prepare(
            "SELECT DISTINCT hex(t.group_id) FROM transfer t WHERE NOT EXISTS (
               SELECT 1 FROM ledger_group g WHERE g.bucket = t.bucket AND g.id = t.group_id)",
        )
        .doing(DOING)?;
    let ids = statement.query_map([], |row| row.get(0)).doing(DOING)?;
    ids.map(|group| {
        Ok(AuditFinding::GroupIncomplete {
            group: group.doing(DOING)?,
        })
    })
    .collect()
}

const LEG_COLUMNS: &str =
    "bucket, dr_code, dr_owner, cr_code, cr_owner, amount, why, event_at, business_day";
const LEGS: usize = 9;

fn transfer_of(row: &Row<'_>, first: usize) -> Result<Transfer, Fault> {
    const TABLE: &str = "transfer";
    let column = |at: usize| row.get::<_, i64>(first + at).doing("reading a transfer");
    let bucket = column(0)?;
    let bucket = Bucket::new(number_from(TABLE, "bucket", bucket)?)
        .ok_or_else(|| damaged(TABLE, format_args!("bucket {bucket}")))?;
    let why = column(6)?;
    Transfer::new(
        side_of(bucket, column(1)?, column(2)?)?,
        side_of(bucket, column(3)?, column(4)?)?,
        Amount::from_minor(column(5)?),
        Why::from_number(number_from(TABLE, "why", why)?)
            .ok_or_else(|| damaged(TABLE, format_args!("why {why}")))?,
        number_from(TABLE, "event_at", column(7)?)?,
        BusinessDay::from_number(number_from(TABLE, "business_day", column(8)?)?),
    )
    .map_err(|refused| damaged(TABLE, refused))
}
