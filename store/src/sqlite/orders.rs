use obol_ledger::Amount;
use obol_payment::UnixTime;
use obol_payment::channel::{Channel, Notice, Verified};
use obol_payment::order::{Order, OrderNumber, OrderState, Payment, Settlement};
use rusqlite::{Transaction, params};

use super::row::{account_number, damaged, number_from, to_sql};
use super::{Books, Doing, SqliteStore, ledger, outbox, passengers, receipts};
use crate::{CreateOrderRefused, Credit, CreditRefused, Fault, Unmatched};

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

    /// Keeps a genuine notice, once however often it comes: receipt, order, transfer and event
    /// together. One that pays no order of ours leaves its receipt and an event: whoever paid has
    /// paid, and somebody has to find out what for.
    ///
    /// # Errors
    /// [`CreditRefused`]; nothing is kept.
    pub fn credit_recharge(
        &self,
        notice: &Verified<Notice>,
        now: UnixTime,
    ) -> Result<Credit, CreditRefused> {
        let notice = notice.get();
        self.write("crediting a recharge", |transaction| {
            if receipts::is_kept(transaction, notice, self.book.currency)? {
                return Ok(Credit::Repeated);
            }
            let (order, payment) = match self.match_order(transaction, notice)? {
                Ok(matched) => matched,
                Err(unmatched) => {
                    let reason = unmatched.to_string();
                    let settled = (Settlement::Unmatched, Some(reason.as_str()));
                    receipts::insert(transaction, notice, settled, now)?;
                    announce(transaction, notice, "recharge.unmatched", now)?;
                    return Ok(Credit::Unmatched(unmatched));
                }
            };
            receipts::insert(transaction, notice, (payment.settlement(), None), now)?;
            let group = order.receipt_group(notice, payment, self.book.day);
            ledger::posting(transaction, |poster| poster.post(&group))?;
            let topic = match payment {
                Payment::Credit => {
                    mark_paid(transaction, order.number)?;
                    "recharge.credited"
                }
                Payment::Duplicate | Payment::Late => "recharge.unmatched",
            };
            announce(transaction, notice, topic, now)?;
            Ok(Credit::Booked(payment))
        })
    }

    fn match_order(
        &self,
        transaction: &Transaction<'_>,
        notice: &Notice,
    ) -> Result<Result<(Order, Payment), Unmatched>, Fault> {
        let Some(order) = find_order(transaction, notice.order)? else {
            return Ok(Err(Unmatched::UnknownOrder(notice.order)));
        };
        let settled = order.settle(notice, self.book.currency.as_str());
        Ok(settled
            .map(|payment| (order, payment))
            .map_err(Unmatched::from))
    }
}

impl Books {
    /// The order with this number.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn order(&self, number: OrderNumber) -> Result<Option<Order>, Fault> {
        self.read("reading an order", |transaction| {
            find_order(transaction, number)
        })
    }
}

fn announce(
    transaction: &Transaction<'_>,
    notice: &Notice,
    topic: &str,
    now: UnixTime,
) -> Result<(), Fault> {
    let (bucket, reference) = (notice.order.bucket(), notice.order.to_string());
    outbox::append(transaction, bucket, topic, &reference, now)
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
