//! One followed session: which of its events a received context contains.
//!
//! A context does not name its events, but one slot of its vector counts those of the session, and it has the greatest event time. So
//! each context that comes contains as many further events as its count grew: first the one whose time it names, then those sent
//! first. Without a count nobody knows: the times of contexts are by the server's clock, and of what is out of order they say nothing.
//! Of a session that had begun before it was followed, the first count is what is counted from.
//!
//! A context often comes before the answer, and a refused event is in none. So a context waits until it is known what became of all that
//! had been sent when it came.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A stream takes a few milliseconds to open, in which events go by unseen. Where it takes this long, the server holds up both, and what was
/// sent meanwhile is measured: else nothing would be known of sessions that begin while it stands still.
const OPENS_WITHIN: Duration = Duration::from_millis(50);

/// An event that is on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pending {
    /// Hash of its id.
    pub id: u64,
    /// Epoch milliseconds by the player's clock.
    pub event_time: i64,
    /// When it was due, from the start.
    pub due: Duration,
    /// When it was due.
    pub intended: Instant,
    /// The stream was open when it was sent, or was held up like it.
    pub measured: bool,
    /// The server has accepted it.
    pub accepted: bool,
}

/// A context, as far as it tells which events it contains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Received {
    /// Offset of the record that caused it.
    pub version: u64,
    /// Greatest event time, epoch milliseconds.
    pub event_time: i64,
    /// Events of the session, where the vector says.
    pub events: Option<u64>,
}

/// What is known of a session.
#[derive(Debug)]
pub struct Probe {
    /// In order of sending, each with its number.
    pending: Vec<(u64, Pending)>,
    sent: u64,
    /// Contexts of which it is not known yet what they contain, when they came, and how many events had been sent by then.
    waiting: VecDeque<(Received, Instant, u64)>,
    version: Option<u64>,
    /// How many the latest of them contains; not known of a session that had begun before.
    events: Option<u64>,
    /// The stream is open.
    pub is_open: bool,
}

impl Probe {
    /// Of a session that begins.
    pub fn new() -> Probe {
        Probe { events: Some(0), ..Probe::midway() }
    }

    /// Of a session that has begun before: the first context that comes says what is counted from.
    pub fn midway() -> Probe {
        Probe { pending: vec![], sent: 0, waiting: VecDeque::new(), version: None, events: None, is_open: false }
    }

    /// The stream is open since `at`.
    pub fn opened(&mut self, at: Instant) {
        self.is_open = true;
        for (_, event) in &mut self.pending {
            event.measured |= at.saturating_duration_since(event.intended) >= OPENS_WITHIN;
        }
    }

    /// Notes an event before it is sent.
    pub fn sent(&mut self, event: Pending) {
        self.pending.push((self.sent, Pending { measured: self.is_open, ..event }));
        self.sent += 1;
    }

    /// The server has it: a context has to come.
    pub fn accepted(&mut self, id: u64) {
        self.pending.iter_mut().filter(|(_, event)| event.id == id).for_each(|(_, event)| event.accepted = true);
    }

    /// The server has it not, or did not say: none needs to come. Gives when it was due.
    pub fn forget(&mut self, id: u64) -> Option<Duration> {
        self.pending.extract_if(.., |(_, event)| event.id == id).map(|(_, event)| event.due).last()
    }

    /// Notes a context that came; false where its version is lower than one seen before.
    pub fn received(&mut self, context: Received, at: Instant) -> bool {
        match self.version {
            Some(known) if context.version < known => return false,
            Some(known) if context.version == known => return true,
            _ => self.version = Some(context.version),
        }
        self.waiting.push_back((context, at, self.sent));
        true
    }

