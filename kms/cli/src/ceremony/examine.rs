//! What each step's file must be, from the plan and the file alone: asked after each step, and
//! again by auditors.

use obol_credential::UnixTime;
use obol_kms::PublicKey;
use obol_kms::payload::verify_tuf;
use obol_kms::x509::{
    BACKDATE_S, Certificate, IssuerCertificate, KeyRequest, Officers, ProfileName, RevocationList,
    Rules, Scope,
};
use obol_kms_ceremony::step::{CertifyIssuer, Install, IssueCrl, SignTuf};
use obol_kms_ceremony::{Examiner, Mode, RosterChange, Shown, Step};
use obol_kms_registry::{Roster, SpkiId};

use crate::ceremony::facts::{
    self, Files, certificate, in_words, list, of_destroyed, of_files, read, request,
};
use crate::ceremony::steps::{tuf_class, tuf_signature, tuf_spki};

/// Examines by the built-in rules, with the plan's waivers by officers of `roster`.
pub(super) struct ByRules<'a> {
    pub(super) roster: Option<&'a Roster>,
    /// In a rehearsal another key is destroyed than the plan's.
    pub(super) mode: Mode,
}

type Verdict = Result<(), String>;

impl Examiner for ByRules<'_> {
    fn examine(&self, shown: &Shown<'_>) -> Verdict {
        let (plan, file, at) = (shown.plan, shown.file, shown.done);
        let waivers = plan.waivers().map(|name| read(file, name)).transpose()?;
        let rules = rules(self.roster, waivers.as_deref(), at)?;
        let certified = |out: &str, ca: Option<&str>, name: &str, days: u32, profile| {
            let made = certificate(file, out)?;
            let ca = ca.map(|ca| certificate(file, ca)).transpose()?;
            let seen = rules.examine(&made, ca.as_ref(), at).map_err(in_words)?;
            same("profile", seen.profile.name(), ProfileName::name(profile))?;
            same("subject", seen.common_name.as_str(), name)?;
            let lasts = seen.not_after.since(seen.not_before);
            let planned = i64::from(days) * 86_400 + i64::from(BACKDATE_S);
            same("validity in seconds", &lasts, &planned)?;
            made_meanwhile(shown, seen.not_before.plus(BACKDATE_S))?;
            Ok::<_, String>(made)
        };
        match shown.step() {
            Step::GenerateKey(step) => return facts::check_key(step, shown.outcome()),
            Step::DestroyKey(step) => {
                let planned = of_destroyed(&step.key, &step.spki);
                return match self.mode {
                    Mode::Ceremony => facts::same(&planned, &shown.outcome().facts),
                    Mode::Rehearsal => Ok(()),
                };
            }
            Step::CertifyRoot(step) => {
                let profile = ProfileName::Root;
                let made = certified(&step.out, None, &step.common_name, step.days, profile)?;
                generated(shown, &step.token, &step.key, key_of(&made))?;
            }
            Step::CertifyAccessCa(step) => {
                let (ca, profile) = (Some(step.ca.as_str()), ProfileName::AccessCa);
                let made = certified(&step.out, ca, &step.common_name, step.days, profile)?;
                of_request(&made, &request(file, &step.request)?)?;
            }
            Step::CertifyIssuer(step) => {
                let (ca, profile) = (Some(step.ca.as_str()), ProfileName::Issuer);
                let made = certified(&step.out, ca, &step.common_name, step.days, profile)?;
                of_request(&made, &request(file, &step.request)?)?;
                issuer(step, &made, file)?;
            }
            Step::Request(step) => {
                let request = request(file, &step.out)?;
                same("subject", request.common_name(), &step.common_name)?;
                let key = Some(SpkiId(request.public().spki_id().0));
                generated(shown, &step.token, &step.key, key)?;
            }
            Step::Install(step) => installed(step, &rules, file, at)?,
            Step::IssueCrl(step) => listed(step, &rules, shown)?,
            Step::SignTuf(step) => tuf(step, file)?,
            Step::ReplaceRoster(step) => {
                let change = RosterChange::decode(&read(file, &step.out)?).map_err(in_words)?;
                if change.next != read(file, &step.next)? {
                    return Err("the change is to another roster".to_owned());
                }
            }
        }
        let wanted = of_files(shown.step(), file, &rules, at)?;
        facts::same(&wanted, &shown.outcome().facts)
    }
}

/// What the step signed carries the time of its clock, which lies within the step.
fn made_meanwhile(shown: &Shown<'_>, made: UnixTime) -> Verdict {
    match (shown.begun..=shown.done).contains(&made) {
        true => Ok(()),
        false => Err(format!(
            "it was signed at {made}, and the step lasted from {} to {}",
            shown.begun, shown.done
        )),
    }
}

/// The key is the one that a step before has shown for this token and label.
fn generated(shown: &Shown<'_>, token: &str, label: &str, key: Option<SpkiId>) -> Verdict {
    let steps = shown.plan.steps().iter().zip(shown.outcomes);
    let mut made = steps.filter_map(|(step, outcome)| match step {
        Step::GenerateKey(step) if step.token == token && step.label == label => {
            outcome.facts.iter().find(|fact| fact.name == "new spki")
        }
        _ => None,
    });
    let made = made.next().map(|fact| fact.value.clone());
    same("key", &key.map(|key| key.to_string()), &made)
}

