use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use obol_credential::{Algorithm, UnixTime};
use obol_verifier_sdk::{
    Backend, IssuerKey, KeyRefused, Multiple, Operator, TableSize, Tables, TrustStore, Validity,
};

/// Puts one public key before everything that can verify with it: AWS-LC itself, both backends of
/// the SDK, and tables of every size.
pub(crate) fn with_all_judges(
    algorithm: Algorithm,
    sec1: &[u8],
    ask: impl FnOnce(&dyn Fn(&[u8], &[u8]) -> bool),
) -> Result<(), KeyRefused> {
    let validity = Validity {
        not_before: UnixTime(0),
        not_after: UnixTime(u32::MAX),
    };
    let operator = Operator::new("metro").expect("a name");
    let keys = [IssuerKey::new(algorithm, sec1, validity, operator, 1)?];
    let sizes = [
        TableSize::Chunks4,
        TableSize::Chunks8,
        TableSize::Chunks16,
        TableSize::Chunks32,
    ];
    let mut rooms = sizes.map(|size| vec![Multiple::EMPTY; size.room_for(1)]);
    let store = TrustStore::new(&keys);
    let mut stores = vec![
        ("RustCrypto".to_owned(), store),
        ("AwsLc".to_owned(), store.with_backend(Backend::AwsLc)),
    ];
    for (room, size) in rooms.iter_mut().zip(sizes) {
        let tables = Tables::build(size, &keys, room);
        let tabled = algorithm == Algorithm::Esp384;
        assert_eq!(tables.table_count(), usize::from(tabled));
        stores.push((format!("{size:?}"), store.with_tables(tables)));
    }
    ask(&|message, signature| {
        let verdict = of_aws_lc(algorithm, sec1, message, signature);
        for (name, store) in &stores {
            let said = store.has_signed(&keys[0], message, signature);
            assert_eq!(said, verdict, "{name}: {message:02x?} {signature:02x?}");
        }
        verdict
    });
    Ok(())
}

fn of_aws_lc(algorithm: Algorithm, sec1: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let with = match algorithm {
        Algorithm::Esp256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::Esp384 => &ECDSA_P384_SHA384_FIXED,
    };
    UnparsedPublicKey::new(with, sec1)
        .verify(message, signature)
        .is_ok()
}
