//! The audit of a bundle, offline.

use std::path::Path;

use obol_console::{Outcome, utc_text};
use obol_kms_ceremony::{
    AuditSpan, Bundle, Hash, Mode, Report, RosterChain, verify as verify_bundle,
};
use obol_kms_registry::RosterHash;

use crate::ceremony::arguments::Verify;
use crate::ceremony::bundle::Folder;
use crate::ceremony::examine::ByRules;
use crate::failure::Failure;
use crate::failure::ceremony::NotAHash;

/// A bundle, and what was found in it.
struct Audited<'a> {
    path: &'a Path,
    files: Bundle,
    report: Report,
}

pub(super) fn verify(arguments: &Verify) -> Result<Outcome, Failure> {
    let Verify {
        bundle,
        roster,
        json,
    } = arguments;
    let pinned = roster.parse::<Hash>();
    let pinned = RosterHash(pinned.map_err(|()| NotAHash(roster.clone()))?.0);
    let audited: Result<Vec<_>, Failure> = bundle.iter().map(|one| audit(one, pinned)).collect();
    let audited = audited?;
    for one in &audited {
        let inputs = inputs(one, &audited);
        if *json {
            println!("{}", as_json(one, &inputs));
        } else {
            print(one, &inputs, audited.len());
        }
    }
    let refused = audited.iter().filter(|one| !one.report.problems.is_empty());
    let (refused, all) = (refused.count(), audited.len());
    match (refused, all) {
        _ if *json || all == 1 => {}
        (0, _) => println!("all {all} bundles hold"),
        (1, _) => println!("1 of {all} bundles proves nothing"),
        _ => println!("{refused} of {all} bundles prove nothing"),
    }
    Ok(match refused {
        0 => Outcome::Done,
        _ => Outcome::Refused,
    })
}

fn audit(path: &Path, pinned: RosterHash) -> Result<Audited<'_>, Failure> {
    let files = Folder::open(path).read()?;
    let changes: Vec<_> = (1..)
        .map_while(|number| files.get(&format!("rosters/{number}.change")).cloned())
        .collect();
    let first = files.get("rosters/0.toml").map_or(&[][..], Vec::as_slice);
    // Unreadable rosters are a problem of the report; waivers then count for nothing.
    let chain = RosterChain::read(first, &changes).ok();
    let examiner = ByRules {
        roster: chain.as_ref().map(RosterChain::in_force),
        mode: Mode::Ceremony,
    };
    let report = verify_bundle(&files, pinned, &examiner);
    Ok(Audited {
        path,
        files,
        report,
    })
}

/// Each file that a ceremony was given, and in which of the bundles one of its name and content was
/// made.
fn inputs<'a>(one: &'a Audited<'_>, all: &'a [Audited<'_>]) -> Vec<(&'a str, Option<&'a Path>)> {
    let given = one
        .files
        .iter()
        .filter_map(|(name, bytes)| Some((name.strip_prefix("inputs/")?, bytes)));
    given
        .map(|(name, bytes)| {
            let made = all.iter().find(|other| {
                let output = other.files.get(&format!("outputs/{name}"));
                output.is_some_and(|made| made == bytes)
            });
            (name, made.map(|other| other.path))
        })
        .collect()
}

fn print(one: &Audited<'_>, inputs: &[(&str, Option<&Path>)], bundles: usize) {
    let Audited { path, report, .. } = one;
    if bundles > 1 {
        println!("bundle {}", path.display());
        for (name, made) in inputs {
            match made {
                Some(path) => println!("input {name} was made in {}", path.display()),
                None => println!("input {name} was made in none of these bundles"),
            }
        }
    }
    for (number, outcome) in report.outcomes.iter().enumerate() {
        println!("step {}", number + 1);
        for fact in &outcome.facts {
            println!("  {}: {}", fact.name.trim_start_matches("new "), fact.value);
        }
        for file in &outcome.files {
            println!("  {} {}", file.name, file.sha256);
        }
    }
    for (name, count) in &report.tokens {
        println!("token {name}: {count} ceremonies before this one");
    }
    if let Some(log) = &report.audit {
        let AuditSpan {
            origin,
            before,
            after,
        } = log;
        println!("audit log {origin}: {before} entries before, {after} after");
    }
    for (time, text) in &report.exceptions {
        println!("exception {}: {text}", utc_text(time.0));
    }
    if !report.approved_by.is_empty() {
        println!("approved by {}", report.approved_by.join(", "));
    }
    for problem in &report.problems {
        println!(
            "PROBLEM {} in {}: {}",
            problem.code, problem.place, problem.what
        );
    }
    match (report.problems.len(), report.head) {
        (0, Some(head)) => super::say("holds: transcript", head),
        (count, _) => println!("{count} problems: this bundle proves nothing"),
    }
}

fn as_json(one: &Audited<'_>, inputs: &[(&str, Option<&Path>)]) -> serde_json::Value {
    let Audited { path, report, .. } = one;
    let inputs = inputs
        .iter()
        .map(|(name, made)| serde_json::json!({ "name": name, "made_in": made }));
    let problems = report
        .problems
        .iter()
        .map(|one| serde_json::json!({ "code": one.code, "place": one.place, "what": one.what }));
    let exceptions = report.exceptions.iter();
    let exceptions =
        exceptions.map(|(time, text)| serde_json::json!({ "time": time.0, "text": text }));
    let steps = report.outcomes.iter().map(|outcome| {
        let facts = outcome
            .facts
            .iter()
            .map(|fact| (fact.name.clone(), fact.value.clone().into()));
        serde_json::Value::Object(facts.collect())
    });
    let tokens = report.tokens.iter();
    let tokens = tokens.map(|(name, count)| (name.clone(), (*count).into()));
    let audit = report.audit.as_ref().map(
        |log| serde_json::json!({ "origin": log.origin, "before": log.before, "after": log.after }),
    );
    serde_json::json!({
        "bundle": path,
        "inputs": inputs.collect::<Vec<_>>(),
        "holds": report.problems.is_empty(),
        "transcript": report.head.map(|head| head.to_string()),
        "approved_by": report.approved_by,
        "tokens": tokens.collect::<serde_json::Map<_, _>>(),
        "audit": audit,
        "steps": steps.collect::<Vec<_>>(),
        "exceptions": exceptions.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
    })
}
