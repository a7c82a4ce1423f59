//! The two authorities: the root, and the access CA below it.

use obol_credential::UnixTime;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyIdMethod, KeyUsagePurpose, SerialNumber,
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::keys::Key;
use crate::public_key::PublicKey;
use crate::token::Token;
use crate::x509::anatomy::{BASIC_CONSTRAINTS, KEY_USAGE, Signed, Tbs};
use crate::x509::crl::{CrlError, RevocationList, Revoked};
use crate::x509::issuance::issue;
use crate::x509::pen::{Desk, Pen, Subject, TokenDesk};
use crate::x509::profile::{CertificateProfile, KeyUsage, PathLength, Profile, ProfileName};
use crate::x509::scope::SCOPE_EXTENSION;
use crate::x509::{
    Certificate, CertificateError, CertificateRequest, IdentityProfile, Rules, Scope, Validity,
};

/// Bytes of a serial number: RFC 5280 section 4.1.2.2 allows 20, all of them random here.
const SERIAL_LEN: u32 = 20;
/// RFC 7093 section 2, method 1: the first 160 bits of SHA-256 over the public key.
const KEY_IDENTIFIER_LEN: usize = 20;
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

/// The root CA: its certificate, and the token that holds its key.
#[derive(Debug)]
pub struct RootCa<'a>(Authority<'a>);

/// The access CA: it names services and terminals on mTLS, and nothing else.
#[derive(Debug)]
pub struct AccessCa<'a>(Authority<'a>);

impl<'a> RootCa<'a> {
    /// Signs the root's own certificate with `key`, by the built-in rules: the first thing the key
    /// ever signs.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn create(
        token: &Token,
        key: &Key,
        common_name: &str,
        validity: Validity,
    ) -> Result<Certificate, CertificateError> {
        RootCa::create_by(&Rules::built_in(), token, key, common_name, validity)
    }

    /// The same by other rules.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn create_by(
        rules: &Rules,
        token: &Token,
        key: &Key,
        common_name: &str,
        validity: Validity,
    ) -> Result<Certificate, CertificateError> {
        let desk = TokenDesk { token, key };
        self_signed(rules, &desk, key.public(), common_name, validity)
    }

    /// Takes the root's certificate and finds its key in `token` by the SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`CertificateError`]: not a self-signed CA certificate, or the key is not there.
    pub fn open(token: &'a Token, certificate: Certificate) -> Result<Self, CertificateError> {
        Authority::open(token, certificate, CertificateProfile::Root).map(RootCa)
    }

    /// Issues by these rules instead of the built-in ones.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        RootCa(self.0.with_rules(rules))
    }

    /// Issues the access CA's certificate: CA, path length 0.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn issue_access_ca(
        &self,
        subject: &PublicKey,
        common_name: &str,
        validity: Validity,
    ) -> Result<Certificate, CertificateError> {
        let profile = self
            .0
            .rules
            .profiles
            .certificate(CertificateProfile::AccessCa);
        let params = self.0.params(profile, common_name, validity)?;
        self.0.issue(profile, params, subject, validity)
    }

    /// Issues an issuer's certificate: no CA, digitalSignature, the critical usage "obol credential
    /// issuer" and its scope.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn issue_issuer(
        &self,
        subject: &PublicKey,
        common_name: &str,
        scope: &Scope,
        validity: Validity,
    ) -> Result<Certificate, CertificateError> {
        let profile = self
            .0
            .rules
            .profiles
            .certificate(CertificateProfile::Issuer);
        let mut params = self.0.params(profile, common_name, validity)?;
        let scope = CustomExtension::from_oid_content(SCOPE_EXTENSION, scope.to_der());
        params.custom_extensions.push(scope);
        self.0.issue(profile, params, subject, validity)
    }

    /// Issues the root's next revocation list; `previous` is the last one, `None` only for the
    /// first.
    ///
    /// # Errors
    /// [`CrlError`].
    pub fn issue_crl(
        &self,
        previous: Option<&RevocationList>,
        revoked: &[Revoked<'_>],
        now: UnixTime,
    ) -> Result<RevocationList, CrlError> {
        let days = self.0.rules.profiles.crl.root_days;
        self.0.issue_crl(days, previous, revoked, now)
    }
}

impl<'a> AccessCa<'a> {
    /// Takes the access CA's certificate and finds its key in `token` by the SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`CertificateError`]: not a CA certificate of path length 0, or the key is not there.
    pub fn open(token: &'a Token, certificate: Certificate) -> Result<Self, CertificateError> {
        Authority::open(token, certificate, CertificateProfile::AccessCa).map(AccessCa)
    }

