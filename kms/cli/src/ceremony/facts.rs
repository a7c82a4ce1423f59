//! What a step shows, told from its files: by whoever did it, and again by auditors, word for word.

use obol_credential::UnixTime;
use obol_kms::x509::{Certificate, KeyRequest, RevocationList, Rules};
use obol_kms_ceremony::step::{GenerateKey, IssueCrl, ReplaceRoster, SignTuf};
use obol_kms_ceremony::{Fact, Hash, Outcome, Step};
use obol_kms_registry::{Roster, SpkiId};

use crate::ceremony::steps::{curve, tuf_signature};

/// Gives a file of the plan by its name.
pub(super) type Files<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// What PKCS#11 says of every key that this program makes; the mechanism where the module gives it.
const BIRTH: [(&str, &[&str]); 6] = [
    ("CKA_LOCAL", &["true"]),
    ("CKA_SENSITIVE", &["true"]),
    ("CKA_ALWAYS_SENSITIVE", &["true"]),
    ("CKA_EXTRACTABLE", &["false"]),
    ("CKA_NEVER_EXTRACTABLE", &["true"]),
    (
        "CKA_KEY_GEN_MECHANISM",
        &["CKM_EC_KEY_PAIR_GEN", "not given"],
    ),
];

/// The facts of a step that writes a file.
///
/// # Errors
/// What a file is not, in words.
pub(super) fn of_files(
    step: &Step,
    file: Files<'_>,
    rules: &Rules,
    at: UnixTime,
) -> Result<Vec<Fact>, String> {
    let certified = |out: &str, ca: Option<&str>| of_certificate(file, rules, at, out, ca);
    match step {
        Step::CertifyRoot(step) => certified(&step.out, None),
        Step::CertifyAccessCa(step) => certified(&step.out, Some(&step.ca)),
        Step::CertifyIssuer(step) => {
            let mut facts = certified(&step.out, Some(&step.ca))?;
            let classes: Vec<_> = step.classes.iter().map(u8::to_string).collect();
            facts.push(Fact::new("operator", &step.operator));
            facts.push(Fact::new("classes", classes.join(" ")));
            Ok(facts)
        }
        Step::Install(step) => certified(&step.out, Some(&step.ca)),
        Step::Request(step) => of_request(&request(file, &step.out)?),
        Step::IssueCrl(step) => of_list(step, &list(file, &step.out)?),
        Step::SignTuf(step) => of_tuf(step, &read(file, &step.out)?),
        Step::ReplaceRoster(step) => of_roster(step, &read(file, &step.next)?),
        Step::GenerateKey(_) | Step::DestroyKey(_) => Ok(Vec::new()),
    }
}

/// What a token has said of a key that it made.
pub(super) fn of_key(step: &GenerateKey, birth: Vec<(String, String)>, spki: SpkiId) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("label", &step.label),
        Fact::new("curve", curve(step.curve)),
    ];
    facts.extend(birth.iter().map(|(name, value)| Fact::new(name, value)));
    facts.push(Fact::new("new spki", spki));
    facts
}

/// The same, as it must be: only the key and the mechanism are the token's to say.
pub(super) fn check_key(step: &GenerateKey, outcome: &Outcome) -> Result<(), String> {
    let said = |name: &str| outcome.facts.iter().find(|fact| fact.name == name);
    let mut birth = Vec::new();
    for (name, allowed) in BIRTH {
        let said = said(name).map_or("", |fact| &fact.value);
        let fits = allowed.iter().find(|value| **value == said);
        birth.push((name.to_owned(), (*fits.unwrap_or(&allowed[0])).to_owned()));
    }
    let spki = said("new spki").and_then(|fact| fact.value.parse().ok());
    let spki = spki.ok_or("it names no key that it made")?;
    same(&of_key(step, birth, spki), &outcome.facts)
}

