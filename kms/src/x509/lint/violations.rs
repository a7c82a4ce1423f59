//! For each rule of `lints.toml` a certificate or list that breaks it, and nothing else.

use std::collections::BTreeSet;

use obol_credential::UnixTime;

use super::*;
use crate::x509::anatomy::{
    AUTHORITY_KEY_IDENTIFIER, BASIC_CONSTRAINTS, CRL_NUMBER, EXTENDED_KEY_USAGE, KEY_USAGE,
    REASON_CODE, SCOPE, SUBJECT_ALT_NAME, SUBJECT_KEY_IDENTIFIER,
};
use crate::x509::authority::Parent;
use crate::x509::crl::Revoked;
use crate::x509::der::{
    self, BIT_STRING, BOOLEAN, ENUMERATED, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, Reader,
    SEQUENCE, SET, UTC_TIME, UTF8_STRING,
};
use crate::x509::fixture::{House, NOW};
use crate::x509::profile::CertificateProfile;
use crate::x509::{RevocationReason, Rules};

const UNKNOWN_EXTENSION: &[u8] = b"\x55\x1d\x36";
/// ecdsa-with-SHA512.
const OTHER_ALGORITHM: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04";

/// A signed structure taken to pieces that can be exchanged. Its signature is never looked at.
struct Craft {
    /// Elements of the TBS before the extensions.
    fields: Vec<Vec<u8>>,
    extensions: Vec<CraftedExtension>,
    outer_algorithm: Vec<u8>,
    extensions_tag: u8,
}

#[derive(Clone)]
struct CraftedExtension {
    oid: Vec<u8>,
    /// Empty, or a BOOLEAN.
    critical: Vec<u8>,
    value: Vec<u8>,
}

/// Places of a certificate's fields, version first.
const SERIAL: usize = 1;
const ALGORITHM: usize = 2;
const ISSUER: usize = 3;
const VALIDITY: usize = 4;
const SUBJECT: usize = 5;
const SPKI: usize = 6;
/// Places of a list's fields, version first.
const LIST_ALGORITHM: usize = 1;
const LIST_ISSUER: usize = 2;
const THIS_UPDATE: usize = 3;
const NEXT_UPDATE: usize = 4;
const ENTRIES: usize = 5;

impl Craft {
    fn of(der: &[u8], extensions_tag: u8) -> Craft {
        let signed = Signed::read(der).unwrap();
        let mut inner = Reader::new(signed.tbs).any().unwrap().inside();
        let (mut fields, mut extensions) = (Vec::new(), Vec::new());
        while !inner.is_empty() {
            let field = inner.any().unwrap();
            // The version's tag is that of a list's extensions.
            if field.tag == extensions_tag && !fields.is_empty() {
                let mut list = field.inside().any().unwrap().inside();
                while !list.is_empty() {
                    extensions.push(CraftedExtension::of(list.any().unwrap().inside()));
                }
            } else {
                fields.push(field.whole.to_vec());
            }
        }
        Craft {
            fields,
            extensions,
            outer_algorithm: signed.algorithm.to_vec(),
            extensions_tag,
        }
    }

    fn der(&self) -> Vec<u8> {
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(CraftedExtension::der)
            .collect();
        let extensions = der::element(
            self.extensions_tag,
            &[&der::element(SEQUENCE, &[&extensions])],
        );
        let tbs = der::element(SEQUENCE, &[&self.fields.concat(), &extensions]);
        let signature = der::element(BIT_STRING, &[&[0; 9]]);
        der::element(SEQUENCE, &[&tbs, &self.outer_algorithm, &signature])
    }

    fn extension(&mut self, oid: &[u8]) -> &mut CraftedExtension {
        self.extensions
            .iter_mut()
            .find(|extension| extension.oid == oid)
            .unwrap()
    }

    fn drop_extension(&mut self, oid: &[u8]) {
        self.extensions.retain(|extension| extension.oid != oid);
    }

    fn add_extension(&mut self, oid: &[u8], value: &[u8]) {
        self.extensions.push(CraftedExtension {
            oid: oid.to_vec(),
            critical: Vec::new(),
            value: value.to_vec(),
        });
    }
}

