//! The bytes of a pack: one encoding, and everything else refused.

use obol_credential::{Malformed, UnixTime};
use obol_fare::{
    ClassSet, Date, DayException, DaySet, DayType, FarePack, FareRule, OffsetChange, PACK_MAX,
    PackRefused, RuleId, Tariff, TimeWindow, Transfer, TransferFare, TransferRule, Zone, ZoneSet,
    price, tariff,
};
use proptest::prelude::*;

use crate::prices::{boarding, plain, utc, window};

const CITY: &str = include_str!("../../../../policies/tariffs/city.toml");

/// The worked example of format 1 in the specification.
const FIRST: &str = "a501010263434e59031a6955b900041a6b36ec7f0582830a0118c88314021864";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .bytes()
        .map(|digit| (digit as char).to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refusal(bytes: &[u8]) -> &'static str {
    FarePack::decode(bytes).unwrap_err().rule
}

/// Concession riders pay half from Monday to Friday, 07:00 to 09:30, and transfer for nothing.
fn example() -> FarePack {
    let mut tariff = plain(vec![
        FareRule {
            zones: ZoneSet::of(&[Zone::new(1).unwrap(), Zone::new(2).unwrap()]),
            times: vec![TimeWindow {
                days: DaySet(0b1_1111),
                from_s: 25_200,
                until_s: 34_200,
            }],
            ..FareRule::flat(RuleId(10), 1, 400)
        },
        FareRule {
            classes: ClassSet(0b110),
            ..FareRule::flat(RuleId(20), 1, 200)
        },
    ]);
    tariff.valid_from = UnixTime(1_767_225_600);
    tariff.valid_until = UnixTime(1_798_761_599);
    tariff.offsets = vec![OffsetChange {
        from: UnixTime(0),
        offset_s: 28_800,
    }];
    tariff.days = vec![DayException {
        date: Date(20_727),
        counts_as: DayType::Holiday,
    }];
    tariff.transfers = vec![TransferRule {
        classes: ClassSet(0b110),
        transfer: Transfer {
            id: RuleId(90),
            within_s: 3_600,
            most: 2,
            fare: TransferFare::Free,
        },
    }];
    FarePack::new(tariff).unwrap()
}

#[test]
fn the_worked_examples_of_the_specification_hold() {
    let specification = include_str!("../../../../docs/spec/fare-pack.md");
    let blocks = specification.split("```hex\n").skip(1);
    let blocks: Vec<String> = blocks
        .map(|rest| rest.split("```").next().unwrap().replace([' ', '\n'], ""))
        .collect();
    assert_eq!(blocks, [hex(example().bytes()), FIRST.to_owned()]);
    for id in [
        example().id(),
        FarePack::decode(&bytes(FIRST)).unwrap().id(),
    ] {
        assert!(specification.contains(&format!("`{id}`")), "{id}");
    }
}

#[test]
fn a_pack_decodes_to_itself() {
    for pack in [example(), tariff::compile(CITY).unwrap()] {
        assert_eq!(FarePack::decode(pack.bytes()), Ok(pack));
    }
}

#[test]
fn a_pack_of_format_1_is_read_and_prices_as_it_did() {
    let pack = FarePack::decode(&bytes(FIRST)).unwrap();
    assert_eq!(pack.bytes(), bytes(FIRST));
    assert_eq!(pack.id().to_string(), "771127cdfdf32e58");
    let charged = |class, zone| {
        let quote = price(&pack, boarding(class, zone, 1_780_000_000));
        quote.map(|quote| (quote.fare.rule.0, quote.fare.amount_minor, quote.transfer))
    };
    assert_eq!(charged(1, 0), Ok((10, 200, None)));
    assert_eq!(charged(2, 9), Ok((20, 100, None)));
    assert!(charged(3, 0).is_err());
}

