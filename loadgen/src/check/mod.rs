//! Checks beside the load: a sample of viewers is followed from the intended sending of each event to the context that contains it,
//! and what the server made of their events is compared with the fold of what it acknowledged.
//!
//! The driver tells what it sends and what is answered through a [`Watcher`]; all else happens on a thread of its own, which the
//! driver never waits for.

mod compare;
mod context;
mod fold;
mod probe;
mod published;
mod sample;
mod state;
mod stream;

pub use compare::Compared;
pub use published::Published;

use crate::background::Background;
use crate::http::{Connection, Target, is_not_permitted, is_not_there, read_hint};
use crate::tally::{Brief, Outcome};
use fold::Folder;
use hdrhistogram::Histogram;
use saccade::counted::{counted, either};
use sample::Sample;
use serde::{Deserialize, Serialize};
use state::{Fate, Sent, State, Told};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use xxhash_rust::xxh3::xxh3_64;

/// How often it is looked whether new sessions are to be followed. Waking the thread for each request cost the driver a system call.
const LOOK: Duration = Duration::from_millis(5);
/// Longest wait for contexts that are still missing after the last answer.
const GRACE: Duration = Duration::from_secs(2);
/// How the server describes the count of all events of a session.
const ALL_EVENTS: &str = "number of events, in the session";
/// Why contexts do not say which events they contain.
const NO_COUNT: &str = "no slot of the server's vectors counts all events of a session";

/// What is to be checked.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Viewers in the sample, and sessions that are followed, at a time.
    pub probes: usize,
    /// Viewers there will be, about.
    pub viewers_expected: u64,
    /// The server's configuration; its built-in default without.
    pub config: Option<PathBuf>,
    /// Latencies of what is due earlier do not count.
    pub measure_from: Duration,
    /// Set where the server refuses followers: nothing that was to be measured can be.
    pub end: Arc<AtomicBool>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// Sessions that were followed.
    pub sessions: u64,
    /// Contexts they received.
    pub contexts: u64,
    /// Accepted events that no context showed.
    pub unpublished: u64,
    /// Contexts whose version was lower than one before.
    pub backwards: u64,
    /// Contexts that could not be read.
    pub unreadable: u64,
    /// How often a stream broke, or could not be opened.
    pub broken: u64,
    /// The first of these, in words.
    #[serde(default)]
    pub first_broken: Option<String>,
    /// Why nobody knows which events contexts contain, so that neither `publish` nor `unpublished` is measured.
    #[serde(default)]
    pub uncounted: Option<String>,
    /// Vectors beside the fold of what was acknowledged.
    pub vectors: Compared,
}

/// What was found, and the latencies.
pub struct Findings {
    /// Counts.
    pub checked: Checked,
    /// Intended sending to the context received, nanoseconds.
    pub publish: Histogram<u64>,
    /// The same by second of the schedule.
    pub by_second: BTreeMap<u64, Brief>,
    /// The status that says that nothing can be followed: for want of permission, or because there is no such server.
    pub refused: Option<u16>,
}

/// The driver's end: told of each request before it is sent and when it has ended.
pub struct Watcher {
    sample: RefCell<Sample>,
    told: mpsc::Sender<Told>,
    published: Published,
}

/// Sampled events of a request that is on its way.
pub struct Watched(Option<Arc<Sent>>);

impl Watcher {
    /// A request is about to be sent that was due then.
    pub fn sending(&self, body: &[u8], due: Duration, intended: Instant) -> Watched {
        let rows = self.sample.borrow_mut().rows(body, due);
        if rows.is_empty() {
            return Watched(None);
        }
        let sent = Arc::new(Sent { due, intended, sent_ms: now_ms(), rows });
        self.tell(Told::Sent(Arc::clone(&sent)));
        Watched(Some(sent))
    }

    /// A player reports by `/v1/cmcd/{session}`: what it says changes the session, and is in no event that is seen here.
    pub fn reported_by_player(&self, path: &[u8]) {
        if let Some(session) = path.strip_prefix(b"/v1/cmcd/") {
            self.tell(Told::Aside(xxh3_64(session)));
        }
    }

    /// It was answered, or given up.
    pub fn ended(&self, watched: Watched, outcome: &Outcome) {
        let Some(sent) = watched.0 else { return };
        let fate = match outcome {
            // Nobody knows which of its rows count.
            Outcome::Acknowledged(answer) if answer.unlisted() > 0 => Fate::Unknown,
            Outcome::Acknowledged(answer) => {
                let rejected = answer.rejected.iter().map(|row| row.index).collect();
                Fate::Acknowledged { rejected, late: answer.late > 0 }
            }
            Outcome::TimedOut | Outcome::Broken(_) => Fate::Unanswered,
            Outcome::Unaccounted(_) | Outcome::Refused(..) => Fate::Unknown,
        };
        self.tell(Told::Ended(sent, fate, now_ms()));
    }

    /// Publish latencies, as they become known.
    pub fn published(&self) -> &Published {
        &self.published
    }

    fn tell(&self, told: Told) {
        // Fails only when the checks have ended, which their result says.
        let _ = self.told.send(told);
    }
}