impl CraftedExtension {
    fn of(mut inner: Reader<'_>) -> CraftedExtension {
        CraftedExtension {
            oid: inner.expect(OID, "").unwrap().content.to_vec(),
            critical: inner
                .optional(BOOLEAN)
                .unwrap()
                .map_or(Vec::new(), |b| b.whole.to_vec()),
            value: inner.expect(OCTET_STRING, "").unwrap().content.to_vec(),
        }
    }

    fn der(&self) -> Vec<u8> {
        let (oid, value) = (
            der::element(OID, &[&self.oid]),
            der::element(OCTET_STRING, &[&self.value]),
        );
        der::element(SEQUENCE, &[&oid, &self.critical, &value])
    }

    fn make_critical(&mut self) {
        self.critical = der::element(BOOLEAN, &[&[0xff]]);
    }
}

fn integer(content: &[u8]) -> Vec<u8> {
    der::element(INTEGER, &[content])
}

fn utc(text: &str) -> Vec<u8> {
    der::element(UTC_TIME, &[text.as_bytes()])
}

fn generalized(text: &str) -> Vec<u8> {
    der::element(GENERALIZED_TIME, &[text.as_bytes()])
}

fn validity(not_before: &[u8], not_after: &[u8]) -> Vec<u8> {
    der::element(SEQUENCE, &[not_before, not_after])
}

fn name(tag: u8, text: &str) -> Vec<u8> {
    let kind = der::element(OID, &[b"\x55\x04\x03"]);
    let attribute = der::element(SEQUENCE, &[&kind, &der::element(tag, &[text.as_bytes()])]);
    der::element(SEQUENCE, &[&der::element(SET, &[&attribute])])
}

fn names(names: &[(u8, &[u8])]) -> Vec<u8> {
    let all: Vec<_> = names
        .iter()
        .map(|(tag, name)| der::element(*tag, &[name]))
        .collect();
    der::element(SEQUENCE, &[&all.concat()])
}

/// NOW is 2026-09-21; a good certificate of the fixture lasts 30 days from then.
const BEGIN: &str = "260921143200Z";
const END: &str = "261021000000Z";

type Break = fn(&mut Craft);

