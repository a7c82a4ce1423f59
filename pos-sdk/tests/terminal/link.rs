//! Uploads over a link that loses, doubles and reorders, while rides are taken.

use obol_pos_sdk::{Acknowledgement, JournalFile, Uplink, upload};

use crate::{
    upload::Platform,
    world::{T, World, name},
};

/// A link whose behaviour follows from its seed alone.
struct Link<'a> {
    platform: &'a mut Platform,
    chance: u32,
    /// Segments that were sent and have not arrived: they may still.
    on_the_way: Vec<Vec<u8>>,
    /// Answers that the terminal has not seen: it may still.
    late: Vec<Acknowledgement>,
}

impl Link<'_> {
    fn chance(&mut self, of: u32) -> u32 {
        self.chance = self
            .chance
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        (self.chance >> 16) % of
    }

    /// What was sent earlier arrives now, in any order.
    fn let_old_ones_arrive(&mut self) {
        while !self.on_the_way.is_empty() && self.chance(2) == 0 {
            let at = self.chance(self.on_the_way.len() as u32) as usize;
            let segment = self.on_the_way.swap_remove(at);
            self.late.extend(self.platform.send(&segment));
        }
    }
}

impl Uplink for Link<'_> {
    type Error = &'static str;

    fn send(&mut self, segment: &[u8]) -> Result<Acknowledgement, Self::Error> {
        self.let_old_ones_arrive();
        match self.chance(6) {
            0 => Err("lost on the way"),
            1 => {
                self.on_the_way.push(segment.to_vec());
                Err("slow, and given up")
            }
            2 => {
                self.late.push(self.platform.send(segment)?);
                Err("the answer was lost")
            }
            3 if !self.late.is_empty() => {
                let at = self.chance(self.late.len() as u32) as usize;
                self.platform.send(segment)?;
                Ok(self.late.swap_remove(at))
            }
            4 => {
                self.platform.send(segment)?;
                self.platform.send(segment)
            }
            _ => self.platform.send(segment),
        }
    }
}

#[test]
fn rides_reach_the_platform_once_whatever_the_link_loses_doubles_and_reorders() {
    for seed in 1..=12 {
        let mut world = World::new();
        let (mut platform, signer) = Platform::new();
        let mut link = Link {
            platform: &mut platform,
            chance: seed,
            on_the_way: Vec::new(),
            late: Vec::new(),
        };
        let mut journal = JournalFile::open(&world.path(), &name()).unwrap();
        for rider in 1..=12 {
            let code = world.phone(rider).code(T, rider.into());
            world.grant(&code, T);
            let before = journal.watermark().unwrap();
            // Whether it went well or not: the watermark is never ahead of what is held.
            let went = upload(&mut journal, &signer, &mut link);
            let after = journal.watermark().unwrap();
            let held = link.platform.held();
            assert!(before <= after, "seed {seed}: {before} and then {after}");
            let expected: Vec<u64> = (1..=after).collect();
            assert!(
                held.starts_with(&expected),
                "seed {seed}: {after} of {held:?}"
            );
            assert!(went.is_err() || after == u64::from(rider), "seed {seed}");
        }
        let tries = (0..500).find(|_| upload(&mut journal, &signer, &mut link).is_ok());
        assert!(tries.is_some(), "seed {seed}");
        link.on_the_way.clear();
        assert_eq!(
            platform.held(),
            (1..=12).collect::<Vec<u64>>(),
            "seed {seed}"
        );
        assert_eq!(platform.conflicts, 0, "seed {seed}");
        assert_eq!(journal.watermark().unwrap(), 12);
    }
}
