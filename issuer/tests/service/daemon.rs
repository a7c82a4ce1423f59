//! The key management daemon's side of its protocol, over a real socket, with a key in memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use minicbor::bytes::ByteVec;
use obol_credential::{Algorithm, Claims, credential_signature_input};
use obol_kms_client::wire::{
    Answer, Call, RefusalKind, Reply, Request, TokenHealth, WireAudit, WireKey, WireToken,
    decode_frame, read_frame, write_frame,
};
use obol_kms_client::{KeyClass, KeyState, PayloadType, SpkiId};
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use p384::pkcs8::DecodePrivateKey;
use rcgen::{KeyPair, PublicKeyData};
use sha2::{Digest as _, Sha256};
use tokio::net::{UnixListener, UnixStream};

#[derive(Clone)]
pub(crate) struct Key {
    spki_der: Vec<u8>,
    signing: SigningKey,
    beside: Option<Box<Key>>,
    token: Arc<Token>,
}

/// What is wrong with the token of a key.
#[derive(Debug, Default)]
pub(crate) struct Token {
    /// It is said not to be ready, and its signatures do not come in time.
    pub(crate) away: AtomicBool,
    /// It is said to be ready, and its signatures do not come in time.
    pub(crate) hangs: AtomicBool,
    /// Its daemon reads requests and says nothing.
    pub(crate) daemon_stopped: AtomicBool,
    /// Requests for signatures that reached it.
    pub(crate) asked: AtomicU32,
}

impl Token {
    pub(crate) fn set(&self, fault: fn(&Self) -> &AtomicBool, on: Fault) {
        fault(self).store(on == Fault::On, Ordering::SeqCst);
    }

    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    On,
    Off,
}

/// The daemon's own deadline, short.
const REQUEST_DEADLINE: Duration = Duration::from_millis(300);

impl Key {
    pub(crate) fn of(pair: &KeyPair) -> Self {
        let signing = SigningKey::from_pkcs8_der(&pair.serialize_der()).unwrap();
        Self {
            spki_der: pair.subject_public_key_info(),
            signing,
            beside: None,
            token: Arc::default(),
        }
    }

    /// Its token, to break it.
    pub(crate) fn token(&self) -> Arc<Token> {
        Arc::clone(&self.token)
    }

    fn serial(&self) -> String {
        hex(&SpkiId::of(&self.spki_der).0[..8])
    }

    fn wire_token(&self) -> WireToken {
        let health = match self.token.away.load(Ordering::SeqCst) {
            true => TokenHealth::Degraded("gone".to_owned()),
            false => TokenHealth::Ready,
        };
        WireToken {
            label: "issuer".to_owned(),
            serial: self.serial(),
            health,
            restarts: 0,
        }
    }

    /// The key of a request for a signature, and whether its token gives none.
    fn is_silent(&self, request: &Request) -> bool {
        let Request::Sign { key, .. } = request else {
            return false;
        };
        let mut own = [Some(self), self.beside.as_deref()].into_iter().flatten();
        let named = |own: &&Self| SpkiId::of(&own.spki_der).0 == **key;
        let Some(token) = own.find(named).map(|own| &own.token) else {
            return false;
        };
        token.asked.fetch_add(1, Ordering::SeqCst);
        token.away.load(Ordering::SeqCst) || token.hangs.load(Ordering::SeqCst)
    }

    /// With a second key of the same class.
    pub(crate) fn beside(self, other: Key) -> Self {
        let beside = Some(Box::new(other));
        Self { beside, ..self }
    }

    fn wire(&self) -> WireKey {
        WireKey {
            spki_der: self.spki_der.clone().into(),
            algorithm: Algorithm::Esp384.cose_id(),
            class: KeyClass::Issuer,
            state: KeyState::Active,
            token: Some(self.serial()),
        }
    }

    fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Keys => {
                let own = [Some(self), self.beside.as_deref()];
                let own = own.into_iter().flatten().map(Self::wire);
                let online = HELD_SEEDS.map(|seed| WireKey {
                    spki_der: spki_of(&online_key(seed)).into(),
                    algorithm: Algorithm::Esp256.cose_id(),
                    class: KeyClass::TufOnline,
                    state: KeyState::Active,
                    token: None,
                });
                Answer::Keys(own.chain(online).collect())
            }
            // As the access CA's daemon does once it has parsed and linted the payload.
            Request::Sign {
                key,
                payload,
                payload_type: PayloadType::TbsCertificate | PayloadType::Crl,
                ..
            } => match &self.beside {
                Some(other) if SpkiId::of(&other.spki_der).0 == *key => other.sign_as(&payload),
                _ => self.sign_as(&payload),
            },
            Request::Sign { key, payload, .. } => {
                let online = HELD_SEEDS.map(online_key);
                let named = |online: &&OnlineKey| SpkiId::of(&spki_of(online)).0 == *key;
                match (online.iter().find(named), &self.beside) {
                    (Some(online), _) => sign_metadata(online, &payload),
                    (_, Some(other)) if SpkiId::of(&other.spki_der).0 == *key => {
                        other.sign(&payload)
                    }
                    _ => self.sign(&payload),
                }
            }
            // Its log has one leaf, of another client.
            Request::Prove { leaf } => Answer::Refused {
                code: RefusalKind::UnknownLeaf,
                reason: format!("leaf {leaf}"),
            },
            Request::Status => Answer::Status {
                tokens: {
                    let own = [Some(self), self.beside.as_deref()];
                    own.into_iter().flatten().map(Self::wire_token).collect()
                },
                audit: WireAudit {
                    leaves: 0,
                    signed: 0,
                    witnessed: 0,
                    trouble: None,
                },
            },
        }
    }

    fn sign(&self, claims: &[u8]) -> Answer {
        if let Err(malformed) = Claims::decode(claims) {
            let (code, reason) = (RefusalKind::PayloadRefused, malformed.to_string());
            return Answer::Refused { code, reason };
        }
        let kid = SpkiId::of(&self.spki_der).kid();
        let input = credential_signature_input(Algorithm::Esp384, kid, claims).unwrap();
        self.sign_as(&input)
    }

    fn sign_as(&self, message: &[u8]) -> Answer {
        let signature: Signature = self.signing.sign(message);
        signed(&self.spki_der, message, signature.to_bytes().to_vec())
    }
}

fn signed(spki_der: &[u8], message: &[u8], raw: Vec<u8>) -> Answer {
    let hash: [u8; 32] = Sha256::digest(message).into();
    Answer::Signed {
        signature: ByteVec::from(raw),
        leaf: 0,
        key: SpkiId::of(spki_der).0.into(),
        hash: hash.into(),
    }
}

/// The keys of the trust repository's online roles.
pub(crate) const ONLINE_SEEDS: [u8; 4] = [4, 5, 7, 8];
/// Those, and the ones that officers can name in their place.
const HELD_SEEDS: [u8; 8] = [4, 5, 7, 8, 24, 25, 27, 28];
type OnlineKey = p256::ecdsa::SigningKey;

fn online_key(seed: u8) -> OnlineKey {
    OnlineKey::from_slice(&[seed; 32]).unwrap()
}

fn spki_of(key: &OnlineKey) -> Vec<u8> {
    const HEAD: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    [HEAD, key.verifying_key().to_sec1_point(false).as_bytes()].concat()
}

/// SPKI ids of the online keys, as the configuration names them.
pub(crate) fn online_ids() -> [String; 4] {
    ONLINE_SEEDS.map(|seed| SpkiId::of(&spki_of(&online_key(seed))).to_string())
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn sign_metadata(key: &OnlineKey, canonical: &[u8]) -> Answer {
    obol_trust::json::Json::parse(canonical, 1 << 20).unwrap();
    let signature: p256::ecdsa::Signature = key.sign(canonical);
    signed(&spki_of(key), canonical, signature.to_bytes().to_vec())
}

/// Stops answering when this is set.
pub(crate) type Gone = Arc<AtomicBool>;

pub(crate) fn serve(path: &Path, key: &Key) -> Gone {
    let listener = UnixListener::bind(path).unwrap();
    let (key, gone) = (key.clone(), Gone::default());
    let watched = gone.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, key.clone(), watched.clone()));
        }
    });
    gone
}

/// Requests are answered as they are done, not in their order.
async fn converse(stream: UnixStream, key: Key, gone: Gone) {
    let (mut reader, writer) = stream.into_split();
    let writer = Arc::new(tokio::sync::Mutex::new(writer));
    while let Ok(Some(frame)) = read_frame(&mut reader).await {
        if gone.load(Ordering::SeqCst) {
            return;
        }
        let Call { id, request, .. } = decode_frame(&frame).unwrap();
        let (key, writer) = (key.clone(), Arc::clone(&writer));
        if key.token.daemon_stopped.load(Ordering::SeqCst) {
            continue;
        }
        tokio::spawn(async move {
            let answer = if key.is_silent(&request) {
                tokio::time::sleep(REQUEST_DEADLINE).await;
                let (code, reason) = (RefusalKind::Timeout, "no signature in time".to_owned());
                Answer::Refused { code, reason }
            } else {
                key.answer(request)
            };
            // Who has asked may be gone.
            let reply = Reply { id, answer };
            write_frame(&mut *writer.lock().await, &reply).await.ok();
        });
    }
}
