use std::fs;

use crate::{World, WorldError, world::OPERATOR};

const PLAN: &str = r#"# One token for each authority, as in the field: each with its own PIN.
tokens = [{ name = "root" }, { name = "access" }, { name = "issuer" }]
"#;

impl World {
    /// Makes the development tokens with `softhsm-setup`.
    ///
    /// # Errors
    /// When SoftHSM is missing or refuses.
    pub fn prepare_tokens(&self) -> Result<(), WorldError> {
        self.write("tokens.toml", PLAN)?;
        self.tool("softhsm-setup")
            .succeed(&["tokens.toml", "--dir", "tokens"])
            .map(drop)
    }

    /// Generates root CA, access CA and issuer key in their tokens and certifies them, as a developer
    /// does: without people. [`World::hold`] is the way with them.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn make_authorities(&self) -> Result<(), WorldError> {
        let kms = self.tool("obol-kms");
        let (root, access) = ("tokens/root.token.toml", "tokens/access.token.toml");
        kms.succeed(&["root", "create", "--token", root, "--out", "root.pem"])?;
        let under_root = ["--root-token", root, "--root", "root.pem"];
        let access_ca = [
            "access-ca",
            "create",
            "--token",
            access,
            "--out",
            "access.pem",
        ];
        kms.succeed(&[&access_ca[..], &under_root].concat())?;
        let issuer = ["issuer", "create", "--token", "tokens/issuer.token.toml"];
        let scope = [
            "--operator",
            OPERATOR,
            "--classes",
            "1,2",
            "--out",
            "issuer.pem",
        ];
        kms.succeed(&[&issuer[..], &scope, &under_root].concat())
            .map(drop)
    }

    /// Makes the identities of issuer and platform: each makes its own key and asks the access CA.
    ///
    /// # Errors
    /// What the commands have said.
    pub fn certify_services(&self) -> Result<(), WorldError> {
        for role in ["issuer", "platform"] {
            let (key, request) = (format!("{role}.key"), format!("{role}.csr"));
            let names = [
                "--name",
                "main",
                "--host",
                "localhost",
                "--host",
                "127.0.0.1",
            ];
            let files = ["--key", key.as_str(), "--request", request.as_str()];
            self.tool(&format!("obol-{role}"))
                .succeed(&[&["identity"], &names[..], &files].concat())?;
            self.certify("server", &request, &format!("{role}-tls.pem"))?;
        }
        self.certify_kms()
    }

    /// The key daemon's identity, with which it brings its log to the witness.
    fn certify_kms(&self) -> Result<(), WorldError> {
        let files = ["--key", "kms.key", "--request", "kms.csr"];
        self.tool("obol-issuer")
            .succeed(&[&["identity", "--name", "kms"], &files[..]].concat())?;
        self.certify("client", "kms.csr", "kms-tls.pem")?;
        let name = ["--name", "platform.metro.example/w1"];
        let out = ["--out", "witness.key"];
        let ran = self
            .tool("obol-kms")
            .succeed(&[&["audit", "witness-key"], &name[..], &out].concat())?;
        self.write("witness.pub", ran.stdout.trim())
    }

    /// Makes a terminal's folder, key and certificate.
    ///
    /// # Errors
    /// What the commands have said.
    pub fn certify_terminal(&self, name: &str) -> Result<(), WorldError> {
        self.provision_terminal(name)?;
        self.tool("obol-pos")
            .succeed(&["--dir", name, "identity"])?;
        let certificate = format!("{name}/terminal.pem");
        self.certify("terminal", &format!("{name}/terminal.csr"), &certificate)
    }

    /// Makes a terminal's folder with what it is told before its first ride.
    fn provision_terminal(&self, name: &str) -> Result<(), WorldError> {
        let folder = self.path(name);
        fs::create_dir_all(&folder)
            .map_err(|error| WorldError::new(format!("{}: {error}", folder.display())))?;
        let (issuer, platform) = (self.ports.issuer, self.ports.terminals);
        let provisioning = format!(
            r#"terminal = "{name}"
operator = "{OPERATOR}"
root = "../root.pem"
access = "../access.pem"
certificate = "terminal.pem"
key = "terminal.key"
issuer_url = "https://localhost:{issuer}"
platform_url = "https://localhost:{platform}"
"#
        );
        self.write(&format!("{name}/terminal.toml"), &provisioning)
    }

    /// Has the access CA sign a request.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn certify(&self, profile: &str, request: &str, out: &str) -> Result<(), WorldError> {
        self.certify_by(("access.pem", profile), request, out)
    }

    /// The same by one of several access CAs whose keys that token has, and a profile.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn certify_by(
        &self,
        (ca, profile): (&str, &str),
        request: &str,
        out: &str,
    ) -> Result<(), WorldError> {
        let token = self.token_file("access");
        let authority = ["--ca", ca, "--token", &token];
        let asked = [
            "certify",
            "--profile",
            profile,
            "--csr",
            request,
            "--out",
            out,
        ];
        let ran = self
            .tool("obol-kms")
            .succeed(&[&asked[..], &authority].concat())?;
        // The command prints `SPKI URI FILE`; registers want the first.
        let spki = ran
            .stdout
            .split(' ')
            .next()
            .ok_or_else(|| ran.unexpected())?;
        self.write(&format!("{out}.spki"), spki)
    }
}
