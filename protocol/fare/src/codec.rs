use alloc::vec::Vec;

use minicbor::Encoder;
use obol_credential::{Malformed, UnixTime, strict::Reader};

use crate::{Currency, FarePack, FareRule, RULES_MAX, RuleId};

/// The format number in each pack.
pub const FORMAT: u64 = 1;

/// The longest encoded pack, in bytes.
pub const PACK_MAX: usize = 512;

/// Head, five keys, three values of at most five bytes and a currency; then the longest rules.
const FIXED_MAX: usize = 32;
const RULE_MAX: usize = 1 + 3 + 2 + 5;
const _: () = assert!(FIXED_MAX + RULES_MAX * RULE_MAX <= PACK_MAX);

//= docs/spec/fare-pack.md#encoding
pub(crate) fn encode(
    currency: Currency,
    valid_from: UnixTime,
    valid_until: UnixTime,
    rules: &[FareRule],
) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    let written = (|| {
        encoder.map(5)?.u8(1)?.u64(FORMAT)?;
        encoder.u8(2)?.str(currency.as_str())?;
        encoder.u8(3)?.u32(valid_from.0)?;
        encoder.u8(4)?.u32(valid_until.0)?;
        encoder.u8(5)?.array(rules.len() as u64)?;
        for rule in rules {
            encoder
                .array(3)?
                .u16(rule.id.0)?
                .u8(rule.class)?
                .u32(rule.amount_minor)?;
        }
        Ok::<(), minicbor::encode::Error<core::convert::Infallible>>(())
    })();
    written.expect("a growing buffer takes every byte");
    encoder.into_writer()
}

impl FarePack {
    /// Reads a pack, strictly: only the bytes that [`FarePack::new`] would write are accepted.
    ///
    /// # Errors
    /// [`Malformed`] with the place and the rule of docs/spec/fare-pack.md.
    pub fn decode(bytes: &[u8]) -> Result<FarePack, Malformed> {
        if bytes.len() > PACK_MAX {
            return Err(Malformed {
                at: PACK_MAX,
                rule: "fare pack too long",
            });
        }
        let mut reader = Reader::new(bytes);
        reader.map(5)?;
        reader.key(1)?;
        let at = reader.position();
        if reader.uint()? != FORMAT {
            return Err(Malformed {
                at,
                rule: "unknown format of fare pack",
            });
        }
        reader.key(2)?;
        let at = reader.position();
        let currency = Currency::new(reader.text(3)?);
        let currency = currency.ok_or(Malformed {
            at,
            rule: "currency of three letters",
        })?;
        reader.key(3)?;
        let valid_from = UnixTime(reader.uint_as()?);
        reader.key(4)?;
        let valid_until = UnixTime(reader.uint_as()?);
        reader.key(5)?;
        let rules_at = reader.position();
        let rules = read_rules(&mut reader)?;
        reader.finish()?;
        FarePack::new(currency, valid_from, valid_until, rules).map_err(|_| Malformed {
            at: rules_at,
            rule: "rules that make no fare pack",
        })
    }
}

fn read_rules(reader: &mut Reader<'_>) -> Result<Vec<FareRule>, Malformed> {
    let count = reader.array_up_to(RULES_MAX as u64)?;
    let mut rules = Vec::new();
    for _ in 0..count {
        reader.array(3)?;
        rules.push(FareRule {
            id: RuleId(reader.uint_as()?),
            class: reader.uint_as()?,
            amount_minor: reader.uint_as()?,
        });
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn pack() -> FarePack {
        let rule = |id, class, amount_minor| FareRule {
            id: RuleId(id),
            class,
            amount_minor,
        };
        let cny = Currency::new("CNY").unwrap();
        let rules = vec![rule(10, 1, 200), rule(20, 2, 100)];
        FarePack::new(cny, UnixTime(1_767_225_600), UnixTime(1_798_761_599), rules).unwrap()
    }

    #[test]
    fn the_worked_example_of_the_specification_holds() {
        let hex: alloc::string::String = pack()
            .bytes()
            .iter()
            .map(|byte| alloc::format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "a501010263434e59031a6955b900041a6b36ec7f0582830a0118c88314021864"
        );
        assert_eq!(alloc::format!("{}", pack().id()), "771127cdfdf32e58");
    }

    #[test]
    fn a_pack_decodes_to_itself() {
        assert_eq!(FarePack::decode(pack().bytes()), Ok(pack()));
    }

    #[test]
    fn every_shortened_pack_is_refused() {
        let bytes = pack();
        for length in 0..bytes.bytes().len() {
            assert!(
                FarePack::decode(&bytes.bytes()[..length]).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = pack().bytes().to_vec();
        bytes.push(0);
        let refused = Malformed {
            at: bytes.len() - 1,
            rule: "trailing bytes",
        };
        assert_eq!(FarePack::decode(&bytes), Err(refused));
    }

    #[test]
    fn another_format_number_is_refused() {
        let mut bytes = pack().bytes().to_vec();
        bytes[2] = 2;
        let refused = Malformed {
            at: 2,
            rule: "unknown format of fare pack",
        };
        assert_eq!(FarePack::decode(&bytes), Err(refused));
    }

    #[test]
    fn a_pack_longer_than_the_limit_is_refused_before_it_is_read() {
        let refused = Malformed {
            at: PACK_MAX,
            rule: "fare pack too long",
        };
        assert_eq!(FarePack::decode(&[0; PACK_MAX + 1]), Err(refused));
    }

    #[test]
    fn rules_out_of_order_are_refused() {
        let mut bytes = pack().bytes().to_vec();
        let class_of_the_first = bytes.len() - 8;
        assert_eq!(bytes[class_of_the_first], 1);
        bytes[class_of_the_first] = 3;
        let refused = FarePack::decode(&bytes).map_err(|malformed| malformed.rule);
        assert_eq!(refused, Err("rules that make no fare pack"));
    }
}
