use std::fmt;

use obol_kms_registry::CeremonyKind;
use serde::Deserialize;

use crate::plan::Step;

/// What a ceremony is for. It fixes which steps there are, in which order, and whose quorum it
/// takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The root's key and its certificate.
    RootGeneration,
    /// A key in an online token, and the request for its certificate.
    KeyRequest,
    /// The access CA's certificate, at the root's token.
    AccessCa,
    /// An issuer's certificate, at the root's token.
    IssuerCertificate,
    /// The certificate of an issuer's next key, beside the one it replaces.
    IssuerRotation,
    /// A certificate comes back to the token that asked for it.
    CertificateInstall,
    /// The root's next revocation list.
    RevocationList,
    /// One officer's signature on TUF root metadata, the first or the next.
    TufRoot,
    /// TUF targets for the next periods.
    TufTargets,
    /// TUF targets that jump past all that were signed ahead.
    EmergencyBlock,
    /// A key is destroyed.
    KeyDestruction,
    /// The next roster.
    RosterChange,
}

/// The kinds of steps, as a plan's `do` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    GenerateKey,
    CertifyRoot,
    CertifyAccessCa,
    CertifyIssuer,
    Request,
    Install,
    IssueCrl,
    SignTuf,
    DestroyKey,
    ReplaceRoster,
}

/// How often the last kind of a pattern may come.
const PERIODS_MAX: usize = 32;

impl Act {
    /// Every act.
    pub const ALL: [Act; 12] = [
        Act::RootGeneration,
        Act::KeyRequest,
        Act::AccessCa,
        Act::IssuerCertificate,
        Act::IssuerRotation,
        Act::CertificateInstall,
        Act::RevocationList,
        Act::TufRoot,
        Act::TufTargets,
        Act::EmergencyBlock,
        Act::KeyDestruction,
        Act::RosterChange,
    ];

    /// As a plan names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Act::RootGeneration => "root-generation",
            Act::KeyRequest => "key-request",
            Act::AccessCa => "access-ca",
            Act::IssuerCertificate => "issuer-certificate",
            Act::IssuerRotation => "issuer-rotation",
            Act::CertificateInstall => "certificate-install",
            Act::RevocationList => "revocation-list",
            Act::TufRoot => "tuf-root",
            Act::TufTargets => "tuf-targets",
            Act::EmergencyBlock => "emergency-block",
            Act::KeyDestruction => "key-destruction",
            Act::RosterChange => "roster-change",
        }
    }

    /// Whose number of approvals it takes.
    #[must_use]
    pub const fn kind(self) -> CeremonyKind {
        match self {
            Act::RootGeneration => CeremonyKind::Root,
            Act::KeyRequest
            | Act::AccessCa
            | Act::IssuerCertificate
            | Act::IssuerRotation
            | Act::CertificateInstall => CeremonyKind::Certificate,
            Act::RevocationList => CeremonyKind::Revocation,
            Act::TufRoot | Act::TufTargets | Act::EmergencyBlock => CeremonyKind::Trust,
            Act::KeyDestruction => CeremonyKind::Destruction,
            Act::RosterChange => CeremonyKind::Roster,
        }
    }

    /// Whether these are its steps.
    pub(crate) fn permits(self, steps: &[Step]) -> bool {
        let kinds: Vec<Kind> = steps.iter().map(Step::kind).collect();
        let rotates =
            |step: &Step| matches!(step, Step::CertifyIssuer(step) if step.replaces.is_some());
        let jumps = |step: &Step| matches!(step, Step::SignTuf(step) if step.above.is_some());
        let signs = |role: &str| {
            let fits =
                |step: &Step| matches!(step, Step::SignTuf(step) if step.role.name() == role);
            (1..=PERIODS_MAX).contains(&steps.len()) && steps.iter().all(fits)
        };
        match self {
            Act::RootGeneration => kinds == [Kind::GenerateKey, Kind::CertifyRoot],
            Act::KeyRequest => kinds == [Kind::GenerateKey, Kind::Request],
            Act::AccessCa => kinds == [Kind::CertifyAccessCa],
            Act::IssuerCertificate => kinds == [Kind::CertifyIssuer] && !steps.iter().any(rotates),
            Act::IssuerRotation => kinds == [Kind::CertifyIssuer] && steps.iter().all(rotates),
            Act::CertificateInstall => kinds == [Kind::Install],
            Act::RevocationList => kinds == [Kind::IssueCrl],
            Act::TufRoot => steps.len() == 1 && signs("root") && !steps.iter().any(jumps),
            Act::TufTargets => signs("targets") && !steps.iter().any(jumps),
            Act::EmergencyBlock => steps.len() == 1 && signs("targets") && steps.iter().all(jumps),
            Act::KeyDestruction => kinds == [Kind::DestroyKey],
            Act::RosterChange => kinds == [Kind::ReplaceRoster],
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
