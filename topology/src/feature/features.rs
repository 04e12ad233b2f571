//! The features of a scope, laid out over a row's words and the vector's slots.
//!
//! Features of one operator stand together, whatever their order in the plan: each owns its words and slots, so only the
//! layout shows the order, and folding or reading them is one loop per operator without a choice per feature. Words that decay, and
//! those that are shown as they are but for a factor, are lists of their own over all features: a few instructions each.

use super::*;
use std::ops::Range;

/// Where a feature's words are in the row, and its slots in the vector.
#[derive(Clone, Debug)]
struct Place {
    words: Range<usize>,
    slots: Range<usize>,
}

type Placed<F> = Vec<(F, Place)>;

/// A number in a word that decays by a half-life.
#[derive(Clone, Copy, Debug)]
struct Decays {
    word: u32,
    half_life: u32,
}

/// Numbers in words one after another that are shown in slots one after another: times `factor`, and what is left of them after a
/// half-life where the row is read later than it was folded.
#[derive(Clone, Copy, Debug)]
struct Scaled {
    word: usize,
    slot: usize,
    count: usize,
    half_life: Option<usize>,
    factor: f64,
}

#[derive(Debug, Default)]
pub(crate) struct Features {
    decays: Vec<Decays>,
    scaled: Vec<Scaled>,
    decayed: Placed<Decayed>,
    means: Placed<Mean>,
    tallies: Placed<Tally>,
    extremes: Placed<Tally>,
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
    /// Not only as of the latest event folded.
    are_read_later: bool,
}

impl Features {
    /// Of features with their first slot each, in order; their words begin at `first`. `are_read_later`: as of moments after the
    /// latest event folded too.
    pub(crate) fn lay(features: Vec<(Feature, usize)>, first: usize, are_read_later: bool) -> Features {
        let mut all = Features { end: first, are_read_later, ..Features::default() };
        for (feature, slot) in features {
            let place = Place { words: all.end..all.end + feature.words(), slots: slot..slot + feature.slots() };
            all.end = place.words.end;
            match feature {
                Feature::Decayed(f) => all.lay_decayed(f, place),
                Feature::Tally(f) => all.lay_tally(f, place),
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

    fn lay_decayed(&mut self, f: Decayed, place: Place) {
        let (stride, count) = (f.stride(), f.groups.count);
        for (nth, (half_life, per_s)) in f.half_lives.iter().enumerate() {
            let (word, slot) = (place.words.start + nth * stride, place.slots.start + nth * count);
            let decays = |word| Decays { word: word as u32, half_life: *half_life as u32 };
            self.decays.extend((word..word + stride).map(decays));
            if let Some(mean) = f.mean() {
                self.means.push((mean, Place { words: word..word + stride, slots: slot..slot + count }));
                continue;
            }
            let per_s = if f.figure == DecayedFigure::Rate { *per_s } else { 1.0 };
            let half_life = self.are_read_later.then_some(*half_life);
            self.scale(Scaled { word, slot, count, half_life, factor: f.shown.scale * per_s });
        }
        self.decayed.push((f, place));
    }

    /// Where it goes on like the one before it, that is made longer.
    fn scale(&mut self, next: Scaled) {
        match self.scaled.last_mut() {
            Some(last)
                if (last.word + last.count, last.slot + last.count) == (next.word, next.slot)
                    && (last.half_life, last.factor) == (next.half_life, next.factor) =>
            {
                last.count += next.count;
            }
            _ => self.scaled.push(next),
        }
    }

    fn lay_tally(&mut self, f: Tally, place: Place) {
        if matches!(f.figure, TallyFigure::Max | TallyFigure::Min) {
            return self.extremes.push((f, place));
        }
        let (word, slot, count) = (place.words.start, place.slots.start, place.slots.len());
        self.scale(Scaled { word, slot, count, half_life: None, factor: f.shown.scale });
        self.tallies.push((f, place));
    }

    /// The word after the last.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// Whether any word decays.
    pub(crate) fn decay(&self) -> bool {
        !self.decays.is_empty()
    }

    /// Folds one event.
    pub(crate) fn update(&self, row: &mut [u64], step: &Step<'_>) {
        if step.elapsed > 0 {
            for Decays { word, half_life } in &self.decays {
                let word = &mut row[*word as usize];
                *word = (f64::from_bits(*word) * step.decay[*half_life as usize]).to_bits();
            }
        }
        for (f, place) in self.decayed.iter().filter(|(f, _)| f.filter.passes(step)) {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in self.tallies.iter().chain(&self.extremes).filter(|(f, _)| f.filter.passes(step)) {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in &self.ratios {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in self.since.iter().filter(|(f, _)| f.filter.passes(step)) {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in self.recency.iter().filter(|(f, _)| f.filter.passes(step)) {
            f.update(&mut row[place.words.start], step);
        }
        for (f, place) in self.distinct.iter().filter(|(f, _)| f.filter.passes(step)) {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in &self.playback {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in self.scroll.iter().filter(|(f, _)| f.filter.passes(step)) {
            f.update(&mut row[place.words.clone()], step);
        }
        for (f, place) in self.categories.iter().filter(|(f, _)| f.filter.passes(step)) {
            f.update(&mut row[place.words.start], step);
        }
        for (f, place) in &self.local_time {
            f.update(&mut row[place.words.clone()], step);
        }
    }

    /// Writes the slots as of `at`.
    pub(crate) fn read(&self, row: &[u64], at: &Moment<'_>, vector: &mut [f32]) {
        for Scaled { word, slot, count, half_life, factor } in &self.scaled {
            let factor = half_life.map_or(*factor, |half_life| factor * at.decay[half_life]);
            for (slot, word) in vector[*slot..][..*count].iter_mut().zip(&row[*word..][..*count]) {
                *slot = (f64::from_bits(*word) * factor) as f32;
            }
        }
        for (f, place) in &self.means {
            f.read(&row[place.words.clone()], &mut vector[place.slots.clone()]);
        }
        for (f, place) in &self.extremes {
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
