//! A terminal's way to the repository.

use obol_pos_sdk::{FileRequest, Received, Shelf, TrustSource};

use crate::chance::Chance;
use crate::publications::Publications;

/// A source gives up on a file after so long (docs/spec/trust.md section 7).
const FILE_MS: u64 = 300_000;
/// How long a terminal waits for an answer that was lost.
const LOST_MS: u64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quality {
    /// 50 to 400 ms for each request.
    Good,
    /// Of 100 requests 5 are lost, and 5 break off somewhere.
    Lossy,
    /// Bytes a second.
    Slow(u64),
}

/// One update's requests: each takes time, and may fail.
pub(crate) struct Link<'a> {
    pub(crate) publications: &'a Publications,
    pub(crate) quality: Quality,
    /// Whether the server knows ranges.
    pub(crate) ranges: bool,
    pub(crate) now_ms: u64,
    pub(crate) chance: &'a mut Chance,
}

#[derive(Debug, thiserror::Error)]
#[error("the request was lost")]
pub(crate) struct Lost;

impl TrustSource for Link<'_> {
    type Error = Lost;

    fn fetch(&mut self, request: &FileRequest<'_>) -> Result<Received, Lost> {
        self.now_ms += self.chance.range(50, 400);
        let lossy = self.quality == Quality::Lossy;
        if lossy && self.chance.percent(5) {
            self.now_ms += LOST_MS;
            return Err(Lost);
        }
        let publication = self.publications.at(self.now_ms);
        let shelf = match request.shelf {
            Shelf::Metadata => &publication.metadata,
            Shelf::Targets => &publication.targets,
        };
        let Some(file) = shelf.get(request.name) else {
            return Ok(Received::Absent);
        };
        let offset = if self.ranges { request.offset } else { 0 };
        let rest = &file[offset.min(file.len())..];
        let wanted = rest.len().min(request.max_len + 1 - offset);
        let comes = self.comes(wanted);
        let broken = (comes < wanted).then(|| "the link broke".to_owned());
        Ok(Received::Bytes {
            offset,
            bytes: rest[..comes].to_vec(),
            broken,
        })
    }
}

impl Link<'_> {
    /// How many of so many bytes come; the clock goes on meanwhile.
    fn comes(&mut self, wanted: usize) -> usize {
        match self.quality {
            Quality::Good => wanted,
            Quality::Lossy if self.chance.percent(5) => {
                let of_thousand = self.chance.range(0, 1_001);
                usize::try_from(wanted as u64 * of_thousand / 1_000).unwrap()
            }
            Quality::Lossy => wanted,
            Quality::Slow(per_s) => {
                let needed_ms = wanted as u64 * 1_000 / per_s;
                self.now_ms += needed_ms.min(FILE_MS);
                if needed_ms <= FILE_MS {
                    wanted
                } else {
                    usize::try_from(per_s * FILE_MS / 1_000).unwrap()
                }
            }
        }
    }
}
