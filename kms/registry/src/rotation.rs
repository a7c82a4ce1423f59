//! A plan of rotations as data, held against how often terminals refresh: whom it would strand.
//!
//! Pure: plan and fleet are texts, and the same texts give the same findings for ever, so that what
//! officers have approved can be examined again (docs/spec/key-registry.md section 7).

mod fleet;
mod plan;
mod simulation;
mod times;

pub use fleet::{FLEET_MAX, Fleet, Gap, InvalidFleet};
pub use plan::{InvalidPlan, Lives, Metadata, PLAN_MAX, Plan, PlannedKey, PlannedRoot};
pub use simulation::{Cause, Finding, Simulation, Whom, simulate};
pub use times::{duration_s, instant};

/// How long a terminal goes on behind the end of its freshness, degraded (docs/spec/trust.md
/// section 8), in seconds.
pub const DEGRADED_S: u32 = 72 * 3_600;
/// Most roots that a terminal follows in one update (docs/spec/trust.md section 7).
pub const ROOTS_PER_UPDATE: usize = 64;
