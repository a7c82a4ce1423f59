//! `obol-issuer backup`, `check` and `restore`.

use std::path::PathBuf;

use clap::Args;
use data_encoding::HEXLOWER;
use obol_console::{Outcome, unix_now, utc_text};
use obol_credential::{Kid, UnixTime};
use obol_issuer::publisher::read_denials;
use obol_issuer::{Config, Examined, Restore, back_up, examine, read_kid, restore};

#[derive(Args)]
pub(super) struct Backup {
    /// The issuer's configuration.
    #[arg(long)]
    config: PathBuf,
    /// The new file (mode 0600); must not exist.
    file: PathBuf,
}

#[derive(Args)]
pub(super) struct Check {
    /// A register or a backup of one.
    file: PathBuf,
}

#[derive(Args)]
pub(super) struct Restoring {
    /// The issuer's configuration: `database` names the file that is made, and must not exist.
    #[arg(long)]
    config: PathBuf,
    /// The backup.
    file: PathBuf,
    /// A key that has never signed (kid, 8 hexadecimal digits): it may sign today. May be repeated.
    #[arg(long, value_parser = read_kid)]
    fresh_key: Vec<Kid>,
    /// `state` of the publisher, where all issuers leave what they deny.
    #[arg(long)]
    state: Option<PathBuf>,
}

pub(super) fn back_up_register(asked: &Backup) -> miette::Result<Outcome> {
    let config = Config::load(&asked.config)?;
    print(&back_up(&config.database, &asked.file)?);
    Ok(Outcome::Done)
}

pub(super) fn check(asked: &Check) -> miette::Result<Outcome> {
    print(&examine(&asked.file)?);
    Ok(Outcome::Done)
}

pub(super) fn bring_back(asked: Restoring) -> miette::Result<Outcome> {
    let config = Config::load(&asked.config)?;
    let state = asked
        .state
        .or(config.publisher.map(|publisher| publisher.state));
    let denied = state.as_deref().map_or(Ok(Vec::new()), read_denials)?;
    let at = UnixTime(unix_now());
    let (fresh, carried) = (asked.fresh_key, count(&denied));
    let asked_of = Restore { at, fresh, denied };
    print(&restore(&asked.file, &config.database, &asked_of)?);
    println!("carried {carried} denied indexes");
    println!("restored {}", utc_text(at.0));
    Ok(Outcome::Done)
}

fn count(lists: &[obol_issuer::DeniedIndexes]) -> usize {
    lists.iter().map(|list| list.indexes.len()).sum()
}

/// A line each, as `sha256sum` and scripts read them.
fn print(examined: &Examined) {
    println!("version {}", examined.version);
    for (table, rows) in &examined.rows {
        println!("{table} {rows}");
    }
    match examined.sha256 {
        Some(hash) => println!("sha256 {}", HEXLOWER.encode(&hash)),
        None => println!("sha256 none: in use"),
    }
}
