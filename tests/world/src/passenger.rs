use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::{Ran, Tool, World, WorldError, terminal::last_json};

const PATIENCE: Duration = Duration::from_secs(60);

/// A passenger's phone: `obol-wallet` in its own folder.
#[derive(Debug)]
pub struct Passenger {
    folder: String,
    pictures: PathBuf,
    platform: String,
    bank: String,
    tool: Tool,
}

/// One line of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StatementLine {
    /// Why.
    pub kind: String,
    /// What the wallet gained; negative when it paid.
    pub amount_minor: i64,
    /// The balance behind the line.
    pub balance_minor: i64,
}

#[derive(Deserialize)]
struct Statement {
    lines: Vec<StatementLine>,
}

/// A recharge order, as the phone shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Order {
    /// Its number.
    pub order: String,
    /// Where the passenger pays.
    pub pay_url: String,
    /// Where the bank reports the payment.
    pub notify_url: String,
    /// What is to be paid, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

impl Passenger {
    pub(crate) fn new(world: &World, name: &str) -> Self {
        Self {
            folder: format!("phone-{name}"),
            pictures: world.folder().join(format!("phone-{name}")),
            platform: format!("https://localhost:{}", world.ports.passengers),
            bank: format!("http://127.0.0.1:{}/pay", world.ports.bank),
            tool: world.tool("obol-wallet"),
        }
    }

    /// Makes the enrolled key and an account.
    ///
    /// # Errors
    /// What `obol-wallet` has said.
    pub fn enrol(&self) -> Result<(), WorldError> {
        self.wallet(&[
            "enrol",
            "--platform",
            &self.platform,
            "--trust",
            "access.pem",
        ])
        .map(drop)
    }

    /// Orders a recharge and pays it at the bank; returns the order's number.
    ///
    /// # Errors
    /// What `obol-wallet` or the bank has said.
    pub fn recharge(&self, amount: &str) -> Result<String, WorldError> {
        let order = self.order(amount)?;
        let amount = order.amount_minor.to_string();
        let pay = [
            "pay",
            "--bank",
            &order.pay_url,
            "--order",
            &order.order,
            "--amount-minor",
        ];
        let told = [
            "--currency",
            &order.currency,
            "--notify-url",
            &order.notify_url,
        ];
        self.tool
            .beside("bank-simulator")
            .succeed(&[&pay[..], &[&amount], &told].concat())?;
        Ok(order.order)
    }

    /// Orders a recharge and does not pay.
    ///
    /// # Errors
    /// What `obol-wallet` has said, or an order that is to be paid elsewhere.
    pub fn order(&self, amount: &str) -> Result<Order, WorldError> {
        let ran = self.wallet(&["recharge", amount, "--json"])?;
        let order: Order = serde_json::from_value(last_json(&ran)?)
            .map_err(|error| WorldError::new(format!("{error}\n{}", ran.stdout)))?;
        if order.pay_url != self.bank {
            return Err(WorldError::new(format!(
                "pay at {}, not {}",
                order.pay_url, self.bank
            )));
        }
        Ok(order)
    }

    /// Fetches a fresh credential.
    ///
    /// # Errors
    /// What `obol-wallet` has said.
    pub fn refresh(&self) -> Result<(), WorldError> {
        self.wallet(&["refresh"]).map(drop)
    }

    /// Draws a fresh boarding code as a PNG; needs no network.
    ///
    /// # Errors
    /// What `obol-wallet` has said.
    pub fn show(&self, picture: &str) -> Result<PathBuf, WorldError> {
        self.show_with(picture, &[])
    }

    /// The same, by a phone whose clock is `seconds` ahead (or, negative, behind).
    ///
    /// # Errors
    /// What `obol-wallet` has said.
    pub fn show_with_clock_off_by(
        &self,
        picture: &str,
        seconds: i32,
    ) -> Result<PathBuf, WorldError> {
        self.show_with(picture, &[&format!("--clock-offset={seconds}")])
    }

    /// The text of a fresh boarding code.
    ///
    /// # Errors
    /// What `obol-wallet` has said.
    pub fn text(&self) -> Result<String, WorldError> {
        let ran = self.wallet(&["show", "--text"])?;
        Ok(ran.stdout.trim_end_matches('\n').to_owned())
    }

    /// The kid of the issuer key that signed its credential.
    ///
    /// # Errors
    /// What `obol-wallet` has said.
    pub fn shard(&self) -> Result<String, WorldError> {
        let text = self.text()?;
        let bytes = obol_credential::from_text(text.as_bytes());
        let bytes = bytes.map_err(|error| WorldError::new(format!("{text}: {error}")))?;
        let shown = obol_credential::Presentation::decode(&bytes);
        let shown = shown.map_err(|error| WorldError::new(format!("{text}: {error}")))?;
        Ok(shown.credential().kid().to_string())
    }

    /// Opens an account, pays 20.00 at the bank and fetches a credential; the account's number.
    ///
    /// # Errors
    /// What `obol-wallet` has said, or nothing credited within a minute.
    pub fn begin(&self) -> Result<u64, WorldError> {
        let said = self.wallet(&[
            "enrol",
            "--platform",
            &self.platform,
            "--trust",
            "access.pem",
        ])?;
        let account = said.stdout.lines().find_map(|line| {
            let (word, number) = line.split_once(' ')?;
            number.trim().parse().ok().filter(|_| word == "account")
        });
        self.recharge("20.00")?;
        let begun = Instant::now();
        while self.statement()?.is_empty() {
            if begun.elapsed() > PATIENCE {
                return Err(WorldError::new("nothing was credited"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.refresh()?;
        account.ok_or_else(|| said.unexpected())
    }

    /// The statement's lines.
    ///
    /// # Errors
    /// What `obol-wallet` has said.
    pub fn statement(&self) -> Result<Vec<StatementLine>, WorldError> {
        let ran = self.wallet(&["statement", "--json"])?;
        let statement: Statement = serde_json::from_value(last_json(&ran)?)
            .map_err(|error| WorldError::new(format!("{error}\n{}", ran.stdout)))?;
        Ok(statement.lines)
    }

    /// The statement as the passenger reads it.
    ///
    /// # Errors
    /// What `obol-wallet` has said.
    pub fn printed_statement(&self) -> Result<String, WorldError> {
        Ok(self.wallet(&["statement"])?.stdout)
    }

    /// Where its pictures lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.pictures
    }

    fn show_with(&self, picture: &str, more: &[&str]) -> Result<PathBuf, WorldError> {
        let file = self.pictures.join(picture);
        let path = file.to_string_lossy().into_owned();
        self.wallet(&[&["show", "--png", &path], more].concat())?;
        Ok(file)
    }

    /// Runs a command of the phone, its ending the caller's to judge.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Result<Ran, WorldError> {
        self.tool
            .run(&[&["--dir", &self.folder], arguments].concat())
    }

    fn wallet(&self, arguments: &[&str]) -> Result<Ran, WorldError> {
        let ran = self.run(arguments)?;
        if ran.code == 0 {
            Ok(ran)
        } else {
            Err(ran.unexpected())
        }
    }
}
