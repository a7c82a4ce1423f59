//! Import of issuer certificates: one violating certificate for each rule.
#![cfg(feature = "x509")]

use obol_credential::{Algorithm, Kid, UnixTime};
use obol_trust::{Entry, TrustBundle};
use obol_verifier_sdk::x509::{BundleRefusal, Root};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    SignatureAlgorithm,
};

const EKU: &[u64] = &[1, 3, 6, 1, 4, 1, 59999, 1, 1];
const SCOPE: &[u64] = &[1, 3, 6, 1, 4, 1, 59999, 1, 2];

struct Ca {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn ca(name: &str, algorithm: &'static SignatureAlgorithm) -> Ca {
    let key = KeyPair::generate_for(algorithm).expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let der = params
        .self_signed(&key)
        .expect("a certificate")
        .der()
        .to_vec();
    Ca {
        der,
        issuer: Issuer::new(params, key),
    }
}

fn root() -> Ca {
    ca("Test Root", &PKCS_ECDSA_P384_SHA384)
}

/// `SEQUENCE { UTF8String "metro", INTEGER classes }` for classes below 128.
fn scope_der(classes: u8) -> Vec<u8> {
    let mut der = vec![0x30, 10, 0x0c, 5];
    der.extend_from_slice(b"metro");
    der.extend_from_slice(&[2, 1, classes]);
    der
}

fn scope() -> CustomExtension {
    CustomExtension::from_oid_content(SCOPE, scope_der(6))
}

fn issuer_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    params
        .distinguished_name
        .push(DnType::CommonName, "Test Issuer");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let mut usage = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 37], eku_der());
    usage.set_criticality(true);
    params.custom_extensions = vec![usage, scope()];
    params
}

/// `SEQUENCE OF OBJECT IDENTIFIER` with the private usage alone.
fn eku_der() -> Vec<u8> {
    vec![0x30, 12, 0x06, 10, 0x2b, 6, 1, 4, 1, 0x83, 0xd4, 0x5f, 1, 1]
}

fn signed(params: &CertificateParams, by: &Ca, algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
    let key = KeyPair::generate_for(algorithm).expect("a key");
    params
        .signed_by(&key, &by.issuer)
        .expect("a certificate")
        .der()
        .to_vec()
}

fn refused_rule(change: impl FnOnce(&mut CertificateParams)) -> &'static str {
    let root = root();
    let mut params = issuer_params();
    change(&mut params);
    let der = signed(&params, &root, &PKCS_ECDSA_P384_SHA384);
    let pinned = Root::from_certificate(&root.der).expect("a root");
    pinned
        .issuer_key(&der)
        .expect_err("a violating certificate")
        .rule
}

#[test]
fn a_certificate_of_the_pinned_root_is_believed_within_its_scope() {
    let root = root();
    let pinned = Root::from_certificate(&root.der).expect("a root");
    for (algorithm, expected) in [
        (&PKCS_ECDSA_P384_SHA384, Algorithm::Esp384),
        (&PKCS_ECDSA_P256_SHA256, Algorithm::Esp256),
    ] {
        let der = signed(&issuer_params(), &root, algorithm);
        let key = pinned.issuer_key(&der).expect("a good certificate");
        assert_eq!(key.algorithm(), expected);
        assert_eq!(key.operator.as_str(), "metro");
        assert_eq!(key.classes, 6);
        assert_eq!(key.validity.not_before.0, 1_767_225_600);
        assert_eq!(key.validity.not_after.0, 1_798_761_600);
    }
}

#[test]
fn a_certificate_of_another_root_of_the_same_name_is_refused() {
    let (ours, theirs) = (root(), root());
    let der = signed(&issuer_params(), &theirs, &PKCS_ECDSA_P384_SHA384);
    let refused = Root::from_certificate(&ours.der)
        .expect("a root")
        .issuer_key(&der);
    let rule = refused.expect_err("another root").rule;
    assert_eq!(rule, "the pinned root did not sign this certificate");
}

#[test]
fn a_longer_chain_is_refused() {
    let root = root();
    let middle = ca("Middle", &PKCS_ECDSA_P384_SHA384);
    let der = signed(&issuer_params(), &middle, &PKCS_ECDSA_P384_SHA384);
    let refused = Root::from_certificate(&root.der)
        .expect("a root")
        .issuer_key(&der);
    assert_eq!(
        refused.expect_err("a chain").rule,
        "issued by another than the pinned root"
    );
}

