//! What a turn of a partition puts out, held back until its records are in the log.

use super::contexts::Places;
use super::courier::Round;
use super::decisions::StagedDecisions;
use super::metrics::PartitionMetrics;
use super::{Context, Shared};
use crate::clock::now;
use crate::log::RecordBatch;
use saccade_topology::decision::Passed;
use saccade_topology::model::{DecisionEnd, RewardEnd};
use saccade_topology::{Arrived, Away, ContextRef, DecisionView, EndReason, Kind, Part, Record, SessionEnd, Sink};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How many contexts before its turn the memory of a published context is asked for.
const PUBLISHED_AHEAD: usize = 8;
/// Contexts that wait for the log at most, but for those of one record.
const HELD_BACK_MAX: usize = 1 << 16;
/// After how many contexts those who follow them are told.
const TOLD_AT_ONCE: usize = 32;

/// The outputs. Its memory is used again and again.
#[derive(Default)]
pub(super) struct Stage {
    pub decisions: StagedDecisions,
    contexts: Vec<Staged>,
    of_record: OfRecord,
    text: String,
    numbers: Vec<f32>,
    removed: Vec<(Kind, u32, String)>,
    closed: [u64; 3],
    pub places: Places,
    /// What became of the last explicit reward.
    pub rewarded: Option<Option<RewardEnd>>,
    /// This partition, what leaves it by where it goes, and the offset of the last record that let something go.
    number: u16,
    parts: Vec<RecordBatch>,
    left: Option<u64>,
    /// At a start: where what left before went, and its offset, as far as it is in the log there.
    pub arrived: HashSet<(u16, u64)>,
}

/// The contexts of the record that caused the last one: where the latest of each key is, as far as it was asked for.
#[derive(Default)]
struct OfRecord {
    version: u64,
    /// The first of them in all contexts, and the first that is not in `latest`; beyond all where none is.
    begin: usize,
    indexed: usize,
    latest: HashMap<(Kind, u32), usize>,
}

impl OfRecord {
    /// The latest context of the key by this record, before the next one. `staged` are all.
    fn before(&mut self, staged: &[Staged], key: (Kind, u32)) -> Option<usize> {
        if self.indexed > staged.len() {
            self.latest.clear();
            self.indexed = self.begin;
        }
        for (nth, staged) in staged.iter().enumerate().skip(self.indexed) {
            self.latest.insert(staged.at(), nth);
        }
        self.indexed = staged.len();
        self.latest.get(&key).copied()
    }
}

struct Staged {
    kind: Kind,
    place: u32,
    /// Ends of session and viewer in `text`, from the end of the one before; `None` where absent, or as before.
    session: Option<usize>,
    viewer: Option<usize>,
    is_renamed: bool,
    version: u64,
    event_time: i64,
    numbers: usize,
    part: Part,
    removed_before: usize,
    /// The same record caused a later one.
    is_past: bool,
}

impl Staged {
    fn at(&self) -> (Kind, u32) {
        (self.kind, self.place)
    }
}

impl Sink for Stage {
    fn keeps_contexts(&self) -> bool {
        true
    }

    fn context(&mut self, c: &ContextRef<'_>) {
        let mut put = |text: Option<&str>| {
            text.filter(|_| c.is_renamed).map(|t| {
                self.text.push_str(t);
                self.text.len()
            })
        };
        let (session, viewer) = (put(c.session), put(c.viewer));
        if self.contexts.is_empty() || self.of_record.version != c.version {
            let of = &mut self.of_record;
            (of.version, of.begin, of.indexed) = (c.version, self.contexts.len(), usize::MAX);
        }
        if c.is_again
            && let Some(before) = self.of_record.before(&self.contexts, (c.kind, c.place))
        {
            self.contexts[before].is_past = true;
        }
        self.numbers.extend_from_slice(c.vector);
        let ContextRef { kind, place, is_renamed, version, event_time, part, .. } = *c;
        let (numbers, removed_before) = (c.vector.len(), self.removed.len());
        self.contexts.push(Staged {
            kind,
            place,
            session,
            viewer,
            is_renamed,
            version,
            event_time,
            numbers,
            part,
            removed_before,
            is_past: false,
        });
    }

    fn ended(&mut self, end: &SessionEnd<'_>) {
        self.closed[match end.reason {
            EndReason::Gap => 0,
            EndReason::MaxLength => 1,
            EndReason::Evicted => 2,
        }] += 1;
    }

    fn decided(&mut self, id: &str, record: &Arc<[u8]>) {
        self.decisions.made(id, record);
    }

    fn decision_over(&mut self, id: &str, _: DecisionEnd, _: &dyn Fn() -> DecisionView) {
        self.decisions.over(id);
    }

    fn decision_late(&mut self, id: &str) {
        self.decisions.over(id);
    }

    fn rewarded(&mut self, end: Option<RewardEnd>) {
        self.rewarded = Some(end);
    }

    fn left(&mut self, away: &Away<'_>) {
        let Away { to, left, offset, event_time, told } = *away;
        self.left = Some(left);
        if self.arrived.contains(&(to, offset)) {
            return;
        }
        let passed = Passed { from: self.number, offset, event_time, told };
        if self.parts.len() <= usize::from(to) {
            self.parts.resize_with(usize::from(to) + 1, RecordBatch::default);
        }
        self.parts[usize::from(to)].push(&Arrived { ingest_time: now(), record: Record::Passed(Box::new(passed)) });
    }

