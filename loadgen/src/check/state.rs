//! What is known of the sample: what was sent and acknowledged of each viewer, what came out of each session.

use super::probe::{Pending, Probe, Received};
use super::published::Published;
use super::sample::{Row, SILENT};
use crate::tally::Windows;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// How often it is looked, for sessions that go on, whether others are over.
const LOOK: Duration = Duration::from_secs(1);
/// Events kept of a viewer; one with more is left out of the comparison.
const EVENTS_MAX: usize = 20_000;
/// Events whose texts are kept of all viewers together; who begins later is left out, too.
const TEXTS_MAX: usize = 1_000_000;

/// Sampled events of one request.
pub struct Sent {
    /// When it was due, from the start.
    pub due: Duration,
    /// When it was due.
    pub intended: Instant,
    /// Wall clock at its sending, epoch milliseconds.
    pub sent_ms: i64,
    /// Its sampled events.
    pub rows: Vec<Row>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Acknowledged; these rows were rejected, and some were late, the server does not say which.
    Acknowledged {
        /// Places in the batch.
        rejected: Vec<usize>,
        /// At least one row was late.
        late: bool,
    },
    /// It was answered, but nothing is known of its events.
    Unknown,
    /// It was not answered.
    Unanswered,
}

/// What the checks are told.
pub enum Told {
    /// Is about to be sent.
    Sent(Arc<Sent>),
    /// Was answered, at this wall clock, or was not.
    Ended(Arc<Sent>, Fate, i64),
    /// Something else changes the session with this hash.
    Aside(u64),
}

/// An event of a sampled viewer.
pub struct Kept {
    /// As it was sent.
    pub text: Box<str>,
    /// Wall clock at its sending, epoch milliseconds.
    pub sent_ms: i64,
    is_accepted: bool,
}

/// A sampled viewer.
#[derive(Default)]
pub struct Viewer {
    /// By id, so that one that was sent twice is kept once.
    pub events: BTreeMap<Box<str>, Kept>,
    /// Hashes of their sessions.
    sessions: BTreeSet<u64>,
    /// The one that began last, and when it was due, from the start.
    newest: (u64, Duration),
    /// Why their vectors cannot be compared.
    pub left_out: Option<&'static str>,
}

/// A followed session.
pub struct Followed {
    /// Its id.
    pub session: Box<str>,
    hash: u64,
    viewer: u32,
    /// When its last event was due, from the start.
    last: Duration,
    /// Which of its events contexts contain.
    pub probe: Probe,
}

/// Everything that is known.
pub struct State {
    skew_tolerance_ms: i64,
    streams_max: usize,
    measure_from: Duration,
    /// What the latency of an event is that no context showed.
    unseen: Duration,
    /// Contexts say how many events they contain; else it is not known which come out.
    pub is_counted: bool,
    /// By number.
    pub viewers: Vec<Viewer>,
    /// Texts kept.
    texts: usize,
    /// Place of each followed session.
    sessions: HashMap<Box<str>, usize>,
    /// When it was looked last for a session that is over, from the start.
    looked: Duration,
    /// Each followed session by its place, which no other ever has.
    pub followed: BTreeMap<usize, Followed>,
    /// Sessions that were followed, those that are no more with them.
    pub followed_total: usize,
    /// Places whose stream is to be opened.
    pub to_open: Vec<usize>,
    /// And closed.
    pub to_close: Vec<usize>,
    /// Intended sending to the context.
    pub published: Published,
    /// The same by second.
    pub windows: Windows,
    /// Hashes of sessions that something else changes.
    aside: HashSet<u64>,
    /// Contexts received.
    pub contexts: u64,
    /// Contexts whose version was lower than one before.
    pub backwards: u64,
    /// Contexts that could not be read.
    pub unreadable: u64,
}

impl State {
    /// Follows at most `streams_max` sessions at a time. An event that no context shows, because it was not answered or not published, counts as if its
    /// context had come after `unseen`.
    pub fn new(streams_max: usize, measure_from: Duration, unseen: Duration, skew_tolerance_ms: i64) -> State {
        State {
            skew_tolerance_ms,
            streams_max,
            measure_from,
            unseen,
            is_counted: true,
            viewers: vec![],
            texts: 0,
            sessions: HashMap::new(),
            looked: Duration::ZERO,
            followed: BTreeMap::new(),
            followed_total: 0,
            to_open: vec![],
            to_close: vec![],
            published: Published::new(),
            windows: Windows::default(),
            aside: HashSet::new(),
            contexts: 0,
            backwards: 0,
            unreadable: 0,
        }
    }

