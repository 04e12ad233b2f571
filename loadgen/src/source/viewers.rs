//! What a population does, as requests: numbers, dates and batches its acts, and does to them what networks do.
//!
//! Act by act takes the next place of the schedule, and is dated when that is due, less the time it was under way. Events gather in a
//! batch, which is due with its last one; other calls are due at once. What is delayed or sent twice waits, and then takes a place
//! like any other; a request that is sent again as a whole takes none.

use super::held::{Held, Which};
use super::{Call, Framing, Pool, Request};
use crate::population::{Act, Loop, Output, Population};
use crate::profile::Profile;
use crate::schedule::{Plan, Timetable};
use crate::seeded::{Draws, Stream, keyed, unit};
use crate::span::Span;
use crate::wire::{Stamp, Wire, answered_items};
use std::collections::BinaryHeap;

/// What a population does.
pub struct Viewers {
    profile: Profile,
    plan: Plan,
    table: Timetable,
    population: Population,
    wire: Wire,
    pub(super) pool: Pool,
    pub(super) framing: Framing,
    pub(super) end_ns: u64,
    pub(super) epoch_ms: u64,
    /// Events sent once more on purpose.
    pub(super) repeated: u64,
    /// The next place of the schedule.
    place: u64,
    /// Events that were made, which is their number.
    made: u64,
    /// Events in batches so far, and requests.
    batched: u64,
    requests: u64,
    /// The batch that gathers, and how many events it is to have.
    batch: Option<(Request, u32)>,
    held: Held,
    /// Requests to be sent again.
    again: BinaryHeap<Again>,
    /// One event.
    text: Vec<u8>,
    path: Vec<u8>,
    are_calls_made: bool,
}

/// By due time, the earliest first.
#[derive(PartialEq, Eq)]
struct Again(Request);

impl Ord for Again {
    fn cmp(&self, other: &Again) -> std::cmp::Ordering {
        other.0.due_ns.cmp(&self.0.due_ns).then_with(|| other.0.body.cmp(&self.0.body))
    }
}

