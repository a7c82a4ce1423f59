//! A terminal's folder, codes of this moment, a repository as files, and a platform that answers.

use std::{fs, path::Path, time::UNIX_EPOCH};

use obol_fare::{Currency, FarePack, FareRule, RuleId, Tariff};
use obol_pos_sdk::{Acknowledgement, UnixTime};
use obol_tap::{RecordAcknowledgement, RecordStatus, TerminalKey, VerifiedSegment};
use p256::pkcs8::EncodePrivateKey;

use crate::{
    issuing::{Issuing, Phone},
    repository::Repository,
};

pub(crate) const NOW: UnixTime = crate::repository::NOW;
const SECRET: [u8; 32] = [0x21; 32];

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

pub(crate) fn this_moment() -> UnixTime {
    UnixTime(UNIX_EPOCH.elapsed().unwrap().as_secs() as u32)
}

fn fares(amount_minor: u32, now: UnixTime) -> Vec<u8> {
    let rule = FareRule::flat(RuleId(10), 1, amount_minor);
    let cny = Currency::new("CNY").unwrap();
    let pack = FarePack::new(Tariff::plain(
        cny,
        now.minus(86_400),
        now.plus(86_400),
        vec![rule],
    ))
    .unwrap();
    pack.bytes().to_vec()
}

/// `terminal.toml`, root, key, trust bundle and fare pack; `code`, `second`, `third`, `foreign`
/// (another issuer's), `now`, `next-bundle`, `next-fares`, `foreign-bundle`.
pub(crate) fn write_into(folder: &Path) {
    write_into_at(folder, NOW);
}

/// The same for another moment.
pub(crate) fn write_into_at(folder: &Path, now: UnixTime) {
    let (issuing, other) = (Issuing::new(), Issuing::new());
    provisioning(folder, &issuing, "");
    put(folder, "now", now.0.to_string().as_bytes());
    put(
        folder,
        "trust-bundle.cbor",
        &issuing.bundle(now.minus(3600), |_| {}),
    );
    put(
        folder,
        "next-bundle",
        &issuing.bundle(now.minus(60), |_| {}),
    );
    put(
        folder,
        "foreign-bundle",
        &other.bundle(now.minus(60), |_| {}),
    );
    put(folder, "fare-pack.cbor", &fares(200, now));
    put(folder, "next-fares", &fares(300, now));
    codes(folder, &issuing, now);
    put(
        folder,
        "foreign",
        Phone::new(&other, 3, now).code(now, 1).as_bytes(),
    );
}

fn provisioning(folder: &Path, issuing: &Issuing, more: &str) {
    let text = format!(
        "terminal = \"bus-12\"\noperator = \"metro\"\nroot = \"root.pem\"\n\
         access = \"access.pem\"\ncertificate = \"terminal.pem\"\nkey = \"terminal.key\"\n\
         issuer_url = \"https://issuer.test\"\nplatform_url = \"https://platform.test\"\n{more}"
    );
    put(folder, "terminal.toml", text.as_bytes());
    put(folder, "root.pem", issuing.root_pem.as_bytes());
    let key = p256::SecretKey::from_slice(&SECRET).unwrap();
    let pem = key.to_pkcs8_pem(p256::pkcs8::LineEnding::LF).unwrap();
    put(folder, "terminal.key", pem.as_bytes());
    put(folder, "now", NOW.0.to_string().as_bytes());
}

fn codes(folder: &Path, issuing: &Issuing, now: UnixTime) {
    let phone = Phone::new(issuing, 1, now);
    put(folder, "code", phone.code(now, 1).as_bytes());
    put(folder, "second", phone.code(now, 2).as_bytes());
    put(
        folder,
        "third",
        Phone::new(issuing, 2, now).code(now, 1).as_bytes(),
    );
    put(
        folder,
        "fourth",
        Phone::new(issuing, 4, now).code(now, 1).as_bytes(),
    );
    put(folder, "stale", phone.code(now.minus(300), 3).as_bytes());
}

/// A terminal that takes its trust from a repository, whose files lie in `metadata` and `targets`.
/// The second one it publishes suspends the issuer's key.
pub(crate) fn write_repository_into(folder: &Path) {
    let mut repository = Repository::new();
    repository.fares = fares(200, NOW);
    repository.publish();
    let more = "repository_url = \"https://trust.test\"\ntrust_root = \"root.json\"\n";
    provisioning(folder, &repository.issuing, more);
    codes(folder, &repository.issuing, NOW);
    put(folder, "root.json", &repository.metadata["1.root.json"]);
    publish(folder, "good", &repository);
    repository.suspended = true;
    repository.publish();
    publish(folder, "suspending", &repository);
}

fn publish(folder: &Path, name: &str, repository: &Repository) {
    for (shelf, files) in [
        ("metadata", &repository.metadata),
        ("targets", &repository.targets),
    ] {
        for (file, bytes) in files {
            put(folder, &format!("{name}/{shelf}/{file}"), bytes);
        }
    }
}

pub(crate) fn key_of_terminal() -> TerminalKey {
    let key = p256::ecdsa::SigningKey::from_slice(&SECRET).unwrap();
    TerminalKey::from_sec1(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap()
}

/// What a platform would answer to the segment, once its signature and chain hold.
pub(crate) fn answer(segment: &[u8]) -> (VerifiedSegment, Vec<u8>) {
    let segment = VerifiedSegment::decode(segment, &key_of_terminal()).unwrap();
    let records = segment.records();
    let last = records.last().unwrap();
    let statuses = (segment.first_seq()..).zip(records);
    let acknowledgement = Acknowledgement {
        epoch: segment.epoch(),
        watermark: segment.first_seq() + records.len() as u64 - 1,
        head: last.head,
        records: statuses
            .map(|(seq, _)| RecordAcknowledgement {
                seq,
                status: RecordStatus::Accepted,
            })
            .collect(),
    };
    let json = serde_json::to_vec(&acknowledgement).unwrap();
    (segment, json)
}