    /// Takes in what was told.
    pub fn told(&mut self, told: Told) {
        match told {
            Told::Sent(sent) => sent.rows.iter().for_each(|row| self.sent(&sent, row)),
            Told::Aside(session) => {
                self.aside.insert(session);
            }
            Told::Ended(sent, fate, ended_ms) => {
                for row in &sent.rows {
                    self.ended(row, &fate);
                    self.check_clock(row, sent.sent_ms, ended_ms);
                }
            }
        }
    }

    /// A context of a followed session came.
    pub fn received(&mut self, place: usize, context: Received, at: Instant) {
        let Some(followed) = self.followed.get_mut(&place) else { return };
        self.contexts += 1;
        if followed.probe.received(context, at) {
            self.count_shown(place);
        } else {
            self.backwards += 1;
        }
    }

    /// Counts the latencies of events whose contexts are known now.
    fn count_shown(&mut self, place: usize) {
        // Otherwise its count grows by what was not seen here too.
        let is_counted = !self.is_aside(place);
        while let Some((contained, at)) = self.followed.get_mut(&place).and_then(|followed| followed.probe.shown()) {
            for event in contained.iter().filter(|event| is_counted && event.measured) {
                self.came(event.due, at.saturating_duration_since(event.intended));
            }
        }
    }

    fn never_came(&mut self, due: Duration) {
        self.published.never_came(self.unseen, due >= self.measure_from);
        self.windows.record(due.as_secs(), self.unseen);
    }

    fn came(&mut self, due: Duration, latency: Duration) {
        self.published.came(latency, due >= self.measure_from);
        self.windows.record(due.as_secs(), latency);
    }

    /// Accepted events that no context has shown so far.
    pub fn unpublished(&self) -> u64 {
        self.followed.values().map(|followed| &followed.probe).filter(|p| p.is_open).map(Probe::unpublished).sum()
    }

    fn is_aside(&self, place: usize) -> bool {
        self.followed.get(&place).is_some_and(|followed| self.aside.contains(&followed.hash))
    }

    /// Nothing more will come. Leaves out every viewer of whose events one is not known to be in the log.
    pub fn close(&mut self) {
        let followed = self.followed.values().filter(|f| f.probe.is_open && !self.aside.contains(&f.hash));
        let dues: Vec<Duration> = followed.flat_map(|f| f.probe.unseen()).map(|event| event.due).collect();
        dues.into_iter().for_each(|due| self.never_came(due));
        for viewer in &mut self.viewers {
            if viewer.sessions.iter().any(|session| self.aside.contains(session)) {
                viewer.left_out = Some("a player reported by CMCD");
            }
            let all_known = viewer.events.values().all(|event| event.is_accepted);
            if !all_known {
                viewer.left_out.get_or_insert("a request was not acknowledged");
            }
        }
    }

    fn sent(&mut self, sent: &Sent, row: &Row) {
        let number = row.viewer as usize;
        if self.viewers.len() <= number {
            self.viewers.resize_with(number + 1, Viewer::default);
        }
        let viewer = &mut self.viewers[number];
        let session = row.session.as_deref().map(|session| xxh3_64(session.as_bytes()));
        let begun = session.filter(|session| viewer.sessions.insert(*session));
        viewer.newest = begun.map_or(viewer.newest, |begun| (begun, sent.due));
        if viewer.events.contains_key(&row.id) {
            // Sent again: at most one of the two makes a context.
            return;
        }
        if viewer.events.len() >= EVENTS_MAX || (viewer.events.is_empty() && self.texts >= TEXTS_MAX) {
            viewer.left_out = Some("too many events to keep");
        }
        if viewer.events.len() < EVENTS_MAX {
            // Without its text, it is still known where it is sent again.
            let text = if viewer.left_out.is_none() { row.text.clone() } else { Box::default() };
            self.texts += usize::from(!text.is_empty());
            viewer.events.insert(row.id.clone(), Kept { text, sent_ms: sent.sent_ms, is_accepted: false });
        }
        let Sent { due, intended, .. } = *sent;
        if let Some(session) = session.filter(|_| self.place_of(row).is_none()) {
            self.follow(row, session, begun.is_some(), due);
        }
        let Some(followed) = self.place_of(row).and_then(|place| self.followed.get_mut(&place)) else { return };
        let (id, event_time) = (xxh3_64(row.id.as_bytes()), row.event_time);
        followed.last = due;
        if self.is_counted {
            followed.probe.sent(Pending { id, event_time, due, intended, measured: false, accepted: false });
        }
    }

