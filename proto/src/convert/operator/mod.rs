//! What operators ask of the master about sharing, reservations and maintenance.
//!
//! Each function takes the message of one call and names fields from the call on, such as
//! `update_quota.quota_configs[2].limits["cpus"]`. Whether what is asked is possible now is the master's business.
//!
//! Source: Mesos v1 operator API of the master.

pub mod maintenance;
pub mod quotas;
pub mod resources;
