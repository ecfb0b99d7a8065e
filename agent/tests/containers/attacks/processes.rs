//! Attacks on processes, identity and scheduling.
#![allow(unsafe_code, reason = "attacks are raw system calls")]

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::probe::{Probe, at, in_child, raw, text};

/// A process of the host, as the host counts.
fn host_pid() -> u64 {
    std::env::var("HOST_PID").unwrap().parse().unwrap()
}

fn flag(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

pub fn reach_a_host_process(probe: &mut Probe) {
    let pid = host_pid();
    let buffer = [0_u64; 8];
    probe.call("kill", libc::SYS_kill, &[pid, 0]);
    probe.call("tgkill", libc::SYS_tgkill, &[pid, pid, 0]);
    probe.call("ptrace", libc::SYS_ptrace, &[libc::PTRACE_SEIZE.into(), pid]);
    let vector = [at(&buffer), 8];
    probe.call("process_vm_readv", libc::SYS_process_vm_readv, &[pid, at(&vector), 1, at(&vector), 1]);
    probe.call("process_vm_writev", libc::SYS_process_vm_writev, &[pid, at(&vector), 1, at(&vector), 1]);
    probe.call("pidfd_open", libc::SYS_pidfd_open, &[pid, 0]);
    probe.call("prlimit", libc::SYS_prlimit64, &[pid, 7, 0, at(&buffer)]);
    probe.call("kcmp", libc::SYS_kcmp, &[pid, u64::from(std::process::id()), 0]);
    probe.call("sched_setaffinity", libc::SYS_sched_setaffinity, &[pid, 8, at(&buffer)]);
}

/// What happens to others is the host's to judge; the signal is one that ends whom it reaches.
pub fn signal_everybody(probe: &mut Probe) {
    drop(raw(libc::SYS_kill, &[u64::MAX, libc::SIGTERM as u64]));
    (0..1_000).for_each(|_| drop(raw(libc::SYS_kill, &[1, libc::SIGKILL as u64])));
    probe.say("still here", "contained");
}

pub fn read_other_processes(probe: &mut Probe) {
    probe.note("/proc/1/environ", fs::read("/proc/1/environ").map(|_| ()));
    probe.note("/proc/1/root", fs::read_dir("/proc/1/root/").map(|_| ()));
    probe.note("/proc/1/cwd", fs::read_dir("/proc/1/cwd/").map(|_| ()));
    probe.note("/proc/1/mem", fs::File::open("/proc/1/mem").map(|_| ()));
    probe.note("/proc/1/maps", fs::read("/proc/1/maps").map(|_| ()));
    let host = format!("/proc/{}/cmdline", host_pid());
    probe.note("a process of the host", fs::read(host).map(|_| ()));
    let numbers = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
    probe.say("processes to be seen", if numbers.count() <= 3 { "contained" } else { "more" });
}

/// The host has a segment, a semaphore, a queue with this key, and a POSIX queue of this name.
pub fn open_shared_memory(probe: &mut Probe) {
    let key: u64 = std::env::var("HOST_KEY").unwrap().parse().unwrap();
    probe.call("shared memory", libc::SYS_shmget, &[key, 0, 0]);
    probe.call("semaphores", libc::SYS_semget, &[key, 0, 0]);
    probe.call("messages", libc::SYS_msgget, &[key, 0]);
    let name = text(&format!("lonja-{key}"));
    probe.call("POSIX queue", libc::SYS_mq_open, &[at(name.as_c_str()), 0]);
}

/// `as-root` is a copy of id(1), root's, with the set-user-id bit; `with-power` one with file capabilities.
pub fn gain_by_files(probe: &mut Probe) {
    let as_nobody = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments);
        // SAFETY: only system calls between fork and exec.
        unsafe {
            command.pre_exec(|| {
                // In a hardened task there is nobody else to become.
                libc::setresuid(65_534, 65_534, 65_534);
                Ok(())
            })
        };
        command.output()
    };
    match as_nobody("./as-root", &["-u"]) {
        Ok(output) => {
            let user = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            probe.say("set-user-id", if user == "0" { "root" } else { "contained" });
        }
        Err(error) => probe.note("set-user-id", Err(error)),
    }
    match as_nobody("./with-power", &["CapEff", "/proc/self/status"]) {
        Ok(output) => {
            let held = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let none = held.ends_with("\t0000000000000000");
            probe.say("file capabilities", if none { "contained" } else { held.as_str() });
        }
        Err(error) => probe.note("file capabilities", Err(error)),
    }
}

