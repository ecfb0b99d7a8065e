//! What `docs/sdk-guide.md` quotes on placement and on real daemons, so that it compiles and holds.

#![cfg(all(feature = "driver", feature = "testing"))]

use std::time::Duration;

use lonja_sdk::model::attributes::Attributes;
use lonja_sdk::model::labels::Labels;
use lonja_sdk::placement::policies::BestFit;
use lonja_sdk::placement::predicate::{Tasks, agent, attribute};
use lonja_sdk::placement::{Placement, Wanted};
use lonja_sdk::prelude::*;
use lonja_sdk::testing::{LocalCluster, TestCluster, mins, offer, secs};

/// Web servers, no two on one agent and as many in each rack. One that has ended stays so.
struct Web {
    waiting: Vec<Wanted>,
    launched: Vec<Wanted>,
    placement: Placement,
    changes: Vec<Change>,
}

impl Web {
    fn restore(count: usize, state: &State) -> Self {
        let web = Tasks::labelled("app", "web");
        let place = agent().unique(&web) & attribute("rack").spread(&web, 1);
        let task = Task::shell("sleep 1000").and_then(|task| task.cpus(0.1)).expect("a task");
        let task = task.label("app", "web").place(place);
        let labels = Labels(vec![("app".to_owned(), Some("web".to_owned()))]);
        let mut placement = Placement::new(Box::new(BestFit::default()));
        for (id, agent) in state.tasks() {
            placement.restore(id.clone(), agent, &labels, task.need());
        }
        let is_live = |id: &TaskId| state.tasks().any(|(live, _)| live == id);
        let has_ended = |id: &TaskId| state.get(&format!("ended/{id}")).is_some();
        let ids = (1..=count).map(|number| format!("web-{number}").parse().expect("letters and digits"));
        let ids = ids.filter(|id| !is_live(id) && !has_ended(id));
        let waiting = ids.map(|id| Wanted::new(id, task.clone())).collect();
        Self { waiting, launched: Vec::new(), placement, changes: Vec::new() }
    }
}

impl Scheduler for Web {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let decision = self.placement.decide(offers, &self.waiting);
        self.launched.extend(self.waiting.extract_if(.., |wanted| decision.has_placed(wanted.id())));
        decision.plan.unplaced(decision.unplaced)
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        self.placement.update(status);
        if status.state.is_terminal() {
            self.changes.push(Change::put(format!("ended/{}", status.task), "yes"));
        }
        Plan::new()
    }

    fn refused(&mut self, _now: Timestamp, problem: &Problem) -> Plan {
        let again = self.placement.refused(problem);
        self.waiting.extend(self.launched.extract_if(.., |wanted| again.contains(wanted.id())));
        Plan::new()
    }

    fn agent_lost(&mut self, _now: Timestamp, agent: &AgentId) -> Plan {
        self.placement.agent_lost(agent);
        Plan::new()
    }

    fn subscribed(&mut self, _now: Timestamp, _id: &FrameworkId, _master: &MasterInfo) -> Plan {
        self.placement.subscribed();
        Plan::new()
    }

    fn wants_offers(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

/// An offer of this agent, which is in this rack.
fn in_rack(agent: &str, rack: &str) -> Offer {
    let attributes = Attributes::parse(&format!("rack:{rack}")).expect("a list");
    Offer { attributes, ..offer(&format!("o-{agent}"), agent, "cpus:4;mem:1024") }
}

#[test]
fn no_two_are_on_one_agent_and_racks_are_even() {
    let mut web = Web::restore(4, &State::default());

    let offers =
        [("a", "r1"), ("b", "r1"), ("c", "r1"), ("d", "r2")].map(|(agent, rack)| in_rack(agent, rack));
    web.offers(Timestamp::ZERO, &offers);

    // The third of rack 1 would be two ahead of rack 2.
    assert_eq!((web.launched.len(), web.waiting.len()), (3, 1));
}

#[test]
fn one_started_anew_puts_no_second_one_where_one_runs() {
    let mut cluster = TestCluster::new(1)
        .agents_with(2, "cpus:4;mem:1024", "rack:r1")
        .framework(FrameworkOptions::named("web"), |state| Web::restore(3, state));
    cluster.run_for(secs(30));
    let before = cluster.running_tasks().len();

    cluster.kill_scheduler();
    cluster.run_for(mins(3));

    assert_eq!((before, cluster.running_tasks().len()), (2, 2), "the third has no agent of its own");
}

#[tokio::test]
async fn it_runs_on_real_daemons() {
    if let Err(error) = LocalCluster::available() {
        eprintln!("SKIPPED: {error}");
        return;
    }
    let cluster = LocalCluster::new().agents(2, "cpus:1;mem:256").start().unwrap();
    let options = FrameworkOptions::named("web");
    let driver = Driver::new(cluster.master_url(), options).wait_for_master(Duration::from_secs(30));
    let handle = driver.handle();
    let run = tokio::spawn(driver.run_from(|state| Web::restore(1, state)));

    let told = tokio::time::timeout(Duration::from_secs(60), async {
        while handle.metrics().connections == 0 {
            tokio::task::yield_now().await;
        }
    });
    told.await.expect("it connects");
    handle.tear_down().await;

    let (_web, outcome) = run.await.unwrap().unwrap();
    assert_eq!(outcome, Outcome::TornDown);
}
