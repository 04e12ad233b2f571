//! Which decision a record is about.

use super::held::{Held, Queue};
use super::open::{Open, owners};
use super::{Feedback, Moment, decision_key};
use crate::decision::{Activation, Control, Decision, ExplicitReward, Item, Told};
use crate::model::{Attribute, ControlError, Dangled, DecisionEnd, RewardEnd};
use crate::record::Event;
use crate::sink::Sink;

/// Bytes of open decisions per partition, about; at the limit the oldest of its model make room for a further one, then those of others.
const OPEN_BYTES_MAX: usize = 512 << 20;

/// What an event that names no decision says of the one it belongs to.
#[derive(Clone, Copy)]
struct Claim<'a> {
    /// The open decisions of its viewer and session.
    among: &'a [u32],
    item: &'a str,
    time: i64,
}

/// A reward spec that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunningSpec {
    /// Place of its model in the plan.
    pub model: usize,
    pub version: u32,
}

/// What is known of a decision by its id.
enum Named {
    /// It is open, and shown.
    Shown(u32),
    /// It is over.
    Over,
    /// It was never heard of, or is not shown yet.
    Awaited,
}

impl Feedback {
    /// A decision that is not known. False where all its windows were over before it came.
    pub(crate) fn decision(&mut self, m: Moment<'_>, model: usize, d: &Decision<'_>, sink: &mut dyn Sink) -> bool {
        let rewards = self.registry.model(model);
        let open = Open::new(d, model, rewards, m.offset);
        let is_late = open.last() < m.horizon;
        if let Some(books) = self.books.at(m.offset) {
            let book = &mut books.models[model];
            book.decisions += 1;
            book.served[d.served as usize] += 1;
            for version in rewards.running.iter().map(|running| running.reward.spec().version).filter(|_| !is_late) {
                book.spec(version).earned(d.served, version == d.reward_version).decisions += 1;
            }
            book.agreed += u64::from(d.preferred.is_some() && d.preferred == d.picks.first().map(|p| p.candidate));
            book.ends[DecisionEnd::Late as usize] += u64::from(is_late);
        }
        if is_late {
            self.remember(m, d.id);
            self.table.pass_over(d.id, m.offset + 1);
            sink.decision_late(d.id);
            return false;
        }
        // While catching up there are some that were not made by now; who had to go is known.
        while m.offset >= self.books.as_of
            && let Some(oldest) = self.in_the_way(m, &open)
        {
            self.evict(m, oldest, sink);
        }
        sink.decided(d.id, &open.record);
        let place = self.table.insert(open);
        self.enter(m, place, d);
        self.claim_waiting(m, d.id);
        self.claim_recent(m, place);
        self.reschedule(m, place);
        true
    }

    /// The next that has to go before there is room for `open`.
    fn in_the_way(&self, m: Moment<'_>, open: &Open) -> Option<u32> {
        let is_many = self.table.of_model(open.model) >= m.models[open.model].spec.decisions_max as usize;
        let is_much = self.table.bytes() + open.bytes() > OPEN_BYTES_MAX;
        let of_model = self.table.oldest(open.model).filter(|_| is_many || is_much);
        of_model.or_else(|| self.table.oldest_of_all().filter(|_| is_much))
    }

    /// A deferred decision is shown. False where none of this id is deferred.
    pub(crate) fn activation(&mut self, m: Moment<'_>, a: &Activation<'_>) -> bool {
        if self.contains(a.decision, m.offset) {
            self.claimed(m, a.decision);
            return true;
        }
        let Some(place) = self.table.find(a.decision) else { return false };
        let open = self.table.get(place);
        if open.state.since.is_some() {
            return false;
        }
        let since = a.event_time.map_or(m.now, |t| t.0).max(open.time);
        let state = &mut self.table.change(place).state;
        (state.since, state.shown_by) = (Some(since), m.offset);
        let record = std::sync::Arc::clone(&self.table.get(place).record);
        self.enter(m, place, &super::decode(&record));
        self.claim_waiting(m, a.decision);
        self.claim_recent(m, place);
        self.reschedule(m, place);
        true
    }

