//! What stands in, on a throwaway token, for keys and files that only the real tokens could make.

use std::collections::BTreeMap;

use obol_kms::x509::{
    Certificate, IssuerCertificate, KeyRequest, RevocationList, Revoked, RootCa, Rules, Validity,
};
use obol_kms::{Curve, Key, Token};
use obol_kms_ceremony::step::IssueCrl;
use obol_kms_ceremony::{Plan, Step};

use crate::ceremony::hall::{Tokens, now};
use crate::failure::Failure;
use crate::failure::ceremony::Nameless;

/// Days that stand-ins are good for, within what their profiles allow. The root's outlive all that
/// a plan can ask of it, however long people take between making it and signing with it.
const ROOT_DAYS: u32 = 7_300;
const ACCESS_CA_DAYS: u32 = 1_824;
const ISSUER_DAYS: u32 = 30;

/// Contents in place of the plan's files; empty in a ceremony.
#[derive(Default)]
pub(super) struct StandIns(BTreeMap<String, Vec<u8>>);

/// A root that stands in for the real one: the same name, a key of the throwaway token.
struct StandInRoot<'a> {
    token: &'a Token,
    certificate: Certificate,
    made: u32,
}

impl StandIns {
    pub(super) fn file(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).cloned()
    }

    /// Makes what the plan's steps need. `input` gives the real files, which are checked as they
    /// are.
    pub(super) fn make(
        plan: &Plan,
        tokens: &Tokens,
        input: &dyn Fn(&str) -> Result<Vec<u8>, Failure>,
    ) -> Result<StandIns, Failure> {
        let mut files = BTreeMap::new();
        for step in plan.steps() {
            match step {
                Step::CertifyAccessCa(step) => {
                    let real = certificate(input, &step.ca)?;
                    let root = StandInRoot::of(tokens.get(&step.token)?, &real)?;
                    files.insert(step.ca.clone(), pem(&root.certificate));
                }
                Step::CertifyIssuer(step) => {
                    let real = certificate(input, &step.ca)?;
                    let mut root = StandInRoot::of(tokens.get(&step.token)?, &real)?;
                    files.insert(step.ca.clone(), pem(&root.certificate));
                    if let Some(replaces) = &step.replaces {
                        let real = certificate(input, replaces)?;
                        let old = root.like(replaces, &real, None)?;
                        files.insert(replaces.clone(), pem(&old));
                    }
                }
                Step::Install(step) => {
                    let token = tokens.get(&step.token)?;
                    let real = certificate(input, &step.certificate)?;
                    let mut root = StandInRoot::of(token, &certificate(input, &step.ca)?)?;
                    let request = KeyRequest::from_pem(&input(&step.request)?)?;
                    let key = token.generate(request.public().curve(), &step.key)?;
                    let asked = KeyRequest::create(token, &key, request.common_name())?;
                    let made = root.like(&step.certificate, &real, Some(&key))?;
                    files.insert(step.request.clone(), asked.to_pem().into_bytes());
                    files.insert(step.certificate.clone(), pem(&made));
                    files.insert(step.ca.clone(), pem(&root.certificate));
                }
                Step::IssueCrl(step) => list(step, tokens, input, &mut files)?,
                Step::SignTuf(step) => {
                    let token = tokens.get(&step.token)?;
                    if super::steps::labelled(token, &step.key).is_empty() {
                        token.generate(Curve::P256, &step.key)?;
                    }
                }
                Step::DestroyKey(step) => {
                    tokens.get(&step.token)?.generate(Curve::P256, &step.key)?;
                }
                Step::GenerateKey(_)
                | Step::CertifyRoot(_)
                | Step::Request(_)
                | Step::ReplaceRoster(_) => {}
            }
        }
        Ok(StandIns(files))
    }
}

impl<'a> StandInRoot<'a> {
    fn of(token: &'a Token, real: &Certificate) -> Result<StandInRoot<'a>, Failure> {
        let name = Rules::built_in().examine(real, None, now())?.common_name;
        let key = token.generate(Curve::P384, "stand-in root")?;
        let validity = Validity::days(now(), ROOT_DAYS)?;
        let certificate = RootCa::create(token, &key, &name, validity)?;
        Ok(StandInRoot {
            token,
            certificate,
            made: 0,
        })
    }

    /// A certificate of the profile and names of `real`, for `key` or for a key of its own.
    fn like(
        &mut self,
        file: &str,
        real: &Certificate,
        key: Option<&Key>,
    ) -> Result<Certificate, Failure> {
        self.made += 1;
        let own;
        let key = match key {
            Some(key) => key,
            None => {
                let label = format!("stand-in {}", self.made);
                own = self.token.generate(Curve::P384, &label)?;
                &own
            }
        };
        let root = RootCa::open(self.token, self.certificate.clone())?;
        let name = real
            .common_name()
            .ok_or_else(|| Nameless(file.to_owned()))?;
        let made = match IssuerCertificate::read(real) {
            Ok(issuer) => {
                let validity = Validity::days(now(), ISSUER_DAYS)?;
                root.issue_issuer(key.public(), &name, issuer.scope(), validity)?
            }
            Err(_) => {
                let validity = Validity::days(now(), ACCESS_CA_DAYS)?;
                root.issue_access_ca(key.public(), &name, validity)?
            }
        };
        Ok(made)
    }
}

/// A list stands on the list before, and revokes what its authority has issued.
fn list(
    step: &IssueCrl,
    tokens: &Tokens,
    input: &dyn Fn(&str) -> Result<Vec<u8>, Failure>,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), Failure> {
    let token = tokens.get(&step.token)?;
    let real = certificate(input, &step.ca)?;
    let mut root = StandInRoot::of(token, &real)?;
    files.insert(step.ca.clone(), pem(&root.certificate));
    for name in &step.revoke {
        let revoked = root.like(name, &certificate(input, name)?, None)?;
        files.insert(name.clone(), pem(&revoked));
    }
    if let Some(previous) = &step.previous {
        RevocationList::from_pem(&input(previous)?)?;
        let none: [Revoked<'_>; 0] = [];
        let first = RootCa::open(token, root.certificate.clone())?.issue_crl(None, &none, now())?;
        files.insert(previous.clone(), first.to_pem().into_bytes());
    }
    Ok(())
}

fn certificate(
    input: &dyn Fn(&str) -> Result<Vec<u8>, Failure>,
    name: &str,
) -> Result<Certificate, Failure> {
    Ok(Certificate::from_pem(&input(name)?)?)
}

fn pem(certificate: &Certificate) -> Vec<u8> {
    certificate.to_pem().into_bytes()
}
