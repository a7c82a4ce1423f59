//! The bridge between the certificate builder, which signs at once, and a daemon that is asked over
//! a socket.

use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};
use tokio::sync::{mpsc, oneshot};

/// Bytes to be signed, and where the DER signature goes.
type Asked = (Vec<u8>, oneshot::Sender<Vec<u8>>);

/// The access CA's public key, and a way to ask for signatures. It signs only inside the builder.
pub(super) struct Pen {
    point: Vec<u8>,
    ask: mpsc::Sender<Asked>,
}

impl Pen {
    pub(super) fn new(point: Vec<u8>) -> (Self, mpsc::Receiver<Asked>) {
        let (ask, asked) = mpsc::channel(1);
        (Self { point, ask }, asked)
    }
}

impl PublicKeyData for Pen {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P384_SHA384
    }
}

impl SigningKey for Pen {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let (answer, answered) = oneshot::channel();
        let sent = self.ask.blocking_send((message.to_vec(), answer));
        sent.map_err(|_| rcgen::Error::RemoteKeyError)?;
        answered
            .blocking_recv()
            .map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// A member's public key on P-256: SEC 1, uncompressed.
pub(super) struct Subject(pub(super) Vec<u8>);

impl PublicKeyData for Subject {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}
