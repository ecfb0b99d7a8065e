//! The container of an app.

use lonja_services_core::definition::{AppVolume, Container, Docker, Engine, External, VolumeKind};
use serde_json::Value;

use super::common::{linux_info, persistent, show_linux_info, show_persistent};
use super::json::Shape;
use super::networks::{port_mapping, show_port_mapping};
use super::reader::{At, Fields};
use super::writer::{Object, list};

/// The most that is passed on to a provider of volumes, in bytes.
const MAX_OPTIONS_BYTES: usize = 16 << 10;
/// And how deep it may be.
const MAX_OPTIONS_DEPTH: usize = 8;

const ENGINES: [(&str, Engine); 2] = [("DOCKER", Engine::Docker), ("MESOS", Engine::Mesos)];

/// A container.
pub(crate) fn container(at: &At<'_>) -> Option<Container> {
    let fields = at.object()?;
    let engine = fields.or("type", |at| at.choice(&ENGINES), Engine::Docker);
    let docker = fields.maybe("docker", docker);
    let volumes = fields.or("volumes", |at| at.list(volume), Vec::new());
    let port_mappings = fields.maybe("portMappings", |at| at.list(port_mapping));
    let linux_info = fields.maybe("linuxInfo", |at| linux_info(at, false));
    Some(Container {
        engine: engine?,
        docker: docker?,
        volumes: volumes?,
        port_mappings: port_mappings?,
        linux_info: linux_info?,
    })
}

pub(crate) fn show_container(container: &Container) -> Value {
    let engine = match container.engine {
        Engine::Mesos => "MESOS",
        Engine::Docker => "DOCKER",
    };
    let mappings = container.port_mappings.as_ref();
    Object::new()
        .with("type", engine)
        .maybe("docker", container.docker.as_ref().map(show_docker))
        .with("volumes", list(&container.volumes, show_volume))
        .maybe("portMappings", mappings.map(|mappings| list(mappings, show_port_mapping)))
        .maybe("linuxInfo", container.linux_info.as_ref().map(show_linux_info))
        .done()
}

/// `{"secret": "name"}`.
pub(crate) fn pull_config(at: &At<'_>) -> Option<String> {
    at.object()?.need("secret")?.words()
}

fn docker(at: &At<'_>) -> Option<Docker> {
    let fields = at.object()?;
    if fields.has("credential") {
        fields.meaning("credential", "is no longer taken; give pullConfig with the name of a secret");
    }
    let image = fields.need("image").and_then(|at| at.words());
    let force_pull = fields.or("forcePullImage", At::flag, false);
    let privileged = fields.or("privileged", At::flag, false);
    let parameters = fields.or("parameters", |at| at.list(parameter), Vec::new());
    let pull_secret = fields.maybe("pullConfig", pull_config);
    Some(Docker {
        image: image?,
        force_pull: force_pull?,
        privileged: privileged?,
        parameters: parameters?,
        pull_secret: pull_secret?,
    })
}

fn parameter(at: &At<'_>) -> Option<(String, String)> {
    let fields = at.object()?;
    let key = fields.need("key").and_then(|at| at.words());
    let value = fields.need("value").and_then(|at| at.text());
    Some((key?, value?))
}

fn show_docker(docker: &Docker) -> Value {
    let secret = docker.pull_secret.as_ref();
    Object::new()
        .with("image", docker.image.as_str())
        .with("forcePullImage", docker.force_pull)
        .with("privileged", docker.privileged)
        .with(
            "parameters",
            list(&docker.parameters, |(key, value)| {
                Object::new().with("key", key.as_str()).with("value", value.as_str()).done()
            }),
        )
        .maybe("pullConfig", secret.map(|secret| Object::new().with("secret", secret.as_str()).done()))
        .done()
}

fn volume(at: &At<'_>) -> Option<AppVolume> {
    let fields = at.object()?;
    let container_path = fields.need("containerPath").and_then(|at| at.text_within(1024));
    let mode = fields.or("mode", |at| at.choice(&[("RO", true), ("RW", false)]), false);
    let kind = volume_kind(at, &fields);
    let (container_path, mode, kind) = (container_path?, mode?, kind?);
    // A secret is never written to, whatever was said.
    let read_only = mode || matches!(kind, VolumeKind::Secret(_));
    Some(AppVolume { container_path, read_only, kind })
}

fn volume_kind(at: &At<'_>, fields: &Fields<'_>) -> Option<VolumeKind> {
    let kinds = ["hostPath", "persistent", "external", "secret"];
    let given: Vec<&str> = kinds.into_iter().filter(|kind| fields.has(kind)).collect();
    match given.as_slice() {
        ["hostPath"] => fields.need("hostPath")?.words().map(VolumeKind::Host),
        ["persistent"] => persistent(&fields.need("persistent")?).map(VolumeKind::Persistent),
        ["external"] => external(&fields.need("external")?).map(VolumeKind::External),
        ["secret"] => fields.need("secret")?.words().map(VolumeKind::Secret),
        _ => at.form("must have exactly one of hostPath, persistent, external and secret"),
    }
}

fn external(at: &At<'_>) -> Option<External> {
    let fields = at.object()?;
    let name = fields.need("name").and_then(|at| at.words());
    let provider = fields.need("provider").and_then(|at| at.words());
    let size = fields.maybe("size", |at| at.integer(1..=1 << 40));
    let shared = fields.or("shared", At::flag, false);
    let options = fields.need("options").and_then(|at| options(&at));
    Some(External { name: name?, provider: provider?, size: size?, shared: shared?, options: options? })
}

/// What is passed on to a provider, as JSON text; small enough to be kept along with all else.
fn options(at: &At<'_>) -> Option<String> {
    at.object()?;
    let text = at.value.to_string();
    let fits = text.len() <= MAX_OPTIONS_BYTES && Shape::of(text.as_bytes()).deep <= MAX_OPTIONS_DEPTH;
    if fits {
        return Some(text);
    }
    at.form(format!("must have {MAX_OPTIONS_BYTES} bytes and {MAX_OPTIONS_DEPTH} levels at most"))
}

fn show_volume(volume: &AppVolume) -> Value {
    let mode = if volume.read_only { "RO" } else { "RW" };
    let shown = Object::new().with("containerPath", volume.container_path.as_str());
    match &volume.kind {
        VolumeKind::Host(path) => shown.with("mode", mode).with("hostPath", path.as_str()),
        VolumeKind::Persistent(persistent) => {
            shown.with("mode", mode).with("persistent", show_persistent(persistent))
        }
        VolumeKind::External(external) => shown.with("mode", mode).with("external", show_external(external)),
        VolumeKind::Secret(name) => shown.with("secret", name.as_str()),
    }
    .done()
}

fn show_external(external: &External) -> Value {
    // It was an object when it came.
    let options: Value = serde_json::from_str(&external.options).unwrap_or_else(|_| Object::new().done());
    Object::new()
        .with("name", external.name.as_str())
        .with("provider", external.provider.as_str())
        .maybe("size", external.size)
        .with("shared", external.shared)
        .with("options", options)
        .done()
}
