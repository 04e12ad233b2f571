//! What was observed of a pick becomes a reward, and the reward goes into the books: once, and by the difference afterwards.

use super::open::{NAMED_MAX, Open, decode};
use super::{Feedback, Moment};
use crate::decision::{Decision, ExplicitReward};
use crate::dedup::Dedup;
use crate::learn::{At, Entry, Estimator, Provisional};
use crate::model::{ModelBook, ModelPlan, RewardEnd};
use crate::record::Event;
use crate::reward::Reward;
use std::sync::Arc;

/// A pick under one reward spec.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub place: u32,
    pub pick: usize,
    pub spec: usize,
}

/// A pick as it is learnt from. A decision made elsewhere brings no belief.
fn entry<'a>(d: &'a Decision<'_>, pick: usize, version: u32, action: Option<u32>, since: i64) -> Entry<'a> {
    let pick = &d.picks[pick];
    let belief = pick.beliefs.iter().find(|belief| belief.spec == version);
    Entry {
        action,
        context: &d.context,
        joint: &pick.joint,
        at: At { event_time: since, ordinal: d.ordinal as i64 },
        expected: belief.map_or(0.0, |belief| belief.expected),
        deviation: belief.map_or(0.0, |belief| belief.deviation),
    }
}

/// The place of a pick's own sums, none where they were forgotten; none at all where nothing is learnt from the pick.
fn action(book: &ModelBook, plan: &ModelPlan, open: &Open, pick: usize) -> Option<Option<u32>> {
    let place = book.actions.place_since(&open.state.picks[pick].item, open.state.shown_by);
    let is_learnt = place.is_some() || plan.learning.estimator != Estimator::PerAction;
    (is_learnt && open.served.is_learnt()).then_some(place)
}

/// The share of the default reward that a pick without a reward is counted as: from here on it is the caller's.
fn take_leant(book: &mut ModelBook, version: u32, open: &Open, pick: usize) -> f64 {
    book.find_spec(version).and_then(|book| book.leant.remove(&(open.state.offset, pick as u32))).unwrap_or(0.0)
}

impl Feedback {
    /// The decision enters the books, before anything is known of its reward.
    pub(super) fn enter(&mut self, m: Moment<'_>, place: u32, d: &Decision<'_>) {
        let open = self.table.get(place);
        let Some(since) = open.state.since.filter(|_| open.served.is_learnt()) else { return };
        let Some(books) = self.books.at(m.offset) else { return };
        let (plan, rewards) = (&m.models[open.model], self.registry.model(open.model));
        let book = &mut books.models[open.model];
        for (i, pick) in open.state.picks.iter().enumerate() {
            let action = book.action(&pick.item, m.offset, plan.spec.actions_max as usize);
            for spec in pick.specs.iter().filter(|spec| open.reward(rewards, spec.version).is_some()) {
                let entry = entry(d, i, spec.version, Some(action), since);
                if let Some(evidence) = book.spec(spec.version).evidence(&plan.learning, &entry) {
                    evidence.decide(&entry);
                }
            }
        }
    }

