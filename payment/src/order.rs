//! Recharge orders: what a passenger asked to pay, and what a payment that arrives does to it.

use core::fmt;

use obol_credential::UnixTime;
use obol_ledger::{
    AccountId, Amount, Bucket, Code, DayRule, Group, GroupKind, SourceKey, Transfer, Why,
};

use crate::channel::{Channel, Notice};

/// The smallest recharge, in minor units.
pub const RECHARGE_MIN_MINOR: i64 = 100;
/// The largest recharge, in minor units.
pub const RECHARGE_MAX_MINOR: i64 = 100_000;
/// How long an order can be paid, in seconds.
pub const ORDER_LIFE_S: u32 = 1_800;

const RANDOM_LEN: usize = 10;

/// The name of an order: bucket and 80 random bits, `r2a-00112233445566778899`.
///
/// It can be guessed by nobody and found in one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderNumber {
    bucket: Bucket,
    random: [u8; RANDOM_LEN],
}

impl OrderNumber {
    /// The number of a new order of this wallet; `random` is fresh randomness.
    #[must_use]
    pub const fn new(wallet: AccountId, random: [u8; RANDOM_LEN]) -> OrderNumber {
        OrderNumber {
            bucket: wallet.bucket,
            random,
        }
    }

    /// Reads the one spelling of a number; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<OrderNumber> {
        let (bucket, random) = text.strip_prefix('r')?.split_once('-')?;
        let random = data_encoding::HEXLOWER.decode(random.as_bytes()).ok()?;
        let bucket = data_encoding::HEXLOWER.decode(bucket.as_bytes()).ok()?;
        let [bucket] = bucket.try_into().ok()?;
        Some(OrderNumber {
            bucket: Bucket::new(bucket)?,
            random: random.try_into().ok()?,
        })
    }

    /// The part of the books its wallet lies in.
    #[must_use]
    pub const fn bucket(&self) -> Bucket {
        self.bucket
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let random = data_encoding::HEXLOWER.encode(&self.random);
        write!(f, "r{:02x}-{random}", self.bucket.number())
    }
}

/// What has happened to an order. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OrderState {
    /// 1: waits for its payment, until it expires.
    Open = 1,
    /// 2: paid and credited. Final.
    Paid = 2,
}

impl OrderState {
    /// The stored number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The state with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<OrderState> {
        [OrderState::Open, OrderState::Paid]
            .into_iter()
            .find(|state| state.number() == number)
    }
}

/// A recharge order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its name.
    pub number: OrderNumber,
    /// The wallet to credit.
    pub wallet: AccountId,
    /// What is to be paid, [`RECHARGE_MIN_MINOR`]..=[`RECHARGE_MAX_MINOR`].
    pub amount: Amount,
    /// Who collects it.
    pub channel: Channel,
    /// When it was made.
    pub created_at: UnixTime,
    /// The last second at which it can be paid.
    pub expires_at: UnixTime,
    /// What has happened to it.
    pub state: OrderState,
}

/// Why there is no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefused {
    /// Too little or too much.
    #[error("a recharge is {RECHARGE_MIN_MINOR} to {RECHARGE_MAX_MINOR} minor units, not {0}")]
    Amount(i64),
}

/// How a receipt stands: what a genuine notice did.
///
/// The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Settlement {
    /// 1: it pays the order: the wallet is credited.
    Credit = 1,
    /// 2: the order was paid by another transaction: the money waits in suspense 9030.
    DuplicateReceipt = 2,
    /// 3: it was paid after the order had expired: the money waits in suspense 9010.
    PaidAfterExpiry = 3,
    /// 4: it is no payment of any order of ours: the receipt is kept, no money is booked.
    Unmatched = 4,
}

impl Settlement {
    /// All of them.
    pub const ALL: [Settlement; 4] = [
        Settlement::Credit,
        Settlement::DuplicateReceipt,
        Settlement::PaidAfterExpiry,
        Settlement::Unmatched,
    ];

    /// The stored number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The settlement with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Settlement> {
        Settlement::ALL
            .into_iter()
            .find(|settlement| settlement.number() == number)
    }

    /// Its name for people and machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Settlement::Credit => "credited",
            Settlement::DuplicateReceipt => "duplicate-receipt",
            Settlement::PaidAfterExpiry => "paid-after-expiry",
            Settlement::Unmatched => "unmatched",
        }
    }
}

