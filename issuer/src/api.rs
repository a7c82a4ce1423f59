mod answer;
mod credentials;
mod fares;
pub(crate) mod fuzzing;
mod health;
mod keys;
mod members;
mod proof;
mod request;
mod standing;
mod whole;
mod wire;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use obol_credential::UnixTime;
use obol_transport::{Peer, Problem};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clients::Client;
use crate::issuer::Issuer;

pub use wire::BATCH_MAX;

/// The largest body of a request that is no batch.
const REQUEST_MAX: usize = 4096;
/// The largest body of a batch: each item as long as its longest.
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

const _: () = assert!(BATCH_MAX * wire::ITEM_BYTES_MAX < BATCH_BYTES_MAX);

struct Api {
    issuer: Arc<Issuer>,
    clock: fn() -> u32,
}

impl Api {
    fn now(&self) -> UnixTime {
        UnixTime((self.clock)())
    }

    fn admit(&self, peer: &Peer, roles: &[&str]) -> Result<Client, Problem> {
        self.issuer.live().clients.admit(peer, roles)
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Obol issuer",
        description = "Signs passengers' credentials. Every request is on mTLS, TLS 1.3, by a \
                       client whose certificate's URI and key are registered. Each answer carries \
                       `X-Request-Id`; each refusal is a problem (RFC 9457) with a stable `code`.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    tags(
        (name = "credentials", description = "Signing and renewing"),
        (name = "standing", description = "Suspending, resuming and revoking"),
        (name = "members", description = "Who enrolled, and revoking them"),
        (name = "trust", description = "Keys, fares, and what terminals believe"),
        (name = "operation", description = "Health and metrics"),
    )
)]
struct Document;

/// The issuer's HTTP API; `clock` gives seconds since 1970 UTC.
pub fn router(issuer: Arc<Issuer>, clock: fn() -> u32) -> Router {
    let api = Arc::new(Api { issuer, clock });
    let noted = middleware::from_fn_with_state(Arc::clone(&api), request::note);
    let (router, _) = routes_and_document();
    router.layer(noted).with_state(api)
}

/// The API as OpenAPI 3.1, JSON: what `issuer/openapi.json` holds.
///
/// # Panics
/// Never: the document is made of strings and maps.
#[must_use]
pub fn openapi() -> String {
    let (_, document) = routes_and_document();
    let mut text = document
        .to_pretty_json()
        .expect("strings and maps are JSON");
    text.push('\n');
    text
}

fn routes_and_document() -> (Router<Arc<Api>>, utoipa::openapi::OpenApi) {
    let small = OpenApiRouter::new()
        .routes(routes!(credentials::sign))
        .routes(routes!(credentials::status))
        .routes(routes!(credentials::renew))
        .routes(routes!(proof::inclusion))
        .routes(routes!(standing::subject))
        .routes(routes!(standing::suspend_subject))
        .routes(routes!(standing::resume_subject))
        .routes(routes!(standing::revoke_subject))
        .routes(routes!(standing::device))
        .routes(routes!(standing::suspend_device))
        .routes(routes!(standing::resume_device))
        .routes(routes!(standing::revoke_device))
        .routes(routes!(members::members))
        .routes(routes!(members::revoke))
        .routes(routes!(keys::keys))
        .routes(routes!(keys::suspend))
        .routes(routes!(keys::resume))
        .routes(routes!(keys::trust_bundle))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .layer(DefaultBodyLimit::max(REQUEST_MAX));
    let packs = OpenApiRouter::new()
        .routes(routes!(fares::push, fares::published))
        .layer(DefaultBodyLimit::max(obol_fare::PACK_MAX));
    let large = OpenApiRouter::new()
        .routes(routes!(credentials::sign_batch))
        .layer(DefaultBodyLimit::max(BATCH_BYTES_MAX));
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(small)
        .merge(packs)
        .merge(large)
        .split_for_parts()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "OBOL_BLESS asks to write the file anew"
    )]
    fn the_committed_document_is_what_the_code_says() {
        let made = openapi();
        if std::env::var_os("OBOL_BLESS").is_some() {
            std::fs::write(COMMITTED, &made).unwrap();
        }
        let committed = std::fs::read_to_string(COMMITTED).unwrap();
        assert!(
            committed == made,
            "issuer/openapi.json is not what the code says: run this test with OBOL_BLESS=1"
        );
    }
}
