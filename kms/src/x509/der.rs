//! DER, strictly: definite, shortest lengths, one-byte tags, nothing left over (X.690 section 10).

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Where the bytes stop being what was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} wanted at byte {at}")]
pub(crate) struct NotDer {
    pub(crate) at: usize,
    pub(crate) wanted: &'static str,
}

/// One element: its tag, its content, and all its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
    /// Where the content begins in the outermost bytes.
    at: usize,
}

impl<'a> Element<'a> {
    /// A reader of what is inside.
    pub(crate) fn inside(&self) -> Reader<'a> {
        Reader {
            rest: self.content,
            at: self.at,
        }
    }
}

/// Reads elements one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, at: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, NotDer> {
        match self.rest.first() {
            Some(found) if *found == tag => self.any().map(Some),
            _ => Ok(None),
        }
    }

    pub(crate) fn expect(&mut self, tag: u8, wanted: &'static str) -> Result<Element<'a>, NotDer> {
        let fault = self.fault(wanted);
        self.optional(tag)?.ok_or(fault)
    }

    /// Something else was wanted here.
    pub(crate) fn fault(&self, wanted: &'static str) -> NotDer {
        NotDer {
            at: self.at,
            wanted,
        }
    }

    pub(crate) fn any(&mut self) -> Result<Element<'a>, NotDer> {
        let fault = |wanted| NotDer {
            at: self.at,
            wanted,
        };
        let (tag, after_tag) = self.rest.split_first().ok_or(fault("an element"))?;
        if tag & 0x1f == 0x1f {
            return Err(fault("a one-byte tag"));
        }
        let (length, header) = length(after_tag).ok_or(fault("a shortest definite length"))?;
        let header = header + 1;
        let end = header
            .checked_add(length)
            .ok_or(fault("a shorter length"))?;
        let (whole, rest) = self
            .rest
            .split_at_checked(end)
            .ok_or(fault("all of an element"))?;
        let element = Element {
            tag: *tag,
            content: &whole[header..],
            whole,
            at: self.at + header,
        };
        self.rest = rest;
        self.at += end;
        Ok(element)
    }

    pub(crate) fn finish(self) -> Result<(), NotDer> {
        match self.rest {
            [] => Ok(()),
            _ => Err(NotDer {
                at: self.at,
                wanted: "the end",
            }),
        }
    }
}

/// Length of the content, and how many bytes said so.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let (first, rest) = bytes.split_first()?;
    match *first {
        short @ 0..=0x7f => Some((usize::from(short), 1)),
        0x81 => rest
            .first()
            .filter(|length| **length >= 0x80)
            .map(|length| (usize::from(*length), 2)),
        0x82 => {
            let length = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
            (length >= 0x100).then_some((usize::from(length), 3))
        }
        0x83 => {
            let length = u32::from_be_bytes([0, *rest.first()?, *rest.get(1)?, *rest.get(2)?]);
            (length >= 0x1_0000).then_some((usize::try_from(length).ok()?, 4))
        }
        _ => None,
    }
}

/// One element with `parts` as its content, one after the other.
///
/// # Panics
/// A content of 16 MiB or more, which nothing here comes near.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let octets = u32::try_from(length)
        .expect("certificates and lists are far shorter")
        .to_be_bytes();
    let mut der = vec![tag];
    match length {
        0..=0x7f => der.push(octets[3]),
        0x80..=0xff => der.extend([0x81, octets[3]]),
        0x100..=0xffff => der.extend([0x82, octets[2], octets[3]]),
        _ => der.extend([0x83, octets[1], octets[2], octets[3]]),
    }
    der.extend(content);
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_of_any_length_reads_back() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let content = vec![7; length];
            let der = element(OCTET_STRING, &[&content]);
            let mut reader = Reader::new(&der);
            let read = reader.any().unwrap();
            assert_eq!((read.tag, read.content), (OCTET_STRING, content.as_slice()));
            assert_eq!(read.whole, der);
            reader.finish().unwrap();
            for cut in (0..der.len()).rev().take(6) {
                assert!(Reader::new(&der[..cut]).any().is_err());
            }
        }
    }

    #[test]
    fn lengths_of_other_forms_are_refused() {
        let wanted = "a shortest definite length";
        for der in [
            &b"\x30\x80\0\0"[..],
            b"\x30\x81\x01\0",
            b"\x30\x82\0\x81",
            b"\x30\x84\0\0\0\x01\0",
        ] {
            assert_eq!(Reader::new(der).any(), Err(NotDer { at: 0, wanted }));
        }
        let two_byte_tag = Reader::new(b"\x1f\x20\x00").any();
        assert_eq!(
            two_byte_tag,
            Err(NotDer {
                at: 0,
                wanted: "a one-byte tag"
            })
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_what_is_read_is_written_alike(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while let Ok(read) = reader.any() {
                proptest::prop_assert_eq!(element(read.tag, &[read.content]), read.whole);
            }
        }
    }
}
