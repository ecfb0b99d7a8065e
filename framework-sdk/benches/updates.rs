//! How many status updates a driver handles and acknowledges in a second, on one core, and what memory that takes.
//!
//! A master of a few lines runs in this process on one core, over gRPC on loopback; it keeps a bounded number of updates
//! on their way and answers every call, as the true one does. The driver, its connection and the scheduler's thread share
//! another core. Processor time is that of their threads, so that the figure holds on a machine that has other work too.
//!
//! `cargo bench -p lonja-sdk --bench updates [-- UPDATES]`; 1,000,000 without a number. 10,000,000 shows whether memory
//! is flat.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and has nobody to answer to")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lonja_proto::convert::event::{event_response, result_response};
use lonja_proto::convert::resources::Shape;
use lonja_proto::lonja::schedulers_server::{Schedulers, SchedulersServer};
use lonja_proto::lonja::{SchedulerRequest, SchedulerResponse};
use lonja_sdk::model::UpdateId;
use lonja_sdk::model::task::Source;
use lonja_sdk::prelude::*;
use lonja_sdk::wire::scheduler::{Event, MasterInfo};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// Updates on their way at once.
const WINDOW: u64 = 4_096;

/// Tasks that the updates are about.
const TASKS: u64 = 1_000;

/// What the master has seen.
#[derive(Default)]
struct Seen {
    acknowledged: AtomicU64,
    /// Bytes resident, at every million.
    memory: Mutex<Vec<(u64, u64)>>,
}

struct Door {
    updates: u64,
    seen: Arc<Seen>,
}

#[tonic::async_trait]
impl Schedulers for Door {
    type ConnectStream = ReceiverStream<Result<SchedulerResponse, Status>>;
    async fn connect(
        &self,
        request: Request<Streaming<SchedulerRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let (events, queue) = mpsc::channel(1_024);
        tokio::spawn(serve(request.into_inner(), events, self.updates, Arc::clone(&self.seen)));
        Ok(Response::new(ReceiverStream::new(queue)))
    }
}

fn update(number: u64) -> SchedulerResponse {
    let task = TaskId::new(format!("task-{}", number % TASKS)).unwrap();
    let now = Timestamp::ZERO + Duration::from_nanos(number);
    let mut status = TaskStatus::new(task, TaskState::Running, Source::Executor, now);
    status.agent = Some(AgentId::new("agent-0001").unwrap());
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    status.update = Some(UpdateId(id));
    event_response(&Event::Update(Box::new(status)), Shape::FULL)
}

async fn serve(
    mut calls: Streaming<SchedulerRequest>,
    events: mpsc::Sender<Result<SchedulerResponse, Status>>,
    updates: u64,
    seen: Arc<Seen>,
) {
    let framework = FrameworkId::new("f-0001").unwrap();
    let heartbeat = Duration::from_secs(600);
    let subscribed = Event::Subscribed { framework, heartbeat, master: MasterInfo::default() };
    let subscribe = calls.message().await.unwrap().unwrap();
    events.send(Ok(event_response(&subscribed, Shape::FULL))).await.unwrap();
    events.send(Ok(result_response(subscribe.id, &Ok(())))).await.unwrap();
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < updates {
        while sent < updates && sent - acknowledged < WINDOW {
            events.send(Ok(update(sent))).await.unwrap();
            sent += 1;
        }
        let call = calls.message().await.unwrap().expect("the driver stays");
        let acknowledges = call.call.as_ref().is_some_and(|call| call.acknowledge.is_some());
        events.send(Ok(result_response(call.id, &Ok(())))).await.unwrap();
        if acknowledges {
            acknowledged += 1;
            if acknowledged % 1_000_000 == 0 {
                seen.memory.lock().unwrap().push((acknowledged, resident()));
            }
            seen.acknowledged.store(acknowledged, Ordering::Relaxed);
        }
    }
    // The connection stays until the driver leaves.
    let _left = calls.message().await;
}

