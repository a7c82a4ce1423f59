//! An issuer and its key daemon, as shipped, on tokens of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use obol_world::{Ports, Service, World, WorldError, binaries};

use crate::plan::{Arrivals, Http, Plan};

const TEMPLATES: &str = include_str!("../../../policies/credentials/metro.toml");
const ISSUER_TOKEN: &str = "tokens/issuer.token.toml";

/// What differs from one deployment to another.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Sessions of the issuer's token.
    pub sessions: usize,
    /// Platforms besides `main`, each with a certificate and an entry in the register.
    pub platforms: &'a [&'a str],
    /// Further lines of the issuer's configuration, before its sections.
    pub issuer_options: &'a str,
}

/// `obol-kms serve` and `obol-issuer` in one folder.
#[derive(Debug)]
pub struct Deployment {
    world: World,
    settings: (usize, Vec<String>, String),
    kms: Option<Service>,
    issuer: Option<Service>,
}

impl Deployment {
    /// Makes tokens, a hierarchy, a registry with active issuer keys of P-384 and P-256, and
    /// identities; nothing runs.
    ///
    /// # Errors
    /// What the first step that fails has said.
    pub fn prepare(folder: &Path, settings: &Settings<'_>) -> Result<Deployment, WorldError> {
        let world = World::new(folder, Ports::any())?;
        world.prepare_tokens()?;
        world.make_authorities()?;
        world.make_registry()?;
        world.certify_services()?;
        let names = settings.platforms.iter().map(|name| (*name).to_owned());
        let options = settings.issuer_options.to_owned();
        let deployment = Deployment {
            world,
            settings: (settings.sessions, names.collect(), options),
            kms: None,
            issuer: None,
        };
        deployment.add_p256()?;
        for name in settings.platforms {
            deployment.certify_platform(name)?;
        }
        Ok(deployment)
    }

