//! How the rate changed over a log: a course of levels, where it changed by more than chance.
//!
//! Events count when they came, as a schedule says when they are sent: by the log's own word, or by the times of the events around (`order.rs`); their
//! order in the file and clocks that are wrong change nothing. They are counted in bins that grow with the log, so that memory is bounded, and come out as levels of one length. What counts as chance is told by
//! the log itself: viewers are dealt into hands, and where nothing but chance is at work, each hand rises and falls on its own. So events that come in
//! clumps, as those of a session and of a batch do, are not taken for a change. Neighbouring levels that differ by no more are one.
//!
//! What is shorter than a second is not looked at.

use crate::schedule::{Levels, Shape};
use crate::span::Span;
use std::collections::BTreeMap;
use std::time::Duration;

/// Hands that viewers are dealt into.
const HANDS: usize = 8;
/// Widths of bins, milliseconds: where there are more than [`BINS_MAX`], the next one. A level has eight bins or more, but for the longest.
const WIDTHS_MS: [i64; 7] = [10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000];
const BINS_MAX: usize = 1 << 14;
/// Lengths of levels, seconds: whole multiples of the bins that a log has for which there are at most [`LEVELS`].
const EVERY_S: [i64; 18] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400];
/// Most levels that are fitted; with fewer than the least, a course is none.
const LEVELS: i64 = 200;
const LEVELS_LEAST: i64 = 3;
/// Events of a level on average, at least; times as many where they come in clumps.
const EVENTS_LEAST: f64 = 100.0;
/// Neighbours are apart that differ by so many deviations of what chance does. High, as the largest of many differences is looked at.
const CHANCE: f64 = 5.0;
/// Less of a difference is not worth a level, as a part of the rate.
const CHANGE_LEAST: f64 = 0.03;
/// Longest run.
const DURATION_MAX: Duration = Duration::from_secs(86_400);

/// Events by time and hand.
pub(super) struct Rate {
    width_ms: i64,
    bins: BTreeMap<i64, [u64; HANDS]>,
}

/// What the rate did.
#[derive(Debug)]
pub(super) struct Found {
    /// Constant, or levels.
    pub(super) shape: Shape,
    /// Length of the levels that were looked at; and of all together, at most a day.
    pub(super) every: Span,
    pub(super) duration: Span,
    /// Lowest and highest, events per second.
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Neighbouring levels that are one.
#[derive(Clone, Copy)]
struct Stretch {
    levels: usize,
    events: f64,
    seconds: f64,
}

impl Rate {
    pub(super) fn new() -> Rate {
        Rate { width_ms: WIDTHS_MS[0], bins: BTreeMap::new() }
    }

    /// Takes an event of `who`, a hash.
    pub(super) fn take(&mut self, time_ms: i64, who: u64) {
        // Not the end of the hash, by which viewers are chosen to be followed.
        let hand = (who >> 32) as usize % HANDS;
        self.bins.entry(time_ms.div_euclid(self.width_ms)).or_default()[hand] += 1;
        if self.bins.len() > BINS_MAX {
            self.widen();
        }
    }

    fn widen(&mut self) {
        let Some(wider) = WIDTHS_MS.into_iter().find(|width| *width > self.width_ms) else { return };
        let mut bins: BTreeMap<i64, [u64; HANDS]> = BTreeMap::new();
        for (bin, hands) in &self.bins {
            let into = bins.entry(bin.div_euclid(wider / self.width_ms)).or_default();
            into.iter_mut().zip(hands).for_each(|(into, n)| *into += n);
        }
        (self.width_ms, self.bins) = (wider, bins);
    }

    /// What the rate did from the first to the latest event, epoch milliseconds. None where there are too few to tell.
    pub(super) fn found(&self, first: i64, latest: i64) -> Option<Found> {
        let (low, high) = (self.bins.first_key_value()?.0, self.bins.last_key_value()?.0);
        let inside = |bin: i64, time: i64| time.clamp(bin * self.width_ms, (bin + 1) * self.width_ms);
        let bounds = (inside(*low, first), inside(*high, latest));
        EVERY_S.into_iter().find_map(|every_s| self.found_by(every_s * 1_000, low * self.width_ms, bounds))
    }

