//! What each kind of certificate looks like: data, read strictly from `policies/profiles`.

mod raw;

use crate::public_key::Curve;
use crate::x509::der::{self, BIT_STRING, BOOLEAN, INTEGER, OID, SEQUENCE};

/// Longest validity of any certificate, in days: twenty years.
pub(crate) const DAYS_MAX: u32 = 7_305;
/// Longest life of any revocation list, in days.
pub(crate) const NEXT_UPDATE_DAYS_MAX: u32 = 3_650;
/// Largest file of profiles or lints, in bytes.
pub const RULES_FILE_MAX: usize = 64 * 1024;

/// A kind of certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProfileName {
    /// The self-signed root CA.
    Root,
    /// The CA of mTLS identities.
    AccessCa,
    /// An issuer of credentials.
    Issuer,
    /// A service that answers.
    Server,
    /// A service that only calls.
    Client,
    /// A terminal.
    Terminal,
    /// Not a certificate but a revocation list.
    Crl,
}

/// One kind of certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: ProfileName,
    pub(crate) issued_by: IssuedBy,
    pub(crate) days_max: u32,
    pub(crate) curves: Vec<Curve>,
    pub(crate) key_usage: Vec<KeyUsage>,
    pub(crate) ca: Option<PathLength>,
    pub(crate) extended_key_usage: Option<ExtendedKeyUsage>,
    pub(crate) names: Option<Names>,
    pub(crate) scope: Option<ScopeWanted>,
}

/// Who signs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IssuedBy {
    Itself,
    Root,
    AccessCa,
}

/// How many CA certificates may follow; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathLength(pub(crate) Option<u8>);

/// A bit of RFC 5280 section 4.2.1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyUsage {
    DigitalSignature,
    KeyCertSign,
    CrlSign,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExtendedKeyUsage {
    pub(crate) critical: bool,
    pub(crate) purposes: Vec<Purpose>,
}

/// A purpose of RFC 5280 section 4.2.1.12, or this house's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    ServerAuth,
    ClientAuth,
    CredentialIssuer,
}

/// Identities of mTLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) roles: Vec<String>,
    pub(crate) server_names_max: usize,
}

/// The certificate says its operator and classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScopeWanted;

/// Revocation lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CrlProfile {
    pub(crate) root_days: u32,
    pub(crate) access_ca_days: u32,
    pub(crate) reasons: Vec<RevocationReason>,
}

/// Why a certificate is revoked (RFC 5280 section 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationReason {
    /// The subject's key is, or may be, known to others.
    KeyCompromise,
    /// The same of a CA's key.
    CaCompromise,
    /// The subject's names have changed.
    AffiliationChanged,
    /// A new certificate has taken its place.
    Superseded,
    /// What it was for has ended.
    CessationOfOperation,
    /// The subject may no longer do what it says.
    PrivilegeWithdrawn,
}

/// All profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profiles {
    certificates: [Profile; 6],
    pub(crate) crl: CrlProfile,
}

/// Why a profile was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("profile {name}: {fault}")]
pub struct InvalidProfile {
    /// The profile.
    pub name: &'static str,
    /// What is wrong with it.
    pub fault: String,
}

impl ProfileName {
    /// Every profile.
    pub const ALL: [ProfileName; 7] = [
        ProfileName::Root,
        ProfileName::AccessCa,
        ProfileName::Issuer,
        ProfileName::Server,
        ProfileName::Client,
        ProfileName::Terminal,
        ProfileName::Crl,
    ];

    /// The name of its file, without `.toml`.
    pub fn name(self) -> &'static str {
        match self {
            ProfileName::Root => "root",
            ProfileName::AccessCa => "access-ca",
            ProfileName::Issuer => "issuer",
            ProfileName::Server => "server",
            ProfileName::Client => "client",
            ProfileName::Terminal => "terminal",
            ProfileName::Crl => "crl",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<ProfileName> {
        ProfileName::ALL
            .into_iter()
            .find(|profile| profile.name() == name)
    }
}

impl Profiles {
    /// Reads each profile from the text that `file` gives for its name.
    pub(crate) fn read<E: From<InvalidProfile>>(
        file: impl Fn(ProfileName) -> Result<String, E>,
    ) -> Result<Profiles, E> {
        let certificate = |name| Ok::<_, E>(raw::certificate(name, &file(name)?)?);
        Ok(Profiles {
            certificates: [
                certificate(ProfileName::Root)?,
                certificate(ProfileName::AccessCa)?,
                certificate(ProfileName::Issuer)?,
                certificate(ProfileName::Server)?,
                certificate(ProfileName::Client)?,
                certificate(ProfileName::Terminal)?,
            ],
            crl: raw::crl(&file(ProfileName::Crl)?)?,
        })
    }