    /// The next context of which it is known now what it contains: the events that none before it did, and when it came.
    pub fn shown(&mut self) -> Option<(Vec<Pending>, Instant)> {
        let (context, at, sent) = *self.waiting.front()?;
        let candidates = self.pending.partition_point(|(number, _)| *number < sent);
        if !self.pending[..candidates].iter().all(|(_, event)| event.accepted) {
            return None;
        }
        self.waiting.pop_front();
        let Some(events) = context.events else { return Some((vec![], at)) };
        let Some(before) = self.events.replace(events) else {
            // Whether it counts these beside those that were before is not known: none of them is waited for.
            self.pending.drain(..candidates);
            return Some((vec![], at));
        };
        // A session that ended and began anew counts from the start.
        let grown = if events >= before { events - before } else { events };
        Some((self.take(grown, context.event_time, candidates), at))
    }

    /// Of the first `candidates` pending events.
    fn take(&mut self, grown: u64, event_time: i64, candidates: usize) -> Vec<Pending> {
        let mut taken = vec![];
        let mut left = candidates;
        if grown > 0
            && let Some(named) = self.pending[..left].iter().position(|(_, event)| event.event_time == event_time)
        {
            taken.push(self.pending.remove(named).1);
            left -= 1;
        }
        let further = (grown as usize).saturating_sub(taken.len()).min(left);
        taken.extend(self.pending.drain(..further).map(|(_, event)| event));
        taken
    }

