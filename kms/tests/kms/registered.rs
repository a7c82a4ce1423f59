//! A registry whose officers agree to everything.

use obol_kms::x509::Certificate;
use obol_kms::{Curve, Key, SpkiId, Token};
use obol_kms_registry::{
    Algorithm, Approval, Change, Class, Clearance, Limits, NewKey, Officer, OfficerKey, Quorum,
    Registry, RegistryId, Roster, Settings, State,
};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};

use crate::world::{NOW, World};

const OFFICERS: [(&str, u8); 2] = [("alice", 1), ("bob", 2)];

impl World {
    /// A new registry whose keys wait for nothing.
    pub(crate) fn registry(&self) -> Registry {
        let officers = OFFICERS.map(|(name, seed)| Officer::new(name, officer(seed).1).unwrap());
        let quorum = Quorum {
            activate: 2,
            unsuspend: 2,
            cancel_destruction: 2,
            destroy: 2,
        };
        let roster = Roster::new(officers.into(), quorum).unwrap();
        let settings = Settings::new(0, 0, 7).unwrap();
        let path = self.folder.join("keys.registry");
        Registry::create(&path, &roster, settings, RegistryId([7; 16]), NOW).unwrap()
    }
}

/// Registers a key and brings it to `active`.
pub(crate) fn activate(
    registry: &Registry,
    token: &Token,
    key: &Key,
    class: Class,
    certificate: Option<&Certificate>,
) -> SpkiId {
    activate_within(registry, token, key, class, certificate, Limits::of(class))
}

pub(crate) fn activate_within(
    registry: &Registry,
    token: &Token,
    key: &Key,
    class: Class,
    certificate: Option<&Certificate>,
    limits: Limits,
) -> SpkiId {
    let spki = obol_kms_registry::SpkiId(key.id().0);
    let new = NewKey {
        spki,
        spki_der: key.public().spki_der(),
        class,
        algorithm: match key.public().curve() {
            Curve::P256 => Algorithm::EcP256,
            Curve::P384 => Algorithm::EcP384,
        },
        token_serial: token.summary().serial,
        label: class.name().to_owned(),
        limits,
    };
    registry.register(&new, NOW).unwrap();
    if let Some(certificate) = certificate {
        registry.certify(spki, certificate.as_der(), NOW).unwrap();
    }
    registry.publish(spki, NOW).unwrap();
    change(registry, key.id(), State::Active);
    key.id()
}

/// Changes a key's state with both officers' approvals.
pub(crate) fn change(registry: &Registry, id: SpkiId, to: State) {
    let spki = obol_kms_registry::SpkiId(id.0);
    let key = registry.key(spki).unwrap().unwrap();
    let until = NOW.plus(3_600);
    // A development token's keys are met by no terminal.
    let no_fleet = Clearance::no_fleet();
    let first = (key.state, to) == (State::Published, State::Active);
    let clearance = (first && key.class.met_by_terminals()).then_some(&no_fleet);
    let statement = match clearance {
        Some(clearance) => registry.activation(spki, clearance, NOW, until),
        None => registry.statement(spki, to, until),
    };
    let statement = statement.unwrap();
    let approvals = OFFICERS.map(|(_, seed)| {
        let (signing, public) = officer(seed);
        let signature: Signature = signing.sign(&statement.encode());
        Approval::new(&statement, public, signature.to_bytes().into())
    });
    let change = Change {
        spki,
        from: key.state,
        to,
        version: key.version,
        reason: "as planned".to_owned(),
    };
    match clearance {
        Some(clearance) => registry.activate(&change, clearance, &approvals, NOW),
        None => registry.transition(&change, &approvals, NOW),
    }
    .unwrap();
}

fn officer(seed: u8) -> (SigningKey, OfficerKey) {
    let key = SigningKey::from_slice(&[seed; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(true);
    let public = OfficerKey::from_sec1(point.as_bytes().try_into().unwrap()).unwrap();
    (key, public)
}
