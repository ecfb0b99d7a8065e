//! What is to be started within a container.

use axum::http::StatusCode;
use lonja_model::container::Program as Runs;
use lonja_proto::convert::container::command_from_wire;
use lonja_proto::mesos;
use lonja_proto::mesos::agent::call;

use super::inside::{Named, named, window};
use super::programs::Name;
use crate::api::sessions;
use crate::api::v1::refusal::Refusal;
use crate::containerizer::{Command, Nested};

/// What is to be started, as all calls that start something have it.
pub(super) struct Start {
    pub(super) id: mesos::ContainerId,
    pub(super) command: Option<mesos::CommandInfo>,
    pub(super) container: Option<mesos::ContainerInfo>,
}

impl Start {
    pub(super) fn name(&self) -> Result<Name, Refusal> {
        match named(&self.id)? {
            Named::Within(name) => Ok(name),
            Named::Top(_) => Err(Refusal::new(
                StatusCode::NOT_IMPLEMENTED,
                "standalone containers are not there; name the container to run in as container_id.parent",
            )),
        }
    }

    pub(super) fn nested(self) -> Result<Nested, Refusal> {
        let mut command = self.command.ok_or_else(|| Refusal::bad("command: is missing"))?;
        if command.shell() {
            // They go unseen, as in Mesos.
            command.arguments.clear();
        }
        let command =
            command_from_wire(command).map_err(|refusal| Refusal::bad(format!("command: {refusal}")))?;
        if !command.uris.is_empty() || !command.secrets.is_empty() {
            let said = "command: files and secrets are not brought into a nested container; they are those of its parent";
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, said));
        }
        let container = self.container.unwrap_or_default();
        if let Some(field) = without_effect(&container) {
            let said = format!(
                "container.{field}: has no effect within a container; what runs there has the surroundings of its parent"
            );
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, said));
        }
        let tty = container.tty_info;
        let nested = Nested {
            command: match command.program {
                Runs::Shell(line) => Command::Shell(line),
                Runs::Exec { path, arguments } => {
                    Command::Argv { program: path, args: arguments.into_iter().skip(1).collect() }
                }
            },
            environment: command.environment,
            user: command.user,
            tty: tty.map(|tty| window(tty.window_size)).transpose()?,
            time_limit: None,
            working_dir: None,
        };
        sessions::check_size(&nested).map_err(Refusal::bad)?;
        Ok(nested)
    }
}

impl From<call::LaunchNestedContainerSession> for Start {
    fn from(asked: call::LaunchNestedContainerSession) -> Self {
        Self { id: asked.container_id, command: asked.command, container: asked.container }
    }
}

#[allow(deprecated, reason = "clients still make the older calls")]
impl From<call::LaunchNestedContainer> for Start {
    fn from(asked: call::LaunchNestedContainer) -> Self {
        Self { id: asked.container_id, command: asked.command, container: asked.container }
    }
}

impl TryFrom<call::LaunchContainer> for Start {
    type Error = Refusal;

    /// Errors: 501, it asks for what a program within a container cannot have.
    fn try_from(asked: call::LaunchContainer) -> Result<Self, Refusal> {
        let field = match (asked.resources.is_empty(), asked.limits.is_empty()) {
            (true, true) => None,
            (false, _) => Some("resources"),
            (true, false) => Some("limits"),
        };
        if let Some(field) = field {
            let said =
                format!("launch_container.{field}: a program within a container shares what its parent has");
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, said));
        }
        Ok(Self { id: asked.container_id, command: asked.command, container: asked.container })
    }
}

/// The first field that is set and would have no effect.
fn without_effect(container: &mesos::ContainerInfo) -> Option<&'static str> {
    let mesos::ContainerInfo {
        r#type: _,
        volumes,
        docker,
        hostname,
        mesos,
        network_infos,
        linux_info,
        rlimit_info,
        tty_info: _,
        ..
    } = container;
    let image = mesos.as_ref().and_then(|mesos| mesos.image.as_ref());
    [
        ("volumes", !volumes.is_empty()),
        ("docker", docker.is_some()),
        ("hostname", hostname.is_some()),
        ("mesos.image", image.is_some()),
        ("network_infos", !network_infos.is_empty()),
        ("linux_info", linux_info.is_some()),
        ("rlimit_info", rlimit_info.is_some()),
    ]
    .into_iter()
    .find_map(|(field, is_set)| is_set.then_some(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> call::LaunchContainer {
        let parent = mesos::ContainerId { value: "c1".to_owned(), parent: None };
        let command = mesos::CommandInfo { value: Some("true".to_owned()), ..Default::default() };
        call::LaunchContainer {
            container_id: mesos::ContainerId { value: "n1".to_owned(), parent: Some(Box::new(parent)) },
            command: Some(command),
            ..Default::default()
        }
    }

    fn refused(asked: call::LaunchContainer) -> Option<Refusal> {
        Start::try_from(asked).and_then(Start::nested).err()
    }

    #[test]
    fn what_would_have_no_effect_is_refused_by_its_field() {
        assert!(refused(asked()).is_none());
        let image = mesos::container_info::MesosInfo { image: Some(mesos::Image::default()) };
        let container = mesos::ContainerInfo { mesos: Some(image), ..Default::default() };
        let refusal = refused(call::LaunchContainer { container: Some(container), ..asked() }).unwrap();
        assert_eq!(refusal.status(), StatusCode::NOT_IMPLEMENTED);
        assert!(format!("{refusal:?}").contains("container.mesos.image: "), "{refusal:?}");
        let resources = vec![mesos::Resource::default()];
        let refusal = refused(call::LaunchContainer { resources, ..asked() }).unwrap();
        assert!(format!("{refusal:?}").contains("launch_container.resources: "), "{refusal:?}");
    }
}
