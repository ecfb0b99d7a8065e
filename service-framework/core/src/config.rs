//! What an operator decides for all services.

use std::time::Duration;

/// What an operator decides for all services. Source of the defaults: Marathon's flags of the same names.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The role of services that name none.
    pub default_role: String,
    /// Service ports are given from here.
    pub local_port_min: u16,
    /// To here.
    pub local_port_max: u16,
    /// The most deployments that run at once.
    pub max_running_deployments: usize,
    /// The most apps and pods; none: any number.
    pub max_apps: Option<usize>,
    /// The most instances of all apps and pods together: each costs memory, also one that waits. Lonja's own.
    pub max_instances: u64,
    /// How many versions of an app or pod are kept beside those in use.
    pub max_versions: usize,
    /// The most instances launched on one offer.
    pub max_instances_per_offer: usize,
    /// The most kills under way at once.
    pub kill_chunk_size: usize,
    /// A deployment fails when nothing has got better for so long, unless its app says otherwise. Lonja's own.
    pub progress_deadline: Duration,
    /// Instances launched that are not heard of for so long are given up.
    pub launch_timeout: Duration,
    /// An instance that takes requests takes no new ones for so long before it is killed. Lonja's own.
    pub drain: Duration,
    /// Services without GPUs leave agents with GPUs to those that need them.
    pub gpus_restricted: bool,
    /// Before HOST and PORT variables.
    pub env_vars_prefix: String,
    /// New top-level groups enforce their role.
    pub new_groups_enforce_role: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_role: "*".to_owned(),
            local_port_min: 10_000,
            local_port_max: 20_000,
            max_running_deployments: 100,
            max_apps: None,
            max_instances: 100_000,
            max_versions: 50,
            max_instances_per_offer: 100,
            kill_chunk_size: 100,
            progress_deadline: Duration::from_secs(600),
            launch_timeout: Duration::from_secs(300),
            drain: Duration::ZERO,
            gpus_restricted: true,
            env_vars_prefix: String::new(),
            new_groups_enforce_role: false,
        }
    }
}
