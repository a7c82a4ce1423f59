use std::collections::{BTreeMap, BTreeSet};

use obol_credential::UnixTime;
use obol_kms_registry::RosterHash;

use crate::approval::{Approval, authorise};
use crate::audit::{AuditSpan, audit_span};
use crate::event::{Content, FileHash, Mode, Outcome};
use crate::hash::Hash;
use crate::plan::{Plan, Step};
use crate::records::{RecordsRefused, TokenRecords};
use crate::rehearsal::{Rehearsed, differences};
use crate::rosters::RosterChain;
use crate::transcript::{Next, Transcript};

/// Largest file of a bundle, in bytes.
pub const BUNDLE_FILE_MAX: usize = 8 * 1024 * 1024;
const PLAN: &str = "plan.toml";
const TRANSCRIPT: &str = "transcript";
const REHEARSAL: &str = "rehearsal.transcript";
const LAST: &str = "last.transcript";
/// The audit log's checkpoint before, a signed note.
pub const AUDIT_BEFORE: &str = "audit/before";
/// Its checkpoint after, behind the proof that it continues the one before.
pub const AUDIT_AFTER: &str = "audit/after";
const FIRST_ROSTER: &str = "rosters/0.toml";

/// The files of a bundle by their path in it (docs/spec/ceremony.md section 6).
pub type Bundle = BTreeMap<String, Vec<u8>>;

/// Who knows what a step's files and facts must be: certificates, lists, signatures.
pub trait Examiner {
    /// Examines what a step gave.
    ///
    /// # Errors
    /// What is wrong, in words.
    fn examine(&self, shown: &Shown<'_>) -> Result<(), String>;
}

/// A step that was done, and all that it rests on.
pub struct Shown<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The step, from 0.
    pub number: usize,
    /// What each step gave, from the first to this one.
    pub outcomes: &'a [&'a Outcome],
    /// Gives a file of the step by its name in the plan.
    pub file: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// When it was begun.
    pub begun: UnixTime,
    /// When it was done.
    pub done: UnixTime,
}

impl<'a> Shown<'a> {
    /// The step, as the plan has it.
    ///
    /// # Panics
    /// If the plan has no such step.
    #[must_use]
    pub fn step(&self) -> &'a Step {
        &self.plan.steps()[self.number]
    }

    /// What this step gave.
    ///
    /// # Panics
    /// If `outcomes` is empty.
    #[must_use]
    pub fn outcome(&self) -> &'a Outcome {
        self.outcomes[self.outcomes.len() - 1]
    }
}

/// Something in a bundle that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable, as in docs/spec/ceremony.md section 7.
    pub code: &'static str,
    /// File, or event of the transcript.
    pub place: String,
    /// In words.
    pub what: String,
}

/// What a bundle shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Empty if all holds.
    pub problems: Vec<Problem>,
    /// What happened that the plan does not have, each with its time.
    pub exceptions: Vec<(UnixTime, String)>,
    /// Who approved.
    pub approved_by: Vec<String>,
    /// The transcript's last hash.
    pub head: Option<Hash>,
    /// What each step has shown.
    pub outcomes: Vec<Outcome>,
    /// The daemon's audit log around it, where the plan names one.
    pub audit: Option<AuditSpan>,
    /// Of each token of the plan, how many ceremonies it had before.
    pub tokens: Vec<(String, usize)>,
}

struct Check<'a> {
    bundle: &'a Bundle,
    report: Report,
}

/// Checks a whole bundle against the hash of the first roster, offline. Everything that does not
/// hold is reported, each with the file and, in transcripts, the event where it was found.
#[must_use]
pub fn verify(bundle: &Bundle, pinned: RosterHash, examiner: &dyn Examiner) -> Report {
    let mut check = Check {
        bundle,
        report: Report::default(),
    };
    check.all(pinned, examiner);
    check.report
}