/// (rule, profile it is shown on, what breaks it).
const CERTIFICATES: &[(&str, CertificateProfile, Break)] = {
    use CertificateProfile::{AccessCa, Client, Issuer, Root, Server, Terminal};
    &[
        ("der-encoding", Server, |c| {
            c.fields[SERIAL] = b"\x02\x81\x10AAAAAAAAAAAAAAAA".to_vec()
        }),
        ("der-encoding", Server, |c| {
            c.extension(EXTENDED_KEY_USAGE).critical = der::element(BOOLEAN, &[&[0]])
        }),
        ("version-3", Server, |c| {
            c.fields[0] = der::element(0xa0, &[&integer(&[1])])
        }),
        ("serial-number", Server, |c| {
            c.fields[SERIAL] = integer(&[0x41; 15])
        }),
        ("serial-number", Server, |c| {
            c.fields[SERIAL] = integer(&[0x41; 21])
        }),
        ("serial-number", Server, |c| {
            c.fields[SERIAL] = integer(&[0x80; 20])
        }),
        ("serial-number", Root, |c| {
            c.fields[SERIAL] = integer(&[&[0][..], &[0x41; 16]].concat())
        }),
        ("signature-algorithm", Server, |c| {
            c.outer_algorithm = OTHER_ALGORITHM.to_vec()
        }),
        ("signature-algorithm", Issuer, |c| {
            c.fields[ALGORITHM] = OTHER_ALGORITHM.to_vec()
        }),
        ("signature-algorithm", Server, |c| {
            // SHA-256 of a P-384 authority, the same inside and outside.
            let weaker = algorithm_of(Curve::P256).to_vec();
            (c.fields[ALGORITHM], c.outer_algorithm) = (weaker.clone(), weaker);
        }),
        ("issuer-name", Server, |c| {
            c.fields[ISSUER] = name(UTF8_STRING, "Another CA")
        }),
        ("validity-encoding", Server, |c| {
            c.fields[VALIDITY] = validity(&utc(BEGIN), &generalized("20261021000000Z"))
        }),
        ("validity-encoding", Server, |c| {
            c.fields[VALIDITY] = validity(&generalized("20260921143200Z"), &utc(END))
        }),
        ("validity-order", Server, |c| {
            c.fields[VALIDITY] = validity(&utc(END), &utc(BEGIN))
        }),
        ("validity-within-profile", Server, |c| {
            c.fields[VALIDITY] = validity(&utc(BEGIN), &utc("271021000000Z"))
        }),
        ("validity-within-issuer", Server, |c| {
            c.fields[VALIDITY] = validity(&utc("261001000000Z"), &utc("261022000000Z"))
        }),
        ("subject-name", Server, |c| {
            c.fields[SUBJECT] = der::element(SEQUENCE, &[])
        }),
        ("subject-name", Server, |c| {
            c.fields[SUBJECT] = name(UTF8_STRING, "")
        }),
        ("subject-name", Client, |c| {
            c.fields[SUBJECT] = name(UTF8_STRING, &"n".repeat(65))
        }),
        ("subject-name", Server, |c| {
            c.fields[SUBJECT] = name(UTF8_STRING, "line\nbreak")
        }),
        ("subject-name", Server, |c| {
            c.fields[SUBJECT] = name(0x1e, "BMPString")
        }),
        ("subject-name", Server, |c| {
            let two = [&name(UTF8_STRING, "a")[2..], &name(UTF8_STRING, "b")[2..]].concat();
            c.fields[SUBJECT] = der::element(SEQUENCE, &[&two]);
        }),
        // The access CA's key: right form, wrong curve. Its identifier differs too, so both are set.
        ("public-key", Server, |c| {
            let house = House::new();
            c.fields[SPKI] = house.access_key.public().spki_der();
            let other = Craft::of(house.access.as_der(), 0xa3)
                .extension(SUBJECT_KEY_IDENTIFIER)
                .value
                .clone();
            c.extension(SUBJECT_KEY_IDENTIFIER).value = other;
        }),
        ("no-unique-identifiers", Server, |c| {
            c.fields.push(der::element(0x81, &[&[0, 1]]))
        }),
        ("extensions-expected", Server, |c| {
            c.add_extension(UNKNOWN_EXTENSION, &[0x30, 0])
        }),
        ("extensions-expected", Server, |c| {
            let again = c.extension(KEY_USAGE).clone();
            c.extensions.push(again);
        }),
        ("basic-constraints", Server, |c| {
            c.drop_extension(BASIC_CONSTRAINTS)
        }),
        ("basic-constraints", Server, |c| {
            c.extension(BASIC_CONSTRAINTS).critical = Vec::new()
        }),
        ("basic-constraints", Server, |c| {
            c.extension(BASIC_CONSTRAINTS).value = b"\x30\x03\x01\x01\xff".to_vec()
        }),
        ("basic-constraints", AccessCa, |c| {
            c.extension(BASIC_CONSTRAINTS).value = b"\x30\x03\x01\x01\xff".to_vec()
        }),
        ("key-usage", Server, |c| c.drop_extension(KEY_USAGE)),
        ("key-usage", Server, |c| {
            c.extension(KEY_USAGE).critical = Vec::new()
        }),
        ("key-usage", Server, |c| {
            c.extension(KEY_USAGE).value = b"\x03\x02\x05\xa0".to_vec()
        }),
        ("key-usage", Issuer, |c| {
            c.extension(KEY_USAGE).value = b"\x03\x02\x02\x04".to_vec()
        }),
        ("extended-key-usage", Server, |c| {
            c.drop_extension(EXTENDED_KEY_USAGE)
        }),
        ("extended-key-usage", Issuer, |c| {
            c.extension(EXTENDED_KEY_USAGE).critical = Vec::new()
        }),
        ("extended-key-usage", Client, |c| {
            let any = der::element(OID, &[b"\x55\x1d\x25\x00"]);
            c.extension(EXTENDED_KEY_USAGE).value = der::element(SEQUENCE, &[&any]);
        }),
        ("extended-key-usage", AccessCa, |c| {
            c.add_extension(EXTENDED_KEY_USAGE, &[0x30, 0])
        }),
        ("subject-key-identifier", Server, |c| {
            c.drop_extension(SUBJECT_KEY_IDENTIFIER)
        }),
        ("subject-key-identifier", Server, |c| {
            c.extension(SUBJECT_KEY_IDENTIFIER).value[5] ^= 1
        }),
        ("subject-key-identifier", AccessCa, |c| {
            c.extension(SUBJECT_KEY_IDENTIFIER).make_critical()
        }),
        ("authority-key-identifier", Server, |c| {
            c.drop_extension(AUTHORITY_KEY_IDENTIFIER)
        }),
        ("authority-key-identifier", Issuer, |c| {
            c.extension(AUTHORITY_KEY_IDENTIFIER).value[5] ^= 1
        }),
        ("issuer-is-ca", Terminal, |_| {}),
        ("alternative-names", Server, |c| {
            c.drop_extension(SUBJECT_ALT_NAME)
        }),
        ("alternative-names", Server, |c| {
            c.extension(SUBJECT_ALT_NAME).make_critical()
        }),
        ("alternative-names", Server, |c| {
            c.extension(SUBJECT_ALT_NAME).value = names(&[(0x86, b"obol://terminal/t-7")]);
        }),
        ("alternative-names", Client, |c| {
            c.extension(SUBJECT_ALT_NAME).value =
                names(&[(0x86, b"obol://issuer/a"), (0x82, b"localhost")]);
        }),
        ("alternative-names", Server, |c| {
            c.extension(SUBJECT_ALT_NAME).value =
                names(&[(0x86, b"obol://issuer/a"), (0x86, b"obol://issuer/b")]);
        }),
        ("alternative-names", Server, |c| {
            c.extension(SUBJECT_ALT_NAME).value =
                names(&[(0x86, b"obol://issuer/a"), (0x81, b"a@b.example")]);
        }),
        ("alternative-names", AccessCa, |c| {
            c.add_extension(SUBJECT_ALT_NAME, &names(&[(0x82, b"localhost")]))
        }),
        ("credential-scope", Issuer, |c| c.drop_extension(SCOPE)),
        ("credential-scope", Issuer, |c| {
            c.extension(SCOPE).make_critical()
        }),
        ("credential-scope", Issuer, |c| {
            c.extension(SCOPE).value.push(0)
        }),
        ("credential-scope", Server, |c| {
            c.add_extension(SCOPE, b"\x30\x0b\x0c\x05linea\x02\x02\x00\x80")
        }),
    ]
};

