//! Can this task be, as it is described? What of it a master or an agent would refuse is refused here, where it was
//! written.
//!
//! Source: the rules of the wire, of `master/core/src/validate.rs` and of `master/core/src/checks.rs`.

use std::collections::BTreeSet;

use lonja_model::check::{CheckKind, Family, Probe, Scheme};
use lonja_model::container::{Command, Program};
use lonja_model::files::VolumeSource;
use lonja_model::task::Limit;

use super::{InvalidTask, Need, Task};
use crate::placement::Gpus;

impl Task {
    /// Do its parts go together, for a task of its own? Errors: the first that does not.
    pub fn check_alone(&self) -> Result<(), InvalidTask> {
        if let Some(volume) = self.container.parent_volumes.first() {
            let why = "is shared by the tasks of a group, and this is none; put it into a TaskGroup";
            return Err(InvalidTask::part("folder", &volume.path, why));
        }
        self.check_in_group()
    }

    /// Do its parts go together, for a task of a group? Errors: the first that does not.
    pub(super) fn check_in_group(&self) -> Result<(), InvalidTask> {
        if self.name.as_deref() == Some("") {
            return Err(InvalidTask::part("name", "", "says nothing; leave it out for the task's id"));
        }
        self.check_need()?;
        self.check_command()?;
        self.check_volumes()?;
        self.check_probes()?;
        if self.labels.0.iter().any(|(key, _)| key.is_empty()) {
            return Err(InvalidTask::part("label", "", "has no key; name it"));
        }
        if self.watch.longest.is_some_and(|longest| longest.is_zero()) {
            let why = "ends the task as it starts; give a time, or leave it out for no end";
            return Err(InvalidTask::part("longest run time", "0 s", why));
        }
        Ok(())
    }

    fn check_need(&self) -> Result<(), InvalidTask> {
        let Need { cpus, mem, .. } = self.need;
        if self.need.quantities().is_empty() && self.need.ports == 0 && self.need.gpus == Gpus::None {
            return Err(InvalidTask::NeedsNothing);
        }
        for (what, need) in [("cpus", cpus), ("mem", mem)] {
            match self.limits.get(what) {
                Some(Limit::Amount(limit)) if *limit < need => {
                    return Err(InvalidTask::LimitBelowNeed { what, limit: *limit, need });
                }
                Some(Limit::Amount(_) | Limit::Infinite) | None => {}
            }
        }
        Ok(())
    }

    fn check_command(&self) -> Result<(), InvalidTask> {
        let Command { program, environment, secrets, user, uris, .. } = &self.command;
        let words: Vec<&String> = match program {
            Program::Shell(line) => vec![line],
            Program::Exec { path, arguments } => std::iter::once(path).chain(arguments).collect(),
        };
        if let Some(word) = words.into_iter().find(|word| word.contains('\0')) {
            return Err(InvalidTask::part("word", word, "contains a zero byte; take it out"));
        }
        for name in environment.keys().chain(secrets.keys()) {
            if name.is_empty() || name.contains(['=', '\0']) {
                let why = "is no name of a variable; use one without `=` and zero bytes";
                return Err(InvalidTask::part("variable", name, why));
            }
        }
        if let Some((name, _)) = environment.iter().find(|(_, value)| value.contains('\0')) {
            return Err(InvalidTask::part("variable", name, "contains a zero byte; take it out"));
        }
        if user.as_deref() == Some("") {
            return Err(InvalidTask::part("user", "", "has no name; leave it out for the framework's"));
        }
        let mut saved = BTreeSet::new();
        match uris.iter().find(|uri| !saved.insert(uri.file_name())) {
            Some(uri) => {
                let why = "is the name of two files to fetch; save one under another by Uri::saved_as";
                Err(InvalidTask::part("file", uri.file_name(), why))
            }
            None => Ok(()),
        }
    }

