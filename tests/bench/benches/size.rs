//! What a verification weighs in a bare image: no std, no allocator, optimised for size, everything
//! that it does not need dropped by the linker. For the machine that this runs on.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use obol_bench::Group;

fn main() -> io::Result<()> {
    let mut group = Group::new("size");
    group.figure("verifier", weight(&[])?, "KiB");
    group.figure(
        "verifier_with_tables",
        weight(&["--features", "tables"])?,
        "KiB",
    );
    group.report()
}

/// KiB of code and constants.
fn weight(features: &[&str]) -> io::Result<f64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("target/size");
    let mut build = Command::new(env!("CARGO"));
    build.args([
        "build",
        "--locked",
        "--quiet",
        "--release",
        "--manifest-path",
    ]);
    build.arg(root.join("tests/size/Cargo.toml")).args(features);
    succeed(build.arg("--target-dir").arg(&target))?;
    let image = linked(&target)?;
    let table = succeed(Command::new("size").arg(image))?;
    let text = table
        .lines()
        .nth(1)
        .and_then(|row| row.split_whitespace().next());
    let bytes: u32 = text
        .and_then(|text| text.parse().ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok(f64::from(bytes) / 1024.0)
}

fn linked(target: &Path) -> io::Result<PathBuf> {
    let (script, image) = (target.join("exports"), target.join("image.so"));
    fs::write(&script, "{ global: obol_size_scan; local: *; };\n")?;
    let mut link = Command::new("cc");
    link.args([
        "-shared",
        "-nostdlib",
        "-Wl,--gc-sections",
        "-Wl,-u,obol_size_scan",
    ]);
    link.arg(format!("-Wl,--version-script={}", script.display()));
    link.arg("-o").arg(&image);
    succeed(link.arg(target.join("release/libobol_size.a")).arg("-lgcc"))?;
    Ok(image)
}

fn succeed(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{command:?}: {said}")));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}
