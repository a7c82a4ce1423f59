use core::fmt;

use sha2::{Digest, Sha256};

/// How many buckets every hot table is divided into. Fixed for the life of the data.
pub const BUCKETS: u8 = 64;

/// One of the [`BUCKETS`] parts of the books, 0..=63.
///
/// A group posts inside one bucket, so a bucket can later live on a machine of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u8);

impl Bucket {
    /// The bucket with this number, `None` from 64 on.
    pub const fn new(number: u8) -> Option<Bucket> {
        if number < BUCKETS {
            Some(Bucket(number))
        } else {
            None
        }
    }

    /// The bucket of an account number: its remainder by 64.
    pub const fn of_number(number: u64) -> Bucket {
        Bucket((number % BUCKETS as u64) as u8)
    }

    /// The bucket of a name or any other bytes: the first byte of their SHA-256, modulo 64.
    pub fn of_bytes(bytes: &[u8]) -> Bucket {
        Bucket(Sha256::digest(bytes)[0] % BUCKETS)
    }

    /// Its number, 0..=63.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The side on which an account normally stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Assets, expenses and suspense of money owed to us: balance = debits - credits.
    Debit,
    /// Liabilities and income: balance = credits - debits.
    Credit,
}

/// An account of the chart, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Code {
    /// 1100, asset: money a recharge channel has collected and not yet paid out. Owner: the channel.
    ChannelClearing = 1100,
    /// 2000, liability: a passenger's wallet. Owner: the account number.
    Wallet = 2000,
    /// 2100, liability: fares owed to an operator. Owner: the operator.
    OperatorClearing = 2100,
    /// 9000, control: rides whose credential this platform never saw. Owner: the operator.
    UnidentifiedRide = 9000,
    /// 9010, control: money a channel holds for an order that could no longer take it.
    ChannelLong = 9010,
    /// 9030, control: a second payment for an order that was paid already.
    DuplicateReceipt = 9030,
}

/// A number that is not in the chart of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not in the chart of accounts")]
pub struct UnknownCode(pub u16);

impl Code {
    /// All accounts of the chart, in the order of their numbers.
    pub const ALL: [Code; 6] = [
        Code::ChannelClearing,
        Code::Wallet,
        Code::OperatorClearing,
        Code::UnidentifiedRide,
        Code::ChannelLong,
        Code::DuplicateReceipt,
    ];

    /// The number in the chart.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The account with this number.
    ///
    /// # Errors
    /// [`UnknownCode`] when the chart has no such number.
    pub fn from_number(number: u16) -> Result<Code, UnknownCode> {
        Code::ALL
            .into_iter()
            .find(|code| code.number() == number)
            .ok_or(UnknownCode(number))
    }

    /// Which side the account normally stands on.
    pub const fn side(self) -> Side {
        match self {
            Code::ChannelClearing | Code::UnidentifiedRide => Side::Debit,
            Code::Wallet | Code::OperatorClearing | Code::ChannelLong | Code::DuplicateReceipt => {
                Side::Credit
            }
        }
    }

    /// The English name, as reports print it.
    pub const fn name(self) -> &'static str {
        match self {
            Code::ChannelClearing => "channel clearing",
            Code::Wallet => "passenger wallets",
            Code::OperatorClearing => "operator fare clearing",
            Code::UnidentifiedRide => "suspense: unidentified rides",
            Code::ChannelLong => "suspense: channel long",
            Code::DuplicateReceipt => "suspense: duplicate receipts",
        }
    }
}

/// One account of the books.
///
/// `owner` is the account number of a wallet, or [`AccountId::owner_named`] of an operator or a
/// channel. An operator has one account per bucket, so that each ride stays inside one bucket and
/// no single row is hot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId {
    /// Part of the books.
    pub bucket: Bucket,
    /// Account of the chart.
    pub code: Code,
    /// Whose it is, 0..=2^63-1.
    pub owner: u64,
}

impl AccountId {
    /// The wallet with this account number, in the bucket of that number.
    pub const fn wallet(number: u64) -> AccountId {
        AccountId {
            bucket: Bucket::of_number(number),
            code: Code::Wallet,
            owner: number,
        }
    }

    /// The account `code` of a named party (operator, channel) in a bucket.
    pub fn named(bucket: Bucket, code: Code, name: &str) -> AccountId {
        AccountId {
            bucket,
            code,
            owner: AccountId::owner_named(name),
        }
    }

    /// The owner number of a named party: 63 bits of the SHA-256 of the name, which every SQL
    /// engine holds in a signed integer.
    pub fn owner_named(name: &str) -> u64 {
        let digest = Sha256::digest(name.as_bytes());
        let eight = digest.first_chunk().expect("SHA-256 has 32 bytes");
        u64::from_be_bytes(*eight) >> 1
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.bucket.0, self.code.number(), self.owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_again_by_its_number() {
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Ok(code));
        }
        assert_eq!(Code::from_number(2001), Err(UnknownCode(2001)));
    }

    #[test]
    fn a_bucket_number_from_64_on_does_not_exist() {
        assert_eq!(Bucket::new(63).map(Bucket::number), Some(63));
        assert_eq!(Bucket::new(64), None);
    }

    #[test]
    fn an_owner_fits_a_signed_integer_of_sql() {
        for name in ["ferry", "simulated-bank", ""] {
            assert!(i64::try_from(AccountId::owner_named(name)).is_ok());
        }
    }
}
