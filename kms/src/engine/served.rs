//! Keys as the engine needs them: from the registry, whose word on their state is asked anew for
//! each signature.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use obol_kms_client::SpkiId;
use obol_kms_registry::{Algorithm, Class, Fault, KeyRecord, Registry, State};

use crate::credential::IssuerKey;
use crate::engine::names::{registry_id, wire_id};
use crate::public_key::PublicKey;
use crate::x509::{Certificate, IssuerCertificate, IssuerCertificateError};

/// A key that one of the engine's tokens has, as of one version in the registry.
#[derive(Debug)]
pub(super) struct ServedKey {
    pub(super) id: SpkiId,
    pub(super) class: Class,
    pub(super) version: u64,
    pub(super) public: PublicKey,
    /// Which of the engine's tokens has it.
    pub(super) token: usize,
    /// Of classes that have one.
    pub(super) certificate: Option<Certificate>,
    /// Of class issuer: what its certificate lets it sign.
    pub(super) issuer: Option<Result<IssuerKey, IssuerCertificateError>>,
}

/// What is known of a key that was asked for.
pub(super) enum Found {
    Served(Arc<ServedKey>),
    /// Registered, and in no token of this engine, or of a kind that signs nothing here.
    Elsewhere(Class),
    Unknown,
}

/// Parsed once for each version of a key.
pub(super) struct Served {
    serials: Vec<String>,
    parsed: RwLock<HashMap<SpkiId, Arc<ServedKey>>>,
}

impl Served {
    pub(super) fn new(serials: Vec<String>) -> Served {
        Served {
            serials,
            parsed: RwLock::default(),
        }
    }

    /// The key as it was last parsed; its state is for [`Registry::signable`] to say.
    pub(super) fn find(&self, registry: &Registry, id: SpkiId) -> Result<Found, Fault> {
        let parsed = self.parsed.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = parsed.get(&id) {
            return Ok(Found::Served(Arc::clone(key)));
        }
        drop(parsed);
        self.read(registry, id)
    }

    /// The key as the registry has it now.
    pub(super) fn read(&self, registry: &Registry, id: SpkiId) -> Result<Found, Fault> {
        let Some(record) = registry.key(registry_id(id))? else {
            return Ok(Found::Unknown);
        };
        let Some(key) = self.parse(&record) else {
            return Ok(Found::Elsewhere(record.class));
        };
        let key = Arc::new(key);
        let mut parsed = self.parsed.write().unwrap_or_else(PoisonError::into_inner);
        parsed.insert(id, Arc::clone(&key));
        Ok(Found::Served(key))
    }

    /// Every key of the engine's tokens that was not destroyed, with its state now.
    pub(super) fn list(&self, registry: &Registry) -> Result<Vec<(ServedKey, State)>, Fault> {
        let records = registry.list()?.into_iter();
        let living = records.filter(|record| record.state != State::Destroyed);
        Ok(living
            .filter_map(|record| Some((self.parse(&record)?, record.state)))
            .collect())
    }

    fn parse(&self, record: &KeyRecord) -> Option<ServedKey> {
        let token = self.token_of(&record.token_serial)?;
        let public = match record.algorithm {
            Algorithm::EcP256 | Algorithm::EcP384 => PublicKey::from_spki_der(&record.spki_der)?,
            Algorithm::Rsa2048 | Algorithm::Aes256 => return None,
        };
        let certificate = record.certificate.clone();
        let certificate = certificate.map(Certificate::from_checked_der);
        let issuer = certificate
            .as_ref()
            .filter(|_| record.class == Class::Issuer)
            .map(|certificate| IssuerCertificate::read(certificate).map(IssuerKey::of));
        Some(ServedKey {
            id: wire_id(record.spki),
            class: record.class,
            version: record.version,
            public,
            token,
            certificate,
            issuer,
        })
    }

    /// Serial number of one of the engine's tokens.
    pub(super) fn serial(&self, token: usize) -> &str {
        &self.serials[token]
    }

    fn token_of(&self, serial: &str) -> Option<usize> {
        self.serials.iter().position(|known| known == serial)
    }
}
