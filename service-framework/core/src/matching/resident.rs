//! Instances that keep data: reserving what they need where they are first placed, and coming back to it.
//!
//! All that such an instance needs is reserved for it, so that it always finds its place again. Where it is placed for the
//! first time one ACCEPT reserves, makes its volumes, and launches it on them.
//!
//! Invariants
//! - A volume's id is used for one volume of one instance.
//! - An instance with data is launched where all its volumes are, or where what was reserved for them is, and nowhere else.
//!
//! Source: Mesos v1, `RESERVE` and `CREATE`; names of volumes and labels are Marathon's.

use lonja_model::labels::Labels;
use lonja_model::operation::Conversion;
use lonja_model::resources::{
    Disk, DiskSourceKind, Metadata, Persistence, Reservation, ReservationKind, Resource, Scalar, Value,
};
use lonja_model::{FrameworkId, OperationId, Resources, Role};
use lonja_sdk_core::Step;
use lonja_sdk_core::placement::fit;
use lonja_sdk_core::task::Need;

use super::Want;
use super::accepted::{
    Accepted, FRAMEWORK_LABEL, INSTANCE_LABEL, VOLUMES_LABEL, instance_of, persistence_of, volumes_of,
};
use super::needs::{Needs, VolumeWish};
use super::patterns::Patterns;
use super::taking::{Miss, Parts, Taken, parts};
use crate::definition::{Persistent, PersistentKind};
use crate::draws::{Draws, uuid};
use crate::instance::{LocalVolume, Place};
use crate::waiting::Reason;

/// The longest that the app's part of a volume's id may be, in bytes: with the rest it stays a file name.
const MAX_APP_BYTES: usize = 150;

/// Takes, and reserves, what an instance needs that has no data yet.
pub(super) fn first(
    left: &Resources,
    role: &Role,
    want: &Want<'_>,
    needs: &Needs,
    patterns: &mut Patterns,
    draws: &mut Draws,
) -> Result<Taken, Miss> {
    let names: Vec<LocalVolume> = needs.volumes.iter().map(|wish| named(want, wish, draws)).collect();
    let layer = Reservation {
        kind: ReservationKind::Dynamic,
        role: role.clone(),
        principal: None,
        labels: labels(want, &names),
    };
    let available = Accepted::UNRESERVED.of_all(left);
    let Parts { executor, tasks, ports, all, rest } = parts(&available, needs, &[], draws)?;
    let mut plain = all;
    let mut disks = rest;
    let mut made = Vec::with_capacity(needs.volumes.len());
    for (wish, name) in needs.volumes.iter().zip(names) {
        let short = || Miss::new(Reason::InsufficientDisk, no_disk(&wish.persistent));
        let piece = disk_for(&wish.persistent, &disks, left, &plain, patterns).ok_or_else(short)?;
        disks = disks.checked_sub(&piece).unwrap_or(disks);
        plain = plain.checked_add(&piece).map_err(|_| short())?;
        made.push((wish, name, piece));
    }
    let refuse = |why: String| Miss::new(Reason::UnfulfilledRole, why);
    let reserved = |resources: &Resources| {
        changed(resources, |metadata| metadata.reservations.push(layer.clone()))
            .ok_or_else(|| refuse(format!("nothing can be reserved for the role {role}")))
    };
    let reserve = Conversion::reserve(reserved(&plain)?, None).map_err(|why| refuse(why.to_string()))?;
    let mut volumes = Resources::new();
    let mut tasks = tasks.iter().map(reserved).collect::<Result<Vec<_>, _>>()?;
    let mut local = Vec::with_capacity(made.len());
    for (wish, name, piece) in made {
        let volume =
            volume_of(&reserved(&piece)?, wish, &name).ok_or_else(|| refuse(no_disk(&wish.persistent)))?;
        give(&mut tasks, wish.task, &volume).ok_or_else(|| refuse(no_disk(&wish.persistent)))?;
        volumes = volumes.checked_add(&volume).map_err(|why| refuse(why.to_string()))?;
        local.push(name);
    }
    let create =
        Conversion::create(volumes).map_err(|why| Miss::new(Reason::InsufficientDisk, why.to_string()))?;
    let left =
        left.checked_sub(&plain).ok_or_else(|| refuse("what is free there is not enough".to_owned()))?;
    let before = vec![step(want, "reserve", reserve), step(want, "create", create)];
    Ok(Taken { executor: reserved(&executor)?, tasks, ports, before, volumes: local, left })
}

