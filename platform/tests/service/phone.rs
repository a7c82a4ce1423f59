//! A phone: an enrolled key, and a fresh proof on each request.

use std::sync::atomic::{AtomicU8, Ordering};

use data_encoding::BASE64URL_NOPAD;
use obol_credential::possession::{self, Possession};
use obol_mint::NOW;
use obol_transport::{Bytes, HttpsClient, Problem, Reply, http::Request};
use obol_wallet::{HeldCredential, Key, Request as Proven, proof};
use serde_json::{Value, json};

use crate::town::{PUBLIC_URL, Town};

pub(crate) struct Phone {
    key: Key,
    client: HttpsClient,
    base: String,
    requests: AtomicU8,
}

impl Phone {
    pub(crate) fn new(town: &Town) -> Self {
        Self {
            key: Key::generate().unwrap(),
            client: town.anybody(),
            base: town.passengers.clone(),
            requests: AtomicU8::new(0),
        }
    }

    /// A passenger with 50.00 in the wallet; the account's number.
    pub(crate) async fn rider(town: &Town) -> (Self, u64) {
        let phone = Self::new(town);
        let enrolled = phone.post("/v1/passengers", &json!({})).await;
        let order = phone.order(5_000).await;
        let told = town.notify(&format!("T-{order}"), &order, 5_000).await;
        assert_eq!(&told.body[..], b"success");
        (phone, read(&enrolled)["account"].as_u64().unwrap())
    }

    pub(crate) async fn order(&self, amount_minor: i64) -> String {
        let asked = json!({ "amount_minor": amount_minor, "channel": "simulated-bank" });
        let ordered = self.post("/v1/recharges", &asked).await;
        assert_eq!(ordered.status, 201, "{ordered:?}");
        read(&ordered)["order"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, "", body.to_string().as_bytes())
            .await
    }

    pub(crate) async fn get(&self, path: &str, query: &str) -> Reply {
        self.send("GET", path, query, b"").await
    }

    async fn send(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Reply {
        let jti = [self.requests.fetch_add(1, Ordering::Relaxed); 16];
        let proof = self.proof(method, path, body, jti);
        self.send_with(&proof, method, &format!("{path}{query}"), body)
            .await
    }

    pub(crate) fn proof(&self, method: &str, path: &str, body: &[u8], jti: [u8; 16]) -> String {
        let url = &format!("{PUBLIC_URL}{path}");
        proof(&self.key, &Proven { method, url, body }, NOW, &jti)
    }

    pub(crate) async fn send_with(
        &self,
        proof: &str,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.base))
            .header("DPoP", proof)
            .header("Content-Type", "application/json")
            .body(Bytes::copy_from_slice(body))
            .unwrap();
        self.client.send(request).await.unwrap()
    }

    /// Asks for a credential on a fresh device key.
    pub(crate) async fn ask_credential(&self) -> Result<HeldCredential, Problem> {
        let device_key = Key::generate().unwrap();
        let possession = Possession {
            subject: [0; 16],
            device_key: device_key.public(),
            issued_at: NOW,
        };
        let signature = device_key.sign(&possession::signature_input(&possession));
        let possession = possession::encode(&possession, &signature);
        let asked = json!({ "possession": BASE64URL_NOPAD.encode(&possession) });
        let reply = self.post("/v1/credentials", &asked).await.success()?;
        let credential = read(&reply)["credential"].as_str().unwrap().to_owned();
        let credential = BASE64URL_NOPAD.decode(credential.as_bytes()).unwrap();
        Ok(HeldCredential::new(credential, device_key).unwrap())
    }

    /// Amounts of the statement's lines.
    pub(crate) async fn amounts(&self) -> Vec<i64> {
        let reply = self.get("/v1/statement", "").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let statement = read(&reply);
        let lines = statement["lines"].as_array().unwrap().iter();
        lines
            .map(|line| line["amount_minor"].as_i64().unwrap())
            .collect()
    }
}

pub(crate) fn read(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("{reply:?}"))
}

/// Status and code of a refusal.
pub(crate) fn refusal(reply: &Reply) -> (u16, String) {
    (
        reply.status.as_u16(),
        Problem::from_reply(reply).code.into_owned(),
    )
}
