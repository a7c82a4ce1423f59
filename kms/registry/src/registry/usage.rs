//! How often keys are used: counted on the disk in blocks, so that a signature seldom waits for it.

use std::collections::HashMap;
use std::ops::Range;

use obol_credential::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use crate::fault::{Doing, Fault};
use crate::limits::Rate;
use crate::registry::{Registry, Signable, lock};
use crate::spki::SpkiId;

/// Longest name of a client, in bytes.
pub const CLIENT_MAX: usize = 128;
/// Most clients of one key.
const CLIENTS_MAX: u32 = 1_024;
/// The bucket of all clients together.
const ALL_CLIENTS: &str = "";

/// A use that has been counted. Made by [`Registry::count`] alone; signing demands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    spki: SpkiId,
    number: u64,
}

impl Counted {
    /// The key.
    #[must_use]
    pub const fn spki(&self) -> SpkiId {
        self.spki
    }

    /// Which use of the key this is, from 1. Numbers are never given twice and never fall; a crash
    /// leaves a gap of at most 1 000.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }
}

/// Why a use was not counted: nothing is signed.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// The key has been used as often as it may.
    #[error("key {spki} has had all its {lifetime} uses")]
    UsedUp {
        /// The key.
        spki: SpkiId,
        /// Its uses.
        lifetime: u64,
    },
    /// The client has used its share for now.
    #[error("client {client:?} has used its share of key {spki}, more in {retry_after_s} s")]
    ClientRate {
        /// The key.
        spki: SpkiId,
        /// The client.
        client: String,
        /// When to ask again, in seconds.
        retry_after_s: u32,
    },
    /// All clients together have used the key's share for now.
    #[error("key {spki} has been used as often as it may be for now, more in {retry_after_s} s")]
    KeyRate {
        /// The key.
        spki: SpkiId,
        /// When to ask again, in seconds.
        retry_after_s: u32,
    },
    /// The name cannot be one.
    #[error("client name {0:?} is not 1 to {CLIENT_MAX} printable ASCII characters")]
    ClientName(String),
    /// More clients than one key is for.
    #[error("key {0} has {CLIENTS_MAX} clients already")]
    TooManyClients(SpkiId),
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What has been taken from the disk and not used yet. It is lost in a crash.
#[derive(Debug, Default)]
pub(super) struct Reserved {
    numbers: HashMap<SpkiId, Range<u64>>,
    permits: HashMap<(SpkiId, String), u32>,
}

impl Registry {
    /// Counts one use of a key by a client, against the key's lifetime and the rates of client and
    /// key. A refused use costs nothing.
    ///
    /// # Errors
    /// [`CountError`].
    pub fn count(
        &self,
        signable: &Signable,
        client: &str,
        now: UnixTime,
    ) -> Result<Counted, CountError> {
        check_name(client)?;
        let (spki, limits) = (signable.spki(), *signable.limits());
        let of_client = (spki, client.to_owned());
        let of_key = (spki, ALL_CLIENTS.to_owned());
        let mut reserved = lock(&self.reserved);
        let need_client = !reserved.permits.contains_key(&of_client);
        let need_key = !reserved.permits.contains_key(&of_key);
        let need_numbers = !reserved.numbers.contains_key(&spki);
        if need_client || need_key || need_numbers {
            // All or nothing: what one of them refuses, none of them pays.
            let (a, b, c) = self.write("reserving uses", |transaction| {
                let client = need_client
                    .then(|| take_client(transaction, spki, client, limits.per_client, now))
                    .transpose()?;
                let key = need_key
                    .then(|| take_key(transaction, spki, limits.per_key, now))
                    .transpose()?;
                let numbers = need_numbers
                    .then(|| take_numbers(transaction, spki, limits.block()))
                    .transpose()?;
                Ok::<_, CountError>((client, key, numbers))
            })?;
            reserved.permits.extend(a.map(|n| (of_client.clone(), n)));
            reserved.permits.extend(b.map(|n| (of_key.clone(), n)));
            reserved.numbers.extend(c.map(|range| (spki, range)));
        }
        reserved.spend(&of_client);
        reserved.spend(&of_key);
        let number = reserved.next_number(spki)?;
        Ok(Counted { spki, number })
    }

    /// Raises the count of a key's uses to at least `uses`, never beyond its lifetime: after a
    /// restore, the audit log knows better than the backup.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn raise_uses(&self, spki: SpkiId, uses: u64) -> Result<(), Fault> {
        let mut reserved = lock(&self.reserved);
        reserved.numbers.remove(&spki);
        self.write("raising a counter", |transaction| {
            transaction
                .execute(
                    "UPDATE key SET reserved = min(lifetime, max(reserved, ?2)) WHERE spki = ?1",
                    params![spki.0, uses],
                )
                .doing("raising a counter")
                .map(drop)
        })
    }
}

