//! The reference tree of Certificate Transparency, and checkpoints of logs in service.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

use std::{fs, path::Path};

use obol_log::{
    Checkpoint, Hash, Leaves, LogKey, Note, ProofRefused, SignatureRefused, WitnessKey,
    consistency_proof, inclusion_proof, leaf_hash, verify_consistency, verify_inclusion,
};
use serde_json::Value;

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/log");
    serde_json::from_slice(&fs::read(path.join(name)).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER
        .decode(value.as_str().unwrap().as_bytes())
        .unwrap()
}

fn hashes(values: &[Value]) -> Vec<Hash> {
    values
        .iter()
        .map(|value| Hash(bytes(value).try_into().unwrap()))
        .collect()
}

struct Reference {
    all: Value,
    leaves: Vec<Vec<u8>>,
    roots: Vec<Hash>,
    tree: Leaves,
}

fn reference() -> Reference {
    let all = vectors("merkle.json");
    let leaves: Vec<_> = list(&all, "leaves").iter().map(bytes).collect();
    let roots = hashes(list(&all, "roots"));
    let tree = Leaves::new(leaves.iter().map(|leaf| leaf_hash(leaf)).collect());
    Reference {
        all,
        leaves,
        roots,
        tree,
    }
}

#[test]
fn each_size_of_the_reference_tree_has_its_root() {
    let reference = reference();
    for (size, root) in reference.roots.iter().enumerate() {
        assert_eq!(reference.tree.root(size as u64), *root, "size {size}");
    }
}

#[test]
fn the_reference_inclusion_proofs_are_made_and_believed() {
    let reference = reference();
    for vector in list(&reference.all, "inclusion") {
        let (index, size) = (number(vector, "index"), number(vector, "size"));
        let proof = hashes(list(vector, "proof"));
        assert_eq!(
            inclusion_proof(&reference.tree, index, size),
            Ok(proof.clone())
        );
        let leaf = leaf_hash(&reference.leaves[usize::try_from(index).unwrap()]);
        let root = reference.roots[usize::try_from(size).unwrap()];
        assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
    }
}

#[test]
fn the_reference_consistency_proofs_are_made_and_believed() {
    let reference = reference();
    for vector in list(&reference.all, "consistency") {
        let (old, new) = (number(vector, "old"), number(vector, "new"));
        let proof = hashes(list(vector, "proof"));
        assert_eq!(
            consistency_proof(&reference.tree, old, new),
            Ok(proof.clone())
        );
        let root = |size| reference.roots[usize::try_from(size).unwrap()];
        assert_eq!(
            verify_consistency(old, new, &root(old), &root(new), &proof),
            Ok(())
        );
        let swapped = verify_consistency(old, new, &root(new), &root(old), &proof);
        assert_eq!(swapped.is_ok(), old == new);
    }
}

#[test]
fn a_tree_is_no_continuation_of_a_larger_one() {
    let root = reference().roots[1];
    assert_eq!(
        verify_consistency(2, 1, &root, &root, &[]),
        Err(ProofRefused::OutOfRange { small: 2, large: 1 })
    );
}

#[test]
fn checkpoints_of_logs_in_service_are_believed_and_kept_byte_for_byte() {
    for vector in list(&vectors("notes.json"), "logs") {
        let text = vector["note"].as_str().unwrap();
        let key = LogKey::from_vkey(vector["vkey"].as_str().unwrap()).unwrap();
        assert_eq!(key.to_vkey(), vector["vkey"].as_str().unwrap());
        let note = Note::parse(text.as_bytes()).unwrap();
        assert_eq!(key.verify(&note), Ok(()));
        assert_eq!(note.to_text(), text);
        let checkpoint = Checkpoint::parse(note.text()).unwrap();
        assert_eq!(checkpoint.origin, vector["origin"].as_str().unwrap());
        assert_eq!(checkpoint.size, number(vector, "size"));

        let changed = text.replacen(&format!("\n{}\n", checkpoint.size), "\n42\n", 1);
        let note = Note::parse(changed.as_bytes()).unwrap();
        let (name, key_id) = (key.name().to_owned(), key.key_id());
        assert_eq!(
            key.verify(&note),
            Err(SignatureRefused::Wrong { name, key_id })
        );
    }
}

#[test]
fn a_cosignature_of_a_witness_in_service_is_believed() {
    for vector in list(&vectors("notes.json"), "witnesses") {
        let text = vector["note"].as_str().unwrap();
        let key = WitnessKey::from_vkey(vector["vkey"].as_str().unwrap()).unwrap();
        assert_eq!(key.to_vkey(), vector["vkey"].as_str().unwrap());
        let note = Note::parse(text.as_bytes()).unwrap();
        assert_eq!(key.verify(&note).unwrap().at, number(vector, "at"));
        assert_eq!(note.to_text(), text);

        let changed = text.replacen("1432088532", "42", 1);
        let note = Note::parse(changed.as_bytes()).unwrap();
        let (name, key_id) = (key.name().to_owned(), key.key_id());
        assert_eq!(
            key.verify(&note),
            Err(SignatureRefused::Wrong { name, key_id })
        );
    }
}
