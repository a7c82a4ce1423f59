//! An issuer over mTLS whose keys lie in software: its service is tested elsewhere, with a token.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
};
use data_encoding::BASE64URL_NOPAD;
use obol_credential::{Cti, Kid, possession};
use obol_mint::{Mint, NOW};
use obol_transport::{ClientAuth, Problem, serve, server_config};
use obol_trust::TrustBundle;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::authorities::{Authorities, Certified};

#[derive(Clone)]
pub(crate) struct Issuer(Arc<Mutex<Desk>>);

struct Desk {
    /// The keys of the bundle; none: the issuer is away. The last one signs.
    keys: Vec<Certified>,
    issued: u8,
    bundles: u32,
    /// Commands that it heard: the target's path, and what stands in them.
    commands: Vec<(String, Value)>,
    /// Answers no command.
    deaf: bool,
    /// Keys that are blocked.
    blocked: BTreeSet<String>,
}

impl Issuer {
    /// The issuer and its URL.
    pub(crate) async fn start(authorities: &Authorities) -> (Self, String) {
        let desk = Desk {
            keys: Vec::new(),
            issued: 0,
            bundles: 0,
            commands: Vec::new(),
            deaf: false,
            blocked: BTreeSet::new(),
        };
        let issuer = Self(Arc::new(Mutex::new(desk)));
        let router = Router::new()
            .route("/v1/trust-bundle", get(bundle))
            .route("/v1/credentials", post(credential))
            .route("/v1/subjects/{handle}/{verb}", post(command))
            .route("/v1/keys", get(keys))
            .route("/v1/keys/{kid}/suspend", post(suspend_key))
            .with_state(issuer.clone());
        let identity = authorities.identity("issuer", "issuer");
        let tls = server_config(identity, ClientAuth::Required(authorities.anchor()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, tls, router, std::future::pending()));
        (issuer, url)
    }

    pub(crate) fn publish(&self, keys: &[&Certified]) {
        self.0.lock().unwrap().keys = keys.iter().map(|key| (*key).clone()).collect();
    }

    /// Whether it answers no command from now on.
    pub(crate) fn be_deaf(&self, deaf: bool) {
        self.0.lock().unwrap().deaf = deaf;
    }

    /// Somebody else has it block a key.
    pub(crate) fn suspend_key(&self, kid: Kid) {
        self.0.lock().unwrap().blocked.insert(kid.to_string());
    }

    /// Its own operators lift the block of a key.
    pub(crate) fn resume_key(&self, kid: Kid) {
        self.0.lock().unwrap().blocked.remove(&kid.to_string());
    }

    pub(crate) fn commands(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap().commands.clone()
    }

    pub(crate) fn bundles_served(&self) -> u32 {
        self.0.lock().unwrap().bundles
    }
}

async fn bundle(State(issuer): State<Issuer>) -> axum::response::Response {
    let mut desk = issuer.0.lock().unwrap();
    desk.bundles += 1;
    let entries: Vec<_> = desk.keys.iter().map(Certified::entry).collect();
    match TrustBundle::new(NOW, NOW.plus(86_400), entries) {
        Ok(bundle) => ([(CONTENT_TYPE, "application/cbor")], bundle.encode()).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn keys(State(issuer): State<Issuer>) -> axum::response::Response {
    let desk = issuer.0.lock().unwrap();
    if desk.deaf {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let key = |key: &Certified| {
        let kid = key.entry().kid.to_string();
        let state = match desk.blocked.contains(&kid) {
            true => "suspended",
            false => "available",
        };
        json!({ "kid": kid, "spki": "00".repeat(32), "use_here": "signing", "state": state })
    };
    let keys: Vec<Value> = desk.keys.iter().map(key).collect();
    Json(json!({ "keys": keys })).into_response()
}

async fn suspend_key(
    State(issuer): State<Issuer>,
    Path(kid): Path<String>,
    Json(asked): Json<Value>,
) -> axum::response::Response {
    let mut desk = issuer.0.lock().unwrap();
    if !desk
        .keys
        .iter()
        .any(|key| key.entry().kid.to_string() == kid)
    {
        let (status, title) = (StatusCode::NOT_FOUND, "No such key");
        return Problem::new(status, "key-unknown", title, kid).into_response();
    }
    desk.blocked.insert(kid.clone());
    Json(json!({ "kid": kid, "suspended": true, "reason": asked["reason"] })).into_response()
}

async fn command(
    State(issuer): State<Issuer>,
    Path((handle, verb)): Path<(String, String)>,
    Json(asked): Json<Value>,
) -> axum::response::Response {
    let mut desk = issuer.0.lock().unwrap();
    if desk.deaf {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let standing = match verb.as_str() {
        "suspend" => "suspended",
        "resume" => "active",
        _ => "revoked",
    };
    desk.commands.push((format!("{handle}/{verb}"), asked));
    Json(
        json!({ "standing": standing, "reason": "lost", "changed_by": "obol://platform/main",
                 "changed_at": NOW.0 }),
    )
    .into_response()
}

async fn credential(State(issuer): State<Issuer>, Json(asked): Json<Value>) -> impl IntoResponse {
    let possession = asked["possession"].as_str().unwrap();
    let possession = BASE64URL_NOPAD.decode(possession.as_bytes()).unwrap();
    let (proof, _) = possession::decode(&possession).unwrap();
    let mut desk = issuer.0.lock().unwrap();
    desk.issued += 1;
    let mut mint = Mint {
        issuer: desk.keys.last().unwrap().key,
        ..Mint::default()
    };
    mint.claims.cti = Cti([desk.issued; 8]);
    mint.claims.device_key = proof.device_key;
    let reply = json!({
        "credential": BASE64URL_NOPAD.encode(&mint.credential()),
        "expires_at": mint.claims.expires_at.0,
        "kid": mint.issuer_key().kid().to_string(),
        "cti": data_encoding::HEXLOWER.encode(&mint.claims.cti.0),
    });
    (StatusCode::CREATED, Json(reply))
}
