//! Who and what takes part: two people with their keys, tokens that are the plan's, the clock.

use std::collections::BTreeMap;

use obol_console::{read_limited, unix_now};
use obol_credential::UnixTime;
use obol_kms::{HeldPin, PinSource, Token, TokenConfig};
use obol_kms_ceremony::{Content, Hash, Mode, Plan, ShareSheet, Transcript};
use obol_kms_registry::{OfficerKey, Roster};

use crate::ceremony::arguments::{Named, Present};
use crate::ceremony::bundle::Folder;
use crate::ceremony::{asked, hash_of_file, tool_hash};
use crate::failure::Failure;
use crate::failure::ceremony::{
    NotNamed, OtherEnvironment, PinFromFile, TokenKnown, TokenNotPinned, WrongInitials, WrongToken,
};
use crate::officer::key_file::OfficerSecret;
use crate::tokens::Modules;

/// Longest share sheet, in bytes.
const SHEET_MAX: usize = 16 * 1024;
/// Wrong initials in a row before the command stops; the ceremony can be resumed.
const INITIAL_TRIES: usize = 5;
/// Where the first roster's hash is pinned.
pub(super) const PIN_RECORD: &str = "obol roster";
/// Before the id of each ceremony that a token remembers.
pub(super) const RECORD_PREFIX: &str = "obol ceremony ";

/// The two people.
pub(super) struct People {
    executor: (String, OfficerSecret),
    witness: (String, OfficerSecret),
}

/// The tokens of a plan, open, and the module they came from.
pub(super) struct Tokens {
    by_name: BTreeMap<String, Token>,
    /// SHA-256 of the module's file; all zero without a token.
    pub(super) module: Hash,
    /// In the plan's order.
    pub(super) serials: Vec<String>,
}

impl People {
    /// Reads both keys and finds their names on the roster.
    pub(super) fn of(present: &Present, roster: &Roster) -> Result<People, Failure> {
        let executor = OfficerSecret::read(&present.executor)?;
        let witness = OfficerSecret::read(&present.witness)?;
        let officer = roster.officer(&executor.public());
        let witnesses = roster.ceremonies().map(|some| some.witnesses());
        let witnesses = witnesses.unwrap_or(&[]).iter();
        let watching = witnesses.clone().find(|one| *one.key() == witness.public());
        let refused = |key, role| obol_kms_ceremony::TranscriptRefused::Person { key, role };
        let officer = officer.ok_or_else(|| refused(executor.public(), "officer"))?;
        let watching = watching.ok_or_else(|| refused(witness.public(), "witness"))?;
        Ok(People {
            executor: (officer.name().to_owned(), executor),
            witness: (watching.name().to_owned(), witness),
        })
    }

    pub(super) fn keys(&self) -> (OfficerKey, OfficerKey) {
        (self.executor.1.public(), self.witness.1.public())
    }

    pub(super) fn sign(&self, message: &[u8]) -> ([u8; 64], [u8; 64]) {
        (self.executor.1.sign(message), self.witness.1.sign(message))
    }

    /// Appends an event that both sign, synced.
    pub(super) fn record(
        &self,
        transcript: &mut Transcript,
        folder: &Folder,
        content: Content,
    ) -> Result<(), Failure> {
        let draft = transcript.draft(content, now())?;
        let (executor, witness) = self.sign(draft.to_sign());
        let event = transcript.append(draft, executor, witness)?;
        folder.append(&event)
    }

    /// Both initial what is on the screen. A line that begins with `!` is an exception, recorded.
    pub(super) fn initial(
        &self,
        transcript: &mut Transcript,
        folder: &Folder,
    ) -> Result<(), Failure> {
        for (role, (name, _)) in [("executor", &self.executor), ("witness", &self.witness)] {
            let question = format!("{role} {name}, type your name to initial:");
            let mut tries = 0;
            loop {
                let answer = asked::line(&question)?;
                if answer == *name {
                    break;
                }
                if let Some(text) = answer.strip_prefix('!') {
                    let text = format!("{name}: {}", text.trim());
                    self.record(transcript, folder, Content::Exception { text })?;
                    eprintln!("recorded as an exception");
                    continue;
                }
                tries += 1;
                if tries == INITIAL_TRIES {
                    return Err(WrongInitials(name.clone()).into());
                }
                eprintln!("{answer:?} is not {name:?}; begin with ! to record an exception");
            }
        }
        Ok(())
    }
}

