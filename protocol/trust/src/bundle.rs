use alloc::vec::Vec;
use core::fmt;

use obol_credential::{Algorithm, Kid, NAME_MAX, UnixTime, is_name};

/// Bytes of the largest bundle.
pub const BUNDLE_MAX: usize = 64 * 1024;
/// Keys in the largest bundle.
pub const ENTRIES_MAX: usize = 64;
/// Bytes of the largest certificate of an entry.
pub const CERTIFICATE_MAX: usize = 4096;
/// Characters of the longest operator name.
pub const OPERATOR_MAX: usize = NAME_MAX;

/// One issuer key: the fields a small terminal uses and the certificate that proves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The first four bytes of the SHA-256 of the key's SubjectPublicKeyInfo.
    pub kid: Kid,
    /// The one algorithm that credentials of this key use.
    pub algorithm: Algorithm,
    /// The public key as a compressed SEC1 point: 33 bytes on P-256, 49 on P-384.
    pub point: &'a [u8],
    /// First second at which the key is good.
    pub not_before: UnixTime,
    /// Last second at which the key is good.
    pub not_after: UnixTime,
    /// The operator it may issue for: 1 to 32 characters of `a-z 0-9 -`.
    pub operator: &'a str,
    /// The rider classes it may issue, bit per class; at least one.
    pub classes: u32,
    /// DER certificate of the key, issued by the root; 1 to 4096 bytes.
    pub certificate: &'a [u8],
}

/// The issuer keys of a deployment at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustBundle<'a> {
    pub(crate) issued_at: UnixTime,
    pub(crate) expires_at: UnixTime,
    pub(crate) entries: Vec<Entry<'a>>,
}

/// Why entries do not make a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleRefused {
    /// The entry, when one is to blame.
    pub kid: Option<Kid>,
    /// The rule that is broken.
    pub rule: &'static str,
}

impl fmt::Display for BundleRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kid {
            Some(kid) => write!(f, "key {kid}: {}", self.rule),
            None => f.write_str(self.rule),
        }
    }
}

impl core::error::Error for BundleRefused {}

impl<'a> TrustBundle<'a> {
    /// Makes a bundle; the entries are put into the order of their kids.
    ///
    /// # Errors
    /// [`BundleRefused`] when a rule of docs/spec/trust.md section 2 is broken.
    pub fn new(
        issued_at: UnixTime,
        expires_at: UnixTime,
        mut entries: Vec<Entry<'a>>,
    ) -> Result<Self, BundleRefused> {
        let broken = |kid, rule| BundleRefused { kid, rule };
        check_life(issued_at, expires_at).map_err(|rule| broken(None, rule))?;
        if !(1..=ENTRIES_MAX).contains(&entries.len()) {
            return Err(broken(None, "not 1 to 64 keys"));
        }
        entries.sort_by_key(|entry| entry.kid);
        for pair in entries.windows(2) {
            if pair[0].kid == pair[1].kid {
                return Err(broken(Some(pair[0].kid), UNSORTED));
            }
        }
        for entry in &entries {
            entry
                .check()
                .map_err(|rule| broken(Some(entry.kid), rule))?;
        }
        let bundle = Self {
            issued_at,
            expires_at,
            entries,
        };
        if bundle.encode().len() > BUNDLE_MAX {
            return Err(broken(None, TOO_LARGE));
        }
        Ok(bundle)
    }

    /// When the issuer made it.
    #[must_use]
    pub fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// The first second at which it is out of date.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// The keys, 1 to 64, ascending by kid.
    #[must_use]
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }
}

pub(crate) const UNSORTED: &str = "kids are not ascending, each once";
pub(crate) const TOO_LARGE: &str = "longer than 65536 bytes";

pub(crate) fn check_life(issued_at: UnixTime, expires_at: UnixTime) -> Result<(), &'static str> {
    demand(
        issued_at < expires_at,
        "the bundle does not expire after its issue",
    )
}

impl Entry<'_> {
    /// The rules that an entry keeps by itself; the first one broken.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let point_len = match self.algorithm {
            Algorithm::Esp256 => 33,
            Algorithm::Esp384 => 49,
        };
        let compressed = self.point.len() == point_len && matches!(self.point[0], 2 | 3);
        demand(
            compressed,
            "not a compressed point of the algorithm's curve",
        )?;
        demand(
            self.not_before <= self.not_after,
            "the key ends before it begins",
        )?;
        demand(
            is_name(self.operator),
            "the operator is not 1 to 32 characters of a-z 0-9 -",
        )?;
        demand(self.classes != 0, "no rider class")?;
        let sized = (1..=CERTIFICATE_MAX).contains(&self.certificate.len());
        demand(sized, "the certificate is not 1 to 4096 bytes")
    }
}

fn demand(holds: bool, rule: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(rule) }
}