    fn check_volumes(&self) -> Result<(), InvalidTask> {
        for volume in &self.container.volumes {
            let inside = &volume.container_path;
            match &volume.source {
                VolumeSource::Host(path) if !path.starts_with('/') || climbs(path) => {
                    return Err(InvalidTask::part("host path", path, "must be absolute and without `..`"));
                }
                VolumeSource::Sandbox(path) if path.is_empty() || path.starts_with('/') || climbs(path) => {
                    let why = "must be relative and without `..`; name a folder below the sandbox";
                    return Err(InvalidTask::part("sandbox folder", path, why));
                }
                VolumeSource::Tmpfs { size: Some(0) } => {
                    let why = "has no room at 0 bytes; leave the size out for as much as the task's memory";
                    return Err(InvalidTask::part("tmpfs", inside, why));
                }
                VolumeSource::Host(_)
                | VolumeSource::Sandbox(_)
                | VolumeSource::Secret(_)
                | VolumeSource::Tmpfs { .. } => {}
            }
        }
        for shared in &self.container.parent_volumes {
            if shared.path.split('/').any(|name| matches!(name, "" | "." | "..")) {
                let why = "must be relative, without empty parts, `.` or `..`";
                return Err(InvalidTask::part("folder of the group", &shared.path, why));
            }
        }
        let volumes = self.container.volumes.iter().map(|volume| &volume.container_path);
        let shared = self.container.parent_volumes.iter().map(|volume| &volume.container_path);
        let mut seen = BTreeSet::new();
        for inside in volumes.chain(shared) {
            if inside.is_empty() || climbs(inside) || inside.contains('\0') {
                let why = "is empty or contains `..` or a zero byte; name a path inside the container";
                return Err(InvalidTask::part("path", inside, why));
            }
            if !seen.insert(inside) {
                return Err(InvalidTask::part("path", inside, "is where two volumes are shown; move one"));
            }
        }
        Ok(())
    }

    fn check_probes(&self) -> Result<(), InvalidTask> {
        let ports = self.need.ports;
        for (kind, probe, own_port) in self.watch.probes() {
            let refuse = |why: String| Err(InvalidTask::Part { part: format!("the {kind}:"), why });
            if let Some(index) = own_port {
                if index >= ports {
                    return refuse(format!(
                        "looks at port {index} of the task, which has {ports}, counted from 0; ask for more ports"
                    ));
                }
                if matches!(probe, Probe::Command(_)) {
                    return refuse("runs a program, and so needs no port; leave the port out".to_owned());
                }
            }
            let fault = match own_port {
                // The port that it names is none that counts.
                Some(_) => with_some_port(probe).fault(),
                None => probe.fault(),
            };
            if let Some(fault) = fault {
                return refuse(fault);
            }
            match probe {
                Probe::Command(command) if is_empty(&command.program) => {
                    return refuse("its command is empty; name a program, or leave it out".to_owned());
                }
                _ if kind == CheckKind::General && !fits_the_wire(probe) => {
                    return refuse("https, IPv6 and expected statuses are for health checks only".to_owned());
                }
                Probe::Command(_) | Probe::Http(_) | Probe::Tcp { .. } => {}
            }
        }
        Ok(())
    }
}

fn climbs(path: &str) -> bool {
    path.split('/').any(|name| name == "..")
}

fn with_some_port(probe: &Probe) -> Probe {
    let mut probe = probe.clone();
    match &mut probe {
        Probe::Command(_) => {}
        Probe::Http(http) => http.port = 1,
        Probe::Tcp { port, .. } => *port = 1,
    }
    probe
}

fn is_empty(program: &Program) -> bool {
    match program {
        Program::Shell(line) => line.trim().is_empty(),
        Program::Exec { path, .. } => path.is_empty(),
    }
}

/// Can the wire say all of it in a check that only reports?
fn fits_the_wire(probe: &Probe) -> bool {
    match probe {
        Probe::Command(_) => true,
        Probe::Http(http) => {
            http.scheme == Scheme::Http && http.family == Family::IPv4 && http.statuses.is_empty()
        }
        Probe::Tcp { family, .. } => *family == Family::IPv4,
    }
}