#[test]
fn every_rule_of_the_profile_refuses_its_violation() {
    assert_eq!(
        refused_rule(|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
        "basic constraints do not say CA false"
    );
    assert_eq!(
        refused_rule(|p| p.is_ca = IsCa::NoCa),
        "basic constraints do not say CA false"
    );
    assert_eq!(
        refused_rule(|p| p.key_usages.push(KeyUsagePurpose::KeyCertSign)),
        "key usage is not digitalSignature alone, critical"
    );
    assert_eq!(
        refused_rule(|p| p.key_usages.clear()),
        "key usage is not digitalSignature alone, critical"
    );
    let usage = "extended key usage is not credential issuer alone, critical";
    assert_eq!(refused_rule(|p| p.custom_extensions = vec![scope()]), usage);
    assert_eq!(
        refused_rule(|p| p.custom_extensions[0].set_criticality(false)),
        usage
    );
    assert_eq!(
        refused_rule(|p| {
            p.custom_extensions = vec![scope()];
            p.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::Other(EKU.to_vec()),
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
        }),
        usage
    );
    assert_eq!(
        refused_rule(|p| p.custom_extensions.truncate(1)),
        "no scope"
    );
    assert_eq!(
        refused_rule(|p| p.custom_extensions.push(scope())),
        "more than one scope"
    );
    assert_eq!(
        refused_rule(|p| {
            let mut trailing = scope_der(6);
            trailing.push(0);
            p.custom_extensions[1] = CustomExtension::from_oid_content(SCOPE, trailing);
        }),
        "the scope is not an operator and classes"
    );
    assert_eq!(
        refused_rule(|p| {
            let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
            unknown.set_criticality(true);
            p.custom_extensions.push(unknown);
        }),
        "unknown critical extension"
    );
}

#[test]
fn a_root_must_be_a_self_signed_p384_ca() {
    let rule = |der: &[u8]| Root::from_certificate(der).expect_err("not a root").rule;
    assert_eq!(
        rule(&ca("Small", &PKCS_ECDSA_P256_SHA256).der),
        "the root's key is not on P-384"
    );
    let root = root();
    let leaf = signed(&issuer_params(), &root, &PKCS_ECDSA_P384_SHA384);
    assert_eq!(rule(&leaf), "not a CA certificate");
    assert_eq!(rule(b"noise"), "not an X.509 certificate");
    assert_eq!(
        rule(&[root.der.clone(), vec![0]].concat()),
        "bytes behind the certificate"
    );
}

/// The bundle of one key whose entry `change` has bent, and the error it meets.
fn bundle_refusal(change: impl FnOnce(&mut Entry<'_>)) -> Result<usize, BundleRefusal> {
    let root = root();
    let pinned = Root::from_certificate(&root.der).expect("a root");
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key");
    let certificate = issuer_params()
        .signed_by(&key, &root.issuer)
        .expect("a certificate");
    let believed = pinned
        .issuer_key(certificate.der())
        .expect("a good certificate");
    let raw = key.public_key_raw();
    let mut point = vec![2 + (raw[96] & 1)];
    point.extend_from_slice(&raw[1..49]);
    let mut entry = Entry {
        kid: believed.kid(),
        algorithm: Algorithm::Esp384,
        point: &point,
        not_before: believed.validity.not_before,
        not_after: believed.validity.not_after,
        operator: "metro",
        classes: 6,
        certificate: certificate.der(),
    };
    change(&mut entry);
    let bundle = TrustBundle::new(UnixTime(1), UnixTime(2), vec![entry]).expect("well-formed");
    pinned
        .accept_bundle(&bundle.encode())
        .map(|accepted| accepted.keys().len())
}

#[test]
fn a_bundle_entry_must_say_what_its_certificate_says() {
    let field = |change: fn(&mut Entry<'_>)| match bundle_refusal(change) {
        Err(BundleRefusal::Mismatch(_, field)) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(bundle_refusal(|_| ()), Ok(1));
    assert_eq!(field(|e| e.kid = Kid([0; 4])), "kid");
    assert_eq!(
        field(|e| (e.algorithm, e.point) = (Algorithm::Esp256, &[2; 33])),
        "algorithm"
    );
    assert_eq!(field(|e| e.point = &[2; 49]), "public key");
    assert_eq!(field(|e| e.not_before = UnixTime(0)), "start");
    assert_eq!(field(|e| e.not_after = UnixTime(u32::MAX)), "end");
    assert_eq!(field(|e| e.operator = "tram"), "operator");
    assert_eq!(field(|e| e.classes = 7), "set of classes");
    let refused = bundle_refusal(|e| e.certificate = b"noise").expect_err("no certificate");
    assert!(
        matches!(refused, BundleRefusal::Certificate(_, r) if r.rule == "not an X.509 certificate")
    );
}
