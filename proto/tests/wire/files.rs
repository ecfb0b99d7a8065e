//! Files that come with a task: the bytes, what is refused, and what listings show.

use std::collections::BTreeMap;

use lonja_model::container::{Command, ContainerInfo, Program, Volume};
use lonja_model::files::{LONGEST_SECRET, Secret, SecretBytes, Uri, VolumeSource};
use lonja_proto::convert::container::{
    command_from_wire, command_to_wire, container_from_wire, container_to_wire,
};
use lonja_proto::convert::files::without_secrets;
use lonja_proto::mesos::{self, command_info, environment, secret, volume};
use prost::Message;

use super::golden::golden;

fn value(text: &str) -> Secret {
    Secret::Value(SecretBytes::new(text.as_bytes().to_vec()).unwrap())
}

#[test]
fn uris_and_secret_variables() {
    let mut archive = Uri::saved_as("https://example.org/a.tgz?v=1", "in/a.tgz").unwrap();
    archive.cache = true;
    archive.sha256 =
        Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse().unwrap());
    let mut tool = Uri::new("file:///opt/tool").unwrap();
    (tool.executable, tool.extract) = (true, false);
    let reference = Secret::Reference { name: "db".to_owned(), key: Some("password".to_owned()) };
    let command = Command {
        uris: vec![archive, tool],
        secrets: BTreeMap::from([("PASSWORD".to_owned(), reference), ("TOKEN".to_owned(), value("t"))]),
        ..Command::new(Program::Shell("true".to_owned()))
    };
    let kept = golden("command_files.bin", &command_to_wire(&command).encode_to_vec());
    let read = command_from_wire(mesos::CommandInfo::decode(kept.as_slice()).unwrap());
    assert_eq!(read, Ok(command));
}

#[test]
fn volumes_of_every_source() {
    let volume = |source, path: &str| Volume { source, container_path: path.to_owned(), read_only: false };
    let container = ContainerInfo {
        volumes: vec![
            volume(VolumeSource::Host("/data".to_owned()), "in"),
            volume(VolumeSource::Sandbox("own/folder".to_owned()), "/srv"),
            volume(VolumeSource::Secret(value("hunter2")), "secrets/db"),
            volume(VolumeSource::Tmpfs { size: Some(1 << 20) }, "scratch"),
            volume(VolumeSource::Tmpfs { size: None }, "more"),
        ],
        ..ContainerInfo::default()
    };
    let wire = container_to_wire(&container).unwrap();
    let kept = golden("container_volumes.bin", &wire.encode_to_vec());
    let read = container_from_wire(Some(mesos::ContainerInfo::decode(kept.as_slice()).unwrap()));
    assert_eq!(read, Ok(container));

    let shown = without_secrets(wire).encode_to_vec();
    assert!(!shown.windows(7).any(|bytes| bytes == b"hunter2"), "listings show no secret");
}

#[test]
fn a_path_of_the_host_is_read_in_both_forms() {
    let source = volume::Source {
        r#type: Some(volume::source::Type::HostPath.into()),
        host_path: Some(volume::source::HostPath { path: "/data".to_owned(), mount_propagation: None }),
        ..Default::default()
    };
    let wire = container(mesos::Volume { source: Some(source), ..plain_volume() });
    let read = container_from_wire(Some(wire)).unwrap();
    assert_eq!(read.volumes[0].source, VolumeSource::Host("/data".to_owned()));
}

#[test]
fn a_uri_that_cannot_be_fetched_is_refused_by_its_field() {
    let uri = |value: &str| command_info::Uri { value: value.to_owned(), ..Default::default() };
    let named = |name: &str| command_info::Uri { output_file: Some(name.to_owned()), ..uri("http://h/a") };
    let table = [
        (uri(""), "uris[0].value: "),
        (uri("gopher://h/a"), "uris[0].value: \"gopher://h/a\" does not begin with"),
        (uri("http://u:p@h/a"), "uris[0].value: holds a user or password"),
        (uri("http://h/"), "uris[0].value: ends without a file name"),
        (uri(&format!("http://h/{}", "a".repeat(5_000))), "uris[0].value: has 5009 bytes"),
        (named("../../x"), "uris[0].output_file: \"../../x\" is not a relative path"),
        (named("/abs"), "uris[0].output_file: "),
        (named("a/"), "uris[0].output_file: "),
        (command_info::Uri { sha256: Some("12".to_owned()), ..uri("http://h/a") }, "uris[0].sha256: "),
    ];
    for (uri, expected) in table {
        let wire =
            mesos::CommandInfo { value: Some("true".to_owned()), uris: vec![uri], ..Default::default() };
        let refused = command_from_wire(wire).unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }
}

