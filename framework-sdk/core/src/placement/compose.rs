//! Scorers made of scorers, and of a closure.

use crate::placement::{Ask, Cluster, Place, Room, Scorer};

/// A sum of scorers, each with a weight; a place that one of them does not want is none.
///
/// The GPU devices are those that the first one names: the parts judge the machine, the first of them the device.
///
/// ```
/// use lonja_sdk_core::placement::policies::{BestFit, Fgd};
/// use lonja_sdk_core::placement::{Scorer, Weighted};
///
/// let scorer = Weighted::new("mostly-fgd").with(0.8, Fgd::default()).with(0.2, BestFit::default());
/// assert_eq!(scorer.name(), "mostly-fgd");
/// ```
pub struct Weighted {
    name: String,
    parts: Vec<(f64, Box<dyn Scorer>)>,
}

impl Weighted {
    /// Of none as yet: every machine is as good as another.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), parts: Vec::new() }
    }

    /// And this one, its score counted so many times.
    #[must_use]
    pub fn with(mut self, weight: f64, scorer: impl Scorer + 'static) -> Self {
        self.parts.push((weight, Box::new(scorer)));
        self
    }
}

impl Scorer for Weighted {
    fn name(&self) -> &str {
        &self.name
    }

    fn learn(&mut self, cluster: &Cluster) {
        self.parts.iter_mut().for_each(|(_, part)| part.learn(cluster));
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        let mut sum = 0.0;
        let mut devices = None;
        for (weight, part) in &mut self.parts {
            let place = part.score(ask, room)?;
            sum += *weight * place.score;
            devices.get_or_insert(place.devices);
        }
        let devices = match devices {
            Some(devices) => devices,
            None => room.fullest(ask)?,
        };
        Some(Place { score: sum, devices })
    }

    fn is_pure(&self) -> bool {
        self.parts.iter().all(|(_, part)| part.is_pure())
    }
}

/// How many steps of one level are told apart, above and below 0.
const STEPS: f64 = 65_535.0;

/// The most levels: so many fit exactly into one score.
const MAX_LEVELS: usize = 3;

/// Scorers in order: the second one decides where the first calls two places equally good, and so on.
///
/// Scores of one level are equal if they are of the same step: with a step of 5, `12` and `14` are. At most 3 levels; a
/// level tells 65,535 steps apart on each side of 0, and what is beyond counts as the last. The GPU devices are those
/// that the first one names.
///
/// ```
/// use lonja_sdk_core::placement::policies::{BestFit, GpuPacking};
/// use lonja_sdk_core::placement::{Lexicographic, Scorer};
///
/// let scorer = Lexicographic::new("packed").then(5.0, GpuPacking).then(1.0, BestFit::default());
/// assert!(scorer.is_pure());
/// ```
pub struct Lexicographic {
    name: String,
    levels: Vec<(f64, Box<dyn Scorer>)>,
}

impl Lexicographic {
    /// Of none as yet: every machine is as good as another.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), levels: Vec::new() }
    }

    /// Then by this one, in steps so large; a step that is not above 0 counts as 1. A fourth one is not looked at.
    #[must_use]
    pub fn then(mut self, step: f64, scorer: impl Scorer + 'static) -> Self {
        if self.levels.len() < MAX_LEVELS {
            let step = if step > 0.0 && step.is_finite() { step } else { 1.0 };
            self.levels.push((step, Box::new(scorer)));
        }
        self
    }
}

impl Scorer for Lexicographic {
    fn name(&self) -> &str {
        &self.name
    }

    fn learn(&mut self, cluster: &Cluster) {
        self.levels.iter_mut().for_each(|(_, level)| level.learn(cluster));
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        let mut score = 0.0;
        let mut devices = None;
        for (step, level) in &mut self.levels {
            let place = level.score(ask, room)?;
            if place.score.is_nan() {
                return None;
            }
            let steps = (place.score / *step).floor().clamp(-STEPS, STEPS);
            // Whole numbers below 2^51 in the end, so exact.
            score = score * (2.0 * STEPS + 1.0) + steps;
            devices.get_or_insert(place.devices);
        }
        let devices = match devices {
            Some(devices) => devices,
            None => room.fullest(ask)?,
        };
        Some(Place { score, devices })
    }

