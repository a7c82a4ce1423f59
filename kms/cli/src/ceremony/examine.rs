//! What each step's file must be, from the plan and the file alone: asked after each step, and again
//! by auditors.

use obol_credential::UnixTime;
use obol_kms::PublicKey;
use obol_kms::payload::verify_tuf;
use obol_kms::x509::{
    Certificate, IssuerCertificate, KeyRequest, Officers, ProfileName, RevocationList, Rules, Scope,
};
use obol_kms_ceremony::step::{CertifyIssuer, Install, IssueCrl, SignTuf};
use obol_kms_ceremony::{Examiner, Outcome, Plan, RosterChange, Step};
use obol_kms_registry::Roster;

use crate::ceremony::steps::{curve, tuf_class, tuf_signature, tuf_spki};

/// Examines by the built-in rules, with the plan's waivers by officers of `roster`.
pub(super) struct ByRules<'a> {
    pub(super) roster: Option<&'a Roster>,
}

type Files<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;
type Verdict = Result<(), String>;

impl Examiner for ByRules<'_> {
    fn examine(
        &self,
        plan: &Plan,
        step: &Step,
        outcome: &Outcome,
        file: Files<'_>,
        at: UnixTime,
    ) -> Verdict {
        let waivers = plan.waivers().map(|name| read(file, name)).transpose()?;
        let rules = rules(self.roster, waivers.as_deref(), at)?;
        let wanted = |name: &str| {
            let fact = outcome.facts.iter().find(|fact| fact.name == name);
            fact.map(|fact| fact.value.clone())
        };
        let certified = |out: &str, ca: Option<&str>, name: &str, days: u32, profile| {
            let made = certificate(file, out)?;
            let ca = ca.map(|ca| certificate(file, ca)).transpose()?;
            let seen = rules.examine(&made, ca.as_ref(), at).map_err(in_words)?;
            same("profile", seen.profile.name(), ProfileName::name(profile))?;
            same("subject", seen.common_name.as_str(), name)?;
            let lasts = seen.not_after.since(seen.not_before) / 86_400;
            same("days", &lasts.to_string(), &days.to_string())?;
            same("key", &Some(seen.spki.to_string()), &wanted("new spki"))?;
            Ok::<_, String>(made)
        };
        match step {
            Step::GenerateKey(step) => same(
                "curve",
                &wanted("curve"),
                &Some(curve(step.curve).to_string()),
            ),
            Step::CertifyRoot(step) => {
                let profile = ProfileName::Root;
                certified(&step.out, None, &step.common_name, step.days, profile).map(drop)
            }
            Step::CertifyAccessCa(step) => {
                let (ca, profile) = (Some(step.ca.as_str()), ProfileName::AccessCa);
                let made = certified(&step.out, ca, &step.common_name, step.days, profile)?;
                of_request(&made, &request(file, &step.request)?)
            }
            Step::CertifyIssuer(step) => {
                let (ca, profile) = (Some(step.ca.as_str()), ProfileName::Issuer);
                let made = certified(&step.out, ca, &step.common_name, step.days, profile)?;
                of_request(&made, &request(file, &step.request)?)?;
                issuer(step, &made, file)
            }
            Step::Request(step) => {
                let request = request(file, &step.out)?;
                same("subject", request.common_name(), &step.common_name)?;
                let key = Some(request.public().spki_id().to_string());
                same("key", &key, &wanted("new spki"))
            }
            Step::Install(step) => installed(step, &rules, file, at),
            Step::IssueCrl(step) => listed(step, &rules, file, at),
            Step::SignTuf(step) => tuf(step, file),
            Step::DestroyKey(_) => Ok(()),
            Step::ReplaceRoster(step) => {
                let change = RosterChange::decode(&read(file, &step.out)?).map_err(in_words)?;
                match change.next == read(file, &step.next)? {
                    true => Ok(()),
                    false => Err("the change is to another roster".to_owned()),
                }
            }
        }
    }
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

fn listed(step: &IssueCrl, rules: &Rules, file: Files<'_>, at: UnixTime) -> Verdict {
    let list = list(file, &step.out)?;
    let ca = certificate(file, &step.ca)?;
    rules.examine_list(&list, &ca, at).map_err(in_words)?;
    let before = match &step.previous {
        None => (0, 0),
        Some(name) => {
            let previous = self::list(file, name)?;
            (previous.number(), previous.count())
        }
    };
    let after = (before.0 + 1, before.1 + step.revoke.len());
    match (list.number(), list.count()) == after {
        true => Ok(()),
        false => Err("its number or its entries do not follow the list before".to_owned()),
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
    let key = obol_kms_registry::certified_key(made.as_der());
    match key.is_ok_and(|key| key.0 == request.public().spki_id().0) {
        true => Ok(()),
        false => Err("it is not for the key of the request".to_owned()),
    }
}

fn same<T: PartialEq + ?Sized + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Verdict {
    match found == wanted {
        true => Ok(()),
        false => Err(format!("its {what} is {found:?}, wanted {wanted:?}")),
    }
}

fn read(file: Files<'_>, name: &str) -> Result<Vec<u8>, String> {
    file(name).ok_or_else(|| format!("{name} is missing"))
}

fn certificate(file: Files<'_>, name: &str) -> Result<Certificate, String> {
    Certificate::from_pem(&read(file, name)?).map_err(|error| format!("{name}: {error}"))
}

fn request(file: Files<'_>, name: &str) -> Result<KeyRequest, String> {
    KeyRequest::from_pem(&read(file, name)?).map_err(|error| format!("{name}: {error}"))
}

fn list(file: Files<'_>, name: &str) -> Result<RevocationList, String> {
    RevocationList::from_pem(&read(file, name)?).map_err(|error| format!("{name}: {error}"))
}

fn in_words(error: impl ToString) -> String {
    error.to_string()
}
