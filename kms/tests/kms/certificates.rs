//! Certificates, judged by OpenSSL.

use std::path::Path;
use std::process::Command;

use obol_kms::x509::{
    AccessCa, Certificate, CertificateError, CertificateRequest, IdentityProfile, RequestError,
    RootCa, Scope, Validity,
};
use obol_kms::{Curve, FindError, Token};
use rcgen::{CertificateParams, KeyPair, SanType};

use crate::world::{NOW, World, decade, in_a_world, issuer};

fn openssl(arguments: &[&str], files: &[&Path]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .args(files)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).unwrap()
}

/// A request as services make it.
fn request(names: &[&str]) -> String {
    request_for(&rcgen::PKCS_ECDSA_P256_SHA256, names)
}

fn request_for(algorithm: &'static rcgen::SignatureAlgorithm, names: &[&str]) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for name in names {
        params
            .subject_alt_names
            .push(match name.strip_prefix("uri=") {
                Some(uri) => SanType::URI(uri.try_into().unwrap()),
                None => match name.parse() {
                    Ok(address) => SanType::IpAddress(address),
                    Err(_) => SanType::DnsName((*name).try_into().unwrap()),
                },
            });
    }
    let key = KeyPair::generate_for(algorithm).unwrap();
    params.serialize_request(&key).unwrap().pem().unwrap()
}

fn access_ca(token: &Token) -> (Certificate, Certificate) {
    let root_key = token.generate(Curve::P384, "root").unwrap();
    let root = RootCa::create(token, &root_key, "Test Root", decade(NOW)).unwrap();
    let access_key = token.generate(Curve::P384, "access").unwrap();
    let validity = Validity::days(NOW, 365).unwrap();
    let access = RootCa::open(token, root.clone())
        .unwrap()
        .issue_access_ca(access_key.public(), "Test Access CA", validity)
        .unwrap();
    (root, access)
}

#[test]
fn certificates_pass_openssl_x509_strict() {
    in_a_world(
        "certificates::certificates_pass_openssl_x509_strict",
        |world| {
            let token = world.token("all");
            let (root, access) = access_ca(&token);
            let ca = AccessCa::open(&token, access.clone()).unwrap();
            let (root, access) = (
                world.write("root.pem", &root),
                world.write("access.pem", &access),
            );
            for (name, profile, names, purpose) in [
                (
                    "server",
                    IdentityProfile::Server,
                    &["uri=obol://issuer/main", "localhost", "127.0.0.1", "::1"][..],
                    "sslserver",
                ),
                (
                    "client",
                    IdentityProfile::Client,
                    &["uri=obol://platform/p1"],
                    "sslclient",
                ),
                (
                    "terminal",
                    IdentityProfile::Terminal,
                    &["uri=obol://terminal/t-7"],
                    "sslclient",
                ),
            ] {
                let request = CertificateRequest::from_pem(request(names).as_bytes()).unwrap();
                let validity = Validity::days(NOW, 30).unwrap();
                let certificate = ca.issue_identity(&request, profile, validity).unwrap();
                let path = world.write(&format!("{name}.pem"), &certificate);
                let now = NOW.to_string();
                let verdict = openssl(
                    &[
                        "verify",
                        "-x509_strict",
                        "-attime",
                        &now,
                        "-purpose",
                        purpose,
                        "-CAfile",
                    ],
                    &[&root, Path::new("-untrusted"), &access, &path],
                );
                assert_eq!(verdict.trim(), format!("{}: OK", path.display()));
            }
        },
    );
}

#[test]
fn an_issuer_certificate_passes_openssl_and_says_its_purpose() {
    in_a_world(
        "certificates::an_issuer_certificate_passes_openssl_and_says_its_purpose",
        |world| {
            for curve in [Curve::P384, Curve::P256] {
                let token = world.token(&curve.to_string().to_lowercase());
                let (certificate, key) = issuer(&token, curve, NOW);
                let root_pair = token
                    .keys()
                    .into_iter()
                    .find(|pair| pair.label == "root")
                    .unwrap();
                let root_key = token.key(root_pair.id).unwrap();
                let root = RootCa::create(&token, &root_key, "Test Root", decade(NOW)).unwrap();
                let (root, path) = (
                    world.write("r.pem", &root),
                    world.write("i.pem", &certificate),
                );
                let now = NOW.to_string();
                let verdict = openssl(
                    &["verify", "-x509_strict", "-attime", &now, "-CAfile"],
                    &[&root, &path],
                );
                assert_eq!(verdict.trim(), format!("{}: OK", path.display()));
                let text = openssl(&["x509", "-noout", "-text", "-in"], &[&path]);
                assert!(text.contains(
                    "X509v3 Extended Key Usage: critical\n                1.3.6.1.4.1.59999.1.1\n"
                ));
                assert!(text.contains("CA:FALSE"));
                assert_eq!(
                    (key.scope().operator(), key.scope().classes()),
                    ("linea", 0b110)
                );
            }
        },
    );
}

#[test]
fn a_terminal_believes_an_issuer_certificate_through_the_pinned_root() {
    in_a_world(
        "certificates::a_terminal_believes_an_issuer_certificate_through_the_pinned_root",
        |world| {
            let token = world.token("all");
            let root_key = token.generate(Curve::P384, "root").unwrap();
            let pinned = RootCa::create(&token, &root_key, "Test Root", decade(NOW)).unwrap();
            let root = RootCa::open(&token, pinned.clone()).unwrap();
            let terminal =
                obol_verifier_sdk::x509::Root::from_certificate(pinned.as_der()).unwrap();
            for (curve, classes) in [(Curve::P384, &[1, 2][..]), (Curve::P256, &[31])] {
                let key = token.generate(curve, &curve.to_string()).unwrap();
                let scope = Scope::new("linea", classes).unwrap();
                let validity = Validity::days(NOW, 90).unwrap();
                let certificate = root
                    .issue_issuer(key.public(), "Issuer", &scope, validity)
                    .unwrap();
                let believed = terminal.issuer_key(certificate.as_der()).unwrap();
                assert_eq!(believed.kid(), key.id().kid());
                assert_eq!(believed.algorithm(), curve.algorithm());
            }
        },
    );
}