impl Check<'_> {
    fn all(&mut self, pinned: RosterHash, examiner: &dyn Examiner) {
        let rosters = self.rosters(pinned);
        let plan = self.plan();
        let transcript = self.transcript();
        let (Some(rosters), Some(plan), Some(transcript)) = (rosters, plan, transcript) else {
            return;
        };
        self.files(&plan, &transcript);
        self.opening(&plan, &rosters, &transcript);
        self.approvals(&plan, &rosters, &transcript);
        self.last(&plan, &transcript);
        self.steps(&plan, &transcript, examiner);
        self.tell(&transcript);
        self.records(&plan, &transcript);
        self.audit(&plan);
    }

    fn fail(&mut self, code: &'static str, place: &str, what: impl ToString) {
        let (place, what) = (place.to_owned(), what.to_string());
        self.report.problems.push(Problem { code, place, what });
    }

    fn demand(&mut self, name: &str) -> Option<Vec<u8>> {
        let found = self.bundle.get(name).cloned();
        if found.is_none() {
            self.fail("FILE_MISSING", name, "the bundle does not have it");
        }
        found
    }

    fn rosters(&mut self, pinned: RosterHash) -> Option<RosterChain> {
        let first = self.demand(FIRST_ROSTER)?;
        let changes = numbered_changes(self.bundle);
        match RosterChain::read(&first, &changes) {
            Ok(chain) if chain.first().hash() == pinned => Some(chain),
            Ok(chain) => {
                let found = chain.first().hash();
                let what = format!("the first roster is {found}, wanted {pinned}");
                self.fail("ROSTER_UNPINNED", FIRST_ROSTER, what);
                None
            }
            Err(error) => {
                self.fail("ROSTER_REFUSED", "rosters", error);
                None
            }
        }
    }

    fn plan(&mut self) -> Option<Plan> {
        let bytes = self.demand(PLAN)?;
        let plan = Plan::parse(&bytes);
        plan.map_err(|error| self.fail("PLAN_REFUSED", PLAN, error))
            .ok()
    }

    fn transcript(&mut self) -> Option<Transcript> {
        let bytes = self.demand(TRANSCRIPT)?;
        let transcript = Transcript::read(&bytes);
        transcript
            .map_err(|error| self.fail("TRANSCRIPT_REFUSED", TRANSCRIPT, error))
            .ok()
    }

    /// Each file has the hash that the transcript names, and there is no other file.
    fn files(&mut self, plan: &Plan, transcript: &Transcript) {
        let mut named: BTreeMap<&str, Hash> = BTreeMap::new();
        let closed = transcript
            .entries()
            .iter()
            .find_map(|(_, content)| match content {
                Content::Closed { files } => Some(files.as_slice()),
                _ => None,
            });
        let done = transcript
            .entries()
            .iter()
            .filter_map(|(_, content)| match content {
                Content::Done { outcome, .. } => Some(outcome.files.as_slice()),
                _ => None,
            });
        let opened = transcript.opened().files.as_slice();
        let lists: Vec<&[FileHash]> = [opened].into_iter().chain(done).chain(closed).collect();
        for FileHash { name, sha256 } in lists.into_iter().flatten() {
            if let Some(before) = named.insert(name, *sha256)
                && before != *sha256
            {
                self.fail(
                    "FILE_CHANGED",
                    name,
                    "the transcript names two hashes for it",
                );
            }
        }
        for (name, sha256) in &named {
            if let Some(bytes) = self.demand(name)
                && Hash::of(&bytes) != *sha256
            {
                let what = format!("its SHA-256 is {}, recorded was {sha256}", Hash::of(&bytes));
                self.fail("FILE_CHANGED", name, what);
            }
        }
        for (name, sha256) in plan.inputs() {
            let path = format!("inputs/{name}");
            if named.get(path.as_str()) != Some(sha256) {
                self.fail(
                    "INPUT_CHANGED",
                    &path,
                    "it is not the file that the plan names",
                );
            }
        }
        let known: BTreeSet<&str> = named.keys().copied().chain([TRANSCRIPT]).collect();
        let strangers: Vec<String> = self
            .bundle
            .keys()
            .filter(|name| !known.contains(name.as_str()))
            .cloned()
            .collect();
        for name in strangers {
            self.fail("FILE_UNKNOWN", &name, "the transcript does not name it");
        }
    }

    fn opening(&mut self, plan: &Plan, rosters: &RosterChain, transcript: &Transcript) {
        let (opened, environment) = (transcript.opened(), plan.environment());
        let same = [
            ("mode", opened.mode == Mode::Ceremony),
            ("plan", opened.plan == plan.hash()),
            ("roster", opened.roster == rosters.in_force().hash()),
            ("tool", opened.tool == environment.tool),
            (
                "module",
                opened.module == environment.module || plan.serials().is_empty(),
            ),
            ("token", opened.serials == plan.serials()),
        ];
        for (what, _) in same.into_iter().filter(|(_, same)| !same) {
            self.fail(
                "OPENED_OTHER",
                "transcript event 0",
                format!("another {what}"),
            );
        }
        for (number, (_, content)) in transcript.entries().iter().enumerate() {
            if let Content::Resumed { tool, module, .. } = content
                && (*tool != opened.tool || *module != opened.module)
            {
                let place = format!("transcript event {number}");
                self.fail(
                    "OPENED_OTHER",
                    &place,
                    "resumed with another tool or module",
                );
            }
        }
        if let Err(error) = transcript.people_of(rosters.in_force()) {
            self.fail("PEOPLE_REFUSED", TRANSCRIPT, error);
        }
        if let Err(what) = whole(plan, transcript) {
            self.fail("NOT_CLOSED", TRANSCRIPT, what);
        }
        let lacking = opening_files(plan).into_iter();
        let lacking = lacking.filter(|path| opened.files.iter().all(|file| file.name != *path));
        for path in lacking {
            self.fail("FILE_MISSING", &path, "the first event does not name it");
        }
        for FileHash { name, .. } in &opened.files {
            if !opens_with(plan, name) {
                self.fail("FILE_UNKNOWN", name, "no ceremony opens with such a file");
            }
        }
    }

    fn approvals(&mut self, plan: &Plan, rosters: &RosterChain, transcript: &Transcript) {
        let Some(bytes) = self.demand(REHEARSAL) else {
            return;
        };
        let rehearsed = match Rehearsed::read(plan, rosters.in_force(), &bytes) {
            Ok(rehearsed) => rehearsed,
            Err(error) => return self.fail("REHEARSAL_REFUSED", REHEARSAL, error),
        };
        let opened_at = transcript.entries()[0].0;
        if rehearsed.head() != transcript.opened().rehearsal || rehearsed.ended() > opened_at {
            let what = "it is not the rehearsal that went before this ceremony";
            return self.fail("REHEARSAL_REFUSED", REHEARSAL, what);
        }
        let mut approvals = Vec::new();
        let files = self
            .bundle
            .range("approvals/".to_owned().."approvals0".to_owned());
        for (name, bytes) in files
            .map(|(name, bytes)| (name.clone(), bytes))
            .collect::<Vec<_>>()
        {
            match Approval::decode(bytes) {
                Ok(approval) => approvals.push(approval),
                Err(fault) => return self.fail("APPROVAL_REFUSED", &name, fault),
            }
        }
        match authorise(rosters.in_force(), plan, &rehearsed, &approvals, opened_at) {
            Ok(approved) if approved.id() == transcript.id() => {
                self.report.approved_by = approved.officers().to_vec();
            }
            Ok(_) => self.fail("APPROVAL_REFUSED", "approvals", "for another ceremony"),
            Err(error) => self.fail("APPROVAL_REFUSED", "approvals", error),
        }
    }

    /// What differs from the last ceremony of its kind is what the plan says.
    fn last(&mut self, plan: &Plan, transcript: &Transcript) {
        let Some((since, allowed)) = plan.changes() else {
            return;
        };
        let Some(bytes) = self.demand(LAST) else {
            return;
        };
        match Transcript::read(&bytes) {
            Ok(last) if last.head() == since => {
                let others = differences(&last, transcript);
                for one in others.iter().filter(|one| !allowed.contains(&one.name)) {
                    let what = format!("{} differs, which the plan does not allow", one.name);
                    self.fail("CHANGE_UNPLANNED", TRANSCRIPT, what);
                }
            }
            Ok(_) => self.fail(
                "LAST_REFUSED",
                LAST,
                "it is not the one that the plan names",
            ),
            Err(error) => self.fail("LAST_REFUSED", LAST, error),
        }
    }

    fn steps(&mut self, plan: &Plan, transcript: &Transcript, examiner: &dyn Examiner) {
        let file = |name: &str| step_file(self.bundle, plan, name);
        let (mut wrong, mut outcomes) = (Vec::new(), Vec::new());
        for (number, step) in plan.steps().iter().enumerate() {
            let Some((begun, done, outcome)) = transcript.step(number as u32) else {
                break;
            };
            outcomes.push(outcome);
            let output = step.output().map(|name| format!("outputs/{name}"));
            let written: Vec<&String> = outcome.files.iter().map(|file| &file.name).collect();
            let place = format!("step {}", number + 1);
            if written != output.iter().collect::<Vec<_>>() {
                let what = "it wrote other files than the plan says".to_owned();
                wrong.push((place.clone(), what));
            }
            let shown = Shown {
                plan,
                number,
                outcomes: &outcomes,
                file: &file,
                begun,
                done,
            };
            if let Err(what) = examiner.examine(&shown) {
                wrong.push((place, what));
            }
        }
        self.report.outcomes = outcomes.into_iter().cloned().collect();
        for (place, what) in wrong {
            self.fail("STEP_REFUSED", &place, what);
        }
    }

    fn tell(&mut self, transcript: &Transcript) {
        self.report.head = Some(transcript.head());
        for (time, content) in transcript.entries() {
            let text = match content {
                Content::Exception { text } => text.clone(),
                Content::Resumed { .. } => "interrupted, and resumed".to_owned(),
                _ => continue,
            };
            self.report.exceptions.push((*time, text));
        }
    }
}

