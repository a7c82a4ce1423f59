//! RFC 4648 base64 with padding, in the one spelling that each value has.

use alloc::vec::Vec;

use data_encoding::BASE64;

/// Decodes `text`; `None` where it is not what encoding the bytes gives. The library reads padded
/// pieces one behind the other as well (`AA==AA==`), and a note with two spellings has two hashes.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let inner = text.len().saturating_sub(4);
    if text.as_bytes().iter().take(inner).any(|byte| *byte == b'=') {
        return None;
    }
    BASE64.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_stands_at_the_end_alone() {
        assert_eq!(decode("AQI="), Some(alloc::vec![1, 2]));
        assert_eq!(decode(""), Some(alloc::vec![]));
        for text in [
            "AQI=AQI=", "AQ==AQID", "AQI", "AQJ=", "AQI=\n", "A===", "AQI==",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
