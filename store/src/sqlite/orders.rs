use obol_ledger::{Amount, Bucket};
use obol_payment::UnixTime;
use obol_payment::channel::{Channel, Notice, Verified};
use obol_payment::order::{Order, OrderNumber, OrderState, Settlement};
use rusqlite::{OptionalExtension, Transaction, params};

use super::row::{account_number, damaged, number_from, to_sql};
use super::{Doing, SqliteStore, ledger, outbox, passengers};
use crate::{CreateOrderRefused, Credit, CreditRefused, Fault};

impl SqliteStore {
    /// Stores a new order.
    ///
    /// # Errors
    /// [`CreateOrderRefused`] when its number is taken or its account unknown.
    pub fn create_order(&self, order: &Order) -> Result<(), CreateOrderRefused> {
        self.write("storing an order", |transaction| {
            let wallet = order.wallet.owner;
            let number = account_number("recharge_order", to_sql(wallet))?;
            if passengers::find_by_number(transaction, number)?.is_none() {
                return Err(CreateOrderRefused::UnknownAccount(wallet));
            }
            match insert_order(transaction, order)? {
                1 => Ok(()),
                _ => Err(CreateOrderRefused::NumberTaken(order.number)),
            }
        })
    }

    /// The order with this number.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn order(&self, number: OrderNumber) -> Result<Option<Order>, Fault> {
        self.read("reading an order", |transaction| {
            find_order(transaction, number)
        })
    }

    /// Books a genuine notice, once however often it comes: receipt, order, transfer and event
    /// together.
    ///
    /// # Errors
    /// [`CreditRefused`]; nothing is booked.
    pub fn credit_recharge(
        &self,
        notice: &Verified<Notice>,
        now: UnixTime,
    ) -> Result<Credit, CreditRefused> {
        let notice = notice.get();
        self.write("crediting a recharge", |transaction| {
            if was_booked(transaction, notice)? {
                return Ok(Credit::Repeated);
            }
            let order = find_order(transaction, notice.order)?
                .ok_or(CreditRefused::UnknownOrder(notice.order))?;
            let settlement = order.settle(notice, self.book.currency.as_str())?;
            insert_receipt(transaction, notice, settlement, now)?;
            let group = order.receipt_group(notice, settlement, self.book.day);
            ledger::posting(transaction, |poster| poster.post(&group))?;
            let topic = match settlement {
                Settlement::Credit => {
                    mark_paid(transaction, order.number)?;
                    "recharge.credited"
                }
                Settlement::DuplicateReceipt | Settlement::PaidAfterExpiry => "recharge.unmatched",
            };
            let reference = order.number.to_string();
            outbox::append(transaction, order.wallet.bucket, topic, &reference, now)?;
            Ok(Credit::Booked(settlement))
        })
    }
}

fn insert_order(transaction: &Transaction<'_>, order: &Order) -> Result<usize, Fault> {
    transaction
        .execute(
            "INSERT INTO recharge_order (bucket, number, wallet, amount_minor, channel, created_at,
               expires_at, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            params![
                order.number.bucket().number(),
                order.number.to_string(),
                to_sql(order.wallet.owner),
                order.amount.minor(),
                order.channel.number(),
                order.created_at.0,
                order.expires_at.0,
                order.state.number(),
            ],
        )
        .doing("inserting an order")
}

fn find_order(transaction: &Transaction<'_>, number: OrderNumber) -> Result<Option<Order>, Fault> {
    const DOING: &str = "reading an order";
    let mut statement = transaction
        .prepare_cached(
            "SELECT wallet, amount_minor, channel, created_at, expires_at, state
             FROM recharge_order WHERE bucket = ?1 AND number = ?2",
        )
        .doing(DOING)?;
    let mut rows = statement
        .query(params![number.bucket().number(), number.to_string()])
        .doing(DOING)?;
    let Some(row) = rows.next().doing(DOING)? else {
        return Ok(None);
    };
    let column = |at| row.get::<_, i64>(at).doing(DOING);
    let (channel, state) = (column(2)?, column(5)?);
    Ok(Some(Order {
        number,
        wallet: account_number("recharge_order", column(0)?)?.wallet(),
        amount: Amount::from_minor(column(1)?),
        channel: Channel::from_number(number_from("recharge_order", "channel", channel)?)
            .ok_or_else(|| damaged("recharge_order", format_args!("channel {channel}")))?,
        created_at: UnixTime(number_from("recharge_order", "created_at", column(3)?)?),
        expires_at: UnixTime(number_from("recharge_order", "expires_at", column(4)?)?),
        state: OrderState::from_number(number_from("recharge_order", "state", state)?)
            .ok_or_else(|| damaged("recharge_order", format_args!("state {state}")))?,
    }))
}

fn mark_paid(transaction: &Transaction<'_>, number: OrderNumber) -> Result<(), Fault> {
    transaction
        .execute(
            "UPDATE recharge_order SET state = ?3 WHERE bucket = ?1 AND number = ?2",
            params![
                number.bucket().number(),
                number.to_string(),
                OrderState::Paid.number()
            ],
        )
        .doing("marking an order paid")?;
    Ok(())
}

/// The bucket of a receipt depends on the payment alone, so that one payment cannot be booked
/// for two orders.
fn receipt_bucket(notice: &Notice) -> Bucket {
    Bucket::of_bytes(format!("{}/{}", notice.channel, notice.transaction.as_str()).as_bytes())
}

fn was_booked(transaction: &Transaction<'_>, notice: &Notice) -> Result<bool, CreditRefused> {
    let transaction_id = notice.transaction.as_str();
    let found: Option<(String, i64)> = transaction
        .query_row(
            "SELECT order_number, amount_minor FROM channel_receipt
             WHERE bucket = ?1 AND channel = ?2 AND transaction_id = ?3",
            params![
                receipt_bucket(notice).number(),
                notice.channel.number(),
                transaction_id
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .doing("looking for a receipt")?;
    match found {
        None => Ok(false),
        Some(found) if found == (notice.order.to_string(), notice.amount.minor()) => Ok(true),
        Some(_) => Err(CreditRefused::Contradiction(transaction_id.to_owned())),
    }
}

fn insert_receipt(
    transaction: &Transaction<'_>,
    notice: &Notice,
    settlement: Settlement,
    now: UnixTime,
) -> Result<(), Fault> {
    transaction
        .execute(
            "INSERT INTO channel_receipt (bucket, channel, transaction_id, order_number,
               amount_minor, paid_at, received_at, settlement)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                receipt_bucket(notice).number(),
                notice.channel.number(),
                notice.transaction.as_str(),
                notice.order.to_string(),
                notice.amount.minor(),
                notice.paid_at.0,
                now.0,
                settlement.number(),
            ],
        )
        .doing("inserting a receipt")?;
    Ok(())
}
