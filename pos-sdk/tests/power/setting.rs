//! A journal on a disk in memory, steps of its life, and what it has promised.

use std::path::{Path, PathBuf};

use obol_fault_vfs::{FaultFs, sqlite::mount};
use obol_pos_sdk::{
    Acknowledgement, Epoch, Journal, JournalError, Operator, Recorded, RefusalCode, TerminalName,
    UnixTime,
};
use obol_tap::{FareCharged, Head, PackId};
use obol_verifier_sdk::{TrustStore, Verified, Verifier};

use crate::issuing::{Issuing, Phone};

pub(crate) const T: UnixTime = UnixTime(1_800_000_000);
pub(crate) const EPOCH: Epoch = Epoch([0xe0; 8]);
/// Rides before the scenario: the next ones cross a tidying and a checkpoint.
pub(crate) const BEFORE: u64 = 61;
/// So many of them are old enough to be forgotten.
const OLD: u64 = 20;
const REMEMBERED_S: u32 = 49 * 3600;

pub(crate) fn name() -> TerminalName {
    TerminalName::new("bus-12").unwrap()
}

/// What the journal has told others: it must hold after any cut.
#[derive(Clone, Default)]
pub(crate) struct Told {
    pub(crate) heads: Vec<Head>,
    pub(crate) watermark: u64,
    pub(crate) server_time: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A ride is written down.
    Ride,
    /// The gate of the last ride opens.
    Opened,
    /// A refusal for the ring.
    Refusal,
    /// An acknowledgement of everything.
    Acknowledge,
    /// A server's time.
    Clock,
    /// The process ends and begins again.
    Reopen,
    /// The process is killed, with SQLite's connection as it stands, and begins again.
    Kill,
}

/// One place in the real file system where disks are mounted: the lock of the one writer is there.
pub(crate) struct Mountain {
    folder: tempfile::TempDir,
}

impl Mountain {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("journal"), b"").unwrap();
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join("journal")
    }

    pub(crate) fn open(&self, fs: &FaultFs) -> Result<Journal, JournalError> {
        mount(self.folder(), fs);
        Journal::open(&self.path(), &name())
    }
}

/// Codes that were verified once: the tests are about the disk.
pub(crate) struct Setting {
    codes: Vec<Verified>,
    disk: FaultFs,
    told: Told,
    pub(crate) running: Mountain,
    examined: Mountain,
}

impl Setting {
    pub(crate) fn new() -> Self {
        let mut setting = Self {
            codes: codes(BEFORE as usize + 40),
            disk: FaultFs::default(),
            told: Told::default(),
            running: Mountain::new(),
            examined: Mountain::new(),
        };
        let (disk, mut told) = (FaultFs::default(), Told::default());
        disk.create("journal").unwrap();
        mount(setting.running.folder(), &disk);
        let path = setting.running.path();
        std::fs::remove_file(&path).unwrap();
        let mut journal = Journal::create(&path, &name(), EPOCH).unwrap();
        for _ in 0..BEFORE {
            for step in [Step::Ride, Step::Opened] {
                setting.step(&mut journal, step, &mut told).unwrap();
            }
        }
        setting
            .step(&mut journal, Step::Acknowledge, &mut told)
            .unwrap();
        drop(journal);
        (setting.disk, setting.told) = (disk, told);
        setting
    }

    /// A disk with a journal of [`BEFORE`] rides, and what that has promised.
    pub(crate) fn begin(&self) -> (FaultFs, Told) {
        (self.disk.copy(), self.told.clone())
    }

    /// Runs the steps until one fails; `look` sees what was told after each, and may end it.
    pub(crate) fn run(
        &self,
        fs: &FaultFs,
        told: &mut Told,
        steps: &[Step],
        mut look: impl FnMut(&Told) -> bool,
    ) -> Result<(), JournalError> {
        let mut journal = self.running.open(fs)?;
        for step in steps {
            match step {
                Step::Reopen => {
                    drop(journal);
                    journal = self.running.open(fs)?;
                }
                Step::Kill => {
                    die(fs, journal);
                    journal = self.running.open(fs)?;
                }
                step => self.step(&mut journal, *step, told)?,
            }
            if look(told) {
                break;
            }
        }
        die(fs, journal);
        Ok(())
    }

