//! What minutes of load leave behind, and the judgement over it.

use thiserror::Error;

use crate::figures::ProcessFigures;
use crate::plan::Report;

/// Resident memory's median in the last third may be above that of the second by this share of it,
/// and by [`MEMORY_SLACK_KIB`]: allocators give back late, and the kernel counts mapped files.
pub const MEMORY_GROWTH_MAX: f64 = 0.05;
/// Beside [`MEMORY_GROWTH_MAX`], KiB.
pub const MEMORY_SLACK_KIB: u64 = 4 * 1024;
/// The fewest descriptors of the last third may be above those of the second by so many: a
/// connection that is being replaced is there twice.
pub const DESCRIPTORS_SLACK: u64 = 2;
/// Samples of one third.
pub const SAMPLES_MIN: usize = 3;

/// How the issuer names that it sheds a request.
const SHED: &str = "503 overloaded";
const CREATED: &str = "201";

/// A process, sampled at even intervals.
#[derive(Clone, Debug)]
pub struct Course {
    /// What it is called.
    pub name: &'static str,
    /// From the first to the last.
    pub samples: Vec<ProcessFigures>,
}

/// A process in each third of its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thirds {
    /// The median of resident memory, KiB.
    pub resident_kib: [u64; 3],
    /// The fewest open file descriptors.
    pub descriptors: [u64; 3],
}

/// Why a run is not good.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// Too short to say anything.
    #[error("{process} was sampled {samples} times, which says nothing")]
    TooShort {
        /// The process.
        process: &'static str,
        /// Its samples.
        samples: usize,
    },
    /// It keeps what it should give back.
    #[error("{process} holds {last} KiB in the last third, {second} in the second; {most} is most")]
    MemoryGrows {
        /// The process.
        process: &'static str,
        /// The second third's median, KiB.
        second: u64,
        /// The last third's, KiB.
        last: u64,
        /// What it may be, KiB.
        most: u64,
    },
    /// Files or connections stay open.
    #[error("{process} has {last} descriptors in the last third, {second} in the second")]
    DescriptorsGrow {
        /// The process.
        process: &'static str,
        /// The fewest of the second third.
        second: u64,
        /// The fewest of the last.
        last: u64,
    },
    /// A request failed that was not shed.
    #[error("{count} requests were answered {answer:?}")]
    Failed {
        /// Status and code, or `lost`.
        answer: String,
        /// How many.
        count: u64,
    },
    /// Answers that say created, and credentials that came.
    #[error("{created} answers say that a credential was made, {credentials} came")]
    Credentials {
        /// Answers.
        created: u64,
        /// Credentials.
        credentials: u64,
    },
    /// Fewer than half were served: that is no run at 80 %.
    #[error("{served} of {requests} requests were served")]
    Starved {
        /// Served.
        served: u64,
        /// Sent.
        requests: u64,
    },
}

impl Course {
    /// `None` when it is too short.
    #[must_use]
    pub fn thirds(&self) -> Option<Thirds> {
        let length = self.samples.len() / 3;
        if length < SAMPLES_MIN {
            return None;
        }
        let mut thirds = Thirds::default();
        for (number, samples) in self.samples.chunks_exact(length).take(3).enumerate() {
            let mut resident: Vec<_> = samples.iter().map(|one| one.resident_kib).collect();
            resident.sort_unstable();
            thirds.resident_kib[number] = resident[length / 2];
            let descriptors = samples.iter().map(|one| one.descriptors);
            thirds.descriptors[number] = descriptors.min()?;
        }
        Some(thirds)
    }
}

/// Requests that were shed.
#[must_use]
pub fn shed(report: &Report) -> u64 {
    report.answered(SHED)
}

/// Everything that is not good about a run; empty when all is.
#[must_use]
pub fn judge(courses: &[Course], report: &Report) -> Vec<Fault> {
    let mut faults: Vec<_> = courses.iter().flat_map(growth).collect();
    for (answer, count) in &report.answers {
        if answer != CREATED && answer != SHED {
            let answer = answer.clone();
            faults.push(Fault::Failed {
                answer,
                count: *count,
            });
        }
    }
    let (created, credentials) = (report.answered(CREATED), report.credentials);
    if created != credentials {
        faults.push(Fault::Credentials {
            created,
            credentials,
        });
    }
    if credentials < report.requests / 2 || credentials == 0 {
        faults.push(Fault::Starved {
            served: credentials,
            requests: report.requests,
        });
    }
    faults
}

