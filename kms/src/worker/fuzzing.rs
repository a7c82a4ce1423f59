//! What the two ends of the socketpair read.

use std::fmt::Debug;
use std::io;

use minicbor::{Decode, Encode};

use super::wire::{Frames, FromWorker, Next, ToWorker, write};

/// Frames as a worker reads them from its daemon.
///
/// # Errors
/// The first frame that is none.
///
/// # Panics
/// Where a frame would be read otherwise than it is written.
pub fn to_worker(bytes: &[u8]) -> io::Result<usize> {
    all::<ToWorker>(bytes)
}

/// Frames as a daemon reads them from its worker.
///
/// # Errors
/// The first frame that is none.
///
/// # Panics
/// Where a frame would be read otherwise than it is written.
pub fn from_worker(bytes: &[u8]) -> io::Result<usize> {
    all::<FromWorker>(bytes)
}

fn all<T>(bytes: &[u8]) -> io::Result<usize>
where
    T: for<'b> Decode<'b, ()> + Encode<()> + PartialEq + Debug,
{
    let mut frames = Frames::new(bytes);
    let mut count = 0;
    while let Next::Frame(value) = frames.next::<T>()? {
        let mut again = Vec::new();
        // A value may be read from a longer form than it is written in, never from a shorter one.
        write(&mut again, &value)?;
        match Frames::new(again.as_slice()).next::<T>()? {
            Next::Frame(read) => assert_eq!(read, value),
            _ => panic!("a frame that was written is not read"),
        }
        count += 1;
    }
    Ok(count)
}