#[test]
fn a_pack_of_format_1_with_rules_out_of_order_or_for_no_class_is_refused() {
    for class in [3, 2] {
        let mut bytes = bytes(FIRST);
        let class_of_the_first = bytes.len() - 8;
        assert_eq!(bytes[class_of_the_first], 1);
        bytes[class_of_the_first] = class;
        assert_eq!(refusal(&bytes), "rules that make no fare pack");
    }
    let mut none = bytes(FIRST);
    let class_of_the_last = none.len() - 3;
    none.splice(class_of_the_last..=class_of_the_last, [0x18, 32]);
    assert_eq!(refusal(&none), "rules that make no fare pack");
    let mut long = bytes(FIRST);
    long.resize(513, 0);
    assert_eq!(refusal(&long), "fare pack too long");
}

#[test]
fn every_shortened_pack_is_refused_and_so_are_trailing_bytes() {
    for pack in [example().bytes().to_vec(), bytes(FIRST)] {
        for length in 0..pack.len() {
            assert!(FarePack::decode(&pack[..length]).is_err(), "{length} bytes");
        }
        let trailing = Malformed {
            at: pack.len(),
            rule: "trailing bytes",
        };
        assert_eq!(FarePack::decode(&[&pack[..], &[0]].concat()), Err(trailing));
    }
}

#[test]
fn another_format_number_is_refused() {
    for pack in [example().bytes().to_vec(), bytes(FIRST)] {
        let mut bytes = pack;
        bytes[2] = 3;
        let refused = Malformed {
            at: 2,
            rule: "unknown format of fare pack",
        };
        assert_eq!(FarePack::decode(&bytes), Err(refused));
    }
}

#[test]
fn a_pack_longer_than_the_limit_is_refused_before_it_is_read() {
    let refused = Malformed {
        at: PACK_MAX,
        rule: "fare pack too long",
    };
    assert_eq!(FarePack::decode(&vec![0; PACK_MAX + 1]), Err(refused));
}

#[test]
fn a_list_longer_than_its_limit_is_refused_before_it_is_read() {
    let pack = example();
    let rules_at = 1 + 2 + 5 + 6 + 6 + 1;
    assert_eq!(pack.bytes()[rules_at], 0x82);
    let mut bytes = pack.bytes().to_vec();
    bytes.splice(rules_at..=rules_at, [0x99, 0x01, 0x01]);
    let refused = Malformed {
        at: rules_at,
        rule: "array too long",
    };
    assert_eq!(FarePack::decode(&bytes), Err(refused));
}

#[test]
fn what_a_tariff_may_not_say_is_refused_with_the_rule_it_breaks() {
    type Change = fn(&mut Tariff);
    let id = RuleId(10);
    let cases: [(Change, PackRefused); 20] = [
        (
            |t| t.valid_until = UnixTime(1),
            PackRefused::Empty {
                from: UnixTime(1_767_225_600),
                until: UnixTime(1),
            },
        ),
        (|t| t.rules.clear(), PackRefused::RuleCount(0)),
        (
            |t| t.rules.resize(257, t.rules[0].clone()),
            PackRefused::RuleCount(257),
        ),
        (
            |t| t.rules[0].classes = ClassSet(0),
            PackRefused::NoClass(id),
        ),
        (|t| t.rules[0].zones = ZoneSet(0), PackRefused::NoZone(id)),
        (|t| t.rules[1].id = RuleId(10), PackRefused::RuleTwice(id)),
        (
            |t| t.rules.swap(0, 1),
            PackRefused::NeverApplies {
                rule: id,
                covered_by: RuleId(20),
            },
        ),
        (
            |t| t.rules[0].times = vec![window(&DayType::ALL, 0, 1); 5],
            PackRefused::WindowCount(id),
        ),
        (
            |t| t.rules[0].times = vec![window(&[], 0, 1)],
            PackRefused::Window(id),
        ),
        (
            |t| t.rules[0].times = vec![window(&DayType::ALL, 5, 5)],
            PackRefused::Window(id),
        ),
        (
            |t| t.rules[0].times = vec![window(&DayType::ALL, 0, 86_401)],
            PackRefused::Window(id),
        ),
        (|t| t.offsets.clear(), PackRefused::NoOffset(id)),
        (
            |t| t.offsets[0].from = UnixTime(1_767_225_601),
            PackRefused::NoOffset(id),
        ),
        (|t| t.offsets.push(utc()), PackRefused::Offset(utc())),
        (
            |t| t.offsets[0].offset_s = 50_460,
            PackRefused::Offset(OffsetChange {
                from: UnixTime(0),
                offset_s: 50_460,
            }),
        ),
        (|t| t.days.push(t.days[0]), PackRefused::Day(Date(20_727))),
        (
            |t| t.transfers[0].transfer.within_s = 14_401,
            PackRefused::Transfer(RuleId(90)),
        ),
        (
            |t| t.transfers[0].transfer.most = 0,
            PackRefused::Transfer(RuleId(90)),
        ),
        (
            |t| t.transfers[0].transfer.id = RuleId(10),
            PackRefused::RuleTwice(id),
        ),
        (
            |t| {
                t.transfers.push(t.transfers[0]);
                t.transfers[1].transfer.id = RuleId(91);
            },
            PackRefused::TransferClass(RuleId(91)),
        ),
    ];
    for (change, refused) in cases {
        let mut tariff = of(&example());
        change(&mut tariff);
        assert_eq!(FarePack::new(tariff), Err(refused));
        assert!(!refused.to_string().contains('\n'));
    }
}

