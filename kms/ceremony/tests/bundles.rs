//! Every byte of a bundle counts; hostile bytes are refused and never make it panic.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeMap;

use obol_credential::UnixTime;
use obol_kms_ceremony::{
    Approval, ApprovalRefusal, Bundle, CeremonyId, Content, Examiner, FileHash, Hash, Mode, Opened,
    Outcome, Plan, RecordsRefused, Rehearsed, Report, RosterChain, Shown, Statement, TokenRecords,
    Transcript, TranscriptRefused, authorise, verify,
};
use obol_kms_registry::{OfficerKey, Roster, RosterHash};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;

const NOW: UnixTime = UnixTime(1_790_000_000);
const HASH: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

struct Anything;

type Change<T> = fn(&mut T);

impl Examiner for Anything {
    fn examine(&self, _: &Shown<'_>) -> Result<(), String> {
        Ok(())
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn public(seed: u8) -> OfficerKey {
    let point = key(seed).verifying_key().to_sec1_point(true);
    OfficerKey::from_sec1(point.as_bytes().try_into().unwrap()).unwrap()
}

fn sign(seed: u8, message: &[u8]) -> [u8; 64] {
    let signature: Signature = key(seed).sign(message);
    signature.to_bytes().into()
}

/// alice, bob, carol; wendy.
const PEOPLE: [u8; 4] = [1, 2, 3, 4];

fn roster_text() -> String {
    let person = |kind: &str, name: &str, seed| {
        format!(
            "[[{kind}]]\nname = '{name}'\npublic_key = '{}'\n",
            public(seed)
        )
    };
    let [alice, bob, carol, wendy] = PEOPLE;
    person("officers", "alice", alice)
        + &person("officers", "bob", bob)
        + &person("officers", "carol", carol)
        + "[quorum]\nactivate = 2\nunsuspend = 2\ncancel-destruction = 2\ndestroy = 2\n"
        + &person("witnesses", "wendy", wendy)
        + "[ceremony]\nroot = 2\ncertificate = 2\nrevocation = 2\ntrust = 2\ndestruction = 3\n\
           roster = 2\n"
}

fn plan_text() -> String {
    format!(
        "schema = 1\nact = 'key-destruction'\ntitle = 'A key'\n\
         [[steps]]\ndo = 'destroy-key'\ntoken = 't'\nkey = 'k'\nspki = '{HASH}'\nreason = 'old'\n\
         [environment]\nmodule_sha256 = '{HASH}'\ntool_sha256 = '{HASH}'\n\
         [[environment.tokens]]\nname = 't'\nlabel = 't'\nserial = 's'\n"
    )
}

fn roster() -> Roster {
    Roster::parse(&roster_text()).unwrap()
}

fn plan() -> Plan {
    Plan::parse(plan_text().as_bytes()).unwrap()
}

fn opened(mode: Mode, rehearsal: Hash, files: &Bundle) -> Opened {
    let hash: Hash = HASH.parse().unwrap();
    Opened {
        mode,
        plan: plan().hash(),
        roster: roster().hash(),
        tool: hash,
        module: hash,
        serials: vec!["s".to_owned()],
        rehearsal,
        executor: public(1),
        witness: public(4),
        files: files
            .iter()
            .map(|(name, bytes)| FileHash {
                name: name.clone(),
                sha256: Hash::of(bytes),
            })
            .collect(),
    }
}

/// Records of token `t` after the ceremony that `draft` opens.
fn records_after(draft: &obol_kms_ceremony::Draft) -> Vec<u8> {
    let signatures = (sign(1, draft.to_sign()), sign(4, draft.to_sign()));
    let (transcript, _) = Transcript::begin(draft.clone(), signatures.0, signatures.1).unwrap();
    let mut records = records_before();
    records.add(transcript.id(), transcript.opening()).unwrap();
    records.encode()
}

/// What it remembers before: another ceremony.
fn records_before() -> TokenRecords {
    let mut records = TokenRecords::default();
    records.add(CeremonyId([5; 16]), Hash([6; 32])).unwrap();
    records
}

fn after_file(draft: &obol_kms_ceremony::Draft) -> FileHash {
    FileHash {
        name: "tokens/t.after".to_owned(),
        sha256: Hash::of(&records_after(draft)),
    }
}

fn to_its_end(draft: obol_kms_ceremony::Draft, files: Vec<FileHash>, now: UnixTime) -> Vec<u8> {
    let done = Content::Done {
        step: 0,
        outcome: Outcome::default(),
    };
    let closed = Content::Closed { files };
    with(draft, vec![Content::Begun { step: 0 }, done, closed], now)
}

fn with(draft: obol_kms_ceremony::Draft, contents: Vec<Content>, now: UnixTime) -> Vec<u8> {
    let both = |bytes: &[u8]| (sign(1, bytes), sign(4, bytes));
    let (executor, witness) = both(draft.to_sign());
    let (mut transcript, mut bytes) = Transcript::begin(draft, executor, witness).unwrap();
    for content in contents {
        let draft = transcript.draft(content, now).unwrap();
        let (executor, witness) = both(draft.to_sign());
        bytes.extend(transcript.append(draft, executor, witness).unwrap());
    }
    bytes
}

fn rehearsal() -> Vec<u8> {
    let opened = opened(Mode::Rehearsal, Hash([0; 32]), &Bundle::new());
    let id = CeremonyId([7; 16]);
    to_its_end(
        Transcript::rehearse(id, &roster(), opened, NOW).unwrap(),
        Vec::new(),
        NOW,
    )
}

fn statement() -> Statement {
    let rehearsed = Rehearsed::read(&plan(), &roster(), &rehearsal()).unwrap();
    Statement {
        roster: roster().hash(),
        plan: plan().hash(),
        id: CeremonyId([8; 16]),
        serials: vec!["s".to_owned()],
        tool: HASH.parse().unwrap(),
        rehearsal: rehearsed.head(),
        not_after: NOW.plus(3_600),
    }
}

fn approval(seed: u8, statement: &Statement) -> Approval {
    Approval::new(statement, public(seed), sign(seed, &statement.encode()))
}

fn bundle() -> Bundle {
    bundle_of(|draft| {
        let after = after_file(&draft);
        to_its_end(draft, vec![after], NOW)
    })
}

fn bundle_of(transcript: impl FnOnce(obol_kms_ceremony::Draft) -> Vec<u8>) -> Bundle {
    let mut files = Bundle::from([
        ("plan.toml".to_owned(), plan_text().into_bytes()),
        ("rosters/0.toml".to_owned(), roster_text().into_bytes()),
        ("rehearsal.transcript".to_owned(), rehearsal()),
        ("tokens/t.before".to_owned(), records_before().encode()),
    ]);
    let mut approvals = Vec::new();
    for (seed, name) in [(1, "alice"), (2, "bob"), (3, "carol")] {
        let approval = approval(seed, &statement());
        files.insert(format!("approvals/{name}.approval"), approval.encode());
        approvals.push(approval);
    }
    let rehearsed = Rehearsed::read(&plan(), &roster(), &rehearsal()).unwrap();
    let approved = authorise(&roster(), &plan(), &rehearsed, &approvals, NOW).unwrap();
    let opened = opened(Mode::Ceremony, rehearsed.head(), &files);
    let draft = Transcript::open(&approved, &roster(), opened, NOW).unwrap();
    files.insert("tokens/t.after".to_owned(), records_after(&draft));
    files.insert("transcript".to_owned(), transcript(draft));
    files
}

fn report(bundle: &Bundle) -> Report {
    verify(bundle, roster().hash(), &Anything)
}

#[test]
fn every_byte_of_every_file_counts_and_its_place_is_named() {
    let good = bundle();
    assert_eq!(report(&good).problems, []);
    let mut tried = 0;
    for (name, bytes) in &good {
        // A sample: strides that share no factor with the lengths of fields.
        let stride = if bytes.len() > 600 { 23 } else { 7 };
        for at in (0..bytes.len()).step_by(stride) {
            let mut bad = good.clone();
            bad.get_mut(name).unwrap()[at] ^= 0x20;
            let problems = report(&bad).problems;
            let folder = name.split('/').next().unwrap();
            let named = problems.iter().any(|one| one.place.starts_with(folder));
            assert!(named, "{name} byte {at}: {problems:?}");
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried}");
}

#[test]
fn a_changed_byte_of_the_transcript_is_found_in_its_event() {
    let mut bad = bundle();
    let transcript = bad.get_mut("transcript").unwrap();
    let first = 4 + u32::from_be_bytes(transcript[..4].try_into().unwrap()) as usize;
    transcript[first + 90] ^= 1;
    let problems = report(&bad).problems;
    assert!(
        problems[0]
            .what
            .starts_with(&format!("event 1 at byte {first}")),
        "{problems:?}"
    );
}

#[test]
fn a_ceremony_closed_before_its_steps_were_done_or_with_other_outputs_is_not_closed() {
    let stray = FileHash {
        name: "plan.toml".to_owned(),
        sha256: Hash::of(plan_text().as_bytes()),
    };
    let done = Content::Done {
        step: 0,
        outcome: Outcome::default(),
    };
    let begun = Content::Begun { step: 0 };
    let cases = [
        (
            vec![],
            vec![],
            "it was closed with other steps done than the plan has",
        ),
        (
            vec![begun.clone(), done.clone()],
            vec![stray],
            "it was closed with other outputs than its steps wrote",
        ),
    ];
    for (mut contents, mut files, what) in cases {
        let problems = report(&bundle_of(|draft| {
            files.push(after_file(&draft));
            contents.push(Content::Closed { files });
            with(draft, contents, NOW)
        }))
        .problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(
            (problems[0].code, problems[0].what.as_str()),
            ("NOT_CLOSED", what)
        );
    }
    let mut without = bundle_of(|draft| to_its_end(draft, Vec::new(), NOW));
    without.remove("tokens/t.after");
    let problems = report(&without).problems;
    assert_eq!(
        (problems[0].code, problems[0].what.as_str()),
        (
            "NOT_CLOSED",
            "it was closed without what tokens and audit log were after it"
        )
    );
}

#[test]
fn a_token_that_forgot_a_ceremony_or_does_not_know_this_one_is_a_problem() {
    let (id, opening) = (CeremonyId([8; 16]), Hash([1; 32]));
    let before = records_before();
    let with = |more: &[(CeremonyId, Hash)]| {
        let mut records = before.clone();
        for (id, opening) in more {
            records.add(*id, *opening).unwrap();
        }
        records
    };
    let after = with(&[(id, opening)]);
    assert_eq!(before.followed_by(&after, id, opening), Ok(Vec::new()));
    let other = CeremonyId([9; 16]);
    let more = with(&[(id, opening), (other, opening)]);
    assert_eq!(before.followed_by(&more, id, opening), Ok(vec![other]));
    let refused = |after: &TokenRecords| before.followed_by(after, id, opening).unwrap_err();
    assert_eq!(refused(&before), RecordsRefused::NotAfter(id));
    assert_eq!(
        refused(&with(&[(id, Hash([2; 32]))])),
        RecordsRefused::NotAfter(id)
    );
    let mut forgot = TokenRecords::default();
    forgot.add(id, opening).unwrap();
    assert_eq!(refused(&forgot), RecordsRefused::Gone(CeremonyId([5; 16])));
    assert_eq!(
        after.followed_by(&after, id, opening).unwrap_err(),
        RecordsRefused::Before(id)
    );
    // The same through a bundle, which names file and reason.
    let mut bad = bundle();
    bad.insert("tokens/t.after".to_owned(), before.encode());
    let told = report(&bad).problems;
    let codes: Vec<_> = told.iter().map(|one| one.code).collect();
    assert_eq!(codes, ["FILE_CHANGED", "RECORDS_REFUSED"]);
    assert!(
        told.iter().all(|one| one.place == "tokens/t.after"),
        "{told:?}"
    );
}

#[test]
fn each_file_that_is_gone_is_a_problem() {
    let good = bundle();
    for name in good.keys() {
        let mut bad = good.clone();
        bad.remove(name);
        assert_ne!(report(&bad).problems, [], "{name}");
    }
    assert_eq!(
        verify(&good, RosterHash([0; 32]), &Anything).problems[0].code,
        "ROSTER_UNPINNED"
    );
}

#[test]
fn an_approval_for_another_ceremony_token_tool_or_time_is_refused() {
    let rehearsed = Rehearsed::read(&plan(), &roster(), &rehearsal()).unwrap();
    let refused = |changed: &Statement, now| {
        let good = [1, 2].map(|seed| approval(seed, &statement()));
        let [one, two] = good;
        let all = [one, two, approval(3, changed)];
        authorise(&roster(), &plan(), &rehearsed, &all, now).unwrap_err()
    };
    let changes: [(&str, Change<Statement>); 6] = [
        ("ceremony", |other| other.id = CeremonyId([9; 16])),
        ("plan", |other| other.plan = Hash([9; 32])),
        ("roster", |other| other.roster = RosterHash([9; 32])),
        ("token", |other| other.serials = vec!["r".to_owned()]),
        ("tool", |other| other.tool = Hash([9; 32])),
        ("rehearsal", |other| other.rehearsal = Hash([9; 32])),
    ];
    for (wanted, change) in changes {
        let mut other = statement();
        change(&mut other);
        let found = refused(&other, NOW);
        assert!(
            matches!(&found, ApprovalRefusal::Other { field, officer, .. }
                if *field == wanted && officer == "carol"),
            "{found}"
        );
    }
    let ended = refused(&statement(), NOW.plus(3_601));
    assert!(matches!(ended, ApprovalRefusal::Expired { .. }), "{ended}");
    let mut long = statement();
    long.not_after = NOW.plus(31 * 86_400);
    assert!(matches!(
        refused(&long, NOW),
        ApprovalRefusal::TooLong { .. }
    ));
}

#[test]
fn fewer_than_the_quorum_a_stranger_and_a_doubled_officer_are_refused() {
    let rehearsed = Rehearsed::read(&plan(), &roster(), &rehearsal()).unwrap();
    let refused = |seeds: &[u8]| {
        let all: Vec<_> = seeds
            .iter()
            .map(|seed| approval(*seed, &statement()))
            .collect();
        authorise(&roster(), &plan(), &rehearsed, &all, NOW).unwrap_err()
    };
    let few = |given| ApprovalRefusal::TooFew {
        act: "key-destruction",
        needed: 3,
        given,
    };
    assert_eq!(refused(&[]), few(0));
    assert_eq!(refused(&[1, 2]), few(2));
    assert_eq!(
        refused(&[1, 2, 2]),
        ApprovalRefusal::Twice("bob".to_owned())
    );
    assert_eq!(
        refused(&[1, 2, 9]),
        ApprovalRefusal::NotAnOfficer(public(9))
    );
    // A witness approves nothing.
    assert_eq!(
        refused(&[1, 2, 4]),
        ApprovalRefusal::NotAnOfficer(public(4))
    );
    let forged = Approval::new(&statement(), public(3), sign(2, &statement().encode()));
    let all = [approval(1, &statement()), approval(2, &statement()), forged];
    let found = authorise(&roster(), &plan(), &rehearsed, &all, NOW).unwrap_err();
    assert_eq!(found, ApprovalRefusal::Signature("carol".to_owned()));
}

#[test]
fn a_clock_that_was_set_back_takes_no_event() {
    let transcript = Transcript::read(&rehearsal()[..]).unwrap();
    let content = Content::Exception {
        text: "x".to_owned(),
    };
    let refused = transcript.draft(content, NOW.minus(1)).unwrap_err();
    let (now, last) = (NOW.minus(1), NOW);
    assert_eq!(refused, TranscriptRefused::Clock { now, last });
}

#[test]
fn a_ceremony_that_differs_from_its_approval_is_not_opened() {
    let files = bundle();
    let approvals: Vec<_> = (1..=3).map(|seed| approval(seed, &statement())).collect();
    let rehearsed = Rehearsed::read(&plan(), &roster(), &rehearsal()).unwrap();
    let approved = authorise(&roster(), &plan(), &rehearsed, &approvals, NOW).unwrap();
    let changes: [(&str, Change<Opened>); 4] = [
        ("mode", |other| other.mode = Mode::Rehearsal),
        ("tool", |other| other.tool = Hash([9; 32])),
        ("token", |other| other.serials = Vec::new()),
        ("rehearsal", |other| other.rehearsal = Hash([9; 32])),
    ];
    for (wanted, change) in changes {
        let mut other = opened(Mode::Ceremony, rehearsed.head(), &files);
        change(&mut other);
        let refused = Transcript::open(&approved, &roster(), other, NOW).unwrap_err();
        assert_eq!(refused, TranscriptRefused::NotApproved(wanted));
    }
}

#[test]
fn a_transcript_cut_anywhere_is_whole_up_to_its_last_event() {
    let bytes = rehearsal();
    let mut ends = vec![0];
    while ends[ends.len() - 1] < bytes.len() {
        let at: usize = ends[ends.len() - 1];
        let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        ends.push(at + 4 + length);
    }
    for cut in 0..bytes.len() {
        let whole = Transcript::whole(&bytes[..cut]);
        let wanted = ends.iter().rev().find(|end| **end <= cut).unwrap();
        assert_eq!(whole, *wanted);
        if whole < cut {
            let refused = Transcript::read(&bytes[..cut]).unwrap_err();
            assert!(matches!(refused, TranscriptRefused::Torn { at, .. } if at == whole));
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes: Vec<u8>, text: String) {
        let names = ["plan.toml", "rosters/0.toml", "rehearsal.transcript", "transcript"];
        let files: BTreeMap<_, _> =
            names.into_iter().map(|name| (name.to_owned(), bytes.clone())).collect();
        prop_assert_ne!(report(&files).problems, []);
        let mut framed = (bytes.len() as u32).to_be_bytes().to_vec();
        framed.extend(&bytes);
        prop_assert!(Transcript::read(&framed).is_err());
        prop_assert!(Approval::decode(&bytes).is_err());
        prop_assert!(Plan::parse(text.as_bytes()).is_err());
        prop_assert!(RosterChain::read(&bytes, &[]).is_err());
    }
}
