//! A container that is made to look around itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lonja_model::privileges::CapabilitySet;
use lonja_model::profile::Profile;

use super::{Audit, State, Subject, is_host};
use crate::containerizer::{
    Command, ContainerId, ContainerSpec, Containerizer, Failure, InstanceId, LaunchOutcome,
    LinuxContainerizer, Settings,
};
use crate::disk::{DiskSettings, Disks};
use crate::isolation::{Layout, Limits};
use crate::sandbox::{Reach, Sandboxes};
use crate::separation;
use crate::supervisor::{Filter, Mould, Network, Part};

/// How long the trial may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the trial says, each part under a line `== name`.
const SCRIPT: &str = "\
echo '== status'; cat /proc/self/status
echo '== limits'; cat /proc/self/limits
echo '== mounts'; cat /proc/self/mountinfo
echo '== namespaces'; for name in pid mnt ipc uts cgroup user net; do echo $name $(readlink /proc/self/ns/$name); done
echo '== score'; cat /proc/self/oom_score_adj
";

/// Makes the container, and says what it found.
pub(super) async fn run(
    audit: &mut Audit,
    subject: &Subject,
    layout: &Layout,
    launcher: &crate::launcher::Launcher,
    folder: &Path,
) {
    match tokio::time::timeout(PATIENCE, look(subject, layout, launcher, folder)).await {
        Ok(Ok(text)) => {
            audit.say("container", State::Enforced, "a container of this profile was made, ran and ended");
            judge(audit, subject, &parts(&text));
        }
        Ok(Err(why)) => audit.say("container", State::Missing, format!("none can be made: {why}")),
        Err(_) => audit.say("container", State::Missing, format!("none ended within {PATIENCE:?}")),
    }
}

async fn look(
    subject: &Subject,
    layout: &Layout,
    launcher: &crate::launcher::Launcher,
    folder: &Path,
) -> Result<String, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let instance = InstanceId::new(format!("check{}", std::process::id())).map_err(|error| said(&error))?;
    let settings = Settings {
        work_dir: folder.join("work"),
        instance,
        layout: layout.clone(),
        mould: subject.separation.mould(),
    };
    let containerizer = LinuxContainerizer::new(settings, launcher).map_err(|error| said(&error))?;
    let result = try_one(subject, &containerizer, folder).await;
    containerizer.remove_instance().map_err(|error| said(&error))?;
    result
}

async fn try_one(
    subject: &Subject,
    containerizer: &LinuxContainerizer,
    folder: &Path,
) -> Result<String, String> {
    let profile = subject.separation.profile;
    let user = separation::user(profile, None);
    let sandbox = folder.join("sandboxes/trial/trial/trial");
    let reach = if profile == Profile::Host { Reach::Everyone } else { Reach::Agent };
    let disks = Disks::open(folder, DiskSettings::default()).map_err(|error| error.to_string())?;
    let sandboxes = Sandboxes::open(folder, Arc::new(disks)).map_err(|error| error.to_string())?;
    sandboxes.create(&sandbox, user.as_deref(), reach, None).map_err(|error| error.to_string())?;
    let id = ContainerId::new("trial").map_err(|error| error.to_string())?;
    let privileges = lonja_model::privileges::Privileges::default();
    let spec = ContainerSpec {
        container_id: id.clone(),
        sandbox: sandbox.clone(),
        command: Command::Shell(SCRIPT.to_owned()),
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
        user,
        hostname: None,
        volumes: Vec::new(),
        limits: Limits { pids_max: Some(64), ..Limits::default() },
        network: Network::Host,
        kill_grace: Duration::ZERO,
        logs: None,
        tty: None,
        confinement: subject.grants.confine(subject.separation.confinement(profile), &privileges)?,
        profile,
        isolation: subject.separation.isolation.clone(),
        joins: None,
        stdin: false,
    };
    match containerizer.launch(spec).await {
        LaunchOutcome::Started { .. } => {}
        LaunchOutcome::Failed(Failure { message, .. }) => return Err(message),
    }
    containerizer.wait(&id).await.map_err(|error| crate::containers::chain(&error))?;
    fs::read_to_string(sandbox.join("stdout")).map_err(|error| error.to_string())
}

/// The parts of what was said, by their names.
fn parts(text: &str) -> BTreeMap<&str, &str> {
    let parts = text.split("== ").filter_map(|part| part.split_once('\n'));
    parts.collect()
}

fn judge(audit: &mut Audit, subject: &Subject, parts: &BTreeMap<&str, &str>) {
    let part = |name: &str| parts.get(name).copied().unwrap_or_default();
    namespaces(audit, subject, part("namespaces"));
    mounts(audit, subject, part("mounts"));
    privileges(audit, subject, part("status"));
    limits(audit, subject, part("limits"), part("score"));
}

/// Names of namespaces in /proc, with the part of isolation that gives one.
const NAMESPACES: [(&str, Part); 7] = [
    ("pid", Part::Pids),
    ("mnt", Part::Mounts),
    ("ipc", Part::Ipc),
    ("uts", Part::Names),
    ("cgroup", Part::Cgroups),
    ("user", Part::Users),
    ("net", Part::Network),
];

