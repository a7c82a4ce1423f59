//! Which status index and which device key each credential has, in SQLite.
//!
//! One thread owns the connection and commits whatever has gathered as one transaction, so that
//! an fsync is shared by all requests that wait for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use miette::Diagnostic;
use obol_console::{FileError, make_private};
use obol_credential::{Cti, DeviceKey, Kid, UnixTime};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::issuance::epoch;

/// How many indexes a request draws; with a tenth of the list in use, all taken once in 10^16.
pub(crate) const CANDIDATES: usize = 16;
const QUEUE_MAX: usize = 256;
const BATCH_MAX: usize = 64;
const BUSY_DEADLINE: Duration = Duration::from_secs(5);
const SCHEMA_VERSION: i32 = 1;

const SCHEMA: &str = "
CREATE TABLE issued (
    kid          BLOB    NOT NULL CHECK (length(kid) = 4),
    epoch        INTEGER NOT NULL,
    status_index INTEGER NOT NULL,
    cti          BLOB    NOT NULL UNIQUE CHECK (length(cti) = 8),
    subject      BLOB    NOT NULL CHECK (length(subject) = 16),
    device_key   BLOB    NOT NULL UNIQUE CHECK (length(device_key) = 33),
    issued_at    INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    PRIMARY KEY (kid, epoch, status_index)
) STRICT, WITHOUT ROWID;
CREATE INDEX issued_by_subject ON issued (subject, expires_at);
";

const INSERT: &str = "
INSERT INTO issued (kid, epoch, status_index, cti, subject, device_key, issued_at, expires_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (kid, epoch, status_index) DO NOTHING
";

/// A credential that is about to be signed.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// The key that will sign.
    pub kid: Kid,
    /// The passenger's handle.
    pub subject: [u8; 16],
    /// The key that the credential will name.
    pub device_key: DeviceKey,
    /// Its random name.
    pub cti: Cti,
    /// When it is issued; its day is the status list's epoch.
    pub issued_at: UnixTime,
    /// The first second at which it is refused.
    pub expires_at: UnixTime,
    /// Random indexes; the first free one is taken.
    pub candidates: [u32; CANDIDATES],
}

/// Why nothing was reserved.
#[derive(Clone, Debug, Error, Diagnostic)]
pub enum RegisterError {
    /// The key is in the register already.
    #[error("the device key was used before")]
    DeviceKeyReused,
    /// Each candidate is taken.
    #[error("each of the indexes drawn is taken")]
    Full,
    /// The file cannot be made.
    #[error("the register of issued credentials cannot be made")]
    #[diagnostic(help("check the folder of the file named by `database`"))]
    File(#[source] Arc<FileError>),
    /// SQLite failed; nothing was reserved.
    #[error("the register of issued credentials failed")]
    #[diagnostic(help(
        "check the file named by `database`: its folder, its rights, the disk's room"
    ))]
    Storage(#[source] Arc<rusqlite::Error>),
    /// The file was written by another release.
    #[error("the register has version {0}, not {SCHEMA_VERSION}")]
    #[diagnostic(help("run the release that wrote the file named by `database`"))]
    Version(i32),
    /// The thread is gone.
    #[error("the register has stopped")]
    Stopped,
}

impl From<rusqlite::Error> for RegisterError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(Arc::new(error))
    }
}

struct Order {
    reservation: Reservation,
    answer: oneshot::Sender<Result<u32, RegisterError>>,
}

/// The register; dropping it ends its thread once what was ordered is committed.
#[derive(Debug)]
pub struct Register {
    orders: mpsc::Sender<Order>,
}

impl Register {
    /// Opens the database, or makes it, readable by its owner alone.
    ///
    /// # Errors
    /// [`RegisterError::File`], [`RegisterError::Storage`] and [`RegisterError::Version`].
    pub fn open(path: &Path) -> Result<Self, RegisterError> {
        let connection = connect(path)?;
        let (orders, incoming) = mpsc::channel(QUEUE_MAX);
        std::thread::spawn(move || keep(connection, incoming));
        Ok(Self { orders })
    }

    /// Reserves a status index for the credential; durable when this returns.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing is reserved then.
    pub async fn reserve(&self, reservation: Reservation) -> Result<u32, RegisterError> {
        let (answer, answered) = oneshot::channel();
        let order = Order {
            reservation,
            answer,
        };
        self.orders
            .send(order)
            .await
            .map_err(|_| RegisterError::Stopped)?;
        answered.await.map_err(|_| RegisterError::Stopped)?
    }
}

fn connect(path: &Path) -> Result<Connection, RegisterError> {
    make_private(path).map_err(|error| RegisterError::File(Arc::new(error)))?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_DEADLINE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    let transaction = connection.transaction()?;
    match transaction.pragma_query_value(None, "user_version", |row| row.get(0))? {
        SCHEMA_VERSION => {}
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        other => return Err(RegisterError::Version(other)),
    }
    transaction.commit()?;
    Ok(connection)
}

fn keep(mut connection: Connection, mut incoming: mpsc::Receiver<Order>) {
    while let Some(first) = incoming.blocking_recv() {
        let mut orders = vec![first];
        while orders.len() < BATCH_MAX
            && let Ok(order) = incoming.try_recv()
        {
            orders.push(order);
        }
        let results = commit(&mut connection, &orders);
        for (place, order) in orders.into_iter().enumerate() {
            let result = match &results {
                Ok(results) => results[place].clone(),
                Err(error) => Err(error.clone()),
            };
            // Whoever asked may be gone; the index stays reserved, which costs one bit.
            order.answer.send(result).ok();
        }
    }
}

