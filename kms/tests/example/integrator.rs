// What the README's example stands on: a SoftHSM token with an issuer's key and a log's, a registry
// whose officers agreed to both, and a folder for the log, all in a fresh working directory.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use obol_credential::{Claims, Cti, DeviceKey, FareTerms, UnixTime};
use obol_kms::x509::{Certificate, RootCa, Scope, Validity};
use obol_kms::{Curve, Key, Module, Pin, SpkiId, Token, TokenConfig};
use obol_kms_registry::{
    Algorithm, Approval, Change, Class, Clearance, Limits, NewKey, Officer, OfficerKey, Quorum, Registry,
    RegistryId, Roster, Settings, State,
};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];
const PIN: &[u8] = b"user-1234";

pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    UnixTime(since.unwrap().as_secs().try_into().unwrap())
}

pub fn claims() -> Claims {
    let mut point = [7; 33];
    point[0] = 2;
    Claims {
        issued_at: now(),
        expires_at: now().plus(3_600),
        cti: Cti([1; 8]),
        device_key: DeviceKey::from_sec1(point).unwrap(),
        fare: FareTerms {
            class: 1,
            cap_minor: 2_000,
            window_s: 30,
            status_index: 5,
            flags: 0,
        },
    }
}

/// Makes it all; the folder goes when what is returned is dropped.
pub fn prepare() -> Result<(tempfile::TempDir, SpkiId), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    std::env::set_current_dir(folder.path())?;
    fs::create_dir("tokens")?;
    fs::create_dir("audit")?;
    let tokens = folder.path().join("tokens");
    fs::write(
        "softhsm2.conf",
        format!("directories.tokendir = {}\n", tokens.display()),
    )?;
    // SAFETY: the example is a process of its own, and this is its only thread.
    unsafe { std::env::set_var("SOFTHSM2_CONF", folder.path().join("softhsm2.conf")) };

    let path = MODULES.iter().map(Path::new).find(|path| path.exists());
    let path = path.ok_or("SoftHSM is not installed (package softhsm2)")?;
    let module = Module::load(path)?;
    let pin = Pin::new(PIN).ok_or("no PIN")?;
    let serial = module.initialize_token("issuer", &pin, &pin)?.serial;
    fs::write("issuer.pin", PIN)?;
    fs::set_permissions("issuer.pin", PermissionsExt::from_mode(0o600))?;
    let path = path.display();
    let config = format!(
        "module = '{path}'\nlabel = 'issuer'\nserial = '{serial}'\npin_file = 'issuer.pin'\n"
    );
    fs::write("issuer.token.toml", config)?;
    let config = TokenConfig::load("issuer.token.toml".as_ref())?;
    let token = Token::open(&module, &config, 1)?;
    let id = keys(&token)?;
    drop(token);
    module.finalize()?;
    Ok((folder, id))
}

fn keys(token: &Token) -> Result<SpkiId, Box<dyn Error>> {
    let officers = [1, 2].map(|seed| Officer::new(&format!("officer-{seed}"), officer(seed).1));
    let [alice, bob] = officers;
    let quorum = Quorum {
        activate: 2,
        unsuspend: 2,
        cancel_destruction: 2,
        destroy: 2,
    };
    let roster = Roster::new(vec![alice.unwrap(), bob.unwrap()], quorum)?;
    let settings = Settings::new(0, 0, 7).unwrap();
    let path = Path::new("keys.registry");
    let registry = Registry::create(path, &roster, settings, RegistryId([7; 16]), now())?;

    let root_key = token.generate(Curve::P384, "root")?;
    let root = RootCa::create(token, &root_key, "Root", Validity::days(now(), 3650)?)?;
    let root = RootCa::open(token, root)?;
    let key = token.generate(Curve::P384, "issuer")?;
    let scope = Scope::new("metro", &[1])?;
    let days = Validity::days(now(), 90)?;
    let certificate = root.issue_issuer(key.public(), "Issuer", &scope, days)?;
    activate(&registry, token, &key, Class::Issuer, Some(&certificate))?;
    let log = token.generate(Curve::P256, "audit")?;
    activate(&registry, token, &log, Class::Audit, None)?;
    Ok(key.id())
}

fn activate(
    registry: &Registry,
    token: &Token,
    key: &Key,
    class: Class,
    certificate: Option<&Certificate>,
) -> Result<(), Box<dyn Error>> {
    let spki = obol_kms_registry::SpkiId(key.id().0);
    let new = NewKey {
        spki,
        spki_der: key.public().spki_der(),
        class,
        algorithm: match key.public().curve() {
            Curve::P256 => Algorithm::EcP256,
            Curve::P384 => Algorithm::EcP384,
        },
        token_serial: token.summary().serial,
        label: class.name().to_owned(),
        limits: Limits::of(class),
    };
    registry.register(&new, now())?;
    if let Some(certificate) = certificate {
        registry.certify(spki, certificate.as_der(), now())?;
    }
    registry.publish(spki, now())?;
    let key = registry.key(spki)?.ok_or("it was registered")?;
    let until = now().plus(3_600);
    // The first keys, before there is a terminal; later a plan of rotations takes its place.
    let first = Clearance::no_fleet();
    let clearance = class.met_by_terminals().then_some(&first);
    let statement = match clearance {
        Some(clearance) => registry.activation(spki, clearance, now(), until)?,
        None => registry.statement(spki, State::Active, until)?,
    };
    let approvals = [1, 2].map(|seed| {
        let (signing, public) = officer(seed);
        let signature: Signature = signing.sign(&statement.encode());
        Approval::new(&statement, public, signature.to_bytes().into())
    });
    let change = Change {
        spki,
        from: key.state,
        to: State::Active,
        version: key.version,
        reason: "as planned".to_owned(),
    };
    match clearance {
        Some(clearance) => registry.activate(&change, clearance, &approvals, now())?,
        None => registry.transition(&change, &approvals, now())?,
    };
    Ok(())
}

fn officer(seed: u8) -> (SigningKey, OfficerKey) {
    let key = SigningKey::from_slice(&[seed; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(true);
    let public = OfficerKey::from_sec1(point.as_bytes().try_into().unwrap()).unwrap();
    (key, public)
}
