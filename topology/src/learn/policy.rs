//! Policies: scores → distribution. One keyed draw is made from it elsewhere ([`Key::take`]), so a propensity is what was drawn from.
//!
//! A distribution depends on the scores and, for Thompson sampling, on the key; never on what was drawn. Apart from `noop`, no
//! candidate's probability is ever 0.

use super::draw::{Key, Stream};
use super::scores::Scores;
use super::setting::Setting;
use super::triangle::dot;
use crate::math;
use serde::{Deserialize, Serialize};

/// How many standard deviations count as exploration; `"auto"` or a number.
///
/// Where many features take part in a decision, changing contexts explore by themselves, and optimism over all of them together
/// is excessive: the automatic width falls with the number of features that take part, as 1.5 / ⁴√n.
pub type Width = Setting;

/// From scores to probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
#[serde(expecting = "a policy as a table, { name = \"lin_ucb\" }")]
pub enum Policy {
    /// The caller's own order: the first candidate, always.
    Noop,
    /// All the same, at each position: a shuffle.
    #[serde(alias = "shuffle")]
    Uniform,
    /// The best with probability 1 − ε, else any.
    EpsilonGreedy {
        /// Probability of exploring.
        epsilon: f64,
    },
    /// p ∝ exp(expected / (temperature · noise)), mixed with a floor.
    Softmax {
        /// In standard deviations of a reward.
        temperature: f64,
        /// Probability that is spread evenly.
        #[serde(default = "floor")]
        floor: f64,
    },
    /// The greatest expected + width · σ, mixed with a floor (Li, Chu, Langford and Schapire, WWW 2010). Ties share.
    LinUcb {
        /// Width in standard deviations of what is expected.
        #[serde(default)]
        width: Width,
        /// Probability that is spread evenly.
        #[serde(default = "floor")]
        floor: f64,
    },
    /// How often a candidate is the best of a posterior draw, over a fixed number of keyed draws, mixed with a floor
    /// (Agrawal and Goyal, ICML 2013).
    Thompson {
        /// Scale of the posterior's standard deviation; automatic: as for LinUCB, from 0.5 for one feature.
        #[serde(default)]
        scale: Width,
        /// Posterior draws per decision.
        #[serde(default = "draws")]
        draws: u32,
        /// Probability that is spread evenly.
        #[serde(default = "floor")]
        floor: f64,
    },
    /// p_a = 1 / (K + γ · (best − expected_a) / noise), the best takes the rest; γ = gamma · √(decisions · K)
    /// (Foster and Rakhlin, ICML 2020).
    SquareCb {
        /// Scale of γ.
        gamma: f64,
    },
}

impl Default for Policy {
    fn default() -> Self {
        Policy::LinUcb { width: Setting::Auto, floor: FLOOR }
    }
}

/// Default of the probability that is spread evenly.
pub const FLOOR: f64 = 0.001;
/// Default of Thompson sampling's posterior draws.
pub const DRAWS: u32 = 16;
fn floor() -> f64 {
    FLOOR
}

fn draws() -> u32 {
    DRAWS
}

/// Posterior draws at most.
pub const DRAWS_MAX: u32 = 1024;
/// The least floor.
pub const FLOOR_MIN: f64 = 1e-6;
/// Posterior draws are not made for a candidate that would have to reach further than this, while the best falls as far.
const REACH: f64 = 4.0;

fn width(setting: Width, one_feature: f64, scores: &Scores) -> f64 {
    match setting {
        Setting::Auto => one_feature * math::pow(scores.taking_part, -0.25),
        Setting::Fixed(width) => width,
    }
}

