use obol_credential::{Malformed, UnixTime};
use obol_kms_registry::{OfficerKey, Roster};

use crate::approval::{Approved, CeremonyId};
use crate::event::{Body, Content, EVENT_MAX, Event, Mode, Opened, Outcome};
use crate::hash::Hash;

/// Longest transcript, in bytes.
pub const TRANSCRIPT_MAX: usize = 4 * 1024 * 1024;
/// Length of an event, big endian, before it.
const PREFIX: usize = 4;
const START: Hash = Hash([0; 32]);

/// A chain of signed events, each checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    id: CeremonyId,
    opened: Opened,
    people: (OfficerKey, OfficerKey),
    entries: Vec<(UnixTime, Content)>,
    opening: Hash,
    head: Hash,
    steps: Progress,
}

/// Where a ceremony stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// So many steps are done, and the next has not begun.
    Between(u32),
    /// This step has begun and is not known to be done.
    Within(u32),
    Closed,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This step begins.
    Begin(u32),
    /// This step had begun when the ceremony was interrupted.
    Finish(u32),
    /// All steps are done.
    Close,
    /// Nothing.
    Over,
}

/// An event that waits for its two signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    body: Body,
    bytes: Vec<u8>,
    signers: (OfficerKey, OfficerKey),
}

/// Why a transcript, or an event for it, was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranscriptRefused {
    /// Longer than any transcript.
    #[error("the transcript has {0} bytes, at most {TRANSCRIPT_MAX} are read")]
    TooLong(usize),
    /// There is no first event.
    #[error("the transcript has no event")]
    Empty,
    /// The bytes of an event.
    #[error("event {event} at byte {at} is malformed: {fault}")]
    Malformed {
        /// From 0.
        event: u32,
        /// Where it begins.
        at: usize,
        /// What is wrong.
        fault: Malformed,
    },
    /// The last event is cut short: the machine stopped while it was written.
    #[error("event {event} at byte {at} is cut short")]
    Torn {
        /// From 0.
        event: u32,
        /// Where it begins.
        at: usize,
    },
    /// The chain does not hold.
    #[error("event {event} at byte {at} does not follow the one before: {what}")]
    Chain {
        /// From 0.
        event: u32,
        /// Where it begins.
        at: usize,
        /// What does not hold.
        what: &'static str,
    },
    /// A signature does not hold.
    #[error("event {event} at byte {at}: the signature of the {role} does not verify")]
    Signature {
        /// From 0.
        event: u32,
        /// Where it begins.
        at: usize,
        /// Executor or witness.
        role: &'static str,
    },
    /// The roster has them in another role, or not at all.
    #[error("{key} is no {role} of the roster")]
    Person {
        /// The key.
        key: OfficerKey,
        /// Officer or witness.
        role: &'static str,
    },
    /// The clock stands before the last event.
    #[error("the clock says {now}, the last event was at {last} (seconds since 1970)")]
    Clock {
        /// The clock.
        now: UnixTime,
        /// The last event.
        last: UnixTime,
    },
    /// Not what was approved.
    #[error("the ceremony that begins is not the approved one: another {0}")]
    NotApproved(&'static str),
}

