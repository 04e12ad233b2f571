//! The features of a scope, laid out over a row's words and the vector's slots.
//!
//! Features of one operator stand together, whatever their order in the plan: each owns its words and slots, so only the
//! layout shows the order, and folding or reading them is one loop per operator without a choice per feature.

use super::*;
use std::ops::Range;

/// Where a feature's words are in the row, and its slots in the vector.
#[derive(Clone, Debug)]
struct Place {
    words: Range<usize>,
    slots: Range<usize>,
}

type Placed<F> = Vec<(F, Place)>;

#[derive(Debug, Default)]
pub(crate) struct Features {
    /// Words that decay by one half-life.
    decays: Vec<(Range<usize>, usize)>,
    decayed: Placed<Decayed>,
    tallies: Placed<Tally>,
    ratios: Placed<Ratio>,
    since: Placed<TimeSince>,
    recency: Placed<Recency>,
    distinct: Placed<Distinct>,
    ages: Placed<Shown>,
    playback: Placed<Playback>,
    scroll: Placed<Scroll>,
    categories: Placed<Category>,
    local_time: Placed<LocalTime>,
    /// The word after the last.
    end: usize,
}

impl Features {
    /// Of features with their first slot each, in order; their words begin at `first`.
    pub(crate) fn lay(features: Vec<(Feature, usize)>, first: usize) -> Features {
        let mut all = Features { end: first, ..Features::default() };
        for (feature, slot) in features {
            let place = Place { words: all.end..all.end + feature.words(), slots: slot..slot + feature.slots() };
            all.end = place.words.end;
            match feature {
                Feature::Decayed(f) => {
                    all.decays.extend(f.decays(place.words.start));
                    all.decayed.push((f, place));
                }
                Feature::Tally(f) => all.tallies.push((f, place)),
                Feature::Ratio(f) => all.ratios.push((f, place)),
                Feature::TimeSince(f) => all.since.push((f, place)),
                Feature::Recency(f) => all.recency.push((f, place)),
                Feature::Distinct(f) => all.distinct.push((f, place)),
                Feature::Age(f) => all.ages.push((f, place)),
                Feature::Playback(f) => all.playback.push((f, place)),
                Feature::Scroll(f) => all.scroll.push((f, place)),
                Feature::Category(f) => all.categories.push((f, place)),
                Feature::LocalTime(f) => all.local_time.push((f, place)),
            }
        }
        all
    }

    /// The word after the last.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// Folds one event.
    pub(crate) fn update(&self, row: &mut [u64], step: &Step<'_>) {
        if step.elapsed > 0 {
            for (words, half_life) in &self.decays {
                decay(&mut row[words.clone()], step.decay[*half_life]);
            }
        }
        for (f, place) in &self.decayed {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in &self.tallies {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in &self.ratios {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in &self.since {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in &self.recency {
            f.update(&mut row[place.words.start], step);
        }
        for (f, place) in &self.distinct {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in &self.playback {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in &self.scroll {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in &self.categories {
            f.update(&mut row[place.words.start], step);
        }
        for (f, place) in &self.local_time {
            f.update(&mut row[place.words.clone()], step);
        }
    }

    /// Writes the slots as of `at`.
    pub(crate) fn read(&self, row: &[u64], at: &Moment<'_>, vector: &mut [f32]) {
        for (f, place) in &self.decayed {
            f.read(&row[place.words.clone()], at, &mut vector[place.slots.clone()]);
        }
        for (f, place) in &self.tallies {
            f.read(&row[place.words.clone()], &mut vector[place.slots.clone()]);
        }
        for (f, place) in &self.ratios {
            f.read(&row[place.words.clone()], &mut vector[place.slots.clone()]);
        }
        for (f, place) in &self.since {
            f.read(&row[place.words.clone()], at, &mut vector[place.slots.clone()]);
        }
        for (f, place) in &self.recency {
            vector[place.slots.start] = f.read(row[place.words.start]);
        }
        for (f, place) in &self.distinct {
            vector[place.slots.start] = f.read(&row[place.words.clone()]);
        }
        for (age, place) in &self.ages {
            let seen = (at.start != 0).then(|| (at.time - at.start) as f64 / 1000.0);
            vector[place.slots.start] = age.slot(seen);
        }
        for (f, place) in &self.playback {
            f.read(&row[place.words.clone()], &mut vector[place.slots.clone()]);
        }
        for (f, place) in &self.scroll {
            f.read(&row[place.words.clone()], &mut vector[place.slots.clone()]);
        }
        for (f, place) in &self.categories {
            f.read(row[place.words.start], &mut vector[place.slots.clone()]);
        }
        for (f, place) in &self.local_time {
            f.read(&row[place.words.clone()], at, &mut vector[place.slots.clone()]);
        }
    }
}

#[inline]
fn decay(sums: &mut [u64], factor: f64) {
    let decay = |word: &mut u64| *word = (f64::from_bits(*word) * factor).to_bits();
    // By pairs, so that two are multiplied at once.
    let (pairs, odd) = sums.as_chunks_mut::<2>();
    pairs.iter_mut().for_each(|pair| pair.iter_mut().for_each(decay));
    odd.iter_mut().for_each(decay);
}
