use std::convert::Infallible;

use minicbor::Encoder;
use minicbor::encode::Error;
use obol_credential::strict::Reader;
use obol_credential::{Malformed, UnixTime};
use obol_kms_registry::{OfficerKey, RosterHash};

use crate::approval::CeremonyId;
use crate::hash::Hash;

/// Longest event, in bytes.
pub const EVENT_MAX: usize = 64 * 1024;
/// What the signatures are about; no other signed structure of the house begins like this.
const CONTEXT: &str = "obol ceremony event";
/// Most files that one event names.
const FILES_MAX: u64 = 256;
const FACTS_MAX: u64 = 64;
const SERIALS_MAX: u64 = 4;
const NAME_MAX: usize = 128;
const TEXT_MAX: usize = 1_024;
const STEPS_MAX: u32 = 64;

/// Whether anything that counts is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On throwaway tokens.
    Rehearsal,
    /// For good.
    Ceremony,
}

/// A file of the bundle and the hash of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileHash {
    /// Path in the bundle.
    pub name: String,
    /// SHA-256 of the bytes.
    pub sha256: Hash,
}

/// What a step has shown: a name and a value, for people and for the comparison with other runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// What a step has given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What it has shown.
    pub facts: Vec<Fact>,
    /// The file it wrote.
    pub files: Vec<FileHash>,
}

/// How a ceremony began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Rehearsal or not.
    pub mode: Mode,
    /// The plan.
    pub plan: Hash,
    /// The roster in force.
    pub roster: RosterHash,
    /// SHA-256 of the program that ran.
    pub tool: Hash,
    /// SHA-256 of the PKCS#11 library that was loaded; all zero where no token takes part.
    pub module: Hash,
    /// Serial numbers of the tokens that were there, in the plan's order.
    pub serials: Vec<String>,
    /// Head of the rehearsal's transcript; all zero in a rehearsal.
    pub rehearsal: Hash,
    /// Who executes.
    pub executor: OfficerKey,
    /// Who watches.
    pub witness: OfficerKey,
    /// Every file of the bundle at that moment.
    pub files: Vec<FileHash>,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The first event.
    Opened(Opened),
    /// A step's assertions hold; it will be done now.
    Begun {
        /// From 0.
        step: u32,
    },
    /// It was done, and its assertions hold.
    Done {
        /// From 0.
        step: u32,
        /// What it gave.
        outcome: Outcome,
    },
    /// Something happened that the plan does not have.
    Exception {
        /// In words.
        text: String,
    },
    /// The ceremony goes on after an interruption, with these people.
    Resumed {
        /// SHA-256 of the program that runs now.
        tool: Hash,
        /// SHA-256 of the PKCS#11 library that is loaded now.
        module: Hash,
        /// Who executes from here.
        executor: OfficerKey,
        /// Who watches from here.
        witness: OfficerKey,
    },
    /// The last event: every output.
    Closed {
        /// Outputs.
        files: Vec<FileHash>,
    },
}

/// An event before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) id: CeremonyId,
    pub(crate) sequence: u32,
    pub(crate) previous: Hash,
    pub(crate) time: UnixTime,
    pub(crate) content: Content,
}

/// A signed event, as it stands in the transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) body: Vec<u8>,
    pub(crate) executor: [u8; 64],
    pub(crate) witness: [u8; 64],
}

type Written = Result<(), Error<Infallible>>;

impl Body {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut sink = Encoder::new(Vec::new());
        self.write(&mut sink)
            .expect("a vector takes what is written");
        sink.into_writer()
    }

    fn write(&self, sink: &mut Encoder<Vec<u8>>) -> Written {
        sink.array(6)?.str(CONTEXT)?;
        sink.bytes(&self.id.0)?;
        sink.u32(self.sequence)?;
        sink.bytes(&self.previous.0)?;
        sink.u32(self.time.0)?;
        self.content.write(sink)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Body, Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array(6)?;
        let at = reader.position();
        if reader.text(CONTEXT.len())? != CONTEXT {
            let rule = "not an event of a ceremony";
            return Err(Malformed { at, rule });
        }
        let id = CeremonyId(*reader.bytes_exact()?);
        let sequence = reader.uint_as()?;
        let previous = Hash(*reader.bytes_exact()?);
        let time = UnixTime(reader.uint_as()?);
        let content = Content::read(&mut reader)?;
        reader.finish()?;
        Ok(Body {
            id,
            sequence,
            previous,
            time,
            content,
        })
    }
}

impl Event {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut sink = Encoder::new(Vec::new());
        sink.array(3)
            .and_then(|sink| sink.bytes(&self.body))
            .and_then(|sink| sink.bytes(&self.executor))
            .and_then(|sink| sink.bytes(&self.witness))
            .expect("a vector takes what is written");
        sink.into_writer()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<(Event, Body), Malformed> {
        let mut reader = Reader::new(bytes);
        reader.array(3)?;
        let (body, read) = reader.embedded(|body| Ok((body.to_vec(), Body::decode(body)?)))?;
        let executor = *reader.bytes_exact()?;
        let witness = *reader.bytes_exact()?;
        reader.finish()?;
        let event = Event {
            body,
            executor,
            witness,
        };
        Ok((event, read))
    }
}