    /// Takes an event in for a decision, under one of its specs or, where it names the decision, under all; none where it is of no
    /// interest to it. Where none of its specs is in force any more, its windows are over. Events of types that no spec at all takes do
    /// not come here.
    pub(super) fn attach(
        &mut self,
        m: Moment<'_>,
        place: u32,
        event: &Event<'_>,
        time: i64,
        version: Option<u32>,
    ) -> Option<RewardEnd> {
        let open = self.table.get(place);
        if m.offset < open.as_of {
            return None;
        }
        let since = open.state.since?;
        match self.is_taken(open, event.kind, version) {
            None => return Some(RewardEnd::Late),
            Some(false) => return None,
            Some(true) => {}
        }
        let Some(pick) = open.pick(event.item, event.position) else { return Some(RewardEnd::Dangling) };
        let time = open.dated(time);
        // What is late belongs to it all the same, where it says so; and may be known, though its id is forgotten elsewhere.
        let (is_named, is_late) = (version.is_none(), time < m.horizon);
        let fingerprint = Dedup::fingerprint(event.id);
        if is_named && open.state.named.contains(&fingerprint) {
            return Some(RewardEnd::Duplicate);
        }
        if is_late && open.state.named.len() >= NAMED_MAX {
            return Some(RewardEnd::Late);
        }
        let mut is_joined = false;
        for spec in open.specs(pick, version) {
            let slot = Slot { place, pick, spec };
            let Some(reward) = self.reward_of(slot).filter(|reward| reward.takes(event.kind)) else { continue };
            if self.is_past(m, slot, since) {
                continue;
            }
            let observed = &mut self.table.change(place).state.picks[pick].specs[spec].observed;
            if is_late {
                observed.settle(&reward, m.horizon);
            }
            if observed.event(&reward, since, time, event) || (is_named && observed.late(&reward, since, time, event)) {
                is_joined = true;
                observed.settle(&reward, m.horizon);
                self.revalue(m, slot, &reward);
            }
        }
        if is_joined && is_named {
            let named = &mut self.table.change(place).state.named;
            named.extend((named.len() < NAMED_MAX).then_some(fingerprint));
        }
        Some(if is_joined { RewardEnd::Joined } else { RewardEnd::Late })
    }

    /// Whether the window of a slot is over for good: that of another spec may be longer.
    fn is_past(&self, m: Moment<'_>, slot: Slot, since: i64) -> bool {
        self.table.get(slot.place).state.picks[slot.pick].specs[slot.spec].end(since) < m.horizon
    }

    /// Whether a spec that the decision is still rewarded by, of this version or any, takes events of a type; none where there is none.
    fn is_taken(&self, open: &Open, kind: &str, version: Option<u32>) -> Option<bool> {
        let specs = open.state.picks.first().into_iter().flat_map(|pick| &pick.specs);
        let specs = specs.filter(|spec| version.is_none_or(|version| version == spec.version));
        let rewards = self.registry.model(open.model);
        let takes = specs.filter_map(|spec| Some(open.reward(rewards, spec.version)?.takes(kind)));
        takes.reduce(|one, other| one || other)
    }

    /// Whether an event that the decision was chosen for counts for it.
    pub(super) fn counts(&self, m: Moment<'_>, place: u32, event: &Event<'_>, time: i64, version: u32) -> bool {
        let open = self.table.get(place);
        if m.offset < open.as_of {
            return false;
        }
        let (Some(pick), Some(since)) = (open.pick(event.item, event.position), open.state.since) else { return false };
        let specs = &open.state.picks[pick].specs;
        open.specs(pick, Some(version)).any(|spec| {
            let reward = self.reward_of(Slot { place, pick, spec });
            reward.is_some_and(|reward| specs[spec].observed.has(&reward, since, open.dated(time), event))
        })
    }

    /// Takes an event out again that belongs to another decision after all. False where it was not counted, or has settled.
    pub(super) fn detach(&mut self, m: Moment<'_>, place: u32, event: &Event<'_>, time: i64, version: u32) -> bool {
        let open = self.table.get(place);
        if m.offset < open.as_of {
            return false;
        }
        let Some(pick) = open.pick(event.item, event.position) else { return false };
        let time = open.dated(time);
        let mut was_counted = false;
        for spec in open.specs(pick, Some(version)) {
            let slot = Slot { place, pick, spec };
            let Some(reward) = self.reward_of(slot) else { continue };
            let state = &mut self.table.change(place).state.picks[pick].specs[spec];
            if state.observed.retract(time, event.id) {
                was_counted = true;
                self.revalue(m, slot, &reward);
            }
        }
        was_counted
    }