impl Tokens {
    /// Opens the tokens of a plan. For a ceremony each is the very token that the plan names, with
    /// `pinned` in it; for a rehearsal it is none of them.
    pub(super) fn open(
        plan: &Plan,
        present: &Present,
        mode: Mode,
        pinned: &Roster,
    ) -> Result<Tokens, Failure> {
        let known: Vec<&str> = plan
            .environment()
            .tokens
            .iter()
            .map(|t| t.name.as_str())
            .collect();
        for named in present.token.iter().chain(&present.shares) {
            if !known.contains(&named.name.as_str()) {
                return Err(NotNamed(named.name.clone()).into());
            }
        }
        let mut configs = Vec::new();
        for wanted in &plan.environment().tokens {
            let path = &find(&present.token, &wanted.name)?.path;
            let config = TokenConfig::of_argument(path)?;
            let same = config.serial == wanted.serial && config.label == wanted.label;
            let serials = plan.serials();
            match mode {
                Mode::Ceremony if !same => {
                    let wanted = format!("{} {}", wanted.label, wanted.serial);
                    let found = format!("{} {}", config.label, config.serial);
                    return Err(WrongToken { wanted, found }.into());
                }
                Mode::Rehearsal if serials.contains(&config.serial) => {
                    return Err(TokenKnown(config.serial).into());
                }
                _ => configs.push((wanted.name.clone(), config)),
            }
        }
        let module = module_hash(plan, mode, &configs)?;
        let mut tokens = Tokens {
            by_name: BTreeMap::new(),
            module,
            serials: configs
                .iter()
                .map(|(_, config)| config.serial.clone())
                .collect(),
        };
        let mut modules = Modules::default();
        for (name, mut config) in configs {
            config.pin = pin(&name, config.pin, present, mode)?;
            let token = Token::open(modules.module(&config.module)?, &config, 1)?;
            if mode == Mode::Ceremony {
                check_pinned(&token, &config.label, pinned)?;
            }
            tokens.by_name.insert(name, token);
        }
        Ok(tokens)
    }

    pub(super) fn get(&self, name: &str) -> Result<&Token, Failure> {
        let token = self.by_name.get(name);
        token.ok_or_else(|| NotNamed(name.to_owned()).into())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Token> {
        self.by_name.values()
    }
}

pub(super) fn now() -> UnixTime {
    UnixTime(unix_now())
}

/// This program must be the one that the plan names: the one that was reviewed.
pub(super) fn checked_tool(plan: &Plan) -> Result<Hash, Failure> {
    let (found, wanted) = (tool_hash()?, plan.environment().tool);
    if found != wanted {
        let what = "program";
        return Err(OtherEnvironment {
            what,
            found,
            wanted,
        }
        .into());
    }
    Ok(found)
}

fn module_hash(
    plan: &Plan,
    mode: Mode,
    configs: &[(String, TokenConfig)],
) -> Result<Hash, Failure> {
    let mut hash = Hash([0; 32]);
    for (_, config) in configs {
        hash = hash_of_file(&config.module)?;
        let wanted = plan.environment().module;
        if mode == Mode::Ceremony && hash != wanted {
            let (what, found) = ("PKCS#11 library", hash);
            return Err(OtherEnvironment {
                what,
                found,
                wanted,
            }
            .into());
        }
    }
    Ok(hash)
}

/// In a ceremony the PIN comes from people; a rehearsal's token may have its PIN in a file.
fn pin(name: &str, source: PinSource, present: &Present, mode: Mode) -> Result<PinSource, Failure> {
    if let Some(Named { path, .. }) = present.shares.iter().find(|named| named.name == name) {
        let sheet = ShareSheet::parse(&read_limited(path, SHEET_MAX)?)?;
        return asked::pin_of_shares(name, &sheet);
    }
    match (source, mode) {
        (PinSource::Prompt, _) => {
            let pin = asked::pin(&format!("PIN of token {name}, tried once:"))?;
            Ok(PinSource::Held(HeldPin::new(pin)))
        }
        (source, Mode::Rehearsal) => Ok(source),
        (source, Mode::Ceremony) => Err(PinFromFile(source.to_string()).into()),
    }
}

fn check_pinned(token: &Token, label: &str, pinned: &Roster) -> Result<(), Failure> {
    let (found, wanted) = (token.recorded(PIN_RECORD)?, pinned.hash());
    if found.as_deref() != Some(&wanted.0) {
        let found = found.map(|bytes| data_encoding::HEXLOWER.encode(&bytes));
        let (token, wanted) = (label.to_owned(), wanted.to_string());
        return Err(TokenNotPinned {
            token,
            found,
            wanted,
        }
        .into());
    }
    Ok(())
}

fn find<'a>(named: &'a [Named], name: &str) -> Result<&'a Named, Failure> {
    let found = named.iter().find(|named| named.name == name);
    found.ok_or_else(|| NotNamed(name.to_owned()).into())
}
