//! Which GPUs an agent has that was told only how many: `gpus:2`, as operators of Mesos write it, are the GPUs 0 and 1.
//!
//! Each GPU has one name from here on, that of its node `/dev/nvidiaN`, so that it is always known which of them a task may
//! open. A task that asks for a number of them is given names by the master.
//!
//! Source: docs/design.md, D5; Mesos agent, `--nvidia_gpu_devices`, whose default is the first as well.

use std::collections::BTreeSet;

use lonja_model::resources::{DeviceId, Devices, Resource, Resources, Value};

/// How many GPUs of one agent may be told by number.
const MOST: u64 = 1_024;

/// What is told by number.
const GPUS: &str = "gpus";

/// The same resources, GPUs by name: the lowest numbers that no other part of them names. Errors: a part of a GPU, or too
/// many; what to write.
pub(crate) fn by_name(resources: &Resources) -> Result<Resources, String> {
    let gpus = || resources.iter().filter(|resource| resource.name() == GPUS);
    let named: BTreeSet<String> = gpus()
        .filter_map(|resource| match resource.value() {
            Value::Devices(devices) => Some(devices),
            _ => None,
        })
        .flat_map(Devices::iter)
        .map(|(id, _)| id.to_string())
        .collect();
    let mut free = (0_u64..).map(|number| number.to_string()).filter(|name| !named.contains(name));
    let mut all = Vec::new();
    for resource in resources.iter() {
        let (GPUS, Value::Scalar(amount)) = (resource.name(), resource.value()) else {
            all.push(resource.clone());
            continue;
        };
        let whole = u64::from(Devices::WHOLE);
        let count = amount.thousandths() / whole;
        if !amount.thousandths().is_multiple_of(whole) || count > MOST {
            return Err(format!(
                "gpus:{amount} is no whole number up to {MOST}; name them with the thousandths that there are of each, \
                 such as gpus:{{0:1000,1:500}}"
            ));
        }
        let ids = (0..count).filter_map(|_| free.next());
        let devices = Devices::new(ids.map(|id| (DeviceId::from(id), Devices::WHOLE)));
        let devices = devices.ok_or("a GPU is named twice")?;
        let metadata = resource.metadata().clone();
        let one = Resource::with_metadata(GPUS, Value::Devices(devices), metadata);
        all.push(one.map_err(|error| error.to_string())?);
    }
    Resources::of(all).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> String {
        by_name(&Resources::parse(text).unwrap()).map_or_else(|why| why, |all| all.to_string())
    }

    #[test]
    fn a_number_of_gpus_is_the_first_ones() {
        assert_eq!(named("cpus:4;gpus:2"), "cpus:4;gpus:{0:1000,1:1000}");
        assert_eq!(named("cpus:4"), "cpus:4");
        assert_eq!(named("gpus:{a:1000,1:500}"), "gpus:{1:500,a:1000}");
    }

    #[test]
    fn no_gpu_is_in_two_parts() {
        assert_eq!(named("gpus(eng):1;gpus:2"), named("gpus(eng):1;gpus:2"));
        let all = by_name(&Resources::parse("gpus(eng):1;gpus:2;gpus(ops):{1:1000}").unwrap()).unwrap();
        let names = all.iter().flat_map(|one| match one.value() {
            Value::Devices(devices) => devices.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        assert_eq!(names, ["0", "1", "2", "3"]);
    }

    #[test]
    fn a_part_of_a_gpu_has_to_be_named() {
        assert!(named("gpus:1.5").contains("such as gpus:{0:1000,1:500}"));
        assert!(named("gpus:2000").contains("up to 1024"));
    }
}
