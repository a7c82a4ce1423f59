//! Proof that a token's keys work: a signature that means nothing but that, and never leaves.

use minicbor::Encoder;
use obol_credential::UnixTime;

use crate::keys::Key;
use crate::token::{SignError, Token};

/// No other signed structure of the house begins like this.
const CONTEXT: &str = "obol token drill";

/// Has the token sign with `key` that a drill was held on it at `now`, and verifies the signature
/// with the public key. Nothing of it is given away: who could ask for a signature over bytes of his
/// own would have a signing service.
///
/// # Errors
/// [`SignError`]: the token does not sign, or what it returns does not verify.
pub fn prove(token: &Token, key: &Key, now: UnixTime) -> Result<(), SignError> {
    let statement = statement(&token.summary().serial, key, now);
    token.sign(key, &statement).map(drop)
}

/// Deterministic CBOR: `[context, serial of the token, SPKI id, time]`.
fn statement(serial: &str, key: &Key, now: UnixTime) -> Vec<u8> {
    let mut sink = Encoder::new(Vec::new());
    sink.array(4)
        .and_then(|sink| sink.str(CONTEXT))
        .and_then(|sink| sink.str(serial))
        .and_then(|sink| sink.bytes(&key.id().0))
        .and_then(|sink| sink.u32(now.0))
        .expect("a vector takes what is written");
    sink.into_writer()
}
