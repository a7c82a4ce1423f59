//! The procedure that people hold in their hands.

use obol_kms_registry::Roster;

use crate::hash::Hash;
use crate::plan::{Plan, Step};

/// Lines for what was not planned.
const EXCEPTION_LINES: usize = 8;

/// One numbered line.
struct Line {
    role: &'static str,
    does: String,
    expects: String,
}

/// The procedure as Markdown: numbered steps, who acts, what is read aloud, what must be seen, a
/// box to tick, and a sheet for exceptions.
#[must_use]
pub fn to_markdown(plan: &Plan, roster: &Roster) -> String {
    let mut text = format!("# {}\n\n", plan.title());
    for line in heading(plan, roster) {
        text += &format!("- {line}\n");
    }
    text += "\nRead aloud by the executor, followed by the witness on this sheet:\n\n";
    for line in plan.hash().words().to_string().lines() {
        text += &format!("    {line}\n");
    }
    text += "\n| no. | role | does or reads aloud | expected | done | time |\n";
    text += "|---|---|---|---|---|---|\n";
    for (number, line) in lines(plan).iter().enumerate() {
        let Line {
            role,
            does,
            expects,
        } = line;
        text += &format!("| {} | {role} | {does} | {expects} | [ ] | |\n", number + 1);
    }
    text += "\n## Exceptions\n\nWhatever happens that no line above says is typed as an exception, \
             and written here.\n\n| no. | what happened | time | initials |\n|---|---|---|---|\n";
    for number in 1..=EXCEPTION_LINES {
        text += &format!("| {number} | | | |\n");
    }
    text += "\n## Signatures\n\n| name | role | signature | date |\n|---|---|---|---|\n";
    for (name, role) in people(roster) {
        text += &format!("| {name} | {role} | | |\n");
    }
    text
}

