use std::path::PathBuf;

use miette::Diagnostic;
use obol_credential::{Cti, UnixTime};
use obol_kms_client::{KmsClient, KmsError, SpkiId, VerifiedSignature};
use obol_trust::{BundleRefused, TrustBundle};
use thiserror::Error;
use tracing::error;

use crate::certificate::{CertificateError, IssuerCertificate};
use crate::config::Config;
use crate::issuance::{Asked, IssueRefused, Policy, Proven, prove};
use crate::register::{CANDIDATES, Register, RegisterError, Reservation};

/// Signs credentials and makes trust bundles.
#[derive(Debug)]
pub struct Issuer {
    kms: KmsClient,
    signing: IssuerCertificate,
    published: Vec<IssuerCertificate>,
    policy: Policy,
    bundle_life_s: u32,
    register: Register,
}

/// Why the issuer does not start.
#[derive(Debug, Error, Diagnostic)]
pub enum StartError {
    /// A certificate cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Certificate(#[from] CertificateError),
    /// The register cannot be opened.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Register(#[from] RegisterError),
    /// The key management daemon does not answer.
    #[error("the key management daemon at {} cannot be asked", socket.display())]
    #[diagnostic(help(
        "start `obol-kms serve` first, and check `kms_socket` in the configuration"
    ))]
    Kms {
        /// Its socket.
        socket: PathBuf,
        /// What went wrong.
        source: KmsError,
    },
    /// The certificate is of a key that the daemon does not serve, or of another algorithm.
    #[error("{} is of key {spki}, which the key management daemon does not serve", path.display())]
    #[diagnostic(help(
        "give the certificate of a key that `obol-kms serve` is configured to serve"
    ))]
    KeyMismatch {
        /// The certificate.
        path: PathBuf,
        /// Its key.
        spki: SpkiId,
    },
    /// The certificate does not cover now.
    #[error("{} is good from {not_before} to {not_after}, and now is {now}", path.display())]
    #[diagnostic(help("give a certificate that is in force, and check this machine's clock"))]
    NotInForce {
        /// The certificate.
        path: PathBuf,
        /// First second at which it is good.
        not_before: UnixTime,
        /// Last second at which it is good.
        not_after: UnixTime,
        /// This machine's time.
        now: UnixTime,
    },
    /// A configured class is outside the certificate's scope.
    #[error("class {class} is outside the scope of {}", path.display())]
    #[diagnostic(help("remove the class, or have a certificate issued whose scope has it"))]
    ClassOutOfScope {
        /// The class.
        class: u8,
        /// The certificate.
        path: PathBuf,
    },
    /// The certificates do not make a bundle.
    #[error("the certificates make no trust bundle")]
    #[diagnostic(help("check `keys` in the configuration: each key once, at most 64"))]
    Bundle(#[source] BundleRefused),
}

impl Issuer {
    /// Loads certificates, asks the daemon for its keys and opens the register.
    ///
    /// # Errors
    /// [`StartError`], in particular when the daemon does not have the signing certificate's key.
    pub async fn start(config: &Config, now: UnixTime) -> Result<Self, StartError> {
        let signing = IssuerCertificate::load(&config.signing_certificate)?;
        check_certificate(&signing, config, now)?;
        let published = config.published_certificates.iter();
        let published: Vec<_> = published
            .map(|path| IssuerCertificate::load(path))
            .collect::<Result<_, _>>()?;
        let kms = connect(config, &signing).await?;
        let issuer = Self {
            kms,
            signing,
            published,
            policy: config.policy.clone(),
            bundle_life_s: config.bundle_life_s,
            register: Register::open(&config.database)?,
        };
        issuer.trust_bundle(now).map_err(StartError::Bundle)?;
        Ok(issuer)
    }

    /// Issues a credential: proves, reserves, then signs.
    ///
    /// # Errors
    /// [`IssueRefused`]. After a failure behind the reservation the device key is used up.
    pub async fn issue(
        &self,
        asked: &Asked,
        now: UnixTime,
    ) -> Result<(VerifiedSignature, UnixTime), IssueRefused> {
        let proven = prove(asked, &self.policy, now)?;
        let expires_at = self.expiry(now)?;
        let cti = Cti(random()?);
        let status_index = self.reserve(&proven, cti, now, expires_at).await?;
        let claims = proven.claims(now, expires_at, cti, status_index);
        let signed = self.kms.sign_credential(self.signing.spki(), &claims).await;
        Ok((
            signed.map_err(|cause| unavailable("signing", &cause))?,
            expires_at,
        ))
    }

