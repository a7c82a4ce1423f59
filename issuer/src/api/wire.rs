//! The JSON of the API.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use obol_credential::{Cti, Kid};
use obol_fare::FarePack;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::whole::Whole;
use crate::issuance::Asked;
use crate::issuer::IssuedCredential;
use crate::publisher::SuspendedKey;
use crate::register::{CredentialRecord, Handle, Member, Standing, StandingRecord};

/// Items of one batch.
pub const BATCH_MAX: usize = 4096;
/// An item of a batch at its longest, with what stands around it.
pub(super) const ITEM_BYTES_MAX: usize = 480;
/// A command's reason, characters.
pub(super) const REASON_MAX: usize = 200;

/// A credential that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialRequest {
    /// The passenger's handle.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    subject: String,
    /// The phone's handle; a command on it denies every credential that was asked for with it.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    device: Option<String>,
    /// The rider class.
    #[schema(value_type = u8, minimum = 0, maximum = 31)]
    class: Whole,
    /// The proof of possession of a fresh device key (docs/spec/pt1.md section 5), base64url
    /// without padding.
    #[schema(pattern = "^[A-Za-z0-9_-]+$", max_length = 280)]
    possession: String,
}

/// Credentials that are wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchRequest {
    /// Each gets a result of its own.
    #[schema(min_items = 1, max_items = 4096)]
    pub(super) items: Vec<CredentialRequest>,
}

/// A credential that takes an earlier one's place, for the same passenger, phone and class.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RenewalRequest {
    /// The proof of possession of a fresh device key, for the same subject.
    #[schema(pattern = "^[A-Za-z0-9_-]+$", max_length = 280)]
    possession: String,
}

/// A credential that was signed.
#[derive(Serialize, ToSchema)]
pub(super) struct CredentialReply {
    /// The CWT, base64url without padding.
    credential: String,
    /// The first second at which it is refused, seconds since 1970 UTC.
    expires_at: u32,
    /// The key that signed it.
    #[schema(pattern = "^[0-9a-f]{8}$")]
    kid: String,
    /// Its name.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    cti: String,
}

/// A result for each item, in the order of the request.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchReply {
    pub(super) results: Vec<BatchResult>,
}

/// What became of an item.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum BatchResult {
    /// Signed.
    Signed(CredentialReply),
    /// Refused.
    Refused {
        /// Why.
        problem: ProblemReply,
    },
}

/// RFC 9457.
#[derive(Serialize, ToSchema)]
pub(super) struct ProblemReply {
    /// `urn:obol:problem:` and the code.
    pub(super) r#type: String,
    /// What the code always means.
    pub(super) title: String,
    /// The HTTP status that the item alone would have had.
    pub(super) status: u16,
    /// What is wrong with the value seen.
    pub(super) detail: String,
    /// Stable, for machines.
    pub(super) code: String,
}

/// Why a command is given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandRequest {
    /// For those who look later; no personal data.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    pub(super) reason: String,
    /// Its place among the commands on this target, where the platform counts them: a lower one
    /// that comes later is refused, so a copy that was delayed undoes nothing. From 2^49 on without
    /// a point or an exponent.
    #[schema(value_type = Option<u64>, minimum = 0, maximum = 9007199254740991_u64)]
    pub(super) number: Option<Whole>,
}

