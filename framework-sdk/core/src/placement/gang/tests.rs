use lonja_model::{AgentId, Role};
use proptest::prelude::*;

use super::*;
use crate::placement::policies::BestFit;
use crate::plan::Action;
use crate::tests::fixture::offer;
use crate::{PlanError, Task};

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

fn members(gang: &str, count: usize) -> Vec<Wanted> {
    let task = Task::shell("true").unwrap().cpus(1.0).unwrap();
    let member = |index| Wanted::new(TaskId::new(format!("{gang}-{index}")).unwrap(), task.clone());
    (0..count).map(member).collect()
}

/// One CPU of one agent.
fn slot(agent: usize, number: u64) -> Offer {
    Offer {
        agent: AgentId::new(format!("a{agent}")).unwrap(),
        role: Role::new("web").unwrap(),
        ..offer(&format!("o{number}"), "cpus:1;mem:100")
    }
}

fn placement() -> Placement {
    Placement::new(Box::new(BestFit::default()))
}

fn gangs(seed: u64) -> Gangs {
    Gangs::new(Options::seeded(seed))
}

#[test]
fn a_gang_is_held_for_until_all_members_fit_and_then_starts_in_one_plan() {
    let (mut gangs, mut placement) = (gangs(1), placement());
    gangs.submit(at(0), "g", members("g", 2)).unwrap();

    let first = gangs.offers(at(1), &mut placement, &[slot(1, 1)]);
    assert!(first.started.is_empty() && gangs.in_hand() == 1 && placement.own().is_empty());
    assert_eq!((first.unplaced.len(), first.unplaced[0].offers), (1, 1));
    assert!(matches!(&first.plan.actions[..], [Action::Hold { .. }]));

    let second = gangs.offers(at(2), &mut placement, &[slot(2, 2), slot(3, 3)]);
    assert_eq!(second.started.len(), 1);
    let accepts = second.plan.actions.iter().filter(|action| matches!(action, Action::Accept { .. })).count();
    assert_eq!((accepts, gangs.in_hand(), gangs.waiting(), gangs.next_deadline()), (2, 0, 0, None));
}

#[test]
fn what_is_of_no_use_is_not_held_nor_more_than_may_be() {
    let mut gangs = Gangs::new(Options::seeded(1).most_offers(2));
    gangs.submit(at(0), "g", members("g", 9)).unwrap();
    let useless = Offer { resources: "cpus:0.5;mem:100".parse().unwrap(), ..slot(9, 9) };
    let gathered = gangs.offers(at(1), &mut placement(), &[slot(1, 1), slot(2, 2), slot(3, 3), useless]);
    assert_eq!(gangs.in_hand(), 2);
    let declined = gathered.plan.actions.iter().filter(|action| matches!(action, Action::Decline { .. }));
    assert_eq!(declined.count(), 2);
}

#[test]
fn all_is_given_back_after_a_time_that_grows_with_age_and_then_it_rests() {
    let (mut gangs, mut placement) = (gangs(3), placement());
    gangs.submit(at(0), "g", members("g", 2)).unwrap();
    let mut times = Vec::new();
    let mut now = at(0);
    for round in 0..6 {
        gangs.offers(now, &mut placement, &[slot(1, round)]);
        let until = gangs.next_deadline().unwrap();
        times.push(until.since(now));
        let gathered = gangs.tick(until, &mut placement);
        assert!(matches!(&gathered.plan.actions[..], [Action::Decline { .. }]), "{:?}", gathered.plan);
        assert!(gangs.in_hand() == 0 && !gangs.wants_offers());
        now = gangs.next_deadline().unwrap();
        assert!(now > until && now.since(until) <= Duration::from_secs(10));
        gangs.tick(now, &mut placement);
        assert!(gangs.wants_offers());
    }
    assert!(times[0] < Duration::from_secs(13) && times[5] > times[0] * 3, "{times:?}");
    assert!(times.iter().all(|time| *time <= Duration::from_secs(80)));
}

