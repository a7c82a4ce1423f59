//! One terminal: its clock, its link, its updater, what it believes.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use obol_credential::{Claims, Cti, DeviceKey, FareTerms, Kid, UnixTime};
use obol_pos_sdk::tuf::{Limits, P256};
use obol_pos_sdk::{AcceptedSet, Backoff, Freshness, Standing, TrustStorage, TrustUpdater};

use crate::chance::Chance;
use crate::link::{Link, Lost, Quality};
use crate::officers::NOW;
use crate::publications::{Published, REVOKED};
use crate::report::Group;
use crate::simulation::{AWAY_FROM_S, HEALED_S};

/// From one update to the next; a terminal that fails tries again sooner, as `obol-pos` does.
const POLL_MS: u64 = 60_000;
/// Terminals start within this time.
const STARTS_MS: u64 = 60_000;
const YEAR_2100: i64 = 4_102_444_800;

/// How a terminal's clock stands to the true time.
#[derive(Clone, Copy, Debug)]
enum Clock {
    /// Off by so many milliseconds, and drifting by so many parts in a million.
    Near { off_ms: i64, drift_ppm: i64 },
    /// It began anew at this time when the terminal started.
    From(i64),
}

pub(crate) struct Terminal {
    pub(crate) number: u32,
    pub(crate) group: Group,
    /// Its next attempt.
    pub(crate) next_ms: u64,
    /// The newest timestamp that it has worked with.
    pub(crate) version: u32,
    started_ms: u64,
    clock: Clock,
    quality: Quality,
    ranges: bool,
    backoff: Backoff,
    chance: Chance,
    updater: TrustUpdater<Memory, P256>,
    set: Option<AcceptedSet>,
}

/// Why somebody is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refuses {
    /// By a status list, or because the key is suspended: as commanded.
    AsCommanded,
    /// Everybody: the clock is wrong, or there is no set that is fresh enough.
    Everybody,
}

impl Terminal {
    pub(crate) fn new(number: u32, seed: u64, published: &Published) -> Terminal {
        let mut chance = Chance::of(seed, number);
        let (link, clock) = (chance.range(0, 100), chance.range(0, 100));
        let off_ms = i64::try_from(chance.range(0, 10_000)).unwrap() - 5_000;
        let drift_ppm = i64::try_from(chance.range(0, 200)).unwrap() - 100;
        let (clock, wrong) = match clock {
            0..80 => (Clock::Near { off_ms, drift_ppm }, None),
            // Minutes: those who are behind know that they are.
            80..90 => {
                let off_ms = off_ms * 120;
                (
                    Clock::Near {
                        off_ms,
                        drift_ppm: drift_ppm * 50,
                    },
                    Some(Group::Drifting),
                )
            }
            90..95 => (Clock::From(0), Some(Group::In1970)),
            _ => (Clock::From(YEAR_2100), Some(Group::In2100)),
        };
        let (quality, group) = match link {
            0..55 => (Quality::Good, Group::Good),
            55..75 => (Quality::Lossy, Group::Lossy),
            75..90 => (Quality::Slow(chance.range(1_000, 8_000)), Group::Slow),
            _ => (Quality::Good, Group::Away),
        };
        // Whoever has no network is that first of all.
        let group = match (group, wrong) {
            (Group::Away, _) | (_, None) => group,
            (_, Some(wrong)) => wrong,
        };
        let mut updater = TrustUpdater::new(Memory::default(), Limits::TERMINAL, P256);
        updater.initialise::<Lost>(&published.root).unwrap();
        let started_ms = chance.range(0, STARTS_MS);
        Terminal {
            number,
            group,
            next_ms: started_ms,
            version: 0,
            started_ms,
            clock,
            quality,
            ranges: chance.percent(80),
            backoff: Backoff::up_to(Duration::from_millis(POLL_MS)),
            chance,
            updater,
            set: None,
        }
    }

