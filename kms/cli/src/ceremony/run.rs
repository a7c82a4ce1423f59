//! Rehearsals, ceremonies, and what goes on after an interruption.

use std::path::{Path, PathBuf};

use obol_console::{Outcome as Ended, read_limited, utc_text};
use obol_kms_ceremony::{
    APPROVAL_MAX, Approval, Approved, BUNDLE_FILE_MAX, Bundle, CeremonyId, Content, Examiner, Hash,
    Mode, Next, Opened, Outcome, PLAN_MAX, Plan, Rehearsed, RosterChain, Shown, Step,
    TRANSCRIPT_MAX, Transcript, authorise, differences, to_sentence,
};

use crate::ceremony::arguments::{Rehearse, Resume, Run};
use crate::ceremony::around::{self, AuditLog};
use crate::ceremony::bundle::{Folder, hashes, rosters};
use crate::ceremony::examine::{ByRules, rules};
use crate::ceremony::hall::{People, RECORD_PREFIX, Tokens, checked_tool, now};
use crate::ceremony::stand_in::StandIns;
use crate::ceremony::steps::Stage;
use crate::ceremony::{asked, say};
use crate::failure::Failure;
use crate::failure::ceremony::{
    ClockBack, IdUsed, LastMissing, NotExamined, NotHere, NotInBundle, NotTheInput,
    OtherEnvironment, RehearsalInterrupted, Unplanned, WaiverRefused,
};

const PLAN: &str = "plan.toml";
const REHEARSAL: &str = "rehearsal.transcript";
const LAST: &str = "last.transcript";

/// What is read and checked before any token is touched.
struct Prepared {
    plan: Plan,
    rosters: RosterChain,
    files: Bundle,
}

pub(super) fn rehearse(arguments: &Rehearse) -> Result<Ended, Failure> {
    let Rehearse {
        plan,
        rosters,
        inputs,
        last,
        present,
        out,
    } = arguments;
    must_not_exist(out)?;
    let prepared = prepare(
        plan,
        self::rosters(rosters)?,
        inputs.as_deref(),
        last.as_deref(),
    )?;
    let tool = checked_tool(&prepared.plan)?;
    let people = People::of(present, prepared.rosters.in_force())?;
    let first = prepared.rosters.first().clone();
    let tokens = Tokens::open(&prepared.plan, present, Mode::Rehearsal, &first)?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(no_random)?;
    let opened = opening(
        &prepared,
        Mode::Rehearsal,
        tool,
        Hash([0; 32]),
        &tokens,
        &people,
    );
    let roster = prepared.rosters.in_force();
    let draft = Transcript::rehearse(CeremonyId(id), roster, opened, now())?;
    let (executor, witness) = people.sign(draft.to_sign());
    let (transcript, event) = Transcript::begin(draft, executor, witness)?;
    let folder = Folder::create(out, &prepared.files)?;
    folder.begin_transcript(&event)?;
    let around = AuditLog::none();
    go_on(&prepared, folder, transcript, &tokens, &people, &around)
}

pub(super) fn run(arguments: &Run) -> Result<Ended, Failure> {
    let Run {
        plan,
        rosters,
        rehearsal,
        approval,
        inputs,
        last,
        audit_log,
        present,
        out,
    } = arguments;
    must_not_exist(out)?;
    let mut prepared = prepare(
        plan,
        self::rosters(rosters)?,
        inputs.as_deref(),
        last.as_deref(),
    )?;
    let tool = checked_tool(&prepared.plan)?;
    let log_plan = prepared.plan.clone();
    let log = AuditLog::of(&log_plan, audit_log.as_ref())?;
    let rehearsed = read_rehearsal(&mut prepared, rehearsal)?;
    let approved = read_approvals(&mut prepared, &rehearsed, approval)?;
    if now() < rehearsed.ended() {
        let (now, last) = (now(), rehearsed.ended());
        return Err(ClockBack { now, last }.into());
    }
    let people = People::of(present, prepared.rosters.in_force())?;
    let first = prepared.rosters.first().clone();
    let tokens = Tokens::open(&prepared.plan, present, Mode::Ceremony, &first)?;
    let record = record_name(approved.id());
    for token in tokens.all() {
        if token.recorded(&record)?.is_some() {
            return Err(IdUsed(approved.id().to_string()).into());
        }
    }
    show(&prepared.plan, &approved);
    asked::confirmed(&format!(
        "This machine's clock says {}. Is that right?",
        utc_text(now().0)
    ))?;
    around::before(&log_plan, &tokens, &log, &mut prepared.files)?;
    let head = rehearsed.head();
    let opened = opening(&prepared, Mode::Ceremony, tool, head, &tokens, &people);
    let draft = Transcript::open(&approved, prepared.rosters.in_force(), opened, now())?;
    let (executor, witness) = people.sign(draft.to_sign());
    let (transcript, event) = Transcript::begin(draft, executor, witness)?;
    let folder = Folder::create(out, &prepared.files)?;
    folder.begin_transcript(&event)?;
    mark(&tokens, &transcript)?;
    go_on(&prepared, folder, transcript, &tokens, &people, &log)
}