/// What a genuine payment of the order itself does to the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payment {
    /// The wallet is credited.
    Credit,
    /// The order was paid by another transaction.
    Duplicate,
    /// It was paid after the order had expired.
    Late,
}

impl Payment {
    /// How the receipt stands.
    #[must_use]
    pub const fn settlement(self) -> Settlement {
        match self {
            Payment::Credit => Settlement::Credit,
            Payment::Duplicate => Settlement::DuplicateReceipt,
            Payment::Late => Settlement::PaidAfterExpiry,
        }
    }
}

/// Why a genuine notice is not a payment of this order. No money is booked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleRefused {
    /// Another amount than was asked for.
    #[error("order {order} asks for {asked} minor units, the notice says {paid}")]
    WrongAmount {
        /// The order.
        order: OrderNumber,
        /// What the order says, minor units.
        asked: i64,
        /// What the notice says, minor units.
        paid: i64,
    },
    /// Another currency than the book's.
    #[error("the book is kept in {book}, the notice says {paid}")]
    WrongCurrency {
        /// The book's currency.
        book: String,
        /// The notice's.
        paid: String,
    },
    /// Another channel than was asked to collect.
    #[error("order {order} is collected by {asked}, the notice came from {paid}")]
    WrongChannel {
        /// The order.
        order: OrderNumber,
        /// The order's channel.
        asked: Channel,
        /// The notice's.
        paid: Channel,
    },
}

impl Order {
    /// An order over `amount_minor`, open from `now` on.
    ///
    /// # Errors
    /// [`OrderRefused`] when the amount is out of range.
    pub fn open(
        number: OrderNumber,
        wallet: AccountId,
        amount_minor: i64,
        channel: Channel,
        now: UnixTime,
    ) -> Result<Order, OrderRefused> {
        if !(RECHARGE_MIN_MINOR..=RECHARGE_MAX_MINOR).contains(&amount_minor) {
            return Err(OrderRefused::Amount(amount_minor));
        }
        Ok(Order {
            number,
            wallet,
            amount: Amount::from_minor(amount_minor),
            channel,
            created_at: now,
            expires_at: now.plus(ORDER_LIFE_S),
            state: OrderState::Open,
        })
    }

    /// Decides what a genuine notice about this order does. The caller has already found that
    /// the transaction is new.
    ///
    /// # Errors
    /// [`SettleRefused`] when channel, currency or amount are not exactly the order's.
    pub fn settle(&self, notice: &Notice, currency: &str) -> Result<Payment, SettleRefused> {
        if notice.channel != self.channel {
            let (order, asked, paid) = (self.number, self.channel, notice.channel);
            return Err(SettleRefused::WrongChannel { order, asked, paid });
        }
        if notice.currency != currency {
            let (book, paid) = (currency.to_owned(), notice.currency.clone());
            return Err(SettleRefused::WrongCurrency { book, paid });
        }
        if notice.amount != self.amount {
            let (asked, paid) = (self.amount.minor(), notice.amount.minor());
            return Err(SettleRefused::WrongAmount {
                order: self.number,
                asked,
                paid,
            });
        }
        Ok(match self.state {
            OrderState::Paid => Payment::Duplicate,
            // The bank's signed time decides, not when its notice got through to us.
            OrderState::Open if notice.paid_at > self.expires_at => Payment::Late,
            OrderState::Open => Payment::Credit,
        })
    }

