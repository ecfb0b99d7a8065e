//! The agent dies at a step of making, using or removing a sandbox that has a file system of its own. Then it is started
//! again, the task has run once or not at all, and neither a mount, nor a loop device, nor an image is left (INV-26, INV-42).

use lonja_tests::{Cluster, eventually, needs_root, stderr};

use crate::disk::{TakenOff, has_loops, mounts_and_loops, sandboxes, work_dir};

const RESOURCES: &str = "cpus:4;mem:2048;disk:1000";

/// Where it dies, and how the task, which ends with status 7, is told to have ended; 125: by us.
const STEPS: &[(&str, i32)] = &[
    ("agent: image formatted", 125),
    ("agent: image mounted", 125),
    ("agent: image attached", 125),
    ("agent: sandbox made", 125),
    ("agent: launcher asked", 7),
    ("agent: start known", 7),
    ("agent: image taken off", 7),
    ("agent: end known", 7),
    ("agent: cleaned up", 7),
    ("agent: sandbox removed", 7),
    ("agent: image removed", 7),
];

#[test]
fn wherever_the_agent_dies_nothing_of_an_image_is_left() {
    if needs_root() || !has_loops() {
        return;
    }
    let broken: Vec<String> = STEPS
        .iter()
        .filter_map(|(step, code)| survives(step, *code).err().map(|why| format!("{step}: {why}")))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Errors: what is not as it should be.
fn survives(step: &str, code: i32) -> Result<(), String> {
    let settings = [
        ("LONJA_AGENT_DISK_LIMIT", "loop"),
        ("LONJA_AGENT_GC_DELAY", "0s"),
        ("LONJA_AGENT_DISK_WATCH_INTERVAL", "20ms"),
    ];
    let mut cluster = Cluster::without_agent(&[]);
    cluster.start_agent_in(RESOURCES, &[&settings[..], &[("LONJA_FAILPOINT", step)]].concat());
    let _taken_off = TakenOff(work_dir(&cluster));
    let child = cluster.spawn_run(&["--disk", "4", "--", "sh", "-c", "echo here > file; exit 7"]);
    cluster.agent.take().unwrap().ended();

    cluster.start_agent_in(RESOURCES, &settings);

    let output = child.wait_with_output().unwrap();
    if output.status.code() != Some(code) {
        return Err(format!("the task ended with {:?}: {}", output.status.code(), stderr(&output)));
    }
    let again = cluster.spawn_run(&["--disk", "4", "--", "true"]).wait_with_output().unwrap();
    if again.status.code() != Some(0) {
        return Err(format!("the next task ends with {}", stderr(&again)));
    }
    let images = work_dir(&cluster).join("disks");
    eventually(&format!("{step}: nothing is left"), || {
        let images = std::fs::read_dir(&images).ok()?.count();
        ((images, sandboxes(&cluster), mounts_and_loops(&cluster)) == (0, 0, (0, 0))).then_some(())
    });
    Ok(())
}
