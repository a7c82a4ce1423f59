//! The simulator against a model that tries every course, second by second.

use std::fmt::Write;

use obol_credential::UnixTime;
use obol_kms_registry::rotation::{Cause, DEGRADED_S, Fleet, Plan, Whom, instant, simulate};
use proptest::prelude::*;

const BEGINS: i64 = 1_800_000_000;
const KEY: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// A key's times, in seconds from the plan's begin.
#[derive(Clone, Debug)]
struct Way {
    class: &'static str,
    published: i64,
    activated: i64,
    retired: Option<i64>,
    removed: Option<i64>,
    good_until: Option<i64>,
}

#[derive(Clone, Debug)]
struct Course {
    ends: i64,
    life: i64,
    way: Way,
    /// Version by version: published, life, and for roots how long after it is removed.
    bundles: Vec<(i64, i64)>,
    roots: Vec<(i64, i64, Option<i64>)>,
    gaps: Vec<i64>,
}

fn time(offset: i64) -> String {
    instant(UnixTime(u32::try_from(BEGINS + offset).unwrap()))
}

impl Course {
    fn plan(&self) -> String {
        let Course {
            ends, life, way, ..
        } = self;
        let mut text = format!(
            "schema = 1\nbegins = {}\nends = {}\n[lives]\ncredential = '{life}s'\n\
             certificate = '{life}s'\n[[keys]]\nspki = '{KEY}'\nclass = '{}'\npublished = {}\n\
             activated = {}\n",
            time(0),
            time(*ends),
            way.class,
            time(way.published),
            time(way.activated)
        );
        let optional = [
            ("retired", way.retired),
            ("removed", way.removed),
            ("good_until", way.good_until),
        ];
        for (name, at) in optional {
            if let Some(at) = at {
                writeln!(text, "{name} = {}", time(at)).unwrap();
            }
        }
        for (version, (published, life, removed)) in (1..).zip(&self.roots) {
            let (from, to) = (time(*published), time(published + life));
            writeln!(
                text,
                "[[roots]]\nversion = {version}\npublished = {from}\nexpires = {to}"
            )
            .unwrap();
            if let Some(after) = removed {
                writeln!(text, "removed = {}", time(published + after)).unwrap();
            }
        }
        for (version, (published, life)) in (1..).zip(&self.bundles) {
            let (from, to) = (time(*published), time(published + life));
            writeln!(
                text,
                "[[bundles]]\nversion = {version}\npublished = {from}\nexpires = {to}"
            )
            .unwrap();
        }
        // Signed each second: online roles are counted out of this.
        text + "[online]\nevery = '1s'\nlife = '1d'\n"
    }

    fn fleet(&self) -> String {
        let mut text = format!("schema = 1\nrecorded = {}\n", time(0));
        for (number, gap) in self.gaps.iter().enumerate() {
            write!(
                text,
                "[[terminals]]\nname = 't{number}'\nintervals_s = [{gap}]\n"
            )
            .unwrap();
        }
        text
    }

    /// Whether some course of refreshes strands somebody at a terminal with this longest gap.
    fn strands(&self, gap: i64) -> bool {
        // Behind the last event nothing new is met.
        let way = &self.way;
        let last = way.retired.unwrap_or(self.ends).max(way.activated) + self.life;
        let removed = |root: &(i64, i64, Option<i64>)| root.0 + root.2.unwrap_or(0);
        let roots = self.roots.iter().map(removed).max().unwrap_or(0);
        let horizon = last.max(self.ends).max(roots) + 1;
        (0..=horizon).any(|now| (now - gap..=now).any(|seen| self.stranded(seen, now)))
    }

    /// What the repository had at `seen` is not enough for what is met at `now`.
    fn stranded(&self, seen: i64, now: i64) -> bool {
        self.unknown(seen, now) || self.lost(seen, now) || self.out_of_date(seen, now)
    }

    fn unknown(&self, seen: i64, now: i64) -> bool {
        let way = &self.way;
        let (life, seen) = match way.class {
            "tuf-online" => (0, now),
            _ => (self.life, seen),
        };
        let last = way.retired.unwrap_or(self.ends) + life;
        let met = (way.activated..=last).contains(&now);
        let known = way.published <= seen && way.removed.is_none_or(|removed| seen < removed);
        met && !(known && way.good_until.is_none_or(|end| now <= end))
    }

    /// A refresh now, after one at `seen`: is each root in between served?
    fn lost(&self, seen: i64, now: i64) -> bool {
        self.roots.iter().any(|(published, _, removed)| {
            let to_follow = *published > seen && *published <= now;
            to_follow && removed.is_some_and(|after| published + after <= now)
        })
    }