/// Counts updates; with notes it keeps one for each.
struct Counting {
    seen: u64,
    notes: bool,
    changes: Vec<Change>,
}

impl Scheduler for Counting {
    fn offers(&mut self, _now: Timestamp, _offers: &[Offer]) -> Plan {
        Plan::new()
    }
    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        self.seen += 1;
        if self.notes {
            self.changes.push(Change::put(status.task.as_str(), self.seen.to_string()));
        }
        Plan::new()
    }
    fn wants_offers(&self) -> bool {
        false
    }
    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

/// Bytes of this process that are resident.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

/// Processor time of the threads whose name begins so, in seconds.
fn processor_time(names: &[&str]) -> f64 {
    let mut ticks = 0;
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        let Ok(stat) = std::fs::read_to_string(thread.unwrap().path().join("stat")) else { continue };
        let (head, tail) = stat.rsplit_once(')').unwrap();
        let name = head.split_once('(').unwrap().1;
        if names.iter().any(|wanted| name.starts_with(wanted)) {
            let fields: Vec<u64> =
                tail.split_whitespace().skip(11).take(2).map(|n| n.parse().unwrap()).collect();
            ticks += fields[0] + fields[1];
        }
    }
    ticks as f64 / 100.0
}

/// Runs the work on a thread of this name that stays on one core, with all the threads it starts.
fn on_core<T: Send + 'static>(
    name: &str,
    core: usize,
    work: impl Future<Output = T> + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let run = move || {
        let mut cores = rustix::thread::CpuSet::new();
        cores.set(core);
        // Where there is one core only they share it.
        let _pinned = rustix::thread::sched_setaffinity(None, &cores);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work)
    };
    thread.spawn(run).unwrap()
}

fn measure(label: &str, updates: u64, notes: bool, store: impl Store) {
    let seen = Arc::new(Seen::default());
    let door = Door { updates, seen: Arc::clone(&seen) };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let master = on_core("bench-master", 1, async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let server = tonic::transport::Server::builder().add_service(SchedulersServer::new(door));
        let stopped = async move { drop(stopped.await) };
        server.serve_with_incoming_shutdown(TcpListenerStream::new(listener), stopped).await.unwrap();
    });
    let driver = Driver::new(url, FrameworkOptions::named("bench")).store(store);
    let handle = driver.handle();
    let leave = handle.clone();
    let run = on_core("bench-driver", 0, async move {
        let counting = Counting { seen: 0, notes, changes: Vec::new() };
        driver.run(counting).await.unwrap().0.seen
    });
    while seen.acknowledged.load(Ordering::Relaxed) < updates.min(1_000) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let names = ["bench-driver", "lonja-schedule", "lonja-store"];
    let (before, began, busy) =
        (seen.acknowledged.load(Ordering::Relaxed), Instant::now(), processor_time(&names));
    while seen.acknowledged.load(Ordering::Relaxed) < updates {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (time, busy) = (began.elapsed().as_secs_f64(), processor_time(&names) - busy);
    let done = (updates - before) as f64;
    let metrics = handle.metrics();
    println!(
        "{label}: {done} updates in {time:.2} s: {:.0}/s; processor time {busy:.2} s: {:.0}/s of one core; \
         {} commits, {:.2} s in the scheduler",
        done / time,
        done / busy,
        metrics.commits,
        metrics.time_in_scheduler.as_secs_f64(),
    );
    for (number, bytes) in seen.memory.lock().unwrap().iter() {
        println!("  after {number} updates: {:.1} MiB resident", *bytes as f64 / f64::from(1 << 20));
    }
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(leave.leave());
    assert_eq!(run.join().unwrap(), updates);
    drop(stop);
    master.join().unwrap();
}

fn main() {
    let updates = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000_000);
    measure("nothing kept", updates, false, MemoryStore::new());
    let folder = tempfile::tempdir().unwrap();
    measure("a note kept of each, on disk", updates.min(1_000_000), true, FileStore::at(folder.path()));
}
