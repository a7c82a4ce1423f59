//! The course of a simulation.

use crate::publications::Published;
use crate::report::{Report, Times};
use crate::terminal::{Refuses, Terminal};

/// Most terminals.
pub const FLEET_MAX: u32 = 100_000;
/// A terminal with a network refuses within this time, in seconds.
pub const ONLINE_WITHIN_S: u32 = 300;

/// Seconds from the start.
pub(crate) const AWAY_FROM_S: u32 = 150;
pub(crate) const RIDER_REVOKED_S: u32 = 180;
pub(crate) const SHARD_SUSPENDED_S: u32 = 420;
pub(crate) const HEALED_S: u32 = 900;
/// Behind the longest pause of a terminal that has failed all along.
pub(crate) const ENDS_S: u32 = 1_500;

const _: () = assert!(HEALED_S + ONLINE_WITHIN_S < ENDS_S);

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// How many terminals: 1 to [`FLEET_MAX`].
    pub terminals: u32,
    /// All chance comes from here.
    pub seed: u64,
}

/// A repository in the course of time, with a revocation and a suspended shard in it.
///
/// Keys are drawn anew for each, so that times over slow links differ by milliseconds from one to
/// the next.
pub struct Course(Published);

impl Course {
    /// Has the real publisher publish it.
    #[must_use]
    pub fn publish() -> Course {
        Course(Published::make())
    }

    /// Lets a fleet live through it, and through the healing of networks and clocks.
    ///
    /// # Panics
    /// When a terminal goes back to an earlier set.
    #[must_use]
    pub fn run(&self, scenario: Scenario) -> Report {
        let fleet = 0..scenario.terminals.min(FLEET_MAX);
        let lives = fleet.map(|number| live(number, scenario.seed, &self.0));
        Report::of(&lives.collect::<Vec<_>>())
    }
}

/// Terminals do not know of each other: each lives its whole time by itself.
fn live(number: u32, seed: u64, published: &Published) -> Times {
    let mut terminal = Terminal::new(number, seed, published);
    let kid = published.kid;
    let mut times = Times::of(number, terminal.group);
    let ms = |seconds: u32| u64::from(seconds) * 1_000;
    while terminal.next_ms < ms(ENDS_S) {
        let begins = terminal.next_ms;
        note(
            &mut times.rider,
            RIDER_REVOKED_S,
            begins,
            terminal.refuses_rider(kid, begins),
        );
        note(
            &mut times.shard,
            SHARD_SUSPENDED_S,
            begins,
            terminal.refuses_shard(kid, begins),
        );
        let ended = terminal.attempt(published);
        note(
            &mut times.rider,
            RIDER_REVOKED_S,
            ended,
            terminal.refuses_rider(kid, ended),
        );
        note(
            &mut times.shard,
            SHARD_SUSPENDED_S,
            ended,
            terminal.refuses_shard(kid, ended),
        );
    }
    times.converged = terminal.version == published.publications.newest();
    times
}

/// The first moment at or behind the command at which the terminal refuses.
fn note(first: &mut Option<Refused>, command_s: u32, now_ms: u64, refuses: Option<Refuses>) {
    let command_ms = u64::from(command_s) * 1_000;
    if now_ms < command_ms {
        return;
    }
    match (refuses, &first) {
        (Some(Refuses::AsCommanded), None) => {
            *first = Some(Refused::AsCommanded(now_ms - command_ms));
        }
        (Some(Refuses::Everybody), None) => *first = Some(Refused::Everybody),
        // Its clock was set right before it had heard.
        (None, Some(Refused::Everybody)) => *first = None,
        _ => {}
    }
}

/// When a terminal refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// So many milliseconds behind the command.
    AsCommanded(u64),
    /// It let nobody ride at all when the command came, until it knew.
    Everybody,
}
