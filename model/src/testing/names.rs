//! Ids, roles, texts, labels and times.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::ids::{
    AgentId, ContainerId, ExecutorId, FrameworkId, OfferId, OperationId, OperationUuid, ResourceProviderId,
    TaskId, UpdateId,
};
use crate::labels::Labels;
use crate::role::Role;
use crate::time::Timestamp;

/// Any text of up to 24 characters, control characters and all.
pub fn any_text() -> BoxedStrategy<String> {
    prop_oneof![3 => "[a-zA-Z0-9 ._-]{0,16}", 1 => "(?s).{0,24}"].boxed()
}

/// The text of an id: a plain name, or an odd one that is still an id.
pub fn any_id() -> BoxedStrategy<String> {
    let odd = r"[^\x00-\x1f\x7f-\x9f/\\]{1,24}"
        .prop_filter("`.` and `..` are no ids", |id| !matches!(id.as_str(), "." | ".."));
    prop_oneof![3 => "[a-z][a-z0-9._-]{0,12}", 1 => odd].boxed()
}

macro_rules! any_id_of {
    ($($function:ident, $id:ident;)*) => {
        $(
            #[doc = concat!("Any [`", stringify!($id), "`].")]
            pub fn $function() -> BoxedStrategy<$id> {
                any_id().prop_map(|text| $id::new(text).expect("any_id makes ids")).boxed()
            }
        )*
    };
}

any_id_of! {
    any_agent_id, AgentId;
    any_framework_id, FrameworkId;
    any_offer_id, OfferId;
    any_operation_id, OperationId;
    any_task_id, TaskId;
    any_executor_id, ExecutorId;
    any_container_id, ContainerId;
    any_provider_id, ResourceProviderId;
}

/// Any update's id.
pub fn any_update_id() -> BoxedStrategy<UpdateId> {
    any::<[u8; 16]>().prop_map(UpdateId).boxed()
}

/// Any operation's uuid.
pub fn any_operation_uuid() -> BoxedStrategy<OperationUuid> {
    any::<[u8; 16]>().prop_map(OperationUuid).boxed()
}

/// Any role, `*` among them.
pub fn any_role() -> BoxedStrategy<Role> {
    prop_oneof![1 => Just(Role::default_role()), 6 => any_reservable_role()].boxed()
}

/// Any role but `*`, with one to three components.
pub fn any_reservable_role() -> BoxedStrategy<Role> {
    vec(any_role_component(), 1..=3)
        .prop_map(|components| Role::new(components.join("/")).expect("components make a role"))
        .boxed()
}

/// One component of a role: a plain word, or an odd one.
pub(super) fn any_role_component() -> BoxedStrategy<String> {
    let odd = r"[^\s\x00-\x1f\x7f-\x9f/\\]{1,8}".prop_filter("not every word is a component", |word| {
        !matches!(word.as_str(), "." | ".." | "*") && !word.starts_with('-')
    });
    prop_oneof![4 => "[a-z][a-z0-9_-]{0,6}", 1 => odd].boxed()
}

/// Up to three labels.
pub fn any_labels() -> BoxedStrategy<Labels> {
    vec((any_text(), option::of(any_text())), 0..=3).prop_map(Labels).boxed()
}

/// Any length of time up to a year, in whole milliseconds; most are short.
pub fn any_duration() -> BoxedStrategy<Duration> {
    prop_oneof![1 => Just(0), 4 => 1..=60_000_u64, 1 => 0..=365 * 24 * 3_600_000_u64]
        .prop_map(Duration::from_millis)
        .boxed()
}

/// Any instant up to the year 2262, beyond which the wire cuts.
pub fn any_timestamp() -> BoxedStrategy<Timestamp> {
    (0..=i64::MAX.unsigned_abs()).prop_map(Timestamp::from_nanos).boxed()
}
