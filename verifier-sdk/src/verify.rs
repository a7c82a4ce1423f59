use core::fmt;

use obol_credential::{
    AUDIENCE, Claims, Credential, Cti, Dynamic, Encoded, Kid, Nonce, PRESENTATION_MAX,
    Presentation, RefusalCode, UnixTime, from_text,
};

use crate::{
    Backend, CredentialCache, IssuerKey, KeyRefused, KeyStatus, Operator, Place, TrustStore,
    cache::Fingerprint, point::device_has_signed,
};

/// How far a phone's and a terminal's clocks may be apart, seconds.
pub const SKEW_S: u32 = 30;

/// The longest window a terminal grants, seconds, whatever the credential says.
pub const WINDOW_MAX_S: u16 = 60;

/// Decides whether a boarding code is good, here and now, without any network.
///
/// The checks run in the order of docs/spec/pt1.md section 4: cheap ones first, both signatures
/// before a [`Verified`] exists. The status list, the duplicate guard and the fare come after.
#[derive(Clone, Copy, Debug)]
pub struct Verifier<'a> {
    /// The issuer keys to believe.
    pub trust: TrustStore<'a>,
    /// The operator this terminal takes fares for.
    pub operator: Operator,
}

/// A boarding code whose form, time, scope and both signatures hold. Only [`Verifier`] makes one.
#[derive(Clone, Debug)]
#[must_use]
pub struct Verified {
    presentation: Encoded<PRESENTATION_MAX>,
    kid: Kid,
    claims: Claims,
    dynamic: Dynamic,
    at: UnixTime,
}

/// What makes a boarding code this one and no other: signed content, never the QR text, because
/// (r, n - s) verifies as well as (r, s).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodeIdentity {
    /// The issuer key.
    pub kid: Kid,
    /// The credential.
    pub cti: Cti,
    /// When the phone made the code.
    pub issued_at: UnixTime,
    /// The code's nonce.
    pub nonce: Nonce,
}

/// Why a boarding code is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: RefusalCode,
    /// The rule of docs/spec/pt1.md that was broken.
    pub rule: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.code.number(), self.rule)
    }
}

impl core::error::Error for Refusal {}

impl Verifier<'_> {
    /// Verifies the text of a QR code at `now`. A scanner's line end must be gone before.
    ///
    /// # Errors
    /// [`Refusal`] with the code of the first rule that is broken.
    pub fn verify_text(&self, text: &[u8], now: UnixTime) -> Result<Verified, Refusal> {
        self.verify(&bytes_of(text)?, now)
    }

    /// [`Verifier::verify_text`], sparing the issuer signature of a credential that `cache` holds.
    ///
    /// # Errors
    /// [`Refusal`] with the code of the first rule that is broken.
    pub fn verify_text_cached<P>(
        &self,
        text: &[u8],
        now: UnixTime,
        cache: &mut CredentialCache<P>,
    ) -> Result<Verified, Refusal>
    where
        P: AsRef<[Place]> + AsMut<[Place]>,
    {
        self.verify_cached(&bytes_of(text)?, now, cache)
    }

    /// Verifies the bytes of a presentation at `now`. The platform does so again with the time
    /// that the terminal recorded.
    ///
    /// # Errors
    /// [`Refusal`] with the code of the first rule that is broken.
    pub fn verify(&self, bytes: &[u8], now: UnixTime) -> Result<Verified, Refusal> {
        self.verify_cached(bytes, now, &mut CredentialCache::new([]))
    }

    /// [`Verifier::verify`], sparing the issuer signature of a credential that `cache` holds.
    ///
    /// # Errors
    /// [`Refusal`] with the code of the first rule that is broken.
    pub fn verify_cached<P>(
        &self,
        bytes: &[u8],
        now: UnixTime,
        cache: &mut CredentialCache<P>,
    ) -> Result<Verified, Refusal>
    where
        P: AsRef<[Place]> + AsMut<[Place]>,
    {
        let presentation =
            Presentation::decode(bytes).map_err(|m| refusal(RefusalCode::Malformed, m.rule))?;
        if presentation.audience() != AUDIENCE {
            return Err(refusal(RefusalCode::UnknownScheme, "audience is not P1"));
        }
        let credential = presentation.credential();
        let (claims, dynamic) = (credential.claims(), presentation.dynamic());
        let key = self.key_for(credential, now)?;
        check_times(claims, dynamic, now)?;
        check_device_signature(&presentation, self.trust.backend())?;
        self.check_issuer_signature(key, credential, cache)?;
        let copy = Encoded::copy_of(bytes)
            .ok_or(refusal(RefusalCode::Malformed, "longer than 319 bytes"))?;
        Ok(Verified {
            presentation: copy,
            kid: credential.kid(),
            claims: *claims,
            dynamic: *dynamic,
            at: now,
        })
    }

    /// Verifies a credential alone, as whoever issued it checks before handing it out: form, key,
    /// scope, life and the issuer's signature. It is no boarding code: nobody has shown it.
    ///
    /// # Errors
    /// [`Refusal`] with the code of the first rule that is broken.
    pub fn verify_credential(&self, bytes: &[u8], now: UnixTime) -> Result<Claims, Refusal> {
        let credential =
            Credential::decode(bytes).map_err(|m| refusal(RefusalCode::Malformed, m.rule))?;
        let claims = *credential.claims();
        let key = self.key_for(&credential, now)?;
        if now >= claims.expires_at {
            let rule = "the credential has expired";
            return Err(refusal(RefusalCode::CredExpired, rule));
        }
        self.check_issuer_signature(key, &credential, &mut CredentialCache::new([]))?;
        Ok(claims)
    }

    fn check_issuer_signature<P>(
        &self,
        key: &IssuerKey,
        credential: &Credential<'_>,
        cache: &mut CredentialCache<P>,
    ) -> Result<(), Refusal>
    where
        P: AsRef<[Place]> + AsMut<[Place]>,
    {
        let fingerprint = Fingerprint::of(key, credential.bytes());
        if cache.holds(fingerprint) {
            return Ok(());
        }
        let input = credential.signature_input();
        if !self.trust.has_signed(key, &input, credential.signature()) {
            return Err(refusal(
                RefusalCode::IssuerSig,
                "the issuer did not sign this credential",
            ));
        }
        cache.put(fingerprint);
        Ok(())
    }

    fn key_for(&self, credential: &Credential<'_>, now: UnixTime) -> Result<&IssuerKey, Refusal> {
        let claims = credential.claims();
        let key = self
            .trust
            .find(credential.kid(), credential.algorithm())
            .ok_or(refusal(
                RefusalCode::UnknownKey,
                "no issuer key with this kid and algorithm",
            ))?;
        if key.status == KeyStatus::Suspended {
            return Err(refusal(
                RefusalCode::KeySuspended,
                "the issuer key is suspended",
            ));
        }
        if !key.validity.covers(claims.issued_at) || !key.validity.covers(now) {
            return Err(refusal(
                RefusalCode::OutOfScope,
                "outside the issuer key's validity",
            ));
        }
        if !key.serves(&self.operator, claims.fare.class) {
            return Err(refusal(
                RefusalCode::OutOfScope,
                "operator or class not the issuer key's",
            ));
        }
        Ok(key)
    }
}