    /// Tries to update, beginning at its next attempt; when it ended.
    ///
    /// # Panics
    /// When it works with an earlier set than before.
    pub(crate) fn attempt(&mut self, published: &Published) -> u64 {
        let begins = self.next_ms;
        if self.is_away(begins) {
            self.next_ms = begins + self.pause();
            return begins;
        }
        let healed = begins >= u64::from(HEALED_S) * 1_000;
        let mut link = Link {
            publications: &published.publications,
            quality: if healed { Quality::Good } else { self.quality },
            ranges: self.ranges,
            now_ms: begins,
            chance: &mut self.chance,
        };
        let now = UnixTime(u32::try_from(clock(self.clock, self.started_ms, begins)).unwrap());
        let updated = self.updater.update(&mut link, now, &published.issuing.root);
        let ended = link.now_ms;
        match updated {
            Ok(set) => {
                assert!(
                    set.version >= self.version,
                    "terminal {} went back",
                    self.number
                );
                self.version = set.version;
                self.set = Some(set);
                self.backoff.reset();
                self.next_ms = ended + POLL_MS;
            }
            Err(_) => self.next_ms = ended + self.pause(),
        }
        ended
    }

    fn pause(&mut self) -> u64 {
        let random = self.chance.next() as u32;
        let pause: Duration = self.backoff.after_failure(random);
        u64::try_from(pause.as_millis()).unwrap()
    }

    fn is_away(&self, now_ms: u64) -> bool {
        let away = u64::from(AWAY_FROM_S) * 1_000..u64::from(HEALED_S) * 1_000;
        self.group == Group::Away && away.contains(&now_ms)
    }

    /// What it does at the gate with the rider who is revoked.
    pub(crate) fn refuses_rider(&self, kid: Kid, now_ms: u64) -> Option<Refuses> {
        self.refuses(now_ms, |set| {
            set.state.standing(kid, &rider()) != Standing::Good
        })
    }

    /// What it does with everybody whose credential the suspended shard signed.
    pub(crate) fn refuses_shard(&self, kid: Kid, now_ms: u64) -> Option<Refuses> {
        self.refuses(now_ms, |set| {
            let mut keys = set.state.keys().iter();
            keys.any(|key| key.kid() == kid && format!("{:?}", key.status) == "Suspended")
        })
    }

    fn refuses(
        &self,
        now_ms: u64,
        as_commanded: impl FnOnce(&AcceptedSet) -> bool,
    ) -> Option<Refuses> {
        let now = clock(self.clock, self.started_ms, now_ms);
        let now = UnixTime(u32::try_from(now).unwrap());
        let Some(set) = &self.set else {
            return Some(Refuses::Everybody);
        };
        let fresh = set.state.freshness(now) != Freshness::Expired;
        if set.state.is_from_the_future(now) || !fresh {
            Some(Refuses::Everybody)
        } else {
            as_commanded(set).then_some(Refuses::AsCommanded)
        }
    }
}

/// Seconds since 1970, as the terminal's clock has it. When the networks heal, so do the clocks.
fn clock(clock: Clock, started_ms: u64, now_ms: u64) -> i64 {
    let now = i64::try_from(now_ms).unwrap();
    let true_ms = i64::from(NOW.0) * 1_000 + now;
    let shown = match clock {
        _ if now_ms >= u64::from(HEALED_S) * 1_000 => true_ms,
        Clock::Near { off_ms, drift_ppm } => true_ms + off_ms + now * drift_ppm / 1_000_000,
        Clock::From(second) => second * 1_000 + now - i64::try_from(started_ms).unwrap(),
    };
    shown / 1_000
}

/// The claims of the rider who is revoked.
fn rider() -> Claims {
    let key = p256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(true);
    Claims {
        expires_at: NOW.plus(86_400),
        issued_at: NOW,
        cti: Cti([1; 8]),
        device_key: DeviceKey::from_sec1(point.as_bytes().try_into().unwrap()).unwrap(),
        fare: FareTerms {
            class: 1,
            cap_minor: 1_000,
            window_s: 30,
            status_index: REVOKED,
            flags: 0,
        },
    }
}

/// A terminal's folder; nobody cuts its power here.
#[derive(Debug, Default)]
pub(crate) struct Memory(BTreeMap<String, Vec<u8>>);

impl TrustStorage for Memory {
    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let bytes = self.0.get(name).cloned();
        match bytes {
            Some(bytes) if bytes.len() > limit => Err(io::ErrorKind::FileTooLarge.into()),
            bytes => Ok(bytes),
        }
    }

    fn write_synced(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let bytes = self.0.remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.0.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.remove(name);
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }
}
