use lonja_model::link::ToAgent;
use lonja_model::maintenance::{Drain, Duty, MachineId, MachineMode, Unavailability, Window};
use lonja_model::scheduler::{CallResult, Event, RefusalCode};
use lonja_model::{AgentId, TaskState, Timestamp};

use super::fixture::*;
use crate::{ClusterEvent, MaintenanceCommand, OperatorCommand};

fn say(cluster: &mut Cluster, command: MaintenanceCommand) -> CallResult {
    cluster.operator(OperatorCommand::Maintenance(command))
}

fn names(hosts: &[&str]) -> Vec<MachineId> {
    hosts.iter().map(|host| MachineId { hostname: (*host).to_owned(), ip: None }).collect()
}

fn at(seconds: u64) -> Unavailability {
    Unavailability { start: Timestamp::ZERO + secs(seconds), duration: Some(secs(3600)) }
}

fn window(hosts: &[&str], start: u64) -> Window {
    Window { machines: names(hosts), unavailability: at(start) }
}

fn schedule(cluster: &mut Cluster, windows: Vec<Window>) -> CallResult {
    say(cluster, MaintenanceCommand::Schedule { windows })
}

fn start(cluster: &mut Cluster, hosts: &[&str]) -> CallResult {
    say(cluster, MaintenanceCommand::Start { machines: names(hosts) })
}

fn stop(cluster: &mut Cluster, hosts: &[&str]) -> CallResult {
    say(cluster, MaintenanceCommand::Stop { machines: names(hosts) })
}

fn mode(cluster: &Cluster, host: &str) -> Option<MachineMode> {
    cluster.registry.machines.get(&MachineId::named(host)).map(|machine| machine.mode)
}

fn duty(cluster: &Cluster, agent: &AgentId) -> Duty {
    cluster.registry.agents[agent].duty.clone()
}

#[test]
fn agents_of_a_scheduled_machine_are_offered_anew_with_their_unavailability() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent_on("Rack1", "cpus:4;mem:4096");
    cluster.agent_on("rack2", "cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    cluster.settle();
    let offers = cluster.offers(stream);
    let offered = offers.iter().find(|offer| offer.agent == agent).unwrap();

    schedule(&mut cluster, vec![window(&["rack1"], 2_000)]).unwrap();

    assert!(cluster.events(stream).contains(&Event::Rescind(offered.id.clone())));
    let again = cluster.only_offer(stream);
    assert_eq!((again.agent, again.unavailability), (agent.clone(), Some(at(2_000))));

    schedule(&mut cluster, vec![]).unwrap();
    let again = cluster.only_offer(stream);
    assert_eq!((again.agent, again.unavailability), (agent, None), "and without once it is called off");
}

#[test]
fn a_new_schedule_replaces_the_old_one_as_a_whole_and_leaves_alone_what_stays() {
    let mut cluster = cluster();
    let windows = vec![window(&["a", "B"], 2_000), window(&["c"], 3_000)];
    schedule(&mut cluster, windows).unwrap();
    cluster.published.clear();

    schedule(&mut cluster, vec![window(&["b", "D"], 2_000)]).unwrap();

    let machines: Vec<_> = cluster.registry.machines.keys().map(|id| id.hostname.as_str()).collect();
    assert_eq!(machines, ["b", "d"]);
    let told: Vec<_> = cluster
        .published
        .iter()
        .filter_map(|event| {
            let ClusterEvent::MachineUpdated(id, machine) = event else { return None };
            Some((id.hostname.as_str(), machine.is_some()))
        })
        .collect();
    assert_eq!(told, [("a", false), ("c", false), ("d", true)]);
}

#[test]
fn a_schedule_survives_the_master() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent_on("rack1", "cpus:4;mem:4096");
    schedule(&mut cluster, vec![window(&["rack1"], 2_000)]).unwrap();
    cluster.restart();
    cluster.back(&agent, "cpus:4;mem:4096", vec![]);
    let (stream, _) = cluster.framework("web");
    assert_eq!(cluster.only_offer(stream).unavailability, Some(at(2_000)));
}

