//! The shipped configuration files, as the shipped daemons read them: every key that a daemon knows
//! stands in its file, and each that has a default stands at it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{binaries, repository, said};

/// A daemon and its file.
struct Manual {
    daemon: &'static str,
    file: &'static str,
    /// Keys that may be left out and then mean something else than what stands there; each says
    /// so in its comment.
    beside: &'static [&'static str],
    /// Lines that what is commented out takes the place of.
    instead: &'static [&'static str],
}

const MANUALS: [Manual; 3] = [
    Manual {
        daemon: "obol-issuer",
        file: "issuer/issuer.toml",
        beside: &[],
        instead: &[],
    },
    Manual {
        daemon: "obol-kms",
        file: "deploy/kms.toml",
        beside: &["socket_mode", "policy", "metrics", "name", "key"],
        instead: &[],
    },
    Manual {
        daemon: "obol-platform",
        file: "platform/platform.toml",
        beside: &["crl"],
        instead: &["url = \"https://localhost:8443\""],
    },
];

/// Keys of public logs, as `tests/vectors/log/notes.json` has them.
const LOG_KEY: &str = "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U\
                       1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc=";
const WITNESS_KEY: &str = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";

/// A line `name = value`, commented out or not.
fn key_of(line: &str) -> Option<&str> {
    let (name, _) = line.split_once(" = ")?;
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    name.bytes().all(plain).then_some(name)
}

/// The name in `[name]` or `[[name]]`.
fn table_of(line: &str) -> Option<&str> {
    let name = line.strip_prefix('[')?.split(']').next()?;
    Some(name.trim_start_matches('['))
}

/// The file with every key and table that is commented out put in force.
fn in_force(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let rest = line.strip_prefix('#').unwrap_or(line);
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let rest = match key_of(rest).or_else(|| table_of(rest)) {
            Some(_) => rest,
            None => line,
        };
        rest.replace("LOGKEY", LOG_KEY)
            .replace("NAME+KEYID+BASE64", WITNESS_KEY)
            .replace("\"SPKI\"", &format!("\"{}\"", "a5".repeat(32)))
    };
    text.lines().map(line).collect()
}

/// A folder with one configuration, read by its daemon.
struct Reader {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Reader {
    fn new(daemon: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let templates = repository().join("policies/credentials/metro.toml");
        fs::copy(templates, folder.path().join("credentials.toml")).unwrap();
        let program = binaries().join(daemon);
        Self { folder, program }
    }

    fn check(&self, lines: &[String]) -> Output {
        let config = self.folder.path().join("daemon.toml");
        fs::write(&config, lines.join("\n")).unwrap();
        let mut command = Command::new(&self.program);
        command.args(["check-config", "--config"]).arg(config);
        command.output().unwrap()
    }

    /// What is in force.
    fn accept(&self, lines: &[String]) -> Vec<u8> {
        let output = self.check(lines);
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    }
}

/// Every key of the file, and what may stand there together.
fn lines_of(manual: &Manual) -> (Vec<String>, Vec<String>) {
    let path: &Path = manual.file.as_ref();
    let every = in_force(&fs::read_to_string(repository().join(path)).unwrap());
    let mut together = every.clone();
    for instead in manual.instead {
        let found = together.iter_mut().find(|line| line == instead);
        found.unwrap_or_else(|| panic!("{instead}")).clear();
    }
    (every, together)
}

/// The keys and tables below each table, `""` being the file itself, and the line behind its header.
fn keys_by_table(lines: &[String]) -> BTreeMap<String, (usize, BTreeSet<String>)> {
    let mut tables = BTreeMap::from([(String::new(), (0, BTreeSet::new()))]);
    let mut current = String::new();
    let mut another = false;
    for (at, line) in lines.iter().enumerate() {
        if let Some(name) = table_of(line) {
            let (above, last) = name.rsplit_once('.').unwrap_or(("", name));
            tables.get_mut(above).unwrap().1.insert(last.to_owned());
            current = name.to_owned();
            // Of `[[name]]` there may be several, of the same keys.
            another = line.starts_with("[[") && tables.contains_key(name);
            if !another {
                let new = (at + 1, BTreeSet::new());
                let before = tables.insert(current.clone(), new);
                assert!(before.is_none(), "{current} stands twice");
            }
        } else if let Some(key) = key_of(line) {
            let keys = &mut tables.get_mut(&current).unwrap().1;
            assert_ne!(keys.insert(key.to_owned()), another, "{current}: {key}");
        }
    }
    tables
}

/// The names that the parser would have taken: "unknown field `x`, expected one of `a`, `b`".
fn known_keys(refusal: &str) -> BTreeSet<String> {
    let (_, expected) = refusal
        .split_once("unknown field `surely_unknown`, ")
        .unwrap();
    let expected = expected.lines().next().unwrap();
    let quoted = expected.split('`').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

#[test]
fn every_key_that_a_daemon_knows_stands_in_its_shipped_file_and_no_other() {
    for manual in &MANUALS {
        let (reader, (every, together)) = (Reader::new(manual.daemon), lines_of(manual));
        reader.accept(&together);
        for (table, (at, keys)) in keys_by_table(&every) {
            let mut wrong = together.clone();
            wrong.insert(at, "surely_unknown = 1".to_owned());
            let output = reader.check(&wrong);
            assert_eq!(output.status.code(), Some(2), "{}", manual.file);
            let refusal = said(&output);
            assert_eq!(keys, known_keys(&refusal), "{} [{table}]", manual.file);
        }
    }
}

#[test]
fn every_key_that_has_a_default_stands_at_it() {
    for manual in &MANUALS {
        let (reader, (_, lines)) = (Reader::new(manual.daemon), lines_of(manual));
        let all = reader.accept(&lines);
        let mut defaults = 0;
        for (at, line) in lines.iter().enumerate() {
            let Some(key) = key_of(line) else { continue };
            let mut without = lines.clone();
            without.remove(at);
            let output = reader.check(&without);
            if !output.status.success() {
                continue;
            }
            let same = output.stdout == all;
            assert_eq!(same, !manual.beside.contains(&key), "{} {key}", manual.file);
            defaults += 1;
        }
        // `obol-platform` has the fewest.
        assert!(defaults >= 2, "{}: {defaults}", manual.file);
    }
}

#[test]
fn the_shipped_files_are_configurations_as_they_stand() {
    for manual in &MANUALS {
        let text = fs::read_to_string(repository().join(manual.file)).unwrap();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        Reader::new(manual.daemon).accept(&lines);
    }
}
