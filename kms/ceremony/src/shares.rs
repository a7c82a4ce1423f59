use std::collections::BTreeSet;

use blahaj::Sharks;
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use crate::hash::{Hash, Words};

const SHEET_MAX: usize = 16 * 1024;
const HOLDERS_MAX: usize = 16;
const SCHEMA: u32 = 1;
/// Characters of a PIN: 192 bits.
const PIN_LEN: usize = 32;
const USER: &[u8] = b"obol token pin";

/// Who holds a share of a token's PIN, and how each share is known to be right.
///
/// The sheet is no secret: the shares are 32 random bytes each, so their hashes tell nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareSheet {
    schema: u32,
    threshold: u8,
    holders: Vec<Holder>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Holder {
    name: String,
    sha256: String,
}

/// One holder's share, 32 bytes; zeroed when dropped, shown only by [`Share::words`].
pub struct Share {
    number: u8,
    bytes: [u8; 32],
}

/// The two PINs of a token that the shares make.
#[derive(Clone, PartialEq, Eq)]
pub struct Pins {
    /// Of the token's security officer, who could set another PIN.
    pub security_officer: Zeroizing<String>,
    /// Of the user: it opens the keys.
    pub user: Zeroizing<String>,
}

/// Why shares were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SharesRefused {
    /// Not a sheet.
    #[error("the share sheet does not read: {0}")]
    Sheet(String),
    /// Thresholds of one or of more than there are.
    #[error("a threshold of {threshold} is not 2 to {holders} holders, at most {HOLDERS_MAX}")]
    Threshold {
        /// What was asked for.
        threshold: u8,
        /// How many hold a share.
        holders: usize,
    },
    /// A name that is there twice or is none.
    #[error("holder {0:?} is there twice, or is not 1 to 32 of a-z, 0-9 and -")]
    Name(String),
    /// Not on the sheet.
    #[error("{0:?} holds no share of this token")]
    Stranger(String),
    /// The words are not 24 of the list, or their checksum does not hold.
    #[error(
        "what {0:?} has given is not 24 words of the list: one is misspelt or in a wrong place"
    )]
    Words(String),
    /// The words are good, and not those of this holder.
    #[error("the share of {0:?} is wrong: it is not the one that was handed out")]
    Wrong(String),
    /// Fewer than the threshold, or one twice.
    #[error("{given} different shares, {threshold} are needed")]
    TooFew {
        /// How many there were.
        given: usize,
        /// How many are needed.
        threshold: u8,
    },
}

/// Splits a fresh `secret` among `holders`, so that `threshold` of them make the token's PINs.
/// Returns the sheet, each holder's share, and the PINs.
///
/// # Errors
/// [`SharesRefused::Threshold`] and [`SharesRefused::Name`].
pub fn split(
    secret: &Zeroizing<[u8; 32]>,
    threshold: u8,
    holders: &[String],
) -> Result<(ShareSheet, Vec<Share>, Pins), SharesRefused> {
    check(threshold, holders)?;
    let dealt = Sharks(threshold)
        .dealer(secret.as_slice())
        .take(holders.len());
    let mut shares = Vec::with_capacity(holders.len());
    for share in dealt {
        let bytes = Zeroizing::new(Vec::from(&share));
        let share = bytes.split_first().and_then(|(number, rest)| {
            let bytes = rest.try_into().ok()?;
            let number = *number;
            Some(Share { number, bytes })
        });
        shares.push(share.expect("a share has its number and as many bytes as the secret"));
    }
    let named = holders.iter().zip(&shares);
    let sheet = ShareSheet {
        schema: SCHEMA,
        threshold,
        holders: named
            .map(|(name, share)| Holder {
                name: name.clone(),
                sha256: share.commitment().to_string(),
            })
            .collect(),
    };
    let pins = Pins {
        security_officer: pin_of(secret, b"obol token so pin"),
        user: pin_of(secret, USER),
    };
    Ok((sheet, shares, pins))
}

impl ShareSheet {
    /// Reads a share sheet.
    ///
    /// # Errors
    /// [`SharesRefused`].
    pub fn parse(bytes: &[u8]) -> Result<ShareSheet, SharesRefused> {
        let unread = |what: &str| SharesRefused::Sheet(what.to_owned());
        if bytes.len() > SHEET_MAX {
            return Err(unread("too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| unread("not UTF-8"))?;
        let sheet: ShareSheet =
            toml::from_str(text).map_err(|error| SharesRefused::Sheet(error.to_string()))?;
        let names: Vec<_> = sheet.holders.iter().map(|one| one.name.clone()).collect();
        check(sheet.threshold, &names)?;
        let hashes = sheet.holders.iter().map(|one| one.sha256.parse::<Hash>());
        if sheet.schema != SCHEMA || hashes.into_iter().any(|hash| hash.is_err()) {
            return Err(unread("another schema, or a sha256 that is none"));
        }
        Ok(sheet)
    }

    /// The sheet as a file that reads back to the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = format!("schema = {SCHEMA}\nthreshold = {}\n", self.threshold);
        for Holder { name, sha256 } in &self.holders {
            text += &format!("\n[[holders]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\n");
        }
        text
    }

    /// How many shares make the PIN.
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        self.threshold
    }

    /// Who holds a share.
    pub fn holders(&self) -> impl Iterator<Item = &str> {
        self.holders.iter().map(|holder| holder.name.as_str())
    }

    /// Takes the words of one holder, and says at once whether they are the share handed out.
    ///
    /// # Errors
    /// [`SharesRefused`] names the holder.
    pub fn share(&self, name: &str, words: &str) -> Result<Share, SharesRefused> {
        let place = self.holders.iter().position(|holder| holder.name == name);
        let Some(place) = place else {
            return Err(SharesRefused::Stranger(name.to_owned()));
        };
        let spoken = Words::parse(words).ok_or_else(|| SharesRefused::Words(name.to_owned()))?;
        let share = Share {
            number: place as u8 + 1,
            bytes: spoken.0,
        };
        if share.commitment().to_string() != self.holders[place].sha256 {
            return Err(SharesRefused::Wrong(name.to_owned()));
        }
        Ok(share)
    }

    /// The PIN that enough shares make.
    ///
    /// # Errors
    /// [`SharesRefused::TooFew`].
    pub fn pin(&self, shares: &[Share]) -> Result<Zeroizing<String>, SharesRefused> {
        let different: BTreeSet<u8> = shares.iter().map(|share| share.number).collect();
        let too_few = SharesRefused::TooFew {
            given: different.len(),
            threshold: self.threshold,
        };
        if different.len() < usize::from(self.threshold) || different.len() != shares.len() {
            return Err(too_few);
        }
        let mut given = Vec::with_capacity(shares.len());
        for share in shares {
            let bytes = Zeroizing::new([&[share.number], share.bytes.as_slice()].concat());
            let share = blahaj::Share::try_from(bytes.as_slice());
            given.push(share.map_err(|_| too_few.clone())?);
        }
        let secret = Sharks(self.threshold)
            .recover(&given)
            .map_err(|_| too_few.clone())?;
        let secret = Zeroizing::new(secret);
        let secret: [u8; 32] = secret.as_slice().try_into().map_err(|_| too_few)?;
        Ok(pin_of(&Zeroizing::new(secret), USER))
    }
}

impl Share {
    /// To be written down by its holder.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        Zeroizing::new(Words(self.bytes).to_string())
    }

