//! A registry on a disk in memory, steps of its life, and what it has promised.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use obol_credential::UnixTime;
use obol_fault_vfs::{FaultFs, Loss, sqlite::mount};
use obol_kms_registry::{
    Change, Class, Files, Limits, PayloadType, Rate, Registry, RegistryId, Settings, SpkiId, State,
};

use crate::making::{ALICE, BOB, DAY, NOW, approve, new_key, roster};

/// Where SQLite finds the disk that is in use, and the one that is examined after a cut.
const RUNNING: &str = "/running";
const EXAMINED: &str = "/examined";
const FILE: &str = "keys.registry";
const BURST: u32 = 20;
const BLOCK: u64 = 3;

/// Names of files on a [`FaultFs`]: of a path the last part counts.
pub(crate) struct Faulty(pub(crate) FaultFs);

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap()
}

impl Files for Faulty {
    fn exists(&self, path: &Path) -> bool {
        self.0.open(name(path)).is_some()
    }

    fn create(&self, path: &Path) -> io::Result<()> {
        if self.exists(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.0.create(name(path)).map(drop)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.link(name(from), name(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.exists(path) {
            return Err(ErrorKind::NotFound.into());
        }
        self.0.remove(name(path))
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.0.open(name(path)).ok_or(ErrorKind::NotFound)?.sync()
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.0.sync_folder("")
    }
}

/// What the registry has told others of its keys: it must hold after any cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// That it exists.
    pub(crate) made: bool,
    /// State and version of each key, by the key's seed less one.
    keys: Vec<(State, u64)>,
    /// Numbers of uses of the first key, in the order in which they were given.
    pub(crate) numbers: Vec<u64>,
    alarms: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The next key is registered: this one, counted from 1.
    Register(u8),
    /// A key is published.
    Publish(u8),
    /// A key goes to this state, with two approvals.
    Go(u8, State),
    /// The first key is used.
    Count,
    /// The second key is asked to sign though it must not.
    Alarm,
    /// Another process opens the registry, looks and ends.
    Look,
    /// The process ends and begins again.
    Reopen,
    /// The process is killed, with SQLite's connections as they stand, and begins again.
    Kill,
}

/// Whether a run goes on.
#[derive(PartialEq, Eq)]
pub(crate) enum Look {
    On,
    Enough,
}

fn settings() -> Settings {
    Settings::new(0, 0, 7).unwrap()
}

pub(crate) fn create(fs: &FaultFs) -> Result<Registry, String> {
    use_disk(fs);
    let files = Faulty(fs.clone());
    let id = RegistryId([7; 16]);
    Registry::create_in(&files, &at(RUNNING, FILE), &roster(), settings(), id, NOW).map_err(text)
}

/// Lets SQLite find a disk as the one that is in use.
pub(crate) fn use_disk(fs: &FaultFs) {
    mount(Path::new(RUNNING), fs);
}

pub(crate) fn open(fs: &FaultFs) -> Result<Registry, String> {
    use_disk(fs);
    Registry::open_in(&Faulty(fs.clone()), &at(RUNNING, FILE)).map_err(text)
}

/// The registry of this name after a cut.
pub(crate) fn open_examined(fs: &FaultFs, file: &str) -> Result<Registry, String> {
    mount(Path::new(EXAMINED), fs);
    Registry::open_in(&Faulty(fs.clone()), &at(EXAMINED, file)).map_err(text)
}

fn at(folder: &str, file: &str) -> PathBuf {
    Path::new(folder).join(file)
}

pub(crate) fn running(file: &str) -> PathBuf {
    at(RUNNING, file)
}

/// An error with its causes.
pub(crate) fn text(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Makes the registry and runs the steps until one fails; `look` sees what was told after each,
/// and may end it.
pub(crate) fn run(
    fs: &FaultFs,
    told: &mut Told,
    steps: &[Step],
    mut look: impl FnMut(&Told) -> Look,
) -> Result<(), String> {
    let mut registry = create(fs)?;
    told.made = true;
    for step in std::iter::once(None).chain(steps.iter().map(Some)) {
        match step {
            None => {}
            Some(Step::Reopen) => {
                drop(registry);
                registry = open(fs)?;
            }
            Some(Step::Kill) => {
                die(fs, registry);
                registry = open(fs)?;
            }
            Some(Step::Look) => {
                let other = Registry::open_in(&Faulty(fs.clone()), &at(RUNNING, FILE));
                other.map_err(text)?.list().map_err(text)?;
            }
            Some(step) => self::step(&registry, *step, told)?,
        }
        if look(told) == Look::Enough {
            break;
        }
    }
    die(fs, registry);
    Ok(())
}

pub(crate) fn step(registry: &Registry, step: Step, told: &mut Told) -> Result<(), String> {
    match step {
        Step::Register(seed) => {
            let key = registry.register(&key(seed), NOW).map_err(text)?;
            told.keys.push((key.state, key.version));
        }
        Step::Publish(seed) => {
            let key = registry.publish(key(seed).spki, NOW).map_err(text)?;
            told.keys[usize::from(seed) - 1] = (key.state, key.version);
        }
        Step::Go(seed, to) => {
            let (from, version) = told.keys[usize::from(seed) - 1];
            let spki = key(seed).spki;
            let statement = registry.statement(spki, to, NOW.plus(DAY)).map_err(text)?;
            let approvals = [ALICE, BOB].map(|seed| approve(seed, &statement));
            let reason = "as planned".to_owned();
            let change = Change {
                spki,
                from,
                to,
                version,
                reason,
            };
            let key = registry
                .transition(&change, &approvals, NOW)
                .map_err(text)?;
            told.keys[usize::from(seed) - 1] = (key.state, key.version);
        }
        Step::Count => {
            let number = use_first_key(registry)?;
            told.numbers.push(number);
        }
        Step::Alarm => {
            let refused = registry.signable(key(2).spki, PayloadType::LogCheckpoint, NOW);
            match refused {
                Err(obol_kms_registry::NotSignable::Unpermitted { .. }) => told.alarms += 1,
                Err(error) => return Err(text(error)),
                Ok(_) => panic!("this key signs"),
            }
        }
        Step::Look | Step::Reopen | Step::Kill => unreachable!("the run does this"),
    }
    Ok(())
}

/// Takes the connections away without letting them touch the disk, as a kill does.
pub(crate) fn die(fs: &FaultFs, registry: Registry) {
    let seen = fs.copy();
    fs.fail_power_at(0);
    drop(registry);
    fs.revive();
    fs.become_copy_of(&seen);
}

fn use_first_key(registry: &Registry) -> Result<u64, String> {
    let signable = registry
        .signable(key(1).spki, PayloadType::LogCheckpoint, NOW)
        .map_err(text)?;
    let counted = registry.count(&signable, "issuer", NOW).map_err(text)?;
    Ok(counted.number())
}

/// Used in blocks of three, so that most uses touch the disk.
fn key(seed: u8) -> obol_kms_registry::NewKey {
    let mut key = new_key(Class::Audit, seed);
    let rate = |burst| Rate::new(1, 3_600, burst).unwrap();
    key.limits = Limits::new(100 * BLOCK, rate(BURST), rate(BURST)).unwrap();
    key
}

/// Whether everything that was told holds on a disk, and the daemon can go on with it.
pub(crate) fn holds(fs: &FaultFs, told: &Told) -> Result<(), String> {
    let registry = match open_examined(fs, FILE) {
        Ok(registry) => registry,
        // Nothing was promised yet: it can be made now, whatever the interrupted creation left.
        Err(_) if !told.made => {
            let files = Faulty(fs.clone());
            let (path, id) = (at(EXAMINED, FILE), RegistryId([8; 16]));
            let made = Registry::create_in(&files, &path, &roster(), settings(), id, NOW);
            return made.map_err(text).map(drop);
        }
        Err(error) => return Err(error),
    };
    registry.examine().map_err(text)?;
    for (place, (state, version)) in told.keys.iter().enumerate() {
        let spki = key(place as u8 + 1).spki;
        match registry.key(spki).map_err(text)? {
            Some(found) if found.version > *version => {}
            Some(found) if (found.state, found.version) == (*state, *version) => {}
            found => return Err(format!("a key that was {state} is {found:?}")),
        }
    }
    let alarms = registry.alarms().map_err(text)?;
    if alarms.iter().map(|alarm| alarm.attempts).sum::<u64>() < told.alarms {
        return Err(format!("{} alarms were told: {alarms:?}", told.alarms));
    }
    no_number_twice(&registry, told)
}

/// Uses the first key to its end: no number that was given comes again, and there are no more uses
/// than the rate allows.
fn no_number_twice(registry: &Registry, told: &Told) -> Result<(), String> {
    let key = registry.key(key(1).spki).map_err(text)?;
    let (Some(last), Some(State::Active)) = (told.numbers.last(), key.map(|key| key.state)) else {
        return Ok(());
    };
    let mut uses = told.numbers.len();
    let mut before = *last;
    loop {
        match use_first_key(registry) {
            Ok(number) if number <= before => {
                return Err(format!("number {number} after {before}"));
            }
            Ok(number) => before = number,
            Err(refused) if refused.contains("has used its share") => return Ok(()),
            Err(error) => return Err(error),
        }
        uses += 1;
        if uses > BURST as usize {
            return Err(format!("{uses} uses, of {BURST}"));
        }
    }
}

/// Everything, names or bytes; pieces of writes; and writes in another order, which shows most.
pub(crate) fn losses(seeds: u64) -> impl Iterator<Item = Loss> {
    let whole = [Loss::Everything, Loss::Bytes, Loss::Names, Loss::FirstNames];
    let torn = (0..seeds).map(|seed| Loss::Some { seed });
    let reordered = (0..seeds * 3).map(|seed| Loss::Whole { seed });
    whole.into_iter().chain(torn).chain(reordered)
}

/// The moment at which copies are made.
pub(crate) const LATER: UnixTime = UnixTime(NOW.0 + 3_600);

pub(crate) fn first_key() -> SpkiId {
    key(1).spki
}
