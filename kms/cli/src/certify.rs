//! Identities of services and terminals.

use obol_console::{Outcome, unix_now};
use obol_credential::UnixTime;
use obol_kms::x509::{AccessCa, CertificateRequest, IdentityProfile, Validity};

use serde::Serialize;

use crate::arguments::{Certify, Profile};
use crate::failure::Failure;
use crate::output::{must_be_free, print_json, read_certificate, read_pem, write_certificate};
use crate::tokens::Modules;

/// An identity, as it is printed.
#[derive(Serialize)]
struct Certified {
    spki: String,
    uri: String,
    certificate: String,
}

pub(crate) fn certify(arguments: &Certify) -> Result<Outcome, Failure> {
    let Certify {
        profile,
        csr,
        ca,
        token,
        out,
        days,
        waived,
        json,
    } = arguments;
    must_be_free(out)?;
    let rules = waived.rules()?;
    let request = CertificateRequest::from_pem(&read_pem(csr)?)?;
    let validity = Validity::days(UnixTime(unix_now()), *days)?;
    let ca_certificate = read_certificate(ca)?;
    let token = Modules::default().open(token)?;
    let ca = AccessCa::open(&token, ca_certificate)?.with_rules(rules);
    let profile = match profile {
        Profile::Server => IdentityProfile::Server,
        Profile::Client => IdentityProfile::Client,
        Profile::Terminal => IdentityProfile::Terminal,
    };
    let certificate = ca.issue_identity(&request, profile, validity)?;
    write_certificate(out, &certificate)?;
    let (spki, uri) = (request.public().spki_id().to_string(), request.uri());
    let certificate = out.display().to_string();
    if *json {
        return print_json(&Certified {
            spki,
            uri,
            certificate,
        });
    }
    println!("{spki} {uri} {certificate}");
    Ok(Outcome::Done)
}
