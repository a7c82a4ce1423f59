//! Is what the scanner hands over what the code says? A code with every character of base45, twice,
//! through the picture reader and through a scanner that types.

use std::io::BufRead;
use std::path::Path;

use miette::{Diagnostic, IntoDiagnostic};
use obol_console::{Mode, Outcome, write_new_atomically};
use serde::Serialize;
use thiserror::Error;

use crate::{
    picture,
    say::{self, Format},
    scan::next_line,
};

/// Every character of base45 (RFC 9285 section 4), twice.
pub(crate) const TEXT: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:\
                               0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

/// [`TEXT`] as a QR code, level M.
const PICTURE: &[u8] = include_bytes!("selftest.png");

#[derive(Debug, Error, Diagnostic)]
enum SelfTest {
    #[error("the picture reader does not read its own test code: {found:?}")]
    #[diagnostic(
        code(refused::selftest),
        help("the program is damaged: install it again")
    )]
    Picture { found: Option<String> },
    #[error("the scanner typed {found:?} where the code has {expected:?}, at character {at}")]
    #[diagnostic(
        code(refused::selftest),
        help(
            "set the scanner to the US keyboard layout, no change of case, no trimming of spaces, \
             and one line end as suffix"
        )
    )]
    Typed {
        at: usize,
        expected: String,
        found: String,
    },
    #[error("the scanner typed {found} characters, and the code has {expected}")]
    #[diagnostic(
        code(refused::selftest),
        help("set the scanner to add one line end and nothing else, and to trim nothing")
    )]
    Length { expected: usize, found: usize },
}

#[derive(Serialize)]
struct Passed<'a> {
    result: &'static str,
    path: &'a str,
    characters: usize,
}

/// Reads the built-in picture.
pub(crate) fn picture(format: Format) -> miette::Result<Outcome> {
    let found = picture::read_code_of(PICTURE);
    if found.as_deref() != Some(TEXT) {
        return Err(SelfTest::Picture { found }.into());
    }
    passed("picture", format)
}

/// Writes the built-in picture out, to be shown to a scanner.
pub(crate) fn write(path: &Path) -> miette::Result<Outcome> {
    write_new_atomically(path, PICTURE, Mode::Public)?;
    Ok(Outcome::Done)
}

/// Compares what a scanner types with the code, character by character.
pub(crate) fn typed(mut keys: impl BufRead, format: Format) -> miette::Result<Outcome> {
    let line = next_line(&mut keys).into_diagnostic()?.unwrap_or_default();
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    compare(&String::from_utf8_lossy(line))?;
    passed("scanner", format)
}

fn compare(found: &str) -> Result<(), SelfTest> {
    let pairs = TEXT.chars().zip(found.chars()).enumerate();
    for (at, (expected, found)) in pairs {
        if expected != found {
            return Err(SelfTest::Typed {
                at: at + 1,
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }
    let (expected, found) = (TEXT.chars().count(), found.chars().count());
    if expected != found {
        return Err(SelfTest::Length { expected, found });
    }
    Ok(())
}

fn passed(path: &str, format: Format) -> miette::Result<Outcome> {
    let value = Passed {
        result: "passed",
        path,
        characters: TEXT.len(),
    };
    let text = format!("PASSED {path}: {} characters", value.characters);
    say::result(format, &text, &value)?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_has_every_character_of_base45_twice_and_its_picture_says_it() {
        let alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
        assert_eq!(TEXT, alphabet.repeat(2));
        assert_eq!(picture::read_code_of(PICTURE).as_deref(), Some(TEXT));
    }

    #[test]
    fn a_changed_case_a_changed_layout_and_a_trimmed_space_are_named() {
        let said = |found: &str| compare(found).unwrap_err().to_string();
        let lower = said(&TEXT.to_lowercase());
        assert!(
            lower.contains(r#"typed "a" where the code has "A", at character 11"#),
            "{lower}"
        );
        let german = said(&TEXT.replace('Z', "Y"));
        assert!(
            german.contains(r#"typed "Y" where the code has "Z""#),
            "{german}"
        );
        let trimmed = said(&TEXT.replace(' ', ""));
        assert!(
            trimmed.contains(r#"typed "$" where the code has " ""#),
            "{trimmed}"
        );
        let short = said(&TEXT[..89]);
        assert_eq!(
            short,
            "the scanner typed 89 characters, and the code has 90"
        );
    }
}
