//! Reservations and volumes: may this conversion be done, and what happens when it is begun.
//!
//! A framework reserves for the role of its offers or one below it, in its own name, and touches what others
//! made in another's name as little as an operator's static reservations. An operator may do all that the
//! resources allow. Both find the same volumes: an id is given once for each role and agent, and what a task
//! uses stays.
//!
//! Invariants
//! - Nothing is half applied: what is refused has changed nothing.
//! - The agent is told in the order in which conversions were counted as done.
//!
//! Source: Mesos v1 scheduler API, ACCEPT (RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME, SHRINK_VOLUME);
//! `docs/invariants.md` INV-8, 10.

use lonja_model::framework::Capability;
use lonja_model::link::ToAgent;
use lonja_model::operation::{AgentOperation, Conversion, ConversionKind, OperationState, OperationStatus};
use lonja_model::resources::Resource;
use lonja_model::scheduler::RefusalCode;
use lonja_model::{
    AgentId, FrameworkId, FrameworkInfo, OperationId, OperationUuid, Resources, Role, TaskId, Timestamp,
};

use crate::accept::Pool;
use crate::effects::{Effects, RequestId};
use crate::operations::{Hold, KnownOperation};
use crate::{State, offers, volumes};

/// Why a conversion is not begun. Nothing is changed by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{resource} is reserved for {role}, and the offers are for {offered}; take offers for that role")]
    OtherRole { resource: String, role: Role, offered: Role },
    #[error("only an operator may put a reservation in the place of another; UNRESERVE first, then RESERVE")]
    Source,
    #[error("{resource} names principal {named}, and this framework is {principal}")]
    Principal { resource: String, named: String, principal: String },
    #[error("{0} is reserved below another reservation; subscribe with RESERVATION_REFINEMENT to do that")]
    Refinement(String),
    #[error("volume {0} is to be shared; subscribe with SHARED_RESOURCES to do that")]
    SharedVolume(String),
    #[error("volume {0} is made read-only; make it writable, and let tasks mount it read-only")]
    ReadOnly(String),
    #[error("agent {agent} has a volume {volume} for {role} already; choose another id")]
    VolumeExists { volume: String, role: String, agent: AgentId },
    #[error("volume {volume} is in use by task {task}; end the task first")]
    InUse { volume: String, task: TaskId },
    #[error("volume {volume} is not durable on its agent yet; wait for that")]
    NotDurable { volume: String },
    #[error("it takes {needed}, and {held} is there for it", held = or_nothing(held))]
    NotThere { needed: Resources, held: Resources },
    #[error("what would come of it, {0}, cannot be beside what is there")]
    Clash(Resources),
    #[error("operation id {0} is in use by an operation whose outcome is not acknowledged; choose another")]
    IdInUse(OperationId),
    #[error(
        "{whose} has {most} operations that wait for their outcome or its acknowledgement, and takes no more"
    )]
    TooMany { whose: String, most: usize },
    #[error(
        "agent {agent} would be cut into {pieces} kinds of resources, of which it may have {most}; use fewer volumes, labels \
         and principals there"
    )]
    TooManyPieces { agent: AgentId, pieces: usize, most: usize },
}

impl Refused {
    /// For programs.
    pub(crate) fn code(&self) -> RefusalCode {
        match self {
            Self::OtherRole { .. }
            | Self::Source
            | Self::Principal { .. }
            | Self::Refinement(_)
            | Self::SharedVolume(_)
            | Self::ReadOnly(_) => RefusalCode::InvalidArgument,
            Self::VolumeExists { .. }
            | Self::InUse { .. }
            | Self::NotDurable { .. }
            | Self::NotThere { .. }
            | Self::Clash(_)
            | Self::IdInUse(_)
            | Self::TooMany { .. }
            | Self::TooManyPieces { .. } => RefusalCode::Conflict,
        }
    }

    /// Of what is there only the names that count are told.
    pub(crate) fn not_there(needed: &Resources, held: &Resources) -> Self {
        let counts = |one: &Resource| needed.iter().any(|needed| needed.name() == one.name());
        Self::NotThere { needed: needed.clone(), held: volumes::each_once(&held.filter(counts)) }
    }
}

/// Resources for people, also where there are none.
pub(crate) fn or_nothing(resources: &Resources) -> String {
    if resources.is_empty() { "nothing".to_owned() } else { resources.to_string() }
}

