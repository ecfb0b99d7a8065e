//! After many containers the host is as it was before the first (INV-42).

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use lonja_agent::containerizer::{Command, Containerizer, Nested, Network};
use lonja_agent::launcher::Launcher;

use crate::host::{Host, eventually, name, need_root};
use crate::spares::{SPARES, ready_spares};

type Verdict = Result<(), String>;

/// How many; `LONJA_LEAK_LAUNCHES` for more.
const LAUNCHES: usize = 200;

/// How many groups of three.
const GROUPS: usize = 30;

/// What containers could leave behind on the host.
#[derive(Debug, PartialEq, Eq)]
struct Base {
    mounts: usize,
    namespaces: usize,
    loop_devices: usize,
    own_descriptors: usize,
    launchers_descriptors: usize,
    zombies: usize,
    temporary_files: usize,
    run_dirs: usize,
    task_groups: usize,
    supervisors: usize,
    groups: usize,
}

impl Base {
    fn of(host: &Host, launcher: &Launcher) -> Self {
        let count = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
        let below = format!("/proc/{}/fd", launcher.pid());
        let tree = processes_below(launcher.pid());
        Self {
            mounts: fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count(),
            namespaces: namespaces(&tree),
            loop_devices: fs::read_dir("/sys/block")
                .into_iter()
                .flatten()
                .flatten()
                .filter(is_used_loop)
                .count(),
            own_descriptors: count("/proc/self/fd"),
            launchers_descriptors: count(&below),
            zombies: tree.iter().filter(|(_, state)| *state == 'Z').count(),
            temporary_files: count(host.dir.path().to_str().unwrap()),
            run_dirs: count(host.dir.path().join("work/run").to_str().unwrap()),
            task_groups: count(host.dir.path().join("work/groups").to_str().unwrap()),
            supervisors: tree.len(),
            groups: host.layout.groups(&host.instance).unwrap().len(),
        }
    }
}

fn is_used_loop(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with("loop") && entry.path().join("loop/backing_file").exists()
}

/// Processes below another, with their states. Spares are among them, as many before as after.
fn processes_below(root: i32) -> Vec<(i32, char)> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let (Some(state), Some(parent)) = (fields.next(), fields.next()) else { continue };
        all.push((pid, parent.parse::<i32>().unwrap(), state.chars().next().unwrap()));
    }
    let mut found = vec![(root, ' ')];
    let mut next = 0;
    while let Some(&(parent, _)) = found.get(next) {
        found.extend(all.iter().filter(|(_, of, _)| *of == parent).map(|(pid, _, state)| (*pid, *state)));
        next += 1;
    }
    found.split_off(1)
}

/// Namespaces that these processes keep alive.
fn namespaces(processes: &[(i32, char)]) -> usize {
    let mut seen = BTreeSet::new();
    for (pid, _) in processes {
        let all = fs::read_dir(format!("/proc/{pid}/ns")).into_iter().flatten().flatten();
        seen.extend(all.filter_map(|entry| fs::read_link(entry.path()).ok()));
    }
    seen.len()
}

pub async fn many_launches_leave_the_host_as_it_was(launcher: &Launcher) -> Verdict {
    need_root()?;
    let launches = std::env::var("LONJA_LEAK_LAUNCHES").ok().and_then(|many| many.parse().ok());
    let host = Host::new(launcher);
    // The first brings caches and spares into their usual state.
    for warm in 0..4 {
        run_to_its_end(&host, &format!("warm{warm}")).await;
    }
    ready_spares(&host).await;
    // Each is a supervisor and an init; those of earlier checks are still on their way out.
    eventually("only our spares are left", || processes_below(launcher.pid()).len() == 2 * SPARES).await;
    let base = Base::of(&host, launcher);

    for number in 0..launches.unwrap_or(LAUNCHES) {
        run_to_its_end(&host, &format!("c{number}")).await;
    }

    back_to(&host, launcher, &base).await;
    Ok(())
}

async fn back_to(host: &Host, launcher: &Launcher, base: &Base) {
    ready_spares(host).await;
    let what = format!("all is as it was: {base:?}, and not {:?}", Base::of(host, launcher));
    eventually(&what, || Base::of(host, launcher) == *base).await;
}

/// Also of what tasks of groups share, and of what commands beside them leave behind.
pub async fn many_groups_leave_the_host_as_it_was(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    for warm in 0..4 {
        run_group(&host, &format!("warm{warm}")).await;
    }
    eventually("the spares of both kinds are there", || host.spares().len() == 2 * SPARES).await;
    eventually("only our spares are left", || processes_below(launcher.pid()).len() == 4 * SPARES).await;
    let base = Base::of(&host, launcher);

    for number in 0..GROUPS {
        run_group(&host, &format!("g{number}")).await;
    }

    eventually("the spares of both kinds are there", || host.spares().len() == 2 * SPARES).await;
    let what = format!("all is as it was: {base:?}, and not {:?}", Base::of(&host, launcher));
    eventually(&what, || Base::of(&host, launcher) == base).await;
    Ok(())
}

async fn run_group(host: &Host, group: &str) {
    let ids = [0, 1, 2].map(|number| format!("{group}.{number}"));
    let starts = ids.iter().map(|id| {
        let mut spec = host.spec(id, "exec sleep 300");
        spec.joins = Some(name(group));
        spec.network = Network::None;
        host.start(spec)
    });
    futures::future::join_all(starts).await;
    let leaves = Nested::new(Command::Shell("setsid sleep 300 & exit 0".to_owned()));
    let ran = host.containerizer.run_inside(&name(&ids[0]), leaves).await.unwrap();
    ran.collect(100).await.unwrap();
    for id in &ids {
        host.kill(id, Duration::ZERO).await;
        host.exit_of(id).await;
        host.containerizer.cleanup(&name(id)).await.unwrap();
        fs::remove_dir_all(host.sandbox(id)).unwrap();
    }
}

async fn run_to_its_end(host: &Host, id: &str) {
    host.start_shell(id, "exit 0").await;
    host.exit_of(id).await;
    host.containerizer.cleanup(&name(id)).await.unwrap();
    fs::remove_dir_all(host.sandbox(id)).unwrap();
}
