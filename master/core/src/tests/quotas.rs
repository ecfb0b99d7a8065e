use lonja_model::quota::Quota;
use lonja_model::resources::{Quantities, Scalar};
use lonja_model::scheduler::{CallResult, Event, RefusalCode};
use lonja_model::{Role, TaskState};

use super::fixture::*;
use crate::{ClusterEvent, Config, OperatorCommand};

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

fn quantities(text: &str) -> Quantities {
    res(text).quantities()
}

fn quota(guarantees: &str, limits: &str) -> Option<Quota> {
    Some(Quota { guarantees: quantities(guarantees), limits: quantities(limits) })
}

impl Cluster {
    fn set_quotas(&mut self, quotas: &[(&str, Option<Quota>)], force: bool) -> CallResult {
        let quotas = quotas.iter().map(|(name, quota)| (role(name), quota.clone())).collect();
        self.operator(OperatorCommand::UpdateQuotas { quotas, force })
    }

    fn set_quota(&mut self, name: &str, guarantees: &str, limits: &str) -> CallResult {
        self.set_quotas(&[(name, quota(guarantees, limits))], false)
    }

    fn set_weights(&mut self, weights: &[(&str, u64)]) -> CallResult {
        let thousandths = |amount| Scalar::from_thousandths(amount).unwrap();
        let weights = weights.iter().map(|(name, amount)| (role(name), thousandths(*amount))).collect();
        self.operator(OperatorCommand::SetWeights { weights })
    }
}

fn refusal(result: CallResult) -> (RefusalCode, String) {
    let refusal = result.unwrap_err();
    (refusal.code, refusal.message)
}

#[test]
fn a_role_is_not_offered_beyond_its_limit() {
    let mut cluster = cluster();
    cluster.set_quota("web", "", "cpus:1;mem:1024").unwrap();
    cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");

    assert_eq!(cluster.only_offer(stream).resources, res("cpus:1;mem:1024"));
    cluster.advance(secs(30));
    assert!(cluster.offers(stream).is_empty());
}

#[test]
fn quotas_are_set_all_or_none() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");

    let good_and_bad = [("a", quota("", "cpus:1")), ("b", quota("cpus:9", ""))];
    let (code, message) = refusal(cluster.set_quotas(&good_and_bad, false));

    assert_eq!(code, RefusalCode::Conflict);
    assert!(message.contains("cpus:9") && message.contains("cpus:4"), "{message}");
    assert!(cluster.registry.quotas.is_empty());
    assert!(cluster.master.snapshot().roles.is_empty());
}

#[test]
fn guarantees_above_the_cluster_can_be_forced() {
    let mut cluster = cluster();
    let (code, message) = refusal(cluster.set_quota("a", "cpus:2", ""));
    assert_eq!(code, RefusalCode::Conflict);
    assert!(message.contains("force"), "{message}");

    cluster.set_quotas(&[("a", quota("cpus:2", ""))], true).unwrap();

    assert_eq!(cluster.registry.quotas[&role("a")].guarantees, quantities("cpus:2"));
}

#[test]
fn a_guarantee_above_the_limit_cannot_be_forced() {
    let mut cluster = cluster();
    cluster.agent("cpus:9;mem:4096");
    let (code, message) = refusal(cluster.set_quotas(&[("a", quota("cpus:8", "cpus:4"))], true));
    assert_eq!(code, RefusalCode::InvalidArgument);
    assert!(message.contains("cpus:8") && message.contains('4'), "{message}");
    assert!(cluster.registry.quotas.is_empty());
}

#[test]
fn a_limit_below_what_tasks_use_is_refused_with_the_numbers_unless_forced() {
    let mut cluster = cluster();
    let (_, agent, stream, framework) = cluster.running();

    let (code, message) = refusal(cluster.set_quota("web", "", "cpus:0.5"));
    assert_eq!(code, RefusalCode::Conflict);
    assert!(message.contains("web") && message.contains("cpus:1") && message.contains("0.5"), "{message}");
    assert!(cluster.registry.quotas.is_empty());

    cluster.set_quotas(&[("web", quota("", "cpus:0.5"))], true).unwrap();
    assert_eq!(cluster.last_state(stream), Some(TaskState::Running), "tasks are never touched");
    let view = cluster.master.snapshot().roles.into_iter().find(|view| view.role == role("web")).unwrap();
    assert_eq!((view.quota, view.consumed), (quota("", "cpus:0.5"), quantities("cpus:1;mem:64")));
    assert!(
        cluster
            .master
            .snapshot()
            .tasks
            .iter()
            .any(|task| task.framework == framework && *task.agent() == agent)
    );
}

