//! What a decision counts before its reward is known, and how likely the reward is to have come by now.

use serde::{Deserialize, Serialize};

/// What a decision counts before its reward is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provisional {
    /// Enters at once with the reward the model itself expects: uncertainty shrinks, so that the same action is not tried over and
    /// over while rewards are under way, and the estimate stays; corrected by Δr·x when the reward comes
    /// (GP-BUCB: Desautels, Krause and Burdick, JMLR 2014).
    #[default]
    Predicted,
    /// Nothing, until its reward comes or its window closes.
    Closed,
    /// The default reward, with the probability that another would have come by now ([`Delays`]); for rewards that are mostly
    /// absent (Chapelle, KDD 2014, in the additive form of Vernade, Cappé and Perchet, UAI 2017).
    Weighted,
}

const BINS: usize = 64;

/// Distribution of delays from decision to reward, learnt online in bins of half a power of two.
///
/// Only decisions whose window is closed may be given: those still open are known by short delays alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delays {
    /// Rewards by bin.
    rewards: Vec<u64>,
    /// Windows that closed without one.
    absent: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Delays { rewards: vec![0; BINS], absent: 0 }
    }
}

impl Delays {
    /// A window closed; the reward came after `delay_ms`, or not at all.
    pub fn closed(&mut self, delay_ms: Option<i64>) {
        match delay_ms {
            Some(delay_ms) => self.rewards[bin(delay_ms)] += 1,
            None => self.absent += 1,
        }
    }

    /// Adds what another partition saw.
    pub fn merge(&mut self, other: &Delays) {
        for (mine, theirs) in self.rewards.iter_mut().zip(&other.rewards) {
            *mine += theirs;
        }
        self.absent += other.absent;
    }

    /// Probability that a reward that comes at all has come `age_ms` after its decision; 0 before anything is known.
    pub fn arrived(&self, age_ms: i64) -> f64 {
        let (bin, total) = (bin(age_ms), self.rewards.iter().sum::<u64>());
        if total == 0 {
            return 0.0;
        }
        self.rewards[..bin].iter().sum::<u64>() as f64 / total as f64
    }

    /// Probability that a reward comes at all; none before a window closed.
    pub fn any(&self) -> Option<f64> {
        let total = self.rewards.iter().sum::<u64>();
        (total + self.absent > 0).then(|| total as f64 / (total + self.absent) as f64)
    }

    /// The least age at which [`Delays::arrived`] reaches `probability`: when a decision is worth leaning on again.
    pub fn age_ms(&self, probability: f64) -> Option<i64> {
        let total = self.rewards.iter().sum::<u64>() as f64;
        let mut seen = 0;
        let bin = self.rewards.iter().position(|rewards| {
            seen += rewards;
            total > 0.0 && seen as f64 >= probability * total
        })?;
        Some(start(bin + 1).max(2))
    }
}

/// Bins 2n and 2n + 1 are [2^n, 1.5·2^n) and [1.5·2^n, 2^(n+1)) ms, from n = 0; shorter delays are in the first.
fn bin(delay_ms: i64) -> usize {
    let delay = delay_ms.max(1) as u64;
    let power = 63 - delay.leading_zeros() as usize;
    let half = if power == 0 { 0 } else { (delay >> (power - 1)) & 1 };
    (2 * power + half as usize).min(BINS - 1)
}

fn start(bin: usize) -> i64 {
    let power = 1_i64 << (bin / 2);
    if bin.is_multiple_of(2) { power } else { power + power / 2 }
}
