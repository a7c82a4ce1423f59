//! `bank-simulator`: the bank as a process of its own.

mod payer;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use miette::{Diagnostic, IntoDiagnostic};
use obol_bank_simulator::{Bank, BankKey, Repeat, router};
use obol_console::{
    Outcome, StopOnStdin, init_logging, read_limited, until_stopped, write_new_pair,
};
use obol_transport::{HttpsClient, TrustAnchor};
use thiserror::Error;
use tokio::net::TcpListener;
use tracing::error;

const KEY_MAX: usize = 4096;

/// A bank that takes every payment and tells the payee by signed notices.
#[derive(Parser)]
#[command(name = "bank-simulator", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGINT or SIGTERM; prints `ready http://ADDRESS` on standard output.
    Serve(Serve),
    /// Pay an order, as a passenger's banking app does; prints the bank's answer.
    Pay(payer::Payment),
    /// Make the bank's key.
    Keygen {
        /// Where to write the private key (PEM, mode 0600); must not exist.
        #[arg(long)]
        key: PathBuf,
        /// Where to write the public key (PEM); must not exist.
        #[arg(long)]
        public: PathBuf,
    },
}

#[derive(Args)]
struct Serve {
    /// The private key that `keygen` wrote.
    #[arg(long)]
    key: PathBuf,
    /// How often each notice is sent, 1 to 100.
    #[arg(long, default_value_t = 1)]
    repeat: u8,
    /// The CA certificate that payees' servers are trusted by (PEM).
    #[arg(long)]
    trust: PathBuf,
    /// Where to listen; loopback, because a payer is not identified. Port 0: the system chooses.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Also stop at the end of standard input.
    #[arg(long)]
    until_stdin_closes: bool,
}

#[derive(Debug, Error, Diagnostic)]
enum ServeError {
    #[error("--repeat {0} is out of range")]
    #[diagnostic(help("give a number from 1 to 100"))]
    Repeat(u8),
    #[error("--listen {0} is not a loopback address")]
    #[diagnostic(help("give 127.0.0.1:PORT or [::1]:PORT: the simulator pays for anybody"))]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {address}")]
    #[diagnostic(help("choose another port with --listen, or stop what listens there"))]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    init_logging();
    obol_console::run(match cli.command {
        Command::Serve(serve) => run(&serve).await,
        Command::Pay(payment) => payer::pay(&payment).await,
        Command::Keygen { key, public } => keygen(&key, &public),
    })
}

fn keygen(key: &Path, public: &Path) -> miette::Result<Outcome> {
    let files = BankKey::generate()?;
    write_new_pair(
        (key, files.private.as_bytes()),
        (public, files.public.as_bytes()),
    )?;
    Ok(Outcome::Done)
}

async fn run(options: &Serve) -> miette::Result<Outcome> {
    let repeat = Repeat::new(options.repeat).ok_or(ServeError::Repeat(options.repeat))?;
    let address = options.listen;
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address).into());
    }
    let key = BankKey::from_pem(&read_limited(&options.key, KEY_MAX)?)?;
    let client = HttpsClient::new(&TrustAnchor::load(&options.trust)?, None);
    let cannot_listen = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
    println!(
        "ready http://{}",
        listener.local_addr().map_err(cannot_listen)?
    );
    let stdin = StopOnStdin::from(options.until_stdin_closes);
    // axum::serve has no timeouts; it is enough for a simulator that only loopback reaches.
    axum::serve(
        listener,
        router(Bank {
            key,
            client,
            repeat,
        }),
    )
    .with_graceful_shutdown(async move {
        if let Err(reason) = until_stopped(stdin).await {
            error!(%reason, "cannot wait for signals; stopping");
        }
    })
    .await
    .into_diagnostic()?;
    Ok(Outcome::Done)
}
