//! `obol-platform`: the service, its register of terminals, and its books for people.

mod books;
mod fares;
mod lists;
mod passengers;
mod tariffs;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Parser, Subcommand};
use miette::IntoDiagnostic;
use obol_console::{Outcome, StopOnStdin, init_logging, unix_now, until_stopped, write_new_pair};
use obol_issuer_client::IssuerClientError;
use obol_platform::{
    App, Config, Doors, Pushed, Scope, give_commands_in_background, hear_of_keys_in_background,
    passenger_router, reexamine_in_background, terminal_router,
};
use obol_store::Standing;
use obol_transport::{listen, new_identity, serve};
use tokio::sync::watch;
use tracing::{info, warn};

/// How often the trust bundle is fetched again.
const TRUST_EVERY: Duration = Duration::from_secs(3600);
/// How often certificates and revocation list are looked at.
const DOORS_EVERY: Duration = Duration::from_secs(10);
/// How soon after a failure.
const TRUST_RETRY: Duration = Duration::from_secs(5);

/// Accounts, rides and books: serves phones, terminals and payment channels.
#[derive(Parser)]
#[command(name = "obol-platform", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGINT or SIGTERM; prints `ready PASSENGERS TERMINALS` on standard output.
    Serve {
        /// The configuration; platform.toml of the release explains it.
        #[arg(long)]
        config: PathBuf,
        /// Also stop at the end of standard input.
        #[arg(long)]
        until_stdin_closes: bool,
    },
    /// Read the configuration as `serve` does and print what is in force, defaults included.
    CheckConfig {
        #[arg(long)]
        config: PathBuf,
    },
    /// Make a key for mTLS and a certificate request for the access CA.
    Identity {
        /// This platform's name: 1 to 32 characters of a-z 0-9 -.
        #[arg(long)]
        name: String,
        /// DNS name or IP address under which it is reached; may be repeated.
        #[arg(long, required = true)]
        host: Vec<String>,
        /// Where to write the private key (PEM, mode 0600); must not exist.
        #[arg(long)]
        key: PathBuf,
        /// Where to write the request (PEM); must not exist.
        #[arg(long)]
        request: PathBuf,
    },
    /// Register a terminal's key, or its new key.
    RegisterTerminal {
        #[arg(long)]
        config: PathBuf,
        /// The terminal's certificate, with the name obol://terminal/NAME.
        #[arg(long)]
        certificate: PathBuf,
    },
    /// Print the trial balance; exit code 1 when debits and credits differ.
    TrialBalance(books::Options),
    /// Recount the books from their transfers; exit code 1 when something does not fit.
    CheckBooks(books::Options),
    /// List codes and counters that more than one ride claims.
    FraudCases(books::Options),
    /// Close the open fraud cases of an account: somebody has looked at them.
    CloseFraudCases {
        #[arg(long)]
        config: PathBuf,
        /// The account's number.
        #[arg(long)]
        account: u64,
    },
    /// Suspend a passenger: every issuer denies live credentials and refuses new ones.
    Suspend(passengers::Commanded),
    /// Have every credential of a passenger denied for good; terminals refuse them seconds later.
    Revoke(passengers::Commanded),
    /// End a passenger's suspension.
    Resume(passengers::Commanded),
    /// List commands that an issuer has not confirmed.
    Commands(books::Options),
    /// Give an issuer every command again, as when its register came back from a backup.
    RepeatCommands {
        #[arg(long)]
        config: PathBuf,
        /// The issuer's name in the configuration; `main` where there is one.
        #[arg(long)]
        issuer: String,
    },
    /// List records of journals that were received and are not charged, with the reason.
    Rejected(books::Options),
    /// Examine refused records again, with the keys and fare packs of today, and charge those
    /// that verify now.
    Reexamine {
        #[arg(long)]
        config: PathBuf,
    },
    /// The fare pack that terminals charge by.
    #[command(subcommand)]
    FarePack(fares::FarePack),
    /// Have an issuer key blocked: terminals refuse what it signed, and phones renew at their next
    /// contact. Only the issuer's own operators lift that.
    SuspendKey(fares::SuspendKey),
    /// How long terminals hear nothing of the trust repository, as they tell with their uploads: the
    /// file that `obol-kms rotation simulate` reads. Exit code 1 when of a terminal nothing is known.
    Fleet {
        #[arg(long)]
        config: PathBuf,
    },
    /// Check a tariff, write its fare pack, or say what a ride costs by it; exit code 1 when it
    /// has no fare.
    Tariff(tariffs::Options),
    /// List the receipts of genuine notices from channels.
    Receipts(lists::ReceiptOptions),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    init_logging();
    obol_console::run(match cli.command {
        Command::Serve {
            config,
            until_stdin_closes,
        } => run_service(&config, until_stdin_closes.into()).await,
        Command::CheckConfig { config } => check_config(&config),
        Command::Identity {
            name,
            host,
            key,
            request,
        } => make_identity(&name, &host, &key, &request),
        Command::RegisterTerminal {
            config,
            certificate,
        } => books::register_terminal(&config, &certificate),
        Command::TrialBalance(options) => books::trial_balance(&options),
        Command::CheckBooks(options) => books::check_books(&options),
        Command::FraudCases(options) => lists::fraud_cases(&options),
        Command::CloseFraudCases { config, account } => books::close_fraud_cases(&config, account),
        Command::Suspend(asked) => passengers::command(&asked, Standing::Suspended).await,
        Command::Revoke(asked) => passengers::command(&asked, Standing::Revoked).await,
        Command::Resume(asked) => passengers::command(&asked, Standing::Active).await,
        Command::Commands(options) => passengers::pending(&options),
        Command::RepeatCommands { config, issuer } => passengers::repeat(&config, &issuer),
        Command::Rejected(options) => lists::rejected(&options),
        Command::Reexamine { config } => books::reexamine(&config),
        Command::FarePack(command) => fares::fare_pack(&command).await,
        Command::SuspendKey(command) => fares::suspend_key(&command).await,
        Command::Fleet { config } => lists::fleet(&config),
        Command::Tariff(options) => tariffs::tariff(&options),
        Command::Receipts(options) => lists::receipts(&options),
    })
}

