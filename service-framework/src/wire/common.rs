//! What apps and pods have in common: environment, files, limits, secrets, ids.

use lonja_services_core::PathId;
use lonja_services_core::definition::{
    EnvValue, ExecutorResources, Fetch, IpcMode, LinuxInfo, Persistent, PersistentKind, Protocol,
    ResourceLimit, ResourceLimits, Seccomp,
};
use serde_json::Value;

use super::reader::{At, Fields, shortened};
use super::writer::{Object, amount, list, text};

/// The rule for names of ports, endpoints and containers.
const NAME_RULE: &str = "must consist of at most 63 lower case letters, digits and hyphens, beginning and ending with a letter or digit";

/// An id, relative ones resolved against `parent`.
pub(crate) fn path_id(at: &At<'_>, parent: &PathId) -> Option<PathId> {
    let text = at.text()?;
    match parent.resolve(&text) {
        Ok(id) => Some(id),
        Err(error) => at.form(error.to_string()),
    }
}

/// A name such as `http-api`.
pub(crate) fn name(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = text.len() <= 63
        && text.bytes().all(|byte| inner(byte) || byte == b'-')
        && text.bytes().next().is_some_and(inner)
        && text.bytes().next_back().is_some_and(inner);
    if good { Some(text) } else { at.form(format!("{NAME_RULE}; {:?} does not", shortened(&text))) }
}

/// `"text"` or `{"secret": "name"}`.
pub(crate) fn env_value(at: &At<'_>) -> Option<EnvValue> {
    if at.value.is_object() {
        return at.object()?.need("secret")?.words().map(EnvValue::Secret);
    }
    if at.value.is_string() {
        return at.text().map(EnvValue::Text);
    }
    at.form("must be a string, or an object with the name of a secret: {\"secret\": \"name\"}")
}

pub(crate) fn show_env_value(value: &EnvValue) -> Value {
    match value {
        EnvValue::Text(text) => Value::from(text.as_str()),
        EnvValue::Secret(name) => Object::new().with("secret", name.as_str()).done(),
    }
}

/// `{"source": "…"}`.
pub(crate) fn secret(at: &At<'_>) -> Option<String> {
    at.object()?.need("source")?.words()
}

pub(crate) fn show_secret(source: &impl AsRef<str>) -> Value {
    Object::new().with("source", source.as_ref()).done()
}

/// A file for the sandbox.
pub(crate) fn fetch(at: &At<'_>) -> Option<Fetch> {
    let fields = at.object()?;
    let uri = fields.need("uri").and_then(|at| at.text_within(1024));
    let extract = fields.or("extract", At::flag, true);
    let executable = fields.or("executable", At::flag, false);
    let cache = fields.or("cache", At::flag, false);
    let dest_path = fields.maybe("destPath", At::words);
    Some(Fetch {
        uri: uri?,
        extract: extract?,
        executable: executable?,
        cache: cache?,
        dest_path: dest_path?,
    })
}

pub(crate) fn show_fetch(fetch: &Fetch) -> Value {
    Object::new()
        .with("uri", fetch.uri.as_str())
        .with("extract", fetch.extract)
        .with("executable", fetch.executable)
        .with("cache", fetch.cache)
        .maybe("destPath", fetch.dest_path.as_deref())
        .done()
}

fn limit(at: &At<'_>) -> Option<ResourceLimit> {
    match at.value {
        Value::String(text) if text == "unlimited" => Some(ResourceLimit::Unlimited),
        Value::Number(_) => at.amount(0).map(ResourceLimit::Amount),
        _ => at.form("must be a number or \"unlimited\""),
    }
}

/// What may be used beyond what is asked for.
pub(crate) fn limits(at: &At<'_>) -> Option<ResourceLimits> {
    let fields = at.object()?;
    let (cpus, mem) = (fields.maybe("cpus", limit), fields.maybe("mem", limit));
    Some(ResourceLimits { cpus: cpus?, mem: mem? })
}

fn show_limit(limit: ResourceLimit) -> Value {
    match limit {
        ResourceLimit::Amount(much) => amount(much),
        ResourceLimit::Unlimited => Value::from("unlimited"),
    }
}

pub(crate) fn show_limits(limits: &ResourceLimits) -> Value {
    Object::new().maybe("cpus", limits.cpus.map(show_limit)).maybe("mem", limits.mem.map(show_limit)).done()
}

/// The least that an executor has, and the default: 0.1 CPUs, 32 MiB of memory, 10 MiB of disk; in thousandths.
pub(crate) const LEAST_EXECUTOR: [u64; 3] = [100, 32_000, 10_000];

/// What an executor needs for itself.
pub(crate) fn executor_resources(at: &At<'_>) -> Option<ExecutorResources> {
    let fields = at.object()?;
    let least = least_executor();
    let [cpus_least, mem_least, disk_least] = LEAST_EXECUTOR;
    let cpus = fields.or("cpus", |at| at.amount(cpus_least), least.cpus);
    let mem = fields.or("mem", |at| at.amount(mem_least), least.mem);
    let disk = fields.or("disk", |at| at.amount(disk_least), least.disk);
    Some(ExecutorResources { cpus: cpus?, mem: mem?, disk: disk? })
}

/// The default.
pub(crate) fn least_executor() -> ExecutorResources {
    let [cpus, mem, disk] = LEAST_EXECUTOR
        .map(|least| lonja_model::resources::Scalar::from_thousandths(least).unwrap_or_default());
    ExecutorResources { cpus, mem, disk }
}

