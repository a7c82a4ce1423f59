//! A picture of a QR code. The reader lives in the terminal's command, which is no library.

#[path = "../../pos-sdk/cli/src/picture.rs"]
mod reader;

use crate::Taken;
use crate::files::with_file;

pub(crate) fn qr_picture(data: &[u8]) -> Taken {
    with_file("code.png", data, |path| reader::read_code(path).into())
}
