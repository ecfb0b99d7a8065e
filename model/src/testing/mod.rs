//! Generators of every value, for property tests (feature `testing`).
//!
//! What always holds: a value drawn here is one that the wire and the stores can carry, so that writing
//! and reading it must bring it back unchanged. Lengths of time are whole milliseconds for that reason, the
//! roles of a framework agree with its capabilities, and shared volumes are held a few times at most. Texts,
//! ids and roles come both plain and odd; amounts both everyday and at their limits.

mod checks;
mod cluster;
mod execution;
mod executors;
mod files;
mod messages;
mod names;
mod operations;
mod records;
mod tasks;
mod values;
mod wishes;

pub use checks::{any_check, any_check_status, any_health_check, any_watched};
pub use cluster::{any_agent_info, any_attributes, any_domain, any_filters, any_framework_info, any_offer};
pub use execution::{any_execution_call, any_execution_event};
pub use executors::{any_agent_executor, any_executor_info, any_executor_record, any_launch_group};
pub use messages::{
    any_agent_task, any_call, any_call_result, any_event, any_from_agent, any_master_info, any_refusal,
    any_to_agent,
};
pub use names::{
    any_agent_id, any_container_id, any_duration, any_executor_id, any_framework_id, any_id, any_labels,
    any_offer_id, any_operation_id, any_operation_uuid, any_provider_id, any_reservable_role, any_role,
    any_task_id, any_text, any_timestamp, any_update_id,
};
pub use operations::{
    any_agent_operation, any_conversion, any_framework_conversion, any_operation, any_operation_record,
    any_operation_status,
};
pub use records::{
    any_agent_record, any_checkpoint_op, any_epoch, any_framework_record, any_identity, any_registry_op,
    any_task_record,
};
pub use tasks::{
    any_command, any_container_info, any_discovery, any_task_info, any_task_state, any_task_status,
};
pub use values::{
    any_devices, any_metadata, any_quantities, any_ranges, any_reservations, any_resource, any_resources,
    any_scalar, any_set, any_written_resources,
};
pub use wishes::{
    any_constraints, any_drain, any_duty, any_inverse_offer, any_machine, any_machine_id, any_quota,
    any_resource_request, any_schedule, any_unavailability,
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    use super::*;
    use crate::framework::Capability;
    use crate::scheduler::Call;
    use crate::task::Limit;

    proptest! {
        #[test]
        fn a_framework_has_the_roles_that_its_capabilities_allow(info in any_framework_info()) {
            prop_assert!(!info.roles.is_empty());
            prop_assert!(info.can(Capability::MultiRole) || info.roles.len() == 1);
        }

        #[test]
        fn a_task_needs_something_and_its_limits_are_not_below(task in any_task_info()) {
            prop_assert!(!task.resources.is_empty());
            for (name, limit) in &task.limits {
                let need = task.resources.scalar(name);
                let enough = match limit {
                    Limit::Infinite => true,
                    Limit::Amount(amount) => *amount >= need,
                };
                prop_assert!(enough);
            }
        }

        #[test]
        fn only_a_frameworks_own_roles_are_suppressed(call in any_call()) {
            if let Call::Subscribe { info, suppressed, .. } | Call::UpdateFramework { info, suppressed, .. } = call {
                prop_assert!(suppressed.is_subset(&info.roles));
            }
        }
    }

    #[test]
    fn conversions_of_every_kind_are_drawn_and_change_what_they_say() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..400 {
            let conversion = any_conversion().new_tree(&mut runner).unwrap().current();
            assert_eq!(conversion.apply(conversion.before()).as_ref(), Some(conversion.after()));
            assert_eq!(conversion.before().quantities(), conversion.after().quantities());
            seen.insert(conversion.name());
        }
        assert_eq!(seen.len(), 6, "{seen:?}");
    }

    #[test]
    fn resources_of_every_kind_are_drawn() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut seen = [false; 8];
        for _ in 0..400 {
            let resources = any_resources().new_tree(&mut runner).unwrap().current();
            for one in resources.iter() {
                let metadata = one.metadata();
                let is = [
                    one.copies() > 1,
                    metadata.revocable,
                    metadata.provider.is_some(),
                    metadata.reservations.len() > 1,
                    metadata.disk.as_ref().is_some_and(|disk| disk.source.is_some()),
                    matches!(one.value(), crate::resources::Value::Devices(_)),
                    matches!(one.value(), crate::resources::Value::Set(_)),
                    one.name().starts_with(|c: char| !c.is_ascii_lowercase()),
                ];
                seen.iter_mut().zip(is).for_each(|(seen, is)| *seen |= is);
            }
        }
        assert_eq!(seen, [true; 8]);
    }
}