impl PartialOrd for Again {
    fn partial_cmp(&self, other: &Again) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Viewers {
    /// The viewers of a profile on a schedule. Without `are_calls_made` there are events only: nobody is there to answer.
    pub fn new(profile: &Profile, plan: Plan, are_calls_made: bool) -> Viewers {
        let mut table = Timetable::new(plan.clone());
        Viewers {
            end_ns: table.due_ns(plan.events.saturating_sub(1)),
            table,
            population: Population::new(profile, plan.seed, are_calls_made),
            wire: Wire::new(profile, plan.seed),
            profile: profile.clone(),
            plan,
            pool: Pool::default(),
            framing: Framing::default(),
            epoch_ms: 0,
            repeated: 0,
            place: 0,
            made: 0,
            batched: 0,
            requests: 0,
            batch: None,
            held: Held::default(),
            again: BinaryHeap::new(),
            text: Vec::new(),
            path: Vec::new(),
            are_calls_made,
        }
    }

    /// How many viewers there are.
    pub fn population_len(&self) -> u64 {
        self.population.viewers() as u64
    }

    /// What came of decisions.
    pub fn so_far(&self) -> &Loop {
        self.population.so_far()
    }

    pub(super) fn answer(&mut self, slot: u32, decision: u64, body: &[u8]) {
        self.population.questions.answer(slot, decision, answered_items(body).into_iter());
    }

    pub(super) fn next(&mut self) -> Option<Request> {
        loop {
            if self.place == self.plan.events {
                return self.batch.take().map(|(request, _)| self.close(request)).or_else(|| self.next_again(u64::MAX));
            }
            let due_ns = self.table.due_ns(self.place);
            if let Some(request) = self.next_again(due_ns) {
                return Some(request);
            }
            self.place += 1;
            if let Some(request) = self.take_place(due_ns) {
                return Some(request);
            }
        }
    }

    /// Does what comes at `due_ns`; the request that is complete with it, if one is.
    fn take_place(&mut self, due_ns: u64) -> Option<Request> {
        self.text.clear();
        if let Some(which) = self.held.take(due_ns, &mut self.text) {
            self.repeated += u64::from(which == Which::Copy);
            return self.gather(due_ns);
        }
        self.population.follow(due_ns);
        loop {
            match self.population.next() {
                Output::Act(act) if self.is_reported_by_player(&act) => return Some(self.cmcd(&act, due_ns)),
                Output::Act(act) => {
                    if self.make(&act, due_ns) {
                        return self.gather(due_ns);
                    }
                }
                Output::Ask(ask) => {
                    self.path.clear();
                    self.path.extend_from_slice(b"/v1/rank/");
                    self.path.extend_from_slice(self.profile.rank.model.as_bytes());
                    let call = Call::Rank { slot: ask.slot, decision: ask.decision };
                    let mut request = self.pool.take(call, &self.path, due_ns);
                    self.wire.ask(&mut request.body, &ask, self.population.questions.candidates(ask.slot));
                    return Some(request);
                }
                Output::Reward(reward) => {
                    self.path.clear();
                    self.path.extend_from_slice(b"/v1/decisions/");
                    self.wire.decision(&mut self.path, reward.decision);
                    self.path.extend_from_slice(if self.profile.rank.sync { b"/reward?sync=true" } else { b"/reward" });
                    let mut request = self.pool.take(Call::Reward, &self.path, due_ns);
                    self.wire.reward(&mut request.body, &reward, self.epoch_ms + due_ns / 1_000_000);
                    return Some(request);
                }
            }
        }
    }

    fn is_reported_by_player(&self, act: &Act) -> bool {
        let share = self.profile.cmcd.share;
        // Not the draws that decide device and place.
        let is_reported = || unit(keyed(!self.plan.seed, Stream::Transit, u64::from(act.viewer))) <= share;
        self.are_calls_made && share > 0.0 && act.kind.is_of_player() && is_reported()
    }

    fn cmcd(&mut self, act: &Act, due_ns: u64) -> Request {
        self.path.clear();
        self.path.extend_from_slice(b"/v1/cmcd/");
        self.wire.session(&mut self.path, act.viewer, act.visit);
        let mut request = self.pool.take(Call::Cmcd, &self.path, due_ns);
        self.made += 1;
        self.wire.cmcd(&mut request.body, act, self.made, self.epoch_ms + due_ns / 1_000_000);
        request
    }

    /// Makes the event of an act, as text. False where it is held back and nothing is sent now.
    fn make(&mut self, act: &Act, due_ns: u64) -> bool {
        let disorder = self.profile.disorder;
        let mut draws = Draws::new(self.plan.seed, Stream::Transit, self.made);
        let fate = draws.unit();
        let delay_ns = if fate <= disorder.reordered {
            (disorder.reordered_max.0.as_nanos() as f64 * draws.unit()) as u64
        } else if fate <= disorder.reordered + disorder.late {
            between(disorder.late_by, draws.unit())
        } else {
            0
        };
        self.write(act, due_ns as i64, due_ns + delay_ns);
        if draws.chance(disorder.duplicates) {
            let after = between([Span::MS, disorder.duplicates_after], draws.unit());
            self.held.put(due_ns + delay_ns + after, &self.text, Which::Copy);
        }
        self.made += 1;
        if delay_ns == 0 {
            return true;
        }
        self.held.put(due_ns + delay_ns, &self.text, Which::Original);
        if due_ns >= delay_ns {
            return false;
        }
        // Somebody did the like before the start, and that arrives now: as much is late at first as later.
        self.write(act, due_ns as i64 - delay_ns as i64, due_ns);
        self.made += 1;
        true
    }

    /// Writes an event that happened and is sent so many nanoseconds after the start.
    fn write(&mut self, act: &Act, happened_ns: i64, sent_ns: u64) {
        self.text.clear();
        let mut stamp = Stamp {
            number: self.made,
            event_time: self.epoch_ms.saturating_add_signed(happened_ns.div_euclid(1_000_000)),
            sent_at: None,
        };
        let clocks = &self.profile.clocks;
        if clocks.wrong > 0.0 {
            let mut draws = Draws::new(self.plan.seed, Stream::Clock, u64::from(act.viewer));
            if draws.chance(clocks.wrong) {
                let off_ms = ((draws.unit() * 2.0 - 1.0) * clocks.off_max.0.as_millis() as f64) as i64;
                stamp.event_time = stamp.event_time.saturating_add_signed(off_ms);
                stamp.sent_at = Some((self.epoch_ms + sent_ns / 1_000_000).saturating_add_signed(off_ms));
            }
        }
        self.wire.event(&mut self.text, &self.population, act, stamp);
    }

    /// Puts the text into the batch; the batch, if that completes it.
    fn gather(&mut self, due_ns: u64) -> Option<Request> {
        let (mut request, wanted) = self.batch.take().unwrap_or_else(|| {
            let wanted = self.plan.batch_len(self.batched);
            (self.pool.take(Call::Events, b"/v1/events", due_ns), wanted)
        });
        self.framing.before(&mut request.body, request.events == 0);
        request.body.extend_from_slice(&self.text);
        self.framing.after(&mut request.body);
        request.events += 1;
        request.due_ns = due_ns;
        self.batched += 1;
        if request.events == wanted {
            return Some(self.close(request));
        }
        self.batch = Some((request, wanted));
        None
    }

    fn close(&mut self, mut request: Request) -> Request {
        self.framing.close(&mut request.body);
        self.requests += 1;
        // The number counts down: no event has it.
        let mut draws = Draws::new(self.plan.seed, Stream::Transit, u64::MAX - self.requests);
        let due_ns = request.due_ns + self.profile.disorder.retries_after.0.as_nanos() as u64;
        if due_ns <= self.end_ns && draws.chance(self.profile.disorder.retries) {
            self.again.push(Again(Request { due_ns, ..request.clone() }));
        }
        request
    }

    fn next_again(&mut self, due_ns: u64) -> Option<Request> {
        if self.again.peek()?.0.due_ns > due_ns {
            return None;
        }
        let request = self.again.pop()?.0;
        self.repeated += u64::from(request.events);
        Some(request)
    }
}

fn between([low, high]: [Span; 2], unit: f64) -> u64 {
    let (low, high) = (low.0.as_nanos() as f64, high.0.as_nanos() as f64);
    (low + (high - low) * unit) as u64
}

#[cfg(test)]
#[path = "viewers_tests.rs"]
mod tests;
