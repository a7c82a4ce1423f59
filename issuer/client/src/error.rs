use std::fmt;
use std::sync::Arc;

use miette::Diagnostic;
use obol_transport::{Problem, TransportError};
use thiserror::Error;

/// Where a request was taken to, and its name there. Only that issuer knows what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Placement {
    /// The issuer's name.
    pub issuer: String,
    /// The `Idempotency-Key` that it was sent under.
    pub key: String,
}

/// Why the issuer gave nothing.
#[derive(Debug, Error, Diagnostic)]
pub enum IssuerClientError {
    /// No whole reply.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Transport(#[from] TransportError),
    /// The issuer's answer is no; its code is stable. Nothing was signed.
    #[error("the issuer refused: {0}")]
    #[diagnostic(
        code(refused::issuer),
        help("the issuer's log names the request and the reason")
    )]
    Refused(Problem),
    /// It may have been signed. Asking another issuer, or under another name, could make a second
    /// credential; [`settle`](crate::IssuerClient::settle) asks the same one under the same name.
    #[error("issuer {} was asked and what became of it is not known", placement.issuer)]
    #[diagnostic(help("settle it at that issuer, or let the device key go and use a fresh one"))]
    Unsettled {
        /// Where it was taken to.
        placement: Placement,
        /// The last thing that was heard.
        #[source]
        cause: Arc<IssuerClientError>,
    },
    /// The proof is none: nothing was sent.
    #[error("the proof of possession is malformed")]
    #[diagnostic(help("send what `obol_credential::possession::encode` made"))]
    Possession(#[source] obol_credential::Malformed),
    /// The reply is not what was asked for.
    #[error("the issuer's reply is wrong: {0}")]
    #[diagnostic(help("check that client and issuer are of the same release"))]
    WrongReply(String),
    /// No issuer took it: nothing was sent, or what was sent was turned away unread.
    #[error("no issuer took the request: {0}")]
    #[diagnostic(help("check that an issuer runs and is ready, then ask again"))]
    Nobody(String),
    /// No issuer of this name is configured.
    #[error("no issuer {0:?} is configured")]
    #[diagnostic(help("name an issuer of the configuration"))]
    UnknownIssuer(String),
}

/// Why these issuers cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("{reason}")]
#[diagnostic(help("give each issuer a name of its own: 1 to 32 of a-z 0-9 -"))]
pub struct BadIssuers {
    pub(crate) reason: String,
}

/// An issuer that did not confirm, and why.
#[derive(Debug)]
pub struct Missing {
    /// Its name.
    pub issuer: String,
    /// What it said, or that it said nothing.
    pub cause: IssuerClientError,
}

/// A command that not every issuer has confirmed: it does not hold everywhere. Whoever gave it keeps
/// it and gives it again, to those who are missing or to all, until nobody is.
#[derive(Debug, Error, Diagnostic)]
#[error("{}", named(missing))]
#[diagnostic(help("keep the command and give it again until every issuer has confirmed it"))]
pub struct NotConfirmed {
    /// Issuers where it holds.
    pub confirmed: Vec<String>,
    /// Issuers that did not say so, at least one.
    pub missing: Vec<Missing>,
}

fn named(missing: &[Missing]) -> impl fmt::Display {
    let names: Vec<_> = missing.iter().map(|one| one.issuer.as_str()).collect();
    format!("not confirmed by issuer {}", names.join(", "))
}
