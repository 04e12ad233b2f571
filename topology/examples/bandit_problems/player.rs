//! One learner in a closed loop: choose, enter, settle; and the numbers that problems are drawn from.

use saccade_topology::learn::{
    At, Candidates, CutScratch, Delays, Entry, Evidence, HalfLife, Key, Learning, Model, Policy, Provisional, Scores,
    Stream,
};

/// A policy on a way of learning.
pub struct Setup {
    pub name: String,
    pub policy: Policy,
    pub learning: Learning,
}

/// A stream of seeded random numbers.
pub struct Source {
    key: Key,
    next: u64,
}

impl Source {
    pub fn new(seed: u64, of: &str) -> Self {
        Source { key: Key::new(seed, of.as_bytes()), next: 0 }
    }

    pub fn uniform(&mut self) -> f64 {
        self.next += 1;
        self.key.uniform(Stream::Choice, self.next)
    }

    pub fn normal(&mut self) -> f64 {
        self.next += 1;
        self.key.normal(Stream::Choice, self.next)
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n - 1)
    }
}

/// A decision whose reward is under way.
pub struct Pending {
    pub action: usize,
    pub x: Vec<f64>,
    pub reward: f64,
    round: u64,
    expected: f64,
    deviation: f64,
    share: f64,
}

/// A learner.
pub struct Player {
    policy: Policy,
    evidence: Evidence,
    model: Model,
    scratch: CutScratch,
    scores: Scores,
    distribution: Vec<f64>,
    actions: Vec<u32>,
    delays: Delays,
    seed: u64,
    round: u64,
}

impl Player {
    pub fn new(setup: &Setup, dimension: usize, actions: usize, seed: u64) -> Self {
        let learning = Learning { context: dimension, ..setup.learning.clone() };
        let evidence = Evidence::new(&learning);
        Player {
            policy: setup.policy,
            model: Model::cut(&evidence),
            evidence,
            scratch: CutScratch::default(),
            scores: Scores::default(),
            distribution: Vec::new(),
            actions: (0..actions as u32).collect(),
            delays: Delays::default(),
            seed,
            round: 0,
        }
    }

    /// Chooses an action for the features and enters the decision.
    pub fn choose(&mut self, x: &[f64]) -> Pending {
        self.model.refresh(&self.evidence, None, &mut self.scratch);
        let candidates = Candidates { context: x, joint: &[], actions: &self.actions };
        self.model.score(&candidates, &mut self.scores);
        let key = Key::new(self.seed, &self.round.to_le_bytes());
        self.policy.distribution(&self.scores, key, &mut self.distribution);
        let action = key.take(&self.distribution).expect("there are candidates");
        let pending = Pending {
            action,
            x: x.to_vec(),
            reward: 0.0,
            round: self.round,
            expected: self.scores.expected(action),
            deviation: self.scores.deviation[action],
            share: 0.0,
        };
        self.evidence.decide(&pending.entry());
        self.round += 1;
        pending
    }

    /// Whether a half-life is in use.
    pub fn forgets(&self) -> bool {
        self.evidence.half_life() != HalfLife::None
    }

    /// The reward has come.
    pub fn learn(&mut self, pending: &Pending) {
        self.delays.closed(Some((self.round - pending.round) as i64));
        self.evidence.outcome_of(&pending.entry(), pending.reward, pending.share, 0.0);
    }

    /// Where pending decisions count by how likely their reward is in: counts those that are old enough as `believed`.
    pub fn lean<'a>(&mut self, pending: impl Iterator<Item = &'a mut Pending>) {
        if self.evidence.learning().provisional != Provisional::Weighted || !self.round.is_multiple_of(64) {
            return;
        }
        for pending in pending {
            let share = self.delays.arrived((self.round - pending.round) as i64);
            if share > pending.share + 0.1 {
                self.evidence.lean(&pending.entry(), 0.0, pending.share, share);
                pending.share = share;
            }
        }
    }
}

impl Pending {
    fn entry(&self) -> Entry<'_> {
        Entry {
            action: Some(self.action as u32),
            context: &self.x,
            joint: &[],
            at: At { event_time: self.round as i64 * 1000, ordinal: self.round as i64 },
            expected: self.expected,
            deviation: self.deviation,
        }
    }
}
