use std::{path::Path, process::Command};

use crate::{
    fixture,
    library::{BUILT, package, root, run},
};

const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-g"];
/// What Rust's standard library needs of a Linux system.
const SYSTEM: [&str; 4] = ["-lpthread", "-ldl", "-lm", "-lrt"];

fn compiler(name: &str, standard: &str) -> Command {
    let mut command = Command::new(name);
    command.arg(format!("-std={standard}")).args(STRICT);
    command.arg("-I").arg(package().join("include"));
    command
}

/// A program that does nothing but include the header.
fn header_alone(name: &str, standard: &str, language: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("alone");
    let text = "#include \"obol_verifier.h\"\nint main(void) { return OBOL_OK; }\n";
    std::fs::write(&source, text).expect("written");
    let mut command = compiler(name, standard);
    command.args(["-fsyntax-only", "-x", language]).arg(source);
    run(&mut command);
}

#[test]
fn the_header_compiles_as_c99_and_later() {
    for standard in ["c99", "c11", "c17"] {
        header_alone("gcc", standard, "c");
    }
}

#[test]
fn the_header_compiles_as_cpp11_and_later() {
    for standard in ["c++11", "c++17", "c++20"] {
        header_alone("g++", standard, "c++");
    }
}

fn compiled(mut command: Command, source: &str, into: &Path) -> Command {
    let wrapped = ["malloc", "calloc", "realloc", "posix_memalign"];
    command.args(wrapped.map(|name| format!("-Wl,--wrap={name}")));
    let program = into.join("abi");
    command.arg(package().join("tests/c").join(source));
    command.arg(BUILT.join("libobol_verifier.a")).args(SYSTEM);
    run(command.arg("-o").arg(&program));
    let mut program = Command::new(program);
    program.arg(into);
    program
}

/// Address sanitizer finds what is read, written or freed wrongly, and what is never freed.
#[test]
fn a_c_program_finds_every_promise_of_the_header_kept_under_address_sanitizer() {
    let folder = tempfile::tempdir().expect("a folder");
    fixture::write_into(folder.path());
    let mut command = compiler("gcc", "c11");
    command.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
    let said = run(&mut compiled(command, "abi.c", folder.path()));
    assert!(said.starts_with("0 failures"), "{said}");
}

#[test]
fn the_same_program_compiles_as_cpp() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = compiler("g++", "c++17");
    command
        .args(["-x", "c++", "-c"])
        .arg(package().join("tests/c/abi.c"));
    run(command.arg("-o").arg(folder.path().join("abi.o")));
}

/// The folder of vectors and how many there are.
fn vectors() -> (std::path::PathBuf, usize) {
    let folder = root().join("tests/vectors/pt1");
    let files = std::fs::read_dir(&folder).expect("the folder of vectors");
    let names = files.map(|file| file.expect("a file").file_name());
    let count = names
        .filter(|name| name.to_string_lossy().ends_with(".vec"))
        .count();
    assert!(count > 500, "{count} vectors");
    (folder, count)
}

#[test]
fn every_vector_holds_through_c() {
    let (folder, count) = vectors();
    let room = tempfile::tempdir().expect("a folder");
    let program = room.path().join("vectors");
    let mut command = compiler("gcc", "c99");
    command.args(["-D_POSIX_C_SOURCE=200809L", "-fsanitize=address,undefined"]);
    command.arg(package().join("tests/c/vectors.c"));
    command.arg(BUILT.join("libobol_verifier.a")).args(SYSTEM);
    run(command.arg("-o").arg(&program));
    let said = run(Command::new(program).arg(folder));
    assert_eq!(said, format!("{count} vectors hold\n"));
}

#[test]
fn every_vector_holds_through_python() {
    let (folder, count) = vectors();
    let script = package().join("tests/python/vectors.py");
    let library = BUILT.join("libobol_verifier.so");
    let said = run(Command::new("python3").arg(script).arg(library).arg(folder));
    assert_eq!(said, format!("{count} vectors hold\n"));
}