pub(super) fn resume(arguments: &Resume) -> Result<Ended, Failure> {
    let Resume {
        bundle,
        audit_log,
        present,
    } = arguments;
    let folder = Folder::open(bundle);
    let mut files = folder.read()?;
    let mut transcript = folder.recover_transcript()?;
    let opened = transcript.opened().clone();
    if opened.mode == Mode::Rehearsal {
        return Err(RehearsalInterrupted.into());
    }
    // Only what the ceremony began with, and exactly that.
    files.retain(|name, _| opened.files.iter().any(|file| file.name == *name));
    if hashes(&files) != opened.files {
        return Err(NotHere(bundle.clone()).into());
    }
    let plan = Plan::parse(files.get(PLAN).ok_or(NotInBundle(PLAN))?)?;
    let changes: Vec<_> = (1..)
        .map_while(|number| files.get(&format!("rosters/{number}.change")).cloned())
        .collect();
    let first = files.get("rosters/0.toml");
    let first = first.ok_or(NotInBundle("rosters/0.toml"))?;
    let rosters = RosterChain::read(first, &changes)?;
    if transcript.next(plan.steps().len()) == Next::Over {
        println!("the ceremony is closed");
        return Ok(Ended::Done);
    }
    if now() < transcript.last_time() {
        let (now, last) = (now(), transcript.last_time());
        return Err(ClockBack { now, last }.into());
    }
    folder.remove_unfinished()?;
    let tool = checked_tool(&plan)?;
    let log_plan = plan.clone();
    let log = AuditLog::of(&log_plan, audit_log.as_ref())?;
    let people = People::of(present, rosters.in_force())?;
    let tokens = Tokens::open(&plan, present, opened.mode, rosters.first())?;
    if tokens.serials != opened.serials || tokens.module != opened.module {
        let (what, found, wanted) = ("PKCS#11 library or token", tokens.module, opened.module);
        return Err(OtherEnvironment {
            what,
            found,
            wanted,
        }
        .into());
    }
    mark(&tokens, &transcript)?;
    let (executor, witness) = people.keys();
    let content = Content::Resumed {
        tool,
        module: tokens.module,
        executor,
        witness,
    };
    // From here on these two sign, this event included.
    people.record(&mut transcript, &folder, content)?;
    let prepared = Prepared {
        plan,
        rosters,
        files,
    };
    go_on(&prepared, folder, transcript, &tokens, &people, &log)
}

fn go_on(
    prepared: &Prepared,
    folder: Folder,
    mut transcript: Transcript,
    tokens: &Tokens,
    people: &People,
    log: &AuditLog<'_>,
) -> Result<Ended, Failure> {
    let Prepared {
        plan,
        rosters,
        files,
    } = prepared;
    let opened = transcript.opened().clone();
    let waivers = plan
        .waivers()
        .and_then(|name| files.get(&format!("inputs/{name}")));
    let rules = rules(Some(rosters.in_force()), waivers.map(Vec::as_slice), now())
        .map_err(WaiverRefused)?;
    let input = |name: &str| folder.file(&format!("inputs/{name}"));
    let stand_ins = match opened.mode {
        Mode::Rehearsal => StandIns::make(plan, tokens, &input)?,
        Mode::Ceremony => StandIns::default(),
    };
    let stage = Stage {
        plan,
        mode: opened.mode,
        tokens,
        folder: &folder,
        rules,
        stand_ins,
        approvals: approvals_of(files)?,
        rehearsal: opened.rehearsal,
        plan_file: files.get(PLAN).cloned().ok_or(NotInBundle(PLAN))?,
    };
    let examiner = ByRules {
        roster: Some(rosters.in_force()),
        mode: opened.mode,
    };
    loop {
        match transcript.next(plan.steps().len()) {
            Next::Begin(number) => {
                let step = &plan.steps()[number as usize];
                announce(plan, number, step);
                stage.ready(step)?;
                people.initial(&mut transcript, &folder)?;
                people.record(&mut transcript, &folder, Content::Begun { step: number })?;
                let outcome = stage.perform(step)?;
                finish(&stage, &examiner, people, &mut transcript, number, outcome)?;
            }
            Next::Finish(number) => {
                let step = &plan.steps()[number as usize];
                announce(plan, number, step);
                let outcome = match stage.adopt(step)? {
                    Some(outcome) => {
                        let text = "the step was done when the ceremony was interrupted".to_owned();
                        people.record(&mut transcript, &folder, Content::Exception { text })?;
                        outcome
                    }
                    None => {
                        let text = "the step had begun when the ceremony was interrupted; \
                                    it is done again"
                            .to_owned();
                        people.record(&mut transcript, &folder, Content::Exception { text })?;
                        people.initial(&mut transcript, &folder)?;
                        stage.perform(step)?
                    }
                };
                finish(&stage, &examiner, people, &mut transcript, number, outcome)?;
            }
            Next::Close => {
                check_changes(plan, files, &transcript)?;
                let mut outputs = outputs_of(&transcript, plan);
                if opened.mode == Mode::Ceremony {
                    let ending = around::after(plan, tokens, log, files, &transcript)?;
                    for (name, bytes) in &ending {
                        folder.ending(name, bytes)?;
                    }
                    outputs.extend(hashes(&ending));
                    outputs.sort();
                }
                people.record(&mut transcript, &folder, Content::Closed { files: outputs })?;
            }
            Next::Over => break,
        }
    }
    say("transcript", transcript.head());
    Ok(Ended::Done)
}

