//! `random`: any machine, any device.

use crate::placement::{Ask, Gpus, Place, Room, Scorer};

/// A machine where it fits, each with the same chance, and there any device that will do; whole devices are taken in
/// order.
///
/// Source: the baseline of Weng et al., USENIX ATC 2023, section 6.1. Numbers are drawn as in Steele, Lea, Flood,
/// "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, figure 13.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed draws the same.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An index into something with `length` entries; `None` if there are none.
    fn index(&mut self, length: usize) -> Option<usize> {
        let length = u64::try_from(length).ok().filter(|length| *length > 0)?;
        usize::try_from(self.next() % length).ok()
    }
}

impl Scorer for Random {
    fn name(&self) -> &str {
        "random"
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        let devices = match ask.need.gpus {
            Gpus::None => Vec::new(),
            Gpus::Share(share) => {
                let enough = |index: &usize| room.devices[*index].1 >= share;
                let enough: Vec<usize> = (0..room.devices.len()).filter(enough).collect();
                let index = self.index(enough.len())?;
                vec![enough[index]]
            }
            Gpus::Whole(_) => room.fullest(ask)?,
        };
        let chance = u32::try_from(self.next() >> 32).unwrap_or(0);
        Some(Place { score: f64::from(chance), devices })
    }

    fn is_pure(&self) -> bool {
        false
    }

    fn draw(&mut self, machines: usize) -> Option<usize> {
        self.index(machines)
    }
}
