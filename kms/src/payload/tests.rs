use obol_credential::{Claims, Cti, DeviceKey, FareTerms};
use obol_log::Hash;

use obol_trust::tuf::FormError;

use super::*;
use crate::x509::fixture::{House, NOW};
use crate::x509::{ProfileName, Rules};

fn claims() -> Vec<u8> {
    let key = p256::ecdsa::SigningKey::from_slice(&[5; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(true);
    let device_key = DeviceKey::from_sec1(point.as_bytes().try_into().unwrap()).unwrap();
    let claims = Claims {
        expires_at: NOW.plus(86_400),
        issued_at: NOW,
        cti: Cti([1; 8]),
        device_key,
        fare: FareTerms {
            class: 1,
            cap_minor: 1_000,
            window_s: 30,
            status_index: 7,
            flags: 0,
        },
    };
    claims.encode().to_vec()
}

fn day_root() -> DayRoot {
    DayRoot {
        book: "main".to_owned(),
        business_day: 20_780,
        trial_hash: [1; 32],
        previous_hash: [2; 32],
    }
}

fn log_checkpoint() -> String {
    let checkpoint = Checkpoint {
        origin: "kms.example/issuer".to_owned(),
        size: 42,
        root: Hash([3; 32]),
    };
    checkpoint.to_text()
}

/// A TUF key and its id, from one byte.
fn tuf_key(seed: u8) -> (String, String) {
    let key = p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let public = PublicKey::from_sec1(crate::Curve::P256, point.as_bytes()).unwrap();
    let pem = crate::x509::to_pem("PUBLIC KEY", &public.spki_der()).replace('\n', "\\n");
    let json = format!(
        "{{\"keytype\":\"ecdsa\",\"keyval\":{{\"public\":\"{pem}\"}},\"scheme\":\"ecdsa-sha2-nistp256\"}}"
    );
    let canonical = obol_trust::json::Json::parse(json.as_bytes(), 4096)
        .unwrap()
        .canonical();
    let id = crate::SpkiId::of(&canonical).to_string();
    (id, json)
}

const COMMON: &str =
    "\"spec_version\": \"1.0.34\", \"version\": 3, \"expires\": \"2027-01-01T00:00:00Z\"";

fn tuf_root() -> String {
    let keys: Vec<_> = [1, 2, 3].map(tuf_key).into();
    let listed: Vec<_> = keys
        .iter()
        .map(|(id, json)| format!("\"{id}\": {json}"))
        .collect();
    let ids: Vec<_> = keys.iter().map(|(id, _)| format!("\"{id}\"")).collect();
    let role = |threshold| {
        format!(
            "{{\"keyids\": [{}], \"threshold\": {threshold}}}",
            ids.join(", ")
        )
    };
    format!(
        "{{\"_type\": \"root\", {COMMON}, \"consistent_snapshot\": true, \"keys\": {{{}}}, \"roles\": \
         {{\"root\": {}, \"targets\": {one}, \"snapshot\": {one}, \"timestamp\": {one}}}}}",
        listed.join(", "),
        role(2),
        one = role(1)
    )
}

fn tuf_targets(path: &str) -> String {
    let hash = "ab".repeat(32);
    format!(
        "{{\"_type\": \"targets\", {COMMON}, \"targets\": \
         {{\"{path}\": {{\"length\": 10, \"hashes\": {{\"sha256\": \"{hash}\"}}}}}}}}"
    )
}

fn tuf_snapshot() -> String {
    format!(
        "{{\"_type\": \"snapshot\", {COMMON}, \"meta\": {{\"targets.json\": {{\"version\": 2}}}}}}"
    )
}

fn tuf_timestamp() -> String {
    format!(
        "{{\"_type\": \"timestamp\", {COMMON}, \"x-obol-issued\": 1790000000, \
         \"meta\": {{\"snapshot.json\": {{\"version\": 9}}}}}}"
    )
}

/// One good payload of each type.
fn samples() -> Vec<(PayloadType, Vec<u8>)> {
    let house = House::new();
    let (_, certificate) = house.unsigned().swap_remove(3);
    vec![
        (PayloadType::CredentialClaims, claims()),
        (PayloadType::TbsCertificate, certificate),
        (PayloadType::Crl, house.unsigned_list()),
        (PayloadType::TufRoot, tuf_root().into()),
        (
            PayloadType::TufTargets,
            tuf_targets("trust/bundle.cbor").into(),
        ),
        (PayloadType::TufSnapshot, tuf_snapshot().into()),
        (PayloadType::TufTimestamp, tuf_timestamp().into()),
        (PayloadType::LogCheckpoint, log_checkpoint().into()),
        (PayloadType::LedgerDayRoot, day_root().encode()),
    ]
}

#[test]
fn each_payload_is_read_as_its_own_type_and_as_no_other() {
    let samples = samples();
    assert_eq!(samples.len(), PayloadType::ALL.len());
    for (real, bytes) in &samples {
        for claimed in PayloadType::ALL {
            let read = TypedPayload::parse(*claimed, bytes);
            match claimed == real {
                true => assert_eq!(read.unwrap().payload_type(), *real),
                false => assert!(read.is_err(), "{real} passes for {claimed}"),
            }
        }
    }
}

#[test]
fn no_two_types_have_the_same_bytes_signed() {
    let house = House::new();
    let key = house.root_key.public();
    let signed: Vec<_> = samples()
        .iter()
        .map(|(payload, bytes)| {
            let typed = TypedPayload::parse(*payload, bytes).unwrap();
            (*payload, typed.signature_input(key).unwrap())
        })
        .collect();
    for (real, input) in &signed {
        // What one key signs is no payload of another type either, nor of its own where the two
        // differ: claims and Sig_structure.
        for claimed in PayloadType::ALL.iter().filter(|claimed| *claimed != real) {
            assert!(
                TypedPayload::parse(*claimed, input).is_err(),
                "{real} passes for {claimed}"
            );
        }
    }
}

#[test]
fn each_class_signs_its_own_types_and_no_other() {
    for (payload, bytes) in samples() {
        let typed = TypedPayload::parse(payload, &bytes).unwrap();
        let permitted: Vec<_> = Class::ALL
            .iter()
            .filter(|class| typed.permitted_for(**class).is_ok())
            .collect();
        let expected: &[Class] = match payload {
            PayloadType::CredentialClaims => &[Class::Issuer],
            // The sample is a server's certificate.
            PayloadType::TbsCertificate => &[Class::AccessCa],
            PayloadType::Crl => &[Class::Root, Class::AccessCa],
            PayloadType::TufRoot => &[Class::TufRoot],
            PayloadType::TufTargets => &[Class::TufTargets],
            PayloadType::TufSnapshot | PayloadType::TufTimestamp => &[Class::TufOnline],
            PayloadType::LogCheckpoint => &[Class::Audit],
            PayloadType::LedgerDayRoot => &[Class::LedgerClose],
        };
        assert!(permitted.into_iter().eq(expected), "{payload}");
    }
}

#[test]
fn a_root_certifies_authorities_and_an_access_ca_identities() {
    for (profile, der) in House::new().unsigned() {
        let typed = TypedPayload::parse(PayloadType::TbsCertificate, &der).unwrap();
        let TypedPayload::TbsCertificate(certificate) = &typed else {
            panic!("{typed:?}")
        };
        assert_eq!(certificate.profile(), profile);
        let of_root = matches!(
            profile,
            ProfileName::Root | ProfileName::AccessCa | ProfileName::Issuer
        );
        assert_eq!(
            typed.permitted_for(Class::Root).is_ok(),
            of_root,
            "{profile:?}"
        );
        assert_eq!(
            typed.permitted_for(Class::AccessCa).is_ok(),
            !of_root,
            "{profile:?}"
        );
    }
}

#[test]
fn an_unsigned_certificate_and_list_are_held_to_the_rules() {
    let (house, rules) = (House::new(), Rules::built_in());
    for (profile, der) in house.unsigned() {
        let issuer = match profile {
            ProfileName::Root => None,
            ProfileName::AccessCa | ProfileName::Issuer => Some(&house.root),
            _ => Some(&house.access),
        };
        let certificate = CertificatePayload::parse(&der).unwrap();
        certificate.lint(&rules, issuer, NOW).unwrap();
        let refused = certificate.lint(&rules, Some(&house.access), NOW);
        let other_issuer = matches!(issuer, Some(issuer) if *issuer != house.access);
        assert_eq!(
            refused.is_err(),
            other_issuer || issuer.is_none(),
            "{profile:?}"
        );
    }
    let list = ListPayload::parse(&house.unsigned_list()).unwrap();
    list.lint(&rules, &house.access, Class::AccessCa, NOW)
        .unwrap();
    let LintRefusal(findings) = list
        .lint(&rules, &house.root, Class::Root, NOW)
        .unwrap_err();
    assert!(
        findings
            .0
            .iter()
            .any(|finding| finding.rule == "crl-issuer")
    );
}

#[test]
fn a_certificate_that_names_another_algorithm_than_the_keys_is_refused() {
    let (_, der) = House::new().unsigned().swap_remove(3);
    let typed = TypedPayload::parse(PayloadType::TbsCertificate, &der).unwrap();
    let point = p256::ecdsa::SigningKey::from_slice(&[6; 32]).unwrap();
    let point = point.verifying_key().to_sec1_point(false);
    let p256 = PublicKey::from_sec1(crate::Curve::P256, point.as_bytes()).unwrap();
    assert_eq!(typed.signature_input(&p256), Err(PayloadRefusal::Algorithm));
}

#[test]
fn the_online_key_lists_deny_lists_and_fares_and_the_offline_key_everything_else() {
    let permitted = |json: &str, class| {
        let typed = TypedPayload::parse(PayloadType::TufTargets, json.as_bytes()).unwrap();
        typed.permitted_for(class).is_ok()
    };
    for (path, online) in [
        ("denylist/a.cbor", true),
        ("fares/1.cbor", true),
        ("trust/b.cbor", false),
    ] {
        let json = tuf_targets(path);
        assert_eq!(permitted(&json, Class::TufOnline), online, "{path}");
        assert_eq!(permitted(&json, Class::TufTargets), !online, "{path}");
    }
    let (id, key) = tuf_key(4);
    let delegating = tuf_targets("fares/1.cbor").replacen(
        "\"targets\": {",
        &format!(
            "\"delegations\": {{\"keys\": {{\"{id}\": {key}}}, \"roles\": [{{\"name\": \"fares\", \
             \"keyids\": [\"{id}\"], \"threshold\": 1, \"terminating\": true, \"paths\": [\"fares/*\"]}}]}}, \
             \"targets\": {{"
        ),
        1,
    );
    assert!(!permitted(&delegating, Class::TufOnline));
}

#[test]
fn tuf_metadata_is_signed_in_olpc_canonical_form() {
    let TypedPayload::Tuf(metadata) =
        TypedPayload::parse(PayloadType::TufTimestamp, tuf_timestamp().as_bytes()).unwrap()
    else {
        panic!("no metadata")
    };
    let expected = "{\"_type\":\"timestamp\",\"expires\":\"2027-01-01T00:00:00Z\",\
                    \"meta\":{\"snapshot.json\":{\"version\":9}},\"spec_version\":\"1.0.34\",\
                    \"version\":3,\"x-obol-issued\":1790000000}";
    assert_eq!(std::str::from_utf8(metadata.canonical()).unwrap(), expected);
    assert_eq!(metadata.version(), 3);
    // A line end in a key's PEM stands as it is.
    let root = TypedPayload::parse(PayloadType::TufRoot, tuf_root().as_bytes()).unwrap();
    let TypedPayload::Tuf(root) = root else {
        panic!("no metadata")
    };
    let text = std::str::from_utf8(root.canonical()).unwrap();
    assert!(text.contains("-----BEGIN PUBLIC KEY-----\n"));
}

fn tuf_refusal(payload: PayloadType, json: &str) -> TufRefusal {
    match TypedPayload::parse(payload, json.as_bytes()).unwrap_err() {
        PayloadRefusal::Tuf(refusal) => refusal,
        other => panic!("{other}"),
    }
}

#[test]
fn tuf_metadata_that_two_clients_could_read_differently_is_refused() {
    let good = tuf_timestamp();
    let refusal = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        tuf_refusal(PayloadType::TufTimestamp, &good.replacen(from, to, 1))
    };
    let twice = refusal("\"version\": 3", "\"version\": 3, \"version\": 4");
    assert!(matches!(twice, TufRefusal::Json(_)), "{twice}");
    let inside = refusal("{\"version\": 9}", "{\"version\": 9, \"version\": 8}");
    assert!(matches!(inside, TufRefusal::Json(_)), "{inside}");
    assert!(matches!(
        refusal("\"version\": 3", "\"version\": 3.0"),
        TufRefusal::Json(_)
    ));
    assert!(matches!(
        refusal("\"version\": 3", "\"version\": 3, \"x\": 1"),
        TufRefusal::UnknownMembers
    ));
    let dated = TufRefusal::Rule("a timestamp has x-obol-issued: terminals set their clocks by it");
    assert_eq!(refusal("\"x-obol-issued\": 1790000000, ", ""), dated);
    let form = |member: &str, wanted| {
        let member = member.to_owned();
        TufRefusal::Form(FormError { member, wanted })
    };
    let version = form("version", "1 to 2^31 - 1");
    assert_eq!(refusal("\"version\": 3", "\"version\": 0"), version);
    let expires = form("expires", "YYYY-MM-DDTHH:MM:SSZ");
    assert_eq!(
        refusal("2027-01-01T00:00:00Z", "2027-01-01T00:00:00+00:00"),
        expires
    );
    let alone = form("meta", "snapshot.json alone");
    assert_eq!(refusal("snapshot.json", "targets.json"), alone);
}

#[test]
fn a_tuf_root_that_clients_differ_on_is_refused() {
    let good = tuf_root();
    let refusal = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        tuf_refusal(PayloadType::TufRoot, &good.replacen(from, to, 1))
    };
    let ((first, _), (second, _)) = (tuf_key(1), tuf_key(2));
    // An id that is not the key's hash: what an edit outside the tool leaves behind.
    let form = |member: &str, wanted| {
        let member = member.to_owned();
        TufRefusal::Form(FormError { member, wanted })
    };
    let other = "ab".repeat(32);
    assert_eq!(
        refusal(&format!("\"{first}\": {{"), &format!("\"{other}\": {{")),
        form(&other, "the SHA-256 of its key")
    );
    let keys = form("keyids", "1 to 256 strings, each once");
    assert_eq!(
        refusal(
            &format!("\"{first}\", \"{second}\""),
            &format!("\"{first}\", \"{first}\"")
        ),
        keys
    );
    let threshold = TufRefusal::Rule("a threshold is 1 to the number of the role's keys");
    assert_eq!(refusal("\"threshold\": 1", "\"threshold\": 4"), threshold);
    assert_eq!(
        refusal("\"threshold\": 1", "\"threshold\": 0"),
        form("threshold", "1 to 2^31 - 1")
    );
    let root = TufRefusal::Rule("the root's threshold must be at least 2");
    assert_eq!(refusal("\"threshold\": 2", "\"threshold\": 1"), root);
    assert_eq!(
        refusal("\"snapshot\": {", "\"mirrors\": {"),
        form("snapshot", "a role")
    );
    let more = good.replacen(
        "\"root\": {",
        "\"mirrors\": {\"keyids\": [], \"threshold\": 1}, \"root\": {",
        1,
    );
    let unknown = tuf_refusal(PayloadType::TufRoot, &more);
    assert_eq!(unknown, TufRefusal::UnknownMembers);
}

