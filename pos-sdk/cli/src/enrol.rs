//! The terminal's certificate, by EST (RFC 7030): the first one for a code, the next ones for the
//! one before.

use std::{
    fs,
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use miette::{Diagnostic, IntoDiagnostic};
use obol_console::{FileError, Mode, Outcome, read_limited, replace_atomically};
use obol_pos_sdk::{INVITATION_MAX, Invitation, Provisioning, SegmentKey, SegmentSigner};
use obol_transport::{
    Bytes, HttpsClient, Identity, Peer, Problem, TrustAnchor, certificate_of, http, new_identity,
};
use serde::Serialize;
use thiserror::Error;

use crate::{
    access,
    folder::{Folder, credentials},
    identity,
    say::{self, Format},
    upload::runtime,
};

const FILE_MAX: usize = 64 * 1024;

#[derive(Debug, Error, Diagnostic)]
enum EnrolError {
    #[error("{} is no provisioning file: {reason}", path.display())]
    #[diagnostic(help("ask the issuer's operator for a new one: obol-issuer enrolment-code"))]
    Invitation { path: PathBuf, reason: String },
    #[error("the issuer gives no certificate: {0}")]
    #[diagnostic(
        code(refused::enrolment),
        help("a code is good for one terminal, one key and one day: ask for a new one")
    )]
    Refused(Problem),
    #[error("the issuer's answer is no certificate of this terminal's key: {0}")]
    #[diagnostic(help("check the address; nothing was changed"))]
    WrongAnswer(&'static str),
    #[error("{} is no certificate request", path.display())]
    #[diagnostic(help("remove it and the key beside it, and begin anew"))]
    Request { path: PathBuf },
}

#[derive(Serialize)]
struct Enrolled {
    result: &'static str,
    identity: String,
    certificate: String,
}

/// Makes key, request and journal where they are missing, and gets the first certificate. Repeated
/// after anything that went wrong, it goes on with the same key, to which the issuer gives the same
/// certificate again.
pub(crate) fn enrol(folder: &Folder, file: &Path, format: Format) -> miette::Result<Outcome> {
    let invitation = invitation(file)?;
    let provisioning = folder.begin(&invitation)?;
    let expected = format!("obol://terminal/{}", provisioning.terminal);
    if !provisioning.key.exists() {
        identity::make_files(folder, &provisioning)?;
    }
    let anchor = TrustAnchor::load(&provisioning.access)?;
    let client = HttpsClient::expecting("issuer", &anchor, None);
    let code = invitation.code.reveal();
    let user = format!("terminal/{}:{code}", provisioning.terminal);
    let basic = format!("Basic {}", BASE64.encode(user.as_bytes()));
    let ask = Ask {
        url: format!("{}/.well-known/est/simpleenroll", invitation.enrolment_url),
        request: request_of(&folder.request_path())?,
        authorization: Some(basic),
    };
    let der = ask.certificate(&client)?;
    check(&der, &expected, &folder.key(&provisioning)?)?;
    let pem = pem(&der);
    replace_atomically(&provisioning.certificate, pem.as_bytes(), Mode::Public)?;
    done("enrolled", expected, &provisioning, format)
}

/// Gets the next certificate, for a fresh key, in the place of the one that is in use. The two
/// change together: whatever happens, key and certificate fit. Behind them the access CAs are
/// followed.
pub(crate) fn renew(folder: &Folder, url: &str, format: Format) -> miette::Result<Outcome> {
    let provisioning = folder.provisioning()?;
    let identity = format!("obol://terminal/{}", provisioning.terminal);
    let (anchor, shown) = credentials(&provisioning)?;
    let next = Next::of(&provisioning);
    next.make_request(&identity)?;
    let ask = Ask {
        url: format!("{url}/.well-known/est/simplereenroll"),
        request: request_of(&next.request)?,
        authorization: None,
    };
    let client = HttpsClient::expecting("issuer", &anchor, Some(shown));
    let der = ask.certificate(&client)?;
    let key = String::from_utf8(read_limited(&next.key, FILE_MAX)?).into_diagnostic()?;
    check(&der, &identity, &key)?;
    replace_atomically(&next.certificate, pem(&der).as_bytes(), Mode::Public)?;
    finish(&provisioning)?;
    Identity::load(&provisioning.certificate, &provisioning.key)?;
    access::follow(&provisioning, &anchor, &client, url)?;
    done("renewed", identity, &provisioning, format)
}

/// A renewal's files. That its certificate is there is the moment from which it counts.
struct Next {
    key: PathBuf,
    request: PathBuf,
    certificate: PathBuf,
}

impl Next {
    fn of(provisioning: &Provisioning) -> Self {
        let beside = |path: &Path, ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        Self {
            key: beside(&provisioning.key, ".next"),
            request: beside(&provisioning.key, ".next.csr"),
            certificate: beside(&provisioning.certificate, ".next"),
        }
    }

