//! Requests by their idempotency key, and what they made.

use obol_credential::{Claims, Cti, DeviceKey, FareTerms, Kid, UnixTime};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::standing::Handle;
use super::{Register, RegisterError, ReserveRefused};
use crate::issuance::epoch;

/// A request as its client named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Of the client and its key together.
    pub id: [u8; 16],
    /// Of what was asked.
    pub digest: [u8; 32],
}

/// A credential that was reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRecord {
    /// The key that signs it.
    pub kid: Kid,
    /// The passenger's handle.
    pub subject: Handle,
    /// The phone's handle, where there is one.
    pub device: Option<Handle>,
    /// Everything the credential says.
    pub claims: Claims,
    /// Raw r||s, once it was kept.
    pub signature: Option<Vec<u8>>,
    /// Index of the leaf in the daemon's audit log that approved the signature.
    pub leaf: Option<u64>,
}

const LEAF: &str = "an index in the audit log is beyond 63 bits";
const COLUMNS: &str = "kid, subject, device, cti, device_key, issued_at, expires_at, status_index, \
                       class, cap_minor, window_s, flags, signature, leaf";

impl Register {
    /// What the request made before: the items that were reserved, by their place.
    ///
    /// # Errors
    /// [`ReserveRefused::OtherRequest`] when the key was used for something else.
    pub(crate) async fn recall(
        &self,
        request: RequestKey,
        items: u32,
    ) -> Result<Vec<Option<CredentialRecord>>, ReserveRefused> {
        let found = self.read(move |connection| {
            let Some(digest) = digest(connection, &request)? else {
                return Ok(Ok(vec![None; items as usize]));
            };
            if digest != request.digest {
                return Ok(Err(ReserveRefused::OtherRequest));
            }
            let found = (0..items).map(|item| find(connection, &request, item));
            found.collect::<Result<_, _>>().map(Ok)
        });
        found.await?
    }

    /// The credential of this name.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn credential(&self, cti: Cti) -> Result<Option<CredentialRecord>, RegisterError> {
        self.read(move |connection| {
            one(
                connection,
                &format!("SELECT {COLUMNS} FROM issued WHERE cti = ?1"),
                [cti.0],
            )
        })
        .await
    }

    /// Credentials of a subject that have not expired, the newest first, at most `limit`.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn live_credentials(
        &self,
        subject: Handle,
        now: UnixTime,
        limit: u32,
    ) -> Result<Vec<CredentialRecord>, RegisterError> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM issued WHERE subject = ?1 AND expires_at > ?2 \
                 ORDER BY expires_at DESC LIMIT ?3"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params![subject.0, now.0, limit])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.extend(record(row)?);
            }
            Ok(found)
        })
        .await
    }

    /// Keeps where the daemon's log has a signature; with `signature` that itself too, so that the
    /// same request gets the same bytes again.
    pub(crate) async fn keep_signed(
        &self,
        kid: Kid,
        claims: &Claims,
        leaf: u64,
        signature: Option<Vec<u8>>,
    ) -> Result<(), RegisterError> {
        let (day, index) = (epoch(claims.issued_at), claims.fare.status_index);
        let leaf = i64::try_from(leaf).map_err(|_| RegisterError::Damaged(LEAF))?;
        self.write_later(move |connection| {
            const UPDATE: &str = "UPDATE issued SET leaf = ?5, signature = ifnull(?4, signature)
                                  WHERE kid = ?1 AND epoch = ?2 AND status_index = ?3";
            connection
                .prepare_cached(UPDATE)?
                .execute(params![kid.0, day, index, signature, leaf])?;
            Ok(())
        })
        .await
    }
}

/// Takes the key for this request, or finds that it is this request's already.
pub(super) fn claim(
    connection: &Connection,
    request: &RequestKey,
    now: UnixTime,
) -> Result<(), ReserveRefused> {
    match digest(connection, request)? {
        Some(digest) if digest == request.digest => Ok(()),
        Some(_) => Err(ReserveRefused::OtherRequest),
        None => {
            connection
                .prepare_cached("INSERT INTO request (id, digest, made_at) VALUES (?1, ?2, ?3)")?
                .execute(params![request.id, request.digest, now.0])?;
            Ok(())
        }
    }
}

pub(super) fn find(
    connection: &Connection,
    request: &RequestKey,
    item: u32,
) -> Result<Option<CredentialRecord>, RegisterError> {
    one(
        connection,
        &format!("SELECT {COLUMNS} FROM issued WHERE request = ?1 AND item = ?2"),
        params![request.id, item],
    )
}

fn digest(
    connection: &Connection,
    request: &RequestKey,
) -> Result<Option<[u8; 32]>, RegisterError> {
    Ok(connection
        .prepare_cached("SELECT digest FROM request WHERE id = ?1")?
        .query_row([request.id], |row| row.get(0))
        .optional()?)
}

fn one(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Option<CredentialRecord>, RegisterError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    match rows.next()? {
        Some(row) => record(row),
        None => Ok(None),
    }
}

/// `None` for a row of the release that did not keep what the credential says.
fn record(row: &Row<'_>) -> Result<Option<CredentialRecord>, RegisterError> {
    let Some(class) = row.get("class")? else {
        return Ok(None);
    };
    let device_key = DeviceKey::from_sec1(row.get("device_key")?).ok_or(RegisterError::Damaged(
        "a device key is no compressed point",
    ))?;
    let fare = FareTerms {
        class,
        cap_minor: row.get("cap_minor")?,
        window_s: row.get("window_s")?,
        status_index: row.get("status_index")?,
        flags: row.get("flags")?,
    };
    let claims = Claims {
        expires_at: UnixTime(row.get("expires_at")?),
        issued_at: UnixTime(row.get("issued_at")?),
        cti: Cti(row.get("cti")?),
        device_key,
        fare,
    };
    Ok(Some(CredentialRecord {
        kid: Kid(row.get("kid")?),
        subject: Handle(row.get("subject")?),
        device: row.get::<_, Option<[u8; 16]>>("device")?.map(Handle),
        claims,
        signature: row.get("signature")?,
        leaf: row
            .get::<_, Option<i64>>("leaf")?
            .map(u64::try_from)
            .transpose()
            .map_err(|_| RegisterError::Damaged(LEAF))?,
    }))
}
