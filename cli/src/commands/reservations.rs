//! `lonja reservations`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, bail};
use lonja_model::labels::Labels;
use lonja_model::resources::{Metadata, Reservation, ReservationKind, Resource, Resources, Value};
use lonja_model::{Resources as All, Role};
use lonja_proto::convert::resources::{Shape, all_resources_from_wire, resources_to_wire};
use lonja_proto::mesos;
use lonja_proto::mesos::master::Call;
use lonja_proto::mesos::master::call::{self, Type};
use lonja_proto::mesos::master::response::get_agents::Agent;
use serde_json::{Map, Value as Json, json};

use super::list::numbers;
use crate::args::{Family, Reservations, ReservationsCommand, Reserve};
use crate::client::{Client, agent_id};
use crate::output::{Listing, Row};

/// Lists, makes or removes reservations.
pub(crate) async fn run(reservations: &Reservations) -> anyhow::Result<ExitCode> {
    let family = &reservations.family;
    let (reserve, is_added) = match &reservations.command {
        None | Some(ReservationsCommand::List) => {
            let agents = Client::connect(&family.master).await?.agents().await?.agents;
            return print(family, &agents);
        }
        Some(ReservationsCommand::Add(reserve)) => (reserve, true),
        Some(ReservationsCommand::Remove(reserve)) => (reserve, false),
    };
    let pieces = pieces(reserve)?;
    let mut client = Client::connect_within(&family.master, family.wait).await?;
    let agent = client.find_agent(&reserve.agent).await?;
    let agent_id = mesos::AgentId { value: agent_id(&agent).to_owned() };
    let (total, labels) = (total(&agent)?, Labels(reserve.labels.clone()));
    let mut asked = Resources::new();
    for piece in pieces {
        let piece = if is_added { piece.reserved(&total, &labels)? } else { piece.found(&total, &labels)? };
        asked = asked.checked_add(&Resources::of([piece])?)?;
    }
    let resources = resources_to_wire(&asked, None, Shape::FULL);
    if is_added {
        let reserve_resources = Some(call::ReserveResources { agent_id, resources, source: Vec::new() });
        client.call(Type::ReserveResources, Call { reserve_resources, ..Call::default() }).await?;
    } else {
        let unreserve_resources = Some(call::UnreserveResources { agent_id, resources });
        client.call(Type::UnreserveResources, Call { unreserve_resources, ..Call::default() }).await?;
    }
    print(family, &[client.find_agent(crate::client::agent_id(&agent)).await?])
}

/// All that an agent has.
pub(super) fn total(agent: &Agent) -> anyhow::Result<Resources> {
    let id = agent_id(agent);
    all_resources_from_wire(agent.total_resources.clone())
        .with_context(|| format!("the master tells of resources of agent {id} that cannot be"))
}

/// One resource with the roles it is reserved for, the innermost last.
#[derive(Debug)]
struct Piece {
    name: String,
    roles: Vec<Role>,
    value: Value,
}

/// What is asked, part by part.
fn pieces(reserve: &Reserve) -> anyhow::Result<Vec<Piece>> {
    let role = reserve.role.as_deref().map(Role::new).transpose()?;
    let items = reserve.resources.split(';').map(str::trim).filter(|item| !item.is_empty());
    let pieces = items.map(|item| piece(item, role.as_ref())).collect::<anyhow::Result<Vec<_>>>()?;
    if pieces.is_empty() {
        bail!("no resources are named; write, for example, 'cpus(eng):2;mem(eng):1024'");
    }
    Ok(pieces)
}

fn piece(item: &str, role: Option<&Role>) -> anyhow::Result<Piece> {
    let end = item.find(['(', ':']).unwrap_or(item.len());
    let (name, mut rest) = item.split_at(end);
    let mut roles = Vec::new();
    while let Some(after) = rest.strip_prefix('(') {
        let (name, after) = after
            .split_once(')')
            .with_context(|| format!("{item:?}: the role in parentheses does not end"))?;
        roles.push(Role::new(name)?);
        rest = after;
    }
    if roles.is_empty() {
        let role = role
            .with_context(|| format!("{item:?} names no role; write {name}(ROLE){rest}, or give --role"))?;
        roles.push(role.clone());
    }
    let plain = All::parse(&format!("{name}{rest}"))?;
    let plain = plain.iter().next().with_context(|| format!("{item:?} is nothing"))?;
    Ok(Piece { name: plain.name().to_owned(), roles, value: plain.value().clone() })
}

