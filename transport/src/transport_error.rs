use std::error::Error as StdError;
use std::io;

use miette::Diagnostic;
use rustls::{AlertDescription, CertificateError};
use thiserror::Error;

/// Why a request got no reply. What the service itself refused is a [`crate::Problem`].
#[derive(Debug, Error, Diagnostic)]
pub enum TransportError {
    /// The URL is none, or not `https`.
    #[error("{url:?} is no https URL")]
    #[diagnostic(help("give an address like https://localhost:8443"))]
    BadUrl {
        /// The URL as it was given.
        url: String,
    },
    /// No TCP connection.
    #[error("cannot reach {url}")]
    #[diagnostic(help("check that the service runs and that host and port are right"))]
    Unreachable {
        /// The URL that was asked for.
        url: String,
        /// What the connector said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server's certificate is not one this client believes.
    #[error("the certificate of {url} is not trusted: {reason}")]
    #[diagnostic(help(
        "check that the trust anchor is the access CA of this deployment and that the address is \
         the service's"
    ))]
    ServerUntrusted {
        /// The URL that was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server ended the handshake with an alert about this client's certificate (RFC 8446
    /// section 6.2).
    #[error("the server {url} refused this client's certificate (alert {alert})")]
    #[diagnostic(help("{}", certificate_advice(alert)))]
    CertificateRefused {
        /// The URL that was asked for.
        url: String,
        /// The alert's name in the RFC: `certificate_required`, `unknown_ca`, …
        alert: String,
    },
    /// Any other failure of TLS.
    #[error("TLS with {url} failed")]
    #[diagnostic(help("check that the service speaks TLS 1.3 there; its log has the reason"))]
    Tls {
        /// The URL that was asked for.
        url: String,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The connection broke; whether the service acted is unknown.
    #[error("the connection to {url} broke")]
    #[diagnostic(help("try again: requests are made to be repeated"))]
    ConnectionLost {
        /// The URL that was asked for.
        url: String,
        /// What the HTTP library said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// No whole reply in time; whether the service acted is unknown.
    #[error("{url} gave no whole reply within {seconds} s")]
    #[diagnostic(help("try again: requests are made to be repeated"))]
    DeadlineExceeded {
        /// The URL that was asked for.
        url: String,
        /// The deadline in seconds.
        seconds: u64,
    },
    /// The reply is larger than any this client expects.
    #[error("the reply of {url} is larger than {limit} bytes")]
    #[diagnostic(help("check that the address is the service's"))]
    ReplyTooLarge {
        /// The URL that was asked for.
        url: String,
        /// The largest reply accepted, in bytes.
        limit: usize,
    },
}

impl TransportError {
    /// Finds out what an HTTP library's error means; `refusal` is what TLS said, when the library
    /// lost it.
    pub(crate) fn of(
        url: &str,
        error: hyper_util::client::legacy::Error,
        refusal: Option<rustls::Error>,
    ) -> Self {
        match find::<rustls::Error>(&error).cloned().or(refusal) {
            Some(error) => Self::of_tls(url.to_owned(), error),
            None if error.is_connect() => Self::Unreachable {
                url: url.to_owned(),
                source: error.into(),
            },
            None => Self::ConnectionLost {
                url: url.to_owned(),
                source: error.into(),
            },
        }
    }

    pub(crate) fn of_tls(url: String, error: rustls::Error) -> Self {
        match error {
            rustls::Error::AlertReceived(alert) if is_about_the_certificate(alert) => {
                let alert = rfc_name(alert);
                Self::CertificateRefused { url, alert }
            }
            rustls::Error::InvalidCertificate(reason) => Self::ServerUntrusted {
                url,
                reason: reason_text(&reason),
            },
            source => Self::Tls { url, source },
        }
    }
}

/// What ended a handshake, for the server's log.
pub(crate) fn handshake_reason(error: &io::Error) -> String {
    match find::<rustls::Error>(error) {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => {
            other.0.to_string()
        }
        Some(rustls::Error::InvalidCertificate(reason)) => {
            format!("the certificate is not trusted: {}", reason_text(reason))
        }
        Some(error) => error.to_string(),
        None => error.to_string(),
    }
}

/// Looks through the causes and into `io::Error`, whose `source()` skips the error it wraps.
pub(crate) fn find<'a, E: StdError + 'static>(
    error: &'a (dyn StdError + 'static),
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = match cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        };
    }
    None
}

fn is_about_the_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
    )
}

fn certificate_advice(alert: &str) -> &'static str {
    match alert {
        "certificate_required" | "no_certificate" => "give this client its certificate and key",
        "unknown_ca" | "decrypt_error" => {
            "give a certificate that the access CA of this deployment issued"
        }
        "certificate_expired" => {
            "have the access CA issue a new certificate, and check this machine's clock"
        }
        _ => {
            "give a certificate of the access CA that names one obol:// URI; the server's log has \
             the reason"
        }
    }
}

/// `CertificateRequired` becomes `certificate_required`, `UnknownCA` becomes `unknown_ca`: the
/// names of RFC 8446.
fn rfc_name(alert: AlertDescription) -> String {
    let mut name = String::new();
    let mut after_lower = false;
    for letter in format!("{alert:?}").chars() {
        if letter.is_ascii_uppercase() && after_lower {
            name.push('_');
        }
        after_lower = letter.is_ascii_lowercase();
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn reason_text(reason: &CertificateError) -> String {
    match reason {
        CertificateError::UnknownIssuer => "it is of another CA".to_owned(),
        CertificateError::BadSignature => "its CA has the right name and another key".to_owned(),
        CertificateError::Other(other) => other.0.to_string(),
        reason => reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_rfc() {
        assert_eq!(
            rfc_name(AlertDescription::CertificateRequired),
            "certificate_required"
        );
        assert_eq!(rfc_name(AlertDescription::UnknownCA), "unknown_ca");
        assert_eq!(rfc_name(AlertDescription::DecryptError), "decrypt_error");
    }

    #[test]
    fn a_cause_inside_an_io_error_inside_an_io_error_is_found() {
        let inner = io::Error::other(rustls::Error::HandshakeNotComplete);
        let outer = io::Error::other(inner);
        assert_eq!(
            find::<rustls::Error>(&outer),
            Some(&rustls::Error::HandshakeNotComplete)
        );
    }
}