/// The built-in rules, with these waivers in force.
pub(super) fn rules(
    roster: Option<&Roster>,
    waivers: Option<&[u8]>,
    at: UnixTime,
) -> Result<Rules, String> {
    let built_in = Rules::built_in();
    let Some(waivers) = waivers else {
        return Ok(built_in);
    };
    let text = std::str::from_utf8(waivers).map_err(in_words)?;
    let roster = roster.ok_or("waivers need a roster")?;
    let officers = roster
        .officers()
        .iter()
        .map(|one| (one.name(), *one.key().as_sec1()));
    let officers =
        Officers::new(roster.hash().0, officers).ok_or("an officer's key is no point")?;
    built_in.with_waivers(text, &officers, at).map_err(in_words)
}

fn issuer(step: &CertifyIssuer, made: &Certificate, file: Files<'_>) -> Verdict {
    let says = IssuerCertificate::read(made).map_err(in_words)?;
    let scope = Scope::new(&step.operator, &step.classes).map_err(in_words)?;
    if *says.scope() != scope {
        return Err("its scope is not the plan's operator and classes".to_owned());
    }
    let Some(replaces) = &step.replaces else {
        return Ok(());
    };
    let old = IssuerCertificate::read(&certificate(file, replaces)?).map_err(in_words)?;
    if *old.scope() != scope {
        return Err("what it replaces has another scope".to_owned());
    }
    if old.public() == says.public() {
        return Err("it is for the key that it shall replace".to_owned());
    }
    Ok(())
}

fn installed(step: &Install, rules: &Rules, file: Files<'_>, at: UnixTime) -> Verdict {
    let (made, ca) = (certificate(file, &step.out)?, certificate(file, &step.ca)?);
    rules.examine(&made, Some(&ca), at).map_err(in_words)?;
    of_request(&made, &request(file, &step.request)?)?;
    match made == certificate(file, &step.certificate)? {
        true => Ok(()),
        false => Err("it is not the certificate that came".to_owned()),
    }
}

fn listed(step: &IssueCrl, rules: &Rules, shown: &Shown<'_>) -> Verdict {
    let file = shown.file;
    let list = list(file, &step.out)?;
    let ca = certificate(file, &step.ca)?;
    rules
        .examine_list(&list, &ca, shown.done)
        .map_err(in_words)?;
    let made = list.this_update().ok_or("it has no time that counts")?;
    made_meanwhile(shown, made)?;
    let (number, mut serials) = match &step.previous {
        None => (0, Vec::new()),
        Some(name) => {
            let previous = self::list_of(file, name, &ca)?;
            (previous.number(), previous.serials())
        }
    };
    for name in &step.revoke {
        let revoked = certificate(file, name)?.serial();
        serials.push(revoked.ok_or_else(|| format!("{name} has no serial number"))?);
    }
    serials.sort();
    let mut found = list.serials();
    found.sort();
    match (list.number(), found) == (number + 1, serials) {
        true => Ok(()),
        false => Err("its number or its entries do not follow the list before".to_owned()),
    }
}

/// A list of this authority; it may have ended.
fn list_of(file: Files<'_>, name: &str, ca: &Certificate) -> Result<RevocationList, String> {
    let list = list(file, name)?;
    match list.is_signed_by(ca) {
        true => Ok(list),
        false => Err(format!("{name} is not the authority's")),
    }
}

fn tuf(step: &SignTuf, file: Files<'_>) -> Verdict {
    let bytes = read(file, &step.out)?;
    let text = |error: crate::failure::Failure| error.to_string();
    let signature = tuf_signature(&bytes, &step.out).map_err(text)?;
    let spki = tuf_spki(&bytes, &step.out).map_err(text)?;
    let public = PublicKey::from_spki_der(&spki).ok_or("its key is no P-256 key")?;
    let metadata = read(file, &step.metadata)?;
    let holds = verify_tuf(&public, tuf_class(step.role), &metadata, &signature);
    match holds.map_err(in_words)? {
        true if step
            .above
            .is_none_or(|above| signature.version > u64::from(above)) =>
        {
            Ok(())
        }
        true => Err("its version does not jump past those that were signed ahead".to_owned()),
        false => Err("its signature does not hold".to_owned()),
    }
}

fn of_request(made: &Certificate, request: &KeyRequest) -> Verdict {
    match key_of(made).is_some_and(|key| key.0 == request.public().spki_id().0) {
        true => Ok(()),
        false => Err("it is not for the key of the request".to_owned()),
    }
}

fn key_of(made: &Certificate) -> Option<SpkiId> {
    obol_kms_registry::certified_key(made.as_der()).ok()
}

fn same<T: PartialEq + ?Sized + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Verdict {
    match found == wanted {
        true => Ok(()),
        false => Err(format!("its {what} is {found:?}, wanted {wanted:?}")),
    }
}