#[test]
fn each_rule_of_certificates_has_one_that_breaks_it_alone() {
    let (house, rules) = (House::new(), Rules::built_in());
    for (number, (rule, profile, break_it)) in CERTIFICATES.iter().enumerate() {
        let good = match profile {
            CertificateProfile::Root => house.root.clone(),
            _ => house.issue(&rules, *profile).unwrap(),
        };
        let mut craft = Craft::of(good.as_der(), 0xa3);
        break_it(&mut craft);
        let mut issuer = match profile {
            CertificateProfile::Root => None,
            CertificateProfile::AccessCa | CertificateProfile::Issuer => Some(house.root.clone()),
            _ => Some(house.access.clone()),
        };
        // Two rules are about the issuer's certificate, so that is what is changed.
        match *rule {
            "issuer-is-ca" => issuer = Some(without_cert_sign(&house)),
            "validity-within-issuer" => issuer = Some(house.issuer_that_ends("261021000000Z")),
            _ => {}
        }
        let issuer = issuer.as_ref().map(|issuer| issuer.as_der());
        let data = rules.profiles.certificate(*profile);
        let findings = rules.lints.certificate(&craft.der(), issuer, data);
        let broken: Vec<_> = findings.iter().map(|finding| finding.rule).collect();
        assert_eq!(broken, [*rule], "number {number}: {findings:?}");
    }
}

