//! Writes the seeds of the corpora that code can make: `cargo run -p obol-fuzz --example seeds`.
//! Everything but certificates and signatures comes out the same each time.
#![allow(clippy::unwrap_used)] // a tool of the repository itself

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use obol_credential::possession::{self, Possession};
use obol_credential::{Kid, UnixTime};
use obol_kms::x509::{ProfileName, WaiverStatement};
use obol_kms_ceremony::{
    CeremonyId, Content, Hash, Mode, Opened, Outcome, Plan, RosterChange, Transcript,
};
use obol_kms_client::wire::{Answer, Call, RefusalKind, Reply, Request, WireKey};
use obol_kms_client::{KeyClass, KeyState, PayloadType};
use obol_kms_registry::{
    Algorithm, Approval, Class, Limits, NewKey, Officer, OfficerKey, Quorum, Registry, RegistryId,
    Roster, Settings, SpkiId, State,
};
use obol_log::witness::Submission;
use obol_log::{
    Decision, Leaf, Leaves, Note, SignatureLine, WitnessSigner, consistency_proof, encode_bundle,
    inclusion_proof, leaf_hash, proof_text,
};
use obol_mint::{DEVICE, ISSUER_P256, Issuer, Mint, NOW};
use obol_pos_sdk::Journal;
use obol_tap::{
    Acknowledgement, Epoch, FareCharged, Head, PackId, RecordAcknowledgement, RecordStatus,
    TapRecord, TerminalKey, TerminalName, UnsignedSegment,
};
use obol_trust::{Entry, StatusList, StatusListId, TrustBundle};
use obol_verifier_sdk::{Operator, TrustStore, Verifier};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    RevokedCertParams, SanType, SerialNumber,
};
use zeroize::Zeroizing;

fn main() {
    credential();
    abi();
    tap();
    journal();
    trust();
    log();
    kms();
    registry();
    waivers();
    ceremony();
    enrolment();
    commands();
    account();
    files();
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target)
}

fn seed(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(folder(target)).unwrap();
    fs::write(folder(target).join(name), bytes).unwrap();
}

fn credential() {
    let p384 = Mint::default();
    let p256 = Mint {
        issuer: ISSUER_P256,
        ..Mint::default()
    };
    for (name, mint) in [("p384", p384), ("p256", p256)] {
        seed("pt1_text", name, mint.text());
        seed("pt1_scan", name, mint.text());
        seed("pt1_presentation", name, &*mint.code());
        seed("pt1_credential", name, mint.credential());
        seed("pt1_claims", name, &*mint.claims.encode());
    }
    let possession = Possession {
        device_key: DEVICE.device_key(),
        subject: [5; 16],
        issued_at: NOW,
    };
    let signature = DEVICE.sign(&possession::signature_input(&possession));
    let proof = possession::encode(&possession, signature.as_slice().try_into().unwrap());
    seed("pt1_possession", "proof", &*proof);
}

/// One call of a C library: which, a number, bytes.
fn call(which: u8, number: u32, bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap();
    let head = [&[which][..], &number.to_le_bytes(), &len.to_le_bytes()].concat();
    [&head, bytes].concat()
}

fn abi() {
    let mint = Mint::default();
    let (key, text) = (mint.issuer.point(), mint.text());
    let code = text.as_bytes();
    let (kid, claims) = (mint.issuer_key().kid(), mint.claims);
    let list = StatusList::empty(1024).unwrap().encode();
    let list = [&kid.0[..], &list].concat();
    let day = StatusListId::of(kid, claims.issued_at).epoch;
    let verifier = [
        call(0, NOW.0, code),
        call(1, 0, &key),
        call(4, day, &list),
        call(3, 0, &[1; 8]),
        call(0, NOW.0, code),
        call(5, day, &kid.0),
        call(6, 20, &[9; 40]),
        call(2, 0, &[]),
        call(0, NOW.0, code),
    ];
    seed("verifier_calls", "a_day", verifier.concat());
    let terminal = [
        call(9, 0, &[]),
        call(1, 0, &[]),
        call(10, 0, &[]),
        call(1, 20, &[1]),
        call(0, 0, b"PT1:ABC"),
        call(3, 0, &[]),
        call(5, 0, &[]),
        call(8, 0, &[0; 2000]),
        call(6, 1, &[0x84, 1, 2, 3]),
        call(7, 900, b"host/1.0"),
        call(11, 5, &[]),
    ];
    seed("terminal_calls", "a_day", terminal.concat());
}

