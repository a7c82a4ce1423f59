//! The access CA, as far as its key is behind a key management daemon: certificates of members and
//! the revocation list, each built here and signed as what it is.

mod authority;
mod lists;
mod pen;

use std::path::PathBuf;
use std::time::Duration;

use miette::Diagnostic;
use obol_console::{FileError, Mode, replace_atomically};
use obol_credential::UnixTime;
use obol_kms_client::{KmsClient, KmsError, PayloadType, SpkiId};
use obol_transport::{IdentityError, TrustAnchor};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, CustomExtension, DistinguishedName, DnType,
    IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use sha2::{Digest, Sha256};
use thiserror::Error;
use time::OffsetDateTime;

use crate::config::Config;
use crate::enrolment::EnrolmentRequest;
use crate::register::Member;
use authority::{Authority, KeyAt};
use lists::{Last, Lists, is_half_over, last, names};
use pen::{Pen, Subject};

const PEM_MAX: usize = 8 * 1024 * 1024;
const SIGNING_DEADLINE: Duration = Duration::from_secs(10);
const DAY_S: u32 = 86_400;
/// Days until a list is out of date: policies/profiles/crl.toml.
const LIST_DAYS: i64 = 8;
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
/// DER of `SEQUENCE { id-kp-clientAuth }`.
const CLIENT_AUTH: &[u8] = b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02";
/// Bytes of a key identifier: RFC 7093 section 2, method 1.
const KEY_IDENTIFIER_LEN: usize = 20;

/// The access CAs that are trusted here and the daemon that has the key of one at least. The first of
/// these in the file certifies; each makes its own revocation list.
#[derive(Debug)]
pub struct AccessCa {
    kms: KmsClient,
    authorities: Vec<Authority>,
    days: u32,
    crl: PathBuf,
    socket: PathBuf,
}

/// Why the access CA gave nothing.
#[derive(Debug, Error, Diagnostic)]
pub enum AccessError {
    /// A file cannot be read or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The CA's certificate or its last list is not what it should be.
    #[error("{} is not usable: {reason}", path.display())]
    #[diagnostic(help("give the access CA's certificate and its last revocation list, PEM"))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The daemon gave no signature, or does not have the key.
    #[error("the access CA's key management daemon gave no signature")]
    #[diagnostic(help("start `obol-kms serve` on the access CA's token, and check `kms_socket`"))]
    Kms(#[from] KmsError),
    /// The access CAs' certificates cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Anchor(#[from] IdentityError),
    /// A member is revoked whose CA's lists are not made here.
    #[error("the certificate {serial} is of an access CA whose key the daemon does not have")]
    #[diagnostic(help(
        "it is out of the register; have that CA's officers name it in their next list"
    ))]
    ListedElsewhere {
        /// Hexadecimal digits.
        serial: String,
    },
    /// The CA's certificate ends too soon.
    #[error("the access CA's certificate has ended")]
    #[diagnostic(help("have the root issue a new one in a ceremony"))]
    Ended,
    /// The builder failed.
    #[error("the certificate or list cannot be built: {0}")]
    Encoding(String),
}