/// A step's assertions after it, by the same rules as an auditor's; then it is recorded as done.
fn finish(
    stage: &Stage<'_>,
    examiner: &ByRules<'_>,
    people: &People,
    transcript: &mut Transcript,
    number: u32,
    outcome: Outcome,
) -> Result<(), Failure> {
    let file = |name: &str| stage.input(name).ok();
    let before = (0..number).filter_map(|step| transcript.outcome(step));
    let outcomes: Vec<_> = before.chain([&outcome]).collect();
    let done = now();
    let shown = Shown {
        plan: stage.plan,
        number: number as usize,
        outcomes: &outcomes,
        file: &file,
        begun: transcript.begun(number).unwrap_or(done),
        done,
    };
    examiner.examine(&shown).map_err(|what| NotExamined {
        step: number + 1,
        what,
    })?;
    for fact in &outcome.facts {
        eprintln!("  {}: {}", fact.name.trim_start_matches("new "), fact.value);
    }
    for file in &outcome.files {
        eprintln!("  wrote {} {}", file.name, file.sha256);
    }
    let content = Content::Done {
        step: number,
        outcome,
    };
    people.initial(transcript, stage.folder)?;
    people.record(transcript, stage.folder, content)
}

fn prepare(
    plan: &Path,
    (rosters, mut files): (RosterChain, Bundle),
    inputs: Option<&Path>,
    last: Option<&Path>,
) -> Result<Prepared, Failure> {
    let bytes = read_limited(plan, PLAN_MAX)?;
    let parsed = Plan::parse(&bytes)?;
    let beside = plan.parent().unwrap_or_else(|| Path::new("."));
    let folder = inputs.unwrap_or(beside);
    for (name, sha256) in parsed.inputs() {
        let path = folder.join(name);
        let content = read_limited(&path, BUNDLE_FILE_MAX)?;
        let (found, wanted) = (Hash::of(&content), *sha256);
        if found != wanted {
            return Err(NotTheInput {
                path,
                found,
                wanted,
            }
            .into());
        }
        files.insert(format!("inputs/{name}"), content);
    }
    if let Some(waivers) = parsed.waivers() {
        let text = files.get(&format!("inputs/{waivers}")).map(Vec::as_slice);
        rules(Some(rosters.in_force()), text, now()).map_err(WaiverRefused)?;
    }
    if let Some((since, _)) = parsed.changes() {
        let path = last.ok_or(LastMissing(since))?.join("transcript");
        let bytes = read_limited(&path, TRANSCRIPT_MAX)?;
        if Transcript::read(&bytes)?.head() != since {
            return Err(LastMissing(since).into());
        }
        files.insert(LAST.to_owned(), bytes);
    }
    files.insert(PLAN.to_owned(), bytes);
    Ok(Prepared {
        plan: parsed,
        rosters,
        files,
    })
}

fn opening(
    prepared: &Prepared,
    mode: Mode,
    tool: Hash,
    rehearsal: Hash,
    tokens: &Tokens,
    people: &People,
) -> Opened {
    let (executor, witness) = people.keys();
    Opened {
        mode,
        plan: prepared.plan.hash(),
        roster: prepared.rosters.in_force().hash(),
        tool,
        module: tokens.module,
        serials: tokens.serials.clone(),
        rehearsal,
        executor,
        witness,
        files: hashes(&prepared.files),
    }
}