/// Two taps, the file as it lies there when its terminal has stopped.
fn journal() {
    let mints = [
        Mint::default(),
        Mint {
            issuer: ISSUER_P256,
            ..Mint::default()
        },
    ];
    let keys = [mints[0].issuer_key(), mints[1].issuer_key()];
    let verifier = Verifier {
        trust: TrustStore::new(&keys),
        operator: Operator::new("metro").unwrap(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let terminal = TerminalName::new("bus-7").unwrap();
    let mut journal = Journal::create(&path, &terminal, Epoch([9; 8])).unwrap();
    for mint in &mints {
        let verified = verifier.verify_text(mint.text().as_bytes(), NOW).unwrap();
        let fare = FareCharged {
            pack_id: PackId([1; 8]),
            rule: 10,
            amount_minor: 200,
        };
        let durable = journal.append(verified, fare, 0, 2).unwrap();
        journal.opened(durable.grant(), NOW).unwrap();
    }
    drop(journal);
    seed("terminal_journal", "two-taps", fs::read(path).unwrap());
}

fn tap() {
    let terminal = TerminalName::new("bus-7").unwrap();
    let record = |seq| TapRecord {
        seq,
        accepted_at: NOW,
        terminal: terminal.clone(),
        presentation: Mint::default().code(),
        fare: FareCharged {
            pack_id: PackId([1; 8]),
            rule: 10,
            amount_minor: 200,
        },
        flags: 0,
        zone: Some(2),
    };
    let old = TapRecord {
        zone: None,
        ..record(1)
    };
    seed("tap_record", "first", old.encode());
    let records = [record(1).encode(), record(2).encode()];
    seed("tap_record", "zoned", &records[0]);
    seed(
        "tap_segment_content",
        "two",
        encode_bundle(&records).unwrap(),
    );
    let epoch = Epoch([9; 8]);
    let origin = Head::origin(&terminal, epoch);
    let unsigned = UnsignedSegment::new(&terminal, epoch, 1, origin, &records).unwrap();
    let key = TerminalKey::from_sec1(&DEVICE.point()).unwrap();
    let signature = DEVICE.sign(&unsigned.signature_input(key.id()));
    let segment = unsigned.assemble(key.id(), signature.as_slice().try_into().unwrap());
    seed("tap_segment", "two", segment);
    let statuses = [
        RecordStatus::Accepted,
        RecordStatus::Duplicate,
        RecordStatus::Conflict,
        RecordStatus::Rejected {
            reason: "DEVICE_SIG".to_owned(),
        },
    ];
    let records = statuses.into_iter().zip(1..);
    let acknowledgement = Acknowledgement {
        epoch,
        watermark: 2,
        head: unsigned.last_head(),
        records: records
            .map(|(status, seq)| RecordAcknowledgement { seq, status })
            .collect(),
    };
    let json = serde_json::to_vec(&acknowledgement).unwrap();
    seed("tap_acknowledgement", "all", json);
}

fn ca() -> (rcgen::CertifiedIssuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "Fuzz Root");
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let ca = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let pem = ca.pem();
    (ca, pem)
}

fn trust() {
    let (root, pem) = ca();
    seed("trust_root", "root.pem", &pem);
    seed("certificate", "root.pem", &pem);
    seed("terminal_invitation", "bus-12.toml", invitation(&pem));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::ExplicitNoCa;
    params.not_before = rcgen::date_time_ymd(2027, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 6, 1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let (not_before, not_after) = (
        params.not_before.unix_timestamp(),
        params.not_after.unix_timestamp(),
    );
    let mut usage = CustomExtension::from_oid_content(
        &[2, 5, 29, 37],
        b"\x30\x0c\x06\x0a\x2b\x06\x01\x04\x01\x83\xd4\x5f\x01\x01".to_vec(),
    );
    usage.set_criticality(true);
    let scope = CustomExtension::from_oid_content(
        &[1, 3, 6, 1, 4, 1, 59999, 1, 2],
        b"\x30\x0a\x0c\x05metro\x02\x01\x06".to_vec(),
    );
    params.custom_extensions = vec![usage, scope];
    let issuer = params.signed_by(&key, &root).unwrap();
    seed("certificate", "issuer.pem", issuer.pem());
    seed("issuer_certificate_file", "issuer.pem", issuer.pem());
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    let point = p384_compressed(&spki);
    let entry = Entry {
        kid: Kid(SpkiId::of(&spki).0[..4].try_into().unwrap()),
        algorithm: obol_credential::Algorithm::Esp384,
        point: &point,
        not_before: UnixTime(u32::try_from(not_before).unwrap()),
        not_after: UnixTime(u32::try_from(not_after).unwrap()),
        operator: "metro",
        classes: 6,
        certificate: issuer.der(),
    };
    let bundle = TrustBundle::new(NOW, NOW.plus(86_400), vec![entry]).unwrap();
    seed("trust_bundle", "one", bundle.encode());
    seed("trust_accept", "one", bundle.encode());
    for name in ["flat", "city"] {
        let tariff = policy(&format!("tariffs/{name}.toml"));
        let pack = obol_fare::tariff::compile(&tariff).unwrap();
        seed("fare_pack", &format!("{name}-2"), pack.bytes());
    }
    identities(&root);
}

fn p384_compressed(spki: &[u8]) -> Vec<u8> {
    let point = &spki[spki.len() - 96..];
    let sign = 2 + (point[95] & 1);
    [&[sign], &point[..48]].concat()
}

fn identities(ca: &rcgen::CertifiedIssuer<'static, KeyPair>) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI("obol://terminal/bus-7".try_into().unwrap())];
    let request = params.serialize_request(&key).unwrap();
    seed(
        "certificate_request",
        "terminal.pem",
        request.pem().unwrap(),
    );
    let peer = params.signed_by(&key, ca).unwrap();
    seed("peer_certificate", "terminal.der", peer.der());
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2026, 2, 1),
        crl_number: SerialNumber::from_slice(&[7]),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[0x41; 20]),
            revocation_time: rcgen::date_time_ymd(2026, 1, 1),
            reason_code: Some(rcgen::RevocationReason::KeyCompromise),
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(ca).unwrap();
    seed("revocation_list", "one.pem", list.pem().unwrap());
}

