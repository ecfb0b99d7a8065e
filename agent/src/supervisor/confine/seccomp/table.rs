//! Which system calls a task may make: one line a group.
//!
//! The list allows; what stands nowhere in it is refused. A group is open to every task, to those outside the
//! hardened profile, or to those that hold a capability which the calls need anyway. Calls of which only some
//! uses are allowed stand in `arguments`.
//!
//! Left out on purpose, among others: io_uring and userfaultfd (a long record of holes, and a way past this very
//! filter), key rings (not divided by namespaces), everything about mounts, modules, other namespaces, and the
//! machine as a whole.
//!
//! Source: the kernel's system call tables; what each call may do: its page in section 2 of the manual.

use lonja_model::privileges::{Capability, CapabilitySet};

use For::{All, Default};

/// For whom a group of calls is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Every task.
    All,
    /// Tasks that are not hardened.
    Default,
    /// Tasks that can hold this capability.
    Holders(Capability),
}

impl For {
    /// Whether it is open to tasks of this kind.
    pub(crate) fn includes(self, hardened: bool, bounding: CapabilitySet) -> bool {
        match self {
            All => true,
            Default => !hardened,
            Self::Holders(capability) => bounding.contains(capability),
        }
    }
}

/// Calls that are allowed or refused together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// What they are about.
    pub(crate) about: &'static str,
    /// For whom they are open.
    pub(crate) open_for: For,
    /// Their numbers on this machine.
    pub(crate) calls: &'static [i64],
}

/// The largest number that this table was made for: a newer call is unknown to it, and said not to exist, so that
/// libraries take the older way.
pub(crate) const NEWEST: u32 = 462;

macro_rules! group {
    ($open_for:expr, $about:literal, $($name:ident)*) => {
        Group { about: $about, open_for: $open_for, calls: &[$(libc::$name),*] }
    };
}

const fn holders(capability: Capability) -> For {
    For::Holders(capability)
}