/// The running checks.
pub struct Checks {
    running: Background<Findings>,
    give_up: Arc<OnceLock<Instant>>,
}

/// Shared by the streams; all live on one thread.
struct Shared {
    target: Target,
    timeout: Duration,
    /// The slot that counts the events of a session, or why there is none.
    events_slot: Result<usize, String>,
    told: mpsc::Receiver<Told>,
    state: RefCell<State>,
    broken: RefCell<Broken>,
    again: stream::Again,
    end: Arc<AtomicBool>,
    /// When nothing more is waited for, once the run was told to end.
    give_up: Arc<OnceLock<Instant>>,
}

/// Streams that broke or were not opened.
#[derive(Default)]
struct Broken {
    /// Places of the probes.
    of: BTreeSet<usize>,
    first: Option<String>,
    /// The status of a refusal that would be the same for all.
    refused: Option<u16>,
}

/// The server's layout, as far as it is needed.
#[derive(Deserialize)]
struct Schema {
    schema_version: String,
    slots: Vec<Slot>,
}

#[derive(Deserialize)]
struct Slot {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    scope: String,
    description: String,
    unit: String,
}

impl Checks {
    /// Begins; what goes wrong with the fold is told at the end, because latencies can be measured without.
    pub fn start(target: Target, timeout: Duration, wanted: Wanted) -> Result<(Watcher, Checks), String> {
        let folder = Folder::new(wanted.config.as_deref())?;
        let (told, hears) = mpsc::channel();
        let (sample, published) = (RefCell::new(Sample::new(wanted.probes, wanted.viewers_expected)), Published::new());
        let watcher = Watcher { sample, told, published: published.clone() };
        let give_up = Arc::<OnceLock<Instant>>::default();
        let gives_up = Arc::clone(&give_up);
        let run = async move |stopped| {
            let schema = schema(&target, timeout).await;
            let mut state = State::new(wanted.probes, wanted.measure_from, timeout, folder.skew_tolerance_ms());
            state.published = published;
            let events_slot = match &schema {
                Ok(schema) => schema.events_slot().ok_or(NO_COUNT.into()),
                Err(no) => Err(no.why.clone()),
            };
            state.is_counted = events_slot.is_ok();
            let (state, broken, again, end) = (RefCell::new(state), RefCell::default(), Default::default(), wanted.end);
            let (told, give_up) = (hears, gives_up);
            let shared = Rc::new(Shared { target, timeout, events_slot, told, state, broken, again, end, give_up });
            if let Err(NoSchema { status: Some(status), .. }) = &schema {
                shared.schema_refused(*status);
            }
            Ok(check(shared, folder, schema.map_err(|no| no.why), stopped).await)
        };
        let running = Background::start("checks", run).map_err(|e| format!("starting the checks: {e}"))?;
        Ok((watcher, Checks { running, give_up }))
    }

    /// Waits for what is still missing, not beyond `give_up`, compares, and says what was found.
    pub fn finish(self, give_up: Option<Instant>) -> io::Result<Findings> {
        if let Some(give_up) = give_up {
            self.give_up.set(give_up).expect("it ends once");
        }
        self.running.finish()
    }
}

impl Schema {
    /// The count of all events of a session, whatever it is called: not one of certain types or values, nor a multiple.
    fn events_slot(&self) -> Option<usize> {
        let counts_all = |slot: &Slot| slot.description == ALL_EVENTS && slot.unit == "events";
        self.slots.iter().position(|slot| slot.kind == "count" && slot.scope == "session" && counts_all(slot))
    }
}

/// Why the layout is not known.
struct NoSchema {
    status: Option<u16>,
    why: String,
}

async fn schema(target: &Target, timeout: Duration) -> Result<Schema, NoSchema> {
    const PATH: &str = "/v1/schema";
    let mut connection = Connection::new(target.clone());
    let (status, why) = match tokio::time::timeout(timeout, connection.get(PATH)).await {
        Ok(Ok((200, body))) => match serde_json::from_slice(&body) {
            Ok(schema) => return Ok(schema),
            Err(e) => (None, format!("GET {PATH} is not understood: {e}")),
        },
        Ok(Ok((status, _))) => (Some(status), format!("GET {PATH} was answered {status}{}", read_hint(status))),
        Ok(Err(e)) => (None, format!("GET {PATH}: {e}")),
        Err(_) => (None, format!("GET {PATH} was not answered within --timeout")),
    };
    Err(NoSchema { status, why })
}

