//! What is kept reads back as it was, and what cannot be read is refused with words.

use std::collections::BTreeMap;
use std::sync::Arc;

use lonja_model::{AgentId, Timestamp};
use lonja_services_core::definition::{App, Pod, RunSpec, Strategy as Order, Version, VersionInfo};
use lonja_services_core::deployment::{Action, DeploymentId, Phase, Step};
use lonja_services_core::groups::Group;
use lonja_services_core::instance::{Goal, InstanceId, LocalVolume, Place};
use lonja_services_core::job::{Job, JobRun, JobRunId, RunState};
use lonja_services_core::kept::{Failure, KeptDeployment, KeptInstance, KeptJob, KeptPlan, KeptRollout};
use lonja_services_core::{Codec, Kept, PathId};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::generate::{app, defaults, document, root};
use crate::wire::app::{app_at, bare};
use crate::wire::reader::{At, Faults};
use crate::wire::{JsonCodec, Rejected, job, pod};

fn any_id() -> impl Strategy<Value = PathId> {
    "[a-z0-9]{1,5}(/[a-z0-9]{1,5}){0,2}".prop_map(|text| PathId::absolute(&text).unwrap())
}

fn any_version() -> impl Strategy<Value = Version> {
    // To the year 2554.
    (0..18_446_744_073_709_u64).prop_map(Version)
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_nanos)
}

fn any_words() -> impl Strategy<Value = String> {
    prop_oneof!["[^\r]{0,12}", Just("\u{0}".to_owned()), Just("w".repeat(10_000))]
}

fn parsed(document: &Value) -> Option<App> {
    let faults = Faults::default();
    let app = app_at(&At::root(document, &faults), None, None, &root(), &defaults());
    faults.settle(app, |_| Vec::new()).ok()
}

fn any_app() -> impl Strategy<Value = App> {
    app().prop_map(|document| {
        parsed(&document).unwrap_or_else(|| bare(PathId::absolute("x").unwrap(), "r".into()))
    })
}

fn any_pod() -> impl Strategy<Value = Option<Pod>> {
    document("Pod").prop_map(|document| pod(&document, None, &defaults()).ok())
}

fn any_spec() -> impl Strategy<Value = RunSpec> {
    (any_app(), any_pod(), any_version(), any_version(), any_version()).prop_map(
        |(app, pod, version, last_scaling, last_config)| {
            let spec = match pod {
                Some(pod) => RunSpec::Pod(Arc::new(pod)),
                None => RunSpec::App(Arc::new(app)),
            };
            spec.with_version(VersionInfo { version, last_scaling, last_config })
        },
    )
}

fn any_group() -> impl Strategy<Value = Group> {
    (any_id(), vec(any_id(), 0..3), option::of(any::<bool>()), any_version()).prop_map(
        |(id, dependencies, enforce_role, version)| Group { id, dependencies, enforce_role, version },
    )
}

fn any_instance_id() -> impl Strategy<Value = InstanceId> {
    (any_id(), any::<u128>()).prop_map(|(id, bits)| InstanceId::new(&id, bits))
}

fn any_place() -> impl Strategy<Value = Place> {
    let volume =
        (any_words(), any_words(), any_words()).prop_map(|(container_path, uuid, persistence_id)| {
            LocalVolume { container_path, uuid, persistence_id }
        });
    (
        ("[a-z0-9-]{1,20}", any_words(), any::<u16>()),
        (option::of(any_words()), option::of(any_words())),
        vec((any_words(), any_words()), 0..3),
        (vec(any::<u16>(), 0..3), vec(volume, 0..2)),
    )
        .prop_map(|((agent, hostname, agent_port), (region, zone), values, (ports, volumes))| Place {
            agent: AgentId::new(agent).unwrap(),
            hostname,
            agent_port,
            region,
            zone,
            values,
            ports,
            volumes,
        })
}

