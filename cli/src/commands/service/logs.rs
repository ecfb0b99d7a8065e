//! `lonja service logs`: what all instances write, from the agents that have it, as `lonja logs` gets it for one task.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use lonja_proto::lonja::LogsRequest;
use lonja_proto::lonja::logs_request::Stream;
use lonja_proto::mesos;
use serde_json::Value;
use tokio::task::JoinSet;

use super::api::{Api, escape};
use super::change::{Kind, kind, no_group};
use super::ids::{of_instance, rooted, short};
use super::standing::text;
use crate::args::DEFAULT_MASTER;
use crate::args::services::ServiceLogs;
use crate::client::Client;
use crate::commands::Signals;
use crate::commands::logs::{Way, to_the_end};
use crate::output;

/// How often new instances are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The longest line that is kept together; what is longer is printed in parts.
const MAX_LINE_BYTES: usize = 64 << 10;

/// Prints what the instances write; each line behind the instance's name if there may be more than one.
pub(super) async fn run(api: &Api, logs: &ServiceLogs) -> anyhow::Result<ExitCode> {
    let id = rooted(&logs.id);
    let found = kind(api, &id)?;
    let is_pod = match &found {
        Kind::App(_) => false,
        Kind::Pod(_) => true,
        Kind::Group => return no_group(&id),
    };
    let (framework, master) = whom_to_ask(api, logs.master.as_deref())?;
    let follower = Follower { logs, framework, master };
    if logs.previous {
        let Kind::App(app) = &found else { bail!("{id} is a pod: of pods no failure is remembered") };
        let failed = failed(app).ok_or_else(|| anyhow!("{id}: no instance of it is known to have failed"))?;
        return follower.copy_all(vec![failed]).await;
    }
    let first = tasks(api, &id, is_pod, &logs.instance)?;
    if logs.follow {
        return follower.follow(api, &id, is_pod).await;
    }
    if !first.is_empty() {
        return follower.copy_all(first).await;
    }
    if !logs.instance.is_empty() {
        bail!("{id} has no instance with {} in its id", logs.instance.join(" or "));
    }
    if let Kind::App(app) = &found
        && let Some(failed) = failed(app)
    {
        output::note(&format!(
            "{id} has no instance that runs; this is of the last one that failed, {}",
            failed.id
        ));
        return follower.copy_all(vec![failed]).await;
    }
    bail!("{id} has no instance that runs; `lonja service explain {id}` may say why, -f waits for one")
}

/// Prints what the newest task of a job wrote. The API does not name it; the master knows it as long as it remembers.
pub(super) async fn of_job(
    api: &Api,
    id: &str,
    master: Option<&str>,
    stderr: bool,
    tail: Option<u64>,
) -> anyhow::Result<ExitCode> {
    let (framework, master) = whom_to_ask(api, master)?;
    let known = Client::connect(&master).await?.tasks().await?;
    let known = known.completed_tasks.into_iter().chain(known.unreachable_tasks).chain(known.tasks);
    let of_job = known.filter(|task| {
        let is_ours = framework.as_ref().is_none_or(|framework| task.framework_id.value == *framework);
        is_ours && of_instance(&task.task_id.value).as_deref() == Some(id)
    });
    let newest = of_job.max_by(|one, other| began(one).total_cmp(&began(other)));
    let Some(newest) = newest else {
        bail!("the master knows no task of {id}; `lonja service job show {id}` tells of its runs")
    };
    let stream = if stderr { Stream::Stderr } else { Stream::Stdout };
    let request = LogsRequest {
        framework_id: Some(newest.framework_id),
        task_id: Some(newest.task_id),
        stream: stream.into(),
        follow: false,
        offset: 0,
        tail_lines: tail,
    };
    to_the_end(Way { first: None, master }, request, &mut std::io::stdout()).await?;
    Ok(ExitCode::SUCCESS)
}

/// When a task was first heard of, in seconds.
fn began(task: &mesos::Task) -> f64 {
    task.statuses.first().and_then(|status| status.timestamp).unwrap_or(0.0)
}

/// The framework whose tasks are meant, and the master that knows where they are.
fn whom_to_ask(api: &Api, master: Option<&str>) -> anyhow::Result<(Option<String>, String)> {
    let info = api.get("/v2/info")?;
    let known = || text(&info["marathon_config"]["master"]);
    let master = master.map(ToOwned::to_owned).or_else(known).unwrap_or_else(|| DEFAULT_MASTER.to_owned());
    Ok((text(&info["frameworkId"]), master))
}

/// The task that failed last.
fn failed(app: &Value) -> Option<Task> {
    let id = text(&app["lastTaskFailure"]["taskId"])?;
    Some(Task { name: short(&id).to_owned(), id })
}

struct Follower<'a> {
    logs: &'a ServiceLogs,
    framework: Option<String>,
    master: String,
}