#[test]
fn a_role_forced_below_what_it_has_gets_nothing_unreserved_until_it_is_below() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, framework) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let tasks = vec![task_info("t1", &agent, "cpus:1;mem:64"), task_info("t2", &agent, "cpus:1;mem:64")];
    cluster.launch(stream, &offer, tasks).unwrap();

    cluster.set_quotas(&[("web", quota("", "cpus:1.5;mem:1024"))], true).unwrap();
    cluster.settle();
    assert!(cluster.offers(stream).iter().all(|offer| offer.resources.scalar("cpus") == Scalar::ZERO));

    let link = crate::LinkId(1);
    cluster.report(link, &framework, "t1", TaskState::Finished, 1);
    cluster.settle();
    let cpus = cluster.offers(stream).iter().map(|offer| offer.resources.scalar("cpus")).max();
    assert_eq!(cpus, Scalar::from_thousandths(500));
}

#[test]
fn a_lowered_limit_takes_back_offers_above_it_and_no_others() {
    let mut cluster = cluster();
    cluster.agent("cpus:2;mem:1024");
    let (web, _) = cluster.framework("web");
    let first = cluster.only_offer(web);
    cluster.agent("cpus:2;mem:1024");
    let second = cluster.only_offer(web);
    let (other, _) = cluster.framework("other");
    cluster.agent("cpus:2;mem:1024");
    let third = cluster.only_offer(other);

    cluster.set_quota("web", "", "cpus:3").unwrap();

    let rescinded = |cluster: &Cluster, stream| {
        let events = cluster.events(stream).iter();
        let ids =
            events.filter_map(|event| if let Event::Rescind(id) = event { Some(id.clone()) } else { None });
        ids.collect::<Vec<_>>()
    };
    assert_eq!(rescinded(&cluster, web), [second.id], "the latest goes, and one is enough");
    assert!(rescinded(&cluster, other).is_empty());
    let outstanding = cluster.master.snapshot().offers;
    assert!([first.id, third.id].iter().all(|id| outstanding.iter().any(|offer| offer.id == *id)));
}

#[test]
fn a_new_guarantee_takes_back_offers_that_stand_in_its_way() {
    let mut cluster = cluster();
    cluster.agent("cpus:2;mem:1024");
    let (greedy, _) = cluster.framework("greedy");
    let offer = cluster.only_offer(greedy);
    let (sure, _) = cluster.framework("sure");
    cluster.settle();
    assert!(cluster.offers(sure).is_empty());

    cluster.set_quota("sure", "cpus:1;mem:512", "").unwrap();

    assert!(cluster.events(greedy).contains(&Event::Rescind(offer.id)));
}

#[test]
fn a_guarantee_that_nobody_waits_for_takes_nothing_back() {
    let mut cluster = cluster();
    cluster.agent("cpus:2;mem:1024");
    let (greedy, _) = cluster.framework("greedy");
    let offer = cluster.only_offer(greedy);

    cluster.set_quota("sure", "cpus:1;mem:512", "").unwrap();

    assert!(!cluster.events(greedy).contains(&Event::Rescind(offer.id)));
}

#[test]
fn quotas_and_weights_survive_a_restart() {
    let mut cluster = cluster();
    cluster.set_quota("web", "", "cpus:1;mem:1024").unwrap();
    cluster.set_weights(&[("web", 2500), ("ops", 1000)]).unwrap();

    cluster.restart();

    let roles = cluster.master.snapshot().roles;
    assert_eq!(roles.len(), 1, "a weight of 1 is none of its own");
    assert_eq!(roles[0].quota, quota("", "cpus:1;mem:1024"));
    assert_eq!(Some(roles[0].weight), Scalar::from_thousandths(2500));
    cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    assert_eq!(cluster.only_offer(stream).resources, res("cpus:1;mem:1024"));
}

#[test]
fn every_change_is_told_once_and_what_is_the_same_is_not_told() {
    let mut cluster = cluster();
    cluster.published.clear();
    cluster.set_quota("web", "", "cpus:1").unwrap();
    cluster.set_quota("web", "", "cpus:1").unwrap();
    cluster.set_quotas(&[("web", None), ("never", None)], false).unwrap();
    cluster.set_weights(&[("web", 2000), ("ops", 1000)]).unwrap();
    cluster.set_weights(&[("web", 2000)]).unwrap();

    let told = cluster.published.iter().filter_map(|event| {
        if let ClusterEvent::QuotaUpdated(role, quota) = event {
            return Some(format!("quota {role} {}", quota.is_some()));
        }
        if let ClusterEvent::WeightUpdated(role, weight) = event {
            return Some(format!("weight {role} {weight}"));
        }
        None
    });
    let told: Vec<String> = told.collect();
    assert_eq!(told, ["quota web true", "quota web false", "weight web 2"]);
    assert!(cluster.registry.quotas.is_empty());
}

