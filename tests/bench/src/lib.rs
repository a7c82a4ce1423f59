//! Turns criterion's estimates into ratios: machines are noisy and differ, so a figure says
//! something only beside another one of the same run.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use criterion::Criterion;
use serde::{Deserialize, Serialize};

/// One group of figures: runs under criterion, then becomes `target/bench/NAME.json`.
#[derive(Debug)]
pub struct Group {
    name: &'static str,
    target: PathBuf,
    rows: Vec<Row>,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    figure: f64,
    unit: &'static str,
    beside: Option<f64>,
    ratio: f64,
    budget: Option<f64>,
    better: &'static str,
}

/// What a figure may be: a ratio, or the figure itself where nothing stands beside.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// The design sets one.
    AtMost(f64),
    /// The same of a rate: more is better.
    AtLeast(f64),
    /// Reported only.
    None,
}

impl Group {
    /// An empty group named `name`.
    ///
    /// # Panics
    /// When the benchmark does not run from cargo's target folder.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let executable = std::env::current_exe().expect("a running benchmark has a path");
        let target = executable
            .ancestors()
            .nth(3)
            .expect("target/PROFILE/deps/BENCHMARK");
        Self {
            name,
            target: target.to_owned(),
            rows: Vec::new(),
        }
    }

    /// Criterion, writing where [`Group`] reads.
    #[must_use]
    pub fn criterion(&self) -> Criterion {
        Criterion::default()
            .output_directory(&self.target.join("criterion"))
            .configure_from_args()
    }

    /// Adds the time of criterion's `figure`, beside that of `beside`.
    ///
    /// # Errors
    /// When criterion has left no estimate of one of them.
    pub fn row(
        &mut self,
        figure: &'static str,
        beside: Option<&str>,
        budget: Budget,
    ) -> io::Result<()> {
        let time = self.microseconds(figure)?;
        let beside = beside.map(|id| self.microseconds(id)).transpose()?;
        self.rows.push(Row::new(figure, time, "us", beside, budget));
        Ok(())
    }

    /// Adds a time that was measured without criterion, microseconds, beside criterion's `beside`.
    ///
    /// # Errors
    /// When criterion has left no estimate of that.
    pub fn time(
        &mut self,
        name: &'static str,
        figure: f64,
        beside: &str,
        budget: Budget,
    ) -> io::Result<()> {
        let beside = self.microseconds(beside)?;
        self.rows
            .push(Row::new(name, figure, "us", Some(beside), budget));
        Ok(())
    }

    /// Adds a figure that was measured without criterion, beside another of the same run.
    pub fn measured(
        &mut self,
        name: &'static str,
        figure: f64,
        unit: &'static str,
        beside: Option<f64>,
        budget: Budget,
    ) {
        self.rows.push(Row::new(name, figure, unit, beside, budget));
    }

    /// A folder on the file system of cargo's target folder, which is that of a disk.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn disk(&self) -> io::Result<PathBuf> {
        let folder = self.target.join("bench").join(self.name);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&folder)?,
        }
        Ok(folder)
    }

    /// Adds a figure that no clock measured.
    pub fn figure(&mut self, name: &'static str, figure: f64, unit: &'static str) {
        self.rows
            .push(Row::new(name, figure, unit, None, Budget::None));
    }

    /// Prints the rows and writes them as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn report(self) -> io::Result<()> {
        println!(
            "\n{:<44} {:>10} {:<3} {:>10} {:>7} {:>7}",
            self.name, "figure", "", "beside", "ratio", "budget"
        );
        for row in &self.rows {
            println!("{row}");
        }
        let folder = self.target.join("bench");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}.json", self.name));
        fs::write(
            &file,
            serde_json::to_vec_pretty(&serde_json::json!({ "rows": self.rows }))?,
        )?;
        println!("written to {}", file.display());
        Ok(())
    }

    fn microseconds(&self, id: &str) -> io::Result<f64> {
        #[derive(Deserialize)]
        struct Estimates {
            median: Estimate,
        }
        #[derive(Deserialize)]
        struct Estimate {
            point_estimate: f64,
        }
        let file = Path::new("criterion")
            .join(self.name)
            .join(id)
            .join("new/estimates.json");
        let text = fs::read(self.target.join(file))?;
        let estimates: Estimates = serde_json::from_slice(&text)?;
        Ok(estimates.median.point_estimate / 1_000.0)
    }
}

impl Row {
    fn new(
        name: &'static str,
        figure: f64,
        unit: &'static str,
        beside: Option<f64>,
        budget: Budget,
    ) -> Row {
        let (budget, better) = match budget {
            Budget::AtMost(most) => (Some(most), "lower"),
            Budget::AtLeast(least) => (Some(least), "higher"),
            Budget::None if unit.ends_with("/s") => (None, "higher"),
            Budget::None => (None, "lower"),
        };
        Row {
            name,
            figure,
            unit,
            beside,
            ratio: beside.map_or(figure, |beside| figure / beside),
            budget,
            better,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_dash =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        let (beside, budget) = (or_dash(self.beside), or_dash(self.budget));
        let Self {
            name,
            figure,
            unit,
            ratio,
            ..
        } = self;
        write!(
            f,
            "{name:<44} {figure:>10.2} {unit:<3} {beside:>10} {ratio:>7.2} {budget:>7}"
        )
    }
}
