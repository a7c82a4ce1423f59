//! The typed steps of plans.

use serde::Deserialize;

use crate::act::Kind;

/// One typed step, as the plan has it. Names of tokens, keys and files are checked by the plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Generate a key pair in a token.
    GenerateKey(GenerateKey),
    /// The new key signs its own certificate.
    CertifyRoot(CertifyRoot),
    /// The root certifies the access CA.
    CertifyAccessCa(CertifyAccessCa),
    /// The root certifies an issuer.
    CertifyIssuer(CertifyIssuer),
    /// The new key asks for its certificate.
    Request(Request),
    /// A certificate comes to its key's token.
    Install(Install),
    /// The root signs its next revocation list.
    IssueCrl(IssueCrl),
    /// TUF metadata is signed.
    SignTuf(SignTuf),
    /// A key is destroyed.
    DestroyKey(DestroyKey),
    /// A roster follows.
    ReplaceRoster(ReplaceRoster),
}

/// Generate a key pair.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateKey {
    /// Token, by its name in the plan.
    pub token: String,
    /// `CKA_LABEL`; no key of the token has it yet.
    pub label: String,
    /// The curve.
    pub curve: CurveName,
}

/// A curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum CurveName {
    /// NIST P-256.
    #[serde(rename = "P-256")]
    P256,
    /// NIST P-384.
    #[serde(rename = "P-384")]
    P384,
}

/// Certify the root.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifyRoot {
    /// Token.
    pub token: String,
    /// Label of the key that the step before generated.
    pub key: String,
    /// Subject.
    pub common_name: String,
    /// Days that it is good for.
    pub days: u32,
    /// The practice that the profile follows.
    pub policy: String,
    /// The certificate.
    pub out: String,
}

/// Certify the access CA.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifyAccessCa {
    /// The root's token.
    pub token: String,
    /// Input: the root's certificate.
    pub ca: String,
    /// Input: the request.
    pub request: String,
    /// Subject; the request must ask for the same.
    pub common_name: String,
    /// Days that it is good for.
    pub days: u32,
    /// The practice that the profile follows.
    pub policy: String,
    /// The certificate.
    pub out: String,
}

/// Certify an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifyIssuer {
    /// The root's token.
    pub token: String,
    /// Input: the root's certificate.
    pub ca: String,
    /// Input: the request.
    pub request: String,
    /// Input, for a rotation: the certificate that this one replaces.
    pub replaces: Option<String>,
    /// Subject; the request must ask for the same.
    pub common_name: String,
    /// Operator whose credentials it signs.
    pub operator: String,
    /// Passenger classes.
    pub classes: Vec<u8>,
    /// Days that it is good for.
    pub days: u32,
    /// The practice that the profile follows.
    pub policy: String,
    /// The certificate.
    pub out: String,
}

/// Ask for a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Token.
    pub token: String,
    /// Label of the key that the step before generated.
    pub key: String,
    /// Subject asked for.
    pub common_name: String,
    /// The request.
    pub out: String,
}

/// Install a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// Token that has the key.
    pub token: String,
    /// Label of the key.
    pub key: String,
    /// Input: the request that went out.
    pub request: String,
    /// Input: the certificate that came back.
    pub certificate: String,
    /// Input: the root's certificate.
    pub ca: String,
    /// The certificate, checked.
    pub out: String,
}

/// Issue a revocation list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueCrl {
    /// The root's token.
    pub token: String,
    /// Input: the root's certificate.
    pub ca: String,
    /// Input: its last list; left out for its first.
    pub previous: Option<String>,
    /// Inputs: certificates to revoke.
    #[serde(default)]
    pub revoke: Vec<String>,
    /// Why.
    pub reason: Option<Reason>,
    /// The practice that the profile follows.
    pub policy: String,
    /// The list.
    pub out: String,
}

/// Why certificates are revoked (RFC 5280 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The key is, or may be, known to others.
    KeyCompromise,
    /// The same of a CA's key.
    CaCompromise,
    /// A new certificate has taken its place.
    Superseded,
    /// What it was for has ended.
    CessationOfOperation,
}

/// Sign TUF metadata.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignTuf {
    /// Token that has the key.
    pub token: String,
    /// Label of the key.
    pub key: String,
    /// The role.
    pub role: TufRole,
    /// Input: the `signed` part, JSON.
    pub metadata: String,
    /// For an emergency: the last version that was signed ahead; this one is above it.
    pub above: Option<u32>,
    /// The signature: JSON `{"keyid": ..., "sig": ...}`.
    pub out: String,
}

