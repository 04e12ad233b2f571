//! One followed session: which of its events a received context contains.
//!
//! A context does not name its events, but says how many of the session it contains (slot `events`) and the greatest event time. So
//! each context that comes contains as many further events as its count grew: first the one whose time it names, then those sent
//! first. Where the configuration has no such slot, all events up to the context's time.

use std::time::{Duration, Instant};

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
    /// The stream was open when it was sent.
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
#[derive(Debug, Default)]
pub struct Probe {
    /// In order of sending.
    pending: Vec<Pending>,
    version: Option<u64>,
    events: u64,
    /// The stream is open.
    pub is_open: bool,
}

impl Probe {
    /// Notes an event before it is sent.
    pub fn sent(&mut self, event: Pending) {
        self.pending.push(Pending { measured: self.is_open, ..event });
    }

    /// The server has it: a context has to come.
    pub fn accepted(&mut self, id: u64) {
        self.pending.iter_mut().filter(|event| event.id == id).for_each(|event| event.accepted = true);
    }

    /// The server has it not, or did not say: none needs to come.
    pub fn forget(&mut self, id: u64) {
        self.pending.retain(|event| event.id != id);
    }

    /// Events that `context` contains and none before it did, or none where its version is lower than one seen before.
    pub fn received(&mut self, context: Received) -> Option<Vec<Pending>> {
        match self.version {
            Some(known) if context.version < known => return None,
            Some(known) if context.version == known => return Some(vec![]),
            _ => self.version = Some(context.version),
        }
        let Some(events) = context.events else {
            let is_in = |event: &Pending| event.event_time <= context.event_time;
            return Some(self.pending.extract_if(.., |event| is_in(event)).collect());
        };
        // A session that ended and began anew counts from the start.
        let grown = if events >= self.events { events - self.events } else { events };
        self.events = events;
        Some(self.take(grown, context.event_time))
    }

    fn take(&mut self, grown: u64, event_time: i64) -> Vec<Pending> {
        let mut taken = vec![];
        if grown > 0
            && let Some(named) = self.pending.iter().position(|event| event.event_time == event_time)
        {
            taken.push(self.pending.remove(named));
        }
        let further = (grown as usize).saturating_sub(taken.len()).min(self.pending.len());
        taken.extend(self.pending.drain(..further));
        taken
    }

    /// Accepted events that no context has shown.
    pub fn unpublished(&self) -> u64 {
        self.pending.iter().filter(|event| event.accepted).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(event_times: &[i64]) -> Probe {
        let mut probe = Probe { is_open: true, ..Probe::default() };
        for (id, event_time) in (0..).zip(event_times) {
            let (due, intended) = (Duration::ZERO, Instant::now());
            let event_time = *event_time;
            probe.sent(Pending { id, event_time, due, intended, measured: false, accepted: false });
        }
        probe
    }

    fn ids(taken: Option<Vec<Pending>>) -> Vec<u64> {
        taken.expect("versions grow").into_iter().map(|event| event.id).collect()
    }

    fn context(version: u64, event_time: i64, events: Option<u64>) -> Received {
        Received { version, event_time, events }
    }

    #[test]
    fn a_context_contains_as_many_events_as_its_count_grew() {
        let mut probe = probe(&[10, 20, 30, 40]);
        assert_eq!(ids(probe.received(context(1, 10, Some(1)))), [0]);
        // Two refreshes were skipped.
        assert_eq!(ids(probe.received(context(4, 40, Some(4)))), [3, 1, 2]);
        assert_eq!(probe.unpublished(), 0);
    }

    #[test]
    fn an_event_out_of_order_is_in_the_context_that_counts_it_although_the_time_stays() {
        let mut probe = probe(&[20, 10]);
        assert_eq!(ids(probe.received(context(1, 20, Some(1)))), [0]);
        assert_eq!(ids(probe.received(context(2, 20, Some(1)))), [0; 0], "another viewer's slots changed");
        assert_eq!(ids(probe.received(context(3, 20, Some(2)))), [1]);
    }

    #[test]
    fn a_session_that_began_anew_counts_from_the_start() {
        let mut probe = probe(&[10, 20, 5_000_000]);
        assert_eq!(ids(probe.received(context(2, 20, Some(2)))).len(), 2);
        assert_eq!(ids(probe.received(context(3, 5_000_000, Some(1)))), [2]);
    }

    #[test]
    fn without_a_count_event_times_decide() {
        let mut probe = probe(&[10, 20, 30]);
        assert_eq!(ids(probe.received(context(1, 20, None))), [0, 1]);
        assert_eq!(ids(probe.received(context(2, 30, None))), [2]);
    }

    #[test]
    fn a_version_that_goes_back_contains_nothing_and_the_same_again_neither() {
        let mut probe = probe(&[10, 20]);
        assert_eq!(ids(probe.received(context(7, 10, Some(1)))), [0]);
        assert_eq!(ids(probe.received(context(7, 10, Some(1)))), [0; 0]);
        assert_eq!(probe.received(context(6, 20, Some(2))), None);
    }

    #[test]
    fn only_accepted_events_have_to_come_out() {
        let mut probe = probe(&[10, 20, 30]);
        probe.accepted(1);
        probe.forget(2);
        assert_eq!(probe.unpublished(), 1);
        assert_eq!(probe.pending.len(), 2);
    }

    #[test]
    fn events_sent_before_the_stream_was_open_are_not_measured() {
        let mut probe = Probe::default();
        let event = Pending {
            id: 1,
            event_time: 1,
            due: Duration::ZERO,
            intended: Instant::now(),
            measured: true,
            accepted: false,
        };
        probe.sent(event);
        probe.is_open = true;
        probe.sent(Pending { id: 2, ..event });
        let taken = probe.received(context(1, 1, Some(2))).expect("versions grow");
        assert_eq!(taken.iter().map(|event| event.measured).collect::<Vec<_>>(), [false, true]);
    }
}
