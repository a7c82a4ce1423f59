//! What the platform's clock says of the terminal's.

use obol_console::{two_lines, unix_now};
use obol_pos_sdk::{ClockCheck, ClockFloor, JournalFile, UnixTime};

/// Takes note of the time that a server told over mutual TLS. When it agrees with the clock, the
/// clock's floor starts from there; when not, somebody has to set the clock, and is told so.
/// Returns clock minus server, seconds.
pub(crate) fn heard(journal: &JournalFile, date: Option<u64>) -> Option<i64> {
    let server_time = UnixTime(u32::try_from(date?).ok()?);
    let now = UnixTime(unix_now());
    match ClockFloor::check(server_time, now) {
        ClockCheck::Agrees => {
            if let Err(fault) = journal.confirm_clock(server_time) {
                eprintln!("{}", two_lines(&miette::Report::new(fault)));
            }
        }
        ClockCheck::Off { by_s } => {
            let (by_s, side) = (
                by_s.unsigned_abs(),
                if by_s > 0 { "ahead of" } else { "behind" },
            );
            eprintln!("note: this terminal's clock is {by_s} s {side} the platform's: set it");
        }
    }
    Some(now.since(server_time))
}
