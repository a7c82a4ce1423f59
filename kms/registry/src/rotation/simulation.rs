use std::fmt;

use obol_credential::UnixTime;

use crate::class::Class;
use crate::rotation::fleet::{Fleet, Gap};
use crate::rotation::plan::{Metadata, Plan, PlannedKey, PlannedRoot};
use crate::rotation::times::instant;
use crate::rotation::{DEGRADED_S, ROOTS_PER_UPDATE};
use crate::spki::SpkiId;

/// A plan that was held against a fleet, and whom it would strand. Made by [`simulate`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    plan: Plan,
    fleet: Fleet,
    findings: Vec<Finding>,
}

/// Somebody whom the plan would strand, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Who.
    pub whom: Whom,
    /// Why.
    pub cause: Cause,
}

/// Who would be stranded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The fleet's entry of this name, with so many terminals.
    Terminals {
        /// The terminal's or the group's name.
        name: String,
        /// How many.
        terminals: u32,
        /// The longest time between two of its refreshes, in seconds.
        longest_s: u32,
    },
    /// However often they refresh.
    EveryTerminal,
    /// Live credentials, at whatever terminal.
    Credentials,
}

/// What strands them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// What the key signs is met by who may not have heard of the key.
    Unheard {
        /// The key.
        key: SpkiId,
        /// From when it is met.
        met: UnixTime,
        /// From when everybody has heard of it.
        heard: UnixTime,
    },
    /// What the key signed is in use after the key has left what terminals fetch.
    Gone {
        /// The key.
        key: SpkiId,
        /// The first second in which it is in use and not known.
        from: UnixTime,
        /// The last.
        until: UnixTime,
    },
    /// What the key signed is in use after its certificate has ended.
    Ended {
        /// The key.
        key: SpkiId,
        /// The certificate's last second.
        good_until: UnixTime,
        /// The last second in which what it signed is in use.
        until: UnixTime,
    },
    /// A root that is not served any more is still to be followed.
    RootRemoved {
        /// The root.
        version: u64,
        /// From when it is not served.
        removed: UnixTime,
    },
    /// More roots within one silence than an update follows.
    TooManyRoots {
        /// The last root, which one update does not reach.
        version: u64,
        /// How long it takes from the first of them to the last, in seconds.
        within_s: u32,
    },
    /// A version ends before its successor is there to be fetched.
    NoSuccessor {
        /// Root or bundle.
        what: &'static str,
        /// Its version.
        version: u64,
        /// Its end.
        expires: UnixTime,
        /// Until when there is no other.
        until: UnixTime,
    },
    /// A version ends before its successor has arrived.
    LateSuccessor {
        /// Root or bundle.
        what: &'static str,
        /// Its version.
        version: u64,
        /// Its end.
        expires: UnixTime,
        /// When the last terminal of these has the next one.
        arrived: UnixTime,
    },
    /// Timestamp, snapshot and deny list end before they are signed again.
    OnlineGap {
        /// How often they are signed, in seconds.
        every_s: u32,
        /// How long they live, in seconds.
        life_s: u32,
    },
    /// Timestamp, snapshot and deny list end, and the degraded time behind them, before the next
    /// refresh.
    Stale {
        /// How long a terminal goes on without a refresh, at worst, in seconds.
        lasts_s: u32,
    },
}

/// Holds a plan against a fleet.
///
/// A terminal may refresh at any second, as long as no two refreshes are further apart than its
/// longest gap; what it knows is what the repository had when it last did. Whoever can be stranded
/// by some such course is named; the worst course is found by arithmetic, not by trying.
#[must_use]
pub fn simulate(plan: Plan, fleet: Fleet) -> Simulation {
    let mut findings = Vec::new();
    for key in &plan.keys {
        findings.extend(unheard(&plan, key, &fleet.gaps));
        findings.extend(outlived(&plan, key));
    }
    for root in &plan.roots {
        findings.extend(removed_root(&plan, root, &fleet.gaps));
    }
    findings.extend(many_roots(&plan, &fleet.gaps));
    let roots: Vec<_> = plan.roots.iter().map(|root| root.metadata).collect();
    for (what, versions) in [("root", &roots), ("bundle", &plan.bundles)] {
        findings.extend(expired(&plan, what, versions, &fleet.gaps));
    }
    findings.extend(stale(&plan, &fleet.gaps));
    Simulation {
        plan,
        fleet,
        findings,
    }
}

