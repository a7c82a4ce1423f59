use core::fmt;

use obol_ledger::{AccountId, Bucket};

/// The number of a passenger's account, 1..=2^53-1, so that every JSON reader keeps it exact.
///
/// Its remainder by 64 is the bucket of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNumber(u64);

/// A number that no account can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account number is 1 to {max}, not {0}", max = AccountNumber::MAX)]
pub struct AccountNumberOutOfRange(u64);

impl AccountNumber {
    /// The largest number.
    pub const MAX: u64 = (1 << 53) - 1;

    /// Checks a number.
    ///
    /// # Errors
    /// [`AccountNumberOutOfRange`] for 0 and beyond [`AccountNumber::MAX`].
    pub const fn new(number: u64) -> Result<AccountNumber, AccountNumberOutOfRange> {
        if number == 0 || number > AccountNumber::MAX {
            return Err(AccountNumberOutOfRange(number));
        }
        Ok(AccountNumber(number))
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The part of the books it lies in.
    pub const fn bucket(self) -> Bucket {
        Bucket::of_number(self.0)
    }

    /// The wallet in the ledger.
    pub const fn wallet(self) -> AccountId {
        AccountId::wallet(self.0)
    }
}

impl fmt::Display for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// 16 random bytes by which the issuer knows a passenger, and knows nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectHandle(pub [u8; 16]);

impl fmt::Display for SubjectHandle {
    /// 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SubjectHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectHandle({self})")
    }
}

/// Whether an account may be used. The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// 1: credentials are issued.
    Active = 1,
    /// 2: no new credentials; money and rides still post.
    Frozen = 2,
}

impl Status {
    /// All states.
    pub const ALL: [Status; 2] = [Status::Active, Status::Frozen];

    /// The stored number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The state with this number.
    pub fn from_number(number: u8) -> Option<Status> {
        Status::ALL
            .into_iter()
            .find(|status| status.number() == number)
    }
}

/// A passenger as the platform knows one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passenger {
    /// The account.
    pub number: AccountNumber,
    /// The name under which the issuer knows the same person.
    pub subject: SubjectHandle,
    /// Whether the account may be used.
    pub status: Status,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_number_survives_every_json_reader() {
        assert_eq!(AccountNumber::new(0), Err(AccountNumberOutOfRange(0)));
        assert!(AccountNumber::new(AccountNumber::MAX).is_ok());
        let beyond = AccountNumber::MAX + 1;
        assert_eq!(
            AccountNumber::new(beyond),
            Err(AccountNumberOutOfRange(beyond))
        );
    }
}
