//! What cannot be changed while data stay where they are: what was reserved for them.
//!
//! Source: the updates that Marathon refuses of apps with persistent volumes.

use super::draft::Draft;
use super::refuse;
use crate::command::Refused;
use crate::definition::{App, Pod, PodVolume, PodVolumeKind, RunSpec, VolumeKind};
use crate::validate::Fault;

/// Refuses changes of what is reserved for data that are kept.
pub(super) fn check(draft: &Draft<'_>) -> Result<(), Refused> {
    let mut faults = Vec::new();
    for (id, spec) in draft.specs() {
        let (Some(spec), Some(before)) = (spec, draft.before(id)) else { continue };
        if !before.is_resident() && !spec.is_resident() {
            continue;
        }
        let changed = match (before, spec) {
            (RunSpec::App(before), RunSpec::App(app)) => changed_of_app(before, app),
            (RunSpec::Pod(before), RunSpec::Pod(pod)) => changed_of_pod(before, pod),
            (RunSpec::App(_), RunSpec::Pod(_)) | (RunSpec::Pod(_), RunSpec::App(_)) => continue,
        };
        faults.extend(changed.into_iter().map(|path| {
            Fault::at(
                path,
                format!("{id} keeps data, so this must stay as it is; make another app or pod of it"),
            )
        }));
    }
    refuse(faults)
}

fn changed_of_app(before: &App, app: &App) -> Vec<&'static str> {
    let volumes = |app: &App| {
        let kept = app.volumes().filter(|volume| matches!(volume.kind, VolumeKind::Persistent(_)));
        kept.cloned().collect::<Vec<_>>()
    };
    let fields = [
        ("/container/volumes", volumes(before) != volumes(app)),
        ("/cpus", before.cpus != app.cpus),
        ("/mem", before.mem != app.mem),
        ("/disk", before.disk != app.disk),
        ("/gpus", before.gpus != app.gpus),
        ("/requirePorts", before.require_ports != app.require_ports),
        ("/portDefinitions", host_ports(before) != host_ports(app)),
    ];
    fields.into_iter().filter(|(_, changed)| *changed).map(|(path, _)| path).collect()
}

/// The ports of agents that an app names; 0: any.
fn host_ports(app: &App) -> Vec<Option<u16>> {
    let mapped = app.container.as_ref().and_then(|container| container.port_mappings.as_ref());
    match mapped {
        Some(mappings) => mappings.iter().map(|mapping| mapping.host_port).collect(),
        None => {
            let definitions = app.port_definitions.iter().flatten();
            definitions.map(|one| Some(if app.require_ports { one.port } else { 0 })).collect()
        }
    }
}

fn changed_of_pod(before: &Pod, pod: &Pod) -> Vec<&'static str> {
    let kept = |volume: &&PodVolume| matches!(volume.kind, PodVolumeKind::Persistent(_));
    let volumes = |pod: &Pod| pod.volumes.iter().filter(kept).cloned().collect::<Vec<_>>();
    let needs = |pod: &Pod| {
        let of_each =
            pod.containers.iter().map(|one| (one.name.clone(), one.cpus, one.mem, one.disk, one.gpus));
        of_each.collect::<Vec<_>>()
    };
    let fields = [
        ("/volumes", volumes(before) != volumes(pod)),
        ("/containers", needs(before) != needs(pod)),
        ("/executorResources", before.executor_resources != pod.executor_resources),
    ];
    fields.into_iter().filter(|(_, changed)| *changed).map(|(path, _)| path).collect()
}
