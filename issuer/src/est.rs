//! Enrolment over Secure Transport (RFC 7030), on its own listener: who shows no certificate
//! enrols with a code over HTTP Basic, who shows one renews it.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use data_encoding::BASE64;
use obol_credential::UnixTime;
use obol_transport::{Bytes, Peer, Problem};
use tracing::{error, info, warn};

use crate::access::{AccessCa, AccessError};
use crate::enrolment::{Code, EnrolmentRequest};
use crate::issuer::Issuer;
use crate::register::{CodeVerdict, RegisterError};

const BODY_MAX: usize = 8 * 1024;
const CONTENT_TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");
/// RFC 7030 section 4.5.2: a key on P-256, signed by ECDSA with SHA-256.
const CSR_ATTRIBUTES: &[u8] =
    b"\x30\x21\x30\x15\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x31\x0a\x06\x08\
    \x2a\x86\x48\xce\x3d\x03\x01\x07\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";

struct Est {
    issuer: Arc<Issuer>,
    clock: fn() -> u32,
}

/// The four operations of EST that members use; `clock` gives seconds since 1970 UTC.
pub fn est_router(issuer: Arc<Issuer>, clock: fn() -> u32) -> Router {
    let est = Arc::new(Est { issuer, clock });
    Router::new()
        .route("/.well-known/est/cacerts", get(cacerts))
        .route("/.well-known/est/csrattrs", get(csrattrs))
        .route("/.well-known/est/simpleenroll", post(simpleenroll))
        .route("/.well-known/est/simplereenroll", post(simplereenroll))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(est)
}

/// All that are trusted: while one access CA follows another, both (RFC 7030 section 4.1.3).
async fn cacerts(State(est): State<Arc<Est>>) -> Result<Response, Refusal> {
    Ok(certificates(&est.access()?.certificates()))
}

async fn csrattrs() -> Response {
    based64("application/csrattrs", CSR_ATTRIBUTES)
}

async fn simpleenroll(
    State(est): State<Arc<Est>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let (identity, code) = basic(&headers).ok_or(Refusal::Unauthorized)?;
    let request = request(&headers, &body)?;
    if request.identity() != identity {
        warn!(
            identity,
            asked = request.identity(),
            "a code for another identity"
        );
        return Err(Refusal::Unauthorized);
    }
    let now = UnixTime((est.clock)());
    let register = est.issuer.register();
    let tried = register.try_code(identity.clone(), code.hash(), request.spki(), now);
    match tried.await? {
        CodeVerdict::Good => est.certify(&request, now).await,
        CodeVerdict::Again(certificate) => Ok(certificates(&[&certificate])),
        CodeVerdict::Refused => {
            warn!(identity, "an enrolment code was refused");
            Err(Refusal::Unauthorized)
        }
    }
}

/// The certificate that is shown must be a member's, and the request for the same identity; a
/// fresh key is allowed, the same one is not.
async fn simplereenroll(
    State(est): State<Arc<Est>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let Some(Extension(peer)) = peer else {
        return Err(forbidden("no client certificate was shown").into());
    };
    let now = UnixTime((est.clock)());
    let known = est.issuer.register().member(peer.spki).await?;
    let member = known.is_some_and(|member| {
        member.identity == peer.uri && member.revoked_at.is_none() && now <= member.not_after
    });
    let registered = || est.issuer.live().clients.knows(&peer);
    if !member && !registered() {
        return Err(forbidden(&format!(
            "{} with this key is not in the register",
            peer.uri
        ))
        .into());
    }
    let request = request(&headers, &body)?;
    if request.identity() != peer.uri {
        let detail = format!(
            "the request is for {}, not {}",
            request.identity(),
            peer.uri
        );
        return Err(forbidden(&detail).into());
    }
    if est
        .issuer
        .register()
        .member(request.spki())
        .await?
        .is_some()
    {
        let title = "The key was certified before";
        let status = StatusCode::CONFLICT;
        let detail = "renew with a fresh key";
        return Err(Problem::new(status, "key-reused", title, detail).into());
    }
    est.certify(&request, now).await
}

impl Est {
    /// As the configuration in force has it.
    fn access(&self) -> Result<Arc<AccessCa>, Refusal> {
        let nowhere = || {
            let title = "Members do not enrol here";
            let detail = "the configuration in force has no enrolment";
            Problem::new(StatusCode::NOT_FOUND, "no-enrolment", title, detail)
        };
        Ok(self.issuer.access().ok_or_else(nowhere)?)
    }

