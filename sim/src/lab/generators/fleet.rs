//! The machines of a generated workload: equal ones.

use lonja_model::Resources;
use lonja_model::resources::{Resource, Scalar, Value};

use super::spec::{InvalidWords, shown};
use crate::lab::Machine;
use crate::lab::amounts::MOST_GPUS;
use crate::lab::fleet::whole_devices;

/// Machines of one fleet.
const MOST_MACHINES: usize = 1_000_000;

/// What the caller says of the machines; what it leaves open the generator decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// How many there are, 1 to 1,000,000.
    pub machines: Option<usize>,
    /// What each has, such as `cpus:32;mem:262144;gpus:8` (MiB).
    pub each: Option<String>,
}

impl Fleet {
    /// The machines, named `machine-1` and so on. They share one list of resources.
    pub(super) fn build(&self, usual_count: usize, usual_each: &str) -> Result<Vec<Machine>, InvalidWords> {
        let count = self.machines.unwrap_or(usual_count);
        if !(1..=MOST_MACHINES).contains(&count) {
            let expected = format!("a number from 1 to {MOST_MACHINES}");
            return Err(InvalidWords::Machines { what: "machines", found: count.to_string(), expected });
        }
        let total = each(self.each.as_deref().unwrap_or(usual_each))?;
        let name = |number: usize| format!("machine-{number}");
        let machine =
            |number| Machine { name: name(number), total: total.clone(), attributes: Default::default() };
        Ok((1..=count).map(machine).collect())
    }
}

/// What one machine has: `gpus:8` are eight whole devices here, for they are counted one by one.
fn each(text: &str) -> Result<Resources, InvalidWords> {
    let wrong = |expected: String| InvalidWords::Machines { what: "machine", found: shown(text), expected };
    let parsed = Resources::parse(text)
        .map_err(|why| wrong(format!("resources such as cpus:32;mem:262144;gpus:8: {why}")))?;
    if parsed.scalar("cpus") == Scalar::ZERO {
        return Err(wrong("CPUs, such as cpus:32;mem:262144".to_owned()));
    }
    let devices = |resource: &Resource| match resource.value() {
        Value::Scalar(amount) if resource.name() == "gpus" => {
            let count = u16::try_from(amount.whole_units()).ok();
            let count = count.filter(|count| *count <= MOST_GPUS && amount.thousandths() % 1000 == 0);
            let count = count.ok_or_else(|| wrong(format!("a whole number of gpus up to {MOST_GPUS}")))?;
            Ok(resource.with_value(Value::Devices(whole_devices(count))))
        }
        Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) | Value::Devices(_) => Ok(resource.clone()),
    };
    let resources = parsed.iter().map(devices).collect::<Result<Vec<_>, _>>()?;
    Resources::of(resources).map_err(|why| wrong(format!("resources that go together: {why}")))
}
