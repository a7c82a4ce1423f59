use alloc::vec::Vec;
use core::fmt;

use obol_credential::{Encoded, Malformed, PRESENTATION_MAX, UnixTime, strict::Reader};

use crate::{TERMINAL_NAME_MAX, TerminalName, envelope::built, hex};

/// Bytes of the longest record that anyone accepts.
pub const RECORD_MAX: usize = 512;

/// The version of segments, and of records that say no zone.
const VERSION: u64 = 1;
/// The version of records that say a zone.
const VERSION_ZONED: u64 = 2;
/// The highest fare zone.
pub const ZONE_MAX: u8 = 63;
/// Bytes of the longest record of either version.
const LONGEST: usize = 1
    + 1
    + 9
    + 5
    + (2 + TERMINAL_NAME_MAX)
    + (3 + PRESENTATION_MAX)
    + (1 + (1 + 8) + 3 + 5)
    + 2
    + 2;
const _: () = assert!(LONGEST <= RECORD_MAX);

/// The terminal's trust bundle was out of date, within the time that it may be.
pub const FLAG_DEGRADED: u8 = 1;
/// A further ride of a credential within its passback interval: for a companion.
pub const FLAG_COMPANION: u8 = 2;

/// Names a fare pack: its first eight bytes of SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId(pub [u8; 8]);

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

/// What the terminal charged, and by which rule of which fare pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FareCharged {
    /// The fare pack that was loaded.
    pub pack_id: PackId,
    /// The rule of the pack that gave the fare.
    pub rule: u16,
    /// The fare, minor units of the operator's currency.
    pub amount_minor: u32,
}

/// One ride as the terminal saw it. Deterministic CBOR (docs/spec/tap.md section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapRecord {
    /// Place in the journal, from 1, without gaps.
    pub seq: u64,
    /// When the terminal accepted the code, by the terminal's clock.
    pub accepted_at: UnixTime,
    /// The terminal.
    pub terminal: TerminalName,
    /// The presentation as it was received: carried, never encoded again. This codec does not
    /// look inside; whoever charges it verifies it again.
    pub presentation: Encoded<PRESENTATION_MAX>,
    /// What the terminal charged.
    pub fare: FareCharged,
    /// Bits about the ride: [`FLAG_DEGRADED`], [`FLAG_COMPANION`]. A reader keeps those it does not
    /// know.
    pub flags: u8,
    /// The fare zone the terminal stood in, 0 ..= [`ZONE_MAX`], 0 for none. A record of version 1
    /// does not say it: `None`. Terminals write version 2.
    pub zone: Option<u8>,
}