    /// An explicit reward, and what it was counted as; none where it waits.
    pub(crate) fn reward(&mut self, m: Moment<'_>, r: &ExplicitReward<'_>, is_known: bool) -> Option<RewardEnd> {
        let time = r.event_time.map(|t| t.0);
        let end = match self.named(m, r.decision, is_known) {
            Named::Shown(place) => self.tell(m, place, r, time, m.offset),
            Named::Over => RewardEnd::Late,
            Named::Awaited => {
                let bytes = postcard::to_extend(r, self.waiting.buffer()).expect("memory takes any record");
                let time = time.unwrap_or(m.now);
                self.wait(m, Held { time, bytes, about: decision_key(r.decision), is_explicit: true, ..m.held() });
                return None;
            }
        };
        self.count(m, end, &Told::Reward(*r), time.unwrap_or(m.now), m.offset);
        Some(end)
    }

    /// An event that was taken in, at its corrected time. `is_known`: the decision it names was made once.
    pub(crate) fn event(&mut self, m: Moment<'_>, event: &Event<'_>, time: i64, is_known: bool) {
        if !self.cares(event.kind) {
            return;
        }
        if let Some(id) = event.decision {
            self.naming_event(m, id, event, time, is_known);
        } else if let Some(item) = event.item {
            let owners = owners(event.viewer, event.session);
            let among = self.table.of_owners(owners, m.offset);
            if !among.is_empty() {
                self.join(m, event, Claim { among: &among, item, time });
            }
            let bytes = postcard::to_extend(event, self.recent.buffer()).expect("memory takes any record");
            self.recent.push(Held { time, owners, bytes, ..m.held() });
            let tolerance = m.models.iter().map(|model| model.spec.attribution_tolerance.0).max().unwrap_or(0);
            let is_old = |held: &Held| held.time.saturating_add(tolerance) < m.horizon;
            while self.recent.is_over() || self.recent.front().is_some_and(is_old) {
                let Some(old) = self.recent.pop() else { break };
                self.recent.recycle(old);
            }
        }
    }

    /// An event that names no decision: each spec finds its own, so that one in shadow changes nothing of what is learnt under another.
    fn join(&mut self, m: Moment<'_>, event: &Event<'_>, claim: Claim<'_>) {
        let mut is_joined = false;
        for nth in 0..self.running.len() {
            let spec = self.running[nth];
            let reward = self.registry.model(spec.model).run(spec.version).map(|running| &running.reward);
            if !reward.is_some_and(|reward| reward.takes(event.kind)) {
                continue;
            }
            if let Some(place) = self.choose(m, spec, claim, None) {
                is_joined |= self.attach(m, place, event, claim.time, Some(spec.version)) == Some(RewardEnd::Joined);
            }
        }
        if is_joined {
            self.books.reward(m.offset, RewardEnd::Joined);
        }
    }

    /// An event that came too late to change a session. What it says of a decision that it names, and whose windows are open, counts.
    pub(crate) fn late_event(&mut self, m: Moment<'_>, event: &Event<'_>, time: i64, is_known: bool) {
        if let Some(id) = event.decision.filter(|_| self.cares(event.kind)) {
            self.naming_event(m, id, event, time, is_known);
        }
    }

    fn naming_event(&mut self, m: Moment<'_>, id: &str, event: &Event<'_>, time: i64, is_known: bool) {
        match self.named(m, id, is_known) {
            Named::Shown(place) => self.attach_named(m, place, event, time, m.offset),
            Named::Over => self.books.reward(m.offset, RewardEnd::Late),
            Named::Awaited => {
                let bytes = postcard::to_extend(event, self.waiting.buffer()).expect("memory takes any record");
                self.wait(m, Held { time, bytes, about: decision_key(id), ..m.held() });
            }
        }
    }

    /// An event that names its decision; `offset` is that of its record.
    fn attach_named(&mut self, m: Moment<'_>, place: u32, event: &Event<'_>, time: i64, offset: u64) {
        match self.attach(m, place, event, time, None) {
            Some(RewardEnd::Dangling) => self.count(m, RewardEnd::Dangling, &Told::Event(*event), time, offset),
            Some(end) => self.books.reward(m.offset, end),
            None => {}
        }
    }

