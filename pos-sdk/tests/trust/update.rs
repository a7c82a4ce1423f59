use obol_credential::{Claims, Cti, DeviceKey, FareTerms};
use obol_fault_vfs::FaultFs;
use obol_pos_sdk::tuf::Refused;
use obol_pos_sdk::{
    AcceptedSet, DEGRADED_S, Freshness, Standing, TrustRefused, UnixTime, UpdateError,
};

use crate::repository::*;

pub(crate) fn update(fs: &FaultFs, repository: &Repository) -> Result<AcceptedSet, Failure> {
    update_over(fs, &mut Link::to(repository), repository.now)
}

type Failure = UpdateError<NoNetwork>;

fn update_over(fs: &FaultFs, link: &mut Link<'_>, now: UnixTime) -> Result<AcceptedSet, Failure> {
    let root = &link.repository.issuing.root;
    updater(fs).update(link, now, root)
}

pub(crate) fn accepted(fs: &FaultFs, repository: &Repository) -> Option<AcceptedSet> {
    let root = &repository.issuing.root;
    updater(fs).accepted::<NoNetwork>(root).unwrap()
}

fn standing(set: &AcceptedSet, repository: &Repository, index: u32) -> Standing {
    let key = p256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(true);
    let claims = Claims {
        expires_at: NOW.plus(DAY),
        issued_at: NOW,
        cti: Cti([1; 8]),
        device_key: DeviceKey::from_sec1(point.as_bytes().try_into().unwrap()).unwrap(),
        fare: FareTerms {
            class: 1,
            cap_minor: 1000,
            window_s: 30,
            status_index: index,
            flags: 0,
        },
    };
    set.state.standing(repository.issuing.kid(), &claims)
}

#[test]
fn an_update_brings_bundle_lists_and_fares_and_stays_without_a_network() {
    let mut repository = Repository::new();
    repository.denied = vec![7];
    repository.publish();
    let fs = initialised(&repository);
    let set = update(&fs, &repository).unwrap();
    for set in [set, accepted(&fs, &repository).unwrap()] {
        assert_eq!(set.version, 2);
        assert_eq!(set.state.keys().len(), 1);
        assert_eq!(standing(&set, &repository, 6), Standing::Good);
        assert_eq!(standing(&set, &repository, 7), Standing::Denied);
        assert_eq!(standing(&set, &repository, LIST as u32), Standing::Missing);
        assert_eq!(set.state.periods().signed_at, NOW);
        assert_eq!(set.fares["fares/metro.cbor"], b"a pack");
    }
}

#[test]
fn a_second_update_fetches_only_what_is_new_and_forgets_what_is_old() {
    let mut repository = Repository::new();
    let fs = initialised(&repository);
    update(&fs, &repository).unwrap();
    let files = fs.list("").len();
    repository.denied.push(3);
    repository.publish();
    let mut link = Link::to(&repository);
    update_over(&fs, &mut link, NOW).unwrap();
    let targets: Vec<_> = link
        .asked
        .iter()
        .filter(|name| name.contains('/'))
        .collect();
    assert_eq!(targets.len(), 1, "{targets:?}");
    assert_eq!(fs.list("").len(), files);
}

#[test]
fn news_is_recorded_with_its_time_and_an_update_without_news_syncs_names_alone() {
    let mut repository = Repository::new();
    let fs = initialised(&repository);
    let refreshes = |fs: &FaultFs| updater(fs).refreshes().unwrap();
    assert_eq!(refreshes(&fs).last(), None);
    update(&fs, &repository).unwrap();
    assert_eq!(refreshes(&fs).last(), Some(NOW));
    let operations = fs.operations();
    update_over(&fs, &mut Link::to(&repository), NOW.plus(300)).unwrap();
    assert_eq!(fs.operations(), operations + 1);
    assert_eq!(refreshes(&fs).last(), Some(NOW));

    // A clock in 1970 does not make the silence longer or shorter than the signed times are.
    repository.now = NOW.plus(600);
    repository.publish();
    update_over(&fs, &mut Link::to(&repository), UnixTime(0)).unwrap();
    let heard = refreshes(&fs);
    assert_eq!(
        (heard.last(), heard.longest_s()),
        (Some(NOW.plus(600)), Some(600))
    );
    // What the update did not reach is no news.
    repository.publish();
    let mut link = Link::to(&repository);
    link.cut = Some(10);
    update_over(&fs, &mut link, NOW.plus(9_000)).unwrap_err();
    assert_eq!(refreshes(&fs), heard);
    update_over(&fs, &mut Link::to(&repository), NOW.plus(10_000)).unwrap();
    assert_eq!(refreshes(&fs).longest_s(), Some(9_400));
}

