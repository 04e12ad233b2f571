//! Sends the schedule: one thread paces, one runtime thread holds all connections.
//!
//! The pacing thread sleeps until each due time (an operating-system timer, tens of microseconds; the runtime's own is a
//! millisecond) and hands the finished body over. It never waits for the server: when all connections are busy requests queue, and
//! that wait is part of their latency from the intended time. The queue is bounded; what does not fit is counted as lost.

use crate::check::Watcher;
use crate::http::{Connection, Target};
use crate::schedule::{Due, Plan};
use crate::tally::{Outcome, Tally, Times};
use crate::traffic::Traffic;
use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};

/// Requests that may wait for a connection.
const QUEUE_MAX: usize = 65_536;
/// Time between the opening of connections and the first event, so that all are set up and the first is not late.
const LEAD: Duration = Duration::from_millis(50);

/// How to send.
#[derive(Clone, Debug)]
pub struct Drive {
    /// Where to.
    pub target: Target,
    /// What, when.
    pub plan: Plan,
    /// Sessions in the traffic.
    pub sessions: u64,
    /// Zipf exponent of sessions.
    pub skew: f64,
    /// Keep-alive connections.
    pub connections: usize,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

/// A request on its way to a connection.
struct Prepared {
    due: Due,
    body: Vec<u8>,
}

/// Where acknowledged events are written down, when asked for.
pub type Record = Option<Box<dyn Write>>;

/// Shared by the connections; all live on one thread.
struct Shared {
    drive: Drive,
    traffic: Arc<Traffic>,
    start: Instant,
    queue: Mutex<mpsc::Receiver<Prepared>>,
    tally: RefCell<Tally>,
    record: RefCell<Record>,
    watcher: Option<Watcher>,
}

/// Runs the whole schedule and returns what came of it. `progress` is called about once a second.
pub fn run(
    drive: Drive,
    record: Record,
    watcher: Option<Watcher>,
    progress: impl FnMut(&Tally, Duration) + 'static,
) -> io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, send_all(drive, record, watcher, progress))
}

async fn send_all(
    drive: Drive,
    record: Record,
    watcher: Option<Watcher>,
    mut progress: impl FnMut(&Tally, Duration) + 'static,
) -> io::Result<Tally> {
    let connections = open(&drive).await?;
    let traffic = Traffic::new(drive.plan.clone(), drive.sessions, drive.skew);
    let (send, receive) = mpsc::channel(QUEUE_MAX);
    let start = Instant::now() + LEAD;
    let traffic = Arc::new(traffic.starting_at(epoch_ms(LEAD)));
    let pacer = {
        let (plan, traffic) = (drive.plan.clone(), Arc::clone(&traffic));
        std::thread::Builder::new().name("pacer".into()).spawn(move || pace(&plan, &traffic, start, &send))?
    };
    let shared = Rc::new(Shared {
        traffic,
        start,
        queue: Mutex::new(receive),
        tally: RefCell::default(),
        record: RefCell::new(record),
        watcher,
        drive,
    });
    let mut workers = tokio::task::JoinSet::new();
    for connection in connections {
        workers.spawn_local(work(Rc::clone(&shared), connection));
    }
    let ticker = tokio::task::spawn_local({
        let shared = Rc::clone(&shared);
        async move {
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            loop {
                seconds.tick().await;
                progress(&shared.tally.borrow(), shared.start.elapsed());
            }
        }
    });
    while let Some(ended) = workers.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    ticker.abort();
    let unsent = pacer.join().expect("the pacer does not panic");
    let mut tally = shared.tally.borrow().clone();
    unsent.iter().for_each(|due| tally.unsent(u64::from(due.len), Duration::from_nanos(due.due_ns)));
    if let Some(record) = shared.record.borrow_mut().as_mut() {
        record.flush()?;
    }
    Ok(tally)
}

async fn open(drive: &Drive) -> io::Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(drive.connections);
    for _ in 0..drive.connections {
        let mut connection = Connection::new(drive.target.clone());
        match tokio::time::timeout(drive.timeout, connection.open()).await {
            Ok(opened) => opened?,
            Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "no connection within --timeout")),
        }
        connections.push(connection);
    }
    Ok(connections)
}

/// Hands out every request when it is due; returns those that found the queue full.
fn pace(plan: &Plan, traffic: &Traffic, start: Instant, queue: &mpsc::Sender<Prepared>) -> Vec<Due> {
    let mut unsent = Vec::new();
    for due in plan.requests() {
        let prepared = Prepared { due, body: traffic.body(due) };
        let at = start + Duration::from_nanos(due.due_ns);
        while let Some(wait) = at.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
            std::thread::sleep(wait);
        }
        if queue.try_send(prepared).is_err() {
            unsent.push(due);
        }
    }
    unsent
}

/// One connection: takes the next request as soon as it is free, until the schedule is over.
async fn work(shared: Rc<Shared>, mut connection: Connection) -> io::Result<()> {
    let last_due = Duration::from_nanos(shared.drive.plan.event_due_ns(shared.drive.plan.events.saturating_sub(1)));
    let give_up = shared.start + last_due + shared.drive.timeout;
    let mut free = Instant::now();
    loop {
        let next = shared.queue.lock().await.recv().await;
        let Some(Prepared { due, body }) = next else { return Ok(()) };
        let begun = Instant::now();
        if begun > give_up {
            shared.tally.borrow_mut().unsent(u64::from(due.len), Duration::from_nanos(due.due_ns));
            continue;
        }
        let intended = shared.start + Duration::from_nanos(due.due_ns);
        let watched =
            shared.watcher.as_ref().map(|watcher| watcher.sending(&body, Duration::from_nanos(due.due_ns), intended));
        let outcome = exchange(&mut connection, body, due, shared.drive.timeout).await;
        let done = Instant::now();
        let times = Times {
            due: Duration::from_nanos(due.due_ns),
            intended: done.saturating_duration_since(intended),
            service: done - begun,
            lag: begun.saturating_duration_since(intended.max(free)),
        };
        free = done;
        if let (Some(watcher), Some(watched)) = (&shared.watcher, watched) {
            watcher.ended(watched, &outcome);
        }
        shared.tally.borrow_mut().add(u64::from(due.len), &outcome, times);
        shared.write_down(due, &outcome)?;
    }
}

async fn exchange(connection: &mut Connection, body: Vec<u8>, due: Due, timeout: Duration) -> Outcome {
    match tokio::time::timeout(timeout, connection.post_events(body)).await {
        Ok(Ok((status, body))) => Outcome::read(status, &body, u64::from(due.len)),
        Ok(Err(e)) => {
            connection.close();
            Outcome::Broken(e.to_string())
        }
        Err(_) => {
            connection.close();
            Outcome::TimedOut
        }
    }
}

impl Shared {
    /// One line per acknowledged event: id, session, status.
    fn write_down(&self, due: Due, outcome: &Outcome) -> io::Result<()> {
        let mut record = self.record.borrow_mut();
        let (Some(record), true) = (record.as_mut(), outcome.is_acknowledged()) else { return Ok(()) };
        for i in due.first..due.first + u64::from(due.len) {
            writeln!(record, "{}\t{}\t202", self.traffic.id(i), self.traffic.session(i))?;
        }
        Ok(())
    }
}

/// Wall clock `ahead` of now, epoch milliseconds.
fn epoch_ms(ahead: Duration) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    (now.expect("the clock is after 1970") + ahead).as_millis() as u64
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
