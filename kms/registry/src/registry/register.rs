use obol_credential::UnixTime;
use rusqlite::{Connection, params};

use crate::class::{Algorithm, Class};
use crate::fault::{Doing, Fault};
use crate::limits::Limits;
use crate::machine::{Act, State};
use crate::registry::history::{self, NewChange};
use crate::registry::{KeyRecord, Registry, record};
use crate::spki::SpkiId;

/// Most keys in a registry, living and dead.
pub const KEYS_MAX: u32 = 100_000;
/// Longest label, in bytes.
const LABEL_MAX: usize = 64;
/// Longest serial number, in bytes: PKCS#11 has 16.
const SERIAL_MAX: usize = 16;

/// A key that a token has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// SHA-256 of `spki_der`.
    pub spki: SpkiId,
    /// DER SubjectPublicKeyInfo; for AES a descriptor of 1 to 64 bytes.
    pub spki_der: Vec<u8>,
    /// What it is for; never changed.
    pub class: Class,
    /// Its kind.
    pub algorithm: Algorithm,
    /// Serial number of its token: 1 to 16 printable ASCII characters.
    pub token_serial: String,
    /// Its label in the token: 1 to 64 printable ASCII characters.
    pub label: String,
    /// How much it may be used; [`Limits::of`] its class where nothing else is meant.
    pub limits: Limits,
}

/// Why a key was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It is registered already.
    #[error("key {0} is registered already")]
    Registered(SpkiId),
    /// The name is not that of the public key.
    #[error("key {given} is not the hash of its public key, which is {computed}")]
    Name {
        /// The name given.
        given: SpkiId,
        /// The name of the public key given.
        computed: SpkiId,
    },
    /// The public key is not of the algorithm.
    #[error("the public key of {spki} is not of algorithm {algorithm}")]
    PublicKey {
        /// The key.
        spki: SpkiId,
        /// The algorithm given.
        algorithm: Algorithm,
    },
    /// Keys of the class are of another algorithm.
    #[error("a key of class {class} is not of algorithm {algorithm}")]
    Algorithm {
        /// The class.
        class: Class,
        /// The algorithm given.
        algorithm: Algorithm,
    },
    /// Label or serial number cannot be shown.
    #[error("{field} {value:?} is not 1 to {most} printable ASCII characters")]
    Text {
        /// Which.
        field: &'static str,
        /// What was given.
        value: String,
        /// The most characters.
        most: usize,
    },
    /// The registry is full.
    #[error("the registry holds {KEYS_MAX} keys already")]
    Full,
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Registry {
    /// Records a key that a token has made; it is then `generated`, at version 1.
    ///
    /// # Errors
    /// [`RegisterError`]: known already, or its parts contradict each other.
    pub fn register(&self, key: &NewKey, now: UnixTime) -> Result<KeyRecord, RegisterError> {
        key.check()?;
        self.write("registering a key", |transaction| {
            if record::one(transaction, key.spki)?.is_some() {
                return Err(RegisterError::Registered(key.spki));
            }
            if count(transaction)? >= KEYS_MAX {
                return Err(RegisterError::Full);
            }
            insert(transaction, key, now)?;
            let change = NewChange {
                spki: key.spki,
                version: 1,
                from: State::Planned,
                to: State::Generated,
                act: Act::Generate,
                at: now,
                reason: "made by its token",
            };
            history::append(transaction, self.id(), &change, &[])?;
            record::known(transaction, key.spki).map_err(RegisterError::Fault)
        })
    }
}

impl NewKey {
    fn check(&self) -> Result<(), RegisterError> {
        let (spki, class, algorithm) = (self.spki, self.class, self.algorithm);
        let computed = SpkiId::of(&self.spki_der);
        if computed != spki {
            let given = spki;
            return Err(RegisterError::Name { given, computed });
        }
        if !class.algorithms().contains(&algorithm) {
            return Err(RegisterError::Algorithm { class, algorithm });
        }
        if !algorithm.fits(&self.spki_der) {
            return Err(RegisterError::PublicKey { spki, algorithm });
        }
        for (field, value, most) in [
            ("label", &self.label, LABEL_MAX),
            ("token serial", &self.token_serial, SERIAL_MAX),
        ] {
            let printable = value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
            if value.is_empty() || value.len() > most || !printable {
                let value = value.clone();
                return Err(RegisterError::Text { field, value, most });
            }
        }
        Ok(())
    }
}

fn count(connection: &Connection) -> Result<u32, Fault> {
    connection
        .query_row("SELECT count(*) FROM key", [], |row| row.get(0))
        .doing("counting keys")
}

fn insert(connection: &Connection, key: &NewKey, now: UnixTime) -> Result<(), Fault> {
    let Limits {
        lifetime,
        per_key,
        per_client,
    } = key.limits;
    connection
        .execute(
            "INSERT INTO key (spki, spki_der, class, algorithm, token_serial, label, state,
                 version, registered_at, lifetime, key_permits, key_per_s, key_burst,
                 client_permits, client_per_s, client_burst)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            params![
                key.spki.0,
                key.spki_der,
                key.class.name(),
                key.algorithm.name(),
                key.token_serial,
                key.label,
                State::Generated.name(),
                now.0,
                lifetime,
                per_key.permits,
                per_key.per_s,
                per_key.burst,
                per_client.permits,
                per_client.per_s,
                per_client.burst,
            ],
        )
        .doing("writing a key")?;
    Ok(())
}