/// The same as one HTML page to print, without scripts and without anything from elsewhere.
#[must_use]
pub fn to_html(plan: &Plan, roster: &Roster) -> String {
    let title = escaped(plan.title());
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>body{{font:11pt/1.4 sans-serif;margin:2cm}}table{{border-collapse:collapse;width:100%}}\
         td,th{{border:1px solid #000;padding:4pt;text-align:left;vertical-align:top}}\
         pre{{font-size:12pt}}tr{{break-inside:avoid}}</style>\n<h1>{title}</h1>\n<ul>\n"
    );
    for line in heading(plan, roster) {
        text += &format!("<li>{}</li>\n", escaped(&line));
    }
    text += "</ul>\n<p>Read aloud by the executor, followed by the witness on this sheet:</p>\n";
    text += &format!("<pre>{}</pre>\n", plan.hash().words());
    text += &table_head(&[
        "no.",
        "role",
        "does or reads aloud",
        "expected",
        "done",
        "time",
    ]);
    for (number, line) in lines(plan).iter().enumerate() {
        let number = (number + 1).to_string();
        text += &row(&[
            &number,
            line.role,
            &line.does,
            &line.expects,
            "\u{2610}",
            "",
        ]);
    }
    text += "</table>\n<h2>Exceptions</h2>\n";
    text += &table_head(&["no.", "what happened", "time", "initials"]);
    for number in 1..=EXCEPTION_LINES {
        text += &row(&[&number.to_string(), "", "", ""]);
    }
    text += "</table>\n<h2>Signatures</h2>\n";
    text += &table_head(&["name", "role", "signature", "date"]);
    for (name, role) in people(roster) {
        text += &row(&[name, role, "", ""]);
    }
    text += "</table>\n</html>\n";
    text
}

fn heading(plan: &Plan, roster: &Roster) -> Vec<String> {
    let environment = plan.environment();
    let needed = roster
        .ceremonies()
        .map_or(0, |some| some.needed(plan.act().kind()));
    let mut lines = vec![
        format!("act: {}", plan.act()),
        format!("plan: {}", plan.hash()),
        format!("roster: {}", roster.hash()),
        format!(
            "approvals needed: {needed} of {} officers",
            roster.officers().len()
        ),
        format!("program: {}", environment.tool),
        format!("PKCS#11 library: {}", environment.module),
    ];
    for token in &environment.tokens {
        lines.push(format!(
            "token {}: label {}, serial {}",
            token.name, token.label, token.serial
        ));
    }
    for (name, sha256) in plan.inputs() {
        lines.push(format!("file {name}: {sha256}"));
    }
    lines
}

fn lines(plan: &Plan) -> Vec<Line> {
    let line = |role, does: &str, expects: &str| Line {
        role,
        does: does.to_owned(),
        expects: expects.to_owned(),
    };
    let mut lines = vec![
        line(
            "executor",
            "reads the date and time of the machine aloud",
            "everybody agrees",
        ),
        line(
            "executor",
            "reads the words of the plan aloud",
            "the words above",
        ),
    ];
    for token in &plan.environment().tokens {
        let does = format!(
            "reads label and serial of token {} from its case",
            token.name
        );
        lines.push(line(
            "executor",
            &does,
            &format!("{} {}", token.label, token.serial),
        ));
    }
    for (name, sha256) in plan.inputs() {
        let does =
            format!("whoever brought {name} reads the words of its hash from their own copy");
        lines.push(line("executor", &does, &words_in_line(*sha256)));
    }
    lines.push(line(
        "executor",
        "starts `obol-kms ceremony run`",
        "the approvals are counted",
    ));
    for token in &plan.environment().tokens {
        let does = format!(
            "enters the PIN of token {}, or its holders enter their shares",
            token.name
        );
        lines.push(line("executor", &does, "the token opens at the first try"));
    }
    for step in plan.steps() {
        let (does, expects) = to_sentence(step);
        lines.push(line("executor", &does, &expects));
        lines.push(line(
            "witness",
            "compares the screen with this sheet and initials",
            "the step is recorded",
        ));
    }
    lines.push(line(
        "executor",
        "reads the words of the transcript's last hash aloud",
        "both write them here",
    ));
    lines.push(line(
        "witness",
        "runs `obol-kms ceremony verify` on the bundle",
        "no problem",
    ));
    lines
}

/// A step in words: what is done, and what is to be seen.
#[must_use]
pub fn to_sentence(step: &Step) -> (String, String) {
    match step {
        Step::GenerateKey(step) => (
            format!(
                "generates a {} key {} in token {}",
                step.curve.name(),
                step.label,
                step.token
            ),
            "one new key, not extractable; its SPKI id is read aloud".to_owned(),
        ),
        Step::CertifyRoot(step) => (
            format!(
                "has key {} sign its own certificate, {} days",
                step.key, step.days
            ),
            format!("{} for {}, no lint finding", step.out, step.common_name),
        ),
        Step::CertifyAccessCa(step) => (
            format!(
                "certifies the access CA of {} for {} days",
                step.request, step.days
            ),
            format!("{} for {}, no lint finding", step.out, step.common_name),
        ),
        Step::CertifyIssuer(step) => (
            format!(
                "certifies the issuer of {} for operator {}, classes {:?}, {} days",
                step.request, step.operator, step.classes, step.days
            ),
            format!("{} for {}, no lint finding", step.out, step.common_name),
        ),
        Step::Request(step) => (
            format!("has key {} ask for its certificate", step.key),
            format!(
                "{} for {}; the words of its hash are read aloud",
                step.out, step.common_name
            ),
        ),
        Step::Install(step) => (
            format!(
                "compares {} with key {} and request {}",
                step.certificate, step.key, step.request
            ),
            format!("{}, signed by {}", step.out, step.ca),
        ),
        Step::IssueCrl(step) => (
            format!(
                "signs the next revocation list with {} new entries ({})",
                step.revoke.len(),
                step.revoke.join(", ")
            ),
            format!("{}, no lint finding", step.out),
        ),
        Step::SignTuf(step) => (
            format!(
                "signs {} as TUF {} with key {}",
                step.metadata,
                step.role.name(),
                step.key
            ),
            format!("{}; version and expiry are read aloud", step.out),
        ),
        Step::DestroyKey(step) => (
            format!("destroys key {} ({}): {}", step.key, step.spki, step.reason),
            "the token has no such key".to_owned(),
        ),
        Step::ReplaceRoster(step) => (
            format!("reads the names of {} aloud", step.next),
            format!(
                "{}; the words of the new roster's hash are read aloud",
                step.out
            ),
        ),
    }
}

fn people(roster: &Roster) -> Vec<(&str, &'static str)> {
    let officers = roster.officers().iter().map(|one| (one.name(), "officer"));
    let witnesses = roster
        .ceremonies()
        .into_iter()
        .flat_map(|some| some.witnesses());
    officers
        .chain(witnesses.map(|one| (one.name(), "witness")))
        .collect()
}

fn words_in_line(hash: Hash) -> String {
    hash.words().to_string().replace('\n', " ")
}

fn table_head(names: &[&str]) -> String {
    let cells: String = names
        .iter()
        .map(|name| format!("<th>{name}</th>"))
        .collect();
    format!("<table>\n<tr>{cells}</tr>\n")
}

fn row(cells: &[&str]) -> String {
    let cells: String = cells
        .iter()
        .map(|cell| format!("<td>{}</td>", escaped(cell)))
        .collect();
    format!("<tr>{cells}</tr>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