fn growth(course: &Course) -> Vec<Fault> {
    let process = course.name;
    let Some(thirds) = course.thirds() else {
        let samples = course.samples.len();
        return vec![Fault::TooShort { process, samples }];
    };
    let mut faults = Vec::new();
    let [_, second, last] = thirds.resident_kib;
    let most = second + (second as f64 * MEMORY_GROWTH_MAX) as u64 + MEMORY_SLACK_KIB;
    if last > most {
        faults.push(Fault::MemoryGrows {
            process,
            second,
            last,
            most,
        });
    }
    let [_, second, last] = thirds.descriptors;
    if last > second + DESCRIPTORS_SLACK {
        faults.push(Fault::DescriptorsGrow {
            process,
            second,
            last,
        });
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Times;

    fn course(of: impl Fn(u64) -> (u64, u64)) -> Course {
        let samples = (0..600).map(|at| {
            let (resident_kib, descriptors) = of(at);
            ProcessFigures {
                resident_kib,
                peak_kib: resident_kib,
                descriptors,
            }
        });
        Course {
            name: "issuer",
            samples: samples.collect(),
        }
    }

    fn report(answers: &[(&str, u64)]) -> Report {
        Report {
            seconds: 600.0,
            requests: answers.iter().map(|(_, count)| count).sum(),
            credentials: answers
                .iter()
                .filter(|one| one.0 == "201")
                .map(|one| one.1)
                .sum(),
            answers: answers
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
            with_retry_after: 0,
            repeated: 0,
            without: 0,
            served: Times::default(),
            refused: Times::default(),
            silence_s: 0.0,
        }
    }

    const NONE: [Fault; 0] = [];
    const GOOD: &[(&str, u64)] = &[("201", 1_000), ("503 overloaded", 3)];

    fn judged(of: impl Fn(u64) -> (u64, u64)) -> Vec<Fault> {
        judge(&[course(of)], &report(GOOD))
    }

    #[test]
    fn a_run_that_warms_up_wavers_and_sheds_is_good() {
        let warm = |at: u64| 40_000_u64 + 100 * at.min(150) + 1_500 * (at % 2);
        assert_eq!(judged(|at| (warm(at), 40 + at % 5)), NONE);
        // One sample that is high says nothing of what stays.
        assert_eq!(
            judged(|at| match at {
                500 => (900_000, 900),
                _ => (40_000, 40),
            }),
            NONE
        );
    }

    #[test]
    fn memory_that_grows_beyond_the_margin_is_named_with_what_it_may_be() {
        // 200 s between the thirds' medians, at 30 and at 33 KiB a second.
        let second = |per_s: u64| 40_000 + per_s * 300;
        assert_eq!(judged(|at| (40_000 + 30 * at, 40)), NONE);
        let most = second(33) + second(33) / 20 + MEMORY_SLACK_KIB;
        assert_eq!(
            judged(|at| (40_000 + 33 * at, 40)),
            [Fault::MemoryGrows {
                process: "issuer",
                second: second(33),
                last: second(33) + 33 * 200,
                most,
            }]
        );
    }

    #[test]
    fn descriptors_that_stay_open_are_named() {
        assert_eq!(judged(|at| (40_000, 40 + at / 200)), NONE);
        assert_eq!(
            judged(|at| (40_000, 40 + at / 60)),
            [Fault::DescriptorsGrow {
                process: "issuer",
                second: 43,
                last: 46,
            }]
        );
    }

    #[test]
    fn a_request_may_be_shed_and_nothing_else_may_happen_to_it() {
        let flat = [course(|_| (40_000, 40))];
        let failed = |answer: &str| {
            let answers = [GOOD, &[(answer, 1)]].concat();
            judge(&flat, &report(&answers))
        };
        for answer in ["lost", "503 unavailable", "429 quota", "500 internal"] {
            let fault = Fault::Failed {
                answer: answer.to_owned(),
                count: 1,
            };
            assert_eq!(failed(answer), [fault]);
        }
        let mut without = report(GOOD);
        without.credentials -= 1;
        assert_eq!(
            judge(&flat, &without),
            [Fault::Credentials {
                created: 1_000,
                credentials: 999,
            }]
        );
        let starved = report(&[("201", 10), ("503 overloaded", 90)]);
        assert_eq!(
            judge(&flat, &starved),
            [Fault::Starved {
                served: 10,
                requests: 100,
            }]
        );
    }

    #[test]
    fn a_run_that_is_too_short_is_not_good() {
        let mut short = course(|_| (40_000, 40));
        short.samples.truncate(8);
        assert_eq!(
            judge(&[short], &report(GOOD)),
            [Fault::TooShort {
                process: "issuer",
                samples: 8,
            }]
        );
    }
}
