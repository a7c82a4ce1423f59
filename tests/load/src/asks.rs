//! Requests, made by threads of their own before they are needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use obol_credential::possession::{self, Possession};
use obol_credential::{DeviceKey, UnixTime};
use obol_transport::Bytes;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use tokio::sync::mpsc;

use crate::plan::Plan;

/// A request that nobody has sent.
pub(crate) struct Ask {
    pub(crate) body: Bytes,
    /// Its `Idempotency-Key`.
    pub(crate) name: String,
}

/// Requests in the order in which they are sent.
pub(crate) struct Asks {
    ready: mpsc::Receiver<Ask>,
    ahead: usize,
}

impl Asks {
    /// Begins to make them.
    pub(crate) fn of(plan: &Plan) -> Asks {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (sender, ready) = mpsc::channel(plan.ahead.max(1));
        let begun = Arc::new(AtomicUsize::new(0));
        let most = plan.requests.unwrap_or(usize::MAX);
        for _ in 0..threads {
            let (sender, begun, items) = (sender.clone(), Arc::clone(&begun), plan.items);
            std::thread::spawn(move || {
                while begun.fetch_add(1, Ordering::Relaxed) < most {
                    if sender.blocking_send(ask(items)).is_err() {
                        return;
                    }
                }
            });
        }
        let ahead = plan.ahead.min(most);
        Asks { ready, ahead }
    }

    /// Waits until as many are ready as the plan wants.
    pub(crate) async fn ready(&self) {
        while self.ready.len() < self.ahead {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// `None` when the last was taken.
    pub(crate) async fn next(&mut self) -> Option<Ask> {
        self.ready.recv().await
    }
}

fn ask(items: usize) -> Ask {
    let name = HEXLOWER.encode(&random::<16>());
    let body = match items {
        1 => item(),
        _ => {
            let items: Vec<_> = (0..items).map(|_| item()).collect();
            format!("{{\"items\":[{}]}}", items.join(","))
        }
    };
    let body = Bytes::from(body);
    Ask { body, name }
}

/// A fresh device key's proof, for a passenger of its own.
fn item() -> String {
    let subject = random::<16>();
    let key = std::iter::repeat_with(|| SigningKey::from_slice(&random::<32>()))
        .find_map(Result::ok)
        .expect("nearly every 32 bytes are a secret scalar");
    let point = key.verifying_key().to_sec1_point(true);
    let point = point.as_bytes().try_into().expect("33 bytes");
    let proof = Possession {
        subject,
        device_key: DeviceKey::from_sec1(point).expect("a compressed point"),
        issued_at: now(),
    };
    let signature: Signature = key.sign(&possession::signature_input(&proof));
    let signature: [u8; 64] = signature.to_bytes().into();
    let proof = BASE64URL_NOPAD.encode(&possession::encode(&proof, &signature));
    let subject = HEXLOWER.encode(&subject);
    format!("{{\"subject\":\"{subject}\",\"class\":1,\"possession\":\"{proof}\"}}")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

#[allow(
    clippy::disallowed_methods,
    reason = "a phone looks at its own clock: this is a shell"
)]
fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    UnixTime(u32::try_from(seconds).unwrap_or(u32::MAX))
}
