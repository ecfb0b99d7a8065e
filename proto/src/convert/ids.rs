//! Ids, roles, labels, instants and lengths of time.

use std::borrow::Cow;
use std::time::Duration;

use lonja_model::ids::{
    AgentId, ContainerId, ExecutorId, FrameworkId, OfferId, OperationId, OperationUuid, ResourceProviderId,
    TaskId, UpdateId,
};
use lonja_model::labels::Labels;
use lonja_model::role::Role;
use lonja_model::time::Timestamp;

use super::refusal::{At, Fault, Refusal, at_most, optional_text, required, text};
use crate::{limits, mesos};

/// The longest length of time on the wire, some 292 years.
pub const LONGEST: Duration = Duration::from_nanos(i64::MAX as u64);

macro_rules! id {
    ($model:ident, $wire:ident, $from:ident, $to:ident) => {
        /// The id that stands there. Errors: it is missing, or it is no id.
        pub fn $from(wire: impl Into<Option<mesos::$wire>>) -> Result<$model, Refusal> {
            $model::new(required(wire.into())?.value).map_err(Fault::from).at("value")
        }

        /// The id's form on the wire.
        pub fn $to(id: &$model) -> mesos::$wire {
            mesos::$wire { value: id.as_str().to_owned() }
        }
    };
}

id!(AgentId, AgentId, agent_id_from_wire, agent_id_to_wire);
id!(FrameworkId, FrameworkId, framework_id_from_wire, framework_id_to_wire);
id!(OfferId, OfferId, offer_id_from_wire, offer_id_to_wire);
id!(TaskId, TaskId, task_id_from_wire, task_id_to_wire);
id!(ExecutorId, ExecutorId, executor_id_from_wire, executor_id_to_wire);
id!(OperationId, OperationId, operation_id_from_wire, operation_id_to_wire);
id!(ResourceProviderId, ResourceProviderId, provider_id_from_wire, provider_id_to_wire);

/// The id that stands there. Errors: it is missing, it is no id, or it names a nested container.
pub fn container_id_from_wire(wire: impl Into<Option<mesos::ContainerId>>) -> Result<ContainerId, Refusal> {
    let wire = required(wire.into())?;
    super::refusal::unsupported(wire.parent.is_some(), "parent", "a nested container")?;
    ContainerId::new(wire.value).map_err(Fault::from).at("value")
}

/// The id's form on the wire.
pub fn container_id_to_wire(id: &ContainerId) -> mesos::ContainerId {
    mesos::ContainerId { value: id.as_str().to_owned(), parent: None }
}

/// The update's id. Errors: it has not 16 bytes.
pub fn update_id_from_wire(wire: &[u8]) -> Result<UpdateId, Refusal> {
    wire.try_into().map(UpdateId).map_err(|_| Fault::UpdateId(wire.len()).into())
}

/// The operation's uuid. Errors: it has not 16 bytes.
pub fn operation_uuid_from_wire(wire: &[u8]) -> Result<OperationUuid, Refusal> {
    wire.try_into().map(OperationUuid).map_err(|_| Fault::OperationUuid(wire.len()).into())
}

/// What `convert` makes of `wire`, if there is anything.
pub(crate) fn optional<W, T>(
    wire: Option<W>,
    convert: impl FnOnce(Option<W>) -> Result<T, Refusal>,
) -> Result<Option<T>, Refusal> {
    wire.map(|wire| convert(Some(wire))).transpose()
}

/// The role that `name` spells. Errors: it is none.
pub fn role_from_wire(name: &str) -> Result<Role, Refusal> {
    Role::new(name).map_err(|error| Fault::from(error).into())
}

/// The labels. Errors: there are too many, or one is too long.
pub fn labels_from_wire(wire: Option<mesos::Labels>) -> Result<Labels, Refusal> {
    let labels = wire.unwrap_or_default().labels;
    at_most(labels.len(), limits::LABELS, "labels")?;
    let label = |(index, label): (usize, mesos::Label)| {
        let key = text(label.key, limits::TEXT_BYTES).at("key").at_index("labels", index)?;
        let value = optional_text(label.value, "value").at_index("labels", index)?;
        Ok((key, value))
    };
    labels.into_iter().enumerate().map(label).collect::<Result<_, Refusal>>().map(Labels)
}

/// The labels' form on the wire; none at all is left out.
pub fn labels_to_wire(labels: &Labels) -> Option<mesos::Labels> {
    let label =
        |(key, value): &(String, Option<String>)| mesos::Label { key: key.clone(), value: value.clone() };
    (!labels.0.is_empty()).then(|| mesos::Labels { labels: labels.0.iter().map(label).collect() })
}

/// A length of time. Errors: it is negative.
pub fn duration_from_wire(wire: mesos::DurationInfo) -> Result<Duration, Refusal> {
    let nanoseconds = u64::try_from(wire.nanoseconds).map_err(|_| Fault::Nanoseconds(wire.nanoseconds));
    nanoseconds.map(Duration::from_nanos).at("nanoseconds")
}

/// The length's form on the wire; longer than [`LONGEST`] is cut to it.
pub fn duration_to_wire(duration: Duration) -> mesos::DurationInfo {
    mesos::DurationInfo { nanoseconds: i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX) }
}

/// An instant. Errors: it is before 1970.
pub fn time_from_wire(wire: mesos::TimeInfo) -> Result<Timestamp, Refusal> {
    let nanoseconds = u64::try_from(wire.nanoseconds).map_err(|_| Fault::Nanoseconds(wire.nanoseconds));
    nanoseconds.map(Timestamp::from_nanos).at("nanoseconds")
}

/// The instant's form on the wire; after the year 2262 is cut to it.
pub fn time_to_wire(time: Timestamp) -> mesos::TimeInfo {
    mesos::TimeInfo { nanoseconds: i64::try_from(time.as_nanos()).unwrap_or(i64::MAX) }
}

/// The instant in seconds since 1970, as some messages have it: exact to less than a microsecond.
pub fn time_to_seconds(time: Timestamp) -> f64 {
    Duration::from_nanos(time.as_nanos()).as_secs_f64()
}

/// The kill policy's grace period, if it has one. Errors: it is negative.
pub fn grace_from_wire(wire: Option<mesos::KillPolicy>) -> Result<Option<Duration>, Refusal> {
    wire.and_then(|policy| policy.grace_period).map(duration_from_wire).transpose().at("grace_period")
}

/// A kill policy with this grace period.
pub fn grace_to_wire(grace: Option<Duration>) -> Option<mesos::KillPolicy> {
    grace.map(|grace| mesos::KillPolicy { grace_period: Some(duration_to_wire(grace)) })
}

/// `master@host:port`, as Mesos names its actors.
pub fn pid(actor: &str, host: &str, port: u16) -> String {
    format!("{actor}@{}:{port}", in_address(host))
}

/// A host as it stands before a port: an IPv6 address in brackets.
pub fn in_address(host: &str) -> Cow<'_, str> {
    if host.contains(':') { format!("[{host}]").into() } else { host.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_stands_in_brackets_before_a_port() {
        assert_eq!(pid("master", "h.example", 5050), "master@h.example:5050");
        assert_eq!(pid("slave(1)", "2001:db8::1", 5051), "slave(1)@[2001:db8::1]:5051");
    }
}