fn log() {
    let leaf = |decision| Leaf {
        time: NOW,
        actor: "obol://issuer/city",
        operation: "sign",
        key: [1; 32],
        class: "issuer",
        payload_type: "credential-claims",
        payload_hash: [2; 32],
        decision,
        policy_hash: Some([3; 32]),
        reason: "permits",
    };
    let leaves = [
        Decision::Approved,
        Decision::Denied,
        Decision::Failed { of: 0 },
    ]
    .map(|decision| leaf(decision).encode().unwrap());
    for (number, bytes) in leaves.iter().enumerate() {
        seed("log_leaf", &number.to_string(), bytes);
    }
    seed("log_bundle", "three", encode_bundle(&leaves).unwrap());
    let journal = obol_kms_audit::fuzzing::journal_of(&leaves[..2]);
    seed("audit_journal", "two", &journal);
    seed("audit_journal", "torn", &journal[..journal.len() - 700]);
    let mut tree = Leaves::new(Vec::new());
    (0..5u8).for_each(|number| tree.push(&[number]));
    let checkpoint = obol_log::Checkpoint {
        origin: "kms.example/log".to_owned(),
        size: 5,
        root: tree.root(5),
    };
    seed("log_checkpoint", "five", checkpoint.to_text());
    let witness = WitnessSigner::from_seed("witness.example/w1", &[4; 32]).unwrap();
    let mut note = Note::new(checkpoint.to_text()).unwrap();
    // The form is a signature line's; whose it is and whether it verifies is not the reader's to say.
    let line = "\u{2014} kms.example/log ARIDBAAAAAA=";
    note.sign(SignatureLine::parse(line).unwrap());
    seed("log_note", "cosigned", note.to_text());
    let path = inclusion_proof(&tree, 3, 5).unwrap();
    assert!(obol_log::verify_inclusion(&leaf_hash(&[3]), 3, 5, &path, &checkpoint.root).is_ok());
    let text = proof_text(3, &path, &note);
    seed("log_proof", "third", &text);
    seed("log_inclusion", "third", &text);
    let submission = Submission {
        old_size: 3,
        proof: consistency_proof(&tree, 3, 5).unwrap(),
        note,
    };
    seed("log_submission", "three-to-five", submission.to_text());
    seed("log_tile_path", "partial", "tile/0/x001/234.p/17");
    seed("log_tile_path", "entries", "tile/entries/000");
    seed("log_key", "witness", witness.public().to_vkey());
    seed("log_key", "witness-secret", witness.to_text().as_bytes());
    let notes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/log/notes.json");
    let notes: serde_json::Value = serde_json::from_slice(&fs::read(notes).unwrap()).unwrap();
    for (number, log) in notes["logs"].as_array().unwrap().iter().enumerate() {
        let name = format!("vector-{number}");
        seed("log_note", &name, log["note"].as_str().unwrap());
        seed("log_key", &name, log["vkey"].as_str().unwrap());
    }
}

