//! What a platform has the issuer publish to terminals.

use obol_credential::Kid;
use obol_transport::http::Request;
use obol_transport::http::header::{CONTENT_TYPE, IF_MATCH};
use obol_transport::{Bytes, HttpsClient, Identity, TrustAnchor};

use crate::{IssuerAddress, IssuerClientError};

/// The issuers that stand for publishing the trust repository; cheap to clone. Issuers that publish
/// together share what they are told, so any one of them will do: who does not answer or does not
/// publish is passed over.
#[derive(Clone, Debug)]
pub struct PublishingClient {
    http: HttpsClient,
    /// Name and URL.
    issuers: Vec<(String, String)>,
}

impl PublishingClient {
    /// Talks to the first of these issuers, one at least, that publishes; each must show a
    /// certificate of `anchor` and of the role `issuer`.
    #[must_use]
    pub fn new(issuers: &[IssuerAddress], anchor: &TrustAnchor, identity: Identity) -> Self {
        let http = HttpsClient::expecting("issuer", anchor, Some(identity));
        let base = |at: &IssuerAddress| at.url.trim_end_matches('/').to_owned();
        let named = |at: &IssuerAddress| (at.name.clone(), base(at));
        let issuers = issuers.iter().map(named).collect();
        Self { http, issuers }
    }

    /// From the next call on, every clone believes `anchor` and shows `identity`.
    pub fn replace_tls(&self, anchor: &TrustAnchor, identity: Identity) {
        self.http.replace(anchor, Some(identity));
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
        let pack = Bytes::copy_from_slice(pack);
        self.accepted(|base| {
            let url = format!("{base}/v1/fare-packs/{operator}");
            let mut request = Request::put(url).header(CONTENT_TYPE, "application/cbor");
            if let Some(replaces) = replaces {
                request = request.header(IF_MATCH, format!("\"{replaces}\""));
            }
            request.body(pack.clone())
        })
        .await
        .map(drop)
    }

    /// Has an issuer key blocked: terminals refuse what it signed, and its subjects get credentials
    /// of other keys. Repeating it changes nothing; only the issuer's own operators lift it. The
    /// name of the issuer that has taken it, durably.
    ///
    /// # Errors
    /// [`IssuerClientError`]; refused with `not-publishing` or `key-unknown`.
    pub async fn suspend_key(&self, kid: Kid, reason: &str) -> Result<String, IssuerClientError> {
        let body = Bytes::from(serde_json::json!({ "reason": reason }).to_string());
        self.accepted(|base| {
            let url = format!("{base}/v1/keys/{kid}/suspend");
            let request = Request::post(url).header(CONTENT_TYPE, "application/json");
            request.body(body.clone())
        })
        .await
    }

    async fn accepted(
        &self,
        request: impl Fn(&str) -> Result<Request<Bytes>, obol_transport::http::Error>,
    ) -> Result<String, IssuerClientError> {
        let unsendable = |error| IssuerClientError::WrongReply(format!("no request: {error}"));
        let mut failed = IssuerClientError::Nobody("no issuer is configured".to_owned());
        for (name, base) in &self.issuers {
            let request = request(base).map_err(unsendable)?;
            match self.http.send(request).await {
                Err(error) => failed = error.into(),
                Ok(reply) => match reply.success() {
                    Ok(_) => return Ok(name.clone()),
                    Err(problem) if problem.status == 404 => {
                        // One that is away may be the one that publishes.
                        if !matches!(failed, IssuerClientError::Transport(_)) {
                            failed = IssuerClientError::Refused(problem);
                        }
                    }
                    Err(problem) => return Err(IssuerClientError::Refused(problem)),
                },
            }
        }
        Err(failed)
    }
}