impl Transcript {
    /// Drafts the first event of a ceremony that officers have approved.
    ///
    /// # Errors
    /// [`TranscriptRefused::NotApproved`] and [`TranscriptRefused::Person`].
    pub fn open(
        approved: &Approved,
        roster: &Roster,
        opened: Opened,
        now: UnixTime,
    ) -> Result<Draft, TranscriptRefused> {
        let statement = &approved.statement;
        let same = [
            ("mode", opened.mode == Mode::Ceremony),
            ("plan", opened.plan == statement.plan),
            ("roster", opened.roster == statement.roster),
            ("tool", opened.tool == statement.tool),
            ("token", opened.serials == statement.serials),
            ("rehearsal", opened.rehearsal == statement.rehearsal),
        ];
        if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
            return Err(TranscriptRefused::NotApproved(what));
        }
        first(statement.id, roster, opened, now)
    }

    /// Drafts the first event of a rehearsal, which takes nobody's approval.
    ///
    /// # Errors
    /// [`TranscriptRefused::NotApproved`] if it says that it is none, [`TranscriptRefused::Person`].
    pub fn rehearse(
        id: CeremonyId,
        roster: &Roster,
        opened: Opened,
        now: UnixTime,
    ) -> Result<Draft, TranscriptRefused> {
        if opened.mode != Mode::Rehearsal {
            return Err(TranscriptRefused::NotApproved("mode"));
        }
        first(id, roster, opened, now)
    }

    /// The transcript that begins with the signed first event, and that event's bytes for the file.
    ///
    /// # Errors
    /// [`TranscriptRefused::Signature`].
    pub fn begin(
        draft: Draft,
        executor: [u8; 64],
        witness: [u8; 64],
    ) -> Result<(Transcript, Vec<u8>), TranscriptRefused> {
        let event = draft.signed(executor, witness, 0)?;
        let Content::Opened(opened) = draft.body.content.clone() else {
            return Err(not_first());
        };
        let bytes = event.encode();
        let transcript = Transcript {
            id: draft.body.id,
            people: (opened.executor, opened.witness),
            opened,
            entries: vec![(draft.body.time, draft.body.content)],
            opening: Hash::of(&bytes),
            head: Hash::of(&bytes),
            steps: Progress::Between(0),
        };
        Ok((transcript, framed(&bytes)))
    }

    /// Reads and checks a transcript: form, chain, order, times and both signatures of each event.
    ///
    /// # Errors
    /// [`TranscriptRefused`] names the event and the byte where it begins.
    pub fn read(bytes: &[u8]) -> Result<Transcript, TranscriptRefused> {
        if bytes.len() > TRANSCRIPT_MAX {
            return Err(TranscriptRefused::TooLong(bytes.len()));
        }
        let mut transcript: Option<Transcript> = None;
        let (mut at, mut event) = (0, 0);
        while at < bytes.len() {
            let content = unframed(bytes, at, event)?;
            let malformed = |fault| TranscriptRefused::Malformed { event, at, fault };
            let (signed, body) = Event::decode(content).map_err(malformed)?;
            match &mut transcript {
                None => transcript = Some(Transcript::of_first(&signed, body, content)?),
                Some(transcript) => transcript.follow(&signed, body, content, (event, at))?,
            }
            at += PREFIX + content.len();
            event += 1;
        }
        transcript.ok_or(TranscriptRefused::Empty)
    }

    /// How many bytes of `bytes` are whole events: what comes after them was cut short by a stop of
    /// the machine while it was written, before anything was done because of it.
    #[must_use]
    pub fn whole(bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Ok(content) = unframed(bytes, at, 0) {
            at += PREFIX + content.len();
            if at == bytes.len() {
                break;
            }
        }
        at
    }

    fn of_first(signed: &Event, body: Body, bytes: &[u8]) -> Result<Transcript, TranscriptRefused> {
        let Content::Opened(opened) = body.content.clone() else {
            return Err(not_first());
        };
        if body.sequence != 0 || body.previous != START {
            return Err(not_first());
        }
        let people = (opened.executor, opened.witness);
        signed.check(people, (0, 0))?;
        Ok(Transcript {
            id: body.id,
            opened,
            people,
            entries: vec![(body.time, body.content)],
            opening: Hash::of(bytes),
            head: Hash::of(bytes),
            steps: Progress::Between(0),
        })
    }

    fn follow(
        &mut self,
        signed: &Event,
        body: Body,
        bytes: &[u8],
        place: (u32, usize),
    ) -> Result<(), TranscriptRefused> {
        let (event, at) = place;
        let broken = |what| TranscriptRefused::Chain { event, at, what };
        let same = [
            ("the ceremony is another", body.id == self.id),
            (
                "the number is not the next",
                body.sequence as usize == self.entries.len(),
            ),
            ("the hash is another", body.previous == self.head),
            ("the time is earlier", body.time >= self.last_time()),
        ];
        if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
            return Err(broken(what));
        }
        let (people, steps) = self.after(&body.content).map_err(broken)?;
        signed.check(people, place)?;
        self.people = people;
        self.steps = steps;
        self.head = Hash::of(bytes);
        self.entries.push((body.time, body.content));
        Ok(())
    }

    /// Who signs `content`, and where the ceremony stands after it.
    fn after(
        &self,
        content: &Content,
    ) -> Result<((OfficerKey, OfficerKey), Progress), &'static str> {
        let same = self.people;
        match (content, self.steps) {
            (_, Progress::Closed) => Err("the ceremony is closed"),
            (Content::Opened(_), _) => Err("it was opened before"),
            (Content::Begun { step }, Progress::Between(next)) if *step == next => {
                Ok((same, Progress::Within(next)))
            }
            (Content::Done { step, .. }, Progress::Within(now)) if *step == now => {
                Ok((same, Progress::Between(now + 1)))
            }
            (Content::Begun { .. } | Content::Done { .. }, _) => Err("the step is not the next"),
            (Content::Exception { .. }, steps) => Ok((same, steps)),
            (
                Content::Resumed {
                    executor, witness, ..
                },
                steps,
            ) => Ok(((*executor, *witness), steps)),
            (Content::Closed { .. }, Progress::Between(_)) => Ok((same, Progress::Closed)),
            (Content::Closed { .. }, Progress::Within(_)) => Err("a step is not done"),
        }
    }

    /// Drafts the next event.
    ///
    /// # Errors
    /// [`TranscriptRefused::Clock`] and [`TranscriptRefused::Chain`].
    pub fn draft(&self, content: Content, now: UnixTime) -> Result<Draft, TranscriptRefused> {
        let last = self.last_time();
        if now < last {
            return Err(TranscriptRefused::Clock { now, last });
        }
        let event = self.entries.len() as u32;
        let broken = |what| TranscriptRefused::Chain { event, at: 0, what };
        let (signers, _) = self.after(&content).map_err(broken)?;
        let body = Body {
            id: self.id,
            sequence: event,
            previous: self.head,
            time: now,
            content,
        };
        Ok(Draft::of(body, signers))
    }

    /// Appends a signed draft; the bytes belong at the end of the file, synced, before anything is
    /// done because of them.
    ///
    /// # Errors
    /// [`TranscriptRefused::Signature`], or [`TranscriptRefused::Chain`] for a draft of another
    /// transcript.
    pub fn append(
        &mut self,
        draft: Draft,
        executor: [u8; 64],
        witness: [u8; 64],
    ) -> Result<Vec<u8>, TranscriptRefused> {
        let event = draft.signed(executor, witness, self.entries.len() as u32)?;
        let bytes = event.encode();
        let place = (self.entries.len() as u32, 0);
        self.follow(&event, draft.body, &bytes, place)?;
        Ok(framed(&bytes))
    }

    /// What comes next in a plan of `steps` steps.
    #[must_use]
    pub fn next(&self, steps: usize) -> Next {
        match self.steps {
            Progress::Closed => Next::Over,
            Progress::Within(step) => Next::Finish(step),
            Progress::Between(step) if (step as usize) < steps => Next::Begin(step),
            Progress::Between(_) => Next::Close,
        }
    }

    /// The ceremony.
    #[must_use]
    pub const fn id(&self) -> CeremonyId {
        self.id
    }

    /// How it began.
    #[must_use]
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Hash of the first event: what tokens remember of this ceremony.
    #[must_use]
    pub const fn opening(&self) -> Hash {
        self.opening
    }

    /// Hash of the last event: it fixes all of them.
    #[must_use]
    pub const fn head(&self) -> Hash {
        self.head
    }

    /// Each event's time and content, in order.
    #[must_use]
    pub fn entries(&self) -> &[(UnixTime, Content)] {
        &self.entries
    }

    /// Time of the last event.
    #[must_use]
    pub fn last_time(&self) -> UnixTime {
        self.entries.last().map_or(UnixTime(0), |(time, _)| *time)
    }

    /// What a step gave; `None` if it is not done.
    #[must_use]
    pub fn outcome(&self, wanted: u32) -> Option<&Outcome> {
        self.entries.iter().find_map(|(_, content)| match content {
            Content::Done { step, outcome } if *step == wanted => Some(outcome),
            _ => None,
        })
    }

    /// When a step was begun, when it was done, and what it gave; `None` if it is not done.
    #[must_use]
    pub fn step(&self, wanted: u32) -> Option<(UnixTime, UnixTime, &Outcome)> {
        let begun = self.begun(wanted)?;
        self.entries
            .iter()
            .find_map(|(time, content)| match content {
                Content::Done { step, outcome } if *step == wanted => Some((begun, *time, outcome)),
                _ => None,
            })
    }

    /// When a step was begun.
    #[must_use]
    pub fn begun(&self, wanted: u32) -> Option<UnixTime> {
        let is_it =
            |content: &Content| matches!(content, Content::Begun { step } if *step == wanted);
        let found = self.entries.iter().find(|(_, content)| is_it(content));
        found.map(|(time, _)| *time)
    }

    /// Whether everybody who signed stands on the roster in that role.
    ///
    /// # Errors
    /// [`TranscriptRefused::Person`].
    pub fn people_of(&self, roster: &Roster) -> Result<(), TranscriptRefused> {
        check_people(roster, self.opened.executor, self.opened.witness)?;
        for (_, content) in &self.entries {
            if let Content::Resumed {
                executor, witness, ..
            } = content
            {
                check_people(roster, *executor, *witness)?;
            }
        }
        Ok(())
    }
}

