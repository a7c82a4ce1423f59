//! A picture of a QR code. The reader lives in the terminal's command, which is no library.

#[path = "../../pos-sdk/cli/src/picture.rs"]
mod reader;

use crate::Taken;
use crate::files::with_file;

pub(crate) fn qr_picture(data: &[u8]) -> Taken {
    // The page of the terminal reads the body of a request, the command a file: one decoder.
    let of_bytes = reader::read_code_of(data);
    with_file("code.png", data, |path| {
        let of_file = reader::read_code(path);
        assert_eq!(of_bytes, of_file.as_ref().ok().cloned());
        of_file.into()
    })
}
