//! Attacks, tried inside a task, in the default and the hardened profile.
//!
//! The table has one line an attack: its number in the list of attacks, what it tries, its code, and what each of its
//! attempts may come to in either profile: errors by their names, or a word of its own. An attempt that works says
//! `done`, so that whatever is not in the line fails the check. After each attack the host is as it was and a
//! neighbour lives.
//!
//! Source: docs/isolation.md, "Attacks".

mod around;
mod beside;
mod elsewhere;
mod host_side;
mod kernel;
mod probe;
mod processes;

use lonja_agent::containerizer::{Command, Confinement, ContainerSpec, Volume, VolumeSource};
use lonja_agent::launcher::Launcher;
use lonja_model::profile::Profile;

use crate::host::{Host, need_root};
use beside::By;
use host_side::{HostSide, Untouched};
use probe::Probe;

type Verdict = Result<(), String>;

/// One attack.
pub struct Attack {
    /// Its number in the list.
    pub id: &'static str,
    /// What it tries.
    what: &'static str,
    /// Tries it.
    code: fn(&mut Probe),
    /// What its attempts may come to in the default profile.
    default: &'static str,
    /// What they may come to in the hardened profile.
    hardened: &'static str,
    /// Who tries it.
    by: By,
}

const fn row(
    id: &'static str,
    what: &'static str,
    code: fn(&mut Probe),
    default: &'static str,
    hardened: &'static str,
) -> Attack {
    Attack { id, what, code, default, hardened, by: By::Task }
}

/// The same attack, made by somebody else.
const fn made(by: By, attack: Attack) -> Attack {
    Attack { by, ..attack }
}

/// Refused by a permission, a read-only mount, or because it is not there.
const SHUT: &str = "EPERM EACCES EROFS ENOENT";
const EPERM: &str = "EPERM";
/// Shut, a program that runs, or gone by then; and others were there to be tried.
const RUNNING: &str = "EACCES EROFS ETXTBSY EPERM ENOENT ESRCH contained";