fn bytes_of(text: &[u8]) -> Result<Encoded<PRESENTATION_MAX>, Refusal> {
    from_text(text).map_err(|code| match code {
        RefusalCode::UnknownScheme => refusal(code, "does not begin with PT1:"),
        _ => refusal(code, "not base45 of at most 319 bytes"),
    })
}

fn check_times(claims: &Claims, dynamic: &Dynamic, now: UnixTime) -> Result<(), Refusal> {
    let skew = i64::from(SKEW_S);
    let window = i64::from(claims.fare.window_s.min(WINDOW_MAX_S));
    if now >= claims.expires_at || dynamic.issued_at >= claims.expires_at {
        return Err(refusal(
            RefusalCode::CredExpired,
            "the credential has expired",
        ));
    }
    let age = now.since(dynamic.issued_at);
    if age < -skew || now.since(claims.issued_at) < -skew {
        return Err(refusal(
            RefusalCode::CodeFuture,
            "made more than 30 s in the future",
        ));
    }
    if age > window + skew {
        return Err(refusal(
            RefusalCode::CodeStale,
            "older than its window and 30 s",
        ));
    }
    if dynamic.issued_at.since(claims.issued_at) < -skew {
        return Err(refusal(RefusalCode::CodeStale, "older than its credential"));
    }
    Ok(())
}

fn check_device_signature(
    presentation: &Presentation<'_>,
    backend: Backend,
) -> Result<(), Refusal> {
    let broken = |rule| refusal(RefusalCode::DeviceSig, rule);
    let key = presentation.credential().claims().device_key.as_sec1();
    let input = presentation.signature_input();
    match device_has_signed(key, &input, presentation.signature(), backend) {
        Ok(true) => Ok(()),
        Ok(false) => Err(broken("the device key did not sign this code")),
        Err(KeyRefused) => Err(broken("the device key is not a point on P-256")),
    }
}

impl Verified {
    /// The bytes that were verified, for the journal: the platform verifies them again.
    #[must_use]
    pub fn presentation(&self) -> &[u8] {
        &self.presentation
    }

    /// The issuer key.
    #[must_use]
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// What the issuer says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What the phone says.
    #[must_use]
    pub fn dynamic(&self) -> &Dynamic {
        &self.dynamic
    }

    /// When it was verified.
    #[must_use]
    pub fn at(&self) -> UnixTime {
        self.at
    }

    /// What tells this boarding code from every other.
    #[must_use]
    pub fn identity(&self) -> CodeIdentity {
        CodeIdentity {
            kid: self.kid,
            cti: self.claims.cti,
            issued_at: self.dynamic.issued_at,
            nonce: self.dynamic.nonce,
        }
    }
}

pub(crate) const fn refusal(code: RefusalCode, rule: &'static str) -> Refusal {
    Refusal { code, rule }
}