    /// Takes an explicit reward in; without a time it happened now.
    pub(super) fn tell(
        &mut self,
        m: Moment<'_>,
        place: u32,
        told: &ExplicitReward<'_>,
        time: Option<i64>,
        offset: u64,
    ) -> RewardEnd {
        let open = self.table.get(place);
        let Some(since) = open.state.since else { return RewardEnd::Late };
        if m.offset < open.as_of {
            return RewardEnd::Joined;
        }
        let pick = match (told.item, told.position) {
            (None, None) => Some(0).filter(|_| !open.state.picks.is_empty()),
            (item, position) => open.pick(item, position),
        };
        let Some(pick) = pick else { return RewardEnd::Dangling };
        let time = time.map_or(m.now.max(since), |time| open.dated(time));
        let (mut is_joined, mut is_known) = (false, false);
        for spec in 0..open.state.picks[pick].specs.len() {
            let slot = Slot { place, pick, spec };
            let Some(reward) = self.reward_of(slot) else { continue };
            let age = time - since;
            if age < reward.spec().start_after.0 || age > reward.spec().wait.0 || self.is_past(m, slot, since) {
                continue;
            }
            let state = &mut self.table.change(place).state.picks[pick].specs[spec];
            // Of equal time: in an order that does not depend on arrival, where the reward has an id.
            let ordinal = told.id.map_or(offset, |id| super::fingerprints(told.decision, Some(id)));
            if told.id.is_some() && state.observed.is_told(ordinal) {
                is_known = true;
                continue;
            }
            is_joined = true;
            state.observed.tell(time, ordinal, told.value);
            self.revalue(m, slot, &reward);
        }
        match () {
            () if is_joined => RewardEnd::Joined,
            () if is_known => RewardEnd::Duplicate,
            () => RewardEnd::Late,
        }
    }

    /// The spec a slot is rewarded by; none where it no longer runs.
    pub(super) fn reward_of(&self, slot: Slot) -> Option<Arc<Reward>> {
        let open = self.table.get(slot.place);
        let version = open.state.picks[slot.pick].specs[slot.spec].version;
        open.reward(self.registry.model(open.model), version).cloned()
    }

    /// The reward of a slot as it is known now goes into the books, where that changes anything.
    pub(super) fn revalue(&mut self, m: Moment<'_>, slot: Slot, reward: &Reward) {
        let before = self.matured(slot);
        self.relearn(m, slot, reward);
        self.mature(m, slot, before);
    }

    /// The window of a slot is over.
    pub(super) fn close(&mut self, m: Moment<'_>, slot: Slot) {
        self.table.change(slot.place).state.picks[slot.pick].specs[slot.spec].is_closed = true;
        if let Some(reward) = self.reward_of(slot) {
            self.relearn(m, slot, &reward);
            self.mature(m, slot, None);
        }
    }

    /// The reward of a slot whose window is over.
    fn matured(&self, slot: Slot) -> Option<f64> {
        let spec = &self.table.get(slot.place).state.picks[slot.pick].specs[slot.spec];
        spec.known.filter(|_| spec.is_closed)
    }

    /// What a slot whose window is over brought goes into the averages; `before` is what they know of it.
    fn mature(&mut self, m: Moment<'_>, slot: Slot, before: Option<f64>) {
        let now = self.matured(slot);
        if now == before {
            return;
        }
        let open = self.table.get(slot.place);
        let version = open.state.picks[slot.pick].specs[slot.spec].version;
        let Some(books) = self.books.at(m.offset) else { return };
        if let Some(book) = books.models[open.model].find_spec(version) {
            book.earned(open.served, version == open.reward_version).correct_matured(open.whose(), before, now);
        }
    }

    fn relearn(&mut self, m: Moment<'_>, slot: Slot, reward: &Reward) {
        let open = self.table.get(slot.place);
        let Some(since) = open.state.since else { return };
        let state = &open.state.picks[slot.pick].specs[slot.spec];
        let waits = m.models[open.model].learning.provisional == Provisional::Closed && !state.is_closed;
        let record = Arc::clone(&open.record);
        let d = decode(&record);
        let worth = state.observed.value(reward, since, d.picks[slot.pick].fields);
        let value = match worth {
            _ if waits => None,
            Some(worth) => Some(worth.reward),
            None => state.is_closed.then_some(reward.spec().default_reward),
        };
        if state.known == value {
            return;
        }
        let has_failed = worth.is_some_and(|worth| worth.failed);
        self.learn(m, slot, &d, (value, has_failed), reward.spec().default_reward);
        self.table.change(slot.place).state.picks[slot.pick].specs[slot.spec].known = value;
        // Whether there is something to lean on may have changed.
        if m.models[self.table.get(slot.place).model].learning.provisional == Provisional::Weighted {
            self.reschedule(m, slot.place);
        }
    }

