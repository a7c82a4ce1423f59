//! A token of its own for each test.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use obol_credential::UnixTime;
use obol_kms::x509::{Certificate, IssuerCertificate, RootCa, Scope, Validity};
use obol_kms::{Curve, IssuerKey, Module, Pin, Token, TokenConfig};

/// Set in the process that runs the test itself.
pub(crate) const FOLDER: &str = "OBOL_KMS_TEST_FOLDER";
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];
/// Names another module for the same tests; without it they run on SoftHSM.
const ANOTHER: &str = "OBOL_TEST_MODULE";
/// Kryoptic has no slot but those of its configuration.
const KRYOPTIC_SLOTS: u32 = 4;
pub(crate) const PIN: &str = "user-1234";
pub(crate) const NOW: UnixTime = UnixTime(1_790_000_000);

/// A folder, a module that is about to be loaded, and the tokens made so far.
pub(crate) struct World {
    pub(crate) folder: PathBuf,
    module: RefCell<Option<Module>>,
}

/// Runs `test` in a process of its own, because SoftHSM takes its configuration from the
/// environment, which a process cannot safely change for itself.
pub(crate) fn in_a_world(name: &str, test: impl FnOnce(&World)) {
    in_a_world_in(&std::env::temp_dir(), name, test);
}

/// As [`in_a_world`], below `parent` if that is there; what the test prints is shown.
pub(crate) fn in_a_world_in(parent: &Path, name: &str, test: impl FnOnce(&World)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let world = World {
            folder: PathBuf::from(folder),
            module: RefCell::new(None),
        };
        return test(&world);
    }
    let folder = if parent.exists() {
        tempfile::tempdir_in(parent).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let (variable, conf) = configuration(folder.path());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(variable, &conf)
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.contains("1 passed"),
        "{stdout}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success());
    print!("{stdout}");
}

/// Where the module is told that its tokens lie in `folder`.
fn configuration(folder: &Path) -> (&'static str, PathBuf) {
    let tokens = folder.join("tokens");
    let tokens = tokens.display();
    let (variable, text) = if is_kryoptic() {
        let slot = |number| {
            format!(
                "[[slots]]\nslot = {number}\ndbtype = 'sqlite'\ndbargs = '{tokens}/{number}.sql'\n"
            )
        };
        let text: String = (1..=KRYOPTIC_SLOTS).map(slot).collect();
        ("KRYOPTIC_CONF", text)
    } else {
        let text = format!("directories.tokendir = {tokens}\nlog.level = ERROR\n");
        ("SOFTHSM2_CONF", text)
    };
    let conf = folder.join("module.conf");
    fs::write(&conf, text).unwrap();
    (variable, conf)
}

pub(crate) fn is_kryoptic() -> bool {
    World::module_path().ends_with("libkryoptic_pkcs11.so")
}

impl World {
    pub(crate) fn module_path() -> PathBuf {
        if let Some(module) = std::env::var_os(ANOTHER) {
            return PathBuf::from(module);
        }
        let found = MODULES.iter().map(Path::new).find(|path| path.exists());
        found
            .expect("SoftHSM is installed (package softhsm2)")
            .to_path_buf()
    }

    /// Loads the module, or takes the one that is loaded.
    pub(crate) fn with_module<T>(&self, work: impl FnOnce(&Module) -> T) -> T {
        let mut slot = self.module.borrow_mut();
        work(slot.get_or_insert_with(|| Module::load(&World::module_path()).unwrap()))
    }

    /// Finalises the module; every token must be gone.
    pub(crate) fn unload(&self) {
        if let Some(module) = self.module.take() {
            module.finalize().unwrap();
        }
    }

    /// Makes a token, its PIN file and `NAME.token.toml`.
    pub(crate) fn new_token(&self, name: &str) -> TokenConfig {
        let pin = |text: &str| Pin::new(text.as_bytes()).unwrap();
        let made = self
            .with_module(|module| module.initialize_token(name, &pin("so-1234"), &pin(PIN)))
            .unwrap();
        let pin_file = self.folder.join(format!("{name}.pin"));
        fs::write(&pin_file, format!("{PIN}\n")).unwrap();
        fs::set_permissions(&pin_file, PermissionsExt::from_mode(0o600)).unwrap();
        let path = self.token_file(name);
        let (module, serial) = (World::module_path(), made.serial);
        let module = module.display();
        let text = format!(
            "module = '{module}'\nlabel = '{name}'\nserial = '{serial}'\npin_file = '{name}.pin'\n"
        );
        fs::write(&path, text).unwrap();
        TokenConfig::load(&path).unwrap()
    }

    pub(crate) fn token_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.token.toml"))
    }

    pub(crate) fn open(&self, config: &TokenConfig, sessions: usize) -> Token {
        self.with_module(|module| Token::open(module, config, sessions))
            .unwrap()
    }

    pub(crate) fn token(&self, name: &str) -> Token {
        let config = self.new_token(name);
        self.open(&config, 2)
    }

    pub(crate) fn write(&self, name: &str, certificate: &Certificate) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, certificate.to_pem()).unwrap();
        path
    }
}

/// Ten years of validity around [`NOW`].
pub(crate) fn decade(now: UnixTime) -> Validity {
    Validity::days(now, 3650).unwrap()
}

/// A root and an issuer below it, both in `token`; classes 1 and 2 of operator `linea`.
pub(crate) fn issuer(token: &Token, curve: Curve, now: UnixTime) -> (Certificate, IssuerKey) {
    let root_key = token.generate(Curve::P384, "root").unwrap();
    let root = RootCa::create(token, &root_key, "Test Root", decade(now)).unwrap();
    let root = RootCa::open(token, root).unwrap();
    let key = token.generate(curve, "issuer").unwrap();
    let scope = Scope::new("linea", &[1, 2]).unwrap();
    let certificate = root
        .issue_issuer(
            key.public(),
            "Test Issuer",
            &scope,
            Validity::days(now, 90).unwrap(),
        )
        .unwrap();
    let issuer = IssuerCertificate::read(&certificate).unwrap();
    (certificate, IssuerKey::find(token, issuer).unwrap())
}
