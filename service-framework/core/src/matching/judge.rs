//! One instance before one agent's offers: may it go there, and how much is it liked?

use std::sync::Arc;

use lonja_model::{Offer, Timestamp};
use lonja_sdk_core::placement::policies::Spread;
use lonja_sdk_core::placement::{Ask, Room, Scorer};

use super::Want;
use super::accepted::Accepted;
use super::constraints::{Asked, Rule};
use super::nearness::Near;
use super::needs::Needs;
use super::patterns::Patterns;
use super::reasons::{lacking, lacking_in_words};
use crate::definition::{App, Preference, RunSpec};
use crate::draws::Draws;
use crate::waiting::Reason;

/// The label that says otherwise than the operator what is done about agents with GPUs.
const GPU_LABEL: &str = "GPU_SCHEDULING_BEHAVIOR";

/// What is known of an app or pod for the whole of a decision.
#[derive(Debug)]
pub(super) struct Compiled {
    /// Held, so that no other comes to lie where it does.
    pub(super) spec: RunSpec,
    pub(super) rules: Vec<Rule>,
    pub(super) needs: Needs,
    pub(super) accepted: Accepted,
    /// Will any region do?
    anywhere: bool,
    ask: Ask,
}

impl Compiled {
    pub(super) fn new(spec: &RunSpec, patterns: &mut Patterns) -> Self {
        let rules: Vec<Rule> = spec.constraints().iter().map(|one| Rule::new(one, patterns)).collect();
        let needs = Needs::of(spec);
        let accepted = if spec.is_resident() { Accepted::UNRESERVED } else { Accepted::of(spec) };
        let anywhere = rules.iter().any(|rule| rule.field.is_of_a_domain());
        let ask = Ask::from(needs.whole);
        Self { spec: spec.clone(), rules, needs, accepted, anywhere, ask }
    }

    /// Where a definition lies in memory: which one it is, as long as it is held.
    pub(super) fn key(spec: &RunSpec) -> usize {
        match spec {
            RunSpec::App(app) => Arc::as_ptr(app).addr(),
            RunSpec::Pod(pod) => Arc::as_ptr(pod).addr(),
        }
    }

    pub(super) fn app(&self) -> Option<&App> {
        match &self.spec {
            RunSpec::App(app) => Some(app),
            RunSpec::Pod(_) => None,
        }
    }

    /// What it takes of the agent's own disk where it is first placed.
    fn disk(&self) -> lonja_model::resources::Scalar {
        let (own, volumes) = (self.needs.whole.disk, self.needs.own_disk());
        own.checked_add(volumes).unwrap_or(lonja_model::resources::Scalar::MAX)
    }
}

/// One instance before the offers of a decision.
pub(super) struct Judge<'a, 'w> {
    pub(super) want: &'a Want<'w>,
    pub(super) compiled: &'a Compiled,
    asked: Vec<Asked<'a>>,
    near: Vec<Near>,
    region: Option<&'a str>,
    now: Timestamp,
    draws: Draws,
}

/// How much a place is liked: the first that differs decides, the greater the better.
pub(super) type Liking = [f64; 3];

/// Which rule of those that share one reason.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Region,
    Constraint(usize),
    Near(usize),
}

impl<'a, 'w> Judge<'a, 'w> {
    pub(super) fn new(
        want: &'a Want<'w>,
        compiled: &'a Compiled,
        near: Vec<Near>,
        region: Option<&'a str>,
        now: Timestamp,
    ) -> Self {
        let asked = compiled.rules.iter().map(|rule| rule.among(want.siblings, want.target)).collect();
        Self { want, compiled, asked, near, region, now, draws: Draws::new(want.draw) }
    }

    /// May it be launched there? Errors: the first reason why not. Of one that has data there constraints are not asked:
    /// they were judged when it was placed.
    /// `fits_for_good`: the rules that ask of the agent alone are known to hold.
    pub(super) fn place(
        &self,
        offer: &Offer,
        has_gpus: bool,
        room: &Room,
        fits_for_good: bool,
    ) -> Result<(), Reason> {
        if offer.role.as_str() != self.want.spec.role() || is_bare(room) {
            return Err(Reason::UnfulfilledRole);
        }
        if (!fits_for_good && self.broken_for_good(offer).is_some()) || self.broken_for_now(offer).is_some() {
            return Err(Reason::UnfulfilledConstraint);
        }
        self.serves(offer)?;
        lacking(&self.compiled.needs, self.compiled.disk(), room).map_or(Ok(()), Err)?;
        if has_gpus && self.spares_gpus() { Err(Reason::DeclinedScarceResources) } else { Ok(()) }
    }

