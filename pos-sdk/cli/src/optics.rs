//! What a camera makes of the code on a phone: turned, tilted, blurred, pale, noisy, compressed.
//! The rates that are demanded were measured once with the same model; one frame is one try, and a
//! scanner has some fifteen a second.

use image::{ExtendedColorType, ImageFormat, codecs::jpeg::JpegEncoder};
use qrcodegen::{QrCode, QrCodeEcc};

use crate::picture::{Grey, find_code};

/// White modules around a code.
const QUIET: i32 = 4;
/// Samples on each side of a camera's pixel.
const SAMPLES: u32 = 2;

/// The camera's view of a code.
#[derive(Clone, Copy)]
struct View {
    /// Width of the code with its margin, pixels of the camera.
    width: u32,
    /// Turned in its plane, and tilted out of it, by at most so many degrees.
    turn: f64,
    tilt: f64,
    /// Standard deviation of the blur, pixels.
    blur: f64,
    /// Standard deviation of the noise, of 255.
    noise: f64,
    /// White minus black, of 1.
    contrast: f64,
    /// JPEG's quality.
    jpeg: Option<u8>,
}

const CLEAN: View = View {
    width: 0,
    turn: 0.0,
    tilt: 0.0,
    blur: 0.0,
    noise: 0.0,
    contrast: 1.0,
    jpeg: None,
};
const MILD: View = View {
    turn: 5.0,
    tilt: 8.0,
    blur: 0.6,
    noise: 5.0,
    contrast: 0.8,
    ..CLEAN
};
const TYPICAL: View = View {
    turn: 12.0,
    tilt: 18.0,
    blur: 0.9,
    noise: 8.0,
    contrast: 0.65,
    jpeg: Some(75),
    ..CLEAN
};
const HARD: View = View {
    turn: 25.0,
    tilt: 28.0,
    blur: 1.3,
    noise: 12.0,
    contrast: 0.45,
    jpeg: Some(60),
    ..CLEAN
};

/// Numbers that look random and are the same each time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between -1 and 1.
    fn sign(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// Nearly normal, of deviation 1.
    fn normal(&mut self) -> f64 {
        (0..4).map(|_| self.sign()).sum::<f64>() * (3.0_f64 / 4.0).sqrt()
    }
}

/// The longest usual boarding code: 463 characters, version 13 at level M, as the wallet draws it.
fn code(chance: &mut Chance) -> (String, QrCode) {
    const BASE45: &[u8; 45] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
    let mut text = "PT1:".to_owned();
    while text.len() < 463 {
        text.push(char::from(BASE45[(chance.next() % 45) as usize]));
    }
    let segments = qrcodegen::QrSegment::make_segments(&text);
    let version = qrcodegen::Version::new;
    let drawn = QrCode::encode_segments_advanced(
        &segments,
        QrCodeEcc::Medium,
        version(1),
        version(40),
        None,
        false,
    );
    let drawn = drawn.unwrap();
    assert_eq!(drawn.version().value(), 13);
    (text, drawn)
}

/// Distance of the camera, half widths of the code.
const DISTANCE: f64 = 6.0;

/// The plane of the phone seen from where the camera is.
struct Plane {
    turn: (f64, f64),
    axis: (f64, f64),
    tilt: (f64, f64),
    centre: f64,
    half_width: f64,
    half_modules: f64,
}

impl Plane {
    fn of(view: View, modules: i32, canvas: u32, chance: &mut Chance) -> Self {
        Self {
            turn: (view.turn * chance.sign()).to_radians().sin_cos(),
            axis: (180.0 * chance.sign()).to_radians().sin_cos(),
            tilt: (view.tilt * chance.sign()).to_radians().sin_cos(),
            centre: f64::from(canvas) / 2.0 + chance.sign() / 2.0,
            half_width: f64::from(view.width) / 2.0,
            half_modules: f64::from(modules + 2 * QUIET) / 2.0,
        }
    }

    /// The module at a place of the canvas.
    fn module(&self, x: f64, y: f64) -> (i32, i32) {
        let (x, y) = (
            (x - self.centre) / self.half_width,
            (y - self.centre) / self.half_width,
        );
        let (across, along) = turned((x, y), self.axis);
        let (sin, cos) = self.tilt;
        let across = across / (cos - across * sin / DISTANCE);
        let along = along * (1.0 + across * sin / DISTANCE);
        let back = turned((across, along), (-self.axis.0, self.axis.1));
        let (x, y) = turned(back, self.turn);
        let module = |at: f64| (at * self.half_modules + self.half_modules).floor() as i32 - QUIET;
        (module(x), module(y))
    }
}

fn turned((x, y): (f64, f64), (sin, cos): (f64, f64)) -> (f64, f64) {
    (x * cos - y * sin, x * sin + y * cos)
}

