//! From a picture to the text of its QR code. The picture is a stranger's: everything is bounded.

use std::{
    io::Cursor,
    panic,
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use obol_console::read_limited;
use png::{ColorType, Decoder, DecodingError, Limits, Transformations};
use rxing::{BarcodeFormat, helpers::detect_in_luma};
use thiserror::Error;

/// Bytes of the largest picture file.
pub(crate) const FILE_MAX: usize = 8 * 1024 * 1024;
/// Pixels of the largest picture.
const PIXELS_MAX: u64 = 16_000_000;
/// Bytes that the PNG decoder may hold beside the pixels.
const DECODER_MAX: usize = 16 * 1024 * 1024;
const CHANNELS_MAX: u64 = 4;
const _: () = assert!(PIXELS_MAX * CHANNELS_MAX <= u32::MAX as u64);

/// Why a picture gives no text.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum PictureError {
    #[error("{} is not a whole PNG", path.display())]
    #[diagnostic(help("take the picture again, or save it again as PNG"))]
    Damaged {
        path: PathBuf,
        source: DecodingError,
    },
    #[error("{} has {width} x {height} pixels", path.display())]
    #[diagnostic(help("give a picture of at most 16 million pixels"))]
    TooManyPixels {
        path: PathBuf,
        width: u32,
        height: u32,
    },
    #[error("there is no readable QR code in {}", path.display())]
    #[diagnostic(
        code(refused::no_code),
        help("show the whole code with its white margin, sharp and straight")
    )]
    NoCode { path: PathBuf },
}

/// The text of the QR code in the PNG at `path`.
pub(crate) fn read_code(path: &Path) -> miette::Result<String> {
    let bytes = read_limited(path, FILE_MAX)?;
    let picture = decode(path, &bytes)?;
    let text = find_code(picture).ok_or_else(|| PictureError::NoCode { path: path.into() })?;
    Ok(text)
}

/// The text of the QR code in a PNG; `None` when it is no PNG within the limits or shows none.
pub(crate) fn read_code_of(bytes: &[u8]) -> Option<String> {
    decode(Path::new("the picture"), bytes)
        .ok()
        .and_then(find_code)
}

/// One byte of brightness for each pixel, row after row.
pub(crate) struct Grey {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) luma: Vec<u8>,
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Grey, PictureError> {
    let damaged = |source| PictureError::Damaged {
        path: path.into(),
        source,
    };
    let limits = Limits { bytes: DECODER_MAX };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (width, height) = reader.info().size();
    let size = reader.output_buffer_size();
    let pixels = u64::from(width) * u64::from(height);
    let (true, Some(size)) = (pixels <= PIXELS_MAX, size) else {
        return Err(PictureError::TooManyPixels {
            path: path.into(),
            width,
            height,
        });
    };
    let mut samples = vec![0; size];
    reader.next_frame(&mut samples).map_err(damaged)?;
    let (color, _) = reader.output_color_type();
    let channels = color.samples();
    let luma = samples
        .chunks_exact(channels)
        .map(|pixel| brightness(color, pixel))
        .collect();
    Ok(Grey {
        width,
        height,
        luma,
    })
}

/// ITU-R BT.601 weights; what is transparent shows the white behind it.
fn brightness(color: ColorType, pixel: &[u8]) -> u8 {
    let (grey, alpha) = match (color, pixel) {
        (ColorType::GrayscaleAlpha, &[grey, alpha]) => (grey, alpha),
        (ColorType::Rgb, &[r, g, b]) => (weighted(r, g, b), 255),
        (ColorType::Rgba, &[r, g, b, alpha]) => (weighted(r, g, b), alpha),
        (_, pixel) => (pixel[0], 255),
    };
    let (grey, alpha) = (u32::from(grey), u32::from(alpha));
    let blended = (grey * alpha + 255 * (255 - alpha)) / 255;
    u8::try_from(blended).expect("a mean of two bytes is a byte")
}

fn weighted(r: u8, g: u8, b: u8) -> u8 {
    let sum = u32::from(r) * 299 + u32::from(g) * 587 + u32::from(b) * 114;
    u8::try_from(sum / 1000).expect("a mean of three bytes is a byte")
}

/// The decoder is large and reads hostile pictures: should it panic, that is a picture without a
/// code, and its message is nobody's business at a gate.
pub(crate) fn find_code(picture: Grey) -> Option<String> {
    let Grey {
        width,
        height,
        luma,
    } = picture;
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let found =
        panic::catch_unwind(|| detect_in_luma(luma, width, height, Some(BarcodeFormat::QR_CODE)));
    panic::set_hook(hook);
    let found = found.ok()?.ok()?;
    Some(found.getText().to_owned())
}
