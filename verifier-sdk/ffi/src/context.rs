//! What a verifier does, without a pointer.

use obol_credential::{Algorithm, Kid, UnixTime};
use obol_trust::StatusListId;
use obol_verifier_sdk::{
    CredentialCache, IssuerKey, KeyStatus, Multiple, Operator, Place, Refusal, RefusalCode,
    TableRoom, TrustStore, Validity, Verified, Verifier, x509::Root,
};

use crate::ObolCode;

/// Issuer keys at most.
pub(crate) const KEYS_MAX: usize = 64;
/// Issuer keys that can be suspended at a time.
pub(crate) const SUSPENDED_MAX: usize = 64;

/// A status list whose bits lie in the caller's memory.
#[derive(Clone, Copy)]
pub(crate) struct List {
    pub(crate) id: StatusListId,
    pub(crate) bits: &'static [u8],
}

/// A verifier in the caller's memory. `'static` stands for "as long as the caller keeps it".
pub(crate) struct Context {
    operator: Operator,
    keys: &'static mut [IssuerKey],
    key_count: usize,
    /// What the host said of each key when it gave it, beside the list of suspended kids.
    given: [KeyStatus; KEYS_MAX],
    tables: Option<TableRoom<&'static mut [Multiple]>>,
    cache: CredentialCache<&'static mut [Place]>,
    lists: &'static mut [Option<List>],
    suspended: [Option<Kid>; SUSPENDED_MAX],
    bundle_expires_at: Option<UnixTime>,
    stale_grace_s: u32,
}

/// The memory of a context, carved up.
pub(crate) struct Parts {
    pub(crate) keys: &'static mut [IssuerKey],
    pub(crate) tables: Option<TableRoom<&'static mut [Multiple]>>,
    pub(crate) places: &'static mut [Place],
    pub(crate) lists: &'static mut [Option<List>],
}

/// What fills places for keys before there are any: a point of P-256 that nothing may use.
pub(crate) fn no_key(operator: Operator) -> Result<IssuerKey, ObolCode> {
    const GENERATOR: [u8; 33] = [
        0x03, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4,
        0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8,
        0x98, 0xc2, 0x96,
    ];
    let never = Validity {
        not_before: UnixTime(u32::MAX),
        not_after: UnixTime(0),
    };
    IssuerKey::new(Algorithm::Esp256, &GENERATOR, never, operator, 0)
        .map_err(|_| ObolCode::OBOL_ERROR_PANIC)
}

impl Context {
    pub(crate) fn new(operator: Operator, parts: Parts, stale_grace_s: u32) -> Self {
        Self {
            operator,
            keys: parts.keys,
            key_count: 0,
            given: [KeyStatus::Trusted; KEYS_MAX],
            tables: parts.tables,
            cache: CredentialCache::new(parts.places),
            lists: parts.lists,
            suspended: [None; SUSPENDED_MAX],
            bundle_expires_at: None,
            stale_grace_s,
        }
    }

    /// Believes the keys of a trust bundle that the root vouches for, and no others.
    pub(crate) fn load_bundle(&mut self, root: &[u8], bundle: &[u8]) -> Result<(), Refused> {
        let root = if root.starts_with(b"-----BEGIN") {
            Root::from_pem(root)
        } else {
            Root::from_certificate(root)
        };
        let root = root.map_err(|refused| Refused {
            code: ObolCode::OBOL_ERROR_ROOT_REFUSED,
            reason: refused.to_string(),
        })?;
        let bundle = root.accept_bundle(bundle).map_err(|refused| Refused {
            code: ObolCode::OBOL_ERROR_BUNDLE_REFUSED,
            reason: refused.to_string(),
        })?;
        if bundle.keys().len() > self.keys.len() {
            return Err(Refused {
                code: ObolCode::OBOL_ERROR_KEYS_FULL,
                reason: format!("{} keys, room for {}", bundle.keys().len(), self.keys.len()),
            });
        }
        self.keys[..bundle.keys().len()].clone_from_slice(bundle.keys());
        self.key_count = bundle.keys().len();
        self.given = [KeyStatus::Trusted; KEYS_MAX];
        self.bundle_expires_at = Some(bundle.expires_at());
        self.keys_changed();
        Ok(())
    }

