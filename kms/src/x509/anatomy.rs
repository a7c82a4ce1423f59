//! Certificates and revocation lists in their parts, each part with its own bytes. What is not DER
//! of RFC 5280's structures is refused here, so that no rule has to doubt what it looks at.

use obol_credential::UnixTime;
use time::{Date, Month, PrimitiveDateTime, Time as TimeOfDay};

use crate::x509::der::{
    BIT_STRING, BOOLEAN, Element, GENERALIZED_TIME, INTEGER, NotDer, OCTET_STRING, OID, Reader,
    SEQUENCE, UTC_TIME,
};

const VERSION: u8 = 0xa0;
const ISSUER_UNIQUE_ID: u8 = 0x81;
const SUBJECT_UNIQUE_ID: u8 = 0x82;
const CERTIFICATE_EXTENSIONS: u8 = 0xa3;
const CRL_EXTENSIONS: u8 = 0xa0;
/// DER writes TRUE so, and FALSE by default: not at all.
const TRUE: &[u8] = &[0xff];

/// Contents of the OBJECT IDENTIFIERs of extensions (RFC 5280 sections 4.2.1 and 5.2).
pub(crate) const SUBJECT_KEY_IDENTIFIER: &[u8] = b"\x55\x1d\x0e";
pub(crate) const KEY_USAGE: &[u8] = b"\x55\x1d\x0f";
pub(crate) const SUBJECT_ALT_NAME: &[u8] = b"\x55\x1d\x11";
pub(crate) const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
pub(crate) const CRL_NUMBER: &[u8] = b"\x55\x1d\x14";
pub(crate) const REASON_CODE: &[u8] = b"\x55\x1d\x15";
pub(crate) const AUTHORITY_KEY_IDENTIFIER: &[u8] = b"\x55\x1d\x23";
pub(crate) const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1d\x25";
/// 1.3.6.1.4.1.59999.1.2.
pub(crate) const SCOPE: &[u8] = b"\x2b\x06\x01\x04\x01\x83\xd4\x5f\x01\x02";

/// TBSCertificate (RFC 5280 section 4.1.1.1).
#[derive(Debug, Clone)]
pub(crate) struct Tbs<'a> {
    /// Content of the INTEGER; `None` where the default, version 1, applies.
    pub(crate) version: Option<&'a [u8]>,
    /// Content of the INTEGER.
    pub(crate) serial: &'a [u8],
    /// AlgorithmIdentifier, all its bytes.
    pub(crate) algorithm: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) not_before: Moment<'a>,
    pub(crate) not_after: Moment<'a>,
    pub(crate) subject: &'a [u8],
    pub(crate) spki: &'a [u8],
    pub(crate) unique_ids: usize,
    pub(crate) extensions: Vec<Extension<'a>>,
}

/// A signed structure: what was signed, and by which algorithm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) tbs: &'a [u8],
    /// AlgorithmIdentifier, all its bytes.
    pub(crate) algorithm: &'a [u8],
}

/// A time as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment<'a> {
    pub(crate) tag: u8,
    pub(crate) text: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extension<'a> {
    /// Content of the OBJECT IDENTIFIER.
    pub(crate) oid: &'a [u8],
    pub(crate) critical: bool,
    pub(crate) value: &'a [u8],
}

/// TBSCertList (RFC 5280 section 5.1).
#[derive(Debug, Clone)]
pub(crate) struct TbsList<'a> {
    pub(crate) version: Option<&'a [u8]>,
    pub(crate) algorithm: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) this_update: Moment<'a>,
    pub(crate) next_update: Option<Moment<'a>>,
    /// `None` where the list of entries is absent; RFC 5280 has no empty one.
    pub(crate) entries: Option<Vec<Entry<'a>>>,
    pub(crate) extensions: Vec<Extension<'a>>,
}

/// One revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) serial: &'a [u8],
    pub(crate) revoked_at: Moment<'a>,
    pub(crate) extensions: Vec<Extension<'a>>,
}

