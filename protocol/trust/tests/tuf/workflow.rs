use obol_credential::UnixTime;
use obol_trust::tuf::*;

use crate::repository::*;

#[test]
fn a_first_update_fetches_each_file_once_and_stores_it() {
    let repository = Repository::new();
    let mut medium = Medium::new(&repository);
    let client = medium.update(&repository).unwrap();
    let expected = [
        "2.root.json",
        "timestamp.json",
        "1.snapshot.json",
        "1.targets.json",
        "1.denylist.json",
        "1.fares.json",
    ];
    assert_eq!(medium.asked, expected);
    assert_eq!(client.timestamp().unwrap().issued, Some(NOW));
    let lists = client.files_of("denylist");
    assert_eq!(lists.len(), 1);
    let hash = TargetFile::of(b"list").hashes.prefix();
    assert_eq!(lists[0].location, format!("denylist/{hash}.a"));
    assert!(lists[0].file.fits(b"list") && !lists[0].file.fits(b"lisT"));
}

#[test]
fn an_update_that_brings_nothing_asks_for_two_small_files() {
    let repository = Repository::new();
    let mut medium = Medium::new(&repository);
    medium.update(&repository).unwrap();
    let before = medium.stored.clone();
    medium.update(&repository).unwrap();
    assert_eq!(medium.asked, ["2.root.json", "timestamp.json"]);
    assert_eq!(medium.stored, before);
}

#[test]
fn an_update_fetches_only_what_has_changed() {
    let mut repository = Repository::new();
    let mut medium = Medium::new(&repository);
    medium.update(&repository).unwrap();
    let denylist = targets_of(&[("denylist/b", b"longer list")]);
    repository.targets.insert("denylist".to_owned(), denylist);
    repository.targets.get_mut("denylist").unwrap().head.version = 2;
    repository.snapshot.head.version += 1;
    repository.timestamp.head.version += 1;
    repository.publish();
    let client = medium.update(&repository).unwrap();
    let expected = [
        "2.root.json",
        "timestamp.json",
        "2.snapshot.json",
        "2.denylist.json",
    ];
    assert_eq!(medium.asked, expected);
    assert_eq!(client.files_of("denylist")[0].path, "denylist/b");
}

#[test]
fn roots_are_followed_one_by_one_by_old_and_new_keys() {
    let mut repository = Repository::new();
    let mut medium = Medium::new(&repository);
    // Officer 1 leaves, officer 9 comes; then 2 leaves and 10 comes.
    for (out, new, signers) in [(1, 9, [2, 3, 9]), (2, 10, [3, 9, 10])] {
        repository.rotate(&signers, |root| {
            root.keys.remove(&keyid(out));
            root.keys.insert(keyid(new), key(new));
            let keyids = &mut root.roles.get_mut("root").unwrap().keyids;
            keyids.retain(|id| *id != keyid(out));
            keyids.push(keyid(new));
        });
    }
    let client = medium.update(&repository).unwrap();
    assert_eq!(client.root().head.version, 3);
    assert_eq!(medium.stored.root, repository.files["3.root.json"]);
    assert_eq!(
        medium.asked[..3],
        ["2.root.json", "3.root.json", "4.root.json"]
    );
}

#[test]
fn a_root_on_the_way_may_be_out_of_date_and_the_last_may_not() {
    let mut repository = Repository::new();
    repository.rotate(&[1, 2], |root| root.head.expires = UnixTime(NOW.0 - 1));
    let mut medium = Medium::new(&repository);
    let refused = medium.update(&repository).unwrap_err();
    let expires = UnixTime(NOW.0 - 1);
    let file = "root.json".to_owned();
    let expected = Refused::Expired {
        file,
        expires,
        now: NOW,
    };
    assert_eq!(refused, expected);
    repository.rotate(&[1, 2], |root| root.head.expires = LATER);
    medium.update(&repository).unwrap();
}

#[test]
fn a_repository_without_versioned_names_is_read_as_well() {
    let mut repository = Repository::new();
    repository.root.consistent_snapshot = false;
    repository.publish_root();
    let mut medium = Medium::new(&repository);
    for name in ["snapshot", "targets", "denylist", "fares"] {
        let bytes = repository.files[&format!("1.{name}.json")].clone();
        repository.files.insert(format!("{name}.json"), bytes);
    }
    let client = medium.update(&repository).unwrap();
    assert_eq!(client.files_of("fares")[0].location, "fares/a");
}

fn chain(repository: &mut Repository, terminating: bool) {
    // targets ─▶ first (*) ─▶ deep (*), second (*): both deep and second list x.
    let mut first = delegated("first", &[7], &["*"]);
    first.terminating = terminating;
    let mut second = delegated("second", &[8], &["*"]);
    second.terminating = false;
    let top = repository.targets.get_mut("targets").unwrap();
    let delegations = top.delegations.as_mut().unwrap();
    delegations.roles.splice(0..0, [first, second]);
    let mut middle = targets_of(&[]);
    let mut deep = delegated("deep", &[9], &["x", "y"]);
    deep.terminating = false;
    middle.delegations = Some(Delegations {
        keys: [(keyid(9), key(9))].into(),
        roles: vec![deep],
    });
    let roles: [(&str, Targets, u8); 3] = [
        ("first", middle, 7),
        ("second", targets_of(&[("x", b"second"), ("z", b"z")]), 8),
        (
            "deep",
            targets_of(&[("x", b"deep"), ("v", b"not delegated")]),
            9,
        ),
    ];
    for (name, targets, seed) in roles {
        repository.targets.insert(name.to_owned(), targets);
        repository.signers.insert(name.to_owned(), vec![seed]);
    }
    repository.publish();
}