    fn learn(
        &mut self,
        m: Moment<'_>,
        slot: Slot,
        d: &Decision<'_>,
        (value, has_failed): (Option<f64>, bool),
        default: f64,
    ) {
        let open = self.table.get(slot.place);
        let (Some(since), Some(books)) = (open.state.since, self.books.at(m.offset)) else { return };
        let pick = &open.state.picks[slot.pick];
        let spec = &pick.specs[slot.spec];
        let book = &mut books.models[open.model];
        book.failed += u64::from(has_failed);
        if let Some(book) = book.find_spec(spec.version) {
            book.failed += u64::from(has_failed);
            book.earned(open.served, spec.version == open.reward_version).correct_so_far(spec.known, value);
        }
        let leant = take_leant(book, spec.version, open, slot.pick);
        let Some(action) = action(book, &m.models[open.model], open, slot.pick) else { return };
        let entry = entry(d, slot.pick, spec.version, action, since);
        let book = book.spec(spec.version);
        let Some(evidence) = book.evidence(&m.models[open.model].learning, &entry) else { return };
        match (spec.known, value) {
            (None, Some(value)) => evidence.outcome_of(&entry, value, leant, default),
            (Some(from), Some(value)) => evidence.correct(&entry, from, value),
            (Some(from), None) => evidence.reopen(&entry, from),
            (None, None) => {}
        }
    }

    /// Counts a pick without a reward so far as the default reward, by how likely a reward would have come by now.
    pub(super) fn lean(&mut self, m: Moment<'_>, slot: Slot, default: f64) {
        let open = self.table.get(slot.place);
        let (Some(since), Some(books)) = (open.state.since, self.books.at(m.offset)) else { return };
        let version = open.state.picks[slot.pick].specs[slot.spec].version;
        let book = &mut books.models[open.model];
        let Some(action) = action(book, &m.models[open.model], open, slot.pick) else { return };
        let (d, key) = (decode(&open.record), (open.state.offset, slot.pick as u32));
        let entry = entry(&d, slot.pick, version, action, since);
        let book = book.spec(version);
        let share = book.delays.arrived(m.watermark.saturating_sub(since));
        let before = book.leant.get(&key).copied().unwrap_or(0.0);
        if share < before + LEAN_LEAST {
            return;
        }
        if let Some(evidence) = book.evidence(&m.models[open.model].learning, &entry) {
            evidence.lean(&entry, default, before, share);
            book.leant.insert(key, share);
        }
    }

    /// Takes a decision out of the books again whose reward will never be known.
    pub(super) fn withdraw(&mut self, m: Moment<'_>, open: &Open) {
        let (Some(since), Some(books)) = (open.state.since, self.books.at(m.offset)) else { return };
        let d = decode(&open.record);
        let (book, rewards) = (&mut books.models[open.model], self.registry.model(open.model));
        for (i, pick) in open.state.picks.iter().enumerate() {
            for spec in pick.specs.iter().filter(|spec| spec.known.is_none()) {
                let leant = take_leant(book, spec.version, open, i);
                let Some(reward) = open.reward(rewards, spec.version) else { continue };
                let Some(action) = action(book, &m.models[open.model], open, i) else { continue };
                let entry = entry(&d, i, spec.version, action, since);
                if let Some(evidence) = book.spec(spec.version).evidence(&m.models[open.model].learning, &entry) {
                    evidence.withdraw(&entry, leant, reward.spec().default_reward);
                }
            }
        }
    }

    /// Whether the features of a decision are those of its model.
    pub(super) fn fits(&self, m: Moment<'_>, open: &Open) -> bool {
        let d = decode(&open.record);
        let learning = &m.models[open.model].learning;
        let book = &self.books.models[open.model];
        let learnt = book.specs.iter().find(|book| book.version == open.reward_version);
        let context = learnt.and_then(|book| book.evidence.as_ref()).map_or(d.context.len(), |e| e.learning().context);
        d.context.len() == context && d.picks.iter().all(|pick| pick.joint.len() == learning.joint)
    }
}

/// Less is not worth counting on its own.
const LEAN_LEAST: f64 = 0.1;
