//! Machines from numbers: what readers and generators of workloads share.

use std::collections::BTreeMap;
use std::sync::Arc;

use lonja_model::Resources;
use lonja_model::attributes::{AttributeValue, Attributes};
use lonja_model::resources::{Devices, Resource, Scalar, Value};

/// What a machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size {
    pub(super) cpus: Scalar,
    pub(super) mem: Scalar,
    pub(super) disk: Scalar,
    /// Devices, named `0`, `1` and so on.
    pub(super) gpus: u16,
    /// The attribute `gpu_model`; empty: the machine says none.
    pub(super) model: String,
}

/// Machines of equal size share one list of resources: 50,000 of them take little more than their names.
#[derive(Debug, Default)]
pub(super) struct Sizes(BTreeMap<Size, (Resources, Attributes)>);

impl Sizes {
    /// The resources and attributes of a machine of this size.
    pub(super) fn made(&mut self, size: &Size) -> (Resources, Attributes) {
        if let Some(made) = self.0.get(size) {
            return made.clone();
        }
        let made = (resources(size), attributes(size));
        self.0.insert(size.clone(), made.clone());
        made
    }
}

fn resources(size: &Size) -> Resources {
    let scalars = [("cpus", size.cpus), ("mem", size.mem), ("disk", size.disk)];
    let scalars = scalars.into_iter().filter(|(_, amount)| *amount > Scalar::ZERO);
    let mut all: Vec<(&str, Value)> = scalars.map(|(name, amount)| (name, Value::Scalar(amount))).collect();
    if size.gpus > 0 {
        all.push(("gpus", Value::Devices(whole_devices(size.gpus))));
    }
    let all =
        all.into_iter().map(|(name, value)| Resource::new(name, value).expect("a usual kind above zero"));
    Resources::of(all).expect("kinds that differ")
}

/// So many whole devices, named `0`, `1` and so on.
pub(super) fn whole_devices(count: u16) -> Devices {
    let devices = (0..count).map(|number| (Arc::from(number.to_string()), Devices::WHOLE));
    Devices::new(devices).expect("names that differ")
}

fn attributes(size: &Size) -> Attributes {
    let model = (!size.model.is_empty()).then(|| AttributeValue::Text(size.model.clone()));
    Attributes(model.into_iter().map(|model| ("gpu_model".to_owned(), model)).collect())
}
