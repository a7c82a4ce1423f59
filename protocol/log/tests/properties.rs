//! What must hold for every tree and every change to a proof, a note or a leaf.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

use obol_credential::UnixTime;
use obol_log::{
    Content, Decision, EMPTY_ROOT, Frontier, Hash, Leaf, Leaves, Note, Tile, bundle_entries,
    consistency_proof, encode_bundle, inclusion_proof, leaf_hash, node_hash, tiles_of,
    verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

fn tree(size: u64) -> Leaves {
    Leaves::new(
        (0..size)
            .map(|index| leaf_hash(&index.to_be_bytes()))
            .collect(),
    )
}

/// MTH of RFC 6962 section 2.1 as it is written there.
fn as_written(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [one] => *one,
        _ => {
            let half = leaves.len().next_power_of_two() / 2;
            node_hash(&as_written(&leaves[..half]), &as_written(&leaves[half..]))
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Drop(prop::sample::Index),
    Insert(prop::sample::Index, [u8; 32]),
    Swap(prop::sample::Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit)),
        any::<prop::sample::Index>().prop_map(Change::Drop),
        (any::<prop::sample::Index>(), any::<[u8; 32]>())
            .prop_map(|(at, hash)| Change::Insert(at, hash)),
        any::<prop::sample::Index>().prop_map(Change::Swap),
    ]
}

/// The proof with the change made; `None` when it would stay as it is.
fn changed(proof: &[Hash], change: &Change) -> Option<Vec<Hash>> {
    let mut proof = proof.to_vec();
    match change {
        Change::Insert(at, hash) => {
            let at = at.index(proof.len() + 1);
            proof.insert(at, Hash(*hash));
        }
        _ if proof.is_empty() => return None,
        Change::Flip(at, bit) => {
            let hash = at.get_mut(&mut proof);
            hash.0[usize::from(bit / 8)] ^= 1 << (bit % 8);
        }
        Change::Drop(at) => {
            proof.remove(at.index(proof.len()));
        }
        Change::Swap(at) => {
            let at = at.index(proof.len());
            let next = (at + 1) % proof.len();
            if proof[at] == proof[next] {
                return None;
            }
            proof.swap(at, next);
        }
    }
    Some(proof)
}

/// Index and size of a tree of at most 600 leaves: three tiles.
fn place() -> impl Strategy<Value = (u64, u64)> {
    (1_u64..600).prop_flat_map(|size| (0..size, Just(size)))
}

