//! Rules about the certificate's own fields.

use crate::public_key::PublicKey;
use crate::x509::BACKDATE_S;
use crate::x509::anatomy::Moment;
use crate::x509::der::{
    GENERALIZED_TIME, OID, PRINTABLE_STRING, Reader, SEQUENCE, SET, UTC_TIME, UTF8_STRING,
};
use crate::x509::lint::{Examined, Verdict, algorithms, positive};

/// INTEGER 2 means version 3.
const VERSION_3: &[u8] = &[2];
/// 64 bits of randomness would do; 16 octets leave no doubt, 20 are the longest allowed.
const SERIAL_OCTETS_MIN: usize = 16;
const SERIAL_OCTETS_MAX: usize = 20;
const COMMON_NAME: &[u8] = b"\x55\x04\x03";
const COMMON_NAME_MAX: usize = 64;
const SECONDS_PER_DAY: i64 = 86_400;
/// 2050-01-01T00:00:00Z.
const YEAR_2050: i64 = 2_524_608_000;

pub(super) fn version_3(examined: &Examined<'_>) -> Verdict {
    match examined.tbs.version {
        Some(VERSION_3) => Ok(()),
        other => Err(format!("the version field is {other:?}")),
    }
}

pub(super) fn serial_number(examined: &Examined<'_>) -> Verdict {
    let serial = examined.tbs.serial;
    positive(serial, SERIAL_OCTETS_MAX)?;
    if serial.len() < SERIAL_OCTETS_MIN {
        return Err(format!("it has {} octets", serial.len()));
    }
    Ok(())
}

pub(super) fn signature_algorithm(examined: &Examined<'_>) -> Verdict {
    algorithms(
        examined.tbs.algorithm,
        examined.outer_algorithm,
        examined.issuer,
    )
}

pub(super) fn validity_encoding(examined: &Examined<'_>) -> Verdict {
    encoded(&examined.tbs.not_before)?;
    encoded(&examined.tbs.not_after)
}

/// UTCTime up to 2049, GeneralizedTime from 2050, both to the second and in Z.
pub(super) fn encoded(moment: &Moment<'_>) -> Verdict {
    let text = String::from_utf8_lossy(moment.text);
    let Some(time) = moment.unix() else {
        return Err(format!("{text:?} is no time in Z with seconds"));
    };
    let wanted = if time < YEAR_2050 {
        UTC_TIME
    } else {
        GENERALIZED_TIME
    };
    if moment.tag != wanted {
        return Err(format!("{text:?} has the form for the other side of 2050"));
    }
    Ok(())
}

pub(super) fn validity_order(examined: &Examined<'_>) -> Verdict {
    match (
        examined.tbs.not_before.unix(),
        examined.tbs.not_after.unix(),
    ) {
        (Some(begin), Some(end)) if end <= begin => Err(format!("it lasts {} s", end - begin)),
        _ => Ok(()),
    }
}

pub(super) fn validity_within_profile(examined: &Examined<'_>) -> Verdict {
    let (Some(begin), Some(end)) = (
        examined.tbs.not_before.unix(),
        examined.tbs.not_after.unix(),
    ) else {
        return Err("its length cannot be told".to_owned());
    };
    let days = examined.profile.days_max;
    let longest = i64::from(days) * SECONDS_PER_DAY + i64::from(BACKDATE_S);
    if end - begin > longest {
        return Err(format!(
            "it lasts {} s, and {days} days are the most",
            end - begin
        ));
    }
    Ok(())
}

pub(super) fn subject_name(examined: &Examined<'_>) -> Verdict {
    let Some((tag, name)) = only_common_name(examined.tbs.subject) else {
        return Err("it is not exactly one common name".to_owned());
    };
    let printable = name
        .iter()
        .all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    if ![UTF8_STRING, PRINTABLE_STRING].contains(&tag) {
        return Err(format!("its string has tag {tag:#04x}"));
    }
    if !printable || !(1..=COMMON_NAME_MAX).contains(&name.len()) {
        return Err(format!(
            "{:?} is not 1 to 64 printable characters",
            String::from_utf8_lossy(name)
        ));
    }
    Ok(())
}

/// Tag and content of the string, if the name is one RDN with one attribute, a common name.
fn only_common_name(name: &[u8]) -> Option<(u8, &[u8])> {
    fn only<'a>(reader: &mut Reader<'a>, tag: u8) -> Option<Reader<'a>> {
        let element = reader.expect(tag, "").ok()?;
        reader.is_empty().then(|| element.inside())
    }
    let mut rdns = only(&mut Reader::new(name), SEQUENCE)?;
    let mut rdn = only(&mut rdns, SET)?;
    let mut attribute = only(&mut rdn, SEQUENCE)?;
    let kind = attribute.expect(OID, "").ok()?;
    let value = attribute.any().ok()?;
    (kind.content == COMMON_NAME && attribute.is_empty()).then_some((value.tag, value.content))
}

pub(super) fn public_key(examined: &Examined<'_>) -> Verdict {
    // Reads exactly: named curve, uncompressed, on the curve.
    let Some(key) = PublicKey::from_spki_der(examined.tbs.spki) else {
        return Err("it is no uncompressed point on P-256 or P-384".to_owned());
    };
    if !examined.profile.curves.contains(&key.curve()) {
        return Err(format!("the profile does not allow {}", key.curve()));
    }
    Ok(())
}

pub(super) fn no_unique_identifiers(examined: &Examined<'_>) -> Verdict {
    match examined.tbs.unique_ids {
        0 => Ok(()),
        count => Err(format!("there are {count}")),
    }
}