/// Takes what an instance needs that has data here.
pub(super) fn again(
    left: &Resources,
    accepted: Accepted,
    home: &Place,
    want: &Want<'_>,
    needs: &Needs,
    draws: &mut Draws,
) -> Result<Taken, Miss> {
    let elsewhere = |what: &str| Miss::new(Reason::NoCorrespondingReservationFound, what);
    let is_mine = |resource: &Resource| instance_of(resource, want.framework) == Some(want.instance.as_str());
    let mut rest = left.clone();
    let mut created = Resources::new();
    let mut found = Vec::with_capacity(home.volumes.len());
    for local in &home.volumes {
        let Some(wish) = needs.volumes.iter().find(|wish| wish.name == local.container_path) else {
            continue;
        };
        let volume = rest.filter(|one| persistence_of(one) == Some(&local.persistence_id));
        if !volume.is_empty() {
            rest = rest.checked_sub(&volume).unwrap_or_default();
            found.push((wish, volume));
            continue;
        }
        // Left over from a launch of which only the first half was done.
        let reserved =
            rest.filter(|one| is_mine(one) && persistence_of(one).is_none() && one.name() == "disk");
        let piece = piece_of(&reserved, wish.persistent.size)
            .ok_or_else(|| elsewhere(&format!("its volume {} is not in this offer", local.persistence_id)))?;
        rest = rest.checked_sub(&piece).unwrap_or_default();
        let volume = volume_of(&piece, wish, local).ok_or_else(|| elsewhere("its volume cannot be made"))?;
        created = created.checked_add(&volume).map_err(|why| elsewhere(&why.to_string()))?;
        found.push((wish, volume));
    }
    let plain = |one: &Resource| is_mine(one) && one.metadata().disk.is_none();
    let mine = rest.filter(plain);
    let Parts { executor, mut tasks, ports, all, .. } = match parts(&mine, needs, &home.ports, draws) {
        Ok(parts) => parts,
        // Less is reserved than it needs now: the rest may come from what anyone may have.
        Err(_) => {
            let both = rest.filter(|one| plain(one) || accepted.takes(one));
            parts(&both, needs, &home.ports, draws)?
        }
    };
    let left =
        rest.checked_sub(&all).ok_or_else(|| elsewhere("what was reserved for it is not in this offer"))?;
    for (wish, volume) in &found {
        give(&mut tasks, wish.task, volume).ok_or_else(|| elsewhere("its volumes do not go together"))?;
    }
    let before = if created.is_empty() {
        Vec::new()
    } else {
        let create = Conversion::create(created).map_err(|why| elsewhere(&why.to_string()))?;
        vec![step(want, "create", create)]
    };
    Ok(Taken { executor, tasks, ports, before, volumes: home.volumes.clone(), left })
}

