//! Attacks on the kernel's interfaces.
#![allow(unsafe_code, reason = "attacks are raw system calls")]

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::probe::{Probe, at, raw, text};

const NEW_SPACES: [(&str, i32); 7] = [
    ("user", libc::CLONE_NEWUSER),
    ("mount", libc::CLONE_NEWNS),
    ("network", libc::CLONE_NEWNET),
    ("pid", libc::CLONE_NEWPID),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
];

fn flag(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

pub fn write_kernel_settings(probe: &mut Probe) {
    probe.open_for_write(&[
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hostname",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sys/fs/file-max",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/core/somaxconn",
    ]);
}

pub fn write_machine_files(probe: &mut Probe) {
    probe.open_for_write(&[
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/proc/irq/0/smp_affinity",
        "/proc/bus/pci/00/00.0",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/power/state",
        "/sys/kernel/uevent_helper",
    ]);
}

pub fn mount_anything(probe: &mut Probe) {
    let mount = |kind: &str, from: &str, onto: &str, flags: u64| {
        let (from, onto, kind) = (text(from), text(onto), text(kind));
        raw(libc::SYS_mount, &[at(from.as_c_str()), at(onto.as_c_str()), at(kind.as_c_str()), flags, 0]).1
    };
    for kind in ["tmpfs", "proc", "sysfs", "overlay", "cgroup2", "mqueue"] {
        probe.note(kind, mount(kind, "none", "/tmp", 0));
    }
    probe.note("bind", mount("", "/", "/tmp", libc::MS_BIND));
    probe.note("remount", mount("", "none", "/proc/sys", libc::MS_REMOUNT | libc::MS_BIND));
    probe.note("share", mount("", "none", "/", libc::MS_SHARED | libc::MS_REC));
    let path = text("/proc/kcore");
    probe.call("unmount a mask", libc::SYS_umount2, &[at(path.as_c_str()), libc::MNT_DETACH as u64]);
    let root = text("/");
    let tmpfs = text("tmpfs");
    probe.call("fsopen", libc::SYS_fsopen, &[at(tmpfs.as_c_str())]);
    probe.call("fspick", libc::SYS_fspick, &[0, at(root.as_c_str())]);
    probe.call("fsconfig", libc::SYS_fsconfig, &[0, 6]);
    probe.call("fsmount", libc::SYS_fsmount, &[0]);
    probe.call("open_tree", libc::SYS_open_tree, &[flag(libc::AT_FDCWD), at(root.as_c_str()), 1]);
    probe.call("move_mount", libc::SYS_move_mount, &[flag(libc::AT_FDCWD), at(root.as_c_str())]);
    let attributes = [0_u64; 4];
    let arguments = [flag(libc::AT_FDCWD), at(root.as_c_str()), 0, at(&attributes), 32];
    probe.call("mount_setattr", libc::SYS_mount_setattr, &arguments);
}

pub fn leave_the_root(probe: &mut Probe) {
    let here = text(".");
    probe.call("pivot_root", libc::SYS_pivot_root, &[at(here.as_c_str()), at(here.as_c_str())]);
    let root = || fs::metadata("/").map(|root| (root.dev(), root.ino()));
    let before = root().unwrap();
    fs::create_dir_all("below").unwrap();
    let below = text("below");
    // The old trick: a root below the working directory lets `..` go on beyond it.
    let (_, entered) = raw(libc::SYS_chroot, &[at(below.as_c_str())]);
    if entered.is_ok() {
        let up = text("..");
        (0..64).for_each(|_| drop(raw(libc::SYS_chdir, &[at(up.as_c_str())])));
        drop(raw(libc::SYS_chroot, &[at(here.as_c_str())]));
        probe.say("chroot twice", if root().unwrap() == before { "contained" } else { "elsewhere" });
    } else {
        probe.note("chroot", entered);
    }
}

pub fn make_devices(probe: &mut Probe) {
    let devices = [
        ("memory", libc::S_IFCHR, 1, 1),
        ("kmsg", libc::S_IFCHR, 1, 11),
        ("loop-control", libc::S_IFCHR, 10, 237),
        ("fuse", libc::S_IFCHR, 10, 229),
        ("kvm", libc::S_IFCHR, 10, 232),
        ("loop0", libc::S_IFBLK, 7, 0),
        ("sda", libc::S_IFBLK, 8, 0),
        ("vda", libc::S_IFBLK, 254, 0),
    ];
    for (name, kind, major, minor) in devices {
        let path = text(name);
        let device = libc::makedev(major, minor);
        let (_, made) = raw(
            libc::SYS_mknodat,
            &[flag(libc::AT_FDCWD), at(path.as_c_str()), u64::from(kind | 0o666), device],
        );
        match made {
            Ok(()) => probe.note(name, fs::File::open(name).map(|_| ())),
            refused => probe.note(name, refused),
        }
    }
}

/// `device`, a node for /dev/zero, was put into the sandbox by the host.
pub fn open_a_planted_device(probe: &mut Probe) {
    probe.note("device", fs::File::open("device").map(|_| ()));
}

pub fn open_by_handle(probe: &mut Probe) {
    // A handle of the root directory of most file systems: inode 2.
    let mut handle = [0_u32; 8];
    handle[..4].copy_from_slice(&[8, 1, 2, 0]);
    let mount = fs::File::open(".").unwrap();
    let directory = std::os::fd::AsRawFd::as_raw_fd(&mount);
    probe.call("open_by_handle_at", libc::SYS_open_by_handle_at, &[flag(directory), at(&handle), 0]);
}

pub fn load_modules(probe: &mut Probe) {
    let nothing = text("");
    probe.call("init_module", libc::SYS_init_module, &[at(&nothing), 1, at(nothing.as_c_str())]);
    probe.call("finit_module", libc::SYS_finit_module, &[u64::MAX, at(nothing.as_c_str()), 0]);
    probe.call("delete_module", libc::SYS_delete_module, &[at(nothing.as_c_str()), 0]);
}

pub fn replace_the_kernel(probe: &mut Probe) {
    probe.call("kexec_load", libc::SYS_kexec_load, &[]);
    #[cfg(target_arch = "x86_64")]
    probe.call("kexec_file_load", libc::SYS_kexec_file_load, &[u64::MAX, u64::MAX]);
    // Without its magic numbers nothing can come of it.
    probe.call("reboot", libc::SYS_reboot, &[]);
}

pub fn watch_the_machine(probe: &mut Probe) {
    let mut attributes = [0_u64; 16];
    probe.call("bpf map", libc::SYS_bpf, &[0, at(&attributes), 128]);
    probe.call("bpf program", libc::SYS_bpf, &[5, at(&attributes), 128]);
    attributes[0] = 1 | 128 << 32;
    probe.call("perf of all", libc::SYS_perf_event_open, &[at(&attributes), u64::MAX, 0, u64::MAX, 0]);
    probe.call("perf of itself", libc::SYS_perf_event_open, &[at(&attributes), 0, u64::MAX, u64::MAX, 0]);
}

pub fn take_calls_of_the_kernels_own(probe: &mut Probe) {
    probe.call("userfaultfd", libc::SYS_userfaultfd, &[]);
    let parameters = [0_u64; 32];
    probe.call("io_uring_setup", libc::SYS_io_uring_setup, &[4, at(&parameters)]);
    probe.call("io_uring_enter", libc::SYS_io_uring_enter, &[u64::MAX]);
}

pub fn use_key_rings(probe: &mut Probe) {
    let (kind, name) = (text("user"), text("lonja"));
    let (kind, name) = (at(kind.as_c_str()), at(name.as_c_str()));
    probe.call("keyctl", libc::SYS_keyctl, &[0, u64::MAX - 2, 0]);
    probe.call("add_key", libc::SYS_add_key, &[kind, name, name, 1, u64::MAX - 1]);
    probe.call("request_key", libc::SYS_request_key, &[kind, name, 0, 0]);
}

pub fn run_the_machine(probe: &mut Probe) {
    let path = text("/nosuch");
    let path = at(path.as_c_str());
    probe.call("swapon", libc::SYS_swapon, &[path, 0]);
    probe.call("swapoff", libc::SYS_swapoff, &[path]);
    probe.call("acct", libc::SYS_acct, &[path]);
    probe.call("quotactl", libc::SYS_quotactl, &[0x80_0001 << 8, path, 0, path]);
    probe.call("lookup_dcookie", libc::SYS_lookup_dcookie, &[0, path, 1]);
    probe.call("vhangup", libc::SYS_vhangup, &[]);
    #[cfg(target_arch = "x86_64")]
    {
        probe.call("iopl", libc::SYS_iopl, &[3]);
        probe.call("ioperm", libc::SYS_ioperm, &[0x80, 1, 1]);
    }
}

pub fn set_the_clock(probe: &mut Probe) {
    // To what it shows already, should it be allowed.
    let mut now = [0_i64; 2];
    drop(raw(libc::SYS_clock_gettime, &[0, now.as_mut_ptr() as u64]));
    probe.call("clock_settime", libc::SYS_clock_settime, &[0, at(&now)]);
    now[1] /= 1_000;
    probe.call("settimeofday", libc::SYS_settimeofday, &[at(&now), 0]);
    let mut steering = [0_u64; 26];
    // ADJ_FREQUENCY, to what it is.
    drop(raw(libc::SYS_adjtimex, &[steering.as_mut_ptr() as u64]));
    steering[0] = 2;
    probe.call("adjtimex", libc::SYS_adjtimex, &[steering.as_mut_ptr() as u64]);
}

pub fn rename_the_host(probe: &mut Probe) {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = name.trim();
    probe.call("sethostname", libc::SYS_sethostname, &[at(name), name.len() as u64]);
    probe.call("setdomainname", libc::SYS_setdomainname, &[at(name), name.len() as u64]);
}

pub fn read_the_kernels_log(probe: &mut Probe) {
    let mut buffer = [0_u8; 64];
    probe.call("syslog", libc::SYS_syslog, &[3, buffer.as_mut_ptr() as u64, 64]);
    probe.note("/dev/kmsg", fs::File::open("/dev/kmsg").map(|_| ()));
    probe.note("/proc/kmsg", fs::File::open("/proc/kmsg").map(|_| ()));
}

pub fn watch_all_files(probe: &mut Probe) {
    probe.call("fanotify_init", libc::SYS_fanotify_init, &[0, 0]);
}

pub fn take_rare_calls(probe: &mut Probe) {
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let mut mount = 0_i32;
    let here = text(".");
    let arguments = [
        flag(libc::AT_FDCWD),
        at(here.as_c_str()),
        handle.as_mut_ptr() as u64,
        std::ptr::from_mut(&mut mount) as u64,
    ];
    probe.call("name_to_handle_at", libc::SYS_name_to_handle_at, &arguments);
    probe.call("memfd_secret", libc::SYS_memfd_secret, &[]);
    let mut buffer = [0_u8; 64];
    #[cfg(target_arch = "x86_64")]
    probe.call("modify_ldt", libc::SYS_modify_ldt, &[0, buffer.as_mut_ptr() as u64, 64]);
    let own = u64::from(std::process::id());
    let (to, from) = ([buffer.as_mut_ptr() as u64, 8], [at(&handle), 8]);
    probe.call("process_vm_readv", libc::SYS_process_vm_readv, &[own, at(&to), 1, at(&from), 1]);
    probe.call("kcmp", libc::SYS_kcmp, &[own, own, 0, 0, 0]);
}

pub fn open_sockets_of_the_kernel(probe: &mut Probe) {
    let socket = |family: i32, kind: i32, protocol: i32| {
        raw(libc::SYS_socket, &[flag(family), flag(kind), flag(protocol)]).1
    };
    probe.note("crypto", socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0));
    probe.note("virtual machines", socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0));
    probe.note("express data path", socket(libc::AF_XDP, libc::SOCK_RAW, 0));
    probe.note("bluetooth", socket(31, libc::SOCK_RAW, 1));
    probe.note("packets", socket(libc::AF_PACKET, libc::SOCK_RAW, 0x0300));
    probe.note("raw ICMP", socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP));
    probe.note("netfilter", socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER));
}