fn read_rehearsal(prepared: &mut Prepared, folder: &Path) -> Result<Rehearsed, Failure> {
    let bytes = read_limited(&folder.join("transcript"), TRANSCRIPT_MAX)?;
    let rehearsed = Rehearsed::read(&prepared.plan, prepared.rosters.in_force(), &bytes)?;
    prepared.files.insert(REHEARSAL.to_owned(), bytes);
    Ok(rehearsed)
}

fn read_approvals(
    prepared: &mut Prepared,
    rehearsed: &Rehearsed,
    paths: &[PathBuf],
) -> Result<Approved, Failure> {
    let roster = prepared.rosters.in_force().clone();
    let mut approvals = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let bytes = read_limited(path, APPROVAL_MAX)?;
        let approval = Approval::decode(&bytes).map_err(|source| {
            let path = path.clone();
            crate::failure::registry::NotAnApproval { path, source }
        })?;
        let officer = roster
            .officer(approval.officer())
            .map(|one| one.name().to_owned());
        let name = officer.unwrap_or_else(|| number.to_string());
        prepared
            .files
            .insert(format!("approvals/{name}.approval"), bytes);
        approvals.push(approval);
    }
    Ok(authorise(
        &roster,
        &prepared.plan,
        rehearsed,
        &approvals,
        now(),
    )?)
}

fn approvals_of(files: &Bundle) -> Result<Vec<Approval>, Failure> {
    let mut approvals = Vec::new();
    for (name, bytes) in files
        .iter()
        .filter(|(name, _)| name.starts_with("approvals/"))
    {
        let approval = Approval::decode(bytes).map_err(|source| {
            let path = PathBuf::from(name);
            crate::failure::registry::NotAnApproval { path, source }
        })?;
        approvals.push(approval);
    }
    Ok(approvals)
}

/// Writes the ceremony's id into each token, so that it runs once; after an interruption the id
/// must be this ceremony's.
fn mark(tokens: &Tokens, transcript: &Transcript) -> Result<(), Failure> {
    let (record, opening) = (record_name(transcript.id()), transcript.opening());
    for token in tokens.all() {
        match token.recorded(&record)? {
            None => token.record(&record, &opening.0)?,
            Some(value) if value == opening.0 => {}
            Some(_) => return Err(IdUsed(transcript.id().to_string()).into()),
        }
    }
    Ok(())
}

fn record_name(id: CeremonyId) -> String {
    format!("{RECORD_PREFIX}{id}")
}

/// Facts that differ from the last ceremony of the kind are shown, and must be the plan's.
fn check_changes(plan: &Plan, files: &Bundle, transcript: &Transcript) -> Result<(), Failure> {
    let (Some((_, allowed)), Some(last)) = (plan.changes(), files.get(LAST)) else {
        return Ok(());
    };
    let last = Transcript::read(last)?;
    let mut refused = Vec::new();
    for one in differences(&last, transcript) {
        let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        eprintln!(
            "differs: {}: {} was {}",
            one.name,
            show(&one.this),
            show(&one.last)
        );
        if !allowed.contains(&one.name) {
            refused.push(one.name);
        }
    }
    match refused.is_empty() {
        true => Ok(()),
        false => Err(Unplanned(refused.join(", ")).into()),
    }
}

fn outputs_of(transcript: &Transcript, plan: &Plan) -> Vec<obol_kms_ceremony::FileHash> {
    let steps = 0..plan.steps().len() as u32;
    let mut files: Vec<_> = steps
        .filter_map(|step| transcript.outcome(step))
        .flat_map(|outcome| outcome.files.clone())
        .collect();
    files.sort();
    files
}

fn show(plan: &Plan, approved: &Approved) {
    println!("{} ({})", plan.title(), plan.act());
    say("plan", plan.hash());
    println!("ceremony {}", approved.id());
    println!("approved by {}", approved.officers().join(", "));
}

fn announce(plan: &Plan, number: u32, step: &Step) {
    let (does, expects) = to_sentence(step);
    eprintln!("\nstep {} of {}: {does}", number + 1, plan.steps().len());
    eprintln!("  expected: {expects}");
}

fn must_not_exist(path: &Path) -> Result<(), Failure> {
    crate::output::must_be_free(path)
}

fn no_random(error: getrandom::Error) -> Failure {
    Failure::with_help(error, "the system's random generator does not answer")
}
