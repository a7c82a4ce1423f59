use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use crate::{Service, World, WorldError, world::OPERATOR};

const LOG_WITHIN: Duration = Duration::from_secs(60);
const TEMPLATES: &str = include_str!("../../../policies/credentials/metro.toml");

impl World {
    /// Starts the bank, which outlives the platform's absence.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_bank(&mut self) -> Result<(), WorldError> {
        if !self.path("bank.key").exists() {
            let files = ["keygen", "--key", "bank.key", "--public", "bank.pub.pem"];
            self.tool("bank-simulator").succeed(&files)?;
        }
        let listen = format!("127.0.0.1:{}", self.ports.bank);
        let options = [
            "--key",
            "bank.key",
            "--trust",
            "access.pem",
            "--repeat",
            "3",
        ];
        let serve = [&["serve", "--listen", &listen][..], &options].concat();
        self.bank = Some(self.serve("bank-simulator", "bank", &serve)?);
        Ok(())
    }

    /// Starts the key management daemon, the issuer and the platform, and registers every
    /// certified terminal with both.
    ///
    /// # Errors
    /// When one does not become ready.
    pub fn start_online(&mut self) -> Result<(), WorldError> {
        self.start_kms()?;
        if self.has_enrolment() {
            self.start_access_kms()?;
        }
        self.start_issuer()?;
        self.start_platform()
    }

    /// Stops what [`World::start_online`] started.
    ///
    /// # Errors
    /// When one does not end by itself.
    pub fn stop_online(&mut self) -> Result<(), WorldError> {
        let keys = [self.access_kms.take(), self.kms.take()];
        let services = [self.platform.take(), self.issuer.take()];
        for service in services.into_iter().chain(keys) {
            service.map_or(Ok(()), Service::stop)?;
        }
        Ok(())
    }

    /// Starts `obol-kms serve` on the issuer's token.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_kms(&mut self) -> Result<(), WorldError> {
        self.write("kms.toml", &self.kms_config()?)?;
        self.kms = Some(self.serve("obol-kms", "kms", &["serve", "--config", "kms.toml"])?);
        Ok(())
    }

    /// Starts the issuer.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_issuer(&mut self) -> Result<(), WorldError> {
        let config = self.issuer_config()?;
        self.write("issuer.toml", &config)?;
        self.write("credentials.toml", TEMPLATES)?;
        let serve = ["serve", "--config", "issuer.toml"];
        self.issuer = Some(self.serve("obol-issuer", "issuer", &serve)?);
        Ok(())
    }

    /// Starts the platform, its terminals registered.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_platform(&mut self) -> Result<(), WorldError> {
        self.write("tariff.toml", &self.tariff)?;
        self.write("platform.toml", &self.platform_config()?)?;
        for terminal in self.terminals()? {
            let certificate = format!("{terminal}/terminal.pem");
            let register = [
                "register-terminal",
                "--config",
                "platform.toml",
                "--certificate",
            ];
            self.tool("obol-platform")
                .succeed(&[&register[..], &[&certificate]].concat())?;
        }
        let serve = ["serve", "--config", "platform.toml"];
        self.platform = Some(self.serve("obol-platform", "platform", &serve)?);
        Ok(())
    }

    /// `kill -9` of a service: `kms`, `issuer`, `platform` or `bank`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self, service: &str) -> Result<(), WorldError> {
        let running = match service {
            "kms" => self.kms.take(),
            "issuer" => self.issuer.take(),
            "platform" => self.platform.take(),
            "bank" => self.bank.take(),
            _ => None,
        };
        running
            .ok_or_else(|| WorldError::new(format!("no service {service} runs")))?
            .kill()
    }

    /// What a service has logged: `kms`, `issuer`, `platform` or `bank`.
    ///
    /// # Errors
    /// When it has not run.
    pub fn log(&self, service: &str) -> Result<String, WorldError> {
        self.read(&format!("logs/{service}.log"))
    }

    /// Waits until a service has logged `text` so many times.
    ///
    /// # Errors
    /// When it has not within a minute.
    pub fn wait_for_log(&self, service: &str, text: &str, times: usize) -> Result<(), WorldError> {
        let begun = Instant::now();
        loop {
            let found = self.log(service)?.matches(text).count();
            if found >= times {
                return Ok(());
            }
            if begun.elapsed() > LOG_WITHIN {
                let missing = format!("{service} logged {text:?} {found} times, not {times}");
                return Err(WorldError::new(missing));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Status and body of the key daemon's `/healthz` or `/metrics`.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask_kms(&self, path: &str) -> Result<(String, String), WorldError> {
        let asked = || -> std::io::Result<String> {
            let mut stream = UnixStream::connect(self.path("kms-metrics.sock"))?;
            let end = "HTTP/1.1\r\nHost: kms\r\nConnection: close\r\n\r\n";
            write!(stream, "GET {path} {end}")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = asked().map_err(|error| WorldError::new(format!("{path}: {error}")))?;
        let parts = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
            let status = head.lines().next()?.strip_prefix("HTTP/1.1 ")?;
            Some((status.to_owned(), body.to_owned()))
        });
        parts.ok_or_else(|| WorldError::new(format!("{path}: {answer:?}")))
    }

    /// Starts `binary`, which serves until its standard input closes; it logs as `name`.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn serve<A: AsRef<OsStr>>(
        &self,
        binary: &str,
        name: &str,
        arguments: &[A],
    ) -> Result<Service, WorldError> {
        let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
        let arguments = [&arguments[..], &[OsStr::new("--until-stdin-closes")]].concat();
        self.tool(binary)
            .serve(&arguments, self.path(&format!("logs/{name}.log")))
    }

    fn issuer_config(&self) -> Result<String, WorldError> {
        let signing = match self.path("issuer-2.pem").exists() {
            true => r#"["issuer.pem", "issuer-2.pem"]"#,
            false => r#""issuer.pem""#,
        };
        let crl = match self.has_enrolment() {
            true => "crl = \"access.crl.pem\"\n",
            false => "",
        };
        let mut config = format!(
            r#"listen = "127.0.0.1:{}"
database = "issuer.db"
kms_socket = "kms.sock"
templates = "credentials.toml"
[tls]
certificate = "issuer-tls.pem"
key = "issuer.key"
trust = "access.pem"
{crl}[keys]
signing = {signing}
"#,
            self.ports.issuer
        );
        if self.has_repository() {
            config += &self.publisher_config()?;
        }
        if self.has_enrolment() {
            config += &self.enrolment_config();
        }
        let platform = (
            "obol://platform/main".to_owned(),
            "platform-tls.pem".to_owned(),
        );
        // Who enrolled stands in the issuer's own register.
        let terminals = self.terminals()?.into_iter();
        let terminals = terminals.filter(|name| {
            let certified = self.path(&format!("{name}/terminal.pem.spki"));
            certified.exists()
        });
        let terminals = terminals.map(|name| {
            (
                format!("obol://terminal/{name}"),
                format!("{name}/terminal.pem"),
            )
        });
        for (uri, certificate) in [platform].into_iter().chain(terminals) {
            let spki = self.read(&format!("{certificate}.spki"))?;
            config += &format!("[[clients]]\nuri = \"{uri}\"\nspki = \"{spki}\"\n");
        }
        Ok(config)
    }

    fn platform_config(&self) -> Result<String, WorldError> {
        let Self { ports, class, .. } = self;
        let (log_key, spki) = (self.log_key()?, self.read("kms-tls.pem.spki")?);
        Ok(format!(
            r#"passenger_listen = "127.0.0.1:{passengers}"
public_url = "https://localhost:{passengers}"
terminal_listen = "127.0.0.1:{terminals}"
database = "platform.db"
tariff = "tariff.toml"
fare_packs = "fare-packs"
operator = "{OPERATOR}"
class = {class}
[tls]
certificate = "platform-tls.pem"
key = "platform.key"
trust = "access.pem"
[issuer]
url = "https://localhost:{issuer}"
root = "root.pem"
bundle = "trust-bundle.cbor"
[simulated_bank]
public_key = "bank.pub.pem"
pay_url = "http://127.0.0.1:{bank}/pay"
[witness]
key = "witness.key"
[[witness.logs]]
key = "{log_key}"
state = "witnessed.checkpoint"
client = "obol://issuer/kms"
spki = "{spki}"
"#,
            passengers = ports.passengers,
            terminals = ports.terminals,
            issuer = ports.issuer,
            bank = ports.bank,
        ))
    }

    /// Every terminal with a certificate, by name.
    fn terminals(&self) -> Result<Vec<String>, WorldError> {
        let failed = |error| WorldError::new(format!("{}: {error}", self.folder.display()));
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.path().join("terminal.pem").exists() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}
