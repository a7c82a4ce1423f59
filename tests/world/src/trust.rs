//! The trust repository: its keys, what officers sign for it, and how terminals follow it.

use std::time::{Duration, Instant};

use crate::{
    Ceremony, Scan, Sites, Terminal, World, WorldError, mirror::Mirror, people::OFFICERS,
    registry::REGISTRY, sites::Site, terminal::last_json,
};

/// The publisher's folder of what officers signed.
pub(crate) const OFFICERS_FOLDER: &str = "officers";
/// The roles whose keys are in the issuer's token, in the order of the issuer's configuration.
pub(crate) const ONLINE_ROLES: [&str; 4] = ["timestamp", "snapshot", "denylist", "fares"];
/// Periods for which targets are signed ahead.
const PERIODS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    /// Makes the online keys of the trust repository in the issuer's token; two officers let each
    /// sign.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn make_trust_keys(&self) -> Result<(), WorldError> {
        let token = self.token_file("issuer");
        for role in ONLINE_ROLES {
            let generate = ["generate", "--class", "tuf-online", "--label", role];
            let spki = self.keys(&[&generate[..], &["--token", &token]].concat())?;
            self.activate(&spki)?;
            self.write(&Site::Online.file(&format!("{role}.spki")), &spki)?;
        }
        Ok(())
    }

    /// Drafts root, bundle and targets at the online site, has officers sign them in ceremonies
    /// offline, and lays what they signed before the publisher.
    ///
    /// # Errors
    /// What the first command that fails has said.
    pub fn sign_trust(&self, sites: &Sites) -> Result<(), WorldError> {
        self.draft_trust()?;
        for ceremony in &Ceremony::TRUST {
            self.hold(sites, ceremony)?;
        }
        let root = format!("{OFFICERS_FOLDER}/root/1.root.json");
        let signatures = ["root-1.alice.json", "root-1.bob.json"];
        self.assemble("root-1", &signatures, None, &root)?;
        for version in 1..=PERIODS {
            let out = format!("{OFFICERS_FOLDER}/targets/{version}.targets.json");
            let signature = format!("targets-{version}.signature.json");
            let draft = format!("targets-{version}");
            self.assemble(&draft, &[&signature], Some(&root), &out)?;
        }
        self.make_folder(&format!("{OFFICERS_FOLDER}/files"))?;
        let bundle = "trust-bundle.cbor";
        self.copy(
            &Site::Online.file(bundle),
            &format!("{OFFICERS_FOLDER}/files/{bundle}"),
        )
    }

    /// Makes the next online key in the issuer's token, beside whoever uses that; it may not sign
    /// yet. Its SPKI id.
    ///
    /// # Errors
    /// What `obol-kms` has said.
    pub fn make_next_online_key(&self) -> Result<String, WorldError> {
        let token = self.token_file("issuer");
        let generate = ["generate", "--class", "tuf-online", "--label", "online-2"];
        let spki = self.keys(&[&generate[..], &["--token", &token]].concat())?;
        let publish = ["keys", "publish", &spki, "--registry", REGISTRY];
        self.tool("obol-kms").succeed(&publish)?;
        Ok(spki)
    }

    /// Has officers name that key for all online roles, in ceremonies offline, and lays what they
    /// signed before the publisher.
    ///
    /// # Errors
    /// What the first command that fails has said.
    pub fn name_next_online_key(&self, sites: &Sites, spki: &str) -> Result<(), WorldError> {
        let named = |roles: [&str; 2]| {
            let each = roles.map(|role| [format!("--{role}"), spki.to_owned()]);
            each.concat()
        };
        self.draft_root("2", named(["timestamp", "snapshot"]))?;
        self.draft_targets("1001", "1", named(["denylist", "fares"]))?;
        for ceremony in &Ceremony::NEXT_ONLINE {
            self.hold(sites, ceremony)?;
        }
        let root = |version| format!("{OFFICERS_FOLDER}/root/{version}.root.json");
        let signatures = ["root-2.alice.json", "root-2.bob.json"];
        self.assemble("root-2", &signatures, Some(&root(1)), &root(2))?;
        self.make_folder(&format!("{OFFICERS_FOLDER}/emergency"))?;
        let signature = ["targets-1001.signature.json"];
        let out = format!("{OFFICERS_FOLDER}/emergency/1001.targets.json");
        self.assemble("targets-1001", &signature, Some(&root(2)), &out)
    }

    /// The SPKI id of an online role's first key.
    ///
    /// # Errors
    /// When there is none.
    pub fn first_online_key(&self, role: &str) -> Result<String, WorldError> {
        self.read(&Site::Online.file(&format!("{role}.spki")))
    }

    /// The folder that the issuer publishes, behind a static server.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start_mirror(&mut self) -> Result<(), WorldError> {
        self.mirror = Some(Mirror::of(self.path("repository"), self.ports.mirror)?);
        Ok(())
    }

    /// Whether the terminals of this world follow a trust repository.
    pub(crate) fn has_repository(&self) -> bool {
        self.path(OFFICERS_FOLDER).exists()
    }

    /// The issuer's `[publisher]`.
    pub(crate) fn publisher_config(&self) -> Result<String, WorldError> {
        let mut section = format!(
            "[publisher]\nrepository = \"repository\"\noffline = \"{OFFICERS_FOLDER}\"\n\
             state = \"publisher\"\n"
        );
        for role in ONLINE_ROLES {
            let spki = self.first_online_key(role)?;
            section += &format!("{role} = \"{spki}\"\n");
        }
        Ok(section)
    }

    /// Has the issuer deny a passenger for good, as the platform's operator does.
    ///
    /// # Errors
    /// What `obol-platform` has said.
    pub fn revoke_passenger(&self, account: u64) -> Result<(), WorldError> {
        let account = account.to_string();
        let command = ["revoke", "--config", "platform.toml"];
        let whom = ["--account", &account, "--reason", "the phone was stolen"];
        let platform = self.tool("obol-platform");
        platform.succeed(&[&command[..], &whom].concat()).map(drop)
    }

    /// Has the issuer block a key.
    ///
    /// # Errors
    /// What `obol-platform` has said.
    pub fn suspend_key(&self, kid: &str) -> Result<String, WorldError> {
        let command = ["suspend-key", "--config", "platform.toml"];
        let which = ["--kid", kid, "--reason", "the depot was broken into"];
        let platform = self.tool("obol-platform");
        let ran = platform.succeed(&[&command[..], &which].concat())?;
        Ok(ran.stdout)
    }

    fn draft_trust(&self) -> Result<(), WorldError> {
        let requests = OFFICERS.map(|officer| format!("tuf-{officer}.csr"));
        for file in requests
            .iter()
            .map(String::as_str)
            .chain(["tuf-targets.csr"])
        {
            self.carry(file, Site::Online)?;
        }
        self.draft_root("1", self.online_keys(&["timestamp", "snapshot"])?)?;
        let online = |name: &str| Site::Online.file(name);
        let kms = self.tool_at(Site::Online, "obol-kms");
        let certificates = [
            "--certificate",
            "issuer.pem",
            "--certificate",
            "issuer-2.pem",
        ];
        let bundle = online("trust-bundle.cbor");
        let life = ["--days", "100", "--out", &bundle];
        kms.succeed(&[&["tuf", "draft-bundle"], &certificates[..], &life].concat())?;
        self.draft_targets("1", "3", self.online_keys(&["denylist", "fares"])?)
    }

    fn draft_root(&self, version: &str, online: Vec<String>) -> Result<(), WorldError> {
        let mut root = vec!["tuf".to_owned(), "draft-root".to_owned()];
        root.extend(["--version", version, "--registry", REGISTRY].map(str::to_owned));
        for officer in OFFICERS {
            let request = Site::Online.file(&format!("tuf-{officer}.csr"));
            root.extend(["--officer".to_owned(), request]);
        }
        root.extend(["--targets".to_owned(), Site::Online.file("tuf-targets.csr")]);
        root.extend(online);
        let out = Site::Online.file(&format!("root-{version}.json"));
        root.extend(["--out".to_owned(), out]);
        let kms = self.tool_at(Site::Online, "obol-kms");
        kms.succeed(&root).map(drop)
    }

    fn draft_targets(
        &self,
        first: &str,
        periods: &str,
        online: Vec<String>,
    ) -> Result<(), WorldError> {
        let mut targets = vec!["tuf".to_owned(), "draft-targets".to_owned()];
        let which = [
            "--first",
            first,
            "--periods",
            periods,
            "--period-days",
            "30",
        ];
        targets.extend(which.map(str::to_owned));
        let bundle = Site::Online.file("trust-bundle.cbor");
        targets.extend(["--registry", REGISTRY, "--bundle", &bundle].map(str::to_owned));
        targets.extend(online);
        targets.extend(["--out-dir".to_owned(), Site::Online.folder().to_owned()]);
        let kms = self.tool_at(Site::Online, "obol-kms");
        kms.succeed(&targets).map(drop)
    }

    fn online_keys(&self, roles: &[&str]) -> Result<Vec<String>, WorldError> {
        let mut arguments = Vec::new();
        for role in roles {
            let spki = self.first_online_key(role)?;
            arguments.extend([format!("--{role}"), spki]);
        }
        Ok(arguments)
    }

    fn assemble(
        &self,
        draft: &str,
        signatures: &[&str],
        root: Option<&str>,
        out: &str,
    ) -> Result<(), WorldError> {
        let metadata = Site::Online.file(&format!("{draft}.json"));
        let mut command = ["tuf", "assemble", "--metadata", &metadata]
            .map(str::to_owned)
            .to_vec();
        for signature in signatures {
            self.carry(signature, Site::Online)?;
            command.extend(["--signature".to_owned(), Site::Online.file(signature)]);
        }
        if let Some(root) = root {
            command.extend(["--root".to_owned(), root.to_owned()]);
        }
        command.extend(["--out".to_owned(), out.to_owned()]);
        self.tool("obol-kms").succeed(&command).map(drop)
    }
}

