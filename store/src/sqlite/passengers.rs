use obol_account::dpop::Authenticated;
use obol_account::{AccountNumber, EnrolledKey, Passenger, Status, SubjectHandle, Thumbprint};
use obol_ledger::{Amount, Authorised, BUCKETS, Bucket};
use obol_payment::{Cti, Kid, UnixTime};
use rusqlite::{OptionalExtension, Transaction, params};

use super::row::{account_number, blob_from, damaged, number_from, to_sql};
use super::{Books, Doing, SqliteStore, key_blocks, ledger, uses};
use crate::{AdmitRefused, AuthoriseIssueRefused, BindRefused, EnrolRefused, Enrolment, Fault};

/// The most credentials of one account that have not expired. A phone needs one, and the next one
/// before it expires; each takes a status index of the issuer.
pub const LIVE_CREDENTIALS_MAX: u32 = 48;

/// A request that proves possession of its key *and* is fresh. Only [`SqliteStore::admit`] makes
/// one.
#[derive(Debug)]
pub struct Admitted {
    key: EnrolledKey,
    thumbprint: Thumbprint,
}

impl Admitted {
    /// The key that signed the request.
    pub const fn key(&self) -> EnrolledKey {
        self.key
    }

    /// Its RFC 7638 thumbprint.
    pub const fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }
}

impl SqliteStore {
    /// Admits an authenticated request of an enrolled key, once: its `jti` is remembered until the
    /// proof expires. For a key that was never enrolled nothing is written.
    ///
    /// # Errors
    /// [`AdmitRefused::NotEnrolled`], or [`AdmitRefused::Replayed`] when the same key used the
    /// same `jti` before.
    pub fn admit(
        &self,
        authenticated: &Authenticated,
        now: UnixTime,
    ) -> Result<Admitted, AdmitRefused> {
        if !self.knows(authenticated)? {
            return Err(AdmitRefused::NotEnrolled(authenticated.thumbprint()));
        }
        self.admit_newcomer(authenticated, now)
    }

    /// Admits an authenticated request of any key, once: for enrolment, which the caller limits.
    ///
    /// # Errors
    /// [`AdmitRefused::Replayed`] when the same key used the same `jti` before.
    pub fn admit_newcomer(
        &self,
        authenticated: &Authenticated,
        now: UnixTime,
    ) -> Result<Admitted, AdmitRefused> {
        const DOING: &str = "remembering a proof";
        let (key, thumbprint) = (authenticated.key(), authenticated.thumbprint());
        let bucket = Bucket::of_bytes(&thumbprint.0);
        let (jti, expires_at) = (authenticated.jti(), authenticated.expires_at());
        self.write(DOING, |transaction| {
            transaction
                .execute("DELETE FROM dpop_jti WHERE expires_at < ?1", [now.0])
                .doing("forgetting expired proofs")?;
            let inserted = transaction
                .execute(
                    "INSERT INTO dpop_jti (bucket, thumbprint, jti, expires_at)
                     VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                    params![bucket.number(), thumbprint.0, jti, expires_at.0],
                )
                .doing(DOING)?;
            match inserted {
                1 => Ok(Admitted { key, thumbprint }),
                _ => Err(AdmitRefused::Replayed {
                    jti: jti.to_owned(),
                }),
            }
        })
    }

    /// Enrols the key of the request: a new passenger with an empty wallet, or the one who has
    /// this key already. `subject` is fresh randomness.
    ///
    /// # Errors
    /// [`EnrolRefused`]; nothing is enrolled.
    pub fn enrol_passenger(
        &self,
        request: &Admitted,
        subject: SubjectHandle,
        now: UnixTime,
    ) -> Result<Enrolment, EnrolRefused> {
        self.write("enrolling a passenger", |transaction| {
            if let Some(passenger) = find_by_key(transaction, request.thumbprint)? {
                return Ok(Enrolment::Existing(passenger));
            }
            let bucket = Bucket::of_bytes(&request.thumbprint.0);
            if subject_exists(transaction, bucket, subject)? {
                return Err(EnrolRefused::SubjectTaken);
            }
            let number = next_number(transaction, bucket)?;
            let passenger = Passenger {
                number,
                subject,
                status: Status::Active,
            };
            insert_passenger(transaction, &passenger, now)?;
            insert_device(transaction, request, number, now)?;
            ledger::open_account(transaction, number.wallet(), Amount::ZERO)?;
            Ok(Enrolment::Created(passenger))
        })
    }

