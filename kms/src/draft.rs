//! What officers sign for the trust repository, drafted before their ceremonies, and put together
//! behind them (docs/spec/trust.md section 7).
//!
//! ```text
//!  keys' requests ──▶ root ────┐              ┌─▶ assemble_root ────▶ N.root.json
//!  certificates ─▶ bundle ─▶ targets ─▶ ceremonies' signatures ─▶ assemble_targets ─▶ N.targets.json
//! ```
//!
//! Each draft is held to the rules by which it will be signed; what is put together is held to the
//! keys and the threshold by which terminals will judge it.

use std::collections::BTreeMap;

use obol_credential::UnixTime;
use obol_kms_registry::{Class, PayloadType};
use obol_trust::json::{Json, NotStrictJson};
use obol_trust::tuf::{
    DelegatedRole, Delegations, FormError, Head, Key, P256, RoleKeys, Root, Scope, Signature,
    Signed, SignedError, TargetFile, Targets, ThresholdNotMet,
};
use obol_trust::{BundleRefused, Entry, TrustBundle};
use p256::ecdsa::VerifyingKey;

use crate::payload::{PayloadRefusal, TufSignature, TypedPayload};
use crate::public_key::PublicKey;
use crate::x509::{Certificate, IssuerCertificate, IssuerCertificateError};

/// Path of the trust bundle in the repository.
pub const BUNDLE_PATH: &str = "trust-bundle.cbor";
/// Largest metadata, in bytes.
const METADATA_MAX: usize = 1024 * 1024;

/// Root metadata to be signed by officers.
#[derive(Debug, Clone, Copy)]
pub struct RootDraft<'a> {
    /// From 1, one above the root before.
    pub version: u32,
    /// The first second at which it is out of date.
    pub expires: UnixTime,
    /// The officers' keys.
    pub officers: &'a [PublicKey],
    /// How many of them must sign; at least 2.
    pub threshold: u32,
    /// The offline key of targets.
    pub targets: &'a PublicKey,
    /// The online key of timestamp.
    pub timestamp: &'a PublicKey,
    /// The online key of snapshot.
    pub snapshot: &'a PublicKey,
}

/// Targets metadata of one period, to be signed by the offline key.
#[derive(Debug, Clone, Copy)]
pub struct TargetsDraft<'a> {
    /// From 1, ascending with the periods; an emergency's above all that were signed ahead.
    pub version: u32,
    /// The first second at which it is out of date.
    pub expires: UnixTime,
    /// The trust bundle's bytes.
    pub bundle: &'a [u8],
    /// The online key of status lists and blocked keys.
    pub denylist: &'a PublicKey,
    /// The online key of fare packs.
    pub fares: &'a PublicKey,
}

