//! Rules that look at the issuer's certificate as well.

use crate::x509::anatomy::{BASIC_CONSTRAINTS, KEY_USAGE, Tbs};
use crate::x509::lint::{Examined, Verdict};
use crate::x509::profile::IssuedBy;

/// `SEQUENCE { BOOLEAN TRUE`: how the BasicConstraints of every CA begin.
const CA_TRUE: &[u8] = b"\x01\x01\xff";
const KEY_CERT_SIGN: u8 = 0x80 >> 5;
pub(super) const CRL_SIGN: u8 = 0x80 >> 6;

pub(super) fn issuer_name(examined: &Examined<'_>) -> Verdict {
    let (tbs, issuer) = (examined.tbs, examined.issuer);
    if tbs.issuer != issuer.subject {
        return Err("it is not the subject of the issuer's certificate".to_owned());
    }
    let names_itself = tbs.issuer == tbs.subject;
    if names_itself != (examined.profile.issued_by == IssuedBy::Itself) {
        return Err("only a root has its own name as its issuer's".to_owned());
    }
    Ok(())
}

pub(super) fn validity_within_issuer(examined: &Examined<'_>) -> Verdict {
    match (
        examined.tbs.not_after.unix(),
        examined.issuer.not_after.unix(),
    ) {
        (Some(end), Some(limit)) if end > limit => Err(format!(
            "it ends {} s after its issuer's certificate",
            end - limit
        )),
        _ => Ok(()),
    }
}

pub(super) fn issuer_is_ca(examined: &Examined<'_>) -> Verdict {
    is_ca_with(examined.issuer, KEY_CERT_SIGN, "keyCertSign")
}

pub(super) fn is_ca_with(issuer: &Tbs<'_>, usage: u8, name: &'static str) -> Verdict {
    let value = |oid| issuer.extension(oid).unwrap_or(&[]);
    // SEQUENCE and its length, then the flag.
    if !value(BASIC_CONSTRAINTS)
        .get(2..)
        .is_some_and(|rest| rest.starts_with(CA_TRUE))
    {
        return Err("the issuer is no CA".to_owned());
    }
    // BIT STRING, its length, the number of unused bits, then the bits.
    if value(KEY_USAGE).get(3).is_none_or(|bits| bits & usage == 0) {
        return Err(format!("the issuer's key usage lacks {name}"));
    }
    Ok(())
}
