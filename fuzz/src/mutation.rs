//! Changes to inputs that are the same on every machine and in every run.

/// Bytes that parsers treat as special: ends of ranges, heads of CBOR and DER, marks of text.
const TELLING: &[u8] =
    b"\x00\x01\x17\x18\x19\x1a\x1b\x1f\x30\x3f\x40\x58\x7f\x80\x9f\xa0\xbf\xff\n\"=[]{},;%";
/// Longest run that is copied or removed, in bytes.
const RUN_MAX: usize = 64;
/// Changes to one input.
const CHANGES_MAX: u64 = 4;

/// Makes inputs from others. The same seed makes the same inputs.
#[derive(Clone, Debug)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// A mutator of its own sequence.
    #[must_use]
    pub fn new(seed: u64) -> Mutator {
        Mutator {
            state: seed ^ 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// `input` with one to four changes; runs are taken from `other` as well.
    #[must_use]
    pub fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(CHANGES_MAX) {
            self.change(&mut bytes, other);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.index(bytes.len() + 1);
        match (self.below(7), bytes.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << self.below(8),
            (1, Some(byte)) => *byte = TELLING[self.index(TELLING.len())],
            (2, Some(byte)) => {
                *byte = byte
                    .wrapping_add(1)
                    .wrapping_sub(2 * (self.state as u8 & 1))
            }
            (3, _) => bytes.truncate(at),
            (4, Some(_)) => {
                let end = (at + 1 + self.index(RUN_MAX)).min(bytes.len());
                bytes.drain(at..end);
            }
            (5, _) => {
                let from = self.index(other.len() + 1);
                let end = (from + self.index(RUN_MAX)).min(other.len());
                bytes.splice(at..at, other[from..end].iter().copied());
            }
            _ => bytes.insert(at, TELLING[self.index(TELLING.len())]),
        }
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a length")
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014), reduced to 0..`limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}