/// The attacks that this kernel can express and that need nothing but a container.
#[rustfmt::skip]
pub const TABLE: &[Attack] = &[
    row("A-1", "write the kernel's settings", kernel::write_kernel_settings, SHUT, SHUT),
    row("A-2", "write files that drive the machine", kernel::write_machine_files, SHUT, SHUT),
    row("A-3", "mount, remount or unmount by any call", kernel::mount_anything, EPERM, EPERM),
    row("A-4", "leave the root by pivot_root, or chroot twice", kernel::leave_the_root, "EPERM contained", EPERM),
    row("A-5", "make device nodes and open them", kernel::make_devices, "EPERM EACCES", "EPERM EACCES"),
    row("A-6", "open a device node that lies in the sandbox", kernel::open_a_planted_device, "EACCES", "EACCES"),
    row("A-7", "open the disk's root by its handle", kernel::open_by_handle, EPERM, EPERM),
    row("A-8", "load and unload kernel modules", kernel::load_modules, EPERM, EPERM),
    row("A-9", "start another kernel, reboot", kernel::replace_the_kernel, EPERM, EPERM),
    row("A-10", "load programs into the kernel, watch its performance", kernel::watch_the_machine, EPERM, EPERM),
    row("A-11", "userfaultfd and io_uring", kernel::take_calls_of_the_kernels_own, EPERM, EPERM),
    row("A-12", "use key rings", kernel::use_key_rings, EPERM, EPERM),
    row("A-13", "swap, accounting, quotas, ports, terminals", kernel::run_the_machine, EPERM, EPERM),
    row("A-14", "set the clock", kernel::set_the_clock, EPERM, EPERM),
    row("A-15", "rename the host", kernel::rename_the_host, EPERM, EPERM),
    row("A-16", "read the kernel's log", kernel::read_the_kernels_log, SHUT, SHUT),
    row("A-17", "watch all files", kernel::watch_all_files, EPERM, EPERM),
    row("A-17", "rare calls that only hardened tasks lack", kernel::take_rare_calls, "done", EPERM),
    row("A-18", "sockets into the kernel", kernel::open_sockets_of_the_kernel, EPERM, EPERM),
    row("A-19", "make addresses guessable", kernel::make_addresses_guessable, EPERM, EPERM),
    row("A-20", "have the host run a program by release_agent", kernel::use_the_release_agent, SHUT, SHUT),
    row("A-21", "raise limits of its own control groups", kernel::raise_its_own_limits, SHUT, SHUT),
    row("A-22", "make or enter namespaces", kernel::make_namespaces, "EPERM ENOSYS", "EPERM ENOSYS"),
    row("A-23", "call by the 32-bit and x32 tables", kernel::call_by_other_tables, "ENOSYS", "ENOSYS"),
    row("A-24", "shake off the filter", kernel::shake_off_the_filter, "EPERM EINVAL", "EPERM EINVAL"),
    row("A-24", "decide on calls by a listener", kernel::listen_to_calls, "EPERM done", EPERM),
    row("A-30", "signal, trace, read a process of the host", processes::reach_a_host_process, "ESRCH", "ESRCH EPERM"),
    row("A-31", "signal everybody", processes::signal_everybody, "contained", "contained"),
    row("A-32", "read other processes", processes::read_other_processes, "EACCES EPERM ENOENT contained", "EACCES EPERM ENOENT contained"),
    row("A-33", "open the host's shared memory and queues", processes::open_shared_memory, "ENOENT", "ENOENT"),
    row("A-34", "gain by set-user-id files and file capabilities", processes::gain_by_files, "contained EPERM", "contained EPERM"),
    row("A-35", "raise capabilities", processes::become_more, EPERM, EPERM),
    row("A-35", "become root", processes::become_root, "done", "EPERM EINVAL"),
    row("A-36", "go before others", processes::go_first, "EPERM EACCES EINVAL", "EPERM EACCES EINVAL"),
    row("A-37", "raise limits of processes, be spared by the kernel", processes::raise_process_limits, "EPERM ENOMEM EACCES", "EPERM ENOMEM EACCES"),
    row("A-38", "type into a terminal", processes::type_into_a_terminal, EPERM, EPERM),
    made(By::CommandOnTerminal, row("A-38", "type into the terminal of a command that an operator runs", beside::type_into_the_operators_terminal, "EPERM contained", "EPERM contained")),
    row("A-40", "find descriptors and environment of the agent", around::look_for_what_was_left, "contained", "contained"),
    row("A-41", "overwrite programs of the runtime", around::overwrite_the_runtime, "EACCES EROFS ETXTBSY EPERM ENOENT", "EACCES EROFS ETXTBSY EPERM ENOENT"),
    made(By::TaskThatIsEntered, row("A-41", "overwrite the program of those who enter", beside::overwrite_those_who_enter, RUNNING, RUNNING)),
    made(By::Command, row("A-43", "find descriptors and environment of the agent, having entered", around::look_for_what_was_left, "contained", "contained")),
    made(By::TaskThatIsEntered, row("A-43", "look at those who enter", beside::look_at_those_who_enter, "contained", "contained")),
    row("A-50", "send raw frames", around::send_raw_frames, EPERM, EPERM),
    // In hardened, in a network of its own, where the port is nobody else's.
    row("A-51", "bind a port below 1024", around::bind_a_low_port, "EACCES EPERM", "done"),
    row("A-52, A-57", "reach services of the host", around::reach_a_host_service, "done", "ECONNREFUSED"),
    row("A-54", "change addresses, routes, packet filters", around::change_the_network, EPERM, EPERM),
    row("A-60", "read the host's files", around::read_host_files, SHUT, SHUT),
    row("A-60", "look at neighbours and the agent's files", around::look_at_neighbours, SHUT, SHUT),
    row("A-66", "replace its logs by a link, a pipe, a folder", beside::replace_its_logs, "contained", "contained"),
    row("A-71", "read masked files", around::read_masked_files, "empty EACCES ENOENT EPERM", "empty EACCES ENOENT EPERM"),
    row("A-78", "use up kernel objects", processes::use_up_kernel_objects, "contained", "contained"),
    row("A-80", "flood its logs", beside::flood_its_output, "contained", "contained"),
    made(By::CommandInTime, row("A-81", "hang and flood as a check", beside::hang_and_flood, "contained", "contained")),
];

/// Runs one attack, inside the container.
pub fn run(index: &str) {
    let mut probe = Probe::default();
    let index: usize = index.parse().unwrap();
    (TABLE[index].code)(&mut probe);
    probe.print();
}

pub async fn the_default_profile_holds(launcher: &Launcher) -> Verdict {
    try_all(launcher, Profile::Default, &Confinement::standard(), |attack| attack.default).await
}

pub async fn the_hardened_profile_holds(launcher: &Launcher) -> Verdict {
    try_all(launcher, Profile::Hardened, &Confinement::hardened(), |attack| attack.hardened).await
}

/// The table would notice: with all of root's power on the host's files, harmless ones of the attacks work.
pub async fn a_task_that_is_not_confined_is_noticed(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let side = HostSide::prepare(&host);
    for id in ["A-1", "A-7", "A-12", "A-15", "A-16", "A-17", "A-19", "A-21", "A-23", "A-60", "A-71"] {
        let index = TABLE.iter().position(|attack| attack.id == id).unwrap();
        let mut spec = spec(&host, &format!("open{index}"), index);
        spec.profile = Profile::Host;
        spec.confinement = Confinement::host();
        side.tell(&mut spec);
        let said = host.output(spec).await;
        assert!(!judge(&said, TABLE[index].default).is_empty(), "{id} says nothing of it: {said}");
    }
    Ok(())
}

