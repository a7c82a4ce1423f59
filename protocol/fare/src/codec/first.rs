//! Format 1: flat fares of one class each. It is read, for rides of its time, and not written.

use obol_credential::{Malformed, strict::Reader};

use super::{read_beginning, read_list};
use crate::pack::Tariff;
use crate::{FareRule, RuleId};

const PACK_MAX: usize = 512;
const RULES_MAX: usize = 32;

//= docs/spec/fare-pack.md#format-1
pub(super) fn decode(bytes: &[u8]) -> Result<(Tariff, usize), Malformed> {
    if bytes.len() > PACK_MAX {
        return Err(Malformed {
            at: PACK_MAX,
            rule: "fare pack too long",
        });
    }
    let mut reader = Reader::new(bytes);
    reader.map(5)?;
    let (currency, valid_from, valid_until) = read_beginning(&mut reader, 1)?;
    reader.key(5)?;
    let rules_at = reader.position();
    let rules = read_list(&mut reader, RULES_MAX, read_rule)?;
    reader.finish()?;
    let mut pairs = rules.iter().zip(rules.iter().skip(1));
    if pairs.any(|(rule, next)| rule.classes.0 >= next.classes.0) {
        return Err(Malformed {
            at: rules_at,
            rule: "rules that make no fare pack",
        });
    }
    Ok((
        Tariff::plain(currency, valid_from, valid_until, rules),
        rules_at,
    ))
}

fn read_rule(reader: &mut Reader<'_>) -> Result<FareRule, Malformed> {
    reader.array(3)?;
    let id = RuleId(reader.uint_as()?);
    Ok(FareRule::flat(id, reader.uint_as()?, reader.uint_as()?))
}