/// The steps that free what this framework has reserved in `left` for volumes of which none is wanted, by their ids: they
/// are destroyed with all data, then the reservations go. Each with what it leaves.
pub(super) fn freed(
    left: &Resources,
    framework: &FrameworkId,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Vec<(Step, Resources)> {
    let is_orphan = |one: &Resource| {
        volumes_of(one, framework).is_some_and(|volumes| !volumes.into_iter().any(is_wanted))
    };
    if !left.iter().any(is_orphan) {
        return Vec::new();
    }
    let orphans = left.filter(is_orphan);
    let volumes = orphans.filter(|one| persistence_of(one).is_some());
    let mut reserved = orphans.filter(|one| persistence_of(one).is_none());
    let mut left = left.clone();
    let mut steps = Vec::new();
    let mut push = |conversion: Conversion| {
        let Some(after) = conversion.apply(&left) else { return };
        left = after.clone();
        steps.push((Step::Convert { id: None, conversion }, after));
    };
    if let Ok(destroy) = Conversion::destroy(volumes) {
        if let Ok(all) = reserved.checked_add(destroy.after()) {
            reserved = all;
        }
        push(destroy);
    }
    if let Ok(unreserve) = Conversion::unreserve(reserved) {
        push(unreserve);
    }
    steps
}

fn labels(want: &Want<'_>, volumes: &[LocalVolume]) -> Labels {
    let ids: Vec<&str> = volumes.iter().map(|volume| volume.persistence_id.as_str()).collect();
    Labels(vec![
        (FRAMEWORK_LABEL.to_owned(), Some(want.framework.to_string())),
        (INSTANCE_LABEL.to_owned(), Some(want.instance.to_string())),
        (VOLUMES_LABEL.to_owned(), Some(ids.join(" "))),
    ])
}

/// A new name for a volume: `APP#PATH#UUID`.
fn named(want: &Want<'_>, wish: &VolumeWish, draws: &mut Draws) -> LocalVolume {
    let uuid = uuid(draws.name());
    let app: String = want.spec.id().joined().chars().take(MAX_APP_BYTES).collect();
    let path: String =
        wish.name.replace(['/', '\\', ' '], "_").chars().filter(|c| !c.is_control()).take(16).collect();
    let persistence_id = format!("{app}#{path}#{uuid}");
    LocalVolume { container_path: wish.name.clone(), uuid, persistence_id }
}

/// Disk for a volume that is nobody's yet: of `free` for one on the agent's own disk, else of `left`, which `taken` is
/// taken of already.
fn disk_for(
    wish: &Persistent,
    free: &Resources,
    left: &Resources,
    taken: &Resources,
    patterns: &mut Patterns,
) -> Option<Resources> {
    if wish.kind == PersistentKind::Root {
        return fit(
            free,
            &Need { cpus: Scalar::ZERO, mem: Scalar::ZERO, disk: wish.size, ..Need::default() },
        );
    }
    let rest = left.checked_sub(taken)?;
    let found = rest.iter().find(|one| is_such_a_disk(one, wish, patterns))?;
    let all = Resources::of([found.clone()]).ok()?;
    if wish.kind == PersistentKind::Mount { Some(all) } else { piece_of(&all, wish.size) }
}

fn is_such_a_disk(resource: &Resource, wish: &Persistent, patterns: &mut Patterns) -> bool {
    let metadata = resource.metadata();
    let Value::Scalar(size) = resource.value() else { return false };
    let Some(disk) = metadata.disk.as_ref().filter(|disk| disk.persistence.is_none()) else { return false };
    let Some(source) = &disk.source else { return false };
    if resource.name() != "disk"
        || !metadata.reservations.is_empty()
        || metadata.revocable
        || *size < wish.size
    {
        return false;
    }
    let (root, is_whole) = match &source.kind {
        DiskSourceKind::Path { root } => (root, false),
        DiskSourceKind::Mount { root } => (root, true),
        DiskSourceKind::Block | DiskSourceKind::Raw => return false,
    };
    if is_whole != (wish.kind == PersistentKind::Mount) {
        return false;
    }
    if (is_whole && wish.max_size.is_some_and(|most| *size > most))
        || wish.profile.as_ref().is_some_and(|profile| source.profile.as_ref() != Some(profile))
    {
        return false;
    }
    wish.constraints.iter().all(|(like, pattern)| {
        root.as_deref().map_or(!like, |root| patterns.get(pattern).matches(root) == Some(*like))
    })
}

/// So much of the first of these disks that has it; all of one that is used whole.
fn piece_of(disks: &Resources, size: Scalar) -> Option<Resources> {
    let enough = |one: &&Resource| matches!(one.value(), Value::Scalar(held) if *held >= size);
    let disk = disks.iter().find(enough)?;
    let whole = disk.metadata().disk.as_ref().is_some_and(Disk::is_indivisible);
    let value = if whole { disk.value().clone() } else { Value::Scalar(size) };
    Resources::of([Resource::with_metadata(disk.name(), value, disk.metadata().clone()).ok()?]).ok()
}

/// This piece of reserved disk as a volume.
fn volume_of(piece: &Resources, wish: &VolumeWish, name: &LocalVolume) -> Option<Resources> {
    changed(piece, |metadata| {
        let source = metadata.disk.take().and_then(|disk| disk.source);
        metadata.disk = Some(Disk {
            persistence: Some(Persistence { id: name.persistence_id.clone(), principal: None }),
            container_path: Some(wish.container_path.clone()),
            read_only: false,
            source,
        });
    })
}

fn changed(resources: &Resources, change: impl Fn(&mut Metadata)) -> Option<Resources> {
    let each = |resource: &Resource| {
        let mut metadata = resource.metadata().clone();
        change(&mut metadata);
        Resource::with_metadata(resource.name(), resource.value().clone(), metadata).ok()
    };
    let all: Option<Vec<Resource>> = resources.iter().map(each).collect();
    Resources::of(all?).ok()
}

fn give(tasks: &mut [Resources], task: usize, volume: &Resources) -> Option<()> {
    let held = tasks.get_mut(task)?;
    *held = held.checked_add(volume).ok()?;
    Some(())
}

fn step(want: &Want<'_>, verb: &str, conversion: Conversion) -> Step {
    let id = OperationId::new(format!("{}.{}.{verb}", want.instance, want.incarnation)).ok();
    Step::Convert { id, conversion }
}

fn no_disk(wish: &Persistent) -> String {
    let kind = match wish.kind {
        PersistentKind::Root => "of the agent's own disk",
        PersistentKind::Path => "of a disk of its own",
        PersistentKind::Mount => "as a disk used whole",
    };
    format!("disk: a volume wants {} {kind}, which is not free", wish.size)
}
