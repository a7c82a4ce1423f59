use core::fmt;

/// Why a boarding code was refused. Numbers are stable and never reused; docs/spec/pt1.md
/// section 6 gives one rule to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum RefusalCode {
    /// Not base45, not deterministic CBOR, or not a PT1 presentation.
    Malformed = 1,
    /// Another prefix than `PT1:`, or another audience than `P1`.
    UnknownScheme = 2,
    /// The trust bundle has no key with this kid and algorithm.
    UnknownKey = 3,
    /// The issuer key is suspended.
    KeySuspended = 4,
    /// The issuer key does not serve this operator, class or time.
    OutOfScope = 5,
    /// The issuer's signature does not verify.
    IssuerSig = 6,
    /// The device key's signature does not verify.
    DeviceSig = 7,
    /// The credential has expired.
    CredExpired = 8,
    /// The boarding code is past its window.
    CodeStale = 9,
    /// The boarding code or the credential is from the future.
    CodeFuture = 10,
    /// The credential's status is denied.
    Denied = 11,
    /// No status list covers the credential.
    StatusMissing = 12,
    /// This very boarding code was taken before.
    Duplicate = 13,
    /// The credential was used here within the passback interval.
    Passback = 14,
    /// More taps than the terminal may take.
    Velocity = 15,
    /// The fare is above the credential's cap.
    Cap = 16,
    /// No fare is known for this ride.
    FareUnknown = 17,
    /// The terminal's clock cannot be right.
    ClockFault = 18,
    /// The trust bundle has expired.
    BundleExpired = 19,
    /// The tap could not be made durable.
    StorageFault = 20,
}

const ALL: [RefusalCode; 20] = [
    RefusalCode::Malformed,
    RefusalCode::UnknownScheme,
    RefusalCode::UnknownKey,
    RefusalCode::KeySuspended,
    RefusalCode::OutOfScope,
    RefusalCode::IssuerSig,
    RefusalCode::DeviceSig,
    RefusalCode::CredExpired,
    RefusalCode::CodeStale,
    RefusalCode::CodeFuture,
    RefusalCode::Denied,
    RefusalCode::StatusMissing,
    RefusalCode::Duplicate,
    RefusalCode::Passback,
    RefusalCode::Velocity,
    RefusalCode::Cap,
    RefusalCode::FareUnknown,
    RefusalCode::ClockFault,
    RefusalCode::BundleExpired,
    RefusalCode::StorageFault,
];

impl RefusalCode {
    /// Every code, in the order of the numbers.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        &ALL
    }

    /// The stable number, 1 ..= 20.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The stable name, as in `CODE_STALE`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "MALFORMED",
            Self::UnknownScheme => "UNKNOWN_SCHEME",
            Self::UnknownKey => "UNKNOWN_KEY",
            Self::KeySuspended => "KEY_SUSPENDED",
            Self::OutOfScope => "OUT_OF_SCOPE",
            Self::IssuerSig => "ISSUER_SIG",
            Self::DeviceSig => "DEVICE_SIG",
            Self::CredExpired => "CRED_EXPIRED",
            Self::CodeStale => "CODE_STALE",
            Self::CodeFuture => "CODE_FUTURE",
            Self::Denied => "DENIED",
            Self::StatusMissing => "STATUS_MISSING",
            Self::Duplicate => "DUPLICATE",
            Self::Passback => "PASSBACK",
            Self::Velocity => "VELOCITY",
            Self::Cap => "CAP",
            Self::FareUnknown => "FARE_UNKNOWN",
            Self::ClockFault => "CLOCK_FAULT",
            Self::BundleExpired => "BUNDLE_EXPIRED",
            Self::StorageFault => "STORAGE_FAULT",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