    fn commitment(&self) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(b"obol pin share");
        hasher.update([self.number]);
        hasher.update(self.bytes);
        Hash(hasher.finalize().into())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Share({})", self.number)
    }
}

fn check(threshold: u8, holders: &[String]) -> Result<(), SharesRefused> {
    let count = holders.len();
    if threshold < 2 || usize::from(threshold) > count || count > HOLDERS_MAX {
        let holders = count;
        return Err(SharesRefused::Threshold { threshold, holders });
    }
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let mut seen = BTreeSet::new();
    for name in holders {
        let good = (1..=32).contains(&name.len()) && name.bytes().all(plain);
        if !good || !seen.insert(name) {
            return Err(SharesRefused::Name(name.clone()));
        }
    }
    Ok(())
}

/// The secret has 256 random bits, so one hash is derivation enough.
fn pin_of(secret: &Zeroizing<[u8; 32]>, context: &[u8]) -> Zeroizing<String> {
    let mut hasher = Sha256::new();
    hasher.update(context);
    hasher.update(secret.as_slice());
    let digest = Zeroizing::new(<[u8; 32]>::from(hasher.finalize()));
    let mut text = BASE64URL_NOPAD.encode(digest.as_slice());
    text.truncate(PIN_LEN);
    Zeroizing::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders() -> Vec<String> {
        ["alice", "bob", "carol"].map(str::to_owned).to_vec()
    }

    #[test]
    fn any_two_of_three_shares_make_the_pin_and_one_does_not() {
        let secret = Zeroizing::new([7; 32]);
        let (sheet, shares, pins) = split(&secret, 2, &holders()).unwrap();
        let pin = pins.user;
        let sheet = ShareSheet::parse(sheet.to_toml().as_bytes()).unwrap();
        let spoken = |name: &str, at: usize| sheet.share(name, &shares[at].words()).unwrap();
        let two = [spoken("carol", 2), spoken("alice", 0)];
        assert_eq!(sheet.pin(&two).unwrap(), pin);
        assert_ne!(pins.security_officer, pin);
        let two = [spoken("bob", 1), spoken("carol", 2)];
        assert_eq!(sheet.pin(&two).unwrap(), pin);
        assert_eq!(pin.len(), PIN_LEN);
        let few = SharesRefused::TooFew {
            given: 1,
            threshold: 2,
        };
        assert_eq!(sheet.pin(&[spoken("bob", 1)]).unwrap_err(), few);
        let twice = [spoken("bob", 1), spoken("bob", 1)];
        assert_eq!(sheet.pin(&twice).unwrap_err(), few);
    }

    #[test]
    fn a_wrong_share_is_named_at_once() {
        let secret = Zeroizing::new([7; 32]);
        let (sheet, shares, _) = split(&secret, 2, &holders()).unwrap();
        let refusal = |name: &str, words: &str| sheet.share(name, words).unwrap_err();
        let swapped = refusal("bob", &shares[0].words());
        assert_eq!(swapped, SharesRefused::Wrong("bob".to_owned()));
        let words = shares[1].words().replacen(' ', " zoo ", 1);
        assert_eq!(
            refusal("bob", &words),
            SharesRefused::Words("bob".to_owned())
        );
        let stranger = refusal("mallory", &shares[1].words());
        assert_eq!(stranger, SharesRefused::Stranger("mallory".to_owned()));
    }

    #[test]
    fn thresholds_of_one_or_above_the_holders_are_refused() {
        for threshold in [0, 1, 4] {
            let refused = split(&Zeroizing::new([7; 32]), threshold, &holders());
            let holders = 3;
            assert_eq!(
                refused.err(),
                Some(SharesRefused::Threshold { threshold, holders })
            );
        }
    }

    #[test]
    fn a_share_is_shown_by_no_formatter() {
        let (_, shares, _) = split(&Zeroizing::new([7; 32]), 2, &holders()).unwrap();
        assert_eq!(format!("{:?}", shares[0]), "Share(1)");
    }
}
