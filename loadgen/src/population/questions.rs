//! Decisions that were asked for, until what came of them is over: what could be shown, what is, and what it was worth.

use super::act::Reward;
use super::tastes::Outcome;
use super::world::World;
use crate::seeded::{Draws, Stream};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What came of the decisions of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loop {
    /// Decisions asked for whose viewer has looked.
    pub looked: u64,
    /// Of these, the answer was there: it was shown.
    pub answered: u64,
    /// Of these, the answer was not there: nothing of it was shown.
    pub unanswered: u64,
    /// What viewers did about what was shown, in worth.
    pub earned: f64,
    /// Expected worth of what was shown.
    pub expected: f64,
    /// Expected worth, had the slates been chosen at random.
    pub uniform: f64,
    /// Expected worth of the best slates.
    pub best: f64,
    /// Squares of what was missed by each decision shown.
    #[serde(default)]
    pub regret_squares: f64,
}

impl Loop {
    /// Expected worth that was missed, all decisions together.
    pub fn regret(&self) -> f64 {
        self.best - self.expected
    }

    /// Expected worth that was missed, per decision shown. None without one.
    pub fn regret_each(&self) -> Option<f64> {
        (self.answered > 0).then(|| self.regret() / self.answered as f64)
    }

    /// Standard error of [`Loop::regret_each`] over decisions. None with fewer than two.
    pub fn regret_error(&self) -> Option<f64> {
        let n = self.answered as f64;
        let mean = self.regret_each().filter(|_| self.answered > 1)?;
        let variance = (self.regret_squares / n - mean * mean).max(0.0) * n / (n - 1.0);
        Some((variance / n).sqrt())
    }

    /// How much of what could be gained over chance was gained: 0 at chance, 1 at the best. None without decisions.
    pub fn gain(&self) -> Option<f64> {
        let most = self.best - self.uniform;
        (most > 0.0).then(|| (self.expected - self.uniform) / most)
    }
}

/// Whether there was something to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    Answered,
    Unanswered,
}

/// What a viewer does about a slate.
pub(super) struct Seen {
    pub(super) item: u32,
    pub(super) position: u16,
    pub(super) outcome: Outcome,
    /// None where its worth is told as such.
    pub(super) decision: Option<u64>,
}

/// Questions that are open.
#[derive(Default)]
pub struct Questions {
    /// There is somebody who answers.
    pub(super) are_answered: bool,
    asked: u64,
    open: Vec<Question>,
    free: Vec<u32>,
    /// Where a shuffle has other items than at first; empty between two.
    moved: HashMap<u32, u32>,
    /// What is to be told.
    pub(super) rewards: Vec<Reward>,
    pub(super) so_far: Loop,
}

#[derive(Default)]
struct Question {
    decision: u64,
    is_told: bool,
    candidates: Vec<u32>,
    shown: Vec<u32>,
}

impl Questions {
    /// None is open.
    pub(super) fn new(are_answered: bool) -> Questions {
        Questions { are_answered, ..Questions::default() }
    }

    /// A new question: number of the decision, and where it is kept.
    pub(super) fn ask(&mut self, world: &World) -> (u64, u32) {
        let decision = self.asked;
        self.asked += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.open.push(Question::default());
            self.open.len() as u32 - 1
        });
        let question = &mut self.open[slot as usize];
        let mut draws = Draws::new(world.seed, Stream::Decision, decision);
        question.decision = decision;
        question.is_told = draws.chance(world.profile.rank.explicit);
        question.shown.clear();
        // The first of a shuffle that is not finished. What it did not move is where it was: nothing costs as much as the pool is large.
        let pool = world.profile.rank.pool;
        question.candidates.clear();
        for place in 0..world.profile.rank.candidates {
            let other = place + (draws.bits() % u64::from(pool - place)) as u32;
            let here = self.moved.get(&place).copied().unwrap_or(place);
            question.candidates.push(self.moved.insert(other, here).unwrap_or(other));
        }
        self.moved.clear();
        (decision, slot)
    }

    /// What can be shown.
    pub fn candidates(&self, slot: u32) -> &[u32] {
        &self.open[slot as usize].candidates
    }

    /// Takes the answer: items in the order shown. Too late, it changes nothing; what was not asked for is left out.
    pub fn answer(&mut self, slot: u32, decision: u64, items: impl Iterator<Item = u32>) {
        let Some(question) = self.open.get_mut(slot as usize).filter(|question| question.decision == decision) else {
            return;
        };
        if question.shown.is_empty() {
            let candidates = &question.candidates;
            question.shown.extend(items.filter(|item| candidates.contains(item)));
        }
    }

    pub(super) fn look(&mut self, world: &World, slot: u32, segment: u32) -> Looked {
        let question = &self.open[slot as usize];
        self.so_far.looked += 1;
        if question.shown.is_empty() {
            self.so_far.unanswered += 1;
            self.close(slot);
            return Looked::Unanswered;
        }
        let worth = world.tastes.judge(segment, &question.candidates, &question.shown);
        self.so_far.answered += 1;
        self.so_far.expected += worth.shown;
        self.so_far.uniform += worth.uniform;
        self.so_far.best += worth.best;
        self.so_far.regret_squares += (worth.best - worth.shown).powi(2);
        Looked::Answered
    }

    /// What is shown at a position, and the decision to name.
    pub(super) fn shown(&self, slot: u32, position: u16) -> Option<(u32, Option<u64>)> {
        let question = &self.open[slot as usize];
        let item = question.shown.get(usize::from(position))?;
        Some((*item, (!question.is_told).then_some(question.decision)))
    }

    /// What the viewer does about it; the question is over.
    pub(super) fn decide(&mut self, world: &World, slot: u32, segment: u32) -> Seen {
        let question = &self.open[slot as usize];
        // Not the draws that chose the candidates.
        let mut draws = Draws::new(!world.seed, Stream::Decision, question.decision);
        let three = [draws.unit(), draws.unit(), draws.unit()];
        let (place, outcome) = world.tastes.looks_at(segment, &question.shown, three);
        let seen = Seen {
            item: question.shown[place],
            position: place as u16,
            outcome,
            decision: (!question.is_told).then_some(question.decision),
        };
        if question.is_told {
            let (decision, position, value) = (question.decision, seen.position, outcome.worth());
            self.rewards.push(Reward { decision, position, value });
        }
        self.so_far.earned += outcome.worth();
        self.close(slot);
        seen
    }

    fn close(&mut self, slot: u32) {
        // An answer that comes now finds another decision, or none.
        self.open[slot as usize].decision = u64::MAX;
        self.free.push(slot);
    }
}