    /// A key that no certificate was asked for: the issuer wants a fresh one each time.
    fn make_request(&self, identity: &str) -> miette::Result<()> {
        let made = new_identity(identity, &[])?;
        replace_atomically(&self.key, made.key_pem.as_bytes(), Mode::Private)?;
        replace_atomically(&self.request, made.request_pem.as_bytes(), Mode::Public)?;
        Ok(())
    }
}

/// Ends a renewal that was cut off behind its certificate: every use of the key comes by here
/// first.
///
/// # Errors
/// The system's.
pub(crate) fn finish(provisioning: &Provisioning) -> miette::Result<()> {
    let next = Next::of(provisioning);
    if !next.certificate.exists() {
        return Ok(());
    }
    // A key that does not fit is that of a later attempt: the certificate's own is in place.
    if next.key.exists() && Identity::load(&next.certificate, &next.key).is_ok() {
        rename(&next.key, &provisioning.key)?;
    }
    rename(&next.certificate, &provisioning.certificate)?;
    Ok(())
}

/// Returns when the new name is on the disk.
fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    let failed = |source| FileError::Write {
        path: to.to_owned(),
        source,
    };
    match fs::rename(from, to) {
        // Another command of this terminal has done it meanwhile.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed.map_err(failed)?,
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::File::open(folder.unwrap_or(Path::new("."))).map_err(failed)?;
    folder.sync_all().map_err(failed)
}

fn invitation(path: &Path) -> miette::Result<Invitation> {
    let refused = |reason: String| EnrolError::Invitation {
        path: path.to_owned(),
        reason,
    };
    let text = String::from_utf8(read_limited(path, INVITATION_MAX)?)
        .map_err(|_| refused("it is not UTF-8".to_owned()))?;
    Ok(Invitation::parse(&text).map_err(|error| refused(error.to_string()))?)
}

/// The base64 of a request's PEM, which is what EST posts.
fn request_of(path: &Path) -> miette::Result<String> {
    let wrong = || EnrolError::Request { path: path.into() };
    let text = String::from_utf8(read_limited(path, FILE_MAX)?).map_err(|_| wrong())?;
    let body = text.split("-----").nth(2).ok_or_else(wrong)?;
    Ok(body.split_ascii_whitespace().collect())
}

struct Ask {
    url: String,
    request: String,
    authorization: Option<String>,
}

impl Ask {
    /// The certificate in the issuer's answer, DER.
    fn certificate(self, client: &HttpsClient) -> miette::Result<Vec<u8>> {
        let mut post = http::Request::post(&self.url)
            .header(http::header::CONTENT_TYPE, "application/pkcs10")
            .header("Content-Transfer-Encoding", "base64");
        if let Some(authorization) = self.authorization {
            post = post.header(http::header::AUTHORIZATION, authorization);
        }
        let post = post.body(Bytes::from(self.request)).into_diagnostic()?;
        let reply = runtime()?.block_on(client.send(post))?;
        let reply = reply.success().map_err(EnrolError::Refused)?;
        let text: Vec<u8> = reply
            .body
            .iter()
            .copied()
            .filter(|b| !b.is_ascii_whitespace())
            .collect();
        let cms = BASE64
            .decode(&text)
            .map_err(|_| EnrolError::WrongAnswer("no base64"))?;
        let der = certificate_of(&cms).ok_or(EnrolError::WrongAnswer("no certs-only CMS"))?;
        Ok(der.to_vec())
    }
}

/// Whether the certificate is this terminal's, for this key.
fn check(der: &[u8], identity: &str, key: &str) -> miette::Result<()> {
    let peer = Peer::from_certificate(der);
    let peer = peer.map_err(|_| EnrolError::WrongAnswer("it does not parse"))?;
    if peer.uri != identity {
        return Err(EnrolError::WrongAnswer("it names another member").into());
    }
    if peer.spki != SegmentSigner::from_pkcs8_pem(key)?.id().0 {
        return Err(EnrolError::WrongAnswer("it is for another key").into());
    }
    Ok(())
}

/// RFC 7468.
pub(crate) fn pem(der: &[u8]) -> String {
    let body = BASE64.encode(der);
    let lines: Vec<&str> = (0..body.len())
        .step_by(64)
        .map(|at| &body[at..body.len().min(at + 64)])
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

fn done(
    result: &'static str,
    identity: String,
    provisioning: &Provisioning,
    format: Format,
) -> miette::Result<Outcome> {
    let certificate = provisioning.certificate.display().to_string();
    let text = format!(
        "{} {identity} certificate={certificate}",
        result.to_uppercase()
    );
    let value = Enrolled {
        result,
        identity,
        certificate,
    };
    say::result(format, &text, &value)?;
    Ok(Outcome::Done)
}
