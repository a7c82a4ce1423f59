use std::{fs, path::Path};

/// The header is a contract: it changes only on purpose. To change it, run this test with the file
/// removed, read the difference, and raise `obol_pos_abi_version`.
#[test]
fn the_committed_header_is_the_one_the_code_makes() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(package.join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(package.join("src/code.rs"))
        .with_src(package.join("src/memory.rs"))
        .with_src(package.join("src/ports.rs"))
        .with_src(package.join("src/types.rs"))
        .with_src(package.join("src/exports.rs"))
        .generate()
        .unwrap();
    let mut made = Vec::new();
    bindings.write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let committed = package.join("include/obol_pos.h");
    if !committed.exists() {
        fs::write(&committed, &made).unwrap();
    }
    assert_eq!(fs::read_to_string(&committed).unwrap(), made);
}