    /// Is its agent not being maintained?
    pub(super) fn serves(&self, offer: &Offer) -> Result<(), Reason> {
        let away = offer.unavailability.filter(|away| away.start <= self.now);
        let over = |away: lonja_model::maintenance::Unavailability| {
            away.duration.is_some_and(|duration| away.start + duration <= self.now)
        };
        match away {
            Some(away) if !over(away) => Err(Reason::AgentMaintenance),
            Some(_) | None => Ok(()),
        }
    }

    /// The first rule that does not hold there.
    fn broken(&self, offer: &Offer) -> Option<Which> {
        self.broken_for_good(offer).or_else(|| self.broken_for_now(offer))
    }

    /// The first of the rules that ask of the agent alone.
    pub(super) fn broken_for_good(&self, offer: &Offer) -> Option<Which> {
        if !self.compiled.anywhere
            && let (Some(local), Some(domain)) = (self.region, &offer.domain)
            && domain.region != local
        {
            return Some(Which::Region);
        }
        let fails = |rule: &Asked<'_>| !rule.counts() && !rule.holds(offer);
        self.asked.iter().position(fails).map(Which::Constraint)
    }

    /// The first of the rules that ask where others are.
    fn broken_for_now(&self, offer: &Offer) -> Option<Which> {
        let fails = |rule: &Asked<'_>| rule.counts() && !rule.holds(offer);
        let counting = self.asked.iter().position(fails).map(Which::Constraint);
        counting.or_else(|| {
            self.near.iter().position(|near| near.required && !near.holds(offer)).map(Which::Near)
        })
    }

    /// Does it leave GPUs to those that need them?
    fn spares_gpus(&self) -> bool {
        if self.compiled.needs.whole.gpus.devices() > 0 {
            return false;
        }
        match self.want.spec.labels().get(GPU_LABEL).map(String::as_str) {
            Some("restricted") => true,
            Some("unrestricted") => false,
            Some(_) | None => self.want.config.gpus_restricted,
        }
    }

    /// In words why it may not go there.
    pub(super) fn why_not(&self, reason: Reason, offer: &Offer, room: &Room) -> String {
        match reason {
            Reason::UnfulfilledRole if offer.role.as_str() != self.want.spec.role() => {
                format!(
                    "the offer is for role {}, {wanted} is wanted: what is for {wanted} is offered to services that were started \
                     with --role or --also-role {wanted}",
                    offer.role,
                    wanted = self.want.spec.role()
                )
            }
            Reason::UnfulfilledRole => self.compiled.accepted.shown(self.want.spec.role()),
            Reason::UnfulfilledConstraint => match self.broken(offer) {
                Some(Which::Region) => {
                    let local = self.region.unwrap_or_default();
                    let region = offer.domain.as_ref().map_or("", |domain| domain.region.as_str());
                    format!("@region: the agent is in {region}, without a constraint only {local} will do")
                }
                Some(Which::Constraint(index)) => self.asked[index].why_not(offer),
                Some(Which::Near(index)) => self.near[index].why_not(),
                None => reason.name().to_owned(),
            },
            Reason::NoCorrespondingReservationFound => match self.want.home {
                Some(home) => format!("its data are on {}", home.hostname),
                None => reason.name().to_owned(),
            },
            Reason::AgentMaintenance => "the agent is being maintained".to_owned(),
            Reason::DeclinedScarceResources => {
                format!(
                    "the agent's GPUs are kept for who needs them; the label {GPU_LABEL} may say otherwise"
                )
            }
            Reason::InsufficientCpus
            | Reason::InsufficientMemory
            | Reason::InsufficientDisk
            | Reason::InsufficientGpus
            | Reason::InsufficientPorts => {
                lacking_in_words(reason, &self.compiled.needs, self.compiled.disk(), room)
            }
        }
    }

    /// How much it likes this place, where `own` of its kind are.
    pub(super) fn liking(&mut self, offer: &Offer, room: &Room, own: u32) -> Liking {
        let wishes = self.near.iter().filter(|near| !near.required && near.holds(offer)).count();
        let wishes = f64::from(u32::try_from(wishes).unwrap_or(u32::MAX));
        // The part of the largest machine that is left.
        let left = || Spread.score(&self.compiled.ask, room).map_or(0.0, |place| place.score);
        match self.want.spec.preference() {
            Preference::Spread => [wishes, -f64::from(own), left()],
            Preference::Binpack => [wishes, -left(), 0.0],
            Preference::Random => {
                let chance = u32::try_from(self.draws.next() >> 32).unwrap_or(0);
                [wishes, f64::from(chance), 0.0]
            }
        }
    }

    pub(super) fn draws(&mut self) -> &mut Draws {
        &mut self.draws
    }
}

/// Is there nothing of use at all?
fn is_bare(room: &Room) -> bool {
    use lonja_model::resources::Scalar;
    room.cpus == Scalar::ZERO && room.mem == Scalar::ZERO && room.disk == Scalar::ZERO && room.ports == 0
}