#[test]
fn a_certificate_never_outlives_its_issuer() {
    in_a_world(
        "certificates::a_certificate_never_outlives_its_issuer",
        |world| {
            let token = world.token("all");
            let (_, access) = access_ca(&token);
            let ca = AccessCa::open(&token, access).unwrap();
            let pem = request(&["uri=obol://platform/p1"]);
            let request = CertificateRequest::from_pem(pem.as_bytes()).unwrap();
            let longer = Validity::days(NOW, 366).unwrap();
            let error = ca
                .issue_identity(&request, IdentityProfile::Client, longer)
                .unwrap_err();
            assert!(matches!(error, CertificateError::Outlives { .. }));
        },
    );
}

#[test]
fn an_authority_is_refused_in_the_place_of_another() {
    in_a_world(
        "certificates::an_authority_is_refused_in_the_place_of_another",
        |world| {
            let token = world.token("all");
            let (root, access) = access_ca(&token);
            let refused = RootCa::open(&token, access.clone()).unwrap_err();
            assert!(matches!(
                refused,
                CertificateError::NotThisAuthority("root CA")
            ));
            let refused = AccessCa::open(&token, root).unwrap_err();
            assert!(matches!(
                refused,
                CertificateError::NotThisAuthority("access CA")
            ));

            let elsewhere = world.token("elsewhere");
            let missing = AccessCa::open(&elsewhere, access).unwrap_err();
            assert!(matches!(
                missing,
                CertificateError::Key(FindError::Missing(_))
            ));
        },
    );
}

#[test]
fn a_request_that_fits_no_profile_is_refused() {
    in_a_world(
        "certificates::a_request_that_fits_no_profile_is_refused",
        |world| {
            let token = world.token("all");
            let (_, access) = access_ca(&token);
            let ca = AccessCa::open(&token, access).unwrap();
            let refusal = |profile, names: &[&str]| {
                let request = CertificateRequest::from_pem(request(names).as_bytes()).unwrap();
                let validity = Validity::days(NOW, 30).unwrap();
                match ca.issue_identity(&request, profile, validity) {
                    Err(CertificateError::Request(refusal)) => refusal,
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(
                refusal(
                    IdentityProfile::Client,
                    &["uri=obol://platform/p1", "localhost"]
                ),
                RequestError::NotAServer
            );
            assert_eq!(
                refusal(IdentityProfile::Server, &["uri=obol://terminal/t1"]),
                RequestError::Role {
                    role: "terminal".into(),
                    profile: IdentityProfile::Server
                }
            );
            assert_eq!(
                refusal(IdentityProfile::Terminal, &["uri=obol://platform/p1"]),
                RequestError::Role {
                    role: "platform".into(),
                    profile: IdentityProfile::Terminal
                }
            );
        },
    );
}

#[test]
fn a_malformed_request_is_refused() {
    let refusal = |pem: &str| CertificateRequest::from_pem(pem.as_bytes()).unwrap_err();
    assert_eq!(refusal(""), RequestError::NotARequest);
    assert_eq!(refusal(&request(&[])), RequestError::UriCount(0));
    assert_eq!(
        refusal(&request(&["uri=obol://issuer/a", "uri=obol://issuer/b"])),
        RequestError::UriCount(2)
    );
    for uri in [
        "https://issuer/a",
        "obol://root/a",
        "obol://issuer/",
        "obol://issuer/A",
        "obol://issuer/a/b",
    ] {
        let refused = refusal(&request(&[&format!("uri={uri}")]));
        assert_eq!(refused, RequestError::Uri(uri.to_owned()));
    }
    assert_eq!(
        refusal(&request(&["uri=obol://issuer/a", "*.example"])),
        RequestError::ServerNames
    );
    let p384 = request_for(&rcgen::PKCS_ECDSA_P384_SHA384, &["uri=obol://issuer/a"]);
    assert_eq!(refusal(&p384), RequestError::Key);
    let twice = request(&["uri=obol://issuer/a"]).repeat(2);
    assert_eq!(refusal(&twice), RequestError::NotARequest);
}

#[test]
fn a_request_not_signed_by_its_own_key_is_refused() {
    let pem = request(&["uri=obol://issuer/main"]);
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = data_encoding::BASE64.decode(body.as_bytes()).unwrap();
    let place = der.windows(4).position(|window| window == b"main").unwrap();
    der[place] = b'p';
    let body = data_encoding::BASE64.encode(&der);
    let forged =
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n");
    let refused = CertificateRequest::from_pem(forged.as_bytes()).unwrap_err();
    assert_eq!(refused, RequestError::SelfSignature);
}

#[test]
fn pem_reads_back() {
    in_a_world("certificates::pem_reads_back", |world: &World| {
        let token = world.token("all");
        let (root, _) = access_ca(&token);
        assert_eq!(
            Certificate::from_pem(root.to_pem().as_bytes()),
            Ok(root.clone())
        );
        let two = root.to_pem().repeat(2);
        assert!(Certificate::from_pem(two.as_bytes()).is_err());
    });
}
