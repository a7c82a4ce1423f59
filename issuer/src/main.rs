//! `obol-issuer`: the service, and the making of its identity on mTLS.

mod code;
mod doors;
mod store;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use miette::IntoDiagnostic;
use obol_console::{Outcome, StopOnStdin, init_logging, unix_now, until_stopped, write_new_pair};
use obol_credential::UnixTime;
use obol_issuer::{Config, Issuer, est_router, publisher, router};
use obol_transport::{ClientAuth, LiveTls, listen, new_identity, serve};
use tokio::sync::watch;
use tracing::{error, info};

use doors::{Seen, doors, reload_when_due};

const UPKEEP_EVERY: Duration = Duration::from_secs(3600);

/// Signs passengers' credentials for the platform and publishes which keys sign.
#[derive(Parser)]
#[command(name = "obol-issuer", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGINT or SIGTERM; prints `ready https://ADDRESS` on standard output, and before
    /// it `enrolment https://ADDRESS` where members enrol.
    Serve {
        /// The configuration; issuer.toml of the release explains it.
        #[arg(long)]
        config: PathBuf,
        /// Also stop at the end of standard input.
        #[arg(long)]
        until_stdin_closes: bool,
    },
    /// Read the configuration as `serve` does and print what is in force, defaults included.
    CheckConfig {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Make a code with which one terminal or platform may enrol once, within a day; prints it.
    EnrolmentCode {
        /// The configuration of the issuer where it enrols.
        #[arg(long)]
        config: PathBuf,
        /// `obol://terminal/NAME` or `obol://platform/NAME`.
        #[arg(long)]
        identity: String,
        /// Also write all that the terminal needs to begin (TOML, mode 0600), as `[terminals]` of the
        /// configuration says; must not exist.
        #[arg(long)]
        provisioning: Option<PathBuf>,
    },
    /// Copy the register into one new file, also while the service runs, and examine the copy.
    Backup(store::Backup),
    /// Examine a register or a backup; exit code 1 when it is not whole.
    Check(store::Check),
    /// Make the register anew from a backup, while no service runs on it. Its keys sign again on the
    /// next day (UTC), since what they signed after the backup is not in it.
    Restore(store::Restoring),
    /// Make a key for mTLS and a certificate request for the access CA.
    Identity {
        /// This issuer's name: 1 to 32 characters of a-z 0-9 -.
        #[arg(long)]
        name: String,
        /// DNS name or IP address under which it is reached; may be repeated. None for a client only.
        #[arg(long)]
        host: Vec<String>,
        /// Where to write the private key (PEM, mode 0600); must not exist.
        #[arg(long)]
        key: PathBuf,
        /// Where to write the request (PEM); must not exist.
        #[arg(long)]
        request: PathBuf,
    },
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
        Command::Backup(asked) => store::back_up_register(&asked),
        Command::Check(asked) => store::check(&asked),
        Command::Restore(asked) => store::bring_back(asked),
        Command::Identity {
            name,
            host,
            key,
            request,
        } => make_identity(&name, &host, &key, &request),
        Command::EnrolmentCode {
            config,
            identity,
            provisioning,
        } => code::make(&config, &identity, provisioning.as_deref()).await,
    })
}

fn check_config(path: &Path) -> miette::Result<Outcome> {
    println!("{:#?}", Config::load(path)?);
    Ok(Outcome::Done)
}

async fn run_service(path: &Path, stdin: StopOnStdin) -> miette::Result<Outcome> {
    let config = Config::load(path)?;
    let seen = Seen::of(&config.tls);
    // The first revocation list is made at the start, so the doors come after it.
    let issuer = Arc::new(Issuer::start(&config, UnixTime(unix_now())).await?);
    let tls = LiveTls::new(doors(&config.tls, ClientAuth::Required)?);
    let est_tls = LiveTls::new(doors(&config.tls, ClientAuth::Optional)?);
    let (listener, address) = listen(config.listen).await?;
    let (stop, stopped) = watch::channel(());
    let enrolling = match (&config.enrolment, issuer.access()) {
        (Some(enrolment), Some(_)) => {
            let (listener, address) = listen(enrolment.listen).await?;
            println!("enrolment https://{address}");
            let router = est_router(Arc::clone(&issuer), unix_now);
            let tls = est_tls.clone();
            Some(tokio::spawn(serve(listener, tls, router, ended(stopped))))
        }
        _ => None,
    };
    println!("ready https://{address}");
    info!(%address, "serving");
    let upkeep = tokio::spawn(upkeep(Arc::clone(&issuer)));
    let publishing = config
        .publisher
        .map(|settings| tokio::spawn(publisher::run(Arc::clone(&issuer), settings, unix_now)));
    let all_tls = (tls.clone(), est_tls.clone());
    let reloading = reload_when_due(
        path.to_owned(),
        (config.tls.clone(), seen),
        Arc::clone(&issuer),
        all_tls,
    );
    let reloading = tokio::spawn(reloading.into_diagnostic()?);
    let router = router(Arc::clone(&issuer), unix_now);
    let served = serve(listener, tls, router, until_stopped(stdin)).await;
    drop(stop);
    if let Some(enrolling) = enrolling {
        enrolling.await.into_diagnostic()?.into_diagnostic()?;
    }
    upkeep.abort();
    if let Some(publishing) = publishing {
        publishing.abort();
    }
    reloading.abort();
    served.into_diagnostic()?;
    Ok(Outcome::Done)
}

/// Ends when nobody can say anything any more.
async fn ended(mut stopped: watch::Receiver<()>) -> std::io::Result<()> {
    while stopped.changed().await.is_ok() {}
    Ok(())
}

/// Forgets what is old and renews the revocation list, now and then.
async fn upkeep(issuer: Arc<Issuer>) {
    loop {
        issuer.keep_list(UnixTime(unix_now())).await;
        if let Err(cause) = issuer.purge(UnixTime(unix_now())).await {
            error!(
                cause = &cause as &dyn std::error::Error,
                "old credentials were not deleted"
            );
        }
        tokio::time::sleep(UPKEEP_EVERY).await;
    }
}

fn make_identity(
    name: &str,
    hosts: &[String],
    key: &Path,
    request: &Path,
) -> miette::Result<Outcome> {
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let made = new_identity(&format!("obol://issuer/{name}"), &hosts)?;
    let (private, public) = (made.key_pem.as_bytes(), made.request_pem.as_bytes());
    write_new_pair((key, private), (request, public))?;
    Ok(Outcome::Done)
}
