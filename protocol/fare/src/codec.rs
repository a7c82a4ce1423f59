mod first;

use alloc::vec::Vec;

use minicbor::Encoder;
use minicbor::encode::{Error, Write};
use obol_credential::{Malformed, UnixTime, strict::Reader};

use crate::pack::Tariff;
use crate::{
    ClassSet, Currency, DAYS_MAX, Date, DayException, DaySet, DayType, FareRule, OFFSETS_MAX,
    OffsetChange, RULES_MAX, RuleId, TRANSFERS_MAX, TimeWindow, Transfer, TransferFare,
    TransferRule, WINDOWS_MAX, ZoneSet,
};

/// The format number that a new pack carries; packs of format 1 are read as well.
pub const FORMAT: u64 = 2;

/// The longest encoded pack, in bytes.
pub const PACK_MAX: usize = 32 * 1024;

/// Head, keys, format, currency, two times and four heads of arrays.
const FIXED_MAX: usize = 1 + 8 + 1 + 4 + 2 * 5 + 4 * 3;
const WINDOW_MAX: usize = 1 + 2 + 2 * 5;
const RULE_MAX: usize = 1 + 3 + 5 + 9 + 1 + WINDOWS_MAX * WINDOW_MAX + 5;
const OFFSET_MAX: usize = 1 + 5 + 3;
const DAY_MAX: usize = 1 + 3 + 1;
const TRANSFER_MAX: usize = 1 + 3 + 5 + 3 + 2 + 1 + 5;
const _: () = assert!(
    FIXED_MAX
        + RULES_MAX * RULE_MAX
        + OFFSETS_MAX * OFFSET_MAX
        + DAYS_MAX * DAY_MAX
        + TRANSFERS_MAX * TRANSFER_MAX
        <= PACK_MAX
);

//= docs/spec/fare-pack.md#encoding
pub(crate) fn encode(tariff: &Tariff) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write_pack(&mut encoder, tariff).expect("a growing buffer takes every byte");
    encoder.into_writer()
}

fn write_pack<W: Write>(to: &mut Encoder<W>, tariff: &Tariff) -> Result<(), Error<W::Error>> {
    to.map(8)?.u8(1)?.u64(FORMAT)?;
    to.u8(2)?.str(tariff.currency.as_str())?;
    to.u8(3)?.u32(tariff.valid_from.0)?;
    to.u8(4)?.u32(tariff.valid_until.0)?;
    to.u8(5)?.array(tariff.rules.len() as u64)?;
    for rule in &tariff.rules {
        to.array(5)?.u16(rule.id.0)?.u32(rule.classes.0)?;
        to.u64(rule.zones.0)?.array(rule.times.len() as u64)?;
        for window in &rule.times {
            to.array(3)?.u8(window.days.0)?;
            to.u32(window.from_s)?.u32(window.until_s)?;
        }
        to.u32(rule.amount_minor)?;
    }
    to.u8(6)?.array(tariff.offsets.len() as u64)?;
    for change in &tariff.offsets {
        to.array(2)?.u32(change.from.0)?.i32(change.offset_s)?;
    }
    to.u8(7)?.array(tariff.days.len() as u64)?;
    for day in &tariff.days {
        to.array(2)?.u16(day.date.0)?.u8(day.counts_as.number())?;
    }
    to.u8(8)?.array(tariff.transfers.len() as u64)?;
    for TransferRule { classes, transfer } in &tariff.transfers {
        let (kind, discount_minor) = transfer.fare.numbers();
        to.array(6)?.u16(transfer.id.0)?.u32(classes.0)?;
        to.u32(transfer.within_s)?.u8(transfer.most)?;
        to.u8(kind)?.u32(discount_minor)?;
    }
    Ok(())
}

/// Reads either format; also where the rules begin. What the rules say is not checked.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Tariff, usize), Malformed> {
    if bytes.len() > PACK_MAX {
        return Err(Malformed {
            at: PACK_MAX,
            rule: "fare pack too long",
        });
    }
    match bytes.first() {
        Some(0xa5) => first::decode(bytes),
        _ => decode_second(bytes),
    }
}

