//! The typed steps, done with the plan's tokens. What each must find before and must have made
//! after is checked around it.

use obol_kms::payload::{TufSignature, sign_tuf};
use obol_kms::x509::{
    Certificate, KeyRequest, RevocationList, RevocationReason, Revoked, RootCa, Rules, Scope,
    Validity,
};
use obol_kms::{Curve, Key, KeyPair, Token};
use obol_kms_ceremony::step::{
    CertifyAccessCa, CertifyIssuer, CurveName, GenerateKey, Install, IssueCrl, Reason, SignTuf,
    TufRole,
};
use obol_kms_ceremony::{Approval, Fact, FileHash, Hash, Mode, Outcome, Plan, RosterChange, Step};
use obol_kms_registry::{Class, SpkiId};

use crate::ceremony::bundle::Folder;
use crate::ceremony::facts;
use crate::ceremony::hall::{Tokens, now};
use crate::ceremony::stand_in::StandIns;
use crate::failure::Failure;
use crate::failure::ceremony::{
    KeyNotThere, KeyThere, NotMade, NotTheRequest, OtherKey, OutputThere,
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
        let made = match step {
            Step::GenerateKey(step) => {
                let token = self.tokens.get(&step.token)?;
                let key = token.generate(curve(step.curve), &step.label)?;
                return generated(token, &key, step);
            }
            Step::DestroyKey(step) => {
                let token = self.tokens.get(&step.token)?;
                let key = self.checked_victim(token, &step.key, &step.spki)?;
                let facts = facts::of_destroyed(&step.key, &key.id().to_string());
                token.discard(key)?;
                return Ok(without_file(facts));
            }
            Step::CertifyRoot(step) => {
                let token = self.tokens.get(&step.token)?;
                let (key, name) = (only_key(token, &step.key)?, &step.common_name);
                let validity = Validity::days(now(), step.days)?;
                pem(&RootCa::create_by(
                    &self.rules,
                    token,
                    &key,
                    name,
                    validity,
                )?)
            }
            Step::CertifyAccessCa(step) => self.certify_access_ca(step)?,
            Step::CertifyIssuer(step) => self.certify_issuer(step)?,
            Step::Request(step) => {
                let token = self.tokens.get(&step.token)?;
                let key = only_key(token, &step.key)?;
                let request = KeyRequest::create(token, &key, &step.common_name)?;
                request.to_pem().into_bytes()
            }
            Step::Install(step) => self.install(step)?,
            Step::IssueCrl(step) => self.issue_crl(step)?,
            Step::SignTuf(step) => self.sign_tuf(step)?,
            Step::ReplaceRoster(step) => {
                let change = RosterChange {
                    plan: self.plan_file.clone(),
                    next: self.input(&step.next)?,
                    rehearsal: self.rehearsal,
                    approvals: self.approvals.clone(),
                };
                change.encode()
            }
        };
        let outcome = self.outcome(step, &made)?;
        if let Some(out) = step.output() {
            self.folder.output(out, &made)?;
        }
        Ok(outcome)
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
                Ok(Some(generated(token, &key, step)?))
            }
            Step::DestroyKey(step) => {
                let token = self.tokens.get(&step.token)?;
                if !labelled(token, &step.key).is_empty() {
                    return Ok(None);
                }
                let facts = facts::of_destroyed(&step.key, &step.spki);
                Ok(Some(without_file(facts)))
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
        self.outcome(step, &bytes).map(Some)
    }

    /// What a step has given with this file.
    fn outcome(&self, step: &Step, made: &[u8]) -> Result<Outcome, Failure> {
        let out = step.output();
        let file = |name: &str| match Some(name) == out {
            true => Some(made.to_vec()),
            false => self.input(name).ok(),
        };
        let facts = facts::of_files(step, &file, &self.rules, now()).map_err(NotMade)?;
        let files = out.map(|out| file_hash(out, made)).into_iter().collect();
        Ok(Outcome { facts, files })
    }

    fn certify_access_ca(&self, step: &CertifyAccessCa) -> Result<Vec<u8>, Failure> {
        let (ca, request) = (self.certificate(&step.ca)?, self.request(&step.request)?);
        asks_for(&request, &step.common_name, &step.request)?;
        let root = self.root(&step.token, ca)?;
        let validity = Validity::days(now(), step.days)?;
        let made = root.issue_access_ca(request.public(), &step.common_name, validity)?;
        Ok(pem(&made))
    }

    fn certify_issuer(&self, step: &CertifyIssuer) -> Result<Vec<u8>, Failure> {
        let (ca, request) = (self.certificate(&step.ca)?, self.request(&step.request)?);
        asks_for(&request, &step.common_name, &step.request)?;
        let scope = Scope::new(&step.operator, &step.classes)?;
        let root = self.root(&step.token, ca)?;
        let validity = Validity::days(now(), step.days)?;
        let made = root.issue_issuer(request.public(), &step.common_name, &scope, validity)?;
        Ok(pem(&made))
    }

    fn install(&self, step: &Install) -> Result<Vec<u8>, Failure> {
        let key = only_key(self.tokens.get(&step.token)?, &step.key)?;
        let request = self.request(&step.request)?;
        let certificate = self.certificate(&step.certificate)?;
        let ca = self.certificate(&step.ca)?;
        self.rules.examine(&certificate, Some(&ca), now())?;
        let certified = obol_kms_registry::certified_key(certificate.as_der());
        let same = certified.is_ok_and(|id| id.0 == key.id().0) && request.public() == key.public();
        match same {
            true => Ok(pem(&certificate)),
            false => Err(NotTheRequest(step.certificate.clone()).into()),
        }
    }

    fn issue_crl(&self, step: &IssueCrl) -> Result<Vec<u8>, Failure> {
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
        Ok(list.to_pem().into_bytes())
    }

    fn sign_tuf(&self, step: &SignTuf) -> Result<Vec<u8>, Failure> {
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
        Ok(text.into_bytes())
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
}

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

/// What the token says of a key that it has made.
fn generated(token: &Token, key: &Key, step: &GenerateKey) -> Result<Outcome, Failure> {
    let birth = token.birth_attributes(key.id())?;
    Ok(without_file(facts::of_key(step, birth, SpkiId(key.id().0))))
}

fn without_file(facts: Vec<Fact>) -> Outcome {
    let files = Vec::new();
    Outcome { facts, files }
}

fn pem(certificate: &Certificate) -> Vec<u8> {
    certificate.to_pem().into_bytes()
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

pub(crate) fn tuf_signature(bytes: &[u8], name: &str) -> Result<TufSignature, Failure> {
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
