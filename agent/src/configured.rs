//! What an operator says an agent has: `--resources` and `--oversubscribe`.
//!
//! The text form says names and amounts, and for whom they are set aside: `cpus:4;disk(eng):1000`. What it cannot say
//! is said in JSON, as Mesos writes it: disks other than that of the work dir, the principal or labels of a
//! static reservation. Either may stand in a file, named as `file:///path`.
//!
//! Invariants
//! - Nothing that is made while the cluster runs can be configured: dynamic reservations and volumes are operations.
//! - What may be taken back at any time is said apart, by `--oversubscribe`, and so cannot be mistaken for the rest.
//!
//! Source: Mesos agent, `--resources`; Mesos v1 `Resource`; the `fixed` resource estimator.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use lonja_model::labels::Labels;
use lonja_model::resources::{
    AddError, Disk, DiskSource, DiskSourceKind, Metadata, ParseError, Ranges, Reservation, ReservationKind,
    Resource, Resources, Scalar, Set, Value,
};
use lonja_model::role::Role;
use serde::Deserialize;

use crate::gpu_names;

/// The longest file or JSON text that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Why settings make no resources. Each says which part, what is wrong with it, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfiguredError {
    /// The text form is wrong.
    #[error(transparent)]
    Text(#[from] ParseError),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Over a mebibyte.
    #[error("{what} has more than {LONGEST} bytes; describe fewer resources")]
    TooLong {
        /// The file, or the text itself.
        what: String,
    },
    /// Not JSON, or not the JSON of resources.
    #[error(
        "not a JSON list of resources such as \
         [{{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{{\"value\":1000}}}}]: {0}"
    )]
    Json(#[from] serde_json::Error),
    /// One of them cannot be.
    #[error("resource {number} ({name}): {reason}")]
    Entry {
        /// Its place in the list, from 1.
        number: usize,
        /// Its name.
        name: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// GPUs by number that are no number of GPUs.
    #[error("{0}")]
    Gpus(String),
    /// They cannot be together.
    #[error(transparent)]
    Sum(#[from] AddError),
}

/// The resources that `--resources` says: the text form, JSON, or `file:///path` with either. GPUs that are told by number
/// are the first ones.
pub fn resources(said: &str) -> Result<Resources, ConfiguredError> {
    let told = told(said)?;
    gpu_names::by_name(&told).map_err(ConfiguredError::Gpus)
}

fn told(said: &str) -> Result<Resources, ConfiguredError> {
    let Some(path) = said.trim().strip_prefix("file://") else { return parse(said, "the text") };
    let path = PathBuf::from(path);
    let mut text = String::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    read.map_err(|source| ConfiguredError::Read { path: path.clone(), source })?;
    parse(&text, &path.display().to_string())
}

/// `configured`, with what `--oversubscribe` says added as resources that may be taken back at any time.
///
/// A fixed estimate, as an operator who knows the machine gives it. Errors: it is not well formed, or reserved.
pub fn oversubscribed(configured: &Resources, said: &str) -> Result<Resources, ConfiguredError> {
    let spare = Resources::parse(said)?;
    let mut all = configured.clone();
    for (index, resource) in spare.iter().enumerate() {
        let refuse = |reason: String| entry_error(index, resource.name(), reason);
        if resource.reserved_for().is_some() {
            let reason = "what may be taken back at any time cannot be reserved; leave the role out";
            return Err(refuse(reason.to_owned()));
        }
        if resource.name() == "gpus" && matches!(resource.value(), Value::Scalar(_)) {
            return Err(refuse("say which GPUs may be taken back, such as gpus:{1:500}".to_owned()));
        }
        let metadata = Metadata { revocable: true, ..Metadata::default() };
        let spare = Resource::with_metadata(resource.name(), resource.value().clone(), metadata);
        let spare = spare.map_err(|error| refuse(error.to_string()))?;
        all = all.checked_add(&Resources::of([spare])?)?;
    }
    Ok(all)
}

fn parse(text: &str, what: &str) -> Result<Resources, ConfiguredError> {
    if text.len() as u64 > LONGEST {
        return Err(ConfiguredError::TooLong { what: what.to_owned() });
    }
    if !text.trim_start().starts_with(['[', '{']) {
        return Ok(Resources::parse(text.trim())?);
    }
    let mut all = Resources::new();
    let entries: Vec<Entry> = serde_json::from_str(text)?;
    for (index, entry) in entries.into_iter().enumerate() {
        let name = entry.name.clone();
        let resource = entry.resource().map_err(|reason| entry_error(index, &name, reason))?;
        all = all.checked_add(&Resources::of([resource])?)?;
    }
    Ok(all)
}

fn entry_error(index: usize, name: &str, reason: String) -> ConfiguredError {
    ConfiguredError::Entry { number: index + 1, name: name.chars().take(128).collect(), reason }
}

/// One resource, as Mesos writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    kind: Option<Kind>,
    scalar: Option<Number>,
    ranges: Option<RangeList>,
    set: Option<ItemList>,
    /// The old form of a static reservation.
    role: Option<String>,
    #[serde(default)]
    reservations: Vec<Layer>,
    disk: Option<DiskEntry>,
    revocable: Option<serde_json::Value>,
    shared: Option<serde_json::Value>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Scalar,
    Ranges,
    Set,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Number {
    value: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeList {
    #[serde(default)]
    range: Vec<RangeEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeEntry {
    begin: u64,
    end: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemList {
    #[serde(default)]
    item: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    #[serde(rename = "type")]
    kind: Option<String>,
    role: String,
    principal: Option<String>,
    labels: Option<LabelList>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelList {
    #[serde(default)]
    labels: Vec<LabelEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelEntry {
    key: String,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskEntry {
    source: Option<SourceEntry>,
    persistence: Option<serde_json::Value>,
    volume: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceEntry {
    #[serde(rename = "type")]
    kind: String,
    path: Option<RootEntry>,
    mount: Option<RootEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RootEntry {
    root: String,
}

impl Entry {
    fn resource(self) -> Result<Resource, String> {
        if self.revocable.is_some() {
            return Err("revocable: say it with --oversubscribe".to_owned());
        }
        if self.shared.is_some() {
            return Err("shared: only a volume is shared, and volumes are made by CREATE".to_owned());
        }
        let value = value(self.kind, self.scalar, self.ranges, self.set)?;
        let reservations = reservations(self.role, self.reservations)?;
        let disk = self.disk.map(disk).transpose()?.flatten();
        let metadata = Metadata { reservations, disk, ..Metadata::default() };
        Resource::with_metadata(&self.name, value, metadata).map_err(|error| error.to_string())
    }
}

fn value(
    kind: Option<Kind>,
    scalar: Option<Number>,
    ranges: Option<RangeList>,
    set: Option<ItemList>,
) -> Result<Value, String> {
    let (found, value) = match (scalar, ranges, set) {
        (Some(number), None, None) => {
            let scalar = Scalar::from_f64(number.value);
            (Kind::Scalar, Value::Scalar(scalar.map_err(|error| format!("scalar.value: {error}"))?))
        }
        (None, Some(list), None) => {
            let ranges = Ranges::new(list.range.iter().map(|range| (range.begin, range.end)));
            (Kind::Ranges, Value::Ranges(ranges.map_err(|error| format!("ranges: {error}"))?))
        }
        (None, None, Some(list)) => (Kind::Set, Value::Set(Set::new(list.item))),
        _ => return Err("give it one of scalar, ranges and set".to_owned()),
    };
    if kind.is_some_and(|kind| kind != found) {
        return Err("type: is not that of its value; leave it out, or give the value of that type".to_owned());
    }
    Ok(value)
}

fn reservations(role: Option<String>, layers: Vec<Layer>) -> Result<Vec<Reservation>, String> {
    let role_of = |name: String, field: &str| Role::new(name).map_err(|error| format!("{field}: {error}"));
    match role.filter(|role| role != "*") {
        Some(_) if !layers.is_empty() => {
            Err("role: stands beside reservations; leave it out, and name the role in reservations"
                .to_owned())
        }
        Some(role) => Ok(vec![Reservation::fixed(role_of(role, "role")?)]),
        None => layers
            .into_iter()
            .map(|layer| {
                if layer.kind.is_some_and(|kind| kind != "STATIC") {
                    return Err(
                        "reservations: only STATIC ones are configured; others are made by RESERVE".into()
                    );
                }
                let labels = layer.labels.map(|list| list.labels).unwrap_or_default();
                Ok(Reservation {
                    kind: ReservationKind::Static,
                    role: role_of(layer.role, "reservations.role")?,
                    principal: layer.principal,
                    labels: Labels(labels.into_iter().map(|label| (label.key, label.value)).collect()),
                })
            })
            .collect(),
    }
}

fn disk(entry: DiskEntry) -> Result<Option<Disk>, String> {
    if entry.persistence.is_some() || entry.volume.is_some() {
        return Err("disk: volumes are not configured; they are made by CREATE".to_owned());
    }
    let Some(source) = entry.source else { return Ok(None) };
    let root = |entry: Option<RootEntry>, field: &str| {
        let root = entry.ok_or_else(|| format!("disk.source.{field}.root: is missing; name a folder"))?.root;
        let path = Path::new(&root);
        if root.is_empty()
            || root.contains('\0')
            || path.components().any(|part| part == Component::ParentDir)
        {
            return Err(format!("disk.source.{field}.root: {root:?} is not a path without `..`"));
        }
        Ok(Some(root))
    };
    let kind = match source.kind.as_str() {
        "PATH" if source.mount.is_none() => DiskSourceKind::Path { root: root(source.path, "path")? },
        "MOUNT" if source.path.is_none() => DiskSourceKind::Mount { root: root(source.mount, "mount")? },
        "PATH" | "MOUNT" => {
            return Err("disk.source: has both path and mount; keep the one of its type".into());
        }
        other => return Err(format!("disk.source.type: {other:?} is neither PATH nor MOUNT")),
    };
    let metadata = Labels::default();
    let source = Some(DiskSource { kind, id: None, metadata, profile: None, vendor: None });
    Ok(Some(Disk { source, ..Disk::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_say_the_same() {
        let json = r#"[
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 4.5}},
            {"name": "mem", "scalar": {"value": 1024}, "role": "*"},
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31005}]}},
            {"name": "disks", "type": "SET", "set": {"item": ["sda", "sdb"]}},
            {"name": "disk", "scalar": {"value": 100}, "role": "eng"},
            {"name": "disk", "scalar": {"value": 50}, "reservations": [{"type": "STATIC", "role": "ops"}]}
        ]"#;
        let text = "cpus:4.5;mem:1024;ports:[31000-31005];disks:{sda,sdb};disk(eng):100;disk(ops):50";
        assert_eq!(resources(json).unwrap(), resources(text).unwrap());
    }

    #[test]
    fn disks_are_told_apart_by_their_source() {
        let disk = |kind: &str, field: &str, root: &str| {
            format!(
                r#"{{"name":"disk","scalar":{{"value":10}},
                     "disk":{{"source":{{"type":"{kind}","{field}":{{"root":"{root}"}}}}}}}}"#
            )
        };
        let all = [disk("PATH", "path", "/a"), disk("PATH", "path", "/b"), disk("MOUNT", "mount", "/c")];
        let all = resources(&format!("[{}]", all.join(","))).unwrap();
        let roots: Vec<_> =
            all.iter().map(|disk| disk.metadata().disk.clone().unwrap().source.unwrap().kind).collect();
        let root = |name: &str| Some(name.to_owned());
        let path = |name| DiskSourceKind::Path { root: root(name) };
        assert_eq!(roots, [path("/a"), path("/b"), DiskSourceKind::Mount { root: root("/c") }]);
        let twice = [disk("MOUNT", "mount", "/c"), disk("MOUNT", "mount", "/c")].join(",");
        assert!(resources(&format!("[{twice}]")).unwrap_err().to_string().contains("held twice"));
    }

    #[test]
    fn a_file_holds_either_form_and_a_missing_one_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " cpus:4;mem:100\n").unwrap();
        let said = format!("file://{}", file.path().display());
        assert_eq!(resources(&said).unwrap(), resources("cpus:4;mem:100").unwrap());
        std::fs::write(file.path(), r#"[{"name":"cpus","scalar":{"value":4}}]"#).unwrap();
        assert_eq!(resources(&said).unwrap(), resources("cpus:4").unwrap());
        std::fs::write(file.path(), " ".repeat(1 << 21)).unwrap();
        assert!(resources(&said).unwrap_err().to_string().ends_with("describe fewer resources"));
        let missing = resources("file:///no/such").unwrap_err().to_string();
        assert!(missing.starts_with("cannot read /no/such: No such file"), "{missing}");
    }

    #[test]
    fn a_bad_entry_says_which_what_and_what_to_do() {
        let disk = |disk: &str| format!(r#"[{{"name":"disk","scalar":{{"value":1}},"disk":{disk}}}]"#);
        let cpus = |more: &str| format!(r#"[{{"name":"cpus","scalar":{{"value":1}},{more}}}]"#);
        let table = [
            (r#"[{"name":"cpus"}]"#.to_owned(), "give it one of scalar, ranges and set"),
            (r#"[{"name":"cpus","scalar":{"value":-1}}]"#.to_owned(), "scalar.value:"),
            (cpus(r#""type":"SET""#), "type: is not that of its value"),
            (cpus(r#""revocable":{}"#), "say it with --oversubscribe"),
            (cpus(r#""shared":{}"#), "made by CREATE"),
            (cpus(r#""role":"a//b""#), "role: \"a//b\" is not a role name"),
            (cpus(r#""role":"a","reservations":[{"role":"b"}]"#), "leave it out"),
            (cpus(r#""reservations":[{"type":"DYNAMIC","role":"b"}]"#), "made by RESERVE"),
            (cpus(r#""colour":"red""#), "unknown field `colour`"),
            (disk(r#"{"persistence":{"id":"v"}}"#), "volumes are not configured"),
            (disk(r#"{"source":{"type":"PATH"}}"#), "disk.source.path.root: is missing"),
            (disk(r#"{"source":{"type":"PATH","path":{"root":"/a/../b"}}}"#), "is not a path without `..`"),
            (disk(r#"{"source":{"type":"RAW"}}"#), "\"RAW\" is neither PATH nor MOUNT"),
            ("[{]".to_owned(), "line 1 column 3"),
        ];
        for (said, expected) in table {
            let refused = resources(&said).unwrap_err().to_string();
            assert!(refused.contains(expected), "{said}: {refused}");
        }
    }

    #[test]
    fn what_is_oversubscribed_can_be_taken_back_and_stands_apart() {
        let all = oversubscribed(&resources("cpus:4;mem:100").unwrap(), "cpus:2;mem:50").unwrap();
        assert_eq!(all.to_string(), "cpus:4;cpus{REV}:2;mem:100;mem{REV}:50");
        let reserved = oversubscribed(&Resources::new(), "cpus(eng):2").unwrap_err().to_string();
        assert!(reserved.contains("resource 1 (cpus): what may be taken back"), "{reserved}");
    }
}