fn of(pack: &FarePack) -> Tariff {
    Tariff {
        currency: pack.currency(),
        valid_from: pack.valid_from(),
        valid_until: pack.valid_until(),
        rules: pack.rules().to_vec(),
        offsets: pack.offsets().to_vec(),
        days: pack.days().to_vec(),
        transfers: pack.transfers().to_vec(),
    }
}

fn rule() -> impl Strategy<Value = FareRule> {
    let times = (1..=255_u8, 0..86_400_u32, 1..=86_400_u32);
    let times = proptest::collection::vec(times, 0..4);
    let (classes, zones) = (1..=u32::MAX, 1..=u64::MAX);
    (classes, zones, times, any::<u32>()).prop_map(|(classes, zones, times, amount_minor)| {
        let times = times.into_iter().map(|(days, from_s, long)| TimeWindow {
            days: DaySet(days),
            from_s,
            until_s: (from_s + long).min(86_400),
        });
        FareRule {
            id: RuleId(0),
            classes: ClassSet(classes),
            zones: ZoneSet(zones),
            times: times.collect(),
            amount_minor,
        }
    })
}

proptest! {
    #[test]
    fn whatever_makes_a_pack_is_read_back_and_prices_alike(
        rules in proptest::collection::vec(rule(), 1..12),
        offset in -840..=840_i32,
        at in any::<u32>(),
        zone in 0..64_u8,
    ) {
        let mut tariff = plain(rules);
        for (id, rule) in tariff.rules.iter_mut().enumerate() {
            rule.id = RuleId(id as u16);
        }
        tariff.offsets = vec![OffsetChange { from: UnixTime(0), offset_s: offset * 60 }];
        // Rules that never apply are refused; such a tariff says nothing here.
        let Ok(pack) = FarePack::new(tariff) else { return Ok(()) };
        let read = FarePack::decode(pack.bytes()).unwrap();
        prop_assert_eq!(&read, &pack);
        for class in 0..=32 {
            let boarding = boarding(class, zone, at);
            prop_assert_eq!(price(&read, boarding), price(&pack, boarding));
        }
    }

    #[test]
    fn noise_and_flipped_bits_are_read_strictly_or_refused(
        at in 0..200_usize, bit in 0..8_u8, noise in proptest::collection::vec(any::<u8>(), 0..64)
    ) {
        let mut bytes = example().bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        for bytes in [bytes, noise] {
            if let Ok(pack) = FarePack::decode(&bytes) {
                prop_assert_eq!(pack.bytes(), &bytes[..]);
                if bytes[0] != 0xa5 {
                    let again = FarePack::new(of(&pack)).unwrap();
                    prop_assert_eq!(again.bytes(), &bytes[..]);
                }
            }
        }
    }
}