fn namespaces(audit: &mut Audit, subject: &Subject, said: &str) {
    let mould: Mould = subject.separation.mould();
    for (name, part) in NAMESPACES {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let own = fs::read_link(format!("/proc/self/ns/{name}")).unwrap_or_default();
        let apart = !line.is_empty() && own.as_os_str() != line;
        let label = format!(
            "namespaces/{}",
            if name == "mnt" {
                "mount"
            } else if name == "net" {
                "network"
            } else {
                name
            }
        );
        // Users are judged with the lists that an agent starts by, the network below.
        let (state, how) = match part {
            _ if apart => (State::Enforced, format!("the container's own, {line}")),
            Part::Network if mould.network == Network::Host => (
                State::Note,
                "the host's; a task gets one of its own by --network none or profile hardened".to_owned(),
            ),
            _ if is_host(subject) => (State::Off, "the agent's --profile is 'host'".to_owned()),
            _ if !subject.separation.isolation.has(part) => {
                (State::Off, "left out of --isolation".to_owned())
            }
            _ => (
                State::Missing,
                "the container shares the host's; see the kernel's limits in /proc/sys/user".to_owned(),
            ),
        };
        audit.say(label, state, how);
    }
}

fn mounts(audit: &mut Audit, subject: &Subject, said: &str) {
    let (count, idmapped) = (said.lines().count(), said.contains("idmapped"));
    let root = said.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap_or_default();
    if is_host(subject) || !subject.separation.isolation.has(Part::Root) {
        audit.say("mounts", State::Note, format!("{count}; the host's root is the container's"));
        return;
    }
    let kind = root.split(" - ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("unknown");
    audit.say(
        "mounts",
        State::Enforced,
        format!("{count} mounts below a root on {kind}; none leads to the host's"),
    );
    let how = match idmapped {
        true => "owners of files are mapped by idmapped mounts",
        false => "owners of files are those of the user's namespace; no idmapped mounts",
    };
    audit.say("idmapped-mounts", if idmapped { State::Enforced } else { State::Note }, how);
}

fn privileges(audit: &mut Audit, subject: &Subject, said: &str) {
    let field = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    let wanted = subject.separation.confinement(subject.separation.profile);
    let bounding = u64::from_str_radix(&field("CapBnd"), 16).map(CapabilitySet::from_bits);
    let off = if is_host(subject) { "the agent's --profile is 'host'" } else { "left out of --isolation" };
    match (wanted.bounding, bounding) {
        (None, _) => audit.say("capabilities", State::Off, off),
        (Some(wanted), Ok(found)) if found.difference(wanted).is_empty() => {
            audit.say("capabilities", State::Enforced, format!("tasks can hold {found}"));
        }
        (Some(wanted), found) => {
            let beyond = found.map(|found| found.difference(wanted).to_string()).unwrap_or_default();
            audit.say(
                "capabilities",
                State::Missing,
                format!("tasks could hold {beyond} beyond their profile"),
            );
        }
    }
    let granted = subject.grants.capabilities;
    if !granted.is_empty() {
        audit.say(
            "capabilities/granted",
            State::Note,
            format!("tasks may ask for {granted} (--allow-capability)"),
        );
    }
    match (wanted.filter, field("Seccomp").as_str()) {
        (Filter::Off, _) => audit.say("seccomp", State::Off, off),
        (_, "2") => {
            let hardened = wanted.filter == Filter::Hardened;
            let groups =
                crate::supervisor::confine::seccomp::overview(hardened, wanted.bounding.unwrap_or_default());
            let calls: usize = groups.iter().filter(|(_, _, open)| *open).map(|(_, calls, _)| calls).sum();
            let how = format!(
                "{calls} system calls are allowed, all others refused, 32-bit ones said not to exist"
            );
            audit.say("seccomp", State::Enforced, how);
        }
        _ => audit.say(
            "seccomp",
            State::Missing,
            "the kernel has no system call filters (CONFIG_SECCOMP_FILTER)",
        ),
    }
    match (wanted.no_new_privs, field("NoNewPrivs").as_str()) {
        (_, "1") => {
            audit.say("no-new-privs", State::Enforced, "set-user-id files and file capabilities give nothing")
        }
        (false, _) => audit.say("no-new-privs", State::Off, off),
        (true, _) => audit.say("no-new-privs", State::Missing, "the task could gain by executing files"),
    }
}

fn limits(audit: &mut Audit, subject: &Subject, said: &str, score: &str) {
    let profile = subject.separation.profile;
    let asked = lonja_model::privileges::Privileges::default();
    let confinement = subject.grants.confine(subject.separation.confinement(profile), &asked);
    let names: Vec<String> =
        confinement.unwrap_or_default().rlimits.iter().map(|limit| limit.name().to_owned()).collect();
    let shown =
        [("NOFILE", "Max open files"), ("CORE", "Max core file size"), ("MEMLOCK", "Max locked memory")];
    let mut values = Vec::new();
    for (name, label) in shown {
        let line = said.lines().find_map(|line| line.strip_prefix(label)).unwrap_or_default();
        let mut words = line.split_whitespace();
        if let (Some(soft), Some(hard)) = (words.next(), words.next()) {
            values.push(format!("{name}={soft}:{hard}"));
        }
    }
    let state = if names.is_empty() { State::Off } else { State::Enforced };
    audit.say("rlimits", state, values.join(" "));
    let raise = if crate::supervisor::confine::capabilities::own()
        .contains(lonja_model::privileges::Capability::SYS_RESOURCE)
    {
        "the agent has CAP_SYS_RESOURCE: tasks may ask for hard limits above its own"
    } else {
        "the agent lacks CAP_SYS_RESOURCE: no task gets a hard limit above the agent's own"
    };
    audit.say("rlimits/raise", State::Note, raise);
    let how = format!("tasks at {}, the agent's supervisors below where the kernel allows", score.trim());
    audit.say("oom-score", State::Enforced, how);
}