    fn is_pure(&self) -> bool {
        self.levels.iter().all(|(_, level)| level.is_pure())
    }
}

/// A scorer of a closure: a score that depends on ask and room alone, or none where it wants no task. The GPU devices are
/// the fullest that will do.
///
/// ```
/// use lonja_sdk_core::placement::{Scorer, by};
///
/// let small_machines_first = by("small-first", |_, room| Some(-room.spec.cpus.to_f64()));
/// assert_eq!(small_machines_first.name(), "small-first");
/// ```
pub fn by<F>(name: impl Into<String>, score: F) -> By<F>
where
    F: FnMut(&Ask, &Room) -> Option<f64> + Send,
{
    By { name: name.into(), score }
}

/// See [`by`].
pub struct By<F> {
    name: String,
    score: F,
}

impl<F: FnMut(&Ask, &Room) -> Option<f64> + Send> Scorer for By<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        let score = (self.score)(ask, room)?;
        Some(Place { score, devices: room.fullest(ask)? })
    }
}

/// A scorer by name is one that can be composed, too.
impl Scorer for Box<dyn Scorer> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn learn(&mut self, cluster: &Cluster) {
        (**self).learn(cluster);
    }

    fn score(&mut self, ask: &Ask, room: &Room) -> Option<Place> {
        (**self).score(ask, room)
    }

    fn is_pure(&self) -> bool {
        (**self).is_pure()
    }

    fn draw(&mut self, machines: usize) -> Option<usize> {
        (**self).draw(machines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::policies::Random;
    use crate::task::Need;
    use lonja_model::resources::Scalar;

    fn room(cpus: u64, mem: u64) -> Room {
        let units = |amount| Scalar::from_units(amount).unwrap();
        Room { cpus: units(cpus), mem: units(mem), ..Room::default() }
    }

    fn score(scorer: &mut dyn Scorer, cpus: u64, mem: u64) -> f64 {
        scorer.score(&Ask::from(Need::default()), &room(cpus, mem)).unwrap().score
    }

    fn cpus() -> impl Scorer {
        by("cpus", |_, room| Some(room.cpus.to_f64()))
    }

    fn mem() -> impl Scorer {
        by("mem", |_, room| Some(room.mem.to_f64()))
    }

    #[test]
    fn a_weighted_sum_adds_up_its_parts() {
        let mut sum = Weighted::new("sum").with(2.0, cpus()).with(-0.5, mem());
        assert_eq!(score(&mut sum, 3, 4), 4.0);
        assert!(sum.is_pure() && !Weighted::new("any").with(1.0, Random::new(1)).is_pure());
    }

    #[test]
    fn what_one_part_does_not_want_is_no_place() {
        let never = || by("never", |_, _| None);
        let (ask, room) = (Ask::default(), room(1, 1));
        assert_eq!(Weighted::new("sum").with(1.0, cpus()).with(1.0, never()).score(&ask, &room), None);
        assert_eq!(Lexicographic::new("order").then(1.0, cpus()).then(1.0, never()).score(&ask, &room), None);
    }

    #[test]
    fn a_later_level_decides_only_where_the_earlier_one_sees_no_step() {
        let mut order = Lexicographic::new("order").then(4.0, cpus()).then(1.0, mem());
        assert!(score(&mut order, 4, 1) > score(&mut order, 3, 60_000));
        assert!(score(&mut order, 7, 2) > score(&mut order, 4, 1), "of one step of CPUs");
        assert!(score(&mut order, 4, 2) > score(&mut order, 7, 1), "of one step of CPUs");
        assert_eq!(score(&mut order, 0, 70_000), score(&mut order, 0, 80_000), "beyond the last step");
    }

    #[test]
    fn three_levels_fit_exactly_into_one_score() {
        let most = || by("most", |_, _| Some(f64::INFINITY));
        let mut order = Lexicographic::new("order").then(1.0, most()).then(1.0, most()).then(1.0, mem());
        assert!(score(&mut order, 0, 1) > score(&mut order, 0, 0));
    }
}
