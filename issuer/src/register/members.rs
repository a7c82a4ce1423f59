//! Who was let in by enrolment, and the codes that let them.

use obol_credential::UnixTime;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Register, RegisterError};

/// Wrong codes that an identity may be tried with.
const TRIES: u32 = 5;

/// A member of the deployment that enrolled here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki: [u8; 32],
    /// `obol://ROLE/NAME`.
    pub identity: String,
    /// The certificate's serial number, big-endian.
    pub serial: Vec<u8>,
    /// DER.
    pub certificate: Vec<u8>,
    /// Last second at which it is good.
    pub not_after: UnixTime,
    /// When it enrolled.
    pub enrolled_at: UnixTime,
    /// When it was revoked.
    pub revoked_at: Option<UnixTime>,
}

/// What a code is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeVerdict {
    /// It is the identity's, and this key's from now on.
    Good,
    /// The same key enrolled with it before; here is its certificate.
    Again(Vec<u8>),
    /// Wrong, expired, used by another key, or tried too often. One try is gone.
    Refused,
}

const COLUMNS: &str = "spki, identity, serial, certificate, not_after, enrolled_at, revoked_at";

impl Register {
    /// Gives an identity a code, by its hash; an earlier one is void.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn make_code(
        &self,
        identity: String,
        hash: [u8; 32],
        expires_at: UnixTime,
    ) -> Result<(), RegisterError> {
        const SQL: &str = "INSERT OR REPLACE INTO enrolment
                           (identity, code_hash, expires_at, tries_left) VALUES (?1, ?2, ?3, ?4)";
        self.write(move |connection| {
            let values = params![identity, hash, expires_at.0, TRIES];
            connection
                .execute(SQL, values)
                .map_err(RegisterError::from)?;
            Ok(())
        })
        .await
    }

    /// Tries a code for the key of a request; the try is counted durably before the answer.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn try_code(
        &self,
        identity: String,
        hash: [u8; 32],
        spki: [u8; 32],
        now: UnixTime,
    ) -> Result<CodeVerdict, RegisterError> {
        self.write(move |connection| try_code(connection, &identity, hash, spki, now))
            .await
    }

    /// Lets a member in.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn add_member(&self, member: Member) -> Result<(), RegisterError> {
        const SQL: &str = "INSERT INTO member (spki, identity, serial, certificate, not_after,
                           enrolled_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.write(move |connection| {
            let values = params![
                member.spki,
                member.identity,
                member.serial,
                member.certificate,
                member.not_after.0,
                member.enrolled_at.0,
            ];
            connection
                .execute(SQL, values)
                .map_err(RegisterError::from)?;
            Ok(())
        })
        .await
    }

    /// Every member whose certificate has not expired, revoked ones too.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn members(&self, now: UnixTime) -> Result<Vec<Member>, RegisterError> {
        self.read(move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM member WHERE not_after >= ?1");
            let mut statement = connection.prepare_cached(&sql)?;
            let found = statement.query_map([now.0], member)?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The member with this key.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn member(&self, spki: [u8; 32]) -> Result<Option<Member>, RegisterError> {
        self.read(move |connection| find(connection, spki)).await
    }

    /// Revokes a member; `None` when there is none with this key.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn revoke_member(
        &self,
        spki: [u8; 32],
        now: UnixTime,
    ) -> Result<Option<Member>, RegisterError> {
        const SQL: &str = "UPDATE member SET revoked_at = coalesce(revoked_at, ?2) WHERE spki = ?1";
        self.write(move |connection| {
            let done = connection.execute(SQL, params![spki, now.0]);
            done.map_err(RegisterError::from)?;
            find(connection, spki)
        })
        .await
    }
}

fn try_code(
    connection: &Connection,
    identity: &str,
    hash: [u8; 32],
    spki: [u8; 32],
    now: UnixTime,
) -> Result<CodeVerdict, RegisterError> {
    type Code = ([u8; 32], u32, u32, Option<[u8; 32]>);
    const SELECT: &str = "SELECT code_hash, expires_at, tries_left, used_by FROM enrolment
                          WHERE identity = ?1";
    let code: Option<Code> = connection
        .query_row(SELECT, [identity], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((expected, expires_at, tries_left, used_by)) = code else {
        return Ok(CodeVerdict::Refused);
    };
    if tries_left == 0 || now.0 >= expires_at {
        return Ok(CodeVerdict::Refused);
    }
    if hash != expected || used_by.is_some_and(|user| user != spki) {
        const COUNT: &str = "UPDATE enrolment SET tries_left = tries_left - 1 WHERE identity = ?1";
        connection.execute(COUNT, [identity])?;
        return Ok(CodeVerdict::Refused);
    }
    if let Some(member) = find(connection, spki)? {
        let same = member.identity == identity && member.revoked_at.is_none();
        return Ok(if same {
            CodeVerdict::Again(member.certificate)
        } else {
            CodeVerdict::Refused
        });
    }
    const USE: &str = "UPDATE enrolment SET used_by = ?2 WHERE identity = ?1";
    connection.execute(USE, params![identity, spki])?;
    Ok(CodeVerdict::Good)
}

fn find(connection: &Connection, spki: [u8; 32]) -> Result<Option<Member>, RegisterError> {
    let sql = format!("SELECT {COLUMNS} FROM member WHERE spki = ?1");
    let found = connection.prepare_cached(&sql)?.query_row([spki], member);
    Ok(found.optional()?)
}

fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        spki: row.get(0)?,
        identity: row.get(1)?,
        serial: row.get(2)?,
        certificate: row.get(3)?,
        not_after: UnixTime(row.get(4)?),
        enrolled_at: UnixTime(row.get(5)?),
        revoked_at: row.get::<_, Option<u32>>(6)?.map(UnixTime),
    })
}
