//! A task described as a whole, and checked at the end.

use std::time::Duration;

use lonja_model::check::{Check, HealthCheck};
use lonja_model::container::Program;
use lonja_model::files::{Secret, Uri};
use lonja_model::profile::Network;
use lonja_model::resources::Scalar;
use lonja_model::task::Limit;

use super::{InvalidTask, Request, Size, Task};
use crate::placement::predicate::Predicate;

/// Describes a [`Task`]; [`TaskBuilder::build`] says whether its parts go together. There is no task without a program,
/// so that is what it begins with.
///
/// ```
/// use std::time::Duration;
/// use lonja_model::check::{HealthCheck, Probe};
/// use lonja_sdk_core::task::{TaskBuilder, Units, cpus, mem, ports};
///
/// let web = TaskBuilder::shell("serve --port $PORT0")
///     .name("web")
///     .needs(cpus(0.5) + mem(128.mib()) + ports(1))
///     .mem_limit(256.mib())
///     .env("LANG", "C")
///     .label("tier", "front")
///     .volume("/srv/pages", "pages")
///     .fetch("https://example.org/site.tar.gz")
///     .health_check_on_port(0, HealthCheck::new(Probe::http(0, "/health")))
///     .max_run_time(Duration::from_secs(3_600))
///     .build()?;
/// # assert_eq!(web.need().ports, 1);
/// # Ok::<(), lonja_sdk_core::InvalidTask>(())
/// ```
///
/// What cannot be is refused with what, where and what to do:
///
/// ```
/// use lonja_sdk_core::task::{TaskBuilder, Units, mem};
/// let refused = TaskBuilder::shell("make").needs(mem(512.mib())).mem_limit(256.mib()).build().unwrap_err();
/// assert_eq!(refused.to_string(), "limit of mem: 256 is below the 512 it needs; raise the limit, or ask for less");
/// ```
#[derive(Clone, Debug)]
pub struct TaskBuilder {
    task: Task,
    /// The first thing that was wrong.
    fault: Option<InvalidTask>,
}

impl From<Task> for TaskBuilder {
    /// To be described further.
    fn from(task: Task) -> Self {
        Self { task, fault: None }
    }
}

impl TaskBuilder {
    /// A line for `/bin/sh -c`, with 0.1 CPUs and 32 MiB unless told otherwise.
    pub fn shell(line: impl Into<String>) -> Self {
        Self::begun(Task::shell(line))
    }

    /// A program and its arguments, the program's own name first; no shell sees them.
    pub fn argv<T: Into<String>>(words: impl IntoIterator<Item = T>) -> Self {
        Self::begun(Task::argv(words))
    }

    fn begun(task: Result<Task, InvalidTask>) -> Self {
        // Of one without a program the rest may be said as well; it is refused at the end.
        task.map_or_else(
            |fault| Self { task: Task::with(Program::Shell(String::new())), fault: Some(fault) },
            Self::from,
        )
    }

    /// The task. Errors: the first part that cannot be, or that does not go with the others.
    pub fn build(self) -> Result<Task, InvalidTask> {
        let task = self.checked_amounts()?;
        task.check_alone()?;
        Ok(task)
    }

    /// The same for a task of a group.
    pub(super) fn build_member(self) -> Result<Task, InvalidTask> {
        let task = self.checked_amounts()?;
        task.check_in_group()?;
        Ok(task)
    }

    fn checked_amounts(self) -> Result<Task, InvalidTask> {
        self.fault.map_or(Ok(self.task), Err)
    }

    /// Anything else that a [`Task`] can be told: `.also(|task| task.profile(profile))`.
    #[must_use]
    pub fn also(mut self, say: impl FnOnce(Task) -> Task) -> Self {
        self.task = say(self.task);
        self
    }

    fn attempt(mut self, say: impl FnOnce(&mut Task) -> Result<(), InvalidTask>) -> Self {
        if let Err(fault) = say(&mut self.task) {
            self.fault.get_or_insert(fault);
        }
        self
    }

    /// What it needs; what is not named stays as it was.
    #[must_use]
    pub fn needs(self, request: impl Into<Request>) -> Self {
        self.attempt(|task| {
            task.need = request.into().over(task.need)?;
            Ok(())
        })
    }

    /// Stopped at so many CPUs, also when others are idle. Without a limit, the agent's rule.
    #[must_use]
    pub fn cpu_limit(self, cpus: impl Into<f64>) -> Self {
        let what = "limit of cpus";
        let limit = Scalar::from_f64(cpus.into()).map_err(|why| InvalidTask::Amount { what, why });
        self.limit("cpus", limit.map(Limit::Amount))
    }

