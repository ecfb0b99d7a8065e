//! How changes are brought about, and what is done when things go wrong.

use std::time::Duration;

use lonja_services_core::definition::{
    Autoscale, KillSelection, Measure, Rollout, Strategy, UnreachableStrategy, UpgradeStrategy,
};
use serde_json::Value;

use super::reader::At;
use super::writer::{Object, number, seconds};

/// The largest factor of a backoff that makes sense.
pub(crate) const MAX_FACTOR: f64 = 1_000_000.0;

/// How many there are while new ones replace old ones.
pub(crate) fn upgrade(at: &At<'_>, absent: UpgradeStrategy) -> Option<UpgradeStrategy> {
    let fields = at.object()?;
    let fraction = |name, absent| fields.or(name, |at| at.number(0.0..=1.0), absent);
    let minimum_health_capacity = fraction("minimumHealthCapacity", absent.minimum_health_capacity);
    let maximum_over_capacity = fraction("maximumOverCapacity", absent.maximum_over_capacity);
    Some(UpgradeStrategy {
        minimum_health_capacity: minimum_health_capacity?,
        maximum_over_capacity: maximum_over_capacity?,
    })
}

pub(crate) fn show_upgrade(upgrade: &UpgradeStrategy) -> Value {
    Object::new()
        .with("minimumHealthCapacity", number(upgrade.minimum_health_capacity))
        .with("maximumOverCapacity", number(upgrade.maximum_over_capacity))
        .done()
}

/// Which are killed first.
pub(crate) fn kill_selection(at: &At<'_>) -> Option<KillSelection> {
    at.choice(&[
        ("YOUNGEST_FIRST", KillSelection::YoungestFirst),
        ("OLDEST_FIRST", KillSelection::OldestFirst),
    ])
}

pub(crate) fn show_kill_selection(selection: KillSelection) -> &'static str {
    match selection {
        KillSelection::YoungestFirst => "YOUNGEST_FIRST",
        KillSelection::OldestFirst => "OLDEST_FIRST",
    }
}

/// `"disabled"`, or two times.
pub(crate) fn unreachable(at: &At<'_>) -> Option<UnreachableStrategy> {
    match at.value {
        Value::String(text) if text == "disabled" => return Some(UnreachableStrategy::Disabled),
        Value::Object(_) => {}
        _ => {
            return at
                .form("must be \"disabled\" or an object with inactiveAfterSeconds and expungeAfterSeconds");
        }
    }
    let fields = at.object()?;
    let inactive_after = fields.or("inactiveAfterSeconds", At::seconds, Duration::ZERO);
    let expunge_after = fields.or("expungeAfterSeconds", At::seconds, Duration::ZERO);
    Some(UnreachableStrategy::Enabled { inactive_after: inactive_after?, expunge_after: expunge_after? })
}

pub(crate) fn show_unreachable(strategy: UnreachableStrategy) -> Value {
    match strategy {
        UnreachableStrategy::Disabled => Value::from("disabled"),
        UnreachableStrategy::Enabled { inactive_after, expunge_after } => Object::new()
            .with("inactiveAfterSeconds", seconds(inactive_after))
            .with("expungeAfterSeconds", seconds(expunge_after))
            .done(),
    }
}

/// Lonja's own: the names of strategies.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum StrategyName {
    Rolling,
    Canary,
    BlueGreen,
}

/// The last is how people, and `lonja service`, write it; it is shown as the one before.
pub(crate) const STRATEGIES: [(&str, StrategyName); 4] = [
    ("rolling", StrategyName::Rolling),
    ("canary", StrategyName::Canary),
    ("blueGreen", StrategyName::BlueGreen),
    ("blue-green", StrategyName::BlueGreen),
];

/// The fraction that a canary has where none is said.
const CANARY_FRACTION: f64 = 0.1;

/// The strategy of this name with all else as it is by default, as for a query. None: there is none of this name.
pub fn strategy(name: &str) -> Option<Strategy> {
    let (_, name) = STRATEGIES.iter().find(|(known, _)| *known == name)?;
    Some(match name {
        StrategyName::Rolling => Strategy::Rolling,
        StrategyName::Canary => Strategy::Canary { fraction: CANARY_FRACTION, promote_after: None },
        StrategyName::BlueGreen => Strategy::BlueGreen { promote_after: None },
    })
}

