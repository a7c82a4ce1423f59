//! From columns to values, refusing what we could not have written.

use obol_account::AccountNumber;
use obol_ledger::{AccountId, Bucket, Code};

use crate::Fault;

/// SQL's integers are signed: owners and sequence numbers have 63 bits.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).expect("owners, account numbers and sequence numbers have 63 bits")
}

pub(super) fn number_from<T: TryFrom<i64>>(
    table: &'static str,
    column: &str,
    value: i64,
) -> Result<T, Fault> {
    T::try_from(value).map_err(|_| damaged(table, format_args!("{column} {value}")))
}

pub(super) fn blob_from<const N: usize>(
    table: &'static str,
    column: &str,
    value: Vec<u8>,
) -> Result<[u8; N], Fault> {
    let length = value.len();
    value
        .try_into()
        .map_err(|_| damaged(table, format_args!("{column} of {length} bytes")))
}

pub(super) fn account_id(
    table: &'static str,
    bucket: i64,
    code: i64,
    owner: i64,
) -> Result<AccountId, Fault> {
    let bucket_number: u8 = number_from(table, "bucket", bucket)?;
    let bucket = Bucket::new(bucket_number)
        .ok_or_else(|| damaged(table, format_args!("bucket {bucket_number}")))?;
    let code = Code::from_number(number_from(table, "code", code)?)
        .map_err(|unknown| damaged(table, unknown))?;
    Ok(AccountId {
        bucket,
        code,
        owner: number_from(table, "owner", owner)?,
    })
}

pub(super) fn account_number(table: &'static str, number: i64) -> Result<AccountNumber, Fault> {
    AccountNumber::new(number_from(table, "number", number)?)
        .map_err(|out_of_range| damaged(table, out_of_range))
}

pub(super) fn damaged(table: &'static str, what: impl std::fmt::Display) -> Fault {
    Fault::Damaged {
        table,
        what: what.to_string(),
    }
}