    /// Records whose rides this credential pays, before the phone receives it. One whose key was
    /// blocked while it was made is marked: the phone has to renew it.
    ///
    /// # Errors
    /// [`BindRefused::TakenByAnother`] when another account has the same (kid, cti).
    pub fn bind_credential(
        &self,
        kid: Kid,
        cti: Cti,
        number: AccountNumber,
        expires_at: UnixTime,
        now: UnixTime,
    ) -> Result<(), BindRefused> {
        self.write("binding a credential", |transaction| {
            transaction
                .execute(
                    "INSERT INTO credential (bucket, cti, kid, number, expires_at)
                     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                    params![
                        Bucket::of_bytes(&cti.0).number(),
                        cti.0,
                        kid.0,
                        to_sql(number.get()),
                        expires_at.0
                    ],
                )
                .doing("inserting a credential")?;
            match account_of_credential(transaction, kid, cti)? {
                Some(holder) if holder == number => {
                    key_blocks::mark_late(transaction, (kid, cti), number, expires_at, now)?;
                    Ok(())
                }
                _ => Err(BindRefused::TakenByAnother),
            }
        })
    }
}

impl Books {
    /// Whether the key of the request is enrolled.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn knows(&self, authenticated: &Authenticated) -> Result<bool, Fault> {
        self.read("looking for an enrolled key", |transaction| {
            Ok(find_by_key(transaction, authenticated.thumbprint())?.is_some())
        })
    }

    /// Who has an account; `None` when nobody does.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn passenger(&self, number: AccountNumber) -> Result<Option<Passenger>, Fault> {
        self.read("finding a passenger", |transaction| {
            find_by_number(transaction, number)
        })
    }

    /// Who sent the request; `None` when its key was never enrolled.
    ///
    /// # Errors
    /// [`Fault`] when storage fails.
    pub fn passenger_of(&self, request: &Admitted) -> Result<Option<Passenger>, Fault> {
        self.read("finding a passenger", |transaction| {
            find_by_key(transaction, request.thumbprint)
        })
    }

    /// Asks whether a credential may be issued to the account: active, without an open case of a
    /// reused counter, with less than [`LIVE_CREDENTIALS_MAX`] live ones, and able to pay `fare`
    /// at least once. This is where limits act; a ride that was taken offline is always posted.
    ///
    /// # Errors
    /// [`AuthoriseIssueRefused`] says why not.
    pub fn authorise_issue(
        &self,
        number: AccountNumber,
        fare: Amount,
        now: UnixTime,
    ) -> Result<Authorised, AuthoriseIssueRefused> {
        self.read("authorising a credential", |transaction| {
            let passenger = find_by_number(transaction, number)?
                .ok_or(AuthoriseIssueRefused::UnknownAccount(number))?;
            if passenger.status != Status::Active {
                return Err(AuthoriseIssueRefused::NotActive(number, passenger.status));
            }
            if uses::has_reused_counter(transaction, number)? {
                return Err(AuthoriseIssueRefused::CounterReused(number));
            }
            let (live, most) = (
                live_credentials(transaction, number, now)?,
                LIVE_CREDENTIALS_MAX,
            );
            if live >= most {
                return Err(AuthoriseIssueRefused::TooMany { number, live, most });
            }
            let (counters, floor) = ledger::read_account(transaction, number.wallet())?;
            counters
                .authorise(floor, fare)
                .map_err(|reason| AuthoriseIssueRefused::NotCovered { number, reason })
        })
    }
}

fn live_credentials(
    transaction: &Transaction<'_>,
    number: AccountNumber,
    now: UnixTime,
) -> Result<u32, Fault> {
    transaction
        .prepare_cached("SELECT COUNT(*) FROM credential WHERE number = ?1 AND expires_at > ?2")
        .and_then(|mut statement| {
            statement.query_row(params![to_sql(number.get()), now.0], |row| row.get(0))
        })
        .doing("counting live credentials")
}

