//! A root that certifies issuer keys, and an access CA for TLS.

use std::path::{Path, PathBuf};

use obol_credential::Algorithm;
use obol_mint::Issuer as MintKey;
use obol_transport::{Identity, TrustAnchor, new_identity};
use obol_trust::Entry;
use obol_verifier_sdk::x509::Root;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams,
    CertificateSigningRequestParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, RevokedCertParams, SubjectPublicKeyInfo,
};

const EKU: [u8; 14] = [0x30, 12, 0x06, 10, 0x2b, 6, 1, 4, 1, 0x83, 0xd4, 0x5f, 1, 1];
const SCOPE: &[u64] = &[1, 3, 6, 1, 4, 1, 59999, 1, 2];
/// SubjectPublicKeyInfo of an uncompressed point of P-384, up to the point.
const SPKI_P384: &str = "3076301006072a8648ce3d020106052b81040022036200";
const CLASSES: u8 = 6;

pub(crate) struct Authorities {
    root: CertifiedIssuer<'static, KeyPair>,
    access: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// An issuer key as the root certified it.
#[derive(Clone)]
pub(crate) struct Certified {
    pub(crate) key: MintKey,
    certificate: Vec<u8>,
    point: Vec<u8>,
    believed: obol_verifier_sdk::IssuerKey,
}

impl Authorities {
    pub(crate) fn new(folder: &Path) -> Self {
        let root = ca("Test Root", BasicConstraints::Unconstrained);
        let access = ca("Test Access", BasicConstraints::Constrained(0));
        std::fs::write(folder.join("root.pem"), root.pem()).unwrap();
        std::fs::write(folder.join("access.pem"), access.pem()).unwrap();
        let folder = folder.to_owned();
        Self {
            root,
            access,
            folder,
        }
    }

    pub(crate) fn anchor(&self) -> TrustAnchor {
        TrustAnchor::load(&self.folder.join("access.pem")).unwrap()
    }

    /// Files `NAME.pem` and `NAME.key` for `obol://ROLE/NAME`.
    pub(crate) fn identity(&self, role: &str, name: &str) -> Identity {
        let uri = format!("obol://{role}/{name}");
        let made = new_identity(&uri, &["localhost", "127.0.0.1"]).unwrap();
        let request = CertificateSigningRequestParams::from_pem(&made.request_pem).unwrap();
        let [certificate, key] =
            ["pem", "key"].map(|end| self.folder.join(format!("{name}.{end}")));
        let signed = request.signed_by(&self.access).unwrap();
        std::fs::write(&certificate, signed.pem()).unwrap();
        std::fs::write(&key, made.key_pem.as_bytes()).unwrap();
        Identity::load(&certificate, &key).unwrap()
    }

    /// `access.crl.pem`: the access CA's list, naming these certificates of `NAME.pem`.
    pub(crate) fn revoke(&self, names: &[&str]) {
        let revoked = names.iter().map(|name| {
            let mut show = std::process::Command::new("openssl");
            show.args(["x509", "-noout", "-serial", "-in"]);
            let shown = show.arg(self.folder.join(format!("{name}.pem"))).output();
            let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
            let serial = shown.trim().strip_prefix("serial=").unwrap();
            let serial = data_encoding::HEXUPPER.decode(serial.as_bytes()).unwrap();
            RevokedCertParams {
                serial_number: serial.into(),
                revocation_time: rcgen::date_time_ymd(2026, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }
        });
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 1, 1),
            next_update: rcgen::date_time_ymd(2036, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.access).unwrap().pem().unwrap();
        let (next, path) = ("access.crl.next", self.folder.join("access.crl.pem"));
        std::fs::write(self.folder.join(next), list).unwrap();
        std::fs::rename(self.folder.join(next), path).unwrap();
    }

    /// Certifies the issuer key whose secret is one byte repeated.
    pub(crate) fn issuer_key(&self, secret: u8) -> Certified {
        let algorithm = Algorithm::Esp384;
        let key = MintKey { algorithm, secret };
        let uncompressed = key.point();
        let prefix = data_encoding::HEXLOWER
            .decode(SPKI_P384.as_bytes())
            .unwrap();
        let spki = [prefix, uncompressed.clone()].concat();
        let public = SubjectPublicKeyInfo::from_der(&spki).unwrap();
        let certificate = issuer_params().signed_by(&public, &self.root).unwrap();
        let certificate = certificate.der().to_vec();
        let root = Root::from_certificate(self.root.der()).unwrap();
        let mut point = vec![2 + (uncompressed[96] & 1)];
        point.extend_from_slice(&uncompressed[1..49]);
        Certified {
            key,
            believed: root.issuer_key(&certificate).unwrap(),
            certificate,
            point,
        }
    }
}

impl Certified {
    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry {
            kid: self.believed.kid(),
            algorithm: self.believed.algorithm(),
            point: &self.point,
            not_before: self.believed.validity.not_before,
            not_after: self.believed.validity.not_after,
            operator: "metro",
            classes: self.believed.classes,
            certificate: &self.certificate,
        }
    }
}

fn ca(name: &str, depth: BasicConstraints) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(depth);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    CertifiedIssuer::self_signed(params, key).unwrap()
}

fn issuer_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2028, 1, 1);
    params.distinguished_name.push(DnType::CommonName, "Issuer");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let mut usage = CustomExtension::from_oid_content(&[2, 5, 29, 37], EKU.to_vec());
    usage.set_criticality(true);
    // SEQUENCE { UTF8String "metro", INTEGER classes }
    let scope = [&[0x30, 10, 0x0c, 5][..], b"metro", &[2, 1, CLASSES]].concat();
    let scope = CustomExtension::from_oid_content(SCOPE, scope);
    params.custom_extensions = vec![usage, scope];
    params
}