#[test]
fn an_empty_quota_is_no_quota() {
    let mut cluster = cluster();
    cluster.set_quota("web", "", "cpus:1").unwrap();
    cluster.set_quota("web", "", "").unwrap();
    assert!(cluster.registry.quotas.is_empty());
}

#[test]
fn what_is_named_twice_or_belongs_to_everybody_is_refused_by_name() {
    let mut cluster = cluster();
    let twice = [("web", quota("", "cpus:1")), ("web", None)];
    let (code, message) = refusal(cluster.set_quotas(&twice, true));
    assert_eq!(code, RefusalCode::InvalidArgument);
    assert!(message.contains("web"), "{message}");
    let (code, message) = refusal(cluster.set_quota("*", "", "cpus:1"));
    assert_eq!((code, message.contains("role *")), (RefusalCode::InvalidArgument, true));
    let (_, message) = refusal(cluster.set_weights(&[("a", 2000), ("b", 0)]));
    assert!(message.contains("role b"), "{message}");
    let (_, message) = refusal(cluster.set_weights(&[("a", 2000), ("a", 3000)]));
    assert!(message.contains("role a"), "{message}");
    assert!(cluster.registry.weights.is_empty(), "nothing half applied");
}

fn restarted_with_quota(agents: usize) -> (Cluster, Vec<lonja_model::AgentId>) {
    let mut cluster = cluster();
    let ids = (0..agents).map(|_| cluster.agent("cpus:4;mem:4096").1).collect();
    cluster.set_quota("web", "cpus:1", "").unwrap();
    cluster.restart();
    (cluster, ids)
}

#[test]
fn after_a_restart_with_quotas_nothing_is_offered_until_most_agents_are_back() {
    let (mut cluster, agents) = restarted_with_quota(10);
    let (stream, _) = cluster.framework("other");
    for agent in &agents[..7] {
        cluster.back(agent, "cpus:4;mem:4096", vec![]);
    }
    cluster.settle();
    assert!(cluster.offers(stream).is_empty());
    assert_eq!(cluster.master.snapshot().pause.map(|pause| (pause.known, pause.awaited)), Some((10, 3)));

    cluster.back(&agents[7], "cpus:4;mem:4096", vec![]);
    cluster.settle();

    assert!(!cluster.offers(stream).is_empty());
    assert_eq!(cluster.master.snapshot().pause, None);
}

#[test]
fn the_pause_after_a_restart_ends_by_itself() {
    let (mut cluster, agents) = restarted_with_quota(10);
    let (stream, _) = cluster.framework("other");
    let link = cluster.back(&agents[0], "cpus:4;mem:4096", vec![]);

    cluster.advance_with_pongs(&[link], secs(599));
    assert!(cluster.offers(stream).is_empty());
    cluster.advance_with_pongs(&[link], secs(2));

    assert!(!cluster.offers(stream).is_empty());
}

#[test]
fn without_quotas_there_is_no_pause_after_a_restart() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    cluster.agent("cpus:4;mem:4096");
    cluster.restart();
    let (stream, _) = cluster.framework("other");
    cluster.back(&agent, "cpus:4;mem:4096", vec![]);
    cluster.only_offer(stream);
}

#[test]
fn the_pause_ends_when_the_last_quota_goes() {
    let (mut cluster, agents) = restarted_with_quota(2);
    let (stream, _) = cluster.framework("other");
    cluster.back(&agents[0], "cpus:4;mem:4096", vec![]);
    cluster.settle();
    assert!(cluster.offers(stream).is_empty());

    cluster.set_quotas(&[("web", None)], false).unwrap();

    cluster.only_offer(stream);
}

#[test]
fn the_pause_can_be_switched_off() {
    let mut cluster = cluster_with(Config { recovery_pause: secs(0), ..Config::default() });
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    cluster.agent("cpus:4;mem:4096");
    cluster.set_quota("web", "", "cpus:1").unwrap();
    cluster.restart();
    let (stream, _) = cluster.framework("other");
    cluster.back(&agent, "cpus:4;mem:4096", vec![]);
    cluster.only_offer(stream);
}

#[test]
fn a_quota_that_only_the_allocator_knows_is_noticed() {
    let mut cluster = cluster();
    cluster.master.state.allocator.set_quota(role("web"), quota("", "cpus:1"));
    let broken = cluster.master.check_invariants().unwrap_err();
    assert!(broken.starts_with("INV-10"), "{broken}");
}
