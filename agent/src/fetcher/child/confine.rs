//! What a fetching process gives up before it hears from any server.
//!
//! Invariants
//! - From [`enter`] on it is the task's user, without capabilities and unable to gain any or to execute anything.
//! - It reaches files of the host only beneath the sandbox, the ones that its job names, and how names are resolved.
//! - It ends when its input closes, which the agent's death does.
//!
//! Source: landlock(7), capabilities(7), docs/isolation.md, "Files".

use std::io::{self, Read};
use std::path::Path;

use caps::CapSet;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, Scope,
};
use nix::sys::resource::{Resource, setrlimit};
use rustix::fs::{Mode, OFlags};

use super::super::job::{Job, Origin};
use super::folder::Folder;
use crate::supervisor::sys;

/// What names are resolved with.
const NAMES: [&str; 11] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/ld.so.cache",
    "/run/systemd/resolve",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
];

/// Open descriptors, threads and connections included.
const MOST_DESCRIPTORS: u64 = 128;

/// Memory, in bytes; an archive that makes a library ask for more ends the fetch.
const MOST_MEMORY: u64 = 1 << 30;

pub(super) fn enter(job: &Job, sandbox: Option<&Folder>) -> io::Result<()> {
    // Nobody of the same user may look into this process, which began with more rights.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    sys::set_process_name(c"lonja-fetcher");
    // Before threads, which would keep their rights.
    if let Some(user) = &job.user {
        sys::become_user(user.uid, user.gid, &user.groups)?;
    }
    give_up_capabilities()?;
    restrict_files(job, sandbox).map_err(|error| io::Error::other(format!("Landlock: {error}")))?;
    std::thread::Builder::new().name("lifeline".to_owned()).stack_size(64 << 10).spawn(|| {
        let mut rest = [0; 64];
        while io::stdin().read(&mut rest).is_ok_and(|count| count > 0) {}
        sys::exit_now(3);
    })?;
    limit(job)
}

fn give_up_capabilities() -> io::Result<()> {
    // Without CAP_SETPCAP the bounding set stays, and is of no use to who has none and cannot execute.
    for set in [CapSet::Bounding, CapSet::Ambient] {
        let _stays = caps::clear(None, set);
    }
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(())
}

fn limit(job: &Job) -> io::Result<()> {
    let limits = [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, MOST_DESCRIPTORS),
        (Resource::RLIMIT_AS, MOST_MEMORY),
        (Resource::RLIMIT_FSIZE, job.most_bytes),
        (Resource::RLIMIT_CPU, job.seconds),
        (Resource::RLIMIT_NPROC, 0),
    ];
    for (resource, most) in limits {
        // Lower than that already is fine.
        let (_, hard) = nix::sys::resource::getrlimit(resource)?;
        let most = most.min(hard);
        setrlimit(resource, most, most)?;
    }
    Ok(())
}

fn restrict_files(job: &Job, sandbox: Option<&Folder>) -> Result<(), landlock::RulesetError> {
    // As much of it as this kernel has; a kernel without any leaves the user's own rights.
    let all = AccessFs::from_all(ABI::V5);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?;
    if let Some(sandbox) = sandbox {
        let write = all
            & !(AccessFs::Execute
                | AccessFs::MakeChar
                | AccessFs::MakeBlock
                | AccessFs::MakeFifo
                | AccessFs::MakeSock
                | AccessFs::IoctlDev);
        ruleset = ruleset.add_rule(PathBeneath::new(sandbox.handle(), write))?;
    }
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for name in NAMES {
        ruleset = allow(ruleset, Path::new(name), read)?;
    }
    for item in &job.items {
        if let Origin::Host { path, .. } = &item.origin {
            ruleset = allow(ruleset, path, AccessFs::ReadFile.into())?;
        }
    }
    ruleset.restrict_self().map(drop)
}

/// What is not there needs no rule.
fn allow(
    ruleset: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let Ok(place) = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
        return Ok(ruleset);
    };
    let is_folder = rustix::fs::fstat(&place).is_ok_and(|found| {
        rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::Directory
    });
    let access = if is_folder { access } else { access & AccessFs::from_file(ABI::V5) };
    ruleset.add_rule(PathBeneath::new(place, access))
}
