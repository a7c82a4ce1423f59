//! A deployment in a temporary folder: an issuer, phones, and a terminal that can be stopped.

use std::path::{Path, PathBuf};

use obol_fare::{Currency, FareRule, RuleId, Tariff};
use obol_pos_sdk::{
    Decision, Epoch, FarePack, Journal, Operator, RefusalCode, Rules, StoredRecord, Terminal,
    TerminalName, Trust, UnixTime,
};

pub(crate) use crate::issuing::{Issuing, Phone};

pub(crate) const T: UnixTime = UnixTime(1_800_000_000);
pub(crate) const EPOCH: Epoch = Epoch([0xe0; 8]);
pub(crate) const FARE: u32 = 200;

pub(crate) fn name() -> TerminalName {
    TerminalName::new("bus-12").unwrap()
}

/// A bundle made an hour before [`T`].
pub(crate) fn trust(issuing: &Issuing) -> Trust {
    Trust::from_bundle(&issuing.bundle(T.minus(3600), |_| {}), &issuing.root).unwrap()
}

pub(crate) fn rules() -> Rules {
    Rules::of(Operator::new("metro").unwrap())
}

pub(crate) fn fares() -> FarePack {
    let rule = FareRule::flat(RuleId(10), 1, FARE);
    let cny = Currency::new("CNY").unwrap();
    FarePack::new(Tariff::plain(
        cny,
        T.minus(86_400),
        T.plus(86_400),
        vec![rule],
    ))
    .unwrap()
}

/// A folder with a journal, an issuer and a terminal that can be stopped and started.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) issuing: Issuing,
    pub(crate) terminal: Option<Terminal>,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(&folder.path().join("journal"), &name(), EPOCH).unwrap();
        let issuing = Issuing::new();
        let terminal = Terminal::new(rules(), trust(&issuing), Some(fares()), journal).unwrap();
        Self {
            folder,
            issuing,
            terminal: Some(terminal),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    pub(crate) fn phone(&self, number: u8) -> Phone {
        Phone::new(&self.issuing, number, T)
    }

    pub(crate) fn phone_at(&self, number: u8, at: UnixTime) -> Phone {
        Phone::new(&self.issuing, number, at)
    }

    pub(crate) fn terminal(&mut self) -> &mut Terminal {
        self.terminal.as_mut().unwrap()
    }

    pub(crate) fn stop(&mut self) {
        self.terminal = None;
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        let journal = open(&self.path());
        let trust = trust(&self.issuing);
        self.terminal = Some(Terminal::new(rules(), trust, Some(fares()), journal).unwrap());
    }

    /// Takes a code, opens the gate and returns the ride as it is stored.
    pub(crate) fn grant(&mut self, code: &str, at: UnixTime) -> StoredRecord {
        match self.terminal().scan(code.as_bytes(), at) {
            Decision::Granted(granted) => {
                let seq = granted.record().seq;
                self.terminal().opened(granted, at);
                assert!(self.terminal().take_fault().is_none());
                self.terminal().journal().records(seq, 1).unwrap().remove(0)
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn refuse(&mut self, code: &str, at: UnixTime) -> RefusalCode {
        match self.terminal().scan(code.as_bytes(), at) {
            Decision::Refused(refusal) => refusal.code,
            other => panic!("{other:?}"),
        }
    }

    /// `count` rides of as many riders.
    pub(crate) fn with_rides(count: u8) -> Self {
        let mut world = Self::new();
        for number in 1..=count {
            let code = world.phone(number).code(T, number.into());
            let granted = world.grant(&code, T);
            assert_eq!(granted.record.seq, u64::from(number));
        }
        world
    }
}

pub(crate) fn open(path: &Path) -> Journal {
    Journal::open(path, &name()).unwrap()
}

impl World {
    /// What somebody with the file and without the key can do: change a fare and make the chain
    /// follow.
    pub(crate) fn rewrite_fare_of_record(&self, last: u64) {
        let file = rusqlite::Connection::open(self.path()).unwrap();
        let read = |seq: u64| -> (Vec<u8>, [u8; 32]) {
            let sql = "SELECT bytes, head FROM record WHERE seq = ?1";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            file.query_row(sql, [seq], row).unwrap()
        };
        let mut record = obol_tap::TapRecord::decode(&read(last).0).unwrap();
        record.fare.amount_minor = 0;
        let bytes = record.encode();
        let head = obol_tap::Head(read(last - 1).1).then(&bytes);
        let sql = "UPDATE record SET bytes = ?1, head = ?2 WHERE seq = ?3";
        file.execute(sql, rusqlite::params![bytes, head.0, last])
            .unwrap();
    }
}
