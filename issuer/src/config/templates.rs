//! What credentials say: a file of its own, so that it can be reviewed and changed alone.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Deserialize;

use super::raw::{in_range, value};
use super::{ConfigError, syntax};
use crate::issuance::FareTemplate;

const HOUR_S: u32 = 3600;
const VERSION: RangeInclusive<u8> = 1..=1;
const LIFE_HOURS: RangeInclusive<u32> = 1..=48;
const WINDOW_S: RangeInclusive<u16> = 1..=60;
const CLASS: RangeInclusive<u8> = 0..=31;

const _: () = assert!(*LIFE_HOURS.end() * HOUR_S == obol_credential::LIFE_MAX_S);

/// The checked file.
pub(super) struct Templates {
    pub(super) life_s: u32,
    pub(super) by_class: BTreeMap<u8, FareTemplate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTemplates {
    version: u8,
    life_hours: u32,
    classes: Vec<RawClass>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClass {
    class: u8,
    cap_minor: u32,
    window_s: u16,
    flags: u8,
}

impl Templates {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let raw: RawTemplates = toml::from_str(text).map_err(|error| syntax(text, &error))?;
        in_range("version", raw.version, &VERSION, "1")?;
        in_range("life_hours", raw.life_hours, &LIFE_HOURS, "1 to 48")?;
        let mut by_class = BTreeMap::new();
        for raw in &raw.classes {
            let (class, template) = raw.check()?;
            if by_class.insert(class, template).is_some() {
                let what = format!("class {class}");
                return Err(ConfigError::Twice { what });
            }
        }
        if by_class.is_empty() {
            return Err(value("classes", "empty", "one class or more"));
        }
        Ok(Self {
            life_s: raw.life_hours * HOUR_S,
            by_class,
        })
    }
}

impl RawClass {
    fn check(&self) -> Result<(u8, FareTemplate), ConfigError> {
        in_range("class", self.class, &CLASS, "0 to 31")?;
        in_range("window_s", self.window_s, &WINDOW_S, "1 to 60")?;
        let template = FareTemplate {
            cap_minor: self.cap_minor,
            window_s: self.window_s,
            flags: self.flags,
        };
        Ok((self.class, template))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = include_str!("../../../policies/credentials/metro.toml");

    fn refusal(from: &str, to: &str) -> String {
        assert!(COMMITTED.contains(from), "{from}");
        let refused = Templates::parse(&COMMITTED.replacen(from, to, 1));
        refused
            .map(|templates| templates.life_s)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_committed_templates_are_good() {
        let templates = Templates::parse(COMMITTED).unwrap();
        assert_eq!(templates.life_s, 86_400);
        assert_eq!(templates.by_class[&1].window_s, 30);
    }

    #[test]
    fn values_out_of_range_are_refused_with_the_value_seen() {
        let cases = [
            ("version = 1", "version = 2", "version is 2, not 1"),
            (
                "life_hours = 24",
                "life_hours = 49",
                "life_hours is 49, not 1 to 48",
            ),
            ("class = 1", "class = 32", "class is 32, not 0 to 31"),
            (
                "window_s = 30",
                "window_s = 61",
                "window_s is 61, not 1 to 60",
            ),
        ];
        for (from, to, refused) in cases {
            assert_eq!(refusal(from, to), refused);
        }
    }

    #[test]
    fn a_class_that_stands_twice_or_a_file_without_one_is_refused() {
        let class = "[[classes]]\nclass = 1\ncap_minor = 1\nwindow_s = 1\nflags = 0\n";
        let twice = Templates::parse(&format!("{COMMITTED}\n{class}"));
        assert_eq!(
            twice.map(|t| t.life_s).unwrap_err().to_string(),
            "class 1 stands twice"
        );
        let none = Templates::parse("version = 1\nlife_hours = 24\nclasses = []");
        let none = none.map(|t| t.life_s).unwrap_err().to_string();
        assert_eq!(none, "classes is empty, not one class or more");
    }
}