pub fn become_more(probe: &mut Probe) {
    let header = [0x2008_0522_u64];
    let all = [u64::MAX, u64::MAX, u64::MAX];
    probe.call("capset all", libc::SYS_capset, &[at(&header), at(&all)]);
    for (name, number) in [("SYS_ADMIN", 21_u64), ("NET_RAW", 13), ("SYS_PTRACE", 19)] {
        let raise = libc::PR_CAP_AMBIENT_RAISE as u64;
        let arguments = [libc::PR_CAP_AMBIENT as u64, raise, number, 0, 0];
        probe.call(&format!("ambient {name}"), libc::SYS_prctl, &arguments);
    }
}

/// Being root inside is being nobody outside, or impossible.
pub fn become_root(probe: &mut Probe) {
    probe.call("setuid", libc::SYS_setresuid, &[0, 0, 0]);
    probe.call("setgid", libc::SYS_setresgid, &[0, 0, 0]);
    let groups = [0_u32];
    probe.call("setgroups", libc::SYS_setgroups, &[1, at(&groups)]);
}

pub fn go_first(probe: &mut Probe) {
    probe.call("nice", libc::SYS_setpriority, &[0, 0, flag(-20)]);
    let priority = [10_i32];
    probe.call("FIFO", libc::SYS_sched_setscheduler, &[0, 1, at(&priority)]);
    // size, policy 6 (deadline), flags, nice, priority, runtime, deadline, period
    let deadline = [48_u64 | 6 << 32, 0, 0, 10_000_000, 30_000_000, 30_000_000];
    probe.call("DEADLINE", libc::SYS_sched_setattr, &[0, at(&deadline), 0]);
    probe.call("realtime disk", libc::SYS_ioprio_set, &[1, 0, 1 << 13]);
    let mut processors = [0_u64; 16];
    processors[15] = 1;
    probe.call("a processor that it has not", libc::SYS_sched_setaffinity, &[0, 128, at(&processors)]);
}

pub fn raise_process_limits(probe: &mut Probe) {
    for (name, resource) in [("NOFILE", 7_u64), ("CORE", 4), ("MEMLOCK", 8)] {
        let mut now = [0_u64; 2];
        drop(raw(libc::SYS_getrlimit, &[resource, now.as_mut_ptr() as u64]));
        now[1] = now[1].saturating_add(1 << 21);
        probe.call(name, libc::SYS_setrlimit, &[resource, at(&now)]);
    }
    let much = vec![1_u8; 72 << 20];
    probe.call("mlock", libc::SYS_mlock, &[at(much.as_slice()), 72 << 20]);
    probe.note("oom_score_adj", fs::write("/proc/self/oom_score_adj", "-1000"));
}

pub fn type_into_a_terminal(probe: &mut Probe) {
    let mut master = -1;
    let mut own = -1;
    // SAFETY: both numbers outlive the call; nothing else is asked for.
    let opened = unsafe {
        libc::openpty(&mut master, &mut own, std::ptr::null_mut(), std::ptr::null(), std::ptr::null())
    };
    let terminal = if opened == 0 { flag(own) } else { 0 };
    let letter = [b'x'];
    probe.call("TIOCSTI", libc::SYS_ioctl, &[terminal, libc::TIOCSTI, at(&letter)]);
    // What the kernel does not look at must not hide it.
    probe.call("TIOCSTI, disguised", libc::SYS_ioctl, &[terminal, libc::TIOCSTI | 1 << 32, at(&letter)]);
    probe.call("TIOCLINUX", libc::SYS_ioctl, &[terminal, 0x541c, at(&letter)]);
}

/// Descriptors, watches, timers and terminals until none is left; the host then must still have some.
pub fn use_up_kernel_objects(probe: &mut Probe) {
    let all = |call: fn() -> i64| {
        in_child(|| {
            let mut made = 0;
            while made < 600_000 && call() >= 0 {
                made += 1;
            }
            i32::from(made >= 600_000)
        })
    };
    let verdict = |status: i32| if status == 0 { "contained" } else { "without end" };
    probe.say("descriptors", verdict(all(|| raw(libc::SYS_eventfd2, &[0, 0]).0)));
    probe.say("watches", verdict(all(|| raw(libc::SYS_inotify_init1, &[0]).0)));
    probe.say("sockets", verdict(all(|| raw(libc::SYS_socket, &[1, 1, 0]).0)));
    probe.say("waiting", verdict(all(|| raw(libc::SYS_epoll_create1, &[0]).0)));
    probe.say("memory files", verdict(all(|| raw(libc::SYS_memfd_create, &[at(c"x"), 0]).0)));
    probe.say(
        "timers",
        verdict(all(|| {
            let mut timer = 0_i32;
            raw(libc::SYS_timer_create, &[0, 0, std::ptr::from_mut(&mut timer) as u64]).0
        })),
    );
    probe.say(
        "terminals",
        verdict(all(|| {
            raw(libc::SYS_openat, &[flag(libc::AT_FDCWD), at(c"/dev/ptmx"), libc::O_RDWR as u64]).0
        })),
    );
}
