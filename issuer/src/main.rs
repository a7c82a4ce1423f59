//! `obol-issuer`: the service, and the making of its identity on mTLS.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use miette::IntoDiagnostic;
use obol_console::{Outcome, StopOnStdin, init_logging, unix_now, until_stopped, write_new_pair};
use obol_credential::UnixTime;
use obol_issuer::{Config, Issuer, router};
use obol_transport::{
    ClientAuth, Identity, TrustAnchor, listen, new_identity, serve, server_config,
};
use tracing::info;

/// Signs passengers' credentials for the platform and publishes which keys sign.
#[derive(Parser)]
#[command(name = "obol-issuer", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGINT or SIGTERM; prints `ready https://ADDRESS` on standard output.
    Serve {
        /// The configuration; issuer.toml of the release explains it.
        #[arg(long)]
        config: PathBuf,
        /// Also stop at the end of standard input.
        #[arg(long)]
        until_stdin_closes: bool,
    },
    /// Make a key for mTLS and a certificate request for the access CA.
    Identity {
        /// This issuer's name: 1 to 32 characters of a-z 0-9 -.
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
        Command::Identity {
            name,
            host,
            key,
            request,
        } => make_identity(&name, &host, &key, &request),
    })
}

async fn run_service(path: &std::path::Path, stdin: StopOnStdin) -> miette::Result<Outcome> {
    let config = Config::load(path)?;
    let identity = Identity::load(&config.tls.certificate, &config.tls.key)?;
    let clients = ClientAuth::Required(TrustAnchor::load(&config.tls.trust)?);
    let issuer = Arc::new(Issuer::start(&config, UnixTime(unix_now())).await?);

    let (listener, address) = listen(config.listen).await?;
    println!("ready https://{address}");
    info!(%address, "serving");
    let router = router(issuer, unix_now);
    serve(
        listener,
        server_config(identity, clients),
        router,
        until_stopped(stdin),
    )
    .await
    .into_diagnostic()?;
    Ok(Outcome::Done)
}

fn make_identity(
    name: &str,
    hosts: &[String],
    key: &std::path::Path,
    request: &std::path::Path,
) -> miette::Result<Outcome> {
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let made = new_identity(&format!("obol://issuer/{name}"), &hosts)?;
    let (private, public) = (made.key_pem.as_bytes(), made.request_pem.as_bytes());
    write_new_pair((key, private), (request, public))?;
    Ok(Outcome::Done)
}
