//! Revocation lists of the two authorities.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use obol_console::{Mode, Outcome, read_limited, unix_now, write_new_atomically};
use obol_credential::UnixTime;
use obol_kms::x509::{
    AccessCa, CRL_MAX, Certificate, CrlError, NotARevocationList, RevocationList, RevocationReason,
    Revoked, RootCa,
};

use crate::failure::Failure;
use crate::output::{must_be_free, read_certificate};
use crate::tokens::Modules;
use crate::waiver::arguments::Waived;

#[derive(Subcommand)]
pub(crate) enum Crl {
    /// Sign an authority's next revocation list: all earlier entries, and the certificates given
    #[command(after_help = "Examples:
  obol-kms crl create --authority root --ca root.pem --token root.token.toml --first --out root-1.crl
  obol-kms crl create --authority access-ca --ca access.pem --token access.token.toml \\
      --previous access-7.crl --revoke lost.pem --reason key-compromise --out access-8.crl")]
    Create(CreateCrl),
}

#[derive(Args)]
pub(crate) struct CreateCrl {
    /// Which authority signs
    #[arg(long)]
    authority: AuthorityName,
    /// The authority's certificate (PEM)
    #[arg(long)]
    ca: PathBuf,
    /// Token file of the authority's token
    #[arg(long)]
    token: PathBuf,
    #[command(flatten)]
    after: After,
    /// Certificate to revoke (PEM), any number of times
    #[arg(long)]
    revoke: Vec<PathBuf>,
    /// Why these are revoked [default: the list does not say]
    #[arg(long, requires = "revoke")]
    reason: Option<Reason>,
    /// Revocation list to write (PEM); never overwritten
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    waived: Waived,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the new list follows: a forgotten list would bring revoked certificates back.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct After {
    /// The authority's last revocation list (PEM)
    #[arg(long)]
    previous: Option<PathBuf>,
    /// The authority has never signed one
    #[arg(long)]
    first: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum AuthorityName {
    Root,
    AccessCa,
}

#[derive(Clone, Copy, ValueEnum)]
enum Reason {
    KeyCompromise,
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    PrivilegeWithdrawn,
}

pub(crate) fn run(command: &Crl) -> Result<Outcome, Failure> {
    let Crl::Create(arguments) = command;
    let CreateCrl {
        authority,
        ca,
        token,
        after,
        revoke,
        reason,
        out,
        waived,
        json,
    } = arguments;
    must_be_free(out)?;
    let rules = waived.rules()?;
    let previous = match &after.previous {
        Some(path) => Some(RevocationList::from_pem(&read_limited(path, CRL_MAX)?)?),
        None => None,
    };
    let certificates: Vec<Certificate> = revoke
        .iter()
        .map(|path| read_certificate(path))
        .collect::<Result<_, _>>()?;
    let reason = reason.map(Reason::of_the_list);
    let revoked: Vec<Revoked<'_>> = certificates
        .iter()
        .map(|certificate| Revoked {
            certificate,
            reason,
        })
        .collect();
    let ca = read_certificate(ca)?;
    let token = Modules::default().open(token)?;
    let now = UnixTime(unix_now());
    let list = match authority {
        AuthorityName::Root => RootCa::open(&token, ca)?.with_rules(rules).issue_crl(
            previous.as_ref(),
            &revoked,
            now,
        )?,
        AuthorityName::AccessCa => AccessCa::open(&token, ca)?.with_rules(rules).issue_crl(
            previous.as_ref(),
            &revoked,
            now,
        )?,
    };
    write_new_atomically(out, list.to_pem().as_bytes(), Mode::Public)?;
    let (number, count, out) = (
        list.number(),
        list.serials().len(),
        out.display().to_string(),
    );
    if *json {
        println!(
            "{}",
            serde_json::json!({ "number": number, "revoked": count, "out": out })
        );
    } else {
        println!("number {number} revokes {count} {out}");
    }
    Ok(Outcome::Done)
}

impl Reason {
    fn of_the_list(self) -> RevocationReason {
        match self {
            Reason::KeyCompromise => RevocationReason::KeyCompromise,
            Reason::CaCompromise => RevocationReason::CaCompromise,
            Reason::AffiliationChanged => RevocationReason::AffiliationChanged,
            Reason::Superseded => RevocationReason::Superseded,
            Reason::CessationOfOperation => RevocationReason::CessationOfOperation,
            Reason::PrivilegeWithdrawn => RevocationReason::PrivilegeWithdrawn,
        }
    }
}

impl From<CrlError> for Failure {
    fn from(error: CrlError) -> Failure {
        let help = match error {
            CrlError::Certificate(error) => return error.into(),
            CrlError::NotMine => "give the last list that this authority signed, or --first",
            CrlError::Clock { .. } => "set this machine's clock",
            CrlError::Number(_) => "the list is no work of this tool: find out who made it",
            CrlError::NotIssuedHere(_) => "give --authority and --ca of the one that issued it",
            CrlError::Already(_) => "leave it out: earlier entries are carried over",
            CrlError::Entry => "give the list as this tool wrote it",
        };
        Failure::refused(error, help)
    }
}

impl From<NotARevocationList> for Failure {
    fn from(error: NotARevocationList) -> Failure {
        Failure::with_help(error, "give a PEM file that begins with BEGIN X509 CRL")
    }
}