fn decode_second(bytes: &[u8]) -> Result<(Tariff, usize), Malformed> {
    let mut reader = Reader::new(bytes);
    reader.map(8)?;
    let (currency, valid_from, valid_until) = read_beginning(&mut reader, FORMAT)?;
    reader.key(5)?;
    let rules_at = reader.position();
    let rules = read_list(&mut reader, RULES_MAX, read_rule)?;
    reader.key(6)?;
    let offsets = read_list(&mut reader, OFFSETS_MAX, read_offset)?;
    reader.key(7)?;
    let days = read_list(&mut reader, DAYS_MAX, read_day)?;
    reader.key(8)?;
    let transfers = read_list(&mut reader, TRANSFERS_MAX, read_transfer)?;
    reader.finish()?;
    let tariff = Tariff {
        currency,
        valid_from,
        valid_until,
        rules,
        offsets,
        days,
        transfers,
    };
    Ok((tariff, rules_at))
}

/// Keys 1 to 4, which both formats share.
fn read_beginning(
    reader: &mut Reader<'_>,
    format: u64,
) -> Result<(Currency, UnixTime, UnixTime), Malformed> {
    reader.key(1)?;
    let at = reader.position();
    if reader.uint()? != format {
        let rule = "unknown format of fare pack";
        return Err(Malformed { at, rule });
    }
    reader.key(2)?;
    let at = reader.position();
    let rule = "currency of three letters";
    let currency = Currency::new(reader.text(3)?).ok_or(Malformed { at, rule })?;
    reader.key(3)?;
    let valid_from = UnixTime(reader.uint_as()?);
    reader.key(4)?;
    Ok((currency, valid_from, UnixTime(reader.uint_as()?)))
}

fn read_list<T>(
    reader: &mut Reader<'_>,
    most: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.array_up_to(most as u64)?;
    (0..count).map(|_| read(reader)).collect()
}

fn read_rule(reader: &mut Reader<'_>) -> Result<FareRule, Malformed> {
    reader.array(5)?;
    Ok(FareRule {
        id: RuleId(reader.uint_as()?),
        classes: ClassSet(reader.uint_as()?),
        zones: ZoneSet(reader.uint()?),
        times: read_list(reader, WINDOWS_MAX, read_window)?,
        amount_minor: reader.uint_as()?,
    })
}

fn read_window(reader: &mut Reader<'_>) -> Result<TimeWindow, Malformed> {
    reader.array(3)?;
    Ok(TimeWindow {
        days: DaySet(reader.uint_as()?),
        from_s: reader.uint_as()?,
        until_s: reader.uint_as()?,
    })
}

fn read_offset(reader: &mut Reader<'_>) -> Result<OffsetChange, Malformed> {
    reader.array(2)?;
    let from = UnixTime(reader.uint_as()?);
    let at = reader.position();
    let offset_s = i32::try_from(reader.int()?).map_err(|_| Malformed {
        at,
        rule: "integer out of range",
    })?;
    Ok(OffsetChange { from, offset_s })
}

fn read_day(reader: &mut Reader<'_>) -> Result<DayException, Malformed> {
    reader.array(2)?;
    let date = Date(reader.uint_as()?);
    let at = reader.position();
    let counts_as = DayType::from_number(reader.uint_as()?).ok_or(Malformed {
        at,
        rule: "unknown type of day",
    })?;
    Ok(DayException { date, counts_as })
}

fn read_transfer(reader: &mut Reader<'_>) -> Result<TransferRule, Malformed> {
    reader.array(6)?;
    let id = RuleId(reader.uint_as()?);
    let classes = ClassSet(reader.uint_as()?);
    let (within_s, most) = (reader.uint_as()?, reader.uint_as()?);
    let at = reader.position();
    let (kind, discount_minor) = (reader.uint_as()?, reader.uint_as()?);
    let fare = TransferFare::from_numbers(kind, discount_minor).ok_or(Malformed {
        at,
        rule: "unknown fare of a transfer",
    })?;
    let transfer = Transfer {
        id,
        within_s,
        most,
        fare,
    };
    Ok(TransferRule { classes, transfer })
}