    /// Ended above so much memory. Without a limit, above what it needs.
    #[must_use]
    pub fn mem_limit(self, size: Size) -> Self {
        self.limit("mem", size.of("limit of mem").map(Limit::Amount))
    }

    /// Never stopped for the CPUs it uses, whatever the agent's rule is.
    #[must_use]
    pub fn no_cpu_limit(self) -> Self {
        self.limit("cpus", Ok(Limit::Infinite))
    }

    /// Never ended for the memory it uses.
    #[must_use]
    pub fn no_mem_limit(self) -> Self {
        self.limit("mem", Ok(Limit::Infinite))
    }

    fn limit(self, name: &str, limit: Result<Limit, InvalidTask>) -> Self {
        self.attempt(|task| {
            task.limits.insert(name.to_owned(), limit?);
            Ok(())
        })
    }

    /// For people; without this, the task's id.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        self.also(|task| task.name(name))
    }

    /// A variable of its environment; of two of one name the last counts.
    #[must_use]
    pub fn env(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.also(|task| task.env(name, value))
    }

    /// A variable of its environment that nobody else is shown.
    #[must_use]
    pub fn secret_env(self, name: impl Into<String>, secret: Secret) -> Self {
        self.also(|task| task.secret_env(name, secret))
    }

    /// A label.
    #[must_use]
    pub fn label(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.also(|task| task.label(key, value))
    }

    /// The user it runs as; without this, the framework's.
    #[must_use]
    pub fn user(self, user: impl Into<String>) -> Self {
        self.also(|task| task.user(user))
    }

    /// Shows a path of the agent's host inside, to be written; a relative `inside` is below the sandbox.
    #[must_use]
    pub fn volume(self, host: impl Into<String>, inside: impl Into<String>) -> Self {
        self.host_volume(host.into(), inside.into(), false)
    }

    /// Shows a path of the agent's host inside, to be read only.
    #[must_use]
    pub fn read_only_volume(self, host: impl Into<String>, inside: impl Into<String>) -> Self {
        self.host_volume(host.into(), inside.into(), true)
    }

    fn host_volume(self, host: String, inside: String, read_only: bool) -> Self {
        self.attempt(|task| {
            *task = task.clone().volume(host, inside, read_only)?;
            Ok(())
        })
    }

    /// A folder that all tasks of its group have together, to be written; see [`Task::group_volume`]. Of a task of its own
    /// this is refused.
    #[must_use]
    pub fn group_volume(self, path: impl Into<String>, inside: impl Into<String>) -> Self {
        self.also(|task| task.group_volume(path, inside, false))
    }

    /// An empty folder in memory, which counts as the task's memory; as large as that.
    #[must_use]
    pub fn tmpfs(self, inside: impl Into<String>) -> Self {
        self.also(|task| task.tmpfs(inside, None))
    }

    /// A secret as a file in memory that only the task's user reads.
    #[must_use]
    pub fn secret_file(self, inside: impl Into<String>, secret: Secret) -> Self {
        self.also(|task| task.secret_file(inside, secret))
    }

    /// A file that is brought into the sandbox before the program starts, and unpacked if it is an archive; what goes
    /// beyond that is for [`Task::fetch`].
    #[must_use]
    pub fn fetch(self, uri: impl Into<String>) -> Self {
        self.attempt(|task| {
            task.command.uris.push(Uri::new(uri)?);
            Ok(())
        })
    }

    /// It may go only where this holds, and what was said of it before; see [`Task::place`].
    #[must_use]
    pub fn place(self, predicate: Predicate) -> Self {
        self.also(|task| task.place(predicate))
    }

    /// With this network.
    #[must_use]
    pub fn network(self, network: Network) -> Self {
        self.also(|task| task.network(network))
    }

    /// Ends it when it fails this too often; see [`Task::health_check`].
    #[must_use]
    pub fn health_check(self, check: HealthCheck) -> Self {
        self.also(|task| task.health_check(check))
    }

    /// The same, at the task's own port number `index`, the one that it finds in `PORT0`, `PORT1` and so on, whatever port
    /// the check names.
    #[must_use]
    pub fn health_check_on_port(self, index: usize, check: HealthCheck) -> Self {
        self.also(|task| task.health_check_on_port(index, check))
    }

    /// Reports what this sees; see [`Task::check`].
    #[must_use]
    pub fn check(self, check: Check) -> Self {
        self.also(|task| task.check(check))
    }

    /// The same, at the task's own port number `index`.
    #[must_use]
    pub fn check_on_port(self, index: usize, check: Check) -> Self {
        self.also(|task| task.check_on_port(index, check))
    }

    /// Ended by its agent after this long, from the start of its program: TASK_FAILED.
    #[must_use]
    pub fn max_run_time(self, longest: Duration) -> Self {
        self.also(|task| task.max_run_time(longest))
    }

    /// How long a kill waits between asking and forcing; without this, the agent's default.
    #[must_use]
    pub fn kill_grace(self, grace: Duration) -> Self {
        self.also(|task| task.kill_grace(grace))
    }
}

