//! A small house of certificates, signed by keys in memory: for the tests of this module.

use std::cell::Cell;

use obol_credential::UnixTime;
use p384::ecdsa::signature::Signer;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyUsagePurpose};

use crate::pool::PoolError;
use crate::public_key::{Curve, PublicKey};
use crate::token::SignError;
use crate::x509::anatomy::Signed;
use crate::x509::authority::{Parent, certify, params, self_signed};
use crate::x509::crl::Revoked;
use crate::x509::pen::Desk;
use crate::x509::profile::{CertificateProfile, ProfileName};
use crate::x509::scope::SCOPE_EXTENSION;
use crate::x509::{Certificate, Rules, Scope, Validity};

pub(crate) const NOW: UnixTime = UnixTime(1_790_000_000);

/// A P-384 key in memory that counts what it signs.
pub(crate) struct MemoryDesk {
    key: p384::ecdsa::SigningKey,
    public: PublicKey,
    signatures: Cell<usize>,
    drawn: Cell<u8>,
}

impl MemoryDesk {
    pub(super) fn new(seed: u8) -> MemoryDesk {
        let key = p384::ecdsa::SigningKey::from_slice(&[seed; 48]).unwrap();
        let point = key.verifying_key().to_sec1_point(false);
        MemoryDesk {
            public: PublicKey::from_sec1(Curve::P384, point.as_bytes()).unwrap(),
            key,
            signatures: Cell::new(0),
            drawn: Cell::new(seed),
        }
    }

    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn signatures(&self) -> usize {
        self.signatures.get()
    }
}

impl Desk for MemoryDesk {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.signatures.set(self.signatures.get() + 1);
        let signature: p384::ecdsa::Signature = self.key.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn random(&self, length: u32) -> Result<Vec<u8>, PoolError> {
        self.drawn.set(self.drawn.get() % 0x70 + 1);
        Ok(vec![self.drawn.get(); length as usize])
    }
}

/// The least that makes a certificate.
pub(super) fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.serial_number = Some(vec![0x40; 20].into());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// One certificate of each profile, and the keys of the two authorities.
pub(crate) struct House {
    pub(crate) root_key: MemoryDesk,
    pub(crate) access_key: MemoryDesk,
    pub(crate) root: Certificate,
    pub(crate) access: Certificate,
}

impl House {
    pub(crate) fn new() -> House {
        let (root_key, access_key) = (MemoryDesk::new(1), MemoryDesk::new(2));
        let rules = Rules::built_in();
        let validity = Validity::days(NOW, 3_650).unwrap();
        let root = self_signed(&rules, &root_key, root_key.public(), "Root", validity).unwrap();
        let mut house = House {
            access: root.clone(),
            root_key,
            access_key,
            root,
        };
        house.access = house.issue(&rules, CertificateProfile::AccessCa).unwrap();
        house
    }

    /// TBSCertificate of each profile.
    pub(crate) fn unsigned(&self) -> Vec<(ProfileName, Vec<u8>)> {
        use CertificateProfile::{AccessCa, Client, Issuer, Server, Terminal};
        let rules = Rules::built_in();
        let mut all = vec![(ProfileName::Root, tbs_of(self.root.as_der()))];
        for profile in [AccessCa, Issuer, Server, Client, Terminal] {
            let certificate = self.issue(&rules, profile).unwrap();
            let name = rules.profiles.certificate(profile).name;
            all.push((name, tbs_of(certificate.as_der())));
        }
        all
    }

    /// TBSCertList of the access CA, with one entry.
    pub(crate) fn unsigned_list(&self) -> Vec<u8> {
        let rules = Rules::built_in();
        let server = self.issue(&rules, CertificateProfile::Server).unwrap();
        let revoked = [Revoked {
            certificate: &server,
            reason: None,
        }];
        let parent = Parent {
            public: self.access_key.public(),
            certificate: &self.access,
        };
        let list = parent
            .issue_crl(&rules, &self.access_key, 8, None, &revoked, NOW)
            .unwrap();
        tbs_of(list.as_der())
    }

    /// A certificate of this profile, valid for 30 days; an access CA's for 1800.
    pub(super) fn issue(
        &self,
        rules: &Rules,
        profile: CertificateProfile,
    ) -> Result<Certificate, crate::x509::CertificateError> {
        let profile_data = rules.profiles.certificate(profile);
        let days = match profile {
            CertificateProfile::AccessCa => 1_800,
            _ => 30,
        };
        let validity = Validity::days(NOW, days).unwrap();
        let (desk, certificate) = match profile {
            CertificateProfile::Root
            | CertificateProfile::AccessCa
            | CertificateProfile::Issuer => (&self.root_key, &self.root),
            _ => (&self.access_key, &self.access),
        };
        let mut params = params(desk, profile_data, profile_data.name.name(), validity)?;
        let uri = match profile {
            CertificateProfile::Server | CertificateProfile::Client => Some("obol://issuer/main"),
            CertificateProfile::Terminal => Some("obol://terminal/t-7"),
            _ => None,
        };
        params.subject_alt_names = uri
            .into_iter()
            .map(|uri| rcgen::SanType::URI(uri.try_into().unwrap()))
            .collect();
        if profile == CertificateProfile::Issuer {
            let scope = Scope::new("linea", &[1, 2]).unwrap().to_der();
            let scope = rcgen::CustomExtension::from_oid_content(SCOPE_EXTENSION, scope);
            params.custom_extensions.push(scope);
        }
        let parent = Parent {
            public: desk.public(),
            certificate,
        };
        let subject = match profile {
            CertificateProfile::AccessCa => self.access_key.public().clone(),
            CertificateProfile::Issuer => MemoryDesk::new(3).public,
            _ => identity_key(),
        };
        certify(
            rules,
            desk,
            &parent,
            profile_data,
            params,
            &subject,
            validity,
        )
    }
}

fn identity_key() -> PublicKey {
    let key = p256::ecdsa::SigningKey::from_slice(&[4; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    PublicKey::from_sec1(Curve::P256, point.as_bytes()).unwrap()
}

fn tbs_of(der: &[u8]) -> Vec<u8> {
    Signed::read(der).unwrap().tbs.to_vec()
}