async fn check(
    shared: Rc<Shared>,
    folder: Folder,
    schema: Result<Schema, String>,
    mut stopped: oneshot::Receiver<()>,
) -> Findings {
    let mut streams = Streams::default();
    let mut ends = None;
    loop {
        shared.take_told();
        streams.change(&shared);
        let is_over = ends.is_some_and(|ends| Instant::now() >= ends || shared.state.borrow().unpublished() == 0);
        if is_over {
            break;
        }
        tokio::select! {
            _ = &mut stopped, if ends.is_none() => ends = Some(Instant::now() + shared.at_most(GRACE)),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    streams.running.abort_all();
    shared.state.borrow_mut().close();
    let vectors = match schema {
        Err(why) => Compared::not(why),
        Ok(schema) if schema.schema_version != folder.schema_version() => Compared::not(format!(
            "the server's vectors have schema {}, those of the configuration here {}: give the server's with --config",
            schema.schema_version,
            folder.schema_version()
        )),
        Ok(schema) => {
            let slots: Vec<String> = schema.slots.into_iter().map(|slot| slot.name).collect();
            compare::compare(&shared, &folder, &slots).await
        }
    };
    let mut state = shared.state.borrow_mut();
    let checked = Checked {
        sessions: state.followed_total as u64,
        contexts: state.contexts,
        unpublished: state.unpublished(),
        backwards: state.backwards,
        unreadable: state.unreadable,
        broken: shared.broken.borrow().of.len() as u64,
        first_broken: shared.broken.borrow().first.clone(),
        uncounted: shared.events_slot.as_ref().err().cloned(),
        vectors,
    };
    Findings {
        checked,
        publish: state.published.all(),
        by_second: std::mem::take(&mut state.windows).finish(),
        refused: shared.broken.borrow().refused,
    }
}

/// The tasks that follow sessions.
#[derive(Default)]
struct Streams {
    running: tokio::task::JoinSet<()>,
    by_place: HashMap<usize, tokio::task::AbortHandle>,
}

impl Streams {
    /// Opens and closes as the state says.
    fn change(&mut self, shared: &Rc<Shared>) {
        let mut state = shared.state.borrow_mut();
        for place in std::mem::take(&mut state.to_open) {
            let Some(followed) = state.followed.get(&place) else { continue };
            let follow = stream::follow(Rc::clone(shared), place, followed.session.clone());
            self.by_place.insert(place, self.running.spawn_local(follow));
        }
        for place in std::mem::take(&mut state.to_close) {
            self.by_place.remove(&place).iter().for_each(tokio::task::AbortHandle::abort);
        }
        while self.running.try_join_next().is_some() {}
    }
}

impl Shared {
    fn take_told(&self) {
        let mut state = self.state.borrow_mut();
        while let Ok(told) = self.told.try_recv() {
            state.told(told);
        }
    }

    /// A time to wait, less where the run was told to end.
    fn at_most(&self, wait: Duration) -> Duration {
        let left = self.give_up.get().map(|give_up| give_up.saturating_duration_since(Instant::now()));
        left.map_or(wait, |left| wait.min(left))
    }

    /// The run was told to end, and nothing more is waited for.
    fn has_given_up(&self) -> bool {
        self.at_most(Duration::MAX).is_zero()
    }

    /// A stream broke, or could not be opened.
    fn broke(&self, place: usize, why: impl FnOnce() -> String) {
        let mut broken = self.broken.borrow_mut();
        broken.of.insert(place);
        broken.first.get_or_insert_with(why);
    }

    /// Every server has a schema: what has none is another.
    fn schema_refused(&self, status: u16) {
        self.refused(status, is_not_permitted(status) || is_not_there(status));
    }

    /// Ends the run where the server said that this reader may not follow, unless it may have until then: what was measured counts.
    fn not_permitted(&self, status: u16) {
        self.refused(status, is_not_permitted(status) && self.state.borrow().contexts == 0);
    }

    fn refused(&self, status: u16, is_for_all: bool) {
        if is_for_all {
            self.broken.borrow_mut().refused = Some(status);
            self.end.store(true, Ordering::Relaxed);
        }
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64)
}

impl Checked {
    /// The same where it was checked in vain.
    pub fn not(self, why: &str) -> Checked {
        Checked { unpublished: 0, uncounted: Some(why.into()), vectors: Compared::not(why.into()), ..self }
    }

    /// That it is not known which events contexts contain, in words.
    pub fn not_counted(&self) -> Option<String> {
        self.uncounted.as_ref().map(|why| format!("publish was not measured: {why}"))
    }

    /// That nothing came out of the server, in words.
    pub fn no_context(&self) -> String {
        let broken = match &self.first_broken {
            Some(first) => format!("; {} broke or could not be opened, first: {first}", counted(self.broken, "stream")),
            None => String::new(),
        };
        match self.sessions {
            0 => "no session was followed: none of the sampled ones had an event".into(),
            1 => format!("no context came of the session that was followed{broken}"),
            sessions => format!("no context came of the {sessions} sessions that were followed{broken}"),
        }
    }

    /// What is wrong, in words.
    pub fn failures(&self) -> Vec<String> {
        let counts = [
            (
                self.unpublished,
                either(self.unpublished, "accepted event was in no context", "accepted events were in no context"),
            ),
            (
                self.backwards,
                either(self.backwards, "version of a context went back", "versions of contexts went back"),
            ),
            (self.unreadable, either(self.unreadable, "context could not be read", "contexts could not be read")),
        ];
        let mut failures: Vec<String> =
            counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if let Some(first) = &self.vectors.first_difference {
            let n = self.vectors.different;
            let are = either(n, "context is", "contexts are");
            failures.push(format!("{n} {are} not the fold of what was acknowledged; first: {first}"));
        }
        failures
    }
}

#[cfg(test)]
mod tests;
