//! What is written down, and under which key.
//!
//! What is longer than a store's value may be is written in parts: the first under its key, the others under `KEY#1`, `KEY#2`
//! and so on. No key has a `#` of its own.
//!
//! Invariants
//! - The parts of a value are written with one event, and with it what is left of a longer one is removed.
//! - What goes with one event is no more than a driver takes. What a restart would drop by itself may be removed later.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lonja_sdk_core::state::{MAX_CHANGES, MAX_CHANGES_BYTES, MAX_VALUE_BYTES};
use lonja_sdk_core::{Change as StoredChange, State};

use super::Services;
use crate::command::Refused;
use crate::definition::{RunSpec, Version};
use crate::deployment::{Deployment, DeploymentId, DeploymentPlan, RolloutState};
use crate::instance::{Condition, InstanceId};
use crate::kept::{Kept, KeptDeployment, KeptInstance, KeptPlan, KeptRollout};
use crate::path_id::PathId;
use crate::validate::Fault;

/// The most changes that go with one event while some of them may wait.
const MOST_AT_ONCE: usize = 1 << 14;

/// The most apps, pods and groups that one change touches. Each is two changes of what is kept, and there are those of
/// instances.
const MOST_TOUCHED: usize = MAX_CHANGES / 8;

/// The most that the definitions of one change come to, as they are kept. Each is kept twice, and there are the deployment and
/// instances.
const MOST_DEFINED_BYTES: usize = MAX_CHANGES_BYTES / 4;

/// How many parts those values have that have more than one.
pub(super) type Parts = BTreeMap<String, usize>;

fn part_key(key: &str, part: usize) -> String {
    format!("{key}#{part}")
}

/// All that is kept, with the parts of each value put together.
pub(super) fn whole(state: &State) -> (BTreeMap<&str, Cow<'_, [u8]>>, Parts) {
    let mut values = BTreeMap::new();
    let mut more: BTreeMap<(&str, usize), &[u8]> = BTreeMap::new();
    for (key, bytes) in state.entries() {
        let part = key.rsplit_once('#').and_then(|(key, part)| Some((key, part.parse().ok()?)));
        match part {
            Some(part) => drop(more.insert(part, bytes)),
            None => drop(values.insert(key, Cow::Borrowed(bytes))),
        }
    }
    let mut parts = Parts::new();
    for ((key, part), bytes) in more {
        // Of one without its first part, what is read says that it is none.
        values.entry(key).or_insert(Cow::Borrowed(&[])).to_mut().extend_from_slice(bytes);
        parts.insert(key.to_owned(), part + 1);
    }
    (values, parts)
}

/// Is it a removal of what a restart would drop by itself?
fn may_wait(change: &StoredChange) -> bool {
    matches!(change, StoredChange::Remove { key } if key.starts_with("version/") || key.starts_with("failure/"))
}

impl Services {
    pub(super) fn keep(&mut self, key: String, kept: &Kept) {
        let value = self.codec.write(kept);
        self.keep_bytes(key, value);
    }

    fn keep_bytes(&mut self, key: String, value: Vec<u8>) {
        let parts = value.len().div_ceil(MAX_VALUE_BYTES).max(1);
        let before = self.parts.remove(&key).unwrap_or(1);
        for gone in parts..before {
            self.remove(part_key(&key, gone));
        }
        if parts == 1 {
            self.changes.insert(key.clone(), StoredChange::put(key, value));
            return;
        }
        for (part, bytes) in value.chunks(MAX_VALUE_BYTES).enumerate() {
            let key = if part == 0 { key.clone() } else { part_key(&key, part) };
            self.changes.insert(key.clone(), StoredChange::put(key, bytes));
        }
        self.parts.insert(key, parts);
    }

    pub(super) fn forget(&mut self, key: String) {
        for part in 1..self.parts.remove(&key).unwrap_or(1) {
            self.remove(part_key(&key, part));
        }
        self.remove(key);
    }

    fn remove(&mut self, key: String) {
        self.changes.insert(key.clone(), StoredChange::remove(key));
    }

    /// What is to be written with this event.
    pub(super) fn due_changes(&mut self) -> Vec<StoredChange> {
        let all = std::mem::take(&mut self.changes);
        let at_once = all.values().filter(|change| !may_wait(change)).count();
        let mut room = MOST_AT_ONCE.saturating_sub(at_once);
        let mut due = Vec::with_capacity(all.len().min(at_once + room));
        for (key, change) in all {
            if may_wait(&change) {
                if room == 0 {
                    self.changes.insert(key, change);
                    continue;
                }
                room -= 1;
            }
            due.push(change);
        }
        due
    }

    /// Is something to be written that waits for an event?
    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Refuses a change that could not be kept: it would come to more than is written at once.
    pub(super) fn check_room(&self, plan: &DeploymentPlan) -> Result<(), Refused> {
        let refused = |message| Err(Refused::Invalid(vec![Fault::at("/", message)]));
        let touched = plan.target.len() + plan.target_groups.len();
        if touched > MOST_TOUCHED {
            return refused(format!(
                "{touched} apps, pods and groups would be changed, at most {MOST_TOUCHED} are at once; make several changes"
            ));
        }
        let specs = plan.target.values().flatten().map(|spec| Kept::Spec(spec.clone()));
        let groups = plan.target_groups.values().flatten().map(|group| Kept::Group(group.clone()));
        let mut bytes = 0;
        for kept in specs.chain(groups) {
            bytes += self.codec.write(&kept).len();
            if bytes > MOST_DEFINED_BYTES {
                return refused(format!(
                    "the definitions come to more than the {} MiB that are kept at once; make several changes",
                    MOST_DEFINED_BYTES >> 20
                ));
            }
        }
        Ok(())
    }

