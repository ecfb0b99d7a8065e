//! All the agent has: what its settings say, with the reservations and volumes made since.
//!
//! A conversion takes something away and puts the same amount in its place, so that what was made can always be
//! traced back to its ground: the plain disk under a volume, the resources under dynamic reservations. An
//! agent that starts with other settings keeps what was made, provided its ground is still there.
//!
//! Invariants
//! - The total is the configured resources, less the ground of what was made, with what was made.
//! - A volume's id stands once for each role (INV-8).
//!
//! Source: Mesos agent, checkpointed resources and `--reconfiguration_policy`; `Resources::apply`.

use std::collections::BTreeSet;

use lonja_model::operation::{Conversion, ConversionKind};
use lonja_model::resources::{Disk, DiskSourceKind, Metadata, ReservationKind, Resource, Resources};
use lonja_model::role::Role;

use crate::book::{Book, Key};
use crate::ledger::{Sum, once};

/// How many users of a resource a refusal names.
const MOST_NAMED: usize = 3;

/// What an agent has whose settings say `configured` and whose total was `before`.
///
/// Errors: each reservation and volume whose ground is not there any more, such as
/// `disk(DYNAMIC,eng)[data]:100`; never empty.
pub(crate) fn rebase(configured: &Resources, before: &Resources) -> Result<Resources, Vec<String>> {
    let (mut total, mut lost) = (configured.clone(), Vec::new());
    for made in before.iter().filter(|resource| is_made(resource)) {
        let as_whole = |resource: Resource| Resources::of([resource]).unwrap_or_default();
        let without_ground = ground_of(made).and_then(|ground| total.checked_sub(&as_whole(ground)));
        let with_made = without_ground.and_then(|rest| rest.checked_add(&as_whole(made.clone())).ok());
        match with_made {
            Some(next) => total = next,
            None => lost.push(made.to_string()),
        }
    }
    if lost.is_empty() { Ok(total) } else { Err(lost) }
}

/// Was it made by an operation, rather than configured?
fn is_made(resource: &Resource) -> bool {
    let metadata = resource.metadata();
    let is_dynamic = metadata.reservations.iter().any(|layer| layer.kind == ReservationKind::Dynamic);
    is_dynamic || volume_name(resource).is_some()
}

/// What a conversion made `resource` of; `None`: that would not be a resource.
fn ground_of(resource: &Resource) -> Option<Resource> {
    let metadata = resource.metadata();
    let fixed = metadata.reservations.iter().filter(|layer| layer.kind == ReservationKind::Static);
    let source = metadata.disk.as_ref().and_then(|disk| disk.source.clone());
    let ground = Metadata {
        reservations: fixed.cloned().collect(),
        disk: source.map(|source| Disk { source: Some(source), ..Disk::default() }),
        shared: false,
        ..metadata.clone()
    };
    Resource::with_metadata(resource.name(), resource.value().clone(), ground).ok()
}

/// The role and id that a volume goes by; `None`: it is not a volume.
pub(crate) fn volume_name(resource: &Resource) -> Option<(&Role, &str)> {
    let persistence = resource.metadata().disk.as_ref()?.persistence.as_ref()?;
    Some((resource.reserved_for()?, persistence.id.as_str()))
}

/// The persistent volumes among `resources`.
pub(crate) fn volumes(resources: &Resources) -> Resources {
    resources.filter(|resource| volume_name(resource).is_some())
}

/// A volume's name that stands twice.
pub(crate) fn doubled_volume(total: &Resources) -> Option<(&Role, &str)> {
    let mut names = BTreeSet::new();
    let mut named = total.iter().filter_map(|resource| Some((volume_name(resource)?, resource.copies())));
    named.find(|(name, copies)| !names.insert(*name) || *copies > 1).map(|(name, _)| name)
}

/// A volume that `conversion` would make under a name that is taken.
fn taken_name<'a>(total: &'a Resources, conversion: &'a Conversion) -> Option<(&'a Role, &'a str)> {
    if conversion.kind() != ConversionKind::Create {
        return None;
    }
    let taken: BTreeSet<_> = total.iter().filter_map(volume_name).collect();
    let mut new = conversion.after().iter().filter_map(volume_name);
    new.find(|name| taken.contains(name)).or_else(|| doubled_volume(conversion.after()))
}

