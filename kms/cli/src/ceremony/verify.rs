//! The audit of a bundle, offline.

use obol_console::{Outcome, utc_text};
use obol_kms_ceremony::{Report, RosterChain, verify as verify_bundle};
use obol_kms_registry::RosterHash;

use crate::ceremony::arguments::Verify;
use crate::ceremony::bundle::Folder;
use crate::ceremony::examine::ByRules;
use crate::failure::Failure;
use crate::failure::ceremony::NotAHash;

pub(super) fn verify(arguments: &Verify) -> Result<Outcome, Failure> {
    let Verify {
        bundle,
        roster,
        json,
    } = arguments;
    let pinned = roster.parse::<obol_kms_ceremony::Hash>();
    let pinned = RosterHash(pinned.map_err(|()| NotAHash(roster.clone()))?.0);
    let files = Folder::open(bundle).read()?;
    let changes: Vec<_> = (1..)
        .map_while(|number| files.get(&format!("rosters/{number}.change")).cloned())
        .collect();
    let first = files.get("rosters/0.toml").map_or(&[][..], Vec::as_slice);
    // Unreadable rosters are a problem of the report; waivers then count for nothing.
    let chain = RosterChain::read(first, &changes).ok();
    let examiner = ByRules {
        roster: chain.as_ref().map(RosterChain::in_force),
    };
    let report = verify_bundle(&files, pinned, &examiner);
    if *json {
        println!("{}", as_json(&report));
    } else {
        print(&report);
    }
    Ok(match report.problems.is_empty() {
        true => Outcome::Done,
        false => Outcome::Refused,
    })
}

fn print(report: &Report) {
    for (number, outcome) in report.outcomes.iter().enumerate() {
        println!("step {}", number + 1);
        for fact in &outcome.facts {
            println!("  {}: {}", fact.name.trim_start_matches("new "), fact.value);
        }
        for file in &outcome.files {
            println!("  {} {}", file.name, file.sha256);
        }
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

fn as_json(report: &Report) -> serde_json::Value {
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
    serde_json::json!({
        "holds": report.problems.is_empty(),
        "transcript": report.head.map(|head| head.to_string()),
        "approved_by": report.approved_by,
        "steps": steps.collect::<Vec<_>>(),
        "exceptions": exceptions.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
    })
}