impl Terminal {
    /// Follows the repository until it has a fare pack.
    ///
    /// # Errors
    /// When it has none within a minute.
    pub fn sync_until_fares(&self) -> Result<(), WorldError> {
        let begun = Instant::now();
        loop {
            let ran = self.run(&["sync"])?;
            let has_fares = ran.code == 0 && last_json(&ran)?["pack"] != "none";
            if has_fares {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(ran.unexpected());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Follows the repository until a newer set than that of `version` is there; its version.
    ///
    /// # Errors
    /// What `obol-pos` has said, or nothing new within a minute.
    pub fn sync_beyond(&self, version: u64) -> Result<u64, WorldError> {
        let begun = Instant::now();
        loop {
            let found = self.sync_version()?;
            if found > version {
                return Ok(found);
            }
            if begun.elapsed() > PATIENCE {
                return Err(WorldError::new(format!(
                    "nothing is newer than version {version}"
                )));
            }
        }
    }

    /// Follows the repository; the version of the set that is in use then.
    ///
    /// # Errors
    /// What `obol-pos` has said.
    pub fn sync_version(&self) -> Result<u64, WorldError> {
        let ran = self.run(&["sync"])?;
        let version = last_json(&ran)?["version"].as_u64();
        version
            .filter(|_| ran.code == 0)
            .ok_or_else(|| ran.unexpected())
    }

    /// Follows the repository until it refuses what `show` shows with `code`; how long that took
    /// since `since`.
    ///
    /// # Errors
    /// When it does not within a minute.
    pub fn refuses_within(
        &self,
        mut show: impl FnMut() -> Result<std::path::PathBuf, WorldError>,
        code: &str,
        (since, version): (Instant, u64),
    ) -> Result<Duration, WorldError> {
        let mut version = version;
        loop {
            version = self.sync_beyond(version)?;
            let scan = self.scan(&show()?)?;
            if scan == Scan::Refused(code.to_owned()) {
                return Ok(since.elapsed());
            }
            if since.elapsed() > PATIENCE {
                return Err(WorldError::new(format!("{scan:?}, wanted {code}")));
            }
        }
    }

    /// What the terminal says to a person who was refused, in a language.
    ///
    /// # Errors
    /// What `obol-pos` has said.
    pub fn explain(&self, code: &str, language: &str) -> Result<String, WorldError> {
        let ran = self.run(&["explain", code, "--lang", language])?;
        let said = last_json(&ran)?;
        match (said["what"].as_str(), said["todo"].as_str()) {
            (Some(what), Some(todo)) => Ok(format!("{what} {todo}")),
            _ => Err(ran.unexpected()),
        }
    }
}
