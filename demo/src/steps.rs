use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use obol_world::{World, WorldError};

use crate::DemoError;

/// Says each step and its time on standard error.
pub(crate) struct Steps {
    started: Instant,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Runs one step; `name` is the claim that holds when it is done.
    pub(crate) fn step<T>(
        &mut self,
        name: &'static str,
        world: &mut World,
        work: impl FnOnce(&mut World) -> Result<T, WorldError>,
    ) -> Result<T, DemoError> {
        let spinner = ProgressBar::new_spinner().with_message(name);
        spinner.set_style(ProgressStyle::default_spinner());
        spinner.enable_steady_tick(Duration::from_millis(100));
        let begun = Instant::now();
        let result = work(world);
        spinner.finish_and_clear();
        let took = begun.elapsed().as_secs_f64();
        match result {
            Ok(done) => {
                eprintln!("  ok {took:>7.2} s  {name}");
                Ok(done)
            }
            Err(source) => {
                eprintln!("FAIL {took:>7.2} s  {name}");
                let logs = world.folder().join("logs");
                Err(DemoError::Step {
                    step: name,
                    source,
                    logs,
                })
            }
        }
    }

    /// A line between steps.
    pub(crate) fn say(&self, text: &str) {
        eprintln!("{text}");
    }

    /// Since the first step.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