impl AccessCa {
    /// Opens it where the configuration has enrolment.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn open(config: &Config) -> Result<Option<Self>, AccessError> {
        let (Some(enrolment), Some(crl)) = (&config.enrolment, &config.tls.crl) else {
            return Ok(None);
        };
        let kms = KmsClient::connect(&enrolment.kms_socket).await?;
        let served = kms.keys().await?;
        let served: Vec<SpkiId> = served.iter().map(|key| key.spki).collect();
        let anchor = TrustAnchor::load(&config.tls.trust)?;
        let authorities = anchor.authorities();
        let authorities: Option<Vec<_>> =
            authorities.map(|ca| Authority::new(ca, &served)).collect();
        let authorities = authorities.ok_or_else(|| AccessError::Unusable {
            path: config.tls.trust.clone(),
            reason: "not X.509",
        })?;
        if !authorities.iter().any(Authority::is_served) {
            return Err(KmsError::UnknownKey(authorities[0].spki).into());
        }
        Ok(Some(Self {
            kms,
            authorities,
            days: enrolment.certificate_days,
            crl: crl.clone(),
            socket: enrolment.kms_socket.clone(),
        }))
    }

    /// Whether this configuration would open the same: the same CAs, and all their keys are with the
    /// daemon already.
    pub(crate) fn is_of(&self, config: &Config) -> bool {
        let (Some(enrolment), Some(crl)) = (&config.enrolment, &config.tls.crl) else {
            return false;
        };
        let Ok(anchor) = TrustAnchor::load(&config.tls.trust) else {
            return false;
        };
        let own = self.authorities.iter().map(|authority| &authority.ca);
        anchor.authorities().eq(own)
            && self.authorities.iter().all(Authority::is_served)
            && (&self.socket, self.days, &self.crl)
                == (&enrolment.kms_socket, enrolment.certificate_days, crl)
    }

    /// The certificates of all that are trusted, DER.
    pub(crate) fn certificates(&self) -> Vec<&[u8]> {
        let authorities = self.authorities.iter();
        authorities.map(|authority| authority.ca.der()).collect()
    }

    /// Who certifies.
    fn certifier(&self) -> Result<&Authority, AccessError> {
        let mut served = self.authorities.iter().filter(|one| one.is_served());
        let unknown = || KmsError::UnknownKey(self.authorities[0].spki);
        Ok(served.next().ok_or_else(unknown)?)
    }

    /// Certifies a member: a client of its identity, by the profiles of terminals and clients.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(crate) async fn certify(
        &self,
        request: &EnrolmentRequest,
        serial: [u8; 20],
        now: UnixTime,
    ) -> Result<Member, AccessError> {
        let authority = self.certifier()?;
        let not_after = now.plus(self.days * DAY_S - 1).min(authority.not_after);
        if not_after <= now {
            return Err(AccessError::Ended);
        }
        let serial = positive(serial);
        let params = params(request, &serial, now, not_after)?;
        let point = request.point().to_vec();
        let ca = authority.ca.der().to_vec();
        let certificate = self
            .build(authority, PayloadType::TbsCertificate, move |pen| {
                let issuer = Issuer::from_ca_cert_der(&ca.as_slice().into(), pen)?;
                let signed = params.signed_by(&Subject(point), &issuer)?;
                Ok(signed.der().to_vec())
            })
            .await?;
        Ok(Member {
            spki: request.spki(),
            identity: request.identity().to_owned(),
            serial: serial.to_vec(),
            certificate,
            not_after,
            enrolled_at: now,
            revoked_at: None,
        })
    }

    /// Makes the next revocation list of each CA whose key the daemon has, and puts them in the
    /// place of the last ones: what stood there, and every member of that CA that is revoked. The
    /// newest list of another trusted CA stays as it is; one of a CA that is not trusted any more goes.
    ///
    /// # Errors
    /// [`AccessError`]; the last lists stay then.
    pub(crate) async fn publish_list(
        &self,
        members: &[Member],
        now: UnixTime,
    ) -> Result<(), AccessError> {
        let lists = Lists::read(&self.crl)?;
        let mut text = String::new();
        for (place, authority) in self.authorities.iter().enumerate() {
            // Two certificates of one CA have one list: a second would be refused wherever it is read.
            let mut before = self.authorities[..place].iter();
            if before.any(|other| other.ca.is_same_ca(&authority.ca)) {
                continue;
            }
            let last = lists.of(&authority.ca);
            let list = match (authority.key, last) {
                (KeyAt::Daemon, last) => Some(self.next_list(authority, last, members, now).await?),
                (KeyAt::Elsewhere, last) => last.map(<[u8]>::to_vec),
            };
            text.extend(list.map(|list| pem_text("X509 CRL", &list)));
        }
        Ok(replace_atomically(
            &self.crl,
            text.as_bytes(),
            Mode::Public,
        )?)
    }

    /// Whether the lists name a member that is revoked, as far as its CA is trusted at all.
    pub(crate) fn check_listed(&self, member: &Member) -> Result<(), AccessError> {
        let mut authorities = self.authorities.iter();
        let Some(authority) = authorities.find(|one| one.ca.issued(&member.certificate)) else {
            return Ok(());
        };
        let lists = Lists::read(&self.crl)?;
        let list = lists.of(&authority.ca);
        if list.is_some_and(|list| names(list, &member.serial)) {
            return Ok(());
        }
        let serial = data_encoding::HEXLOWER.encode(&member.serial);
        Err(AccessError::ListedElsewhere { serial })
    }

    async fn next_list(
        &self,
        authority: &Authority,
        list: Option<&[u8]>,
        members: &[Member],
        now: UnixTime,
    ) -> Result<Vec<u8>, AccessError> {
        let last = list.map(|list| last(list, &self.crl)).transpose()?;
        let Last {
            number,
            entries: mut revoked,
        } = last.unwrap_or(Last::NONE);
        for member in members {
            let Some(at) = member.revoked_at else {
                continue;
            };
            let is_new = revoked
                .iter()
                .all(|entry| entry.serial_number.as_ref() != member.serial);
            if is_new && authority.ca.issued(&member.certificate) {
                revoked.push(RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&member.serial),
                    revocation_time: date(at)?,
                    reason_code: None,
                    invalidity_date: None,
                });
            }
        }
        let made = date(now)?;
        let params = CertificateRevocationListParams {
            this_update: made,
            next_update: made + time::Duration::days(LIST_DAYS),
            crl_number: SerialNumber::from(number + 1),
            issuing_distribution_point: None,
            revoked_certs: revoked,
            key_identifier_method: KeyIdMethod::PreSpecified(authority.key_identifier.clone()),
        };
        let ca = authority.ca.der().to_vec();
        self.build(authority, PayloadType::Crl, move |pen| {
            let issuer = Issuer::from_ca_cert_der(&ca.as_slice().into(), pen)?;
            Ok(params.signed_by(&issuer)?.der().to_vec())
        })
        .await
    }

    /// Runs the builder on a thread that may wait, where its bytes go to the daemon as `payload`.
    async fn build(
        &self,
        authority: &Authority,
        payload: PayloadType,
        build: impl FnOnce(Pen) -> Result<Vec<u8>, rcgen::Error> + Send + 'static,
    ) -> Result<Vec<u8>, AccessError> {
        let (pen, mut asked) = Pen::new(authority.point.clone());
        let building = tokio::task::spawn_blocking(move || build(pen));
        let mut failure = None;
        while let Some((message, answer)) = asked.recv().await {
            let deadline = std::time::Instant::now() + SIGNING_DEADLINE;
            let signed = self
                .kms
                .sign(authority.spki, payload, &message, deadline)
                .await;
            match signed {
                Ok(signature) => drop(answer.send(signature.to_der())),
                Err(cause) => failure = Some(cause),
            }
        }
        let built = building.await;
        let built = built.map_err(|error| AccessError::Encoding(error.to_string()))?;
        match (built, failure) {
            (_, Some(cause)) => Err(cause.into()),
            (Err(error), None) => Err(AccessError::Encoding(error.to_string())),
            (Ok(der), None) => Ok(der),
        }
    }

    /// Whether the next lists should be made: half of the last one's life is over, a CA whose key the
    /// daemon has is without one, a CA has two, or a CA that is not trusted any more has one.
    pub(crate) fn list_is_due(&self, now: UnixTime) -> bool {
        let Ok(lists) = Lists::read(&self.crl) else {
            return true;
        };
        let mut served = self.authorities.iter().filter(|one| one.is_served());
        let is_due = |one: &Authority| {
            let list = lists.of(&one.ca);
            list.is_none_or(|list| is_half_over(list, now))
        };
        let cas = self.authorities.iter().map(|one| &one.ca);
        !lists.are_one_each(cas) || served.any(is_due)
    }
}

