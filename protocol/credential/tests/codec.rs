//! What must hold of every credential and presentation, and of every byte string.

use obol_credential::{
    Algorithm, CLAIMS_MAX, CREDENTIAL_MAX, Claims, Credential, Cti, DeviceKey, Dynamic, FareTerms,
    Kid, Malformed, Nonce, PRESENTATION_MAX, Presentation, TEXT_MAX, UnixTime, assemble_credential,
    assemble_presentation, from_text,
    possession::{self, Possession},
    to_text,
};
use proptest::prelude::*;

const BIGGEST: Claims = Claims {
    expires_at: UnixTime(u32::MAX),
    issued_at: UnixTime(u32::MAX - 1),
    cti: Cti([255; 8]),
    device_key: match DeviceKey::from_sec1([3; 33]) {
        Some(key) => key,
        None => panic!("03 begins a compressed point"),
    },
    fare: FareTerms {
        class: 31,
        cap_minor: u32::MAX,
        window_s: u16::MAX,
        status_index: u32::MAX,
        flags: 255,
    },
};

#[test]
fn the_longest_code_fits_a_qr_code_of_version_13_m() {
    let dynamic = Dynamic {
        issued_at: UnixTime(u32::MAX),
        nonce: Nonce([255; 4]),
        counter: u32::MAX,
    };
    let claims = BIGGEST.encode();
    assert_eq!(claims.len(), CLAIMS_MAX);
    let credential =
        assemble_credential(Algorithm::Esp384, Kid([255; 4]), &claims, &[255; 96]).unwrap();
    assert_eq!(credential.len(), CREDENTIAL_MAX);
    let presentation = assemble_presentation(&credential, &dynamic, &[255; 64]).unwrap();
    assert!(
        presentation.len() <= PRESENTATION_MAX,
        "{} bytes",
        presentation.len()
    );
    let mut text = [0; TEXT_MAX];
    assert!(to_text(&presentation, &mut text).len() <= TEXT_MAX);
}

#[test]
fn a_life_above_48_hours_or_without_length_is_refused() {
    for (life, accepted) in [(0, false), (1, true), (172_800, true), (172_801, false)] {
        let issued_at = UnixTime(1_000_000);
        let claims = Claims {
            issued_at,
            expires_at: issued_at.plus(life),
            ..BIGGEST
        };
        let refused = Err(Malformed {
            at: 2,
            rule: "life is not 1 s to 48 h",
        });
        assert_eq!(
            Claims::decode(&claims.encode()),
            if accepted { Ok(claims) } else { refused }
        );
    }
}

#[test]
fn a_class_above_31_and_a_window_of_zero_are_refused() {
    let with = |class, window_s| {
        let fare = FareTerms {
            class,
            window_s,
            ..BIGGEST.fare
        };
        Claims::decode(&Claims { fare, ..BIGGEST }.encode()).map_err(|refused| refused.rule)
    };
    assert_eq!(with(32, 30), Err("class is not 0 to 31"));
    assert_eq!(with(0, 0), Err("window is zero"));
}

#[test]
fn a_signature_of_another_length_than_the_algorithms_is_refused() {
    for (algorithm, len) in [(Algorithm::Esp384, 64), (Algorithm::Esp256, 96)] {
        let signature = vec![1; len];
        let refused =
            assemble_credential(algorithm, Kid([0; 4]), &BIGGEST.encode(), &signature).unwrap_err();
        assert_eq!(
            refused.rule,
            "signature of another length than the algorithm's"
        );
    }
}

prop_compose! {
    fn claims()(
        issued in any::<u32>(), life in 1..=172_800_u32, cti in any::<[u8; 8]>(),
        odd in any::<bool>(), x in any::<[u8; 32]>(), class in 0..=31_u8, cap in any::<u32>(),
        window in 1..=u16::MAX, status_index in any::<u32>(), flags in any::<u8>(),
    ) -> Claims {
        let issued_at = UnixTime(issued.min(u32::MAX - life));
        let mut point = [2 + u8::from(odd); 33];
        point[1..].copy_from_slice(&x);
        Claims {
            issued_at,
            expires_at: issued_at.plus(life),
            cti: Cti(cti),
            device_key: DeviceKey::from_sec1(point).expect("begins with 02 or 03"),
            fare: FareTerms { class, cap_minor: cap, window_s: window, status_index, flags },
        }
    }
}

prop_compose! {
    fn dynamic()(at in any::<u32>(), nonce in any::<[u8; 4]>(), counter in any::<u32>()) -> Dynamic {
        Dynamic { issued_at: UnixTime(at), nonce: Nonce(nonce), counter }
    }
}

proptest! {
    #[test]
    fn what_was_encoded_is_read_back(
        claims in claims(), dynamic in dynamic(), kid in any::<[u8; 4]>(), p384 in any::<bool>(),
        byte in any::<u8>(),
    ) {
        let algorithm = if p384 { Algorithm::Esp384 } else { Algorithm::Esp256 };
        let signature = vec![byte; algorithm.signature_len()];
        let cwt = assemble_credential(algorithm, Kid(kid), &claims.encode(), &signature).unwrap();
        let code = assemble_presentation(&cwt, &dynamic, &[byte; 64]).unwrap();
        let mut text = [0; TEXT_MAX];
        let back = from_text(to_text(&code, &mut text).as_bytes()).unwrap();
        prop_assert_eq!(&*back, &*code);
        let read = Presentation::decode(&back).unwrap();
        prop_assert_eq!(read.dynamic(), &dynamic);
        prop_assert_eq!(read.credential().bytes(), &*cwt);
        prop_assert_eq!(read.credential().claims(), &claims);
        prop_assert_eq!(read.credential().kid(), Kid(kid));
        prop_assert_eq!(read.credential().algorithm(), algorithm);
    }

    /// One value has one encoding: whatever is accepted is what the encoder writes.
    #[test]
    fn no_two_byte_strings_mean_the_same_claims(
        claims in claims(), at in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let mut bytes = claims.encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(other) = Claims::decode(&bytes) {
            prop_assert_eq!(&*other.encode(), &bytes[..]);
            prop_assert_ne!(other, claims);
        }
    }

    #[test]
    fn every_truncation_and_every_appended_byte_is_refused(
        claims in claims(), dynamic in dynamic(), extra in any::<u8>(),
    ) {
        let cwt =
            assemble_credential(Algorithm::Esp384, Kid([1; 4]), &claims.encode(), &[9; 96]).unwrap();
        let code = assemble_presentation(&cwt, &dynamic, &[9; 64]).unwrap();
        for end in 0..code.len() {
            prop_assert!(Presentation::decode(&code[..end]).is_err(), "{end} bytes");
        }
        let mut longer = code.to_vec();
        longer.push(extra);
        let refused = Presentation::decode(&longer).unwrap_err();
        prop_assert!(matches!(refused.rule, "trailing bytes" | "longer than 319 bytes"));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let parsed = Presentation::decode(&bytes).is_ok()
            || Credential::decode(&bytes).is_ok()
            || Claims::decode(&bytes).is_ok()
            || possession::decode(&bytes).is_ok()
            || from_text(&bytes).is_ok();
        prop_assert!(!parsed, "random bytes are not a credential");
    }

    #[test]
    fn a_proof_of_possession_is_read_back(
        claims in claims(), subject in any::<[u8; 16]>(), signature in any::<[u8; 64]>(),
    ) {
        let proof = Possession {
            subject, device_key: claims.device_key, issued_at: claims.issued_at,
        };
        let bytes = possession::encode(&proof, &signature);
        prop_assert_eq!(possession::decode(&bytes), Ok((proof, signature)));
    }
}