    /// Nothing is on its way, nothing has still to come out.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty() && self.waiting.is_empty()
    }

    /// Accepted events that no context has shown.
    pub fn unpublished(&self) -> u64 {
        self.pending.iter().filter(|(_, event)| event.accepted).count() as u64
    }

    /// Those of them that were sent while the stream was open.
    pub fn unseen(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter().map(|(_, event)| event).filter(|event| event.accepted && event.measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With events of these times, all accepted.
    fn probe(event_times: &[i64]) -> Probe {
        let mut probe = Probe { is_open: true, ..Probe::new() };
        event_times.iter().for_each(|event_time| send(&mut probe, *event_time));
        (0..event_times.len() as u64).for_each(|id| probe.accepted(id));
        probe
    }

    /// The next event, of which nothing is known yet.
    fn send(probe: &mut Probe, event_time: i64) {
        let (due, intended) = (Duration::ZERO, Instant::now());
        probe.sent(Pending { id: probe.sent, event_time, due, intended, measured: false, accepted: false });
    }

    fn shown(probe: &mut Probe) -> Option<Vec<u64>> {
        Some(probe.shown()?.0.into_iter().map(|event| event.id).collect())
    }

    fn receive(probe: &mut Probe, version: u64, event_time: i64, events: Option<u64>) -> Option<Vec<u64>> {
        assert!(probe.received(Received { version, event_time, events }, Instant::now()), "versions grow");
        shown(probe)
    }

    #[test]
    fn a_context_contains_as_many_events_as_its_count_grew() {
        let mut probe = probe(&[10, 20, 30, 40]);
        assert_eq!(receive(&mut probe, 1, 10, Some(1)), Some(vec![0]));
        // Two refreshes were skipped.
        assert_eq!(receive(&mut probe, 4, 40, Some(4)), Some(vec![3, 1, 2]));
        assert_eq!(probe.unpublished(), 0);
    }

    #[test]
    fn an_event_out_of_order_is_in_the_context_that_counts_it_although_the_time_stays() {
        let mut probe = probe(&[20, 10]);
        assert_eq!(receive(&mut probe, 1, 20, Some(1)), Some(vec![0]));
        assert_eq!(receive(&mut probe, 2, 20, Some(1)), Some(vec![]), "another viewer's slots changed");
        assert_eq!(receive(&mut probe, 3, 20, Some(2)), Some(vec![1]));
    }

    #[test]
    fn a_session_that_began_anew_counts_from_the_start() {
        let mut probe = probe(&[10, 20, 5_000_000]);
        assert_eq!(receive(&mut probe, 2, 20, Some(2)).map(|ids| ids.len()), Some(2));
        assert_eq!(receive(&mut probe, 3, 5_000_000, Some(1)), Some(vec![2]));
    }

    #[test]
    fn without_a_count_nothing_is_known_to_be_in_a_context() {
        let mut probe = probe(&[10, 20, 30]);
        assert_eq!(receive(&mut probe, 1, 20, None), Some(vec![]));
        assert_eq!(receive(&mut probe, 2, 30, Some(3)), Some(vec![2, 0, 1]));
    }

    #[test]
    fn the_first_count_of_a_session_that_had_begun_is_only_counted_from() {
        let mut probe = Probe { is_open: true, ..Probe::midway() };
        [10, 20].into_iter().for_each(|event_time| send(&mut probe, event_time));
        [0, 1].into_iter().for_each(|id| probe.accepted(id));
        assert_eq!((receive(&mut probe, 7, 10, Some(31)), probe.is_settled()), (Some(vec![]), true));
        assert_eq!(receive(&mut probe, 8, 20, Some(32)), Some(vec![]));
        send(&mut probe, 30);
        probe.accepted(2);
        assert_eq!(receive(&mut probe, 9, 30, Some(33)), Some(vec![2]));
    }

    #[test]
    fn a_version_that_goes_back_contains_nothing_and_the_same_again_neither() {
        let mut probe = probe(&[10, 20]);
        assert_eq!(receive(&mut probe, 7, 10, Some(1)), Some(vec![0]));
        assert_eq!(receive(&mut probe, 7, 10, Some(1)), None);
        assert!(!probe.received(Received { version: 6, event_time: 20, events: Some(2) }, Instant::now()));
        assert_eq!(shown(&mut probe), None);
    }

    #[test]
    fn a_refused_event_is_in_no_context_however_late_the_refusal_comes() {
        let mut probe = probe(&[]);
        [10, 20, 30].into_iter().for_each(|event_time| send(&mut probe, event_time));
        // Of the second and third, in one context; the first will turn out to be refused.
        let at = Instant::now();
        assert_eq!(receive(&mut probe, 5, 30, Some(2)), None);
        send(&mut probe, 40);
        probe.accepted(1);
        probe.accepted(2);
        assert_eq!(shown(&mut probe), None, "nothing is known of the first");
        probe.forget(0);
        let (events, came) = probe.shown().expect("all that had been sent is known");
        assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), [2, 1]);
        assert!(came >= at && came <= Instant::now());
        assert_eq!((probe.unpublished(), probe.pending.len()), (0, 1));
    }

    #[test]
    fn a_context_contains_nothing_that_was_sent_after_it_came() {
        let mut probe = probe(&[10]);
        assert!(probe.received(Received { version: 1, event_time: 10, events: Some(2) }, Instant::now()));
        send(&mut probe, 20);
        probe.accepted(1);
        assert_eq!(shown(&mut probe), Some(vec![0]));
    }

    #[test]
    fn only_accepted_events_have_to_come_out() {
        let mut probe = probe(&[10]);
        send(&mut probe, 20);
        send(&mut probe, 30);
        probe.forget(2);
        assert_eq!(probe.unpublished(), 1);
        assert_eq!(probe.pending.len(), 2);
    }

    #[test]
    fn events_that_were_held_up_as_long_as_their_stream_are_measured() {
        let mut probe = Probe::new();
        let begun = Instant::now();
        for (id, at_ms) in [(0, 0), (1, 240), (2, 290)] {
            let (due, intended) = (Duration::ZERO, begun + Duration::from_millis(at_ms));
            probe.sent(Pending { id, event_time: id as i64, due, intended, measured: false, accepted: true });
        }
        probe.opened(begun + Duration::from_millis(300));
        assert!(probe.received(Received { version: 1, event_time: 2, events: Some(3) }, Instant::now()));
        let (mut taken, _) = probe.shown().expect("all is known");
        taken.sort_by_key(|event| event.id);
        assert_eq!(taken.iter().map(|event| event.measured).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn events_sent_before_the_stream_was_open_are_not_measured() {
        let mut probe = Probe::new();
        send(&mut probe, 1);
        probe.is_open = true;
        send(&mut probe, 1);
        probe.accepted(0);
        probe.accepted(1);
        assert!(probe.received(Received { version: 1, event_time: 1, events: Some(2) }, Instant::now()));
        let (taken, _) = probe.shown().expect("all is known");
        assert_eq!(taken.iter().map(|event| event.measured).collect::<Vec<_>>(), [false, true]);
    }
}
