//! Whom the terminal talks to while one access CA follows another.

use std::path::PathBuf;

use data_encoding::BASE64;
use miette::Diagnostic;
use obol_console::{Mode, replace_atomically};
use obol_pos_sdk::Provisioning;
use obol_transport::{
    AnchorRefused, CaCertificate, HttpsClient, Identity, Problem, Reply, TransportError,
    TrustAnchor, certificates_of,
};
use thiserror::Error;

use crate::{enrol::pem, upload::runtime};

/// Why the issuer's access CAs were not taken. The terminal believes whom it believed before.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum AccessError {
    #[error("the certificate is renewed, but the issuer does not say which access CAs to believe")]
    #[diagnostic(help("renew again; what the terminal believes was not changed"))]
    Refused(#[source] Problem),
    #[error("the certificate is renewed, but what the issuer names as access CAs is none: {0}")]
    #[diagnostic(help("check the address; what the terminal believes was not changed"))]
    WrongAnswer(&'static str),
    #[error("the certificate is renewed, but what the issuer names as access CAs is none")]
    #[diagnostic(help("check the address; what the terminal believes was not changed"))]
    WrongAnchor(#[source] AnchorRefused),
    #[error("the issuer names an access CA that {} has not signed", root.display())]
    #[diagnostic(
        code(refused::access),
        help("nothing it says is taken; tell the issuer's operator at once")
    )]
    NotOfTheRoot { root: PathBuf },
    #[error("the issuer cannot be reached by the access CAs that it names")]
    #[diagnostic(
        code(refused::access),
        help("its `trust` must hold the CA of its own certificate; nothing was changed")
    )]
    Unproved(#[source] TransportError),
}

/// Takes the access CAs that the issuer names (RFC 7030 section 4.1.3), where they are others than
/// before. They come over a connection that the ones before vouch for, and each new one must be
/// signed by the deployment's root, which the terminal has had from its beginning: who holds the
/// issuer's key alone cannot add one. And the issuer must be reachable by them, so that no answer
/// shuts the terminal out.
pub(crate) fn follow(
    provisioning: &Provisioning,
    before: &TrustAnchor,
    client: &HttpsClient,
    url: &str,
) -> miette::Result<()> {
    let url = format!("{url}/.well-known/est/cacerts");
    let reply = runtime()?.block_on(client.get(&url))?;
    let offered = anchor_of(&reply.success().map_err(AccessError::Refused)?)?;
    let is_old = |ca: &CaCertificate| before.authorities().any(|old| old == ca);
    let same_number = offered.authorities().len() == before.authorities().len();
    if same_number && offered.authorities().all(is_old) {
        return Ok(());
    }
    for ca in offered.authorities().filter(|ca| !is_old(ca)) {
        if !ca.is_of(&provisioning.root)? {
            let root = provisioning.root.clone();
            return Err(AccessError::NotOfTheRoot { root }.into());
        }
    }
    let identity = Identity::load(&provisioning.certificate, &provisioning.key)?;
    let client = HttpsClient::expecting("issuer", &offered, Some(identity));
    let reached = runtime()?.block_on(client.get(&url));
    reached.map_err(AccessError::Unproved)?;
    let text: String = offered.authorities().map(|ca| pem(ca.der())).collect();
    replace_atomically(&provisioning.access, text.as_bytes(), Mode::Public)?;
    eprintln!(
        "{}: {} access CA(s) are believed from now on",
        provisioning.access.display(),
        offered.authorities().len()
    );
    Ok(())
}

fn anchor_of(reply: &Reply) -> Result<TrustAnchor, AccessError> {
    let text: Vec<u8> = reply
        .body
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let cms = BASE64.decode(&text);
    let cms = cms.map_err(|_| AccessError::WrongAnswer("no base64"))?;
    let all = certificates_of(&cms).ok_or(AccessError::WrongAnswer("no certs-only CMS"))?;
    let all = all.into_iter().map(<[u8]>::to_vec).collect();
    TrustAnchor::of(all).map_err(AccessError::WrongAnchor)
}
