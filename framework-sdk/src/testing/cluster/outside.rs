//! Commands to a scheduler, and what it tells, as [`Handle`](crate::Handle) has them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use lonja_sdk_core::Interactive;
use lonja_sim::cluster::{PassOn, Place};

use super::TestCluster;

type Queue<E> = Rc<RefCell<VecDeque<E>>>;
type Queues<E> = Rc<RefCell<Vec<Queue<E>>>>;

/// What the tested scheduler tells, from when [`TestCluster::listen`] was called, over all lives of its process. Told is what
/// no crash can undo any more.
#[derive(Debug)]
pub struct Events<E>(Queue<E>);

impl<E> Events<E> {
    /// All that was told since this was last called, in order.
    pub fn take(&mut self) -> Vec<E> {
        self.0.borrow_mut().drain(..).collect()
    }
}

impl<S: Interactive + 'static> TestCluster<S> {
    /// Gives the tested scheduler a command, at this moment, as a driver's handle does. What the scheduler decides is carried
    /// out as time passes: for [`TestCluster::settles_within`] nothing is under way before it has. Panics: its process is down, or a promise is broken by it.
    ///
    /// ```
    /// use lonja_sdk::Interactive;
    /// use lonja_sdk::prelude::*;
    /// use lonja_sdk::testing::{TestCluster, secs};
    ///
    /// /// Runs what it is told to.
    /// #[derive(Default)]
    /// struct Queue {
    ///     waiting: Vec<TaskId>,
    ///     events: Vec<String>,
    /// }
    ///
    /// impl Scheduler for Queue {
    ///     fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
    ///         let task = Task::shell("make").expect("a command");
    ///         let Some((offer, id)) = offers.first().zip(self.waiting.pop()) else { return Plan::new() };
    ///         Plan::new().launch(offer, task.on(offer, id))
    ///     }
    ///
    ///     fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
    ///         self.events.push(format!("{} {}", status.task, status.state));
    ///         Plan::new()
    ///     }
    /// }
    ///
    /// impl Interactive for Queue {
    ///     type Command = TaskId;
    ///     type Event = String;
    ///
    ///     fn command(&mut self, _now: Timestamp, command: TaskId) -> Plan {
    ///         self.waiting.push(command);
    ///         Plan::new()
    ///     }
    ///
    ///     fn take_events(&mut self) -> Vec<String> {
    ///         std::mem::take(&mut self.events)
    ///     }
    /// }
    ///
    /// let mut cluster = TestCluster::new(1)
    ///     .agents(1, "cpus:4;mem:4096")
    ///     .framework(FrameworkOptions::named("queue"), |_state| Queue::default());
    /// let mut events = cluster.listen();
    /// cluster.run_for(secs(10));
    ///
    /// cluster.command("a".parse().unwrap());
    /// cluster.run_for(secs(10));
    ///
    /// cluster.assert_running(1);
    /// assert_eq!(events.take().last().unwrap(), "a TASK_RUNNING");
    /// ```
    #[track_caller]
    pub fn command(&mut self, command: S::Command) {
        self.place(Place::Scheduler(0));
        let is_up = self.running().is_up(Place::Scheduler(0));
        assert!(is_up, "the scheduler is down, or time has not begun: nobody is there to be commanded");
        self.outside.give(move |now, scheduler| scheduler.command(now, command));
        let result = self.running().command(0);
        self.demand(result);
    }

    /// What the tested scheduler tells from now on. Each reader gets all of it.
    pub fn listen(&mut self) -> Events<S::Event> {
        let outside = &self.outside;
        let readers = self.readers.get_or_insert_with(|| {
            let readers: Queues<S::Event> = Queues::default();
            let theirs = readers.clone();
            outside.listen(move |scheduler: &mut S| pass_on(scheduler.take_events(), &theirs));
            Box::new(readers)
        });
        let queue = Queue::default();
        if let Some(readers) = readers.downcast_ref::<Queues<S::Event>>() {
            readers.borrow_mut().push(queue.clone());
        }
        Events(queue)
    }
}

/// Tells them to all readers, when it is called.
fn pass_on<E: Clone + 'static>(events: Vec<E>, readers: &Queues<E>) -> PassOn {
    let readers = readers.clone();
    Box::new(move || {
        for reader in readers.borrow().iter() {
            reader.borrow_mut().extend(events.iter().cloned());
        }
    })
}
