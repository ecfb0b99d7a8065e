//! The variables that tasks are given without asking.
//!
//! Source: Marathon's environment variables of tasks.

use std::collections::BTreeMap;

use lonja_model::TaskId;
use lonja_model::resources::Scalar;

use super::{Launch, Port, time};
use crate::definition::{App, Pod, PodContainer};

/// The longest key of a label that becomes a variable, in bytes; with what stands before it 511.
const MAX_LABEL_KEY: usize = 492;

/// The longest value of a label that becomes a variable, in bytes.
const MAX_LABEL_VALUE: usize = 511;

impl Launch<'_, '_> {
    pub(super) fn app_env(&self, app: &App, id: &TaskId, ports: &[Port]) -> BTreeMap<String, String> {
        let prefix = &self.want.config.env_vars_prefix;
        let mut env = self.common_env(id);
        env.extend(labels(app.labels.iter()));
        env.extend(resources("MARATHON_APP_RESOURCE", [app.cpus, app.mem, app.disk], app.gpus));
        let enforced = if self.enforces_role { "TRUE" } else { "FALSE" };
        env.insert("MARATHON_APP_ENFORCE_GROUP_ROLE".to_owned(), enforced.to_owned());
        if let Some(docker) = app.container.as_ref().and_then(|container| container.docker.as_ref()) {
            env.insert("MARATHON_APP_DOCKER_IMAGE".to_owned(), docker.image.clone());
        }
        env.extend(port_variables(ports).into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
        env
    }

    /// Of a pod's container; `ports` are those of the whole pod.
    pub(super) fn pod_env(
        &self,
        pod: &Pod,
        container: &PodContainer,
        id: &TaskId,
        executor: &str,
        ports: &[(Port, Option<u16>)],
    ) -> BTreeMap<String, String> {
        let mut env = self.common_env(id);
        env.insert("MESOS_EXECUTOR_ID".to_owned(), executor.to_owned());
        env.insert("MARATHON_CONTAINER_ID".to_owned(), container.name.clone());
        // The container's own labels stand over those of the pod.
        let all: BTreeMap<&String, &String> = pod.labels.iter().chain(&container.labels).collect();
        env.extend(labels(all.into_iter()));
        let amounts = [container.cpus, container.mem, container.disk];
        env.extend(resources("MARATHON_CONTAINER_RESOURCE", amounts, container.gpus));
        for (port, inside) in ports {
            let Some(name) = port.name.as_deref().map(sanitised) else { continue };
            if port.on_agent || inside.is_some() {
                env.insert(format!("ENDPOINT_{name}"), port.number.to_string());
            }
            if port.on_agent {
                env.insert(format!("EP_HOST_{name}"), port.number.to_string());
            }
            if let Some(inside) = inside {
                let inside = if *inside == 0 { port.number } else { *inside };
                env.insert(format!("EP_CONTAINER_{name}"), inside.to_string());
            }
        }
        env
    }

    fn common_env(&self, id: &TaskId) -> BTreeMap<String, String> {
        let spec = self.want.spec;
        let host = format!("{}HOST", self.want.config.env_vars_prefix);
        let all = [
            ("MARATHON_APP_ID".to_owned(), spec.id().to_string()),
            ("MARATHON_APP_VERSION".to_owned(), time::shown(spec.version().version)),
            ("MESOS_TASK_ID".to_owned(), id.to_string()),
            (host, self.place.hostname.clone()),
        ];
        all.into_iter().collect()
    }
}

/// `PORT0` and so on; none where there are no ports.
fn port_variables(ports: &[Port]) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (index, port) in ports.iter().enumerate() {
        let number = port.number.to_string();
        let requested = if port.requested == 0 { port.number } else { port.requested };
        env.insert(format!("PORT_{requested}"), number.clone());
        env.insert(format!("PORT{index}"), number.clone());
        if let Some(name) = &port.name {
            env.insert(format!("PORT_{}", name.to_uppercase()), number);
        }
    }
    let of_agent = ports.iter().filter(|port| port.on_agent);
    let drawn = ports.iter().filter(|port| port.drawn);
    let listed: Vec<String> = of_agent.chain(drawn).map(|port| port.number.to_string()).collect();
    if let Some(first) = listed.first() {
        env.insert("PORT".to_owned(), first.clone());
        env.insert("PORTS".to_owned(), listed.join(","));
    }
    env
}

fn labels<'a>(labels: impl Iterator<Item = (&'a String, &'a String)>) -> BTreeMap<String, String> {
    let short =
        |(key, value): &(&String, &String)| key.len() <= MAX_LABEL_KEY && value.len() <= MAX_LABEL_VALUE;
    let mut names = Vec::new();
    let mut env = BTreeMap::new();
    for (key, value) in labels.filter(short) {
        let name = sanitised(key);
        env.insert(format!("MARATHON_APP_LABEL_{name}"), value.clone());
        names.push(name);
    }
    env.insert("MARATHON_APP_LABELS".to_owned(), names.join(" "));
    env
}

fn resources(prefix: &str, [cpus, mem, disk]: [Scalar; 3], gpus: u32) -> [(String, String); 4] {
    // With a decimal point always: `1.0`.
    let decimal = |amount: Scalar| format!("{:?}", amount.to_f64());
    [
        (format!("{prefix}_CPUS"), decimal(cpus)),
        (format!("{prefix}_MEM"), decimal(mem)),
        (format!("{prefix}_DISK"), decimal(disk)),
        (format!("{prefix}_GPUS"), gpus.to_string()),
    ]
}

/// In capitals, each run of what is no part of a variable's name as one `_`.
fn sanitised(name: &str) -> String {
    let mut clean = String::with_capacity(name.len());
    let mut within = false;
    for c in name.chars() {
        let plain = c.is_ascii_alphanumeric() || c == '_';
        if plain {
            clean.push(c.to_ascii_uppercase());
        } else if !within {
            clean.push('_');
        }
        within = !plain;
    }
    clean
}