    fn removed(&mut self, kind: Kind, place: u32, key: &str) {
        self.removed.push((kind, place, key.to_string()));
    }
}

impl Stage {
    pub(super) fn of(partition: u16, arrived: HashSet<(u16, u64)>) -> Stage {
        Stage { number: partition, arrived, ..Stage::default() }
    }

    /// No more is to be held back: a viewer with thousands of live sessions has as many contexts refreshed by each event.
    pub(super) fn is_full(&self) -> bool {
        self.contexts.len() >= HELD_BACK_MAX
    }

    /// What left is carried where it belongs.
    pub(super) fn take_left(&mut self) -> Option<Round> {
        let until = self.left.take()?;
        let parts = (0..).zip(std::mem::take(&mut self.parts)).filter(|(_, records)| records.count() > 0).collect();
        Some(Round { from: self.number, until, parts })
    }

    /// Shows the contexts to their readers.
    pub(super) fn publish(&mut self, shared: &Shared, metrics: &PartitionMetrics) {
        let mut followed: Option<Vec<Context>> = shared.contexts.is_followed().then(Vec::new);
        let (mut text_at, mut removed_at, mut told) = (0, 0, 0);
        let mut published = [0u64; 2];
        let mut numbers = &self.numbers[..];
        for (nth, staged) in self.contexts.iter().enumerate() {
            if let Some(later) = self.contexts.get(nth + 2 * PUBLISHED_AHEAD) {
                self.places.prefetch_place(later.kind, later.place);
            }
            if let Some(soon) = self.contexts.get(nth + PUBLISHED_AHEAD) {
                self.places.prefetch(soon.kind, soon.place, soon.part, shared.contexts.profile_words());
            }
            for (kind, place, key) in &self.removed[removed_at..staged.removed_before] {
                shared.contexts.remove(&mut self.places, *kind, *place, key);
            }
            removed_at = staged.removed_before;
            let mut get = |end: Option<usize>| {
                end.map(|end| {
                    let text = &self.text[text_at..end];
                    text_at = end;
                    text
                })
            };
            let (session, viewer) = (get(staged.session), get(staged.viewer));
            let vector;
            (vector, numbers) = numbers.split_at(staged.numbers);
            if staged.is_past {
                continue;
            }
            let Staged { kind, place, is_renamed, version, event_time, part, .. } = *staged;
            let is_again = false;
            let context =
                ContextRef { kind, place, session, viewer, is_renamed, version, is_again, event_time, vector, part };
            shared.contexts.publish(&mut self.places, &context);
            published[usize::from(kind == Kind::Viewer)] += 1;
            if let Some(followed) = followed.as_mut().filter(|_| kind == Kind::Session) {
                followed.extend(shared.contexts.at(&self.places, kind, place));
            }
            if nth + 1 >= told + TOLD_AT_ONCE {
                shared.contexts.notify(&self.places, self.contexts[told..=nth].iter().map(Staged::at));
                told = nth + 1;
            }
        }
        shared.contexts.notify(&self.places, self.contexts[told..].iter().map(Staged::at));
        for (kind, place, key) in &self.removed[removed_at..] {
            shared.contexts.remove(&mut self.places, *kind, *place, key);
        }
        if let Some(contexts) = followed.filter(|c| !c.is_empty()) {
            shared.contexts.broadcast(contexts);
        }
        metrics.published[0].increment(published[0]);
        metrics.published[1].increment(published[1]);
        for (counter, count) in metrics.closed.iter().zip(self.closed) {
            counter.increment(count);
        }
        self.contexts.clear();
        self.text.clear();
        self.numbers.clear();
        if self.contexts.capacity() > 2 * HELD_BACK_MAX {
            self.contexts.shrink_to(HELD_BACK_MAX);
            self.numbers.shrink_to(HELD_BACK_MAX);
            self.of_record = OfRecord::default();
        }
        self.removed.clear();
        self.closed = [0; 3];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context<'a>(kind: Kind, place: u32, version: u64, is_again: bool) -> ContextRef<'a> {
        let (session, part, vector) = (Some("s"), Part::Whole, &[1.0]);
        ContextRef {
            kind,
            place,
            session,
            viewer: None,
            is_renamed: true,
            version,
            is_again,
            event_time: 0,
            vector,
            part,
        }
    }

    #[test]
    fn a_record_that_refreshes_all_there_is_several_times_takes_a_step_for_each() {
        const KEYS: u32 = 100_000;
        let mut stage = Stage::of(0, HashSet::new());
        // As if one tick ended three sessions of each viewer: looking through all of them each time would take hours.
        for (round, place) in (0..3).flat_map(|round| (0..KEYS).map(move |place| (round, place))) {
            stage.context(&context(Kind::Viewer, place, 7, round > 0));
        }
        let shown = stage.contexts.iter().filter(|staged| !staged.is_past);
        assert!(shown.map(|staged| staged.place).eq(0..KEYS));
    }

    #[test]
    fn of_several_contexts_that_a_record_caused_of_one_key_the_last_is_shown() {
        let mut stage = Stage::of(0, HashSet::new());
        for (place, version, is_again) in [(1, 4, false), (1, 5, false), (2, 5, false), (1, 5, true), (1, 5, true)] {
            stage.context(&context(Kind::Session, place, version, is_again));
        }
        assert!(stage.contexts.iter().map(|staged| staged.is_past).eq([false, true, false, true, false]));
    }
}