pub fn make_addresses_guessable(probe: &mut Probe) {
    probe.call("personality", libc::SYS_personality, &[0x004_0000]);
    probe.call("read implies exec", libc::SYS_personality, &[0x040_0000]);
}

pub fn use_the_release_agent(probe: &mut Probe) {
    let (kind, onto) = (text("cgroup"), text("/tmp"));
    for controller in ["rdma", "memory", "cpu"] {
        let options = text(controller);
        let arguments =
            [at(kind.as_c_str()), at(onto.as_c_str()), at(kind.as_c_str()), 0, at(options.as_c_str())];
        probe.call(controller, libc::SYS_mount, &arguments);
    }
    let both = libc::CLONE_NEWUSER | libc::CLONE_NEWCGROUP;
    probe.call("in namespaces of its own", libc::SYS_unshare, &[flag(both)]);
    for controller in ["memory", "cpu", "pids", "devices"] {
        let path = format!("/sys/fs/cgroup/{controller}/release_agent");
        probe.open_for_write(&[&path]);
    }
}

pub fn raise_its_own_limits(probe: &mut Probe) {
    let files = [
        ("memory", "memory.limit_in_bytes"),
        ("pids", "pids.max"),
        ("devices", "devices.allow"),
        ("cpu", "cpu.cfs_quota_us"),
        ("memory", "cgroup.procs"),
        ("unified", "cgroup.procs"),
    ];
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    for (controller, file) in files {
        let own = groups.lines().find_map(|line| {
            let (names, path) = line.split_once(':')?.1.split_once(':')?;
            let fits = names.split(',').any(|name| name == controller);
            (fits || (names.is_empty() && controller == "unified")).then(|| path.to_owned())
        });
        let root = format!("/sys/fs/cgroup/{controller}");
        let own = own.unwrap_or_default();
        probe.open_for_write(&[
            &format!("{root}{own}/{file}"),
            &format!("{root}{own}/../{file}"),
            &format!("{root}/{file}"),
        ]);
    }
}

