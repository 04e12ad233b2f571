//! Features: what is folded from events into words of state, and read from them into slots of the vector.
//!
//! A feature owns a fixed number of words; zero words are its fresh state. `update` sees the events that pass its filter, in
//! event-time order, each once; `read` gives the slots as of the latest event. To add one: a file here, a variant below, a list in
//! [`Features`], a line in [`crate::plan`].

mod category;
mod decayed;
mod distinct;
mod features;
mod local_time;
mod playback;
mod recency;
mod scroll;
mod tally;

pub(crate) use category::{Category, Encoding as CategoryEncoding};
pub(crate) use decayed::{Decayed, Figure as DecayedFigure, Mean};
pub(crate) use distinct::Distinct;
pub(crate) use features::Features;
pub(crate) use local_time::{Clocks, LocalTime, OUTPUTS as LOCAL_TIME_OUTPUTS};
pub(crate) use playback::{OUTPUTS as PLAYBACK_OUTPUTS, Playback, kinds as playback_kinds};
pub(crate) use recency::{Kept, Recency, TimeSince};
pub(crate) use scroll::{OUTPUTS as SCROLL_OUTPUTS, Scroll};
pub(crate) use tally::{Figure as TallyFigure, Ratio, Tally};

/// Input word of a field the event does not have. Not the bits of any finite number, hash or code.
pub(crate) const ABSENT: u64 = u64::MAX;

/// One event on its way into a row of state.
pub(crate) struct Step<'a> {
    /// Event time, ms.
    pub time: i64,
    /// Event time since the row's previous event, ms; 0 for the first.
    pub elapsed: i64,
    /// 2^(-elapsed / half_life) for each half-life of the plan.
    pub decay: &'a [f64],
    /// One bit per event type the plan names, bit 63 for all others.
    pub kind: u64,
    /// One word per input of the plan.
    pub inputs: &'a [u64],
}

impl Step<'_> {
    pub(crate) fn number(&self, input: usize) -> Option<f64> {
        let word = self.inputs[input];
        (word != ABSENT).then(|| f64::from_bits(word))
    }

    pub(crate) fn word(&self, input: usize) -> Option<u64> {
        let word = self.inputs[input];
        (word != ABSENT).then_some(word)
    }
}

/// The moment a row is read at.
pub(crate) struct Moment<'a> {
    /// Latest event time of the row, ms.
    pub time: i64,
    /// First event time of the row, ms.
    pub start: i64,
    /// 2^(-(time - state's own time) / half_life) of an item, that may not have been in the latest event.
    pub decay: &'a [f64],
    pub clocks: &'a Clocks,
}

/// Which events count: a bit per event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filter(pub u64);

impl Filter {
    pub(crate) const ALL: Filter = Filter(u64::MAX);

    pub(crate) fn passes(self, step: &Step<'_>) -> bool {
        self.0 & step.kind != 0
    }
}

/// Groups of slots, one per listed value of a field; one group without a field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups {
    /// The input that holds the group's code.
    pub input: Option<usize>,
    /// How many.
    pub count: usize,
}

impl Groups {
    pub(crate) const ONE: Groups = Groups { input: None, count: 1 };

    pub(crate) fn of(&self, step: &Step<'_>) -> Option<usize> {
        match self.input {
            None => Some(0),
            Some(input) => step.word(input).map(|code| code as usize),
        }
    }
}

/// What a slot shows: `absent` where nothing was seen, else the figure times `scale`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub absent: f64,
    pub scale: f64,
}

impl Shown {
    pub(crate) fn slot(&self, figure: Option<f64>) -> f32 {
        figure.map_or(self.absent, |x| x * self.scale) as f32
    }
}

/// Bits of a number as a state word, so that a zero word means: none yet.
pub(crate) fn keep(number: f64) -> u64 {
    !number.to_bits()
}

/// The number kept in a state word.
pub(crate) fn kept(word: u64) -> Option<f64> {
    (word != 0).then(|| f64::from_bits(!word))
}

/// Adds to a state word that holds the bits of a number.
pub(crate) fn add(word: &mut u64, x: f64) {
    *word = (f64::from_bits(*word) + x).to_bits();
}

/// A compiled feature.
#[derive(Debug)]
pub(crate) enum Feature {
    Decayed(Decayed),
    Tally(Tally),
    Ratio(Ratio),
    TimeSince(TimeSince),
    Recency(Recency),
    Distinct(Distinct),
    Age(Shown),
    Playback(Playback),
    Scroll(Scroll),
    Category(Category),
    LocalTime(LocalTime),
}

impl Feature {
    /// Words of state.
    pub(crate) fn words(&self) -> usize {
        match self {
            Feature::Decayed(f) => f.words(),
            Feature::Tally(f) => f.words(),
            Feature::Ratio(_) => 2,
            Feature::TimeSince(f) => f.groups.count,
            Feature::Recency(_) | Feature::Category(_) | Feature::LocalTime(_) => 1,
            Feature::Distinct(f) => f.words(),
            Feature::Age(_) => 0,
            Feature::Playback(_) => playback::WORDS,
            Feature::Scroll(_) => scroll::WORDS,
        }
    }

    /// Slots of the vector.
    pub(crate) fn slots(&self) -> usize {
        match self {
            Feature::Decayed(f) => f.slots(),
            Feature::Tally(f) => f.groups.count,
            Feature::TimeSince(f) => f.groups.count,
            Feature::Ratio(_) | Feature::Recency(_) | Feature::Distinct(_) | Feature::Age(_) => 1,
            Feature::Playback(f) => f.outputs.len(),
            Feature::Scroll(f) => f.outputs.len(),
            Feature::Category(f) => f.slots(),
            Feature::LocalTime(f) => f.outputs.len(),
        }
    }
}