#[cfg(test)]
mod tests {
    use lonja_model::check::Probe;

    use super::*;
    use crate::task::{Units, cpus, gpus, mem, ports};
    use crate::tests::fixture::{offer, task_id};

    fn make() -> TaskBuilder {
        TaskBuilder::shell("make")
    }

    #[test]
    fn what_was_said_is_what_is_launched() {
        let task =
            make().needs(cpus(1) + mem(64.mib())).cpu_limit(2).env("A", "b").user("web").label("x", "y");
        let task = task.kill_grace(Duration::from_secs(3)).tmpfs("scratch").fetch("https://h/f.tar").build();
        let info = task.unwrap().on(&offer("o", "cpus:2;mem:64"), task_id("t")).unwrap();
        assert_eq!(info.resources.to_string(), "cpus:1;mem:64");
        assert_eq!(info.limits["cpus"], Limit::Amount(Scalar::from_units(2).unwrap()));
        assert_eq!((info.command.environment["A"].as_str(), info.command.uris.len()), ("b", 1));
        assert_eq!((info.kill_grace, info.container.volumes.len()), (Some(Duration::from_secs(3)), 1));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        let http = || HealthCheck::new(Probe::http(0, "/health"));
        let cases = [
            (TaskBuilder::shell(" "), "a task needs a command"),
            (TaskBuilder::argv([""; 0]), "a task needs a command"),
            (make().needs(cpus(-1)), "cpus: -1 is negative"),
            (make().needs(cpus(0) + mem(0.mib())), "it needs nothing"),
            (make().needs(gpus(1.5)), "gpus: 1.5 is neither"),
            (make().needs(cpus(2)).cpu_limit(1), "limit of cpus: 1 is below the 2"),
            (make().mem_limit(f64::NAN.mib()), "limit of mem: NaN is not"),
            (make().name(""), "name \"\" says nothing"),
            (make().user(""), "user \"\" has no name"),
            (make().env("A=B", "c"), "variable \"A=B\" is no name"),
            (make().env("A", "\0"), "variable \"A\" contains a zero byte"),
            (make().label("", "c"), "label \"\" has no key"),
            (make().volume("srv", "in"), "the host path of volume \"srv\" is not absolute"),
            (
                make().volume("/srv/../etc", "in"),
                "host path \"/srv/../etc\" must be absolute and without `..`",
            ),
            (make().volume("/srv", "../in"), "path \"../in\" is empty or contains `..`"),
            (make().volume("/a", "in").read_only_volume("/b", "in"), "path \"in\" is where two volumes"),
            (make().also(|task| task.tmpfs("t", Some(0))), "tmpfs \"t\" has no room"),
            (
                make().also(|task| task.sandbox_folder("/abs", "in")),
                "sandbox folder \"/abs\" must be relative",
            ),
            (make().group_volume("shared", "shared"), "folder \"shared\" is shared by the tasks of a group"),
            (make().fetch("ftp://h/f"), "a file to fetch \"ftp://h/f\" does not begin with http"),
            (make().fetch("http://h/f").fetch("http://i/f"), "file \"f\" is the name of two files"),
            (make().health_check(http()), "the health check: port 0 is none"),
            (
                make().health_check_on_port(0, http()),
                "the health check: looks at port 0 of the task, which has 0",
            ),
            (
                make().needs(ports(1)).check_on_port(1, Check::new(Probe::tcp(1))),
                "the check: looks at port 1",
            ),
            (make().max_run_time(Duration::ZERO), "longest run time \"0 s\" ends the task"),
        ];
        for (builder, said) in cases {
            let refused = builder.clone().build().expect_err(said).to_string();
            assert!(refused.starts_with(said), "{refused:?} is not {said:?}");
        }
        assert!(make().needs(ports(1)).health_check_on_port(0, http()).build().is_ok());
    }

    #[test]
    fn the_first_fault_is_the_one_that_is_told() {
        let refused = make().fetch("nowhere").needs(cpus(-1)).build().unwrap_err();
        assert!(matches!(refused, InvalidTask::Uri(_)), "{refused}");
    }
}
