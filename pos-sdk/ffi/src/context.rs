//! What a terminal does, without a pointer.

use std::{error::Error, path::PathBuf};

use obol_pos_sdk::{
    Acknowledgement, AcknowledgementRefused, Decision, Epoch, FolderError, Granted, Health,
    JournalError, Opening, Provisioning, Refreshes, SealError, SealedSegment, Sealing, SegmentKey,
    SegmentSigner, Terminal, TerminalFolder, UnixTime, UpdateError,
};

use crate::{
    ObolPosCode,
    ObolPosCode::*,
    ObolPosDecision,
    ports::{ObolPosSource, PortFailed, Signer},
};

const ACKNOWLEDGEMENT_MAX: usize = 1 << 20;

/// An open terminal.
#[derive(Debug)]
pub(crate) struct Context {
    folder: TerminalFolder,
    provisioning: Provisioning,
    terminal: Terminal,
    signer: Option<Signer>,
    /// A ride that is on disk, until its gate is open.
    pending: Option<Granted>,
    /// A call is running, or ended in a panic.
    pub(crate) in_call: bool,
}

/// Why a call did not do what it should, for people.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) code: ObolPosCode,
    pub(crate) reason: String,
}

impl Failed {
    fn new(code: ObolPosCode, error: &dyn Error) -> Self {
        let mut reason = error.to_string();
        let mut next = error.source();
        while let Some(source) = next {
            reason = format!("{reason}: {source}");
            next = source.source();
        }
        Self { code, reason }
    }

    fn plain(code: ObolPosCode, reason: &str) -> Self {
        let reason = reason.to_owned();
        Self { code, reason }
    }
}

impl From<JournalError> for Failed {
    fn from(error: JournalError) -> Self {
        let code = match error {
            JournalError::Locked { .. } => OBOL_POS_ERROR_JOURNAL_IN_USE,
            _ => OBOL_POS_ERROR_JOURNAL,
        };
        Self::new(code, &error)
    }
}

impl From<FolderError> for Failed {
    fn from(error: FolderError) -> Self {
        let code = match error {
            FolderError::Journal(error) => return error.into(),
            FolderError::NoTrust { .. } => OBOL_POS_ERROR_TRUST_MISSING,
            FolderError::Trust { .. } | FolderError::TrustOffered(_) | FolderError::Accepted(_) => {
                OBOL_POS_ERROR_TRUST_REFUSED
            }
            FolderError::Fares { .. } | FolderError::FaresOffered(_) => {
                OBOL_POS_ERROR_FARES_REFUSED
            }
            _ => OBOL_POS_ERROR_FOLDER,
        };
        Self::new(code, &error)
    }
}

impl From<UpdateError<PortFailed>> for Failed {
    fn from(error: UpdateError<PortFailed>) -> Self {
        let code = match error {
            UpdateError::Source { .. } | UpdateError::Broken { .. } => OBOL_POS_ERROR_SOURCE,
            UpdateError::Storage(_) => OBOL_POS_ERROR_FOLDER,
            _ => OBOL_POS_ERROR_TRUST_REFUSED,
        };
        Self::new(code, &error)
    }
}

/// Makes the journal of the folder's terminal; one that is there stays.
pub(crate) fn make_journal(path: &str, epoch: [u8; 8]) -> Result<(), Failed> {
    let folder = TerminalFolder::new(PathBuf::from(path));
    drop(folder.make_journal(&folder.provisioning()?, Epoch(epoch))?);
    Ok(())
}

/// A whole update of the folder's trust from its repository.
pub(crate) fn update(path: &str, mut source: ObolPosSource, now: UnixTime) -> Result<(), Failed> {
    let folder = TerminalFolder::new(PathBuf::from(path));
    let provisioning = folder.provisioning()?;
    let first = folder.first_trust_root(&provisioning)?;
    let first = first.ok_or_else(|| {
        Failed::plain(
            OBOL_POS_ERROR_FOLDER,
            "terminal.toml names no trust repository",
        )
    })?;
    let mut updater = folder.updater()?;
    updater.initialise::<PortFailed>(&first)?;
    updater.update(&mut source, now, &folder.root(&provisioning)?)?;
    Ok(())
}

impl Context {
    pub(crate) fn open(path: &str, signer: Option<Signer>) -> Result<Self, Failed> {
        let folder = TerminalFolder::new(PathBuf::from(path));
        let provisioning = folder.provisioning()?;
        let mut terminal = folder.terminal(&provisioning)?;
        terminal.prepare();
        Ok(Self {
            folder,
            provisioning,
            terminal,
            signer,
            pending: None,
            in_call: false,
        })
    }

    pub(crate) fn scan(&mut self, text: &[u8], now: UnixTime) -> (ObolPosCode, ObolPosDecision) {
        self.pending = None;
        let (granted, why) = match self.terminal.scan(text, now) {
            Decision::Granted(granted) => (granted, Opening::Granted),
            Decision::AlreadyPaid(granted) => (granted, Opening::AlreadyPaid),
            Decision::Refused(refusal) => {
                let decision = ObolPosDecision::refused(&refusal);
                return (ObolPosCode::of(refusal.code), decision);
            }
            Decision::Ignored => return (OBOL_POS_IGNORED, ObolPosDecision::empty()),
        };
        let currency = self.terminal.currency();
        let currency = currency.as_ref().map_or("", |currency| currency.as_str());
        let decision = ObolPosDecision::open(&granted, why, currency);
        self.pending = Some(granted);
        (OBOL_POS_OK, decision)
    }

