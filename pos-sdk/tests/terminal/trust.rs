use obol_pos_sdk::{Trust, TrustRefused, UnixTime};
use obol_verifier_sdk::x509::BundleRefusal;

use crate::world::{Issuing, T};

#[test]
fn a_bundle_under_another_root_is_not_believed() {
    let (ours, theirs) = (Issuing::new(), Issuing::new());
    let refused = Trust::from_bundle(&theirs.bundle(T, |_| {}), &ours.root).unwrap_err();
    assert!(
        matches!(
            refused,
            TrustRefused::Bundle(BundleRefusal::Certificate(kid, _)) if kid == theirs.kid()
        ),
        "{refused}"
    );
}

#[test]
fn an_entry_that_differs_from_its_certificate_is_not_believed() {
    let issuing = Issuing::new();
    let point = Issuing::new().point();
    let what = |bundle: Vec<u8>| match Trust::from_bundle(&bundle, &issuing.root) {
        Err(TrustRefused::Bundle(BundleRefusal::Mismatch(_, what))) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(issuing.bundle(T, |e| e.kid.0[0] ^= 1)), "kid");
    assert_eq!(what(issuing.bundle(T, |e| e.classes = 1)), "set of classes");
    assert_eq!(what(issuing.bundle(T, |e| e.operator = "tram")), "operator");
    let later = UnixTime(u32::MAX);
    assert_eq!(what(issuing.bundle(T, |e| e.not_after = later)), "end");
    let earlier = UnixTime(0);
    assert_eq!(what(issuing.bundle(T, |e| e.not_before = earlier)), "start");
    let mut bundle = issuing.bundle(T, |_| {});
    let at = find(&bundle, &issuing.point());
    bundle[at..at + 49].copy_from_slice(&point);
    assert_eq!(what(bundle), "public key");
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|w| w == part).unwrap()
}

#[test]
fn a_damaged_bundle_is_malformed() {
    let issuing = Issuing::new();
    let bundle = issuing.bundle(T, |_| {});
    for len in [0, 1, bundle.len() - 1] {
        let refused = Trust::from_bundle(&bundle[..len], &issuing.root).unwrap_err();
        assert!(
            matches!(refused, TrustRefused::Bundle(BundleRefusal::Format(_))),
            "{refused}"
        );
    }
}

#[test]
fn an_expired_or_older_bundle_does_not_replace_the_one_in_use() {
    let issuing = Issuing::new();
    let from = |at| Trust::from_bundle(&issuing.bundle(at, |_| {}), &issuing.root).unwrap();
    let (older, newer) = (from(T), from(T.plus(10)));
    newer.may_replace(Some(&older), T.plus(20)).unwrap();
    newer.may_replace(Some(&newer), T.plus(20)).unwrap();
    older.may_replace(None, T.plus(20)).unwrap();
    let refused = older.may_replace(Some(&newer), T.plus(20)).unwrap_err();
    assert!(matches!(refused, TrustRefused::Older { .. }));
    let refused = older.may_replace(None, T.plus(86_400)).unwrap_err();
    assert!(matches!(refused, TrustRefused::Expired { .. }));
}

#[test]
fn a_bundle_made_by_a_clock_that_is_ahead_is_refused_and_keeps_no_good_one_out() {
    let issuing = Issuing::new();
    let from = |at| Trust::from_bundle(&issuing.bundle(at, |_| {}), &issuing.root).unwrap();
    let (good, ahead) = (from(T), from(T.plus(3_600)));
    let refused = ahead.may_replace(Some(&good), T).unwrap_err();
    assert!(
        matches!(
            refused,
            TrustRefused::FromTheFuture { issued_at, now }
                if (issued_at, now) == (ahead.issued_at(), T)
        ),
        "{refused}"
    );
    let refused = ahead.may_replace(None, T).unwrap_err();
    assert!(matches!(refused, TrustRefused::FromTheFuture { .. }));
    good.may_replace(Some(&ahead), T).unwrap();
    from(T.plus(30)).may_replace(Some(&good), T).unwrap();
    let refused = from(T.plus(31)).may_replace(Some(&good), T).unwrap_err();
    assert!(matches!(refused, TrustRefused::FromTheFuture { .. }));
}
