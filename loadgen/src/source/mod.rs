//! Where requests come from: one after the other, each with the time at which it is due and the bytes to send.
//!
//! Same plan, profile, seed, start and answers: same bytes. Buffers come back when a request is over and are used again.

mod held;
mod simple;
mod viewers;

pub use simple::Simple;
pub use viewers::Viewers;

use crate::population::Loop;

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A batch of events.
    Events,
    /// A decision, and where its question is kept.
    Rank {
        /// Place of the question.
        slot: u32,
        /// Number of the decision.
        decision: u64,
    },
    /// An explicit reward.
    Reward,
    /// A CMCD record.
    Cmcd,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub call: Call,
    /// Where.
    pub path: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
    /// Events in the body, 0 for other calls.
    pub events: u32,
    /// Nanoseconds from the start at which it is to be sent.
    pub due_ns: u64,
}

/// How events stand in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// As a JSON array.
    #[default]
    Array,
    /// One a line.
    Lines,
}

impl Framing {
    /// Puts what stands before an event.
    fn before(self, out: &mut Vec<u8>, is_first: bool) {
        match self {
            Framing::Array => out.push(if is_first { b'[' } else { b',' }),
            Framing::Lines => {}
        }
    }

    /// Puts what stands after an event.
    fn after(self, out: &mut Vec<u8>) {
        if self == Framing::Lines {
            out.push(b'\n');
        }
    }

    /// Puts what stands after the last.
    fn close(self, out: &mut Vec<u8>) {
        if self == Framing::Array {
            out.push(b']');
        }
    }
}

/// Buffers that are used again.
#[derive(Default)]
struct Pool(Vec<Request>);

impl Pool {
    fn take(&mut self, call: Call, path: &[u8], due_ns: u64) -> Request {
        let mut request = self.0.pop().unwrap_or(Request { call, path: vec![], body: vec![], events: 0, due_ns });
        (request.call, request.events, request.due_ns) = (call, 0, due_ns);
        request.path.clear();
        request.path.extend_from_slice(path);
        request.body.clear();
        request
    }
}

/// A source of requests.
pub enum Source {
    /// Events drawn independently.
    Simple(Box<Simple>),
    /// What a population does.
    Viewers(Box<Viewers>),
}

impl Source {
    /// How events stand in bodies.
    pub fn frame(&mut self, framing: Framing) {
        match self {
            Source::Simple(simple) => simple.framing = framing,
            Source::Viewers(viewers) => viewers.framing = framing,
        }
    }

    /// The start, epoch milliseconds: what is due then is dated so.
    pub fn start_at(&mut self, epoch_ms: u64) {
        match self {
            Source::Simple(simple) => simple.epoch_ms = epoch_ms,
            Source::Viewers(viewers) => viewers.epoch_ms = epoch_ms,
        }
    }

    /// The next request, in the order of due times; none when the schedule is over.
    pub fn next(&mut self) -> Option<Request> {
        match self {
            Source::Simple(simple) => simple.next(),
            Source::Viewers(viewers) => viewers.next(),
        }
    }

    /// Takes back the buffers of a request that is over.
    pub fn recycle(&mut self, request: Request) {
        match self {
            Source::Simple(simple) => simple.pool.0.push(request),
            Source::Viewers(viewers) => viewers.pool.0.push(request),
        }
    }

    /// Tells the population what a rank request was answered.
    pub fn answer(&mut self, call: Call, body: &[u8]) {
        if let (Source::Viewers(viewers), Call::Rank { slot, decision }) = (self, call) {
            viewers.answer(slot, decision, body);
        }
    }

    /// When the last request is due at the latest, nanoseconds from the start.
    pub fn end_ns(&self) -> u64 {
        match self {
            Source::Simple(simple) => simple.end_ns,
            Source::Viewers(viewers) => viewers.end_ns,
        }
    }

    /// Events that were sent once more on purpose, so far.
    pub fn repeated(&self) -> u64 {
        match self {
            Source::Simple(_) => 0,
            Source::Viewers(viewers) => viewers.repeated,
        }
    }

    /// What came of decisions, where a population asks for them.
    pub fn so_far(&self) -> Option<&Loop> {
        match self {
            Source::Simple(_) => None,
            Source::Viewers(viewers) => Some(viewers.so_far()),
        }
    }
}