/// What a terminal begins with.
fn invitation(root: &str) -> String {
    format!(
        "version = 2\nterminal = 'bus-12'\noperator = 'metro'\ncode = '{}'\n\
         code_expires_at = 1800000000\nenrolment_url = 'https://localhost:7002'\n\
         issuer_url = 'https://localhost:7001'\nplatform_url = 'https://localhost:8445'\n\
         access_ca = '''{root}'''\nroot_ca = '''{root}'''\n\
         repository_url = 'http://localhost:8080/trust'\ntrust_root = '{{}}'\n",
        "0a".repeat(16)
    )
}

fn kms() {
    let claims = Mint::default().claims.encode().to_vec();
    let sign = Call {
        id: 7,
        left_ms: Some(250),
        request: Request::Sign {
            key: [7; 32].into(),
            payload_type: PayloadType::CredentialClaims,
            payload: claims.into(),
        },
    };
    seed("kms_call", "sign", minicbor::to_vec(&sign).unwrap());
    let keys = Call {
        id: 1,
        left_ms: None,
        request: Request::Keys,
    };
    seed("kms_call", "keys", minicbor::to_vec(&keys).unwrap());
    let prove = Call {
        id: 2,
        left_ms: None,
        request: Request::Prove { leaf: 41 },
    };
    seed("kms_call", "prove", minicbor::to_vec(&prove).unwrap());
    let answers = [
        Answer::Keys(vec![WireKey {
            spki_der: vec![0x30; 91].into(),
            algorithm: -51,
            class: KeyClass::Issuer,
            state: KeyState::Active,
            token: Some("a1b2c3d4e5f60718".to_owned()),
        }]),
        Answer::Signed {
            signature: vec![1; 96].into(),
            leaf: 41,
            key: [2; 32].into(),
            hash: [3; 32].into(),
        },
        Answer::Refused {
            code: RefusalKind::Busy,
            reason: "wait".to_owned(),
        },
        Answer::Proof {
            entry: vec![0xa0].into(),
            proof: "c2sp.org/tlog-proof@v1\nindex 0\n\n".to_owned(),
        },
    ];
    for (id, answer) in (1..).zip(answers) {
        let reply = minicbor::to_vec(Reply { id, answer }).unwrap();
        seed("kms_reply", &id.to_string(), reply);
    }
    let uris = [
        "pkcs11:token=issuer;serial=a1b2c3?pin-source=file:issuer.pin&module-path=libsofthsm2.so",
        "pkcs11:token=issuer;serial=a1b2c3?pin-value=s3cret-pin&module-path=libsofthsm2.so",
        "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;serial=1;model=1.0;\
         manufacturer=Snake%20Oil,%20Inc.?pin-source=credential:pin&module-path=/lib/m.so",
    ];
    for (number, uri) in uris.iter().enumerate() {
        seed("pkcs11_uri", &number.to_string(), uri);
        seed(
            "token_file",
            &format!("uri-{number}"),
            format!("uri = '{uri}'\n"),
        );
    }
    let four = "module = 'm.so'\nlabel = 'issuer'\nserial = 'a1b2'\npin_file = 'issuer.pin'\n";
    seed("token_file", "four", four);
}

fn officer(secret: u8) -> OfficerKey {
    let key = Issuer { secret, ..DEVICE };
    OfficerKey::from_sec1(*key.device_key().as_sec1()).unwrap()
}