    /// The same by levels of this length, the first of which begins at `begin_ms`; none where they are too many, too few, or too short.
    fn found_by(&self, every_ms: i64, begin_ms: i64, (first, latest): (i64, i64)) -> Option<Found> {
        // Half a level at the end is part of the one before.
        let count = (latest - begin_ms + every_ms / 2) / every_ms;
        if !(LEVELS_LEAST..=LEVELS).contains(&count) || every_ms % self.width_ms != 0 {
            return None;
        }
        let mut levels = vec![[0; HANDS]; count as usize];
        for (bin, hands) in &self.bins {
            let level = ((bin * self.width_ms - begin_ms) / every_ms).min(count - 1);
            levels[level as usize].iter_mut().zip(hands).for_each(|(level, n)| *level += n);
        }
        let clump = clump(&levels)?;
        let events: u64 = levels.iter().flatten().sum();
        if (events as f64) < EVENTS_LEAST * clump * count as f64 {
            return None;
        }
        let stretch = |(nth, hands): (i64, &[u64; HANDS])| {
            let begin = first.max(begin_ms + nth * every_ms);
            let end = if nth == count - 1 { latest } else { begin_ms + (nth + 1) * every_ms };
            Stretch { levels: 1, events: hands.iter().sum::<u64>() as f64, seconds: (end - begin).max(1) as f64 / 1e3 }
        };
        let stretches = joined((0..).zip(&levels).map(stretch).collect(), clump);
        Some(Found::new(Duration::from_millis(every_ms as u64), &stretches))
    }
}

impl Found {
    fn new(every: Duration, stretches: &[Stretch]) -> Found {
        let whole = stretches.iter().copied().reduce(Stretch::with).expect("there are levels");
        let rates = stretches.iter().map(|stretch| stretch.rate());
        let (low, high) = rates.fold((f64::MAX, 0.0f64), |(low, high), rate| (low.min(rate), high.max(rate)));
        let factor = |stretch: &Stretch| {
            // What a shape can say.
            let factor = ((stretch.rate() / whole.rate() * 1e3).round() / 1e3).clamp(0.001, 1_000.0);
            std::iter::repeat_n(factor, stretch.levels)
        };
        let shape = match stretches {
            [_] => Shape::Constant,
            _ => Shape::Levels(Levels::new(Span(every), stretches.iter().flat_map(factor).collect())),
        };
        Found { shape, every: Span(every), duration: Span((every * whole.levels as u32).min(DURATION_MAX)), low, high }
    }
}

impl Stretch {
    fn rate(&self) -> f64 {
        self.events / self.seconds
    }

    fn with(self, next: Stretch) -> Stretch {
        Stretch {
            levels: self.levels + next.levels,
            events: self.events + next.events,
            seconds: self.seconds + next.seconds,
        }
    }

    /// How far apart two are; up to 1 they may be one.
    fn apart(&self, next: &Stretch, clump: f64) -> f64 {
        let rate = self.with(*next).rate();
        let deviation = (clump * rate * (1.0 / self.seconds + 1.0 / next.seconds)).sqrt();
        let allowed = (CHANCE * deviation).max(CHANGE_LEAST * rate);
        if allowed > 0.0 { (self.rate() - next.rate()).abs() / allowed } else { 0.0 }
    }
}

/// Joins neighbours, those that are least apart first, until all that are left are apart.
fn joined(mut stretches: Vec<Stretch>, clump: f64) -> Vec<Stretch> {
    loop {
        let apart = stretches.windows(2).map(|pair| pair[0].apart(&pair[1], clump)).enumerate();
        match apart.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
            Some((at, apart)) if apart <= 1.0 => {
                let next = stretches.remove(at + 1);
                stretches[at] = stretches[at].with(next);
            }
            _ => return stretches,
        }
    }
}

