//! The task of an app.

use lonja_model::container::{Command, Program};
use lonja_model::executor::ExecutorInfo;
use lonja_model::{ExecutorId, TaskInfo};
use lonja_sdk_core::Step;

use super::{Launch, Launched, Port, checks, discovery, files, labels, limits, protocols, set_all, tty};
use crate::definition::App;
use crate::draws::Draws;
use crate::matching::needs::custom_executor;

impl Launch<'_, '_> {
    pub(super) fn app(&self, app: &App, draws: &mut Draws) -> Result<Launched, String> {
        let id = self.task_id(None)?;
        let ports = self.app_ports(app, draws);
        let mut command = command_of(app)?;
        command.environment = self.app_env(app, &id, &ports);
        set_all(&mut command, app.env.iter(), &app.secrets)?;
        command.user.clone_from(&app.user);
        command.uris = files::uris(&app.fetch)?;
        let resources = self.taken.tasks.first().cloned().unwrap_or_default();
        let mut task = TaskInfo {
            limits: limits(app.resource_limits.as_ref()),
            kill_grace: app.kill_grace,
            labels: labels(app.labels.iter()),
            discovery: Some(discovery(&app.id, ports.iter())),
            health_check: checks::health_of(app, &ports)?,
            check: app.check.as_ref().map(|check| checks::check_of(check, &ports)).transpose()?,
            ..self.task(&id, app.id.reversed(), resources)
        };
        task.container.volumes = files::of_app(app)?;
        task.container.tty = tty(app.tty);
        match custom_executor(app) {
            None => task.command = command,
            Some(path) => self.in_executor(app, path, command, &mut task)?,
        }
        Ok((Step::Launch(vec![task]), vec![(id, None)]))
    }

    /// Hands the task to a program of the app's own: it is told the app's line, and finds the environment around it.
    fn in_executor(
        &self,
        app: &App,
        path: &str,
        command: Command,
        task: &mut TaskInfo,
    ) -> Result<(), String> {
        let line = app.cmd.clone().unwrap_or_else(|| app.args.join(" "));
        let quoted = format!("'{}'", path.replace('\'', r"'\''"));
        let program = Program::Shell(format!("chmod ug+rx {quoted} && exec {quoted} {line}"));
        let id = ExecutorId::new(format!("marathon-{}", task.id))
            .or_else(|_| ExecutorId::new(task.id.as_str()))
            .map_err(|why| why.to_string())?;
        let command = Command { program, ..command };
        let executor = ExecutorInfo::custom(id, command, self.taken.executor.clone());
        task.data = line.into_bytes();
        task.executor = Some(Box::new(ExecutorInfo {
            name: Some(task.name.clone()),
            shutdown_grace: app.kill_grace,
            ..executor
        }));
        Ok(())
    }

    fn app_ports(&self, app: &App, draws: &mut Draws) -> Vec<Port> {
        let chosen = &self.taken.ports;
        let mapped = app.container.as_ref().and_then(|container| container.port_mappings.as_ref());
        match mapped {
            Some(mappings) => {
                let defined = mappings.iter().map(|one| {
                    let (inside, name) = (one.container_port, one.name.as_deref());
                    (inside, Some(inside), name, protocols(one.protocol))
                });
                super::ports(chosen, defined, draws)
            }
            None => {
                let defined = app.port_definitions.iter().flatten();
                let defined =
                    defined.map(|one| (one.port, None, one.name.as_deref(), protocols(one.protocol)));
                super::ports(chosen, defined, draws)
            }
        }
    }
}

/// A line for the shell, or a program with its arguments, its own name first.
fn command_of(app: &App) -> Result<Command, String> {
    if let Some(line) = &app.cmd {
        return Ok(Command::new(Program::Shell(line.clone())));
    }
    match app.args.first() {
        Some(path) => Ok(Command::new(Program::Exec { path: path.clone(), arguments: app.args.clone() })),
        None if custom_executor(app).is_some() => Ok(Command::none()),
        None => {
            Err("it names no program: give cmd or args; an image's own program cannot be run yet".to_owned())
        }
    }
}