/// Profile `host` hides no program from a task that is root: that of the runtime cannot be overwritten for all that,
/// as long as anything of it runs, which is as long as there are tasks.
pub async fn profile_host_keeps_the_programs_of_the_runtime(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let side = HostSide::prepare(&host);
    let neighbour = host.start_shell("neighbour", "exec sleep 1000").await;
    let untouched = Untouched::look(neighbour, &side);
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    for (index, attack) in TABLE.iter().enumerate().filter(|(_, attack)| attack.id == "A-41") {
        let mut spec = spec(&host, &format!("attack{index}"), index);
        spec.profile = Profile::Host;
        spec.confinement = Confinement::host();
        side.tell(&mut spec);
        let said = beside::carry_out(&host, spec, attack.by).await;
        // The name of a program can be read there, and no more.
        let said: Vec<&str> = said.lines().filter(|line| *line != "init's program by name=done").collect();
        assert_eq!(judge(&said.join("\n"), RUNNING), Vec::<String>::new());
        untouched.compare().unwrap();
    }
    let now = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(program == now, "the program was overwritten");
    Ok(())
}

/// Every number of the list is in the table, or is said to be elsewhere.
pub async fn every_attack_of_the_list_has_its_line(_launcher: &Launcher) -> Verdict {
    let mut named: Vec<&str> = TABLE.iter().flat_map(|attack| attack.id.split(", ")).collect();
    named.extend(elsewhere::ELSEWHERE.iter().map(|elsewhere| elsewhere.id));
    let ranges = [1..=24, 30..=48, 50..=57, 60..=68, 70..=82];
    for number in ranges.into_iter().flatten() {
        let id = format!("A-{number}");
        assert!(named.contains(&id.as_str()), "{id} has no line");
    }
    let docs = include_str!("../../../../docs/isolation.md");
    for Attack { id, what, default, hardened, .. } in TABLE {
        let line = format!("| {id} | {what} | {default} | {hardened} |");
        assert!(docs.contains(&line), "docs/isolation.md says otherwise than: {line}");
    }
    elsewhere::each_is_tried_where_it_says_or_says_why_not(docs);
    Ok(())
}

async fn try_all(
    launcher: &Launcher,
    profile: Profile,
    confinement: &Confinement,
    expected: fn(&Attack) -> &'static str,
) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let side = HostSide::prepare(&host);
    let neighbour = host.start_shell("neighbour", "echo secret; exec sleep 1000").await;
    let untouched = Untouched::look(neighbour, &side);
    // `LONJA_ATTACK=A-5`, or `all`: what the attempts came to.
    let only = std::env::var("LONJA_ATTACK").ok();
    let mut wrong = Vec::new();
    for (index, attack) in TABLE.iter().enumerate() {
        if only.as_ref().is_some_and(|only| only != "all" && !attack.id.split(", ").any(|id| id == only)) {
            continue;
        }
        let id = format!("attack{index}");
        let mut spec = spec(&host, &id, index);
        spec.profile = profile;
        spec.confinement = confinement.clone();
        spec.user = (profile == Profile::Hardened).then(|| "nobody".to_owned());
        side.tell(&mut spec);
        side.plant(&host.sandbox(&id));
        let said = beside::carry_out(&host, spec, attack.by).await;
        if only.is_some() {
            println!("{} {} ({profile})\n{said}", attack.id, attack.what);
        }
        let mut because: Vec<String> = judge(&said, expected(attack));
        if let Err(harm) = untouched.compare() {
            because.push(harm);
        }
        for reason in because {
            wrong.push(format!("{} {} ({profile}): {reason}", attack.id, attack.what));
        }
    }
    assert!(wrong.is_empty(), "{} attempts went otherwise:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// What of an attack's report is not as it should be.
fn judge(said: &str, expected: &str) -> Vec<String> {
    let allowed: Vec<&str> = expected.split(' ').collect();
    let mut wrong: Vec<String> = said
        .lines()
        .filter(|line| !line.rsplit_once('=').is_some_and(|(_, outcome)| allowed.contains(&outcome)))
        .map(|line| format!("{line}, expected {expected}"))
        .collect();
    if said.is_empty() {
        wrong.push("it said nothing".to_owned());
    }
    wrong
}

/// A container that runs the attack: this very program, mounted read-only.
fn spec(host: &Host, id: &str, index: usize) -> ContainerSpec {
    let mut spec = host.spec(id, "");
    spec.logs = Some(beside::KEPT);
    let arguments = vec!["attack".to_owned(), index.to_string()];
    spec.command = Command::Argv { program: "./probe".into(), args: arguments };
    spec.volumes.push(Volume {
        source: VolumeSource::host(std::env::current_exe().unwrap()),
        container_path: "probe".into(),
        read_only: true,
    });
    spec
}