impl TapRecord {
    /// The one encoding of this record, at most [`RECORD_MAX`] bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        built(|sink| {
            match self.zone {
                None => sink.array(7)?.u64(VERSION)?,
                Some(_) => sink.array(8)?.u64(VERSION_ZONED)?,
            };
            sink.u64(self.seq)?.u32(self.accepted_at.0)?;
            sink.str(self.terminal.as_str())?
                .bytes(&self.presentation)?;
            sink.array(3)?.bytes(&self.fare.pack_id.0)?;
            sink.u16(self.fare.rule)?.u32(self.fare.amount_minor)?;
            sink.u8(self.flags)?;
            if let Some(zone) = self.zone {
                sink.u8(zone)?;
            }
            Ok(())
        })
    }

    /// Whether bytes begin like a record: for those who look for records in what is left of a file.
    #[must_use]
    pub fn may_begin(bytes: &[u8]) -> bool {
        bytes.starts_with(&[0x87, VERSION as u8]) || bytes.starts_with(&[0x88, VERSION_ZONED as u8])
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Malformed`] for more than 512 bytes and for anything but the deterministic encoding of
    /// docs/spec/tap.md section 2.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > RECORD_MAX {
            return Err(Malformed {
                at: RECORD_MAX,
                rule: "record longer than 512 bytes",
            });
        }
        let mut reader = Reader::new(bytes);
        let zoned = read_record_version(&mut reader)?;
        let record = Self {
            seq: read_seq(&mut reader)?,
            accepted_at: UnixTime(reader.uint_as()?),
            terminal: TerminalName::read(&mut reader)?,
            presentation: read_presentation(&mut reader)?,
            fare: read_fare(&mut reader)?,
            flags: reader.uint_as()?,
            zone: match zoned {
                Zoned::No => None,
                Zoned::Yes => Some(read_zone(&mut reader)?),
            },
        };
        reader.finish()?;
        Ok(record)
    }
}

/// Whether the record's version says a zone.
enum Zoned {
    No,
    Yes,
}

/// The head and the version, which agree.
fn read_record_version(reader: &mut Reader<'_>) -> Result<Zoned, Malformed> {
    let at = reader.position();
    let items = reader.array_up_to(8)?;
    let version_at = reader.position();
    let zoned = match reader.uint()? {
        VERSION => Zoned::No,
        VERSION_ZONED => Zoned::Yes,
        _ => {
            return Err(Malformed {
                at: version_at,
                rule: "another version than 1 and 2",
            });
        }
    };
    match (items, &zoned) {
        (7, Zoned::No) | (8, Zoned::Yes) => Ok(zoned),
        _ => Err(Malformed {
            at,
            rule: "array of another length",
        }),
    }
}

fn read_zone(reader: &mut Reader<'_>) -> Result<u8, Malformed> {
    let at = reader.position();
    match reader.uint()? {
        zone if zone <= u64::from(ZONE_MAX) => Ok(zone as u8),
        _ => Err(Malformed {
            at,
            rule: "zone is not 0 ..= 63",
        }),
    }
}

pub(crate) fn read_version(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let at = reader.position();
    match reader.uint()? {
        VERSION => Ok(()),
        _ => Err(Malformed {
            at,
            rule: "another version than 1",
        }),
    }
}

pub(crate) fn read_seq(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let at = reader.position();
    match reader.uint()? {
        // SQL's integers end at i64::MAX, and so does a journal.
        seq if (1..=i64::MAX as u64).contains(&seq) => Ok(seq),
        _ => Err(Malformed {
            at,
            rule: "sequence number is not 1 ..= 2^63 - 1",
        }),
    }
}

fn read_presentation(reader: &mut Reader<'_>) -> Result<Encoded<PRESENTATION_MAX>, Malformed> {
    let at = reader.position();
    Encoded::copy_of(reader.bytes()?).ok_or(Malformed {
        at,
        rule: "presentation longer than 319 bytes",
    })
}

fn read_fare(reader: &mut Reader<'_>) -> Result<FareCharged, Malformed> {
    reader.array(3)?;
    Ok(FareCharged {
        pack_id: PackId(*reader.bytes_exact()?),
        rule: reader.uint_as()?,
        amount_minor: reader.uint_as()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn record() -> TapRecord {
        TapRecord {
            seq: 7,
            accepted_at: UnixTime(1_800_000_000),
            terminal: TerminalName::new("bus-12").unwrap(),
            presentation: Encoded::copy_of(&[0xab; 5]).unwrap(),
            fare: FareCharged {
                pack_id: PackId([1; 8]),
                rule: 3,
                amount_minor: 200,
            },
            flags: 0,
            zone: Some(2),
        }
    }

    fn rule_of(bytes: &[u8]) -> &'static str {
        TapRecord::decode(bytes).unwrap_err().rule
    }

    #[test]
    fn the_longest_record_is_within_the_limit() {
        let longest = TapRecord {
            seq: i64::MAX as u64,
            accepted_at: UnixTime(u32::MAX),
            terminal: TerminalName::new(&"z".repeat(TERMINAL_NAME_MAX)).unwrap(),
            presentation: Encoded::copy_of(&[0; PRESENTATION_MAX]).unwrap(),
            fare: FareCharged {
                pack_id: PackId([255; 8]),
                rule: u16::MAX,
                amount_minor: u32::MAX,
            },
            flags: u8::MAX,
            zone: Some(ZONE_MAX),
        };
        let bytes = longest.encode();
        assert_eq!(bytes.len(), LONGEST);
        assert_eq!(TapRecord::decode(&bytes), Ok(longest));
    }

    #[test]
    fn every_cut_is_refused_and_so_are_trailing_bytes() {
        let mut bytes = record().encode();
        for len in 0..bytes.len() {
            assert!(TapRecord::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        bytes.push(0);
        assert_eq!(rule_of(&bytes), "trailing bytes");
    }

    #[test]
    fn a_record_of_another_version_is_refused() {
        let mut bytes = record().encode();
        bytes[1] = 3;
        assert_eq!(rule_of(&bytes), "another version than 1 and 2");
    }

    #[test]
    fn a_record_of_version_1_is_read_and_written_without_a_zone() {
        let old = TapRecord {
            zone: None,
            ..record()
        };
        let bytes = old.encode();
        assert_eq!(bytes[..2], [0x87, 1]);
        assert!(TapRecord::may_begin(&bytes) && TapRecord::may_begin(&record().encode()));
        assert!(!TapRecord::may_begin(&bytes[..1]));
        assert_eq!(TapRecord::decode(&bytes), Ok(old));
    }

    #[test]
    fn a_version_with_the_other_version_s_length_is_refused() {
        let mut new = record().encode();
        new[1] = 1;
        assert_eq!(rule_of(&new), "array of another length");
        let old = TapRecord {
            zone: None,
            ..record()
        };
        let mut old = old.encode();
        old[1] = 2;
        assert_eq!(rule_of(&old), "array of another length");
    }

    #[test]
    fn a_zone_from_64_on_is_refused() {
        let mut bytes = record().encode();
        bytes.pop();
        bytes.extend([0x18, 64]);
        assert_eq!(rule_of(&bytes), "zone is not 0 ..= 63");
    }

    #[test]
    fn sequence_number_zero_is_refused() {
        let mut bytes = record().encode();
        bytes[2] = 0;
        assert_eq!(rule_of(&bytes), "sequence number is not 1 ..= 2^63 - 1");
    }

    #[test]
    fn a_longer_form_of_a_number_is_refused() {
        let mut bytes = record().encode();
        bytes.splice(2..3, [0x18, 7]);
        assert_eq!(rule_of(&bytes), "not the shortest form");
    }

    #[test]
    fn a_terminal_name_in_upper_case_is_refused() {
        let mut bytes = record().encode();
        let at = bytes.iter().position(|&b| b == b'b').unwrap();
        bytes[at] = b'B';
        let rule = "terminal name has another character than a-z, 0-9 and -";
        assert_eq!(rule_of(&bytes), rule);
    }

    #[test]
    fn a_presentation_of_320_bytes_is_refused() {
        let mut bytes = record().encode();
        let at = bytes.iter().position(|&b| b == 0x45).unwrap();
        let mut longer = vec![0x59, 0x01, 0x40];
        longer.extend([0; 320]);
        bytes.splice(at..at + 6, longer);
        assert_eq!(rule_of(&bytes), "presentation longer than 319 bytes");
    }

    #[test]
    fn a_record_of_513_bytes_is_refused_before_it_is_read() {
        assert_eq!(rule_of(&[0x87; 513]), "record longer than 512 bytes");
    }

    #[test]
    fn flags_that_do_not_fit_a_byte_are_refused() {
        let mut bytes = record().encode();
        let flags = bytes.len() - 2;
        bytes.splice(flags..=flags, [0x19, 0x01, 0x00]);
        assert_eq!(rule_of(&bytes), "integer out of range");
    }
}
