//! Issuer keys that issuers have blocked, and the credentials that phones renew because of it.

use obol_account::AccountNumber;
use obol_payment::{Cti, Kid, UnixTime};
use rusqlite::{Transaction, params};

use super::row::{number_from, to_sql};
use super::{Books, Doing, SqliteStore};
use crate::{Fault, KeyStanding, KeysHeard, ToRenew};

/// How long after a block a credential of its key may still arrive: an issuer had signed it before
/// it heard of the block. One that signs with the key later does not hold it for blocked.
pub const IN_FLIGHT_S: u32 = 60;

impl SqliteStore {
    /// Takes an issuer's word on its keys. A key that it blocks now has every live credential of it
    /// marked, to be renewed; when no issuer blocks a key any more, its marks are gone. A key that
    /// it does not name stays as it was.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn hear_of_keys(
        &self,
        issuer: &str,
        keys: &[(Kid, KeyStanding)],
        now: UnixTime,
    ) -> Result<KeysHeard, Fault> {
        if !self.is_news(issuer, keys)? {
            return Ok(KeysHeard::default());
        }
        const DOING: &str = "marking credentials to renew";
        self.write(DOING, |transaction| {
            transaction
                .execute(
                    "DELETE FROM credential_to_renew WHERE expires_at <= ?1",
                    [now.0],
                )
                .doing(DOING)?;
            let mut heard = KeysHeard::default();
            for (kid, standing) in keys {
                match standing {
                    KeyStanding::Blocked if block(transaction, *kid, issuer, now)? => {
                        heard.blocked.push(*kid);
                    }
                    KeyStanding::Good if lift(transaction, *kid, issuer)? => {
                        heard.lifted.push(*kid);
                    }
                    KeyStanding::Blocked | KeyStanding::Good => {}
                }
            }
            Ok(heard)
        })
    }

    /// Whether anything of it is not known yet: asked often, and hardly ever so.
    fn is_news(&self, issuer: &str, keys: &[(Kid, KeyStanding)]) -> Result<bool, Fault> {
        let known = self.blocked_by(issuer)?;
        let news = |(kid, standing): &(Kid, KeyStanding)| {
            known.contains(kid) != (*standing == KeyStanding::Blocked)
        };
        Ok(keys.iter().any(news))
    }
}

impl Books {
    /// The keys that an issuer has blocked, as far as the platform has heard.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn blocked_by(&self, issuer: &str) -> Result<Vec<Kid>, Fault> {
        const DOING: &str = "reading blocked keys";
        self.read(DOING, |transaction| {
            transaction
                .prepare_cached("SELECT kid FROM issuer_key_block WHERE issuer = ?1 ORDER BY kid")
                .and_then(|mut statement| {
                    let kids = statement.query_map([issuer], |row| row.get(0).map(Kid))?;
                    kids.collect()
                })
                .doing(DOING)
        })
    }

    /// Live credentials of an account that its phone has to renew.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn credentials_to_renew(
        &self,
        number: AccountNumber,
        now: UnixTime,
    ) -> Result<Vec<Cti>, Fault> {
        const DOING: &str = "reading credentials to renew";
        self.read(DOING, |transaction| {
            transaction
                .prepare_cached(
                    "SELECT cti FROM credential_to_renew
                     WHERE bucket = ?1 AND number = ?2 AND expires_at > ?3 ORDER BY cti",
                )
                .and_then(|mut statement| {
                    let of = params![number.bucket().number(), to_sql(number.get()), now.0];
                    let ctis = statement.query_map(of, |row| row.get(0).map(Cti))?;
                    ctis.collect()
                })
                .doing(DOING)
        })
    }

    /// How much is marked of a key.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn to_renew(&self, kid: Kid, now: UnixTime) -> Result<ToRenew, Fault> {
        const DOING: &str = "counting credentials to renew";
        let count = |number: i64| number_from("credential_to_renew", "count", number);
        self.read(DOING, |transaction| {
            let (credentials, wallets) = transaction
                .query_row(
                    "SELECT COUNT(*), COUNT(DISTINCT number) FROM credential_to_renew
                     WHERE kid = ?1 AND expires_at > ?2",
                    params![kid.0, now.0],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .doing(DOING)?;
            Ok(ToRenew {
                credentials: count(credentials)?,
                wallets: count(wallets)?,
            })
        })
    }
}

/// Whether this issuer had not blocked it before.
fn block(
    transaction: &Transaction<'_>,
    kid: Kid,
    issuer: &str,
    now: UnixTime,
) -> Result<bool, Fault> {
    const DOING: &str = "marking credentials of a blocked key";
    let inserted = transaction
        .execute(
            "INSERT INTO issuer_key_block (kid, issuer, since) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
            params![kid.0, issuer, now.0],
        )
        .doing("keeping a blocked key")?;
    if inserted == 0 {
        return Ok(false);
    }
    // An account's bucket is its number's remainder by 64.
    transaction
        .execute(
            "INSERT INTO credential_to_renew (bucket, number, cti, kid, expires_at)
             SELECT number % 64, number, cti, kid, expires_at FROM credential
             WHERE kid = ?1 AND expires_at > ?2 ON CONFLICT DO NOTHING",
            params![kid.0, now.0],
        )
        .doing(DOING)?;
    Ok(true)
}

/// Whether this issuer had blocked it.
fn lift(transaction: &Transaction<'_>, kid: Kid, issuer: &str) -> Result<bool, Fault> {
    let deleted = transaction
        .execute(
            "DELETE FROM issuer_key_block WHERE kid = ?1 AND issuer = ?2",
            params![kid.0, issuer],
        )
        .doing("lifting the block of a key")?;
    transaction
        .execute(
            "DELETE FROM credential_to_renew WHERE kid = ?1
                 AND NOT EXISTS (SELECT 1 FROM issuer_key_block WHERE kid = ?1)",
            [kid.0],
        )
        .doing("taking marks off credentials")?;
    Ok(deleted == 1)
}

/// Marks a credential that comes when its key was blocked a moment ago.
pub(super) fn mark_late(
    transaction: &Transaction<'_>,
    (kid, cti): (Kid, Cti),
    number: AccountNumber,
    expires_at: UnixTime,
    now: UnixTime,
) -> Result<(), Fault> {
    let blocked_after = i64::from(now.0) - i64::from(IN_FLIGHT_S);
    transaction
        .prepare_cached(
            "INSERT INTO credential_to_renew (bucket, number, cti, kid, expires_at)
             SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS
                 (SELECT 1 FROM issuer_key_block WHERE kid = ?4 AND since > ?6)
             ON CONFLICT DO NOTHING",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                number.bucket().number(),
                to_sql(number.get()),
                cti.0,
                kid.0,
                expires_at.0,
                blocked_after,
            ])
        })
        .doing("marking a credential of a blocked key")?;
    Ok(())
}
