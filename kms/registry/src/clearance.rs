//! What lets a key that terminals meet become active: a plan that strands nobody.

use std::convert::Infallible;

use minicbor::Encoder;
use minicbor::encode::Error;
use obol_credential::Malformed;
use obol_credential::strict::Reader;

use crate::rotation::{Finding, Fleet, InvalidFleet, InvalidPlan, Plan, Simulation, simulate};

/// Longest name of a kind.
const KIND_MAX: usize = 16;

/// What an activation of a key that terminals meet demands.
///
/// There are three ways to one: [`Clearance::no_fleet`], [`Clearance::simulated`] and
/// [`Clearance::waived`]. Officers sign its [`Cleared`], and the registry keeps the texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clearance(pub(crate) Basis);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    NoFleet,
    Planned {
        simulation: Box<Simulation>,
        plan: String,
        fleet: String,
    },
}

/// What a statement says of a clearance: enough to know it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// No terminal is in service yet.
    NoFleet,
    /// The plan with this SHA-256 strands nobody of the fleet with that one.
    Simulated {
        /// SHA-256 of the plan's text.
        plan: [u8; 32],
        /// SHA-256 of the fleet's text.
        fleet: [u8; 32],
    },
    /// It strands some, and the officers know.
    Waived {
        /// SHA-256 of the plan's text.
        plan: [u8; 32],
        /// SHA-256 of the fleet's text.
        fleet: [u8; 32],
        /// How many findings are waived: at least 1.
        findings: u32,
    },
}

/// Why there is no clearance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCleared {
    /// The plan does not read.
    #[error(transparent)]
    Plan(#[from] InvalidPlan),
    /// The fleet does not read.
    #[error(transparent)]
    Fleet(#[from] InvalidFleet),
    /// The plan strands somebody.
    #[error("the plan strands {} of the fleet, first {}", .0.len(), .0.first().map_or_else(String::new, ToString::to_string))]
    Stranded(Vec<Finding>),
    /// There is nothing to waive.
    #[error("the plan strands nobody: there is nothing to waive")]
    NothingToWaive,
}

impl Clearance {
    /// No terminal is in service yet, so none can be stranded. The registry takes it only while no
    /// other key of the class has signed anything, or where keys wait for no terminal at all.
    #[must_use]
    pub const fn no_fleet() -> Clearance {
        Clearance(Basis::NoFleet)
    }

    /// The plan is simulated and strands nobody of the fleet.
    ///
    /// # Errors
    /// [`NotCleared`] names whom it strands, or what does not read.
    pub fn simulated(plan: String, fleet: String) -> Result<Clearance, NotCleared> {
        let simulation = run(&plan, &fleet)?;
        if !simulation.findings().is_empty() {
            return Err(NotCleared::Stranded(simulation.findings().to_vec()));
        }
        Ok(Clearance::planned(simulation, plan, fleet))
    }

    /// The plan is simulated, strands somebody, and officers will sign that it may.
    ///
    /// # Errors
    /// [`NotCleared`]: what does not read, or a plan that strands nobody.
    pub fn waived(plan: String, fleet: String) -> Result<Clearance, NotCleared> {
        let simulation = run(&plan, &fleet)?;
        if simulation.findings().is_empty() {
            return Err(NotCleared::NothingToWaive);
        }
        Ok(Clearance::planned(simulation, plan, fleet))
    }

    fn planned(simulation: Simulation, plan: String, fleet: String) -> Clearance {
        Clearance(Basis::Planned {
            simulation: Box::new(simulation),
            plan,
            fleet,
        })
    }

    /// What officers sign of it.
    #[must_use]
    pub fn cleared(&self) -> Cleared {
        let Basis::Planned { simulation, .. } = &self.0 else {
            return Cleared::NoFleet;
        };
        let (plan, fleet) = (simulation.plan().hash(), simulation.fleet().hash());
        let findings = u32::try_from(simulation.findings().len());
        match findings.unwrap_or(u32::MAX) {
            0 => Cleared::Simulated { plan, fleet },
            findings => Cleared::Waived {
                plan,
                fleet,
                findings,
            },
        }
    }
}

fn run(plan: &str, fleet: &str) -> Result<Simulation, NotCleared> {
    Ok(simulate(Plan::parse(plan)?, Fleet::parse(fleet)?))
}

impl Cleared {
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Cleared::NoFleet => "no-fleet",
            Cleared::Simulated { .. } => "simulated",
            Cleared::Waived { .. } => "waived",
        }
    }

    pub(crate) fn write(self, sink: &mut Encoder<Vec<u8>>) -> Result<(), Error<Infallible>> {
        let kind = self.kind();
        match self {
            Cleared::NoFleet => sink.array(1)?.str(kind)?,
            Cleared::Simulated { plan, fleet } => {
                sink.array(3)?.str(kind)?.bytes(&plan)?.bytes(&fleet)?
            }
            Cleared::Waived {
                plan,
                fleet,
                findings,
            } => {
                let sink = sink.array(4)?.str(kind)?.bytes(&plan)?;
                sink.bytes(&fleet)?.u32(findings)?
            }
        };
        Ok(())
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Cleared, Malformed> {
        let at = reader.position();
        let rule = "unknown clearance";
        let members = reader.array_up_to(4)?;
        let kind = reader.text(KIND_MAX)?;
        match (members, kind) {
            (1, "no-fleet") => Ok(Cleared::NoFleet),
            (3, "simulated") => Ok(Cleared::Simulated {
                plan: *reader.bytes_exact()?,
                fleet: *reader.bytes_exact()?,
            }),
            (4, "waived") => {
                let (plan, fleet) = (*reader.bytes_exact()?, *reader.bytes_exact()?);
                let at = reader.position();
                match reader.uint_as()? {
                    0 => Err(Malformed { at, rule }),
                    findings => Ok(Cleared::Waived {
                        plan,
                        fleet,
                        findings,
                    }),
                }
            }
            _ => Err(Malformed { at, rule }),
        }
    }
}