    /// What is wanted of one, and its versions but those that are no longer remembered.
    pub(super) fn keep_spec(&mut self, id: &PathId) {
        let Some(service) = self.services.get_mut(id) else { return };
        let (spec, version) = (service.spec.clone(), service.spec.version().version);
        service.versions.insert(version, spec.clone());
        let deployed = service.deployment.as_ref().and_then(|one| self.deployments.get(one));
        let original = deployed.and_then(|one| one.plan.original.get(id)?.as_ref());
        let in_use: Vec<_> = service
            .instances
            .values()
            .map(|one| &one.spec)
            .chain(original)
            .map(|one| one.version().version)
            .collect();
        let surplus = service.versions.len().saturating_sub(self.config.max_versions.max(1));
        let old: Vec<_> = service
            .versions
            .keys()
            .filter(|one| **one != version && !in_use.contains(one))
            .take(surplus)
            .copied()
            .collect();
        for one in &old {
            service.versions.remove(one);
        }
        for one in old {
            self.forget_version(id, one);
        }
        let value = self.codec.write(&Kept::Spec(spec));
        self.keep_bytes(format!("spec{id}"), value.clone());
        self.keep_bytes(format!("version{id}/{}", version.0), value);
    }

    /// What is wanted of one is forgotten, with all its versions.
    pub(super) fn forget_spec(&mut self, id: &PathId) {
        let versions: Vec<_> = self.of(id).into_iter().flat_map(|one| one.versions.keys().copied()).collect();
        self.forget(format!("spec{id}"));
        for version in versions {
            self.forget_version(id, version);
        }
        self.forget(format!("failure{id}"));
    }

    pub(super) fn forget_version(&mut self, id: &PathId, version: Version) {
        self.forget(format!("version{id}/{}", version.0));
    }

    pub(super) fn keep_group(&mut self, id: &PathId) {
        match self.groups.get(id).cloned() {
            Some(group) => self.keep(format!("group{id}"), &Kept::Group(group)),
            None => self.forget(format!("group{id}")),
        }
    }

    /// One that never had a place is made anew as it is needed, so it is not kept.
    pub(super) fn keep_instance(&mut self, id: &InstanceId) {
        let Some(owner) = self.owners.get(id).cloned() else { return };
        let Some(instance) = self.of(&owner).and_then(|service| service.instances.get(id)) else {
            return;
        };
        if instance.condition == Condition::Scheduled && instance.incarnation == 0 {
            return;
        }
        let kept = KeptInstance {
            id: id.clone(),
            spec: owner,
            version: instance.spec.version().version,
            goal: instance.goal,
            incarnation: instance.incarnation,
            launched: instance.is_active(),
            staged_at: instance.tasks.first().map(|task| task.staged_at).unwrap_or_default(),
            started_at: instance.started_at(),
            place: instance.place.clone(),
            settled: instance.settled,
            hidden: instance.hidden,
            doomed: self.doomed.contains(id),
        };
        self.keep(format!("instance/{id}"), &Kept::Instance(kept));
        self.kept_instances.insert(id.clone());
    }

    pub(super) fn forget_kept_instance(&mut self, id: &InstanceId) {
        if self.kept_instances.remove(id) {
            self.forget(format!("instance/{id}"));
        }
    }

    pub(super) fn keep_deployment(&mut self, id: &DeploymentId) {
        let Some(deployment) = self.deployments.get(id) else { return };
        let Deployment { id, plan, began, step, reverts, rollouts, .. } = deployment;
        let versions = |specs: &BTreeMap<PathId, Option<RunSpec>>| {
            let version = |spec: &Option<RunSpec>| spec.as_ref().map(|spec| spec.version().version);
            specs.iter().map(|(id, spec)| (id.clone(), version(spec))).collect()
        };
        let rollout = |state: &RolloutState| KeptRollout {
            strategy: state.strategy.clone(),
            phase: state.phase,
            promoted: state.promoted,
        };
        let kept = KeptDeployment {
            id: id.clone(),
            plan: KeptPlan {
                version: plan.version,
                steps: plan.steps.clone(),
                original: versions(&plan.original),
                target: versions(&plan.target),
                original_groups: plan.original_groups.clone(),
                target_groups: plan.target_groups.clone(),
            },
            began: *began,
            step: *step,
            reverts: reverts.clone(),
            rollouts: rollouts.iter().map(|(id, state)| (id.clone(), rollout(state))).collect(),
        };
        self.keep(format!("deployment/{id}"), &Kept::Deployment(Box::new(kept)));
    }

    pub(super) fn forget_deployment(&mut self, id: &DeploymentId) {
        self.forget(format!("deployment/{id}"));
    }
}
