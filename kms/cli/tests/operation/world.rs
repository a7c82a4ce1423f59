//! Tokens made with SoftHSM's own tool, and the command run beside them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

pub(crate) struct World {
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(tokens: &[&str]) -> World {
        let world = World {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(world.path("tokens")).unwrap();
        let folder = world.path("tokens");
        let conf = format!("directories.tokendir = {}\n", folder.display());
        fs::write(world.path("softhsm2.conf"), conf).unwrap();
        for token in tokens {
            world.make_token(token);
        }
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn module() -> &'static str {
        MODULES
            .into_iter()
            .find(|path| Path::new(path).exists())
            .unwrap()
    }

    fn make_token(&self, name: &str) {
        let arguments = "--init-token --free --pin 1234 --so-pin 5678 --label";
        let made = self
            .command("softhsm2-util")
            .args(arguments.split(' ').chain([name]))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let shown = self.json(&format!("token show --json --module {}", World::module()));
        let tokens = shown["tokens"].as_array().unwrap();
        let token = tokens.iter().find(|token| token["label"] == name).unwrap();
        let text = format!(
            "module = '{}'\nlabel = '{name}'\nserial = {}\npin_file = '{name}.pin'\n",
            World::module(),
            token["serial"]
        );
        fs::write(self.path(&format!("{name}.token.toml")), text).unwrap();
        let pin = self.path(&format!("{name}.pin"));
        fs::write(&pin, "1234").unwrap();
        fs::set_permissions(&pin, PermissionsExt::from_mode(0o600)).unwrap();
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        command
    }

    pub(crate) fn obol_kms(&self, arguments: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_obol-kms");
        self.command(program).args(arguments).output().unwrap()
    }

    pub(crate) fn done(&self, arguments: &str) -> String {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let output = self.obol_kms(&arguments);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        text(&output.stdout)
    }

    pub(crate) fn json(&self, arguments: &str) -> Value {
        let printed = self.done(arguments);
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"))
    }

    /// Exit code and the two lines on standard error.
    pub(crate) fn fails(&self, arguments: &str) -> (i32, String, String) {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let output = self.obol_kms(&arguments);
        let stderr = text(&output.stderr);
        let lines: Vec<_> = stderr.lines().collect();
        let [error, help] = lines.as_slice() else {
            panic!("{arguments:?}: {stderr}")
        };
        (
            output.status.code().unwrap(),
            error.strip_prefix("error: ").unwrap().to_owned(),
            help.strip_prefix("help: ").unwrap().to_owned(),
        )
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