    /// The keys that terminals shall believe, as bytes of `obol-trust`.
    ///
    /// # Errors
    /// [`BundleRefused`] only where [`Issuer::start`] would have refused.
    pub fn trust_bundle(&self, now: UnixTime) -> Result<Vec<u8>, BundleRefused> {
        let keys = std::iter::once(&self.signing).chain(&self.published);
        let entries = keys.map(IssuerCertificate::entry).collect();
        Ok(TrustBundle::new(now, now.plus(self.bundle_life_s), entries)?.encode())
    }

    /// Whether the daemon answers and still serves the key.
    ///
    /// # Errors
    /// [`IssueRefused::Unavailable`]; the reason is logged.
    pub async fn check(&self) -> Result<(), IssueRefused> {
        let keys = self
            .kms
            .keys()
            .await
            .map_err(|cause| unavailable("asking for keys", &cause))?;
        let served = keys.iter().any(|key| key.spki == self.signing.spki());
        if served {
            Ok(())
        } else {
            Err(IssueRefused::Unavailable)
        }
    }

    /// A credential does not outlive the certificate of the key that signed it.
    fn expiry(&self, now: UnixTime) -> Result<UnixTime, IssueRefused> {
        let expires_at = now.plus(self.policy.life_s).min(self.signing.not_after());
        if now < self.signing.not_before() || expires_at <= now {
            return Err(IssueRefused::KeyNotValid(self.signing.kid().to_string()));
        }
        Ok(expires_at)
    }

    async fn reserve(
        &self,
        proven: &Proven,
        cti: Cti,
        issued_at: UnixTime,
        expires_at: UnixTime,
    ) -> Result<u32, IssueRefused> {
        let mut candidates = [0; CANDIDATES];
        for candidate in &mut candidates {
            // The size is a power of two, so the mask favours no index.
            *candidate = u32::from_be_bytes(random()?) & (self.policy.status_list_size - 1);
        }
        let reservation = Reservation {
            kid: self.signing.kid(),
            subject: proven.subject(),
            device_key: proven.device_key(),
            cti,
            issued_at,
            expires_at,
            candidates,
        };
        self.register
            .reserve(reservation)
            .await
            .map_err(|cause| match cause {
                RegisterError::DeviceKeyReused => IssueRefused::DeviceKeyReused,
                RegisterError::Full => IssueRefused::StatusListFull,
                cause => unavailable("reserving a status index", &cause),
            })
    }
}

fn check_certificate(
    signing: &IssuerCertificate,
    config: &Config,
    now: UnixTime,
) -> Result<(), StartError> {
    let path = config.signing_certificate.clone();
    let (not_before, not_after) = (signing.not_before(), signing.not_after());
    if now < not_before || not_after < now {
        return Err(StartError::NotInForce {
            path,
            not_before,
            not_after,
            now,
        });
    }
    match config
        .policy
        .templates
        .keys()
        .find(|class| !signing.serves(**class))
    {
        Some(class) => Err(StartError::ClassOutOfScope {
            class: *class,
            path,
        }),
        None => Ok(()),
    }
}

async fn connect(config: &Config, signing: &IssuerCertificate) -> Result<KmsClient, StartError> {
    let failed = |source| StartError::Kms {
        socket: config.kms_socket.clone(),
        source,
    };
    let kms = KmsClient::connect(&config.kms_socket)
        .await
        .map_err(failed)?;
    let keys = kms.keys().await.map_err(failed)?;
    let fits = |key: &obol_kms_client::KeyInfo| {
        key.spki == signing.spki() && key.algorithm == signing.algorithm()
    };
    if !keys.iter().any(fits) {
        let path = config.signing_certificate.clone();
        return Err(StartError::KeyMismatch {
            path,
            spki: signing.spki(),
        });
    }
    Ok(kms)
}

fn random<const N: usize>() -> Result<[u8; N], IssueRefused> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|cause| unavailable("drawing random bytes", &cause))?;
    Ok(bytes)
}

/// Logs the whole chain here, where it is handled; the client learns only that it failed.
fn unavailable(act: &str, cause: &(dyn std::error::Error + 'static)) -> IssueRefused {
    error!(cause, "{act} failed");
    IssueRefused::Unavailable
}
