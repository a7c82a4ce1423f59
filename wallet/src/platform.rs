mod wire;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use miette::Diagnostic;
use obol_credential::UnixTime;
use obol_credential::possession::{self, Possession};
use obol_transport::http::Method;
use obol_transport::http::header::CONTENT_TYPE;
use obol_transport::http::request::Builder;
use obol_transport::{Bytes, HttpsClient, Problem, TransportError, TrustAnchor};
use serde::de::DeserializeOwned;
use serde_json::json;
use thiserror::Error;

use crate::dpop::{Request, proof};
use crate::held::{HeldCredential, PresentError};
use crate::key::{Key, KeyError};

pub use wire::{FareApplied, Line, Order, Passenger, Statement};

/// Why the platform did not do what was asked.
#[derive(Debug, Error, Diagnostic)]
pub enum PlatformError {
    /// No whole reply.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Transport(#[from] TransportError),
    /// The platform's answer is no.
    #[error("the platform refused: {0}")]
    #[diagnostic(
        code(refused::platform),
        help("correct what the message names; check this machine's clock if it speaks of time")
    )]
    Refused(Problem),
    /// The reply is not what was asked for.
    #[error("the platform's reply is wrong: {0}")]
    #[diagnostic(help("check that the address is the platform's and of the same release"))]
    WrongReply(String),
    /// The credential that came cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Credential(#[from] PresentError),
    /// No key or no identifier could be drawn.
    #[error(transparent)]
    #[diagnostic(help("check the machine's source of randomness"))]
    Random(#[from] KeyError),
}

/// The platform's API for one enrolled key.
#[derive(Debug)]
pub struct Platform<'a> {
    http: HttpsClient,
    base: &'a str,
    key: &'a Key,
    clock: fn() -> u32,
}

impl<'a> Platform<'a> {
    /// Talks to `base` (`https://HOST:PORT`), whose certificate must be of `anchor` and of the
    /// role `platform`; `clock` gives seconds since 1970 UTC.
    #[must_use]
    pub fn new(base: &'a str, anchor: &TrustAnchor, key: &'a Key, clock: fn() -> u32) -> Self {
        let http = HttpsClient::expecting("platform", anchor, None);
        Self {
            http,
            base: base.trim_end_matches('/'),
            key,
            clock,
        }
    }

    /// Opens the account of the enrolled key, or finds it.
    ///
    /// # Errors
    /// [`PlatformError`]; asking again is harmless.
    pub async fn enrol(&self) -> Result<Passenger, PlatformError> {
        let reply: wire::PassengerReply = self.post("/v1/passengers", &json!({})).await?;
        let subject = HEXLOWER.decode(reply.subject.as_bytes()).ok();
        let subject = subject
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| wrong("subject is not 32 hexadecimal digits"))?;
        Ok(Passenger {
            account: reply.account,
            subject,
        })
    }

    /// Orders a recharge, to be paid at the order's URL.
    ///
    /// # Errors
    /// [`PlatformError`].
    pub async fn recharge(&self, amount_minor: i64) -> Result<Order, PlatformError> {
        let body = json!({ "amount_minor": amount_minor, "channel": "simulated-bank" });
        let order: Order = self.post("/v1/recharges", &body).await?;
        if order.amount_minor != amount_minor {
            return Err(wrong(format!(
                "the order is for {} instead",
                order.amount_minor
            )));
        }
        Ok(order)
    }

    /// Fetches a credential for a fresh device key.
    ///
    /// # Errors
    /// [`PlatformError`]; the device key is thrown away then.
    pub async fn refresh(&self, passenger: &Passenger) -> Result<HeldCredential, PlatformError> {
        let device_key = Key::generate()?;
        let body = json!({ "possession": self.possession(passenger, &device_key) });
        let reply: wire::CredentialReply = self.post("/v1/credentials", &body).await?;
        let credential = BASE64URL_NOPAD
            .decode(reply.credential.as_bytes())
            .map_err(|error| wrong(format!("credential: {error}")))?;
        let held = HeldCredential::new(credential, device_key)?;
        if held.expires_at() != UnixTime(reply.expires_at) {
            return Err(wrong("expires_at is not the credential's"));
        }
        Ok(held)
    }

    /// What happened on the account.
    ///
    /// # Errors
    /// [`PlatformError`].
    pub async fn statement(&self) -> Result<Statement, PlatformError> {
        self.exchange(Method::GET, "/v1/statement", Bytes::new())
            .await
    }

    fn possession(&self, passenger: &Passenger, device_key: &Key) -> String {
        let issued_at = UnixTime((self.clock)());
        let subject = passenger.subject;
        let claim = Possession {
            subject,
            device_key: device_key.public(),
            issued_at,
        };
        let signature = device_key.sign(&possession::signature_input(&claim));
        BASE64URL_NOPAD.encode(&possession::encode(&claim, &signature))
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, PlatformError> {
        self.exchange(Method::POST, path, Bytes::from(body.to_string()))
            .await
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, PlatformError> {
        let url = format!("{}{path}", self.base);
        let mut jti = [0; 16];
        getrandom::fill(&mut jti).map_err(KeyError::Random)?;
        let spoken_of = Request {
            method: method.as_str(),
            url: &url,
            body: &body,
        };
        let dpop = proof(self.key, &spoken_of, UnixTime((self.clock)()), &jti);
        let request = Builder::new()
            .method(method)
            .uri(&url)
            .header("DPoP", dpop)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|_| TransportError::BadUrl { url: url.clone() })?;
        let reply = self
            .http
            .send(request)
            .await?
            .success()
            .map_err(PlatformError::Refused)?;
        serde_json::from_slice(&reply.body).map_err(|error| wrong(error.to_string()))
    }
}

fn wrong(what: impl Into<String>) -> PlatformError {
    PlatformError::WrongReply(what.into())
}