impl Follower<'_> {
    /// Follows all instances, also those that are new.
    async fn follow(&self, api: &Api, id: &str, is_pod: bool) -> anyhow::Result<ExitCode> {
        let (mut known, mut copies, mut signals) = (BTreeSet::new(), JoinSet::new(), Signals::new()?);
        loop {
            // A framework that is away for a moment takes nothing from what is followed already.
            for task in tasks(api, id, is_pod, &self.logs.instance).unwrap_or_default() {
                if known.insert(task.id.clone()) {
                    copies.spawn(copy(self.way(), self.request(&task), task, true));
                }
            }
            tokio::select! {
                Some(ended) = copies.join_next() => {
                    if let Ok((task, Err(error))) = ended {
                        output::warn(&format!("{}: {error:#}", task.name));
                    }
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = signals.asked() => return Ok(ExitCode::SUCCESS),
            }
        }
    }

    /// Prints what these tasks wrote, one after another. A failure: it could be read of none.
    async fn copy_all(&self, tasks: Vec<Task>) -> anyhow::Result<ExitCode> {
        let (named, mut any) = (tasks.len() > 1, false);
        for task in tasks {
            match copy(self.way(), self.request(&task), task, named).await {
                (_, Ok(())) => any = true,
                (task, Err(error)) => output::warn(&format!("{}: {error:#}", task.name)),
            }
        }
        Ok(if any { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn way(&self) -> Way {
        Way { first: None, master: self.master.clone() }
    }

    fn request(&self, task: &Task) -> LogsRequest {
        let stream = if self.logs.stderr { Stream::Stderr } else { Stream::Stdout };
        LogsRequest {
            framework_id: self.framework.clone().map(|value| mesos::FrameworkId { value }),
            task_id: Some(mesos::TaskId { value: task.id.clone() }),
            stream: stream.into(),
            follow: self.logs.follow,
            offset: 0,
            tail_lines: self.logs.tail,
        }
    }
}

async fn copy(way: Way, request: LogsRequest, task: Task, named: bool) -> (Task, anyhow::Result<()>) {
    let mut lines =
        Lines { prefix: named.then(|| format!("{} | ", task.name)), rest: Vec::new(), to: std::io::stdout() };
    let result = to_the_end(way, request, &mut lines).await;
    let _closed = lines.end();
    (task, result)
}

/// A task that has output.
#[derive(Clone, Debug, PartialEq)]
struct Task {
    id: String,
    /// For people.
    name: String,
}

/// The tasks of an app or pod whose ids have any of these parts in them.
fn tasks(api: &Api, id: &str, is_pod: bool, parts: &[String]) -> anyhow::Result<Vec<Task>> {
    let is_meant = |task: &Task| parts.is_empty() || parts.iter().any(|part| task.id.contains(part.as_str()));
    let mut tasks = if is_pod {
        of_pod(&api.get(&format!("/v2/pods{}::status", escape(id)))?)
    } else {
        of_app(&api.get(&format!("/v2/apps{}/tasks", escape(id)))?)
    };
    tasks.retain(is_meant);
    tasks.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(tasks)
}

fn of_app(tasks: &Value) -> Vec<Task> {
    let ids = tasks["tasks"].as_array().into_iter().flatten().filter_map(|task| text(&task["id"]));
    ids.map(|id| Task { name: short(&id).to_owned(), id }).collect()
}

fn of_pod(status: &Value) -> Vec<Task> {
    let instances = status["instances"].as_array().into_iter().flatten();
    let containers = instances.filter_map(|instance| instance["containers"].as_array()).flatten();
    let task = |container: &Value| {
        let id = text(&container["containerId"])?;
        Some(Task { name: format!("{} {}", short(&id), container["name"].as_str().unwrap_or_default()), id })
    };
    containers.filter_map(task).collect()
}

/// Writes whole lines, each behind a name, so that those of several tasks do not mix.
struct Lines<W> {
    prefix: Option<String>,
    /// The line that has no end as yet.
    rest: Vec<u8>,
    to: W,
}

impl<W: Write> Lines<W> {
    fn end(&mut self) -> std::io::Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        self.rest.push(b'\n');
        self.line()
    }

    /// In one piece: others write to the same place.
    fn line(&mut self) -> std::io::Result<()> {
        let mut line = self.prefix.clone().unwrap_or_default().into_bytes();
        line.append(&mut self.rest);
        self.to.write_all(&line)
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.prefix.is_none() {
            return self.to.write(bytes);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.line()?;
            } else if self.rest.len() > MAX_LINE_BYTES {
                self.end()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_are_written_whole_behind_their_name() {
        let mut lines = Lines { prefix: Some("a | ".into()), rest: Vec::new(), to: Vec::new() };
        for piece in ["on", "e\ntwo\nth", "ree"] {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(lines.to, b"a | one\na | two\n");
        lines.end().unwrap();
        assert_eq!(lines.to, b"a | one\na | two\na | three\n");
    }

    #[test]
    fn what_never_ends_its_line_is_written_in_parts() {
        let mut lines = Lines { prefix: Some(String::new()), rest: Vec::new(), to: std::io::sink() };
        for _ in 0..100 {
            lines.write_all(&[b'x'; 4096]).unwrap();
            assert!(lines.rest.len() <= MAX_LINE_BYTES + 4096);
        }
    }

    #[test]
    fn all_containers_of_a_pod_have_output() {
        let container = json!({ "name": "c", "containerId": "p.instance-12-3.c.1" });
        let status = json!({ "instances": [{ "containers": [container] }] });
        assert_eq!(of_pod(&status), [Task { id: "p.instance-12-3.c.1".into(), name: "12 c".into() }]);
    }
}
