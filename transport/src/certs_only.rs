//! The answer of an EST server (RFC 7030 section 4.1.3): a certs-only CMS.

use crate::anchor::ANCHORS_MAX;

/// Bytes of the longest answer that is looked at.
const ANSWER_MAX: usize = 64 * 1024;

/// The one certificate in a degenerate `SignedData` (RFC 5652 section 5.1), DER; `None` for
/// anything else: content, signers, no certificate, several, other lengths than DER's.
#[must_use]
pub fn certificate_of(certs_only: &[u8]) -> Option<&[u8]> {
    match certificates_of(certs_only)?[..] {
        [certificate] => Some(certificate),
        _ => None,
    }
}

/// The 1 to [`ANCHORS_MAX`] certificates in a degenerate `SignedData`, in its order: what an EST
/// server gives as its CAs' (RFC 7030 section 4.1.3). `None` for anything else.
#[must_use]
pub fn certificates_of(certs_only: &[u8]) -> Option<Vec<&[u8]>> {
    const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    const VERSION_AND_NO_DIGESTS: &[u8] = b"\x02\x01\x01\x31\x00";
    const DATA: &[u8] = b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    if certs_only.len() > ANSWER_MAX {
        return None;
    }
    let outer = whole(0x30, certs_only)?.strip_prefix(SIGNED_DATA)?;
    let signed = whole(0x30, whole(0xa0, outer)?)?;
    let signed = signed.strip_prefix(VERSION_AND_NO_DIGESTS)?;
    let (certificates, behind) = value(0xa0, signed.strip_prefix(DATA)?)?;
    // No revocation list and no signer.
    if behind != b"\x31\x00" {
        return None;
    }
    let (mut found, mut rest) = (Vec::new(), certificates);
    while !rest.is_empty() {
        let (_, behind) = value(0x30, rest)?;
        found.push(&rest[..rest.len() - behind.len()]);
        rest = behind;
    }
    (1..=ANCHORS_MAX).contains(&found.len()).then_some(found)
}

/// The content of an element that fills `der`.
fn whole(tag: u8, der: &[u8]) -> Option<&[u8]> {
    value(tag, der)
        .filter(|(_, behind)| behind.is_empty())
        .map(|(content, _)| content)
}

/// The content of the first element, and what stands behind it.
fn value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            let shortest = bytes[0] != 0 && length >= 0x80;
            shortest.then_some((length, rest))?
        }
        _ => return None,
    };
    let parts = rest.split_at_checked(length)?;
    (*found == tag).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl crl2pkcs7 -nocrl -certfile` makes the same of a certificate.
    fn answer(certificate: &[u8]) -> Vec<u8> {
        let tlv = |tag: u8, content: &[u8]| {
            let length = content.len();
            let head = match length {
                0..0x80 => vec![tag, length as u8],
                0x80..0x100 => vec![tag, 0x81, length as u8],
                _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
            };
            [head, content.to_vec()].concat()
        };
        let data = b"\x02\x01\x01\x31\x00\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
        let signed = [&data[..], &tlv(0xa0, certificate), b"\x31\x00"].concat();
        let oid = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
        tlv(0x30, &[&oid[..], &tlv(0xa0, &tlv(0x30, &signed))].concat())
    }

    fn certificate(length: usize) -> Vec<u8> {
        [
            &[0x30, 0x82, (length >> 8) as u8, length as u8][..],
            &vec![7; length],
        ]
        .concat()
    }

    #[test]
    fn the_one_certificate_comes_out_as_it_went_in() {
        let certificate = certificate(700);
        assert_eq!(
            certificate_of(&answer(&certificate)),
            Some(&certificate[..])
        );
    }

    #[test]
    fn nothing_two_certificates_and_every_cut_or_longer_answer_are_none() {
        let (one, whole) = (certificate(700), answer(&certificate(700)));
        assert_eq!(certificate_of(&answer(&[])), None);
        assert_eq!(certificate_of(&answer(&[one.clone(), one].concat())), None);
        assert_eq!(certificate_of(&[&whole[..], &[0]].concat()), None);
        for end in 0..whole.len() {
            assert_eq!(certificate_of(&whole[..end]), None, "{end}");
        }
    }

    #[test]
    fn up_to_four_certificates_come_out_in_their_order_and_five_do_not() {
        let all: Vec<_> = [700, 300, 500, 256].map(certificate).into();
        let answered = answer(&all.concat());
        let found: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        assert_eq!(certificates_of(&answered), Some(found));
        for end in 0..answered.len() {
            assert_eq!(certificates_of(&answered[..end]), None, "{end}");
        }
        let five = answer(&vec![certificate(300); 5].concat());
        assert_eq!(certificates_of(&five), None);
        assert_eq!(certificates_of(&answer(&[])), None);
        let odd = answer(&[certificate(300), vec![2, 1, 0]].concat());
        assert_eq!(certificates_of(&odd), None);
    }

    #[test]
    fn a_length_in_more_bytes_than_it_needs_is_none() {
        let mut loose = vec![0x30, 0x83, 0, 3, 0];
        loose.extend_from_slice(&certificate(764));
        assert_eq!(value(0x30, &loose), None);
        assert_eq!(value(0x30, &[0x30, 0x81, 1, 7]), None);
        assert_eq!(value(0x30, &[0x30, 1, 7, 9]), Some((&[7][..], &[9][..])));
    }
}