impl Reserved {
    fn spend(&mut self, bucket: &(SpkiId, String)) {
        match self.permits.get_mut(bucket) {
            Some(left) if *left > 1 => *left -= 1,
            _ => drop(self.permits.remove(bucket)),
        }
    }

    fn next_number(&mut self, spki: SpkiId) -> Result<u64, Fault> {
        let next = self.numbers.get_mut(&spki).and_then(Range::next);
        if self.numbers.get(&spki).is_some_and(Range::is_empty) {
            self.numbers.remove(&spki);
        }
        next.ok_or_else(|| Fault::Damaged(format!("no use of key {spki} was reserved")))
    }
}

fn check_name(client: &str) -> Result<(), CountError> {
    let printable = client.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if (1..=CLIENT_MAX).contains(&client.len()) && printable {
        Ok(())
    } else {
        Err(CountError::ClientName(client.to_owned()))
    }
}

/// The next numbers of a key: from `reserved` + 1, as many as a block or what is left.
fn take_numbers(
    connection: &Connection,
    spki: SpkiId,
    block: u64,
) -> Result<Range<u64>, CountError> {
    const DOING: &str = "reserving uses of a key";
    let (reserved, lifetime): (u64, u64) = connection
        .prepare_cached("SELECT reserved, lifetime FROM key WHERE spki = ?1")
        .and_then(|mut read| read.query_row([spki.0], |row| Ok((row.get(0)?, row.get(1)?))))
        .doing(DOING)?;
    let upto = lifetime.min(reserved.saturating_add(block));
    if upto <= reserved {
        return Err(CountError::UsedUp { spki, lifetime });
    }
    connection
        .prepare_cached("UPDATE key SET reserved = ?2 WHERE spki = ?1")
        .and_then(|mut write| write.execute(params![spki.0, upto]))
        .doing(DOING)?;
    Ok(reserved + 1..upto + 1)
}

fn take_client(
    connection: &Connection,
    spki: SpkiId,
    client: &str,
    rate: Rate,
    now: UnixTime,
) -> Result<u32, CountError> {
    take(connection, spki, client, rate, now)?.map_err(|retry_after_s| CountError::ClientRate {
        spki,
        client: client.to_owned(),
        retry_after_s,
    })
}

fn take_key(
    connection: &Connection,
    spki: SpkiId,
    rate: Rate,
    now: UnixTime,
) -> Result<u32, CountError> {
    take(connection, spki, ALL_CLIENTS, rate, now)?.map_err(|retry_after_s| CountError::KeyRate {
        spki,
        retry_after_s,
    })
}

/// Takes permits out of a bucket; the inner error is the seconds until there is one.
///
/// The bucket is one moment, up to which its permits are used up (a generic cell rate): a permit
/// moves it by the interval between permits, and it may be ahead of now by a burst. A clock that was
/// set back only makes the client wait.
fn take(
    connection: &Connection,
    spki: SpkiId,
    client: &str,
    rate: Rate,
    now: UnixTime,
) -> Result<Result<u32, u32>, CountError> {
    const DOING: &str = "reading a bucket";
    let stored: Option<i64> = connection
        .prepare_cached("SELECT spent_ns FROM bucket WHERE spki = ?1 AND client = ?2")
        .and_then(|mut read| {
            read.query_row(params![spki.0, client], |row| row.get(0))
                .optional()
        })
        .doing(DOING)?;
    if stored.is_none() && clients(connection, spki)? >= CLIENTS_MAX {
        return Err(CountError::TooManyClients(spki));
    }
    let now_ns = i64::from(now.0) * NS;
    let interval = rate.interval_ns();
    let spent = stored.unwrap_or(now_ns).max(now_ns);
    let ahead_most = interval.saturating_mul(i64::from(rate.burst));
    let free = (now_ns.saturating_add(ahead_most) - spent) / interval;
    if free < 1 {
        let wait = spent.saturating_add(interval) - now_ns.saturating_add(ahead_most);
        let seconds = wait.saturating_add(NS - 1) / NS;
        return Ok(Err(u32::try_from(seconds).unwrap_or(u32::MAX)));
    }
    let taken = u32::try_from(free).unwrap_or(u32::MAX).min(rate.block());
    let spent = spent.saturating_add(interval.saturating_mul(i64::from(taken)));
    connection
        .prepare_cached("INSERT OR REPLACE INTO bucket VALUES (?1, ?2, ?3)")
        .and_then(|mut write| write.execute(params![spki.0, client, spent]))
        .doing("writing a bucket")?;
    Ok(Ok(taken))
}

/// Nanoseconds in a second.
const NS: i64 = 1_000_000_000;

fn clients(connection: &Connection, spki: SpkiId) -> Result<u32, Fault> {
    connection
        .query_row(
            "SELECT count(*) FROM bucket WHERE spki = ?1",
            [spki.0],
            |row| row.get(0),
        )
        .doing("counting clients")
}