    pub(crate) fn certificate(&self, name: CertificateProfile) -> &Profile {
        &self.certificates[name as usize]
    }

    pub(crate) fn certificates(&self) -> &[Profile] {
        &self.certificates
    }
}

/// The profiles of certificates, as places in [`Profiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertificateProfile {
    Root = 0,
    AccessCa = 1,
    Issuer = 2,
    Server = 3,
    Client = 4,
    Terminal = 5,
}

impl KeyUsage {
    /// Bit 0 is the highest of the first octet.
    fn bit(self) -> u8 {
        match self {
            KeyUsage::DigitalSignature => 0,
            KeyUsage::KeyCertSign => 5,
            KeyUsage::CrlSign => 6,
        }
    }
}

impl Purpose {
    /// Content of the OBJECT IDENTIFIER.
    fn oid(self) -> &'static [u8] {
        match self {
            Purpose::ServerAuth => b"\x2b\x06\x01\x05\x05\x07\x03\x01",
            Purpose::ClientAuth => b"\x2b\x06\x01\x05\x05\x07\x03\x02",
            Purpose::CredentialIssuer => b"\x2b\x06\x01\x04\x01\x83\xd4\x5f\x01\x01",
        }
    }
}

impl RevocationReason {
    /// Every reason that a list here may give.
    pub const ALL: [RevocationReason; 6] = [
        RevocationReason::KeyCompromise,
        RevocationReason::CaCompromise,
        RevocationReason::AffiliationChanged,
        RevocationReason::Superseded,
        RevocationReason::CessationOfOperation,
        RevocationReason::PrivilegeWithdrawn,
    ];

    /// Its number in RFC 5280.
    pub fn code(self) -> u8 {
        match self {
            RevocationReason::KeyCompromise => 1,
            RevocationReason::CaCompromise => 2,
            RevocationReason::AffiliationChanged => 3,
            RevocationReason::Superseded => 4,
            RevocationReason::CessationOfOperation => 5,
            RevocationReason::PrivilegeWithdrawn => 9,
        }
    }

    /// Its name in RFC 5280.
    pub fn name(self) -> &'static str {
        match self {
            RevocationReason::KeyCompromise => "keyCompromise",
            RevocationReason::CaCompromise => "cACompromise",
            RevocationReason::AffiliationChanged => "affiliationChanged",
            RevocationReason::Superseded => "superseded",
            RevocationReason::CessationOfOperation => "cessationOfOperation",
            RevocationReason::PrivilegeWithdrawn => "privilegeWithdrawn",
        }
    }
}

impl Profile {
    /// DER of the KeyUsage extension's value: trailing zero bits are left out (X.690 section 11.2).
    pub(crate) fn key_usage_der(&self) -> Vec<u8> {
        let octet = self
            .key_usage
            .iter()
            .fold(0u8, |octet, usage| octet | 0x80 >> usage.bit());
        let unused = octet.trailing_zeros() as u8;
        der::element(BIT_STRING, &[&[unused, octet]])
    }

    /// DER of the BasicConstraints extension's value.
    pub(crate) fn basic_constraints_der(&self) -> Vec<u8> {
        let is_ca = der::element(BOOLEAN, &[&[0xff]]);
        match self.ca {
            None => der::element(SEQUENCE, &[]),
            Some(PathLength(None)) => der::element(SEQUENCE, &[&is_ca]),
            Some(PathLength(Some(length))) => {
                der::element(SEQUENCE, &[&is_ca, &der::element(INTEGER, &[&[length]])])
            }
        }
    }
}

impl ExtendedKeyUsage {
    /// DER of the extension's value.
    pub(crate) fn der(&self) -> Vec<u8> {
        let oids: Vec<_> = self
            .purposes
            .iter()
            .map(|p| der::element(OID, &[p.oid()]))
            .collect();
        let parts: Vec<_> = oids.iter().map(Vec::as_slice).collect();
        der::element(SEQUENCE, &parts)
    }
}
