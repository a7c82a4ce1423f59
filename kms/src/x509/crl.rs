//! Revocation lists (RFC 5280 section 5), complete and direct.

use std::collections::BTreeSet;

use obol_credential::UnixTime;
use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, RevokedCertParams, SerialNumber,
};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::x509::anatomy::{
    CRL_NUMBER, Entry, REASON_CODE, SUBJECT_KEY_IDENTIFIER, Signed, Tbs, TbsList,
};
use crate::x509::authority::{Parent, date};
use crate::x509::der::{ENUMERATED, INTEGER, OCTET_STRING, Reader};
use crate::x509::issuance::issue;
use crate::x509::pen::{Desk, Pen};
use crate::x509::profile::{ProfileName, RevocationReason};
use crate::x509::{Certificate, CertificateError, Rules, SECONDS_PER_DAY, one_pem_block, to_pem};

/// Largest PEM file with a revocation list, in bytes.
pub const CRL_MAX: usize = 8 * 1024 * 1024;
const LABEL: &str = "X509 CRL";

/// One revocation list, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    der: Vec<u8>,
    number: u64,
}

/// The text is not one PEM revocation list with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not exactly one PEM block X509 CRL with a revocation list and its number in it")]
pub struct NotARevocationList;

/// A certificate to revoke from now on.
#[derive(Debug, Clone, Copy)]
pub struct Revoked<'a> {
    /// The certificate.
    pub certificate: &'a Certificate,
    /// Why, if that is to be said.
    pub reason: Option<RevocationReason>,
}

/// Why no revocation list was made.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// The last list is another authority's, or not signed by this one.
    #[error("the previous revocation list is not signed by this authority")]
    NotMine,
    /// The clock stands before the last list.
    #[error("the previous list was made at {previous}, after now, {now} (seconds since 1970)")]
    Clock {
        /// thisUpdate of the previous list.
        previous: UnixTime,
        /// Now.
        now: UnixTime,
    },
    /// Numbers of lists here fit 64 bits.
    #[error("the previous list has the last number there is, {0}")]
    Number(u64),
    /// This authority has not issued it.
    #[error("certificate {0} was not issued by this authority")]
    NotIssuedHere(String),
    /// It is revoked already, or named twice.
    #[error("certificate {0} is revoked already")]
    Already(String),
    /// The entries of the last list cannot be carried over.
    #[error("the previous list has an entry that cannot be carried over")]
    Entry,
    /// The list was not signed.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl RevocationList {
    /// Reads exactly one PEM revocation list (RFC 7468).
    ///
    /// # Errors
    /// [`NotARevocationList`].
    pub fn from_pem(pem: &[u8]) -> Result<RevocationList, NotARevocationList> {
        let der = one_pem_block(pem, LABEL).ok_or(NotARevocationList)?;
        RevocationList::from_der(der)
    }

    fn from_der(der: Vec<u8>) -> Result<RevocationList, NotARevocationList> {
        let list = read(&der).ok_or(NotARevocationList)?;
        let number = list
            .extension(CRL_NUMBER)
            .and_then(number)
            .ok_or(NotARevocationList)?;
        Ok(RevocationList { der, number })
    }

    /// The DER bytes.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// PEM text (RFC 7468) with a newline at its end.
    pub fn to_pem(&self) -> String {
        to_pem(LABEL, &self.der)
    }

    /// Counts up with each list of an authority (RFC 5280 section 5.2.3).
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Serial numbers of the certificates that it revokes, lower-case hexadecimal, in its order.
    pub fn serials(&self) -> Vec<String> {
        let entries = read(&self.der).and_then(|list| list.entries);
        let entries = entries.into_iter().flatten();
        entries.map(|entry| hex(entry.serial)).collect()
    }

    /// Whether this authority's key signed it.
    pub fn is_signed_by(&self, authority: &Certificate) -> bool {
        let list = CertificateRevocationList::from_der(&self.der);
        match (authority.parse(), list) {
            (Ok(authority), Ok((_, list))) => list.verify_signature(authority.public_key()).is_ok(),
            _ => false,
        }
    }

    /// The clock by which it was made; `None` for a time outside of what counts.
    pub fn this_update(&self) -> Option<UnixTime> {
        read(&self.der).and_then(|list| list.this_update.clamped())
    }
}

