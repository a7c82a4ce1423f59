//! Two sites with their tokens, and a place for rehearsals: each a folder with its own SoftHSM.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use data_encoding::HEXLOWER;

use crate::{
    Ran, Tool, World, WorldError,
    people::{OFFICERS, ROSTER},
};

/// A place with tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// The root's, where no network is.
    Offline,
    /// The access CA's and the issuer's.
    Online,
    /// Of tokens that nobody will miss.
    Rehearsals,
}

/// What people know of the tokens and no file of the offline site has.
#[derive(Debug)]
pub struct Sites {
    /// Each holder's share of the root token's PIN, as it was written down.
    shares: Vec<(String, String)>,
    /// The PIN of all other tokens, which a person types; online the daemon reads it from a file.
    pin: String,
    /// Hash of the roster that was read aloud, 64 hexadecimal digits.
    pub(crate) roster: String,
}

impl Site {
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Site::Offline => "offline",
            Site::Online => "online",
            Site::Rehearsals => "rehearsals",
        }
    }

    /// `name` in the site's folder.
    pub(crate) fn file(self, name: &str) -> String {
        format!("{}/{name}", self.folder())
    }

    /// The token file that a ceremony takes: its PIN comes from people.
    pub(crate) fn ceremony_token(self, token: &str) -> String {
        self.file(&format!("{token}.ceremony.toml"))
    }
}

impl World {
    /// Makes both sites and their tokens: the root's with a PIN in shares, of which any two make
    /// it; those of the trust repository's offline keys and those online with a PIN that is typed. Each pins the roster's hash. One more token for
    /// each of `rehearsals`.
    ///
    /// The world's services run on the tokens online from now on.
    ///
    /// # Errors
    /// When SoftHSM is missing or refuses.
    pub fn prepare_sites(&mut self, rehearsals: &[&str]) -> Result<Sites, WorldError> {
        let module = self.prepare_rehearsals(rehearsals)?;
        for site in [Site::Offline, Site::Online] {
            self.make_folder(site.folder())?;
            self.make_folder(&site.file("tokens"))?;
            let folder = self.path(&site.file("tokens"));
            let configuration = format!("directories.tokendir = {}\n", folder.display());
            self.write(&site.file("softhsm2.conf"), &configuration)?;
        }
        Site::Online.folder().clone_into(&mut self.tokens);
        "issuer-1".clone_into(&mut self.issuer_label);
        let (shares, roster) = self.root_token(&module)?;
        let pin = random_pin();
        for token in OFFICERS.map(|officer| format!("tuf-{officer}")) {
            self.typed_token(Site::Offline, &module, &token, &pin)?;
        }
        self.typed_token(Site::Offline, &module, "targets", &pin)?;
        for token in ["access", "issuer"] {
            self.online_token(&module, token, &pin)?;
        }
        Ok(Sites {
            shares,
            pin,
            roster,
        })
    }

    /// A shipped binary that sees the tokens of one site.
    pub(crate) fn tool_at(&self, site: Site, name: &str) -> Tool {
        let configuration = self.path(&site.file("softhsm2.conf"));
        self.tool(name).with("SOFTHSM2_CONF", &configuration)
    }

    /// Throwaway tokens; returns where the PKCS#11 library is.
    fn prepare_rehearsals(&self, names: &[&str]) -> Result<String, WorldError> {
        let tokens: Vec<_> = names
            .iter()
            .map(|n| format!("{{ name = \"{n}\" }}"))
            .collect();
        self.write(
            "rehearsals.toml",
            &format!("tokens = [{}]\n", tokens.join(", ")),
        )?;
        let folder = Site::Rehearsals.folder();
        self.tool("softhsm-setup")
            .succeed(&["rehearsals.toml", "--dir", folder])?;
        let first = names.first().ok_or_else(|| none("rehearsal"))?;
        let file = self.read(&Site::Rehearsals.file(&format!("{first}.token.toml")))?;
        let module = file.split('"').nth(1).ok_or_else(|| none("module"))?;
        Ok(module.to_owned())
    }

