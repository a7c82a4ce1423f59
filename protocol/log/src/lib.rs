#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod base64;
mod checkpoint;
mod cosignature;
mod der;
mod frontier;
mod hash;
mod leaf;
mod log_key;
mod note;
mod proof;
mod tile;
mod tree;
mod vkey;
pub mod witness;

pub use checkpoint::{Checkpoint, CheckpointError, ORIGIN_MAX};
pub use cosignature::{Cosigned, WitnessKey, WitnessSigner};
pub use frontier::Frontier;
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
pub use leaf::{Decision, LEAF_MAX, Leaf, TEXT_MAX};
pub use log_key::{LogKey, SignatureRefused};
pub use note::{KeyId, NOTE_MAX, Note, NoteError, SIGNATURES_MAX, SignatureLine};
pub use proof::{
    PROOF_MAX, ProofError, ProofRefused, consistency_proof, inclusion_proof, parse_proof,
    proof_text, verify_consistency, verify_inclusion,
};
pub use tile::{
    BundleError, Content, TILE_WIDTH, Tile, bundle_entries, encode_bundle, tile_root, tiles_of,
};
pub use tree::{Leaves, NodeReader, SIZE_MAX, root};
pub use vkey::VkeyError;
