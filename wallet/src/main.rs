//! `obol-wallet`: a phone as a command.

mod commands;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use obol_wallet::Scale;

use commands::{Amount, Output, Shown};

/// The phone's side of Obol: enrol, recharge, fetch a credential, show a boarding code.
#[derive(Parser)]
#[command(name = "obol-wallet", version)]
struct Cli {
    /// The wallet's folder.
    #[arg(long)]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a key and open an account; safe to repeat when it was interrupted.
    Enrol {
        /// The platform's address, https://HOST:PORT.
        #[arg(long)]
        platform: String,
        /// The access CA's certificate (PEM); copied into the folder.
        #[arg(long)]
        trust: PathBuf,
    },
    /// Order a recharge; prints the order and where to pay.
    Recharge {
        /// With two decimals: 50.00.
        amount: Amount,
        /// One line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetch a new credential for a fresh device key.
    Refresh,
    /// Show the next boarding code, with no network: in the terminal unless a file or text is asked
    /// for.
    Show {
        /// Write the QR code to this PNG file.
        #[arg(long)]
        png: Option<PathBuf>,
        /// Print the text of the code.
        #[arg(long)]
        text: bool,
        /// Pixels a side of one module in the PNG, 1 to 40.
        #[arg(long, default_value = "8", value_parser = scale)]
        scale: Scale,
        /// Make the code as a phone would whose clock is so many seconds ahead, or behind.
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        clock_offset: i32,
    },
    /// Print what happened on the account.
    Statement {
        /// One line of JSON.
        #[arg(long)]
        json: bool,
    },
}

fn scale(text: &str) -> Result<Scale, String> {
    let pixels = text.parse().ok().and_then(Scale::new);
    pixels.ok_or_else(|| "a scale is 1 to 40 pixels".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { dir, command } = Cli::parse();
    obol_console::init_logging();
    let result = match command {
        Command::Enrol { platform, trust } => commands::enrol(&dir, &platform, &trust).await,
        Command::Recharge { amount, json } => {
            commands::recharge(&dir, amount, Output::from(json)).await
        }
        Command::Refresh => commands::refresh(&dir).await,
        Command::Show {
            png,
            text,
            scale,
            clock_offset,
        } => {
            let shown = match (png, text) {
                (None, false) => Shown::Terminal,
                (None, true) => Shown::Text,
                (Some(path), false) => Shown::Png(path, scale),
                (Some(path), true) => Shown::PngAndText(path, scale),
            };
            commands::show(&dir, &shown, clock_offset)
        }
        Command::Statement { json } => commands::statement(&dir, Output::from(json)).await,
    };
    obol_console::run(result)
}
