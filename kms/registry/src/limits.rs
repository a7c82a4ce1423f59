use crate::class::Class;

/// Most uses that a key may be given.
const LIFETIME_MAX: u64 = 1 << 53;
/// Longest period of a rate, in seconds: one day.
const PERIOD_MAX_S: u32 = 86_400;
/// Most permits in a period.
const PERMITS_MAX: u32 = 1_000_000;

/// A token bucket: `permits` every `per_s` seconds, and at most `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub(crate) permits: u32,
    pub(crate) per_s: u32,
    pub(crate) burst: u32,
}

/// How much a key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) lifetime: u64,
    pub(crate) per_key: Rate,
    pub(crate) per_client: Rate,
}

/// A limit is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimits {
    /// A rate of nothing, of too much, or over more than a day.
    #[error(
        "{permits} every {per_s} s, burst {burst}: each must be positive, at most 1 000 000 in at most a day"
    )]
    Rate {
        /// Permits in a period.
        permits: u32,
        /// The period in seconds.
        per_s: u32,
        /// Most at once.
        burst: u32,
    },
    /// The clock has seconds, so a burst must hold at least what arrives in one.
    #[error("a burst of {burst} is less than the {arriving} that arrive each second")]
    Burst {
        /// Most at once.
        burst: u32,
        /// What arrives in one second.
        arriving: u32,
    },
    /// More uses than a counter is good for.
    #[error("{0} uses are more than 2^53")]
    Lifetime(u64),
}

impl Rate {
    /// `permits` (1 to 1 000 000) every `per_s` seconds (1 to 86 400), at most `burst` at once.
    ///
    /// # Errors
    /// [`InvalidLimits`]: a zero, a period above a day, or a burst below one second's arrivals.
    pub fn new(permits: u32, per_s: u32, burst: u32) -> Result<Rate, InvalidLimits> {
        if !(1..=PERMITS_MAX).contains(&permits)
            || burst == 0
            || !(1..=PERIOD_MAX_S).contains(&per_s)
        {
            return Err(InvalidLimits::Rate {
                permits,
                per_s,
                burst,
            });
        }
        let arriving = permits.div_ceil(per_s);
        if burst < arriving {
            return Err(InvalidLimits::Burst { burst, arriving });
        }
        Ok(Rate {
            permits,
            per_s,
            burst,
        })
    }

    /// Nanoseconds between two permits.
    pub(crate) const fn interval_ns(&self) -> i64 {
        self.per_s as i64 * 1_000_000_000 / self.permits as i64
    }

    /// How many permits are taken from the disk at once: a crash loses no more of a burst than 1 %.
    pub(crate) const fn block(&self) -> u32 {
        match self.burst / 100 {
            0 => 1,
            block if block > BLOCK_MAX => BLOCK_MAX,
            block => block,
        }
    }
}

/// Most uses that are reserved at once.
pub(crate) const BLOCK_MAX: u32 = 1_000;

impl Limits {
    /// `lifetime` uses (0 to 2^53), at these rates over all clients and for each client.
    ///
    /// # Errors
    /// [`InvalidLimits::Lifetime`].
    pub fn new(lifetime: u64, per_key: Rate, per_client: Rate) -> Result<Limits, InvalidLimits> {
        if lifetime > LIFETIME_MAX {
            return Err(InvalidLimits::Lifetime(lifetime));
        }
        Ok(Limits {
            lifetime,
            per_key,
            per_client,
        })
    }

    /// What a key of this class gets unless its registration says otherwise: generous for the work
    /// of the class, and far from what a thief would want.
    #[must_use]
    pub const fn of(class: Class) -> Limits {
        let (lifetime, permits, per_s, burst) = match class {
            Class::Root => (10_000, 100, 3_600, 100),
            Class::Issuer => (1_000_000_000_000, 20_000, 1, 200_000),
            Class::AccessCa => (10_000_000, 600, 60, 2_000),
            Class::TufRoot => (1_000, 20, 3_600, 20),
            Class::TufTargets => (10_000, 100, 3_600, 100),
            Class::TufOnline => (10_000_000, 100, 60, 200),
            Class::Audit => (10_000_000_000, 100, 1, 1_000),
            Class::Channel => (10_000_000_000, 1_000, 1, 10_000),
            Class::LedgerClose => (100_000, 100, 60, 100),
            Class::Data => (0, 1, 1, 1),
        };
        let rate = Rate {
            permits,
            per_s,
            burst,
        };
        Limits {
            lifetime,
            per_key: rate,
            per_client: rate,
        }
    }

    /// How many uses are reserved at once: a crash loses no more of a key's life than 1 %, and no
    /// more than 1 000.
    pub(crate) fn block(&self) -> u64 {
        (self.lifetime / 100).clamp(1, u64::from(BLOCK_MAX))
    }

    /// The same rates with another number of uses.
    ///
    /// # Errors
    /// [`InvalidLimits::Lifetime`].
    pub fn with_lifetime(self, lifetime: u64) -> Result<Limits, InvalidLimits> {
        Limits::new(lifetime, self.per_key, self.per_client)
    }

    /// Uses in the key's whole life.
    #[must_use]
    pub const fn lifetime(&self) -> u64 {
        self.lifetime
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_every_class_are_within_their_own_ranges() {
        for class in Class::ALL {
            let Limits {
                lifetime, per_key, ..
            } = Limits::of(*class);
            let rate = Rate::new(per_key.permits, per_key.per_s, per_key.burst).unwrap();
            assert_eq!(Limits::new(lifetime, rate, rate), Ok(Limits::of(*class)));
        }
    }

    #[test]
    fn a_burst_below_what_arrives_in_a_second_is_refused() {
        let (burst, arriving) = (99, 100);
        assert_eq!(
            Rate::new(100, 1, burst),
            Err(InvalidLimits::Burst { burst, arriving })
        );
        assert!(Rate::new(100, 60, 2).is_ok());
    }
}