impl<'a> Signed<'a> {
    /// Certificate and CertificateList are both SEQUENCE { TBS, AlgorithmIdentifier, BIT STRING }.
    pub(crate) fn read(der: &'a [u8]) -> Result<Signed<'a>, NotDer> {
        let mut outer = Reader::new(der);
        let signed = outer.expect(SEQUENCE, "a signed structure")?;
        outer.finish()?;
        let mut inner = signed.inside();
        let tbs = inner.expect(SEQUENCE, "what is signed")?.whole;
        let algorithm = inner.expect(SEQUENCE, "an AlgorithmIdentifier")?.whole;
        inner.expect(BIT_STRING, "a signature")?;
        inner.finish()?;
        Ok(Signed { tbs, algorithm })
    }
}

impl<'a> Tbs<'a> {
    pub(crate) fn read(der: &'a [u8]) -> Result<Tbs<'a>, NotDer> {
        let mut inner = only_sequence(der, "a TBSCertificate")?;
        let version = match inner.optional(VERSION)? {
            Some(explicit) => Some(only_integer(&explicit)?),
            None => None,
        };
        let serial = inner.expect(INTEGER, "a serial number")?.content;
        let algorithm = inner.expect(SEQUENCE, "an AlgorithmIdentifier")?.whole;
        let issuer = inner.expect(SEQUENCE, "the issuer's name")?.whole;
        let mut validity = inner.expect(SEQUENCE, "a validity")?.inside();
        let (not_before, not_after) = (Moment::read(&mut validity)?, Moment::read(&mut validity)?);
        validity.finish()?;
        let subject = inner.expect(SEQUENCE, "the subject's name")?.whole;
        let spki = inner.expect(SEQUENCE, "a SubjectPublicKeyInfo")?.whole;
        let unique_ids = usize::from(inner.optional(ISSUER_UNIQUE_ID)?.is_some())
            + usize::from(inner.optional(SUBJECT_UNIQUE_ID)?.is_some());
        let extensions = wrapped_extensions(&mut inner, CERTIFICATE_EXTENSIONS)?;
        inner.finish()?;
        Ok(Tbs {
            version,
            serial,
            algorithm,
            issuer,
            not_before,
            not_after,
            subject,
            spki,
            unique_ids,
            extensions,
        })
    }
}

impl<'a> Tbs<'a> {
    /// The value of the first extension `oid`.
    pub(crate) fn extension(&self, oid: &[u8]) -> Option<&'a [u8]> {
        value_of(&self.extensions, oid)
    }
}

fn value_of<'a>(extensions: &[Extension<'a>], oid: &[u8]) -> Option<&'a [u8]> {
    let found = extensions.iter().find(|extension| extension.oid == oid);
    found.map(|extension| extension.value)
}

impl<'a> TbsList<'a> {
    /// The value of the first extension `oid`.
    pub(crate) fn extension(&self, oid: &[u8]) -> Option<&'a [u8]> {
        value_of(&self.extensions, oid)
    }

    pub(crate) fn read(der: &'a [u8]) -> Result<TbsList<'a>, NotDer> {
        let mut inner = only_sequence(der, "a TBSCertList")?;
        let version = inner.optional(INTEGER)?.map(|version| version.content);
        let algorithm = inner.expect(SEQUENCE, "an AlgorithmIdentifier")?.whole;
        let issuer = inner.expect(SEQUENCE, "the issuer's name")?.whole;
        let this_update = Moment::read(&mut inner)?;
        let next_update = Moment::read_optional(&mut inner)?;
        let entries = match inner.optional(SEQUENCE)? {
            None => None,
            Some(list) => Some(read_all(list.inside(), Entry::read)?),
        };
        let extensions = wrapped_extensions(&mut inner, CRL_EXTENSIONS)?;
        inner.finish()?;
        Ok(TbsList {
            version,
            algorithm,
            issuer,
            this_update,
            next_update,
            entries,
            extensions,
        })
    }
}