#[test]
fn a_damaged_record_of_news_begins_anew_and_keeps_no_update_out() {
    let mut repository = Repository::new();
    let fs = initialised(&repository);
    update(&fs, &repository).unwrap();
    for damaged in [&b"last 1\nx"[..], &[0xff; 9], &[b'1'; 5_000]] {
        let mut file = fs.create("refreshes").unwrap();
        file.append(damaged).unwrap();
        repository.publish();
        let set = update(&fs, &repository).unwrap();
        assert_eq!(set.version, repository.version);
        let begun = updater(&fs).refreshes().unwrap();
        assert_eq!((begun.last(), begun.longest_s()), (Some(NOW), None));
    }
}

#[test]
fn freshness_ends_with_the_timestamp_and_everything_72_hours_later() {
    let repository = Repository::new();
    let fs = initialised(&repository);
    let set = update(&fs, &repository).unwrap();
    let end = NOW.plus(DAY);
    assert_eq!(set.state.freshness(end.minus(1)), Freshness::Fresh);
    assert_eq!(set.state.freshness(end), Freshness::Degraded);
    let over = end.plus(DEGRADED_S);
    assert_eq!(set.state.freshness(over.minus(1)), Freshness::Degraded);
    assert_eq!(set.state.freshness(over), Freshness::Expired);
    assert_eq!(
        set.state.freshness(UnixTime(4_102_444_800)),
        Freshness::Expired
    );
    assert!(set.state.is_from_the_future(UnixTime(0)), "a clock at 1970");
}

#[test]
fn behind_the_end_of_the_targets_there_is_no_grace() {
    let mut repository = Repository::new();
    repository.targets_end = NOW.plus(2 * DAY);
    repository.publish();
    let fs = initialised(&repository);
    let set = update(&fs, &repository).unwrap();
    let end = NOW.plus(2 * DAY);
    assert_ne!(set.state.freshness(end.minus(1)), Freshness::Expired);
    assert_eq!(set.state.freshness(end), Freshness::Expired);
}

#[test]
fn a_frozen_repository_is_refused_and_the_set_in_use_stays() {
    let repository = Repository::new();
    let fs = initialised(&repository);
    update(&fs, &repository).unwrap();
    let late = NOW.plus(DAY);
    let refused = update_over(&fs, &mut Link::to(&repository), late).unwrap_err();
    let Failure::Refused(Refused::Expired { file, .. }) = refused else {
        panic!("{refused}")
    };
    assert_eq!(file, "timestamp.json");
    assert_eq!(accepted(&fs, &repository).unwrap().version, 1);
}

#[test]
fn a_suspended_key_stays_and_is_marked() {
    let mut repository = Repository::new();
    repository.suspended = true;
    repository.publish();
    let fs = initialised(&repository);
    let set = update(&fs, &repository).unwrap();
    let status = set.state.keys()[0].status;
    assert_eq!(format!("{status:?}"), "Suspended");
}