    /// The world it stands in.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The same, to be changed before anything starts.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    fn add_p256(&self) -> Result<(), WorldError> {
        let kms = self.world.tool("obol-kms");
        let under = [
            "--root-token",
            "tokens/root.token.toml",
            "--root",
            "root.pem",
        ];
        let create = [
            "issuer",
            "create",
            "--token",
            ISSUER_TOKEN,
            "--curve",
            "p256",
        ];
        let names = [
            "--operator",
            "metro",
            "--classes",
            "1,2",
            "--key-label",
            "issuer-p256",
        ];
        let out = ["--out", "issuer-p256.pem"];
        kms.succeed(&[&create[..], &under, &names, &out].concat())?;
        let registry = ["--registry", "keys.registry"];
        let register = [
            "keys",
            "register",
            "--class",
            "issuer",
            "--label",
            "issuer-p256",
        ];
        let token = ["--token", ISSUER_TOKEN];
        let ran = kms.succeed(&[&register[..], &token, &registry].concat())?;
        let spki = ran
            .stdout
            .split_whitespace()
            .next()
            .unwrap_or("")
            .to_owned();
        let certify = ["keys", "certify", "--certificate", "issuer-p256.pem"];
        kms.succeed(&[&certify[..], &registry].concat())?;
        self.world.activate(&spki)
    }

    fn certify_platform(&self, name: &str) -> Result<(), WorldError> {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        let files = ["--key", key.as_str(), "--request", request.as_str()];
        let platform = self.world.tool("obol-platform");
        let identity = ["identity", "--name", name, "--host", "localhost"];
        platform.succeed(&[&identity[..], &files].concat())?;
        self.world
            .certify("server", &request, &format!("{name}-tls.pem"))
    }

    /// Starts the key daemon.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_kms(&mut self) -> Result<(), WorldError> {
        let config = self.world.kms_config()?;
        // Nobody witnesses here.
        let config = config.split("[audit.witness]").next().unwrap_or(&config);
        let file = format!("file = \"{ISSUER_TOKEN}\"\n");
        let sessions = format!("{file}sessions = {}\n", self.settings.0);
        self.write("kms.toml", &config.replace(&file, &sessions))?;
        let serve = ["serve", "--config", "kms.toml"];
        self.kms = Some(self.world.serve("obol-kms", "kms", &serve)?);
        Ok(())
    }

    /// Starts the issuer with the certificate of its key.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_issuer(&mut self, certificate: &str) -> Result<(), WorldError> {
        let config = self.issuer_config(certificate)?;
        self.write("issuer.toml", &config)?;
        self.write("credentials.toml", TEMPLATES)?;
        let serve = ["serve", "--config", "issuer.toml"];
        self.issuer = Some(self.world.serve("obol-issuer", "issuer", &serve)?);
        Ok(())
    }

    fn issuer_config(&self, certificate: &str) -> Result<String, WorldError> {
        let (port, options) = (self.world.ports.issuer, &self.settings.2);
        let mut config = format!(
            "listen = \"127.0.0.1:{port}\"\ndatabase = \"issuer.db\"\nkms_socket = \"kms.sock\"\n\
             templates = \"credentials.toml\"\ndaily_quota = 100000000\n\
             status_list_size = 16777216\n{options}[tls]\ncertificate = \"issuer-tls.pem\"\n\
             key = \"issuer.key\"\ntrust = \"access.pem\"\n[keys]\nsigning = \"{certificate}\"\n"
        );
        let main = ("main", "platform-tls.pem".to_owned());
        let others = self.settings.1.iter();
        let others = others.map(|name| (name.as_str(), format!("{name}-tls.pem")));
        for (name, certificate) in [main].into_iter().chain(others) {
            let path = self.path(&format!("{certificate}.spki"));
            let spki = fs::read_to_string(&path)
                .map_err(|error| WorldError::new(format!("{}: {error}", path.display())))?;
            config +=
                &format!("[[clients]]\nuri = \"obol://platform/{name}\"\nspki = \"{spki}\"\n");
        }
        Ok(config)
    }

    /// Stops both in good order, the issuer first.
    ///
    /// # Errors
    /// When one does not end by itself.
    pub fn stop(&mut self) -> Result<(), WorldError> {
        for service in [self.issuer.take(), self.kms.take()] {
            service.map_or(Ok(()), Service::stop)?;
        }
        Ok(())
    }

    /// Stops the issuer in good order.
    ///
    /// # Errors
    /// When it does not end by itself.
    pub fn stop_issuer(&mut self) -> Result<(), WorldError> {
        self.issuer.take().map_or(Ok(()), Service::stop)
    }

    /// The issuer's process.
    ///
    /// # Errors
    /// When none runs.
    pub fn issuer(&self) -> Result<u32, WorldError> {
        let issuer = self.issuer.as_ref().map(Service::id);
        issuer.ok_or_else(|| WorldError::new("no issuer runs"))
    }

    /// The key daemon's process.
    ///
    /// # Errors
    /// When none runs.
    pub fn kms(&self) -> Result<u32, WorldError> {
        let kms = self.kms.as_ref().map(Service::id);
        kms.ok_or_else(|| WorldError::new("no key daemon runs"))
    }

    /// The process of the daemon's worker, which holds the vendor's module.
    ///
    /// # Errors
    /// When there is none at this moment.
    pub fn worker(&self) -> Result<u32, WorldError> {
        let daemon = self.kms()?;
        let found = fs::read_dir(format!("/proc/{daemon}/task"))
            .ok()
            .and_then(|threads| {
                threads.filter_map(Result::ok).find_map(|thread| {
                    let children = fs::read_to_string(thread.path().join("children")).ok()?;
                    children.split_whitespace().next()?.parse().ok()
                })
            });
        found.ok_or_else(|| WorldError::new("the daemon has no worker now"))
    }

    /// `kill -9` of the worker.
    ///
    /// # Errors
    /// When there is none.
    pub fn kill_worker(&self) -> Result<(), WorldError> {
        let worker = self.worker()?.to_string();
        let killed = Command::new("kill").args(["-9", &worker]).status();
        match killed {
            Ok(status) if status.success() => Ok(()),
            other => Err(WorldError::new(format!("kill -9 {worker}: {other:?}"))),
        }
    }

    /// `kill -9` of the key daemon; its worker ends with it.
    ///
    /// # Errors
    /// When none runs.
    pub fn kill_kms(&mut self) -> Result<(), WorldError> {
        let kms = self.kms.take();
        kms.ok_or_else(|| WorldError::new("no key daemon runs"))?
            .kill()
    }

    /// The plan of a platform: to be filled in.
    #[must_use]
    pub fn plan(&self, platform: &str, http: Http, arrivals: Arrivals) -> Plan {
        let own = match platform {
            "main" => "platform",
            other => other,
        };
        Plan {
            url: format!("https://localhost:{}", self.world.ports.issuer),
            trust: self.path("access.pem"),
            certificate: self.path(&format!("{own}-tls.pem")),
            key: self.path(&format!("{own}.key")),
            http,
            arrivals,
            items: 1,
            ahead: 1_000,
            requests: None,
            seconds: 5.0,
            repeats: false,
        }
    }

    /// Where the shipped binaries are.
    #[must_use]
    pub fn binaries() -> PathBuf {
        binaries()
    }

    /// A file of its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.world.folder().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), WorldError> {
        let path = self.path(name);
        fs::write(&path, text)
            .map_err(|error| WorldError::new(format!("{}: {error}", path.display())))
    }
}