fn registry() {
    let officers = [("alice", 21), ("bob", 22), ("carol", 23)];
    let officers = officers.map(|(name, secret)| Officer::new(name, officer(secret)).unwrap());
    let quorum = Quorum {
        activate: 2,
        unsuspend: 2,
        cancel_destruction: 2,
        destroy: 2,
    };
    let roster = Roster::new(officers.into(), quorum).unwrap();
    seed("officers_roster", "three.toml", roster.to_toml());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let settings = Settings::new(0, 60, 7).unwrap();
    let registry = Registry::create(&path, &roster, settings, RegistryId([7; 16]), NOW).unwrap();
    let head = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\
                 \x03\x01\x07\x03\x42\x00";
    let spki_der = [head.as_slice(), &DEVICE.point()].concat();
    let key = NewKey {
        spki: SpkiId::of(&spki_der),
        spki_der,
        class: Class::Audit,
        algorithm: Algorithm::EcP256,
        token_serial: "a1b2c3d4e5f60718".to_owned(),
        label: "audit".to_owned(),
        limits: Limits::of(Class::Audit),
    };
    let spki = registry.register(&key, NOW).unwrap().spki;
    registry.publish(spki, NOW).unwrap();
    let statement = registry
        .statement(spki, State::Active, NOW.plus(3_600))
        .unwrap();
    seed("officers_statement", "activate", statement.encode());
    let alice = Issuer {
        secret: 21,
        ..DEVICE
    };
    let signature = alice.sign(&statement.encode());
    let approval = Approval::new(
        &statement,
        officer(21),
        signature.as_slice().try_into().unwrap(),
    );
    seed("officers_approval", "activate", approval.encode());
    let backup = folder.path().join("backup");
    registry.back_up(&backup).unwrap();
    seed("registry_backup", "one-key", fs::read(backup).unwrap());
}

fn waivers() {
    let statement = WaiverStatement {
        roster: [7; 32],
        rule: "validity-within-profile".to_owned(),
        rule_version: 1,
        profile: ProfileName::Server,
        reason: "the depot's server is replaced in spring".to_owned(),
        not_after: NOW.plus(30 * 86_400),
    };
    let mut text = format!(
        "[[waiver]]\nrule = \"{}\"\nrule_version = 1\nprofile = \"server\"\nreason = \"{}\"\n\
         not_after = {}\n",
        statement.rule, statement.reason, statement.not_after
    );
    for (name, secret) in [("alice", 21), ("bob", 22)] {
        let signature = Issuer { secret, ..DEVICE }.sign(&statement.encode());
        let signature = BASE64URL_NOPAD.encode(&signature);
        text +=
            &format!("[[waiver.approval]]\nofficer = \"{name}\"\nsignature = \"{signature}\"\n");
    }
    seed("waivers", "two.toml", text);
}