impl Check<'_> {
    /// Each token remembered the same ceremonies before and after, and this one.
    fn records(&mut self, plan: &Plan, transcript: &Transcript) {
        let mut others = BTreeSet::new();
        for token in &plan.environment().tokens {
            let paths = [token_before(&token.name), token_after(&token.name)];
            // A file that is not there was told of with the other files.
            let [Some(before), Some(after)] = paths.each_ref().map(|path| self.bundle.get(path))
            else {
                continue;
            };
            let (id, opening) = (transcript.id(), transcript.opening());
            let judged = TokenRecords::decode(before)
                .map_err(RecordsRefused::from)
                .and_then(|before| {
                    let after = TokenRecords::decode(after)?;
                    Ok((before.len(), before.followed_by(&after, id, opening)?))
                });
            match judged {
                Ok((count, meanwhile)) => {
                    self.report.tokens.push((token.name.clone(), count));
                    others.extend(meanwhile.iter().map(ToString::to_string));
                }
                Err(error) => self.fail("RECORDS_REFUSED", &paths[1], error),
            }
        }
        let at = transcript.last_time();
        let told = others.into_iter().map(|id| {
            (
                at,
                format!("ceremony {id} began meanwhile on a token of this one"),
            )
        });
        self.report.exceptions.extend(told);
    }

    /// The audit log's checkpoints before and after are its own, and the later continues the
    /// earlier.
    fn audit(&mut self, plan: &Plan) {
        let Some(key) = &plan.environment().audit else {
            return;
        };
        let both = [AUDIT_BEFORE, AUDIT_AFTER].map(|path| self.bundle.get(path));
        let [Some(before), Some(after)] = both else {
            return;
        };
        match audit_span(key, before, after) {
            Ok(span) => self.report.audit = Some(span),
            Err(error) => self.fail("AUDIT_REFUSED", "audit", error),
        }
    }
}

