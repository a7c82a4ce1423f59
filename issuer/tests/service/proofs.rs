//! Device keys that are none, or not fresh; batches at their limits.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use obol_issuer::BATCH_MAX;
use serde_json::{Value, json};

use crate::world::{NOW, Phone, SUBJECT, World, json_of};

/// A proof of `phone` whose bytes were changed.
fn bent(phone: &Phone, bend: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut proof = phone.proof(SUBJECT, NOW);
    bend(&mut proof);
    json!({
        "subject": HEXLOWER.encode(&SUBJECT),
        "class": 1,
        "possession": BASE64URL_NOPAD.encode(&proof),
    })
}

/// Puts other bytes in place of the first `old`.
fn replace(proof: &mut Vec<u8>, old: &[u8], new: &[u8]) {
    let at = proof.windows(old.len()).position(|part| part == old);
    let at = at.expect("it is there");
    proof.splice(at..at + old.len(), new.iter().copied());
}

#[tokio::test]
async fn a_device_key_that_is_no_compressed_point_of_p256_gets_nothing() {
    let world = World::new();
    let caller = world.with_caller().await;
    let phone = Phone::new(1);
    let point = *phone.device_key().as_sec1();
    let x = &point[1..];
    // No point of the curve has these x (the curve's prime and more, zero's y is not rational for
    // the first that is none).
    let off_curve = (0..=255_u8).map(|last| {
        let mut x = [0; 32];
        x[31] = last;
        x
    });
    let off_curve = off_curve
        .filter(|x| {
            let sec1 = [&[2][..], x].concat();
            p256::ecdsa::VerifyingKey::from_sec1_bytes(&sec1).is_err()
        })
        .take(3);
    let mut prime = [0xff; 32];
    prime[4..8].copy_from_slice(&[0, 0, 0, 1]);
    prime[8..20].fill(0);
    let mut refused: Vec<(Value, &str)> = off_curve
        .chain([[0xff; 32], prime])
        .map(|other| {
            (
                bent(&phone, |proof| replace(proof, x, &other)),
                "possession-signature",
            )
        })
        .collect();
    // The identity has no compressed form: all zeros is a point without y, or one that did not sign.
    let zeros = bent(&phone, |proof| replace(proof, x, &[0; 32]));
    refused.push((zeros, "possession-signature"));
    // The other of the two points with this x did not sign.
    let odd = [&[0x22, if point[0] == 3 { 0xf5 } else { 0xf4 }][..]].concat();
    let even = [0x22, if point[0] == 3 { 0xf4 } else { 0xf5 }];
    refused.push((
        bent(&phone, |proof| replace(proof, &odd, &even)),
        "possession-signature",
    ));
    // P-384: crv 2 and 48 bytes; crv 2 alone; y in full (uncompressed).
    let crv = [0x20, 0x01, 0x21];
    let long = [&[0x58, 48][..], &[7; 48]].concat();
    let p384 = bent(&phone, |proof| {
        replace(proof, &crv, &[0x20, 0x02, 0x21]);
        replace(proof, &[&[0x58, 32][..], x].concat(), &long);
    });
    let crv_alone = bent(&phone, |proof| replace(proof, &crv, &[0x20, 0x02, 0x21]));
    let y = [&[0x22, 0x58, 32][..], &[9; 32]].concat();
    let uncompressed = bent(&phone, |proof| replace(proof, &odd, &y));
    let empty = bent(&phone, Vec::clear);
    let cut = bent(&phone, |proof| proof.truncate(proof.len() - 1));
    let more = bent(&phone, |proof| proof.push(0));
    for malformed in [p384, crv_alone, uncompressed, empty, cut, more] {
        refused.push((malformed, "possession-malformed"));
    }
    // A signature of zeros, and one over something else.
    let signature = |byte: u8| {
        move |proof: &mut Vec<u8>| {
            let at = proof.len() - 64;
            proof[at..].fill(byte);
        }
    };
    refused.push((bent(&phone, signature(0)), "possession-signature"));
    refused.push((bent(&phone, signature(1)), "possession-signature"));
    for (place, (request, code)) in refused.iter().enumerate() {
        let reply = caller.post("/v1/credentials", &[], request).await;
        assert_eq!(json_of(&reply, 400)["code"], *code, "{place}: {request}");
    }
    // Every one of them is refused in a batch as well, each for itself.
    let items: Vec<_> = refused.iter().map(|(item, _)| item).collect();
    let body = json!({ "items": items });
    let reply = json_of(&caller.post("/v1/credentials/batch", &[], &body).await, 200);
    let results = reply["results"].as_array().unwrap();
    for (result, (_, code)) in results.iter().zip(&refused) {
        assert_eq!(result["problem"]["code"], *code);
    }
    assert_eq!(world.reserved(), 0);
    json_of(
        &caller
            .post("/v1/credentials", &[], &phone.asks(SUBJECT))
            .await,
        201,
    );
}

#[tokio::test]
async fn a_device_key_is_used_once_within_a_batch_and_across_batches_and_subjects() {
    let world = World::new();
    let caller = world.with_caller().await;
    let (one, two) = (Phone::new(1), Phone::new(2));
    let body = json!({ "items": [one.asks(SUBJECT), one.asks([7; 16]), two.asks(SUBJECT)] });
    let reply = json_of(&caller.post("/v1/credentials/batch", &[], &body).await, 200);
    let results = &reply["results"];
    assert!(results[0]["credential"].is_string() && results[2]["credential"].is_string());
    assert_eq!(results[1]["problem"]["code"], "device-key-reused");
    let body = json!({ "items": [two.asks([7; 16]), one.asks([8; 16])] });
    let reply = json_of(&caller.post("/v1/credentials/batch", &[], &body).await, 200);
    for place in [0, 1] {
        assert_eq!(
            reply["results"][place]["problem"]["code"],
            "device-key-reused"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_one_and_of_the_limit_get_as_many_results() {
    let world = World::new();
    let caller = world.with_caller().await;
    let single = json!({ "items": [Phone::new(1).asks(SUBJECT)] });
    let reply = json_of(
        &caller.post("/v1/credentials/batch", &[], &single).await,
        200,
    );
    assert_eq!(reply["results"].as_array().unwrap().len(), 1);
    assert!(reply["results"][0]["credential"].is_string());
    // The same key again and again: what counts is that each has its result.
    let body = json!({ "items": vec![Phone::new(1).asks(SUBJECT); BATCH_MAX] });
    let reply = json_of(&caller.post("/v1/credentials/batch", &[], &body).await, 200);
    let results = reply["results"].as_array().unwrap();
    assert_eq!(results.len(), BATCH_MAX);
    let reused = |result: &Value| result["problem"]["code"] == "device-key-reused";
    assert!(results.iter().all(reused), "{:?}", results[0]);
}
