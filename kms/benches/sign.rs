//! Signing a credential, rules and verification included, beside a bare `C_Sign` and one
//! verification of the same library, on one session of the same token.

use std::{
    env, fs, hint::black_box, io, os::unix::fs::PermissionsExt, path::Path, process::Command,
};

use cryptoki::{
    context::Pkcs11,
    mechanism::Mechanism,
    object::{Attribute, ObjectClass},
    session::Session,
};
use obol_bench::{Budget, Group};
use obol_credential::{Claims, Cti, DeviceKey, FareTerms, UnixTime, credential_signature_input};
use obol_kms::x509::{IssuerCertificate, RootCa, Scope, Validity};
use obol_kms::{Curve, IssuerKey, Module, Pin, Token, TokenConfig};
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256, Sha384};

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
const NOW: UnixTime = UnixTime(1_800_000_000);
/// The most that rules and bookkeeping may cost beside the bare loop.
const IN_PROCESS: Budget = Budget::AtMost(1.05);

fn main() -> io::Result<()> {
    // SoftHSM takes its configuration from the environment, which a process cannot safely change
    // for itself: the benchmark runs itself again in a world of its own.
    let Some(conf) = env::var_os("SOFTHSM2_CONF").filter(|_| env::var_os("OBOL_BENCH").is_some())
    else {
        return run_in_a_world();
    };
    let folder = Path::new(&conf).parent().expect("a file has a folder");
    let mut group = Group::new("sign");
    measure(&mut group.criterion(), folder);
    for (figure, beside) in [
        ("credential_p384", "bare_p384"),
        ("credential_p256", "bare_p256"),
    ] {
        group.row(figure, Some(beside), IN_PROCESS)?;
    }
    group.report()
}

fn run_in_a_world() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let conf = folder.path().join("softhsm2.conf");
    fs::create_dir(folder.path().join("tokens"))?;
    let tokens = folder.path().join("tokens");
    fs::write(
        &conf,
        format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            tokens.display()
        ),
    )?;
    let status = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env("SOFTHSM2_CONF", &conf)
        .env("OBOL_BENCH", "1")
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(status.to_string()))
    }
}

fn measure(criterion: &mut criterion::Criterion, folder: &Path) {
    let module = Module::load(Path::new(SOFTHSM)).expect("SoftHSM is installed");
    let token = make_token(&module, folder);
    let bare = Pkcs11::new(SOFTHSM).expect("the library that is loaded already");
    let slots = bare.get_slots_with_initialized_token().expect("one token");
    let session = bare
        .open_ro_session(slots[0])
        .expect("a session of the logged-in token");

    let mut group = criterion.benchmark_group("sign");
    for (curve, ours, beside) in [
        (Curve::P384, "credential_p384", "bare_p384"),
        (Curve::P256, "credential_p256", "bare_p256"),
    ] {
        let issuer = issuer(&token, curve);
        let claims = claims().encode();
        group.bench_function(ours, |b| {
            b.iter(|| {
                token
                    .sign_credential(&issuer, black_box(&claims), NOW)
                    .is_ok()
            });
        });
        group.bench_function(beside, |b| bare_loop(b, &session, &issuer, &claims));
    }
    group.finish();
}

/// What any program would do at least: hash, `C_Sign`, verify.
fn bare_loop(
    bencher: &mut criterion::Bencher<'_>,
    session: &Session,
    issuer: &IssuerKey,
    claims: &[u8],
) {
    let curve = issuer.key().public().curve();
    let input =
        credential_signature_input(curve.algorithm(), issuer.kid(), claims).expect("it fits");
    let key = private_key(session, label_of(curve));
    let point = issuer.key().public().as_sec1();
    bencher.iter(|| match curve {
        Curve::P384 => {
            let digest = Sha384::digest(&*input);
            let signature = session
                .sign(&Mechanism::Ecdsa, key, &digest)
                .expect("C_Sign");
            let verifier = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).expect("a point");
            let signature = p384::ecdsa::Signature::from_slice(&signature).expect("r and s");
            verifier.verify_prehash(&digest, &signature).is_ok()
        }
        Curve::P256 => {
            let digest = Sha256::digest(&*input);
            let signature = session
                .sign(&Mechanism::Ecdsa, key, &digest)
                .expect("C_Sign");
            let verifier = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).expect("a point");
            let signature = p256::ecdsa::Signature::from_slice(&signature).expect("r and s");
            verifier.verify_prehash(&digest, &signature).is_ok()
        }
    });
}

fn private_key(session: &Session, label: &str) -> cryptoki::object::ObjectHandle {
    let label = Attribute::Label(label.as_bytes().to_vec());
    let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), label];
    let found = session.find_objects(&wanted).expect("C_FindObjects");
    *found.first().expect("the issuer's private key")
}

fn label_of(curve: Curve) -> &'static str {
    match curve {
        Curve::P384 => "issuer-p384",
        Curve::P256 => "issuer-p256",
    }
}

fn make_token(module: &Module, folder: &Path) -> Token {
    let pin = |text: &str| Pin::new(text.as_bytes()).expect("printable");
    let made = module.initialize_token("bench", &pin("so-1234"), &pin("user-1234"));
    let pin_file = folder.join("bench.pin");
    fs::write(&pin_file, "user-1234\n").expect("a writable folder");
    fs::set_permissions(&pin_file, PermissionsExt::from_mode(0o600)).expect("our own file");
    let file = folder.join("bench.token.toml");
    let serial = made.expect("a fresh token").serial;
    let text = format!(
        "module = '{SOFTHSM}'\nlabel = 'bench'\nserial = '{serial}'\npin_file = 'bench.pin'\n"
    );
    fs::write(&file, text).expect("a writable folder");
    Token::open(module, &TokenConfig::load(&file).expect("a token file"), 1).expect("a token")
}

fn issuer(token: &Token, curve: Curve) -> IssuerKey {
    let validity = || Validity::days(NOW, 3650).expect("ten years");
    let root_key = token
        .generate(Curve::P384, &format!("root of {}", label_of(curve)))
        .expect("a key");
    let root = RootCa::create(token, &root_key, "Bench Root", validity()).expect("a root");
    let root = RootCa::open(token, root).expect("its key is here");
    let label = label_of(curve);
    let key = token.generate(curve, label).expect("a key");
    let scope = Scope::new("metro", &[1]).expect("a scope");
    let certificate = root
        .issue_issuer(key.public(), label, &scope, validity())
        .expect("a certificate");
    let certificate = IssuerCertificate::read(&certificate).expect("an issuer's");
    IssuerKey::find(token, certificate).expect("its key is here")
}

fn claims() -> Claims {
    let mut point = [0x11; 33];
    point[0] = 2;
    Claims {
        issued_at: NOW,
        expires_at: NOW.plus(86_400),
        cti: Cti([7; 8]),
        device_key: DeviceKey::from_sec1(point).expect("begins with 02"),
        fare: FareTerms {
            class: 1,
            cap_minor: 1_000,
            window_s: 30,
            status_index: 9,
            flags: 0,
        },
    }
}
