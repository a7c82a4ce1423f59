//! Enrolment by EST: the access CA's own daemon, and terminals that come with a code.

use std::{fs, os::unix::fs::MetadataExt};

use crate::{World, WorldError, people::ROSTER};

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

    /// Makes a terminal's folder; it enrols with a code that the issuer's operator makes for it, and
    /// the platform's operator registers it.
    ///
    /// # Errors
    /// What the commands have said.
    pub fn enrol_terminal(&self, name: &str) -> Result<(), WorldError> {
        self.provision_terminal(name)?;
        let identity = format!("obol://terminal/{name}");
        let file = format!("{name}/enrolment.toml");
        let url = format!("https://localhost:{}", self.ports.enrolment);
        let code = [
            "enrolment-code",
            "--config",
            "issuer.toml",
            "--identity",
            &identity,
        ];
        let begin = ["--provisioning", &file, "--url", &url];
        self.tool("obol-issuer")
            .succeed(&[&code[..], &begin].concat())?;
        self.tool("obol-pos")
            .succeed(&["--dir", name, "enroll", &file])?;
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

    /// The issuer's `[enrolment]`.
    pub(crate) fn enrolment_config(&self) -> String {
        let port = self.ports.enrolment;
        format!(
            "[enrolment]\nlisten = \"127.0.0.1:{port}\"\nkms_socket = \"access-kms.sock\"\n\
             certificate_days = 30\n"
        )
    }
}
