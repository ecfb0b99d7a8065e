//! `spread`: most left.

use crate::placement::policies::{number, ratio, thousandths};
use crate::placement::{Ask, Place, Room, Scorer};

/// The machine of which the largest part is left after placement, on the emptiest devices: load is spread, and what
/// breaks takes little with it.
///
/// Score: the mean, over the kinds that the machine has and the task asks for, of the part that is left, in percent,
/// not rounded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread;

impl Scorer for Spread {
    fn name(&self) -> &str {
        "spread"
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        let need = &ask.need;
        let gpus = need.gpus.thousandths().thousandths();
        let kinds = [
            (room.cpus.to_f64(), need.cpus.to_f64(), room.spec.cpus.to_f64()),
            (room.mem.to_f64(), need.mem.to_f64(), room.spec.mem.to_f64()),
            (number(room.free_gpus()), number(gpus), number(thousandths(room.spec.devices))),
        ];
        let asked = kinds.iter().filter(|(_, asked, all)| *asked > 0.0 && *all > 0.0);
        let (mut sum, mut count) = (0.0, 0.0);
        for (free, asked, all) in asked {
            sum += ratio(free - asked, *all);
            count += 1.0;
        }
        Some(Place { score: 100.0 * ratio(sum, count), devices: emptiest(ask, room)? })
    }
}

/// The devices with most left; `None` if too few have enough.
fn emptiest(ask: &Ask, room: &Room) -> Option<Vec<usize>> {
    let gpus = ask.need.gpus;
    let enough = |index: &usize| room.devices[*index].1 >= gpus.of_each();
    let mut indices: Vec<usize> = (0..room.devices.len()).filter(enough).collect();
    indices.sort_by_key(|index| std::cmp::Reverse(room.devices[*index].1));
    indices.truncate(gpus.devices());
    (indices.len() == gpus.devices()).then_some(indices)
}