fn ceremony() {
    const HASH: &str = "00000000000000000000000000000000000000000000000000000000000000aa";
    let people = [("officers", "alice", 21), ("officers", "bob", 22)];
    let people = people.into_iter().chain([("witnesses", "wendy", 23)]);
    let roster: String = people
        .map(|(kind, name, secret)| {
            let key = officer(secret);
            format!("[[{kind}]]\nname = '{name}'\npublic_key = '{key}'\n")
        })
        .collect();
    let roster = roster
        + "[quorum]\nactivate = 2\nunsuspend = 2\ncancel-destruction = 2\ndestroy = 2\n\
           [ceremony]\nroot = 2\ncertificate = 2\nrevocation = 2\ntrust = 2\ndestruction = 2\n\
           roster = 2\n";
    seed("roster_chain", "first.toml", &roster);
    let plan = format!(
        "schema = 1\nact = 'key-destruction'\ntitle = 'A key'\n\
         [[steps]]\ndo = 'destroy-key'\ntoken = 't'\nkey = 'k'\nspki = '{HASH}'\n\
         reason = 'old'\n\
         [environment]\nmodule_sha256 = '{HASH}'\ntool_sha256 = '{HASH}'\n\
         [[environment.tokens]]\nname = 't'\nlabel = 't'\nserial = 's'\n"
    );
    seed("ceremony_plan", "destruction.toml", &plan);
    let hash: Hash = HASH.parse().unwrap();
    let (plan, parsed) = (
        Plan::parse(plan.as_bytes()).unwrap(),
        Roster::parse(&roster),
    );
    let parsed = parsed.unwrap();
    let sign = |secret, bytes: &[u8]| -> [u8; 64] {
        let signature = Issuer { secret, ..DEVICE }.sign(bytes);
        signature.as_slice().try_into().unwrap()
    };
    let opened = Opened {
        mode: Mode::Rehearsal,
        plan: plan.hash(),
        roster: parsed.hash(),
        tool: hash,
        module: hash,
        serials: vec!["s".to_owned()],
        rehearsal: Hash([0; 32]),
        executor: officer(21),
        witness: officer(23),
        files: Vec::new(),
    };
    let draft = Transcript::rehearse(CeremonyId([7; 16]), &parsed, opened, NOW).unwrap();
    let (executor, witness) = (sign(21, draft.to_sign()), sign(23, draft.to_sign()));
    let (mut transcript, mut bytes) = Transcript::begin(draft, executor, witness).unwrap();
    seed("ceremony_transcript", "begun", &bytes);
    let outcome = Outcome::default();
    for content in [
        Content::Begun { step: 0 },
        Content::Done { step: 0, outcome },
        Content::Closed { files: Vec::new() },
    ] {
        let draft = transcript.draft(content, NOW).unwrap();
        let (executor, witness) = (sign(21, draft.to_sign()), sign(23, draft.to_sign()));
        bytes.extend(transcript.append(draft, executor, witness).unwrap());
    }
    seed("ceremony_transcript", "rehearsal", &bytes);
    let statement = obol_kms_ceremony::Statement {
        roster: parsed.hash(),
        plan: plan.hash(),
        id: CeremonyId([8; 16]),
        serials: vec!["s".to_owned()],
        tool: hash,
        rehearsal: hash,
        not_after: NOW.plus(3_600),
    };
    seed("ceremony_statement", "one", statement.encode());
    let signature = sign(21, &statement.encode());
    let approval = obol_kms_ceremony::Approval::new(&statement, officer(21), signature);
    seed("ceremony_approval", "alice", approval.encode());
    let change = RosterChange {
        plan: plan.canonical().to_vec(),
        next: roster.clone().into_bytes(),
        rehearsal: hash,
        approvals: vec![approval],
    };
    seed("roster_change", "one", change.encode());
    let chain = [roster.as_bytes(), &[0], &change.encode()].concat();
    seed("roster_chain", "change", chain);
    let holders = ["alice", "bob", "carol"].map(str::to_owned);
    let (sheet, _, _) = obol_kms_ceremony::split(&Zeroizing::new([9; 32]), 2, &holders).unwrap();
    seed("share_sheet", "three.toml", sheet.to_toml());
}

fn enrolment() {
    let mut params = CertificateParams::default();
    let name = "obol://terminal/bus-12".try_into().unwrap();
    params.subject_alt_names = vec![SanType::URI(name)];
    params.distinguished_name = rcgen::DistinguishedName::new();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let request = params.serialize_request(&key).unwrap();
    seed("enrolment_request", "bus-12", request.der());
    let body = BASE64.encode(request.der());
    let lines: Vec<_> = body.as_bytes().chunks(64).collect();
    seed("enrolment_body", "bus-12", lines.join(&b"\r\n"[..]));
    let proof = fs::read(folder("pt1_possession").join("proof")).unwrap();
    let item = |device: Option<&str>| {
        serde_json::json!({
            "subject": "0123456789abcdef0123456789abcdef", "device": device, "class": 1,
            "possession": BASE64URL_NOPAD.encode(&proof),
        })
    };
    let batch = serde_json::json!({
        "items": [item(None), item(Some("fedcba9876543210fedcba9876543210"))],
    });
    seed("credential_batch", "two", batch.to_string());
}

/// What the issuer reads in headers, paths and bodies of commands.
fn commands() {
    let reason = "the phone was lost: \u{516c}\u{4ea4}";
    let plain = serde_json::json!({ "reason": reason }).to_string();
    seed("standing_command", "plain", plain);
    let numbered = r#"{"reason":"a complaint","number":41.0}"#;
    seed("standing_command", "numbered", numbered);
    seed("idempotency_key", "plain", "2026-11-28:batch.7");
    seed("idempotency_key", "quoted", "\"0a1b2c3d-4e5f\"");
    for (name, bytes) in [
        ("kid", 4),
        ("credential", 8),
        ("handle", 16),
        ("member", 32),
    ] {
        seed("path_name", name, "0a".repeat(bytes));
    }
    seed("offline_path", "bundle", "bundle/trust.cbor");
    seed("offline_path", "upwards", "bundle/../../root.pem");
    for (target, role, name) in [
        ("offline_root", "root", "1.root.json"),
        ("offline_targets", "targets", "2.targets.json"),
    ] {
        let signed = fs::read(folder("tuf_metadata").join(format!("{role}.json")));
        seed(target, name, signed.unwrap());
    }
}