fn without_cert_sign(house: &House) -> crate::x509::Certificate {
    let mut craft = Craft::of(house.access.as_der(), 0xa3);
    craft.extension(KEY_USAGE).value = b"\x03\x02\x01\x02".to_vec();
    crate::x509::Certificate::from_checked_der(craft.der())
}

impl House {
    fn issuer_that_ends(&self, not_after: &str) -> crate::x509::Certificate {
        let mut craft = Craft::of(self.access.as_der(), 0xa3);
        craft.fields[VALIDITY] = validity(&utc(BEGIN), &utc(not_after));
        crate::x509::Certificate::from_checked_der(craft.der())
    }
}

const LISTS: &[(&str, Break)] = &[
    ("crl-der-encoding", |c| {
        c.fields[THIS_UPDATE] = integer(&[1])
    }),
    ("crl-version-2", |c| c.fields[0] = integer(&[0])),
    ("crl-signature-algorithm", |c| {
        c.outer_algorithm = OTHER_ALGORITHM.to_vec()
    }),
    ("crl-signature-algorithm", |c| {
        c.fields[LIST_ALGORITHM] = OTHER_ALGORITHM.to_vec()
    }),
    ("crl-issuer", |c| {
        c.fields[LIST_ISSUER] = name(UTF8_STRING, "Another CA")
    }),
    ("crl-times", |c| {
        c.fields[NEXT_UPDATE] = utc("261021000000Z")
    }),
    ("crl-times", |c| {
        c.fields[NEXT_UPDATE] = utc("260921000000Z")
    }),
    ("crl-times", |c| {
        c.fields[NEXT_UPDATE] = generalized("20260925000000Z")
    }),
    ("crl-times", |c| drop(c.fields.remove(NEXT_UPDATE))),
    ("crl-extensions-expected", |c| {
        c.add_extension(UNKNOWN_EXTENSION, &[0x30, 0])
    }),
    ("crl-number", |c| c.extension(CRL_NUMBER).make_critical()),
    ("crl-number", |c| {
        c.extension(CRL_NUMBER).value = integer(&[0xff])
    }),
    ("crl-number", |c| {
        c.extension(CRL_NUMBER).value = integer(&[1; 21])
    }),
    ("crl-authority-key-identifier", |c| {
        c.extension(AUTHORITY_KEY_IDENTIFIER).value[5] ^= 1
    }),
    ("crl-entries", |c| {
        c.fields[ENTRIES] = der::element(SEQUENCE, &[])
    }),
    ("crl-entries", |c| {
        let entry = Reader::new(&c.fields[ENTRIES])
            .any()
            .unwrap()
            .content
            .to_vec();
        c.fields[ENTRIES] = der::element(SEQUENCE, &[&entry, &entry]);
    }),
    ("crl-entries", |c| {
        c.fields[ENTRIES] = entries("261021000000Z", &[])
    }),
    ("crl-reasons", |c| {
        c.fields[ENTRIES] = entries(BEGIN_OF_ENTRY, &reason(6))
    }),
    ("crl-reasons", |c| {
        c.fields[ENTRIES] = entries(BEGIN_OF_ENTRY, &reason(0))
    }),
    ("crl-reasons", |c| {
        let invalidity = CraftedExtension {
            oid: b"\x55\x1d\x18".to_vec(),
            critical: Vec::new(),
            value: generalized("20260901000000Z"),
        };
        c.fields[ENTRIES] = entries(
            BEGIN_OF_ENTRY,
            &der::element(SEQUENCE, &[&invalidity.der()]),
        );
    }),
];

const BEGIN_OF_ENTRY: &str = "260901000000Z";

fn entries(revoked_at: &str, extensions: &[u8]) -> Vec<u8> {
    let entry = der::element(
        SEQUENCE,
        &[&integer(&[0x41; 20]), &utc(revoked_at), extensions],
    );
    der::element(SEQUENCE, &[&entry])
}

fn reason(code: u8) -> Vec<u8> {
    let reason = CraftedExtension {
        oid: REASON_CODE.to_vec(),
        critical: Vec::new(),
        value: der::element(ENUMERATED, &[&[code]]),
    };
    der::element(SEQUENCE, &[&reason.der()])
}

