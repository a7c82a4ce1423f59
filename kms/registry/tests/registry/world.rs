//! A registry in a temporary folder.

use std::path::PathBuf;

use obol_credential::UnixTime;
use obol_kms_registry::{
    Approval, Change, ChangeError, Class, Clearance, KeyRecord, Registry, RegistryId, Settings,
    SpkiId, State,
};
use tempfile::TempDir;

pub(crate) use crate::making::{
    ALICE, BOB, CAROL, DAY, NOW, approve, new_key, officer_key, roster,
};

pub(crate) const PROPAGATION: u32 = 4 * DAY;
pub(crate) const TAIL: u32 = 2 * DAY;
pub(crate) const WAIT_DAYS: u32 = 7;

pub(crate) const MALLORY: u8 = 66;

pub(crate) struct World {
    pub(crate) registry: Registry,
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.registry");
        let settings = Settings::new(PROPAGATION, TAIL, WAIT_DAYS).unwrap();
        let registry =
            Registry::create(&path, &roster(), settings, RegistryId([7; 16]), NOW).unwrap();
        World { registry, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn again(&self) -> Registry {
        Registry::open(self.registry.path()).unwrap()
    }

    /// A registered key of this class; `seed` tells keys apart.
    pub(crate) fn key(&self, class: Class, seed: u8) -> SpkiId {
        self.registry
            .register(&new_key(class, seed), NOW)
            .unwrap()
            .spki
    }

    /// An audit key (it has no certificate) brought to this state by the shortest way.
    pub(crate) fn key_in(&self, state: State, seed: u8) -> KeyRecord {
        let spki = self.key(Class::Audit, seed);
        let way: &[State] = match state {
            State::Generated => &[],
            State::Published => &[State::Published],
            State::Active => &[State::Published, State::Active],
            State::Suspended => &[State::Published, State::Active, State::Suspended],
            State::Retiring => &[State::Published, State::Active, State::Retiring],
            State::Compromised => &[State::Compromised],
            State::PendingDestruction => &[State::PendingDestruction],
            other => panic!("no way to {other} is known here"),
        };
        for to in way {
            self.go(spki, *to, later(PROPAGATION)).unwrap();
        }
        self.record(spki)
    }

    pub(crate) fn record(&self, spki: SpkiId) -> KeyRecord {
        self.registry.key(spki).unwrap().unwrap()
    }

    /// Changes a key with the approvals of two officers; publishing happens at [`NOW`].
    pub(crate) fn go(
        &self,
        spki: SpkiId,
        to: State,
        now: UnixTime,
    ) -> Result<KeyRecord, ChangeError> {
        if to == State::Published && self.record(spki).state != State::PendingDestruction {
            return self.registry.publish(spki, NOW);
        }
        let key = self.record(spki);
        let first = (key.state, to) == (State::Published, State::Active);
        if first && key.class.met_by_terminals() {
            return self.activate(spki, &Clearance::no_fleet(), now);
        }
        let approvals = self.approvals(spki, to, now, &[ALICE, BOB])?;
        self.registry
            .transition(&self.change(spki, to), &approvals, now)
    }

    /// Activates a key by this clearance, with the approvals of two officers.
    pub(crate) fn activate(
        &self,
        spki: SpkiId,
        clearance: &Clearance,
        now: UnixTime,
    ) -> Result<KeyRecord, ChangeError> {
        let until = now.plus(DAY);
        let statement = self.registry.activation(spki, clearance, now, until)?;
        let approvals = [ALICE, BOB].map(|seed| approve(seed, &statement));
        let change = self.change(spki, State::Active);
        self.registry.activate(&change, clearance, &approvals, now)
    }

    pub(crate) fn change(&self, spki: SpkiId, to: State) -> Change {
        let key = self.record(spki);
        Change {
            spki,
            from: key.state,
            to,
            version: key.version,
            reason: "as planned".to_owned(),
        }
    }

    pub(crate) fn approvals(
        &self,
        spki: SpkiId,
        to: State,
        now: UnixTime,
        officers: &[u8],
    ) -> Result<Vec<Approval>, ChangeError> {
        let statement = self.registry.statement(spki, to, now.plus(DAY))?;
        Ok(officers
            .iter()
            .map(|seed| approve(*seed, &statement))
            .collect())
    }
}

pub(crate) fn later(seconds: u32) -> UnixTime {
    NOW.plus(seconds)
}