impl Parent<'_> {
    pub(super) fn issue_crl(
        &self,
        rules: &Rules,
        desk: &dyn Desk,
        days: u32,
        previous: Option<&RevocationList>,
        revoked: &[Revoked<'_>],
        now: UnixTime,
    ) -> Result<RevocationList, CrlError> {
        let next_update = UnixTime(now.0.saturating_add(days.saturating_mul(SECONDS_PER_DAY)));
        let params = CertificateRevocationListParams {
            this_update: date(now)?,
            next_update: date(next_update)?,
            crl_number: SerialNumber::from_slice(&next_number(previous)?),
            issuing_distribution_point: None,
            revoked_certs: self.entries(previous, revoked, now)?,
            key_identifier_method: KeyIdMethod::PreSpecified(self.key_identifier()?),
        };
        let issuer_der = self.certificate.as_der();
        let build = |pen: &Pen<'_>| {
            let issuer = Issuer::from_ca_cert_der(&issuer_der.into(), pen)?;
            Ok(params.signed_by(&issuer)?.der().to_vec())
        };
        let lint = |der: &[u8]| {
            let findings = rules.lints.list(der, issuer_der, &rules.profiles.crl, days);
            rules.unwaived(findings, ProfileName::Crl, now)
        };
        let der = issue(self.public, desk, build, lint)?;
        RevocationList::from_der(der)
            .map_err(|fault| CertificateError::Encoding(fault.to_string()).into())
    }

    /// The entries of the last list, and the new ones: nothing revoked comes back.
    fn entries(
        &self,
        previous: Option<&RevocationList>,
        revoked: &[Revoked<'_>],
        now: UnixTime,
    ) -> Result<Vec<RevokedCertParams>, CrlError> {
        let mut all = match previous {
            Some(previous) => self.carried_over(previous, now)?,
            None => Vec::new(),
        };
        let mut serials: BTreeSet<Vec<u8>> = all
            .iter()
            .map(|entry| entry.serial_number.to_bytes())
            .collect();
        for one in revoked {
            let serial = self.serial_issued_here(one.certificate)?;
            if !serials.insert(serial.clone()) {
                return Err(CrlError::Already(hex(&serial)));
            }
            all.push(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&serial),
                revocation_time: date(now)?,
                reason_code: one.reason.map(RevocationReason::builders),
                invalidity_date: None,
            });
        }
        Ok(all)
    }

    fn carried_over(
        &self,
        previous: &RevocationList,
        now: UnixTime,
    ) -> Result<Vec<RevokedCertParams>, CrlError> {
        let x509 = self.certificate.parse().map_err(|_| CrlError::NotMine)?;
        let (_, signed) =
            CertificateRevocationList::from_der(&previous.der).map_err(|_| CrlError::NotMine)?;
        signed
            .verify_signature(x509.public_key())
            .map_err(|_| CrlError::NotMine)?;
        let list = read(&previous.der).ok_or(CrlError::NotMine)?;
        if list.issuer != x509.subject().as_raw() {
            return Err(CrlError::NotMine);
        }
        let made_at = list.this_update.clamped().ok_or(CrlError::Entry)?;
        if made_at > now {
            let previous = made_at;
            return Err(CrlError::Clock { previous, now });
        }
        list.entries.iter().flatten().map(carry_over).collect()
    }

    fn serial_issued_here(&self, certificate: &Certificate) -> Result<Vec<u8>, CrlError> {
        let stranger = || CrlError::NotIssuedHere("that cannot be read".to_owned());
        let (issuer, x509) = (self.certificate.parse(), certificate.parse());
        let (Ok(issuer), Ok(x509)) = (issuer, x509) else {
            return Err(stranger());
        };
        let serial = x509.raw_serial().to_vec();
        let issued = x509.issuer().as_raw() == issuer.subject().as_raw()
            && x509.verify_signature(Some(issuer.public_key())).is_ok();
        if !issued {
            return Err(CrlError::NotIssuedHere(hex(&serial)));
        }
        Ok(serial)
    }

    /// The authority's SubjectKeyIdentifier as its certificate has it.
    fn key_identifier(&self) -> Result<Vec<u8>, CertificateError> {
        let fault = || CertificateError::Encoding("the authority has no key identifier".to_owned());
        let signed = Signed::read(self.certificate.as_der()).map_err(|_| fault())?;
        let tbs = Tbs::read(signed.tbs).map_err(|_| fault())?;
        let value = tbs.extension(SUBJECT_KEY_IDENTIFIER).ok_or_else(fault)?;
        let identifier = Reader::new(value)
            .expect(OCTET_STRING, "")
            .map_err(|_| fault())?;
        Ok(identifier.content.to_vec())
    }
}

fn read(der: &[u8]) -> Option<TbsList<'_>> {
    TbsList::read(Signed::read(der).ok()?.tbs).ok()
}

/// Shortest octets of a positive INTEGER.
fn next_number(previous: Option<&RevocationList>) -> Result<Vec<u8>, CrlError> {
    let last = previous.map_or(0, RevocationList::number);
    let next = last.checked_add(1).ok_or(CrlError::Number(last))?;
    let octets = next.to_be_bytes();
    let first = octets.iter().position(|octet| *octet != 0).unwrap_or(0);
    Ok(octets[first..].to_vec())
}

fn number(extension: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(extension);
    let integer = reader.expect(INTEGER, "").ok()?.content;
    if !reader.is_empty() || integer.first().is_none_or(|first| *first >= 0x80) {
        return None;
    }
    integer.iter().try_fold(0u64, |number, octet| {
        number
            .checked_mul(256)
            .map(|number| number + u64::from(*octet))
    })
}

fn carry_over(entry: &Entry<'_>) -> Result<RevokedCertParams, CrlError> {
    let revoked_at = entry.revoked_at.clamped().ok_or(CrlError::Entry)?;
    let reason = match entry.extensions.as_slice() {
        [] => None,
        [reason] if reason.oid == REASON_CODE => {
            Some(reason_of(reason.value).ok_or(CrlError::Entry)?)
        }
        _ => return Err(CrlError::Entry),
    };
    Ok(RevokedCertParams {
        serial_number: SerialNumber::from_slice(entry.serial),
        revocation_time: date(revoked_at)?,
        reason_code: reason.map(RevocationReason::builders),
        invalidity_date: None,
    })
}

fn reason_of(value: &[u8]) -> Option<RevocationReason> {
    let code = Reader::new(value).expect(ENUMERATED, "").ok()?.content;
    RevocationReason::ALL
        .into_iter()
        .find(|reason| code == [reason.code()])
}

impl RevocationReason {
    fn builders(self) -> rcgen::RevocationReason {
        match self {
            RevocationReason::KeyCompromise => rcgen::RevocationReason::KeyCompromise,
            RevocationReason::CaCompromise => rcgen::RevocationReason::CaCompromise,
            RevocationReason::AffiliationChanged => rcgen::RevocationReason::AffiliationChanged,
            RevocationReason::Superseded => rcgen::RevocationReason::Superseded,
            RevocationReason::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
            RevocationReason::PrivilegeWithdrawn => rcgen::RevocationReason::PrivilegeWithdrawn,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