#[test]
fn a_small_gang_behind_one_that_cannot_start_gets_what_is_given_back() {
    let (mut gangs, mut placement) = (gangs(1), placement());
    gangs.submit(at(0), "huge", members("huge", 100)).unwrap();
    gangs.submit(at(0), "small", members("small", 1)).unwrap();
    assert!(gangs.offers(at(1), &mut placement, &[slot(1, 1)]).started.is_empty());
    let until = gangs.next_deadline().unwrap();
    let started = gangs.tick(until, &mut placement).started;
    assert_eq!(started.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["small"]);
}

#[test]
fn offers_that_are_gone_are_not_used() {
    let (mut gangs, mut placement) = (gangs(1), placement());
    gangs.submit(at(0), "g", members("g", 2)).unwrap();
    gangs.offers(at(1), &mut placement, &[slot(1, 1)]);
    gangs.rescinded(&OfferId::new("o1").unwrap());
    assert!(gangs.offers(at(2), &mut placement, &[slot(2, 2)]).started.is_empty());
    gangs.agent_lost(&AgentId::new("a2").unwrap());
    assert!(gangs.offers(at(3), &mut placement, &[slot(3, 3)]).started.is_empty());
    gangs.disconnected();
    assert_eq!((gangs.in_hand(), gangs.next_deadline()), (0, None));
    let gathered = gangs.offers(at(4), &mut placement, &[slot(4, 4), slot(5, 5)]);
    assert_eq!(gathered.started.len(), 1);
}

#[test]
fn a_gang_of_which_a_part_was_not_launched_is_broken_and_the_rest_killed() {
    let (mut gangs, mut placement) = (gangs(1), placement());
    gangs.submit(at(0), "g", members("g", 2)).unwrap();
    gangs.offers(at(1), &mut placement, &[slot(1, 1), slot(2, 2)]);
    let gone = Problem::Plan(PlanError::OfferGone(OfferId::new("o1").unwrap()));
    let (plan, broken) = gangs.refused(&mut placement, &gone);
    let broken = broken.unwrap();
    assert_eq!((broken.gang.as_str(), broken.launched.len(), broken.left.len()), ("g", 1, 1));
    assert_eq!(plan.actions, [Action::Kill { task: broken.launched[0].clone(), grace: None }]);
}

#[test]
fn a_gang_that_nothing_helps_is_in_nobodys_way() {
    let gpu = Task::shell("true").unwrap().cpus(1.0).unwrap().gpus(crate::placement::Gpus::Whole(1));
    let impossible = Task::shell("true").unwrap().cpus(64.0).unwrap();
    for task in [gpu, impossible] {
        let (mut gangs, mut placement) = (gangs(1), placement());
        let first = Wanted::new(TaskId::new("never").unwrap(), task);
        gangs.submit(at(0), "never", vec![first]).unwrap();
        gangs.submit(at(0), "small", members("small", 1)).unwrap();
        gangs.submit(at(0), "pair", members("pair", 2)).unwrap();
        let names =
            |gathered: &Gathered| gathered.started.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&gangs.offers(at(1), &mut placement, &[slot(1, 1)])), ["small"]);
        assert!(names(&gangs.offers(at(2), &mut placement, &[slot(2, 2)])).is_empty());
        assert_eq!(gangs.in_hand(), 1, "the pair gathers");
        assert_eq!(names(&gangs.offers(at(3), &mut placement, &[slot(3, 3)])), ["pair"]);
        assert_eq!((gangs.waiting(), gangs.next_deadline()), (1, None));
    }
}

