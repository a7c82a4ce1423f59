//! What a request must prove and what its credential says: no clock, no randomness, no I/O.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use obol_credential::possession::{self, Possession};
use obol_credential::{
    Claims, Cti, DeviceKey, FareTerms, Kid, Malformed, STATUS_EPOCH_S, UnixTime,
};
use thiserror::Error;

use crate::register::{Handle, Standing, Target};

/// How far a proof's time may lie from now, seconds, either way.
pub const POSSESSION_SKEW_S: u32 = 300;

/// What the credentials of this issuer look like.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Life in seconds, at most 48 h.
    pub life_s: u32,
    /// Status indexes of one key and epoch, a power of two.
    pub status_list_size: u32,
    /// How long a credential is remembered after the day it was issued, seconds.
    pub keep_s: u32,
    /// Of a hundred credentials, how many are verified again as a terminal would.
    pub sample_percent: u8,
    /// By rider class.
    pub templates: BTreeMap<u8, FareTemplate>,
}

/// What a rider class gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FareTemplate {
    /// The highest fare of one ride, minor units.
    pub cap_minor: u32,
    /// How long one boarding code stays good, 1 to 60 s.
    pub window_s: u16,
    /// The operator's own.
    pub flags: u8,
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The passenger's handle.
    pub subject: Handle,
    /// The phone's handle, where the platform gives one.
    pub device: Option<Handle>,
    /// The rider class.
    pub class: u8,
    /// The proof of possession of the device key.
    pub possession: Vec<u8>,
}

/// A request whose sender holds the device key, for a class there is. Only [`prove`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    subject: Handle,
    device: Option<Handle>,
    class: u8,
    device_key: DeviceKey,
    made: UnixTime,
    template: FareTemplate,
}

/// Why no credential is issued.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IssueRefused {
    /// The proof is not deterministic CBOR of its form.
    #[error("the proof of possession is malformed at {0}")]
    PossessionMalformed(Malformed),
    /// The proof is for another passenger.
    #[error("the proof of possession names another subject than the request")]
    OtherSubject,
    /// The proof is too old or from the future.
    #[error("the proof of possession was made at {made}, and now is {now}: more than 300 s apart")]
    Stale {
        /// When it was made.
        made: UnixTime,
        /// This service's time.
        now: UnixTime,
    },
    /// The device key did not sign the proof, or is no point of the curve.
    #[error("the device key did not sign the proof of possession")]
    Signature,
    /// No such class.
    #[error("class {0} is not configured")]
    UnknownClass(u8),
    /// A credential was asked for with this key before.
    #[error("a credential was asked for with this device key before")]
    DeviceKeyReused,
    /// No key may sign now: each is blocked, or its certificate does not cover now.
    #[error("none of the issuer's keys may sign now")]
    NoKey,
    /// The register came back from a backup, and no key may sign before the next day.
    #[error("the register was restored from a backup, and signs again at {until}")]
    RestoredToday {
        /// The first second of that day (UTC).
        until: UnixTime,
        /// When to come again, seconds.
        retry_after_s: u32,
    },
    /// Each index tried is taken.
    #[error("no free status index was found")]
    StatusListFull,
    /// The signing key's certificate does not cover now.
    #[error("the certificate of issuer key {0} does not cover now")]
    KeyNotValid(String),
    /// The subject or the phone is suspended or revoked.
    #[error("the {} {} is {standing}", target.kind(), target.handle())]
    Denied {
        /// Which of the two.
        target: Target,
        /// What holds.
        standing: Standing,
    },
    /// The client has had its credentials of this shard for today.
    #[error("the client's quota of {0} credentials of one shard a day is used up")]
    Quota(u32),
    /// The idempotency key belongs to another request.
    #[error("the idempotency key was used for a request with another body")]
    OtherRequest,
    /// The same request is under way.
    #[error("a request with this idempotency key is under way")]
    InProgress,
    /// More waits than can be signed in time.
    #[error("more requests wait than can be signed in time")]
    Overloaded {
        /// When to come again, seconds.
        retry_after_s: u32,
    },
    /// The token of the subject's shard gives no signatures; nothing was written down.
    #[error("the token of issuer key {0} gives no signatures now")]
    TokenAway(Kid),
    /// This issuer made no such credential.
    #[error("this issuer made no credential of that name, or has forgotten it")]
    UnknownCredential,
    /// The register or the daemon failed; the reason is logged.
    #[error("no signature could be had")]
    Unavailable,
}

/// Checks the proof (RFC 8747 leaves it to the profile: docs/spec/pt1.md section 5).
///
/// # Errors
/// [`IssueRefused`] with the first check that failed.
pub fn prove(asked: &Asked, policy: &Policy, now: UnixTime) -> Result<Proven, IssueRefused> {
    let (proof, signature) =
        possession::decode(&asked.possession).map_err(IssueRefused::PossessionMalformed)?;
    if proof.subject != asked.subject.0 {
        return Err(IssueRefused::OtherSubject);
    }
    let made = proof.issued_at;
    if now.since(made).unsigned_abs() > u64::from(POSSESSION_SKEW_S) {
        return Err(IssueRefused::Stale { made, now });
    }
    check_signature(&proof, &signature).ok_or(IssueRefused::Signature)?;
    let class = asked.class;
    let template = *policy
        .templates
        .get(&class)
        .ok_or(IssueRefused::UnknownClass(class))?;
    Ok(Proven {
        subject: asked.subject,
        device: asked.device,
        class,
        device_key: proof.device_key,
        made,
        template,
    })
}

/// Also refuses a key that is no point of the curve.
fn check_signature(proof: &Possession, signature: &[u8; 64]) -> Option<()> {
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, proof.device_key.as_sec1());
    key.verify(&possession::signature_input(proof), signature)
        .ok()
}

impl Proven {
    /// The passenger's handle.
    #[must_use]
    pub fn subject(&self) -> Handle {
        self.subject
    }

    /// The phone's handle, where there is one.
    #[must_use]
    pub fn device(&self) -> Option<Handle> {
        self.device
    }

    /// The rider class.
    #[must_use]
    pub fn class(&self) -> u8 {
        self.class
    }

    /// What the class gets.
    #[must_use]
    pub fn template(&self) -> FareTemplate {
        self.template
    }

    /// The key that the credential will name.
    #[must_use]
    pub fn device_key(&self) -> DeviceKey {
        self.device_key
    }

    /// When the proof was made, by the clock of whoever made it.
    #[must_use]
    pub fn made(&self) -> UnixTime {
        self.made
    }

    /// The claims, once name and index are drawn and reserved.
    #[must_use]
    pub fn claims(
        &self,
        issued_at: UnixTime,
        expires_at: UnixTime,
        cti: Cti,
        status_index: u32,
    ) -> Claims {
        let FareTemplate {
            cap_minor,
            window_s,
            flags,
        } = self.template;
        let fare = FareTerms {
            class: self.class,
            cap_minor,
            window_s,
            status_index,
            flags,
        };
        Claims {
            expires_at,
            issued_at,
            cti,
            device_key: self.device_key,
            fare,
        }
    }
}

/// The epoch of a status list: whole days since 1970 UTC.
#[must_use]
pub(crate) fn epoch(issued_at: UnixTime) -> u32 {
    issued_at.0 / STATUS_EPOCH_S
}
