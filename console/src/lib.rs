#![doc = include_str!("../README.md")]

mod clock;
mod files;
mod logging;
mod report;
mod stop;

pub use clock::{unix_now, utc_text};
pub use files::{
    FileError, Mode, make_folder, make_private, read_limited, remove_unfinished,
    replace_atomically, write_new_atomically, write_new_pair,
};
pub use logging::init_logging;
pub use report::{Outcome, run, two_lines};
pub use stop::{StopOnStdin, until_stopped};
