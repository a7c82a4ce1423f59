//! What the issuer reads besides requests for credentials: its templates, commands, names in
//! headers and paths, and what officers signed in advance for the one who publishes.

use std::path::{Component, Path};

use obol_issuer::fuzzing;
use obol_trust::tuf::Root;

use crate::Taken;

/// The first root of the seeds, and targets under it.
const ROOT: &[u8] = include_bytes!("../corpus/offline_root/1.root.json");
const TARGETS: &[u8] = include_bytes!("../corpus/offline_targets/2.targets.json");

/// No class beyond 31, no code that lives longer than a minute, no credential longer than 48 h.
pub(crate) fn credential_templates(data: &[u8]) -> Taken {
    const CONFIG: &str = include_str!("../../issuer/issuer.toml");
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    let parsed = obol_issuer::Config::parse(CONFIG, text, Path::new("folder"));
    if let Ok(config) = &parsed {
        let policy = &config.policy;
        assert!((3_600..=48 * 3_600).contains(&policy.life_s));
        assert!(!policy.templates.is_empty());
        for (class, template) in &policy.templates {
            assert!(*class <= 31 && (1..=60).contains(&template.window_s));
        }
    }
    parsed.into()
}

/// What terminals are told of the key is what its certificate says.
pub(crate) fn issuer_certificate_file(data: &[u8]) -> Taken {
    let read = fuzzing::issuer_certificate(data);
    if let Ok(certificate) = &read {
        let entry = certificate.entry();
        assert_eq!(entry.kid.0, certificate.spki().0[..4]);
        assert!(matches!(
            (entry.point[0], entry.point.len()),
            (2 | 3, 33 | 49)
        ));
        assert!(
            (0..32).all(|class| certificate.serves(class) == (entry.classes >> class & 1 == 1))
        );
        assert!(!certificate.serves(32));
    }
    read.into()
}

/// With quotes and without it is the same key.
pub(crate) fn idempotency_key(data: &[u8]) -> Taken {
    let Some(id) = fuzzing::idempotency_key(data) else {
        return Taken::Refused;
    };
    let plain = match data {
        [b'"', inner @ .., b'"'] => inner,
        plain => plain,
    };
    let usable = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:".contains(byte);
    assert!((1..=64).contains(&plain.len()) && plain.iter().all(usable));
    assert_eq!(fuzzing::idempotency_key(plain), Some(id));
    let quoted = [b"\"", plain, b"\""].concat();
    assert_eq!(fuzzing::idempotency_key(&quoted), Some(id));
    Taken::Accepted
}

/// The body of a command on a subject, a device or a key.
pub(crate) fn standing_command(data: &[u8]) -> Taken {
    let Some((reason, number)) = fuzzing::standing_command(data) else {
        return Taken::Refused;
    };
    assert!((1..=200).contains(&reason.chars().count()) && !reason.contains(char::is_control));
    assert!(number.is_none_or(|number| number < 1 << 53));
    let again = serde_json::json!({ "reason": reason, "number": number }).to_string();
    let again = fuzzing::standing_command(again.as_bytes());
    assert_eq!(again, Some((reason, number)));
    Taken::Accepted
}

/// A segment of a path has one spelling.
pub(crate) fn path_name(data: &[u8]) -> Taken {
    let named = std::str::from_utf8(data).ok().and_then(fuzzing::path_name);
    if let Some(bytes) = &named {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text.as_bytes(), data);
    }
    named.into()
}

/// Nobody else than the officers of the seed makes a root that their keys signed.
pub(crate) fn offline_root(data: &[u8]) -> Taken {
    let read = fuzzing::offline_root(data);
    if let Ok(root) = &read {
        assert_eq!(*root, seed_root());
        assert_eq!(root.head.version, 1);
    }
    read.into()
}

pub(crate) fn offline_targets(data: &[u8]) -> Taken {
    let root = seed_root();
    let read = fuzzing::offline_targets(data, &root);
    if read.is_ok() {
        assert_eq!(read, fuzzing::offline_targets(TARGETS, &root));
    }
    read.into()
}

fn seed_root() -> Root {
    fuzzing::offline_root(ROOT).expect("the committed root")
}

/// Whatever name targets give a file, it lies below `files`.
pub(crate) fn offline_path(data: &[u8]) -> Taken {
    let place = std::str::from_utf8(data)
        .ok()
        .and_then(fuzzing::offline_path);
    if let Some(place) = &place {
        let mut parts = place.components();
        assert_eq!(parts.next(), Some(Component::Normal("files".as_ref())));
        let normal = |part| matches!(part, Component::Normal(_));
        assert!(parts.clone().count() > 0 && parts.all(normal));
    }
    place.into()
}