    /// Place of the session of a row, where it is followed.
    fn place_of(&self, row: &Row) -> Option<usize> {
        self.sessions.get(row.session.as_deref()?).copied()
    }

    /// Follows the session of a row, which may begin with it, where there is room.
    fn follow(&mut self, row: &Row, hash: u64, begins: bool, due: Duration) {
        let Some(session) = &row.session else { return };
        if self.followed.len() == self.streams_max {
            // Those that go on come often, and each would look at all that are followed.
            if !begins && due.saturating_sub(self.looked) < LOOK {
                return;
            }
            self.looked = due;
            if !self.give_back(due) {
                return;
            }
        }
        let place = self.followed_total;
        self.followed_total += 1;
        self.sessions.insert(session.clone(), place);
        let probe = if begins { Probe::new() } else { Probe::midway() };
        let (session, viewer) = (session.clone(), row.viewer);
        self.followed.insert(place, Followed { session, hash, viewer, last: due, probe });
        self.to_open.push(place);
    }

    /// Gives back the place of the session that is over for longest: its viewer has begun another, or was silent. False where there is none.
    fn give_back(&mut self, now: Duration) -> bool {
        let is_over = |f: &Followed| {
            let (newest, begun) = self.viewers[f.viewer as usize].newest;
            let is_left = newest != f.hash && begun >= f.last;
            let is_silent = now.saturating_sub(f.last) >= SILENT;
            // Of one whose stream could not be opened nothing comes out.
            f.probe.is_settled() && (is_left || is_silent) || is_silent && !f.probe.is_open
        };
        let over = self.followed.iter().filter(|(_, f)| is_over(f)).min_by_key(|(_, f)| f.last);
        let Some(place) = over.map(|(place, _)| *place) else { return false };
        if let Some(followed) = self.followed.remove(&place) {
            self.sessions.remove(&followed.session);
        }
        self.to_close.push(place);
        true
    }

    fn ended(&mut self, row: &Row, fate: &Fate) {
        let id = xxh3_64(row.id.as_bytes());
        let place = self.place_of(row);
        let viewer = &mut self.viewers[row.viewer as usize];
        let is_accepted = match fate {
            Fate::Acknowledged { rejected, .. } if rejected.contains(&row.index) => {
                viewer.events.remove(&row.id);
                false
            }
            Fate::Acknowledged { late: true, .. } => {
                viewer.left_out = Some("a batch had late rows");
                false
            }
            Fate::Acknowledged { .. } => {
                viewer.events.get_mut(&row.id).into_iter().for_each(|event| event.is_accepted = true);
                true
            }
            Fate::Unknown | Fate::Unanswered => false,
        };
        let Some(place) = place else { return };
        let Some(Followed { probe, .. }) = self.followed.get_mut(&place) else { return };
        if is_accepted {
            probe.accepted(id);
        } else {
            let due = probe.forget(id);
            if let (Fate::Unanswered, Some(due), false) = (fate, due, self.is_aside(place)) {
                self.never_came(due);
            }
        }
        self.count_shown(place);
    }

