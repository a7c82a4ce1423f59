//! One access CA that is trusted here, with what it takes to certify and to list in its name.

use obol_credential::UnixTime;
use obol_kms_client::SpkiId;
use obol_transport::CaCertificate;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::key_identifier;
use crate::expiry::seconds;

#[derive(Clone, Debug)]
pub(super) struct Authority {
    pub(super) ca: CaCertificate,
    pub(super) spki: SpkiId,
    pub(super) point: Vec<u8>,
    pub(super) key_identifier: Vec<u8>,
    pub(super) not_after: UnixTime,
    pub(super) key: KeyAt,
}

/// Where a CA's key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyAt {
    /// With the daemon.
    Daemon,
    /// Elsewhere: its certificates are believed, and its officers make its lists.
    Elsewhere,
}

impl Authority {
    /// `served` are the daemon's keys.
    pub(super) fn new(ca: &CaCertificate, served: &[SpkiId]) -> Option<Self> {
        let (_, x509) = X509Certificate::from_der(ca.der()).ok()?;
        let point = x509.public_key().subject_public_key.data.to_vec();
        let not_after = seconds(x509.validity().not_after);
        let spki = SpkiId::of(ca.spki_der());
        let key = match served.contains(&spki) {
            true => KeyAt::Daemon,
            false => KeyAt::Elsewhere,
        };
        Some(Self {
            ca: ca.clone(),
            key_identifier: key_identifier(&point),
            spki,
            point,
            not_after,
            key,
        })
    }

    pub(super) fn is_served(&self) -> bool {
        self.key == KeyAt::Daemon
    }
}
