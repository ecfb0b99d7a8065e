//! Whatever happens, in whatever order: the agent's promises hold, and once all is well again every task
//! has come to an end that its framework knows, and every volume that was made and not destroyed has its data.
//!
//! The world around the agent is a master that repeats itself, frameworks that acknowledge late, twice or
//! not at all, containers that end when they like, custom executors that hear and say things twice, late or never, checks that see whatever they see, a disk that is slow or full, and a machine that kills the agent
//! before or after its changes are durable.

mod custom;
mod folders;
mod groups;
mod looks;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::fixture::*;
use world::World;

/// One thing that happens. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Run { framework: u8, task: u8, needs: u8, limited: bool, checked: u8 },
    RunGroup { framework: u8, executor: u8, first: u8, size: u8, needs: u8 },
    Kill { framework: u8, task: u8, grace: Option<u8> },
    ShutdownFramework(u8),
    Acknowledge(u8),
    AcknowledgeAgain(u8),
    Resend(u8),
    Ping,
    Start(u8),
    FailToStart(u8),
    Exit(u8, u8),
    Pass(u16),
    Online,
    LinkUp,
    Registered,
    LinkDown,
    Restart(u8),
    Apply { which: u8, again: bool },
    WorkOnFolders { fails: bool },
    AcknowledgeOperation(u8),
    Look { which: u8, saw: u8 },
    RunCustom { framework: u8, executor: u8, first: u8, size: u8, needs: u8, as_group: bool },
    Subscribe(u8),
    Disconnect(u8),
    GoDeaf(u8),
    Report { which: u8, task: u8, what: u8 },
}

/// Does the agent die on it?
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mishap {
    None,
    BeforeDurable,
    AfterDurable,
}

fn any_step() -> impl Strategy<Value = (Step, Mishap)> {
    let step = prop_oneof![
        8 => (0..4u8, 0..5u8, any::<u8>(), any::<bool>(), any::<u8>()).prop_map(
            |(framework, task, needs, limited, checked)| Step::Run { framework, task, needs, limited, checked }
        ),
        6 => (any::<u8>(), 0..5u8).prop_map(|(which, saw)| Step::Look { which, saw }),
        6 => (0..4u8, 0..2u8, 0..4u8, 1..4u8, any::<u8>()).prop_map(
            |(framework, executor, first, size, needs)| Step::RunGroup {
                framework,
                executor,
                first,
                size,
                needs
            }
        ),
        6 => (0..4u8, 0..2u8, 0..4u8, 1..4u8, any::<u8>(), any::<bool>()).prop_map(
            |(framework, executor, first, size, needs, as_group)| Step::RunCustom {
                framework,
                executor,
                first,
                size,
                needs,
                as_group
            }
        ),
        8 => any::<u8>().prop_map(Step::Subscribe),
        1 => any::<u8>().prop_map(Step::Disconnect),
        1 => any::<u8>().prop_map(Step::GoDeaf),
        12 => (any::<u8>(), any::<u8>(), any::<u8>())
            .prop_map(|(which, task, what)| Step::Report { which, task, what }),
        3 => (0..4u8, 0..24u8, any::<Option<u8>>())
            .prop_map(|(framework, task, grace)| Step::Kill { framework, task, grace }),
        2 => (0..4u8).prop_map(Step::ShutdownFramework),
        8 => any::<u8>().prop_map(Step::Acknowledge),
        2 => any::<u8>().prop_map(Step::AcknowledgeAgain),
        1 => (0..4u8).prop_map(Step::Resend),
        1 => Just(Step::Ping),
        8 => any::<u8>().prop_map(Step::Start),
        1 => any::<u8>().prop_map(Step::FailToStart),
        5 => (any::<u8>(), any::<u8>()).prop_map(|(which, how)| Step::Exit(which, how)),
        3 => any::<u16>().prop_map(Step::Pass),
        6 => Just(Step::Online),
        1 => Just(Step::LinkUp),
        2 => Just(Step::Registered),
        1 => Just(Step::LinkDown),
        1 => any::<u8>().prop_map(Step::Restart),
        6 => (any::<u8>(), prop::bool::weighted(0.1)).prop_map(|(which, again)| Step::Apply { which, again }),
        6 => prop::bool::weighted(0.1).prop_map(|fails| Step::WorkOnFolders { fails }),
        3 => any::<u8>().prop_map(Step::AcknowledgeOperation),
    ];
    let mishap = prop_oneof![
        60 => Just(Mishap::None), 1 => Just(Mishap::BeforeDurable), 1 => Just(Mishap::AfterDurable)
    ];
    (step, mishap)
}

proptest! {
    /// Safety at every step; once healed, every task that was taken on has an end its framework knows.
    #[test]
    fn every_launched_task_ends_known_whatever_happens(steps in vec(any_step(), 0..200)) {
        let mut world = World::new();
        for (step, mishap) in steps {
            world.take(step, mishap);
        }
        world.settle();
        world.check_the_end();
    }

    /// The same events make the same effects: a run can be replayed.
    #[test]
    fn an_agent_is_deterministic(waits in vec(0..2_000u64, 0..20)) {
        let run = || {
            let mut stage = agent("cpus:4");
            let mut all = stage.run("f1", "t1", "cpus:1");
            for wait in &waits {
                all.append(stage.after(millis(*wait)));
            }
            all
        };
        prop_assert_eq!(run(), run());
    }
}
