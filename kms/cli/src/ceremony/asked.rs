//! What people are asked: at the terminal, or line by line from standard input.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use obol_kms::{HeldPin, Pin, PinSource};
use obol_kms_ceremony::{ShareSheet, SharesRefused};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::failure::ceremony::{NoAnswer, NoPin};

/// Wrong shares in a row before the command gives up.
const SHARE_TRIES: usize = 3;
/// Longest hidden answer from a pipe, in bytes: 24 words fit.
const HIDDEN_MAX: usize = 512;

/// One answer, without the line feed.
pub(super) fn line(question: &str) -> Result<String, Failure> {
    eprint!("{question} ");
    let asked = || -> io::Result<Option<String>> {
        io::stderr().flush()?;
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer)?;
        Ok((read > 0).then(|| answer.trim().to_owned()))
    };
    asked()
        .map_err(NoAnswer::of)?
        .ok_or_else(|| NoAnswer::ended().into())
}

/// One answer that is not shown.
fn hidden(question: &str) -> Result<Zeroizing<String>, Failure> {
    if io::stdin().is_terminal() {
        let typed = rpassword::prompt_password(format!("{question} "));
        return Ok(Zeroizing::new(typed.map_err(NoAnswer::of)?));
    }
    eprintln!("{question}");
    let mut typed = Zeroizing::new(String::with_capacity(HIDDEN_MAX));
    let limited = &mut io::stdin().lock().take(HIDDEN_MAX as u64);
    let read = limited.read_line(&mut typed).map_err(NoAnswer::of)?;
    if read == 0 {
        return Err(NoAnswer::ended().into());
    }
    Ok(Zeroizing::new(typed.trim_end_matches('\n').to_owned()))
}

/// `yes`, in full.
pub(super) fn confirmed(question: &str) -> Result<(), Failure> {
    match line(&format!("{question} Type yes:"))?.as_str() {
        "yes" => Ok(()),
        _ => Err(crate::failure::registry::NotConfirmed.into()),
    }
}

/// A PIN, asked for once.
pub(super) fn pin(question: &str) -> Result<Pin, Failure> {
    let typed = hidden(question)?;
    Pin::new(typed.as_bytes()).ok_or_else(|| NoPin.into())
}

/// The PIN that shares make: each is checked when it is typed, and its holder named if it is wrong.
pub(super) fn pin_of_shares(token: &str, sheet: &ShareSheet) -> Result<PinSource, Failure> {
    let (mut shares, mut given) = (Vec::new(), Vec::new());
    let needed = sheet.threshold();
    let holders: Vec<&str> = sheet.holders().collect();
    eprintln!("token {token}: {needed} shares of {}", holders.join(", "));
    while shares.len() < usize::from(needed) {
        let number = shares.len() + 1;
        let name = line(&format!("share {number} of {needed}, name of the holder:"))?;
        if given.contains(&name) {
            eprintln!("{name:?} has given a share already");
            continue;
        }
        shares.push(one_share(sheet, &name)?);
        given.push(name);
    }
    let pin = sheet.pin(&shares)?;
    let pin = Pin::new(pin.as_bytes()).ok_or(NoPin)?;
    Ok(PinSource::Held(HeldPin::new(pin)))
}

fn one_share(sheet: &ShareSheet, name: &str) -> Result<obol_kms_ceremony::Share, Failure> {
    let mut tries = 1;
    loop {
        let words = hidden(&format!("the 24 words of {name}:"))?;
        match sheet.share(name, &words) {
            Ok(share) => {
                eprintln!("the share of {name} is right");
                return Ok(share);
            }
            Err(error @ SharesRefused::Stranger(_)) => return Err(error.into()),
            Err(error) if tries == SHARE_TRIES => return Err(error.into()),
            Err(error) => eprintln!("{error}"),
        }
        tries += 1;
    }
}

/// A new PIN, asked for twice; `None` if the two differ.
pub(super) fn new_pin(what: &str) -> Result<Option<Pin>, Failure> {
    let first = hidden(&format!("new {what}:"))?;
    let again = hidden(&format!("the same {what} again:"))?;
    if *first != *again {
        return Ok(None);
    }
    Pin::new(first.as_bytes())
        .ok_or_else(|| NoPin.into())
        .map(Some)
}
