//! Two sites and a place for rehearsals, three officers, a witness, a roster.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];
const QUORUMS: &str = "\n[quorum]\nactivate = 2\nunsuspend = 2\ncancel-destruction = 2\ndestroy = 2\n\
    \n[ceremony]\nroot = 2\ncertificate = 2\nrevocation = 2\ntrust = 2\ndestruction = 2\nroster = 2\n";
pub(crate) const PIN: &str = "correct-horse";
/// Executor and witness, before a step and after.
pub(crate) const INITIALS: &str = "alice\nwendy\nalice\nwendy\n";

pub(crate) struct World {
    folder: tempfile::TempDir,
}

/// What a run takes beside the plan.
pub(crate) struct Ready {
    pub(crate) name: String,
    pub(crate) tokens: String,
    pub(crate) approvals: String,
}

impl World {
    pub(crate) fn new() -> World {
        let world = World::empty();
        for site in ["offline", "online", "rehearsals"] {
            fs::create_dir_all(world.path(&format!("{site}/tokens"))).unwrap();
            world.configure(site);
        }
        world.roster("roster.toml", &["alice", "bob", "carol"], &["wendy"]);
        world
    }

    pub(crate) fn empty() -> World {
        World {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Tells SoftHSM where the tokens of a site are.
    pub(crate) fn configure(&self, site: &str) {
        let tokens = self.path(&format!("{site}/tokens"));
        let conf = format!("directories.tokendir = {}\n", tokens.display());
        fs::write(self.path(&format!("{site}/softhsm2.conf")), conf).unwrap();
    }

    /// A root token at the offline site.
    pub(crate) fn with_root_token() -> World {
        let world = World::new();
        world.token("offline", "root");
        world
    }

    /// The ceremony of the root's generation, up to its approvals.
    pub(crate) fn root_ready(&self) -> Ready {
        self.ready("root-generation", "offline", &["root"], &[])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Keys of people who have none yet, and a roster of them.
    pub(crate) fn roster(&self, name: &str, officers: &[&str], witnesses: &[&str]) {
        let entry = |person: &&str| {
            let public = self.path(&format!("{person}.entry"));
            if !public.exists() {
                let made = self.done(
                    "offline",
                    &format!("officer keygen --name {person} --key {person}.key"),
                    "",
                );
                fs::write(&public, made).unwrap();
            }
            fs::read_to_string(public).unwrap()
        };
        let mut text: String = officers.iter().map(entry).collect();
        text += QUORUMS;
        for witness in witnesses {
            text += &entry(witness).replace("[[officers]]", "\n[[witnesses]]");
        }
        fs::write(self.path(name), text).unwrap();
    }

    /// Initialises a token whose PIN is typed.
    pub(crate) fn token(&self, site: &str, label: &str) {
        let module = MODULES
            .into_iter()
            .find(|path| Path::new(path).exists())
            .unwrap();
        let pins = format!("so-{PIN}\nso-{PIN}\n{PIN}\n{PIN}\n");
        let command = format!(
            "ceremony token --module {module} --label {label} --roster roster.toml \
             --out {label}.token.toml"
        );
        self.done(site, &command, &pins);
    }

    pub(crate) fn template(&self, name: &str) -> PathBuf {
        let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/ceremonies");
        policies.join(format!("{name}.toml"))
    }

    /// Fills in a committed plan, rehearses it on throwaway tokens, has alice and bob approve it.
    pub(crate) fn ready(&self, name: &str, site: &str, tokens: &[&str], inputs: &[&str]) -> Ready {
        let text = fs::read_to_string(self.template(name)).unwrap();
        self.ready_of(&text, name, site, tokens, inputs)
    }

    pub(crate) fn ready_of(
        &self,
        text: &str,
        name: &str,
        site: &str,
        tokens: &[&str],
        inputs: &[&str],
    ) -> Ready {
        self.fill(text, name, site, tokens, inputs);
        self.rehearse(name, tokens);
        self.request(name, site);
        let approvals = self.approvals(name, &["alice", "bob"]);
        let tokens = tokens
            .iter()
            .map(|token| format!("--token {token}={token}.token.toml "));
        Ready {
            name: name.to_owned(),
            tokens: tokens.collect(),
            approvals,
        }
    }

    pub(crate) fn fill(
        &self,
        text: &str,
        name: &str,
        site: &str,
        tokens: &[&str],
        inputs: &[&str],
    ) {
        fs::write(self.path(&format!("{name}.template")), text).unwrap();
        let mut command = format!("ceremony fill {name}.template --out {name}.plan");
        for token in tokens {
            command += &format!(" --token {token}={token}.token.toml");
        }
        for input in inputs {
            command += &format!(" --input {input}={input}");
        }
        self.done(site, &command, "");
    }

    pub(crate) fn rehearse(&self, name: &str, tokens: &[&str]) {
        let steps = self.steps(name);
        let mut command = format!("ceremony rehearse {name}.plan {PEOPLE} --out {name}.rehearsal");
        let mut typed = String::new();
        for token in tokens {
            let throwaway = format!("{name}-{token}");
            let throwaway = throwaway[throwaway.len().saturating_sub(32)..].to_owned();
            self.token("rehearsals", &throwaway);
            command += &format!(" --token {token}={throwaway}.token.toml");
            typed += &format!("{PIN}\n");
        }
        typed += &INITIALS.repeat(steps);
        self.done("rehearsals", &command, &typed);
    }

    pub(crate) fn request(&self, name: &str, site: &str) {
        let command = format!(
            "ceremony request {name}.plan --roster roster.toml --rehearsal {name}.rehearsal \
             --out {name}.request"
        );
        self.done(site, &command, "");
    }

    /// The `--approval` arguments of these officers.
    pub(crate) fn approvals(&self, name: &str, officers: &[&str]) -> String {
        let approve = |officer: &&str| {
            let out = format!("{name}.{officer}.approval");
            let command = format!(
                "ceremony approve --request {name}.request --plan {name}.plan --key {officer}.key \
                 --out {out}"
            );
            self.done("offline", &command, "yes\n");
            format!("--approval {out} ")
        };
        officers.iter().map(approve).collect()
    }

    pub(crate) fn steps(&self, name: &str) -> usize {
        let plan = fs::read_to_string(self.path(&format!("{name}.plan"))).unwrap();
        plan.matches("[[steps]]").count()
    }

    /// Runs what is ready, to its end, and returns the bundle's name.
    pub(crate) fn run(&self, ready: &Ready, site: &str) -> String {
        self.done(site, &ready.command(), &self.typed(ready));
        format!("{}.bundle", ready.name)
    }

    /// All that people type in a run.
    pub(crate) fn typed(&self, ready: &Ready) -> String {
        let pins = format!("{PIN}\n").repeat(ready.tokens.matches("--token").count());
        format!("{pins}yes\n{}", INITIALS.repeat(self.steps(&ready.name)))
    }

    /// The whole way of one act; its outputs are copied beside.
    pub(crate) fn hold(&self, name: &str, site: &str, tokens: &[&str], inputs: &[&str]) -> String {
        let ready = self.ready(name, site, tokens, inputs);
        self.hold_ready(&ready, site)
    }

    pub(crate) fn hold_ready(&self, ready: &Ready, site: &str) -> String {
        let bundle = self.run(ready, site);
        for entry in fs::read_dir(self.path(&format!("{bundle}/outputs"))).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            fs::copy(entry.path(), self.path(&name)).unwrap();
        }
        bundle
    }

    pub(crate) fn roster_hash(&self) -> String {
        let shown = self.done(
            "offline",
            &format!("ceremony plan {} --roster roster.toml", self.any_plan()),
            "",
        );
        let line = shown
            .lines()
            .find(|line| line.starts_with("roster "))
            .unwrap();
        line.trim_start_matches("roster ").to_owned()
    }

    fn any_plan(&self) -> String {
        let all = fs::read_dir(self.folder.path()).unwrap();
        let mut names = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.find(|name| name.ends_with(".plan")).unwrap()
    }

    pub(crate) fn verify(&self, bundle: &str) -> Output {
        let hash = self.roster_hash();
        self.output(
            "offline",
            &format!("ceremony verify {bundle} --roster {hash}"),
            "",
        )
    }

    pub(crate) fn holds(&self, bundle: &str) -> String {
        let output = self.verify(bundle);
        let shown = text(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{shown}{}",
            text(&output.stderr)
        );
        shown
    }

    pub(crate) fn command(&self, site: &str, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_obol-kms"));
        command
            .current_dir(&self.folder)
            .args(arguments.split_whitespace())
            .env("SOFTHSM2_CONF", self.path(&format!("{site}/softhsm2.conf")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn output(&self, site: &str, arguments: &str, typed: &str) -> Output {
        ended(self.command(site, arguments), typed)
    }

    pub(crate) fn done(&self, site: &str, arguments: &str, typed: &str) -> String {
        let output = self.output(site, arguments, typed);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{arguments}: {stderr}");
        text(&output.stdout)
    }

    /// The error of a refused command, and its advice.
    pub(crate) fn refused(&self, site: &str, arguments: &str, typed: &str) -> (String, String) {
        World::refusal(self.command(site, arguments), typed)
    }

    pub(crate) fn refusal(command: Command, typed: &str) -> (String, String) {
        let output = ended(command, typed);
        let stderr = text(&output.stderr);
        assert!(!output.status.success(), "{stderr}");
        let lines: Vec<_> = stderr.lines().collect();
        let [.., error, help] = lines.as_slice() else {
            panic!("{stderr}")
        };
        let error = error.split_once("error: ").expect(&stderr).1;
        let help = help.strip_prefix("help: ").expect(&stderr);
        (error.to_owned(), help.to_owned())
    }

    /// Labels of the keys in a token.
    pub(crate) fn keys(&self, site: &str, token: &str) -> Vec<String> {
        let file = fs::read_to_string(self.path(&format!("{token}.token.toml"))).unwrap();
        let uri = file.lines().find(|line| line.starts_with("uri")).unwrap();
        let pin = self.path("test.pin");
        if !pin.exists() {
            use std::os::unix::fs::PermissionsExt;
            fs::write(&pin, PIN).unwrap();
            fs::set_permissions(&pin, PermissionsExt::from_mode(0o600)).unwrap();
        }
        let uri = uri.replace("pin-source=prompt:", "pin-source=file:test.pin");
        fs::write(self.path("look.token.toml"), uri).unwrap();
        let shown = self.done(site, "token show --json --token look.token.toml", "");
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let keys = shown["keys"].as_array().unwrap().iter();
        keys.map(|key| key["label"].as_str().unwrap().to_owned())
            .collect()
    }
}

pub(crate) const PEOPLE: &str = "--roster roster.toml --executor alice.key --witness wendy.key";

impl Ready {
    pub(crate) fn command(&self) -> String {
        let Ready {
            name,
            tokens,
            approvals,
        } = self;
        format!(
            "ceremony run {name}.plan {PEOPLE} --rehearsal {name}.rehearsal {approvals} {tokens} \
             --out {name}.bundle"
        )
    }

    pub(crate) fn resume(&self) -> String {
        let Ready { name, tokens, .. } = self;
        format!("ceremony resume {name}.bundle --executor alice.key --witness wendy.key {tokens}")
    }
}

fn ended(mut command: Command, typed: &str) -> Output {
    let mut child = command.spawn().unwrap();
    // A command that ends early leaves the rest unread.
    child.stdin.take().unwrap().write_all(typed.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
