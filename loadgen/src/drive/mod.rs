//! Sends what a source gives, when it is due, on one thread.
//!
//! A turn: hand out what is due to connections that are free, then wait until a socket is ready or the next request is due, whichever is
//! first (`ppoll` on what mio waits for, as mio itself counts in milliseconds). Only sockets that are ready are looked at, however many
//! there are. The next request is made while there is nothing else to do. The loop never waits for the server: when all connections are
//! busy requests queue, and that wait is part of their latency from the intended time. The queue is bounded; what does not fit is counted
//! as lost.

mod calls;
mod connection;
mod progress;

pub use calls::{Calls, Kept};
pub use progress::{Progress, Waiting};

use crate::check::{Watched, Watcher};
use crate::http::{Target, is_not_permitted};
use crate::source::{Call, Request, Source};
use crate::tally::{Outcome, Tally, Times, Waited};
use connection::{Answer, Connection, Waits};
use mio::{Events, Poll, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Requests that may wait for a connection.
const QUEUE_MAX: usize = 65_536;
/// Requests that are handed out before the sockets are looked at again.
const TURN_MAX: usize = 64;
/// Sockets of which one wait tells.
const READY_MAX: usize = 1024;
/// Time between the opening of connections and the first event, so that the first is not late.
pub const LEAD: Duration = Duration::from_millis(50);
/// How often time-outs are looked for, at least.
const LOOK: Duration = Duration::from_millis(10);

/// How to send.
#[derive(Clone, Debug)]
pub struct Drive {
    /// Where to.
    pub target: Target,
    /// Keep-alive connections.
    pub connections: usize,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Latencies of what is due earlier, from the start of the schedule, do not count.
    pub measure_from: Duration,
    /// Nothing more is sent once it is set.
    pub interrupt: Arc<AtomicBool>,
}

/// Where acknowledged events are written down, when asked for.
pub type Record = Option<Box<dyn Write>>;

/// What came of a run.
pub struct Done {
    /// Of the events.
    pub tally: Tally,
    /// Of other calls.
    pub calls: Calls,
    /// Events that came out of the source.
    pub events: u64,
    /// Share of the time in which there was nothing to do.
    pub idle: f64,
    /// When it was interrupted, from the start.
    pub interrupted: Option<Duration>,
    /// The status by which the server said that this writer may not send; the run is then ended.
    pub refused: Option<u16>,
    /// Why the record is not whole.
    pub unrecorded: Option<String>,
}

/// An end that is this close to a whole second is one.
const NEARLY: Duration = Duration::from_millis(100);

/// Sends everything and returns what came of it. `progress` is called once a second, when the run is told to end, and at the end.
pub fn run(
    drive: Drive,
    source: &mut Source,
    record: Record,
    watcher: Option<Watcher>,
    progress: impl FnMut(Progress<'_>),
) -> io::Result<Done> {
    let address = drive.target.reach(drive.timeout).map_err(io::Error::other)?;
    let sockets = Poll::new()?;
    let open = |place| Connection::open(&drive.target, address, drive.timeout, Token(place), sockets.registry());
    let connections = (0..drive.connections).map(open).collect::<io::Result<Vec<_>>>()?;
    source.start_at(epoch_ms(LEAD));
    let start = Instant::now() + LEAD;
    let mut sending = Sending {
        common: drive.target.common_head(),
        give_up: start + Duration::from_nanos(source.end_ns()) + drive.timeout,
        free: (0..connections.len()).rev().collect(),
        watched: (0..connections.len()).map(|_| None).collect(),
        watcher,
        connections,
        sockets,
        queue: VecDeque::new(),
        next: None,
        source,
        start,
        timeout: drive.timeout,
        measure_from: drive.measure_from,
        recorder: Recorder { record, failed: None },
        tally: Tally::default(),
        calls: Calls::default(),
        events: 0,
        idle: Duration::ZERO,
        interrupt: drive.interrupt,
        interrupted: None,
        refused: None,
    };
    sending.all(progress)?;
    let idle = share(sending.idle, start.elapsed());
    sending.recorder.write(|record| record.flush());
    let Sending { tally, calls, events, interrupted, refused, recorder: Recorder { failed: unrecorded, .. }, .. } =
        sending;
    Ok(Done { tally, calls, events, idle, interrupted, refused, unrecorded })
}

/// Share of a time, from 0 to 1; all of none.
fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 1.0 } else { (part.as_secs_f64() / whole.as_secs_f64()).min(1.0) }
}

