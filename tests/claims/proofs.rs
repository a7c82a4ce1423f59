//! That a credential's signature stands in the audit log can be asked of the issuer, and judged with
//! the log's key alone.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use obol_credential::credential_signature_input;
use obol_log::{
    Checkpoint, Decision, Leaf, LogKey, Note, ProofRefused, WitnessKey, leaf_hash, parse_proof,
    verify_inclusion,
};
use obol_world::Passenger;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    caller::{Caller, status_and_code},
    stage::{Stage, eventually_some, names, presented},
};

/// What the issuer answers, once it is no refusal.
struct Proof {
    leaf: Vec<u8>,
    index: u64,
    path: Vec<obol_log::Hash>,
    note: Note,
}

fn url(stage: &Stage, cti: [u8; 8]) -> String {
    let (port, cti) = (stage.world.ports.issuer, HEXLOWER.encode(&cti));
    format!("https://localhost:{port}/v1/credentials/{cti}/inclusion-proof")
}

fn platform(stage: &Stage) -> Caller {
    Caller::known(&stage.world, "platform-tls.pem", "platform.key")
}

/// `None` as long as no checkpoint covers it.
fn ask(stage: &Stage, cti: [u8; 8]) -> Option<Proof> {
    let reply = platform(stage).send(&url(stage, cti), &[], None).unwrap();
    if reply.status.as_u16() == 409 {
        assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
        let problem = reply.success().unwrap_err();
        assert_eq!(status_and_code(&problem), (409, "proof-not-yet"));
        return None;
    }
    let answer: Value = serde_json::from_slice(&reply.success().unwrap().body).unwrap();
    let leaf = answer["leaf"].as_str().unwrap();
    let (index, path, note) = parse_proof(answer["proof"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(answer["leaf_index"], index);
    Some(Proof {
        leaf: BASE64URL_NOPAD.decode(leaf.as_bytes()).unwrap(),
        index,
        path,
        note,
    })
}

/// SHA-256 of what the issuer's key signed for the rider's credential, and the credential's name.
fn signed(rider: &Passenger) -> ([u8; 32], [u8; 8]) {
    let text = rider.text().unwrap();
    let (_, _, cti) = names(&text);
    let hash = presented(&text, |presentation| {
        let credential = presentation.credential();
        let claims = credential.claims().encode();
        let input = credential_signature_input(credential.algorithm(), credential.kid(), &claims);
        Sha256::digest(&*input.unwrap()).into()
    });
    (hash, cti)
}

#[test]
fn any_credentials_signature_is_proved_to_stand_in_the_witnessed_log() {
    let stage = Stage::running(&[]);
    let (hash, cti) = signed(&stage.rider("ada"));
    let witness = WitnessKey::from_vkey(&stage.read("witness.pub")).unwrap();
    let proof = eventually_some("a witnessed checkpoint covers it", || {
        ask(&stage, cti).filter(|proof| witness.verify(&proof.note).is_ok())
    });
    let key = LogKey::from_vkey(&stage.world.log_key().unwrap()).unwrap();
    key.verify(&proof.note).unwrap();
    let head = Checkpoint::parse(proof.note.text()).unwrap();
    let judge = |leaf: &[u8]| {
        let (index, path) = (proof.index, &proof.path);
        verify_inclusion(&leaf_hash(leaf), index, head.size, path, &head.root)
    };
    judge(&proof.leaf).unwrap();
    let leaf = Leaf::decode(&proof.leaf).unwrap();
    assert_eq!(leaf.payload_hash, hash);
    assert_eq!(leaf.decision, Decision::Approved);
    assert_eq!(leaf.actor, "obol://issuer/main");
    // A leaf of anything else is not proved by it.
    let mut other = proof.leaf.clone();
    *other.last_mut().unwrap() ^= 1;
    assert!(matches!(judge(&other), Err(ProofRefused::Root { .. })));
}

#[test]
fn a_signature_that_no_checkpoint_covers_yet_is_proved_when_one_does() {
    let stage = Stage::running(&[]);
    let ada = stage.rider("ada");
    let (_, first) = signed(&ada);
    eventually_some("a checkpoint covers it", || ask(&stage, first));
    // Without its key the log gets no checkpoint, and credentials are signed all the same.
    let audit = stage.world.key_of_class("audit").unwrap();
    stage.world.change(&audit, "suspend").unwrap();
    ada.refresh().unwrap();
    let (hash, second) = signed(&ada);
    assert_ne!(first, second);
    assert!(ask(&stage, second).is_none());
    assert!(ask(&stage, first).is_some());
    stage.world.change(&audit, "activate").unwrap();
    let proof = eventually_some("the next checkpoint covers it", || ask(&stage, second));
    assert_eq!(Leaf::decode(&proof.leaf).unwrap().payload_hash, hash);

    let unknown = platform(&stage).refused(&url(&stage, [7; 8]), &[], None);
    assert_eq!(status_and_code(&unknown), (404, "credential-unknown"));
}