/// Begins a conversion of what the pool holds: counted as done from here on, and sent to the agent.
pub(crate) fn begin(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    pool: &mut Pool,
    id: Option<OperationId>,
    conversion: Conversion,
) -> Result<OperationUuid, Refused> {
    let info = state.frameworks.get(&pool.framework).map(|known| known.info.clone());
    let info = info.expect("only a known framework accepts");
    may_ask(&info, &pool.role, &conversion)?;
    if let Some(id) = id.as_ref().filter(|id| state.operations.named(&pool.framework, id).next().is_some()) {
        return Err(Refused::IdInUse(id.clone()));
    }
    has_room(state, &pool.agent, Some(&pool.framework))?;
    volumes_allow(state, &pool.agent, &conversion)?;
    stays_whole(state, &pool.agent, &conversion)?;
    if !pool.left.contains(conversion.before()) {
        return Err(Refused::not_there(conversion.before(), &pool.left));
    }
    let Some(left) = conversion.apply(&pool.left) else {
        return Err(Refused::Clash(conversion.after().clone()));
    };
    rescind_shared(state, effects, now, &pool.agent, &conversion);
    let (before, after) = (conversion.before(), conversion.after());
    let converted = state.allocator.convert_held(&pool.agent, &pool.framework, &pool.role, before, after);
    converted.map_err(|_| Refused::Clash(after.clone()))?;
    pool.left = left;
    let kept = pool.shared.filter(|volume| !volumes::contains(before, volume));
    pool.shared = kept.checked_add(&volumes::shared_once(after)).unwrap_or(kept);
    let hold =
        Hold { framework: pool.framework.clone(), role: pool.role.clone(), resources: Resources::new() };
    let asked = Asked { framework: Some(pool.framework.clone()), id, waiting: None };
    Ok(send(state, effects, now, &pool.agent, asked, conversion, hold))
}

/// Who asks for a conversion, and who wants to know how it went.
pub(crate) struct Asked {
    pub(crate) framework: Option<FrameworkId>,
    pub(crate) id: Option<OperationId>,
    pub(crate) waiting: Option<RequestId>,
}

/// Makes a conversion's record and sends it. What it makes has been counted.
pub(crate) fn send(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    agent: &AgentId,
    asked: Asked,
    conversion: Conversion,
    hold: Hold,
) -> OperationUuid {
    let epoch = state.registry.epoch.as_ref().expect("recorded when the master starts");
    let uuid = state.operations.next_uuid(epoch);
    let Asked { framework, id, waiting } = asked;
    let operation = AgentOperation { uuid, framework, id: id.clone(), conversion };
    let link = state.agents.get(agent).and_then(|agent| agent.link());
    let link = link.expect("what is converted is of a connected agent");
    effects.agent(link, ToAgent::Apply { operation: Box::new(operation.clone()) });
    let status = OperationStatus {
        operation: id,
        state: OperationState::Pending,
        message: None,
        converted: Resources::new(),
        update: None,
        agent: Some(agent.clone()),
    };
    state.counters.count_operation(OperationState::Pending);
    let agent = agent.clone();
    state.operations.insert(KnownOperation {
        agent,
        operation,
        status,
        hold: Some(hold),
        waiting,
        since: now,
    });
    uuid
}

/// The rules for frameworks that no look at the cluster is needed for.
fn may_ask(info: &FrameworkInfo, role: &Role, conversion: &Conversion) -> Result<(), Refused> {
    let (before, after) = (conversion.before(), conversion.after());
    match conversion.kind() {
        ConversionKind::Reserve => {
            for resource in after.iter() {
                of_role(resource, role)?;
                made_by(info, resource, topmost_principal(resource))?;
                if resource.metadata().reservations.len() > 1 && !info.can(Capability::ReservationRefinement)
                {
                    return Err(Refused::Refinement(resource.to_string()));
                }
            }
            adds_a_layer(before, after)
        }
        ConversionKind::Unreserve => before.iter().try_for_each(|resource| {
            of_role(resource, role)?;
            touched_by(info, resource, topmost_principal(resource))
        }),
        ConversionKind::Create => after.iter().try_for_each(|volume| {
            let name = || volumes::name_of(volume).to_owned();
            if volume.metadata().disk.as_ref().is_some_and(|disk| disk.read_only) {
                return Err(Refused::ReadOnly(name()));
            }
            if volume.metadata().shared && !info.can(Capability::SharedResources) {
                return Err(Refused::SharedVolume(name()));
            }
            made_by(info, volume, maker(volume))
        }),
        ConversionKind::Destroy | ConversionKind::Grow | ConversionKind::Shrink => {
            volumes::of(before).try_for_each(|volume| touched_by(info, volume, maker(volume)))
        }
    }
}

fn of_role(resource: &Resource, offered: &Role) -> Result<(), Refused> {
    match resource.reserved_for() {
        Some(role) if role != offered && !role.is_below(offered) => Err(Refused::OtherRole {
            resource: resource.to_string(),
            role: role.clone(),
            offered: offered.clone(),
        }),
        Some(_) | None => Ok(()),
    }
}

fn topmost_principal(resource: &Resource) -> Option<&str> {
    resource.metadata().reservations.last()?.principal.as_deref()
}

fn maker(volume: &Resource) -> Option<&str> {
    volumes::persistence(volume)?.principal.as_deref()
}

