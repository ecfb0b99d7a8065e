//! What frameworks say of themselves: checked as a whole, taken as a whole.
//!
//! SUBSCRIBE and UPDATE_FRAMEWORK carry the same three things: what the framework is, the roles it wants no offers for,
//! and of which agents it wants offers. Each call replaces all three; what it leaves out is empty from then on. A call
//! with one fault changes nothing.
//!
//! - What the framework is, is durable before the call is answered (INV-10). Suppressed roles and constraints are not
//!   stored: after a restart of the master a framework gets no offers before it subscribes again, and says them again.
//! - UPDATE_FRAMEWORK cannot change user, checkpoint or principal. Offers of roles that are left are rescinded; tasks
//!   of these roles run on. Other offers stay, also of agents that new constraints exclude.
//! - Whatever a change makes possible is offered at once. (In Mesos it waits for the next interval.)
//!
//! Source: Mesos v1 scheduler API, SUBSCRIBE and UPDATE_FRAMEWORK.

use std::collections::BTreeSet;
use std::sync::Arc;

use lonja_allocator::constraints::MAX_PATTERNS;
use lonja_allocator::{CompiledConstraints, FrameworkFacts};
use lonja_model::constraints::{OfferConstraints, Predicate};
use lonja_model::registry::FrameworkStanding;
use lonja_model::scheduler::{CallResult, Refusal, RefusalCode};
use lonja_model::weight::Weigh;
use lonja_model::{FrameworkId, FrameworkInfo, Role, Timestamp};

use crate::effects::{ClusterEvent, Effects};
use crate::frameworks::Framework;
use crate::{State, offers, registry, subscription, validate};

/// As so many calls counts one regular expression that is to be compiled: about 100 microseconds.
const CALLS_PER_PATTERN: u32 = 10;

/// What a framework says of itself, at most. In bytes: it is told to all who watch the cluster, again with each change.
const MAX_BYTES: usize = 1 << 20;

/// What a call says of a framework, not checked yet.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) info: FrameworkInfo,
    pub(crate) suppressed: BTreeSet<Role>,
    pub(crate) constraints: OfferConstraints,
}

/// What a framework says of itself, checked.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) info: FrameworkInfo,
    pub(crate) suppressed: BTreeSet<Role>,
    pub(crate) constraints: CompiledConstraints,
}

impl Claims {
    /// Checks all that can be told without knowing the framework. `call` begins the path of a field at fault.
    pub(crate) fn check(self, call: &str) -> Result<Description, Refusal> {
        let Self { info, suppressed, constraints } = self;
        validate::framework(call, &info, &suppressed)?;
        let bytes = info.weight();
        if bytes > MAX_BYTES {
            let message = format!(
                "what the framework says of itself comes to {bytes} bytes; {MAX_BYTES} are the most: use fewer or \
                 shorter labels and roles"
            );
            return Err(Refusal {
                field: Some(format!("{call}.framework_info")),
                ..Refusal::new(RefusalCode::InvalidArgument, message)
            });
        }
        let constraints = validate::constraints(call, &info, constraints)?;
        Ok(Description { info, suppressed, constraints })
    }
}

impl Description {
    /// What is known of a framework that is not there: it has to say the rest when it comes.
    pub(crate) fn of_absent(info: FrameworkInfo) -> Self {
        Self { info, suppressed: BTreeSet::new(), constraints: CompiledConstraints::default() }
    }

    /// What the allocator has to know.
    pub(crate) fn facts(&self) -> FrameworkFacts {
        FrameworkFacts {
            roles: self.info.roles.clone(),
            capabilities: self.info.capabilities.clone(),
            minimum_offers: self.info.minimum_offers.clone(),
            suppressed: self.suppressed.clone(),
            constraints: self.constraints.clone(),
        }
    }
}

/// UPDATE_FRAMEWORK.
pub(crate) fn update(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    id: &FrameworkId,
    claims: Claims,
) -> CallResult {
    let Some(known) = state.frameworks.get_mut(id) else { return Ok(()) };
    pay_for_patterns(known, now, &claims.constraints)?;
    let mut new = claims.check("update_framework")?;
    unchangeable(&known.info, &new.info)?;
    new.info.failover_timeout = new.info.failover_timeout.min(state.config.max_failover_timeout);
    if *known.info == new.info && known.suppressed == new.suppressed && known.constraints == new.constraints {
        return Ok(());
    }
    known.info = Arc::new(new.info.clone());
    known.suppressed.clone_from(&new.suppressed);
    known.constraints.clone_from(&new.constraints);
    registry::put_framework(state, effects, id, &new.info, FrameworkStanding::Connected);
    offers::rescind_of_left_roles(state, effects, now, id, &new.info.roles);
    state.allocator.update_framework(id, new.facts());
    subscription::publish(state, effects, id, ClusterEvent::FrameworkUpdated);
    Ok(())
}

/// To compile a regular expression is as much work as many calls, and is charged as so many. What the framework has
/// already costs nothing more than the call.
fn pay_for_patterns(known: &mut Framework, now: Timestamp, constraints: &OfferConstraints) -> CallResult {
    if known.constraints.source() == constraints {
        return Ok(());
    }
    let all = constraints.0.values().flat_map(|role| &role.0).flat_map(|group| &group.0);
    let patterns =
        all.filter(|one| matches!(one.predicate, Predicate::TextMatches(_) | Predicate::TextNotMatches(_)));
    let patterns = u32::try_from(patterns.take(MAX_PATTERNS).count()).unwrap_or(u32::MAX);
    if known.calls.take_many(now, patterns.saturating_mul(CALLS_PER_PATTERN)) {
        return Ok(());
    }
    let message = "new regular expressions come faster than calls may; wait and send them again";
    Err(Refusal::new(RefusalCode::RateLimited, message))
}

/// Refuses to change what is the framework's for life, and names all of it.
fn unchangeable(known: &FrameworkInfo, new: &FrameworkInfo) -> CallResult {
    let fields = [
        ("user", known.user != new.user),
        ("checkpoint", known.checkpoint != new.checkpoint),
        ("principal", known.principal != new.principal),
    ];
    let changed: Vec<&str> =
        fields.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect();
    let Some(first) = changed.first() else { return Ok(()) };
    let message = format!(
        "{} cannot change while the framework lives; send them as it subscribed with them. Nothing was changed",
        changed.join(" and ")
    );
    let field = Some(format!("update_framework.framework_info.{first}"));
    Err(Refusal { field, ..Refusal::new(RefusalCode::InvalidArgument, message) })
}