#[test]
fn time_alone_starts_and_stops_nothing() {
    let mut cluster = cluster();
    let (link, _) = cluster.agent_on("rack1", "cpus:4;mem:4096");
    schedule(&mut cluster, vec![window(&["rack1"], 1_010)]).unwrap();
    cluster.advance_with_pongs(&[link], secs(4_000));
    assert_eq!(mode(&cluster, "rack1"), Some(MachineMode::Scheduled));
}

#[test]
fn a_machine_that_goes_down_drains_its_agents_and_they_stay_out_until_it_is_up_again() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent_on("rack1", "cpus:4;mem:4096");
    let (stream, framework) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    cluster.launch(stream, &offer, vec![task_info("t1", &agent, "cpus:1;mem:64")]).unwrap();
    schedule(&mut cluster, vec![window(&["rack1"], 2_000)]).unwrap();

    start(&mut cluster, &["Rack1"]).unwrap();

    assert_eq!(duty(&cluster, &agent), Duty::Draining(Drain::default()));
    assert!(cluster.sent(link).iter().any(|message| matches!(message, ToAgent::Kill { grace: None, .. })));
    cluster.report(link, &framework, "t1", TaskState::Killed, 1);
    cluster.acknowledge(stream, &agent, "t1", 1).unwrap();
    assert_eq!(duty(&cluster, &agent), Duty::Drained(Drain::default()));

    cluster.lose_link(link);
    let back = cluster.back(&agent, "cpus:4;mem:4096", vec![]);
    let [ToAgent::Refused { reason, permanent: false }] = cluster.sent(back) else { panic!("let in") };
    assert!(reason.contains("machine rack1 is down"), "{reason}");
    let new = cluster.ask_in("RACK1", "cpus:1;mem:64");
    assert!(matches!(cluster.sent(new), [ToAgent::Refused { permanent: false, .. }]));

    stop(&mut cluster, &["rack1"]).unwrap();

    assert_eq!((mode(&cluster, "rack1"), duty(&cluster, &agent)), (None, Duty::Active));
    cluster.back(&agent, "cpus:4;mem:4096", vec![]);
    let offer = cluster.only_offer(stream);
    assert_eq!((offer.agent, offer.unavailability), (agent, None));
}

#[test]
fn a_drained_agent_that_is_still_there_is_offered_again_when_its_machine_is_up() {
    let mut cluster = cluster();
    cluster.agent_on("rack1", "cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    schedule(&mut cluster, vec![window(&["rack1"], 2_000)]).unwrap();
    start(&mut cluster, &["rack1"]).unwrap();
    cluster.settle();
    assert!(cluster.offers(stream).is_empty());

    stop(&mut cluster, &["rack1"]).unwrap();

    cluster.only_offer(stream);
}

#[test]
fn an_agent_that_comes_back_to_a_down_machine_with_tasks_is_let_in_to_end_them() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent_on("rack1", "cpus:4;mem:4096");
    let (_, framework) = cluster.framework("web");
    schedule(&mut cluster, vec![window(&["rack1"], 2_000)]).unwrap();
    cluster.advance(secs(80));
    start(&mut cluster, &["rack1"]).unwrap();
    assert!(matches!(duty(&cluster, &agent), Duty::Drained(_)), "unreachable");

    cluster.restart();
    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    assert_eq!(cluster.registered(link), Some(agent.clone()));
    assert!(cluster.sent(link).iter().any(|message| matches!(message, ToAgent::Kill { .. })));
    assert!(matches!(duty(&cluster, &agent), Duty::Draining(_)));
}

