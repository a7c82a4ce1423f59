//! The C libraries as they are shipped, for the tests of both packages: built apart from the workspace, so that no other package's
//! features are in it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// The folder with the built libraries.
pub(crate) static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    let target = root().join("target/ffi");
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--locked",
            "--quiet",
            "--release",
            "-p",
            env!("CARGO_PKG_NAME"),
        ])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(root())
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the library does not build");
    target.join("release")
});

/// `make install`'s command for this package's library.
pub(crate) fn install() -> Command {
    let name = env!("CARGO_PKG_NAME").trim_end_matches("-ffi");
    let mut install = Command::new(root().join("deploy/install-c-library.sh"));
    install.arg(package()).arg(name).arg(&*BUILT);
    install
}

pub(crate) fn root() -> PathBuf {
    package().join("../..").canonicalize().expect("the root")
}

pub(crate) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `command` and gives its standard output; what it says otherwise goes into the panic.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("the command runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