pub fn make_namespaces(probe: &mut Probe) {
    for (name, space) in NEW_SPACES {
        probe.call(&format!("unshare {name}"), libc::SYS_unshare, &[flag(space)]);
        let (pid, cloned) = raw(libc::SYS_clone, &[flag(space | libc::SIGCHLD)]);
        if pid == 0 {
            // SAFETY: the child that must not be.
            unsafe { libc::_exit(0) };
        }
        probe.note(&format!("clone {name}"), cloned);
    }
    probe.call("unshare time", libc::SYS_unshare, &[0x80]);
    let arguments = [flag(libc::CLONE_NEWUSER), 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
    let (pid, cloned) = raw(libc::SYS_clone3, &[at(&arguments), 64]);
    if pid == 0 {
        // SAFETY: as above.
        unsafe { libc::_exit(0) };
    }
    probe.note("clone3", cloned);
    for space in ["user", "mnt", "net", "pid"] {
        let Ok(file) = fs::File::open(format!("/proc/self/ns/{space}")) else { continue };
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
        probe.call(&format!("setns {space}"), libc::SYS_setns, &[flag(descriptor), 0]);
    }
}

pub fn call_by_other_tables(probe: &mut Probe) {
    #[cfg(target_arch = "x86_64")]
    {
        use super::probe::{DONE, by_old_table, name_of};
        // Numbers of the 32-bit table.
        let calls = [
            ("unshare", 310, libc::CLONE_NEWUSER.cast_unsigned()),
            ("getpid", 20, 0),
            ("setns", 346, 0),
            ("mount", 21, 0),
            ("bpf", 357, 0),
        ];
        for (name, number, first) in calls {
            let outcome = by_old_table(number, first).map_or_else(|| DONE.to_owned(), name_of);
            probe.say(&format!("{name} by int 0x80"), &outcome);
        }
        const X32: i64 = 0x4000_0000;
        probe.call("unshare by x32", X32 | libc::SYS_unshare, &[flag(libc::CLONE_NEWUSER)]);
        probe.call("getpid by x32", X32 | libc::SYS_getpid, &[]);
    }
    probe.call("a call of tomorrow", 600, &[]);
}

pub fn shake_off_the_filter(probe: &mut Probe) {
    probe.call("prctl off", libc::SYS_prctl, &[libc::PR_SET_SECCOMP as u64, 0]);
    probe.call("privileges back", libc::SYS_prctl, &[libc::PR_SET_NO_NEW_PRIVS as u64, 0]);
    // A filter that allows everything is added, not put in place of ours.
    let allow = [(libc::BPF_RET | libc::BPF_K) as u64 | 0x7fff_0000 << 32];
    let program = [1_u64, at(&allow)];
    drop(raw(libc::SYS_seccomp, &[1, 0, at(&program)]));
    probe.call("unshare after a filter that allows it", libc::SYS_unshare, &[flag(libc::CLONE_NEWUSER)]);
}

pub fn listen_to_calls(probe: &mut Probe) {
    let allow = [(libc::BPF_RET | libc::BPF_K) as u64 | 0x7fff_0000 << 32];
    let program = [1_u64, at(&allow)];
    probe.call("listener", libc::SYS_seccomp, &[1, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, at(&program)]);
    probe.call("unshare with a listener", libc::SYS_unshare, &[flag(libc::CLONE_NEWUSER)]);
}