/// Why there is no draft, or nothing was put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftRefused {
    /// A key on another curve.
    #[error("key {0} is on another curve than P-256")]
    Curve(String),
    /// A certificate of no issuer.
    #[error("certificate {place} gives no authority to sign credentials: {why}")]
    Certificate {
        /// Which one, from 1.
        place: usize,
        /// What is wrong.
        why: IssuerCertificateError,
    },
    /// Certificates that make no bundle.
    #[error("the certificates make no trust bundle: {0}")]
    Bundle(#[from] BundleRefused),
    /// No bundle.
    #[error("the file is no trust bundle: {0}")]
    NoBundle(obol_credential::Malformed),
    /// Targets that outlive what they vouch for.
    #[error("the trust bundle ends at {bundle}, before the targets' end at {targets}")]
    BundleEnds {
        /// The bundle's end.
        bundle: UnixTime,
        /// The targets'.
        targets: UnixTime,
    },
    /// It would not be signed.
    #[error(transparent)]
    Payload(#[from] PayloadRefusal),
    /// A draft is no JSON.
    #[error("the metadata is no strict JSON: {0}")]
    Json(#[from] NotStrictJson),
    /// A root or a draft lacks a member.
    #[error("the metadata does not have its role's form: {0}")]
    Form(#[from] FormError),
    /// A root that is no signed metadata.
    #[error("the root is no signed metadata: {0}")]
    Root(#[from] SignedError),
    /// A signature is no hexadecimal text.
    #[error("the signature of key {0} is no hexadecimal text")]
    Signature(String),
    /// Too few good signatures, by the keys of `by`.
    #[error("by the keys of {by}: {why}")]
    Threshold {
        /// Which document names the keys.
        by: &'static str,
        /// How many there are.
        why: ThresholdNotMet,
    },
    /// A root that does not follow the one before.
    #[error("it has version {found}, the root before it has {before}")]
    Version {
        /// Its version.
        found: u32,
        /// The version before it.
        before: u32,
    },
}

/// The `signed` part of root metadata.
///
/// # Errors
/// [`DraftRefused`].
pub fn root(draft: &RootDraft<'_>) -> Result<Vec<u8>, DraftRefused> {
    let mut keys = BTreeMap::new();
    let mut role = |members: &[PublicKey], threshold| -> Result<RoleKeys, DraftRefused> {
        let mut keyids = Vec::new();
        for member in members {
            let key = tuf_key(member)?;
            keyids.push(key.id().0);
            keys.insert(key.id().0, key);
        }
        Ok(RoleKeys { keyids, threshold })
    };
    let roles = [
        ("root".to_owned(), role(draft.officers, draft.threshold)?),
        (
            "targets".to_owned(),
            role(std::slice::from_ref(draft.targets), 1)?,
        ),
        (
            "timestamp".to_owned(),
            role(std::slice::from_ref(draft.timestamp), 1)?,
        ),
        (
            "snapshot".to_owned(),
            role(std::slice::from_ref(draft.snapshot), 1)?,
        ),
    ];
    let root = Root {
        head: Head::new(draft.version, draft.expires),
        consistent_snapshot: true,
        keys,
        roles: roles.into(),
    };
    checked(root.to_json(), PayloadType::TufRoot, Class::TufRoot)
}

/// The trust bundle of these issuers' certificates.
///
/// # Errors
/// [`DraftRefused`].
pub fn bundle(
    certificates: &[Certificate],
    issued_at: UnixTime,
    expires_at: UnixTime,
) -> Result<Vec<u8>, DraftRefused> {
    let read = certificates.iter().enumerate().map(|(at, certificate)| {
        let read = IssuerCertificate::read(certificate);
        let place = at + 1;
        let issuer = read.map_err(|why| DraftRefused::Certificate { place, why })?;
        let point = compressed(issuer.public());
        Ok((issuer, point, certificate))
    });
    let read = read.collect::<Result<Vec<_>, DraftRefused>>()?;
    let entries = read.iter().map(|(issuer, point, certificate)| Entry {
        kid: issuer.public().spki_id().kid(),
        algorithm: issuer.public().curve().algorithm(),
        point,
        not_before: issuer.not_before,
        not_after: issuer.not_after,
        operator: issuer.scope().operator(),
        classes: issuer.scope().classes(),
        certificate: certificate.as_der(),
    });
    Ok(TrustBundle::new(issued_at, expires_at, entries.collect())?.encode())
}

/// The `signed` part of targets metadata.
///
/// # Errors
/// [`DraftRefused`]; in particular the bundle may not end before the targets do, since terminals go
/// by the first end.
pub fn targets(draft: &TargetsDraft<'_>) -> Result<Vec<u8>, DraftRefused> {
    let bundle = TrustBundle::decode(draft.bundle).map_err(DraftRefused::NoBundle)?;
    if bundle.expires_at() < draft.expires {
        let (bundle, targets) = (bundle.expires_at(), draft.expires);
        return Err(DraftRefused::BundleEnds { bundle, targets });
    }
    let mut keys = BTreeMap::new();
    let mut delegated = |name: &str, key: &PublicKey| -> Result<DelegatedRole, DraftRefused> {
        let key = tuf_key(key)?;
        let keyids = vec![key.id().0];
        keys.insert(key.id().0, key);
        Ok(DelegatedRole {
            name: name.to_owned(),
            keys: RoleKeys {
                keyids,
                threshold: 1,
            },
            terminating: true,
            scope: Scope::Paths(vec![format!("{name}/*")]),
        })
    };
    let roles = vec![
        delegated("denylist", draft.denylist)?,
        delegated("fares", draft.fares)?,
    ];
    let targets = Targets {
        head: Head::new(draft.version, draft.expires),
        targets: [(BUNDLE_PATH.to_owned(), TargetFile::of(draft.bundle))].into(),
        delegations: Some(Delegations { keys, roles }),
    };
    checked(
        targets.to_json(),
        PayloadType::TufTargets,
        Class::TufTargets,
    )
}

/// Signed root metadata: enough officers of the root itself and, behind the first, of the root
/// `before` it have signed.
///
/// # Errors
/// [`DraftRefused`].
pub fn assemble_root(
    metadata: &[u8],
    signatures: &[TufSignature],
    before: Option<&[u8]>,
) -> Result<Vec<u8>, DraftRefused> {
    let json = signed_part(metadata, PayloadType::TufRoot)?;
    let root = Root::read(&json)?;
    let file = Signed::assemble(json, &tuf_signatures(signatures)?);
    let signed = Signed::parse(&file, METADATA_MAX)?;
    verified(&signed, &root, "root", "itself")?;
    if let Some(before) = before {
        let before = read_root(before)?;
        verified(&signed, &before, "root", "the root before it")?;
        let (found, before) = (root.head.version, before.head.version);
        if found != before.saturating_add(1) {
            return Err(DraftRefused::Version { found, before });
        }
    }
    Ok(file)
}

/// Signed targets metadata: the targets' key of `root` has signed.
///
/// # Errors
/// [`DraftRefused`].
pub fn assemble_targets(
    metadata: &[u8],
    signatures: &[TufSignature],
    root: &[u8],
) -> Result<Vec<u8>, DraftRefused> {
    let json = signed_part(metadata, PayloadType::TufTargets)?;
    let root = read_root(root)?;
    let file = Signed::assemble(json, &tuf_signatures(signatures)?);
    let signed = Signed::parse(&file, METADATA_MAX)?;
    verified(&signed, &root, "targets", "the root")?;
    Ok(file)
}

/// Whether `signed` part or file is root metadata.
#[must_use]
pub fn is_root(metadata: &[u8]) -> bool {
    let json = Json::parse(metadata, METADATA_MAX).ok();
    let kind = json.as_ref().and_then(|json| json.member("_type"));
    kind == Some(&Json::text("root"))
}

fn tuf_key(public: &PublicKey) -> Result<Key, DraftRefused> {
    let key = VerifyingKey::from_sec1_bytes(public.as_sec1());
    let curve = || DraftRefused::Curve(public.spki_id().to_string());
    Ok(Key::p256(&key.map_err(|_| curve())?))
}

/// SEC1, compressed: the parity of y, then x.
fn compressed(public: &PublicKey) -> Vec<u8> {
    let point = public.as_sec1();
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    let odd = y.last().is_some_and(|last| last % 2 == 1);
    [&[2 + u8::from(odd)], x].concat()
}

/// What will not be signed is no draft.
fn checked(json: Json, payload: PayloadType, class: Class) -> Result<Vec<u8>, DraftRefused> {
    let text = json.to_text();
    TypedPayload::parse(payload, &text)?.permitted_for(class)?;
    Ok(text)
}

fn signed_part(metadata: &[u8], payload: PayloadType) -> Result<Json, DraftRefused> {
    TypedPayload::parse(payload, metadata)?;
    Ok(Json::parse(metadata, METADATA_MAX)?)
}

fn tuf_signatures(signatures: &[TufSignature]) -> Result<Vec<Signature>, DraftRefused> {
    let read = signatures.iter().map(|signature| {
        let bytes = data_encoding::HEXLOWER.decode(signature.sig.as_bytes());
        let keyid = signature.keyid.clone();
        match bytes {
            Ok(bytes) => Ok(Signature { keyid, bytes }),
            Err(_) => Err(DraftRefused::Signature(keyid)),
        }
    });
    read.collect()
}

fn read_root(file: &[u8]) -> Result<Root, DraftRefused> {
    let signed = Signed::parse(file, METADATA_MAX)?;
    let root = Root::read(signed.unverified())?;
    verified(&signed, &root, "root", "the given root")?;
    Ok(root)
}

fn verified(
    signed: &Signed,
    root: &Root,
    role: &'static str,
    by: &'static str,
) -> Result<(), DraftRefused> {
    let verified = signed.verified_by(&root.keys, root.role(role), &P256);
    verified
        .map(drop)
        .map_err(|why| DraftRefused::Threshold { by, why })
}

#[cfg(test)]
mod tests;
