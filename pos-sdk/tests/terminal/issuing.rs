//! A root, an issuer key with its certificate, and phones with credentials.

#![allow(dead_code)] // each of the tests that share this needs a part of it

use obol_credential::{
    Algorithm, Claims, Credential, Cti, DeviceKey, Dynamic, Encoded, FareTerms, Kid, Nonce,
    TEXT_MAX, assemble_credential, assemble_presentation, credential_signature_input,
    presentation_signature_input, to_text,
};
use obol_pos_sdk::{Root, UnixTime};
use obol_trust::{Entry, TrustBundle};
use p384::ecdsa::signature::Signer;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SigningKey as _, date_time_ymd,
};
use std::sync::Arc;

/// `SEQUENCE { "metro", 2^32 - 1 }`.
const SCOPE: &[u8] = &[
    0x30, 0x0e, 0x0c, 5, b'm', b'e', b't', b'r', b'o', 2, 5, 0, 0xff, 0xff, 0xff, 0xff,
];

/// What proves an issuer key, made once for each test.
pub(crate) struct Issuing {
    pub(crate) root: Root,
    pub(crate) root_pem: String,
    certificate: Vec<u8>,
    key: KeyPair,
    authority: Arc<Issuer<'static, KeyPair>>,
}

impl Issuing {
    pub(crate) fn new() -> Self {
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut root = CertificateParams::default();
        root.distinguished_name.push(DnType::CommonName, "root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root_certificate = root.self_signed(&root_key).unwrap();

        let (authority, pem) = (Issuer::new(root, root_key), root_certificate.pem());
        let root = Root::from_certificate(root_certificate.der()).unwrap();
        Self::under(root, pem, Arc::new(authority))
    }

    /// Another key below the same root.
    pub(crate) fn next_shard(&self) -> Self {
        let authority = Arc::clone(&self.authority);
        Self::under(self.root.clone(), self.root_pem.clone(), authority)
    }

    fn under(root: Root, root_pem: String, authority: Arc<Issuer<'static, KeyPair>>) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name.push(DnType::CommonName, "issuer");
        issuer.not_before = date_time_ymd(2026, 1, 1);
        issuer.not_after = date_time_ymd(2028, 1, 1);
        issuer.is_ca = IsCa::ExplicitNoCa;
        issuer.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let mut scope =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 59999, 1, 2], SCOPE.to_vec());
        scope.set_criticality(false);
        let mut usage = CustomExtension::from_oid_content(
            &[2, 5, 29, 37],
            [&[0x30, 0x0c, 6, 10][..], EKU].concat(),
        );
        usage.set_criticality(true);
        issuer.custom_extensions = vec![scope, usage];
        let certificate = issuer.signed_by(&key, &authority).unwrap();
        Self {
            root,
            root_pem,
            certificate: certificate.der().to_vec(),
            key,
            authority,
        }
    }

    /// DER.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    pub(crate) fn kid(&self) -> Kid {
        self.root.issuer_key(&self.certificate).unwrap().kid()
    }

    pub(crate) fn point(&self) -> Vec<u8> {
        let point =
            p384::Sec1Point::from_bytes(rcgen::PublicKeyData::der_bytes(&self.key)).unwrap();
        point.compress().as_bytes().to_vec()
    }

    /// A bundle of this one key, good for a day; `change` may spoil its entry.
    pub(crate) fn bundle(
        &self,
        issued_at: UnixTime,
        change: impl FnOnce(&mut Entry<'_>),
    ) -> Vec<u8> {
        let (key, point) = (
            self.root.issuer_key(&self.certificate).unwrap(),
            self.point(),
        );
        let mut entry = Entry {
            kid: key.kid(),
            algorithm: Algorithm::Esp384,
            point: &point,
            not_before: key.validity.not_before,
            not_after: key.validity.not_after,
            operator: "metro",
            classes: u32::MAX,
            certificate: &self.certificate,
        };
        change(&mut entry);
        let bundle = TrustBundle::new(issued_at, issued_at.plus(86_400), vec![entry]);
        bundle.unwrap().encode()
    }

    fn sign(&self, claims: &[u8]) -> Vec<u8> {
        let input = credential_signature_input(Algorithm::Esp384, self.kid(), claims).unwrap();
        let der = self.key.sign(&input).unwrap();
        let signature = p384::ecdsa::Signature::from_der(&der).unwrap();
        assemble_credential(Algorithm::Esp384, self.kid(), claims, &signature.to_bytes())
            .unwrap()
            .to_vec()
    }
}

/// 1.3.6.1.4.1.59999.1.1
const EKU: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xd4, 0x5f, 1, 1];

/// A phone with one credential, made ten minutes before `now` and good for a day.
pub(crate) struct Phone {
    device: p256::ecdsa::SigningKey,
    credential: Vec<u8>,
}

impl Phone {
    pub(crate) fn new(issuing: &Issuing, number: u8, now: UnixTime) -> Self {
        Self::with_terms(issuing, number, now, 1, 1000)
    }

    pub(crate) fn with_terms(
        issuing: &Issuing,
        number: u8,
        now: UnixTime,
        class: u8,
        cap_minor: u32,
    ) -> Self {
        Self::of_credential(issuing, number, Cti([number; 8]), now, class, cap_minor)
    }

    /// The phone of one of any number of riders.
    pub(crate) fn of_rider(issuing: &Issuing, rider: u64, now: UnixTime) -> Self {
        Self::of_credential(issuing, 1, Cti(rider.to_be_bytes()), now, 1, 1000)
    }

    fn of_credential(
        issuing: &Issuing,
        number: u8,
        cti: Cti,
        now: UnixTime,
        class: u8,
        cap_minor: u32,
    ) -> Self {
        let device = p256::ecdsa::SigningKey::from_slice(&[number; 32]).unwrap();
        let point = device.verifying_key().to_sec1_point(true);
        let claims = Claims {
            expires_at: now.plus(80_000),
            issued_at: now.minus(600),
            cti,
            device_key: DeviceKey::from_sec1(point.as_bytes().try_into().unwrap()).unwrap(),
            fare: FareTerms {
                class,
                cap_minor,
                window_s: 30,
                status_index: 7,
                flags: 0,
            },
        };
        let credential = issuing.sign(&claims.encode());
        Self { device, credential }
    }

    /// The same phone with a credential that somebody has bent: a higher cap, the same signature.
    pub(crate) fn richer(&self) -> Self {
        let credential = Credential::decode(&self.credential).unwrap();
        let mut claims = *credential.claims();
        claims.fare.cap_minor += 1;
        let (algorithm, kid) = (credential.algorithm(), credential.kid());
        let bent = assemble_credential(algorithm, kid, &claims.encode(), credential.signature());
        Self {
            device: self.device.clone(),
            credential: bent.unwrap().to_vec(),
        }
    }

    /// The boarding code that the phone shows at `at`; `nonce` tells it from others of that second.
    pub(crate) fn code(&self, at: UnixTime, nonce: u32) -> String {
        let dynamic = Dynamic {
            issued_at: at,
            nonce: Nonce(nonce.to_be_bytes()),
            counter: nonce,
        };
        let input = presentation_signature_input(&self.credential, &dynamic).unwrap();
        let signature: p256::ecdsa::Signature = self.device.sign(&input);
        let presentation: Encoded<_> =
            assemble_presentation(&self.credential, &dynamic, &signature.to_bytes().into())
                .unwrap();
        to_text(&presentation, &mut [0; TEXT_MAX]).to_owned()
    }
}