fn any_instance() -> impl Strategy<Value = KeptInstance> {
    let goals = select(vec![Goal::Running, Goal::Stopped, Goal::Decommissioned]);
    (
        (any_instance_id(), any_id(), any_version(), goals, any::<u32>()),
        (any::<bool>(), any_time(), option::of(any_time()), option::of(any_place()), any::<[bool; 3]>()),
    )
        .prop_map(
            |(
                (id, spec, version, goal, incarnation),
                (launched, staged_at, started_at, place, [hidden, settled, doomed]),
            )| {
                KeptInstance {
                    id,
                    spec,
                    version,
                    goal,
                    incarnation,
                    launched,
                    staged_at,
                    started_at,
                    place,
                    hidden,
                    settled,
                    doomed,
                }
            },
        )
}

fn any_deployment_id() -> impl Strategy<Value = DeploymentId> {
    any::<u128>().prop_map(DeploymentId::new)
}

fn any_rollout() -> impl Strategy<Value = KeptRollout> {
    let strategies = select(vec![
        Order::Rolling,
        Order::Canary { fraction: 0.1, promote_after: None },
        Order::Canary { fraction: 1.0 / 3.0, promote_after: Some(std::time::Duration::from_secs(7)) },
        Order::BlueGreen { promote_after: None },
    ]);
    let phases = select(vec![Phase::Trial, Phase::Waiting, Phase::Replacing]);
    (strategies, phases, any::<bool>()).prop_map(|(strategy, phase, promoted)| KeptRollout {
        strategy,
        phase,
        promoted,
    })
}

fn any_plan() -> impl Strategy<Value = KeptPlan> {
    let actions = select(vec![Action::Start, Action::Stop, Action::Scale, Action::Restart]);
    let steps = vec(btree_map(any_id(), actions, 0..3).prop_map(|actions| Step { actions }), 0..3);
    let specs = || btree_map(any_id(), option::of(any_version()), 0..3);
    let groups = || btree_map(any_id(), option::of(any_group()), 0..3);
    (any_version(), steps, specs(), specs(), groups(), groups()).prop_map(
        |(version, steps, original, target, original_groups, target_groups)| KeptPlan {
            version,
            steps,
            original,
            target,
            original_groups,
            target_groups,
        },
    )
}

fn any_deployment() -> impl Strategy<Value = KeptDeployment> {
    let rollouts = btree_map(any_id(), any_rollout(), 0..3);
    ((any_deployment_id(), any_plan(), any_time(), any::<u16>()), (option::of(any_deployment_id()), rollouts))
        .prop_map(|((id, plan, began, step), (reverts, rollouts))| KeptDeployment {
            id,
            plan,
            began,
            step: step.into(),
            reverts,
            rollouts,
        })
}

fn any_failure() -> impl Strategy<Value = Failure> {
    (
        (any_id(), any_words(), any_words(), any_words()),
        (any_words(), any_time(), any_version()),
        option::of(any_words()),
    )
        .prop_map(|((app, host, message, state), (task, at, version), agent)| Failure {
            app,
            host,
            message,
            state,
            task,
            at,
            version,
            agent,
        })
}

fn any_job() -> impl Strategy<Value = Option<Job>> {
    document("Job").prop_map(|document| job(&document, None, &defaults()).ok())
}

fn any_run() -> impl Strategy<Value = JobRun> {
    let state = prop_oneof![
        Just(RunState::Waiting),
        Just(RunState::Running),
        any_time().prop_map(|at| RunState::Succeeded { at }),
        (any_time(), any_words()).prop_map(|(at, reason)| RunState::Failed { at, reason }),
    ];
    let times = (any_time(), option::of(any_time()), option::of(any_time()));
    ("[a-z0-9-]{1,9}", times, any::<u32>(), option::of(any_words()), state).prop_map(
        |(id, (due, launched_at, retry_at), tries, ending, state)| JobRun {
            id: JobRunId::from_text(&id),
            due,
            tries,
            launched_at,
            retry_at,
            ending,
            state,
        },
    )
}

