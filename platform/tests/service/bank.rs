//! The bank: it signs what it says.

use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use obol_mint::NOW;
use obol_platform::NOTIFY_PATH;
use obol_transport::{Bytes, Reply, http::Request};
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use p256::pkcs8::{EncodePublicKey, LineEnding};
use serde_json::json;

use crate::town::Town;

pub(crate) struct Bank(SigningKey);

impl Bank {
    pub(crate) fn new(folder: &Path) -> Self {
        let key = SigningKey::from_slice(&[77; 32]).unwrap();
        let public = key.verifying_key().to_public_key_pem(LineEnding::LF);
        std::fs::write(folder.join("bank.pub.pem"), public.unwrap()).unwrap();
        Self(key)
    }
}

impl Town {
    /// The bank says that `transaction` paid `order`.
    pub(crate) async fn notify(&self, transaction: &str, order: &str, amount_minor: i64) -> Reply {
        let body = json!({ "transaction": transaction, "order": order, "currency": "CNY",
                           "amount_minor": amount_minor, "paid_at": NOW.0 + 60 });
        let body = body.to_string();
        let signature: Signature = self.bank.0.sign(format!("{NOW}.{body}").as_bytes());
        let signature = BASE64URL_NOPAD.encode(&signature.to_bytes());
        let request = Request::post(format!("{}{NOTIFY_PATH}", self.passengers))
            .header("Bank-Signature", format!("t={NOW},v1={signature}"))
            .header("Content-Type", "application/json")
            .body(Bytes::from(body))
            .unwrap();
        self.anybody().send(request).await.unwrap()
    }
}
