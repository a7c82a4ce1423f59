mod symbol;

use obol_credential::{Encoded, PRESENTATION_MAX, TEXT_MAX, to_text};
use qrcodegen::{QrCode, QrCodeEcc, QrSegment, Version};

pub use symbol::{QUIET_ZONE, Scale, Symbol};

/// The largest QR code that is ever shown: version 13, 69 modules a side.
pub const VERSION_MAX: u8 = 13;

/// What a terminal scans: `PT1:` and base45, at most 483 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardingCode {
    text: String,
}

impl BoardingCode {
    /// The code of a presentation.
    #[must_use]
    pub fn of(presentation: &Encoded<PRESENTATION_MAX>) -> Self {
        let mut buffer = [0; TEXT_MAX];
        Self {
            text: to_text(presentation, &mut buffer).to_owned(),
        }
    }

    /// The characters in the QR code.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The QR code: alphanumeric mode, error correction level M.
    ///
    /// # Panics
    /// Never: 483 alphanumeric characters are the capacity of version 13-M.
    #[must_use]
    pub fn symbol(&self) -> Symbol {
        let segments = [QrSegment::make_alphanumeric(&self.text)];
        let (least, most) = (Version::MIN, Version::new(VERSION_MAX));
        QrCode::encode_segments_advanced(&segments, QrCodeEcc::Medium, least, most, None, false)
            .map(Symbol::of)
            .expect("483 alphanumeric characters are the capacity of version 13-M")
    }
}