/// Every step of the plan is done and none besides, and the end names what they wrote.
fn whole(plan: &Plan, transcript: &Transcript) -> Result<(), &'static str> {
    let steps = plan.steps().len();
    if transcript.next(steps) != Next::Over {
        return Err("the ceremony has not come to its end");
    }
    let (mut done, mut written, mut closed) = (0, BTreeSet::new(), BTreeSet::new());
    for (_, content) in transcript.entries() {
        match content {
            Content::Done { outcome, .. } => {
                done += 1;
                written.extend(outcome.files.iter().map(|file| (&file.name, file.sha256.0)));
            }
            Content::Closed { files } => {
                closed.extend(files.iter().map(|file| (&file.name, file.sha256.0)));
            }
            _ => {}
        }
    }
    if done != steps {
        return Err("it was closed with other steps done than the plan has");
    }
    let ends = closing_files(plan);
    let (after, outputs): (BTreeSet<_>, BTreeSet<_>) =
        closed.iter().partition(|(name, _)| ends.contains(*name));
    if written != outputs {
        return Err("it was closed with other outputs than its steps wrote");
    }
    if after.len() != ends.len() {
        return Err("it was closed without what tokens and audit log were after it");
    }
    Ok(())
}

/// Files that say how tokens and audit log were when a ceremony of this plan began.
pub(crate) fn opening_files(plan: &Plan) -> BTreeSet<String> {
    let tokens = plan.environment().tokens.iter();
    let audit = plan.environment().audit.iter();
    let audit = audit.map(|_| AUDIT_BEFORE.to_owned());
    tokens
        .map(|token| token_before(&token.name))
        .chain(audit)
        .collect()
}

