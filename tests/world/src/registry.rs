use std::{fs, os::unix::fs::MetadataExt, sync::atomic::Ordering};

use crate::{
    World, WorldError,
    people::{OFFICERS, ROSTER, key_of},
};

pub(crate) const REGISTRY: &str = "keys.registry";
/// What the platform remembers of the log as its witness.
const WITNESSED: &str = "witnessed.checkpoint";
/// The name of the key daemon's audit log.
pub const LOG_ORIGIN: &str = "kms.metro.example/audit";

impl World {
    /// Makes a registry of the officers, and lets the issuer's key and the audit log's key sign.
    /// Officers who have held ceremonies are the registry's too; else they are made here.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn make_registry(&self) -> Result<(), WorldError> {
        if !self.path(ROSTER).exists() {
            self.make_people()?;
        }
        // No terminal of this world has to hear of a key first.
        let times = ["--propagation", "0s", "--tail", "48h"];
        let init = ["init", "--roster", ROSTER];
        self.keys(&[&init[..], &times].concat())?;
        let file = self.token_file("issuer");
        let issuer = [
            "register",
            "--class",
            "issuer",
            "--label",
            &self.issuer_label,
        ];
        let issuer = self.keys(&[&issuer[..], &["--token", &file]].concat())?;
        self.keys(&["certify", "--certificate", "issuer.pem"])?;
        self.activate(&issuer)?;
        if self.path("issuer-2.pem").exists() {
            let second = ["register", "--class", "issuer", "--label", "issuer-2"];
            let second = self.keys(&[&second[..], &["--token", &file]].concat())?;
            self.keys(&["certify", "--certificate", "issuer-2.pem"])?;
            self.activate(&second)?;
        }
        self.make_folder("audit")?;
        let audit = ["generate", "--class", "audit", "--label", "audit"];
        let file = self.token_file(&self.audit_token);
        let audit = self.keys(&[&audit[..], &["--token", &file]].concat())?;
        self.activate(&audit)
    }

    /// Publishes a key and has two officers activate it.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn activate(&self, spki: &str) -> Result<(), WorldError> {
        self.activate_in(REGISTRY, spki)
    }

    pub(crate) fn activate_in(&self, registry: &str, spki: &str) -> Result<(), WorldError> {
        let publish = ["keys", "publish", spki, "--registry", registry];
        let published = self.tool("obol-kms").succeed(&publish)?;
        let class = published.stdout.split(' ').nth(1);
        // Terminals of a world are made after its keys.
        match class {
            Some("issuer" | "access-ca" | "tuf-root" | "tuf-targets" | "tuf-online") => {
                self.change_in(registry, spki, "activate", &["--no-fleet"])
            }
            Some(_) => self.change_in(registry, spki, "activate", &[]),
            None => Err(published.unexpected()),
        }
    }

    /// Changes a key's state with the approvals of two officers.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn change(&self, spki: &str, verb: &str) -> Result<(), WorldError> {
        self.change_by(spki, verb, &[])
    }

    /// As [`World::change`], with what clears an activation.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn change_by(&self, spki: &str, verb: &str, by: &[&str]) -> Result<(), WorldError> {
        self.change_in(REGISTRY, spki, verb, by)
    }

    fn change_in(
        &self,
        registry: &str,
        spki: &str,
        verb: &str,
        by: &[&str],
    ) -> Result<(), WorldError> {
        let kms = self.tool("obol-kms");
        let turn = self.changes.fetch_add(1, Ordering::Relaxed);
        let request = format!("{verb}-{turn}.request");
        let asked = ["request", spki, verb, "--out", &request];
        self.keys_in(registry, &[&asked[..], by].concat())?;
        let mut act = vec![verb.to_owned(), spki.to_owned()];
        act.extend(["--reason", "as planned"].map(str::to_owned));
        for officer in &OFFICERS[..2] {
            let (key, out) = (key_of(officer), format!("{verb}-{turn}.{officer}"));
            let approve = ["officer", "approve", "--request", &request, "--yes"];
            kms.succeed(&[&approve[..], &["--key", &key, "--out", &out]].concat())?;
            act.extend(["--approval".to_owned(), out]);
        }
        let act: Vec<_> = act
            .iter()
            .map(String::as_str)
            .chain(by.iter().copied())
            .collect();
        self.keys_in(registry, &act).map(drop)
    }

    /// The SPKI id of the only key of a class.
    ///
    /// # Errors
    /// What `obol-kms` has said, or there is no such key.
    pub fn key_of_class(&self, class: &str) -> Result<String, WorldError> {
        let listed = self
            .tool("obol-kms")
            .succeed(&["keys", "list", "--registry", REGISTRY])?;
        let mut lines = listed.stdout.lines();
        let line = lines.find(|line| line.split(' ').nth(1) == Some(class));
        line.and_then(|line| line.split(' ').next())
            .map(str::to_owned)
            .ok_or_else(|| listed.unexpected())
    }

    /// The audit log's key, as `obol-kms audit` takes it.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn log_key(&self) -> Result<String, WorldError> {
        let key = ["audit", "key", "--name", LOG_ORIGIN, "--registry", REGISTRY];
        let shown = self.tool("obol-kms").succeed(&key)?;
        Ok(shown.stdout.trim().to_owned())
    }

    /// The configuration of the key daemon on the issuer's token.
    ///
    /// # Errors
    /// When the world's folder cannot be read.
    pub fn kms_config(&self) -> Result<String, WorldError> {
        let uid = fs::metadata(&self.folder)
            .map_err(|error| WorldError::new(error.to_string()))?
            .uid();
        let options = &self.kms_options;
        let another = match self.audit_token.as_str() {
            "issuer" => String::new(),
            name => {
                let file = self.token_file(name);
                format!("[[tokens]]\nfile = \"{file}\"\nsessions = 1\n")
            }
        };
        Ok(format!(
            r#"socket = "kms.sock"
registry = "{REGISTRY}"
metrics = "unix:kms-metrics.sock"
{options}[[tokens]]
file = "{issuer}"
{another}[[clients]]
uid = {uid}
role = "issuer"
name = "obol://issuer/main"
[audit]
folder = "audit"
origin = "{LOG_ORIGIN}"
{witness}"#,
            issuer = self.token_file("issuer"),
            witness = self.witness_config()?,
        ))
    }

    /// Who witnesses the log: the platform, once it is certified.
    fn witness_config(&self) -> Result<String, WorldError> {
        if !self.path("witness.pub").exists() {
            return Ok(String::new());
        }
        let (key, port) = (self.read("witness.pub")?, self.ports.terminals);
        Ok(format!(
            r#"[audit.witness]
url = "https://localhost:{port}/v1/audit-log"
key = "{key}"
certificate = "kms-tls.pem"
private_key = "kms.key"
trust = "access.pem"
interval_s = 1
"#
        ))
    }

    /// Waits until the platform has cosigned so many leaves.
    ///
    /// # Errors
    /// When it does not within a minute.
    pub fn wait_for_witness(&self, leaves: u64) -> Result<(), WorldError> {
        self.wait_for_head(WITNESSED, leaves)
    }

    /// Waits until the log's own checkpoint covers so many leaves.
    ///
    /// # Errors
    /// When it does not within a minute.
    pub fn wait_for_checkpoint(&self, leaves: u64) -> Result<(), WorldError> {
        self.wait_for_head("audit/checkpoint", leaves)
    }

    fn wait_for_head(&self, file: &str, leaves: u64) -> Result<(), WorldError> {
        let begun = std::time::Instant::now();
        loop {
            // Three lines: origin, size, root; it is replaced as a whole.
            let text = self.read(file).unwrap_or_else(|_| String::new());
            let size: Option<u64> = text.lines().nth(1).and_then(|size| size.parse().ok());
            if size.is_some_and(|size| size >= leaves) {
                return Ok(());
            }
            if begun.elapsed() > std::time::Duration::from_secs(60) {
                return Err(WorldError::new(format!(
                    "{file}: no checkpoint of {leaves} leaves: {text}"
                )));
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// A copy of the audit log's folder as it is now.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn copy_log(&self, to: &str) -> Result<(), WorldError> {
        let key = self.log_key()?;
        let copy = ["audit", "copy", "--log", "audit", "--key", &key];
        let kms = self.tool("obol-kms");
        kms.succeed(&[&copy[..], &["--out", to]].concat()).map(drop)
    }

    /// Checks a log's folder against what the platform has cosigned.
    ///
    /// # Errors
    /// When the command cannot be run; what it found is in the answer.
    pub fn verify_log(&self, folder: &str) -> Result<crate::Ran, WorldError> {
        let key = self.log_key()?;
        let verify = ["audit", "verify", "--log", folder, "--key", &key];
        let seen = ["--witnessed", WITNESSED];
        self.tool("obol-kms").run(&[&verify[..], &seen].concat())
    }

    /// How many entries a log's folder has, all of them good.
    ///
    /// # Errors
    /// When one is not.
    pub fn entries_of_log(&self, folder: &str) -> Result<u64, WorldError> {
        let ran = self.verify_log(folder)?;
        let count = ran.stdout.strip_prefix("good: ");
        let count = count.and_then(|rest| rest.split(' ').next()?.parse().ok());
        count.ok_or_else(|| ran.unexpected())
    }

    /// Runs `obol-kms keys`; the first word it prints, which names the key or the registry.
    pub(crate) fn keys(&self, arguments: &[&str]) -> Result<String, WorldError> {
        self.keys_in(REGISTRY, arguments)
    }

    pub(crate) fn keys_in(&self, registry: &str, arguments: &[&str]) -> Result<String, WorldError> {
        let command = [&["keys"], arguments, &["--registry", registry]].concat();
        let ran = self.tool("obol-kms").succeed(&command)?;
        let first = ran.stdout.split_whitespace().next();
        first.map(str::to_owned).ok_or_else(|| ran.unexpected())
    }
}
