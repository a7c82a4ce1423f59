use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use bip39::Mnemonic;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Words in a line: 24 words are read aloud in four breaths.
const WORDS_PER_LINE: usize = 6;

/// SHA-256, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

/// 32 bytes as 24 words to read aloud: the English list of BIP-39, which ends in a checksum, so
/// that a word misheard is noticed. `Display` gives four lines of six.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words(pub [u8; 32]);

/// How much of a source is read at a time, in bytes.
const PART: usize = 1 << 16;

impl Hash {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(Sha256::digest(bytes).into())
    }

    /// Of all that `source` gives, of any length.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_all(mut source: impl Read) -> io::Result<Hash> {
        let (mut hasher, mut part) = (Sha256::new(), vec![0; PART]);
        loop {
            match source.read(&mut part) {
                Ok(0) => return Ok(Hash(hasher.finalize().into())),
                Ok(read) => hasher.update(&part[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// To be read aloud.
    #[must_use]
    pub const fn words(&self) -> Words {
        Words(self.0)
    }
}

impl Words {
    /// Reads 24 words; `None` if one is on no list or the checksum does not hold.
    #[must_use]
    pub fn parse(text: &str) -> Option<Words> {
        let spoken: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        let mnemonic = Mnemonic::parse_normalized(&spoken.join(" ")).ok()?;
        let (entropy, length) = mnemonic.to_entropy_array();
        (length == 32)
            .then(|| entropy[..32].try_into().ok().map(Words))
            .flatten()
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mnemonic = Mnemonic::from_entropy(&self.0).expect("32 bytes make 24 words");
        for (place, word) in mnemonic.words().enumerate() {
            let before = match place {
                0 => "",
                _ if place % WORDS_PER_LINE == 0 => "\n",
                _ => " ",
            };
            write!(f, "{before}{word}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = ();

    fn from_str(text: &str) -> Result<Hash, ()> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(drop)?;
        bytes.try_into().map(Hash).map_err(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_aloud_as_24_words_that_fit_the_screen_and_read_back() {
        let words = Hash::of(b"").words();
        let text = words.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines.len(), text.split_whitespace().count()), (4, 24));
        assert!(lines.iter().all(|line| line.len() <= 72));
        assert_eq!(Words::parse(&text), Some(words));
        assert_eq!(Words::parse(&text.to_uppercase()), Some(words));
    }

    #[test]
    fn a_source_read_in_parts_has_the_hash_of_its_bytes() {
        for length in [0, 1, PART - 1, PART, PART + 1, 3 * PART + 5] {
            let bytes: Vec<_> = (0..length).map(|at| (at % 251) as u8).collect();
            let halves = bytes[..length / 2].chain(&bytes[length / 2..]);
            assert_eq!(Hash::of_all(halves).unwrap(), Hash::of(&bytes));
        }
    }

    #[test]
    fn a_word_misheard_is_noticed() {
        let text = Hash::of(b"").words().to_string();
        let first = text.split_whitespace().next().unwrap();
        let other = if first == "zoo" { "zone" } else { "zoo" };
        assert_eq!(Words::parse(&text.replacen(first, other, 1)), None);
        assert_eq!(Words::parse("zoo"), None);
        assert_eq!(Words::parse(""), None);
    }
}
