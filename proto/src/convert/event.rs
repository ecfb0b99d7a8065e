//! What the master tells a framework, and the answers to its calls.
//!
//! Source: Mesos v1 scheduler API, `Event`.

use std::net::Ipv4Addr;
use std::time::Duration;

use lonja_model::scheduler::{self as model, CallResult, Event, MasterInfo, RefusalCode};

use super::agent::{domain_from_wire, domain_to_wire};
use super::ids::{
    LONGEST, agent_id_from_wire, agent_id_to_wire, executor_id_from_wire, executor_id_to_wire,
    framework_id_from_wire, framework_id_to_wire, offer_id_from_wire, offer_id_to_wire, optional, pid,
};
use super::offer::{inverse_offer_from_wire, inverse_offer_to_wire, offer_from_wire, offer_to_wire};
use super::operation_status::{operation_status_from_wire, operation_status_to_wire};
use super::refusal::{At, Fault, Refusal, at_most, data, known, required, seconds, text};
use super::resources::Shape;
use super::status::{status_from_wire, status_to_wire};
use crate::limits;
use crate::lonja::{self, refusal::Code, scheduler_response};
use crate::mesos::master_info::capability::Type as Can;
use crate::mesos::scheduler::event::{self, Type};
use crate::mesos::{self, scheduler};