impl Policy {
    /// Its name in configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Policy::Noop => "noop",
            Policy::Uniform => "uniform",
            Policy::EpsilonGreedy { .. } => "epsilon_greedy",
            Policy::Softmax { .. } => "softmax",
            Policy::LinUcb { .. } => "lin_ucb",
            Policy::Thompson { .. } => "thompson",
            Policy::SquareCb { .. } => "square_cb",
        }
    }

    /// Checks ranges; the message names the parameter, the value and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: f64, from: f64, to: f64| match (from..=to).contains(&value) {
            true => Ok(()),
            false => Err(format!("`{name}` is {value}; allowed: {from} to {to}")),
        };
        let setting = |name: &str, setting: Setting| match setting {
            Setting::Auto => Ok(()),
            Setting::Fixed(value) => within(name, value, 0.0, 1e6),
        };
        let floor = |value: f64| within("floor", value, FLOOR_MIN, 1.0);
        match *self {
            Policy::Noop | Policy::Uniform => Ok(()),
            Policy::EpsilonGreedy { epsilon } => within("epsilon", epsilon, FLOOR_MIN, 1.0),
            Policy::Softmax { temperature, floor: f } => within("temperature", temperature, 1e-6, 1e6).and(floor(f)),
            Policy::LinUcb { width, floor: f } => setting("width", width).and(floor(f)),
            Policy::Thompson { scale, draws, floor: f } => {
                setting("scale", scale).and(within("draws", f64::from(draws), 1.0, f64::from(DRAWS_MAX))).and(floor(f))
            }
            Policy::SquareCb { gamma } => within("gamma", gamma, 1e-6, 1e9),
        }
    }

    /// The probability of each candidate. Sums to 1 to rounding; empty without candidates.
    pub fn distribution(&self, scores: &Scores, key: Key, out: &mut Vec<f64>) {
        out.clear();
        if scores.is_empty() {
            return;
        }
        let n = scores.len();
        match *self {
            Policy::Noop => {
                out.resize(n, 0.0);
                out[0] = 1.0;
            }
            Policy::Uniform => out.resize(n, 1.0 / n as f64),
            Policy::EpsilonGreedy { epsilon } => {
                out.extend_from_slice(&scores.deviation);
                greatest(out);
                mix(out, epsilon);
            }
            Policy::Softmax { temperature, floor } => {
                softmax(&scores.deviation, temperature * scores.noise, out);
                mix(out, floor);
            }
            Policy::LinUcb { width: setting, floor } => {
                let width = width(setting, 1.5, scores);
                let bounds = scores.deviation.iter().zip(&scores.deviations_std);
                out.extend(bounds.map(|(deviation, std)| deviation + width * std));
                greatest(out);
                mix(out, floor);
            }
            Policy::Thompson { scale, draws, floor } => {
                thompson(scores, width(scale, 0.5, scores), draws, key, out);
                mix(out, floor);
            }
            Policy::SquareCb { gamma } => square_cb(scores, gamma, out),
        }
    }
}

fn mix(distribution: &mut [f64], floor: f64) {
    let even = floor / distribution.len() as f64;
    for p in distribution {
        *p = (1.0 - floor) * *p + even;
    }
}

/// 1 for the greatest, shared between those that are equal.
fn greatest(scores: &mut [f64]) {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ties = scores.iter().filter(|score| **score == max).count();
    for score in scores {
        *score = if *score == max { 1.0 / ties as f64 } else { 0.0 };
    }
}

fn softmax(expected: &[f64], temperature: f64, out: &mut Vec<f64>) {
    let max = expected.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    out.extend(expected.iter().map(|x| math::exp((x - max) / temperature.max(f64::MIN_POSITIVE))));
    let total: f64 = out.iter().sum();
    out.iter_mut().for_each(|p| *p /= total);
}

/// Shares of posterior draws in which a candidate is the greatest. Candidates that no draw within reach could raise to the top are
/// not drawn for.
fn thompson(scores: &Scores, scale: f64, draws: u32, key: Key, out: &mut Vec<f64>) {
    let (n, stride) = (scores.len(), scores.stride());
    let reach = REACH * scale;
    let bounds = || scores.deviation.iter().zip(&scores.deviations_std);
    let sure = bounds().map(|(mean, std)| mean - reach * std).fold(f64::NEG_INFINITY, f64::max);
    let hopeful: Vec<usize> =
        bounds().enumerate().filter(|(_, (mean, std))| *mean + reach * **std >= sure).map(|(i, _)| i).collect();
    out.resize(n, 0.0);
    if let [only] = hopeful[..] {
        out[only] = 1.0;
        return;
    }
    let mut shared = vec![0.0; stride];
    for draw in 0..u64::from(draws) {
        let first = draw * (n + stride) as u64;
        for (j, z) in shared.iter_mut().enumerate() {
            *z = key.normal(Stream::Posterior, first + (n + j) as u64);
        }
        let drawn = |i: usize| {
            let z = key.normal(Stream::Posterior, first + i as u64);
            let direction = &scores.directions[i * stride..(i + 1) * stride];
            let std = scores.own[i] * z + scores.noise * dot(direction, &shared);
            scores.deviation[i] + scale * std
        };
        let mut best = (hopeful[0], f64::NEG_INFINITY);
        for i in &hopeful {
            let score = drawn(*i);
            if score > best.1 {
                best = (*i, score);
            }
        }
        out[best.0] += 1.0 / f64::from(draws);
    }
}

fn square_cb(scores: &Scores, gamma: f64, out: &mut Vec<f64>) {
    let n = scores.len() as f64;
    let gamma = gamma * (scores.decisions as f64 * n).sqrt() / scores.noise;
    let expected = &scores.deviation;
    let max = expected.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let best = expected.iter().position(|x| *x == max).unwrap_or(0);
    out.extend(expected.iter().map(|x| 1.0 / (n + gamma * (max - x))));
    let others: f64 = out.iter().enumerate().filter(|(i, _)| *i != best).map(|(_, p)| p).sum();
    out[best] = 1.0 - others;
}
