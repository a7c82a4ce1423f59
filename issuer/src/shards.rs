//! The keys of this issuer: which signs for whom.

use std::collections::BTreeSet;

use obol_credential::{Kid, UnixTime};
use obol_trust::{BundleRefused, Entry, TrustBundle};
use obol_verifier_sdk::{IssuerKey, Operator, TrustStore, Validity, Verifier};
use sha2::{Digest, Sha256};

use crate::certificate::IssuerCertificate;
use crate::register::{Handle, RestorePoint};

/// A key that signs, and the same key as a terminal sees it.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) certificate: IssuerCertificate,
    key: IssuerKey,
    operator: Operator,
}

/// The keys that sign, and those that terminals shall believe besides.
#[derive(Clone, Debug)]
pub(crate) struct Shards {
    signing: Vec<Shard>,
    published: Vec<IssuerCertificate>,
    suspended: BTreeSet<Kid>,
}

impl Shard {
    /// `None` when a terminal could not use what the certificate says.
    pub(crate) fn new(certificate: IssuerCertificate) -> Option<Self> {
        let entry = certificate.entry();
        let operator = Operator::new(entry.operator)?;
        let validity = Validity {
            not_before: entry.not_before,
            not_after: entry.not_after,
        };
        let key = IssuerKey::new(
            entry.algorithm,
            entry.point,
            validity,
            operator,
            entry.classes,
        )
        .ok()?;
        Some(Self {
            certificate,
            key,
            operator,
        })
    }

    /// Whether a terminal would believe this credential.
    pub(crate) fn vouches_for(&self, credential: &[u8], now: UnixTime) -> Result<(), String> {
        let keys = std::slice::from_ref(&self.key);
        let verifier = Verifier {
            trust: TrustStore::new(keys),
            operator: self.operator,
        };
        let checked = verifier.verify_credential(credential, now);
        checked.map(drop).map_err(|refusal| refusal.to_string())
    }
}

impl Shards {
    pub(crate) fn new(signing: Vec<Shard>, published: Vec<IssuerCertificate>) -> Self {
        Self {
            signing,
            published,
            suspended: BTreeSet::new(),
        }
    }

    /// The same with these keys blocked: none of them signs.
    pub(crate) fn suspending(&self, suspended: BTreeSet<Kid>) -> Self {
        Self {
            suspended,
            ..self.clone()
        }
    }

    pub(crate) fn suspended(&self) -> &BTreeSet<Kid> {
        &self.suspended
    }

    /// Whether a shard may sign at `now`: its certificate covers it, and nobody has blocked it.
    pub(crate) fn signs(&self, shard: &Shard, now: UnixTime) -> bool {
        shard.certificate.covers(now) && !self.suspended.contains(&shard.certificate.kid())
    }

    pub(crate) fn signing(&self) -> &[Shard] {
        &self.signing
    }

    pub(crate) fn published(&self) -> &[IssuerCertificate] {
        &self.published
    }

    /// A shard that nobody has blocked.
    pub(crate) fn find(&self, kid: Kid) -> Option<&Shard> {
        let mut signing = self.signing.iter();
        let found = signing.find(|shard| shard.certificate.kid() == kid);
        found.filter(|_| !self.suspended.contains(&kid))
    }

    /// The shard that signs for a subject: of the keys that may sign, the one whose hash with the
    /// subject is highest (rendezvous hashing), so that a key that comes or goes moves nobody else.
    pub(crate) fn of_subject(
        &self,
        subject: Handle,
        now: UnixTime,
        restored: Option<&RestorePoint>,
    ) -> Option<&Shard> {
        self.signing
            .iter()
            .filter(|shard| self.signs(shard, now))
            .filter(|shard| lets_sign(restored, shard.certificate.kid(), now))
            .max_by_key(|shard| weight(shard.certificate.kid(), subject))
    }

    /// Every key that terminals shall believe.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let signing = self.signing.iter().map(|shard| &shard.certificate);
        signing.chain(&self.published).map(IssuerCertificate::entry)
    }

    pub(crate) fn bundle(&self, now: UnixTime, life_s: u32) -> Result<Vec<u8>, BundleRefused> {
        let entries = self.entries().collect();
        Ok(TrustBundle::new(now, now.plus(life_s), entries)?.encode())
    }
}

pub(crate) fn lets_sign(restored: Option<&RestorePoint>, kid: Kid, now: UnixTime) -> bool {
    restored.is_none_or(|point| point.lets_sign(kid, now))
}

fn weight(kid: Kid, subject: Handle) -> [u8; 32] {
    Sha256::new()
        .chain_update(kid.0)
        .chain_update(subject.0)
        .finalize()
        .into()
}