fn account() {
    let point = DEVICE.point();
    let header = serde_json::json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": {
        "kty": "EC", "crv": "P-256",
        "x": BASE64URL_NOPAD.encode(&point[1..33]), "y": BASE64URL_NOPAD.encode(&point[33..]),
    }});
    let claims = serde_json::json!({
        "jti": BASE64URL_NOPAD.encode(&[9; 16]), "htm": "POST",
        "htu": "https://localhost/v1/recharges", "iat": NOW.0,
        "bdh": BASE64URL_NOPAD.encode(&sha256(b"{}")),
    });
    let part = |value: serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = BASE64URL_NOPAD.encode(&DEVICE.sign(signed.as_bytes()));
    seed("dpop_proof", "recharge", format!("{signed}.{signature}"));
    use p256::pkcs8::EncodePublicKey;
    let public = p256::PublicKey::from_sec1_bytes(&point).unwrap();
    let pem = public.to_public_key_pem(Default::default()).unwrap();
    seed("bank_key", "bank.pem", pem);
    let order = "r01-00010203040506070809";
    let body = format!(
        r#"{{"transaction":"T-1","order":"{order}","amount_minor":500,"currency":"CNY","paid_at":{}}}"#,
        NOW.0
    );
    let signature = DEVICE.sign(format!("{}.{body}", NOW.0).as_bytes());
    let signature = BASE64URL_NOPAD.encode(&signature);
    seed(
        "bank_notice",
        "signed",
        format!("t={},v1={signature}\n{body}", NOW.0),
    );
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    // The registry's names of keys are SHA-256 of whatever they are made of.
    SpkiId::of(bytes).0
}

fn policy(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    fs::read_to_string(folder.join(name)).unwrap()
}

fn files() {
    for (target, file) in [
        ("fare_tariff", "policies/tariffs/flat.toml"),
        ("fare_tariff", "policies/tariffs/city.toml"),
        ("cedar_policies", "policies/kms/permits.cedar"),
        ("cedar_policies", "policies/kms/limits.cedar"),
        ("cedar_schema", "policies/kms/schema.cedarschema"),
        ("lints", "policies/lints.toml"),
        ("profile", "policies/profiles/server.toml"),
        ("issuer_config", "issuer/issuer.toml"),
        ("credential_templates", "policies/credentials/metro.toml"),
        ("platform_config", "platform/platform.toml"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        seed(target, &name, fs::read(path).unwrap());
    }
    let problem = r#"{"type":"urn:obol:problem:no-such-order","title":"There is no such order",
        "status":404,"detail":"order 7","code":"no-such-order"}"#;
    seed("problem_document", "order", problem);
    let provisioning = "terminal = 'bus-12'\noperator = 'metro'\nclasses = [1, 2]\n\
        root = 'root.pem'\naccess = 'access.pem'\ncertificate = 'terminal.pem'\n\
        key = 'terminal.key'\nissuer_url = 'https://localhost:8443'\n\
        platform_url = 'https://localhost:8444'\npassback_s = 300\n";
    seed("terminal_provisioning", "bus-12.toml", provisioning);
    seed(
        "daemon_config",
        "kms.toml",
        "socket = 's'\nregistry = 'r'\n[[tokens]]\nfile = 't'\n[[clients]]\nuid = 1\n\
         role = 'issuer'\n[audit]\nfolder = 'a'\norigin = 'kms.example/audit'\n",
    );
    seed("qr_picture", "code.png", picture());
}

/// A PNG of a boarding code, three pixels a module.
fn picture() -> Vec<u8> {
    let segments = qrcodegen::QrSegment::make_segments(&Mint::default().text());
    let code = qrcodegen::QrCode::encode_segments(&segments, qrcodegen::QrCodeEcc::Medium).unwrap();
    let (scale, margin) = (3, 4);
    let side = (code.size() + 2 * margin) * scale;
    let pixel = |at: i32| at / scale - margin;
    let pixels: Vec<u8> = (0..side * side)
        .map(
            |at| match code.get_module(pixel(at % side), pixel(at / side)) {
                true => 0,
                false => 255,
            },
        )
        .collect();
    let mut bytes = Vec::new();
    let side = u32::try_from(side).unwrap();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    bytes
}