fn check_config(path: &Path) -> miette::Result<Outcome> {
    println!("{:#?}", Config::load(path)?);
    Ok(Outcome::Done)
}

async fn run_service(path: &Path, stdin: StopOnStdin) -> miette::Result<Outcome> {
    let config = Config::load(path)?;
    let doors = Doors::open(&config.tls)?;
    let (passengers, at_passengers) = listen(config.passenger_listen).await?;
    let (terminals, at_terminals) = listen(config.terminal_listen).await?;
    let app = Arc::new(App::open(config, unix_now)?);
    tokio::spawn(keep_trust_fresh(Arc::clone(&app)));
    give_commands_in_background(&app);
    hear_of_keys_in_background(&app);

    println!("ready https://{at_passengers} https://{at_terminals}");
    info!(passengers = %at_passengers, terminals = %at_terminals, "serving");
    let (stop, stopped) = watch::channel(());
    let watch_for_stop = async {
        let ended = until_stopped(stdin).await;
        drop(stop);
        ended
    };
    let (public, mutual) = (doors.passengers.clone(), doors.terminals.clone());
    let asking = Arc::clone(&app);
    let clients = move |anchor: &_, identity: &_| asking.take_tls(anchor, identity);
    tokio::spawn(doors.keep(DOORS_EVERY, clients));
    let (ended, for_passengers, for_terminals) = tokio::join!(
        watch_for_stop,
        serve(
            passengers,
            public,
            passenger_router(Arc::clone(&app)),
            closed(stopped.clone())
        ),
        serve(terminals, mutual, terminal_router(app), closed(stopped)),
    );
    ended
        .and(for_passengers)
        .and(for_terminals)
        .into_diagnostic()?;
    Ok(Outcome::Done)
}

async fn closed(mut stopped: watch::Receiver<()>) -> io::Result<()> {
    while stopped.changed().await.is_ok() {}
    Ok(())
}

/// Uploads are verified against every key that was ever accepted, so a failure is no outage. Rides
/// that were refused for lack of a key are examined again after each success.
async fn keep_trust_fresh(app: Arc<App>) {
    reexamine_in_background(&app, Scope::Everything);
    loop {
        let pause = match app.refresh_trust().await {
            Ok(()) => {
                reexamine_in_background(&app, Scope::WhatMayPass);
                publish_fares(&app).await
            }
            Err(error) => {
                let reason = obol_console::two_lines(&error.into());
                warn!(reason, "the trust bundle was not refreshed");
                TRUST_RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Terminals charge by the pack that this service charges by; how long until it is pushed again.
async fn publish_fares(app: &App) -> Duration {
    match app.push_fares().await {
        Ok(Pushed::Taken) => {
            info!("the issuer publishes the fare pack");
            TRUST_EVERY
        }
        Ok(Pushed::NotPublished) => TRUST_EVERY,
        Err(IssuerClientError::Refused(problem)) => {
            let reason = problem.to_string();
            warn!(
                reason,
                "the fare pack is not published: see `fare-pack push`"
            );
            TRUST_EVERY
        }
        Err(error) => {
            let reason = obol_console::two_lines(&error.into());
            warn!(reason, "the fare pack was not pushed");
            TRUST_RETRY
        }
    }
}

fn make_identity(
    name: &str,
    hosts: &[String],
    key: &Path,
    request: &Path,
) -> miette::Result<Outcome> {
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let made = new_identity(&format!("obol://platform/{name}"), &hosts)?;
    let (private, public) = (made.key_pem.as_bytes(), made.request_pem.as_bytes());
    write_new_pair((key, private), (request, public))?;
    Ok(Outcome::Done)
}
