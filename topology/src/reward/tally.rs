//! One signal as it is gathered, event after event. In which order does not matter, but for the last bits of a sum, and for which of
//! equal times is first or last: that is by event id where they come in time, else by arrival.

use super::spec::SignalFold;
use serde::{Deserialize, Serialize};

/// What any fold but [`SignalFold::UniqueSeconds`] has to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Events so far.
    events: u64,
    /// The sum, or the number that is kept.
    kept: f64,
    /// Where it matters which was first or last: when that was, in ms since the epoch.
    at: i64,
}

impl Tally {
    /// Takes an event in; `number` is its field's value, where the fold has a field.
    pub(super) fn add(&mut self, fold: SignalFold, time: i64, number: f64) {
        let is_first = self.events == 0;
        self.events += 1;
        match fold {
            SignalFold::Sum => self.kept += number,
            SignalFold::Max if is_first || number > self.kept => self.kept = number,
            SignalFold::Min if is_first || number < self.kept => self.kept = number,
            SignalFold::First | SignalFold::TimeUntil if is_first || time < self.at => {
                (self.kept, self.at) = (number, time);
            }
            SignalFold::Last if is_first || time >= self.at => (self.kept, self.at) = (number, time),
            _ => {}
        }
    }

    /// The signal; times are counted from `since`, both in ms, and one that never came is `wait_s` away.
    pub(super) fn read(&self, fold: SignalFold, since: i64, wait_s: f64) -> f64 {
        match fold {
            SignalFold::Any => f64::from(u8::from(self.events > 0)),
            SignalFold::Count => self.events as f64,
            SignalFold::TimeUntil if self.events == 0 => wait_s,
            SignalFold::TimeUntil => (self.at - since) as f64 / 1000.0,
            _ => self.kept,
        }
    }
}