    pub(crate) fn step(
        &self,
        journal: &mut Journal,
        step: Step,
        told: &mut Told,
    ) -> Result<(), JournalError> {
        match step {
            Step::Ride => {
                let verified = self.codes[told.heads.len()].clone();
                let durable = journal.append(verified, fare(), 0, 0)?;
                told.heads.push(head(told).then(&durable.record().encode()));
            }
            Step::Opened => {
                let last = &self.codes[told.heads.len() - 1];
                if let Recorded::Unopened(durable) = journal.recorded(&last.identity())? {
                    journal.opened(durable.grant(), last.at())?;
                }
            }
            Step::Refusal => {
                let code = self.codes[0].identity();
                journal.refused((code.kid, code.cti), RefusalCode::Duplicate, T)?;
            }
            Step::Acknowledge => {
                let first_seq = journal.watermark()? + 1;
                let acknowledgement = Acknowledgement {
                    epoch: EPOCH,
                    watermark: told.heads.len() as u64,
                    head: head(told),
                    records: Vec::new(),
                };
                match journal.acknowledge(first_seq, &acknowledgement) {
                    Ok(watermark) => told.watermark = watermark,
                    Err(obol_pos_sdk::AcknowledgementRefused::Journal { source }) => {
                        return Err(source);
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            Step::Clock => {
                let server_time = UnixTime(told.server_time + 1);
                journal.confirm_clock(server_time)?;
                told.server_time = server_time.0;
            }
            Step::Reopen | Step::Kill => unreachable!("the run does this"),
        }
        Ok(())
    }

    /// Whether everything that was told holds on a disk, and the terminal can go on with it.
    pub(crate) fn holds(&self, fs: &FaultFs, told: &Told) -> Result<(), String> {
        let text = |error: JournalError| error.to_string();
        let mut journal = self.examined.open(fs).map_err(text)?;
        let last = journal.check().map_err(text)?;
        let rides = told.heads.len() as u64;
        if last < rides {
            return Err(format!("{rides} rides were told and {last} are there"));
        }
        let first = journal.first_seq().map_err(text)?;
        for stored in journal.records(first, usize::MAX >> 1).map_err(text)? {
            let told = told.heads.get(stored.record.seq as usize - 1);
            if told.is_some_and(|told| *told != stored.head) {
                return Err(format!("record {} is another one", stored.record.seq));
            }
        }
        self.remembers(&journal, told)?;
        let watermark = journal.watermark().map_err(text)?;
        let server_time = journal.clock().map_err(text)?.server_time.0;
        if watermark < told.watermark || server_time < told.server_time {
            return Err(format!("watermark {watermark}, server time {server_time}"));
        }
        let mut told = told.clone();
        if last > rides {
            return Ok(()); // a ride that was written and not told
        }
        self.step(&mut journal, Step::Ride, &mut told)
            .map_err(text)?;
        journal.check().map_err(text).map(drop)
    }

    /// No code of a told ride can be taken a second time.
    fn remembers(&self, journal: &Journal, told: &Told) -> Result<(), String> {
        let codes = self.codes[..told.heads.len()].iter();
        for verified in codes.skip(OLD as usize) {
            let found = journal.recorded(&verified.identity());
            if matches!(found, Ok(Recorded::No) | Err(_)) {
                return Err(format!("a code is forgotten: {found:?}"));
            }
        }
        Ok(())
    }
}

/// Takes the connection away without letting it touch the disk, as a kill does.
pub(crate) fn die(fs: &FaultFs, journal: Journal) {
    let seen = fs.copy();
    fs.fail_power_at(0);
    drop(journal);
    fs.revive();
    fs.become_copy_of(&seen);
}

fn head(told: &Told) -> Head {
    let origin = Head::origin(&name(), EPOCH);
    told.heads.last().copied().unwrap_or(origin)
}

pub(crate) fn fare() -> FareCharged {
    FareCharged {
        pack_id: PackId([7; 8]),
        rule: 10,
        amount_minor: 200,
    }
}

/// Codes of several riders; the first ones are two days older than the others.
fn codes(count: usize) -> Vec<Verified> {
    let issuing = Issuing::new();
    let key = issuing.root.issuer_key(issuing.certificate()).unwrap();
    let keys = [key];
    let verifier = Verifier {
        trust: TrustStore::new(&keys),
        operator: Operator::new("metro").unwrap(),
    };
    let (old, new) = (T.minus(REMEMBERED_S + 3600), T);
    let phones = [old, new].map(|at| Phone::new(&issuing, 1, at));
    let code = |number: usize| {
        let number = number as u32;
        let (phone, begin) = match u64::from(number) < OLD {
            true => (&phones[0], old),
            false => (&phones[1], new),
        };
        let at = begin.plus(number);
        verifier
            .verify_text(phone.code(at, number).as_bytes(), at)
            .unwrap()
    };
    (0..count).map(code).collect()
}
