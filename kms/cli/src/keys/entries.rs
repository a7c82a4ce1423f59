//! New registries and new keys.

use obol_console::{Outcome, read_limited};
use obol_kms::{Curve, KeyPair};
use obol_kms_registry::{
    Algorithm, Limits, NewKey, Registry, RegistryId, Roster, Settings, SpkiId, certified_key,
};

use crate::failure::{Failure, registry::NotOneKey, registry::NotUtf8};
use crate::keys::arguments::{Certify, Init, Publish, Register, Which};
use crate::keys::{now, shown};
use crate::output::read_certificate;
use crate::tokens::Modules;

/// Largest roster file, in bytes.
const ROSTER_MAX: usize = 16 * 1024;

pub(super) fn init(arguments: &Init) -> Result<Outcome, Failure> {
    let Init {
        plain,
        roster,
        propagation,
        tail,
        destruction_wait_days,
    } = arguments;
    let text = String::from_utf8(read_limited(roster, ROSTER_MAX)?).map_err(|_| NotUtf8)?;
    let roster = Roster::parse(&text)?;
    let settings = Settings::new(*propagation, *tail, *destruction_wait_days)?;
    let registry = Registry::create(&plain.registry, &roster, settings, random_id()?, now())?;
    shown::registry(&registry, plain.json)
}

/// Names one life of a registry.
pub(super) fn random_id() -> Result<RegistryId, Failure> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| {
        Failure::with_help(error, "the system's random generator does not answer")
    })?;
    Ok(RegistryId(id))
}

pub(super) fn register(arguments: &Register) -> Result<Outcome, Failure> {
    let Register {
        plain,
        token,
        which,
        class,
        lifetime_uses,
    } = arguments;
    let registry = Registry::open(&plain.registry)?;
    let token = Modules::default().open(token)?;
    let pair = the_one(token.keys(), which)?;
    let spki_der = pair.public.spki_der();
    let mut limits = Limits::of(*class);
    if let Some(uses) = lifetime_uses {
        limits = limits.with_lifetime(*uses)?;
    }
    let key = NewKey {
        spki: SpkiId::of(&spki_der),
        spki_der,
        class: *class,
        algorithm: match pair.public.curve() {
            Curve::P256 => Algorithm::EcP256,
            Curve::P384 => Algorithm::EcP384,
        },
        token_serial: token.summary().serial.clone(),
        label: pair.label,
        limits,
    };
    let record = registry.register(&key, now())?;
    shown::key(&record, plain.json)
}

/// Labels are for people and not unique, so exactly one key must have it.
fn the_one(pairs: Vec<KeyPair>, which: &Which) -> Result<KeyPair, NotOneKey> {
    let wanted = |pair: &KeyPair| match (&which.label, which.spki) {
        (Some(label), _) => pair.label == *label,
        (None, Some(spki)) => pair.id.0 == spki.0,
        (None, None) => false,
    };
    let mut found: Vec<_> = pairs.into_iter().filter(wanted).collect();
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (last, others) => Err(NotOneKey(others + usize::from(last.is_some()))),
    }
}

pub(super) fn certify(arguments: &Certify) -> Result<Outcome, Failure> {
    let Certify { plain, certificate } = arguments;
    let registry = Registry::open(&plain.registry)?;
    let certificate = read_certificate(certificate)?;
    let spki = certified_key(certificate.as_der())?;
    let record = registry.certify(spki, certificate.as_der(), now())?;
    shown::key(&record, plain.json)
}

pub(super) fn publish(arguments: &Publish) -> Result<Outcome, Failure> {
    let registry = Registry::open(&arguments.plain.registry)?;
    let record = registry.publish(arguments.spki, now())?;
    shown::key(&record, arguments.plain.json)
}
