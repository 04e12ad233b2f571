//! What was observed of one pick: signals folded in event-time order, whatever the order of arrival, and explicit rewards.
//!
//! As in a lane, there is what is *settled*, the fold of the events before a horizon, and a short sorted list of *pending* events
//! after it. A signal is the fold of the two, so neither arrival order nor the moment of settling shows.

use super::spec::SignalFold;
use super::tally::Tally;
use super::told::Told;
use super::waiting::Waiting;
use super::watched::Watched;
use super::{Reward, Worth};
use crate::pending::IdWords;
use crate::record::{Event, Fields};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Pending events of a pick; with one more, the oldest settles early, and what would have preceded it is refused.
pub const PENDING_MAX: usize = 256;

/// What was observed of one pick under one spec. Eight bytes while there is nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed(Option<Box<Seen>>);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    /// By signal; empty before anything settled.
    settled: Vec<Tally>,
    /// By signal of unique seconds; empty before anything settled.
    watched: Vec<Watched>,
    /// Event time of the first that settled.
    first: Option<i64>,
    /// Place of the last that settled.
    floor: Option<(i64, IdWords)>,
    waiting: Waiting,
    told: Told,
}

impl Observed {
    /// Whether nothing was observed.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Event time of what was observed first.
    pub fn first(&self) -> Option<i64> {
        let seen = self.0.as_ref()?;
        seen.first.into_iter().chain(seen.waiting.earliest()).chain(seen.told.earliest()).min()
    }

    /// Takes an event in, at its corrected `time`; `since` is when the window is counted from, both in ms since the epoch. False
    /// where it does not matter to any signal: it is outside of the window (both ends are inside), its type or its fields are
    /// not looked at, or it precedes what settled. Events may come in any order; those before a horizon given to
    /// [`Observed::settle`] may not. Event ids must differ.
    pub fn event(&mut self, reward: &Reward, since: i64, time: i64, event: &Event<'_>) -> bool {
        let mut numbers = [0.0; super::SIGNALS_MAX];
        let signals = reward.signals_at(since, time, event, &mut numbers);
        if signals == 0 {
            return false;
        }
        let order = (time, IdWords::new(event.id));
        if self.0.as_ref().and_then(|seen| seen.floor).is_some_and(|floor| order < floor) {
            return false;
        }
        let seen = self.0.get_or_insert_default();
        seen.waiting.insert(order, signals, &numbers[..reward.inputs.len()]);
        if seen.waiting.len() > PENDING_MAX {
            seen.settle(reward, 1);
        }
        true
    }

    /// Takes an event in that precedes what settled: [`Observed::event`] did not. Signals are what they would be had it come in
    /// time, but for unique seconds: what lies between it and those before and after it that came in time is not known to be watched,
    /// and what of it was skipped by those is not known to be; and but for which of equal times is first or last.
    pub fn late(&mut self, reward: &Reward, since: i64, time: i64, event: &Event<'_>) -> bool {
        let mut numbers = [0.0; super::SIGNALS_MAX];
        let signals = reward.signals_at(since, time, event, &mut numbers);
        if signals == 0 {
            return false;
        }
        let seen = self.0.get_or_insert_default();
        seen.make_room(reward);
        for (i, signal) in reward.signals.iter().enumerate().filter(|(i, _)| signals >> i & 1 == 1) {
            let number = signal.input.map_or(0.0, |input| numbers[input]);
            match signal.watched {
                Some(place) => seen.watched[place].add_late(time, number),
                None => seen.settled[i].add(signal.fold, time, number),
            }
        }
        seen.first = Some(seen.first.map_or(time, |first| first.min(time)));
        true
    }

    /// Whether an event that was given to it counts: it is in, or has settled.
    pub fn has(&self, reward: &Reward, since: i64, time: i64, event: &Event<'_>) -> bool {
        if reward.signals_at(since, time, event, &mut [0.0; super::SIGNALS_MAX]) == 0 {
            return false;
        }
        let order = (time, IdWords::new(event.id));
        self.0.as_ref().is_some_and(|seen| seen.waiting.has(order) || seen.floor.is_some_and(|floor| order <= floor))
    }

    /// Takes an event out again, because it belongs to another decision. False where it is not in, or has settled.
    pub fn retract(&mut self, time: i64, id: &str) -> bool {
        let Some(seen) = &mut self.0 else { return false };
        let is_in = seen.waiting.remove((time, IdWords::new(id)));
        if is_in && **seen == Seen::default() {
            self.0 = None;
        }
        is_in
    }