#[test]
fn a_secret_is_one_thing_and_says_which() {
    let bytes = |count| Some(secret::Value { data: vec![0; count] });
    let reference = |name: &str| Some(secret::Reference { name: name.to_owned(), key: None });
    let of = |kind: secret::Type| mesos::Secret { r#type: Some(kind.into()), ..Default::default() };
    use secret::Type::{Reference, Value};
    let table = [
        (mesos::Secret::default(), "secret.reference: is missing"),
        (of(Value), "secret.value: is missing"),
        (of(Reference), "secret.reference: is missing"),
        (
            mesos::Secret { value: bytes(1), reference: reference("a"), ..of(Value) },
            "secret.reference: stands",
        ),
        (
            mesos::Secret { value: bytes(LONGEST_SECRET + 1), ..of(Value) },
            "secret.value.data: has 65537 bytes",
        ),
        (mesos::Secret { reference: reference("../a"), ..of(Reference) }, "secret.reference.name: is empty"),
        (mesos::Secret { reference: reference(""), ..of(Reference) }, "secret.reference.name: is empty"),
    ];
    for (secret, expected) in table {
        let refused = variable(environment::variable::Type::Secret, None, Some(secret)).unwrap_err();
        assert_eq!(refused.find(expected), Some("environment.variables[0].".len()), "{refused}");
    }
    let both = variable(environment::variable::Type::Secret, Some("x"), Some(of(Value))).unwrap_err();
    assert!(both.contains("variables[0].value: stands beside a secret"), "{both}");
    let plain = variable(environment::variable::Type::Value, None, Some(of(Value))).unwrap_err();
    assert!(plain.contains("variables[0].secret: stands in a plain variable"), "{plain}");
}

fn variable(
    kind: environment::variable::Type,
    value: Option<&str>,
    secret: Option<mesos::Secret>,
) -> Result<Command, String> {
    let variable = environment::Variable {
        name: "A".to_owned(),
        r#type: Some(kind.into()),
        value: value.map(ToOwned::to_owned),
        secret,
    };
    let wire = mesos::CommandInfo {
        value: Some("true".to_owned()),
        environment: Some(mesos::Environment { variables: vec![variable] }),
        ..Default::default()
    };
    command_from_wire(wire).map_err(|refusal| refusal.to_string())
}

fn plain_volume() -> mesos::Volume {
    mesos::Volume { container_path: "in".to_owned(), mode: volume::Mode::Rw.into(), ..Default::default() }
}

fn container(volume: mesos::Volume) -> mesos::ContainerInfo {
    mesos::ContainerInfo {
        r#type: mesos::container_info::Type::Mesos.into(),
        volumes: vec![volume],
        ..Default::default()
    }
}

#[test]
fn a_volume_without_a_place_to_come_from_is_refused_by_its_field() {
    use volume::source::{SandboxPath, Tmpfs, Type, sandbox_path};
    let of = |kind: Type| volume::Source { r#type: Some(kind.into()), ..Default::default() };
    let sandbox = |kind: sandbox_path::Type, path: &str| volume::Source {
        sandbox_path: Some(SandboxPath { r#type: Some(kind.into()), path: path.to_owned() }),
        ..of(Type::SandboxPath)
    };
    let own = sandbox_path::Type::Self_;
    let table = [
        (volume::Source::default(), "source.type: is missing"),
        (of(Type::HostPath), "source.host_path: is missing"),
        (of(Type::SandboxPath), "source.sandbox_path: is missing"),
        (sandbox(own, "../x"), "source.sandbox_path.path: must be relative"),
        (sandbox(own, "/x"), "source.sandbox_path.path: must be relative"),
        (sandbox(sandbox_path::Type::Parent, "../x"), "source.sandbox_path.path: must be relative"),
        (of(Type::Secret), "source.secret: is missing"),
        (of(Type::DockerVolume), "source.docker_volume: "),
        (of(Type::CsiVolume), "source.csi_volume: "),
        (
            volume::Source { tmpfs: Some(Tmpfs { size_bytes: Some(0) }), ..of(Type::Tmpfs) },
            "source.tmpfs.size_bytes: is zero",
        ),
    ];
    for (source, expected) in table {
        let wire = container(mesos::Volume { source: Some(source), ..plain_volume() });
        let refused = container_from_wire(Some(wire)).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("volumes[0].{expected}")), "{refused}");
    }
    let both =
        mesos::Volume { host_path: Some("/a".to_owned()), source: Some(of(Type::Tmpfs)), ..plain_volume() };
    let refused = container_from_wire(Some(container(both))).unwrap_err().to_string();
    assert!(refused.starts_with("volumes[0].host_path: stands beside source"), "{refused}");
}