#[test]
fn each_gang_has_its_turn_however_many_cannot_start() {
    // Half of them find nothing of use, and the others all that there is, but never enough.
    let (mut gangs, mut placement) = (gangs(1), placement());
    for index in 0..50 {
        let of = members(&format!("m{index}"), 100);
        let impossible = Task::shell("true").unwrap().cpus(64.0).unwrap();
        let alone = Wanted::new(TaskId::new(format!("s{index}")).unwrap(), impossible);
        let members = if index % 2 == 0 { of } else { vec![alone] };
        gangs.submit(at(0), format!("g{index}"), members).unwrap();
    }
    gangs.submit(at(0), "small", members("small", 1)).unwrap();
    let mut started = Vec::new();
    for second in 1..600 {
        let now = at(second);
        if gangs.next_deadline().is_some_and(|deadline| deadline <= now) {
            started.extend(gangs.tick(now, &mut placement).started);
        }
        if gangs.wants_offers() && second % 5 == 0 {
            started.extend(gangs.offers(now, &mut placement, &[slot(1, second)]).started);
        }
    }
    assert_eq!(started.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["small"]);
}

#[test]
fn nothing_is_held_longer_because_others_start_meanwhile() {
    let (mut gangs, mut placement) = (Gangs::new(Options::seeded(1).most_offers(1)), placement());
    gangs.submit(at(0), "huge", members("huge", 100)).unwrap();
    gangs.offers(at(0), &mut placement, &[slot(1, 1)]);
    let until = gangs.next_deadline();
    for number in 2..6 {
        let name = format!("small-{number}");
        gangs.submit(at(number), &name, members(&name, 1)).unwrap();
        let slots = [slot(2, number)];
        assert_eq!(gangs.offers(at(number), &mut placement, &slots).started.len(), 1);
        assert_eq!((gangs.in_hand(), gangs.next_deadline()), (1, until));
    }
}

#[test]
fn each_of_several_gangs_of_one_plan_is_broken_by_its_own_offers() {
    let (mut gangs, mut placement) = (gangs(1), placement());
    for name in ["g", "h"] {
        gangs.submit(at(0), name, members(name, 2)).unwrap();
    }
    let slots = [slot(1, 1), slot(2, 2), slot(3, 3), slot(4, 4)];
    assert_eq!(gangs.offers(at(1), &mut placement, &slots).started.len(), 2);
    for offer in ["o1", "o4"] {
        let gone = Problem::Plan(PlanError::OfferGone(OfferId::new(offer).unwrap()));
        let (_, broken) = gangs.refused(&mut placement, &gone);
        assert_eq!(broken.map(|broken| (broken.launched.len(), broken.left.len())), Some((1, 1)), "{offer}");
    }
    assert_eq!(placement.own().len(), 2);
}

#[test]
fn a_wrong_gang_is_refused_with_what_to_do() {
    let mut gangs = gangs(1);
    gangs.submit(at(0), "g", members("g", 1)).unwrap();
    let why = |result: Result<(), InvalidGang>| result.unwrap_err().to_string();
    assert!(why(gangs.submit(at(0), "g", members("h", 1))).contains("another name"));
    assert!(why(gangs.submit(at(0), "h", Vec::new())).contains("1 to 10000"));
    let twice = [members("h", 1), members("h", 1)].concat();
    assert!(why(gangs.submit(at(0), "h", twice)).contains("an id of its own"));
    assert_eq!(gangs.withdraw("g").map(|members| members.len()), Some(1));
    gangs.submit(at(0), "g", members("g", 1)).unwrap();
}

/// A cluster of machines with one CPU each, and frameworks that gather for gangs. What is free is offered in turn.
struct Cluster {
    frameworks: Vec<(Gangs, Placement)>,
    free: Vec<usize>,
    held: Vec<BTreeMap<OfferId, usize>>,
    next_offer: u64,
    turn: usize,
}

impl Cluster {
    fn new(frameworks: usize, machines: usize, seed: u64) -> Self {
        let framework = |index: usize| (gangs(seed * 31 + u64::try_from(index).unwrap()), placement());
        Self {
            frameworks: (0..frameworks).map(framework).collect(),
            free: (0..machines).collect(),
            held: vec![BTreeMap::new(); frameworks],
            next_offer: 0,
            turn: 0,
        }
    }