#[test]
fn a_stranger_from_a_down_machine_is_let_in_only_with_tasks_and_drained() {
    let mut cluster = cluster();
    schedule(&mut cluster, vec![window(&["host"], 2_000)]).unwrap();
    start(&mut cluster, &["host"]).unwrap();
    let agent = AgentId::new("older-S0").unwrap();
    let framework = lonja_model::FrameworkId::new("older-0000").unwrap();
    let link = cluster.back(&agent, "cpus:4;mem:4096", vec![]);
    assert_eq!(cluster.registered(link), None);
    assert!(!cluster.registry.agents.contains_key(&agent), "turned away without a trace");

    let task = agent_task(&framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    assert_eq!(duty(&cluster, &agent), Duty::Draining(Drain::default()));
}

#[test]
fn a_schedule_or_command_that_cannot_be_is_refused_with_names_and_nothing_is_half_done() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent_on("rack9", "cpus:4;mem:4096");
    let drain = MaintenanceCommand::Drain { agent, drain: Drain::default() };
    say(&mut cluster, drain).unwrap();
    let (_, scheduled) = cluster.agent_on("soon", "cpus:4;mem:4096");
    let (_, below) = cluster.agent_on("down", "cpus:4;mem:4096");
    schedule(&mut cluster, vec![window(&["soon", "later", "down"], 2_000)]).unwrap();
    start(&mut cluster, &["down"]).unwrap();
    let before = cluster.registry.clone();

    let plan = |windows| MaintenanceCommand::Schedule { windows };
    let start = |hosts: &[&str]| MaintenanceCommand::Start { machines: names(hosts) };
    let stop = |hosts: &[&str]| MaintenanceCommand::Stop { machines: names(hosts) };
    let drain = |agent: &AgentId| MaintenanceCommand::Drain { agent: agent.clone(), drain: Drain::default() };
    let down = || window(&["down"], 2_000);
    let long = "x".repeat(256);
    for (command, code, words) in [
        (plan(vec![down(), window(&[], 1)]), RefusalCode::InvalidArgument, "window 1"),
        (plan(vec![down(), window(&["a", "A"], 1)]), RefusalCode::InvalidArgument, "machine a"),
        (plan(vec![window(&["a"], 1), down(), window(&["a"], 2)]), RefusalCode::InvalidArgument, "twice"),
        (plan(vec![down(), window(&[""], 1)]), RefusalCode::InvalidArgument, "0 bytes"),
        (plan(vec![down(), window(&[&long], 1)]), RefusalCode::InvalidArgument, "256 bytes"),
        (plan(vec![window(&["soon"], 1)]), RefusalCode::Conflict, "down: down"),
        (plan(vec![]), RefusalCode::Conflict, "down: down"),
        (plan(vec![down(), window(&["rack9"], 1)]), RefusalCode::Conflict, "rack9"),
        (start(&[]), RefusalCode::InvalidArgument, "at least one"),
        (start(&["soon", "SOON"]), RefusalCode::InvalidArgument, "soon is named twice"),
        (start(&["soon", "up"]), RefusalCode::Conflict, "up (not in the schedule)"),
        (start(&["soon", "down"]), RefusalCode::Conflict, "down (down already)"),
        (stop(&[]), RefusalCode::InvalidArgument, "at least one"),
        (stop(&["down", "soon"]), RefusalCode::Conflict, "soon (only scheduled)"),
        (stop(&["down", "up"]), RefusalCode::Conflict, "up (up)"),
        (drain(&scheduled), RefusalCode::InvalidArgument, "machine soon"),
        (drain(&below), RefusalCode::InvalidArgument, "machine down"),
        (MaintenanceCommand::Reactivate { agent: below }, RefusalCode::Conflict, "machine down"),
    ] {
        let refusal = say(&mut cluster, command.clone()).unwrap_err();
        assert_eq!(refusal.code, code, "{command:?}: {refusal}");
        assert!(refusal.message.contains(words), "{command:?}: {refusal}");
        assert_eq!(cluster.registry, before, "{command:?}");
    }
}

#[test]
fn a_machine_keeps_the_address_it_was_scheduled_with_last() {
    let mut cluster = cluster();
    for ip in [None, Some("10.0.0.1"), Some("10.0.0.2")] {
        let machines = vec![MachineId { hostname: "a".into(), ip: ip.map(str::to_owned) }];
        schedule(&mut cluster, vec![Window { machines, unavailability: at(2_000) }]).unwrap();
    }
    let address = cluster.registry.machines.keys().next().unwrap().ip.clone();
    assert_eq!(address.as_deref(), Some("10.0.0.2"));
}
