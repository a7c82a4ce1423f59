//! Whether a clearance fits the key as the registry knows it, and how it is kept.

use obol_credential::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use crate::class::Class;
use crate::clearance::{Basis, Clearance, Cleared, NotCleared};
use crate::fault::{Doing, Fault};
use crate::machine::{Act, State};
use crate::registry::certify::certificate_ends;
use crate::registry::{ChangeError, KeyRecord, record};
use crate::rotation::{Plan, PlannedKey, Simulation, instant};
use crate::settings::Settings;
use crate::spki::SpkiId;

/// The oldest fleet that counts, in seconds: 30 days.
pub const FLEET_AGE_MAX_S: u32 = 30 * 86_400;
/// How far a fleet may lie ahead of the registry's clock, in seconds.
const FLEET_AHEAD_MAX_S: u32 = 300;

/// Why a clearance does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanRefusal {
    /// Terminals meet keys of this class.
    #[error("a key of class {0} becomes active by a plan that was simulated")]
    Missing(Class),
    /// The change is asked no plan.
    #[error("{act} of a key of class {class} takes no plan")]
    Uncalled {
        /// The act.
        act: Act,
        /// The key's class.
        class: Class,
    },
    /// There is a fleet.
    #[error("key {other} of class {class} has signed already, so there is a fleet")]
    FleetInService {
        /// Another key of the class.
        other: SpkiId,
        /// The class.
        class: Class,
    },
    /// The plan does not speak of the key.
    #[error("the plan does not speak of key {0}")]
    NotCovered(SpkiId),
    /// The plan and the registry disagree about a key.
    #[error("the plan has key {spki} {field} {planned}, the registry {known}")]
    Differs {
        /// The key.
        spki: SpkiId,
        /// In what.
        field: &'static str,
        /// The plan's word.
        planned: String,
        /// The registry's.
        known: String,
    },
    /// A key that signs, or whose signatures are in use, is left out of the plan.
    #[error("key {spki} is {state} and the plan does not speak of it")]
    LeftOut {
        /// The key.
        spki: SpkiId,
        /// Its state.
        state: State,
    },
    /// The plan's time has not come, or is over.
    #[error("the plan is for {} to {}, it is {}", instant(*.from), instant(*.until), instant(*.now))]
    OutOfTime {
        /// From when the key may be activated by it.
        from: UnixTime,
        /// The last second in which it may.
        until: UnixTime,
        /// The time of asking.
        now: UnixTime,
    },
    /// The fleet was recorded too long ago, or in the future.
    #[error("the fleet was recorded at {}, it is {}", instant(*.recorded), instant(*.now))]
    FleetTime {
        /// When it was recorded.
        recorded: UnixTime,
        /// The time of asking.
        now: UnixTime,
    },
}

/// What was kept of the clearance of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptClearance {
    /// The key was activated before plans were demanded.
    Former,
    /// No terminal was in service.
    NoFleet,
    /// Plan and fleet, as they were simulated.
    Planned {
        /// The plan's text.
        plan: String,
        /// The fleet's text.
        fleet: String,
    },
}

impl KeptClearance {
    /// Its name in the registry.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            KeptClearance::Former => "former",
            KeptClearance::NoFleet => "no-fleet",
            KeptClearance::Planned { .. } => "planned",
        }
    }

    /// What officers must have signed; `None` for a former change. A plan is simulated again.
    ///
    /// # Errors
    /// [`NotCleared`]: the texts do not read any more.
    pub fn cleared(&self) -> Result<Option<Cleared>, NotCleared> {
        match self {
            KeptClearance::Former => Ok(None),
            KeptClearance::NoFleet => Ok(Some(Cleared::NoFleet)),
            KeptClearance::Planned { plan, fleet } => {
                let clearance = Clearance::simulated(plan.clone(), fleet.clone());
                let clearance = match clearance {
                    Err(NotCleared::Stranded(_)) => Clearance::waived(plan.clone(), fleet.clone()),
                    other => other,
                };
                Ok(Some(clearance?.cleared()))
            }
        }
    }
}

/// Whether a change is asked a clearance.
pub(super) fn is_called_for(act: Act, class: Class) -> bool {
    act == Act::Activate && class.met_by_terminals()
}

/// Checks that what is given is what the change is asked, and fits what the registry knows.
pub(super) fn check(
    connection: &Connection,
    settings: &Settings,
    key: &KeyRecord,
    act: Act,
    given: Option<&Clearance>,
    now: UnixTime,
) -> Result<Option<Cleared>, ChangeError> {
    let class = key.class;
    match (is_called_for(act, class), given) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(PlanRefusal::Uncalled { act, class }.into()),
        (true, None) => Err(PlanRefusal::Missing(class).into()),
        (true, Some(clearance)) => {
            let others = record::all(connection)?.into_iter();
            let others = others.filter(|one| one.class == class && one.spki != key.spki);
            let others: Vec<_> = others.collect();
            match &clearance.0 {
                Basis::NoFleet => no_fleet(settings, key, &others)?,
                Basis::Planned { simulation, .. } => fits(simulation, key, &others, now)?,
            }
            Ok(Some(clearance.cleared()))
        }
    }
}

fn no_fleet(settings: &Settings, key: &KeyRecord, others: &[KeyRecord]) -> Result<(), PlanRefusal> {
    // Where keys wait for no terminal there is none, by the registry's own settings.
    let used = others.iter().find(|other| other.reserved > 0);
    match used.filter(|_| settings.propagation_s > 0) {
        None => Ok(()),
        Some(other) => Err(PlanRefusal::FleetInService {
            other: other.spki,
            class: key.class,
        }),
    }
}

