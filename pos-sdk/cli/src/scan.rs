use std::{
    io::{BufRead, Read},
    path::Path,
};

use miette::{IntoDiagnostic, Report};
use obol_console::{Outcome, two_lines, unix_now};
use obol_pos_sdk::{
    Answer, Currency, Door, Granted, Opening, Refusal, TEXT_MAX, Terminal, UnixTime,
};

use crate::{
    folder::Folder,
    picture,
    say::{self, Format},
    synced::Synced,
};

/// Bytes of a line that are looked at; the rest of a longer line is passed over.
const LINE_MAX: u64 = TEXT_MAX as u64;

/// Takes the boarding code in a picture.
pub(crate) fn picture(folder: &Folder, path: &Path, format: Format) -> miette::Result<Outcome> {
    let text = picture::read_code(path)?;
    let mut terminal = folder.terminal(&folder.provisioning()?)?;
    take(&mut terminal, text.as_bytes(), format)
}

/// Takes boarding codes from a scanner that types them, until it ends. Refused when one was. What
/// `sync` stores meanwhile is in use from the next code on.
pub(crate) fn typed(
    folder: &Folder,
    mut keys: impl BufRead,
    format: Format,
) -> miette::Result<Outcome> {
    let provisioning = folder.provisioning()?;
    let mut synced = Synced::new(folder, &provisioning);
    let mut terminal = folder.terminal(&provisioning)?;
    terminal.prepare();
    let mut outcome = Outcome::Done;
    while let Some(line) = next_line(&mut keys).into_diagnostic()? {
        synced.refresh(&mut terminal, UnixTime(unix_now()));
        if take(&mut terminal, &line, format)? == Outcome::Refused {
            outcome = Outcome::Refused;
        }
    }
    Ok(outcome)
}

/// A line with its end, or its first [`LINE_MAX`] bytes. `None` at the end.
pub(crate) fn next_line(keys: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    keys.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
    if line.len() as u64 == LINE_MAX && !line.ends_with(b"\n") {
        keys.skip_until(b'\n')?;
    }
    Ok((!line.is_empty()).then_some(line))
}

fn take(terminal: &mut Terminal, text: &[u8], format: Format) -> miette::Result<Outcome> {
    let currency = terminal.currency();
    let mut says = Says { format, currency };
    let answer = terminal.take(text, &mut || UnixTime(unix_now()), &mut says)?;
    if let Some(fault) = terminal.take_fault() {
        eprintln!("{}", two_lines(&Report::new(fault)));
    }
    Ok(match answer {
        Answer::Opened(_) => Outcome::Done,
        Answer::Refused(_) | Answer::Ignored => Outcome::Refused,
    })
}

/// The gate of a terminal that is a command: a line on standard output, written out before the
/// ride is marked as opened.
struct Says {
    format: Format,
    currency: Option<Currency>,
}

impl Door for Says {
    type Error = Report;

    fn open(&mut self, ride: &Granted, why: Opening) -> miette::Result<()> {
        let result = match why {
            Opening::Granted => "granted",
            Opening::AlreadyPaid => "already_paid",
        };
        say::ride(self.format, ride, result, self.currency)
    }

    fn stay_closed(&mut self, refusal: Option<&Refusal>) -> miette::Result<()> {
        match refusal {
            Some(refusal) => say::refused(self.format, refusal),
            None => say::ignored(self.format),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        let mut keys = text;
        std::iter::from_fn(|| next_line(&mut keys).unwrap()).collect()
    }

    #[test]
    fn each_line_comes_with_its_end_and_the_last_may_have_none() {
        assert_eq!(lines(b"A\r\nB\n\nC"), [&b"A\r\n"[..], b"B\n", b"\n", b"C"]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn of_64_kib_of_noise_a_line_is_looked_at_and_the_rest_passed_over() {
        let mut noise = vec![b'x'; 64 * 1024];
        noise.extend(b"\nNEXT\n");
        let lines = lines(&noise);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len() as u64, LINE_MAX);
        assert_eq!(lines[1], b"NEXT\n");
    }

    #[test]
    fn a_line_of_exactly_the_limit_keeps_its_end() {
        let mut text = vec![b'x'; LINE_MAX as usize - 1];
        text.extend(b"\nNEXT\n");
        assert_eq!(lines(&text).len(), 2);
        assert_eq!(lines(&text)[1], b"NEXT\n");
    }
}