#[test]
fn an_update_over_a_link_that_breaks_all_the_time_comes_to_its_end() {
    let mut repository = Repository::new();
    let noise: Vec<u8> = (0..40_000_u32).map(|at| ((at * at) >> 3) as u8).collect();
    repository.more.insert("denylist/later".to_owned(), noise);
    repository.publish();
    for ranges in [true, false] {
        let fs = initialised(&repository);
        let mut link = Link::to(&repository);
        link.ranges = ranges;
        // Metadata comes whole or not at all; the large file takes several attempts.
        link.cut = Some(9_000);
        let mut attempts = 1;
        while let Err(error) = update_over(&fs, &mut link, NOW) {
            assert!(matches!(error, Failure::Broken { .. }), "{error}");
            attempts += 1;
            if attempts > 10 {
                break;
            }
        }
        // Without ranges each attempt begins anew, and only a better link helps.
        assert_eq!(attempts, if ranges { 5 } else { 11 });
        link.cut = None;
        update_over(&fs, &mut link, NOW).unwrap();
    }
}

#[test]
fn a_part_that_a_liar_began_does_not_spoil_the_rest() {
    let mut repository = Repository::new();
    repository
        .more
        .insert("denylist/later".to_owned(), vec![1; 20_000]);
    repository.publish();
    let fs = initialised(&repository);
    let good = repository.targets.clone();
    for bytes in repository
        .targets
        .values_mut()
        .filter(|bytes| bytes.len() == 20_000)
    {
        bytes.fill(2);
    }
    let mut link = Link::to(&repository);
    link.cut = Some(10_000);
    let error = update_over(&fs, &mut link, NOW).unwrap_err();
    assert!(matches!(error, Failure::Broken { .. }), "{error}");
    repository.targets = good;
    let error = update(&fs, &repository).unwrap_err();
    assert!(matches!(error, Failure::Mismatch { .. }), "{error}");
    update(&fs, &repository).unwrap();
}

#[test]
fn a_file_with_another_content_than_signed_is_refused_and_the_set_in_use_stays() {
    let mut repository = Repository::new();
    let fs = initialised(&repository);
    update(&fs, &repository).unwrap();
    repository.denied.push(1);
    repository.publish();
    for bytes in repository.targets.values_mut() {
        *bytes.last_mut().unwrap() ^= 1;
    }
    let error = update(&fs, &repository).unwrap_err();
    assert!(matches!(error, Failure::Mismatch { .. }), "{error}");
    let set = accepted(&fs, &repository).unwrap();
    assert_eq!(standing(&set, &repository, 1), Standing::Good);
}

#[test]
fn a_signed_list_that_is_none_is_refused_and_the_set_in_use_stays() {
    let mut repository = Repository::new();
    let fs = initialised(&repository);
    update(&fs, &repository).unwrap();
    let path = "denylist/00000000-1.cbor";
    repository.more.insert(path.to_owned(), b"no list".to_vec());
    repository.publish();
    let error = update(&fs, &repository).unwrap_err();
    let Failure::Content { path: found, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(found, path);
    assert_eq!(accepted(&fs, &repository).unwrap().version, 1);
}

#[test]
fn a_bundle_that_the_pinned_root_does_not_answer_for_is_refused() {
    let (repository, other) = (Repository::new(), Repository::new());
    let fs = initialised(&repository);
    let mut link = Link::to(&repository);
    let root = &other.issuing.root;
    let error = updater(&fs).update(&mut link, NOW, root).unwrap_err();
    let bundle = matches!(error, Failure::Bundle(TrustRefused::Bundle(_)));
    assert!(bundle, "{error}");
}

#[test]
fn more_files_than_a_terminal_takes_are_refused_before_one_is_fetched() {
    let mut repository = Repository::new();
    for number in 0..obol_pos_sdk::FILES_MAX {
        let path = format!("denylist/{number}");
        repository.more.insert(path, vec![1]);
    }
    repository.publish();
    let fs = initialised(&repository);
    let mut link = Link::to(&repository);
    let error = update_over(&fs, &mut link, NOW).unwrap_err();
    assert!(matches!(error, Failure::TooMuch { .. }), "{error}");
    assert!(!link.asked.iter().any(|name| name.contains('/')));
}

#[test]
fn without_a_root_nothing_is_asked() {
    let repository = Repository::new();
    let mut link = Link::to(&repository);
    let error = update_over(&FaultFs::default(), &mut link, NOW).unwrap_err();
    assert!(matches!(error, Failure::NotInitialised), "{error}");
    assert!(link.asked.is_empty());
}
