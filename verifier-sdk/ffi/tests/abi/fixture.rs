//! A deployment in a folder: root certificate, trust bundle, codes of this moment.

use std::{fs, path::Path, time::UNIX_EPOCH};

use obol_credential::Algorithm;
use obol_mint::{ISSUER_P384, Mint};
use obol_trust::{Entry, StatusList, TrustBundle};
use obol_verifier_sdk::{UnixTime, x509::Root};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
};

/// How long the trust bundle lasts, seconds: shorter than the credential.
const BUNDLE_LIFE_S: u32 = 7_200;

/// Writes `root.pem`, `root.der`, `bundle.cbor`, `foreign-root.pem`, `now`, `code`, `twin`,
/// `second`, `stale`, `last`, `kid`, `status-clear`, `status-denied` into `folder`.
pub(crate) fn write_into(folder: &Path) {
    let now = UnixTime(UNIX_EPOCH.elapsed().expect("after 1970").as_secs() as u32);
    let (root, foreign) = (root(), self::root());
    let put = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("written");
    put("root.pem", root.1.as_bytes());
    put("foreign-root.pem", foreign.1.as_bytes());
    put("root.der", &root.0);
    put("bundle.cbor", &bundle(&root, now));
    put("now", now.0.to_string().as_bytes());
    let mint = mint_at(now);
    put("code", mint.text().as_bytes());
    let twin =
        obol_credential::to_text(&mint.malleated(), &mut [0; obol_credential::TEXT_MAX]).to_owned();
    put("twin", twin.as_bytes());
    let mut second = mint_at(now);
    second.dynamic.nonce.0 = [6; 4];
    second.dynamic.counter = 2;
    put("second", second.text().as_bytes());
    put("stale", mint_at(now.minus(600)).text().as_bytes());
    let mut last = mint_at(now);
    last.dynamic.issued_at = now.plus(BUNDLE_LIFE_S);
    put("last", last.text().as_bytes());
    put("kid", &mint.issuer_key().kid().0);
    let mut list = StatusList::empty(64).expect("a size");
    put("status-clear", &list.encode());
    list.deny(mint.claims.fare.status_index).expect("an entry");
    put("status-denied", &list.encode());
}

fn mint_at(now: UnixTime) -> Mint {
    let mut mint = Mint::default();
    mint.claims.issued_at = now.minus(3_600);
    mint.claims.expires_at = now.plus(36_000);
    mint.dynamic.issued_at = now;
    mint
}

type Ca = (Vec<u8>, String, Issuer<'static, KeyPair>);

fn root() -> Ca {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key");
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Test Root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).expect("a certificate");
    let (der, pem) = (certificate.der().to_vec(), certificate.pem());
    (der, pem, Issuer::new(params, key))
}

fn bundle(root: &Ca, now: UnixTime) -> Vec<u8> {
    let key = p384::SecretKey::from_slice(&[ISSUER_P384.secret; 48]).expect("in range");
    let key = p384::pkcs8::EncodePrivateKey::to_pkcs8_der(&key).expect("DER");
    let key = KeyPair::try_from(key.as_bytes()).expect("a key");
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2096, 1, 1);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let usage = [0x30, 12, 0x06, 10, 0x2b, 6, 1, 4, 1, 0x83, 0xd4, 0x5f, 1, 1];
    let mut usage = CustomExtension::from_oid_content(&[2, 5, 29, 37], usage.to_vec());
    usage.set_criticality(true);
    let scope = [&[0x30, 10, 0x0c, 5][..], b"metro", &[2, 1, 2]].concat();
    let scope = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 59999, 1, 2], scope);
    params.custom_extensions = vec![usage, scope];
    let certificate = params.signed_by(&key, &root.2).expect("a certificate");
    let pinned = Root::from_certificate(&root.0).expect("a root");
    let believed = pinned
        .issuer_key(certificate.der())
        .expect("a good certificate");
    let raw = ISSUER_P384.point();
    let mut point = vec![2 + (raw[96] & 1)];
    point.extend_from_slice(&raw[1..49]);
    let entry = Entry {
        kid: believed.kid(),
        algorithm: Algorithm::Esp384,
        point: &point,
        not_before: believed.validity.not_before,
        not_after: believed.validity.not_after,
        operator: "metro",
        classes: 2,
        certificate: certificate.der(),
    };
    let bundle = TrustBundle::new(now.minus(60), now.plus(BUNDLE_LIFE_S), vec![entry]);
    bundle.expect("well-formed").encode()
}
