//! Who is suspended or revoked.

use std::fmt;

use obol_credential::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};
use thiserror::Error;

use super::{Register, RegisterError};

/// 16 bytes by which the platform names a passenger or a phone, and which say nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle(pub [u8; 16]);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({self})")
    }
}

/// Whom a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A passenger: every credential of theirs.
    Subject(Handle),
    /// A phone: every credential that was asked for with its handle.
    Device(Handle),
}

impl Target {
    /// `subject` or `device`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Subject(_) => "subject",
            Self::Device(_) => "device",
        }
    }

    /// Its handle.
    #[must_use]
    pub fn handle(self) -> Handle {
        match self {
            Self::Subject(handle) | Self::Device(handle) => handle,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Subject(_) => 0,
            Self::Device(_) => 1,
        }
    }
}

/// Whether credentials are issued and live ones are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known against the target.
    Active,
    /// Denied until it is resumed.
    Suspended,
    /// Denied for good.
    Revoked,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        })
    }
}

impl Standing {
    fn number(self) -> u8 {
        match self {
            Self::Active => 0,
            Self::Suspended => 1,
            Self::Revoked => 2,
        }
    }

    fn of_number(number: u8) -> Result<Self, RegisterError> {
        match number {
            0 => Ok(Self::Active),
            1 => Ok(Self::Suspended),
            2 => Ok(Self::Revoked),
            _ => Err(RegisterError::Damaged("a standing is none of three")),
        }
    }
}

/// A standing, and who changed it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingRecord {
    /// What holds.
    pub standing: Standing,
    /// Why, in the client's words.
    pub reason: String,
    /// The client's URI.
    pub changed_by: String,
    /// When.
    pub changed_at: UnixTime,
}

/// A command on a target.
#[derive(Clone, Debug)]
pub struct Change {
    /// Whom it is about.
    pub target: Target,
    /// What shall hold.
    pub to: Standing,
    /// Why; at most 200 bytes, checked by the API.
    pub reason: String,
    /// The client's URI.
    pub by: String,
    /// When.
    pub at: UnixTime,
    /// Its place among the client's commands on this target, where it counts them.
    pub number: Option<u64>,
}

/// Why a standing was not changed.
#[derive(Clone, Debug, Error)]
pub enum ChangeRefused {
    /// Nothing leads back from revoked.
    #[error("the {} is revoked for good", .0.kind())]
    Revoked(Target),
    /// A command of a higher number came before.
    #[error("command {0} comes after command {1}, which holds")]
    Superseded(u64, u64),
    /// The register failed.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

impl From<rusqlite::Error> for ChangeRefused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Register(error.into())
    }
}

impl Register {
    /// Changes a standing; durable when this returns. The same command again changes nothing and
    /// gives what holds.
    ///
    /// # Errors
    /// [`ChangeRefused`].
    pub async fn change_standing(&self, change: Change) -> Result<StandingRecord, ChangeRefused> {
        self.write(move |connection| apply(connection, change))
            .await
    }

    /// What holds for a target; `None` when no command was ever given on it.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn standing(&self, target: Target) -> Result<Option<StandingRecord>, RegisterError> {
        self.read(move |connection| find(connection, target)).await
    }
}

fn apply(connection: &Connection, change: Change) -> Result<StandingRecord, ChangeRefused> {
    const UPSERT: &str = "
INSERT INTO standing (kind, handle, state, reason, changed_by, changed_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (kind, handle) DO UPDATE SET state = excluded.state, reason = excluded.reason,
    changed_by = excluded.changed_by, changed_at = excluded.changed_at
";
    const COUNT: &str = "UPDATE standing SET number = ?3 WHERE kind = ?1 AND handle = ?2";
    const NOTE: &str = "
INSERT INTO standing_change (kind, handle, state, reason, changed_by, changed_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
";
    let (kind, handle) = (change.target.number(), change.target.handle().0);
    if let (Some(number), Some(last)) = (change.number, last_number(connection, change.target)?)
        && number < last
    {
        return Err(ChangeRefused::Superseded(number, last));
    }
    let count = |connection: &Connection| -> Result<(), ChangeRefused> {
        if let Some(number) = change.number {
            // More than an i64 nobody counts to.
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            connection
                .prepare_cached(COUNT)?
                .execute(params![kind, handle, number])?;
        }
        Ok(())
    };
    match find(connection, change.target)? {
        Some(held) if held.standing == change.to => {
            count(connection)?;
            return Ok(held);
        }
        Some(held) if held.standing == Standing::Revoked => {
            return Err(ChangeRefused::Revoked(change.target));
        }
        _ => {}
    }
    for sql in [UPSERT, NOTE] {
        connection.prepare_cached(sql)?.execute(params![
            change.target.number(),
            change.target.handle().0,
            change.to.number(),
            change.reason,
            change.by,
            change.at.0,
        ])?;
    }
    count(connection)?;
    Ok(StandingRecord {
        standing: change.to,
        reason: change.reason,
        changed_by: change.by,
        changed_at: change.at,
    })
}

pub(super) fn of(connection: &Connection, target: Target) -> Result<Standing, RegisterError> {
    let number: Option<u8> = connection
        .prepare_cached("SELECT state FROM standing WHERE kind = ?1 AND handle = ?2")?
        .query_row(params![target.number(), target.handle().0], |row| {
            row.get(0)
        })
        .optional()?;
    number.map_or(Ok(Standing::Active), Standing::of_number)
}

fn last_number(connection: &Connection, target: Target) -> Result<Option<u64>, RegisterError> {
    const SELECT: &str = "SELECT number FROM standing WHERE kind = ?1 AND handle = ?2";
    let number: Option<Option<i64>> = connection
        .prepare_cached(SELECT)?
        .query_row(params![target.number(), target.handle().0], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(number.flatten().map(i64::unsigned_abs))
}

fn find(connection: &Connection, target: Target) -> Result<Option<StandingRecord>, RegisterError> {
    const SELECT: &str = "SELECT state, reason, changed_by, changed_at FROM standing
                          WHERE kind = ?1 AND handle = ?2";
    let mut statement = connection.prepare_cached(SELECT)?;
    let mut rows = statement.query(params![target.number(), target.handle().0])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(StandingRecord {
        standing: Standing::of_number(row.get(0)?)?,
        reason: row.get(1)?,
        changed_by: row.get(2)?,
        changed_at: UnixTime(row.get(3)?),
    }))
}
