use core::fmt;

use obol_credential::{Algorithm, Encoded, Kid, NAME_MAX, UnixTime, is_name};

use crate::{Backend, Tables, point::PublicPoint};

/// The transport operator that a key and a terminal serve: 1 to 32 characters of `a-z 0-9 -`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator(Encoded<NAME_MAX>);

impl Operator {
    /// `None` for another length or another character.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        if !is_name(name) {
            return None;
        }
        Encoded::copy_of(name.as_bytes()).map(Self)
    }

    /// The name.
    ///
    /// # Panics
    /// Never: the name was ASCII when it was taken.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("the name was checked to be ASCII")
    }
}

/// First and last second at which an issuer key is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first good second.
    pub not_before: UnixTime,
    /// The last good second.
    pub not_after: UnixTime,
}

impl Validity {
    pub(crate) fn covers(&self, time: UnixTime) -> bool {
        self.not_before <= time && time <= self.not_after
    }
}

/// Whether an issuer key is to be believed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// In use, or retiring: its credentials are good.
    Trusted,
    /// Blocked: every credential of it is refused with `KEY_SUSPENDED`.
    Suspended,
}

/// An issuer key that a terminal believes, within its scope.
#[derive(Clone, Debug)]
pub struct IssuerKey {
    kid: Kid,
    spki_hash: [u8; 32],
    point: PublicPoint,
    /// When the key is good.
    pub validity: Validity,
    /// The operator it may issue for.
    pub operator: Operator,
    /// The rider classes it may issue, one bit each.
    pub classes: u32,
    /// Whether it is suspended.
    pub status: KeyStatus,
}

/// The bytes are not a point of the algorithm's curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRefused;

impl fmt::Display for KeyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the public key is not a point on its curve")
    }
}

impl core::error::Error for KeyRefused {}

impl IssuerKey {
    /// A trusted key from its SEC1 point (compressed or not); the kid follows from the key.
    ///
    /// # Errors
    /// [`KeyRefused`] when the bytes are not a point of the algorithm's curve.
    pub fn new(
        algorithm: Algorithm,
        sec1: &[u8],
        validity: Validity,
        operator: Operator,
        classes: u32,
    ) -> Result<Self, KeyRefused> {
        let point = PublicPoint::new(algorithm, sec1)?;
        let spki_hash = point.spki_hash();
        let [a, b, c, d, ..] = spki_hash;
        Ok(Self {
            kid: Kid([a, b, c, d]),
            spki_hash,
            point,
            validity,
            operator,
            classes,
            status: KeyStatus::Trusted,
        })
    }

    /// The key's name: the first four bytes of the SHA-256 of its SubjectPublicKeyInfo.
    #[must_use]
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// The one algorithm the key is pinned to.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.point.algorithm()
    }

    /// SHA-256 of the key's SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki_hash(&self) -> &[u8; 32] {
        &self.spki_hash
    }

    pub(crate) fn point(&self) -> &PublicPoint {
        &self.point
    }

    pub(crate) fn serves(&self, operator: &Operator, class: u8) -> bool {
        self.operator == *operator && self.classes & (1 << u32::from(class)) != 0
    }
}

/// The issuer keys a terminal believes at this moment.
#[derive(Clone, Copy, Debug)]
pub struct TrustStore<'a> {
    keys: &'a [IssuerKey],
    tables: Option<Tables<'a>>,
    backend: Backend,
}

impl<'a> TrustStore<'a> {
    /// Believes `keys`, and no other.
    #[must_use]
    pub const fn new(keys: &'a [IssuerKey]) -> Self {
        Self {
            keys,
            tables: None,
            backend: Backend::RustCrypto,
        }
    }

    /// The same keys, verified faster where `tables` has one for a key.
    #[must_use]
    pub const fn with_tables(self, tables: Tables<'a>) -> Self {
        let tables = Some(tables);
        Self { tables, ..self }
    }

    /// The same keys, by the arithmetic of `backend`.
    #[must_use]
    pub const fn with_backend(self, backend: Backend) -> Self {
        Self { backend, ..self }
    }

    /// Whose arithmetic verifies.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// Whether `signature` (r ‖ s) over `message` is `key`'s.
    #[must_use]
    pub fn has_signed(&self, key: &IssuerKey, message: &[u8], signature: &[u8]) -> bool {
        key.point
            .has_signed(message, signature, self.backend, self.tables)
    }

    pub(crate) fn find(&self, kid: Kid, algorithm: Algorithm) -> Option<&'a IssuerKey> {
        self.keys
            .iter()
            .find(|key| key.kid == kid && key.algorithm() == algorithm)
    }
}