    /// The gate is open for the ride of the last scan.
    pub(crate) fn opened(&mut self, at: UnixTime) -> Result<(), ObolPosCode> {
        let granted = self.pending.take().ok_or(OBOL_POS_ERROR_NOT_GRANTED)?;
        self.terminal.opened(granted, at);
        Ok(())
    }

    pub(crate) fn terminal(&mut self) -> &mut Terminal {
        &mut self.terminal
    }

    pub(crate) fn take_fault(&mut self) -> Option<String> {
        let fault = self.terminal.take_fault()?;
        Some(Failed::new(OBOL_POS_ERROR_JOURNAL, &fault).reason)
    }

    pub(crate) fn take_trust(&mut self, bundle: &[u8], now: UnixTime) -> Result<(), Failed> {
        if self.provisioning.repository.is_some() {
            let reason = "this terminal takes its trust from its repository";
            return Err(Failed::plain(OBOL_POS_ERROR_TRUST_REFUSED, reason));
        }
        let trust = self.folder.take_trust(bundle, &self.provisioning, now)?;
        self.believe(trust, now)
    }

    fn believe(&mut self, trust: obol_pos_sdk::Trust, now: UnixTime) -> Result<(), Failed> {
        let believed = self.terminal.believe(trust, now);
        believed.map_err(|refused| Failed::new(OBOL_POS_ERROR_TRUST_REFUSED, &refused))
    }

    pub(crate) fn take_fares(&mut self, pack: &[u8]) -> Result<(), Failed> {
        self.terminal.charge_by(self.folder.take_fares(pack)?);
        Ok(())
    }

    /// Uses what an update, or another process, has stored.
    pub(crate) fn reload(&mut self, now: UnixTime) -> Result<(), Failed> {
        let provisioning = &self.provisioning;
        let fares = if provisioning.repository.is_some() {
            let Some(set) = self.folder.accepted(provisioning)? else {
                return Ok(());
            };
            let fares = self.folder.fares_of(provisioning, &set)?;
            self.terminal.believe_state(set.state);
            fares
        } else {
            let fares = self.folder.fares()?;
            if let Some(trust) = self.folder.trust(provisioning)? {
                self.believe(trust, now)?;
            }
            fares
        };
        if let Some(fares) = fares {
            self.terminal.charge_by(fares);
        }
        Ok(())
    }

    /// The next segment behind the watermark, sealed; `None` when the platform holds everything.
    pub(crate) fn next_segment(&mut self) -> Result<Option<SealedSegment>, Failed> {
        self.load_key()?;
        let Some(signer) = &self.signer else {
            return Err(Failed::plain(OBOL_POS_ERROR_KEY, "there is no key"));
        };
        let journal = self.terminal.journal();
        let id = signer.id();
        if let Some(segment) = journal.next_sealed(id)? {
            return Ok(Some(segment));
        }
        match journal.seal(signer, Sealing::All) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(journal.next_sealed(id)?),
            Err(SealError::Journal(error)) => Err(error.into()),
            Err(SealError::Key(fault)) => Err(Failed::new(OBOL_POS_ERROR_KEY, &fault)),
        }
    }

    /// The key file is read when the first segment is asked for: a terminal takes rides without it.
    fn load_key(&mut self) -> Result<(), Failed> {
        if self.signer.is_none() {
            let key = self.folder.key(&self.provisioning);
            let key = key.map_err(|error| Failed::new(OBOL_POS_ERROR_KEY, &error))?;
            let signer = SegmentSigner::from_pkcs8_pem(&key);
            let signer = signer.map_err(|error| Failed::new(OBOL_POS_ERROR_KEY, &error))?;
            self.signer = Some(Signer::File(signer));
        }
        Ok(())
    }

    /// The health report that goes beside a segment, as JSON.
    pub(crate) fn health(&mut self, now: UnixTime, software: &[u8]) -> Result<String, Failed> {
        // The report decides nothing: it is told without what cannot be read.
        let refreshes = self.folder.refreshes(&self.provisioning);
        let refreshes = refreshes.unwrap_or_else(|_| Refreshes::default());
        let health = Health {
            clock: now.0,
            waiting: self.terminal.journal().waiting()?,
            trust: self.terminal.freshness(now).into(),
            software: String::from_utf8_lossy(software).into_owned(),
            refreshed: refreshes.last().map(|last| last.0),
            silence_s: refreshes.longest_s(),
        };
        let refused = "the software's name is 1 to 32 printable characters of ASCII";
        let refused = || Failed::plain(OBOL_POS_ERROR_SOFTWARE, refused);
        let health = health.checked().map_err(|_| refused())?;
        serde_json::to_string(&health).map_err(|_| refused())
    }

    pub(crate) fn acknowledge(&mut self, first_seq: u64, answer: &[u8]) -> Result<u64, Failed> {
        let refused = OBOL_POS_ERROR_ACKNOWLEDGEMENT_REFUSED;
        if answer.len() > ACKNOWLEDGEMENT_MAX {
            return Err(Failed::plain(
                refused,
                "the answer is longer than a mebibyte",
            ));
        }
        let answer: Acknowledgement =
            serde_json::from_slice(answer).map_err(|error| Failed::new(refused, &error))?;
        let moved = self.terminal.journal().acknowledge(first_seq, &answer);
        moved.map_err(|error| match error {
            AcknowledgementRefused::Journal { source } => source.into(),
            error => Failed::new(refused, &error),
        })
    }
}
