//! Enrolment by EST: the access CA's own daemon, and terminals that come with a code.

use std::{fs, os::unix::fs::MetadataExt};

use crate::{World, WorldError, people::ROSTER, world::OPERATOR};

/// The registry of the access CA's daemon.
const ACCESS_REGISTRY: &str = "access.registry";
const ACCESS_LOG: &str = "access.metro.example/audit";

impl World {
    /// Makes the access CA's registry; two officers let its key and its audit log's key sign.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn make_access_registry(&self) -> Result<(), WorldError> {
        let keys = |arguments: &[&str]| self.keys_in(ACCESS_REGISTRY, arguments);
        let times = ["--propagation", "0s", "--tail", "48h"];
        keys(&[&["init", "--roster", ROSTER], &times[..]].concat())?;
        let token = self.token_file("access");
        let register = ["register", "--class", "access-ca", "--label", "access"];
        let authority = keys(&[&register[..], &["--token", &token]].concat())?;
        keys(&["certify", "--certificate", "access.pem"])?;
        self.activate_in(ACCESS_REGISTRY, &authority)?;
        self.make_folder("access-audit")?;
        let generate = ["generate", "--class", "audit", "--label", "audit"];
        let audit = keys(&[&generate[..], &["--token", &token]].concat())?;
        self.activate_in(ACCESS_REGISTRY, &audit)
    }

    /// Makes the next access CA, `access-2.pem`, in the token of the first; two officers let it sign
    /// beside that one.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn make_next_access(&self) -> Result<(), WorldError> {
        let token = self.token_file("access");
        let kms = self.tool("obol-kms");
        let key = ["--token", &token, "--key-label", "access-2"];
        let root = [
            "--root-token",
            "tokens/root.token.toml",
            "--root",
            "root.pem",
        ];
        let create = ["access-ca", "create", "--out", "access-2.pem"];
        kms.succeed(&[&create[..], &key, &root].concat())?;
        let keys = |arguments: &[&str]| self.keys_in(ACCESS_REGISTRY, arguments);
        let register = ["register", "--class", "access-ca", "--label", "access-2"];
        let authority = keys(&[&register[..], &["--token", &token]].concat())?;
        keys(&["certify", "--certificate", "access-2.pem"])?;
        self.activate_in(ACCESS_REGISTRY, &authority)
    }

    /// The issuer's operator makes a provisioning file with a code; the terminal begins with it and
    /// enrols, and the platform's operator registers it.
    ///
    /// # Errors
    /// What the commands have said.
    pub fn enrol_terminal(&self, name: &str) -> Result<(), WorldError> {
        self.make_folder(name)?;
        let identity = format!("obol://terminal/{name}");
        let file = format!("{name}.provisioning.toml");
        let code = ["enrolment-code", "--config", "issuer.toml"];
        let whom = ["--identity", &identity, "--provisioning", &file];
        self.tool("obol-issuer")
            .succeed(&[&code[..], &whom].concat())?;
        self.tool("obol-pos")
            .succeed(&["--dir", name, "enroll", "--provisioning", &file])?;
        fs::remove_file(self.path(&file))
            .map_err(|error| WorldError::new(format!("{file}: {error}")))?;
        let certificate = format!("{name}/terminal.pem");
        let register = [
            "register-terminal",
            "--config",
            "platform.toml",
            "--certificate",
        ];
        let platform = self.tool("obol-platform");
        platform
            .succeed(&[&register[..], &[&certificate]].concat())
            .map(drop)
    }

    /// Whether members of this world enrol.
    pub(crate) fn has_enrolment(&self) -> bool {
        self.path(ACCESS_REGISTRY).exists()
    }

    /// Starts `obol-kms serve` on the access CA's token.
    pub(crate) fn start_access_kms(&mut self) -> Result<(), WorldError> {
        let uid = fs::metadata(&self.folder)
            .map_err(|error| WorldError::new(error.to_string()))?
            .uid();
        let token = self.token_file("access");
        let config = format!(
            r#"socket = "access-kms.sock"
registry = "{ACCESS_REGISTRY}"
[[tokens]]
file = "{token}"
[[clients]]
uid = {uid}
role = "issuer"
name = "obol://issuer/main"
[audit]
folder = "access-audit"
origin = "{ACCESS_LOG}"
"#
        );
        self.write("access-kms.toml", &config)?;
        let serve = ["serve", "--config", "access-kms.toml"];
        self.access_kms = Some(self.serve("obol-kms", "access-kms", &serve)?);
        Ok(())
    }

    /// The issuer's `[enrolment]`, and what it tells terminals.
    pub(crate) fn enrolment_config(&self) -> String {
        let (enrolment, issuer) = (self.ports.enrolment, self.ports.issuer);
        let (platform, mirror) = (self.ports.terminals, self.ports.mirror);
        format!(
            r#"[enrolment]
listen = "127.0.0.1:{enrolment}"
kms_socket = "access-kms.sock"
certificate_days = 30
[terminals]
operator = "{OPERATOR}"
enrolment_url = "https://localhost:{enrolment}"
issuer_url = "https://localhost:{issuer}"
platform_url = "https://localhost:{platform}"
root = "root.pem"
repository_url = "http://127.0.0.1:{mirror}"
trust_root = "officers/root/1.root.json"
"#
        )
    }
}
