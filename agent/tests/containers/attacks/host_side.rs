//! The host during attacks: what there is to be reached, and that none of it was.
#![allow(unsafe_code, reason = "System V objects have no safe interface")]

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use lonja_agent::containerizer::ContainerSpec;

use crate::host::Host;

/// Things of the host's that an attack may look for, gone when dropped.
pub struct HostSide {
    _service: TcpListener,
    _abstract_service: UnixListener,
    port: u16,
    name: String,
    file: PathBuf,
    key: i32,
    objects: [i32; 3],
}

impl HostSide {
    pub fn prepare(host: &Host) -> Self {
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = service.local_addr().unwrap().port();
        let name = format!("lonja-attacks-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let file = host.dir.path().join("secret");
        fs::write(&file, "secret").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let key = 0x4c4f_0000 | i32::try_from(std::process::id() & 0xffff).unwrap();
        let mode = libc::IPC_CREAT | 0o666;
        // SAFETY: the calls take integers only.
        let objects =
            unsafe { [libc::shmget(key, 4096, mode), libc::semget(key, 1, mode), libc::msgget(key, mode)] };
        Self {
            _service: service,
            _abstract_service: UnixListener::bind_addr(&address).unwrap(),
            port,
            name,
            file,
            key,
            objects,
        }
    }

    /// Tells the attack what there is.
    pub fn tell(&self, spec: &mut ContainerSpec) {
        let variables = [
            ("HOST_PID", std::process::id().to_string()),
            ("HOST_KEY", self.key.to_string()),
            ("HOST_PORT", self.port.to_string()),
            ("HOST_NAME", self.name.clone()),
            ("HOST_FILE", self.file.display().to_string()),
        ];
        spec.environment.extend(variables.map(|(name, value)| (name.to_owned(), value)));
    }

    /// Puts things into the sandbox that no task could make.
    pub fn plant(&self, sandbox: &Path) {
        use nix::sys::stat::{Mode, SFlag, mknod};
        let all = Mode::from_bits_truncate(0o666);
        mknod(&sandbox.join("device"), SFlag::S_IFCHR, all, nix::sys::stat::makedev(1, 5)).unwrap();
        let as_root = sandbox.join("as-root");
        fs::copy("/usr/bin/id", &as_root).unwrap();
        fs::set_permissions(&as_root, fs::Permissions::from_mode(0o4755)).unwrap();
        let with_power = sandbox.join("with-power");
        fs::copy("/bin/grep", &with_power).unwrap();
        // Version 2, effective, every capability permitted. Source: linux/capability.h, vfs_cap_data.
        let mut value = Vec::new();
        [0x0200_0001_u32, u32::MAX, 0, 0x1ff, 0].iter().for_each(|word| value.extend(word.to_le_bytes()));
        rustix::fs::setxattr(&with_power, c"security.capability", &value, rustix::fs::XattrFlags::empty())
            .unwrap();
    }
}

impl Drop for HostSide {
    fn drop(&mut self) {
        let [memory, semaphores, messages] = self.objects;
        // SAFETY: removing takes no memory of ours.
        unsafe {
            libc::shmctl(memory, libc::IPC_RMID, std::ptr::null_mut());
            libc::semctl(semaphores, 0, libc::IPC_RMID);
            libc::msgctl(messages, libc::IPC_RMID, std::ptr::null_mut());
        }
    }
}

/// What no attack may change.
#[derive(PartialEq, Eq, Debug)]
struct Picture {
    host_name: String,
    settings: Vec<Option<String>>,
    mounts: usize,
    program: (u64, u64, i64),
    filter: Option<String>,
    file: String,
}

impl Picture {
    fn take(file: &Path) -> Self {
        let settings = ["core_pattern", "modprobe", "hostname", "domainname", "randomize_va_space"];
        let program = fs::metadata(std::env::current_exe().unwrap()).unwrap();
        Self {
            host_name: nix::unistd::gethostname().unwrap().into_string().unwrap(),
            settings: settings.map(|name| fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()).into(),
            mounts: fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count(),
            program: (program.ino(), program.size(), program.mtime()),
            filter: fs::read_to_string("/proc/sys/net/ipv4/ip_forward").ok(),
            file: fs::read_to_string(file).unwrap_or_default(),
        }
    }
}

/// The host and the neighbour as they were.
pub struct Untouched {
    neighbour: i32,
    file: PathBuf,
    before: Picture,
}

impl Untouched {
    pub fn look(neighbour: i32, side: &HostSide) -> Self {
        Self { neighbour, file: side.file.clone(), before: Picture::take(&side.file) }
    }

    /// Errors: what was harmed.
    pub fn compare(&self) -> Result<(), String> {
        let now = Picture::take(&self.file);
        if now != self.before {
            return Err(format!("the host was {:?} and is {now:?}", self.before));
        }
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.neighbour)).unwrap_or_default();
        if !stat.contains(") S ") && !stat.contains(") R ") {
            return Err(format!("the neighbour is gone: {stat:?}"));
        }
        // The host can still have what the attack used up for itself.
        let watches = nix::sys::inotify::Inotify::init(nix::sys::inotify::InitFlags::empty());
        watches.map(|_| ()).map_err(|error| format!("the host has no watches left: {error}"))
    }
}