/// The facts of a destruction.
pub(super) fn of_destroyed(label: &str, spki: &str) -> Vec<Fact> {
    vec![Fact::new("label", label), Fact::new("new spki", spki)]
}

/// The first fact that is not what it must be.
pub(super) fn same(wanted: &[Fact], found: &[Fact]) -> Result<(), String> {
    for (wanted, found) in wanted.iter().zip(found) {
        if wanted != found {
            let Fact { name, value } = found;
            return Err(format!(
                "it shows {name:?} as {value:?}, wanted {:?} as {:?}",
                wanted.name, wanted.value
            ));
        }
    }
    match wanted.len() == found.len() {
        true => Ok(()),
        false => Err(format!(
            "it shows {} facts, wanted {}",
            found.len(),
            wanted.len()
        )),
    }
}

fn of_certificate(
    file: Files<'_>,
    rules: &Rules,
    at: UnixTime,
    out: &str,
    ca: Option<&str>,
) -> Result<Vec<Fact>, String> {
    let made = certificate(file, out)?;
    let ca = ca.map(|ca| certificate(file, ca)).transpose()?;
    let seen = rules.examine(&made, ca.as_ref(), at).map_err(in_words)?;
    let days = seen.not_after.since(seen.not_before) / 86_400;
    Ok(vec![
        Fact::new("profile", seen.profile.name()),
        Fact::new("subject", &seen.common_name),
        Fact::new("days", days),
        Fact::new("new spki", seen.spki),
        Fact::new("new serial", &seen.serial),
        Fact::new("new sha256", Hash::of(made.as_der())),
    ])
}

fn of_request(request: &KeyRequest) -> Result<Vec<Fact>, String> {
    Ok(vec![
        Fact::new("subject", request.common_name()),
        Fact::new("curve", request.public().curve()),
        Fact::new("new spki", request.public().spki_id()),
    ])
}

fn of_list(step: &IssueCrl, list: &RevocationList) -> Result<Vec<Fact>, String> {
    Ok(vec![
        Fact::new("new number", list.number()),
        Fact::new("new entries", step.revoke.len()),
        Fact::new("new sha256", Hash::of(list.as_der())),
    ])
}

fn of_tuf(step: &SignTuf, bytes: &[u8]) -> Result<Vec<Fact>, String> {
    let signature = tuf_signature(bytes, &step.out).map_err(in_words)?;
    Ok(vec![
        Fact::new("role", step.role.name()),
        Fact::new("new version", signature.version),
        Fact::new("new keyid", &signature.keyid),
    ])
}

fn of_roster(step: &ReplaceRoster, next: &[u8]) -> Result<Vec<Fact>, String> {
    let roster = std::str::from_utf8(next).ok();
    let roster = roster.and_then(|text| Roster::parse(text).ok());
    let roster = roster.ok_or_else(|| format!("{:?} is not a roster", step.next))?;
    let names: Vec<_> = roster.officers().iter().map(|one| one.name()).collect();
    Ok(vec![
        Fact::new("roster", roster.hash()),
        Fact::new("officers", names.join(" ")),
    ])
}

pub(super) fn read(file: Files<'_>, name: &str) -> Result<Vec<u8>, String> {
    file(name).ok_or_else(|| format!("{name} is missing"))
}

pub(super) fn certificate(file: Files<'_>, name: &str) -> Result<Certificate, String> {
    Certificate::from_pem(&read(file, name)?).map_err(|error| format!("{name}: {error}"))
}

pub(super) fn request(file: Files<'_>, name: &str) -> Result<KeyRequest, String> {
    KeyRequest::from_pem(&read(file, name)?).map_err(|error| format!("{name}: {error}"))
}

pub(super) fn list(file: Files<'_>, name: &str) -> Result<RevocationList, String> {
    RevocationList::from_pem(&read(file, name)?).map_err(|error| format!("{name}: {error}"))
}

pub(super) fn in_words(error: impl ToString) -> String {
    error.to_string()
}
