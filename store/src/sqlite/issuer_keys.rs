use obol_payment::UnixTime;
use rusqlite::params;

use super::{Books, Doing, SqliteStore};
use crate::Fault;

impl SqliteStore {
    /// Keeps the certificates (DER) of issuer keys that the pinned root vouches for, for good.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn keep_issuer_certificates(
        &self,
        certificates: &[Vec<u8>],
        now: UnixTime,
    ) -> Result<(), Fault> {
        const DOING: &str = "keeping issuer certificates";
        self.write(DOING, |transaction| {
            for certificate in certificates {
                transaction
                    .execute(
                        "INSERT INTO issuer_certificate (certificate, accepted_at)
                         VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                        params![certificate, now.0],
                    )
                    .doing(DOING)?;
            }
            Ok(())
        })
    }
}

impl Books {
    /// The certificates that were kept, the newest first.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn issuer_certificates(&self) -> Result<Vec<Vec<u8>>, Fault> {
        const DOING: &str = "reading issuer certificates";
        self.read(DOING, |transaction| {
            transaction
                .prepare_cached(
                    "SELECT certificate FROM issuer_certificate
                     ORDER BY accepted_at DESC, certificate",
                )
                .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
                .doing(DOING)
        })
    }
}
