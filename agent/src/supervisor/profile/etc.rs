//! A container's `/etc`: what programs need of the host's, by name, and nothing else.
//!
//! The list says what is shown rather than what is hidden: a secret that somebody puts into `/etc` tomorrow is not seen.
//! Users and groups are made up; names of hosts are the host's own where the network is.

use std::path::Path;

use super::super::report::Failure;
use super::mounting::{READ_ONLY, file, folder, link, refuse, show, write};
use super::root::Builder;

/// What is shown of the host's `/etc`, where it exists: linking, names of things, certificates, how text and time look,
/// what is configured for languages and shells. Each costs a mount, so what only tools of the host's
/// administrator read is not here.
const SHOWN: [&str; 35] = [
    "alternatives",
    "bash.bashrc",
    "crypto-policies",
    "debian_version",
    "default/locale",
    "fonts",
    "gai.conf",
    "glvnd",
    "gss/mech.d",
    "host.conf",
    "inputrc",
    "java-17-openjdk",
    "ld.so.cache",
    "locale.alias",
    "locale.conf",
    "localtime",
    "lsb-release",
    "mailcap",
    "mime.types",
    "networks",
    "nsswitch.conf",
    "OpenCL",
    "os-release",
    "perl",
    "pki/ca-trust",
    "pki/tls/certs",
    "profile",
    "profile.d",
    "protocols",
    "python3",
    "redhat-release",
    "services",
    "ssl/certs",
    "terminfo",
    "vulkan",
];

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n";

/// All that is the same for every task.
pub(super) fn build(builder: &Builder<'_>) -> Result<(), Failure> {
    let root = builder.root();
    folder(root, "etc", 0o755)?;
    for name in SHOWN {
        if let Some((parent, _)) = name.rsplit_once('/')
            && Path::new("/etc").join(parent).is_dir()
        {
            make_parents(builder, parent)?;
        }
        show_entry(builder, name)?;
    }
    write(root, "etc/passwd", PASSWD)?;
    write(root, "etc/group", GROUP)?;
    write(root, "etc/resolv.conf", "")?;
    link(root, "etc/mtab", "/proc/self/mounts")
}

fn make_parents(builder: &Builder<'_>, parent: &str) -> Result<(), Failure> {
    let mut path = String::from("etc");
    for part in parent.split('/') {
        path = format!("{path}/{part}");
        if rustix::fs::statat(builder.root(), &path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_err() {
            folder(builder.root(), &path, 0o755)?;
        }
    }
    Ok(())
}

fn show_entry(builder: &Builder<'_>, name: &str) -> Result<(), Failure> {
    let root = builder.root();
    let (source, path) = (format!("/etc/{name}"), format!("etc/{name}"));
    let Ok(found) = std::fs::symlink_metadata(&source) else {
        return Ok(());
    };
    if found.is_symlink() {
        // Into what is shown anyway: the same link does.
        let target = std::fs::read_link(&source).unwrap_or_default();
        let target = target.to_string_lossy();
        if ["/usr/", "../usr/", "/etc/"].iter().any(|shown| target.starts_with(shown)) {
            return link(root, &path, &target);
        }
    }
    match std::fs::metadata(&source) {
        Ok(found) if found.is_dir() => folder(root, &path, 0o755)?,
        Ok(found) if found.is_file() => file(root, &path)?,
        // A link to nowhere, or nothing that anyone reads.
        _ => return Ok(()),
    }
    show(&source, root, &path, READ_ONLY).map_err(|error| refuse(format_args!("'{source}'"), &error))
}

/// What names the host and its neighbours, read outside when the task is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in super::super) struct Names {
    hosts: String,
    resolver: String,
}

/// The longest file of names that is taken over, in bytes.
const LONGEST: u64 = 256 * 1024;

impl Names {
    /// The host's, for who uses its network.
    pub(in super::super) fn of_host() -> Self {
        let read = |path: &str| {
            let mut text = String::new();
            let file = std::fs::File::open(path).ok()?;
            std::io::Read::read_to_string(&mut std::io::Read::take(file, LONGEST), &mut text).ok()?;
            Some(text)
        };
        Self {
            hosts: read("/etc/hosts").unwrap_or_default(),
            resolver: read("/etc/resolv.conf").unwrap_or_default(),
        }
    }
}

/// What depends on the task: the names of its user and of its host.
pub(super) fn furnish(
    root: &std::os::fd::OwnedFd,
    names: &Names,
    hostname: &str,
    user: Option<(&str, u32, u32)>,
    home: &str,
) -> Result<(), Failure> {
    write(root, "etc/hostname", &format!("{hostname}\n"))?;
    let mut hosts = names.hosts.clone();
    if hosts.is_empty() {
        hosts.push_str("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    }
    if !hosts.split_whitespace().any(|word| word == hostname) {
        if !hosts.ends_with('\n') {
            hosts.push('\n');
        }
        hosts.push_str(&format!("127.0.1.1\t{hostname}\n"));
    }
    write(root, "etc/hosts", &hosts)?;
    if !names.resolver.is_empty() {
        write(root, "etc/resolv.conf", &names.resolver)?;
    }
    if let Some((name, uid, gid)) = user.filter(|(name, uid, _)| *uid != 0 && *name != "nobody") {
        // A name or a home with a separator in it would be another line.
        let plain = |text: &str| !text.contains([':', '\n']);
        let name = if plain(name) { name } else { "user" };
        let home = if plain(home) { home } else { "/" };
        write(root, "etc/passwd", &format!("{PASSWD}{name}:x:{uid}:{gid}:{name}:{home}:/bin/sh\n"))?;
        if gid != 0 {
            write(root, "etc/group", &format!("{GROUP}{name}:x:{gid}:\n"))?;
        }
    }
    Ok(())
}