/// An event, as a framework reads it.
///
/// Errors: the type or what goes with it is missing; a field is not well formed; an event of a kind that
/// is not served yet, of which [`Refusal::is_unsupported`] says so and a reader may pass it over.
pub fn event_from_wire(wire: scheduler::Event) -> Result<Event, Refusal> {
    let kind: Type = known(required(wire.r#type).at("type")?, "Event.Type").at("type")?;
    match kind {
        Type::Unknown => Err(Fault::Missing).at("type"),
        Type::Subscribed => required(wire.subscribed).and_then(subscribed).at("subscribed"),
        Type::Heartbeat => Ok(Event::Heartbeat),
        Type::Offers => {
            let offers = required(wire.offers).at("offers")?.offers;
            at_most(offers.len(), limits::OFFERS_PER_MESSAGE, "offers.offers")?;
            let offer = |(index, wire)| offer_from_wire(wire).at_index("offers.offers", index);
            offers.into_iter().enumerate().map(offer).collect::<Result<_, _>>().map(Event::Offers)
        }
        Type::Rescind => {
            let offer =
                required(wire.rescind).and_then(|wire| offer_id_from_wire(wire.offer_id).at("offer_id"));
            offer.at("rescind").map(Event::Rescind)
        }
        Type::Update => {
            let status = required(wire.update).and_then(|wire| status_from_wire(wire.status).at("status"));
            let status = status.at("update")?;
            Ok(Event::Update(Box::new(status)))
        }
        Type::Message => required(wire.message).and_then(message).at("message"),
        Type::Failure => required(wire.failure).and_then(failure).at("failure"),
        Type::Error => Ok(Event::Error(required(wire.error).at("error")?.message)),
        Type::InverseOffers => required(wire.inverse_offers).and_then(inverse_offers).at("inverse_offers"),
        Type::RescindInverseOffer => {
            let offer = required(wire.rescind_inverse_offer)
                .and_then(|wire| offer_id_from_wire(wire.inverse_offer_id).at("inverse_offer_id"));
            offer.at("rescind_inverse_offer").map(Event::RescindInverse)
        }
        Type::UpdateOperationStatus => {
            let status = required(wire.update_operation_status)
                .and_then(|wire| operation_status_from_wire(wire.status).at("status"));
            Ok(Event::OperationUpdate(Box::new(status.at("update_operation_status")?)))
        }
    }
}

fn subscribed(wire: event::Subscribed) -> Result<Event, Refusal> {
    let beat = wire.heartbeat_interval_seconds();
    let heartbeat = seconds(beat, LONGEST).at("heartbeat_interval_seconds")?;
    if heartbeat == Duration::ZERO {
        return Err(Fault::Missing).at("heartbeat_interval_seconds");
    }
    Ok(Event::Subscribed {
        framework: framework_id_from_wire(wire.framework_id).at("framework_id")?,
        heartbeat,
        master: wire
            .master_info
            .map_or_else(|| Ok(MasterInfo::default()), master_from_wire)
            .at("master_info")?,
    })
}

fn inverse_offers(wire: event::InverseOffers) -> Result<Event, Refusal> {
    at_most(wire.inverse_offers.len(), limits::OFFERS_PER_MESSAGE, "inverse_offers")?;
    let offer = |(index, wire)| inverse_offer_from_wire(wire).at_index("inverse_offers", index);
    wire.inverse_offers.into_iter().enumerate().map(offer).collect::<Result<_, _>>().map(Event::InverseOffers)
}

fn message(wire: event::Message) -> Result<Event, Refusal> {
    Ok(Event::Message {
        agent: agent_id_from_wire(wire.agent_id).at("agent_id")?,
        executor: executor_id_from_wire(wire.executor_id).at("executor_id")?,
        data: data(wire.data).at("data")?,
    })
}

fn failure(wire: event::Failure) -> Result<Event, Refusal> {
    Ok(Event::Failure {
        agent: agent_id_from_wire(wire.agent_id).at("agent_id")?,
        executor: optional(wire.executor_id, executor_id_from_wire).at("executor_id")?,
        status: wire.status,
    })
}

/// The event as the wire has it, resources in the shape that the framework understands.
pub fn event_to_wire(event: &Event, shape: Shape) -> scheduler::Event {
    let mut wire = scheduler::Event::default();
    let kind = match event {
        Event::Subscribed { framework, heartbeat, master } => {
            wire.subscribed = Some(event::Subscribed {
                framework_id: framework_id_to_wire(framework),
                heartbeat_interval_seconds: Some(heartbeat.as_secs_f64()),
                master_info: Some(master_to_wire(master)),
            });
            Type::Subscribed
        }
        Event::Heartbeat => Type::Heartbeat,
        Event::Offers(offers) => {
            let offers = offers.iter().map(|offer| offer_to_wire(offer, shape)).collect();
            wire.offers = Some(event::Offers { offers });
            Type::Offers
        }
        Event::Rescind(offer) => {
            wire.rescind = Some(event::Rescind { offer_id: offer_id_to_wire(offer) });
            Type::Rescind
        }
        Event::InverseOffers(offers) => {
            let inverse_offers = offers.iter().map(inverse_offer_to_wire).collect();
            wire.inverse_offers = Some(event::InverseOffers { inverse_offers });
            Type::InverseOffers
        }
        Event::RescindInverse(offer) => {
            let inverse_offer_id = offer_id_to_wire(offer);
            wire.rescind_inverse_offer = Some(event::RescindInverseOffer { inverse_offer_id });
            Type::RescindInverseOffer
        }
        Event::OperationUpdate(status) => {
            let status = operation_status_to_wire(status, shape);
            wire.update_operation_status = Some(event::UpdateOperationStatus { status });
            Type::UpdateOperationStatus
        }
        Event::Update(status) => {
            wire.update = Some(event::Update { status: status_to_wire(status) });
            Type::Update
        }
        Event::Message { agent, executor, data } => {
            wire.message = Some(event::Message {
                agent_id: agent_id_to_wire(agent),
                executor_id: executor_id_to_wire(executor),
                data: data.clone(),
            });
            Type::Message
        }
        Event::Failure { agent, executor, status } => {
            wire.failure = Some(event::Failure {
                agent_id: Some(agent_id_to_wire(agent)),
                executor_id: executor.as_ref().map(executor_id_to_wire),
                status: *status,
            });
            Type::Failure
        }
        Event::Error(message) => {
            wire.error = Some(event::Error { message: message.clone() });
            Type::Error
        }
    };
    wire.set_type(kind);
    wire
}

/// Who leads. Errors: the port is none.
pub fn master_from_wire(wire: mesos::MasterInfo) -> Result<MasterInfo, Refusal> {
    let port = wire.port;
    let hostname = wire.hostname.or_else(|| wire.address.and_then(|address| address.hostname));
    Ok(MasterInfo {
        id: text(wire.id, limits::TEXT_BYTES).at("id")?,
        hostname: text(hostname.unwrap_or_default(), limits::TEXT_BYTES).at("hostname")?,
        port: u16::try_from(port).map_err(|_| super::agent::not_a_port(port)).at("port")?,
        version: text(wire.version.unwrap_or_default(), limits::TEXT_BYTES).at("version")?,
        domain: wire.domain.map(domain_from_wire).transpose().at("domain")?,
    })
}

/// What every master of ours can do.
const MASTER_CAPABILITIES: [Can; 3] = [Can::AgentUpdate, Can::AgentDraining, Can::QuotaV2];

/// The names of what every master of ours can do.
pub fn master_capabilities() -> [&'static str; 3] {
    MASTER_CAPABILITIES.map(|can| can.as_str_name())
}

/// Who leads, as the wire has it. The old field `ip` is 0 unless the master is reached by an IPv4 address: it holds no other.
pub fn master_to_wire(master: &MasterInfo) -> mesos::MasterInfo {
    let address: Option<Ipv4Addr> = master.hostname.parse().ok();
    mesos::MasterInfo {
        id: master.id.clone(),
        // In the order of the network, read as a number of the host.
        ip: address.map_or(0, |address| u32::from_ne_bytes(address.octets())),
        pid: Some(pid("master", &master.hostname, master.port)),
        port: u32::from(master.port),
        hostname: Some(master.hostname.clone()),
        version: Some(master.version.clone()),
        address: Some(mesos::Address {
            hostname: Some(master.hostname.clone()),
            ip: address.map(|address| address.to_string()),
            port: i32::from(master.port),
        }),
        capabilities: MASTER_CAPABILITIES
            .map(|can| mesos::master_info::Capability { r#type: Some(can.into()) })
            .into(),
        domain: master.domain.as_ref().map(domain_to_wire),
    }
}

/// What comes down the gRPC door: an event, or the answer to the call of this id.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// An event.
    Event(Event),
    /// The answer to a call.
    Result {
        /// The id that the call's request had.
        id: u64,
        /// Taken in or refused.
        result: CallResult,
    },
}

/// A response of the gRPC door. Errors: those of [`event_from_wire`], or there is nothing in it.
pub fn response_from_wire(wire: lonja::SchedulerResponse) -> Result<Response, Refusal> {
    match required(wire.message)? {
        scheduler_response::Message::Event(event) => event_from_wire(event).at("event").map(Response::Event),
        scheduler_response::Message::Result(wire) => {
            let result = wire.refusal.map_or(Ok(()), |refusal| Err(refusal_from_wire(refusal)));
            Ok(Response::Result { id: wire.id, result })
        }
    }
}

/// An event for the gRPC door.
pub fn event_response(event: &Event, shape: Shape) -> lonja::SchedulerResponse {
    let event = event_to_wire(event, shape);
    lonja::SchedulerResponse { message: Some(scheduler_response::Message::Event(event)) }
}

/// The answer to call `id` for the gRPC door.
pub fn result_response(id: u64, result: &CallResult) -> lonja::SchedulerResponse {
    let refusal = result.as_ref().err().map(refusal_to_wire);
    let result = lonja::CallResult { id, refusal };
    lonja::SchedulerResponse { message: Some(scheduler_response::Message::Result(result)) }
}

/// Why a call was refused. A code from a later master that is not known here reads as a conflict, which
/// nobody repeats without looking.
pub fn refusal_from_wire(wire: lonja::Refusal) -> model::Refusal {
    let code = match wire.code() {
        Code::InvalidArgument => RefusalCode::InvalidArgument,
        Code::NotSubscribed => RefusalCode::NotSubscribed,
        Code::NotFound => RefusalCode::NotFound,
        Code::Conflict | Code::Unspecified => RefusalCode::Conflict,
        Code::RateLimited => RefusalCode::RateLimited,
        Code::NotLeader => RefusalCode::NotLeader,
        Code::Unsupported => RefusalCode::Unsupported,
    };
    model::Refusal { code, message: wire.message, field: (!wire.field.is_empty()).then_some(wire.field) }
}

/// Why a call was refused, as the wire has it.
pub fn refusal_to_wire(refusal: &model::Refusal) -> lonja::Refusal {
    let code = match refusal.code {
        RefusalCode::InvalidArgument => Code::InvalidArgument,
        RefusalCode::NotSubscribed => Code::NotSubscribed,
        RefusalCode::NotFound => Code::NotFound,
        RefusalCode::Conflict => Code::Conflict,
        RefusalCode::RateLimited => Code::RateLimited,
        RefusalCode::NotLeader => Code::NotLeader,
        RefusalCode::Unsupported => Code::Unsupported,
    };
    lonja::Refusal {
        code: code.into(),
        message: refusal.message.clone(),
        field: refusal.field.clone().unwrap_or_default(),
    }
}
