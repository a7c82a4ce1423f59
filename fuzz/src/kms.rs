//! What reaches the key management: its clients, its worker, its files.

use std::path::Path;

use obol_kms::daemon::DaemonConfig;
use obol_kms::payload::TypedPayload;
use obol_kms::{TokenConfig, fuzzing};
use obol_kms_client::wire::{Call, Reply, decode_frame};
use obol_kms_registry::PayloadType;

use crate::Taken;
use crate::files::with_file;

pub(crate) fn kms_call(data: &[u8]) -> Taken {
    let decoded = decode_frame::<Call>(data);
    if let Ok(call) = &decoded {
        let again = minicbor::to_vec(call).expect("a vector takes it");
        assert_eq!(decode_frame::<Call>(&again).expect("as written"), *call);
    }
    decoded.into()
}

pub(crate) fn kms_reply(data: &[u8]) -> Taken {
    let decoded = decode_frame::<Reply>(data);
    if let Ok(reply) = &decoded {
        let again = minicbor::to_vec(reply).expect("a vector takes it");
        assert_eq!(decode_frame::<Reply>(&again).expect("as written"), *reply);
    }
    decoded.into()
}

pub(crate) fn kms_to_worker(data: &[u8]) -> Taken {
    fuzzing::to_worker(data).into()
}

pub(crate) fn kms_from_worker(data: &[u8]) -> Taken {
    fuzzing::from_worker(data).into()
}

pub(crate) fn pkcs11_uri(data: &[u8]) -> Taken {
    let Ok(text) = std::str::from_utf8(data) else {
        return Taken::Refused;
    };
    let read = TokenConfig::of_uri(text, Path::new("folder"));
    if let Err(error) = &read {
        // A PIN that somebody put into the URI must not reach a log.
        let said = format!("{error} {error:?}");
        assert!(!said.contains("s3cret-pin"), "{said}");
    }
    read.into()
}

pub(crate) fn token_file(data: &[u8]) -> Taken {
    with_file("token.toml", data, |path| TokenConfig::load(path).into())
}

pub(crate) fn daemon_config(data: &[u8]) -> Taken {
    with_file("kms.toml", data, |path| DaemonConfig::load(path).into())
}

/// The first byte says as what the rest is read.
pub(crate) fn kms_payload(data: &[u8]) -> Taken {
    let Some((first, bytes)) = data.split_first() else {
        return Taken::Refused;
    };
    let kind = PayloadType::ALL[usize::from(*first) % PayloadType::ALL.len()];
    let parsed = TypedPayload::parse(kind, bytes);
    if parsed.is_ok() {
        for other in PayloadType::ALL.iter().filter(|other| **other != kind) {
            // Bytes that mean two things could be signed as one and used as the other.
            assert!(
                TypedPayload::parse(*other, bytes).is_err(),
                "{kind} is also {other}"
            );
        }
    }
    parsed.into()
}
