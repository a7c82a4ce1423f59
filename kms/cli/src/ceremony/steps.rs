//! The typed steps, done with the plan's tokens. What each must find before and must have made after
//! is checked around it.

use obol_kms::payload::{TufSignature, sign_tuf};
use obol_kms::x509::{
    Certificate, KeyRequest, RevocationList, RevocationReason, Revoked, RootCa, Rules, Scope,
    Validity,
};
use obol_kms::{Curve, Key, KeyPair, Token};
use obol_kms_ceremony::step::{
    CertifyAccessCa, CertifyIssuer, CurveName, IssueCrl, Reason, SignTuf, TufRole,
};
use obol_kms_ceremony::{Approval, Fact, FileHash, Hash, Mode, Outcome, Plan, RosterChange, Step};
use obol_kms_registry::{Class, SpkiId};

use crate::ceremony::bundle::Folder;
use crate::ceremony::hall::{Tokens, now};
use crate::ceremony::stand_in::StandIns;
use crate::failure::Failure;
use crate::failure::ceremony::{
    KeyNotThere, KeyThere, NotTheRequest, NotTheRoster, OtherKey, OutputThere,
};

/// Everything that steps work with.
pub(super) struct Stage<'a> {
    pub(super) plan: &'a Plan,
    pub(super) mode: Mode,
    pub(super) tokens: &'a Tokens,
    pub(super) folder: &'a Folder,
    pub(super) rules: Rules,
    pub(super) stand_ins: StandIns,
    /// For a roster change: what carried it.
    pub(super) approvals: Vec<Approval>,
    pub(super) rehearsal: Hash,
    pub(super) plan_file: Vec<u8>,
}

