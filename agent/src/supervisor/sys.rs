//! The system calls that no safe wrapper covers. All callers are single-threaded processes.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

/// The real-time signal that asks a supervisor to end its container. Unlike SIGTERM it queues, so that
/// no request is lost behind another. Its value is the grace period in milliseconds.
pub fn kill_signal() -> i32 {
    libc::SIGRTMIN() + 1
}

/// The signal by which an agent has a supervisor look whether the kernel has killed for want of memory: when it is the
/// host's memory, nothing else tells a supervisor on control groups v1. It asks for nothing, and need not queue.
pub(crate) fn look_signal() -> i32 {
    libc::SIGUSR1
}

/// The child's side of a fork, or the parent's with the child.
pub(crate) enum Forked {
    Child,
    Parent(Child),
}

/// A child process of ours, not reaped yet.
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) handle: OwnedFd,
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Put the child into the v2 group of [`CloneArgs::cgroup`].
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks into new namespaces (`CLONE_NEW*` in `flags`, possibly none).
pub(crate) fn fork_into(flags: i32) -> io::Result<Forked> {
    fork_within(flags, None)
}

/// As [`fork_into`], with the child born in the v2 control group of this directory.
pub(crate) fn fork_within(flags: i32, group: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    let mut handle: libc::c_int = -1;
    let mut arguments = CloneArgs {
        flags: u64::from(flags.cast_unsigned()) | libc::CLONE_PIDFD as u64,
        pidfd: std::ptr::from_mut(&mut handle) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(group) = group {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
    }
    // SAFETY: `arguments` is a valid clone_args of the given size and `handle` outlives the call. No
    // stack and no CLONE_VM: the child continues here on its own copy of memory, as after fork(2). The
    // process has one thread, so no lock is held by a thread that the child lacks.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &arguments, std::mem::size_of::<CloneArgs>()) };
    match pid {
        0 => Ok(Forked::Child),
        pid if pid > 0 => Ok(Forked::Parent(Child {
            pid: i32::try_from(pid).map_err(io::Error::other)?,
            // SAFETY: on success the kernel has stored a new descriptor there, owned by nobody else.
            handle: unsafe { OwnedFd::from_raw_fd(handle) },
        })),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Forks a process that is our parent's child, not ours, and returns its pid; 0 in that process.
pub(crate) fn fork_as_sibling() -> io::Result<i32> {
    // No exit signal of its own: with CLONE_PARENT it is the one of the calling process.
    let arguments = CloneArgs { flags: libc::CLONE_PARENT as u64, ..CloneArgs::default() };
    // SAFETY: as for `fork_into`.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &arguments, std::mem::size_of::<CloneArgs>()) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(pid).map_err(io::Error::other)
}

/// Enters these namespaces (`CLONE_NEW*`, at least one) of the process behind `process`, or the one that it is a
/// descriptor of; a pid namespace is that of later children only.
pub(crate) fn enter_namespaces(process: BorrowedFd<'_>, namespaces: i32) -> io::Result<()> {
    // SAFETY: plain integers; the process has one thread.
    check(unsafe { libc::setns(process.as_raw_fd(), namespaces) })
}

/// Leaves the mount namespace shared with the parent for a copy of it.
pub(crate) fn new_mount_namespace() -> io::Result<()> {
    // SAFETY: plain integers; the process has one thread.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })
}

/// Leaves namespaces shared with the parent for new ones (`CLONE_NEW*`).
pub(crate) fn new_namespaces(namespaces: i32) -> io::Result<()> {
    // SAFETY: plain integers; the process has one thread.
    check(unsafe { libc::unshare(namespaces) })
}

/// Ends this process at once: no destructors, no exit handlers.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Closes every descriptor except standard ones and those in `keep`.
pub(crate) fn close_all_except(keep: &[RawFd]) {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    keep.sort_unstable();
    let mut first = 3_u32;
    for fd in keep {
        if fd > first {
            close_range(first, fd - 1, 0);
        }
        first = first.max(fd + 1);
    }
    close_range(first, u32::MAX, 0);
}

/// Makes every descriptor from 3 on close at exec.
pub(crate) fn close_all_at_exec() {
    close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
}

fn close_range(first: u32, last: u32, flags: u32) {
    // SAFETY: the callers own every descriptor of their process and use none of these afterwards;
    // with CLOSE_RANGE_CLOEXEC nothing is closed yet.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
}

/// Points a standard descriptor at `fd`.
pub(crate) fn redirect(fd: BorrowedFd<'_>, standard: RawFd) -> io::Result<()> {
    // SAFETY: `fd` is open; replacing a standard descriptor of our own process breaks no owner.
    check(unsafe { libc::dup2(fd.as_raw_fd(), standard) })
}

/// Points stdin, stdout and stderr at `/dev/null`.
pub(crate) fn silence_standard_streams() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    (0..3).try_for_each(|standard| redirect(std::os::fd::AsFd::as_fd(&null), standard))
}

/// Blocks every signal that does not tell of a fault in this process itself.
pub(crate) fn block_signals() {
    // SAFETY: `set` is initialised by sigfillset before any other use.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut set);
        for fault in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGABRT,
            libc::SIGTRAP,
            libc::SIGSYS,
        ] {
            libc::sigdelset(&mut set, fault);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Gives every signal its default action and unblocks all, as a fresh program expects.
pub(crate) fn reset_signals() {
    // The kernel's own call: libc's refuses the two signals it reserves, which may have been ignored
    // by whoever started the daemon. All zeros are SIG_DFL, no flags, no restorer, an empty mask.
    let default_action = [0_u64; 4];
    for signal in 1..=64 {
        // SAFETY: the array has the size of a kernel sigaction and is only read. For SIGKILL and
        // SIGSTOP the call fails without effect.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default_action.as_ptr(),
                std::ptr::null_mut::<u64>(),
                8_usize,
            )
        };
    }
    // SAFETY: `set` is initialised by sigemptyset before any other use.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Writes to a closed pipe become errors instead of death.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN is a valid action for SIGPIPE.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// A descriptor that delivers the (blocked) signals as data.
pub(crate) fn signal_descriptor(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: `set` is initialised by sigemptyset; -1 asks for a new descriptor, which we then own.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(fd)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// A signal read from a signal descriptor.
pub(crate) struct ReceivedSignal {
    pub(crate) signal: i32,
    /// The value that came with it, if it was queued with one.
    pub(crate) value: Option<i32>,
}

/// The next pending signal, `None` when there is none.
pub(crate) fn next_signal(descriptor: &OwnedFd) -> Option<ReceivedSignal> {
    // SAFETY: signalfd_siginfo is plain integers, for which zero is valid.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let size = std::mem::size_of::<libc::signalfd_siginfo>();
    // SAFETY: `info` has room for `size` bytes, and any bytes are a valid value of it.
    let read = unsafe { libc::read(descriptor.as_raw_fd(), std::ptr::from_mut(&mut info).cast(), size) };
    (read == size.cast_signed()).then(|| ReceivedSignal {
        signal: info.ssi_signo.cast_signed(),
        value: (info.ssi_code == libc::SI_QUEUE).then_some(info.ssi_int),
    })
}

/// Waits for one of `signals`, all blocked, and takes it.
pub(crate) fn wait_for_signal(signals: &[i32]) -> i32 {
    // SAFETY: `set` is initialised by sigemptyset; a null siginfo is allowed.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        libc::sigwaitinfo(&set, std::ptr::null_mut())
    }
}

/// The start of `siginfo_t` as Linux lays it out on 64-bit machines for a queued signal.
#[repr(C)]
struct QueuedSignal {
    signal: i32,
    error: i32,
    code: i32,
    _pad: i32,
    pid: i32,
    uid: u32,
    value: u64,
    _rest: [u64; 12],
}

/// Queues `signal` with `value` to the process behind `process`. `Ok(false)`: it is gone already.
pub(crate) fn send_signal(process: BorrowedFd<'_>, signal: i32, value: i32) -> io::Result<bool> {
    const { assert!(std::mem::size_of::<QueuedSignal>() == 128) };
    // SAFETY: getuid(2) has no preconditions.
    let uid = unsafe { libc::getuid() };
    let info = QueuedSignal {
        signal,
        error: 0,
        code: libc::SI_QUEUE,
        _pad: 0,
        pid: std::process::id().cast_signed(),
        uid,
        value: u64::from(value.cast_unsigned()),
        _rest: [0; 12],
    };
    // SAFETY: `info` has the size and layout of a siginfo_t and is only read.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, &info, 0) };
    match check(libc::c_int::try_from(result).unwrap_or(-1)) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Plain kill(2); a negative pid means the process group.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill(2) has no memory preconditions.
    check(unsafe { libc::kill(pid, signal) })
}

/// The next child that has ended, as pid and wait status; `None` when none has.
pub(crate) fn reap_any() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: `status` is valid for the call.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

/// Waits for this child and returns its wait status.
pub(crate) fn reap(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is valid for the call.
        let result = unsafe { libc::waitpid(pid, &mut status, 0) };
        if result == pid {
            return Ok(status);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Sets what `ps` shows as this process's name, at most 15 bytes.
pub(crate) fn set_process_name(name: &std::ffi::CStr) {
    // SAFETY: `name` is NUL-terminated and copied by the kernel.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Sends `signal` to this process when its parent ends.
pub(crate) fn die_with_parent(signal: i32) {
    // SAFETY: plain integers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) };
}

/// Becomes the parent of orphaned descendants.
pub(crate) fn become_subreaper() {
    // SAFETY: plain integers.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
}

/// Leaves the terminal and the process group of whoever started us.
pub(crate) fn new_session() {
    // SAFETY: setsid(2) has no preconditions; it fails only for a group leader, which is then apart.
    unsafe { libc::setsid() };
}

/// Overwrites the environment inherited from the daemon, which `/proc/pid/environ` would show.
pub(crate) fn forget_environment() {
    unsafe extern "C" {
        static environ: *const *mut libc::c_char;
    }
    // SAFETY: one thread, so nobody else reads the environment meanwhile. `environ` is a
    // null-terminated array of NUL-terminated writable strings, which keep their length.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = *entry;
            libc::memset(text.cast(), 0, libc::strlen(text));
            entry = entry.add(1);
        }
        libc::clearenv();
    }
}

/// Where the arguments of this process, and of those forked from it, lie: first byte and the one after the last.
static ARGUMENTS: OnceLock<(usize, usize)> = OnceLock::new();

/// Finds out where the arguments lie, for [`replace_arguments`] here or in a process forked from this one.
pub(crate) fn find_arguments() {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may hold anything, brackets too; what follows it is numbered from 3 in proc_pid_stat(5).
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let mut numbers = rest.split_whitespace().skip(48 - 3).map_while(|number| number.parse::<usize>().ok());
    if let (Some(start), Some(end)) = (numbers.next(), numbers.next())
        && start > 0
        && start < end
    {
        let _found_before = ARGUMENTS.set((start, end));
    }
}

/// Who may see this process sees `name` in place of the daemon's command line, cut to its length. Only where
/// [`find_arguments`] has found that.
pub(crate) fn replace_arguments(name: &CStr) {
    let Some(&(start, end)) = ARGUMENTS.get() else { return };
    let (area, length) = (std::ptr::with_exposed_provenance_mut::<u8>(start), end - start);
    let name = name.to_bytes();
    // SAFETY: one thread. The kernel has put the arguments on the first stack, which is writable and stays to the end of
    // the process, and said where; nobody reads them any more. The last byte stays NUL.
    unsafe {
        std::ptr::write_bytes(area, 0, length);
        std::ptr::copy_nonoverlapping(name.as_ptr(), area, name.len().min(length - 1));
    }
}

/// Executes a program; returns only on failure.
pub(crate) fn execute(path: &CString, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays are null-terminated and their strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Becomes another user for good: supplementary groups, group, user, in this order.
pub(crate) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: `groups` has the given length; one thread, so that libc's wrappers change all of us.
    unsafe {
        check(libc::setgroups(groups.len(), groups.as_ptr()))?;
        check(libc::setresgid(gid, gid, gid))?;
        check(libc::setresuid(uid, uid, uid))
    }
}

/// How a mount is changed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MountChange {
    /// Attributes to set (`MOUNT_ATTR_*`).
    pub(crate) set: u64,
    /// Mounts made here do not appear where it was copied from.
    pub(crate) slave: bool,
    /// Owners of files are those of this user namespace, which the caller keeps open.
    pub(crate) users: Option<RawFd>,
    /// The mounts below it as well.
    pub(crate) whole: bool,
}

/// Changes a mount (from open_tree, or a descriptor of its root).
pub(crate) fn change_mount(tree: BorrowedFd<'_>, change: &MountChange) -> io::Result<()> {
    let mut attributes = libc::mount_attr { attr_set: change.set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    if change.slave {
        attributes.propagation = libc::MS_SLAVE;
    }
    if let Some(users) = change.users {
        attributes.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attributes.userns_fd = u64::try_from(users).map_err(io::Error::other)?;
    }
    let recursive = if change.whole { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is empty and NUL-terminated, `attributes` valid for the given size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &attributes,
            std::mem::size_of::<libc::mount_attr>(),
        )
    };
    check(libc::c_int::try_from(result).unwrap_or(-1))
}

/// Leaves the control group namespace shared with the parent: from now on its own groups are the root.
pub(crate) fn new_cgroup_namespace() -> io::Result<()> {
    // SAFETY: plain integers; the process has one thread.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) })
}

/// Enters a user namespace, with all power inside and none outside of it.
pub(crate) fn enter_users(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an open descriptor; the process has one thread.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWUSER) })
}