    /// What a plan does to the machines: those of launches stay used for ever.
    fn carry_out(&mut self, framework: usize, offered: &[OfferId], plan: &Plan) {
        let mut kept = BTreeSet::new();
        for action in &plan.actions {
            match action {
                Action::Accept { offers, .. } => offers.iter().for_each(|offer| {
                    self.held[framework].remove(offer).expect("what is launched on is held");
                }),
                Action::Hold { offer, .. } => drop(kept.insert(offer.clone())),
                Action::Decline { offer, .. } => self.free.extend(self.held[framework].remove(offer)),
                Action::Kill { .. }
                | Action::AnswerInverse { .. }
                | Action::Message { .. }
                | Action::Reconcile
                | Action::Revive
                | Action::Remember { .. }
                | Action::Unplaced { .. }
                | Action::NoLongerWaits { .. } => panic!("{action:?}"),
            }
        }
        for offer in offered.iter().filter(|offer| !kept.contains(offer)) {
            self.free.extend(self.held[framework].remove(offer));
        }
    }

    /// One second: half of what is free to each, beginning with another one each time.
    fn second(&mut self, now: Timestamp) {
        for index in 0..self.frameworks.len() {
            let (gangs, placement) = &mut self.frameworks[index];
            if gangs.next_deadline().is_some_and(|deadline| deadline <= now) {
                let plan = gangs.tick(now, placement).plan;
                self.carry_out(index, &[], &plan);
            }
        }
        let count = self.frameworks.len();
        let wanting = (0..count).map(|index| (index + self.turn) % count);
        let wanting: Vec<usize> = wanting.filter(|index| self.frameworks[*index].0.wants_offers()).collect();
        self.turn += 1;
        let mut shares: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, machine) in std::mem::take(&mut self.free).into_iter().enumerate() {
            match wanting.get(place % wanting.len().max(1)) {
                Some(index) => shares.entry(*index).or_default().push(machine),
                None => self.free.push(machine),
            }
        }
        for (index, machines) in shares {
            let mut offers = Vec::new();
            for machine in machines {
                self.next_offer += 1;
                offers.push(slot(machine, self.next_offer));
                self.held[index].insert(OfferId::new(format!("o{}", self.next_offer)).unwrap(), machine);
            }
            let (gangs, placement) = &mut self.frameworks[index];
            let plan = gangs.offers(now, placement, &offers).plan;
            let offered: Vec<OfferId> = offers.into_iter().map(|offer| offer.id).collect();
            self.carry_out(index, &offered, &plan);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Each of several frameworks wants more than half of the cluster for its gang, and gets a part of it at once. All start
    /// in the end, one after the other, as gangs end.
    #[test]
    fn gangs_in_each_others_way_all_start(frameworks in 2..5_usize, seed in 0..1_000_000_u64, later in 0..30_u64) {
        let machines = 12;
        let mut cluster = Cluster::new(frameworks, machines, seed);
        let mut started = 0;
        for (index, (gangs, _)) in cluster.frameworks.iter_mut().enumerate() {
            let since = at(u64::try_from(index).unwrap() * later);
            gangs.submit(since, "g", members("g", 8)).unwrap();
        }
        let mut now = 120;
        while started < frameworks {
            cluster.second(at(now));
            now += 1;
            prop_assert!(now < 3_600, "{started} of {frameworks} have started after an hour");
            let waiting = cluster.frameworks.iter().filter(|(gangs, _)| gangs.waiting() > 0).count();
            if frameworks - waiting > started {
                // It has run, and its machines are free again.
                started = frameworks - waiting;
                let held: BTreeSet<usize> = cluster.held.iter().flat_map(|held| held.values().copied()).collect();
                cluster.free = (0..machines).filter(|machine| !held.contains(machine)).collect();
            }
        }
    }
}
