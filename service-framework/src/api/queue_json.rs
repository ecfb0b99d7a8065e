//! What waits to be launched, and why, as replies show it.
//!
//! Source: Marathon's `/v2/queue`.

use std::collections::BTreeMap;

use lonja_model::attributes::AttributeValue;
use lonja_model::resources::{Ranges, Value as Amount};
use lonja_model::{Offer, Timestamp};
use lonja_services_core::Service;
use lonja_services_core::definition::RunSpec;
use lonja_services_core::waiting::{ProcessedOffers, Reason, UnusedOffer, Waiting};
use serde_json::{Value, json};

use crate::wire;

/// What is taken of one entry at a look.
#[derive(Clone, Debug)]
pub(crate) struct SeenWaiting {
    pub(crate) spec: RunSpec,
    pub(crate) waiting: Waiting,
    pub(crate) offers: SeenOffers,
}

/// What is taken of the offers that were looked at.
#[derive(Clone, Debug)]
pub(crate) struct SeenOffers {
    /// Without the last unused ones.
    pub(crate) processed: ProcessedOffers,
    /// Why the last of each agent was not used.
    pub(crate) last: BTreeMap<Reason, u64>,
    /// The last of each agent, if they were asked for.
    pub(crate) unused: Vec<UnusedOffer>,
}

impl SeenOffers {
    /// Of an app or pod. `whole`: the last unused offers too.
    pub(crate) fn of(service: &Service, whole: bool) -> Self {
        let offers = service.offers();
        let mut last: BTreeMap<Reason, u64> = BTreeMap::new();
        for unused in offers.last_unused.values() {
            *last.entry(unused.rejection.reason).or_default() += 1;
        }
        let processed = ProcessedOffers {
            processed: offers.processed,
            unused: offers.unused,
            last_unused_at: offers.last_unused_at,
            last_used_at: offers.last_used_at,
            rejected: offers.rejected.clone(),
            last_unused: BTreeMap::new(),
        };
        let unused = if whole { offers.last_unused.values().cloned().collect() } else { Vec::new() };
        Self { processed, last, unused }
    }
}

impl SeenWaiting {
    /// An app, pod or job, if any of its instances or runs waits. `with_offers`: with the offers that were not used.
    pub(crate) fn of(service: &Service, with_offers: bool) -> Option<Self> {
        let waiting = service.waiting().filter(|_| !service.is_removed())?.clone();
        Some(Self { spec: service.spec().clone(), waiting, offers: SeenOffers::of(service, with_offers) })
    }

    /// As the list shows it.
    pub(crate) fn json(&self, now: Timestamp, with_offers: bool) -> Value {
        let (kind, definition) = match &self.spec {
            RunSpec::App(app) => ("app", wire::show_app(app)),
            RunSpec::Pod(pod) => ("pod", wire::show_pod(pod)),
        };
        let left = self.waiting.delayed_until.map_or(0, |until| until.since(now).as_millis().div_ceil(1_000));
        let mut shown = json!({
            kind: definition,
            "count": self.waiting.count,
            "role": self.spec.role(),
            "since": wire::time(self.waiting.since),
            "delay": { "timeLeftSeconds": u64::try_from(left).unwrap_or(u64::MAX), "overdue": left == 0 },
            "processedOffersSummary": summary(&self.offers),
        });
        if let (true, Some(fields)) = (with_offers, shown.as_object_mut()) {
            let offers = self.offers.unused.iter().map(unused).collect();
            fields.insert("lastUnusedOffers".to_owned(), Value::Array(offers));
        }
        shown
    }
}

/// How many offers were looked at, and what became of them.
pub(crate) fn summary(offers: &SeenOffers) -> Value {
    let (last, offers) = (&offers.last, &offers.processed);
    let mut shown = json!({
        "processedOffersCount": offers.processed,
        "unusedOffersCount": offers.unused,
        "rejectSummaryLastOffers": funnel(last, last.values().sum()),
        "rejectSummaryLaunchAttempt": funnel(&offers.rejected, offers.processed),
    });
    if let Some(fields) = shown.as_object_mut() {
        for (name, at) in
            [("lastUnusedOfferAt", offers.last_unused_at), ("lastUsedOfferAt", offers.last_used_at)]
        {
            if let Some(at) = at {
                fields.insert(name.to_owned(), json!(wire::time(at)));
            }
        }
    }
    shown
}

/// Every reason in its order: what came to it, and what it sorted out.
fn funnel(rejected: &BTreeMap<Reason, u64>, processed: u64) -> Vec<Value> {
    let mut left = processed;
    let step = |reason: Reason| {
        let declined = rejected.get(&reason).copied().unwrap_or(0);
        let shown = json!({ "reason": reason.name(), "declined": declined, "processed": left });
        left = left.saturating_sub(declined);
        shown
    };
    Reason::ALL.into_iter().map(step).collect()
}

/// An offer that was not used, and why.
pub(crate) fn unused(unused: &UnusedOffer) -> Value {
    json!({
        "offer": offer(&unused.offer),
        "reason": [unused.rejection.reason.name()],
        "timestamp": wire::time(unused.at),
    })
}

fn offer(offer: &Offer) -> Value {
    let resources: Vec<Value> = offer
        .resources
        .iter()
        .map(|resource| {
            let role = resource.metadata().reservations.last().map_or("*", |one| one.role.as_str());
            let mut shown = json!({ "name": resource.name(), "role": role });
            if let Some(fields) = shown.as_object_mut() {
                let (kind, value) = amount(resource.value());
                fields.insert(kind.to_owned(), value);
            }
            shown
        })
        .collect();
    let attributes: Vec<Value> = offer
        .attributes
        .0
        .iter()
        .map(|(name, value)| match value {
            AttributeValue::Scalar(scalar) => json!({ "name": name, "scalar": scalar.to_f64() }),
            AttributeValue::Text(text) => json!({ "name": name, "text": text }),
            AttributeValue::Ranges(ranges) => json!({ "name": name, "ranges": ranges_json(ranges) }),
        })
        .collect();
    json!({
        "id": offer.id.as_str(),
        "hostname": offer.hostname,
        "agentId": offer.agent.as_str(),
        "resources": resources,
        "attributes": attributes,
    })
}

/// An amount by the name of its kind. Devices are told as Mesos tells them: how many are whole.
fn amount(value: &Amount) -> (&'static str, Value) {
    match value {
        Amount::Scalar(scalar) => ("scalar", json!(scalar.to_f64())),
        Amount::Ranges(ranges) => ("ranges", ranges_json(ranges)),
        Amount::Set(set) => ("set", json!(set.iter().collect::<Vec<_>>())),
        Amount::Devices(devices) => ("scalar", json!(devices.whole())),
    }
}

fn ranges_json(ranges: &Ranges) -> Value {
    ranges.iter().map(|(begin, end)| json!({ "begin": begin, "end": end })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_reason_sorts_out_does_not_come_to_the_next() {
        let rejected = BTreeMap::from([(Reason::UnfulfilledConstraint, 3), (Reason::InsufficientCpus, 2)]);
        let funnel = funnel(&rejected, 10);
        let steps: Vec<(u64, u64)> = funnel
            .iter()
            .filter_map(|step| Some((step["processed"].as_u64()?, step["declined"].as_u64()?)))
            .collect();
        assert_eq!(steps[..6], [(10, 0), (10, 3), (7, 0), (7, 0), (7, 2), (5, 0)]);
        assert_eq!(funnel.len(), Reason::ALL.len());
    }
}