#[test]
fn a_checkpoint_is_three_lines_and_no_more() {
    let refusal =
        |text: &str| TypedPayload::parse(PayloadType::LogCheckpoint, text.as_bytes()).unwrap_err();
    let text = log_checkpoint();
    assert_eq!(
        refusal(&format!("{text}extension\n")),
        PayloadRefusal::CheckpointExtensions
    );
    assert_eq!(
        refusal(text.trim_end()),
        PayloadRefusal::Checkpoint(CheckpointError::Lines)
    );
    let not_text = TypedPayload::parse(PayloadType::LogCheckpoint, &[0xff]).unwrap_err();
    assert_eq!(not_text, PayloadRefusal::NotText);
}

#[test]
fn a_day_root_has_one_encoding() {
    let good = day_root().encode();
    assert_eq!(DayRoot::decode(&good), Ok(day_root()));
    for cut in 0..good.len() {
        assert!(DayRoot::decode(&good[..cut]).is_err());
    }
    assert!(DayRoot::decode(&[good.as_slice(), &[0]].concat()).is_err());
    let mut shouting = day_root();
    shouting.book = "Main".to_owned();
    let refused = DayRoot::decode(&shouting.encode()).unwrap_err();
    assert_eq!(refused.rule, "a book's name is 1 to 32 of a-z, 0-9 and -");
}

