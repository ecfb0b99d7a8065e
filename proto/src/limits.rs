//! How much one message may hold.
//!
//! The transport bounds a message in bytes; these bound what is made of it, so that no peer can have the
//! master sort or sum for longer than its message took to send. Each is far above what honest use needs.
//! Counts unless the name says otherwise.

/// Ranges in one resource or attribute.
pub const RANGES_PER_RESOURCE: usize = 4_096;

/// Items in one set.
pub const SET_ITEMS: usize = 4_096;

/// Devices in one resource.
pub const DEVICES_PER_RESOURCE: usize = 4_096;

/// Resources in one list: what an agent has, what an offer holds, what a task needs.
pub const RESOURCES_PER_LIST: usize = 1_024;

/// Ranges, set items and devices in all resources of one list together.
pub const PARTS_PER_LIST: usize = 16_384;

/// Resources in the list of all that one agent has, or of what one offer holds. More than in other lists, since
/// reservations and volumes cut what an agent has into ever more pieces, and what was once made and stored has to be
/// read again.
pub const RESOURCES_PER_AGENT: usize = 65_536;

/// Ranges, set items and devices in such a list together, of one resource or of many.
pub const PARTS_PER_AGENT: usize = 262_144;

/// Resources in all conversions of one ACCEPT together.
pub const RESOURCES_PER_CALL: usize = 16_384;

/// Layers of one reservation.
pub const RESERVATIONS_PER_RESOURCE: usize = 32;

/// Attributes of one agent.
pub const ATTRIBUTES: usize = 1_024;

/// Block devices whose use one container limits.
pub const IO_THROTTLES: usize = 16;

/// Labels on one thing.
pub const LABELS: usize = 1_024;

/// Tasks to launch in one call, over all its operations; and in one order to an agent.
pub const TASKS_PER_CALL: usize = 1_000;

/// Operations in one ACCEPT.
pub const OPERATIONS_PER_CALL: usize = 1_000;

/// Offers named in one call, and offers in one event: of every agent of a large cluster at once.
pub const OFFERS_PER_MESSAGE: usize = 100_000;

/// Tasks that one RECONCILE asks about. A framework with more asks in several calls.
pub const TASKS_PER_RECONCILE: usize = 100_000;

/// Tasks that an agent brings when it registers again.
pub const TASKS_PER_AGENT: usize = 100_000;

/// Operations that one RECONCILE_OPERATIONS asks about. A framework with more asks in several calls.
pub const OPERATIONS_PER_RECONCILE: usize = 100_000;

/// Operations that an agent brings when it registers again.
pub const OPERATIONS_PER_AGENT: usize = 100_000;

/// Alternatives in one REQUEST.
pub const REQUESTS_PER_CALL: usize = 1_024;

/// Constraints on offers in one call, over all roles and groups.
pub const CONSTRAINTS_PER_CALL: usize = 65_536;

/// A name, a text or a regular expression in a constraint on offers, in bytes.
pub const CONSTRAINT_BYTES: usize = 4_096;

/// Machines in one schedule or one list.
pub const MACHINES: usize = 100_000;

/// Answers to inverse offers, of all machines in one status together.
pub const INVERSE_OFFER_ANSWERS: usize = 1_000_000;

/// Quotas in one list.
pub const QUOTAS: usize = 10_000;

/// Resource names in the guarantees, or in the limits, of one quota.
pub const NAMES_PER_QUOTA: usize = 64;

/// The host name of a machine, in bytes: it is part of the key of what is stored of the machine.
pub const HOSTNAME_BYTES: usize = 255;

/// Frameworks that an agent brings when it registers again.
pub const FRAMEWORKS_PER_AGENT: usize = 10_000;

/// Roles of one framework, and roles named in one call.
pub const ROLES: usize = 1_024;

/// Alternatives in the least that a role's offers must hold, and resource names in each.
pub const MINIMUM_OFFERS: usize = 64;

/// Variables in one environment.
pub const VARIABLES: usize = 4_096;

/// Arguments of one program.
pub const ARGUMENTS: usize = 4_096;

/// Volumes of one container.
pub const VOLUMES: usize = 256;

/// Ports in one task's discovery information.
pub const DISCOVERY_PORTS: usize = 1_024;

/// Statuses that an HTTP health check takes for good.
pub const STATUSES: usize = 512;

/// Executors named in one offer.
pub const EXECUTORS_PER_OFFER: usize = 4_096;

/// Updates of one task waiting to be acknowledged in a checkpoint.
pub const UPDATES_PER_TASK: usize = 64;

/// Updates of a custom executor that a checkpoint remembers for one task.
pub const HEARD_PER_TASK: usize = 256;

/// A name, a label or any other short text, in bytes.
pub const TEXT_BYTES: usize = 16 << 10;

/// A shell line, an argument or a variable, in bytes: what Linux takes for one argument.
pub const ARGUMENT_BYTES: usize = 128 << 10;

/// Opaque data between an executor and its framework, in bytes.
pub const DATA_BYTES: usize = 1 << 20;

/// Files to fetch for one task.
pub const URIS: usize = 256;

/// A URI, or the name that its file is saved as, in bytes.
pub const URI_BYTES: usize = 4_096;

/// Tasks that an executor says it was given and has confirmed nothing of.
pub const TASKS_PER_EXECUTOR: usize = 10_000;

/// Updates that an executor says are not confirmed.
pub const UPDATES_PER_EXECUTOR: usize = 65_536;

/// One message between an executor and its agent, in bytes.
pub const EXECUTOR_MESSAGE_BYTES: usize = 64 << 20;

/// What one message may take in memory once it is read, in bytes. An empty message takes two bytes where it is sent and
/// kilobytes once it is read.
pub const DECODED_BYTES: usize = 256 << 20;
