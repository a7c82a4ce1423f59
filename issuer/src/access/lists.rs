//! The file of revocation lists: one of each access CA that is trusted, in PEM.

use std::path::Path;

use obol_console::read_limited;
use obol_credential::UnixTime;
use obol_transport::CaCertificate;
use rcgen::{RevokedCertParams, SerialNumber};
use time::OffsetDateTime;
use x509_parser::der_parser::num_bigint::BigUint;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::{AccessError, PEM_MAX};
use crate::expiry::seconds;

/// The lists of a file, DER.
pub(super) struct Lists {
    all: Vec<Vec<u8>>,
}

/// What the next list of a CA goes on from.
pub(super) struct Last {
    pub(super) number: u64,
    pub(super) entries: Vec<RevokedCertParams>,
}

impl Last {
    /// Before the first list.
    pub(super) const NONE: Self = Self {
        number: 0,
        entries: Vec::new(),
    };
}

impl Lists {
    /// None where there is no file yet.
    pub(super) fn read(path: &Path) -> Result<Self, AccessError> {
        if !path.exists() {
            return Ok(Self { all: Vec::new() });
        }
        let pem = read_limited(path, PEM_MAX)?;
        let all = Pem::iter_from_buffer(&pem).map(|section| {
            let section = section.map_err(|_| unusable(path, "not PEM"))?;
            let list = CertificateRevocationList::from_der(&section.contents);
            list.map_err(|_| unusable(path, "no revocation list"))?;
            Ok(section.contents)
        });
        let all: Vec<_> = all.collect::<Result<_, AccessError>>()?;
        match all.is_empty() {
            true => Err(unusable(path, "not PEM")),
            false => Ok(Self { all }),
        }
    }

    /// The newest of a CA: its officers append their next one to the file.
    pub(super) fn of(&self, ca: &CaCertificate) -> Option<&[u8]> {
        let own = self.all.iter().filter(|list| ca.listed(list));
        own.max_by_key(|list| number(list)).map(Vec::as_slice)
    }

    /// Whether each is of one of these, and none is the second of its CA.
    pub(super) fn are_one_each<'a>(
        &self,
        cas: impl Iterator<Item = &'a CaCertificate> + Clone,
    ) -> bool {
        let known = |list: &Vec<u8>| cas.clone().any(|ca| ca.listed(list));
        let has_two = |ca: &CaCertificate| {
            let own = self.all.iter().filter(|list| ca.listed(list));
            own.count() > 1
        };
        self.all.iter().all(known) && !cas.clone().any(has_two)
    }
}

/// CRL numbers as they are compared, whatever their length; none is below all.
fn number(list: &[u8]) -> Option<BigUint> {
    let (_, list) = CertificateRevocationList::from_der(list).ok()?;
    list.crl_number().cloned()
}

/// Whether half of a list's life is over.
pub(super) fn is_half_over(list: &[u8], now: UnixTime) -> bool {
    let Ok((_, list)) = CertificateRevocationList::from_der(list) else {
        return true;
    };
    let Some(next) = list.next_update().map(seconds) else {
        return true;
    };
    let made = seconds(list.last_update());
    now.0 >= made.0 + next.0.saturating_sub(made.0) / 2
}

/// Whether a list names a certificate.
pub(super) fn names(list: &[u8], serial: &[u8]) -> bool {
    let Ok((_, list)) = CertificateRevocationList::from_der(list) else {
        return false;
    };
    list.iter_revoked_certificates()
        .any(|entry| entry.raw_serial() == serial)
}

/// Number and entries of a list.
pub(super) fn last(list: &[u8], path: &Path) -> Result<Last, AccessError> {
    let (_, list) = CertificateRevocationList::from_der(list)
        .map_err(|_| unusable(path, "no revocation list"))?;
    let digits = list.crl_number().map(|number| number.to_u64_digits());
    let number = match digits.as_deref() {
        None | Some([]) => 0,
        Some([number]) => *number,
        Some(_) => return Err(unusable(path, "its number has more than 64 bits")),
    };
    let entries = list.iter_revoked_certificates().map(|entry| {
        let time = OffsetDateTime::from_unix_timestamp(entry.revocation_date.timestamp());
        Ok::<_, AccessError>(RevokedCertParams {
            serial_number: SerialNumber::from_slice(entry.raw_serial()),
            revocation_time: time.map_err(|_| unusable(path, "an entry has no time"))?,
            reason_code: None,
            invalidity_date: None,
        })
    });
    let entries = entries.collect::<Result<_, _>>()?;
    Ok(Last { number, entries })
}

fn unusable(path: &Path, reason: &'static str) -> AccessError {
    AccessError::Unusable {
        path: path.to_owned(),
        reason,
    }
}