impl<'a> Entry<'a> {
    fn read(inside: &mut Reader<'a>) -> Result<Entry<'a>, NotDer> {
        let mut entry = inside.expect(SEQUENCE, "a revoked certificate")?.inside();
        let serial = entry.expect(INTEGER, "a serial number")?.content;
        let revoked_at = Moment::read(&mut entry)?;
        let extensions = match entry.optional(SEQUENCE)? {
            None => Vec::new(),
            Some(list) => read_all(list.inside(), Extension::read)?,
        };
        entry.finish()?;
        Ok(Entry {
            serial,
            revoked_at,
            extensions,
        })
    }
}

impl<'a> Extension<'a> {
    fn read(inside: &mut Reader<'a>) -> Result<Extension<'a>, NotDer> {
        let element = inside.expect(SEQUENCE, "an extension")?;
        let mut inner = element.inside();
        let oid = inner.expect(OID, "an OBJECT IDENTIFIER")?.content;
        let critical = match inner.optional(BOOLEAN)? {
            None => false,
            Some(value) if value.content == TRUE => true,
            // A default that is written out is not DER (X.690 section 11.5).
            Some(_) => return Err(inner.fault("no BOOLEAN but TRUE before here")),
        };
        let value = inner.expect(OCTET_STRING, "an extension's value")?.content;
        inner.finish()?;
        Ok(Extension {
            oid,
            critical,
            value,
        })
    }
}

impl<'a> Moment<'a> {
    fn read(inner: &mut Reader<'a>) -> Result<Moment<'a>, NotDer> {
        match Moment::read_optional(inner)? {
            Some(moment) => Ok(moment),
            None => Err(inner.fault("a time")),
        }
    }

    fn read_optional(inner: &mut Reader<'a>) -> Result<Option<Moment<'a>>, NotDer> {
        for tag in [UTC_TIME, GENERALIZED_TIME] {
            if let Some(time) = inner.optional(tag)? {
                let text = time.content;
                return Ok(Some(Moment { tag, text }));
            }
        }
        Ok(None)
    }

    /// Seconds since 1970 of `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 section 4.1.2.5).
    pub(crate) fn unix(&self) -> Option<i64> {
        let text = std::str::from_utf8(self.text).ok()?.strip_suffix('Z')?;
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (year, rest) = match (self.tag, text.len()) {
            (UTC_TIME, 12) => (two_digit_year(text.get(..2)?)?, text.get(2..)?),
            (GENERALIZED_TIME, 14) => (text.get(..4)?.parse().ok()?, text.get(4..)?),
            _ => return None,
        };
        let number = |place: usize| rest.get(place..place + 2)?.parse::<u8>().ok();
        let date = Date::from_calendar_date(year, Month::try_from(number(0)?).ok()?, number(2)?);
        let time = TimeOfDay::from_hms(number(4)?, number(6)?, number(8)?);
        Some(
            PrimitiveDateTime::new(date.ok()?, time.ok()?)
                .assume_utc()
                .unix_timestamp(),
        )
    }

    /// As this house counts; X.509 knows earlier and later dates than `u32` does.
    pub(crate) fn clamped(&self) -> Option<UnixTime> {
        let seconds = self.unix()?.max(0);
        Some(UnixTime(u32::try_from(seconds).unwrap_or(u32::MAX)))
    }
}

/// RFC 5280 section 4.1.2.5.1: 50 to 99 are of the twentieth century.
fn two_digit_year(digits: &str) -> Option<i32> {
    let year: i32 = digits.parse().ok()?;
    Some(if year >= 50 { 1900 + year } else { 2000 + year })
}

fn only_sequence<'a>(der: &'a [u8], wanted: &'static str) -> Result<Reader<'a>, NotDer> {
    let mut outer = Reader::new(der);
    let sequence = outer.expect(SEQUENCE, wanted)?;
    outer.finish()?;
    Ok(sequence.inside())
}

fn only_integer<'a>(explicit: &Element<'a>) -> Result<&'a [u8], NotDer> {
    let mut inner = explicit.inside();
    let integer = inner.expect(INTEGER, "a version")?.content;
    inner.finish()?;
    Ok(integer)
}

fn wrapped_extensions<'a>(inner: &mut Reader<'a>, tag: u8) -> Result<Vec<Extension<'a>>, NotDer> {
    let Some(explicit) = inner.optional(tag)? else {
        return Ok(Vec::new());
    };
    let mut wrapped = explicit.inside();
    let list = wrapped.expect(SEQUENCE, "extensions")?;
    wrapped.finish()?;
    read_all(list.inside(), Extension::read)
}

fn read_all<'a, T>(
    mut inside: Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, NotDer>,
) -> Result<Vec<T>, NotDer> {
    let mut all = Vec::new();
    while !inside.is_empty() {
        all.push(read(&mut inside)?);
    }
    Ok(all)
}
