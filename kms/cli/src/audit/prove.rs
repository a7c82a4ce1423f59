use obol_console::{Mode, Outcome, read_limited, write_new_atomically};
use obol_log::{Checkpoint, LEAF_MAX, NOTE_MAX, leaf_hash, parse_proof, verify_inclusion};
use serde::Serialize;

use super::arguments::{CheckProof, Prove};
use super::shown::ShownLeaf;
use crate::failure::Failure;
use crate::failure::audit::{NotAProof, NotBelieved};
use crate::output::must_be_free;
use crate::output::print_json;

/// A proof's 63 lines of a hash in front of its checkpoint.
const PROOF_FILE_MAX: usize = NOTE_MAX + 64 * 64;

#[derive(Serialize)]
struct ShownProof {
    index: u64,
    size: u64,
    leaf_hash: String,
    /// Absent where the entry is none of this version's leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf: Option<ShownLeaf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
}

pub(super) fn prove(arguments: &Prove) -> Result<Outcome, Failure> {
    let written = [&arguments.out, &arguments.entry];
    written
        .into_iter()
        .flatten()
        .try_for_each(|path| must_be_free(path))?;
    let disk = arguments.log.disk()?;
    let reader = super::reader(&disk, &arguments.log)?;
    let proof = reader.prove(arguments.index)?;
    let head = reader.head();
    // Damage that `audit verify` would find must not leave as a proof of anything.
    verify_inclusion(
        &proof.leaf_hash(),
        proof.index,
        head.size,
        &proof.path,
        &head.root,
    )
    .map_err(|why| NotBelieved::Log(why.to_string()))?;
    let text = proof.to_text();
    if let Some(path) = &arguments.entry {
        write_new_atomically(path, &proof.entry, Mode::Public)?;
    }
    if let Some(path) = &arguments.out {
        write_new_atomically(path, text.as_bytes(), Mode::Public)?;
    }
    if arguments.log.json {
        return print_json(&ShownProof {
            index: proof.index,
            size: head.size,
            leaf_hash: proof.leaf_hash().to_string(),
            leaf: ShownLeaf::of(&proof.entry),
            proof: Some(text),
        });
    }
    match &arguments.out {
        None => print!("{text}"),
        Some(_) => println!("entry {} of {} is proved", proof.index, head.size),
    }
    Ok(Outcome::Done)
}

pub(super) fn check(arguments: &CheckProof) -> Result<Outcome, Failure> {
    let bytes = read_limited(&arguments.proof, PROOF_FILE_MAX)?;
    let path = || arguments.proof.clone();
    let (index, hashes, note) = parse_proof(&bytes).ok_or_else(|| NotAProof(path()))?;
    let head = Checkpoint::parse(note.text()).map_err(|_| NotAProof(path()))?;
    let refused = |why: String| NotBelieved::Proof { path: path(), why };
    arguments
        .key
        .verify(&note)
        .map_err(|why| refused(why.to_string()))?;
    if head.origin != arguments.key.name() {
        return Err(refused(format!("it is of the log {}", head.origin)).into());
    }
    for witness in &arguments.witnesses {
        witness
            .verify(&note)
            .map_err(|why| refused(why.to_string()))?;
    }
    let entry = read_limited(&arguments.entry, LEAF_MAX)?;
    let leaf = leaf_hash(&entry);
    verify_inclusion(&leaf, index, head.size, &hashes, &head.root)
        .map_err(|why| refused(why.to_string()))?;
    if arguments.json {
        return print_json(&ShownProof {
            index,
            size: head.size,
            leaf_hash: leaf.to_string(),
            leaf: ShownLeaf::of(&entry),
            proof: None,
        });
    }
    println!("entry {index} of {} in {}", head.size, head.origin);
    Ok(Outcome::Done)
}