    /// Each officer is alone at the screen and writes down a share.
    fn root_token(&self, module: &str) -> Result<(Vec<(String, String)>, String), WorldError> {
        let holders = OFFICERS.join(",");
        let sheet = Site::Offline.file("root.shares.toml");
        let shared = [
            "--holders",
            &holders,
            "--threshold",
            "2",
            "--shares",
            &sheet,
        ];
        let ran = self.init_token(Site::Offline, module, "root", &shared, &"yes\n".repeat(6))?;
        let share = |holder: &&str| {
            let from = format!("{holder}, are you alone at the screen? Type yes:");
            let shown = ran.stderr.split(&from).nth(1)?;
            let words = shown.split(&format!("{holder}, have you")).next()?;
            let words: Vec<_> = words.split_whitespace().collect();
            Some(((*holder).to_owned(), words.join(" ")))
        };
        let shares: Option<Vec<_>> = OFFICERS.iter().map(share).collect();
        let pinned = ran
            .stdout
            .lines()
            .find_map(|l| l.strip_prefix("pinned roster "));
        match (shares, pinned) {
            (Some(shares), Some(roster)) => Ok((shares, roster.to_owned())),
            _ => Err(ran.unexpected()),
        }
    }

    /// A token whose PIN is typed, and the same for the daemon, which has its PIN in a file.
    fn online_token(&self, module: &str, token: &str, pin: &str) -> Result<(), WorldError> {
        let ran = self.typed_token(Site::Online, module, token, pin)?;
        let serial = ran.stdout.split_whitespace().nth(3);
        let serial = serial.ok_or_else(|| ran.unexpected())?;
        let daemon = format!(
            "module = \"{module}\"\nlabel = \"{token}\"\nserial = \"{serial}\"\n\
             pin_file = \"{token}.pin\"\n"
        );
        self.write(&Site::Online.file(&format!("{token}.token.toml")), &daemon)?;
        self.write_secret(&Site::Online.file(&format!("{token}.pin")), pin)
    }

    fn typed_token(
        &self,
        site: Site,
        module: &str,
        label: &str,
        pin: &str,
    ) -> Result<Ran, WorldError> {
        let so_pin = random_pin();
        let typed = format!("{so_pin}\n{so_pin}\n{pin}\n{pin}\n");
        self.init_token(site, module, label, &[], &typed)
    }

    fn init_token(
        &self,
        site: Site,
        module: &str,
        label: &str,
        shared: &[&str],
        typed: &str,
    ) -> Result<Ran, WorldError> {
        let out = site.ceremony_token(label);
        let token = ["ceremony", "token", "--module", module, "--label", label];
        let files = ["--roster", ROSTER, "--out", &out];
        self.tool_at(site, "obol-kms")
            .succeed_with_input(&[&token[..], &files, shared].concat(), typed.as_bytes())
    }

    fn write_secret(&self, name: &str, text: &str) -> Result<(), WorldError> {
        self.write(name, text)?;
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600))
            .map_err(|error| WorldError::new(format!("{name}: {error}")))
    }
}

impl Sites {
    /// Hash of the roster, as everybody present has written it down: 64 hexadecimal digits.
    #[must_use]
    pub fn roster_hash(&self) -> &str {
        &self.roster
    }

    /// What people type when a ceremony opens a token.
    pub(crate) fn pin(&self, token: &str) -> String {
        if token != "root" {
            return format!("{}\n", self.pin);
        }
        let two = self.shares.iter().take(2);
        two.map(|(holder, words)| format!("{holder}\n{words}\n"))
            .collect()
    }
}

fn none(what: &str) -> WorldError {
    WorldError::new(format!("there is no {what}"))
}

fn random_pin() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    HEXLOWER.encode(&bytes)
}