impl Content {
    fn write(&self, sink: &mut Encoder<Vec<u8>>) -> Written {
        match self {
            Content::Opened(opened) => opened.write(sink),
            Content::Begun { step } => {
                sink.array(2)?.u8(1)?.u32(*step)?;
                Ok(())
            }
            Content::Done { step, outcome } => {
                sink.array(4)?.u8(2)?.u32(*step)?;
                sink.array(outcome.facts.len() as u64)?;
                for Fact { name, value } in &outcome.facts {
                    sink.array(2)?.str(name)?.str(value)?;
                }
                write_files(&outcome.files, sink)
            }
            Content::Exception { text } => {
                sink.array(2)?.u8(3)?.str(text)?;
                Ok(())
            }
            Content::Resumed {
                tool,
                module,
                executor,
                witness,
            } => {
                sink.array(5)?.u8(4)?.bytes(&tool.0)?.bytes(&module.0)?;
                sink.bytes(executor.as_sec1())?.bytes(witness.as_sec1())?;
                Ok(())
            }
            Content::Closed { files } => {
                sink.array(2)?.u8(5)?;
                write_files(files, sink)
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Content, Malformed> {
        let at = reader.position();
        let members = reader.array_up_to(11)?;
        let kind: u64 = reader.uint()?;
        Ok(match (kind, members) {
            (0, 11) => Content::Opened(Opened::read(reader)?),
            (1, 2) => Content::Begun {
                step: step(reader)?,
            },
            (2, 4) => Content::Done {
                step: step(reader)?,
                outcome: Outcome {
                    facts: facts(reader)?,
                    files: files(reader)?,
                },
            },
            (3, 2) => Content::Exception {
                text: reader.text(TEXT_MAX)?.to_owned(),
            },
            (4, 5) => Content::Resumed {
                tool: Hash(*reader.bytes_exact()?),
                module: Hash(*reader.bytes_exact()?),
                executor: key(reader)?,
                witness: key(reader)?,
            },
            (5, 2) => Content::Closed {
                files: files(reader)?,
            },
            _ => {
                let rule = "no event of this kind and length";
                return Err(Malformed { at, rule });
            }
        })
    }
}

impl Opened {
    fn write(&self, sink: &mut Encoder<Vec<u8>>) -> Written {
        let mode = match self.mode {
            Mode::Rehearsal => 0,
            Mode::Ceremony => 1,
        };
        sink.array(11)?.u8(0)?.u8(mode)?;
        sink.bytes(&self.plan.0)?.bytes(&self.roster.0)?;
        sink.bytes(&self.tool.0)?.bytes(&self.module.0)?;
        sink.array(self.serials.len() as u64)?;
        for serial in &self.serials {
            sink.str(serial)?;
        }
        sink.bytes(&self.rehearsal.0)?;
        sink.bytes(self.executor.as_sec1())?;
        sink.bytes(self.witness.as_sec1())?;
        write_files(&self.files, sink)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Opened, Malformed> {
        let at = reader.position();
        let mode = match reader.uint()? {
            0 => Mode::Rehearsal,
            1 => Mode::Ceremony,
            _ => {
                let rule = "neither rehearsal nor ceremony";
                return Err(Malformed { at, rule });
            }
        };
        let plan = Hash(*reader.bytes_exact()?);
        let roster = RosterHash(*reader.bytes_exact()?);
        let tool = Hash(*reader.bytes_exact()?);
        let module = Hash(*reader.bytes_exact()?);
        let count = reader.array_up_to(SERIALS_MAX)?;
        let mut serials = Vec::new();
        for _ in 0..count {
            serials.push(reader.text(NAME_MAX * 2)?.to_owned());
        }
        Ok(Opened {
            mode,
            plan,
            roster,
            tool,
            module,
            serials,
            rehearsal: Hash(*reader.bytes_exact()?),
            executor: key(reader)?,
            witness: key(reader)?,
            files: files(reader)?,
        })
    }
}

impl Fact {
    /// A fact, cut to what an event takes.
    #[must_use]
    pub fn new(name: &str, value: impl ToString) -> Fact {
        let mut value = value.to_string();
        value.truncate(value.floor_char_boundary(TEXT_MAX));
        let name = name.to_owned();
        Fact { name, value }
    }
}

fn write_files(files: &[FileHash], sink: &mut Encoder<Vec<u8>>) -> Written {
    sink.array(files.len() as u64)?;
    for FileHash { name, sha256 } in files {
        sink.array(2)?.str(name)?.bytes(&sha256.0)?;
    }
    Ok(())
}

fn files(reader: &mut Reader<'_>) -> Result<Vec<FileHash>, Malformed> {
    let count = reader.array_up_to(FILES_MAX)?;
    let mut files: Vec<FileHash> = Vec::new();
    for _ in 0..count {
        let at = reader.position();
        reader.array(2)?;
        let name = reader.text(NAME_MAX)?.to_owned();
        if files.last().is_some_and(|last| last.name >= name) {
            let rule = "files out of order";
            return Err(Malformed { at, rule });
        }
        let sha256 = Hash(*reader.bytes_exact()?);
        files.push(FileHash { name, sha256 });
    }
    Ok(files)
}

fn facts(reader: &mut Reader<'_>) -> Result<Vec<Fact>, Malformed> {
    let count = reader.array_up_to(FACTS_MAX)?;
    let mut facts = Vec::new();
    for _ in 0..count {
        reader.array(2)?;
        let name = reader.text(NAME_MAX)?.to_owned();
        let value = reader.text(TEXT_MAX)?.to_owned();
        facts.push(Fact { name, value });
    }
    Ok(facts)
}

fn step(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let at = reader.position();
    let step: u32 = reader.uint_as()?;
    if step >= STEPS_MAX {
        let rule = "no plan has so many steps";
        return Err(Malformed { at, rule });
    }
    Ok(step)
}

fn key(reader: &mut Reader<'_>) -> Result<OfficerKey, Malformed> {
    let at = reader.position();
    let rule = "not a compressed point of P-256";
    OfficerKey::from_sec1(*reader.bytes_exact()?).ok_or(Malformed { at, rule })
}
