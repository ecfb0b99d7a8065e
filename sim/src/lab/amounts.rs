//! Amounts as text, as readers and generators of workloads take them.

use lonja_model::resources::{Devices, Scalar};
use lonja_sdk_core::placement::Gpus;

/// Devices of one machine or task.
pub(super) const MOST_GPUS: u16 = 1024;

/// A decimal number with up to three decimals: one that had to be rounded is none.
pub(super) fn scalar(text: &str) -> Option<Scalar> {
    let few = text.split_once('.').is_none_or(|(_, decimals)| decimals.len() <= 3);
    Scalar::parse(text).ok().filter(|_| few)
}

/// What a task asks of GPUs: a whole number up to [`MOST_GPUS`], or a part of one below 1.
pub(super) fn gpus(text: &str) -> Option<Gpus> {
    let (amount, one) = (scalar(text)?.thousandths(), u64::from(Devices::WHOLE));
    match (u16::try_from(amount / one).ok()?, u16::try_from(amount % one).ok()?) {
        (0, 0) => Some(Gpus::None),
        (0, part) => Some(Gpus::Share(part)),
        (count @ 1..=MOST_GPUS, 0) => Some(Gpus::Whole(count)),
        (_, _) => None,
    }
}

/// What [`weight`] takes.
pub(super) const WEIGHT: &str = "a weight above 0 and up to 1000000 with up to three decimals; 1 is usual";

/// The weight of a framework, in thousandths.
pub(super) fn weight(text: &str) -> Option<u64> {
    let weight = scalar(text).map(Scalar::thousandths);
    weight.filter(|weight| (1..=1_000_000_000).contains(weight))
}