    /// Issues by these rules instead of the built-in ones.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        AccessCa(self.0.with_rules(rules))
    }

    /// Issues an identity: P-256, the request's one `obol://` name, usages of the profile.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn issue_identity(
        &self,
        request: &CertificateRequest,
        profile: IdentityProfile,
        validity: Validity,
    ) -> Result<Certificate, CertificateError> {
        let names = request.names_for(profile)?;
        let profile = self.0.rules.profiles.certificate(match profile {
            IdentityProfile::Server => CertificateProfile::Server,
            IdentityProfile::Client => CertificateProfile::Client,
            IdentityProfile::Terminal => CertificateProfile::Terminal,
        });
        let mut params = self.0.params(profile, &request.common_name(), validity)?;
        params.subject_alt_names = names;
        self.0.issue(profile, params, request.public(), validity)
    }

    /// Issues the access CA's next revocation list; `previous` is the last one, `None` only for the
    /// first.
    ///
    /// # Errors
    /// [`CrlError`].
    pub fn issue_crl(
        &self,
        previous: Option<&RevocationList>,
        revoked: &[Revoked<'_>],
        now: UnixTime,
    ) -> Result<RevocationList, CrlError> {
        let days = self.0.rules.profiles.crl.access_ca_days;
        self.0.issue_crl(days, previous, revoked, now)
    }
}

#[derive(Debug)]
pub(super) struct Authority<'a> {
    token: &'a Token,
    key: Key,
    certificate: Certificate,
    not_after: UnixTime,
    rules: Rules,
}

impl<'a> Authority<'a> {
    fn open(
        token: &'a Token,
        certificate: Certificate,
        kind: CertificateProfile,
    ) -> Result<Authority<'a>, CertificateError> {
        let rules = Rules::built_in();
        let profile = rules.profiles.certificate(kind);
        let (public, not_after) = authority_of(&certificate, profile)?;
        let key = token.key(public.spki_id())?;
        Ok(Authority {
            token,
            key,
            certificate,
            not_after,
            rules,
        })
    }

    fn with_rules(self, rules: Rules) -> Self {
        Authority { rules, ..self }
    }

    fn desk(&self) -> TokenDesk<'_> {
        let (token, key) = (self.token, &self.key);
        TokenDesk { token, key }
    }

    fn params(
        &self,
        profile: &Profile,
        common_name: &str,
        validity: Validity,
    ) -> Result<CertificateParams, CertificateError> {
        params(&self.desk(), profile, common_name, validity)
    }

    fn issue(
        &self,
        profile: &Profile,
        params: CertificateParams,
        subject: &PublicKey,
        validity: Validity,
    ) -> Result<Certificate, CertificateError> {
        if validity.not_after > self.not_after {
            let (wanted, limit) = (validity.not_after, self.not_after);
            return Err(CertificateError::Outlives { wanted, limit });
        }
        let parent = Parent {
            public: self.key.public(),
            certificate: &self.certificate,
        };
        certify(
            &self.rules,
            &self.desk(),
            &parent,
            profile,
            params,
            subject,
            validity,
        )
    }

    fn issue_crl(
        &self,
        days: u32,
        previous: Option<&RevocationList>,
        revoked: &[Revoked<'_>],
        now: UnixTime,
    ) -> Result<RevocationList, CrlError> {
        let parent = Parent {
            public: self.key.public(),
            certificate: &self.certificate,
        };
        parent.issue_crl(&self.rules, &self.desk(), days, previous, revoked, now)
    }
}

/// The issuing certificate.
pub(super) struct Parent<'a> {
    pub(super) public: &'a PublicKey,
    pub(super) certificate: &'a Certificate,
}

/// Key and end of an authority's certificate that fits its profile.
fn authority_of(
    certificate: &Certificate,
    profile: &Profile,
) -> Result<(PublicKey, UnixTime), CertificateError> {
    let kind = match profile.name {
        ProfileName::Root => "root CA",
        _ => "access CA",
    };
    let refused = || CertificateError::NotThisAuthority(kind);
    let tbs = Signed::read(certificate.as_der()).and_then(|signed| Tbs::read(signed.tbs));
    let tbs = tbs.map_err(|_| refused())?;
    let names_itself = tbs.issuer == tbs.subject;
    let fits = tbs.extension(KEY_USAGE) == Some(profile.key_usage_der().as_slice())
        && tbs.extension(BASIC_CONSTRAINTS) == Some(profile.basic_constraints_der().as_slice())
        && names_itself == (profile.name == ProfileName::Root);
    let public = PublicKey::from_spki_der(tbs.spki)
        .filter(|_| fits)
        .ok_or_else(refused)?;
    Ok((public, tbs.not_after.clamped().ok_or_else(refused)?))
}

