//! Generators of every value, for property tests (feature `testing`).
//!
//! What always holds: a value drawn here is one that the wire and the stores can carry, so that writing
//! and reading it must bring it back unchanged. Lengths of time are whole milliseconds for that reason, the
//! roles of a framework agree with its capabilities, and shared volumes are held a few times at most. Texts,
//! ids and roles come both plain and odd; amounts both everyday and at their limits.

mod cluster;
mod messages;
mod names;
mod records;
mod tasks;
mod values;

pub use cluster::{any_agent_info, any_attributes, any_domain, any_filters, any_framework_info, any_offer};
pub use messages::{
    any_agent_task, any_call, any_call_result, any_event, any_from_agent, any_master_info, any_operation,
    any_refusal, any_to_agent,
};
pub use names::{
    any_agent_id, any_container_id, any_duration, any_executor_id, any_framework_id, any_id, any_labels,
    any_offer_id, any_provider_id, any_reservable_role, any_role, any_task_id, any_text, any_timestamp,
    any_update_id,
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