/// What holds for a passenger or a phone.
#[derive(Serialize, ToSchema)]
pub(super) struct StandingReply {
    /// Whether credentials are issued, and live ones are good.
    standing: StandingWord,
    /// Why, in the words of the last command.
    reason: Option<String>,
    /// The client that gave it.
    changed_by: Option<String>,
    /// When, seconds since 1970 UTC.
    changed_at: Option<u32>,
    /// Credentials that have not expired, the newest first, at most 64; for a subject only.
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<Vec<CredentialStatus>>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StandingWord {
    Active,
    Suspended,
    Revoked,
}

/// A credential as the register has it.
#[derive(Serialize, ToSchema)]
pub(super) struct CredentialStatus {
    /// Its name.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    cti: String,
    /// The key that signed it.
    #[schema(pattern = "^[0-9a-f]{8}$")]
    kid: String,
    class: u8,
    /// The status list: whole days since 1970 UTC of `issued_at`.
    epoch: u32,
    /// Its bit there.
    status_index: u32,
    /// Seconds since 1970 UTC.
    issued_at: u32,
    /// The first second at which it is refused.
    expires_at: u32,
    /// What holds now.
    state: CredentialState,
}

/// Where a credential's signature stands in the audit log of the daemon that signed it.
#[derive(Serialize, ToSchema)]
pub(super) struct InclusionProof {
    /// Index of the leaf.
    pub(super) leaf_index: u64,
    /// The leaf, deterministic CBOR, base64url without padding (docs/spec/audit-log.md section 2): its
    /// payload hash is the SHA-256 of the credential's signature input.
    #[schema(pattern = "^[A-Za-z0-9_-]+$")]
    pub(super) leaf: String,
    /// Index, audit path and signed checkpoint, as c2sp.org/tlog-proof has them.
    pub(super) proof: String,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum CredentialState {
    Live,
    Suspended,
    Revoked,
    Expired,
}

/// Who enrolled.
#[derive(Serialize, ToSchema)]
pub(super) struct MembersReply {
    pub(super) members: Vec<MemberReply>,
}

/// A member of the deployment.
#[derive(Serialize, ToSchema)]
pub(super) struct MemberReply {
    /// `obol://ROLE/NAME`.
    identity: String,
    /// SHA-256 of the SubjectPublicKeyInfo.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    spki: String,
    /// Of the certificate, hexadecimal.
    serial: String,
    /// Last second at which the certificate is good.
    not_after: u32,
    enrolled_at: u32,
    revoked_at: Option<u32>,
}

impl From<Member> for MemberReply {
    fn from(member: Member) -> Self {
        Self {
            identity: member.identity,
            spki: HEXLOWER.encode(&member.spki),
            serial: HEXLOWER.encode(&member.serial),
            not_after: member.not_after.0,
            enrolled_at: member.enrolled_at.0,
            revoked_at: member.revoked_at.map(|at| at.0),
        }
    }
}

/// The issuer's keys.
#[derive(Serialize, ToSchema)]
pub(super) struct KeysReply {
    pub(super) keys: Vec<KeyReply>,
}

/// An issuer key.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyReply {
    #[schema(pattern = "^[0-9a-f]{8}$")]
    pub(super) kid: String,
    /// SHA-256 of the SubjectPublicKeyInfo.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub(super) spki: String,
    /// `ESP384` or `ESP256`.
    pub(super) algorithm: String,
    /// First and last second at which it is good.
    pub(super) not_before: u32,
    pub(super) not_after: u32,
    pub(super) operator: String,
    /// Bit n stands for class n.
    pub(super) classes: u32,
    /// What it does here.
    pub(super) use_here: KeyUse,
    /// For a key that signs here: whether it can now.
    pub(super) state: KeyState,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeyUse {
    /// A shard: it signs for the subjects that fall to it.
    Signing,
    /// Terminals shall believe it; it does not sign here.
    Published,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum KeyState {
    /// The daemon serves it, its token gives signatures and its certificate covers now.
    Available,
    /// One of the first two is not so.
    Unavailable,
    /// Its certificate does not cover now.
    NotInForce,
    /// It does not sign here.
    VerifyOnly,
    /// It is blocked: it does not sign, and terminals refuse what it signed.
    Suspended,
}

/// What holds for an issuer key.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyStandingReply {
    #[schema(pattern = "^[0-9a-f]{8}$")]
    pub(super) kid: String,
    /// Whether terminals are told to refuse its credentials.
    pub(super) suspended: bool,
    /// Why, in the words of the command that blocked it.
    pub(super) reason: Option<String>,
    /// The client that gave it.
    pub(super) changed_by: Option<String>,
    /// When, seconds since 1970 UTC.
    pub(super) changed_at: Option<u32>,
}

/// Deterministic CBOR, as the specification of each kind has it.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary, content_media_type = "application/cbor")]
pub(super) struct Cbor(pub(super) Vec<u8>);

/// Its media type.
pub(super) const CBOR: &str = "application/cbor";

impl IntoResponse for Cbor {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, CBOR)], self.0).into_response()
    }
}

/// A fare pack that terminals get.
#[derive(Serialize, ToSchema)]
pub(super) struct FarePackReply {
    operator: String,
    /// Its name: the first 8 bytes of its SHA-256.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    pub(super) pack: String,
    /// First and last second at which it prices.
    valid_from: u32,
    valid_until: u32,
}

impl CredentialRequest {
    pub(super) fn check(&self) -> Result<Asked, String> {
        Ok(Asked {
            subject: handle("subject", &self.subject)?,
            device: self
                .device
                .as_deref()
                .map(|device| handle("device", device))
                .transpose()?,
            class: class(self.class)?,
            possession: possession(&self.possession)?,
        })
    }
}

impl RenewalRequest {
    pub(super) fn check(&self, prior: &CredentialRecord) -> Result<Asked, String> {
        Ok(Asked {
            subject: prior.subject,
            device: prior.device,
            class: prior.claims.fare.class,
            possession: possession(&self.possession)?,
        })
    }
}

