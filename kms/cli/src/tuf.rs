//! What officers sign for the trust repository: drafted, and put together.

pub(crate) mod arguments;

use std::path::{Path, PathBuf};

use obol_console::{FileError, Mode, Outcome, read_limited, unix_now, write_new_atomically};
use obol_credential::UnixTime;
use obol_kms::PublicKey;
use obol_kms::draft::{self, DraftRefused, RootDraft, TargetsDraft};
use obol_kms::x509::KeyRequest;
use obol_kms_registry::{ChangeError, Registry, SpkiId};
use serde::Serialize;

use crate::ceremony::tuf_signature;
use crate::failure::Failure;
use crate::output::{must_be_free, print_json, read_certificate, read_pem};
use arguments::{Assemble, DraftBundle, DraftRoot, DraftTargets, Tuf};

/// Largest draft, signed file, signature or bundle.
const FILE_MAX: usize = 1024 * 1024;
const DAY_S: u32 = 86_400;

/// Files that a command wrote.
#[derive(Serialize)]
struct Written {
    written: Vec<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
#[error("key {0:?} is an SPKI id, and no registry is given")]
struct NoRegistry(String);

#[derive(Debug, thiserror::Error)]
#[error("{} is targets metadata, and no root is given that names its key", .0.display())]
struct NoRoot(PathBuf);

pub(crate) fn run(command: &Tuf) -> Result<Outcome, Failure> {
    match command {
        Tuf::DraftRoot(arguments) => draft_root(arguments),
        Tuf::DraftBundle(arguments) => draft_bundle(arguments),
        Tuf::DraftTargets(arguments) => draft_targets(arguments),
        Tuf::Assemble(arguments) => assemble(arguments),
    }
}

fn draft_root(arguments: &DraftRoot) -> Result<Outcome, Failure> {
    must_be_free(&arguments.out)?;
    let key = |name: &String| public_key(name, arguments.registry.as_deref());
    let officers = arguments.officer.iter().map(key);
    let officers = officers.collect::<Result<Vec<_>, _>>()?;
    let draft = draft::root(&RootDraft {
        version: arguments.version,
        expires: in_days(arguments.days),
        officers: &officers,
        threshold: arguments.threshold,
        targets: &key(&arguments.targets)?,
        timestamp: &key(&arguments.timestamp)?,
        snapshot: &key(&arguments.snapshot)?,
    })?;
    write_new_atomically(&arguments.out, &draft, Mode::Public)?;
    said(vec![arguments.out.clone()], arguments.json)
}

fn draft_bundle(arguments: &DraftBundle) -> Result<Outcome, Failure> {
    must_be_free(&arguments.out)?;
    let certificates = arguments.certificate.iter();
    let certificates = certificates.map(|path| read_certificate(path));
    let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
    let now = UnixTime(unix_now());
    let bundle = draft::bundle(&certificates, now, in_days(arguments.days))?;
    write_new_atomically(&arguments.out, &bundle, Mode::Public)?;
    said(vec![arguments.out.clone()], arguments.json)
}

fn draft_targets(arguments: &DraftTargets) -> Result<Outcome, Failure> {
    let key = |name: &String| public_key(name, arguments.registry.as_deref());
    let bundle = read_limited(&arguments.bundle, FILE_MAX)?;
    let (denylist, fares) = (key(&arguments.denylist)?, key(&arguments.fares)?);
    let mut drafts = Vec::new();
    for period in 0..arguments.periods {
        let version = arguments.first.saturating_add(period);
        let path = arguments.out_dir.join(format!("targets-{version}.json"));
        must_be_free(&path)?;
        let draft = draft::targets(&TargetsDraft {
            version,
            expires: in_days(arguments.period_days.saturating_mul(period + 1)),
            bundle: &bundle,
            denylist: &denylist,
            fares: &fares,
        })?;
        drafts.push((path, draft));
    }
    let mut written = Vec::new();
    for (path, draft) in drafts {
        write_new_atomically(&path, &draft, Mode::Public)?;
        written.push(path);
    }
    said(written, arguments.json)
}

fn assemble(arguments: &Assemble) -> Result<Outcome, Failure> {
    must_be_free(&arguments.out)?;
    let metadata = read_limited(&arguments.metadata, FILE_MAX)?;
    let read = |path: &PathBuf| {
        let bytes = read_limited(path, FILE_MAX)?;
        tuf_signature(&bytes, &path.to_string_lossy())
    };
    let signatures = arguments.signature.iter().map(read);
    let signatures = signatures.collect::<Result<Vec<_>, Failure>>()?;
    let root = arguments
        .root
        .as_deref()
        .map(|path| read_limited(path, FILE_MAX));
    let root = root.transpose()?;
    let signed = match (draft::is_root(&metadata), root) {
        (true, before) => draft::assemble_root(&metadata, &signatures, before.as_deref())?,
        (false, Some(root)) => draft::assemble_targets(&metadata, &signatures, &root)?,
        (false, None) => return Err(NoRoot(arguments.metadata.clone()).into()),
    };
    if let Some(folder) = arguments.out.parent() {
        let path = folder.to_owned();
        let failed = |source| FileError::Write { path, source };
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    write_new_atomically(&arguments.out, &signed, Mode::Public)?;
    said(vec![arguments.out.clone()], arguments.json)
}

/// A key by its request's file, or by its SPKI id in the registry.
fn public_key(name: &str, registry: Option<&Path>) -> Result<PublicKey, Failure> {
    let Ok(spki) = name.parse::<SpkiId>() else {
        let request = KeyRequest::from_pem(&read_pem(Path::new(name))?)?;
        return Ok(request.public().clone());
    };
    let registry = registry.ok_or_else(|| NoRegistry(name.to_owned()))?;
    let key = Registry::open(registry)?.key(spki)?;
    let key = key.ok_or(ChangeError::Unknown(spki))?;
    let public = PublicKey::from_spki_der(&key.spki_der);
    Ok(public.ok_or_else(|| DraftRefused::Curve(name.to_owned()))?)
}

fn in_days(days: u32) -> UnixTime {
    UnixTime(unix_now()).plus(days.saturating_mul(DAY_S))
}

fn said(written: Vec<PathBuf>, json: bool) -> Result<Outcome, Failure> {
    if json {
        return print_json(&Written { written });
    }
    for path in &written {
        println!("{}", path.display());
    }
    Ok(Outcome::Done)
}

impl From<DraftRefused> for Failure {
    fn from(error: DraftRefused) -> Failure {
        let help = match &error {
            DraftRefused::Curve(_) => "TUF keys are on P-256: give another key",
            DraftRefused::Certificate { .. } => {
                "give certificates that the root issued for issuers"
            }
            DraftRefused::Bundle(_) => "give each issuer's certificate once, and 1 day or more",
            DraftRefused::NoBundle(_) => "give what `obol-kms tuf draft-bundle` wrote",
            DraftRefused::BundleEnds { .. } => {
                "make a bundle that lasts longer, or fewer and shorter periods"
            }
            DraftRefused::Payload(_) => "correct the arguments: no ceremony would sign this",
            DraftRefused::Json(_) | DraftRefused::Form(_) => "give what `obol-kms tuf` drafted",
            DraftRefused::Root(_) => "give what `obol-kms tuf assemble` wrote",
            DraftRefused::Signature(_) => "give the files that ceremonies wrote",
            DraftRefused::Threshold { .. } => {
                "give the signatures of enough different officers, over exactly this metadata"
            }
            DraftRefused::Version { .. } => "give the root that comes directly before it",
        };
        Failure::refused(error, help)
    }
}

impl From<NoRegistry> for Failure {
    fn from(error: NoRegistry) -> Failure {
        Failure::with_help(error, "give --registry, or the key's request (PEM)")
    }
}

impl From<NoRoot> for Failure {
    fn from(error: NoRoot) -> Failure {
        Failure::with_help(error, "give --root, the signed root in force")
    }
}
