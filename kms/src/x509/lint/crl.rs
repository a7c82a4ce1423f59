//! Rules about revocation lists.

use crate::x509::anatomy::{AUTHORITY_KEY_IDENTIFIER, CRL_NUMBER, Extension, REASON_CODE};
use crate::x509::der::{ENUMERATED, INTEGER, Reader};
use crate::x509::lint::body::encoded;
use crate::x509::lint::chain::{CRL_SIGN, is_ca_with};
use crate::x509::lint::extensions::{Critical, authority_key_identifier_of, hex, holds};
use crate::x509::lint::{ExaminedList, Verdict, algorithms, positive};

/// INTEGER 1 means version 2.
const VERSION_2: &[u8] = &[1];
const NUMBER_OCTETS_MAX: usize = 20;
const SECONDS_PER_DAY: i64 = 86_400;

pub(super) fn version_2(examined: &ExaminedList<'_>) -> Verdict {
    match examined.tbs.version {
        Some(VERSION_2) => Ok(()),
        other => Err(format!("the version field is {other:?}")),
    }
}

pub(super) fn signature_algorithm(examined: &ExaminedList<'_>) -> Verdict {
    algorithms(
        examined.tbs.algorithm,
        examined.outer_algorithm,
        examined.issuer,
    )
}

pub(super) fn issuer(examined: &ExaminedList<'_>) -> Verdict {
    if examined.tbs.issuer != examined.issuer.subject {
        return Err("it is not the subject of the issuer's certificate".to_owned());
    }
    is_ca_with(examined.issuer, CRL_SIGN, "cRLSign")
}

pub(super) fn times(examined: &ExaminedList<'_>) -> Verdict {
    let Some(next) = &examined.tbs.next_update else {
        return Err("nextUpdate is missing".to_owned());
    };
    let this = &examined.tbs.this_update;
    encoded(this)?;
    encoded(next)?;
    let (Some(this), Some(next)) = (this.unix(), next.unix()) else {
        return Err("its life cannot be told".to_owned());
    };
    let days = examined.days_max;
    if next <= this || next - this > i64::from(days) * SECONDS_PER_DAY {
        return Err(format!(
            "nextUpdate lies {} s after thisUpdate, and {days} days are the most",
            next - this
        ));
    }
    Ok(())
}

pub(super) fn extensions_expected(examined: &ExaminedList<'_>) -> Verdict {
    let mut found: Vec<_> = examined.tbs.extensions.iter().map(|e| e.oid).collect();
    found.sort_unstable();
    if found != [CRL_NUMBER, AUTHORITY_KEY_IDENTIFIER] {
        let found: Vec<_> = found.into_iter().map(hex).collect();
        return Err(format!("it has [{}]", found.join(", ")));
    }
    Ok(())
}

pub(super) fn number(examined: &ExaminedList<'_>) -> Verdict {
    let extension = find(&examined.tbs.extensions, CRL_NUMBER)?;
    if extension.critical {
        return Err("it is critical".to_owned());
    }
    let content = only(extension.value, INTEGER).ok_or("it is no INTEGER")?;
    positive(content, NUMBER_OCTETS_MAX)
}

pub(super) fn authority_key_identifier(examined: &ExaminedList<'_>) -> Verdict {
    let extension = find(&examined.tbs.extensions, AUTHORITY_KEY_IDENTIFIER)?;
    holds(
        extension,
        Critical::No,
        &authority_key_identifier_of(examined.issuer)?,
    )
}

pub(super) fn entries(examined: &ExaminedList<'_>) -> Verdict {
    let Some(entries) = &examined.tbs.entries else {
        return Ok(());
    };
    if entries.is_empty() {
        return Err("it is there and empty".to_owned());
    }
    let mut serials = std::collections::BTreeSet::new();
    for entry in entries {
        let serial = hex(entry.serial);
        positive(entry.serial, NUMBER_OCTETS_MAX).map_err(|fault| format!("{serial}: {fault}"))?;
        encoded(&entry.revoked_at)?;
        if entry.revoked_at.unix() > examined.tbs.this_update.unix() {
            return Err(format!("{serial} is revoked after thisUpdate"));
        }
        if !serials.insert(entry.serial) {
            return Err(format!("{serial} is there twice"));
        }
    }
    Ok(())
}

pub(super) fn reasons(examined: &ExaminedList<'_>) -> Verdict {
    for entry in examined.tbs.entries.iter().flatten() {
        let serial = hex(entry.serial);
        match entry.extensions.as_slice() {
            [] => {}
            [reason] if reason.oid == REASON_CODE && !reason.critical => {
                let code = only(reason.value, ENUMERATED);
                let allowed = examined.profile.reasons.iter().map(|reason| reason.code());
                if !allowed.into_iter().any(|allowed| code == Some(&[allowed])) {
                    return Err(format!(
                        "{serial}: reason {} is not allowed",
                        hex(reason.value)
                    ));
                }
            }
            _ => {
                return Err(format!(
                    "{serial}: something else than a reason, not critical"
                ));
            }
        }
    }
    Ok(())
}

fn find<'a>(all: &'a [Extension<'a>], oid: &[u8]) -> Result<&'a Extension<'a>, String> {
    let found = all.iter().find(|extension| extension.oid == oid);
    found.ok_or_else(|| "it is missing".to_owned())
}

/// The content, if the bytes are exactly one element of this tag.
fn only(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    let element = reader.expect(tag, "").ok()?;
    reader.is_empty().then_some(element.content)
}