type Reserved = Result<u32, RegisterError>;

fn commit(connection: &mut Connection, orders: &[Order]) -> Result<Vec<Reserved>, RegisterError> {
    let transaction = connection.transaction()?;
    let reserved = orders
        .iter()
        .map(|order| insert(&transaction, &order.reservation))
        .collect();
    transaction.commit()?;
    Ok(reserved)
}

fn insert(transaction: &Transaction<'_>, new: &Reservation) -> Reserved {
    let device_key = new.device_key.as_sec1();
    let used = transaction
        .prepare_cached("SELECT 1 FROM issued WHERE device_key = ?1")?
        .query_row([device_key], |_| Ok(()))
        .optional()?;
    if used.is_some() {
        return Err(RegisterError::DeviceKeyReused);
    }
    let mut statement = transaction.prepare_cached(INSERT)?;
    for index in new.candidates {
        let inserted = statement.execute(params![
            new.kid.0,
            epoch(new.issued_at),
            index,
            new.cti.0,
            new.subject,
            device_key,
            new.issued_at.0,
            new.expires_at.0,
        ])?;
        if inserted == 1 {
            return Ok(index);
        }
    }
    Err(RegisterError::Full)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reservation(key: u8, candidates: [u32; CANDIDATES]) -> Reservation {
        let mut point = [key; 33];
        point[0] = 2;
        Reservation {
            kid: Kid([1; 4]),
            subject: [9; 16],
            device_key: DeviceKey::from_sec1(point).unwrap(),
            cti: Cti([key; 8]),
            issued_at: UnixTime(1_800_000_000),
            expires_at: UnixTime(1_800_086_400),
            candidates,
        }
    }

    #[tokio::test]
    async fn an_index_is_given_once_in_a_key_and_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let register = Register::open(&folder.path().join("issued.sqlite")).unwrap();
        assert_eq!(
            register
                .reserve(reservation(1, [5; CANDIDATES]))
                .await
                .unwrap(),
            5
        );
        let taken = register
            .reserve(reservation(2, [5; CANDIDATES]))
            .await
            .unwrap_err();
        assert!(matches!(taken, RegisterError::Full), "{taken:?}");

        let mut then_free = [5; CANDIDATES];
        then_free[CANDIDATES - 1] = 6;
        assert_eq!(
            register.reserve(reservation(2, then_free)).await.unwrap(),
            6
        );

        let other_key = Reservation {
            kid: Kid([2; 4]),
            ..reservation(3, [5; CANDIDATES])
        };
        assert_eq!(register.reserve(other_key).await.unwrap(), 5);
        let other_day = UnixTime(1_800_000_000 + obol_credential::STATUS_EPOCH_S);
        let other_day = Reservation {
            issued_at: other_day,
            ..reservation(4, [5; CANDIDATES])
        };
        assert_eq!(register.reserve(other_day).await.unwrap(), 5);
    }

    #[tokio::test]
    async fn a_device_key_is_taken_once_whatever_the_subject() {
        let folder = tempfile::tempdir().unwrap();
        let register = Register::open(&folder.path().join("issued.sqlite")).unwrap();
        register
            .reserve(reservation(1, [5; CANDIDATES]))
            .await
            .unwrap();
        let again = Reservation {
            subject: [8; 16],
            cti: Cti([7; 8]),
            ..reservation(1, [6; CANDIDATES])
        };
        let refused = register.reserve(again).await.unwrap_err();
        assert!(
            matches!(refused, RegisterError::DeviceKeyReused),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn what_was_reserved_is_there_after_the_register_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("issued.sqlite");
        let register = Register::open(&path).unwrap();
        register
            .reserve(reservation(1, [5; CANDIDATES]))
            .await
            .unwrap();
        // Opened while the first still holds the file, as after kill -9: no orderly close.
        let reopened = Register::open(&path).unwrap();
        let refused = reopened
            .reserve(reservation(1, [6; CANDIDATES]))
            .await
            .unwrap_err();
        assert!(
            matches!(refused, RegisterError::DeviceKeyReused),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn the_registers_files_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let register = Register::open(&folder.path().join("issued.sqlite")).unwrap();
        register
            .reserve(reservation(1, [5; CANDIDATES]))
            .await
            .unwrap();
        let files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777)
            .collect();
        assert_eq!(files, [0o600; 3], "the database and its two companions");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_at_once_get_different_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let register = Arc::new(Register::open(&folder.path().join("issued.sqlite")).unwrap());
        let candidates: [u32; CANDIDATES] = std::array::from_fn(|place| place as u32);
        let tasks: Vec<_> = (0..CANDIDATES as u8)
            .map(|key| {
                let register = register.clone();
                tokio::spawn(async move { register.reserve(reservation(key, candidates)).await })
            })
            .collect();
        let mut given = Vec::new();
        for task in tasks {
            given.push(task.await.unwrap().unwrap());
        }
        given.sort_unstable();
        assert_eq!(given, candidates);
    }

    #[test]
    fn a_file_that_is_no_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noise");
        std::fs::write(&path, [0xa5; 8192]).unwrap();
        let refused = Register::open(&path).unwrap_err();
        assert!(matches!(refused, RegisterError::Storage(_)), "{refused:?}");
    }
}
