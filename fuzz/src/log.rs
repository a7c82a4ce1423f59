//! The audit log (docs/spec/audit-log.md).

use obol_log::witness::Submission;
use obol_log::{
    Checkpoint, Leaf, LogKey, Note, Tile, WitnessKey, WitnessSigner, bundle_entries, encode_bundle,
    leaf_hash, parse_proof, proof_text, verify_inclusion,
};

use crate::Taken;

pub(crate) fn log_leaf(data: &[u8]) -> Taken {
    let decoded = Leaf::decode(data);
    if let Ok(leaf) = &decoded {
        assert_eq!(leaf.encode().as_deref(), Some(data));
    }
    decoded.into()
}

pub(crate) fn log_checkpoint(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    let parsed = Checkpoint::parse(text);
    if let Ok(checkpoint) = &parsed {
        // Extension lines are read over.
        assert!(text.starts_with(&checkpoint.to_text()));
        assert_eq!(
            Checkpoint::parse(&checkpoint.to_text()).as_ref(),
            Ok(checkpoint)
        );
    }
    parsed.into()
}

pub(crate) fn log_note(data: &[u8]) -> Taken {
    let parsed = Note::parse(data);
    if let Ok(note) = &parsed {
        assert_eq!(note.to_text().as_bytes(), data);
    }
    parsed.into()
}

pub(crate) fn log_proof(data: &[u8]) -> Taken {
    let parsed = parse_proof(data);
    if let Some((index, path, note)) = &parsed {
        assert_eq!(proof_text(*index, path, note).as_bytes(), data);
    }
    parsed.into()
}

/// No proof convinces for an entry that no seed's log has: that would be a collision of SHA-256.
pub(crate) fn log_inclusion(data: &[u8]) -> Taken {
    let Some((index, path, note)) = parse_proof(data) else {
        return Taken::Refused;
    };
    let Ok(Checkpoint { size, root, .. }) = Checkpoint::parse(note.text()) else {
        return Taken::Refused;
    };
    let foreign = leaf_hash(b"an entry that no seed's log has");
    assert!(verify_inclusion(&foreign, index, size, &path, &root).is_err());
    Taken::Accepted
}

pub(crate) fn log_tile_path(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    let parsed = Tile::parse(text);
    if let Some(tile) = &parsed {
        assert_eq!(tile.path(), text);
    }
    parsed.into()
}

pub(crate) fn log_bundle(data: &[u8]) -> Taken {
    let entries = bundle_entries(data).map(|entry| entry.map(|(_, bytes)| bytes));
    let entries: Result<Vec<_>, _> = entries.collect();
    if let Ok(entries) = &entries {
        assert_eq!(encode_bundle(entries).as_deref(), Some(data));
    }
    entries.into()
}

pub(crate) fn log_submission(data: &[u8]) -> Taken {
    let parsed = Submission::parse(data);
    if let Ok(submission) = &parsed {
        assert_eq!(submission.to_text().as_bytes(), data);
    }
    parsed.into()
}

/// Keys of logs and witnesses, public and private.
pub(crate) fn log_key(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    let log = LogKey::from_vkey(text);
    if let Ok(key) = &log {
        assert_eq!(key.to_vkey(), text);
    }
    let witness = WitnessKey::from_vkey(text);
    if let Ok(key) = &witness {
        assert_eq!(key.to_vkey(), text);
    }
    let signer = WitnessSigner::from_text(text);
    if let Ok(signer) = &signer {
        assert_eq!(signer.to_text().trim_end(), text.trim_end());
    }
    log.map(|_| ())
        .or(witness.map(|_| ()))
        .or(signer.map(|_| ()))
        .into()
}

/// The write-ahead file.
pub(crate) fn audit_journal(data: &[u8]) -> Taken {
    match obol_kms_audit::fuzzing::journal(data) {
        0 => Taken::Refused,
        _ => Taken::Accepted,
    }
}