impl CommandRequest {
    pub(super) fn check(self) -> Result<String, String> {
        let length = self.reason.chars().count();
        if length == 0 || length > REASON_MAX {
            return Err(format!(
                "reason has {length} characters, not 1 to {REASON_MAX}"
            ));
        }
        if self.reason.chars().any(char::is_control) {
            return Err("reason has a control character".to_owned());
        }
        Ok(self.reason)
    }
}

pub(super) fn handle(what: &str, text: &str) -> Result<Handle, String> {
    fixed(text)
        .map(Handle)
        .ok_or_else(|| format!("{what} is not 32 lower-case hexadecimal digits"))
}

pub(super) fn cti(text: &str) -> Result<Cti, String> {
    let cti = fixed(text).map(Cti);
    cti.ok_or_else(|| "cti is not 16 lower-case hexadecimal digits".to_owned())
}

pub(super) fn spki(text: &str) -> Result<[u8; 32], String> {
    let spki = fixed(text);
    spki.ok_or_else(|| "spki is not 64 lower-case hexadecimal digits".to_owned())
}

fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn class(number: Whole) -> Result<u8, String> {
    u8::try_from(number.0).map_err(|_| format!("class is {}, not 0 to 31", number.0))
}

fn possession(text: &str) -> Result<Vec<u8>, String> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|error| format!("possession is not base64url without padding: {error}"))
}

impl KeyStandingReply {
    pub(super) fn of(kid: Kid, held: Option<SuspendedKey>) -> Self {
        let suspended = held.is_some();
        let command = held.and_then(|held| held.command);
        Self {
            kid: kid.to_string(),
            suspended,
            reason: command.as_ref().map(|command| command.reason.clone()),
            changed_by: command.as_ref().map(|command| command.by.clone()),
            changed_at: command.map(|command| command.at.0),
        }
    }
}

impl FarePackReply {
    pub(super) fn of(operator: &str, pack: &FarePack) -> Self {
        Self {
            operator: operator.to_owned(),
            pack: pack.id().to_string(),
            valid_from: pack.valid_from().0,
            valid_until: pack.valid_until().0,
        }
    }
}

impl From<IssuedCredential> for CredentialReply {
    fn from(issued: IssuedCredential) -> Self {
        Self {
            credential: BASE64URL_NOPAD.encode(&issued.credential),
            expires_at: issued.claims.expires_at.0,
            kid: issued.kid.to_string(),
            cti: HEXLOWER.encode(&issued.claims.cti.0),
        }
    }
}

impl From<Standing> for StandingWord {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Active => Self::Active,
            Standing::Suspended => Self::Suspended,
            Standing::Revoked => Self::Revoked,
        }
    }
}

impl StandingReply {
    pub(super) fn of(
        record: Option<StandingRecord>,
        credentials: Option<Vec<CredentialStatus>>,
    ) -> Self {
        let standing = record.as_ref().map(|record| record.standing);
        Self {
            standing: standing.unwrap_or(Standing::Active).into(),
            reason: record.as_ref().map(|record| record.reason.clone()),
            changed_by: record.as_ref().map(|record| record.changed_by.clone()),
            changed_at: record.as_ref().map(|record| record.changed_at.0),
            credentials,
        }
    }
}

impl CredentialStatus {
    pub(super) fn of(record: &CredentialRecord, state: CredentialState) -> Self {
        let claims = &record.claims;
        Self {
            cti: HEXLOWER.encode(&claims.cti.0),
            kid: record.kid.to_string(),
            class: claims.fare.class,
            epoch: claims.issued_at.0 / obol_credential::STATUS_EPOCH_S,
            status_index: claims.fare.status_index,
            issued_at: claims.issued_at.0,
            expires_at: claims.expires_at.0,
            state,
        }
    }
}

impl From<Standing> for CredentialState {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Active => Self::Live,
            Standing::Suspended => Self::Suspended,
            Standing::Revoked => Self::Revoked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> Result<String, String> {
        let body = serde_json::json!({ "reason": text }).to_string();
        let command: CommandRequest = serde_json::from_str(&body).unwrap();
        command.check()
    }

    #[test]
    fn a_reason_has_1_to_200_characters_of_any_script_and_none_that_controls() {
        let longest = "\u{516c}".repeat(200);
        assert_eq!(reason(&longest), Ok(longest.clone()));
        for (text, refused) in [
            (longest + "x", "reason has 201 characters, not 1 to 200"),
            (String::new(), "reason has 0 characters, not 1 to 200"),
            ("a\nb".to_owned(), "reason has a control character"),
            ("a\u{9f}".to_owned(), "reason has a control character"),
        ] {
            assert_eq!(reason(&text), Err(refused.to_owned()));
        }
    }
}
