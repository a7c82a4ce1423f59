use std::process::ExitCode;

use miette::{Diagnostic, Report};

const FALLBACK_HELP: &str = "run the command with --help to see how it is used";

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked: exit code 0.
    Done,
    /// It worked, and the answer is no: exit code 1. The command has said why.
    Refused,
}

/// Turns the result of a command into an exit code, with an error's two lines on standard error.
pub fn run(result: miette::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => ExitCode::from(1),
        Err(report) => {
            eprintln!("{}", two_lines(&report));
            ExitCode::from(if is_refusal(&report) { 1 } else { 2 })
        }
    }
}

/// `error: …` with the causes joined by `: `, a line feed, `help: …`. Never more than two lines.
#[must_use]
pub fn two_lines(report: &Report) -> String {
    let causes: Vec<String> = report
        .chain()
        .map(|cause| one_line(&cause.to_string()))
        .collect();
    let help = first_help(report.as_ref()).unwrap_or_else(|| FALLBACK_HELP.to_owned());
    format!("error: {}\nhelp: {}", causes.join(": "), one_line(&help))
}

fn is_refusal(report: &Report) -> bool {
    report
        .code()
        .is_some_and(|code| code.to_string().starts_with("refused"))
}

/// The outermost help wins: it knows what the person was doing.
fn first_help(diagnostic: &dyn Diagnostic) -> Option<String> {
    match diagnostic.help() {
        Some(help) => Some(help.to_string()),
        None => diagnostic.diagnostic_source().and_then(first_help),
    }
}

/// Libraries put line feeds into their messages (TOML parsers draw arrows): the lines become one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use thiserror::Error;

    #[derive(Debug, Error, Diagnostic)]
    #[error("cannot start on port {port}")]
    #[diagnostic(help("choose another port"))]
    struct CannotStart {
        port: u16,
        source: std::io::Error,
    }

    #[derive(Debug, Error, Diagnostic)]
    #[error("code refused")]
    #[diagnostic(code(refused::code_stale), help("show a fresh code"))]
    struct CodeRefused;

    #[derive(Debug, Error, Diagnostic)]
    #[error("cannot serve")]
    struct Wrapper {
        #[source]
        #[diagnostic_source]
        inner: CodeRefused,
    }

    #[derive(Debug, Error, Diagnostic)]
    #[error("many\n  lines\n")]
    struct ManyLines;

    #[test]
    fn an_error_is_one_line_with_its_causes_and_one_line_of_help() {
        let source = std::io::Error::other("address in use");
        let report = Report::new(CannotStart { port: 80, source });
        let text = "error: cannot start on port 80: address in use\nhelp: choose another port";
        assert_eq!(two_lines(&report), text);
    }

    #[test]
    fn the_help_of_a_cause_is_shown_when_the_outer_error_has_none() {
        let text = "error: cannot serve: code refused\nhelp: show a fresh code";
        assert_eq!(
            two_lines(&Report::new(Wrapper { inner: CodeRefused })),
            text
        );
    }

    #[test]
    fn a_message_of_many_lines_becomes_one() {
        let text = two_lines(&Report::new(ManyLines));
        assert_eq!(text, format!("error: many lines\nhelp: {FALLBACK_HELP}"));
    }

    #[test]
    fn a_refusal_exits_with_one_and_a_failure_with_two() {
        assert_eq!(run(Err(CodeRefused.into())), ExitCode::from(1));
        assert_eq!(run(Err(ManyLines.into())), ExitCode::from(2));
        assert_eq!(run(Ok(Outcome::Refused)), ExitCode::from(1));
        assert_eq!(run(Ok(Outcome::Done)), ExitCode::SUCCESS);
    }
}
