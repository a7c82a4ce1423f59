//! How long terminals hear nothing of the trust repository, as a file that plans of rotations are
//! simulated against (docs/spec/key-registry.md section 7).

use obol_console::utc_text;
use obol_credential::UnixTime;
use obol_store::TerminalRefresh;
use obol_tap::TerminalName;

/// So many terminals stand in the file by name: those that are silent for the longest. The others
/// are one group, as silent as the most silent of them.
pub const NAMED_MAX: usize = 10_000;

/// The fleet at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// The file, TOML. It names no terminal of which nothing is known.
    pub text: String,
    /// How many terminals the file speaks of.
    pub known: usize,
    /// Registered terminals that have never told when they heard news.
    pub unknown: Vec<TerminalName>,
}

impl Fleet {
    /// Of what terminals told until `now`.
    #[must_use]
    pub fn of(told: Vec<(TerminalName, Option<TerminalRefresh>)>, now: UnixTime) -> Self {
        let mut unknown = Vec::new();
        let mut known: Vec<Told> = Vec::new();
        for (name, refresh) in told {
            match refresh {
                Some(refresh) => known.push(Told::of(name, refresh, now)),
                None => unknown.push(name),
            }
        }
        known.sort_by(|one, other| {
            let longest = other.longest_s().cmp(&one.longest_s());
            longest.then_with(|| one.name.as_str().cmp(other.name.as_str()))
        });
        let mut text = format!("schema = 1\nrecorded = {}\n", moment(now));
        let (named, others) = known.split_at(known.len().min(NAMED_MAX));
        named.iter().for_each(|one| text += &one.table());
        if let Some(first) = others.first() {
            text += &format!(
                "\n[[groups]]\nname = \"others\"\nterminals = {}\nlongest = \"{}s\"\n",
                others.len(),
                first.longest_s()
            );
        }
        Self {
            text,
            known: known.len(),
            unknown,
        }
    }
}

struct Told {
    name: TerminalName,
    last: UnixTime,
    silence_s: Option<u32>,
    now: UnixTime,
}

impl Told {
    /// A terminal's clock may be ahead.
    fn of(name: TerminalName, refresh: TerminalRefresh, now: UnixTime) -> Self {
        Self {
            name,
            last: refresh.refreshed_at.min(now),
            silence_s: refresh.silence_s,
            now,
        }
    }

    /// The silence that goes on counts as well.
    fn longest_s(&self) -> u32 {
        let running = self.now.0 - self.last.0;
        self.silence_s
            .map_or(running, |longest| longest.max(running))
    }

    fn table(&self) -> String {
        let intervals = self.silence_s.map(|longest| longest.to_string());
        format!(
            "\n[[terminals]]\nname = \"{}\"\nintervals_s = [{}]\nlast = {}\n",
            self.name.as_str(),
            intervals.into_iter().collect::<String>(),
            moment(self.last)
        )
    }
}

fn moment(at: UnixTime) -> String {
    utc_text(at.0).replace(' ', "T")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn told(
        name: &str,
        ago_s: u32,
        silence_s: Option<u32>,
    ) -> (TerminalName, Option<TerminalRefresh>) {
        let refresh = TerminalRefresh {
            refreshed_at: NOW.minus(ago_s),
            silence_s,
        };
        (TerminalName::new(name).unwrap(), Some(refresh))
    }

    fn read(fleet: &Fleet) -> Vec<(String, u32, u32)> {
        let read = obol_kms_registry::rotation::Fleet::parse(&fleet.text).unwrap();
        assert_eq!(read.recorded(), NOW);
        let gaps = read.gaps().iter();
        gaps.map(|gap| (gap.name.clone(), gap.terminals, gap.longest_s))
            .collect()
    }

    #[test]
    fn what_terminals_told_is_a_fleet_that_plans_are_simulated_against() {
        let silent = TerminalName::new("bus-3").unwrap();
        let fleet = Fleet::of(
            vec![
                told("bus-1", 60, Some(660)),
                told("bus-2", 90_000, Some(660)),
                (silent.clone(), None),
                told("bus-4", 100, None),
            ],
            NOW,
        );
        let expected = [("bus-2", 90_000), ("bus-1", 660), ("bus-4", 100)];
        let expected = expected.map(|(name, longest)| (name.to_owned(), 1, longest));
        assert_eq!(read(&fleet), expected);
        assert_eq!((fleet.known, fleet.unknown), (3, vec![silent]));
        assert!(
            fleet.text.contains(
                "\n[[terminals]]\nname = \"bus-1\"\nintervals_s = [660]\n\
                 last = 2027-01-15T07:59:00Z\n"
            ),
            "{}",
            fleet.text
        );
    }

    #[test]
    fn a_terminal_whose_clock_is_ahead_has_heard_just_now() {
        let refresh = TerminalRefresh {
            refreshed_at: NOW.plus(50_000),
            silence_s: Some(600),
        };
        let name = TerminalName::new("bus-1").unwrap();
        let fleet = Fleet::of(vec![(name, Some(refresh))], NOW);
        assert_eq!(read(&fleet), [("bus-1".to_owned(), 1, 600)]);
    }

    #[test]
    fn a_fleet_beyond_what_is_named_loses_no_terminal_and_no_silence() {
        let count = NAMED_MAX as u32 + 500;
        let all = (0..count).map(|number| told(&format!("bus-{number}"), 0, Some(number)));
        let fleet = Fleet::of(all.collect(), NOW);
        let read = read(&fleet);
        assert_eq!(read.len(), NAMED_MAX + 1);
        assert_eq!(read[0], (format!("bus-{}", count - 1), 1, count - 1));
        assert_eq!(read[NAMED_MAX], ("others".to_owned(), 500, 499));
    }
}
