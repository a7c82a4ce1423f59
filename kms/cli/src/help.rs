//! The help of every command, as a contract: the committed text, examples, `--json`.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};

use crate::arguments::Arguments;

/// They answer with a running process, for people alone, or with lines for another file.
const WITHOUT_JSON: [&str; 3] = [
    "obol-kms serve",
    "obol-kms check-config",
    "obol-kms rotation draft",
];
/// People sit before these, ask and answer; what a machine may want of them stands in the bundle.
const WITH_PEOPLE: &str = "obol-kms ceremony ";
const FOR_AUDITORS: &str = "obol-kms ceremony verify";

/// Every command that does something, with its full name.
fn leaves(command: &Command, name: &str, found: &mut Vec<(String, Command)>) {
    let visible = command.get_subcommands().filter(|one| !one.is_hide_set());
    let mut any = false;
    for one in visible.filter(|one| one.get_name() != "help") {
        any = true;
        leaves(one, &format!("{name} {}", one.get_name()), found);
    }
    if !any {
        found.push((name.to_owned(), command.clone()));
    }
}

fn commands() -> Vec<(String, Command)> {
    let mut found = Vec::new();
    leaves(&Arguments::command(), "obol-kms", &mut found);
    found
}

#[test]
fn the_help_of_every_command_is_the_committed_one() {
    let mut text = String::new();
    for (name, command) in commands() {
        let help = command.bin_name(name.clone()).render_long_help();
        writeln!(text, "$ {name} --help\n{help}").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("help.txt");
    if std::env::var_os("OBOL_WRITE_HELP").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    for (number, (found, committed)) in text.lines().zip(committed.lines()).enumerate() {
        assert_eq!(
            found,
            committed,
            "kms/cli/help.txt, line {}; OBOL_WRITE_HELP=1 writes it",
            number + 1
        );
    }
    assert_eq!(text.lines().count(), committed.lines().count());
}

#[test]
fn every_command_has_an_example_that_parses_and_a_form_for_machines() {
    for (name, command) in commands() {
        let after = command
            .get_after_help()
            .unwrap_or_else(|| panic!("{name} has no example"))
            .to_string();
        assert!(after.contains("Example"), "{name} has no example");
        for example in examples(&after) {
            let parsed = Arguments::command().try_get_matches_from(words(&example));
            parsed.unwrap_or_else(|error| panic!("{name}: {example}\n{error}"));
        }
        let json = command.get_arguments().any(|one| one.get_id() == "json");
        let for_people = name.starts_with(WITH_PEOPLE) && name != FOR_AUDITORS;
        assert!(
            json || for_people || WITHOUT_JSON.contains(&name.as_str()),
            "{name} has no --json"
        );
    }
}

/// Lines that begin with the command's name, continued ones joined.
fn examples(after_help: &str) -> Vec<String> {
    let joined = after_help.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with("obol-kms "))
        .map(|line| line.replace("SPKI", &"ab".repeat(32)))
        .collect()
}

/// As a shell splits them, up to a redirection: quotes, and variables, which stand for keys.
fn words(line: &str) -> Vec<String> {
    let line = line.split(" > ").next().unwrap_or(line);
    let line = line.split(" >> ").next().unwrap_or(line);
    let mut words = vec![String::new()];
    let mut quoted = None;
    for letter in line.chars() {
        match (letter, quoted) {
            ('\'' | '"', None) => quoted = Some(letter),
            (other, Some(quote)) if other == quote => quoted = None,
            (' ', None) => words.push(String::new()),
            (other, _) => words.last_mut().unwrap().push(other),
        }
    }
    let known = |word: String| match word.as_str() {
        "$LOG_KEY" => LOG_KEY.to_owned(),
        "$WITNESS_KEY" => WITNESS_KEY.to_owned(),
        _ => word,
    };
    let words = words.into_iter().filter(|word| !word.is_empty());
    words.map(known).collect()
}

/// Keys of public logs, as `tests/vectors/log/notes.json` has them.
const LOG_KEY: &str = "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U\
                       1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc=";
const WITNESS_KEY: &str = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
