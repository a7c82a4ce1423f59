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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::{EVERY_CLASS, certificate};
    use obol_credential::{Claims, Cti, DeviceKey, FareTerms};
    use obol_credential::{assemble_credential, credential_signature_input};
    use p384::ecdsa::signature::Signer;
    use p384::ecdsa::{Signature, SigningKey};
    use p384::pkcs8::DecodePrivateKey;
    use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};

    const NOW: UnixTime = UnixTime(1_750_000_000);

    fn key() -> KeyPair {
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap()
    }

    fn shard(key: &KeyPair) -> Shard {
        let pem = certificate(key, &[EVERY_CLASS]);
        Shard::new(IssuerCertificate::from_pem(&pem).unwrap()).unwrap()
    }

    fn owner(shards: &Shards, subject: u32) -> Option<Kid> {
        let mut handle = [7; 16];
        handle[..4].copy_from_slice(&subject.to_be_bytes());
        let shard = shards.of_subject(Handle(handle), NOW, None)?;
        Some(shard.certificate.kid())
    }

    #[test]
    fn a_shard_that_goes_moves_only_its_own_subjects_and_blocking_it_does_the_same() {
        let all: Vec<_> = (0..4).map(|_| shard(&key())).collect();
        let gone = all[3].certificate.kid();
        let four = Shards::new(all.clone(), Vec::new());
        let three = Shards::new(all[..3].to_vec(), Vec::new());
        let blocked = four.suspending(BTreeSet::from([gone]));
        let mut moved = 0;
        for subject in 0..1000 {
            let (before, after) = (owner(&four, subject), owner(&three, subject));
            assert_eq!(owner(&blocked, subject), after);
            if before == Some(gone) {
                moved += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        // A quarter, give or take what chance permits.
        assert!((150..350).contains(&moved), "{moved}");
        assert_eq!(owner(&Shards::new(Vec::new(), Vec::new()), 1), None);
    }

    fn credential(key: &KeyPair, kid: Kid, expires_at: UnixTime) -> Vec<u8> {
        let generator = p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap();
        let point = generator.verifying_key().to_sec1_point(true);
        let claims = Claims {
            expires_at,
            issued_at: NOW,
            cti: Cti([1; 8]),
            device_key: DeviceKey::from_sec1(point.as_bytes().try_into().unwrap()).unwrap(),
            fare: FareTerms {
                class: 1,
                cap_minor: 1000,
                window_s: 30,
                status_index: 5,
                flags: 0,
            },
        };
        let claims = claims.encode();
        let algorithm = obol_credential::Algorithm::Esp384;
        let input = credential_signature_input(algorithm, kid, &claims).unwrap();
        let signing = SigningKey::from_pkcs8_der(&key.serialize_der()).unwrap();
        let signature: Signature = signing.sign(&input);
        let bytes = assemble_credential(algorithm, kid, &claims, &signature.to_bytes());
        bytes.unwrap().to_vec()
    }

    #[test]
    fn a_sample_fails_for_what_a_terminal_would_refuse_and_for_nothing_else() {
        let key = key();
        let shard = shard(&key);
        let kid = shard.certificate.kid();
        let end = NOW.plus(86_400);
        let good = credential(&key, kid, end);
        shard.vouches_for(&good, NOW).unwrap();
        let other = self::key();
        for (what, bytes, at) in [
            ("another key signed it", credential(&other, kid, end), NOW),
            (
                "it names another key",
                credential(&key, Kid([0; 4]), end),
                NOW,
            ),
            ("it is over", good.clone(), end),
            ("it was cut", good[..good.len() - 1].to_vec(), NOW),
        ] {
            assert!(shard.vouches_for(&bytes, at).is_err(), "{what}");
        }
        for at in 0..good.len() {
            let mut bent = good.clone();
            bent[at] ^= 1;
            assert!(shard.vouches_for(&bent, NOW).is_err(), "byte {at}");
        }
    }
}
