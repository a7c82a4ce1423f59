//! Nothing in a boarding code is unsigned: whatever single byte or character is another, the code
//! is refused. All of them are tried.

use obol_mint::{Mint, NOW, operator};
use obol_verifier_sdk::{
    IssuerKey, Multiple, RefusalCode, TableSize, Tables, TrustStore, UnixTime, Verified, Verifier,
};

const ALPHABET: &[u8; 45] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

/// Runs `check` with a verifier that has tables, as a terminal has.
fn with_verifier(mint: &Mint, check: impl FnOnce(&Verifier<'_>)) {
    let keys: [IssuerKey; 1] = [mint.issuer_key()];
    let size = TableSize::Chunks4;
    let mut room = vec![Multiple::EMPTY; size.room_for(1)];
    check(&Verifier {
        trust: TrustStore::new(&keys).with_tables(Tables::build(size, &keys, &mut room)),
        operator: operator(),
    });
}

/// No mutation may reach a good answer, nor one that only later checks give.
fn refused(result: Result<Verified, obol_verifier_sdk::Refusal>) -> bool {
    result.is_err_and(|refusal| refusal.code <= RefusalCode::CodeFuture)
}

#[test]
fn every_other_value_of_every_byte_is_refused() {
    let mint = Mint::default();
    let code = mint.code();
    with_verifier(&mint, |verifier| {
        assert!(
            verifier.verify(&code, NOW).is_ok(),
            "the code itself is good"
        );
        for at in 0..code.len() {
            let mut mutated = code.to_vec();
            for change in 1..=u8::MAX {
                mutated[at] = code[at] ^ change;
                assert!(
                    refused(verifier.verify(&mutated, NOW)),
                    "byte {at} xor {change:#04x}"
                );
            }
        }
    });
}

#[test]
fn every_other_character_at_every_place_of_the_text_is_refused() {
    let mint = Mint::default();
    let text = mint.text().into_bytes();
    with_verifier(&mint, |verifier| {
        for at in 0..text.len() {
            let mut mutated = text.clone();
            for character in ALPHABET.iter().filter(|character| **character != text[at]) {
                mutated[at] = *character;
                let result = verifier.verify_text(&mutated, NOW);
                assert!(refused(result), "place {at}: {}", char::from(*character));
            }
        }
    });
}

#[test]
fn every_beginning_and_every_end_of_a_code_is_malformed() {
    let mint = Mint::default();
    let code = mint.code();
    with_verifier(&mint, |verifier| {
        let code_of = |bytes: &[u8], now: UnixTime| verifier.verify(bytes, now).err();
        for cut in 1..code.len() {
            for part in [&code[..cut], &code[cut..]] {
                let refusal = code_of(part, NOW).map(|refusal| refusal.code);
                assert_eq!(refusal, Some(RefusalCode::Malformed), "cut at {cut}");
            }
        }
        let behind = [&code[..], &[0]].concat();
        let refusal = code_of(&behind, NOW).map(|refusal| refusal.code);
        assert_eq!(refusal, Some(RefusalCode::Malformed));
    });
}

/// What else a scanner at the door of a bus sees: other systems hand it on at once.
#[test]
fn codes_of_other_systems_are_of_an_unknown_scheme() {
    let mint = Mint::default();
    with_verifier(&mint, |verifier| {
        for text in [
            &b"HC1:NCFOXN%TS3DH3ZSUZK+.V0ETD%65NL-AH-R6IOOK.IR9B+9D9JL"[..],
            b"TX0123456789ABCDEF",
            b"6200100123456789012",
            b"https://example.org/ticket?id=1",
            b"pt1:ABC",
            b"PT2:ABC",
            b" PT1:ABC",
            b"#UT01\x00\x01\x02\xff\xfe",
            &[0x80, 0, 1, 2, 3],
            b"",
        ] {
            let refusal = verifier
                .verify_text(text, NOW)
                .err()
                .map(|refusal| refusal.code);
            assert_eq!(refusal, Some(RefusalCode::UnknownScheme), "{text:02x?}");
        }
    });
}
