//! Rows: the state of one session or viewer as a fixed number of words, and how one event is folded into it.
//!
//! Word layout: 0 latest event time, 1 first event time, 2 events, 3 viewer (hash), then the features of the scope, then the
//! items: place of the latest item + 1, and per item its hash, its latest and its first event time and the item features. All
//! zero is fresh.
//! Folding never looks at anything but the row and the event, so a row is a function of its events in order.

use crate::feature::{ABSENT, Clocks, Features, Moment, Step};
use crate::math;

pub(crate) const LAST: usize = 0;
pub(crate) const START: usize = 1;
pub(crate) const EVENTS: usize = 2;
pub(crate) const VIEWER: usize = 3;
/// Words before the features, and before those of an item.
pub(crate) const HEADER: usize = 4;
pub(crate) const ITEM_HEADER: usize = 3;

/// A row's life: from the event that began it to its latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub start: i64,
    pub last: i64,
    pub events: u64,
}

impl Life {
    pub(crate) fn of(row: &[u64]) -> Life {
        Life { start: row[START] as i64, last: row[LAST] as i64, events: row[EVENTS] }
    }
}

/// Layout and rules of the rows of one scope.
#[derive(Debug)]
pub(crate) struct RowPlan {
    /// Features of the scope.
    pub own: Features,
    /// Features per item.
    pub item: Features,
    /// Items kept apart; 0 without item features.
    pub items_max: usize,
    /// Words of all features of one item.
    pub item_words: usize,
    /// Input of the item's hash.
    pub item_input: Option<usize>,
    /// Input of the viewer's hash.
    pub viewer_input: Option<usize>,
    /// Words of a row.
    pub words: usize,
    /// Distinct half-lives, ms.
    pub half_lives: Vec<f64>,
    /// Silence that ends the row's life, ms.
    pub gap: i64,
    /// Age that ends the row's life, ms.
    pub max_length: i64,
}

/// Buffers of a fold; contents do not matter between calls.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    decay: Vec<f64>,
    item_decay: Vec<f64>,
    clocks: Clocks,
}

impl Scratch {
    pub(crate) fn new(half_lives: usize) -> Self {
        let clocks = Clocks::default();
        Scratch { decay: vec![1.0; half_lives], item_decay: vec![1.0; half_lives], clocks }
    }
}

impl RowPlan {
    /// True where an event at `time` does not belong to the life the row is in.
    pub(crate) fn splits(&self, row: &[u64], time: i64) -> bool {
        row[EVENTS] > 0 && (time - row[LAST] as i64 > self.gap || time - row[START] as i64 > self.max_length)
    }

    /// Event time after which no event can belong to the life the row is in.
    pub(crate) fn due(&self, row: &[u64]) -> i64 {
        (row[LAST] as i64 + self.gap).min(row[START] as i64 + self.max_length)
    }

    /// Folds one event; it is not before the row's latest. Gives the life that it ended, where it began another.
    pub(crate) fn fold(
        &self,
        row: &mut [u64],
        time: i64,
        kind: u64,
        inputs: &[u64],
        scratch: &mut Scratch,
    ) -> Option<Life> {
        let ended = self.splits(row, time).then(|| Life::of(row));
        if ended.is_some() {
            row.fill(0);
        }
        let fresh = row[EVENTS] == 0;
        let elapsed = if fresh { 0 } else { time - row[LAST] as i64 };
        debug_assert!(elapsed >= 0, "events are folded in event-time order");
        decays(&self.half_lives, elapsed, &mut scratch.decay);
        let step = Step { time, elapsed, decay: &scratch.decay, kind, inputs };
        self.own.update(row, &step);
        if fresh {
            row[START] = time as u64;
        }
        row[LAST] = time as u64;
        row[EVENTS] += 1;
        if let Some(viewer) = self.viewer_input.map(|i| inputs[i]).filter(|w| *w != ABSENT) {
            row[VIEWER] = viewer;
        }
        if let Some(item) = self.item_input.map(|i| inputs[i]).filter(|w| *w != ABSENT) {
            self.fold_item(row, item, &step, &mut scratch.item_decay);
        }
        ended
    }

    fn items_at(&self) -> usize {
        self.words - self.items_max * self.item_words
    }

    /// Folds into the item's own words; a new item takes the place of the least recent one.
    fn fold_item(&self, row: &mut [u64], item: u64, step: &Step<'_>, decay: &mut [f64]) {
        let items_at = self.items_at();
        let (head, items) = row.split_at_mut(items_at);
        let place = |items: &[u64]| {
            let mut oldest = 0;
            for i in 0..self.items_max {
                let words = &items[i * self.item_words..];
                if words[0] == item && words[1] != 0 {
                    return (i, true);
                }
                if words[1] < items[oldest * self.item_words + 1] {
                    oldest = i;
                }
            }
            (oldest, false)
        };
        let (i, known) = place(items);
        head[items_at - 1] = i as u64 + 1;
        let words = &mut items[i * self.item_words..][..self.item_words];
        if !known {
            words.fill(0);
            words[2] = step.time as u64;
        }
        let elapsed = if known { step.time - words[1] as i64 } else { 0 };
        if self.item.decay() {
            decays(&self.half_lives, elapsed, decay);
        }
        let step = Step { time: step.time, elapsed, decay, kind: step.kind, inputs: step.inputs };
        (words[0], words[1]) = (item, step.time as u64);
        self.item.update(words, &step);
    }

    /// Writes the row's slots as of its latest event; a fresh row gives what is shown for nothing seen.
    pub(crate) fn read(&self, row: &[u64], vector: &mut [f32], scratch: &mut Scratch) {
        let (time, start) = (row[LAST] as i64, row[START] as i64);
        let at = Moment { time, start, decay: &[], clocks: &scratch.clocks };
        self.own.read(row, &at, vector);
        if self.items_max == 0 {
            return;
        }
        let items_at = self.items_at();
        let latest = row[items_at - 1].saturating_sub(1) as usize;
        let words = &row[items_at + latest * self.item_words..][..self.item_words];
        if self.item.decay() {
            let elapsed = if words[1] == 0 { 0 } else { time - words[1] as i64 };
            decays(&self.half_lives, elapsed, &mut scratch.item_decay);
        }
        let (start, decay, clocks) = (words[2] as i64, &*scratch.item_decay, &scratch.clocks);
        let at = Moment { time, start, decay, clocks };
        self.item.read(words, &at, vector);
    }
}

fn decays(half_lives: &[f64], elapsed: i64, out: &mut [f64]) {
    if elapsed == 0 {
        out.fill(1.0);
        return;
    }
    for (factor, half_life) in out.iter_mut().zip(half_lives) {
        *factor = math::exp2(-(elapsed as f64) / half_life);
    }
}