/// Whether others of the same user may look into this process.
pub(crate) fn set_dumpable(dumpable: bool) {
    // SAFETY: plain integers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable), 0, 0, 0) };
}

/// Locks one byte of an open file for all who share it, without waiting. `false`: others have it.
pub(crate) fn lock_byte(file: BorrowedFd<'_>, byte: u32) -> io::Result<bool> {
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: libc::off_t::from(byte),
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: `lock` is valid for the call and only read.
    match check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) }) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Brings up the loopback of this process's network namespace.
pub(crate) fn loopback_up() -> io::Result<()> {
    // SAFETY: ifreq is plain data, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: a new descriptor, which we own from here on.
    let socket = unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        check(socket)?;
        OwnedFd::from_raw_fd(socket)
    };
    // SAFETY: the request outlives the call and is of the size that the kernel reads.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) })
}

/// Waits until one of the descriptors is ready or the time is up (`None`: for ever).
pub(crate) fn poll(descriptors: &mut [libc::pollfd], timeout: Option<std::time::Duration>) -> io::Result<()> {
    // Rounded up, so that a deadline has passed when poll returns for it.
    let milliseconds =
        timeout.map_or(-1, |time| i32::try_from(time.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX));
    let count = descriptors.len() as libc::nfds_t;
    // SAFETY: the slice is valid for `count` entries.
    let result = unsafe { libc::poll(descriptors.as_mut_ptr(), count, milliseconds) };
    match check(result) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        other => other,
    }
}

/// A poll entry for `events` on `fd`; none is ever ready for `None`.
pub(crate) fn poll_entry(fd: Option<BorrowedFd<'_>>, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd: fd.map_or(-1, |fd| fd.as_raw_fd()), events, revents: 0 }
}

/// Gives unused heap back to the kernel.
pub(crate) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim has no preconditions.
    unsafe {
        libc::malloc_trim(0)
    };
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
