//! What a failed attempt means, and when the next one may be made: no clock, no randomness.

use std::time::Duration;

use obol_transport::{Problem, TransportError};
use sha2::{Digest, Sha256};

use crate::error::IssuerClientError;

/// Attempts at one issuer for one call.
pub(crate) const ATTEMPTS_MAX: u32 = 10;
/// The first pause lies between half of this and all of it; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause of the client's own is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What is known of a request that was not answered with success, worse last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// No connection was made: nothing of it reached the issuer.
    NotSent,
    /// The issuer said no before it wrote anything down.
    NotTaken,
    /// It may have been done, or may yet be.
    Unknown,
}

/// Whether the same request may be made once more of the same issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    No,
    Yes,
}

/// Reads an attempt's failure.
pub(crate) fn judge(error: &IssuerClientError) -> (Fate, Again) {
    match error {
        IssuerClientError::Transport(error) => of_transport(error),
        IssuerClientError::Refused(problem) => of_problem(problem),
        IssuerClientError::Possession(_) => (Fate::NotSent, Again::No),
        _ => (Fate::Unknown, Again::No),
    }
}

fn of_transport(error: &TransportError) -> (Fate, Again) {
    use TransportError as E;
    match error {
        E::Unreachable { .. } => (Fate::NotSent, Again::Yes),
        // Neither side spoke HTTP to the other.
        E::BadUrl { .. } | E::ServerUntrusted { .. } | E::CertificateRefused { .. } => {
            (Fate::NotSent, Again::No)
        }
        E::Tls { .. } | E::ConnectionLost { .. } | E::DeadlineExceeded { .. } => {
            (Fate::Unknown, Again::Yes)
        }
        E::ReplyTooLarge { .. } => (Fate::Unknown, Again::No),
    }
}

fn of_problem(problem: &Problem) -> (Fate, Again) {
    match (problem.status.as_u16(), problem.code.as_ref()) {
        (503, "overloaded") => (Fate::NotTaken, Again::Yes),
        (503, "restored-today" | "no-signing-key" | "issuer-key-unavailable") => {
            (Fate::NotTaken, Again::No)
        }
        (503, "signing-unavailable") | (409, "request-in-progress") => (Fate::Unknown, Again::Yes),
        // Something between client and issuer speaks.
        (429 | 502 | 503 | 504, "unexpected-reply") => (Fate::Unknown, Again::Yes),
        (400..=499, _) => (Fate::NotTaken, Again::No),
        _ => (Fate::Unknown, Again::No),
    }
}

/// Whether an issuer that said so serves nobody: new requests may go elsewhere.
pub(crate) fn is_out_of_service(error: &IssuerClientError) -> bool {
    match error {
        IssuerClientError::Transport(TransportError::Unreachable { .. }) => true,
        IssuerClientError::Refused(problem) => {
            let codes = ["restored-today", "no-signing-key", "issuer-key-unavailable"];
            codes.contains(&problem.code.as_ref())
        }
        _ => false,
    }
}

/// Whether the issuer gave no answer, or could not sign: a strike against it.
pub(crate) fn is_strike(error: &IssuerClientError) -> bool {
    match error {
        IssuerClientError::Transport(error) => matches!(
            error,
            TransportError::Unreachable { .. }
                | TransportError::Tls { .. }
                | TransportError::ConnectionLost { .. }
                | TransportError::DeadlineExceeded { .. }
        ),
        IssuerClientError::Refused(problem) => {
            problem.code == "signing-unavailable" || problem.code == "issuer-key-not-valid"
        }
        _ => false,
    }
}

/// How long to wait before attempt `next` (from 1). `random` spreads clients that failed together;
/// what the issuer asked for (`Retry-After`) is waited for in any case, and the spread added.
pub(crate) fn pause(next: u32, random: u64, retry_after: Option<Duration>) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << (next - 1).min(16));
    let most = doubled.min(LONGEST_PAUSE);
    let spread = most.mul_f64(random as f64 / u64::MAX as f64) / 2;
    match retry_after {
        Some(asked) => asked + spread,
        None => most / 2 + spread,
    }
}

/// The `number`th value that follows from a client's seed.
pub(crate) fn drawn(seed: &[u8; 16], number: u64) -> u64 {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(seed)
        .chain_update(number.to_be_bytes())
        .finalize()
        .into();
    let (value, _) = hash.split_first_chunk().expect("32 bytes begin with 8");
    u64::from_be_bytes(*value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use obol_transport::http::StatusCode;

    fn refused(status: u16, code: &'static str) -> IssuerClientError {
        let status = StatusCode::from_u16(status).unwrap();
        IssuerClientError::Refused(Problem::new(status, code, "title", "detail"))
    }

    #[test]
    fn only_what_may_be_repeated_is_and_only_what_was_not_taken_counts_as_such() {
        for (status, code, verdict) in [
            (503, "overloaded", (Fate::NotTaken, Again::Yes)),
            (503, "restored-today", (Fate::NotTaken, Again::No)),
            (503, "no-signing-key", (Fate::NotTaken, Again::No)),
            (503, "issuer-key-unavailable", (Fate::NotTaken, Again::No)),
            (503, "signing-unavailable", (Fate::Unknown, Again::Yes)),
            (409, "request-in-progress", (Fate::Unknown, Again::Yes)),
            (502, "unexpected-reply", (Fate::Unknown, Again::Yes)),
            (409, "device-key-reused", (Fate::NotTaken, Again::No)),
            (422, "idempotency-key-reused", (Fate::NotTaken, Again::No)),
            (429, "quota-exhausted", (Fate::NotTaken, Again::No)),
            (500, "internal", (Fate::Unknown, Again::No)),
            (503, "issuer-key-not-valid", (Fate::Unknown, Again::No)),
        ] {
            assert_eq!(judge(&refused(status, code)), verdict, "{status} {code}");
        }
        let odd = IssuerClientError::WrongReply("odd".to_owned());
        assert_eq!(judge(&odd), (Fate::Unknown, Again::No));
    }

    #[test]
    fn pauses_double_up_to_two_seconds_and_keep_a_half_for_chance() {
        let ms = |next, random| pause(next, random, None).as_millis();
        assert_eq!((ms(1, 0), ms(1, u64::MAX)), (50, 100));
        assert_eq!((ms(3, 0), ms(3, u64::MAX)), (200, 400));
        assert_eq!((ms(9, 0), ms(9, u64::MAX)), (1000, 2000));
        assert_eq!(ms(u32::MAX, u64::MAX), 2000);
    }

    #[test]
    fn what_the_issuer_asked_for_is_waited_for() {
        let asked = Some(Duration::from_secs(7));
        assert_eq!(pause(1, 0, asked), Duration::from_secs(7));
        assert_eq!(pause(1, u64::MAX, asked), Duration::from_millis(7050));
    }

    #[test]
    fn draws_follow_from_the_seed_and_differ() {
        assert_eq!(drawn(&[7; 16], 1), drawn(&[7; 16], 1));
        assert_ne!(drawn(&[7; 16], 1), drawn(&[7; 16], 2));
        assert_ne!(drawn(&[7; 16], 1), drawn(&[8; 16], 1));
    }
}
