//! What is wrong with an app's container and volumes.

use lonja_model::pattern::Pattern;

use super::Found;
use crate::definition::{
    App, AppVolume, Container, Docker, Engine, External, Persistent, PersistentKind, VolumeKind,
};

pub(super) fn check(found: &mut Found, app: &App, container: &Container) {
    let no_image = container.engine == Engine::Docker && container.docker.is_none();
    found.when(
        no_image,
        "/container/docker",
        "is missing; type DOCKER, which is the default, needs docker.image; give that, or type MESOS",
    );
    if let Some(docker) = &container.docker {
        image(found, app, container.engine, docker);
    }
    let words = "may be given with type MESOS only";
    let strange = container.engine == Engine::Docker && container.linux_info.is_some();
    found.when(strange, "/container/linuxInfo", words);
    for (index, volume) in container.volumes.iter().enumerate() {
        check_volume(found, app, container.engine, &format!("/container/volumes({index})"), volume);
    }
    let paths = container.volumes.iter().enumerate();
    let paths = paths.map(|(index, volume)| {
        (format!("/container/volumes({index})/containerPath"), volume.container_path.as_str())
    });
    found.twice(paths, "is there twice; each volume needs a place of its own");
    let external = container.volumes.iter().enumerate().filter_map(|(index, volume)| match &volume.kind {
        VolumeKind::External(external) => {
            let path = format!("/container/volumes({index})/external/name");
            Some((path, (external.provider.as_str(), external.name.as_str())))
        }
        VolumeKind::Host(_) | VolumeKind::Persistent(_) | VolumeKind::Secret(_) => None,
    });
    found.twice(external, "is there twice; one app can have a volume once");
}

fn image(found: &mut Found, app: &App, engine: Engine, docker: &Docker) {
    let path = |field: &str| format!("/container/docker/{field}");
    match engine {
        Engine::Docker => {
            let words = "may be given with type MESOS only; for type DOCKER fetch the credentials";
            found.when(docker.pull_secret.is_some(), path("pullConfig"), words);
        }
        Engine::Mesos => {
            let words = "may be given with type DOCKER only";
            found.when(docker.privileged, path("privileged"), words);
            found.when(!docker.parameters.is_empty(), path("parameters"), words);
        }
    }
    if let Some(secret) = &docker.pull_secret {
        let words = format!("names the secret {secret:?}, which is not in secrets");
        found.when(!app.secrets.contains_key(secret), path("pullConfig/secret"), words);
    }
}

fn check_volume(found: &mut Found, app: &App, engine: Engine, path: &str, volume: &AppVolume) {
    match &volume.kind {
        VolumeKind::Host(_) => {}
        VolumeKind::Persistent(data) => {
            persistent(found, path, data);
            let name = volume.container_path.as_str();
            let words = "must be a name without slashes, and neither . nor ..";
            let bad = name.contains('/') || name == "." || name == "..";
            found.when(bad, format!("{path}/containerPath"), words);
            found.when(volume.read_only, format!("{path}/mode"), "must be RW for a persistent volume");
        }
        VolumeKind::External(external) => check_external(found, app, engine, path, external),
        VolumeKind::Secret(name) => {
            let words = "may be given with type MESOS only";
            found.when(engine == Engine::Docker, format!("{path}/secret"), words);
            let words = format!("names the secret {name:?}, which is not in secrets");
            found.when(!app.secrets.contains_key(name), format!("{path}/secret"), words);
        }
    }
}

/// The volume whose path is `path`.
pub(super) fn persistent(found: &mut Found, path: &str, volume: &Persistent) {
    let path = |field: &str| format!("{path}/persistent/{field}");
    if let Some(most) = volume.max_size {
        let words = "may be given with type mount only: other disks are cut to size";
        found.when(volume.kind != PersistentKind::Mount, path("maxSize"), words);
        found.when(most <= volume.size, path("maxSize"), "must be more than size");
    }
    let rooted = volume.kind == PersistentKind::Root;
    let words = "may not be given with type root: there is one such disk";
    found.when(rooted && !volume.constraints.is_empty(), path("constraints"), words);
    let words = "may not be given with type root";
    found.when(rooted && volume.profile.is_some(), path("profileName"), words);
    for (index, (_, regex)) in volume.constraints.iter().enumerate() {
        if let Err(error) = Pattern::compile(regex) {
            let words = format!("must hold a regular expression: {error}");
            found.when(true, path(&format!("constraints({index})")), words);
        }
    }
}

fn check_external(found: &mut Found, app: &App, engine: Engine, path: &str, external: &External) {
    let path = |field: &str| format!("{path}/external/{field}");
    match external.provider.as_str() {
        "dvdi" => {
            let words = "must be 1 at most with an external volume that is not shared";
            found.when(app.instances > 1 && !external.shared, "/instances", words);
            let driver = external.options.contains("\"dvdi/driver\"");
            found.when(!driver, path("options"), "must name a driver in dvdi/driver, such as rexray");
            let words = "may not be given with type DOCKER: its drivers make volumes as they like";
            found.when(engine == Engine::Docker && external.size.is_some(), path("size"), words);
        }
        "csi" => {
            let words = "must have pluginName and capability for the provider csi";
            let good =
                ["\"pluginName\"", "\"capability\""].iter().all(|name| external.options.contains(name));
            found.when(!good, path("options"), words);
            found.when(engine == Engine::Docker, path("provider"), "csi needs a container of type MESOS");
            found.when(external.size.is_some(), path("size"), "may not be given: volumes of csi have theirs");
        }
        _ => found.when(true, path("provider"), "must be dvdi or csi"),
    }
}
