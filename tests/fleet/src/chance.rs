/// All chance of a simulation: SplitMix64 (Steele, Lea, Flood, 2014).
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The chance of one terminal of a simulation.
    pub(crate) fn of(seed: u64, terminal: u32) -> Chance {
        let mut chance = Chance(seed);
        let of_seed = chance.next();
        Chance(of_seed ^ (u64::from(terminal) << 32))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `least` to below `most`.
    pub(crate) fn range(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least)
    }

    pub(crate) fn percent(&mut self, of_hundred: u64) -> bool {
        self.range(0, 100) < of_hundred
    }
}
