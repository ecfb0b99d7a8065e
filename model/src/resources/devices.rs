//! Devices counted one by one and in thousandths, such as GPUs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::set::write_item;

/// The name of one device on its agent, such as `0`.
pub type DeviceId = Arc<str>;

/// Thousandths of each device, 1 to 1000; a device with nothing left is not listed.
///
/// A task asks for whole devices or for a share of one (`docs/design.md`, D5).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Devices(BTreeMap<DeviceId, u16>);

impl Devices {
    /// All of a device, in thousandths.
    pub const WHOLE: u16 = 1000;

    /// Devices with their thousandths; zero is left out. `None` if one is named twice or above 1000.
    pub fn new(devices: impl IntoIterator<Item = (DeviceId, u16)>) -> Option<Self> {
        let mut all = BTreeMap::new();
        for (device, thousandths) in devices {
            if thousandths > Self::WHOLE || all.insert(device, thousandths).is_some() {
                return None;
            }
        }
        all.retain(|_, thousandths| *thousandths > 0);
        Some(Self(all))
    }

    /// Devices in order of their names, with their thousandths.
    pub fn iter(&self) -> impl Iterator<Item = (&DeviceId, u16)> {
        self.0.iter().map(|(device, thousandths)| (device, *thousandths))
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All thousandths together.
    pub fn total(&self) -> u64 {
        self.0.values().map(|thousandths| u64::from(*thousandths)).sum()
    }

    /// How many devices are whole.
    pub fn whole(&self) -> usize {
        self.0.values().filter(|thousandths| **thousandths == Self::WHOLE).count()
    }

    /// `count` whole devices, the first by name; `None` if there are fewer.
    pub fn take_whole(&self, count: usize) -> Option<Self> {
        let whole = self.0.iter().filter(|(_, thousandths)| **thousandths == Self::WHOLE);
        let taken: BTreeMap<_, _> = whole.take(count).map(|(id, all)| (id.clone(), *all)).collect();
        (taken.len() == count).then_some(Self(taken))
    }

    /// `thousandths` of the device that has the least left of those with enough, so that whole devices
    /// stay whole; `None` if none has enough. A share of 0 is nothing.
    pub fn take_share(&self, thousandths: u16) -> Option<Self> {
        let enough = self.0.iter().filter(|(_, left)| **left >= thousandths);
        let (device, _) = enough.min_by_key(|(_, left)| **left)?;
        Self::new([(device.clone(), thousandths)])
    }

    /// The sum, or a device of which both together hold more than the whole.
    pub fn checked_add(&self, other: &Self) -> Result<Self, DeviceId> {
        let mut sum = self.clone();
        for (device, thousandths) in &other.0 {
            let held = sum.0.entry(device.clone()).or_default();
            *held = held.saturating_add(*thousandths);
            if *held > Self::WHOLE {
                return Err(device.clone());
            }
        }
        Ok(sum)
    }

    /// Is all of `part` in `self`?
    pub fn contains(&self, part: &Self) -> bool {
        part.0.iter().all(|(device, share)| self.0.get(device).is_some_and(|held| held >= share))
    }

    /// What is left without `part`; `None` unless every device has as much.
    pub fn checked_sub(&self, part: &Self) -> Option<Self> {
        let mut left = self.clone();
        for (device, thousandths) in &part.0 {
            let held = left.0.get_mut(device)?;
            *held = held.checked_sub(*thousandths)?;
        }
        left.0.retain(|_, thousandths| *thousandths > 0);
        Some(left)
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (device, thousandths)) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            write_item(f, device)?;
            write!(f, ":{thousandths}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices<const N: usize>(all: [(&str, u16); N]) -> Devices {
        Devices::new(all.map(|(id, share)| (DeviceId::from(id), share))).unwrap()
    }

    #[test]
    fn a_device_is_named_once_and_has_a_thousand_thousandths() {
        let make = |all: [(&str, u16); 2]| Devices::new(all.map(|(id, share)| (DeviceId::from(id), share)));
        assert_eq!(make([("0", 1), ("0", 1)]), None);
        assert_eq!(make([("0", 1001), ("1", 1)]), None);
        assert_eq!(make([("0", 0), ("1", 7)]), Some(devices([("1", 7)])));
    }

    #[test]
    fn more_than_all_of_a_device_is_held_by_nobody() {
        let half = devices([("0", 500)]);
        assert_eq!(half.checked_add(&half), Ok(devices([("0", 1000)])));
        assert_eq!(half.checked_add(&devices([("0", 501)])), Err(DeviceId::from("0")));
        assert_eq!(half.checked_sub(&devices([("1", 1)])), None);
        assert_eq!(half.checked_sub(&half), Some(Devices::default()));
    }

    #[test]
    fn a_share_is_taken_where_least_is_left() {
        let gpus = devices([("0", 1000), ("1", 540), ("2", 300)]);
        assert_eq!(gpus.take_share(300), Some(devices([("2", 300)])));
        assert_eq!(gpus.take_share(301), Some(devices([("1", 301)])));
        assert_eq!(gpus.take_share(541), Some(devices([("0", 541)])));
        assert_eq!(gpus.take_share(1001), None);
        assert_eq!(gpus.take_whole(1), Some(devices([("0", 1000)])));
        assert_eq!(gpus.take_whole(2), None);
    }
}