pub(crate) fn show_executor_resources(resources: &ExecutorResources) -> Value {
    Object::new()
        .with("cpus", amount(resources.cpus))
        .with("mem", amount(resources.mem))
        .with("disk", amount(resources.disk))
        .done()
}

const PROTOCOLS: [(&str, Protocol); 4] = [
    ("tcp", Protocol::Tcp),
    ("udp", Protocol::Udp),
    ("udp,tcp", Protocol::Both),
    ("tcp,udp", Protocol::Both),
];

/// `tcp`, `udp` or both.
pub(crate) fn protocol(at: &At<'_>) -> Option<Protocol> {
    at.choice(&PROTOCOLS)
}

pub(crate) fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Both => "udp,tcp",
    }
}

fn seccomp(at: &At<'_>) -> Option<Seccomp> {
    let fields = at.object()?;
    let profile = fields.maybe("profileName", At::words)?;
    let unconfined = fields.or("unconfined", At::flag, false)?;
    match (profile, unconfined) {
        (Some(name), false) => Some(Seccomp::Profile(name)),
        (None, true) => Some(Seccomp::Unconfined),
        (Some(_), true) | (None, false) => {
            at.meaning("must have either a profileName or unconfined set to true, and not both");
            Some(Seccomp::Unconfined)
        }
    }
}

fn ipc(at: &At<'_>) -> Option<(IpcMode, Option<u32>)> {
    let fields = at.object()?;
    let modes = [("PRIVATE", IpcMode::Private), ("SHARE_PARENT", IpcMode::ShareParent)];
    let mode = fields.need("mode").and_then(|at| at.choice(&modes));
    let size = fields.maybe("shmSize", At::count);
    let (mode, size) = (mode?, size?);
    if mode == IpcMode::ShareParent && size.is_some() {
        fields.meaning("shmSize", "may be given with the mode PRIVATE only");
    }
    Some((mode, size))
}

/// Kernel features; of a pod as a whole only `ipcInfo`.
pub(crate) fn linux_info(at: &At<'_>, of_pod: bool) -> Option<LinuxInfo> {
    let fields = at.object()?;
    if of_pod && fields.has("seccomp") {
        fields.meaning("seccomp", "is of a container alone; give it there");
    }
    let seccomp = fields.maybe("seccomp", seccomp);
    let ipc = fields.maybe("ipcInfo", ipc);
    Some(LinuxInfo { seccomp: seccomp?, ipc: ipc? })
}

pub(crate) fn show_linux_info(info: &LinuxInfo) -> Value {
    let seccomp = info.seccomp.as_ref().map(|seccomp| match seccomp {
        Seccomp::Profile(name) => {
            Object::new().with("profileName", name.as_str()).with("unconfined", false).done()
        }
        Seccomp::Unconfined => Object::new().with("unconfined", true).done(),
    });
    let ipc = info.ipc.map(|(mode, size)| {
        let mode = match mode {
            IpcMode::Private => "PRIVATE",
            IpcMode::ShareParent => "SHARE_PARENT",
        };
        Object::new().with("mode", mode).maybe("shmSize", size).done()
    });
    Object::new().maybe("seccomp", seccomp).maybe("ipcInfo", ipc).done()
}

const DISKS: [(&str, PersistentKind); 3] =
    [("root", PersistentKind::Root), ("path", PersistentKind::Path), ("mount", PersistentKind::Mount)];

/// Data that stay on their agent.
pub(crate) fn persistent(at: &At<'_>) -> Option<Persistent> {
    let fields = at.object()?;
    let profile = fields.maybe("profileName", At::words);
    let kind_absent = match &profile {
        Some(Some(_)) => PersistentKind::Mount,
        Some(None) | None => PersistentKind::Root,
    };
    let kind = fields.or("type", |at| at.choice(&DISKS), kind_absent);
    let size = fields.need("size").and_then(|at| at.amount(1));
    let max_size = fields.maybe("maxSize", |at| at.amount(1));
    let constraints = fields.or("constraints", |at| at.list(|one| disk_constraint(one)), Vec::new());
    Some(Persistent {
        kind: kind?,
        size: size?,
        max_size: max_size?,
        profile: profile?,
        constraints: constraints?,
    })
}

fn disk_constraint(at: &At<'_>) -> Option<(bool, String)> {
    let words = at.texts()?;
    match words.as_slice() {
        [field, operator, regex] if field == "path" && (operator == "LIKE" || operator == "UNLIKE") => {
            Some((operator == "LIKE", regex.clone()))
        }
        _ => {
            at.meaning("must be [\"path\", \"LIKE\" or \"UNLIKE\", a regular expression]");
            Some((true, ".*".to_owned()))
        }
    }
}

pub(crate) fn show_persistent(volume: &Persistent) -> Value {
    let kind = match volume.kind {
        PersistentKind::Root => "root",
        PersistentKind::Path => "path",
        PersistentKind::Mount => "mount",
    };
    Object::new()
        .with("type", kind)
        .with("size", amount(volume.size))
        .maybe("maxSize", volume.max_size.map(amount))
        .maybe("profileName", volume.profile.as_deref())
        .some("constraints", &volume.constraints, |(like, regex)| {
            let operator = if *like { "LIKE" } else { "UNLIKE" };
            list(&["path".to_owned(), operator.to_owned(), regex.clone()], text)
        })
        .done()
}

/// A field of an object, if it is there and right, into its place.
pub(crate) fn set<'a, T>(
    fields: &Fields<'a>,
    name: &str,
    place: &mut T,
    read: impl Fn(&At<'a>) -> Option<T>,
) -> bool {
    let Some(at) = fields.get(name) else { return false };
    if let Some(value) = read(&at) {
        *place = value;
    }
    true
}