fn photograph(drawn: &QrCode, view: View, chance: &mut Chance) -> Grey {
    let size = view.width * 4 / 3;
    let plane = Plane::of(view, drawn.size(), size, chance);
    let step = 1.0 / f64::from(SAMPLES);
    let sharp = (0..size * size).map(|at| {
        let dark = (0..SAMPLES * SAMPLES).filter(|sample| {
            let x = f64::from(at % size) + (f64::from(sample % SAMPLES) + 0.5) * step;
            let y = f64::from(at / size) + (f64::from(sample / SAMPLES) + 0.5) * step;
            let (x, y) = plane.module(x, y);
            drawn.get_module(x, y)
        });
        1.0 - dark.count() as f64 / f64::from(SAMPLES * SAMPLES)
    });
    let sharp: Vec<f64> = sharp.collect();
    let blurred = across(&across(&sharp, size, view.blur), size, view.blur);
    let luma = blurred.into_iter().map(|white| {
        let level = 255.0 * (0.5 + (white - 0.5) * view.contrast) + view.noise * chance.normal();
        level.clamp(0.0, 255.0) as u8
    });
    let luma = compressed(luma.collect(), size, view.jpeg);
    Grey {
        width: size,
        height: size,
        luma,
    }
}

/// Blurs along rows and turns the picture on its side.
fn across(picture: &[f64], size: u32, blur: f64) -> Vec<f64> {
    let (reach, size) = ((2.5 * blur).ceil() as usize, size as usize);
    let weight = |at: usize| (-((at * at) as f64) / (2.0 * blur * blur)).exp();
    let weights: Vec<f64> = (1..=reach).map(weight).collect();
    let whole = 1.0 + 2.0 * weights.iter().sum::<f64>();
    let mut aside = vec![0.0; picture.len()];
    for y in 0..size {
        let row = &picture[y * size..(y + 1) * size];
        for x in 0..size {
            let mut sum = row[x];
            for (at, weight) in weights.iter().enumerate() {
                let (left, right) = (x.saturating_sub(at + 1), (x + at + 1).min(size - 1));
                sum += weight * (row[left] + row[right]);
            }
            aside[x * size + y] = sum / whole;
        }
    }
    aside
}

fn compressed(luma: Vec<u8>, size: u32, quality: Option<u8>) -> Vec<u8> {
    let Some(quality) = quality else { return luma };
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, quality);
    encoder
        .encode(&luma, size, size, ExtendedColorType::L8)
        .unwrap();
    let back = image::load_from_memory_with_format(&file, ImageFormat::Jpeg).unwrap();
    back.to_luma8().into_raw()
}

/// How many of `count` pictures give exactly their text; none may give another.
fn read(view: View, count: u32) -> u32 {
    let mut chance = Chance(u64::from(view.width));
    let read = (0..count).filter(|_| {
        let (text, drawn) = code(&mut chance);
        let found = find_code(photograph(&drawn, view, &mut chance));
        if let Some(found) = &found {
            assert_eq!(*found, text);
        }
        found.is_some()
    });
    read.count() as u32
}

#[track_caller]
fn at_least(wanted: u32, count: u32, view: View) {
    let found = read(view, count);
    assert!(found >= wanted, "{found} of {count}, not {wanted}");
}

#[test]
fn mild_views_are_read_each_time_from_240_pixels_on() {
    for width in [240, 300] {
        at_least(8, 8, View { width, ..MILD });
    }
}

#[test]
fn typical_views_are_read_nineteen_times_of_twenty_from_270_pixels_on() {
    at_least(
        19,
        20,
        View {
            width: 270,
            ..TYPICAL
        },
    );
}

#[test]
fn hard_views_are_read_eighteen_times_of_twenty_from_380_pixels_on() {
    at_least(18, 20, View { width: 380, ..HARD });
}

#[test]
fn a_shrunk_or_blurred_code_is_read() {
    for blur in [0.0, 1.5] {
        at_least(
            5,
            5,
            View {
                width: 320,
                blur,
                ..CLEAN
            },
        );
    }
}

#[test]
fn a_code_that_is_turned_however_far_is_read() {
    for turn in [7.0, 30.0] {
        at_least(
            5,
            5,
            View {
                width: 320,
                turn,
                blur: 0.8,
                ..CLEAN
            },
        );
    }
}

#[test]
fn a_pale_or_compressed_code_is_read() {
    let pale = View {
        width: 320,
        contrast: 0.35,
        noise: 8.0,
        ..CLEAN
    };
    at_least(5, 5, pale);
    let compressed = View {
        width: 320,
        jpeg: Some(40),
        blur: 0.8,
        ..CLEAN
    };
    at_least(5, 5, compressed);
}

#[test]
fn what_no_camera_could_read_is_no_code_and_never_another() {
    let view = View { width: 100, ..HARD };
    assert_eq!(read(view, 5), 0);
}