/// Files that say how they were when it ended.
fn closing_files(plan: &Plan) -> BTreeSet<String> {
    let tokens = plan.environment().tokens.iter();
    let audit = plan.environment().audit.iter();
    let audit = audit.map(|_| AUDIT_AFTER.to_owned());
    tokens
        .map(|token| token_after(&token.name))
        .chain(audit)
        .collect()
}

/// What the token of this name remembered before.
#[must_use]
pub fn token_before(name: &str) -> String {
    format!("tokens/{name}.before")
}

/// What it remembered after.
#[must_use]
pub fn token_after(name: &str) -> String {
    format!("tokens/{name}.after")
}

/// Whether the first event may name this file (docs/spec/ceremony.md section 6).
fn opens_with(plan: &Plan, path: &str) -> bool {
    match path.split_once('/') {
        None => path == PLAN || path == REHEARSAL || (path == LAST && plan.changes().is_some()),
        Some(("inputs", name)) => plan.inputs().iter().any(|(input, _)| input == name),
        Some(("rosters" | "approvals", _)) => true,
        Some(_) => opening_files(plan).contains(path),
    }
}

/// A file that a step names: an input of the plan, or an output of a step before.
pub(crate) fn step_file(bundle: &Bundle, plan: &Plan, name: &str) -> Option<Vec<u8>> {
    let folder = match plan.inputs().iter().any(|(input, _)| input == name) {
        true => "inputs",
        false => "outputs",
    };
    bundle.get(&format!("{folder}/{name}")).cloned()
}

/// `rosters/1.change`, `rosters/2.change`, … as long as there is a next.
fn numbered_changes(bundle: &Bundle) -> Vec<Vec<u8>> {
    let numbered = (1..).map(|number| bundle.get(&format!("rosters/{number}.change")));
    numbered.map_while(|change| change.cloned()).collect()
}