    /// Where the server may have corrected the player's clock, it did so by an arrival that is not known here.
    fn check_clock(&mut self, row: &Row, sent_ms: i64, ended_ms: i64) {
        let Some(sent_at) = row.sent_at else { return };
        let tolerated = |arrival: i64| arrival.saturating_sub(sent_at).abs() <= self.skew_tolerance_ms;
        if !(tolerated(sent_ms) && tolerated(ended_ms)) {
            self.viewers[row.viewer as usize].left_out = Some("a clock was corrected by arrival");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(index: usize, id: &str) -> Row {
        let (session, text) = (Some("s".into()), format!("{{{id}}}").into());
        Row { index, viewer: 0, id: id.into(), session, event_time: 5, sent_at: None, text }
    }

    fn sent(rows: Vec<Row>) -> Arc<Sent> {
        Arc::new(Sent { due: Duration::from_secs(3), intended: Instant::now(), sent_ms: 5, rows })
    }

    fn acknowledged(rejected: Vec<usize>, late: bool) -> Fate {
        Fate::Acknowledged { rejected, late }
    }

    fn after(rows: Vec<Row>, fate: Fate) -> State {
        let mut state = State::new(1, Duration::ZERO, Duration::from_secs(10), 10_000);
        let batch = sent(rows);
        state.told(Told::Sent(Arc::clone(&batch)));
        state.followed.get_mut(&0).expect("it is followed").probe.is_open = true;
        state.told(Told::Ended(batch, fate, 5));
        state
    }

    #[test]
    fn an_accepted_event_without_a_context_is_unpublished_until_one_comes() {
        let mut state = after(vec![row(0, "a"), row(1, "b")], acknowledged(vec![], false));
        assert_eq!((state.unpublished(), state.to_open.as_slice()), (2, [0].as_slice()));
        state.received(0, Received { version: 9, event_time: 5, events: Some(2) }, Instant::now());
        state.close();
        assert_eq!((state.unpublished(), state.contexts, state.viewers[0].left_out), (0, 1, None));
        assert_eq!(state.published.all().len(), 0, "the stream was not open when they were sent");
    }

    #[test]
    fn latency_counts_from_the_intended_time_in_the_second_it_was_due() {
        let mut state = after(vec![row(0, "a")], acknowledged(vec![], false));
        let batch = sent(vec![row(0, "b")]);
        state.told(Told::Sent(Arc::clone(&batch)));
        let context = Received { version: 9, event_time: 5, events: Some(2) };
        state.received(0, context, batch.intended + Duration::from_millis(40));
        assert_eq!(state.published.all().len(), 0, "it may have been refused");
        state.told(Told::Ended(batch, acknowledged(vec![], false), 5));
        assert_eq!(state.published.all().len(), 1);
        assert!(state.published.all().max() >= 40_000_000);
        assert_eq!(std::mem::take(&mut state.windows).finish().keys().collect::<Vec<_>>(), [&3]);
    }

    #[test]
    fn an_event_that_is_never_answered_or_shown_counts_as_unseen() {
        let mut state = after(vec![row(0, "a")], acknowledged(vec![], false));
        let told = |state: &mut State, id: &str, fate: Fate| {
            let batch = sent(vec![row(0, id)]);
            state.told(Told::Sent(Arc::clone(&batch)));
            state.told(Told::Ended(batch, fate, 5));
        };
        told(&mut state, "b", Fate::Unanswered);
        assert_eq!(state.published.all().len(), 1);
        told(&mut state, "c", Fate::Unknown);
        told(&mut state, "d", acknowledged(vec![], false));
        assert_eq!(state.published.all().len(), 1, "a refusal is an answer, and a context may still come");
        state.close();
        assert_eq!(
            (state.published.all().len(), state.unpublished()),
            (2, 2),
            "the stream was not open when the first was sent"
        );
        assert!(state.published.all().min() >= 9_900_000_000);
    }

    #[test]
    fn a_rejected_row_is_in_no_fold_and_leaves_its_viewer_in() {
        let mut state = after(vec![row(0, "a"), row(4, "b")], acknowledged(vec![4], false));
        state.close();
        assert_eq!(state.viewers[0].events.keys().map(|id| &**id).collect::<Vec<_>>(), ["a"]);
        assert_eq!((state.viewers[0].left_out, state.unpublished()), (None, 1));
    }

    #[test]
    fn viewers_of_whom_something_is_unknown_are_left_out() {
        for (fate, why) in
            [(acknowledged(vec![], true), "a batch had late rows"), (Fate::Unknown, "a request was not acknowledged")]
        {
            let mut state = after(vec![row(0, "a")], fate);
            state.close();
            assert_eq!((state.viewers[0].left_out, state.unpublished()), (Some(why), 0));
        }
        let mut skewed = row(0, "a");
        skewed.sent_at = Some(-20_000);
        assert!(after(vec![skewed], acknowledged(vec![], false)).viewers[0].left_out.is_some());
    }

    #[test]
    fn a_session_that_its_player_reports_too_is_neither_measured_nor_compared() {
        let mut state = after(vec![row(0, "a")], acknowledged(vec![], false));
        state.told(Told::Sent(sent(vec![row(0, "b")])));
        state.told(Told::Aside(xxh3_64(b"s")));
        state.received(0, Received { version: 9, event_time: 5, events: Some(2) }, Instant::now());
        state.told(Told::Ended(sent(vec![row(0, "b")]), acknowledged(vec![], false), 5));
        state.close();
        assert_eq!((state.published.all().len(), state.viewers[0].left_out), (0, Some("a player reported by CMCD")));
    }

    #[test]
    fn an_event_that_was_lost_and_sent_again_is_there_once() {
        let mut state = after(vec![row(0, "a")], Fate::Unknown);
        let again = sent(vec![row(0, "a")]);
        state.told(Told::Sent(Arc::clone(&again)));
        state.told(Told::Ended(again, acknowledged(vec![], false), 5));
        state.close();
        assert_eq!((state.viewers[0].left_out, state.viewers[0].events.len()), (None, 1));
    }

    #[test]
    fn sessions_beyond_the_streams_are_not_followed() {
        let mut other = row(1, "b");
        other.session = Some("t".into());
        let state = after(vec![row(0, "a"), other], acknowledged(vec![], false));
        assert_eq!((state.followed_total, state.unpublished()), (1, 1));
    }

    /// An event of a viewer in a session, due then and answered at once.
    fn act(state: &mut State, id: &str, viewer: u32, session: &str, due_s: u64) {
        let row = Row { viewer, session: Some(session.into()), ..row(0, id) };
        let batch =
            Arc::new(Sent { due: Duration::from_secs(due_s), ..Arc::into_inner(sent(vec![row])).expect("one") });
        state.told(Told::Sent(Arc::clone(&batch)));
        state.told(Told::Ended(batch, acknowledged(vec![], false), 5));
    }

    #[test]
    fn a_session_that_is_over_gives_its_place_to_one_that_begins() {
        let mut state = after(vec![row(0, "a")], acknowledged(vec![], false));
        let sessions = |state: &State| state.followed.values().map(|f| f.session.to_string()).collect::<Vec<_>>();
        act(&mut state, "b", 0, "t", 4);
        assert_eq!(sessions(&state), ["s"], "an event of it is in no context yet");
        state.received(0, Received { version: 9, event_time: 5, events: Some(1) }, Instant::now());
        act(&mut state, "d", 0, "u", 6);
        assert_eq!((sessions(&state), std::mem::take(&mut state.to_close)), (vec!["u".into()], vec![0]));
        state.received(1, Received { version: 10, event_time: 5, events: Some(1) }, Instant::now());
        act(&mut state, "e", 1, "v", 65);
        assert_eq!(sessions(&state), ["u"], "its viewer may go on");
        act(&mut state, "f", 2, "w", 66);
        assert_eq!((sessions(&state), state.followed_total), (vec!["w".into()], 3), "silent for a minute");
        act(&mut state, "g", 0, "s", 67);
        assert_eq!(sessions(&state), ["w"], "it is followed no more");
        state.received(0, Received { version: 11, event_time: 5, events: Some(2) }, Instant::now());
        assert_eq!(state.contexts, 2, "what was on its way of a stream that is closed");
        act(&mut state, "h", 3, "x", 126);
        assert_eq!(sessions(&state), ["x"], "the stream of w was never opened");
    }

    #[test]
    fn a_session_that_goes_on_takes_the_place_of_one_that_is_over() {
        let mut state = after(vec![row(0, "a")], acknowledged(vec![], false));
        let session = |state: &State| state.followed.values().map(|f| f.session.to_string()).collect::<Vec<_>>();
        act(&mut state, "b", 1, "t", 4);
        state.received(0, Received { version: 9, event_time: 5, events: Some(1) }, Instant::now());
        act(&mut state, "c", 1, "t", 62);
        assert_eq!(session(&state), ["s"], "its viewer may go on");
        act(&mut state, "d", 1, "t", 63);
        assert_eq!((session(&state), std::mem::take(&mut state.to_close)), (vec!["t".into()], vec![0]));
        state.followed.get_mut(&1).expect("it is followed").probe.is_open = true;
        state.received(1, Received { version: 10, event_time: 5, events: Some(3) }, Instant::now());
        assert_eq!(state.published.all().len(), 0, "three that came before");
        act(&mut state, "e", 1, "t", 64);
        state.received(1, Received { version: 11, event_time: 5, events: Some(4) }, Instant::now());
        assert_eq!(state.published.all().len(), 1);
        act(&mut state, "f", 0, "s", 65);
        assert_eq!(session(&state), ["t"], "it is not over");
    }
}