/// By how much counts vary more than those of events that come one by one: 1 where they do, else about the events of a clump.
///
/// Pearson's statistic of levels by hands over its degrees of freedom: a change of the rate is the same in all hands and is not in it. None where
/// all events are of one hand.
fn clump(levels: &[[u64; HANDS]]) -> Option<f64> {
    let of_hand: [u64; HANDS] = std::array::from_fn(|hand| levels.iter().map(|hands| hands[hand]).sum());
    let all: u64 = of_hand.iter().sum();
    let (mut sum, mut rows) = (0.0, 0);
    for hands in levels.iter().filter(|hands| hands.iter().any(|n| *n > 0)) {
        let row: u64 = hands.iter().sum();
        rows += 1;
        for (n, of_hand) in hands.iter().zip(of_hand).filter(|(_, of_hand)| *of_hand > 0) {
            let expected = row as f64 * of_hand as f64 / all as f64;
            sum += (*n as f64 - expected) * (*n as f64 - expected) / expected;
        }
    }
    let columns = of_hand.iter().filter(|n| **n > 0).count();
    (rows > 1 && columns > 1).then(|| (sum / ((rows - 1) * (columns - 1)) as f64).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::{Draws, Stream};

    /// Clumps of so many events each at Poisson times, at a rate of clumps per second that depends on the second, for so many seconds.
    fn rate(seed: u64, seconds: u64, clump: u64, clumps: impl Fn(f64) -> f64) -> (Rate, i64, i64) {
        let (mut rate, mut draws, mut time_s) = (Rate::new(), Draws::new(seed, Stream::Arrival, 1), 0.0);
        loop {
            time_s += draws.exponential(1.0 / clumps(time_s));
            if time_s >= seconds as f64 {
                return (rate, START_MS, START_MS + 1_000 * seconds as i64);
            }
            let who = draws.bits();
            (0..clump).for_each(|_| rate.take(START_MS + (time_s * 1e3) as i64, who));
        }
    }

    const START_MS: i64 = 1_768_503_600_123;

    fn found((rate, first, latest): (Rate, i64, i64)) -> Found {
        rate.found(first, latest).expect("there are events enough")
    }

    #[test]
    fn a_steady_rate_is_constant_whether_events_come_one_by_one_or_in_clumps() {
        for clump in [1, 20] {
            for seed in 0..60 {
                let found = found(rate(seed, 190, clump, |_| 110.0));
                assert_eq!(found.shape, Shape::Constant, "clumps of {clump}, seed {seed}: {found:?}");
                assert!((found.low / clump as f64 - 110.0).abs() < 4.0 && found.low == found.high, "{found:?}");
            }
        }
    }

    #[test]
    fn a_spike_is_found_where_it_is_and_as_high_as_it_is() {
        let spike = |t: f64| if (30.0..50.0).contains(&t) { 300.0 } else { 100.0 };
        for (clump, seed) in [(1, 1), (1, 2), (3, 3)] {
            let found = found(rate(seed, 120, clump, spike));
            let Shape::Levels(levels) = &found.shape else { panic!("{found:?}") };
            assert_eq!(found.duration, Span(Duration::from_secs(120)));
            let mean = 100.0 * (1.0 + 2.0 * 20.0 / 120.0);
            let every = levels.every().seconds();
            for second in 0..120 {
                let (factor, t) = (found.shape.factor(f64::from(second) + 0.5), f64::from(second));
                let is_edge = (t - 30.0).abs() < every + 1.0 || (t - 50.0).abs() < every + 1.0;
                assert!(is_edge || (factor * mean / spike(t) - 1.0).abs() < 0.1, "second {second}: {found:?}");
            }
        }
    }

    #[test]
    fn days_have_their_evenings_and_at_most_so_many_levels_and_bins() {
        let evening = |t: f64| 0.5 * (1.0 + 0.5 * (t / 86_400.0 * std::f64::consts::TAU).sin());
        let (rate, first, latest) = rate(4, 3 * 86_400, 1, evening);
        assert!(rate.bins.len() <= BINS_MAX);
        let found = rate.found(first, latest).expect("there are events enough");
        let Shape::Levels(levels) = &found.shape else { panic!("{found:?}") };
        assert!(levels.runs().map(|(_, times)| times).sum::<usize>() <= LEVELS as usize);
        assert_eq!(found.duration, Span(DURATION_MAX));
        assert!((found.shape.integral(3.0 * 86_400.0) / 86_400.0 - 3.0).abs() < 0.01, "{found:?}");
        for hour in 0..72 {
            let t = f64::from(hour) * 3_600.0 + 1_800.0;
            assert!((found.shape.factor(t) * 0.5 / evening(t) - 1.0).abs() < 0.2, "hour {hour}: {found:?}");
        }
    }

    #[test]
    fn a_silence_is_a_level_and_what_is_too_little_is_nothing() {
        let (mut rate, first, latest) = rate(5, 60, 1, |_| 200.0);
        rate.bins.retain(|bin, _| !(20_000..40_000).contains(&(bin * rate.width_ms - START_MS)));
        let silent = rate.found(first, latest).expect("there are events enough");
        assert_eq!(silent.shape.factor(30.0), 0.001, "{silent:?}");
        rate.bins.retain(|bin, _| bin % 50 == 0);
        assert!(rate.found(first, latest).is_none());
        let mut one = Rate::new();
        (0..100_000).for_each(|n| one.take(n, 7));
        assert!(one.found(0, 100_000).is_none(), "of one viewer it is not known what chance does");
    }
}