    /// Where something ended that was told of a decision that is there.
    fn count(&mut self, m: Moment<'_>, end: RewardEnd, told: &Told<'_>, time: i64, offset: u64) {
        match end {
            RewardEnd::Dangling => self.books.dangling(m.offset, dangled(told, time, offset, true)),
            end => self.books.reward(m.offset, end),
        }
    }

    /// A thing of the catalogue. False where there is no room for it.
    pub(crate) fn item(&mut self, offset: u64, item: &Item<'_>) -> bool {
        if self.items_as_of.get(item.id).is_some_and(|as_of| offset < *as_of) {
            return true;
        }
        let fields = item.fields.map(|fields| fields.as_bytes());
        // While catching up, items that came later take room, too. What there was no room for is not in the log.
        let is_contained = offset < self.books.as_of;
        if !is_contained && fields.is_some_and(|fields| !self.catalogue.has_room(item.id, fields.len())) {
            return false;
        }
        self.books.revision += 1;
        self.items_dirty.insert(item.id.into());
        match fields {
            Some(fields) => self.catalogue.set(item.id, fields),
            None => self.catalogue.remove(item.id),
        }
        true
    }

    /// A change of what is rewarded.
    pub(crate) fn control(
        &mut self,
        m: Moment<'_>,
        model: usize,
        c: &Control<'_>,
        at: i64,
    ) -> Result<(), ControlError> {
        self.registry.apply(model, c, m.offset, at)?;
        self.books.revision += 1;
        if c.action == crate::decision::Act::Retire
            && let Some(books) = self.books.at(m.offset)
        {
            books.models[model].specs.retain(|book| book.version != c.version);
        }
        self.collect_kinds();
        Ok(())
    }

    /// The decision that an event belongs to under a spec; `without` is not asked. Where none was made before it, the nearest after it
    /// within the tolerance.
    fn choose(&self, m: Moment<'_>, spec: RunningSpec, claim: Claim<'_>, without: Option<u32>) -> Option<u32> {
        let RunningSpec { model, version } = spec;
        let rewards = self.registry.model(model);
        let tolerance = m.models[model].spec.attribution_tolerance.0;
        let fitting = claim.among.iter().filter_map(|place| {
            let open = self.table.get(*place);
            // While catching up there are decisions that were not made, or not shown, by now.
            let is_asked = Some(*place) != without && open.model == model && open.state.shown_by <= m.offset;
            let before =
                open.covers(claim.time, claim.item, tolerance, open.reward(rewards, version)?).filter(|_| is_asked)?;
            Some((before, *place))
        });
        let fitting: Vec<(i64, u32)> = fitting.collect();
        let nearest = fitting.iter().map(|(before, _)| *before).min()?;
        let fitting = fitting.into_iter().filter(|(before, _)| *before == nearest).map(|(_, place)| place);
        // By id where two are of one time: not by arrival.
        let order = |a: &u32, b: &u32| {
            let of = |place: &u32| (self.table.get(*place).state.since, &self.table.get(*place).id);
            of(a).cmp(&of(b))
        };
        match m.models[model].spec.attribute {
            Attribute::Earliest => fitting.min_by(order),
            Attribute::Last => fitting.max_by(order),
        }
    }

    /// `is_known`: a decision of this id was made once. While catching up there are decisions that were not shown by now.
    fn named(&self, m: Moment<'_>, id: &str, is_known: bool) -> Named {
        let is_shown = |place: &u32| {
            let state = &self.table.get(*place).state;
            state.since.is_some() && state.shown_by <= m.offset
        };
        match self.table.find(id) {
            Some(place) if is_shown(&place) => Named::Shown(place),
            None if is_known => Named::Over,
            _ => Named::Awaited,
        }
    }

    fn wait(&mut self, m: Moment<'_>, held: Held) {
        self.waited += 1;
        // What is late by now may still be in the window of a decision that is elsewhere.
        let until = if held.time < m.horizon { m.now } else { held.time };
        self.waiting.push(Held { until, ..held });
        while self.waiting.is_over()
            && let Some(old) = self.waiting.pop_least()
        {
            self.books.reward(m.offset, RewardEnd::Evicted);
            self.waiting.recycle(old);
        }
    }