pub(super) fn self_signed(
    rules: &Rules,
    desk: &dyn Desk,
    public: &PublicKey,
    common_name: &str,
    validity: Validity,
) -> Result<Certificate, CertificateError> {
    let profile = rules.profiles.certificate(CertificateProfile::Root);
    let mut params = params(desk, profile, common_name, validity)?;
    params.key_identifier_method = key_identifier(public);
    let build = |pen: &Pen<'_>| Ok(params.self_signed(pen)?.der().to_vec());
    let lint = |der: &[u8]| {
        let findings = rules.lints.certificate(der, None, profile);
        rules.unwaived(findings, profile.name, validity.made_at())
    };
    issue(public, desk, build, lint).map(Certificate::from_checked_der)
}

pub(super) fn certify(
    rules: &Rules,
    desk: &dyn Desk,
    parent: &Parent<'_>,
    profile: &Profile,
    mut params: CertificateParams,
    subject: &PublicKey,
    validity: Validity,
) -> Result<Certificate, CertificateError> {
    params.key_identifier_method = key_identifier(subject);
    let parent_der = parent.certificate.as_der();
    let build = |pen: &Pen<'_>| {
        let issuer = Issuer::from_ca_cert_der(&parent_der.into(), pen)?;
        Ok(params.signed_by(&Subject(subject), &issuer)?.der().to_vec())
    };
    let lint = |der: &[u8]| {
        let findings = rules.lints.certificate(der, Some(parent_der), profile);
        rules.unwaived(findings, profile.name, validity.made_at())
    };
    issue(parent.public, desk, build, lint).map(Certificate::from_checked_der)
}

/// What the profile and the subject's name decide. Every default of the builder is replaced: its own
/// are a validity from 1975 to 4096, a common name of its own invention, and key identifiers over
/// more than the key.
pub(super) fn params(
    desk: &dyn Desk,
    profile: &Profile,
    common_name: &str,
    validity: Validity,
) -> Result<CertificateParams, CertificateError> {
    let printable = common_name
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if common_name.is_empty() || common_name.len() > 64 || !printable {
        return Err(CertificateError::CommonName(common_name.to_owned()));
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date(validity.not_before)?;
    params.not_after = date(validity.not_after)?;
    params.serial_number = Some(serial(desk)?);
    params.use_authority_key_identifier_extension = true;
    params.is_ca = match profile.ca {
        None => IsCa::ExplicitNoCa,
        Some(PathLength(None)) => IsCa::Ca(BasicConstraints::Unconstrained),
        Some(PathLength(Some(length))) => IsCa::Ca(BasicConstraints::Constrained(length)),
    };
    params.key_usages = profile
        .key_usage
        .iter()
        .copied()
        .map(KeyUsage::builders)
        .collect();
    if let Some(usage) = &profile.extended_key_usage {
        // Written by hand because the builder cannot mark the usage critical.
        let mut extension = CustomExtension::from_oid_content(EXTENDED_KEY_USAGE, usage.der());
        extension.set_criticality(usage.critical);
        params.custom_extensions.push(extension);
    }
    Ok(params)
}

impl KeyUsage {
    fn builders(self) -> KeyUsagePurpose {
        match self {
            KeyUsage::DigitalSignature => KeyUsagePurpose::DigitalSignature,
            KeyUsage::KeyCertSign => KeyUsagePurpose::KeyCertSign,
            KeyUsage::CrlSign => KeyUsagePurpose::CrlSign,
        }
    }
}

pub(super) fn date(time: UnixTime) -> Result<OffsetDateTime, CertificateError> {
    OffsetDateTime::from_unix_timestamp(i64::from(time.0))
        .map_err(|error| CertificateError::Encoding(error.to_string()))
}

/// 20 random bytes of the token. The first lies in 0x40..=0x7f: positive, and never shorter.
fn serial(desk: &dyn Desk) -> Result<SerialNumber, CertificateError> {
    let mut bytes = desk.random(SERIAL_LEN).map_err(CertificateError::Random)?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn key_identifier(public: &PublicKey) -> KeyIdMethod {
    let digest = Sha256::digest(public.as_sec1());
    KeyIdMethod::PreSpecified(digest[..KEY_IDENTIFIER_LEN].to_vec())
}
