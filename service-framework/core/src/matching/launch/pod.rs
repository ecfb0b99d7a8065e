//! The group of tasks of a pod.

use lonja_model::container::{Command, Program};
use lonja_model::executor::ExecutorInfo;
use lonja_model::{ExecutorId, TaskId, TaskInfo};
use lonja_sdk_core::Step;

use super::{Launch, Launched, Port, checks, discovery, files, labels, limits, protocols, set_all, tty};
use crate::definition::{Pod, PodContainer};
use crate::draws::Draws;

impl Launch<'_, '_> {
    pub(super) fn pod(&self, pod: &Pod, draws: &mut Draws) -> Result<Launched, String> {
        // Another one for each launch: the one before may not have ended.
        let name = format!("{}.{}", self.want.instance, self.want.incarnation);
        let executor = ExecutorId::new(name).map_err(|why| why.to_string())?;
        let ports = self.pod_ports(pod, draws);
        let mut tasks = Vec::with_capacity(pod.containers.len());
        let mut ids = Vec::with_capacity(pod.containers.len());
        for (index, container) in pod.containers.iter().enumerate() {
            let id = self.task_id(Some(&container.name))?;
            tasks.push(self.container(pod, (index, container), &id, &executor, &ports)?);
            ids.push((id, Some(container.name.clone())));
        }
        let info = ExecutorInfo {
            name: Some(pod.id.reversed()),
            resources: self.taken.executor.clone(),
            shutdown_grace: pod.containers.iter().filter_map(|container| container.kill_grace).max(),
            labels: labels(pod.labels.iter()),
            ..ExecutorInfo::builtin(executor)
        };
        Ok((Step::LaunchGroup { executor: Box::new(info), tasks }, ids))
    }

    fn container(
        &self,
        pod: &Pod,
        (index, container): (usize, &PodContainer),
        id: &TaskId,
        executor: &ExecutorId,
        ports: &[(Port, Option<u16>)],
    ) -> Result<TaskInfo, String> {
        let mut command = command_of(container)?;
        set_all(&mut command, pod.environment.iter().chain(&container.environment), &pod.secrets)?;
        // What is generated stands over what was asked for; with apps it is the other way round.
        for (name, value) in self.pod_env(pod, container, id, executor.as_str(), ports) {
            command.secrets.remove(&name);
            command.environment.insert(name, value);
        }
        command.user = container.user.clone().or_else(|| pod.user.clone());
        command.uris = files::uris(&container.artifacts)?;
        let all: Vec<Port> = ports.iter().map(|(port, _)| port.clone()).collect();
        let own = self.needs.ports.iter().zip(&all).filter(|(wish, _)| wish.task == index);
        let resources = self.taken.tasks.get(index).cloned().unwrap_or_default();
        let mut task = TaskInfo {
            limits: limits(container.resource_limits.as_ref()),
            command,
            kill_grace: container.kill_grace,
            labels: labels(pod.labels.iter().chain(&container.labels)),
            discovery: Some(discovery(&pod.id, own.map(|(_, port)| port))),
            health_check: container
                .health_check
                .as_ref()
                .map(|one| checks::pod_health(one, &all))
                .transpose()?,
            check: container.check.as_ref().map(|one| checks::pod_check(one, &all)).transpose()?,
            ..self.task(id, container.name.clone(), resources)
        };
        (task.container.volumes, task.container.parent_volumes) = files::of_container(pod, container)?;
        task.container.tty = tty(container.tty);
        Ok(task)
    }

    /// The ports of all containers, each with its number inside if that is said.
    fn pod_ports(&self, pod: &Pod, draws: &mut Draws) -> Vec<(Port, Option<u16>)> {
        let endpoints = || pod.containers.iter().flat_map(|container| &container.endpoints);
        let defined = endpoints().map(|one| {
            let mut over: Vec<&'static str> = one.protocol.iter().flat_map(|one| protocols(*one)).collect();
            if over.is_empty() {
                over.push("tcp");
            }
            (one.container_port.unwrap_or(0), one.container_port, Some(one.name.as_str()), over)
        });
        let ports = super::ports(&self.taken.ports, defined, draws);
        ports.into_iter().zip(endpoints().map(|one| one.container_port)).collect()
    }
}

fn command_of(container: &PodContainer) -> Result<Command, String> {
    if let Some(line) = &container.shell {
        return Ok(Command::new(Program::Shell(line.clone())));
    }
    match container.argv.first() {
        Some(path) => {
            Ok(Command::new(Program::Exec { path: path.clone(), arguments: container.argv.clone() }))
        }
        None => Err(format!(
            "container {} names no program: give exec; an image's own program cannot be run yet",
            container.name
        )),
    }
}
