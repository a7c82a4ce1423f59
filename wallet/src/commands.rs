mod amount;
mod renewal;
mod statement;

use std::path::{Path, PathBuf};

use miette::Diagnostic;
use obol_console::{FileError, Mode, Outcome, replace_atomically, unix_now, utc_text};
use obol_credential::{Nonce, UnixTime};
use obol_wallet::{BoardingCode, KeyError, Scale, Wallet};
use thiserror::Error;

pub(crate) use amount::Amount;
use renewal::renew_if_told;
pub(crate) use statement::statement;

/// How results are printed.
#[derive(Clone, Copy)]
pub(crate) enum Output {
    People,
    Json,
}

/// From the flag `--json`.
impl From<bool> for Output {
    fn from(json: bool) -> Self {
        if json { Self::Json } else { Self::People }
    }
}

/// Where a boarding code goes.
pub(crate) enum Shown {
    /// Drawn in the terminal.
    Terminal,
    /// Printed as text.
    Text,
    /// Drawn into a picture.
    Png(PathBuf, Scale),
    /// Both: a picture, and the text of the same code.
    PngAndText(PathBuf, Scale),
}

#[derive(Debug, Error, Diagnostic)]
#[error("{} is enrolled already, as account {account}", folder.display())]
#[diagnostic(help("nothing is left to do; for another account give another folder as --dir"))]
struct AlreadyEnrolled {
    folder: PathBuf,
    account: u64,
}

#[derive(Debug, Error, Diagnostic)]
#[error("no nonce could be drawn")]
#[diagnostic(help("check the machine's source of randomness"))]
struct NoNonce(#[source] KeyError);

pub(crate) async fn enrol(folder: &Path, platform: &str, trust: &Path) -> miette::Result<Outcome> {
    let mut wallet = Wallet::create(folder, platform, trust)?;
    if let Ok(passenger) = wallet.passenger() {
        let (folder, account) = (folder.to_owned(), passenger.account);
        return Err(AlreadyEnrolled { folder, account }.into());
    }
    let passenger = wallet.platform(unix_now)?.enrol().await?;
    println!("account  {}", passenger.account);
    wallet.enrolled(passenger)?;
    Ok(Outcome::Done)
}

pub(crate) async fn recharge(
    folder: &Path,
    amount: Amount,
    output: Output,
) -> miette::Result<Outcome> {
    let mut wallet = Wallet::open(folder)?;
    wallet.passenger()?;
    let order = wallet.platform(unix_now)?.recharge(amount.minor()).await?;
    match output {
        Output::Json => println!("{}", json(&order)),
        Output::People => {
            println!("order   {}", plain(&order.order));
            println!("amount  {amount} {}", plain(&order.currency));
            println!("pay at  {}", plain(&order.pay_url));
        }
    }
    renew_if_told(&mut wallet, &order.renew, output).await;
    Ok(Outcome::Done)
}

pub(crate) async fn refresh(folder: &Path) -> miette::Result<Outcome> {
    let mut wallet = Wallet::open(folder)?;
    let expires_at = fetch(&mut wallet).await?;
    println!("credential until  {}", utc_text(expires_at.0));
    Ok(Outcome::Done)
}

/// Fetches a credential and keeps it; until when it is good.
async fn fetch(wallet: &mut Wallet) -> miette::Result<UnixTime> {
    let passenger = wallet.passenger()?.clone();
    let held = wallet.platform(unix_now)?.refresh(&passenger).await?;
    let expires_at = held.expires_at();
    wallet.hold(held)?;
    Ok(expires_at)
}

pub(crate) fn show(folder: &Path, shown: &Shown, clock_offset: i32) -> miette::Result<Outcome> {
    let mut wallet = Wallet::open(folder)?;
    let mut nonce = [0; 4];
    getrandom::fill(&mut nonce).map_err(|error| NoNonce(error.into()))?;
    let code = wallet.present(
        UnixTime(unix_now().saturating_add_signed(clock_offset)),
        Nonce(nonce),
    )?;
    match shown {
        Shown::Terminal => print!("{}", code.symbol().to_terminal()),
        Shown::Text => println!("{}", code.text()),
        Shown::Png(path, scale) => draw(&code, path, *scale)?,
        Shown::PngAndText(path, scale) => {
            draw(&code, path, *scale)?;
            println!("{}", code.text());
        }
    }
    Ok(Outcome::Done)
}

fn draw(code: &BoardingCode, path: &Path, scale: Scale) -> Result<(), FileError> {
    replace_atomically(path, &code.symbol().to_png(scale), Mode::Public)
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers are JSON")
}

/// Text of the platform's, without anything that could steer a terminal.
fn plain(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}