fn fits(
    simulation: &Simulation,
    key: &KeyRecord,
    others: &[KeyRecord],
    now: UnixTime,
) -> Result<(), PlanRefusal> {
    let recorded = simulation.fleet().recorded();
    let age = now.since(recorded);
    if !(-i64::from(FLEET_AHEAD_MAX_S)..=i64::from(FLEET_AGE_MAX_S)).contains(&age) {
        return Err(PlanRefusal::FleetTime { recorded, now });
    }
    let plan = simulation.plan();
    let planned = planned(plan, key.spki).ok_or(PlanRefusal::NotCovered(key.spki))?;
    let (from, until) = (
        planned.activated.max(plan.begins()),
        last_second(plan, planned),
    );
    if now < from || now > until {
        return Err(PlanRefusal::OutOfTime { from, until, now });
    }
    agrees(planned, key)?;
    for other in others {
        let live = matches!(other.state, State::Active | State::Retiring);
        match self::planned(plan, other.spki) {
            Some(planned) => other_agrees(planned, other, now)?,
            None if live => {
                return Err(PlanRefusal::LeftOut {
                    spki: other.spki,
                    state: other.state,
                });
            }
            None => {}
        }
    }
    Ok(())
}

fn planned(plan: &Plan, spki: SpkiId) -> Option<&PlannedKey> {
    plan.keys().iter().find(|planned| planned.spki == spki)
}

fn last_second(plan: &Plan, planned: &PlannedKey) -> UnixTime {
    let retired = planned.retired.map(|retired| retired.minus(1));
    retired.map_or(plan.ends(), |last| last.min(plan.ends()))
}

/// The key was published when the plan says so or before, and its certificate lasts as long.
fn agrees(planned: &PlannedKey, key: &KeyRecord) -> Result<(), PlanRefusal> {
    let differs = |field, planned: String, known: String| PlanRefusal::Differs {
        spki: key.spki,
        field,
        planned,
        known,
    };
    if planned.class != key.class {
        let (planned, known) = (planned.class.to_string(), key.class.to_string());
        return Err(differs("of class", planned, known));
    }
    if let Some(at) = key.published_at.filter(|at| *at > planned.published) {
        let planned = instant(planned.published);
        return Err(differs("published at", planned, instant(at)));
    }
    let ends = key
        .certificate
        .as_deref()
        .map_or(UnixTime(u32::MAX), certificate_ends);
    let good_until = planned.good_until.unwrap_or(UnixTime(u32::MAX));
    if good_until > ends {
        return Err(differs("good until", instant(good_until), instant(ends)));
    }
    Ok(())
}

/// A plan that was made for other days says something else than what has happened since.
fn other_agrees(planned: &PlannedKey, other: &KeyRecord, now: UnixTime) -> Result<(), PlanRefusal> {
    let retired = planned.retired;
    let differs = |known: String| PlanRefusal::Differs {
        spki: other.spki,
        field: "retired at",
        planned: retired.map_or_else(|| "no time".to_owned(), instant),
        known,
    };
    match (other.state, other.retiring_at) {
        (State::Active, _) if retired.is_some_and(|retired| retired <= now) => {
            Err(differs("not yet".to_owned()))
        }
        (State::Retiring, Some(at)) if retired.is_some_and(|retired| retired < at) => {
            Err(differs(instant(at)))
        }
        _ => Ok(()),
    }
}

pub(super) fn keep(
    connection: &Connection,
    spki: SpkiId,
    version: u64,
    clearance: &Clearance,
) -> Result<(), Fault> {
    let (kind, texts) = match &clearance.0 {
        Basis::NoFleet => ("no-fleet", None),
        Basis::Planned { plan, fleet, .. } => ("planned", Some((plan, fleet))),
    };
    connection
        .execute(
            "INSERT INTO clearance VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                spki.0,
                version,
                kind,
                texts.map(|(plan, _)| plan),
                texts.map(|(_, fleet)| fleet)
            ],
        )
        .doing("keeping a clearance")
        .map(drop)
}

pub(super) fn kept(
    connection: &Connection,
    spki: SpkiId,
    version: u64,
) -> Result<Option<KeptClearance>, Fault> {
    const DOING: &str = "reading a clearance";
    let mut statement = connection
        .prepare_cached("SELECT kind, plan, fleet FROM clearance WHERE spki = ?1 AND version = ?2")
        .doing(DOING)?;
    let row = statement.query_row(params![spki.0, version], |row| {
        let texts: (Option<String>, Option<String>) = (row.get(1)?, row.get(2)?);
        Ok((row.get::<_, String>(0)?, texts))
    });
    let Some((kind, texts)) = row.optional().doing(DOING)? else {
        return Ok(None);
    };
    match (kind.as_str(), texts) {
        ("former", (None, None)) => Ok(Some(KeptClearance::Former)),
        ("no-fleet", (None, None)) => Ok(Some(KeptClearance::NoFleet)),
        ("planned", (Some(plan), Some(fleet))) => Ok(Some(KeptClearance::Planned { plan, fleet })),
        (kind, _) => Err(Fault::Damaged(format!(
            "the clearance of key {spki} at version {version} is {kind:?}"
        ))),
    }
}
