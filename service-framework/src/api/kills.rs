//! Kills of single instances, asked for by their tasks: plain, with their data, or with fewer instances after it.
//!
//! Source: Marathon's task kills.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use lonja_services_core::definition::{RunSpec, Version};
use lonja_services_core::instance::{Condition, Instance, InstanceId};
use lonja_services_core::{Change, Command, PathId, Services};

use super::problem::Problem;
use super::reply::{self, Outcome};
use super::{Api, Ask};

/// How instances are to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    /// With their data and places.
    pub(super) wipe: bool,
    /// So many fewer are wanted afterwards.
    pub(super) scale: bool,
}

impl Manner {
    /// As the query says. Errors: both at once.
    pub(super) fn of(ask: &Ask) -> Result<Self, Problem> {
        let manner = Self { wipe: ask.query.flag("wipe", false), scale: ask.query.flag("scale", false) };
        if manner.wipe && manner.scale {
            return Err(Problem::Parameters("scale=true and wipe=true cannot go together".to_owned()));
        }
        Ok(manner)
    }
}

/// The app or pod that an instance is named for.
pub(super) fn spec_of(instance: &InstanceId) -> Option<PathId> {
    let (joined, _) = instance.as_str().split_once(".instance-")?;
    PathId::absolute(&joined.replace('_', "/")).ok()
}

/// An instance that is here, by its name.
pub(super) fn find<'a>(services: &'a Services, id: &InstanceId) -> Option<&'a Instance> {
    services.services().get(&spec_of(id)?)?.instances().get(id)
}

/// Kills these, and gives those that are killed as they were.
pub(super) async fn kill(api: &Api, instances: Vec<Instance>, wipe: bool) -> Result<Vec<Instance>, Problem> {
    let ids: BTreeSet<InstanceId> = instances.iter().map(|one| one.id.clone()).collect();
    let killed = api.door.ask(|answer| Command::Kill { instances: ids, wipe, answer }).await?;
    let killed: BTreeSet<InstanceId> = killed.into_iter().collect();
    Ok(instances.into_iter().filter(|one| killed.contains(&one.id)).collect())
}

/// What a scaling kill is made of: the services, their versions, and which of their instances count.
type Scaled = BTreeMap<PathId, (RunSpec, Version, BTreeSet<InstanceId>)>;

/// Kills those of these that live, with so many fewer wanted afterwards: a deployment.
pub(super) async fn scale_down(
    api: &Api,
    ask: &Ask,
    pick: impl Fn(&Services) -> Vec<InstanceId> + Clone + Send + 'static,
) -> Outcome {
    let look = move |services: &Services| scaled(services, &pick(services));
    let make = |scaled: Scaled| {
        let mut change = Change::default();
        for (id, (spec, version, instances)) in scaled {
            let fewer = u32::try_from(instances.len()).unwrap_or(u32::MAX);
            let spec = spec.with_instances(spec.instances().saturating_sub(fewer));
            change.specs.insert(id.clone(), Some(spec));
            change.based_on.insert(id, Some(version));
            change.sentenced.extend(instances);
        }
        Ok(change)
    };
    let started = api.door.change(&ask.options(false)?, look, make).await?;
    api.counters.deployed();
    Ok(reply::started(StatusCode::OK, &started))
}

fn scaled(services: &Services, ids: &[InstanceId]) -> Scaled {
    let mut scaled = Scaled::new();
    for id in ids {
        let Some(service) = spec_of(id).and_then(|spec| services.service(&spec)) else { continue };
        let counts = |one: &&Instance| one.is_active() && one.condition != Condition::Killing;
        let Some(instance) = service.instances().get(id).filter(counts) else { continue };
        let spec = service.spec();
        let entry = scaled.entry(spec.id().clone());
        let entry = entry.or_insert_with(|| (spec.clone(), spec.version().version, BTreeSet::new()));
        entry.2.insert(instance.id.clone());
    }
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_named_for_its_app() {
        let app = PathId::absolute("/prod/my-web.x").unwrap_or_else(|_| PathId::root());
        assert_eq!(spec_of(&InstanceId::new(&app, 7)), Some(app));
        assert_eq!(spec_of(&InstanceId::from_text("what")), None);
    }
}