fn find(medium: &mut Medium, repository: &Repository, path: &str) -> Option<Found> {
    let mut client = medium.update(repository).unwrap();
    medium.asked.clear();
    let changes = client.find(path).unwrap();
    medium.apply(changes);
    medium.drive(&mut client, repository).unwrap();
    client.found()
}

#[test]
fn delegations_are_asked_in_preorder() {
    let mut repository = Repository::new();
    chain(&mut repository, false);
    let mut medium = Medium::new(&repository);
    let found = find(&mut medium, &repository, "x").unwrap();
    assert_eq!(found.file, TargetFile::of(b"deep"));
    assert_eq!(medium.asked, ["1.first.json", "1.deep.json"]);
    let found = find(&mut medium, &repository, "z").unwrap();
    assert_eq!(found.file, TargetFile::of(b"z"));
    assert_eq!(medium.asked, ["1.second.json"], "the others are stored");
    let top = find(&mut medium, &repository, "trust-bundle.cbor").unwrap();
    assert_eq!(top.file, TargetFile::of(b"bundle"));
    assert!(medium.asked.is_empty());
}

#[test]
fn a_terminating_delegation_ends_the_search() {
    let mut repository = Repository::new();
    chain(&mut repository, true);
    let mut medium = Medium::new(&repository);
    assert_eq!(find(&mut medium, &repository, "z"), None);
    assert_eq!(medium.asked, ["1.first.json"]);
}

#[test]
fn a_role_lists_only_what_it_was_delegated() {
    let mut repository = Repository::new();
    chain(&mut repository, false);
    // deep lists v, which nobody gave it.
    let mut medium = Medium::new(&repository);
    assert_eq!(find(&mut medium, &repository, "v"), None);
    // The fares' key lists a deny list.
    let fares = repository.targets.get_mut("fares").unwrap();
    fares
        .targets
        .insert("denylist/a".to_owned(), TargetFile::of(b"nobody"));
    repository.next();
    let client = medium.update(&repository).unwrap();
    let paths: Vec<_> = client
        .files_of("fares")
        .into_iter()
        .map(|file| file.path)
        .collect();
    assert_eq!(paths, ["fares/a"]);
}

#[test]
fn delegations_that_lead_back_are_asked_once() {
    let mut repository = Repository::new();
    chain(&mut repository, false);
    let deep = repository.targets.get_mut("deep").unwrap();
    let mut back = delegated("first", &[7], &["*"]);
    back.terminating = false;
    deep.delegations = Some(Delegations {
        keys: [(keyid(7), key(7))].into(),
        roles: vec![back],
    });
    repository.publish();
    let mut medium = Medium::new(&repository);
    assert_eq!(find(&mut medium, &repository, "y"), None);
    assert_eq!(
        medium.asked,
        ["1.first.json", "1.deep.json", "1.second.json"]
    );
}

#[test]
fn a_search_asks_at_most_as_many_roles_as_its_limit() {
    let mut repository = Repository::new();
    let top = repository.targets.get_mut("targets").unwrap();
    let delegations = top.delegations.as_mut().unwrap();
    let names: Vec<String> = (0..9).map(|number| format!("role-{number}")).collect();
    for name in &names {
        let mut role = delegated(name, &[7], &["*"]);
        role.terminating = false;
        delegations.roles.push(role);
    }
    for name in names {
        repository.targets.insert(name.clone(), targets_of(&[]));
        repository.signers.insert(name, vec![7]);
    }
    repository.publish();
    let mut medium = Medium::new(&repository);
    assert_eq!(find(&mut medium, &repository, "q"), None);
    assert_eq!(medium.asked.len(), Limits::TERMINAL.delegations);
}

#[test]
fn nothing_can_be_supplied_that_was_not_asked_for() {
    let repository = Repository::new();
    let mut medium = Medium::new(&repository);
    let mut client = medium.update(&repository).unwrap();
    assert_eq!(client.wanted(), None);
    let refused = client.supply(Fetched::Bytes(b"{}")).unwrap_err();
    assert_eq!(refused, Refused::NothingAsked);
}

#[test]
fn a_clock_at_1970_does_not_bring_to_life_what_has_ended() {
    let mut repository = Repository::new();
    let mut medium = Medium::new(&repository);
    medium.update(&repository).unwrap();
    // Signed after the last one, for a time that the last one says is over.
    repository.timestamp.head.version = 2;
    repository.timestamp.head.expires = UnixTime(NOW.0 - 5);
    repository.publish_timestamp();
    let refused = medium.update_at(&repository, UnixTime(0)).unwrap_err();
    let expected = Refused::Expired {
        file: "timestamp.json".to_owned(),
        expires: UnixTime(NOW.0 - 5),
        now: NOW,
    };
    assert_eq!(refused, expected);
}

#[test]
fn a_clock_at_2100_takes_nothing() {
    let repository = Repository::new();
    let mut medium = Medium::new(&repository);
    let year_2100 = UnixTime(4_102_444_800);
    let refused = medium.update_at(&repository, year_2100).unwrap_err();
    let expected = Refused::Expired {
        file: "root.json".to_owned(),
        expires: repository.root.head.expires,
        now: year_2100,
    };
    assert_eq!(refused, expected);
}
