use std::fmt;
use std::num::NonZeroU8;

use qrcodegen::QrCode;

/// Light modules around the code (ISO/IEC 18004 section 6.3.8).
pub const QUIET_ZONE: i32 = 4;

const LARGEST_SCALE: u8 = 40;
/// Fixed entries of the 256-colour table, which no terminal theme changes.
const BLACK: u8 = 16;
const WHITE: u8 = 231;

/// Pixels a side of one module, 1 to 40; 8 unless asked otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale(NonZeroU8);

impl Scale {
    /// `None` outside 1 to 40.
    #[must_use]
    pub fn new(pixels: u8) -> Option<Self> {
        NonZeroU8::new(pixels)
            .filter(|pixels| pixels.get() <= LARGEST_SCALE)
            .map(Self)
    }
}

impl Default for Scale {
    fn default() -> Self {
        Self(NonZeroU8::new(8).expect("8 is not 0"))
    }
}

/// A QR code that can be drawn.
#[derive(Clone, PartialEq, Eq)]
pub struct Symbol {
    code: QrCode,
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Symbol")
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

impl Symbol {
    pub(crate) fn of(code: QrCode) -> Self {
        Self { code }
    }

    /// The QR version, 1 to 13.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.code.version().value()
    }

    /// A PNG, black on white, one bit a pixel, quiet zone included.
    ///
    /// # Panics
    /// Never: the image is written to memory with the length its header says.
    #[must_use]
    pub fn to_png(&self, scale: Scale) -> Vec<u8> {
        let scale = usize::from(scale.0.get());
        let side = self.modules() * scale;
        let mut pixels = Vec::with_capacity(side * side.div_ceil(8));
        for row in 0..self.modules() {
            let line = self.pixel_row(row, scale);
            (0..scale).for_each(|_| pixels.extend_from_slice(&line));
        }
        let mut png = Vec::new();
        let width = u32::try_from(side).expect("at most 77 modules of 40 pixels");
        let mut encoder = png::Encoder::new(&mut png, width, width);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        encoder
            .write_header()
            .and_then(|mut writer| writer.write_image_data(&pixels))
            .expect("memory takes the image, whose length is what its header says");
        png
    }

    /// Two modules a character, with colours of its own so that a dark theme does not invert it.
    #[must_use]
    pub fn to_terminal(&self) -> String {
        let mut drawing = String::new();
        for row in (0..self.modules()).step_by(2) {
            for column in 0..self.modules() {
                let (upper, lower) = (colour(self.dark(column, row)), self.below(column, row));
                drawing.push_str(&format!("\x1b[38;5;{upper};48;5;{lower}m▀"));
            }
            drawing.push_str("\x1b[0m\n");
        }
        drawing
    }

    /// Modules a side, quiet zone included.
    fn modules(&self) -> usize {
        usize::try_from(self.code.size() + 2 * QUIET_ZONE).expect("a size is positive")
    }

    /// One line of pixels, eight a byte, 1 is white; the bits behind the edge are white.
    fn pixel_row(&self, row: usize, scale: usize) -> Vec<u8> {
        let mut line = vec![0xff; (self.modules() * scale).div_ceil(8)];
        for x in 0..self.modules() * scale {
            if self.dark(x / scale, row) {
                line[x / 8] &= !(0x80 >> (x % 8));
            }
        }
        line
    }

    fn below(&self, column: usize, row: usize) -> u8 {
        colour(self.dark(column, row + 1))
    }

    fn dark(&self, column: usize, row: usize) -> bool {
        let place = |at: usize| i32::try_from(at).map_or(-1, |at| at - QUIET_ZONE);
        self.code.get_module(place(column), place(row))
    }
}

fn colour(dark: bool) -> u8 {
    if dark { BLACK } else { WHITE }
}
