//! The keys of this issuer: which signs for whom.

use obol_credential::{Kid, UnixTime};
use obol_trust::{BundleRefused, TrustBundle};
use obol_verifier_sdk::{IssuerKey, Operator, TrustStore, Validity, Verifier};
use sha2::{Digest, Sha256};

use crate::certificate::IssuerCertificate;
use crate::register::Handle;

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
        Self { signing, published }
    }

    pub(crate) fn signing(&self) -> &[Shard] {
        &self.signing
    }

    pub(crate) fn published(&self) -> &[IssuerCertificate] {
        &self.published
    }

    pub(crate) fn find(&self, kid: Kid) -> Option<&Shard> {
        self.signing
            .iter()
            .find(|shard| shard.certificate.kid() == kid)
    }

    /// The shard that signs for a subject: of the keys in force, the one whose hash with the
    /// subject is highest (rendezvous hashing), so that a key that comes or goes moves nobody else.
    pub(crate) fn of_subject(&self, subject: Handle, now: UnixTime) -> Option<&Shard> {
        self.signing
            .iter()
            .filter(|shard| shard.certificate.covers(now))
            .max_by_key(|shard| weight(shard.certificate.kid(), subject))
    }

    pub(crate) fn bundle(&self, now: UnixTime, life_s: u32) -> Result<Vec<u8>, BundleRefused> {
        let signing = self.signing.iter().map(|shard| &shard.certificate);
        let entries = signing.chain(&self.published).map(IssuerCertificate::entry);
        Ok(TrustBundle::new(now, now.plus(life_s), entries.collect())?.encode())
    }
}

fn weight(kid: Kid, subject: Handle) -> [u8; 32] {
    Sha256::new()
        .chain_update(kid.0)
        .chain_update(subject.0)
        .finalize()
        .into()
}
