//! New registries and new keys.

use obol_console::{Outcome, read_limited};
use obol_kms::x509::IssuerCertificate;
use obol_kms::{Curve, KeyPair, PublicKey, Token};
use obol_kms_registry::{
    Algorithm, ChangeError, Class, Limits, NewKey, Registry, RegistryId, Roster, Settings, SpkiId,
    certified_key,
};

use crate::failure::{Failure, registry::NoSuchCurve, registry::NotOneKey, registry::NotUtf8};
use crate::keys::arguments::{Certify, Generate, Init, Publish, Register, Which};
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
pub(crate) fn random_id() -> Result<RegistryId, Failure> {
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
    let limits = limits(*class, *lifetime_uses)?;
    let key = new_key(&token, &pair.public, pair.label, *class, limits);
    let record = registry.register(&key, now())?;
    shown::key(&record, plain.json)
}

/// A key that is not registered is discarded again: the command can be repeated.
pub(super) fn generate(arguments: &Generate) -> Result<Outcome, Failure> {
    let Generate {
        plain,
        token,
        label,
        class,
        lifetime_uses,
    } = arguments;
    let registry = Registry::open(&plain.registry)?;
    let curve = match class.algorithms() {
        [Algorithm::EcP256, ..] => Curve::P256,
        [Algorithm::EcP384, ..] => Curve::P384,
        _ => return Err(NoSuchCurve(*class).into()),
    };
    let limits = limits(*class, *lifetime_uses)?;
    let token = Modules::default().open(token)?;
    let made = token.generate(curve, label)?;
    let key = new_key(&token, made.public(), label.clone(), *class, limits);
    match registry.register(&key, now()) {
        Ok(record) => shown::key(&record, plain.json),
        Err(error) => {
            token.discard(made)?;
            Err(error.into())
        }
    }
}

fn limits(class: Class, lifetime_uses: Option<u64>) -> Result<Limits, Failure> {
    let limits = Limits::of(class);
    match lifetime_uses {
        Some(uses) => Ok(limits.with_lifetime(uses)?),
        None => Ok(limits),
    }
}

fn new_key(
    token: &Token,
    public: &PublicKey,
    label: String,
    class: Class,
    limits: Limits,
) -> NewKey {
    let spki_der = public.spki_der();
    NewKey {
        spki: SpkiId::of(&spki_der),
        spki_der,
        class,
        algorithm: match public.curve() {
            Curve::P256 => Algorithm::EcP256,
            Curve::P384 => Algorithm::EcP384,
        },
        token_serial: token.summary().serial.clone(),
        label,
        limits,
    }
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
    let known = registry.key(spki)?.ok_or(ChangeError::Unknown(spki))?;
    if known.class == Class::Issuer {
        // It will say what the key may sign.
        IssuerCertificate::read(&certificate)?;
    }
    let record = registry.certify(spki, certificate.as_der(), now())?;
    shown::key(&record, plain.json)
}

pub(super) fn publish(arguments: &Publish) -> Result<Outcome, Failure> {
    let registry = Registry::open(&arguments.plain.registry)?;
    let record = registry.publish(arguments.spki, now())?;
    shown::key(&record, arguments.plain.json)
}
