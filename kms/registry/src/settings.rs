/// Longest propagation time: 90 days.
const PROPAGATION_MAX_S: u32 = 90 * 86_400;
/// Longest verify-only tail: 400 days.
const TAIL_MAX_S: u32 = 400 * 86_400;
/// Shortest waiting time before a destruction, in days.
const WAIT_MIN_DAYS: u32 = 7;
/// Longest waiting time before a destruction, in days.
const WAIT_MAX_DAYS: u32 = 30;

/// Times that the states wait for. Given when a registry is made, and fixed for its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(crate) propagation_s: u32,
    pub(crate) tail_s: u32,
    pub(crate) destruction_wait_s: u32,
}

/// A time is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} of {value} is not {least} to {most}")]
pub struct InvalidSettings {
    /// Which.
    pub name: &'static str,
    /// What was given.
    pub value: u32,
    /// The least that is accepted.
    pub least: u32,
    /// The most that is accepted.
    pub most: u32,
}

impl Settings {
    /// * `propagation_s`: how long a key must have been published before it may sign, in seconds,
    ///   0 to 90 days: the refresh interval of the slowest terminal. 0 only where no terminal is.
    /// * `tail_s`: how long a retiring key stays verifiable, in seconds, 0 to 400 days: the longest
    ///   life of what it signs.
    /// * `destruction_wait_days`: 7 to 30.
    ///
    /// # Errors
    /// [`InvalidSettings`] names the value and its range.
    pub fn new(
        propagation_s: u32,
        tail_s: u32,
        destruction_wait_days: u32,
    ) -> Result<Settings, InvalidSettings> {
        let ranges = [
            ("propagation_s", propagation_s, 0, PROPAGATION_MAX_S),
            ("tail_s", tail_s, 0, TAIL_MAX_S),
            (
                "destruction_wait_days",
                destruction_wait_days,
                WAIT_MIN_DAYS,
                WAIT_MAX_DAYS,
            ),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(InvalidSettings {
                    name,
                    value,
                    least,
                    most,
                });
            }
        }
        Ok(Settings {
            propagation_s,
            tail_s,
            destruction_wait_s: destruction_wait_days * 86_400,
        })
    }

    /// How long a key must have been published before it may sign, in seconds.
    #[must_use]
    pub const fn propagation_s(&self) -> u32 {
        self.propagation_s
    }

    /// How long a retiring key stays verifiable, in seconds.
    #[must_use]
    pub const fn tail_s(&self) -> u32 {
        self.tail_s
    }

    /// How long a destruction waits, in seconds.
    #[must_use]
    pub const fn destruction_wait_s(&self) -> u32 {
        self.destruction_wait_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destruction_waits_seven_to_thirty_days() {
        for days in [7, 30] {
            assert_eq!(
                Settings::new(0, 0, days).unwrap().destruction_wait_s(),
                days * 86_400
            );
        }
        for days in [6, 31] {
            let error = Settings::new(0, 0, days).unwrap_err();
            let text = format!("destruction_wait_days of {days} is not 7 to 30");
            assert_eq!(error.to_string(), text);
        }
    }
}