    fn out_of_date(&self, seen: i64, now: i64) -> bool {
        let ended = |versions: &[(i64, i64)]| {
            let mut held = versions.iter().rev();
            let held = held.find(|(published, _)| *published <= seen);
            held.is_some_and(|(published, life)| now <= self.ends && now >= published + life)
        };
        let roots = self
            .roots
            .iter()
            .map(|(published, life, _)| (*published, *life));
        ended(&self.bundles) || ended(&roots.collect::<Vec<_>>())
    }
}

fn ascending(times: Vec<i64>) -> Vec<i64> {
    let mut times = times;
    times.sort_unstable();
    times.dedup();
    times
}

fn course() -> impl Strategy<Value = Course> {
    let class = proptest::sample::select(vec!["issuer", "issuer", "access-ca", "tuf-online"]);
    let optional = |range| proptest::option::of(range);
    let way = (
        class,
        -30i64..30,
        -20i64..40,
        optional(1i64..40),
        optional(1i64..90),
        optional(20i64..120),
    );
    let way = way.prop_map(
        |(class, published, activated, signs, stays, good_until)| Way {
            class,
            published,
            activated,
            retired: signs.map(|signs| activated + signs),
            removed: stays.map(|stays| published + stays),
            good_until,
        },
    );
    let published = || proptest::collection::vec(-30i64..60, 1..4).prop_map(ascending);
    let lives = || proptest::collection::vec(1i64..120, 4);
    let removals = proptest::collection::vec(proptest::option::of(1i64..80), 4);
    let gaps = proptest::collection::vec(0i64..40, 1..3);
    (
        1i64..60,
        1i64..20,
        way,
        published(),
        lives(),
        published(),
        lives(),
        removals,
        gaps,
    )
        .prop_map(
            |(ends, life, way, bundles, bundle_lives, roots, root_lives, removals, gaps)| Course {
                ends,
                life,
                way,
                bundles: bundles.into_iter().zip(bundle_lives).collect(),
                roots: roots
                    .into_iter()
                    .zip(root_lives)
                    .zip(removals)
                    .map(|((published, life), removed)| (published, life, removed))
                    .collect(),
                gaps,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// A plan that passes strands nobody in any course, and a finding is one that happens.
    #[test]
    fn a_plan_passes_exactly_if_no_course_strands_anybody(course in course()) {
        let plan = Plan::parse(&course.plan()).unwrap();
        let simulation = simulate(plan, Fleet::parse(&course.fleet()).unwrap());
        for (number, gap) in course.gaps.iter().enumerate() {
            let named = simulation.findings().iter().any(|finding| match &finding.whom {
                Whom::Terminals { name, .. } => *name == format!("t{number}"),
                Whom::EveryTerminal | Whom::Credentials => true,
            });
            prop_assert_eq!(named, course.strands(*gap), "gap {}: {:?}", gap, simulation.findings());
        }
    }

    /// Timestamps that are signed at every multiple of a period, met at any second.
    #[test]
    fn online_metadata_lasts_exactly_as_long_as_the_plan_says(
        every in 1i64..20, life in 1i64..20, beyond in -30i64..30,
    ) {
        let degraded = i64::from(DEGRADED_S);
        let gap = (degraded + beyond).max(0);
        let text = format!(
            "schema = 1\nbegins = {0}\nends = {1}\n[lives]\ncredential = '1s'\ncertificate = '1s'\n\
             [[keys]]\nspki = '{KEY}'\nclass = 'tuf-online'\npublished = {0}\nactivated = {0}\n\
             [[roots]]\nversion = 1\npublished = {0}\nexpires = {2}\n\
             [[bundles]]\nversion = 1\npublished = {0}\nexpires = {2}\n\
             [online]\nevery = '{every}s'\nlife = '{life}s'\n",
            time(0), time(10), time(20 + degraded),
        );
        let fleet = format!("schema = 1\nrecorded = {}\n[[groups]]\nname = 'g'\nterminals = 2\nlongest = '{gap}s'\n", time(0));
        let simulation = simulate(Plan::parse(&text).unwrap(), Fleet::parse(&fleet).unwrap());
        let signed = |seen: i64| seen.div_euclid(every) * every;
        let unusable = (0..every).any(|seen| seen >= signed(seen) + life);
        let stale = (0..every).any(|seen| seen + gap >= signed(seen) + life + degraded);
        let causes: Vec<_> = simulation.findings().iter().map(|finding| finding.cause).collect();
        let online = causes.iter().any(|cause| matches!(cause, Cause::OnlineGap { .. }));
        let behind = causes.iter().any(|cause| matches!(cause, Cause::Stale { .. }));
        prop_assert_eq!(online, unusable);
        prop_assert_eq!(behind, stale && !unusable);
    }
}
