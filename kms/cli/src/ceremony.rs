//! Key ceremonies: plans, rehearsals, approvals, runs, and the audit of their bundles.

pub(crate) mod approve;
pub(crate) mod arguments;
mod around;
mod asked;
mod bundle;
mod examine;
mod facts;
mod fill;
mod hall;
mod plans;
mod run;
mod stand_in;
mod steps;
mod token;
mod verify;

use std::path::Path;

use obol_console::Outcome;
use obol_kms_ceremony::Hash;

use crate::failure::Failure;
use arguments::Ceremony;
pub(crate) use steps::tuf_signature;

pub(crate) fn run(command: &Ceremony) -> Result<Outcome, Failure> {
    match command {
        Ceremony::Token(arguments) => token::token(arguments),
        Ceremony::Fill(arguments) => fill::fill(arguments),
        Ceremony::Plan(arguments) => plans::plan(arguments),
        Ceremony::Rehearse(arguments) => run::rehearse(arguments),
        Ceremony::Request(arguments) => approve::request(arguments),
        Ceremony::Approve(arguments) => approve::approve(arguments),
        Ceremony::Run(arguments) => run::run(arguments),
        Ceremony::Resume(arguments) => run::resume(arguments),
        Ceremony::Verify(arguments) => verify::verify(arguments),
        Ceremony::Hash(arguments) => plans::hash(arguments),
    }
}

/// A hash as it is read aloud.
fn say(what: &str, hash: Hash) {
    println!("{what} {hash}");
    for line in hash.words().to_string().lines() {
        println!("  {line}");
    }
}

/// SHA-256 of a file of any size: libraries and programs.
fn hash_of_file(path: &Path) -> Result<Hash, Failure> {
    let hash = std::fs::File::open(path).and_then(Hash::of_all);
    hash.map_err(|source| {
        let path = path.to_path_buf();
        obol_console::FileError::Read { path, source }.into()
    })
}

/// SHA-256 of this program's file.
fn tool_hash() -> Result<Hash, Failure> {
    let path = std::env::current_exe()
        .map_err(|error| Failure::with_help(error, "start the program by its path"))?;
    hash_of_file(&path)
}