/// The total once `conversion` is done. Errors, for people: what is missing, what is there already, who uses it.
pub(crate) fn convert(book: &Book, conversion: &Conversion) -> Result<Resources, String> {
    let total = book.ledger().total();
    for part in conversion.before().iter() {
        if !total.contains(&Resources::of([part.clone()]).unwrap_or_default()) {
            return Err(format!("it takes away {part}, {}", what_there_is(total, part)));
        }
    }
    if let Some((role, id)) = taken_name(total, conversion) {
        return Err(format!(
            "role {role} has a volume {id:?} on this agent already; take another id, or destroy it first"
        ));
    }
    let Some(after) = conversion.apply(total) else {
        return Err(format!("{} is there already", conversion.after()));
    };
    if conversion.kind() == ConversionKind::Create
        && let Some(disk) = conversion.after().iter().find(|resource| !can_hold_folders(resource))
    {
        return Err(format!("{disk} is not on a file system that this agent can make folders on"));
    }
    if !book.ledger().would_be_covered_by(&after) {
        return Err(in_use(book, conversion));
    }
    Ok(after)
}

fn what_there_is(total: &Resources, part: &Resource) -> String {
    let same = total.filter(|held| held.name() == part.name() && held.metadata() == part.metadata());
    if !same.is_empty() {
        return format!("of which this agent has {same}");
    }
    match total.filter(|held| held.name() == part.name()) {
        other if other.is_empty() => format!("and this agent has no {}", part.name()),
        other => format!("this agent has {other}"),
    }
}

/// Is it disk that is a folder, or has one?
fn can_hold_folders(resource: &Resource) -> bool {
    match resource.metadata().disk.as_ref().and_then(|disk| disk.source.as_ref()) {
        None => true,
        Some(source) => match &source.kind {
            DiskSourceKind::Path { root } | DiskSourceKind::Mount { root } => root.is_some(),
            DiskSourceKind::Block | DiskSourceKind::Raw => false,
        },
    }
}

/// Who uses what `conversion` takes away.
fn in_use(book: &Book, conversion: &Conversion) -> String {
    let is_taken = |held: &Resource| {
        let mut taken = conversion.before().iter();
        taken.any(|part| part.name() == held.name() && part.metadata() == held.metadata())
    };
    let users = book.iter().filter(|(_, task)| task.is_promised() || task.is_holding());
    let users = users.filter(|(_, task)| task.record.info.resources.iter().any(is_taken));
    let users: Vec<&Key> = users.map(|(key, _)| key).collect();
    if users.is_empty() {
        let needed = book.ledger().sum(Sum::Promised);
        return format!("this agent's tasks need {needed}, more than it has; try again when some have ended");
    }
    let named: Vec<String> = users.iter().take(MOST_NAMED).map(|(f, t)| format!("{t} of {f}")).collect();
    let others = match users.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let taken = once(conversion.before());
    format!("{taken} is in use, by task {}{others}; kill it, or wait for its end", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::*;

    #[test]
    fn what_was_made_stands_on_new_settings_as_long_as_its_ground_is_there() {
        let configured = resources("cpus:4;cpus(ops):2;disk:100");
        let mut total = configured.clone();
        for conversion in [reserve("cpus:1;disk:50", "eng"), create("disk:20", "eng", "v1", false)] {
            total = conversion.apply(&total).unwrap();
        }
        assert_eq!(rebase(&configured, &configured), Ok(configured.clone()));
        assert_eq!(rebase(&configured, &total), Ok(total.clone()));
        let larger = resources("cpus:9;cpus(ops):2;disk:200");
        let rebased = rebase(&larger, &total).unwrap();
        assert_eq!(rebased.quantities(), larger.quantities());
        assert!(rebased.contains(&volumes(&total)));
        let smaller = rebase(&resources("cpus:1;cpus(ops):2;disk:50"), &total).unwrap();
        assert_eq!(smaller.unreserved(), Resources::new());
    }

    #[test]
    fn each_reservation_and_volume_that_loses_its_ground_is_named() {
        let configured = resources("cpus:4;disk:100");
        let total = reserve("cpus:2;disk:50", "eng").apply(&configured).unwrap();
        let total = create("disk:20", "eng", "v1", false).apply(&total).unwrap();
        let lost = rebase(&resources("cpus:1;disk:30"), &total).unwrap_err();
        assert_eq!(lost, ["cpus(DYNAMIC,eng):2", "disk(DYNAMIC,eng)[v1]:20"]);
        let lost = rebase(&resources("cpus(eng):4;disk:100"), &total).unwrap_err();
        assert_eq!(lost, ["cpus(DYNAMIC,eng):2"], "another's ground does not do");
    }

    #[test]
    fn a_refused_conversion_says_what_is_missing() {
        let stage = agent("cpus:4;disk:100");
        let refusal = |conversion: &Conversion| convert(&stage.agent.book, conversion).unwrap_err();
        assert_eq!(
            refusal(&reserve("cpus:5", "eng")),
            "it takes away cpus:5, of which this agent has cpus:4"
        );
        assert_eq!(refusal(&reserve("gpus:1", "eng")), "it takes away gpus:1, and this agent has no gpus");
        assert_eq!(
            refusal(&create("disk:20", "eng", "v1", false)),
            "it takes away disk(DYNAMIC,eng):20, this agent has disk:100"
        );
    }
}
