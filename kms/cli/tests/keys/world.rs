//! One token, three officers, one registry.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];
const QUORUM: &str = "[quorum]\nactivate = 2\nunsuspend = 2\ncancel-destruction = 2\ndestroy = 2\n";

pub(crate) struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// Officers, and a registry whose keys wait for no terminal.
    pub(crate) fn new() -> World {
        let world = World {
            folder: tempfile::tempdir().unwrap(),
        };
        let mut roster = String::new();
        for name in ["alice", "bob", "carol"] {
            roster += &world.done(&format!("officer keygen --name {name} --key {name}.key"));
        }
        fs::write(world.path("roster.toml"), roster + QUORUM).unwrap();
        world.done(
            "keys init --registry keys.registry --roster roster.toml --propagation 0s --tail 48h",
        );
        world
    }

    /// A root's token, key and certificate.
    pub(crate) fn with_root() -> World {
        let world = World::new();
        fs::create_dir(world.path("tokens")).unwrap();
        let conf = format!(
            "directories.tokendir = {}\n",
            world.path("tokens").display()
        );
        fs::write(world.path("softhsm2.conf"), conf).unwrap();
        let arguments = "--init-token --free --label root --pin 1234 --so-pin 5678";
        let made = world
            .command("softhsm2-util")
            .args(arguments.split(' '))
            .output();
        assert!(made.unwrap().status.success());
        let module = MODULES
            .into_iter()
            .find(|path| Path::new(path).exists())
            .unwrap();
        let shown = world.json(&format!("token show --json --module {module}"));
        let serial = &shown["tokens"][0]["serial"];
        let text = format!(
            "module = '{module}'\nlabel = 'root'\nserial = {serial}\npin_file = 'root.pin'\n"
        );
        fs::write(world.path("root.token.toml"), text).unwrap();
        fs::write(world.path("root.pin"), "1234").unwrap();
        fs::set_permissions(world.path("root.pin"), PermissionsExt::from_mode(0o600)).unwrap();
        world.done("root create --token root.token.toml --out root.pem");
        world
    }

    /// A root, an issuer below it in the same token, and the audit log's key, both active; the
    /// configuration of a daemon and its log's folder. The issuer's SPKI id.
    pub(crate) fn with_daemon() -> (World, String) {
        let world = World::with_root();
        world.done(
            "issuer create --root-token root.token.toml --root root.pem --token root.token.toml \
             --operator linea --classes 1 --out issuer.pem",
        );
        let issuer = world.registered("register --class issuer --label issuer-linea");
        world.done("keys certify --registry keys.registry --certificate issuer.pem");
        let audit = world.registered("generate --class audit --label audit");
        for key in [&issuer, &audit] {
            world.done(&format!("keys publish {key} --registry keys.registry"));
            let by = if key == &issuer { "--no-fleet" } else { "" };
            world.approved_by(key, "activate", &["alice", "bob"], by);
        }
        fs::create_dir(world.path("audit")).unwrap();
        let uid = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&world.folder).unwrap());
        let config = format!(
            "socket = 'kms.sock'\nregistry = 'keys.registry'\nmetrics = 'unix:metrics.sock'\n\
             [[tokens]]\nfile = 'root.token.toml'\n[[clients]]\nuid = {uid}\nrole = 'issuer'\n\
             [audit]\nfolder = 'audit'\norigin = 'kms.test/audit'\n"
        );
        fs::write(world.path("kms.toml"), config).unwrap();
        (world, issuer)
    }

    /// The SPKI id that `keys register` or `keys generate` prints.
    pub(crate) fn registered(&self, command: &str) -> String {
        let made = self.json(&format!(
            "keys {command} --token root.token.toml --registry keys.registry --json"
        ));
        made["spki"].as_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        command
    }

    pub(crate) fn obol_kms(&self, arguments: &str) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_obol-kms"));
        command.args(arguments.split_whitespace());
        command
    }

    fn run(&self, arguments: &str, typed: &str) -> Output {
        let mut child = self
            .obol_kms(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(typed.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }

    pub(crate) fn done(&self, arguments: &str) -> String {
        self.typed(arguments, "").0
    }

    /// Standard output and standard error of a command that reads `typed`.
    pub(crate) fn typed(&self, arguments: &str, typed: &str) -> (String, String) {
        let output = self.run(arguments, typed);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments}: {stderr}");
        (stdout, stderr)
    }

    pub(crate) fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.done(arguments)).unwrap()
    }

    /// Exit code and the last two lines on standard error.
    pub(crate) fn fails(&self, arguments: &str) -> (i32, String, String) {
        let output = self.run(arguments, "");
        assert_eq!(text(&output.stdout), "", "{arguments}");
        let stderr = text(&output.stderr);
        let lines: Vec<_> = stderr.lines().collect();
        let [.., error, help] = lines.as_slice() else {
            panic!("{arguments}: {stderr}")
        };
        // A question may stand before the error in its line.
        let (_, error) = error.split_once("error: ").unwrap();
        (
            output.status.code().unwrap(),
            error.to_owned(),
            help.strip_prefix("help: ").unwrap().to_owned(),
        )
    }

    /// Registers the root's key and brings it up to `published`; its name.
    pub(crate) fn published_root(&self) -> String {
        let registry = "--registry keys.registry";
        let key = self.json(&format!(
            "keys register {registry} --token root.token.toml --label root --class root --json"
        ));
        let spki = key["spki"].as_str().unwrap().to_owned();
        self.done(&format!("keys certify {registry} --certificate root.pem"));
        self.done(&format!("keys publish {spki} {registry}"));
        spki
    }

    /// Has officers approve and then does it; `more` goes to the last command.
    pub(crate) fn approved(&self, spki: &str, verb: &str, officers: &[&str], more: &str) -> Value {
        let approvals = self.approvals(spki, verb, officers);
        self.json(&format!(
            "keys {verb} {spki} --registry keys.registry --reason planned --json {approvals} {more}"
        ))
    }

    /// As [`World::approved`], with what clears an activation.
    pub(crate) fn approved_by(&self, spki: &str, verb: &str, officers: &[&str], by: &str) -> Value {
        let approvals = self.approvals_by(spki, verb, officers, by);
        self.json(&format!(
            "keys {verb} {spki} --registry keys.registry --reason planned --json {approvals} {by}"
        ))
    }

    /// The `--approval` arguments of these officers.
    pub(crate) fn approvals(&self, spki: &str, verb: &str, officers: &[&str]) -> String {
        self.approvals_by(spki, verb, officers, "")
    }

    /// As [`World::approvals`], with what clears an activation.
    pub(crate) fn approvals_by(
        &self,
        spki: &str,
        verb: &str,
        officers: &[&str],
        by: &str,
    ) -> String {
        let count = fs::read_dir(self.folder.path()).unwrap().count();
        let request = format!("{verb}-{count}.request");
        self.done(&format!(
            "keys request {spki} {verb} --registry keys.registry --out {request} {by}"
        ));
        let approve = |name: &&str| {
            let out = format!("{name}-{count}.approval");
            self.done(&format!(
                "officer approve --request {request} --key {name}.key --out {out} --yes"
            ));
            format!("--approval {out} ")
        };
        officers.iter().map(approve).collect()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