struct Sending<'s> {
    source: &'s mut Source,
    connections: Vec<Connection>,
    sockets: Poll,
    /// Those without a request, the one that was free last at the end.
    free: Vec<usize>,
    /// What the checks look at, of the request of each connection.
    watched: Vec<Option<Watched>>,
    watcher: Option<Watcher>,
    queue: VecDeque<Request>,
    /// Made, but not due.
    next: Option<Request>,
    /// The head of every request, from after the path to before the content type.
    common: Vec<u8>,
    start: Instant,
    give_up: Instant,
    timeout: Duration,
    measure_from: Duration,
    recorder: Recorder,
    tally: Tally,
    calls: Calls,
    events: u64,
    /// Time in which there was nothing to do.
    idle: Duration,
    interrupt: Arc<AtomicBool>,
    interrupted: Option<Duration>,
    refused: Option<u16>,
}

impl Sending<'_> {
    fn all(&mut self, mut progress: impl FnMut(Progress<'_>)) -> io::Result<()> {
        self.make();
        let (mut told_s, mut looked) = (0, self.start);
        let mut ready = Events::with_capacity(READY_MAX);
        loop {
            let now = Instant::now();
            self.take_due(now);
            let elapsed = now.saturating_duration_since(self.start);
            if self.interrupted.is_none() && self.interrupt.load(Ordering::Relaxed) {
                self.end_early(now);
                progress(self.progress(now, elapsed));
            }
            self.hand_out()?;
            if self.next.is_none() && self.queue.is_empty() && self.free.len() == self.connections.len() {
                progress(self.progress(now, elapsed + NEARLY));
                return Ok(());
            }
            self.wait(&mut ready)?;
            if now.saturating_duration_since(looked) >= LOOK {
                looked = now;
                self.end_what_takes_too_long(now);
            }
            // By the clock of the schedule, so that no second is passed over.
            if elapsed.as_secs() > told_s {
                told_s = elapsed.as_secs();
                progress(self.progress(now, elapsed));
            }
        }
    }

    fn progress(&self, now: Instant, elapsed: Duration) -> Progress<'_> {
        let published = self.watcher.as_ref().map(Watcher::published);
        Progress { tally: &self.tally, waiting: self.waiting(now), published, elapsed }
    }

    fn waiting(&self, now: Instant) -> Waiting {
        let asked = self.connections.iter().filter_map(|connection| connection.request.as_ref());
        let ages = asked.chain(&self.queue).map(|request| now.saturating_duration_since(self.intended(request)));
        // What is on its way when a run is told to end has been begun before.
        let ends_within = self.interrupted.map(|at| (self.start + at + self.timeout).saturating_duration_since(now));
        let none = Waiting { ends_within, ..Waiting::default() };
        ages.fold(none, |w, age| Waiting { requests: w.requests + 1, oldest: w.oldest.max(age), ..w })
    }

    /// What is not due yet is not sent, and what still waits for a connection no more; what is on its way is waited for.
    fn end_early(&mut self, now: Instant) {
        self.interrupted = Some(now.saturating_duration_since(self.start));
        self.events -= self.next.take().map_or(0, |request| u64::from(request.events));
        self.give_up = now;
    }

    /// Tells the checks of a request that is about to be sent.
    fn watch(&mut self, place: usize, request: &Request) {
        let Some(watcher) = &self.watcher else { return };
        match request.call {
            Call::Events => {
                let due = Duration::from_nanos(request.due_ns);
                self.watched[place] = Some(watcher.sending(&request.body, due, self.intended(request)));
            }
            Call::Cmcd => watcher.reported_by_player(&request.path),
            Call::Rank { .. } | Call::Reward => {}
        }
    }

    fn make(&mut self) {
        self.next = self.source.next();
        self.events += self.next.as_ref().map_or(0, |request| u64::from(request.events));
    }

    fn intended(&self, request: &Request) -> Instant {
        self.start + Duration::from_nanos(request.due_ns)
    }

    /// Queues what is due.
    fn take_due(&mut self, now: Instant) {
        for _ in 0..TURN_MAX {
            let Some(request) = self.next.take_if(|request| self.start + Duration::from_nanos(request.due_ns) <= now)
            else {
                return;
            };
            if self.queue.len() < QUEUE_MAX {
                self.queue.push_back(request);
            } else {
                self.is_unsent(request);
            }
            self.make();
        }
    }

    fn is_unsent(&mut self, request: Request) {
        let waited = self.waited(&request);
        match request.call {
            Call::Events => self.tally.unsent(u64::from(request.events), waited),
            call => {
                self.calls.unanswered(call, &Outcome::Unaccounted(String::new()), waited);
                self.count_cmcd(call, waited.due, None);
            }
        }
        self.source.recycle(request);
    }

    fn hand_out(&mut self) -> io::Result<()> {
        while !self.queue.is_empty() {
            let now = Instant::now();
            if now > self.give_up {
                let late = std::mem::take(&mut self.queue);
                late.into_iter().for_each(|request| self.is_unsent(request));
                return Ok(());
            }
            let Some(place) = self.free.pop() else { return Ok(()) };
            let request = self.queue.pop_front().expect("it is not empty");
            self.watch(place, &request);
            if let Err(e) = self.connections[place].begin(request, &self.common, now, self.sockets.registry()) {
                self.broke(place, &e);
            }
        }
        Ok(())
    }

    /// A request that met a connection in the moment in which the server closed it goes out again over a new one, once, as HTTP clients do.
    /// It is counted: a server that reads requests and closes looks the same.
    fn broke(&mut self, place: usize, error: &io::Error) {
        let connection = &mut self.connections[place];
        let is_stale = connection.is_stale(error);
        let mut why = error.to_string();
        if let Some(request) = connection.request.take_if(|_| is_stale) {
            connection.close();
            match connection.begin(request, &self.common, connection.begun, self.sockets.registry()) {
                Ok(()) => {
                    self.tally.resent += 1;
                    return;
                }
                Err(error) => why = error.to_string(),
            }
        }
        self.end_without_answer(place, Outcome::Broken(why));
    }

    /// Waits for sockets and for the next due time, and does what can be done about those that are ready.
    fn wait(&mut self, ready: &mut Events) -> io::Result<()> {
        let now = Instant::now();
        let until = match &self.next {
            Some(_) if self.queue.len() >= QUEUE_MAX => LOOK,
            Some(request) => self.intended(request).saturating_duration_since(now),
            None => LOOK,
        };
        let until = until.min(LOOK);
        if !until.is_zero() {
            let timeout = Timespec { tv_sec: 0, tv_nsec: until.as_nanos() as i64 as _ };
            let polled = poll(&mut [PollFd::new(self.sockets.registry(), PollFlags::IN)], Some(&timeout));
            self.idle += now.elapsed();
            match polled {
                Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
                Ok(_) => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.sockets.poll(ready, Some(Duration::ZERO))?;
        for event in ready.iter() {
            let place = event.token().0;
            let was_free = self.connections[place].waits == Waits::Free;
            if !was_free {
                self.go_on(place);
            }
            // What comes unasked would be taken for the next answer, and what is closed gives none.
            let is_spent = event.is_read_closed() || was_free && event.is_readable();
            if is_spent && self.connections[place].waits == Waits::Free {
                self.connections[place].close();
            }
        }
        Ok(())
    }

    /// Goes on with the request of a connection that may be ready.
    fn go_on(&mut self, place: usize) {
        let connection = &mut self.connections[place];
        let went_on = match connection.waits {
            Waits::Room => connection.send().map(|()| None),
            _ => connection.receive(),
        };
        match went_on {
            Ok(None) => {}
            Ok(Some(answer)) => self.end_with_answer(place, answer),
            Err(e) => self.broke(place, &e),
        }
    }

    fn end_what_takes_too_long(&mut self, now: Instant) {
        for place in 0..self.connections.len() {
            let connection = &self.connections[place];
            if connection.request.is_some() && now.saturating_duration_since(connection.begun) >= self.timeout {
                self.end_without_answer(place, Outcome::TimedOut);
            }
        }
    }

    fn times(&self, place: usize, request: &Request, now: Instant) -> Times {
        let (connection, intended) = (&self.connections[place], self.intended(request));
        let due = Duration::from_nanos(request.due_ns);
        Times {
            due,
            is_measured: due >= self.measure_from,
            intended: now.saturating_duration_since(intended),
            service: now.saturating_duration_since(connection.begun),
            lag: connection.begun.saturating_duration_since(intended.max(connection.free)),
        }
    }

    /// What was never answered counts as if it had been waited for to the end: otherwise a dead server would be the quickest.
    fn waited(&self, request: &Request) -> Waited {
        let due = Duration::from_nanos(request.due_ns);
        let intended = self.intended(request).elapsed().max(self.timeout);
        Waited { due, intended, is_measured: due >= self.measure_from }
    }

    fn end_with_answer(&mut self, place: usize, answer: Answer) {
        let now = Instant::now();
        let connection = &self.connections[place];
        let request = connection.request.as_ref().expect("what is answered was asked");
        let (call, times) = (request.call, self.times(place, request, now));
        let body = connection.body(answer);
        if call == Call::Events {
            let outcome = Outcome::read(answer.status, body, u64::from(request.events));
            self.tally.add(u64::from(request.events), &outcome, times);
            end_watch(self.watcher.as_ref(), self.watched[place].take(), &outcome);
            if is_not_permitted(answer.status) && self.tally.counts.accepted == 0 {
                self.refused = Some(answer.status);
                self.interrupt.store(true, Ordering::Relaxed);
            }
            if let Outcome::Acknowledged(answer) = &outcome {
                self.recorder.write(|record| write_down(record, &request.body, answer));
            }
        } else {
            let is_right = self.calls.answered(call, answer.status, body, times);
            if answer.status == 200 {
                self.source.answer(call, body);
            }
            self.tally.begun(times);
            self.count_cmcd(call, times.due, is_right.then_some(times.intended));
        }
        self.let_go(place, Some(answer), now);
    }

    fn end_without_answer(&mut self, place: usize, outcome: Outcome) {
        let now = Instant::now();
        let request = self.connections[place].request.as_ref().expect("what is over was asked");
        let (times, waited) = (self.times(place, request, now), self.waited(request));
        let times = Times { intended: waited.intended, service: times.service.max(self.timeout), ..times };
        match request.call {
            Call::Events => {
                self.tally.add(u64::from(request.events), &outcome, times);
                end_watch(self.watcher.as_ref(), self.watched[place].take(), &outcome);
            }
            call => {
                self.calls.unanswered(call, &outcome, waited);
                self.tally.begun(times);
                self.count_cmcd(call, times.due, None);
            }
        }
        self.let_go(place, None, now);
    }

    fn count_cmcd(&mut self, call: Call, due: Duration, answered_after: Option<Duration>) {
        if call == Call::Cmcd {
            self.tally.series.cmcd(due, answered_after);
        }
    }

    fn let_go(&mut self, place: usize, answer: Option<Answer>, now: Instant) {
        if let Some(request) = self.connections[place].end(answer, now) {
            self.source.recycle(request);
        }
        self.free.push(place);
    }
}

fn end_watch(watcher: Option<&Watcher>, watched: Option<Watched>, outcome: &Outcome) {
    if let (Some(watcher), Some(watched)) = (watcher, watched) {
        watcher.ended(watched, outcome);
    }
}

/// What is written down until that fails; the run goes on.
struct Recorder {
    record: Record,
    failed: Option<String>,
}

impl Recorder {
    fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let Some(record) = &mut self.record else { return };
        if let Err(error) = write(record) {
            (self.record, self.failed) = (None, Some(error.to_string()));
        }
    }
}

/// One line per event of a body that was not rejected: id, session, and 202 where it is certain that it is folded.
fn write_down(record: &mut dyn Write, body: &[u8], answer: &crate::tally::Answer) -> io::Result<()> {
    #[derive(serde::Deserialize)]
    struct Named<'a> {
        id: &'a str,
        session: &'a str,
    }
    let events: Vec<Named<'_>> = serde_json::from_slice(body)?;
    let is_rejected = |index: usize| answer.rejected.iter().any(|row| row.index == index);
    // Which rows are late, an answer does not say.
    let status = if answer.late + answer.unlisted() > 0 { "unsure" } else { "202" };
    let mut acknowledged = events.iter().enumerate().filter(|(index, _)| !is_rejected(*index));
    acknowledged.try_for_each(|(_, event)| writeln!(record, "{}\t{}\t{status}", event.id, event.session))
}

/// Wall clock `ahead` of now, epoch milliseconds.
fn epoch_ms(ahead: Duration) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    (now.expect("the clock is after 1970") + ahead).as_millis() as u64
}

#[cfg(test)]
mod tests;