    /// The books' side of a payment: `Dr 1100 / Cr 2000`, or to suspense.
    #[must_use]
    pub fn receipt_group(&self, notice: &Notice, payment: Payment, day: DayRule) -> Group {
        let channel = self.channel.name();
        let clearing = AccountId::named(self.wallet.bucket, Code::ChannelClearing, channel);
        let suspense = |code| AccountId::named(self.wallet.bucket, code, channel);
        let (credited, why) = match payment {
            Payment::Credit => (self.wallet, Why::Recharge),
            Payment::Duplicate => (suspense(Code::DuplicateReceipt), Why::UnmatchedReceipt),
            Payment::Late => (suspense(Code::ChannelLong), Why::UnmatchedReceipt),
        };
        let at = notice.paid_at.0;
        let leg = Transfer::new(clearing, credited, self.amount, why, at, day.day_of(at))
            .expect("a recharge is within a transfer's range, in one bucket, on two accounts");
        let key = SourceKey::new(format!("{channel}/{}", notice.transaction.as_str()))
            .expect("channel names and transaction ids are short visible ASCII");
        Group::new(GroupKind::Receipt, key, vec![leg]).expect("one leg makes a group")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::TransactionId;

    fn order() -> Order {
        let wallet = AccountId::wallet(106);
        let number = OrderNumber::new(wallet, [0x5a; 10]);
        Order::open(
            number,
            wallet,
            5_000,
            Channel::SimulatedBank,
            UnixTime(1_000),
        )
        .unwrap()
    }

    fn notice() -> Notice {
        Notice {
            channel: Channel::SimulatedBank,
            transaction: TransactionId::new("T1").unwrap(),
            order: order().number,
            amount: Amount::from_minor(5_000),
            currency: "CNY".into(),
            paid_at: UnixTime(1_060),
        }
    }

    #[test]
    fn an_order_number_has_one_spelling() {
        let text = order().number.to_string();
        assert_eq!(text, "r2a-5a5a5a5a5a5a5a5a5a5a");
        assert_eq!(OrderNumber::parse(&text), Some(order().number));
        for other in [
            "",
            "r2a-",
            "R2a-5a5a5a5a5a5a5a5a5a5a",
            "r2A-5a5a5a5a5a5a5a5a5a5a",
        ] {
            assert_eq!(OrderNumber::parse(other), None, "{other}");
        }
        assert_eq!(
            OrderNumber::parse("r40-5a5a5a5a5a5a5a5a5a5a"),
            None,
            "bucket 64"
        );
    }

    #[test]
    fn an_order_has_a_least_and_a_largest_amount() {
        for amount in [RECHARGE_MIN_MINOR - 1, RECHARGE_MAX_MINOR + 1, -1, i64::MIN] {
            let order = order();
            let refused = Order::open(
                order.number,
                order.wallet,
                amount,
                order.channel,
                UnixTime(0),
            );
            assert_eq!(refused, Err(OrderRefused::Amount(amount)));
        }
    }

    #[test]
    fn a_payment_of_the_exact_amount_in_time_credits() {
        assert_eq!(order().settle(&notice(), "CNY"), Ok(Payment::Credit));
        let last_second = Notice {
            paid_at: order().expires_at,
            ..notice()
        };
        assert_eq!(order().settle(&last_second, "CNY"), Ok(Payment::Credit));
    }

    #[test]
    fn another_amount_or_currency_is_refused() {
        let less = Notice {
            amount: Amount::from_minor(4_999),
            ..notice()
        };
        let refused = SettleRefused::WrongAmount {
            order: order().number,
            asked: 5_000,
            paid: 4_999,
        };
        assert_eq!(order().settle(&less, "CNY"), Err(refused));
        let refused = SettleRefused::WrongCurrency {
            book: "HKD".into(),
            paid: "CNY".into(),
        };
        assert_eq!(order().settle(&notice(), "HKD"), Err(refused));
    }

    #[test]
    fn money_that_no_order_can_take_goes_to_suspense() {
        let paid = Order {
            state: OrderState::Paid,
            ..order()
        };
        assert_eq!(paid.settle(&notice(), "CNY"), Ok(Payment::Duplicate));
        let late = Notice {
            paid_at: order().expires_at.plus(1),
            ..notice()
        };
        assert_eq!(order().settle(&late, "CNY"), Ok(Payment::Late));
        let day = DayRule::new(0).unwrap();
        for (payment, code) in [
            (Payment::Credit, Code::Wallet),
            (Payment::Duplicate, Code::DuplicateReceipt),
            (Payment::Late, Code::ChannelLong),
        ] {
            let group = order().receipt_group(&notice(), payment, day);
            assert_eq!(group.legs()[0].cr().code, code);
            assert_eq!(group.source_key().as_str(), "simulated-bank/T1");
        }
    }
}
