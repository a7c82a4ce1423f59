//! What may be held before a scanner, or typed by it, without being a boarding code.

use std::{fs, fs::File, path::PathBuf};

use obol_world::Ran;
use qrcodegen::{QrCode, QrCodeEcc};
use serde_json::Value;

use crate::stage::{Stage, json, two_lines};

const SIDE: usize = 300;
const SCALE: usize = 8;
const MARGIN: usize = 4 * SCALE;

fn scan(stage: &Stage, picture: &str) -> Ran {
    let pos = stage.world.tool("obol-pos");
    let ran = pos.run(&["--dir", "bus-1", "scan", picture]).unwrap();
    let checked = stage.world.terminal("bus-1").run(&["journal", "check"]);
    assert_eq!(json(&checked.unwrap())["records"], 0);
    ran
}

/// A grey picture of `side` x `side` pixels in the world's folder.
fn draw(stage: &Stage, name: &str, side: usize, pixel: impl Fn(usize, usize) -> u8) -> PathBuf {
    let path = stage.world.folder().join(name);
    let size = u32::try_from(side).unwrap();
    let mut encoder = png::Encoder::new(File::create(&path).unwrap(), size, size);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels: Vec<u8> = (0..side * side)
        .map(|at| pixel(at % side, at / side))
        .collect();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&pixels).unwrap();
    path
}

#[test]
fn a_damaged_png_is_two_lines_wherever_it_is_damaged() {
    let stage = Stage::running(&["bus-1"]);
    let whole = fs::read(stage.rider("ada").show("code.png").unwrap()).unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    for bytes in [
        half,
        flipped,
        whole[1..].to_vec(),
        Vec::new(),
        b"not a picture".to_vec(),
    ] {
        fs::write(stage.world.folder().join("damaged.png"), &bytes).unwrap();
        let ran = scan(&stage, "damaged.png");
        let (error, help) = two_lines(&ran, 2);
        assert!(
            error.starts_with("damaged.png is not a whole PNG: "),
            "{error}"
        );
        assert_eq!(help, "take the picture again, or save it again as PNG");
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn a_png_without_a_qr_code_is_refused_in_two_lines() {
    let stage = Stage::running(&["bus-1"]);
    draw(&stage, "white.png", SIDE, |_, _| 255);
    draw(&stage, "stripes.png", SIDE, |x, _| {
        if x / 7 % 2 == 0 { 0 } else { 255 }
    });
    for picture in ["white.png", "stripes.png"] {
        let (error, help) = two_lines(&scan(&stage, picture), 1);
        assert_eq!(error, format!("there is no readable QR code in {picture}"));
        assert_eq!(
            help,
            "show the whole code with its white margin, sharp and straight"
        );
    }
}

#[test]
fn a_foreign_qr_code_is_refused_by_its_own_code() {
    let stage = Stage::running(&["bus-1"]);
    for text in ["https://example.org/menu", "PT2:6BF", "pt1:6BF"] {
        let code = QrCode::encode_text(text, QrCodeEcc::Medium).unwrap();
        let side = code.size() as usize * SCALE + 2 * MARGIN;
        draw(&stage, "foreign.png", side, |x, y| {
            let module = |at: usize| (at as i32 - MARGIN as i32).div_euclid(SCALE as i32);
            if code.get_module(module(x), module(y)) {
                0
            } else {
                255
            }
        });
        let ran = scan(&stage, "foreign.png");
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(
            ran.stdout.starts_with("REFUSED UNKNOWN_SCHEME (2): "),
            "{ran:?}"
        );
        assert_eq!(ran.stdout.lines().count(), 1);
        assert_eq!(
            ran.stderr,
            "help: Show the code of the operator's own app.\n"
        );
    }
}

#[test]
fn a_picture_that_is_not_there_is_two_lines() {
    let stage = Stage::running(&["bus-1"]);
    let (error, _) = two_lines(&scan(&stage, "nothing.png"), 2);
    assert!(error.contains("nothing.png"), "{error}");
}

#[test]
fn after_64_kib_of_typed_noise_the_next_code_is_granted() {
    let stage = Stage::running(&["bus-1"]);
    let ada = stage.rider("ada");
    let mut typed = noise(64 * 1024);
    typed.push(b'\n');
    let lines = typed.split_inclusive(|byte| *byte == b'\n').count();
    typed.extend(format!("PT1:{}\n", "A".repeat(64 * 1024)).bytes());
    typed.extend(ada.text().unwrap().bytes());
    typed.push(b'\n');
    let ran = stage.world.terminal("bus-1").type_in(&typed).unwrap();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let said: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(said.len(), lines + 2);
    assert!(lines > 200, "noise has line ends as well");
    for answer in &said[..lines] {
        assert_eq!(
            (&answer["result"], &answer["code"]),
            (&"refused".into(), &"UNKNOWN_SCHEME".into())
        );
    }
    assert_eq!(said[lines]["code"], "MALFORMED");
    assert_eq!(
        (&said[lines + 1]["result"], &said[lines + 1]["seq"]),
        (&"granted".into(), &1.into())
    );
}

/// The same bytes every time (xorshift).
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}
