//! Commands on passengers, kept until every issuer has confirmed them.

use obol_account::{AccountNumber, SubjectHandle};
use obol_payment::UnixTime;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::row::{account_number, damaged, number_from, to_sql};
use super::{Books, Doing, SqliteStore};
use crate::{CommandRefused, Fault, Standing, SubjectCommand};

/// The most commands that one call gives.
pub const COMMANDS_MAX: usize = 200;

const TABLE: &str = "subject_command";
const COLUMNS: &str = "c.subject, c.number, c.account, c.standing, c.reason, c.given_at";

impl SqliteStore {
    /// Gives a command on an account's passenger; it takes the place of the one before. Giving what
    /// holds already gives the command that made it hold.
    ///
    /// # Errors
    /// [`CommandRefused`]: nobody has this account, or the passenger is revoked for good.
    pub fn command_subject(
        &self,
        account: AccountNumber,
        standing: Standing,
        reason: &str,
        now: UnixTime,
    ) -> Result<SubjectCommand, CommandRefused> {
        const DOING: &str = "keeping a command";
        self.write(DOING, |transaction| {
            let subject = subject_of(transaction, account)?;
            let last = find(transaction, account, subject)?;
            let number = match last {
                Some(last) if last.standing == standing => return Ok(last),
                Some(last) if last.standing == Standing::Revoked => {
                    return Err(CommandRefused::Revoked(account));
                }
                // Not below the time, so that books that came back from a backup go on above what
                // issuers have seen.
                Some(last) => (last.number + 1).max(now.0.into()),
                None => now.0.into(),
            };
            transaction
                .execute(
                    "INSERT INTO subject_command
                         (bucket, subject, number, account, standing, reason, given_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT (bucket, subject) DO UPDATE SET number = excluded.number,
                         standing = excluded.standing, reason = excluded.reason,
                         given_at = excluded.given_at",
                    params![
                        account.bucket().number(),
                        subject.0,
                        to_sql(number),
                        to_sql(account.get()),
                        standing.number(),
                        reason,
                        now.0,
                    ],
                )
                .doing(DOING)?;
            Ok(SubjectCommand {
                subject,
                number,
                account,
                standing,
                reason: reason.to_owned(),
                given_at: now.0,
            })
        })
    }

    /// Notes that an issuer has confirmed a command.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn confirm_command(
        &self,
        command: &SubjectCommand,
        issuer: &str,
        now: UnixTime,
    ) -> Result<(), Fault> {
        const DOING: &str = "noting a confirmation";
        self.write(DOING, |transaction| {
            transaction
                .execute(
                    "INSERT INTO command_confirmation (bucket, subject, issuer, number, at)
                     VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (bucket, subject, issuer) DO UPDATE
                         SET number = excluded.number, at = excluded.at
                         WHERE excluded.number > command_confirmation.number",
                    params![
                        command.account.bucket().number(),
                        command.subject.0,
                        issuer,
                        to_sql(command.number),
                        now.0,
                    ],
                )
                .doing(DOING)?;
            Ok(())
        })
    }

    /// Forgets what an issuer has confirmed, as one does when its register came back from a backup:
    /// each command that holds is given to it again. How many.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn forget_confirmations(&self, issuer: &str) -> Result<usize, Fault> {
        const DOING: &str = "forgetting confirmations";
        self.write(DOING, |transaction| {
            transaction
                .execute(
                    "DELETE FROM command_confirmation WHERE issuer = ?1",
                    [issuer],
                )
                .doing(DOING)
        })
    }
}

impl Books {
    /// Commands that an issuer has not confirmed, the oldest first, at most [`COMMANDS_MAX`].
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn unconfirmed_commands(&self, issuer: &str) -> Result<Vec<SubjectCommand>, Fault> {
        let sql = format!(
            "SELECT {COLUMNS} FROM subject_command c
             LEFT JOIN command_confirmation d
                 ON d.bucket = c.bucket AND d.subject = c.subject AND d.issuer = ?1
             WHERE d.number IS NULL OR d.number < c.number
             ORDER BY c.given_at, c.subject LIMIT ?2"
        );
        self.read("reading commands", |transaction| {
            commands(transaction, &sql, params![issuer, COMMANDS_MAX as i64])
        })
    }
}

fn subject_of(
    transaction: &Transaction<'_>,
    account: AccountNumber,
) -> Result<SubjectHandle, CommandRefused> {
    let subject: Option<[u8; 16]> = transaction
        .query_row(
            "SELECT subject FROM passenger WHERE bucket = ?1 AND number = ?2",
            params![account.bucket().number(), to_sql(account.get())],
            |row| row.get(0),
        )
        .optional()
        .doing("looking for a passenger")?;
    subject
        .map(SubjectHandle)
        .ok_or(CommandRefused::UnknownAccount(account))
}

fn find(
    transaction: &Transaction<'_>,
    account: AccountNumber,
    subject: SubjectHandle,
) -> Result<Option<SubjectCommand>, Fault> {
    let sql =
        format!("SELECT {COLUMNS} FROM subject_command c WHERE c.bucket = ?1 AND c.subject = ?2");
    let of = params![account.bucket().number(), subject.0];
    Ok(commands(transaction, &sql, of)?.pop())
}

fn commands(
    transaction: &Transaction<'_>,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<SubjectCommand>, Fault> {
    const DOING: &str = "reading commands";
    let mut statement = transaction.prepare_cached(sql).doing(DOING)?;
    let mut rows = statement.query(values).doing(DOING)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().doing(DOING)? {
        found.push(command(row)?);
    }
    Ok(found)
}

fn command(row: &Row<'_>) -> Result<SubjectCommand, Fault> {
    const DOING: &str = "reading a command";
    let number: u8 = row.get("standing").doing(DOING)?;
    let standing = Standing::of_number(number)
        .ok_or_else(|| damaged(TABLE, format_args!("standing {number}")))?;
    let account: i64 = row.get("account").doing(DOING)?;
    Ok(SubjectCommand {
        subject: SubjectHandle(row.get("subject").doing(DOING)?),
        number: number_from(TABLE, "number", row.get("number").doing(DOING)?)?,
        account: account_number(TABLE, account)?,
        standing,
        reason: row.get("reason").doing(DOING)?,
        given_at: row.get("given_at").doing(DOING)?,
    })
}