    /// Believes a key that the host vouches for, besides those it believes.
    pub(crate) fn add_key(&mut self, key: IssuerKey) -> Result<(), ObolCode> {
        let place = self.keys.get_mut(self.key_count);
        let given = self.given.get_mut(self.key_count);
        let places = place.zip(given).ok_or(ObolCode::OBOL_ERROR_KEYS_FULL)?;
        (*places.1, *places.0) = (key.status, key);
        self.key_count += 1;
        self.keys_changed();
        Ok(())
    }

    pub(crate) fn clear_keys(&mut self) {
        self.key_count = 0;
        self.bundle_expires_at = None;
        self.keys_changed();
    }

    /// Suspends these keys and no others, now and after every later change of the keys.
    pub(crate) fn suspend(&mut self, kids: &[[u8; 4]]) -> Result<(), ObolCode> {
        if kids.len() > SUSPENDED_MAX {
            return Err(ObolCode::OBOL_ERROR_LIMITS);
        }
        self.suspended = core::array::from_fn(|at| kids.get(at).copied().map(Kid));
        self.mark_suspended();
        Ok(())
    }

    /// A place for the status list `id`: its own, or a free one. What stood there is forgotten, so
    /// that the caller's memory may be written again.
    pub(crate) fn place_for(&mut self, id: StatusListId) -> Result<&mut Option<List>, ObolCode> {
        let same = |place: &Option<List>| place.is_some_and(|list| list.id == id);
        let place = self.lists.iter().position(same);
        let place = place.or_else(|| self.lists.iter().position(Option::is_none));
        let place = place.and_then(|place| self.lists.get_mut(place));
        let place = place.ok_or(ObolCode::OBOL_ERROR_STATUS_LISTS_FULL)?;
        *place = None;
        Ok(place)
    }

    /// Asks this list no more; its memory is the caller's again.
    pub(crate) fn drop_status_list(&mut self, id: StatusListId) {
        let same = |place: &&mut Option<List>| place.is_some_and(|list| list.id == id);
        if let Some(place) = self.lists.iter_mut().find(same) {
            *place = None;
        }
    }

    /// Decides on a boarding code. The flag says whether the trust bundle is stale.
    pub(crate) fn scan(&mut self, text: &[u8], now: UnixTime) -> Result<(Verified, bool), Refusal> {
        let trust = TrustStore::new(&self.keys[..self.key_count]);
        let tables = self.tables.as_ref().map(TableRoom::tables);
        let verifier = Verifier {
            trust: tables.map_or(trust, |tables| trust.with_tables(tables)),
            operator: self.operator,
        };
        let verified = verifier.verify_text_cached(text, now, &mut self.cache)?;
        let stale = self.check_freshness(now)?;
        self.check_status(&verified)?;
        Ok((verified, stale))
    }

    fn check_freshness(&self, now: UnixTime) -> Result<bool, Refusal> {
        let late_s = self.bundle_expires_at.map_or(-1, |end| now.since(end));
        if late_s >= 0 && late_s >= i64::from(self.stale_grace_s) {
            return Err(Refusal {
                code: RefusalCode::BundleExpired,
                rule: "the trust bundle has expired",
            });
        }
        Ok(late_s >= 0)
    }

    fn check_status(&self, verified: &Verified) -> Result<(), Refusal> {
        if self.lists.is_empty() {
            return Ok(());
        }
        let claims = verified.claims();
        let id = StatusListId::of(verified.kid(), claims.issued_at);
        let list = self.lists.iter().flatten().find(|list| list.id == id);
        let index = claims.fare.status_index;
        let byte = list.and_then(|list| list.bits.get(index as usize / 8));
        match byte {
            None => Err(Refusal {
                code: RefusalCode::StatusMissing,
                rule: "no status list covers the credential",
            }),
            Some(byte) if byte & 1 << (index % 8) != 0 => Err(Refusal {
                code: RefusalCode::Denied,
                rule: "the status list denies the credential",
            }),
            Some(_) => Ok(()),
        }
    }

    fn keys_changed(&mut self) {
        self.mark_suspended();
        if let Some(tables) = &mut self.tables {
            tables.build(&self.keys[..self.key_count]);
        }
    }

    fn mark_suspended(&mut self) {
        for (key, given) in self.keys[..self.key_count].iter_mut().zip(self.given) {
            let suspended = self.suspended.contains(&Some(key.kid()));
            key.status = if suspended {
                KeyStatus::Suspended
            } else {
                given
            };
        }
    }
}

/// Why a trust bundle was not loaded.
pub(crate) struct Refused {
    pub(crate) code: ObolCode,
    pub(crate) reason: String,
}
