//! What is asked of the policy.

use std::num::NonZeroU32;

/// Longest name of a client, in bytes.
pub const CLIENT_MAX: usize = 128;
const SECONDS_PER_HOUR: u32 = 3_600;
const HOURS_PER_DAY: u32 = 24;

/// May this client have this payload signed by this key, now?
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// Who asks.
    pub client: Client,
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub spki: [u8; 32],
    /// The key's class in the registry.
    pub class: KeyClass,
    /// What would be signed.
    pub payload: Payload,
    /// Under which circumstances.
    pub context: Context,
}

/// Circumstances that a policy may ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Context {
    /// Hour of the day at the signer, UTC.
    pub hour: Hour,
    /// Payloads in the request.
    pub batch: NonZeroU32,
    /// Officers whose signatures on this very act were verified.
    pub approvals: u8,
}

/// Hour of the day, UTC: 0 to 23.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hour(u8);

impl Hour {
    /// The hour that `unix_s`, seconds since 1970, lies in.
    pub fn of(unix_s: u32) -> Hour {
        // At most 23, so nothing is cut off.
        Hour((unix_s / SECONDS_PER_HOUR % HOURS_PER_DAY) as u8)
    }

    /// 0 to 23.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// A process or person, named as it authenticated, in the role the configuration gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Client {
    role: Role,
    name: String,
}

/// The name is empty, too long, or holds more than printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("client name {0:?} is not 1 to {CLIENT_MAX} printable ASCII characters without spaces")]
pub struct InvalidClient(String);

impl Client {
    /// `name` as it authenticated (`uid:1001`, `obol://issuer/main`): 1 to [`CLIENT_MAX`] printable
    /// ASCII characters, no space.
    ///
    /// # Errors
    /// [`InvalidClient`].
    pub fn new(role: Role, name: &str) -> Result<Client, InvalidClient> {
        let printable = name.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable || !(1..=CLIENT_MAX).contains(&name.len()) {
            return Err(InvalidClient(name.to_owned()));
        }
        let name = name.to_owned();
        Ok(Client { role, name })
    }

    /// The role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What a client is to the key management.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The service that signs credentials and publishes trust.
    Issuer,
    /// The back end that keeps accounts and books.
    Platform,
    /// A security officer at the command line.
    Officer,
    /// The signing daemon itself.
    Daemon,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 4] = [Role::Issuer, Role::Platform, Role::Officer, Role::Daemon];

    /// Its name in policies.
    pub fn name(self) -> &'static str {
        match self {
            Role::Issuer => "issuer",
            Role::Platform => "platform",
            Role::Officer => "officer",
            Role::Daemon => "daemon",
        }
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyClass {
    /// Root CA, offline.
    Root,
    /// Issuer of credentials.
    Issuer,
    /// CA of mTLS identities.
    AccessCa,
    /// An officer's key for TUF root metadata, offline.
    TufRoot,
    /// Key of the trust bundle, offline.
    TufTargets,
    /// Online key: delegated targets, snapshot, timestamp.
    TufOnline,
    /// Checkpoints of the audit log.
    Audit,
    /// Requests to payment channels.
    Channel,
    /// Day roots of the books.
    LedgerClose,
    /// Wraps data keys; signs nothing.
    Data,
}

impl KeyClass {
    /// Every class.
    pub const ALL: [KeyClass; 10] = [
        KeyClass::Root,
        KeyClass::Issuer,
        KeyClass::AccessCa,
        KeyClass::TufRoot,
        KeyClass::TufTargets,
        KeyClass::TufOnline,
        KeyClass::Audit,
        KeyClass::Channel,
        KeyClass::LedgerClose,
        KeyClass::Data,
    ];

    /// Its name in policies.
    pub fn name(self) -> &'static str {
        match self {
            KeyClass::Root => "root",
            KeyClass::Issuer => "issuer",
            KeyClass::AccessCa => "access-ca",
            KeyClass::TufRoot => "tuf-root",
            KeyClass::TufTargets => "tuf-targets",
            KeyClass::TufOnline => "tuf-online",
            KeyClass::Audit => "audit",
            KeyClass::Channel => "channel",
            KeyClass::LedgerClose => "ledger-close",
            KeyClass::Data => "data",
        }
    }
}

/// What would be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Payload {
    /// Claims of a credential.
    CredentialClaims,
    /// A certificate before it is signed (RFC 5280 section 4.1).
    TbsCertificate,
    /// A revocation list (RFC 5280 section 5.1).
    Crl,
    /// TUF root metadata.
    TufRoot,
    /// TUF targets metadata, top-level or delegated.
    TufTargets,
    /// TUF snapshot metadata.
    TufSnapshot,
    /// TUF timestamp metadata.
    TufTimestamp,
    /// A checkpoint of the audit log.
    LogCheckpoint,
    /// The root of one closed business day.
    LedgerDayRoot,
}

impl Payload {
    /// Every payload type.
    pub const ALL: [Payload; 9] = [
        Payload::CredentialClaims,
        Payload::TbsCertificate,
        Payload::Crl,
        Payload::TufRoot,
        Payload::TufTargets,
        Payload::TufSnapshot,
        Payload::TufTimestamp,
        Payload::LogCheckpoint,
        Payload::LedgerDayRoot,
    ];

    /// Its name; the policies' action is `sign-` and this name.
    pub fn name(self) -> &'static str {
        match self {
            Payload::CredentialClaims => "credential-claims",
            Payload::TbsCertificate => "tbs-certificate",
            Payload::Crl => "crl",
            Payload::TufRoot => "tuf-root",
            Payload::TufTargets => "tuf-targets",
            Payload::TufSnapshot => "tuf-snapshot",
            Payload::TufTimestamp => "tuf-timestamp",
            Payload::LogCheckpoint => "log-checkpoint",
            Payload::LedgerDayRoot => "ledger-day-root",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_is_that_of_the_day_in_utc() {
        assert_eq!(Hour::of(0).get(), 0);
        assert_eq!(Hour::of(86_399).get(), 23);
        assert_eq!(Hour::of(86_400 + 3_600).get(), 1);
        assert_eq!(Hour::of(u32::MAX).get(), 6);
    }

    #[test]
    fn a_client_has_a_short_printable_name() {
        let longest = "a".repeat(CLIENT_MAX);
        for good in ["uid:0", "obol://issuer/main", &longest] {
            assert_eq!(Client::new(Role::Issuer, good).unwrap().name(), good);
        }
        let longer = "a".repeat(CLIENT_MAX + 1);
        for bad in ["", "two words", "line\n", "caf\u{e9}", &longer] {
            let refused = Client::new(Role::Issuer, bad);
            assert_eq!(refused, Err(InvalidClient(bad.to_owned())));
        }
    }
}
