//! The one thing an issuer key signs: the claims of a credential.

use obol_credential::{Claims, Kid, Malformed, UnixTime, credential_signature_input};
use obol_kms_client::SpkiId;

use crate::keys::{FindError, Key};
use crate::public_key::VerifiedSignature;
use crate::token::{SignError, Token};
use crate::x509::{IssuerCertificate, Scope};

/// How far `iat` may lie from the signer's clock, in seconds.
pub const CLOCK_TOLERANCE_S: u32 = 5 * 60;
/// Longest display window, in seconds.
pub const WINDOW_MAX_S: u16 = 60;

/// A key of a token together with the certificate that lets it sign credentials.
#[derive(Debug, Clone)]
pub struct IssuerKey {
    key: Key,
    certificate: IssuerCertificate,
}

/// A rule that no caller can switch off was broken; nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsRefusal {
    /// Not the deterministic encoding of claims, or a life outside 1 s to 48 h.
    #[error("the claims are malformed: {0}")]
    Malformed(Malformed),
    /// `iat` is far from the signer's clock.
    #[error("iat lies {offset_s} s from the signer's clock, allowed are {CLOCK_TOLERANCE_S} s")]
    IssuedAt {
        /// `iat - now`, in seconds.
        offset_s: i64,
    },
    /// The display window is out of range.
    #[error("window of {0} s is not 1 to {WINDOW_MAX_S} s")]
    Window(u16),
    /// The issuer's certificate does not allow this passenger class.
    #[error("class {class} is not in the scope of issuer {operator:?}")]
    Class {
        /// Passenger class of the claims.
        class: u8,
        /// Operator of the certificate.
        operator: String,
    },
    /// Outside the validity of the issuer's certificate.
    #[error(
        "the issuer's certificate is good from {not_before} to {not_after} (seconds since 1970), now is {now}"
    )]
    Certificate {
        /// First second.
        not_before: UnixTime,
        /// Last second.
        not_after: UnixTime,
        /// The signer's clock.
        now: UnixTime,
    },
}

/// Why no credential was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignCredentialError {
    /// A hard rule refused the claims.
    #[error(transparent)]
    Refused(#[from] ClaimsRefusal),
    /// The token failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl IssuerKey {
    /// Finds the certificate's key in `token`.
    ///
    /// # Errors
    /// [`FindError`].
    pub fn find(token: &Token, certificate: IssuerCertificate) -> Result<IssuerKey, FindError> {
        let key = token.key(certificate.public.spki_id())?;
        Ok(IssuerKey { key, certificate })
    }

    /// The key that the certificate names; whether a token holds it is for the token to say.
    pub fn of(certificate: IssuerCertificate) -> IssuerKey {
        let key = Key::named(certificate.public.clone());
        IssuerKey { key, certificate }
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn id(&self) -> SpkiId {
        self.key.id()
    }

    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// First four bytes of the id.
    pub fn kid(&self) -> Kid {
        self.key.id().kid()
    }

    /// What the certificate allows.
    pub fn scope(&self) -> &Scope {
        &self.certificate.scope
    }
}

impl Token {
    /// Signs the claims of a credential: parses them again, applies the hard rules, builds the COSE
    /// `Sig_structure` (RFC 9052 section 4.4) itself, signs it and verifies the result.
    ///
    /// It asks no registry, no policy and no log: those who do are the engine, the only way in from
    /// outside.
    ///
    /// # Errors
    /// [`SignCredentialError::Refused`] when a rule is broken, else the token's failure.
    pub(crate) fn sign_credential(
        &self,
        issuer: &IssuerKey,
        claims: &[u8],
        now: UnixTime,
    ) -> Result<VerifiedSignature, SignCredentialError> {
        let to_sign = credential_to_sign(issuer, claims, now)?;
        Ok(self.sign(&issuer.key, &to_sign)?)
    }
}

/// Parses the claims, applies the hard rules and builds the COSE `Sig_structure`.
pub(crate) fn credential_to_sign(
    issuer: &IssuerKey,
    claims: &[u8],
    now: UnixTime,
) -> Result<Vec<u8>, ClaimsRefusal> {
    check(issuer, claims, now)?;
    let algorithm = issuer.key.public().curve().algorithm();
    let input = credential_signature_input(algorithm, issuer.kid(), claims)
        .map_err(ClaimsRefusal::Malformed)?;
    Ok(input.to_vec())
}

fn check(issuer: &IssuerKey, claims: &[u8], now: UnixTime) -> Result<(), ClaimsRefusal> {
    let claims = Claims::decode(claims).map_err(ClaimsRefusal::Malformed)?;
    let offset_s = claims.issued_at.since(now);
    if offset_s.unsigned_abs() > u64::from(CLOCK_TOLERANCE_S) {
        return Err(ClaimsRefusal::IssuedAt { offset_s });
    }
    if !(1..=WINDOW_MAX_S).contains(&claims.fare.window_s) {
        return Err(ClaimsRefusal::Window(claims.fare.window_s));
    }
    let IssuerCertificate {
        scope,
        not_before,
        not_after,
        ..
    } = &issuer.certificate;
    if !scope.allows(claims.fare.class) {
        let operator = scope.operator().to_owned();
        return Err(ClaimsRefusal::Class {
            class: claims.fare.class,
            operator,
        });
    }
    if now < *not_before || now > *not_after {
        let (not_before, not_after) = (*not_before, *not_after);
        return Err(ClaimsRefusal::Certificate {
            not_before,
            not_after,
            now,
        });
    }
    Ok(())
}
