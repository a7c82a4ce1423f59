//! Every target takes its corpus, and inputs made from it, without anything failing that must hold.
#![allow(clippy::unwrap_used)] // everything here is a test

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use data_encoding::HEXLOWER;
use libtest_mimic::{Arguments, Failed, Trial};
use obol_fuzz::{Cost, Mutator, TARGETS, Taken, Target};

/// Inputs made for a target whose inputs take microseconds.
const CHEAP: usize = 20_000;
/// Inputs made for one that signs, compiles or writes files for each.
const DEAR: usize = 150;
/// Longest input that is printed when it fails; a longer one is named by its seed.
const PRINTED_MAX: usize = 4_096;

fn main() -> ExitCode {
    let mut trials = vec![Trial::test(
        "every_corpus_is_of_a_target_and_every_target_has_one",
        corpora_fit_targets,
    )];
    for target in TARGETS {
        let name = target.name;
        trials.push(Trial::test(format!("{name}::takes_its_corpus"), || {
            takes_corpus(target)
        }));
        trials.push(Trial::test(format!("{name}::survives_changes"), || {
            survives_changes(target)
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn corpora_fit_targets() -> Result<(), Failed> {
    let entries = fs::read_dir(folder())?.map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.into_string().unwrap());
    let corpora: BTreeSet<_> = names.filter(|name| !name.starts_with('.')).collect();
    let targets: BTreeSet<_> = TARGETS.iter().map(|one| one.name.to_owned()).collect();
    assert_eq!(corpora, targets);
    Ok(())
}

fn takes_corpus(target: &Target) -> Result<(), Failed> {
    let mut accepted = 0;
    for (name, input) in inputs(target)? {
        if take(target, &input, &name)? == Taken::Accepted {
            accepted += 1;
        }
    }
    // Noise alone exercises nothing behind the first check.
    match accepted {
        0 => Err("no input of the corpus is accepted".into()),
        _ => Ok(()),
    }
}

fn survives_changes(target: &Target) -> Result<(), Failed> {
    let seeds = inputs(target)?;
    let count = match target.cost {
        Cost::Cheap => CHEAP,
        Cost::Dear => DEAR,
    };
    let mut mutator = Mutator::new(1);
    for number in 0..count {
        let (name, seed) = &seeds[number % seeds.len()];
        let (_, other) = &seeds[(number / seeds.len()) % seeds.len()];
        let input = mutator.mutate(seed, other);
        take(target, &input, &format!("change {number} of {name}"))?;
    }
    Ok(())
}

fn take(target: &Target, input: &[u8], name: &str) -> Result<Taken, Failed> {
    catch_unwind(|| (target.take)(input)).map_err(|_| {
        let shown = match input.len() {
            0..=PRINTED_MAX => HEXLOWER.encode(input),
            length => format!("{length} bytes"),
        };
        format!("{} fails on {name}: {shown}", target.name).into()
    })
}

/// The committed corpus, and for boarding codes the vectors of PT1.
fn inputs(target: &Target) -> Result<Vec<(String, Vec<u8>)>, Failed> {
    let mut paths: Vec<_> = fs::read_dir(folder().join(target.name))?
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| (path.display().to_string(), fs::read(path).unwrap());
    let mut inputs: Vec<_> = paths.into_iter().map(read).collect();
    if matches!(target.name, "pt1_text" | "pt1_scan") {
        inputs.extend(vectors());
    }
    Ok(inputs)
}

fn vectors() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/pt1");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "vec"))
        .collect();
    paths.sort();
    let text_of = |path: PathBuf| {
        let vector = fs::read_to_string(&path).unwrap();
        let mut lines = vector.lines();
        let text = lines.find_map(|line| match line.split_once(": ") {
            Some(("text", text)) => Some(text.as_bytes().to_vec()),
            Some(("text_hex", hex)) => Some(HEXLOWER.decode(hex.as_bytes()).unwrap()),
            _ => None,
        });
        text.map(|text| (path.display().to_string(), text))
    };
    paths.into_iter().filter_map(text_of).collect()
}
