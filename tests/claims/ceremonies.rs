//! Where the demo's keys come from, as an auditor finds it in the folder that a demo leaves.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::{
    demo::{Turn, binary, held, once},
    keys::{GUARDED, keys_in_files, private_keys_in},
};

/// Every ceremony of a demo.
const CEREMONIES: [&str; 17] = [
    "access-ca",
    "access-install",
    "access-key-request",
    "issuer-2-certificate",
    "issuer-2-install",
    "issuer-2-key-request",
    "issuer-certificate",
    "issuer-install",
    "issuer-key-request",
    "root-generation",
    "tuf-alice-key",
    "tuf-bob-key",
    "tuf-carol-key",
    "tuf-root-alice",
    "tuf-root-bob",
    "tuf-targets",
    "tuf-targets-key",
];
/// One of each act, in which bytes are flipped.
const FLIPPED: [&str; 6] = [
    "access-ca",
    "issuer-certificate",
    "issuer-install",
    "issuer-key-request",
    "root-generation",
    "tuf-root-alice",
];

/// What a demo left, and the roster's hash that it read aloud.
struct Left {
    folder: TempDir,
    said: String,
    roster: String,
}

impl Left {
    fn by_a_demo() -> Left {
        let (_turn, folder) = (Turn::take(), TempDir::new().unwrap());
        let (_, said) = held(&once(folder.path()));
        let roster = said
            .lines()
            .find_map(|line| line.trim().strip_prefix("roster "));
        let roster = roster.unwrap().to_owned();
        Left {
            folder,
            said,
            roster,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn kms(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary("obol-kms"));
        command.args(arguments).current_dir(&self.folder);
        // An auditor has no token.
        command.env_remove("SOFTHSM2_CONF").output().unwrap()
    }

    /// The auditor's one command.
    fn verify(&self, ceremonies: &[&str]) -> (Option<i32>, String) {
        let bundles: Vec<_> = ceremonies.iter().map(|one| bundle(one)).collect();
        let mut verify = vec!["ceremony", "verify", "--roster", &self.roster];
        verify.extend(bundles.iter().map(String::as_str));
        let output = self.kms(&verify);
        (output.status.code(), text(output.stdout))
    }
}

fn bundle(ceremony: &str) -> String {
    format!("ceremonies/{ceremony}/bundle")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_demos_keys_come_from_ceremonies_and_their_bundles_hold_by_one_command() {
    let left = Left::by_a_demo();
    let (code, shown) = left.verify(&CEREMONIES);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.ends_with("all 17 bundles hold\n"), "{shown}");
    assert!(!shown.contains("exception"), "{shown}");
    // What officers sign for the trust repository is drafted, not made in a ceremony.
    let drafts = shown.lines().filter(|line| line.contains("made in none"));
    let drafts: Vec<_> = drafts.collect();
    assert!(
        drafts
            .iter()
            .all(|line| line.contains("root-1.json") || line.contains("targets-"))
    );
    assert_eq!(drafts.len(), 5, "{shown}");
    let approved = ["alice, bob", "alice, carol", "bob, carol"];
    let approved = approved.map(|two| shown.matches(&format!("approved by {two}\n")).count());
    assert_eq!(approved, [4, 5, 8], "{shown}");
    let told = "17 bundles, 27 steps, each rehearsed and approved by two of alice, bob, carol;";
    assert!(left.said.contains(told), "{}", left.said);
    assert!(left.said.contains("exceptions: none"), "{}", left.said);

    // The certificates that the services use are those, and so is the key that signs credentials.
    for (used, made) in [
        ("root.pem", "root-generation/bundle/outputs/root.pem"),
        ("access.pem", "access-ca/bundle/outputs/access.pem"),
        (
            "issuer.pem",
            "issuer-certificate/bundle/outputs/issuer-1.pem",
        ),
    ] {
        assert_eq!(
            left.read(used),
            left.read(&format!("ceremonies/{made}")),
            "{used}"
        );
    }
    let registered = text(
        left.kms(&["keys", "list", "--registry", "keys.registry"])
            .stdout,
    );
    let signing = registered.lines().filter(|line| line.contains(" issuer "));
    let mut signing: Vec<_> = signing
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let asked = ["issuer-key-request", "issuer-2-key-request"];
    let mut asked = asked.map(|name| {
        let bundle = shown.split(&format!("bundle ceremonies/{name}/")).nth(1);
        let spki = bundle
            .unwrap()
            .lines()
            .find_map(|line| line.trim().strip_prefix("spki: "));
        spki.unwrap()
    });
    signing.sort_unstable();
    asked.sort_unstable();
    assert_eq!(signing, asked, "{registered}");
}

#[test]
fn each_site_of_the_demo_has_its_own_tokens_and_no_authoritys_key_or_roots_pin_is_in_a_file() {
    let left = Left::by_a_demo();
    let labels = |site: &str| {
        let output = Command::new("softhsm2-util")
            .arg("--show-slots")
            .env("SOFTHSM2_CONF", left.path(&format!("{site}/softhsm2.conf")))
            .output()
            .expect("softhsm2-util is installed: run ./setup.sh test");
        let shown = text(output.stdout);
        let labels = shown
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Label:"));
        let mut labels: Vec<_> = labels.map(|label| label.trim().to_owned()).collect();
        // SoftHSM has one slot more, for the next token.
        labels.retain(|label| !label.is_empty());
        labels.sort();
        labels
    };
    let own = ["root", "targets", "tuf-alice", "tuf-bob", "tuf-carol"];
    assert_eq!(labels("offline"), own);
    assert_eq!(labels("online"), ["access", "issuer"]);
    let mut files: Vec<_> = names(&left.path("offline"));
    files.sort();
    let expected = [
        "access.csr",
        "access.pem",
        "issuer-1.csr",
        "issuer-1.pem",
        "issuer-2.csr",
        "issuer-2.pem",
        "root-1.alice.json",
        "root-1.bob.json",
        "root-1.json",
        "root.ceremony.toml",
        "root.pem",
        "root.shares.toml",
        "softhsm2.conf",
        "targets-1.json",
        "targets-1.signature.json",
        "targets-2.json",
        "targets-2.signature.json",
        "targets-3.json",
        "targets-3.signature.json",
        "targets.ceremony.toml",
        "tokens",
        "tuf-alice.ceremony.toml",
        "tuf-alice.csr",
        "tuf-bob.ceremony.toml",
        "tuf-bob.csr",
        "tuf-carol.ceremony.toml",
        "tuf-carol.csr",
        "tuf-targets.csr",
    ];
    assert_eq!(files, expected);
    let token = text(left.read("offline/root.ceremony.toml"));
    assert!(token.contains("pin-source=prompt:"), "{token}");

    for (token, own) in [
        ("access", vec!["access", "audit"]),
        (
            "issuer",
            vec![
                "audit",
                "denylist",
                "fares",
                "issuer-1",
                "issuer-2",
                "snapshot",
                "timestamp",
            ],
        ),
    ] {
        let mut found = private_keys_in(left.folder.path(), "online", token);
        found.sort();
        let expected: Vec<_> = own
            .into_iter()
            .map(|label| (label.to_owned(), GUARDED.to_owned()))
            .collect();
        assert_eq!(found, expected, "{token}");
    }
    // Three officers' and a witness's, and those of services, buses and the bank.
    let keys = keys_in_files(left.folder.path());
    let people = keys
        .iter()
        .filter(|path| path.starts_with(left.path("people")));
    assert_eq!((people.count(), keys.len()), (4, 10), "{keys:?}");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_flipped_byte_in_a_file_of_the_demos_bundles_is_found_in_that_bundle_and_file() {
    let left = Left::by_a_demo();
    for ceremony in FLIPPED {
        for (number, file) in files_of(&left.path(&bundle(ceremony))).iter().enumerate() {
            let path = left.path(&bundle(ceremony)).join(file);
            let good = fs::read(&path).unwrap();
            let mut bad = good.clone();
            // Another place in each file; the library's own tests take every byte.
            let at = good.len() * (number + 1) / 17 % good.len();
            bad[at] ^= 0x01;
            fs::write(&path, bad).unwrap();
            let (code, shown) = left.verify(&FLIPPED);
            let what = format!("byte {at} of {file} of {ceremony}: {shown}");
            assert_eq!(code, Some(1), "{what}");
            assert!(shown.ends_with("1 of 6 bundles proves nothing\n"), "{what}");
            let heading = format!("bundle {}\n", bundle(ceremony));
            let part = shown.split(&heading).nth(1).unwrap();
            let part = part.split("\nbundle ").next().unwrap();
            // A roster that still reads is another one; one that does not is named by its number.
            let unread = file
                .starts_with("rosters/")
                .then_some(" in rosters: roster 0");
            let place = format!(" in {file}");
            let named =
                |line: &str| line.contains(&place) || unread.is_some_and(|at| line.contains(at));
            let found = part.lines().filter(|line| line.starts_with("PROBLEM "));
            assert!(found.clone().any(named), "{what}");
            let others = shown.matches("PROBLEM ").count();
            assert_eq!(others, found.count(), "{what}");
            fs::write(&path, good).unwrap();
        }
    }
    assert_eq!(left.verify(&CEREMONIES).0, Some(0));
}

/// Paths of a bundle's files, within it.
fn files_of(bundle: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for name in names(bundle) {
        let path = bundle.join(&name);
        if path.is_dir() {
            files.extend(names(&path).iter().map(|file| format!("{name}/{file}")));
        } else {
            files.push(name);
        }
    }
    files.sort();
    files
}