#[test]
fn what_is_longer_than_any_payload_is_refused_unread() {
    let long = vec![0; PAYLOAD_MAX + 1];
    let refused = TypedPayload::parse(PayloadType::Crl, &long).unwrap_err();
    assert_eq!(refused, PayloadRefusal::TooLong(PAYLOAD_MAX + 1));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes: Vec<u8>, which in 0..9usize) {
        let payload = PayloadType::ALL[which];
        if let Ok(typed) = TypedPayload::parse(payload, &bytes) {
            proptest::prop_assert_eq!(typed.payload_type(), payload);
        }
    }

    #[test]
    fn a_changed_byte_never_makes_another_type(which in 0..9usize, place: usize, value: u8) {
        let (real, mut bytes) = cheap_sample(which);
        let place = place % bytes.len();
        bytes[place] = value;
        for claimed in PayloadType::ALL.iter().filter(|claimed| **claimed != real) {
            proptest::prop_assert!(TypedPayload::parse(*claimed, &bytes).is_err());
        }
    }
}

/// Without signing a whole house for each case.
fn cheap_sample(which: usize) -> (PayloadType, Vec<u8>) {
    match which % 7 {
        0 => (PayloadType::CredentialClaims, claims()),
        1 => (PayloadType::TufRoot, tuf_root().into()),
        2 => (
            PayloadType::TufTargets,
            tuf_targets("trust/bundle.cbor").into(),
        ),
        3 => (PayloadType::TufSnapshot, tuf_snapshot().into()),
        4 => (PayloadType::TufTimestamp, tuf_timestamp().into()),
        5 => (PayloadType::LogCheckpoint, log_checkpoint().into()),
        _ => (PayloadType::LedgerDayRoot, day_root().encode()),
    }
}
