//! A learner in a loop, for problems small enough to know the answer.

use saccade_topology::learn::*;

/// Round `n` of a problem, on both clocks.
pub fn at(n: i64) -> At {
    At { event_time: n * 1000, ordinal: n }
}

/// A per-action learner of this many features that assumes nothing it could not be told: no centre, unit noise, plain ridge 1.
pub fn plain(context: usize) -> Learning {
    let prior = Prior { ridge: 1.0, scaled: false, centre: Setting::Fixed(0.0), noise: Setting::Fixed(1.0) };
    Learning { context, prior, half_life: HalfLife::None, ..Learning::default() }
}

/// The entry of a per-action decision.
pub fn entry(action: u32, context: &[f64], n: i64) -> Entry<'_> {
    Entry { action: Some(action), context, joint: &[], at: at(n), expected: 0.0, deviation: 0.0 }
}

/// Seeded features and noise.
pub struct Source(Key, u64);

impl Source {
    pub fn new(seed: u64) -> Self {
        Source(Key::new(seed, b"tests"), 0)
    }

    pub fn normal(&mut self) -> f64 {
        self.1 += 1;
        self.0.normal(Stream::Choice, self.1)
    }

    pub fn normals(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.normal()).collect()
    }
}

/// Plays `rounds` rounds in which `reward(round, x, action)` comes at once; returns the actions.
pub fn play(
    learning: &Learning,
    policy: Policy,
    actions: u32,
    xs: &[Vec<f64>],
    mut reward: impl FnMut(usize, &[f64], u32) -> f64,
) -> (Vec<u32>, Evidence) {
    let mut evidence = Evidence::new(learning);
    let mut model = Model::cut(&evidence);
    let mut scratch = CutScratch::default();
    let (mut scores, mut distribution) = (Scores::default(), Vec::new());
    let candidates: Vec<u32> = (0..actions).collect();
    let mut taken = Vec::new();
    for (round, x) in xs.iter().enumerate() {
        model.refresh(&evidence, None, &mut scratch);
        model.score(&Candidates { context: x, joint: &[], actions: &candidates }, &mut scores);
        let key = Key::new(7, &round.to_le_bytes());
        policy.distribution(&scores, key, &mut distribution);
        let action = key.take(&distribution).expect("there are candidates") as u32;
        let (expected, deviation) = (scores.expected(action as usize), scores.deviation[action as usize]);
        let entry = Entry { expected, deviation, ..entry(action, x, round as i64) };
        evidence.decide(&entry);
        evidence.outcome(&entry, reward(round, x, action));
        taken.push(action);
    }
    (taken, evidence)
}

/// Whether two are equal up to rounding, seen against the size of what was added.
pub fn close(a: f64, b: f64, size: f64) -> bool {
    (a - b).abs() <= 1e-10 * (1.0 + size.abs())
}