/// The account a credential was issued to.
pub(super) fn account_of_credential(
    transaction: &Transaction<'_>,
    kid: Kid,
    cti: Cti,
) -> Result<Option<AccountNumber>, Fault> {
    let number: Option<i64> = transaction
        .prepare_cached("SELECT number FROM credential WHERE bucket = ?1 AND cti = ?2 AND kid = ?3")
        .and_then(|mut statement| {
            let bucket = Bucket::of_bytes(&cti.0).number();
            statement
                .query_row(params![bucket, cti.0, kid.0], |row| row.get(0))
                .optional()
        })
        .doing("finding a credential's account")?;
    number
        .map(|number| account_number("credential", number))
        .transpose()
}

pub(super) fn find_by_number(
    transaction: &Transaction<'_>,
    number: AccountNumber,
) -> Result<Option<Passenger>, Fault> {
    let found: Option<(Vec<u8>, i64)> = transaction
        .query_row(
            "SELECT subject, status FROM passenger WHERE bucket = ?1 AND number = ?2",
            params![number.bucket().number(), to_sql(number.get())],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .doing("finding a passenger")?;
    let Some((subject, status)) = found else {
        return Ok(None);
    };
    let subject = SubjectHandle(blob_from("passenger", "subject", subject)?);
    let status = Status::from_number(number_from("passenger", "status", status)?)
        .ok_or_else(|| damaged("passenger", format_args!("status {status}")))?;
    Ok(Some(Passenger {
        number,
        subject,
        status,
    }))
}

fn find_by_key(
    transaction: &Transaction<'_>,
    thumbprint: Thumbprint,
) -> Result<Option<Passenger>, Fault> {
    let number: Option<i64> = transaction
        .query_row(
            "SELECT number FROM device WHERE bucket = ?1 AND thumbprint = ?2",
            params![Bucket::of_bytes(&thumbprint.0).number(), thumbprint.0],
            |row| row.get(0),
        )
        .optional()
        .doing("finding a device")?;
    let Some(number) = number else {
        return Ok(None);
    };
    find_by_number(transaction, account_number("device", number)?)
}

fn subject_exists(
    transaction: &Transaction<'_>,
    bucket: Bucket,
    subject: SubjectHandle,
) -> Result<bool, Fault> {
    transaction
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM passenger WHERE bucket = ?1 AND subject = ?2)",
            params![bucket.number(), subject.0],
            |row| row.get(0),
        )
        .doing("looking for a subject handle")
}

/// The next account number of a bucket: its remainder by 64 is the bucket, the first is 64 or
/// more.
fn next_number(
    transaction: &Transaction<'_>,
    bucket: Bucket,
) -> Result<AccountNumber, EnrolRefused> {
    let last: Option<i64> = transaction
        .query_row(
            "SELECT MAX(number) FROM passenger WHERE bucket = ?1",
            [bucket.number()],
            |row| row.get(0),
        )
        .doing("numbering accounts")?;
    let next = last.unwrap_or(i64::from(bucket.number())) + i64::from(BUCKETS);
    AccountNumber::new(next.unsigned_abs()).map_err(|_| EnrolRefused::BucketFull(bucket.number()))
}

fn insert_passenger(
    transaction: &Transaction<'_>,
    passenger: &Passenger,
    now: UnixTime,
) -> Result<(), Fault> {
    transaction
        .execute(
            "INSERT INTO passenger (bucket, number, subject, status, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                passenger.number.bucket().number(),
                to_sql(passenger.number.get()),
                passenger.subject.0,
                passenger.status.number(),
                now.0
            ],
        )
        .doing("inserting a passenger")?;
    Ok(())
}

fn insert_device(
    transaction: &Transaction<'_>,
    request: &Admitted,
    number: AccountNumber,
    now: UnixTime,
) -> Result<(), Fault> {
    transaction
        .execute(
            "INSERT INTO device (bucket, thumbprint, public_key, number, enrolled_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                Bucket::of_bytes(&request.thumbprint.0).number(),
                request.thumbprint.0,
                request.key.to_sec1(),
                to_sql(number.get()),
                now.0
            ],
        )
        .doing("inserting a device")?;
    Ok(())
}
