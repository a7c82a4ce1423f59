//! A deployment in a temporary folder: a root, an issuer key, a phone, a terminal.

use std::path::{Path, PathBuf};

use obol_credential::{
    Algorithm, Claims, Cti, DeviceKey, Dynamic, Encoded, FareTerms, Kid, Nonce, TEXT_MAX,
    assemble_credential, assemble_presentation, credential_signature_input,
    presentation_signature_input, to_text,
};
use obol_fare::{Currency, FareRule, RuleId};
use obol_pos_sdk::{
    ALL_CLASSES, Decision, Epoch, FarePack, Granted, Journal, Operator, Passback, RefusalCode,
    Root, Rules, Terminal, TerminalName, Trust, UnixTime,
};
use obol_trust::{Entry, TrustBundle};
use p384::ecdsa::signature::Signer;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SigningKey as _, date_time_ymd,
};

pub(crate) const T: UnixTime = UnixTime(1_800_000_000);
pub(crate) const EPOCH: Epoch = Epoch([0xe0; 8]);
pub(crate) const FARE: u32 = 200;

/// `SEQUENCE { "metro", 2^32 - 1 }`.
const SCOPE: &[u8] = &[
    0x30, 0x0e, 0x0c, 5, b'm', b'e', b't', b'r', b'o', 2, 5, 0, 0xff, 0xff, 0xff, 0xff,
];

/// What proves an issuer key, made once for each test.
pub(crate) struct Issuing {
    pub(crate) root: Root,
    pub(crate) certificate: Vec<u8>,
    key: KeyPair,
}

impl Issuing {
    pub(crate) fn new() -> Self {
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut root = CertificateParams::default();
        root.distinguished_name.push(DnType::CommonName, "root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root_certificate = root.self_signed(&root_key).unwrap();

        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name.push(DnType::CommonName, "issuer");
        issuer.not_before = date_time_ymd(2026, 1, 1);
        issuer.not_after = date_time_ymd(2028, 1, 1);
        issuer.is_ca = IsCa::ExplicitNoCa;
        issuer.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let usage = vec![1, 3, 6, 1, 4, 1, 59999, 1, 1];
        issuer.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(usage)];
        let mut scope =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 59999, 1, 2], SCOPE.to_vec());
        scope.set_criticality(false);
        let mut usage = CustomExtension::from_oid_content(
            &[2, 5, 29, 37],
            [&[0x30, 0x0c, 6, 10][..], EKU].concat(),
        );
        usage.set_criticality(true);
        issuer.extended_key_usages.clear();
        issuer.custom_extensions = vec![scope, usage];
        let certificate = issuer
            .signed_by(&key, &Issuer::new(root, root_key))
            .unwrap();
        Self {
            root: Root::from_certificate(root_certificate.der()).unwrap(),
            certificate: certificate.der().to_vec(),
            key,
        }
    }

    pub(crate) fn kid(&self) -> Kid {
        self.root.issuer_key(&self.certificate).unwrap().kid()
    }

    pub(crate) fn point(&self) -> Vec<u8> {
        let point =
            p384::Sec1Point::from_bytes(rcgen::PublicKeyData::der_bytes(&self.key)).unwrap();
        point.compress().as_bytes().to_vec()
    }

    /// A bundle of this one key; `change` may spoil its entry.
    pub(crate) fn bundle(&self, change: impl FnOnce(&mut Entry<'_>)) -> Vec<u8> {
        self.bundle_from(T.minus(3600), change)
    }

    pub(crate) fn bundle_from(
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

    pub(crate) fn trust(&self) -> Trust {
        Trust::from_bundle(&self.bundle(|_| {}), &self.root).unwrap()
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

/// A phone with one credential.
pub(crate) struct Phone {
    device: p256::ecdsa::SigningKey,
    credential: Vec<u8>,
}

impl Phone {
    pub(crate) fn new(issuing: &Issuing, number: u8) -> Self {
        Self::with_terms(issuing, number, 1, 1000)
    }

    pub(crate) fn with_terms(issuing: &Issuing, number: u8, class: u8, cap_minor: u32) -> Self {
        let device = p256::ecdsa::SigningKey::from_slice(&[number; 32]).unwrap();
        let point = device.verifying_key().to_sec1_point(true);
        let claims = Claims {
            expires_at: T.plus(80_000),
            issued_at: T.minus(600),
            cti: Cti([number; 8]),
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

pub(crate) fn name() -> TerminalName {
    TerminalName::new("bus-12").unwrap()
}

pub(crate) fn rules() -> Rules {
    Rules {
        operator: Operator::new("metro").unwrap(),
        classes: ALL_CLASSES,
        passback: Passback::default(),
    }
}

pub(crate) fn fares() -> FarePack {
    let rule = FareRule {
        id: RuleId(10),
        class: 1,
        amount_minor: FARE,
    };
    let cny = Currency::new("CNY").unwrap();
    FarePack::new(cny, T.minus(86_400), T.plus(86_400), vec![rule]).unwrap()
}

/// A folder with a journal, an issuer and a terminal that can be stopped and started.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) issuing: Issuing,
    pub(crate) terminal: Option<Terminal>,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(&folder.path().join("journal"), &name(), EPOCH).unwrap();
        let issuing = Issuing::new();
        let terminal = Terminal::new(rules(), issuing.trust(), Some(fares()), journal).unwrap();
        Self {
            folder,
            issuing,
            terminal: Some(terminal),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    pub(crate) fn phone(&self, number: u8) -> Phone {
        Phone::new(&self.issuing, number)
    }

    pub(crate) fn terminal(&mut self) -> &mut Terminal {
        self.terminal.as_mut().unwrap()
    }

    pub(crate) fn stop(&mut self) {
        self.terminal = None;
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        let journal = open(&self.path());
        let trust = self.issuing.trust();
        self.terminal = Some(Terminal::new(rules(), trust, Some(fares()), journal).unwrap());
    }

    pub(crate) fn grant(&mut self, code: &str, at: UnixTime) -> Granted {
        match self.terminal().scan(code.as_bytes(), at) {
            Decision::Granted(granted) => granted,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn refuse(&mut self, code: &str, at: UnixTime) -> RefusalCode {
        match self.terminal().scan(code.as_bytes(), at) {
            Decision::Refused(refusal) => refusal.code,
            other => panic!("{other:?}"),
        }
    }

    /// `count` rides of as many riders.
    pub(crate) fn with_rides(count: u8) -> Self {
        let mut world = Self::new();
        for number in 1..=count {
            let code = world.phone(number).code(T, number.into());
            let granted = world.grant(&code, T);
            assert_eq!(granted.record().seq, u64::from(number));
        }
        world
    }
}

pub(crate) fn open(path: &Path) -> Journal {
    Journal::open(path, &name()).unwrap()
}