#[test]
fn each_rule_of_lists_has_one_that_breaks_it_alone() {
    let (house, rules) = (House::new(), Rules::built_in());
    let server = house.issue(&rules, CertificateProfile::Server).unwrap();
    let revoked = [Revoked {
        certificate: &server,
        reason: Some(RevocationReason::KeyCompromise),
    }];
    let parent = Parent {
        public: house.access_key.public(),
        certificate: &house.access,
    };
    let list = parent
        .issue_crl(&rules, &house.access_key, 8, None, &revoked, NOW)
        .unwrap();
    for (number, (rule, break_it)) in LISTS.iter().enumerate() {
        let mut craft = Craft::of(list.as_der(), 0xa0);
        assert_eq!(craft.fields.len(), 6);
        break_it(&mut craft);
        let profile = &rules.profiles.crl;
        let findings = rules
            .lints
            .list(&craft.der(), house.access.as_der(), profile, 8);
        let broken: Vec<_> = findings.iter().map(|finding| finding.rule).collect();
        assert_eq!(broken, [*rule], "number {number}: {findings:?}");
    }
}

#[test]
fn no_rule_is_without_a_violation() {
    let shown: BTreeSet<_> = CERTIFICATES
        .iter()
        .map(|(rule, ..)| *rule)
        .chain(LISTS.iter().map(|(rule, _)| *rule))
        .collect();
    let rules: BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(shown, rules);
}

#[test]
fn times_around_the_turn_of_the_encoding_are_read() {
    let unix = |tag, text: &str| {
        let moment = crate::x509::anatomy::Moment {
            tag,
            text: text.as_bytes(),
        };
        moment.unix()
    };
    assert_eq!(unix(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
    assert_eq!(
        unix(GENERALIZED_TIME, "20500101000000Z"),
        Some(2_524_608_000)
    );
    assert_eq!(unix(UTC_TIME, "500101000000Z"), Some(-631_152_000));
    for text in [
        "4912312359Z",
        "491231235959+0000",
        "490231000000Z",
        "49123123595\u{661}Z",
    ] {
        assert_eq!(unix(UTC_TIME, text), None, "{text}");
    }
    assert!(i64::from(UnixTime(u32::MAX).0) > 2_524_608_000);
}

fn committed() -> String {
    include_str!("../../../../policies/lints.toml").to_owned()
}

#[test]
fn a_list_of_lints_that_differs_from_the_code_is_refused() {
    let refusal = |text: &str| Lints::parse(text).unwrap_err();
    let text = committed();
    assert!(Lints::parse(&text).is_ok());
    let renamed = text.replace("\"key-usage\"", "\"key-usages\"");
    assert_eq!(
        refusal(&renamed),
        InvalidLints::Unknown("key-usages".to_owned())
    );
    let start = text.find("[[lint]]\nid = \"key-usage\"").unwrap();
    let end = start + text[start..].find("\n\n").unwrap();
    let missing = [&text[..start], &text[end..]].concat();
    let rule = "key-usage";
    assert_eq!(refusal(&missing), InvalidLints::Count { rule, count: 0 });
    let twice = [&text, "\n", &text[start..end]].concat();
    assert_eq!(refusal(&twice), InvalidLints::Count { rule, count: 2 });
    let newer = text.replace(
        "id = \"key-usage\"\nversion = 1",
        "id = \"key-usage\"\nversion = 2",
    );
    let (written, version) = (2, 1);
    assert_eq!(
        refusal(&newer),
        InvalidLints::Version {
            rule,
            written,
            version
        }
    );
    let clause = text.replace("clause = \"RFC 5280 section 4.2.1.3\"", "clause = \"\"");
    assert_eq!(refusal(&clause), InvalidLints::Entry { rule });
    let of_lists = text.replace("applies_to = [\"crl\"]", "applies_to = [\"root\"]");
    assert_eq!(
        refusal(&of_lists),
        InvalidLints::Entry {
            rule: "crl-der-encoding"
        }
    );
    let unknown = text.replacen("says = ", "skip = true\nsays = ", 1);
    assert!(matches!(refusal(&unknown), InvalidLints::Syntax(_)));
}
