//! What is missing where a task does not fit, in words for people.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use lonja_model::resources::{Metadata, Scalar, Value};
use lonja_model::unplaced::{NearMiss, Unplaced};
use lonja_model::{Offer, Resources};

use super::Need;
use crate::placement::{Gpus, fit};

/// Too little of one resource. In thousandths; mem and disk of MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Of which.
    pub resource: &'static str,
    /// What is needed.
    pub wants: Scalar,
    /// What there is, of what may be used for a task that asks for no volume. Of GPUs it may be enough, but on several
    /// devices in parts.
    pub free: Scalar,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, wants, free } = self;
        let parts = if free >= wants { " in parts of devices" } else { "" };
        write!(f, "{resource}: wants {wants}, {free} free{parts}")
    }
}

impl Lack {
    /// How much is missing of what is wanted, as a fraction.
    fn gap(&self) -> f64 {
        let (wants, free) = (self.wants.to_f64(), self.free.to_f64());
        if wants > 0.0 { ((wants - free) / wants).max(0.0) } else { 0.0 }
    }
}

impl Need {
    /// What `available` has too little of; none: it [fits](fit).
    ///
    /// ```
    /// use lonja_model::Resources;
    /// use lonja_sdk_core::Task;
    /// let task = Task::shell("make")?.cpus(1.0)?.mem_mib(2048.0)?;
    /// let lacks = task.need().lacks(&Resources::parse("cpus:4;mem:1536").expect("resources"));
    /// assert_eq!(lacks[0].to_string(), "mem: wants 2048, 1536 free");
    /// # Ok::<(), lonja_sdk_core::InvalidTask>(())
    /// ```
    pub fn lacks(&self, available: &Resources) -> Vec<Lack> {
        let plain = |metadata: &Metadata| metadata.disk.is_none() && !metadata.revocable && !metadata.shared;
        let free = |name: &str| {
            let held = available.iter().filter(|held| held.name() == name && plain(held.metadata()));
            held.fold(Scalar::ZERO, |sum, held| sum.checked_add(amount(held.value())).unwrap_or(sum))
        };
        let ports = u64::try_from(self.ports).ok().and_then(Scalar::from_units).unwrap_or_default();
        let wanted = [("cpus", self.cpus), ("mem", self.mem), ("disk", self.disk), ("ports", ports)];
        let lack = |(resource, wants)| Lack { resource, wants, free: free(resource) };
        let mut lacks: Vec<_> = wanted.into_iter().map(lack).filter(|lack| lack.free < lack.wants).collect();
        let gpus = Need { gpus: self.gpus, ..Need::default() };
        if self.gpus != Gpus::None && fit(available, &gpus).is_none() {
            lacks.push(lack(("gpus", self.gpus.thousandths())));
        }
        lacks
    }

    /// What to tell of a task that needs this and that none of `offers` can hold, by
    /// [`Plan::unplaced`](crate::Plan::unplaced). For schedulers that look at nothing but amounts. O(offers).
    pub fn why_not_on<'a>(
        &self,
        task: impl Into<String>,
        offers: impl IntoIterator<Item = &'a Offer>,
    ) -> Unplaced {
        let mut word = Unplaced::new(task);
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        let mut nearest: Option<(Vec<Lack>, &Offer)> = None;
        for offer in offers {
            word.offers += 1;
            let lacks = self.lacks(&offer.resources);
            let reason = lacks.first().map_or_else(
                || "used for other tasks".to_owned(),
                |lack| format!("{}: wants {}", lack.resource, lack.wants),
            );
            *reasons.entry(reason).or_default() += 1;
            if nearest.as_ref().is_none_or(|(least, _)| nearer(&lacks, least) == Ordering::Less) {
                nearest = Some((lacks, offer));
            }
        }
        word.reasons = reasons.into_iter().collect();
        word.reasons.sort_by_key(|(_, offers)| std::cmp::Reverse(*offers));
        word.nearest = nearest.map(|(lacks, offer)| {
            let why: Vec<String> = lacks.iter().map(Lack::to_string).collect();
            let why = if why.is_empty() { "used for other tasks".to_owned() } else { why.join("; ") };
            NearMiss { agent: offer.agent.clone(), hostname: offer.hostname.clone(), why }
        });
        word
    }
}

/// Fewer things missing is nearer; of as many, where less is missing.
fn nearer(one: &[Lack], other: &[Lack]) -> Ordering {
    let gap = |lacks: &[Lack]| lacks.iter().map(Lack::gap).sum::<f64>();
    one.len().cmp(&other.len()).then(gap(one).total_cmp(&gap(other)))
}

/// How much of one resource there is; of ports, how many.
fn amount(value: &Value) -> Scalar {
    match value {
        Value::Scalar(amount) => *amount,
        Value::Ranges(ranges) => Scalar::from_units(ranges.count()).unwrap_or_default(),
        Value::Devices(devices) => Scalar::from_thousandths(devices.total()).unwrap_or_default(),
        Value::Set(_) => Scalar::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Task;
    use crate::tests::fixture::{offer, offer_on};

    fn need() -> Need {
        *Task::shell("true").unwrap().cpus(2.0).unwrap().mem_mib(2048.0).unwrap().ports(1).need()
    }

    #[test]
    fn what_fits_lacks_nothing_and_what_does_not_fit_lacks_something() {
        let gpus = |gpus| Need { gpus, ..Need::default() };
        let needs = [need(), gpus(Gpus::Whole(1)), gpus(Gpus::Share(600)), Need::default()];
        let places = ["cpus:2;mem:2048;ports:[1-1]", "cpus:2;mem:2047", "cpus(eng):8;gpus:{a:500,b:500}", ""];
        for need in needs {
            for place in places {
                let place: Resources = place.parse().unwrap();
                assert_eq!(need.lacks(&place).is_empty(), fit(&place, &need).is_some(), "{need:?} {place}");
            }
        }
    }

    #[test]
    fn reasons_are_counted_for_each_offer_once_and_the_nearest_is_named() {
        let offers = [
            offer("o1", "cpus:1;mem:64;ports:[1-1]"),
            offer_on("o2", "a2", "cpus:4;mem:1536;ports:[1-1]"),
            offer_on("o3", "a3", "cpus:4;mem:64;ports:[1-1]"),
        ];
        let word = need().why_not_on("web-1", &offers);
        assert_eq!(word.reasons, [("mem: wants 2048".to_owned(), 2), ("cpus: wants 2".to_owned(), 1)]);
        assert_eq!((word.task.as_str(), word.offers), ("web-1", 3));
        let near = word.nearest.unwrap();
        assert_eq!((near.agent.as_str(), near.why.as_str()), ("a2", "mem: wants 2048, 1536 free"));
    }
}
