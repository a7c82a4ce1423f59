//! Plans of rotations: whom one would strand, and what clears a key by it.

pub(crate) mod arguments;
mod draft;

use std::path::Path;

use obol_console::{Outcome, read_limited};
use obol_kms_registry::rotation::{FLEET_MAX, Fleet, PLAN_MAX, Plan, Simulation, simulate};
use obol_kms_registry::{Clearance, NotCleared};
use serde::Serialize;

use crate::failure::Failure;
use crate::failure::registry::NotPlain;
use crate::output::print_json;
use arguments::{ClearedBy, Rotation, Simulate};

pub(crate) fn run(command: &Rotation) -> Result<Outcome, Failure> {
    match command {
        Rotation::Draft(arguments) => draft::draft(arguments),
        Rotation::Simulate(arguments) => simulated(arguments),
    }
}

#[derive(Serialize)]
struct Shown {
    plan_sha256: String,
    fleet_sha256: String,
    terminals: u64,
    strands: Vec<ShownFinding>,
}

#[derive(Serialize)]
struct ShownFinding {
    whom: String,
    cause: String,
}

impl Shown {
    fn of(simulation: &Simulation) -> Shown {
        let gaps = simulation.fleet().gaps().iter();
        let findings = simulation.findings().iter();
        Shown {
            plan_sha256: hex(simulation.plan().hash()),
            fleet_sha256: hex(simulation.fleet().hash()),
            terminals: gaps.map(|gap| u64::from(gap.terminals)).sum(),
            strands: findings
                .map(|finding| ShownFinding {
                    whom: finding.whom.to_string(),
                    cause: finding.cause.to_string(),
                })
                .collect(),
        }
    }
}

pub(crate) fn hex(hash: [u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whom the plan strands goes to standard output; that it strands anybody is a refusal.
fn simulated(arguments: &Simulate) -> Result<Outcome, Failure> {
    let Simulate { plan, fleet, json } = arguments;
    let plan = Plan::parse(&read_text(plan, PLAN_MAX)?)?;
    let fleet = Fleet::parse(&read_text(fleet, FLEET_MAX)?)?;
    let simulation = simulate(plan, fleet);
    let shown = Shown::of(&simulation);
    if *json {
        print_json(&shown)?;
    } else {
        for ShownFinding { whom, cause } in &shown.strands {
            println!("{whom}: {cause}");
        }
        if shown.strands.is_empty() {
            let Shown {
                plan_sha256,
                fleet_sha256,
                terminals,
                ..
            } = shown;
            println!("plan {plan_sha256} strands none of {terminals} terminals");
            println!("fleet {fleet_sha256}");
        }
    }
    match simulation.findings() {
        [] => Ok(Outcome::Done),
        findings => Err(NotCleared::Stranded(findings.to_vec()).into()),
    }
}

/// What clears a key, by what the command line says; `None` where it says nothing.
pub(crate) fn clearance(by: &ClearedBy) -> Result<Option<Clearance>, Failure> {
    if by.no_fleet {
        return Ok(Some(Clearance::no_fleet()));
    }
    let (Some(plan), Some(fleet)) = (&by.plan, &by.fleet) else {
        return Ok(None);
    };
    let (plan, fleet) = (read_text(plan, PLAN_MAX)?, read_text(fleet, FLEET_MAX)?);
    let clearance = if by.waive {
        Clearance::waived(plan, fleet)?
    } else {
        Clearance::simulated(plan, fleet)?
    };
    Ok(Some(clearance))
}

fn read_text(path: &Path, limit: usize) -> Result<String, Failure> {
    let bytes = read_limited(path, limit)?;
    String::from_utf8(bytes).map_err(|_| NotPlain(path.to_owned()).into())
}