proptest! {
    #[test]
    fn the_root_is_the_one_of_the_recursion(size in 0_u64..300) {
        let leaves: Vec<_> = (0..size).map(|index| leaf_hash(&index.to_be_bytes())).collect();
        let mut frontier = Frontier::default();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        prop_assert_eq!(frontier.root(), as_written(&leaves));
        prop_assert_eq!(Leaves::new(leaves.clone()).root(size), as_written(&leaves));
    }

    #[test]
    fn a_proof_of_inclusion_verifies_and_no_change_of_it_does(
        (index, size) in place(), change in change(), other in any::<u64>(),
    ) {
        let tree = tree(size);
        let (leaf, root) = (leaf_hash(&index.to_be_bytes()), tree.root(size));
        let proof = inclusion_proof(&tree, index, size).unwrap();
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
        if let Some(wrong) = changed(&proof, &change) {
            prop_assert!(verify_inclusion(&leaf, index, size, &wrong, &root).is_err());
        }
        let other = other % (size + 2);
        if other != index {
            prop_assert!(verify_inclusion(&leaf, other, size, &proof, &root).is_err());
        }
        prop_assert!(verify_inclusion(&root, index, size, &proof, &leaf).is_err() || size == 1);
    }

    #[test]
    fn a_proof_of_consistency_verifies_and_no_change_of_it_does(
        (old, new) in place(), change in change(),
    ) {
        let tree = tree(new);
        let (old_root, new_root) = (tree.root(old), tree.root(new));
        let proof = consistency_proof(&tree, old, new).unwrap();
        prop_assert_eq!(verify_consistency(old, new, &old_root, &new_root, &proof), Ok(()));
        if let Some(wrong) = changed(&proof, &change) {
            prop_assert!(verify_consistency(old, new, &old_root, &new_root, &wrong).is_err());
        }
        if old == 0 {
            return Ok(()); // a tree without leaves is a prefix of every tree
        }
        prop_assert!(verify_consistency(old, new, &leaf_hash(b"x"), &new_root, &proof).is_err());
        prop_assert!(verify_consistency(old, new, &old_root, &leaf_hash(b"x"), &proof).is_err());
    }

    #[test]
    fn a_rewritten_leaf_breaks_consistency((old, new) in place(), at in any::<u64>()) {
        prop_assume!(old > 0);
        let mut leaves: Vec<_> = (0..new).map(|index| leaf_hash(&index.to_be_bytes())).collect();
        let seen = Leaves::new(leaves.clone()).root(old);
        leaves[usize::try_from(at % old).unwrap()] = leaf_hash(b"rewritten");
        let forged = Leaves::new(leaves);
        let proof = consistency_proof(&forged, old, new).unwrap();
        prop_assert!(verify_consistency(old, new, &seen, &forged.root(new), &proof).is_err());
    }

    #[test]
    fn a_tile_is_read_back_from_its_path_and_from_no_other(
        level in 0_u8..8, entries in any::<bool>(), index in 0_u64..(1 << 54), width in 1_u16..=256,
        noise in "[x0-9/.p]{0,20}",
    ) {
        let content = if entries { Content::Entries } else { Content::Hashes { level } };
        let tile = Tile { content, index, width };
        prop_assert_eq!(Tile::parse(&tile.path()), Some(tile));
        if let Some(tile) = Tile::parse(&format!("tile/{noise}")) {
            prop_assert_eq!(tile.path(), format!("tile/{noise}"));
        }
    }

    #[test]
    fn a_bundle_gives_its_entries_back(
        entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let bundle = encode_bundle(&entries).unwrap();
        let read: Vec<_> = bundle_entries(&bundle).map(|entry| entry.unwrap().1.to_vec()).collect();
        prop_assert_eq!(&read, &entries);
        let cut = &bundle[..cut.index(bundle.len() + 1)];
        let read: Vec<_> = bundle_entries(cut).filter_map(Result::ok).collect();
        prop_assert!(read.iter().zip(&entries).all(|(read, entry)| read.1 == entry));
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Leaf::decode(&bytes).is_err());
        drop(Note::parse(&bytes));
        drop(obol_log::witness::Submission::parse(&bytes));
        bundle_entries(&bytes).for_each(drop);
    }

    #[test]
    fn a_note_that_parses_is_written_as_it_was(text in "[ab\n]{1,20}", line in "[a-z ]{0,8}") {
        let note = format!("{text}\n\n\u{2014} {line} AAAAAAAA\n");
        if let Ok(read) = Note::parse(note.as_bytes()) {
            prop_assert_eq!(read.to_text(), note);
        }
    }

    #[test]
    fn a_leaf_is_read_back_and_has_one_encoding(
        time in any::<u32>(), actor in "[a-z:/]{1,128}", reason in "[a-z ]{0,256}",
        of in any::<Option<u64>>(), policy_hash in any::<Option<[u8; 32]>>(),
        at in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let leaf = Leaf {
            time: UnixTime(time),
            actor: &actor,
            operation: "sign",
            key: [7; 32],
            class: "issuer",
            payload_type: "credential-claims",
            payload_hash: [9; 32],
            decision: of.map_or(Decision::Approved, |of| Decision::Failed { of }),
            policy_hash,
            reason: &reason,
        };
        let mut bytes = leaf.encode().unwrap();
        prop_assert!(bytes.len() <= obol_log::LEAF_MAX);
        prop_assert_eq!(Leaf::decode(&bytes), Ok(leaf));
        *at.get_mut(&mut bytes) ^= 1_u8 << bit;
        if let Ok(other) = Leaf::decode(&bytes) {
            prop_assert_eq!(other.encode().unwrap(), bytes);
        }
    }
}

#[test]
fn a_log_of_seventy_thousand_has_the_partial_tiles_of_the_specification() {
    let paths: Vec<_> = tiles_of(70_000).map(|tile| tile.path()).collect();
    assert_eq!(
        paths,
        [
            "tile/entries/273.p/112",
            "tile/0/273.p/112",
            "tile/1/001.p/17",
            "tile/2/000.p/1"
        ]
    );
    let tile = Tile {
        content: Content::Hashes { level: 0 },
        index: 1_234_067,
        width: 256,
    };
    assert_eq!(tile.path(), "tile/0/x001/x234/067");
}
