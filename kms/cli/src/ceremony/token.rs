//! A new token: its PIN from people, the first roster's hash in it for good.

use obol_console::{Mode, Outcome, read_limited, write_new_atomically};
use obol_kms::{HeldPin, Module, Pin, PinSource, Token, TokenConfig, TokenSummary};
use obol_kms_ceremony::{Hash, PLAN_MAX, RosterChain, Share, ShareSheet, split};
use zeroize::Zeroizing;

use crate::ceremony::arguments::InitToken;
use crate::ceremony::hall::PIN_RECORD;
use crate::ceremony::{asked, say};
use crate::failure::Failure;
use crate::failure::ceremony::{NoPin, NotUriText, PinsDiffer};
use crate::output::must_be_free;

pub(super) fn token(arguments: &InitToken) -> Result<Outcome, Failure> {
    let InitToken {
        module,
        label,
        roster,
        holders,
        threshold,
        shares,
        out,
    } = arguments;
    for path in [Some(out), shares.as_ref()].into_iter().flatten() {
        must_be_free(path)?;
    }
    let chain = RosterChain::read(&read_limited(roster, PLAN_MAX)?, &[])?;
    let hash = chain.first().hash();
    let path = module
        .to_str()
        .filter(|path| plain(path))
        .ok_or(NotUriText)?;
    if !plain(label) {
        return Err(NotUriText.into());
    }
    let module = Module::load(module)?;
    let (so_pin, pin) = match (threshold, shares) {
        (Some(threshold), Some(sheet_path)) => {
            let (sheet, dealt, so_pin, pin) = deal(*threshold, holders)?;
            write_new_atomically(sheet_path, sheet.to_toml().as_bytes(), Mode::Public)?;
            hand_out(holders, &dealt)?;
            (so_pin, pin)
        }
        _ => typed()?,
    };
    let summary = module.initialize_token(label, &so_pin, &pin)?;
    let uri = uri(&summary, path);
    let mut config = TokenConfig::of_uri(&uri, std::path::Path::new(""))?;
    config.pin = PinSource::Held(HeldPin::new(pin));
    let token = Token::open(&module, &config, 1)?;
    token.record(PIN_RECORD, &hash.0)?;
    let text = format!("# The PIN comes from people.\nuri = \"{uri}\"\n");
    write_new_atomically(out, text.as_bytes(), Mode::Public)?;
    println!(
        "token {} serial {} {}",
        summary.label,
        summary.serial,
        out.display()
    );
    say("pinned roster", Hash(hash.0));
    Ok(Outcome::Done)
}

type Dealt = (ShareSheet, Vec<Share>, Pin, Pin);

fn deal(threshold: u8, holders: &[String]) -> Result<Dealt, Failure> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut()).map_err(|error| {
        Failure::with_help(error, "the system's random generator does not answer")
    })?;
    let (sheet, shares, pins) = split(&secret, threshold, holders)?;
    let as_pin = |text: &Zeroizing<String>| Pin::new(text.as_bytes()).ok_or(NoPin);
    Ok((
        sheet,
        shares,
        as_pin(&pins.security_officer)?,
        as_pin(&pins.user)?,
    ))
}

/// Each holder sees their words alone, writes them down, and clears the screen.
fn hand_out(holders: &[String], shares: &[Share]) -> Result<(), Failure> {
    for (name, share) in holders.iter().zip(shares) {
        asked::confirmed(&format!("{name}, are you alone at the screen?"))?;
        eprintln!("{}", share.words().as_str());
        asked::confirmed(&format!("{name}, have you written the 24 words down?"))?;
        // ECMA-48: erase the screen and its scrollback, cursor home.
        eprint!("\x1b[2J\x1b[3J\x1b[H");
    }
    Ok(())
}

fn typed() -> Result<(Pin, Pin), Failure> {
    let so_pin = asked::new_pin("security officer PIN of the new token")?;
    let pin = asked::new_pin("PIN of the new token")?;
    let (so_pin, pin) = (so_pin.ok_or(PinsDiffer)?, pin.ok_or(PinsDiffer)?);
    Ok((so_pin, pin))
}

fn uri(summary: &TokenSummary, module: &str) -> String {
    format!(
        "pkcs11:token={};serial={}?module-path={module}&pin-source=prompt:",
        summary.label, summary.serial
    )
}

/// What needs no escape in a PKCS#11 URI.
fn plain(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b))
}