impl Draft {
    fn of(body: Body, signers: (OfficerKey, OfficerKey)) -> Draft {
        let bytes = body.encode();
        Draft {
            body,
            bytes,
            signers,
        }
    }

    /// What executor and witness sign: ECDSA on P-256 with SHA-256.
    #[must_use]
    pub fn to_sign(&self) -> &[u8] {
        &self.bytes
    }

    fn signed(
        &self,
        executor: [u8; 64],
        witness: [u8; 64],
        event: u32,
    ) -> Result<Event, TranscriptRefused> {
        let signed = Event {
            body: self.bytes.clone(),
            executor,
            witness,
        };
        signed.check(self.signers, (event, 0))?;
        Ok(signed)
    }
}

impl Event {
    fn check(
        &self,
        (executor, witness): (OfficerKey, OfficerKey),
        (event, at): (u32, usize),
    ) -> Result<(), TranscriptRefused> {
        let refused = |role| TranscriptRefused::Signature { event, at, role };
        if !executor.verifies(&self.body, &self.executor) {
            return Err(refused("executor"));
        }
        if !witness.verifies(&self.body, &self.witness) {
            return Err(refused("witness"));
        }
        Ok(())
    }
}

fn first(
    id: CeremonyId,
    roster: &Roster,
    opened: Opened,
    now: UnixTime,
) -> Result<Draft, TranscriptRefused> {
    check_people(roster, opened.executor, opened.witness)?;
    let signers = (opened.executor, opened.witness);
    let body = Body {
        id,
        sequence: 0,
        previous: START,
        time: now,
        content: Content::Opened(opened),
    };
    Ok(Draft::of(body, signers))
}

