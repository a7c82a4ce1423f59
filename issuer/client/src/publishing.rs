//! What a platform has the issuer publish to terminals.

use obol_credential::Kid;
use obol_transport::http::Request;
use obol_transport::http::header::{CONTENT_TYPE, IF_MATCH};
use obol_transport::{Bytes, HttpsClient, Identity, TrustAnchor};

use crate::IssuerClientError;

/// An issuer that stands for publishing the trust repository; cheap to clone. Issuers that publish
/// together share what they are told, so any one of them will do.
#[derive(Clone, Debug)]
pub struct PublishingClient {
    http: HttpsClient,
    base: String,
}

impl PublishingClient {
    /// Talks to the issuer at `base` (`https://HOST:PORT`), which must show a certificate of
    /// `anchor` and of the role `issuer`.
    #[must_use]
    pub fn new(base: &str, anchor: &TrustAnchor, identity: Identity) -> Self {
        let http = HttpsClient::expecting("issuer", anchor, Some(identity));
        let base = base.trim_end_matches('/').to_owned();
        Self { http, base }
    }

    /// Has the fare pack `pack`, by which `operator`'s rides are charged, published. A correction
    /// of a pack that begins at the same second names that pack: `replaces`, 16 hexadecimal digits.
    /// Repeating it changes nothing.
    ///
    /// # Errors
    /// [`IssuerClientError`]; refused with `not-publishing` where nothing is published, with
    /// `fare-pack-older` when it would lead back.
    pub async fn push_fare_pack(
        &self,
        operator: &str,
        pack: &[u8],
        replaces: Option<&str>,
    ) -> Result<(), IssuerClientError> {
        let url = format!("{}/v1/fare-packs/{operator}", self.base);
        let mut request = Request::put(url).header(CONTENT_TYPE, "application/cbor");
        if let Some(replaces) = replaces {
            request = request.header(IF_MATCH, format!("\"{replaces}\""));
        }
        self.accepted(request.body(Bytes::copy_from_slice(pack)))
            .await
    }

    /// Has an issuer key blocked: terminals refuse what it signed, and its subjects get credentials
    /// of other keys. Repeating it changes nothing; only the issuer's own operators lift it.
    ///
    /// # Errors
    /// [`IssuerClientError`]; refused with `not-publishing` or `key-unknown`.
    pub async fn suspend_key(&self, kid: Kid, reason: &str) -> Result<(), IssuerClientError> {
        let url = format!("{}/v1/keys/{kid}/suspend", self.base);
        let body = serde_json::json!({ "reason": reason }).to_string();
        let request = Request::post(url).header(CONTENT_TYPE, "application/json");
        self.accepted(request.body(Bytes::from(body))).await
    }

    async fn accepted(
        &self,
        request: Result<Request<Bytes>, obol_transport::http::Error>,
    ) -> Result<(), IssuerClientError> {
        let unsendable = |error| IssuerClientError::WrongReply(format!("no request: {error}"));
        let reply = self.http.send(request.map_err(unsendable)?).await?;
        reply
            .success()
            .map(drop)
            .map_err(IssuerClientError::Refused)
    }
}
