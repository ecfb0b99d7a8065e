//! What around the containers bears on them: control groups, disk, network, settings of the kernel.

use std::fs;
use std::path::Path;

use super::{Audit, State, Subject};
use crate::isolation::Layout;
use crate::supervisor::Network;

/// Which control groups there are.
pub(super) fn control_groups(audit: &mut Audit, layout: &Layout) {
    let how = match layout {
        Layout::V1(_) => "v1, one hierarchy a controller".to_owned(),
        Layout::Hybrid { unified, .. } => {
            format!("v1 for limits, v2 at {} for killing and counting", unified.display())
        }
        Layout::V2 { root } => format!("v2, below {}", root.display()),
        Layout::Unlimited { why } => format!("none that can be used: {why}"),
    };
    audit.say("cgroups", State::Note, how);
    let pressure = Path::new("/proc/pressure/memory").exists();
    let how =
        if pressure { "the kernel measures pressure (PSI)" } else { "the kernel measures no pressure (PSI)" };
    audit.say("cgroups/pressure", State::Note, how);
}

/// By what means the disk of a sandbox can be limited where `folder` lies.
pub(super) fn disk(audit: &mut Audit, folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let folder = &std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let Some((kind, options)) = file_system_of(&mounts, folder) else {
        return audit.say("disk", State::Note, "the file system of the work dir is unknown");
    };
    let hard = match kind.as_str() {
        "btrfs" => "quota groups (hard)",
        "xfs" | "ext4" if options.contains("prjquota") || options.contains("pquota") => {
            "project quotas (hard)"
        }
        "tmpfs" => "polling (soft); its memory is the host's",
        _ => "polling (soft); a loop image per sandbox gives hard limits as root",
    };
    audit.say("disk", State::Note, format!("{} is on {kind}: {hard}", folder.display()));
}

/// Kind and super options of the file system that a path is on.
fn file_system_of(mounts: &str, path: &Path) -> Option<(String, String)> {
    let mut best: Option<(usize, String, String)> = None;
    for line in mounts.lines() {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        let mut words = file_system.split(' ');
        let (kind, options) = (words.next()?, words.nth(1).unwrap_or_default());
        // The last of several at one place is the one that is seen.
        if path.starts_with(point) && best.as_ref().is_none_or(|(length, ..)| *length <= point.len()) {
            best = Some((point.len(), kind.to_owned(), options.to_owned()));
        }
    }
    best.map(|(_, kind, options)| (kind, options))
}

/// What a task on the host's network reaches.
pub(super) fn network(audit: &mut Audit, subject: &Subject) {
    if subject.separation.mould().network != Network::Host {
        audit.say("network", State::Enforced, "every container has a loopback of its own and nothing else");
        return;
    }
    let mut listening = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        listening.extend(listeners(&fs::read_to_string(table).unwrap_or_default()));
    }
    listening.sort_unstable();
    listening.dedup();
    let unix = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let mut hidden: Vec<&str> =
        unix.lines().filter_map(|line| line.split(' ').next_back()?.strip_prefix('@')).collect();
    hidden.sort_unstable();
    hidden.dedup();
    let ports: Vec<String> = listening.iter().take(12).map(u16::to_string).collect();
    let more = if listening.len() > ports.len() { ", ..." } else { "" };
    let how = match ports.is_empty() {
        true => "shared with the host: tasks reach all that listens here, at present nothing".to_owned(),
        false => format!(
            "shared with the host: tasks reach all that listens here, loopback included, at present TCP ports {}{more}",
            ports.join(", ")
        ),
    };
    audit.say("network", State::Note, how);
    let how = format!(
        "tasks reach the host's {} abstract unix sockets; the master's and agent's APIs ask nobody who they are yet",
        hidden.len()
    );
    audit.say("network/exposed", State::Note, how);
}

/// Ports that a table of /proc/net says to be listened on.
fn listeners(table: &str) -> Vec<u16> {
    const LISTENING: &str = "0A";
    let port = |line: &str| {
        let mut words = line.split_whitespace();
        let (local, state) = (words.nth(1)?, words.nth(1)?);
        let (_, port) = local.rsplit_once(':')?;
        (state == LISTENING).then(|| u16::from_str_radix(port, 16).ok())?
    };
    table.lines().filter_map(port).collect()
}

/// Settings of the kernel that stand behind isolation.
pub(super) fn host(audit: &mut Audit) {
    let setting =
        |path: &str| fs::read_to_string(format!("/proc/sys/{path}")).unwrap_or_default().trim().to_owned();
    let kernel = setting("kernel/osrelease");
    audit.say("kernel", State::Note, format!("Linux {kernel}"));
    if setting("kernel/unprivileged_bpf_disabled") == "0" {
        let how =
            "programs in the kernel are open to every user of the host; tasks are kept from them by seccomp";
        audit.say("kernel/bpf", State::Note, how);
    }
    let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    if !modules.is_empty() {
        audit.say("kernel/security-modules", State::Note, modules.trim().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_ports_are_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
                     \x20  0: 0100007F:13BA 00000000:0000 0A 00000000:00000000\n\
                     \x20  1: 0100007F:1F90 0100007F:A1B2 01 00000000:00000000\n";
        assert_eq!(listeners(table), [5050]);
    }

    #[test]
    fn a_path_is_on_the_last_mount_of_its_longest_prefix() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n\
                      2 1 0:5 / /data rw - tmpfs none rw\n\
                      3 1 8:2 / /data rw - xfs /dev/b rw,prjquota\n";
        let of = |path: &str| file_system_of(mounts, Path::new(path)).unwrap();
        assert_eq!(of("/database/x").0, "ext4");
        assert_eq!(of("/data/x"), ("xfs".to_owned(), "rw,prjquota".to_owned()));
    }
}
