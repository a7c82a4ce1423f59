use obol_ledger::Bucket;
use obol_payment::channel::{Channel, Notice};
use obol_payment::order::Settlement;
use obol_payment::{Currency, UnixTime};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::row::{damaged, number_from};
use super::{Books, Doing};
use crate::{CreditRefused, Fault, Receipt, Receipts};

impl Books {
    /// The receipts of genuine notices, by time of arrival.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn receipts(&self, which: Receipts) -> Result<Vec<Receipt>, Fault> {
        const DOING: &str = "listing receipts";
        // Settlements count from 1, so 0 leaves none out.
        let left_out = match which {
            Receipts::All => 0,
            Receipts::Uncredited => Settlement::Credit.number(),
        };
        self.read(DOING, |transaction| {
            let mut statement = transaction
                .prepare_cached(
                    "SELECT channel, transaction_id, order_number, amount_minor, currency, paid_at,
                       received_at, settlement, reason
                     FROM channel_receipt WHERE settlement <> ?1
                     ORDER BY received_at, channel, transaction_id",
                )
                .doing(DOING)?;
            let mut rows = statement.query([left_out]).doing(DOING)?;
            let mut receipts = Vec::new();
            while let Some(row) = rows.next().doing(DOING)? {
                receipts.push(receipt(row, self.book.currency)?);
            }
            Ok(receipts)
        })
    }
}

fn receipt(row: &Row<'_>, book: Currency) -> Result<Receipt, Fault> {
    const DOING: &str = "reading a receipt";
    const TABLE: &str = "channel_receipt";
    let (channel, settlement): (i64, i64) = (row.get(0).doing(DOING)?, row.get(7).doing(DOING)?);
    let currency: Option<String> = row.get(4).doing(DOING)?;
    Ok(Receipt {
        channel: Channel::from_number(number_from(TABLE, "channel", channel)?)
            .ok_or_else(|| damaged(TABLE, format_args!("channel {channel}")))?
            .name(),
        transaction: row.get(1).doing(DOING)?,
        order: row.get(2).doing(DOING)?,
        amount_minor: row.get(3).doing(DOING)?,
        currency: currency.unwrap_or_else(|| book.to_string()),
        paid_at: row.get(5).doing(DOING)?,
        received_at: row.get(6).doing(DOING)?,
        settlement: Settlement::from_number(number_from(TABLE, "settlement", settlement)?)
            .ok_or_else(|| damaged(TABLE, format_args!("settlement {settlement}")))?
            .name(),
        reason: row.get(8).doing(DOING)?,
    })
}

/// Whether this notice was kept before, word for word.
pub(super) fn is_kept(
    transaction: &Transaction<'_>,
    notice: &Notice,
    book: Currency,
) -> Result<bool, CreditRefused> {
    let transaction_id = notice.transaction.as_str();
    let found: Option<(String, i64, Option<String>)> = transaction
        .query_row(
            "SELECT order_number, amount_minor, currency FROM channel_receipt
             WHERE bucket = ?1 AND channel = ?2 AND transaction_id = ?3",
            params![
                bucket_of(notice).number(),
                notice.channel.number(),
                transaction_id
            ],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()
        .doing("looking for a receipt")?;
    let Some((order, amount_minor, currency)) = found else {
        return Ok(false);
    };
    let currency = currency.unwrap_or_else(|| book.to_string());
    if (order, amount_minor) == (notice.order.to_string(), notice.amount.minor())
        && currency == notice.currency
    {
        return Ok(true);
    }
    Err(CreditRefused::Contradiction(transaction_id.to_owned()))
}

/// `settled`: how the receipt stands, and why when it is unmatched.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    notice: &Notice,
    settled: (Settlement, Option<&str>),
    now: UnixTime,
) -> Result<(), Fault> {
    let (settlement, reason) = settled;
    transaction
        .execute(
            "INSERT INTO channel_receipt (bucket, channel, transaction_id, order_number,
               amount_minor, currency, paid_at, received_at, settlement, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                bucket_of(notice).number(),
                notice.channel.number(),
                notice.transaction.as_str(),
                notice.order.to_string(),
                notice.amount.minor(),
                notice.currency,
                notice.paid_at.0,
                now.0,
                settlement.number(),
                reason,
            ],
        )
        .doing("inserting a receipt")?;
    Ok(())
}

/// The bucket of a receipt depends on the payment alone, so that one payment cannot be booked
/// for two orders.
fn bucket_of(notice: &Notice) -> Bucket {
    Bucket::of_bytes(format!("{}/{}", notice.channel, notice.transaction.as_str()).as_bytes())
}