impl Piece {
    /// As it is to be: the last role's reservation on top of those that are there for the others.
    fn reserved(&self, total: &Resources, labels: &Labels) -> anyhow::Result<Resource> {
        let (role, below) = self.roles.split_last().context("a piece has a role")?;
        let mut reservations = match below {
            [] => Vec::new(),
            below => self.stack(total, below, None)?,
        };
        reservations.push(Reservation {
            kind: ReservationKind::Dynamic,
            role: role.clone(),
            principal: None,
            labels: labels.clone(),
        });
        self.with(reservations)
    }

    /// As it is: whatever stands on the agent for these roles.
    fn found(&self, total: &Resources, labels: &Labels) -> anyhow::Result<Resource> {
        let labels = (!labels.0.is_empty()).then_some(labels);
        self.with(self.stack(total, &self.roles, labels)?)
    }

    fn with(&self, reservations: Vec<Reservation>) -> anyhow::Result<Resource> {
        let metadata = Metadata { reservations, ..Metadata::default() };
        Ok(Resource::with_metadata(&self.name, self.value.clone(), metadata)?)
    }

    /// The one stack of reservations that the agent has for these roles, with these labels on top if any are named.
    fn stack(
        &self,
        total: &Resources,
        roles: &[Role],
        labels: Option<&Labels>,
    ) -> anyhow::Result<Vec<Reservation>> {
        let is_meant = |resource: &&Resource| {
            let stack = &resource.metadata().reservations;
            resource.name() == self.name
                && resource.metadata().disk.is_none()
                && stack.iter().map(|layer| &layer.role).eq(roles)
                && labels.is_none_or(|labels| stack.last().is_some_and(|top| top.labels == *labels))
        };
        let mut stacks = total.iter().filter(is_meant).map(|resource| &resource.metadata().reservations);
        let names = roles.iter().map(Role::as_str).collect::<Vec<_>>().join(", then ");
        match (stacks.next(), stacks.next()) {
            (Some(stack), None) => Ok(stack.clone()),
            (None, _) => {
                bail!("no {} is reserved for {names} there; `lonja reservations` lists what is", self.name)
            }
            (Some(_), Some(_)) => bail!(
                "there is more than one reservation of {} for {names}; tell them apart with --label",
                self.name
            ),
        }
    }
}

/// What is reserved alike on one agent.
#[derive(Default)]
struct Group {
    all: Vec<Resource>,
    used: Vec<Resource>,
}

fn print(family: &Family, agents: &[Agent]) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    for agent in agents {
        let mut groups: BTreeMap<Vec<Reservation>, Group> = BTreeMap::new();
        for resource in total(agent)?.iter().filter(|resource| resource.reserved_for().is_some()) {
            groups.entry(resource.metadata().reservations.clone()).or_default().all.push(resource.clone());
        }
        for resource in all_resources_from_wire(agent.allocated_resources.clone())?.iter() {
            if let Some(group) = groups.get_mut(&resource.metadata().reservations) {
                group.used.push(resource.clone());
            }
        }
        rows.extend(groups.iter().map(|(stack, group)| row(agent, stack, group)));
    }
    let columns = vec!["agent", "role", "kind", "reserved", "in use", "labels", "host", "principal"];
    Listing { what: "reservations", columns, wide_from: 6, rows }.print(family.output, family.quiet);
    Ok(ExitCode::SUCCESS)
}

fn row(agent: &Agent, stack: &[Reservation], group: &Group) -> Row {
    let id = agent_id(agent);
    let roles: Vec<&str> = stack.iter().map(|layer| layer.role.as_str()).collect();
    let top = stack.last();
    let is_dynamic = top.is_some_and(|top| top.kind == ReservationKind::Dynamic);
    let kind = if is_dynamic { "dynamic" } else { "static" };
    let labels = top.map(|top| labels_text(&top.labels)).unwrap_or_default();
    let principal = top.and_then(|top| top.principal.clone());
    let label = |(key, value): &(String, Option<String>)| (key.clone(), json!(value));
    let object = json!({
        "agent_id": id,
        "hostname": agent.agent_info.hostname,
        "role": roles.last(),
        "roles": roles,
        "kind": kind,
        "reserved": amounts_object(&group.all),
        "used": amounts_object(&group.used),
        "labels": top.map(|top| top.labels.0.iter().map(label).collect::<Map<_, _>>()),
        "principal": principal,
    });
    let role = roles.join(" > ");
    let cells = vec![
        id.to_owned(),
        role.clone(),
        kind.to_owned(),
        plain_text(&group.all),
        plain_text(&group.used),
        labels,
        agent.agent_info.hostname.clone(),
        principal.unwrap_or_else(|| "-".to_owned()),
    ];
    Row { id: format!("{id} {role}"), cells, object }
}

