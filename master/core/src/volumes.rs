//! Persistent volumes by name: which there are, and who uses them.
//!
//! A volume's id is unique within the role it is reserved for on its agent; amounts, paths and owners do not
//! tell volumes apart.
//!
//! Source: Mesos v1 `Resource.DiskInfo.Persistence`; `docs/invariants.md` INV-8.

use lonja_model::resources::{Persistence, Resource};
use lonja_model::{AgentId, OfferId, Resources, Role, TaskId};

use crate::State;

/// What is stored on `resource`, if it is a volume.
pub(crate) fn persistence(resource: &Resource) -> Option<&Persistence> {
    resource.metadata().disk.as_ref()?.persistence.as_ref()
}

/// Is it a volume?
pub(crate) fn is_volume(resource: &Resource) -> bool {
    persistence(resource).is_some()
}

/// The volumes of `resources`.
pub(crate) fn of(resources: &Resources) -> impl Iterator<Item = &Resource> {
    resources.iter().filter(|resource| is_volume(resource))
}

/// What makes a volume this one and no other on its agent.
pub(crate) fn key(volume: &Resource) -> Option<(Option<&Role>, &str)> {
    Some((volume.reserved_for(), &persistence(volume)?.id))
}

/// The volume's id, for people.
pub(crate) fn name_of(volume: &Resource) -> &str {
    persistence(volume).map_or("", |persistence| &persistence.id)
}

/// The shared volumes of `resources`, each once.
pub(crate) fn shared_once(resources: &Resources) -> Resources {
    let shared = resources.iter().filter(|resource| resource.metadata().shared);
    let once = shared.filter_map(|resource| {
        let (value, metadata) = (resource.value().clone(), resource.metadata().clone());
        Resource::with_metadata(resource.name(), value, metadata).ok()
    });
    Resources::of(once).expect("of each kind there is one")
}

/// `resources` with one copy of each shared volume, however many there are.
pub(crate) fn each_once(resources: &Resources) -> Resources {
    let unshared = resources.filter(|resource| !resource.metadata().shared);
    unshared.checked_add(&shared_once(resources)).expect("a part of what was held together")
}

/// Does `resources` hold this volume, of whatever size?
pub(crate) fn contains(resources: &Resources, volume: &Resource) -> bool {
    of(resources).any(|other| key(other) == key(volume))
}

/// A task on the agent that has not ended and uses the volume.
pub(crate) fn user_of(state: &State, agent: &AgentId, volume: &Resource) -> Option<TaskId> {
    state.tasks.on_agent(agent).into_iter().find_map(|(framework, id)| {
        let task = state.tasks.get(&framework, &id)?;
        (!task.state.is_terminal() && contains(&task.info.resources, volume)).then_some(id)
    })
}

/// The outstanding offers on the agent that hold the volume.
pub(crate) fn offers_of(state: &State, agent: &AgentId, volume: &Resource) -> Vec<OfferId> {
    let holds = |id: &OfferId| state.offers.get(id).is_some_and(|offer| contains(&offer.resources, volume));
    state.offers.on_agent(agent).into_iter().filter(holds).collect()
}
