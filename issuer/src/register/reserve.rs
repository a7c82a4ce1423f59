//! Names and indexes are taken before anything is signed.

use obol_credential::{Cti, DeviceKey, Kid, UnixTime};
use rusqlite::{Connection, OptionalExtension, params};
use thiserror::Error;

use super::replay::{self, CredentialRecord, RequestKey};
use super::standing::{self, Handle, Standing, Target};
use super::{Register, RegisterError, quota};
use crate::issuance::{FareTemplate, epoch};

/// How many indexes a request draws; with a tenth of the list in use, all taken once in 10^16.
pub(crate) const CANDIDATES: usize = 32;

const INSERT: &str = "
INSERT INTO issued (kid, epoch, status_index, cti, subject, device_key, issued_at, expires_at,
                    device, class, cap_minor, window_s, flags, request, item)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
ON CONFLICT (kid, epoch, status_index) DO NOTHING
";

/// A credential that is about to be signed.
#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    /// The key that will sign.
    pub kid: Kid,
    /// The passenger's handle.
    pub subject: Handle,
    /// The phone's handle, where the client gave one.
    pub device: Option<Handle>,
    /// The key that the credential will name.
    pub device_key: DeviceKey,
    /// Its random name.
    pub cti: Cti,
    /// When it is issued; its day is the status list's epoch.
    pub issued_at: UnixTime,
    /// The first second at which it is refused.
    pub expires_at: UnixTime,
    /// The rider class.
    pub class: u8,
    /// What the class gets.
    pub template: FareTemplate,
    /// Random indexes; the first free one is taken.
    pub candidates: [u32; CANDIDATES],
    /// Its place in the request.
    pub item: u32,
}

/// Reservations that one client asked for in one request.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// The client's URI.
    pub client: String,
    /// The request's name, where the client gave one.
    pub request: Option<RequestKey>,
    /// Credentials that the client may have of one key in one day.
    pub quota: u32,
    /// At least one.
    pub items: Vec<Reservation>,
}

/// What became of a reservation.
#[derive(Clone, Debug)]
pub(crate) enum Reserved {
    /// This index is the credential's from now on.
    New(u32),
    /// The same request reserved this before.
    Again(Box<CredentialRecord>),
}

/// Why nothing was reserved for an item.
#[derive(Clone, Debug, Error)]
pub(crate) enum ReserveRefused {
    #[error("the device key was used before")]
    DeviceKeyReused,
    #[error("each of the indexes drawn is taken")]
    Full,
    #[error("the {} is {}", .0.kind(), .1)]
    Denied(Target, Standing),
    #[error("the client's quota of {0} credentials a day is used up")]
    Quota(u32),
    #[error("the idempotency key belongs to another request")]
    OtherRequest,
    #[error(transparent)]
    Register(#[from] RegisterError),
}

impl From<rusqlite::Error> for ReserveRefused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Register(error.into())
    }
}

type ItemReserved = Result<Reserved, ReserveRefused>;

impl Register {
    /// Reserves a status index for each item; durable when this returns.
    ///
    /// # Errors
    /// [`ReserveRefused`] of all items, or of each.
    pub(crate) async fn reserve(&self, batch: Batch) -> Result<Vec<ItemReserved>, ReserveRefused> {
        self.write(move |connection| reserve(connection, &batch))
            .await
    }
}

fn reserve(connection: &Connection, batch: &Batch) -> Result<Vec<ItemReserved>, ReserveRefused> {
    if let Some(request) = &batch.request {
        let now = batch
            .items
            .first()
            .map_or(UnixTime(0), |item| item.issued_at);
        replay::claim(connection, request, now)?;
    }
    batch
        .items
        .iter()
        .map(|item| match reserve_one(connection, batch, item) {
            // A failing database undoes the whole request.
            Err(ReserveRefused::Register(cause)) => Err(ReserveRefused::Register(cause)),
            result => Ok(result),
        })
        .collect()
}

fn reserve_one(connection: &Connection, batch: &Batch, new: &Reservation) -> ItemReserved {
    if let Some(request) = &batch.request
        && let Some(prior) = replay::find(connection, request, new.item)?
    {
        return Ok(Reserved::Again(Box::new(prior)));
    }
    let targets = [
        Some(Target::Subject(new.subject)),
        new.device.map(Target::Device),
    ];
    for target in targets.into_iter().flatten() {
        let standing = standing::of(connection, target)?;
        if standing != Standing::Active {
            return Err(ReserveRefused::Denied(target, standing));
        }
    }
    let used = connection
        .prepare_cached("SELECT 1 FROM issued WHERE device_key = ?1")?
        .query_row([new.device_key.as_sec1()], |_| Ok(()))
        .optional()?;
    if used.is_some() {
        return Err(ReserveRefused::DeviceKeyReused);
    }
    quota::check(connection, batch, new)?;
    let index = insert(connection, batch, new)?;
    quota::count(connection, batch, new)?;
    Ok(Reserved::New(index))
}

fn insert(
    connection: &Connection,
    batch: &Batch,
    new: &Reservation,
) -> Result<u32, ReserveRefused> {
    let mut statement = connection.prepare_cached(INSERT)?;
    let request = batch.request.as_ref().map(|request| request.id);
    for index in new.candidates {
        let inserted = statement.execute(params![
            new.kid.0,
            epoch(new.issued_at),
            index,
            new.cti.0,
            new.subject.0,
            new.device_key.as_sec1(),
            new.issued_at.0,
            new.expires_at.0,
            new.device.map(|device| device.0),
            new.class,
            new.template.cap_minor,
            new.template.window_s,
            new.template.flags,
            request,
            request.map(|_| new.item),
        ])?;
        if inserted == 1 {
            return Ok(index);
        }
    }
    Err(ReserveRefused::Full)
}