/// Lonja's own: how a change is brought about.
pub(crate) fn rollout(at: &At<'_>) -> Option<Rollout> {
    let fields = at.object()?;
    let name = fields.or("strategy", |at| at.choice(&STRATEGIES), StrategyName::Rolling);
    let fraction = fields.maybe("canaryFraction", |at| at.number(0.0..=1.0));
    let promote_after = fields.maybe("promoteAfterSeconds", At::seconds);
    let progress_deadline = fields.maybe("progressDeadlineSeconds", At::some_seconds);
    let max_failures = fields.maybe("maxFailures", At::count);
    let auto_rollback = fields.or("autoRollback", At::flag, false);
    let (name, fraction, promote_after) = (name?, fraction?, promote_after?);
    if fraction == Some(0.0) {
        fields.meaning("canaryFraction", "must be above 0, such as 0.1");
    }
    if fraction.is_some() && name != StrategyName::Canary {
        fields.meaning("canaryFraction", "is for the strategy canary only");
    }
    if promote_after.is_some() && name == StrategyName::Rolling {
        fields.meaning("promoteAfterSeconds", "is for the strategies canary and blueGreen only");
    }
    let strategy = match name {
        StrategyName::Rolling => Strategy::Rolling,
        StrategyName::Canary => {
            Strategy::Canary { fraction: fraction.unwrap_or(CANARY_FRACTION), promote_after }
        }
        StrategyName::BlueGreen => Strategy::BlueGreen { promote_after },
    };
    Some(Rollout {
        strategy,
        progress_deadline: progress_deadline?,
        max_failures: max_failures?,
        auto_rollback: auto_rollback?,
    })
}

/// None: it is as it is where nothing is said.
pub(crate) fn show_rollout(rollout: &Rollout) -> Option<Value> {
    if *rollout == Rollout::default() {
        return None;
    }
    let shown = show_strategy(&rollout.strategy)
        .maybe("progressDeadlineSeconds", rollout.progress_deadline.map(seconds))
        .maybe("maxFailures", rollout.max_failures)
        .with("autoRollback", rollout.auto_rollback);
    Some(shown.done())
}

/// The strategy's own fields.
pub(crate) fn show_strategy(strategy: &Strategy) -> Object {
    match strategy {
        Strategy::Rolling => Object::new().with("strategy", "rolling"),
        Strategy::Canary { fraction, promote_after } => Object::new()
            .with("strategy", "canary")
            .with("canaryFraction", number(*fraction))
            .maybe("promoteAfterSeconds", promote_after.map(seconds)),
        Strategy::BlueGreen { promote_after } => Object::new()
            .with("strategy", "blueGreen")
            .maybe("promoteAfterSeconds", promote_after.map(seconds)),
    }
}

/// Lonja's own: how the number of instances follows the load. `absent` is 180 s of rest after a change, and 300 s before
/// there are fewer.
pub(crate) fn autoscale(at: &At<'_>) -> Option<Autoscale> {
    let fields = at.object()?;
    let minimum = fields.or("minimum", At::count, 1);
    let maximum = fields.need("maximum").and_then(|at| at.count());
    let measure = measure(at);
    let target = fields.need("target").and_then(|at| at.number(0.0..=1e12));
    let cooldown = fields.or("cooldownSeconds", At::seconds, Duration::from_secs(180));
    let stabilisation = fields.or("stabilisationSeconds", At::seconds, Duration::from_secs(300));
    Some(Autoscale {
        minimum: minimum?,
        maximum: maximum?,
        measure: measure?,
        target: target?,
        cooldown: cooldown?,
        stabilisation: stabilisation?,
    })
}

fn measure(at: &At<'_>) -> Option<Measure> {
    let fields = at.object()?;
    let wanted = |name: &str| fields.or(name, At::flag, false);
    let (cpu, memory) = (wanted("cpu"), wanted("memory"));
    let prometheus = fields.maybe("prometheus", |at| {
        let fields = at.object()?;
        let server = fields.need("server").and_then(|at| at.text_within(1024));
        let query = fields.need("query").and_then(|at| at.text_within(4096));
        Some(Measure::Prometheus { server: server?, query: query? })
    });
    match (cpu?, memory?, prometheus?) {
        (true, false, None) => Some(Measure::Cpu),
        (false, true, None) => Some(Measure::Memory),
        (false, false, Some(query)) => Some(query),
        _ => {
            at.meaning(
                "must have exactly one of cpu: true, memory: true and prometheus with a server and a query",
            );
            Some(Measure::Cpu)
        }
    }
}

pub(crate) fn show_autoscale(autoscale: &Autoscale) -> Value {
    let shown = Object::new()
        .with("minimum", autoscale.minimum)
        .with("maximum", autoscale.maximum)
        .with("target", number(autoscale.target))
        .with("cooldownSeconds", seconds(autoscale.cooldown))
        .with("stabilisationSeconds", seconds(autoscale.stabilisation));
    match &autoscale.measure {
        Measure::Cpu => shown.with("cpu", true),
        Measure::Memory => shown.with("memory", true),
        Measure::Prometheus { server, query } => shown.with(
            "prometheus",
            Object::new().with("server", server.as_str()).with("query", query.as_str()).done(),
        ),
    }
    .done()
}
