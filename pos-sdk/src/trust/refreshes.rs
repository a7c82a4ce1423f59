use std::collections::BTreeMap;

use obol_credential::UnixTime;

const DAY_S: u32 = 86_400;
/// How long a silence is remembered, in days.
const DAYS: u32 = 30;

/// When the terminal heard news from the trust repository, as whoever plans a rotation of keys has
/// to know it: the last time, and the longest silence of each of the last 30 days.
///
/// News is a timestamp that it had not seen. The publisher signs one each 10 min, so of a terminal
/// that is always online the longest silence is about that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refreshes {
    last: Option<UnixTime>,
    /// The longest silence that ended on a day since 1970, in seconds.
    longest_s: BTreeMap<u32, u32>,
}

impl Refreshes {
    /// News came at `at`. A time before the last one says nothing: a clock was set back.
    pub fn note(&mut self, at: UnixTime) {
        let Some(last) = self.last else {
            self.last = Some(at);
            return;
        };
        let silence_s = at.0.saturating_sub(last.0);
        if silence_s == 0 {
            return;
        }
        let day = at.0 / DAY_S;
        let longest_s = self.longest_s.entry(day).or_insert(silence_s);
        *longest_s = silence_s.max(*longest_s);
        self.longest_s
            .retain(|before, _| before.saturating_add(DAYS) >= day);
        self.last = Some(at);
    }

    /// When news came last.
    #[must_use]
    pub const fn last(&self) -> Option<UnixTime> {
        self.last
    }

    /// The longest silence between two pieces of news in the last 30 days, in seconds; `None` before
    /// the second one.
    #[must_use]
    pub fn longest_s(&self) -> Option<u32> {
        self.longest_s.values().copied().max()
    }

    /// As it is stored: a line for the last news, one for each day.
    pub(super) fn to_text(&self) -> String {
        let last = self.last.map(|last| format!("last {last}\n"));
        let days = self.longest_s.iter();
        let days = days.map(|(day, longest_s)| format!("{day} {longest_s}\n"));
        last.into_iter().chain(days).collect()
    }

    /// `None` for what was not written so.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let last = lines.next()?.strip_prefix("last ")?.parse().ok()?;
        let mut read = Self {
            last: Some(UnixTime(last)),
            longest_s: BTreeMap::new(),
        };
        for line in lines {
            let (day, longest_s) = line.split_once(' ')?;
            let (day, longest_s) = (day.parse().ok()?, longest_s.parse().ok()?);
            read.longest_s.insert(day, longest_s);
        }
        (read.to_text() == text).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    #[test]
    fn the_longest_silence_of_thirty_days_is_known_and_older_ones_are_forgotten() {
        let mut refreshes = Refreshes::default();
        assert_eq!((refreshes.last(), refreshes.longest_s()), (None, None));
        refreshes.note(NOW);
        assert_eq!((refreshes.last(), refreshes.longest_s()), (Some(NOW), None));
        let mut at = NOW;
        for silence_s in [600, 7_200, 600] {
            at = at.plus(silence_s);
            refreshes.note(at);
        }
        assert_eq!(refreshes.longest_s(), Some(7_200));
        // Each day's is one of ten minutes, until the long one is 31 days ago.
        for day in 0..=DAYS + 1 {
            refreshes.note(at.plus(day * DAY_S));
            refreshes.note(at.plus(day * DAY_S + 600));
        }
        assert_eq!(refreshes.longest_s(), Some(DAY_S - 600));
        assert!(refreshes.longest_s.len() <= DAYS as usize + 1);
    }

    #[test]
    fn a_clock_that_is_set_back_says_nothing() {
        let mut refreshes = Refreshes::default();
        refreshes.note(NOW);
        refreshes.note(NOW.minus(5_000));
        refreshes.note(NOW);
        assert_eq!((refreshes.last(), refreshes.longest_s()), (Some(NOW), None));
    }

    #[test]
    fn it_is_read_as_it_was_written_and_nothing_else_is() {
        let mut refreshes = Refreshes::default();
        for at in [0, 600, 90_000] {
            refreshes.note(NOW.plus(at));
        }
        let text = refreshes.to_text();
        assert_eq!(text, "last 1800090000\n20833 600\n20834 89400\n");
        assert_eq!(Refreshes::parse(&text), Some(refreshes));
        for wrong in [
            "",
            "20833 600\n",
            "last 1\n20833\n",
            "last 1\n20833 600",
            "last 01\n",
            "last 1\n2 5\n1 5\n",
            "last 4294967296\n",
        ] {
            assert_eq!(Refreshes::parse(wrong), None, "{wrong:?}");
        }
    }
}
