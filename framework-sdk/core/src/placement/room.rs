//! What is free on one machine, as scorers see it.

use std::collections::BTreeMap;

use lonja_model::attributes::{AttributeValue, Attributes};
use lonja_model::resources::{DeviceId, Devices, Scalar, Value};
use lonja_model::{Offer, Resources};

use crate::placement::{Ask, Gpus};

/// What a machine has in all, as far as is known. Offers tell only what is free: without better knowledge, the most
/// that was ever seen there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spec {
    /// CPUs.
    pub cpus: Scalar,
    /// Memory, MiB.
    pub mem: Scalar,
    /// GPU devices.
    pub devices: usize,
}

/// One machine: what is free there, and what of one's own runs there.
///
/// The order of rooms means nothing; it is there so that equal rooms can be found.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Room {
    /// Free CPUs.
    pub cpus: Scalar,
    /// Free memory, MiB.
    pub mem: Scalar,
    /// Free disk, MiB.
    pub disk: Scalar,
    /// How many ports are free.
    pub ports: usize,
    /// GPU devices that are not full, with their free thousandths, in order of their names.
    pub devices: Vec<(DeviceId, u16)>,
    /// The model of its GPUs: the attribute `gpu_model`.
    pub model: Option<String>,
    /// What the machine has in all.
    pub spec: Spec,
    /// How many tasks run there, by what they take of GPUs: one's own, as far as the framework knows.
    pub tasks: BTreeMap<Gpus, u32>,
}

impl Room {
    /// The room that resources make, with nothing running there.
    pub fn new(free: &Resources, attributes: &Attributes) -> Self {
        let mut devices: BTreeMap<DeviceId, u16> = BTreeMap::new();
        for resource in free.iter().filter(|resource| resource.name() == "gpus") {
            if let Value::Devices(held) = resource.value() {
                held.iter().for_each(|(device, free)| *devices.entry(device.clone()).or_default() += free);
            }
        }
        let ports = usize::try_from(free.ranges("ports").count()).unwrap_or(usize::MAX);
        let model = attributes.0.iter().find(|(name, _)| name == "gpu_model");
        let model = model.map(|(_, value)| match value {
            AttributeValue::Text(text) => text.clone(),
            other @ (AttributeValue::Scalar(_) | AttributeValue::Ranges(_)) => other.to_string(),
        });
        let (cpus, mem, disk) = (free.scalar("cpus"), free.scalar("mem"), free.scalar("disk"));
        let spec = Spec { cpus, mem, devices: devices.len() };
        let devices = devices.into_iter().collect();
        Self { cpus, mem, disk, ports, devices, model, spec, tasks: BTreeMap::new() }
    }

    /// The room of one offer.
    pub fn of(offer: &Offer) -> Self {
        Self::new(&offer.resources, &offer.attributes)
    }

    /// Does `ask` fit: amounts, model, and enough devices with enough left?
    pub fn fits(&self, ask: &Ask) -> bool {
        let Ask { need, models } = ask;
        let amounts = need.cpus <= self.cpus && need.mem <= self.mem && need.disk <= self.disk;
        if !amounts || need.ports > self.ports {
            return false;
        }
        if need.gpus == Gpus::None {
            return true;
        }
        let each = need.gpus.of_each();
        let enough = self.devices.iter().filter(|(_, free)| *free >= each).count() >= need.gpus.devices();
        enough && (models.is_empty() || self.model.as_ref().is_some_and(|model| models.contains(model)))
    }

    /// Takes what `ask` needs, its GPUs on these devices (indices into `devices`). The caller has seen that it fits.
    pub fn take(&mut self, ask: &Ask, devices: &[usize]) {
        let need = &ask.need;
        self.cpus = self.cpus.saturating_sub(need.cpus);
        self.mem = self.mem.saturating_sub(need.mem);
        self.disk = self.disk.saturating_sub(need.disk);
        self.ports = self.ports.saturating_sub(need.ports);
        for index in devices {
            if let Some((_, free)) = self.devices.get_mut(*index) {
                *free = free.saturating_sub(need.gpus.of_each());
            }
        }
        *self.tasks.entry(need.gpus).or_default() += 1;
    }

    /// Free thousandths of all devices together.
    pub fn free_gpus(&self) -> u64 {
        self.devices.iter().map(|(_, free)| u64::from(*free)).sum()
    }

    /// The devices that `ask` goes on when nobody has a better idea: those with enough, the fullest first; `None`
    /// if there are too few.
    pub fn fullest(&self, ask: &Ask) -> Option<Vec<usize>> {
        let gpus = ask.need.gpus;
        let enough = |index: &usize| self.devices[*index].1 >= gpus.of_each();
        let mut indices: Vec<usize> = (0..self.devices.len()).filter(enough).collect();
        indices.sort_by_key(|index| self.devices[*index].1);
        indices.truncate(gpus.devices());
        (indices.len() == gpus.devices()).then_some(indices)
    }

    /// How many devices are whole.
    pub fn whole_devices(&self) -> usize {
        self.devices.iter().filter(|(_, free)| *free == Devices::WHOLE).count()
    }
}
