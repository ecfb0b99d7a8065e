//! What the services keep, as JSON that a person can read.
//!
//! Each value is `{"format": 1, "<kind>": …}`. A format that is newer than this program is refused with words, so that a
//! downgrade loses nothing. Definitions are written as the API shows them, and read back with nothing filled in.
//!
//! Invariants
//! - What is written reads back as the same value.

mod deployment;
mod instance;

use lonja_model::Timestamp;
use lonja_services_core::definition::{RunSpec, Version, VersionInfo};
use lonja_services_core::groups::Group;
use lonja_services_core::instance::InstanceId;
use lonja_services_core::job::{JobRun, JobRunId, RunState};
use lonja_services_core::kept::{Failure, KeptJob};
use lonja_services_core::validate::Fault;
use lonja_services_core::{Codec, Kept, PathId};
use serde_json::Value;

use super::app::{kept_app, show_app};
use super::common::path_id;
use super::group::show_group;
use super::job::{kept_job, show_job};
use super::pod::{kept_pod, show_pod};
use super::reader::{At, Faults, Fields};
use super::writer::Object;
use super::{Rejected, json, parse_version, version};

/// What this program writes. It reads this and all before.
const FORMAT: u64 = 1;

/// Writes what is kept as JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonCodec;

impl Codec for JsonCodec {
    fn write(&self, kept: &Kept) -> Vec<u8> {
        let (kind, value) = match kept {
            Kept::Boots(boots) => ("boots", Value::from(*boots)),
            Kept::Spec(spec) => ("spec", show_spec(spec)),
            Kept::Group(group) => ("group", show_group(group)),
            Kept::Instance(one) => ("instance", instance::show(one)),
            Kept::Deployment(one) => ("deployment", deployment::show(one)),
            Kept::Failure(failure) => ("failure", show_failure(failure)),
            Kept::Job(kept) => ("job", show_job(&kept.job)),
            Kept::Run(run) => ("run", show_run(run)),
        };
        let seen_to = if let Kept::Job(kept) = kept { kept.seen_to.map(show_time) } else { None };
        let object = Object::new().with("format", FORMAT).with(kind, value).maybe("seenTo", seen_to);
        object.done().to_string().into_bytes()
    }

    fn read(&self, key: &str, bytes: &[u8]) -> Result<Kept, String> {
        let told = |rejected: Rejected| {
            let faults = |faults: Vec<Fault>| {
                faults.iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect::<Vec<_>>()
            };
            let words = match rejected {
                Rejected::Types(found) | Rejected::Values(found) => faults(found).join("; "),
                Rejected::NotJson(words)
                | Rejected::NotAnObject(words)
                | Rejected::Illegal(words)
                | Rejected::BadQuery(words) => words,
            };
            format!("what is kept under {key:?} cannot be read: {words}")
        };
        let value = json::own(bytes).map_err(told)?;
        let format = value.get("format").and_then(Value::as_u64).unwrap_or(0);
        if !(1..=FORMAT).contains(&format) {
            return Err(format!(
                "what is kept under {key:?} has the format {format}, and this program knows 1 to {FORMAT}; start the program \
                 that wrote it, or a newer one"
            ));
        }
        let faults = Faults::default();
        let read = kept(&At::root(&value, &faults));
        faults.settle(read, |_| Vec::new()).map_err(told)
    }
}

fn kept(at: &At<'_>) -> Option<Kept> {
    let fields = at.object()?;
    if let Some(at) = fields.get("boots") {
        return at.integer(0..=u64::MAX).map(Kept::Boots);
    }
    if let Some(at) = fields.get("spec") {
        return spec(&at).map(Kept::Spec);
    }
    if let Some(at) = fields.get("group") {
        return group(&at).map(Kept::Group);
    }
    if let Some(at) = fields.get("instance") {
        return instance::read(&at).map(Kept::Instance);
    }
    if let Some(at) = fields.get("deployment") {
        return deployment::read(&at).map(|one| Kept::Deployment(Box::new(one)));
    }
    if let Some(at) = fields.get("failure") {
        return failure(&at).map(Kept::Failure);
    }
    if let Some(at) = fields.get("job") {
        let seen_to = fields.maybe("seenTo", time_at)?;
        let job = kept_job(&at, id(&at.object()?, "id")?)?;
        return Some(Kept::Job(KeptJob { job, seen_to }));
    }
    if let Some(at) = fields.get("run") {
        return run(&at).map(Kept::Run);
    }
    at.form("holds nothing that this program knows")
}

/// A definition, with the times of its changes.
fn show_spec(spec: &RunSpec) -> Value {
    let (kind, shown) = match spec {
        RunSpec::App(app) => ("app", show_app(app)),
        RunSpec::Pod(pod) => ("pod", show_pod(pod)),
    };
    let info = spec.version();
    let changed = Object::new()
        .with("at", version(info.version))
        .with("scaled", version(info.last_scaling))
        .with("configured", version(info.last_config));
    Object::new().with(kind, shown).with("changed", changed.done()).done()
}