/// A role whose key is kept offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TufRole {
    /// The root.
    Root,
    /// The targets.
    Targets,
}

/// Destroy a key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestroyKey {
    /// Token that has the key.
    pub token: String,
    /// Label of the key.
    pub key: String,
    /// Its SPKI id, 64 hexadecimal digits.
    pub spki: String,
    /// Why, in one line.
    pub reason: String,
}

/// Replace the roster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaceRoster {
    /// Input: the next roster.
    pub next: String,
    /// The change, for every later bundle.
    pub out: String,
}

impl TufRole {
    /// As metadata names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TufRole::Root => "root",
            TufRole::Targets => "targets",
        }
    }
}

impl CurveName {
    /// As plans name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            CurveName::P256 => "P-256",
            CurveName::P384 => "P-384",
        }
    }
}

impl Step {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Step::GenerateKey(_) => Kind::GenerateKey,
            Step::CertifyRoot(_) => Kind::CertifyRoot,
            Step::CertifyAccessCa(_) => Kind::CertifyAccessCa,
            Step::CertifyIssuer(_) => Kind::CertifyIssuer,
            Step::Request(_) => Kind::Request,
            Step::Install(_) => Kind::Install,
            Step::IssueCrl(_) => Kind::IssueCrl,
            Step::SignTuf(_) => Kind::SignTuf,
            Step::DestroyKey(_) => Kind::DestroyKey,
            Step::ReplaceRoster(_) => Kind::ReplaceRoster,
        }
    }

    /// The token it works with.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        match self {
            Step::GenerateKey(step) => Some(&step.token),
            Step::CertifyRoot(step) => Some(&step.token),
            Step::CertifyAccessCa(step) => Some(&step.token),
            Step::CertifyIssuer(step) => Some(&step.token),
            Step::Request(step) => Some(&step.token),
            Step::Install(step) => Some(&step.token),
            Step::IssueCrl(step) => Some(&step.token),
            Step::SignTuf(step) => Some(&step.token),
            Step::DestroyKey(step) => Some(&step.token),
            Step::ReplaceRoster(_) => None,
        }
    }

    /// The files it reads.
    #[must_use]
    pub fn inputs(&self) -> Vec<&str> {
        match self {
            Step::GenerateKey(_)
            | Step::CertifyRoot(_)
            | Step::Request(_)
            | Step::DestroyKey(_) => Vec::new(),
            Step::CertifyAccessCa(step) => vec![&step.ca, &step.request],
            Step::CertifyIssuer(step) => {
                let both = [step.ca.as_str(), &step.request].into_iter();
                both.chain(step.replaces.as_deref()).collect()
            }
            Step::Install(step) => vec![&step.request, &step.certificate, &step.ca],
            Step::IssueCrl(step) => {
                let mut files = vec![step.ca.as_str()];
                files.extend(step.previous.as_deref());
                files.extend(step.revoke.iter().map(String::as_str));
                files
            }
            Step::SignTuf(step) => vec![&step.metadata],
            Step::ReplaceRoster(step) => vec![&step.next],
        }
    }

    /// The file it writes.
    #[must_use]
    pub fn output(&self) -> Option<&str> {
        match self {
            Step::GenerateKey(_) | Step::DestroyKey(_) => None,
            Step::CertifyRoot(step) => Some(&step.out),
            Step::CertifyAccessCa(step) => Some(&step.out),
            Step::CertifyIssuer(step) => Some(&step.out),
            Step::Request(step) => Some(&step.out),
            Step::Install(step) => Some(&step.out),
            Step::IssueCrl(step) => Some(&step.out),
            Step::SignTuf(step) => Some(&step.out),
            Step::ReplaceRoster(step) => Some(&step.out),
        }
    }

    /// The practice it follows.
    pub(crate) fn policy(&self) -> Option<&str> {
        match self {
            Step::CertifyRoot(step) => Some(&step.policy),
            Step::CertifyAccessCa(step) => Some(&step.policy),
            Step::CertifyIssuer(step) => Some(&step.policy),
            Step::IssueCrl(step) => Some(&step.policy),
            _ => None,
        }
    }
}