/// An officer executes, a witness watches; on a roster nobody is both.
pub(crate) fn check_people(
    roster: &Roster,
    executor: OfficerKey,
    witness: OfficerKey,
) -> Result<(), TranscriptRefused> {
    if roster.officer(&executor).is_none() {
        let (key, role) = (executor, "officer");
        return Err(TranscriptRefused::Person { key, role });
    }
    let witnesses = roster.ceremonies().map(|some| some.witnesses());
    let stands = witnesses.is_some_and(|all| all.iter().any(|one| *one.key() == witness));
    if !stands {
        let (key, role) = (witness, "witness");
        return Err(TranscriptRefused::Person { key, role });
    }
    Ok(())
}

fn not_first() -> TranscriptRefused {
    TranscriptRefused::Chain {
        event: 0,
        at: 0,
        what: "it opens no ceremony",
    }
}

fn framed(event: &[u8]) -> Vec<u8> {
    let length = event.len() as u32;
    [&length.to_be_bytes(), event].concat()
}

fn unframed(bytes: &[u8], at: usize, event: u32) -> Result<&[u8], TranscriptRefused> {
    let torn = TranscriptRefused::Torn { event, at };
    let rest = &bytes[at..];
    let Some((prefix, rest)) = rest.split_first_chunk::<PREFIX>() else {
        return Err(torn);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > EVENT_MAX {
        let rule = "event too long";
        let fault = Malformed { at: 0, rule };
        return Err(TranscriptRefused::Malformed { event, at, fault });
    }
    rest.get(..length).ok_or(torn)
}
