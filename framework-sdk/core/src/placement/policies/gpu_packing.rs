//! `gpu-packing`: shared devices first, empty machines last.

use lonja_model::resources::Devices;

use crate::placement::policies::{number, thousandths};
use crate::placement::{Ask, Gpus, Place, Room, Scorer};

/// First a device that is already shared, then free devices of a machine in use, then an empty machine.
///
/// Score, in whole numbers:
/// - a machine whose devices are all free: 33 less the number of its devices;
/// - free devices must be taken: 50 less how many, but not below 33;
/// - a shared device will do: 100 less one for each tenth of it that is left, but not below 50;
/// - a task without GPUs: 0 everywhere.
///
/// Source: Weng et al., USENIX ATC 2023, section 6.1; the numbers are those of the simulator published with it. They
/// are coarse on purpose here, for what is equal goes to the first machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct GpuPacking;

impl Scorer for GpuPacking {
    fn name(&self) -> &str {
        "gpu-packing"
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        let devices = room.fullest(ask)?;
        let score = if ask.need.gpus == Gpus::None {
            0
        } else if room.free_gpus() == thousandths(room.spec.devices) {
            let free = u64::try_from(room.whole_devices()).unwrap_or(u64::MAX);
            33_u64.saturating_sub(free)
        } else {
            let left = || devices.iter().filter_map(|index| room.devices.get(*index)).map(|(_, left)| *left);
            let free = u64::try_from(left().filter(|left| *left == Devices::WHOLE).count()).unwrap_or(0);
            let percent: u64 = left().map(|left| u64::from(left) * 100 / 1000).sum();
            if free > 0 {
                50_u64.saturating_sub(free).max(33)
            } else {
                100_u64.saturating_sub(percent / 10).max(50)
            }
        };
        Some(Place { score: number(score), devices })
    }
}
