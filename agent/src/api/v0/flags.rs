//! How the agent was started, by the names of Mesos' flags.

use serde_json::{Map, Value, json};

use crate::Config;
use crate::executors::in_words;

/// The flags that Mesos has too, as texts; secrets are not among them.
pub(crate) fn flags(config: &Config) -> Map<String, Value> {
    let executors = &config.executors;
    let mut flags = Map::new();
    let mut put = |name: &str, value: String| flags.insert(name.to_owned(), json!(value));
    put("ip", config.listen.ip().to_string());
    put("port", config.listen.port().to_string());
    if let Some(hostname) = &config.hostname {
        put("hostname", hostname.clone());
    }
    put("master", config.master.trim_start_matches("http://").to_owned());
    put("work_dir", config.work_dir.display().to_string());
    put("resources", config.info.resources.to_string());
    put("attributes", config.info.attributes.to_string());
    put("authenticate_http_executors", executors.authenticate.to_string());
    put("executor_registration_timeout", in_words(executors.registration_timeout));
    put("executor_reregistration_timeout", in_words(executors.reregistration_timeout));
    put("executor_shutdown_grace_period", in_words(executors.shutdown_grace));
    put("container_disk_watch_interval", in_words(config.disk.watch_interval));
    put("enforce_container_disk_quota", config.disk.enforce.to_string());
    put("gc_delay", in_words(config.disk.gc_delay));
    put("gc_disk_headroom", config.disk.gc_headroom.to_string());
    put("disk_watch_interval", in_words(config.disk.gc_interval));
    flags
}