/// What the profiles `terminal` and `client` say, and nothing of the builder's own defaults.
fn params(
    request: &EnrolmentRequest,
    serial: &[u8],
    not_before: UnixTime,
    not_after: UnixTime,
) -> Result<CertificateParams, AccessError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, request.identity());
    params.not_before = date(not_before)?;
    params.not_after = date(not_after)?;
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.use_authority_key_identifier_extension = true;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let usage = CustomExtension::from_oid_content(EXTENDED_KEY_USAGE, CLIENT_AUTH.to_vec());
    params.custom_extensions.push(usage);
    let uri = request.identity().try_into();
    let uri = uri.map_err(|error: rcgen::Error| AccessError::Encoding(error.to_string()))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.key_identifier_method = KeyIdMethod::PreSpecified(key_identifier(request.point()));
    Ok(params)
}

/// The first byte lies in 0x40..=0x7f: positive, and never shorter.
fn positive(mut serial: [u8; 20]) -> [u8; 20] {
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

fn key_identifier(point: &[u8]) -> Vec<u8> {
    Sha256::digest(point)[..KEY_IDENTIFIER_LEN].to_vec()
}

fn date(time: UnixTime) -> Result<OffsetDateTime, AccessError> {
    OffsetDateTime::from_unix_timestamp(i64::from(time.0))
        .map_err(|error| AccessError::Encoding(error.to_string()))
}

/// RFC 7468.
fn pem_text(label: &str, der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