/// The groups that every machine has.
#[rustfmt::skip]
pub(crate) const GROUPS: &[Group] = &[
    group!(All, "reading and writing", SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_preadv SYS_pwritev SYS_preadv2 SYS_pwritev2 SYS_lseek SYS_close SYS_close_range SYS_dup SYS_dup3 SYS_pipe2 SYS_fcntl SYS_flock SYS_sendfile SYS_splice SYS_tee SYS_vmsplice SYS_copy_file_range SYS_readahead SYS_fadvise64),
    group!(All, "files by name", SYS_openat SYS_openat2 SYS_mkdirat SYS_unlinkat SYS_renameat SYS_renameat2 SYS_linkat SYS_symlinkat SYS_readlinkat SYS_faccessat SYS_faccessat2 SYS_mknodat SYS_getdents64 SYS_chdir SYS_fchdir SYS_getcwd SYS_umask SYS_truncate SYS_ftruncate SYS_fallocate),
    group!(All, "what files are", SYS_fstat SYS_newfstatat SYS_statx SYS_statfs SYS_fstatfs SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_utimensat SYS_setxattr SYS_lsetxattr SYS_fsetxattr SYS_getxattr SYS_lgetxattr SYS_fgetxattr SYS_listxattr SYS_llistxattr SYS_flistxattr SYS_removexattr SYS_lremovexattr SYS_fremovexattr),
    group!(All, "files on disk", SYS_sync SYS_syncfs SYS_fsync SYS_fdatasync SYS_sync_file_range),
    group!(All, "waiting for files", SYS_ppoll SYS_pselect6 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_signalfd4 SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime SYS_inotify_init1 SYS_inotify_add_watch SYS_inotify_rm_watch),
    group!(All, "asynchronous input and output, the old kind", SYS_io_setup SYS_io_destroy SYS_io_submit SYS_io_cancel SYS_io_getevents),
    group!(All, "memory", SYS_mmap SYS_munmap SYS_mremap SYS_mprotect SYS_msync SYS_mincore SYS_madvise SYS_brk SYS_mlock SYS_mlock2 SYS_munlock SYS_mlockall SYS_munlockall SYS_memfd_create SYS_membarrier SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_mseal SYS_process_madvise),
    group!(All, "beginning and ending processes", SYS_execve SYS_execveat SYS_exit SYS_exit_group SYS_wait4 SYS_waitid SYS_set_tid_address SYS_set_robust_list SYS_get_robust_list SYS_rseq SYS_prctl),
    group!(All, "who a process is", SYS_getpid SYS_getppid SYS_gettid SYS_getpgid SYS_setpgid SYS_getsid SYS_setsid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getresuid SYS_getresgid SYS_getgroups SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setfsuid SYS_setfsgid SYS_setgroups SYS_capget SYS_capset),
    group!(All, "signals", SYS_kill SYS_tkill SYS_tgkill SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigtimedwait SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo SYS_rt_sigsuspend SYS_sigaltstack SYS_restart_syscall SYS_pidfd_open SYS_pidfd_send_signal),
    group!(All, "time", SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday SYS_times SYS_getitimer SYS_setitimer SYS_timer_create SYS_timer_settime SYS_timer_gettime SYS_timer_getoverrun SYS_timer_delete),
    group!(All, "locks between threads", SYS_futex SYS_futex_waitv),
    group!(All, "scheduling", SYS_sched_yield SYS_sched_getaffinity SYS_sched_setaffinity SYS_sched_getparam SYS_sched_setparam SYS_sched_getscheduler SYS_sched_setscheduler SYS_sched_getattr SYS_sched_setattr SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_sched_rr_get_interval SYS_getpriority SYS_setpriority SYS_ioprio_get SYS_ioprio_set SYS_getcpu),
    group!(All, "limits and use", SYS_getrlimit SYS_setrlimit SYS_prlimit64 SYS_getrusage SYS_sysinfo SYS_uname),
    group!(All, "sockets once made", SYS_socketpair SYS_bind SYS_listen SYS_accept SYS_accept4 SYS_connect SYS_getsockname SYS_getpeername SYS_getsockopt SYS_setsockopt SYS_sendto SYS_recvfrom SYS_sendmsg SYS_recvmsg SYS_sendmmsg SYS_recvmmsg SYS_shutdown),
    group!(All, "messages between processes", SYS_shmget SYS_shmat SYS_shmdt SYS_shmctl SYS_semget SYS_semop SYS_semtimedop SYS_semctl SYS_msgget SYS_msgsnd SYS_msgrcv SYS_msgctl SYS_mq_open SYS_mq_unlink SYS_mq_timedsend SYS_mq_timedreceive SYS_mq_notify SYS_mq_getsetattr),
    group!(All, "randomness", SYS_getrandom),
    group!(All, "confining oneself further", SYS_seccomp SYS_landlock_create_ruleset SYS_landlock_add_rule SYS_landlock_restrict_self),
    group!(Default, "looking into processes of one's own", SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_kcmp SYS_pidfd_getfd SYS_process_mrelease),
    group!(Default, "memory on chosen nodes", SYS_mbind SYS_get_mempolicy SYS_set_mempolicy SYS_set_mempolicy_home_node),
    group!(Default, "names of files for servers", SYS_name_to_handle_at),
    group!(Default, "memory hidden from the kernel", SYS_memfd_secret),
    group!(Default, "reading how the clock is steered", SYS_adjtimex SYS_clock_adjtime),
    group!(Default, "rearranging mapped files", SYS_remap_file_pages),
    group!(holders(Capability::SYS_CHROOT), "another root below this one", SYS_chroot),
    group!(holders(Capability::DAC_READ_SEARCH), "files by handle", SYS_open_by_handle_at),
    group!(holders(Capability::SYS_ADMIN), "mounts", SYS_mount SYS_umount2 SYS_pivot_root SYS_fsopen SYS_fsconfig SYS_fsmount SYS_fspick SYS_open_tree SYS_move_mount SYS_mount_setattr SYS_quotactl SYS_quotactl_fd SYS_fanotify_init SYS_fanotify_mark),
    group!(holders(Capability::SYS_ADMIN), "namespaces and names", SYS_unshare SYS_setns SYS_sethostname SYS_setdomainname),
    group!(holders(Capability::SYS_MODULE), "kernel modules", SYS_init_module SYS_finit_module SYS_delete_module),
    group!(holders(Capability::SYS_BOOT), "reboot", SYS_reboot),
    group!(holders(Capability::SYS_PACCT), "accounting", SYS_acct),
    group!(holders(Capability::SYS_TIME), "setting the clock", SYS_settimeofday SYS_clock_settime),
    group!(holders(Capability::SYS_TTY_CONFIG), "hanging up terminals", SYS_vhangup),
    group!(holders(Capability::SYS_NICE), "moving pages of processes", SYS_migrate_pages SYS_move_pages),
    group!(holders(Capability::SYSLOG), "the kernel's log", SYS_syslog),
    group!(holders(Capability::BPF), "programs in the kernel", SYS_bpf),
    group!(holders(Capability::PERFMON), "performance events", SYS_perf_event_open),
    Group { about: "newer calls of kinds that are here", open_for: All, calls: &[451 /* cachestat */, 452 /* fchmodat2 */, 453 /* map_shadow_stack */, 454 /* futex_wake */, 455 /* futex_wait */, 456 /* futex_requeue */] },
];

/// Calls that later machines did without.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
pub(crate) const OLDER: &[Group] = &[
    group!(All, "files by name, the old way", SYS_open SYS_creat SYS_mkdir SYS_rmdir SYS_unlink SYS_rename SYS_link SYS_symlink SYS_readlink SYS_access SYS_mknod SYS_getdents SYS_stat SYS_lstat SYS_chmod SYS_chown SYS_lchown SYS_utime SYS_utimes SYS_futimesat),
    group!(All, "waiting, the old way", SYS_poll SYS_select SYS_epoll_create SYS_epoll_wait SYS_epoll_ctl_old SYS_epoll_wait_old SYS_eventfd SYS_signalfd SYS_inotify_init SYS_pause SYS_alarm),
    group!(All, "processes and descriptors, the old way", SYS_fork SYS_vfork SYS_getpgrp SYS_dup2 SYS_pipe SYS_time),
    group!(All, "registers of threads", SYS_arch_prctl),
    group!(Default, "segments of threads", SYS_modify_ldt SYS_set_thread_area SYS_get_thread_area),
    group!(holders(Capability::SYS_RAWIO), "ports of the machine", SYS_iopl SYS_ioperm),
];

/// Calls that later machines did without: this is one.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const OLDER: &[Group] = &[];
