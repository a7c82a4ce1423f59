use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicU32,
};

use crate::{
    Passenger, Ports, Ran, Service, Terminal, Tool, WorldError, mirror::Mirror, ports::Reservation,
};

const TARIFF: &str = include_str!("../../../policies/tariffs/flat.toml");

/// The operator of every world.
pub(crate) const OPERATOR: &str = "metro";

/// A deployment in one folder: tokens, certificates, configurations, services.
///
/// When it is dropped without a panic, the books must be whole.
#[derive(Debug)]
pub struct World {
    pub(crate) folder: PathBuf,
    /// Where its services listen.
    pub ports: Ports,
    pub(crate) kms: Option<Service>,
    pub(crate) access_kms: Option<Service>,
    pub(crate) issuer: Option<Service>,
    pub(crate) platform: Option<Service>,
    pub(crate) bank: Option<Service>,
    pub(crate) mirror: Option<Mirror>,
    pub(crate) kms_options: String,
    pub(crate) tariff: String,
    pub(crate) class: u8,
    variables: Vec<(String, PathBuf)>,
    pub(crate) changes: AtomicU32,
    pub(crate) audit_token: String,
    /// The folder of the tokens that the services use.
    pub(crate) tokens: String,
    /// The issuer key's label in its token.
    pub(crate) issuer_label: String,
    _reservation: Reservation,
}

impl World {
    /// An empty world in `folder`, which must be empty or missing.
    ///
    /// # Errors
    /// When the folder cannot be made or holds something.
    pub fn new(folder: &Path, ports: Ports) -> Result<Self, WorldError> {
        let failed = |error| WorldError::new(format!("{}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(failed)?;
        if fs::read_dir(folder).map_err(failed)?.next().is_some() {
            return Err(WorldError::new(format!(
                "{} is not empty",
                folder.display()
            )));
        }
        let folder = folder.canonicalize().map_err(failed)?;
        fs::create_dir(folder.join("logs")).map_err(failed)?;
        Ok(Self {
            folder,
            ports,
            kms: None,
            access_kms: None,
            issuer: None,
            platform: None,
            bank: None,
            mirror: None,
            kms_options: String::new(),
            tariff: TARIFF.to_owned(),
            class: 1,
            variables: Vec::new(),
            changes: AtomicU32::new(0),
            audit_token: "issuer".to_owned(),
            tokens: "tokens".to_owned(),
            issuer_label: format!("issuer-{OPERATOR}"),
            _reservation: Reservation::of(ports)?,
        })
    }

    /// A world with tokens, authorities, the terminals named, and every service running.
    ///
    /// # Errors
    /// What the first step that fails has said.
    pub fn running(folder: &Path, terminals: &[&str]) -> Result<Self, WorldError> {
        let mut world = Self::new(folder, Ports::any())?;
        world.prepare_tokens()?;
        world.make_authorities()?;
        world.make_registry()?;
        world.certify_services()?;
        for terminal in terminals {
            world.certify_terminal(terminal)?;
        }
        world.start_bank()?;
        world.start_online()?;
        for terminal in terminals {
            world.terminal(terminal).sync()?;
        }
        Ok(world)
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A shipped binary, run in the world's folder.
    #[must_use]
    pub fn tool(&self, name: &str) -> Tool {
        let configuration = self.path(&format!("{}/softhsm2.conf", self.tokens));
        Tool::new(name, &self.folder)
            .with("SOFTHSM2_CONF", &configuration)
            .with_all(&self.variables)
    }

    /// Every program that is started from now on has this variable in its environment.
    pub fn set_variable(&mut self, name: &str, value: &Path) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The next `obol-kms serve` has these lines in its configuration besides the usual ones.
    pub fn set_kms_options(&mut self, lines: &str) {
        lines.clone_into(&mut self.kms_options);
    }

    /// The next platform charges by this tariff, and new passengers are of this class.
    pub fn set_tariff(&mut self, toml: &str, class: u8) {
        (self.tariff, self.class) = (toml.to_owned(), class);
    }

    /// The audit log's key is made in this token, and not in the issuer's.
    pub fn keep_audit_key_in(&mut self, token: &str) {
        token.clone_into(&mut self.audit_token);
    }

    /// The key management daemon, if it runs.
    #[must_use]
    pub fn kms(&self) -> Option<&Service> {
        self.kms.as_ref()
    }

    /// The issuer, if it runs.
    #[must_use]
    pub fn issuer(&self) -> Option<&Service> {
        self.issuer.as_ref()
    }

    /// A terminal that was certified.
    #[must_use]
    pub fn terminal(&self, name: &str) -> Terminal {
        Terminal::new(self, name)
    }

    /// A passenger's phone; the first command makes its folder.
    #[must_use]
    pub fn passenger(&self, name: &str) -> Passenger {
        Passenger::new(self, name)
    }

    /// The trial balance as people read it; demands that debits and credits are equal.
    ///
    /// # Errors
    /// When they are not, or the books cannot be read.
    pub fn trial_balance(&self) -> Result<String, WorldError> {
        Ok(self.books("trial-balance")?.stdout)
    }

    /// Recounts the books from their transfers.
    ///
    /// # Errors
    /// When something does not fit: the error names it.
    pub fn check_books(&self) -> Result<(), WorldError> {
        self.books("check-books").map(drop)
    }

    /// The fraud cases, a line each.
    ///
    /// # Errors
    /// When the books cannot be read.
    pub fn fraud_cases(&self) -> Result<Vec<String>, WorldError> {
        Ok(self
            .books("fraud-cases")?
            .stdout
            .lines()
            .map(str::to_owned)
            .collect())
    }

    fn books(&self, command: &str) -> Result<Ran, WorldError> {
        self.tool("obol-platform")
            .succeed(&[command, "--config", "platform.toml"])
    }

    /// The file of a token that the services use.
    pub(crate) fn token_file(&self, token: &str) -> String {
        format!("{}/{token}.token.toml", self.tokens)
    }

    pub(crate) fn make_folder(&self, name: &str) -> Result<(), WorldError> {
        let path = self.path(name);
        fs::create_dir(&path)
            .map_err(|error| WorldError::new(format!("{}: {error}", path.display())))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), WorldError> {
        let path = self.path(name);
        fs::write(&path, text)
            .map_err(|error| WorldError::new(format!("{}: {error}", path.display())))
    }

    pub(crate) fn read(&self, name: &str) -> Result<String, WorldError> {
        let path = self.path(name);
        fs::read_to_string(&path)
            .map_err(|error| WorldError::new(format!("{}: {error}", path.display())))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() || !self.path("platform.db").exists() {
            return;
        }
        if let Err(broken) = self.check_books() {
            panic!(
                "the books of {} are not whole: {broken}",
                self.folder.display()
            );
        }
    }
}
