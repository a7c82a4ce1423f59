//! From an operator's file to a pack, and what is said of a file with a mistake.

use obol_fare::tariff::{TARIFF_MAX, TariffError, compile};
use obol_fare::{PackRefused, RuleId};

const FLAT: &str = include_str!("../../../../policies/tariffs/flat.toml");
const CITY: &str = include_str!("../../../../policies/tariffs/city.toml");

#[test]
fn the_tariffs_that_are_shipped_compile() {
    let flat = compile(FLAT).unwrap();
    assert_eq!((flat.rules().len(), flat.transfers().len()), (2, 0));
    let city = compile(CITY).unwrap();
    assert_eq!((city.rules().len(), city.transfers().len()), (5, 2));
    assert_eq!((city.offsets().len(), city.days().len()), (1, 2));
}

/// Changes the one place in the city tariff and returns what is said of it.
fn mistake(good: &str, bad: &str) -> String {
    assert!(CITY.contains(good), "{good}");
    let said = compile(&CITY.replacen(good, bad, 1))
        .unwrap_err()
        .to_string();
    assert!(!said.contains('\n'), "{said}");
    said
}

#[test]
fn a_mistake_is_named_in_one_line_with_the_value_seen() {
    for (good, bad, said) in [
        (
            "\"CNY\"",
            "\"cny\"",
            r#"currency is "cny", not three capital letters"#,
        ),
        (
            "\"+08:00\"",
            "\"8\"",
            r#"utc_offset is "8", not an offset like "+08:00", up to 14 hours"#,
        ),
        (
            "\"+08:00\"",
            "\"+14:01\"",
            r#"utc_offset is "+14:01", not an offset like "+08:00", up to 14 hours"#,
        ),
        (
            "\"2026-10-01\"",
            "\"2026-02-29\"",
            r#"date is "2026-02-29", not a date like "2026-10-01""#,
        ),
        (
            "\"holiday\"",
            "\"feast\"",
            r#"counts_as is "feast", not mon, tue, wed, thu, fri, sat, sun or holiday"#,
        ),
        (
            "\"07:00\"",
            "\"7:00\"",
            r#"from is "7:00", not a time of day like "07:00", up to "24:00""#,
        ),
        (
            "\"07:00\"",
            "\"10:00\"",
            r#"until is "09:30", not later than `from`; split it at 24:00"#,
        ),
        (
            "period = \"peak\"\namount_minor = 400",
            "period = \"rush\"\namount_minor = 400",
            r#"period is "rush", not the name of a [[period]]"#,
        ),
        (
            "name = \"peak\"",
            "name = \"rush\"",
            r#"name is "rush", not the period of some fare"#,
        ),
        (
            "classes = [1]",
            "classes = [32]",
            r#"classes is "32", not a class of 0 to 31"#,
        ),
        (
            "zones = [1, 2]",
            "zones = [64]",
            r#"zones is "64", not a zone of 0 to 63, 0 for no zone"#,
        ),
        (
            "fare = \"free\"",
            "fare = \"free\"\ndiscount_minor = 5",
            r#"discount_minor is "5", not left out unless fare = "discount""#,
        ),
        (
            "fare = \"free\"",
            "fare = \"discount\"",
            r#"discount_minor is "", not what the discount takes off"#,
        ),
        (
            "within_s = 5400",
            "within_s = 14401",
            "transfer rule 90 is not for 1 to 255 rides within 1 to 14400 seconds",
        ),
        ("rule = 91", "rule = 21", "rule 21 stands twice"),
        (
            "utc_offset = \"+08:00\"\n",
            "",
            "rule 10 has times, and no offset from UTC holds at valid_from",
        ),
    ] {
        assert_eq!(mistake(good, bad), said, "{bad}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let said = mistake("currency = \"CNY\"", "discount = 3\ncurrency = \"CNY\"");
    assert!(
        said.starts_with("line 5: unknown field `discount`, expected one of"),
        "{said}"
    );
    let said = mistake("fare = \"difference\"", "fare = \"half\"");
    assert!(said.contains("unknown variant `half`"), "{said}");
}

#[test]
fn a_second_fare_for_the_same_boarding_is_refused() {
    let twice = format!("{FLAT}\n[[fare]]\nrule = 99\nclasses = [1]\namount_minor = 1\n");
    let refused = PackRefused::NeverApplies {
        rule: RuleId(99),
        covered_by: RuleId(10),
    };
    assert_eq!(compile(&twice), Err(TariffError::Pack(refused)));
}

#[test]
fn a_file_that_is_too_long_is_refused_before_it_is_read() {
    let long = "#".repeat(TARIFF_MAX + 1);
    assert_eq!(compile(&long), Err(TariffError::TooLong(TARIFF_MAX + 1)));
}

#[test]
fn a_clock_that_changes_is_written_change_by_change() {
    let change = "[[utc_offset_change]]\nfrom = 1774746000\nutc_offset = \"-03:30\"\n";
    let pack = compile(&format!("{CITY}\n{change}")).unwrap();
    let offsets: Vec<_> = pack
        .offsets()
        .iter()
        .map(|one| (one.from.0, one.offset_s))
        .collect();
    assert_eq!(offsets, [(0, 28_800), (1_774_746_000, -12_600)]);
}
