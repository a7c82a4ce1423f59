//! PT1 (docs/spec/pt1.md).

use obol_credential::{
    Claims, Credential, Dynamic, Presentation, TEXT_MAX, assemble_presentation, from_text,
    possession, to_text,
};
use obol_mint::{Mint, NOW, operator};
use obol_verifier_sdk::{TrustStore, Verifier};

use crate::Taken;

pub(crate) fn pt1_text(data: &[u8]) -> Taken {
    let decoded = from_text(data);
    if let Ok(presentation) = &decoded {
        let mut buffer = [0; TEXT_MAX];
        // Each presentation has one text: another would make two codes of one.
        assert_eq!(to_text(presentation, &mut buffer).as_bytes(), data);
    }
    decoded.into()
}

pub(crate) fn pt1_presentation(data: &[u8]) -> Taken {
    let decoded = Presentation::decode(data);
    if let Ok(presentation) = &decoded {
        assert_eq!(presentation.bytes(), data);
        let Dynamic { .. } = presentation.dynamic();
        if presentation.audience() == obol_credential::AUDIENCE {
            let credential = presentation.credential().bytes();
            let again =
                assemble_presentation(credential, presentation.dynamic(), presentation.signature());
            assert_eq!(&*again.expect("it has been one"), data);
        }
        assert!(!presentation.signature_input().is_empty());
    }
    decoded.into()
}

pub(crate) fn pt1_credential(data: &[u8]) -> Taken {
    let decoded = Credential::decode(data);
    if let Ok(credential) = &decoded {
        assert_eq!(credential.bytes(), data);
        assert_eq!(
            credential.signature().len(),
            credential.algorithm().signature_len()
        );
        assert!(!credential.signature_input().is_empty());
    }
    decoded.into()
}

pub(crate) fn pt1_claims(data: &[u8]) -> Taken {
    let decoded = Claims::decode(data);
    if let Ok(claims) = &decoded {
        assert_eq!(&*claims.encode(), data);
    }
    decoded.into()
}

pub(crate) fn pt1_possession(data: &[u8]) -> Taken {
    let decoded = possession::decode(data);
    if let Ok((possession, signature)) = &decoded {
        assert_eq!(&*possession::encode(possession, signature), data);
    }
    decoded.into()
}

/// The whole decision of a terminal, signatures included.
pub(crate) fn pt1_scan(data: &[u8]) -> Taken {
    let keys = [Mint::default().issuer_key()];
    let verifier = Verifier {
        trust: TrustStore::new(&keys),
        operator: operator(),
    };
    verifier.verify_text(data, NOW).into()
}