    /// Whether an explicit reward of this `ordinal` is in, as far as they are kept one by one.
    pub fn is_told(&self, ordinal: u64) -> bool {
        self.0.as_ref().is_some_and(|seen| seen.told.has(ordinal))
    }

    /// Takes an explicit reward in; `ordinal` (the offset) orders those of equal time. One that is not finite is ignored.
    pub fn tell(&mut self, time: i64, ordinal: u64, value: f64) {
        if value.is_finite() {
            self.0.get_or_insert_default().told.add(time, ordinal, value);
        }
    }

    /// Nothing before `horizon` will come any more: what is before it may be kept folded. Invisible from outside.
    pub fn settle(&mut self, reward: &Reward, horizon: i64) {
        let Some(seen) = &mut self.0 else { return };
        let count = seen.waiting.before(horizon);
        if count > 0 {
            seen.settle(reward, count);
        }
    }

    /// Nobody asks any more what was observed: only that something was, and when first, is kept.
    pub(crate) fn let_go(&mut self) {
        let first = self.first();
        if let Some(seen) = &mut self.0 {
            **seen = Seen { first, ..Seen::default() };
        }
    }

    /// What the pick is worth; none where nothing was observed. Explicit rewards go before the expression. A reward that
    /// cannot be had, or is beyond ±[`VALUE_MAX`](crate::learn::VALUE_MAX), is the default reward.
    pub fn value(&self, reward: &Reward, since: i64, fields: Fields<'_>) -> Option<Worth> {
        let seen = self.0.as_ref()?;
        if let Some(told) = seen.told.aggregate(reward.spec.aggregation) {
            return Some(reward.worth(Some(told)));
        }
        let mut signals = [0.0; super::SIGNALS_MAX];
        let signals = &mut signals[..reward.signals.len()];
        seen.read(reward, since, signals);
        Some(reward.worth(reward.evaluate(signals, fields)))
    }

    /// The signals by name, for people; and `explicit`, what the explicit rewards make together, where there are any.
    pub fn signals(&self, reward: &Reward, since: i64) -> Vec<(String, f64)> {
        let nothing = Seen::default();
        let seen = self.0.as_deref().unwrap_or(&nothing);
        let mut values = [0.0; super::SIGNALS_MAX];
        seen.read(reward, since, &mut values[..reward.signals.len()]);
        let named = reward.spec.signals.keys().cloned().zip(values);
        let told = seen.told.aggregate(reward.spec.aggregation).map(|value| ("explicit".to_string(), value));
        named.chain(told).collect()
    }
}

impl Seen {
    fn make_room(&mut self, reward: &Reward) {
        self.settled.resize(reward.signals.len(), Tally::default());
        self.watched.resize_with(reward.watched, Watched::default);
    }

    /// Folds the oldest `count` pending events.
    fn settle(&mut self, reward: &Reward, count: usize) {
        self.make_room(reward);
        for (i, signal) in reward.signals.iter().enumerate() {
            for (time, number) in self.waiting.of(i, signal.input, count) {
                match signal.watched {
                    Some(place) => self.watched[place].add(time, number),
                    None => self.settled[i].add(signal.fold, time, number),
                }
            }
        }
        // What was late may have come first.
        self.first = self.first.into_iter().chain(self.waiting.earliest()).min();
        self.floor = self.waiting.release(count, reward.inputs.len()).or(self.floor);
    }

    /// All signals, by place.
    fn read(&self, reward: &Reward, since: i64, out: &mut [f64]) {
        let wait_s = reward.spec.wait.0 as f64 / 1000.0;
        for (i, (signal, out)) in reward.signals.iter().zip(out).enumerate() {
            let events = self.waiting.of(i, signal.input, self.waiting.len());
            *out = match signal.watched {
                Some(place) => self.watched_s(place, events),
                None => {
                    let mut tally = self.settled.get(i).copied().unwrap_or_default();
                    events.for_each(|(time, number)| tally.add(signal.fold, time, number));
                    tally.read(signal.fold, since, wait_s)
                }
            };
        }
    }

    fn watched_s(&self, place: usize, events: impl Iterator<Item = (i64, f64)>) -> f64 {
        let nothing = Watched::default();
        let mut watched = Cow::Borrowed(self.watched.get(place).unwrap_or(&nothing));
        for (time, playhead_s) in events {
            watched.to_mut().add(time, playhead_s);
        }
        watched.seconds()
    }
}

/// One signal of a compiled spec.
#[derive(Debug)]
pub(super) struct Signal {
    pub fold: SignalFold,
    /// Place among the inputs, where it has one.
    pub input: Option<usize>,
    /// Place among the signals of unique seconds, where it is one.
    pub watched: Option<usize>,
}
