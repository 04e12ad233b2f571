//! Explicit rewards of one pick: told, not observed.

use super::spec::Aggregation;
use serde::{Deserialize, Serialize};

/// Explicit rewards kept one by one. What is later than these is only summed up: the sum then depends on the order of arrival in
/// its last bits, and the median is that of the first 64.
pub(super) const TOLD_MAX: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    /// Event time, ordinal and value, by time and ordinal.
    first: Vec<(i64, u64, f64)>,
    later: Option<Later>,
}

/// Those beyond the first 64.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Later {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Told {
    pub(super) fn add(&mut self, time: i64, ordinal: u64, value: f64) {
        let place = self.first.partition_point(|(t, o, _)| (*t, *o) <= (time, ordinal));
        self.first.insert(place, (time, ordinal, value));
        if self.first.len() <= TOLD_MAX {
            return;
        }
        let Some((_, _, last)) = self.first.pop() else { return };
        self.later = Some(match self.later {
            None => Later { count: 1, sum: last, min: last, max: last },
            Some(later) => Later {
                count: later.count + 1,
                sum: later.sum + last,
                min: if last < later.min { last } else { later.min },
                max: if last > later.max { last } else { later.max },
            },
        });
    }

    pub(super) fn has(&self, ordinal: u64) -> bool {
        self.first.iter().any(|(_, known, _)| *known == ordinal)
    }

    /// Event time of the earliest.
    pub(super) fn earliest(&self) -> Option<i64> {
        self.first.first().map(|(time, ..)| *time)
    }

    /// What they make together; none where nothing was told.
    pub(super) fn aggregate(&self, aggregation: Aggregation) -> Option<f64> {
        let earliest = self.first.first()?.2;
        Some(match aggregation {
            Aggregation::Earliest => earliest,
            Aggregation::Sum => self.sum(),
            Aggregation::Average => {
                let count = self.first.len() as u64 + self.later.map_or(0, |later| later.count);
                self.sum() / count as f64
            }
            Aggregation::Median => self.median(),
            Aggregation::Min => self.values().chain(self.later.map(|l| l.min)).fold(earliest, less),
            Aggregation::Max => self.values().chain(self.later.map(|l| l.max)).fold(earliest, greater),
        })
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.first.iter().map(|(_, _, value)| *value)
    }

    /// Begins with the first value, so that −0 stays −0.
    fn sum(&self) -> f64 {
        let sum = self.values().reduce(|sum, value| sum + value).unwrap_or(0.0);
        self.later.map_or(sum, |later| sum + later.sum)
    }

    fn median(&self) -> f64 {
        let mut values: Vec<f64> = self.values().collect();
        values.sort_unstable_by(f64::total_cmp);
        let half = values.len() / 2;
        // Half of each first: the sum of two great ones is no infinity.
        if values.len() % 2 == 1 { values[half] } else { values[half - 1] / 2.0 + values[half] / 2.0 }
    }
}

fn less(a: f64, b: f64) -> f64 {
    if b < a { b } else { a }
}

fn greater(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}
