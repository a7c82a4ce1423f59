//! What any program would do at least: hash, `C_Sign`, verify, on each session in a thread of its
//! own.

use std::path::Path;
use std::sync::Mutex;

use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use obol_credential::credential_signature_input;
use obol_kms::{Curve, IssuerKey};
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256, Sha384};

pub(crate) struct Bare {
    sessions: Vec<Mutex<Session>>,
    key: ObjectHandle,
    point: Vec<u8>,
    curve: Curve,
    input: Vec<u8>,
}

/// Where the key is: a bare private key is found by its label.
pub(crate) struct Place<'a> {
    pub(crate) module: &'a Path,
    pub(crate) token: &'a str,
    pub(crate) label: &'a str,
}

impl Bare {
    /// On the module that is loaded and the token that is logged in already.
    pub(crate) fn open(
        issuer: &IssuerKey,
        place: &Place<'_>,
        claims: &[u8],
        sessions: usize,
    ) -> Bare {
        let pkcs11 = Pkcs11::new(place.module).unwrap();
        let slots = pkcs11.get_slots_with_initialized_token().unwrap();
        let is_it = |slot: &_| pkcs11.get_token_info(*slot).unwrap().label() == place.token;
        let slot = slots.into_iter().find(is_it).unwrap();
        let sessions: Vec<_> = (0..sessions)
            .map(|_| Mutex::new(pkcs11.open_ro_session(slot).unwrap()))
            .collect();
        let public = issuer.key().public();
        let curve = public.curve();
        let wanted = [
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Label(place.label.as_bytes().to_vec()),
        ];
        let key = sessions[0].lock().unwrap().find_objects(&wanted).unwrap()[0];
        let input = credential_signature_input(curve.algorithm(), issuer.kid(), claims);
        Bare {
            sessions,
            key,
            point: public.as_sec1().to_vec(),
            curve,
            input: input.unwrap().to_vec(),
        }
    }

    pub(crate) fn sign(&self, thread: usize) {
        let session = self.sessions[thread].lock().unwrap();
        let sign = |digest: &[u8]| session.sign(&Mechanism::Ecdsa, self.key, digest).unwrap();
        match self.curve {
            Curve::P384 => {
                let digest = Sha384::digest(&self.input);
                let signature = p384::ecdsa::Signature::from_slice(&sign(&digest)).unwrap();
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&self.point).unwrap();
                key.verify_prehash(&digest, &signature).unwrap();
            }
            Curve::P256 => {
                let digest = Sha256::digest(&self.input);
                let signature = p256::ecdsa::Signature::from_slice(&sign(&digest)).unwrap();
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&self.point).unwrap();
                key.verify_prehash(&digest, &signature).unwrap();
            }
        }
    }
}
