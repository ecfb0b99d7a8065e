//! Attacks on what the runtime hands over, on the network and on files.
#![allow(unsafe_code, reason = "attacks are raw system calls")]

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;

use super::probe::{Probe, at, raw, text};

fn flag(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

pub fn look_for_what_was_left(probe: &mut Probe) {
    // The directory's own descriptor is the only one beyond the three.
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten().filter(|entry| {
        let number: i32 = entry.file_name().to_string_lossy().parse().unwrap();
        number > 2 && fs::read_link(entry.path()).is_ok_and(|target| !target.starts_with("/proc"))
    });
    let open: Vec<_> = open.map(|entry| fs::read_link(entry.path()).unwrap()).collect();
    probe.say("descriptors", if open.is_empty() { "contained" } else { "left open" });
    let known = ["PATH", "MARK", "HOST_PID", "HOST_KEY", "HOST_PORT", "HOST_NAME", "HOST_FILE"];
    let strange = std::env::vars().any(|(name, _)| !known.contains(&name.as_str()));
    probe.say("environment", if strange { "the agent's" } else { "contained" });
}

pub fn overwrite_the_runtime(probe: &mut Probe) {
    probe.open_for_write(&["/proc/1/exe", "/proc/self/exe"]);
    probe.open_for_write(&["probe"]);
    probe.note("init's program by name", fs::read_link("/proc/1/exe").map(|_| ()));
}

pub fn send_raw_frames(probe: &mut Probe) {
    probe.call("packets", libc::SYS_socket, &[flag(libc::AF_PACKET), flag(libc::SOCK_RAW), 0x0300]);
    probe.call(
        "datagrams of packets",
        libc::SYS_socket,
        &[flag(libc::AF_PACKET), flag(libc::SOCK_DGRAM), 0x0300],
    );
    probe.call("raw", libc::SYS_socket, &[flag(libc::AF_INET), flag(libc::SOCK_RAW), 255]);
}

pub fn reach_a_host_service(probe: &mut Probe) {
    let port: u16 = std::env::var("HOST_PORT").unwrap().parse().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    probe.note("loopback", TcpStream::connect(address).map(|_| ()));
    let name = std::env::var("HOST_NAME").unwrap();
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    probe.note("abstract socket", UnixStream::connect_addr(&address).map(|_| ()));
}

pub fn bind_a_low_port(probe: &mut Probe) {
    probe.note("port 80", TcpListener::bind("127.0.0.1:80").map(|_| ()));
}

pub fn change_the_network(probe: &mut Probe) {
    let (socket, _) = raw(libc::SYS_socket, &[flag(libc::AF_INET), flag(libc::SOCK_DGRAM), 0]);
    // What is, read and set again: should it work, nothing changes.
    for (name, read, write) in
        [("flags", 0x8913, 0x8914), ("address", 0x8915, 0x8916), ("MTU", 0x8921, 0x8922)]
    {
        let mut request = [0_u8; 40];
        request[..2].copy_from_slice(b"lo");
        drop(raw(libc::SYS_ioctl, &[socket.cast_unsigned(), read, request.as_mut_ptr() as u64]));
        probe.call(name, libc::SYS_ioctl, &[socket.cast_unsigned(), write, at(&request)]);
    }
    let route = [0_u8; 120];
    probe.call("route", libc::SYS_ioctl, &[socket.cast_unsigned(), 0x890b, at(&route)]);
    let netlink = [flag(libc::AF_NETLINK), flag(libc::SOCK_RAW), flag(libc::NETLINK_NETFILTER)];
    probe.call("packet filter", libc::SYS_socket, &netlink);
}

pub fn read_host_files(probe: &mut Probe) {
    let marked = std::env::var("HOST_FILE").unwrap();
    let paths = [
        marked.clone(),
        format!("/proc/1/root{marked}"),
        format!("/proc/1/cwd/../../../../..{marked}"),
        format!("../../../../../../../..{marked}"),
        "/etc/shadow".to_owned(),
        "/etc/shadow-".to_owned(),
        ["/root", ".ssh"].join("/"),
        "/etc/ssh/ssh_host_ed25519_key".to_owned(),
    ];
    for path in &paths {
        let read = fs::File::open(path).and_then(|mut file| file.read(&mut [0_u8; 1]));
        probe.note(path, read.map(|_| ()));
    }
    let (from, to) = (text(&marked), text("stolen"));
    let here = flag(libc::AT_FDCWD);
    probe.call("hard link", libc::SYS_linkat, &[here, at(from.as_c_str()), here, at(to.as_c_str()), 0]);
    drop(std::os::unix::fs::symlink(&marked, "link"));
    probe.note("symbolic link", fs::read("link").map(|_| ()));
}

/// The agent's work directory and the neighbour's sandbox, by their names on the host.
pub fn look_at_neighbours(probe: &mut Probe) {
    let work = std::env::var("MARK").unwrap();
    probe.note("work directory", fs::read_dir(format!("{work}/work")).map(|_| ()));
    probe.note("run directory", fs::read_dir(format!("{work}/work/run")).map(|_| ()));
    probe.note("neighbour's sandbox", fs::read_dir(format!("{work}/sandboxes/neighbour")).map(|_| ()));
    probe.note("neighbour's log", fs::read(format!("{work}/sandboxes/neighbour/stdout")).map(|_| ()));
}

pub fn read_masked_files(probe: &mut Probe) {
    let masked = [
        "/proc/kcore",
        "/proc/keys",
        "/proc/key-users",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/interrupts",
        "/proc/latency_stats",
        "/proc/acpi/wakeup",
        "/proc/scsi/scsi",
    ];
    for path in masked {
        let mut buffer = [0_u8; 16];
        match fs::File::open(path).and_then(|mut file| file.read(&mut buffer)) {
            Ok(0) => probe.say(path, "empty"),
            Ok(_) => probe.say(path, "read"),
            Err(error) => probe.note(path, Err(error)),
        }
    }
    for path in ["/sys/firmware", "/sys/devices/virtual/powercap"] {
        match fs::read_dir(path).map(Iterator::count) {
            Ok(0) => probe.say(path, "empty"),
            Ok(_) => probe.say(path, "read"),
            Err(error) => probe.note(path, Err(error)),
        }
    }
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let shown = symbols.lines().any(|line| !line.starts_with("0000000000000000"));
    probe.say("/proc/kallsyms", if shown { "addresses" } else { "empty" });
}
