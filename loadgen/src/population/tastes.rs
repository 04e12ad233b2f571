//! What viewers like, which no model is told: by segment of the viewer and cluster of the item.
//!
//! A pure function. The segment is the viewer's device, which is in the context, so it can be learnt; and as tastes are known here,
//! so is what a slate is worth, what one at random would be, and the best of all: regret is exact.
//!
//! A viewer looks at one position of the slate, p with a probability that falls as 1/(p+1) (a position-based model: Craswell et al.
//! 2008, with one examination), and decides about that item alone. So a slate is worth the mean of its items, weighted by attention.

use crate::profile::Rank;

/// Worth of what can come of an item, as in the default reward of the model `home`.
const PLAYED: f64 = 1.0;
const CLICKED: f64 = 0.3;
const SENT_AWAY: f64 = -0.5;

/// What became of the item that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Played,
    Clicked,
    SentAway,
    Ignored,
}

impl Outcome {
    pub(super) fn worth(self) -> f64 {
        match self {
            Outcome::Played => PLAYED,
            Outcome::Clicked => CLICKED,
            Outcome::SentAway => SENT_AWAY,
            Outcome::Ignored => 0.0,
        }
    }
}

/// Expected worth of what was shown, of a slate at random, and of the best one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Worth {
    pub(super) shown: f64,
    pub(super) uniform: f64,
    pub(super) best: f64,
}

/// Hidden tastes.
pub(super) struct Tastes {
    /// Probability of a click by how far the cluster is from the segment.
    liking: Vec<f64>,
    played: f64,
    sent_away: f64,
    /// Probability that a position is the one looked at, for a slate of full length.
    attention: Vec<f64>,
}

impl Tastes {
    pub(super) fn new(rank: &Rank) -> Tastes {
        let [high, low] = rank.liking;
        let halves = std::iter::successors(Some(1.0), |x| Some(x / 2.0));
        Tastes {
            liking: halves.take(rank.clusters as usize).map(|half| low + (high - low) * half).collect(),
            played: rank.played,
            sent_away: rank.sent_away,
            attention: attention(rank.k as usize),
        }
    }

    fn liking(&self, segment: u32, item: u32) -> f64 {
        let clusters = self.liking.len() as u32;
        self.liking[((item + clusters - segment % clusters) % clusters) as usize]
    }

    /// Expected worth of an item that is looked at.
    fn worth(&self, segment: u32, item: u32) -> f64 {
        let click = self.liking(segment, item);
        click * (self.played * PLAYED + (1.0 - self.played) * CLICKED) + (1.0 - click) * self.sent_away * SENT_AWAY
    }

    /// Which position is looked at, and what becomes of it; three draws in (0, 1].
    pub(super) fn looks_at(&self, segment: u32, shown: &[u32], draws: [f64; 3]) -> (usize, Outcome) {
        let attention = self.attention_of(shown.len());
        let mut left = draws[0];
        let place = attention.iter().position(|share| {
            left -= share;
            left <= 0.0
        });
        let place = place.unwrap_or(shown.len() - 1);
        let outcome = match draws[1] <= self.liking(segment, shown[place]) {
            true if draws[2] <= self.played => Outcome::Played,
            true => Outcome::Clicked,
            false if draws[2] <= self.sent_away => Outcome::SentAway,
            false => Outcome::Ignored,
        };
        (place, outcome)
    }

    /// What a slate is worth, beside what it could have been. `shown` is some of `candidates`.
    pub(super) fn judge(&self, segment: u32, candidates: &[u32], shown: &[u32]) -> Worth {
        let attention = self.attention_of(shown.len());
        let weighted = |worth: &mut dyn Iterator<Item = f64>| attention.iter().zip(worth).map(|(a, w)| a * w).sum();
        let mut all: Vec<f64> = candidates.iter().map(|item| self.worth(segment, *item)).collect();
        all.sort_unstable_by(|a, b| b.total_cmp(a));
        Worth {
            shown: weighted(&mut shown.iter().map(|item| self.worth(segment, *item))),
            uniform: all.iter().sum::<f64>() / all.len() as f64,
            best: weighted(&mut all.iter().copied()),
        }
    }

    fn attention_of(&self, len: usize) -> std::borrow::Cow<'_, [f64]> {
        if len == self.attention.len() { (&self.attention).into() } else { attention(len).into() }
    }
}

fn attention(len: usize) -> Vec<f64> {
    let total: f64 = (1..=len).map(|p| 1.0 / p as f64).sum();
    (1..=len).map(|p| 1.0 / p as f64 / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use crate::seeded::{Draws, Stream};

    fn tastes() -> Tastes {
        Tastes::new(&Profile::load("steady_evening").expect("it is shipped").rank)
    }

    #[test]
    fn what_viewers_do_is_worth_what_is_expected_of_it() {
        let (tastes, mut draws) = (tastes(), Draws::new(4, Stream::Decision, 0));
        let candidates: Vec<u32> = (0..24).collect();
        for (segment, shown) in [(0, [0, 1, 2, 3]), (2, [6, 5, 4, 7]), (3, [0, 4, 8, 1])] {
            let n = 60_000;
            let worth = |_| tastes.looks_at(segment, &shown, [draws.unit(), draws.unit(), draws.unit()]).1.worth();
            let mean = (0..n).map(worth).sum::<f64>() / f64::from(n);
            let expected = tastes.judge(segment, &candidates, &shown).shown;
            assert!((mean - expected).abs() < 0.01, "{mean} for {expected}");
        }
    }

    #[test]
    fn the_best_slate_has_no_regret_and_every_segment_has_another() {
        let tastes = tastes();
        let candidates: Vec<u32> = (0..24).collect();
        for segment in 0..4 {
            let own: Vec<u32> = (0..4).map(|n| segment + 4 * n).collect();
            let judged = tastes.judge(segment, &candidates, &own);
            assert!((judged.shown - judged.best).abs() < 1e-12);
            assert!(judged.uniform < judged.best);
            let other = tastes.judge((segment + 1) % 4, &candidates, &own);
            assert!(other.shown < other.best);
        }
    }
}