/// What a framework with a principal makes carries that principal.
fn made_by(info: &FrameworkInfo, resource: &Resource, named: Option<&str>) -> Result<(), Refused> {
    match info.principal.as_deref() {
        Some(principal) if named != Some(principal) => Err(other_principal(resource, named, principal)),
        Some(_) | None => Ok(()),
    }
}

/// A framework with a principal leaves alone what another principal made.
fn touched_by(info: &FrameworkInfo, resource: &Resource, named: Option<&str>) -> Result<(), Refused> {
    match (info.principal.as_deref(), named) {
        (Some(principal), Some(named)) if named != principal => {
            Err(other_principal(resource, Some(named), principal))
        }
        (_, _) => Ok(()),
    }
}

fn other_principal(resource: &Resource, named: Option<&str>, principal: &str) -> Refused {
    Refused::Principal {
        resource: resource.to_string(),
        named: named.unwrap_or("none").to_owned(),
        principal: principal.to_owned(),
    }
}

/// Is each of `after` one of `before` with one more reservation?
fn adds_a_layer(before: &Resources, after: &Resources) -> Result<(), Refused> {
    let below = after.iter().map(|resource| {
        let mut metadata = resource.metadata().clone();
        metadata.reservations.pop();
        Resource::with_metadata(resource.name(), resource.value().clone(), metadata)
    });
    let below: Result<Vec<Resource>, _> = below.collect();
    let same = below.ok().and_then(|below| Resources::of(below).ok()).is_some_and(|below| below == *before);
    if same { Ok(()) } else { Err(Refused::Source) }
}

/// Can one more be waited for?
pub(crate) fn has_room(
    state: &State,
    agent: &AgentId,
    framework: Option<&FrameworkId>,
) -> Result<(), Refused> {
    let most = state.config.max_operations;
    if state.operations.count_on_agent(agent) >= most {
        return Err(Refused::TooMany { whose: format!("agent {agent}"), most });
    }
    match framework.filter(|framework| state.operations.count_of_framework(framework) >= most) {
        Some(framework) => Err(Refused::TooMany { whose: format!("framework {framework}"), most }),
        None => Ok(()),
    }
}

/// An agent's total is stored and sent as a whole: it must not be cut into ever more pieces.
pub(crate) fn stays_whole(state: &State, agent: &AgentId, conversion: &Conversion) -> Result<(), Refused> {
    let most = state.config.max_pieces;
    let total = state.allocator.agent_total(agent);
    let pieces = total.and_then(|total| conversion.apply(total)).map_or(0, |total| total.iter().count());
    if pieces <= most { Ok(()) } else { Err(Refused::TooManyPieces { agent: agent.clone(), pieces, most }) }
}

/// A volume's id is given once for each role; one that is in use stays as it is.
pub(crate) fn volumes_allow(state: &State, agent: &AgentId, conversion: &Conversion) -> Result<(), Refused> {
    match conversion.kind() {
        ConversionKind::Reserve | ConversionKind::Unreserve => Ok(()),
        ConversionKind::Create => {
            let nothing = Resources::new();
            let total = state.allocator.agent_total(agent).unwrap_or(&nothing);
            let made: Vec<&Resource> = volumes::of(conversion.after()).collect();
            let twice = made.iter().enumerate().find(|(index, volume)| {
                volumes::contains(total, volume)
                    || made[..*index].iter().any(|other| volumes::key(other) == volumes::key(volume))
            });
            twice.map_or(Ok(()), |(_, volume)| {
                Err(Refused::VolumeExists {
                    volume: volumes::name_of(volume).to_owned(),
                    role: volume.reserved_for().map(Role::to_string).unwrap_or_default(),
                    agent: agent.clone(),
                })
            })
        }
        ConversionKind::Destroy | ConversionKind::Grow | ConversionKind::Shrink => {
            volumes::of(conversion.before()).try_for_each(|volume| not_in_use(state, agent, volume))
        }
    }
}

fn not_in_use(state: &State, agent: &AgentId, volume: &Resource) -> Result<(), Refused> {
    let name = || volumes::name_of(volume).to_owned();
    if let Some(task) = volumes::user_of(state, agent, volume) {
        return Err(Refused::InUse { volume: name(), task });
    }
    let mut holds = state.operations.on_agent(agent).filter_map(|known| known.hold.as_ref());
    if holds.any(|hold| volumes::contains(&hold.resources, volume)) {
        return Err(Refused::NotDurable { volume: name() });
    }
    Ok(())
}

/// A volume that goes is taken out of everyone's offers first.
pub(crate) fn rescind_shared(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    agent: &AgentId,
    conversion: &Conversion,
) {
    for volume in volumes::of(conversion.before()).filter(|volume| volume.metadata().shared) {
        for offer in volumes::offers_of(state, agent, volume) {
            offers::rescind(state, effects, now, &offer, None);
        }
    }
}
