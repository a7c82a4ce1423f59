//! Identities of services and terminals.

use obol_console::{Outcome, unix_now};
use obol_credential::UnixTime;
use obol_kms::x509::{AccessCa, CertificateRequest, IdentityProfile, Validity};

use crate::arguments::{Certify, Profile};
use crate::failure::Failure;
use crate::output::{must_be_free, read_certificate, read_pem, write_certificate};
use crate::tokens::Modules;

pub(crate) fn certify(arguments: &Certify) -> Result<Outcome, Failure> {
    let Certify {
        profile,
        csr,
        ca,
        token,
        out,
        days,
    } = arguments;
    must_be_free(out)?;
    let request = CertificateRequest::from_pem(&read_pem(csr)?)?;
    let validity = Validity::days(UnixTime(unix_now()), *days)?;
    let ca_certificate = read_certificate(ca)?;
    let token = Modules::default().open(token)?;
    let ca = AccessCa::open(&token, ca_certificate)?;
    let profile = match profile {
        Profile::Server => IdentityProfile::Server,
        Profile::Client => IdentityProfile::Client,
        Profile::Terminal => IdentityProfile::Terminal,
    };
    let certificate = ca.issue_identity(&request, profile, validity)?;
    write_certificate(out, &certificate)?;
    println!(
        "{} {} {}",
        request.public().spki_id(),
        request.uri(),
        out.display()
    );
    Ok(Outcome::Done)
}