impl Stage<'_> {
    /// What must hold before a step begins: nothing that it makes is there.
    pub(super) fn ready(&self, step: &Step) -> Result<(), Failure> {
        if let Some(out) = step.output()
            && self.folder.output_path(out).symlink_metadata().is_ok()
        {
            return Err(OutputThere(out.to_owned()).into());
        }
        match step {
            Step::GenerateKey(step) => {
                let token = self.tokens.get(&step.token)?;
                match labelled(token, &step.label).is_empty() {
                    true => Ok(()),
                    false => Err(KeyThere(step.label.clone()).into()),
                }
            }
            Step::DestroyKey(step) => {
                let token = self.tokens.get(&step.token)?;
                self.checked_victim(token, &step.key, &step.spki).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Does a step, and returns what it gave. Its file is written and synced by then.
    pub(super) fn perform(&self, step: &Step) -> Result<Outcome, Failure> {
        let (facts, bytes) = match step {
            Step::GenerateKey(step) => {
                let token = self.tokens.get(&step.token)?;
                let key = token.generate(curve(step.curve), &step.label)?;
                (key_facts(&key, &step.label), None)
            }
            Step::CertifyRoot(step) => {
                let token = self.tokens.get(&step.token)?;
                let (key, name) = (only_key(token, &step.key)?, &step.common_name);
                let validity = Validity::days(now(), step.days)?;
                let made = RootCa::create_by(&self.rules, token, &key, name, validity)?;
                self.of_certificate(&made, None)?
            }
            Step::CertifyAccessCa(step) => self.certify_access_ca(step)?,
            Step::CertifyIssuer(step) => self.certify_issuer(step)?,
            Step::Request(step) => {
                let token = self.tokens.get(&step.token)?;
                let key = only_key(token, &step.key)?;
                let request = KeyRequest::create(token, &key, &step.common_name)?;
                (request_facts(&request), Some(request.to_pem().into_bytes()))
            }
            Step::Install(step) => {
                let token = self.tokens.get(&step.token)?;
                let key = only_key(token, &step.key)?;
                let request = self.request(&step.request)?;
                let (certificate, ca) = (
                    self.certificate(&step.certificate)?,
                    self.certificate(&step.ca)?,
                );
                let (facts, bytes) = self.of_certificate(&certificate, Some(&ca))?;
                let certified = obol_kms_registry::certified_key(certificate.as_der());
                let same = certified.is_ok_and(|id| id.0 == key.id().0)
                    && request.public() == key.public();
                if !same {
                    return Err(NotTheRequest(step.certificate.clone()).into());
                }
                (facts, bytes)
            }
            Step::IssueCrl(step) => self.issue_crl(step)?,
            Step::SignTuf(step) => self.sign_tuf(step)?,
            Step::DestroyKey(step) => {
                let token = self.tokens.get(&step.token)?;
                let key = self.checked_victim(token, &step.key, &step.spki)?;
                let facts = key_facts(&key, &step.key);
                token.discard(key)?;
                (facts, None)
            }
            Step::ReplaceRoster(step) => {
                let next = self.input(&step.next)?;
                let roster = std::str::from_utf8(&next).ok();
                let roster = roster.and_then(|text| obol_kms_registry::Roster::parse(text).ok());
                let roster = roster.ok_or_else(|| NotTheRoster(step.next.clone()))?;
                let change = RosterChange {
                    plan: self.plan_file.clone(),
                    next,
                    rehearsal: self.rehearsal,
                    approvals: self.approvals.clone(),
                };
                let people = roster.officers().iter().map(|one| one.name());
                let names: Vec<_> = people.collect();
                let facts = vec![
                    Fact::new("roster", roster.hash()),
                    Fact::new("officers", names.join(" ")),
                ];
                (facts, Some(change.encode()))
            }
        };
        self.written(step, facts, bytes)
    }

    /// What a step gave whose machine stopped before it could say so; `None` if it gave nothing.
    pub(super) fn adopt(&self, step: &Step) -> Result<Option<Outcome>, Failure> {
        match step {
            Step::GenerateKey(step) => {
                let token = self.tokens.get(&step.token)?;
                if labelled(token, &step.label).is_empty() {
                    return Ok(None);
                }
                let key = only_key(token, &step.label)?;
                if key.public().curve() != curve(step.curve) {
                    return Err(OtherKey(step.label.clone()).into());
                }
                let facts = key_facts(&key, &step.label);
                let files = Vec::new();
                Ok(Some(Outcome { facts, files }))
            }
            Step::DestroyKey(step) => {
                let token = self.tokens.get(&step.token)?;
                if !labelled(token, &step.key).is_empty() {
                    return Ok(None);
                }
                let facts = vec![
                    Fact::new("label", &step.key),
                    Fact::new("new spki", &step.spki),
                ];
                let files = Vec::new();
                Ok(Some(Outcome { facts, files }))
            }
            _ => self.adopt_output(step),
        }
    }

    /// A file that is there was written whole: its facts are read from it again.
    fn adopt_output(&self, step: &Step) -> Result<Option<Outcome>, Failure> {
        let Some(out) = step.output() else {
            return Ok(None);
        };
        if self.folder.output_path(out).symlink_metadata().is_err() {
            return Ok(None);
        }
        let bytes = self.folder.file(&format!("outputs/{out}"))?;
        let facts = match step {
            Step::CertifyRoot(_) => {
                self.of_certificate(&Certificate::from_pem(&bytes)?, None)?
                    .0
            }
            Step::CertifyAccessCa(CertifyAccessCa { ca, .. })
            | Step::CertifyIssuer(CertifyIssuer { ca, .. }) => {
                let ca = self.certificate(ca)?;
                self.of_certificate(&Certificate::from_pem(&bytes)?, Some(&ca))?
                    .0
            }
            Step::Install(step) => {
                let ca = self.certificate(&step.ca)?;
                self.of_certificate(&Certificate::from_pem(&bytes)?, Some(&ca))?
                    .0
            }
            Step::Request(_) => request_facts(&KeyRequest::from_pem(&bytes)?),
            Step::IssueCrl(step) => list_facts(&RevocationList::from_pem(&bytes)?, step),
            Step::SignTuf(step) => tuf_facts(step, &tuf_signature(&bytes, &step.out)?),
            Step::ReplaceRoster(_) | Step::GenerateKey(_) | Step::DestroyKey(_) => return Ok(None),
        };
        let files = vec![file_hash(out, &bytes)];
        Ok(Some(Outcome { facts, files }))
    }

    fn written(
        &self,
        step: &Step,
        facts: Vec<Fact>,
        bytes: Option<Vec<u8>>,
    ) -> Result<Outcome, Failure> {
        let mut outcome = Outcome {
            facts,
            files: Vec::new(),
        };
        if let (Some(out), Some(bytes)) = (step.output(), bytes) {
            self.folder.output(out, &bytes)?;
            outcome.files.push(file_hash(out, &bytes));
        }
        Ok(outcome)
    }

    fn certify_access_ca(&self, step: &CertifyAccessCa) -> Result<Made, Failure> {
        let (ca, request) = (self.certificate(&step.ca)?, self.request(&step.request)?);
        asks_for(&request, &step.common_name, &step.request)?;
        let root = self.root(&step.token, ca.clone())?;
        let validity = Validity::days(now(), step.days)?;
        let made = root.issue_access_ca(request.public(), &step.common_name, validity)?;
        self.of_certificate(&made, Some(&ca))
    }

    fn certify_issuer(&self, step: &CertifyIssuer) -> Result<Made, Failure> {
        let (ca, request) = (self.certificate(&step.ca)?, self.request(&step.request)?);
        asks_for(&request, &step.common_name, &step.request)?;
        let scope = Scope::new(&step.operator, &step.classes)?;
        let root = self.root(&step.token, ca.clone())?;
        let validity = Validity::days(now(), step.days)?;
        let made = root.issue_issuer(request.public(), &step.common_name, &scope, validity)?;
        let (mut facts, bytes) = self.of_certificate(&made, Some(&ca))?;
        let classes: Vec<_> = step.classes.iter().map(u8::to_string).collect();
        facts.push(Fact::new("operator", &step.operator));
        facts.push(Fact::new("classes", classes.join(" ")));
        Ok((facts, bytes))
    }

    fn issue_crl(&self, step: &IssueCrl) -> Result<Made, Failure> {
        let ca = self.certificate(&step.ca)?;
        let previous = match &step.previous {
            None => None,
            Some(name) => Some(RevocationList::from_pem(&self.input(name)?)?),
        };
        let mut certificates = Vec::new();
        for name in &step.revoke {
            certificates.push(self.certificate(name)?);
        }
        let reason = step.reason.map(reason);
        let revoked: Vec<_> = certificates
            .iter()
            .map(|certificate| Revoked {
                certificate,
                reason,
            })
            .collect();
        let token = self.tokens.get(&step.token)?;
        let list = RootCa::open(token, ca)?
            .with_rules(self.rules.clone())
            .issue_crl(previous.as_ref(), &revoked, now())?;
        Ok((list_facts(&list, step), Some(list.to_pem().into_bytes())))
    }

    fn sign_tuf(&self, step: &SignTuf) -> Result<Made, Failure> {
        let token = self.tokens.get(&step.token)?;
        let key = only_key(token, &step.key)?;
        let signature = sign_tuf(
            token,
            &key,
            tuf_class(step.role),
            &self.input(&step.metadata)?,
        )?;
        let TufSignature {
            keyid,
            sig,
            version,
        } = &signature;
        if let Some(above) = step.above
            && *version <= u64::from(above)
        {
            let (version, name) = (*version, step.metadata.clone());
            return Err(crate::failure::ceremony::NotAbove {
                name,
                version,
                above,
            }
            .into());
        }
        let text = format!(
            "{{\"keyid\":\"{keyid}\",\"sig\":\"{sig}\",\"spki\":\"{}\",\"version\":{version}}}\n",
            data_encoding::BASE64.encode(&key.public().spki_der())
        );
        Ok((tuf_facts(step, &signature), Some(text.into_bytes())))
    }

    fn root(&self, token: &str, ca: Certificate) -> Result<RootCa<'_>, Failure> {
        let root = RootCa::open(self.tokens.get(token)?, ca)?;
        Ok(root.with_rules(self.rules.clone()))
    }

    /// The key to destroy is the one that the plan names, by label and by SPKI id.
    fn checked_victim(&self, token: &Token, label: &str, spki: &str) -> Result<Key, Failure> {
        let key = only_key(token, label)?;
        let wanted = spki.parse::<SpkiId>().ok();
        let named = wanted.is_some_and(|id| id.0 == key.id().0);
        match named || self.mode == Mode::Rehearsal {
            true => Ok(key),
            false => Err(OtherKey(label.to_owned()).into()),
        }
    }

    /// A file of the plan; in a rehearsal what stands in for it.
    pub(super) fn input(&self, name: &str) -> Result<Vec<u8>, Failure> {
        if let Some(bytes) = self.stand_ins.file(name) {
            return Ok(bytes);
        }
        let input = self.plan.inputs().iter().any(|(input, _)| input == name);
        let folder = if input { "inputs" } else { "outputs" };
        self.folder.file(&format!("{folder}/{name}"))
    }

    fn certificate(&self, name: &str) -> Result<Certificate, Failure> {
        Ok(Certificate::from_pem(&self.input(name)?)?)
    }

    fn request(&self, name: &str) -> Result<KeyRequest, Failure> {
        Ok(KeyRequest::from_pem(&self.input(name)?)?)
    }

    /// Examines a certificate and says what it says.
    fn of_certificate(
        &self,
        certificate: &Certificate,
        ca: Option<&Certificate>,
    ) -> Result<Made, Failure> {
        let seen = self.rules.examine(certificate, ca, now())?;
        let days = seen.not_after.since(seen.not_before) / 86_400;
        let facts = vec![
            Fact::new("profile", seen.profile.name()),
            Fact::new("subject", &seen.common_name),
            Fact::new("days", days),
            Fact::new("new spki", seen.spki),
            Fact::new("new serial", &seen.serial),
            Fact::new("new sha256", Hash::of(certificate.as_der())),
        ];
        Ok((facts, Some(certificate.to_pem().into_bytes())))
    }
}

/// Facts, and the bytes of the step's file.
type Made = (Vec<Fact>, Option<Vec<u8>>);

/// Every key pair of that label.
pub(super) fn labelled(token: &Token, label: &str) -> Vec<KeyPair> {
    token
        .keys()
        .into_iter()
        .filter(|pair| pair.label == label)
        .collect()
}

/// The one fit key of that label.
pub(super) fn only_key(token: &Token, label: &str) -> Result<Key, Failure> {
    match labelled(token, label).as_slice() {
        [only] => Ok(token.key(only.id)?),
        several => {
            let (label, count) = (label.to_owned(), several.len());
            Err(KeyNotThere { label, count }.into())
        }
    }
}

pub(super) const fn curve(name: CurveName) -> Curve {
    match name {
        CurveName::P256 => Curve::P256,
        CurveName::P384 => Curve::P384,
    }
}

pub(super) const fn tuf_class(role: TufRole) -> Class {
    match role {
        TufRole::Root => Class::TufRoot,
        TufRole::Targets => Class::TufTargets,
    }
}

const fn reason(reason: Reason) -> RevocationReason {
    match reason {
        Reason::KeyCompromise => RevocationReason::KeyCompromise,
        Reason::CaCompromise => RevocationReason::CaCompromise,
        Reason::Superseded => RevocationReason::Superseded,
        Reason::CessationOfOperation => RevocationReason::CessationOfOperation,
    }
}

fn asks_for(request: &KeyRequest, common_name: &str, file: &str) -> Result<(), Failure> {
    match request.common_name() == common_name {
        true => Ok(()),
        false => Err(NotTheRequest(file.to_owned()).into()),
    }
}

fn key_facts(key: &Key, label: &str) -> Vec<Fact> {
    vec![
        Fact::new("label", label),
        Fact::new("curve", key.public().curve()),
        Fact::new("new spki", key.id()),
    ]
}

fn request_facts(request: &KeyRequest) -> Vec<Fact> {
    vec![
        Fact::new("subject", request.common_name()),
        Fact::new("curve", request.public().curve()),
        Fact::new("new spki", request.public().spki_id()),
    ]
}

fn list_facts(list: &RevocationList, step: &IssueCrl) -> Vec<Fact> {
    vec![
        Fact::new("new number", list.number()),
        Fact::new("new entries", step.revoke.len()),
        Fact::new("new sha256", Hash::of(list.as_der())),
    ]
}

fn tuf_facts(step: &SignTuf, signature: &TufSignature) -> Vec<Fact> {
    vec![
        Fact::new("role", step.role.name()),
        Fact::new("new version", signature.version),
        Fact::new("new keyid", &signature.keyid),
    ]
}

/// The file that `sign-tuf` writes.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureFile {
    keyid: String,
    sig: String,
    spki: String,
    version: u64,
}

pub(super) fn tuf_signature(bytes: &[u8], name: &str) -> Result<TufSignature, Failure> {
    let file: SignatureFile = signature_file(bytes, name)?;
    Ok(TufSignature {
        keyid: file.keyid,
        sig: file.sig,
        version: file.version,
    })
}

/// The public key beside a TUF signature.
pub(super) fn tuf_spki(bytes: &[u8], name: &str) -> Result<Vec<u8>, Failure> {
    let file = signature_file(bytes, name)?;
    let spki = data_encoding::BASE64.decode(file.spki.as_bytes());
    spki.map_err(|_| crate::failure::ceremony::NotASignature(name.to_owned()).into())
}

fn signature_file(bytes: &[u8], name: &str) -> Result<SignatureFile, Failure> {
    let file = serde_json::from_slice(bytes);
    file.map_err(|_| crate::failure::ceremony::NotASignature(name.to_owned()).into())
}

fn file_hash(out: &str, bytes: &[u8]) -> FileHash {
    FileHash {
        name: format!("outputs/{out}"),
        sha256: Hash::of(bytes),
    }
}