fn any_kept() -> impl Strategy<Value = Kept> {
    prop_oneof![
        any::<u64>().prop_map(Kept::Boots),
        any_spec().prop_map(Kept::Spec),
        any_group().prop_map(Kept::Group),
        any_instance().prop_map(Kept::Instance),
        any_deployment().prop_map(|one| Kept::Deployment(Box::new(one))),
        any_failure().prop_map(Kept::Failure),
        (any_job(), option::of(any_time())).prop_map(|(job, seen_to)| {
            job.map_or(Kept::Boots(0), |job| Kept::Job(KeptJob { job, seen_to }))
        }),
        any_run().prop_map(Kept::Run),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_reads_back_as_it_was(kept in any_kept()) {
        let bytes = JsonCodec.write(&kept);
        let again = JsonCodec.read("key", &bytes);
        prop_assert_eq!(again.as_ref(), Ok(&kept), "{}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn bytes_of_others_are_refused_and_never_panic(kept in any_kept(), cut in any::<proptest::sample::Index>()) {
        let bytes = JsonCodec.write(&kept);
        prop_assert!(JsonCodec.read("key", &bytes[..cut.index(bytes.len())]).is_err());
    }
}

/// Of a time when nothing was said of its launch. A job without the time that it was seen to is among any that are kept.
#[test]
fn a_run_of_an_earlier_program_is_read() {
    let run =
        br#"{"format":1,"run":{"id":"r","due":"2026-01-02T03:04:05Z","tries":1,"state":{"is":"running"}}}"#;
    let Ok(Kept::Run(run)) = JsonCodec.read("run/j/r", run) else { panic!() };
    assert_eq!((run.state, run.launched_at, run.ending), (RunState::Running, None, None));
}

#[test]
fn a_newer_format_is_refused_with_words() {
    let words = JsonCodec.read("spec/web", br#"{"format":2,"boots":1}"#).unwrap_err();
    assert!(words.contains("spec/web") && words.contains("format 2") && words.contains("newer"), "{words}");
    for strange in [&b"{}"[..], b"[]", b"\xff", br#"{"format":1}"#, br#"{"format":1,"spec":{}}"#] {
        assert!(JsonCodec.read("k", strange).unwrap_err().contains("\"k\""));
    }
}

/// A plan over thousands of apps fits into one value of the store, and is read again.
#[test]
fn a_plan_over_ten_thousand_apps_fits() {
    let apps: BTreeMap<PathId, Option<Version>> = (0..10_500)
        .map(|number| (PathId::absolute(&format!("/shop/{number}")).unwrap(), Some(Version(number))))
        .collect();
    let plan = KeptPlan { original: apps.clone(), target: apps, ..KeptPlan::default() };
    let kept = Kept::Deployment(Box::new(KeptDeployment {
        id: DeploymentId::new(1),
        plan,
        began: Timestamp::ZERO,
        step: 0,
        reverts: None,
        rollouts: BTreeMap::new(),
    }));
    let bytes = JsonCodec.write(&kept);
    assert!(bytes.len() < 1 << 20, "{}", bytes.len());
    assert_eq!(JsonCodec.read("deployment/1", &bytes), Ok(kept));
}

/// No definition that is taken is too large to be kept.
#[test]
fn a_definition_that_is_too_large_to_be_kept_is_refused() {
    let env: BTreeMap<String, String> = (0..100).map(|n| (format!("V{n}"), "v".repeat(10_000))).collect();
    let document = serde_json::json!({ "id": "/web", "cmd": "run", "env": env });
    let rejected = crate::wire::app(&document, None, None, &root(), &defaults()).unwrap_err();
    let Rejected::Values(faults) = rejected else { panic!("{rejected:?}") };
    assert!(faults[0].message.contains("at most"), "{faults:?}");
}