fn spec(at: &At<'_>) -> Option<RunSpec> {
    let fields = at.object()?;
    let changed = fields.need("changed")?.object()?;
    let info = VersionInfo {
        version: version_in(&changed, "at")?,
        last_scaling: version_in(&changed, "scaled")?,
        last_config: version_in(&changed, "configured")?,
    };
    let spec = match fields.get("app") {
        Some(at) => RunSpec::App(kept_app(&at, id(&at.object()?, "id")?)?.into()),
        None => {
            let at = fields.need("pod")?;
            RunSpec::Pod(kept_pod(&at, id(&at.object()?, "id")?)?.into())
        }
    };
    Some(spec.with_version(info))
}

fn group(at: &At<'_>) -> Option<Group> {
    let fields = at.object()?;
    let root = PathId::root();
    let dependencies = fields.or("dependencies", |at| at.list(|one| path_id(one, &root)), Vec::new());
    let enforce_role = fields.maybe("enforceRole", At::flag);
    Some(Group {
        id: id(&fields, "id")?,
        dependencies: dependencies?,
        enforce_role: enforce_role?,
        version: version_in(&fields, "version")?,
    })
}

fn show_failure(failure: &Failure) -> Value {
    Object::new()
        .with("app", failure.app.as_str())
        .with("host", failure.host.as_str())
        .with("message", cut(&failure.message))
        .with("state", failure.state.as_str())
        .with("task", failure.task.as_str())
        .with("at", show_time(failure.at))
        .with("version", version(failure.version))
        .maybe("agent", failure.agent.as_deref())
        .done()
}

fn failure(at: &At<'_>) -> Option<Failure> {
    let fields = at.object()?;
    let text = |name: &str| fields.need(name)?.any_text();
    Some(Failure {
        app: id(&fields, "app")?,
        host: text("host")?,
        message: text("message")?,
        state: text("state")?,
        task: text("task")?,
        at: time_in(&fields, "at")?,
        version: version_in(&fields, "version")?,
        agent: fields.maybe("agent", At::any_text)?,
    })
}

fn show_run(run: &JobRun) -> Value {
    let state = match &run.state {
        RunState::Waiting => Object::new().with("is", "waiting"),
        RunState::Running => Object::new().with("is", "running"),
        RunState::Succeeded { at } => Object::new().with("is", "succeeded").with("at", show_time(*at)),
        RunState::Failed { at, reason } => {
            Object::new().with("is", "failed").with("at", show_time(*at)).with("reason", cut(reason))
        }
    };
    Object::new()
        .with("id", run.id.as_str())
        .with("due", show_time(run.due))
        .with("tries", run.tries)
        .maybe("launchedAt", run.launched_at.map(show_time))
        .maybe("retryAt", run.retry_at.map(show_time))
        .maybe("ending", run.ending.as_deref().map(cut))
        .with("state", state.done())
        .done()
}

fn run(at: &At<'_>) -> Option<JobRun> {
    let fields = at.object()?;
    let state = fields.need("state")?.object()?;
    let words = [("waiting", 0), ("running", 1), ("succeeded", 2), ("failed", 3)];
    let state = match state.need("is")?.choice(&words)? {
        0 => RunState::Waiting,
        1 => RunState::Running,
        2 => RunState::Succeeded { at: time_in(&state, "at")? },
        _ => RunState::Failed { at: time_in(&state, "at")?, reason: state.need("reason")?.any_text()? },
    };
    Some(JobRun {
        id: JobRunId::from_text(&fields.need("id")?.text()?),
        due: time_in(&fields, "due")?,
        tries: number_in(&fields, "tries")?,
        launched_at: fields.maybe("launchedAt", time_at)?,
        retry_at: fields.maybe("retryAt", time_at)?,
        ending: fields.maybe("ending", At::any_text)?,
        state,
    })
}

/// The longest that words of a peer are kept, in bytes: a value has a bound, and they have none.
const MAX_WORDS_BYTES: usize = 16 << 10;

/// Words of a peer as far as they are kept.
fn cut(words: &str) -> &str {
    &words[..words.floor_char_boundary(MAX_WORDS_BYTES)]
}

/// To the nanosecond.
fn show_time(at: Timestamp) -> String {
    let nanos = i128::from(at.as_nanos());
    // 64 bits of nanoseconds end in the year 2554, which jiff knows.
    jiff::Timestamp::from_nanosecond(nanos).map(|at| format!("{at:.9}")).unwrap_or_default()
}

fn time_at(at: &At<'_>) -> Option<Timestamp> {
    let text = at.text()?;
    let nanos = text.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_nanosecond()).ok());
    nanos.map(Timestamp::from_nanos).or_else(|| at.form("must be a time"))
}

fn time_in(fields: &Fields<'_>, name: &str) -> Option<Timestamp> {
    time_at(&fields.need(name)?)
}

fn version_at(at: &At<'_>) -> Option<Version> {
    let text = at.text()?;
    parse_version(&text).or_else(|| at.form("must be a time"))
}

fn version_in(fields: &Fields<'_>, name: &str) -> Option<Version> {
    version_at(&fields.need(name)?)
}

fn id(fields: &Fields<'_>, name: &str) -> Option<PathId> {
    path_id(&fields.need(name)?, &PathId::root())
}

fn instance_id(at: &At<'_>) -> Option<InstanceId> {
    at.words().map(|text| InstanceId::from_text(&text))
}

fn number_in<T: TryFrom<u64>>(fields: &Fields<'_>, name: &str) -> Option<T> {
    let at = fields.need(name)?;
    let number = at.integer(0..=u64::MAX)?;
    T::try_from(number).ok().or_else(|| at.form("is too large"))
}
