//! The access CA, as far as its key is behind a key management daemon: certificates of members and
//! the revocation list, each built here and signed as what it is.

mod pen;

use std::path::PathBuf;
use std::time::Duration;

use miette::Diagnostic;
use obol_console::{FileError, Mode, read_limited, replace_atomically};
use obol_credential::UnixTime;
use obol_kms_client::{KmsClient, KmsError, PayloadType, SpkiId};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, CustomExtension, DistinguishedName, DnType,
    IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use sha2::{Digest, Sha256};
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::config::Config;
use crate::enrolment::EnrolmentRequest;
use crate::expiry::list_times;
use crate::register::Member;
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

/// The access CA's certificate and the daemon that has its key.
#[derive(Debug)]
pub struct AccessCa {
    kms: KmsClient,
    spki: SpkiId,
    point: Vec<u8>,
    certificate: Vec<u8>,
    key_identifier: Vec<u8>,
    not_after: UnixTime,
    days: u32,
    crl: PathBuf,
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
        let path = config.tls.trust.clone();
        let unusable = |reason| AccessError::Unusable {
            path: path.clone(),
            reason,
        };
        let pem = read_limited(&path, PEM_MAX)?;
        let (_, pem) = parse_x509_pem(&pem).map_err(|_| unusable("not PEM"))?;
        let x509 = pem.parse_x509().map_err(|_| unusable("not X.509"))?;
        let point = x509.public_key().subject_public_key.data.to_vec();
        let not_after = u32::try_from(x509.validity().not_after.timestamp());
        let kms = KmsClient::connect(&enrolment.kms_socket).await?;
        let spki = SpkiId::of(x509.public_key().raw);
        if !kms.keys().await?.iter().any(|key| key.spki == spki) {
            return Err(KmsError::UnknownKey(spki).into());
        }
        Ok(Some(Self {
            kms,
            spki,
            key_identifier: key_identifier(&point),
            point,
            not_after: UnixTime(not_after.unwrap_or(u32::MAX)),
            certificate: pem.contents.clone(),
            days: enrolment.certificate_days,
            crl: crl.clone(),
        }))
    }

    /// Its own certificate, DER.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
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
        let not_after = now.plus(self.days * DAY_S - 1).min(self.not_after);
        if not_after <= now {
            return Err(AccessError::Ended);
        }
        let serial = positive(serial);
        let params = params(request, &serial, now, not_after)?;
        let point = request.point().to_vec();
        let ca = self.certificate.clone();
        let certificate = self
            .build(PayloadType::TbsCertificate, move |pen| {
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

    /// Makes the next revocation list and puts it in the last one's place: what stood there, and
    /// every member that is revoked.
    ///
    /// # Errors
    /// [`AccessError`]; the last list stays then.
    pub(crate) async fn publish_list(
        &self,
        members: &[Member],
        now: UnixTime,
    ) -> Result<(), AccessError> {
        let (number, mut revoked) = self.last_list()?;
        for member in members {
            let Some(at) = member.revoked_at else {
                continue;
            };
            if !revoked
                .iter()
                .any(|entry| entry.serial_number.as_ref() == member.serial)
            {
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
            key_identifier_method: KeyIdMethod::PreSpecified(self.key_identifier.clone()),
        };
        let ca = self.certificate.clone();
        let list = self
            .build(PayloadType::Crl, move |pen| {
                let issuer = Issuer::from_ca_cert_der(&ca.as_slice().into(), pen)?;
                Ok(params.signed_by(&issuer)?.der().to_vec())
            })
            .await?;
        let text = pem_text("X509 CRL", &list);
        Ok(replace_atomically(
            &self.crl,
            text.as_bytes(),
            Mode::Public,
        )?)
    }

    /// Number and entries of the last list; none where there is no file yet.
    fn last_list(&self) -> Result<(u64, Vec<RevokedCertParams>), AccessError> {
        if !self.crl.exists() {
            return Ok((0, Vec::new()));
        }
        let unusable = |reason| AccessError::Unusable {
            path: self.crl.clone(),
            reason,
        };
        let pem = read_limited(&self.crl, PEM_MAX)?;
        let (_, pem) = parse_x509_pem(&pem).map_err(|_| unusable("not PEM"))?;
        let (_, list) = CertificateRevocationList::from_der(&pem.contents)
            .map_err(|_| unusable("no revocation list"))?;
        let digits = list.crl_number().map(|number| number.to_u64_digits());
        let number = match digits.as_deref() {
            None | Some([]) => 0,
            Some([number]) => *number,
            Some(_) => return Err(unusable("its number has more than 64 bits")),
        };
        let entries = list.iter_revoked_certificates().map(|entry| {
            let time = OffsetDateTime::from_unix_timestamp(entry.revocation_date.timestamp());
            Ok::<_, AccessError>(RevokedCertParams {
                serial_number: SerialNumber::from_slice(entry.raw_serial()),
                revocation_time: time.map_err(|_| unusable("an entry has no time"))?,
                reason_code: None,
                invalidity_date: None,
            })
        });
        Ok((number, entries.collect::<Result<_, _>>()?))
    }

    /// Runs the builder on a thread that may wait, where its bytes go to the daemon as `payload`.
    async fn build(
        &self,
        payload: PayloadType,
        build: impl FnOnce(Pen) -> Result<Vec<u8>, rcgen::Error> + Send + 'static,
    ) -> Result<Vec<u8>, AccessError> {
        let (pen, mut asked) = Pen::new(self.point.clone());
        let building = tokio::task::spawn_blocking(move || build(pen));
        let mut failure = None;
        while let Some((message, answer)) = asked.recv().await {
            let deadline = std::time::Instant::now() + SIGNING_DEADLINE;
            let signed = self.kms.sign(self.spki, payload, &message, deadline).await;
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

    /// Whether the next list should be made: there is none, or half of the last one's life is over.
    pub(crate) fn list_is_due(&self, now: UnixTime) -> bool {
        match list_times(&self.crl) {
            Some((made, next)) => now.0 >= made.0 + next.0.saturating_sub(made.0) / 2,
            None => true,
        }
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
