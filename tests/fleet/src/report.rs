//! What came of it.

use std::fmt;

use crate::simulation::{ONLINE_WITHIN_S, Refused};

/// Terminals by what is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Nothing.
    Good,
    /// A link that loses and breaks.
    Lossy,
    /// A link of some kilobytes a second.
    Slow,
    /// A clock that is minutes off and drifts.
    Drifting,
    /// A clock that began anew in 1970.
    In1970,
    /// A clock that stands in 2100.
    In2100,
    /// No network until the networks heal.
    Away,
}

impl Group {
    const ALL: [Group; 7] = [
        Group::Good,
        Group::Lossy,
        Group::Slow,
        Group::Drifting,
        Group::In1970,
        Group::In2100,
        Group::Away,
    ];
}

/// One terminal's times.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    number: u32,
    group: Group,
    online: bool,
    pub(crate) converged: bool,
    pub(crate) rider: Option<Refused>,
    pub(crate) shard: Option<Refused>,
}

impl Times {
    pub(crate) fn of(number: u32, group: Group) -> Times {
        Times {
            number,
            group,
            online: group != Group::Away,
            converged: false,
            rider: None,
            shard: None,
        }
    }
}

/// The times of one group and one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was commanded.
    pub command: &'static str,
    /// Who.
    pub group: Group,
    /// How many terminals.
    pub terminals: usize,
    /// How many let nobody ride when the command came, and none until they knew of it.
    pub closed: usize,
    /// Milliseconds from the command to the refusal, of the others: the median.
    pub p50_ms: u64,
    /// The 99th percentile.
    pub p99_ms: u64,
    /// The last of them.
    pub max_ms: u64,
}

/// What came of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// By command and group.
    pub rows: Vec<Row>,
    /// Terminals that had no network when the commands came.
    pub away: Vec<u32>,
    /// What must not happen, in words.
    pub broken: Vec<String>,
}

impl Report {
    pub(crate) fn of(times: &[Times]) -> Report {
        let mut rows = Vec::new();
        for command in ["rider revoked", "shard suspended"] {
            for group in Group::ALL {
                let of = times.iter().filter(|one| one.group == group);
                let refused = of.map(|one| {
                    if command == "rider revoked" {
                        one.rider
                    } else {
                        one.shard
                    }
                });
                rows.extend(row(command, group, &refused.collect::<Vec<_>>()));
            }
        }
        let away = times.iter().filter(|one| !one.online);
        Report {
            rows,
            away: away.map(|one| one.number).collect(),
            broken: times.iter().flat_map(broken).collect(),
        }
    }
}

fn row(command: &'static str, group: Group, refused: &[Option<Refused>]) -> Option<Row> {
    let mut times: Vec<_> = refused
        .iter()
        .filter_map(|one| match one {
            Some(Refused::AsCommanded(ms)) => Some(*ms),
            _ => None,
        })
        .collect();
    times.sort_unstable();
    let closed = refused
        .iter()
        .filter(|one| **one == Some(Refused::Everybody));
    let percentile = |of_hundred: usize| {
        let at = (times.len() * of_hundred).div_ceil(100);
        times.get(at.saturating_sub(1)).copied().unwrap_or(0)
    };
    (!refused.is_empty()).then(|| Row {
        command,
        group,
        terminals: refused.len(),
        closed: closed.count(),
        p50_ms: percentile(50),
        p99_ms: percentile(99),
        max_ms: percentile(100),
    })
}

fn broken(times: &Times) -> Vec<String> {
    let Times { number, group, .. } = times;
    let mut broken = Vec::new();
    for (command, refused) in [("rider", times.rider), ("shard", times.shard)] {
        match refused {
            None => broken.push(format!(
                "terminal {number} ({group:?}) never refused the {command}"
            )),
            Some(Refused::AsCommanded(ms))
                if times.online && ms > u64::from(ONLINE_WITHIN_S) * 1_000 =>
            {
                broken.push(format!(
                    "terminal {number} ({group:?}) refused the {command} after {ms} ms"
                ));
            }
            Some(_) => {}
        }
    }
    if !times.converged {
        broken.push(format!("terminal {number} ({group:?}) has not converged"));
    }
    broken
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| command | terminals | count | closed | p50 s | p99 s | max s |"
        )?;
        writeln!(f, "|---|---|---:|---:|---:|---:|---:|")?;
        let s = |ms: u64| format!("{}.{}", ms / 1_000, ms % 1_000 / 100);
        for row in &self.rows {
            writeln!(
                f,
                "| {} | {:?} | {} | {} | {} | {} | {} |",
                row.command,
                row.group,
                row.terminals,
                row.closed,
                s(row.p50_ms),
                s(row.p99_ms),
                s(row.max_ms)
            )?;
        }
        let away: Vec<_> = self.away.iter().map(ToString::to_string).collect();
        writeln!(f, "without a network: {}", away.join(" "))?;
        for what in &self.broken {
            writeln!(f, "BROKEN: {what}")?;
        }
        Ok(())
    }
}