    async fn certify(
        &self,
        request: &EnrolmentRequest,
        now: UnixTime,
    ) -> Result<Response, Refusal> {
        let mut serial = [0; 20];
        getrandom::fill(&mut serial).map_err(|cause| {
            error!(%cause, "no random bytes");
            Problem::internal()
        })?;
        let member = self.access()?.certify(request, serial, now).await?;
        let certificate = member.certificate.clone();
        // In the register first: a certificate that nobody remembers could not be revoked.
        self.issuer.register().add_member(member).await?;
        self.issuer.refresh_members(now).await?;
        info!(identity = request.identity(), "a member enrolled");
        Ok(certificates(&[&certificate]))
    }
}

/// `ROLE/NAME` and the code: a user's name over HTTP Basic may have no colon (RFC 7617).
fn basic(headers: &HeaderMap) -> Option<(String, Code)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let encoded = value.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64.decode(encoded.as_bytes()).ok()?).ok()?;
    let (user, code) = text.split_once(':')?;
    Some((format!("obol://{user}"), Code::parse(code)?))
}

fn request(headers: &HeaderMap, body: &[u8]) -> Result<EnrolmentRequest, Refusal> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if kind.and_then(|kind| kind.split(';').next()).map(str::trim) != Some("application/pkcs10") {
        let title = "The body is of another type";
        let detail = format!("Content-Type is {kind:?}, not application/pkcs10");
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "unsupported-media-type", title, detail).into());
    }
    Ok(pkcs10(body).map_err(|detail| {
        let title = "The request cannot be certified";
        Problem::new(StatusCode::BAD_REQUEST, "request-refused", title, detail)
    })?)
}

/// RFC 8951 section 3: base64, in lines or not.
pub(crate) fn pkcs10(body: &[u8]) -> Result<EnrolmentRequest, String> {
    let text: Vec<u8> = body
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let der = BASE64.decode(&text);
    let der = der.map_err(|error| format!("the body is not base64: {error}"))?;
    EnrolmentRequest::parse(&der).map_err(|reason| reason.to_string())
}

/// RFC 7030 section 4.1.3: certs-only CMS, base64.
fn certificates(all: &[&[u8]]) -> Response {
    based64(
        "application/pkcs7-mime; smime-type=certs-only",
        &certs_only(all),
    )
}

fn based64(kind: &'static str, der: &[u8]) -> Response {
    let body = BASE64.encode(der);
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (
            CONTENT_TRANSFER_ENCODING,
            HeaderValue::from_static("base64"),
        ),
    ];
    (headers, body).into_response()
}

/// A degenerate SignedData (RFC 5652 section 5.1): certificates, no content, no signers. They are a
/// set, whose order in DER is that of their bytes.
fn certs_only(certificates: &[&[u8]]) -> Vec<u8> {
    const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    const VERSION_AND_NO_DIGESTS: &[u8] = b"\x02\x01\x01\x31\x00";
    const DATA: &[u8] = b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    const NO_SIGNERS: &[u8] = b"\x31\x00";
    let mut certificates = certificates.to_vec();
    certificates.sort_unstable();
    let listed = tlv(0xa0, &certificates.concat());
    let content = [VERSION_AND_NO_DIGESTS, DATA, &listed, NO_SIGNERS].concat();
    let content = tlv(0xa0, &tlv(0x30, &content));
    tlv(0x30, &[SIGNED_DATA, &content].concat())
}

/// Definite lengths of DER, in as few bytes as can be.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    match significant {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | long.len() as u8);
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
    out
}

fn forbidden(detail: &str) -> Problem {
    let title = "The client is not a member";
    Problem::new(StatusCode::FORBIDDEN, "not-registered", title, detail)
}

enum Refusal {
    /// Said of every wrong name, wrong code and spent code alike.
    Unauthorized,
    Problem(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<RegisterError> for Refusal {
    fn from(cause: RegisterError) -> Self {
        error!(
            cause = &cause as &dyn std::error::Error,
            "the register gave no answer"
        );
        Self::Problem(Problem::internal())
    }
}

impl From<AccessError> for Refusal {
    fn from(cause: AccessError) -> Self {
        error!(
            cause = &cause as &dyn std::error::Error,
            "the access CA gave no certificate"
        );
        let title = "No certificate can be had";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let detail = "the access CA gave no signature";
        Self::Problem(Problem::new(
            status,
            "certifying-unavailable",
            title,
            detail,
        ))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Unauthorized => {
                let title = "The code does not let this identity in";
                let detail = "give ROLE/NAME and an unspent code over HTTP Basic";
                let status = StatusCode::UNAUTHORIZED;
                let problem = Problem::new(status, "enrolment-refused", title, detail);
                let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"obol\"")];
                (challenge, problem).into_response()
            }
        }
    }
}
