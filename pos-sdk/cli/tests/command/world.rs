//! A terminal's folder, and the command run on it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
};

use obol_fare::{Currency, FarePack, FareRule, RuleId, Tariff};
use obol_pos_sdk::UnixTime;
use qrcodegen::{QrCode, QrCodeEcc, QrSegment};

use crate::issuing::{Issuing, Phone};

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) issuing: Issuing,
    pub(crate) now: UnixTime,
}

/// `obol-pos type` while it runs: one code in, one answer out.
pub(crate) struct Typing {
    child: Child,
    keys: ChildStdin,
    screen: BufReader<ChildStdout>,
}

impl Typing {
    pub(crate) fn take(&mut self, code: &str) -> String {
        writeln!(self.keys, "{code}").unwrap();
        let mut said = String::new();
        self.screen.read_line(&mut said).unwrap();
        said
    }

    /// The scanner is unplugged; what was said on standard error.
    pub(crate) fn end(self) -> String {
        drop(self.keys);
        let output = self.child.wait_with_output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    }
}

/// What the command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    /// A folder with a journal, and a trust bundle and a fare pack as `sync` stores them.
    pub(crate) fn new() -> Self {
        let world = Self::unsynced("https://localhost:1", "https://localhost:1");
        let bundle = world.issuing.bundle(world.now.minus(3600), |_| {});
        fs::write(world.path("trust-bundle.cbor"), bundle).unwrap();
        fs::write(world.path("fare-pack.cbor"), fares(world.now).bytes()).unwrap();
        world
    }

    pub(crate) fn unsynced(issuer_url: &str, platform_url: &str) -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            issuing: Issuing::new(),
            now: UnixTime(obol_console::unix_now()),
        };
        let text = format!(
            r#"
            terminal = "bus-12"
            operator = "metro"
            root = "root.pem"
            access = "access.pem"
            certificate = "terminal.pem"
            key = "terminal.key"
            issuer_url = "{issuer_url}"
            platform_url = "{platform_url}"
            "#
        );
        fs::write(world.path("terminal.toml"), text).unwrap();
        fs::write(world.path("root.pem"), &world.issuing.root_pem).unwrap();
        assert_eq!(world.run(&["identity"]).code, 0);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.run_typing(arguments, b"")
    }

    /// A terminal with a scanner at its keyboard.
    pub(crate) fn typing(&self) -> Typing {
        let mut child = self.start(&["type"]);
        let keys = child.stdin.take().unwrap();
        let screen = BufReader::new(child.stdout.take().unwrap());
        Typing {
            child,
            keys,
            screen,
        }
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_obol-pos"))
            .arg("--dir")
            .arg(self.folder.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn run_typing(&self, arguments: &[&str], keys: &[u8]) -> Said {
        let mut child = self.start(arguments);
        child.stdin.take().unwrap().write_all(keys).unwrap();
        said(child.wait_with_output().unwrap())
    }

    pub(crate) fn scan(&self, picture: &Path) -> Said {
        self.run(&["scan", picture.to_str().unwrap()])
    }

    pub(crate) fn phone(&self, number: u8) -> Phone {
        Phone::new(&self.issuing, number, self.now)
    }

    /// A picture of a QR code of `text`.
    pub(crate) fn picture(&self, text: &str) -> PathBuf {
        let path = self.path("code.png");
        fs::write(&path, qr_png(text)).unwrap();
        path
    }
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Said {
    /// A failure or refusal in two lines on standard error, with nothing on standard output.
    pub(crate) fn two_lines(&self, code: i32, error: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        let lines: Vec<&str> = self.err.lines().collect();
        assert_eq!(lines.len(), 2, "{self:?}");
        assert!(lines[0].starts_with("error: "), "{self:?}");
        assert!(lines[0].contains(error), "{self:?}");
        assert!(lines[1].starts_with("help: "), "{self:?}");
    }
}

pub(crate) fn fares(now: UnixTime) -> FarePack {
    let rule = FareRule::flat(RuleId(10), 1, 200);
    let cny = Currency::new("CNY").unwrap();
    FarePack::new(Tariff::plain(
        cny,
        now.minus(86_400),
        now.plus(86_400),
        vec![rule],
    ))
    .unwrap()
}

const SCALE: usize = 4;
const QUIET: usize = 4;

pub(crate) fn qr_png(text: &str) -> Vec<u8> {
    let segments = QrSegment::make_segments(text);
    let code = QrCode::encode_segments(&segments, QrCodeEcc::Medium).unwrap();
    let modules = usize::try_from(code.size()).unwrap() + 2 * QUIET;
    let side = modules * SCALE;
    let mut luma = vec![255; side * side];
    for (at, pixel) in luma.iter_mut().enumerate() {
        let module = |place: usize| (place / SCALE) as i32 - QUIET as i32;
        if code.get_module(module(at % side), module(at / side)) {
            *pixel = 0;
        }
    }
    grey_png(u32::try_from(side).unwrap(), &luma)
}

pub(crate) fn grey_png(side: u32, luma: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(luma).unwrap();
    writer.finish().unwrap();
    bytes
}
