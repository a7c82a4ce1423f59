use std::{fs, path::Path, process::Command};

use obol_tap::{TerminalKey, VerifiedSegment};

use crate::{
    fixture,
    library::{BUILT, package, run},
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

fn header_alone(name: &str, standard: &str, language: &str) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("alone");
    let text = "#include \"obol_pos.h\"\nint main(void) { return OBOL_POS_OK; }\n";
    fs::write(&source, text).unwrap();
    let mut command = compiler(name, standard);
    command.args(["-fsyntax-only", "-x", language]).arg(source);
    run(&mut command);
}

#[test]
fn the_header_compiles_as_c99_and_later_and_as_cpp11_and_later() {
    for standard in ["c99", "c11", "c17"] {
        header_alone("gcc", standard, "c");
    }
    for standard in ["c++11", "c++17", "c++20"] {
        header_alone("g++", standard, "c++");
    }
}

#[test]
fn the_header_stands_beside_that_of_the_verifier() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("both.c");
    let text = "#include \"obol_pos.h\"\n#include \"obol_verifier.h\"\n\
                int main(void) { return OBOL_POS_OK + OBOL_OK; }\n";
    fs::write(&source, text).unwrap();
    let mut command = compiler("gcc", "c99");
    command
        .arg("-I")
        .arg(package().join("../../verifier-sdk/ffi/include"));
    run(command.arg("-fsyntax-only").arg(source));
}

/// The program under address sanitizer, which finds what is read, written or freed wrongly, and
/// what a closed terminal has not given back.
fn program(folder: &Path) -> impl Fn(&str) -> String + '_ {
    let built = folder.join("program");
    let mut command = compiler("gcc", "c99");
    command.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
    command.arg(package().join("tests/c/terminal.c"));
    command.arg(BUILT.join("libobol_pos.a")).args(SYSTEM);
    run(command.arg("-o").arg(&built));
    move |act| run(Command::new(&built).arg(act).arg(folder))
}

#[test]
fn a_c_program_finds_every_promise_of_the_header_kept_under_address_sanitizer() {
    let folder = tempfile::tempdir().unwrap();
    fixture::write_into(folder.path());
    let act = program(folder.path());
    assert_eq!(act("mistakes"), "0 failures\n");
    assert_eq!(act("rides"), "0 failures\n");
    let segment = fs::read(folder.path().join("segment")).unwrap();
    let (verified, answer) = fixture::answer(&segment);
    assert_eq!((verified.first_seq(), verified.records().len()), (1, 3));
    fs::write(folder.path().join("answer"), answer).unwrap();
    assert_eq!(act("upload"), "0 failures\n");
    // What another process sees of it.
    let seen = obol_pos_sdk::TerminalFolder::new(folder.path().to_owned());
    let journal = seen.journal(&seen.provisioning().unwrap()).unwrap();
    assert_eq!(
        (journal.check().unwrap(), journal.watermark().unwrap()),
        (3, 3)
    );
}

#[test]
fn trust_of_a_repository_comes_through_a_port_of_the_host_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fixture::write_repository_into(folder.path());
    assert_eq!(program(folder.path())("repository"), "0 failures\n");
}

#[test]
fn the_same_program_compiles_as_cpp() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = compiler("g++", "c++11");
    let source = package().join("tests/c/terminal.c");
    command.args(["-x", "c++", "-c"]).arg(source);
    run(command.arg("-o").arg(folder.path().join("terminal.o")));
}

#[test]
fn a_terminal_runs_from_python_and_its_segment_is_signed_by_a_key_in_a_pkcs11_token() {
    let folder = tempfile::tempdir().unwrap();
    fixture::write_into(folder.path());
    let mut python = Command::new("python3");
    python.arg(package().join("tests/python/terminal.py"));
    python.arg(BUILT.join("libobol_pos.so")).arg(folder.path());
    assert_eq!(run(&mut python), "a terminal in Python\n");
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let key = TerminalKey::from_spki_der(&read("spki.der")).unwrap();
    assert_ne!(key, fixture::key_of_terminal());
    let segment = VerifiedSegment::decode(&read("segment"), &key).unwrap();
    assert_eq!(segment.records().len(), 1);
}