fn labels_text(labels: &Labels) -> String {
    let label = |(key, value): &(String, Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    };
    labels.0.iter().map(label).collect::<Vec<_>>().join(",")
}

/// The resources without all that tells them apart but their names.
fn plain(resources: &[Resource]) -> Resources {
    resources.iter().fold(Resources::new(), |sum, resource| {
        let one = Resource::new(resource.name(), resource.value().clone());
        let one = one.map_err(|_| ()).and_then(|one| Resources::of([one]).map_err(|_| ()));
        one.and_then(|one| sum.checked_add(&one).map_err(|_| ())).unwrap_or(sum)
    })
}

fn plain_text(resources: &[Resource]) -> String {
    if resources.is_empty() { "-".to_owned() } else { plain(resources).to_string() }
}

/// Numbers for amounts, texts for the rest.
fn amounts_object(resources: &[Resource]) -> Json {
    let plain = plain(resources);
    let mut object = numbers(&plain.quantities());
    for resource in plain.iter() {
        let text = match resource.value() {
            Value::Ranges(ranges) => ranges.to_string(),
            Value::Set(set) => set.to_string(),
            Value::Scalar(_) | Value::Devices(_) => continue,
        };
        object[resource.name()] = json!(text);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(resources: &str, role: Option<&str>) -> anyhow::Result<Vec<Piece>> {
        let (agent, role) = ("a".to_owned(), role.map(str::to_owned));
        pieces(&Reserve { agent, resources: resources.to_owned(), role, labels: Vec::new() })
    }

    fn role(name: &str) -> Role {
        Role::new(name).unwrap()
    }

    #[test]
    fn roles_stand_in_parentheses_or_apart() {
        let [piece] = &asked("cpus(eng)(eng/web):1", None).unwrap()[..] else { panic!() };
        assert_eq!((piece.name.as_str(), &piece.roles[..]), ("cpus", &[role("eng"), role("eng/web")][..]));
        let pieces = asked("cpus:1; ports:[1-2]", Some("eng")).unwrap();
        assert!(pieces.iter().all(|piece| piece.roles == [role("eng")]) && pieces.len() == 2);
        for bad in ["cpus:1", "cpus(eng:1", "cpus(eng)", "", "cpus(a//b):1"] {
            assert!(asked(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refinement_lies_on_what_the_agent_has() {
        let total = Resources::parse("cpus(eng):4;cpus:8").unwrap();
        let [piece] = &asked("cpus(eng)(eng/web):1", None).unwrap()[..] else { panic!() };
        let reserved = piece.reserved(&total, &Labels::default()).unwrap();
        let kinds: Vec<_> = reserved.metadata().reservations.iter().map(|layer| layer.kind).collect();
        assert_eq!(kinds, [ReservationKind::Static, ReservationKind::Dynamic]);
        let [other] = &asked("cpus(ops)(ops/web):1", None).unwrap()[..] else { panic!() };
        let error = other.reserved(&total, &Labels::default()).unwrap_err().to_string();
        assert!(error.contains("no cpus is reserved for ops"), "{error}");
    }

    #[test]
    fn what_is_removed_is_found_with_its_labels() {
        let reserved = |labels: &[(&str, &str)]| {
            let label = |(key, value): &(&str, &str)| ((*key).to_owned(), Some((*value).to_owned()));
            let labels = Labels(labels.iter().map(label).collect());
            let [piece] = &asked("cpus(eng):1", None).unwrap()[..] else { panic!() };
            (piece.reserved(&Resources::new(), &labels).unwrap(), labels)
        };
        let ((plain, none), (labelled, labels)) = (reserved(&[]), reserved(&[("k", "v")]));
        let total = Resources::of([plain.clone()]).unwrap();
        let [piece] = &asked("cpus(eng):1", None).unwrap()[..] else { panic!() };
        assert_eq!(piece.found(&total, &none).unwrap(), plain);
        assert!(piece.found(&total, &labels).is_err());
        let total = Resources::of([plain, labelled.clone()]).unwrap();
        assert_eq!(piece.found(&total, &labels).unwrap(), labelled);
        assert!(piece.found(&total, &none).unwrap_err().to_string().contains("--label"));
    }
}