impl Simulation {
    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The fleet.
    #[must_use]
    pub const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Whom the plan would strand; empty for a plan that strands nobody.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// How what a key signs reaches those who must know the key.
struct Reach {
    /// Seconds for which what it signed last is in use.
    life_s: u32,
    /// Whether a terminal looks at what it fetched earlier, or at what it is just fetching.
    remembers: bool,
}

impl Reach {
    fn of(plan: &Plan, class: Class) -> Reach {
        match class {
            Class::Issuer => Reach {
                life_s: plan.lives.credential_s,
                remembers: true,
            },
            Class::AccessCa => Reach {
                life_s: plan.lives.certificate_s,
                remembers: true,
            },
            // Root metadata comes first in each update, so the keys of the other roles are known
            // when what they sign is read.
            _ => Reach {
                life_s: 0,
                remembers: false,
            },
        }
    }
}

/// The last second in which something that the key signed is in use.
fn last_use(plan: &Plan, key: &PlannedKey) -> UnixTime {
    let life_s = Reach::of(plan, key.class).life_s;
    key.retired.unwrap_or(plan.ends).plus(life_s)
}

fn unheard(plan: &Plan, key: &PlannedKey, gaps: &[Gap]) -> Vec<Finding> {
    let met = key.activated.max(plan.begins);
    if met > last_use(plan, key) {
        return Vec::new();
    }
    let cause = |longest_s| {
        let heard = key.published.plus(longest_s);
        (met < heard).then_some(Cause::Unheard {
            key: key.spki,
            met,
            heard,
        })
    };
    if Reach::of(plan, key.class).remembers {
        each(gaps, |gap| cause(gap.longest_s))
    } else {
        every(cause(0))
    }
}

fn outlived(plan: &Plan, key: &PlannedKey) -> Vec<Finding> {
    let until = last_use(plan, key);
    let from = |bound: UnixTime| bound.max(plan.begins).max(key.activated);
    let gone = key.removed.map(from).filter(|from| *from <= until);
    let gone = gone.map(|from| Cause::Gone {
        key: key.spki,
        from,
        until,
    });
    let ended = key.good_until.filter(|end| from(end.plus(1)) <= until);
    let ended = ended.map(|good_until| Cause::Ended {
        key: key.spki,
        good_until,
        until,
    });
    let whom = match key.class {
        Class::Issuer => Whom::Credentials,
        _ => Whom::EveryTerminal,
    };
    let causes = gone.into_iter().chain(ended);
    let finding = |cause| Finding {
        whom: whom.clone(),
        cause,
    };
    causes.map(finding).collect()
}

/// A terminal that last refreshed before this root was there must still fetch it.
fn removed_root(plan: &Plan, root: &PlannedRoot, gaps: &[Gap]) -> Vec<Finding> {
    let Some(removed) = root.removed else {
        return Vec::new();
    };
    let Metadata {
        version, published, ..
    } = root.metadata;
    each(gaps, |gap| {
        let asked = removed.max(plan.begins);
        (asked < published.plus(gap.longest_s)).then_some(Cause::RootRemoved { version, removed })
    })
}

fn many_roots(plan: &Plan, gaps: &[Gap]) -> Vec<Finding> {
    each(gaps, |gap| {
        let mut windows = plan.roots.windows(ROOTS_PER_UPDATE + 1);
        windows.find_map(|roots| {
            let (first, last) = (roots.first()?.metadata, roots.last()?.metadata);
            let asked = last.published.max(plan.begins);
            let within_s = u32::try_from(asked.since(first.published)).ok()?;
            (within_s < gap.longest_s).then_some(Cause::TooManyRoots {
                version: last.version,
                within_s,
            })
        })
    })
}

fn expired(plan: &Plan, what: &'static str, versions: &[Metadata], gaps: &[Gap]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let in_time = versions.iter().filter(|one| one.published <= plan.ends);
    for (at, one) in in_time.enumerate() {
        let Metadata {
            version, expires, ..
        } = *one;
        // The last second in which it is the newest.
        let newest = versions.get(at + 1).map(|next| next.published.minus(1));
        let newest = newest.map_or(plan.ends, |newest| newest.min(plan.ends));
        let wanted = expires.max(plan.begins);
        if wanted <= newest {
            findings.extend(every(Some(Cause::NoSuccessor {
                what,
                version,
                expires,
                until: newest,
            })));
            continue;
        }
        findings.extend(each(gaps, |gap| {
            let held = newest.plus(gap.longest_s).min(plan.ends);
            (wanted <= held).then_some(Cause::LateSuccessor {
                what,
                version,
                expires,
                arrived: newest.plus(gap.longest_s).plus(1),
            })
        }));
    }
    findings
}

fn stale(plan: &Plan, gaps: &[Gap]) -> Vec<Finding> {
    let Some(online) = plan.online else {
        return Vec::new();
    };
    let (every_s, life_s) = (online.every_s, online.life_s);
    if every_s > life_s {
        return every(Some(Cause::OnlineGap { every_s, life_s }));
    }
    // What is fetched may be as old as the time between two signatures.
    let lasts_s = life_s - every_s + DEGRADED_S;
    each(gaps, |gap| {
        (gap.longest_s > lasts_s).then_some(Cause::Stale { lasts_s })
    })
}

fn each(gaps: &[Gap], cause: impl Fn(&Gap) -> Option<Cause>) -> Vec<Finding> {
    let found = gaps.iter().filter_map(|gap| {
        Some(Finding {
            cause: cause(gap)?,
            whom: Whom::Terminals {
                name: gap.name.clone(),
                terminals: gap.terminals,
                longest_s: gap.longest_s,
            },
        })
    });
    found.collect()
}

fn every(cause: Option<Cause>) -> Vec<Finding> {
    let whom = Whom::EveryTerminal;
    cause
        .map(|cause| Finding { whom, cause })
        .into_iter()
        .collect()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { whom, cause } = self;
        write!(f, "{whom}: {cause}")
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whom::EveryTerminal => f.write_str("every terminal"),
            Whom::Credentials => f.write_str("live credentials"),
            Whom::Terminals {
                name,
                terminals,
                longest_s,
            } => match terminals {
                1 => write!(f, "{name} (silent for up to {longest_s} s)"),
                _ => write!(
                    f,
                    "{name} ({terminals} terminals, silent for up to {longest_s} s)"
                ),
            },
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Cause::Unheard { key, met, heard } => write!(
                f,
                "key {key} signs from {}, and is known to all of them only from {}",
                instant(met),
                instant(heard)
            ),
            Cause::Gone { key, from, until } => write!(
                f,
                "key {key} is gone, and what it signed is in use from {} to {}",
                instant(from),
                instant(until)
            ),
            Cause::Ended {
                key,
                good_until,
                until,
            } => write!(
                f,
                "the certificate of key {key} ends at {}, and what it signed is in use until {}",
                instant(good_until),
                instant(until)
            ),
            Cause::RootRemoved { version, removed } => write!(
                f,
                "root {version} is not served from {}, and some have not passed it",
                instant(removed)
            ),
            Cause::TooManyRoots { version, within_s } => write!(
                f,
                "root {version} comes {within_s} s after the {ROOTS_PER_UPDATE}th before it, and \
                 one update follows {ROOTS_PER_UPDATE}"
            ),
            Cause::NoSuccessor {
                what,
                version,
                expires,
                until,
            } => write!(
                f,
                "{what} {version} ends at {}, and there is no other until {}",
                instant(expires),
                instant(until)
            ),
            Cause::LateSuccessor {
                what,
                version,
                expires,
                arrived,
            } => write!(
                f,
                "{what} {version} ends at {}, and all of them have the next only at {}",
                instant(expires),
                instant(arrived)
            ),
            Cause::OnlineGap { every_s, life_s } => write!(
                f,
                "the timestamp is signed each {every_s} s and lives for {life_s} s"
            ),
            Cause::Stale { lasts_s } => write!(
                f,
                "without a refresh a terminal goes on for {lasts_s} s, degraded at the end"
            ),
        }
    }
}
