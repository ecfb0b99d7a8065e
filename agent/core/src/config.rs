//! What an agent is told at birth.

use std::time::Duration;

use lonja_model::agent::AgentInfo;

/// The most that an agent's records come to, in bytes, but for short words beyond it: 64 MiB. Beyond that it takes only
/// what is short, and no more than [`MAX_RECORD_BYTES_OVER`] of it.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

/// What may come on top of [`MAX_RECORD_BYTES`], in bytes: for each of 10,000 tasks its end and a few short updates, none of
/// which may be refused, with room for the operations, of which there are as many.
pub const MAX_RECORD_BYTES_OVER: usize = 160 << 20;

/// What an agent is told at birth. [`Config::new`] fills in the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What the agent is; its `id` is not looked at, the checkpoint knows it.
    pub info: AgentInfo,
    /// Its version, for the master.
    pub version: String,
    /// Names this installation among others on the host: the work dir's instance id.
    pub instance: String,
    /// How long a kill waits between asking and forcing, unless the task or the kill says otherwise.
    /// 3 s, as the Mesos command executor.
    pub kill_grace: Duration,
    /// The user of tasks when neither the task nor its framework names one; `None`: the agent's own.
    pub default_user: Option<String>,
    /// The wait before registration is tried a second time; doubles with each try, with jitter. 1 s.
    pub registration_backoff: Duration,
    /// The longest wait between two tries to register. 1 min.
    pub registration_backoff_max: Duration,
    /// The wait before an unacknowledged update is sent again; doubles each time. 10 s (INV-19).
    pub update_retry: Duration,
    /// The longest wait between two sendings of an update. 10 min (INV-19).
    pub update_retry_max: Duration,
    /// The most task records held at once, ended ones that wait for an acknowledgement included. Further
    /// tasks are answered by TASK_DROPPED without an update id and leave no record. 10,000.
    pub max_tasks: usize,
    /// The most outcomes of operations held at once, all waiting for an acknowledgement. Further operations are
    /// answered by OPERATION_DROPPED and leave no record. 10,000.
    pub max_operations: usize,
    /// The most that records of tasks, executors and frameworks come to, in bytes as `lonja_model::weight` counts, updates
    /// that wait to be acknowledged included. What would be more is refused: see `room`. [`MAX_RECORD_BYTES`].
    pub max_record_bytes: usize,
    /// How long a custom executor may take from the start of its program until it subscribes. 1 min.
    pub executor_registration_timeout: Duration,
    /// How long a custom executor that was found running may take after a restart of the agent until it subscribes
    /// anew. 2 s, at most 15 s.
    pub executor_reregistration_timeout: Duration,
    /// How long a custom executor may take to end when it is asked to, unless it says otherwise. 5 s.
    pub executor_shutdown_grace: Duration,
    /// Tasks and executors that are remembered when they have ended for good, for those who look back. 0: a daemon
    /// remembers some, a simulation does without.
    pub max_completed: usize,
}

impl Config {
    /// The defaults, for an agent described by `info`.
    pub fn new(info: AgentInfo, version: impl Into<String>, instance: impl Into<String>) -> Self {
        Self {
            info,
            version: version.into(),
            instance: instance.into(),
            kill_grace: Duration::from_secs(3),
            default_user: None,
            registration_backoff: Duration::from_secs(1),
            registration_backoff_max: Duration::from_secs(60),
            update_retry: Duration::from_secs(10),
            update_retry_max: Duration::from_secs(600),
            max_tasks: 10_000,
            max_operations: 10_000,
            max_record_bytes: MAX_RECORD_BYTES,
            executor_registration_timeout: Duration::from_secs(60),
            executor_reregistration_timeout: Duration::from_secs(2),
            executor_shutdown_grace: Duration::from_secs(5),
            max_completed: 0,
        }
    }
}

/// Randomness given at birth: two numbers, fresh for each start of the process, fixed in a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entropy(pub u64, pub u64);