    /// While catching up: a contained decision is shown by this record. What waited for it is in its row; what it claimed from others may
    /// still be in theirs.
    pub(crate) fn claimed(&mut self, m: Moment<'_>, id: &str) {
        self.claim(id);
        if let Some(place) = self.table.find(id).filter(|place| self.table.get(*place).state.shown_by == m.offset) {
            self.claim_recent(m, place);
        }
    }

    /// Forgets what waited for a decision.
    pub(super) fn claim(&mut self, id: &str) {
        if self.waiting.has(decision_key(id)) {
            self.waiting.take(decision_key(id));
        }
    }

    /// What named the decision before it was known.
    fn claim_waiting(&mut self, m: Moment<'_>, id: &str) {
        let Named::Shown(place) = self.named(m, id, true) else { return };
        if !self.waiting.has(decision_key(id)) {
            return;
        }
        for held in self.waiting.take(decision_key(id)) {
            match held.told() {
                Some(Told::Reward(reward)) => {
                    let end = self.tell(m, place, &reward, Some(held.time), held.offset);
                    self.count(m, end, &Told::Reward(reward), held.time, held.offset);
                }
                Some(Told::Event(event)) => self.attach_named(m, place, &event, held.time, held.offset),
                None => {}
            }
            self.waiting.recycle(held);
        }
    }

    /// Events after the decision that came before it: they belong to it where it is chosen for them now. Those that may have settled
    /// where they are stay there.
    fn claim_recent(&mut self, m: Moment<'_>, place: u32) {
        let open = self.table.get(place);
        let (mine, model) = (open.owners, open.model);
        let tolerance = m.models[model].spec.attribution_tolerance.0;
        let is_mine = |held: &Held| {
            let is_near = open.is_near(held.time, tolerance) && open.dated(held.time) >= m.horizon;
            is_near && mine.iter().zip(held.owners).any(|(mine, theirs)| *mine != 0 && *mine == theirs)
        };
        let places: Vec<usize> =
            (0..).zip(self.recent.iter()).filter(|(_, held)| is_mine(held)).map(|(i, _)| i).collect();
        if places.is_empty() {
            return;
        }
        let recent: Queue = std::mem::take(&mut self.recent);
        for held in places.into_iter().filter_map(|i| recent.get(i)) {
            let Ok(event) = postcard::from_bytes::<Event<'_>>(&held.bytes) else { continue };
            let Some(item) = event.item else { continue };
            let claim = Claim { among: &self.table.of_owners(held.owners, m.offset), item, time: held.time };
            self.claim_event(m, place, &event, claim);
        }
        self.recent = recent;
    }

    /// Moves an event to the decision from those that it belonged to before, under each spec that chooses it.
    fn claim_event(&mut self, m: Moment<'_>, place: u32, event: &Event<'_>, claim: Claim<'_>) {
        let (mut was_joined, mut is_joined) = (false, false);
        for nth in 0..self.running.len() {
            let spec = self.running[nth];
            let before = self.choose(m, spec, claim, Some(place)).filter(|before| {
                // When it was done last must not show: a checkpoint does it too.
                self.settle(*before, m.horizon);
                self.counts(m, *before, event, claim.time, spec.version)
            });
            was_joined |= before.is_some();
            // What has settled there stays.
            if self.choose(m, spec, claim, None) == Some(place)
                && before.is_none_or(|before| self.detach(m, before, event, claim.time, spec.version))
            {
                is_joined |= self.attach(m, place, event, claim.time, Some(spec.version)) == Some(RewardEnd::Joined);
            }
        }
        if is_joined && !was_joined {
            self.books.reward(m.offset, RewardEnd::Joined);
        }
    }
}

impl Moment<'_> {
    fn held(&self) -> Held {
        Held { offset: self.offset, ..Held::default() }
    }
}

/// A reward that belongs to nothing that was decided, for people. `is_decided`: the decision is there.
pub(super) fn dangled(told: &Told<'_>, event_time: i64, offset: u64, is_decided: bool) -> Dangled {
    let (kind, item, position) = match told {
        Told::Reward(reward) => ("reward", reward.item, reward.position),
        Told::Event(event) => (event.kind, event.item, event.position),
    };
    Dangled {
        decision: told.decision().to_string(),
        item: item.map(str::to_string),
        position,
        kind: kind.to_string(),
        event_time,
        offset,
        is_decided,
    }
}
