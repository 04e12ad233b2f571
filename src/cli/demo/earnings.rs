//! What the summary says of the loop: what decisions were worth, and an account that must add up.

use super::pulse::Latencies;
use super::scores::{Average, BUCKET, Counts, RUNNING};
use super::words::{count, ms};
use crate::counted::either;
use serde::Serialize;

/// What the summary says of the loop.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Learning {
    pub counts: Counts,
    /// Reward of all decisions, as their viewers meant it.
    pub average: f64,
    pub beginning: Option<Average>,
    /// The second half of the decisions before the drift.
    pub before_drift: Option<Average>,
    /// The first decisions after it.
    pub after_drift: Option<Average>,
    /// None of its decisions are from before the drift.
    pub last_quarter: Option<Average>,
    /// Decisions after the drift until a running average of 500 was 90 % of that before it.
    pub recovered_after: Option<u64>,
    /// Question → answer, as the sender sees it.
    pub rank: Latencies,
    /// Reward sent → in a model version, as the sender sees it.
    pub reward_to_model: Latencies,
    pub server: Server,
}

/// The server's own account of the model.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Server {
    pub decisions: u64,
    /// Decisions whose reward is known.
    pub rewards: u64,
    pub average: Option<f64>,
    /// Its rewards are those that guests mean: the configuration is the demo's.
    #[serde(skip)]
    pub is_own: bool,
}

impl Learning {
    /// Every question has an answer and every decision is in the server's books, with the reward that its guest meant.
    ///
    /// Rewards are compared where nobody else asked and windows and rewards are the demo's own.
    pub(super) fn adds_up(&self) -> bool {
        let (counts, server) = (&self.counts, &self.server);
        let agrees = server.average.is_some_and(|average| (average - self.average).abs() < 1e-9);
        let is_compared = server.is_own && server.decisions == counts.decisions() && server.decisions > 0;
        counts.asked == counts.decisions() + counts.refused
            && server.decisions >= counts.decisions()
            && server.rewards <= server.decisions
            && (!is_compared || (agrees && server.rewards == server.decisions))
    }
}

impl Learning {
    pub(super) fn text(&self) -> String {
        let mut out = format!(
            "\n{:<26}{:>10}{:>9}{:>11}{:>9}{:>10}\n",
            "average reward", "decisions", "decided", "at random", "best", "captured"
        );
        let few = format!("first {}", BUCKET * RUNNING as u64);
        let rows = [
            (few.as_str(), self.beginning),
            ("before tastes changed", self.before_drift.filter(|_| self.after_drift.is_some())),
            ("right after", self.after_drift),
            ("last quarter", self.last_quarter),
        ];
        rows.into_iter().filter_map(|(name, average)| Some(row(name, average?))).for_each(|row| out += &row);
        out += &match (self.after_drift, self.recovered_after) {
            (None, _) => "tastes had not changed yet\n".to_string(),
            (Some(_), Some(decisions)) => {
                let n = either(decisions, "decision", "decisions");
                format!("90 % of the level before was reached again {} {n} after the change\n", count(decisions))
            }
            (Some(_), None) => "90 % of the level before was not reached again\n".to_string(),
        };
        out + &self.account()
    }

    fn account(&self) -> String {
        let counts = &self.counts;
        let [asked, decided, played, clicked, away, ignored] =
            [counts.asked, counts.decisions(), counts.played, counts.clicked, counts.sent_away, counts.ignored]
                .map(count);
        let mut out = format!(
            "\n{asked} {}, {decided} {}: {played} played, {clicked} only clicked, {away} sent away, {ignored} ignored",
            either(counts.asked, "question", "questions"),
            either(counts.decisions(), "decision", "decisions")
        );
        if counts.refused > 0 {
            out += &format!("; {} REFUSED", count(counts.refused));
        }
        let [decisions, rewards] = [self.server.decisions, self.server.rewards].map(count);
        let average = self.server.average.map_or("-".into(), |average| format!("{average:.4}"));
        let of = either(self.server.decisions, "decision", "decisions");
        let told = either(self.server.rewards, "reward", "rewards");
        out += &format!("\nthe server's books: {decisions} {of}, {rewards} {told}, on average {average}; ");
        out += &match self.adds_up() {
            true => format!("the guests': {:.4}\n", self.average),
            false => format!("the guests': {:.4}: THIS DOES NOT ADD UP\n", self.average),
        };
        let [rank, learnt] = [&self.rank, &self.reward_to_model].map(|l| (ms(l.p50_us), ms(l.p99_us)));
        out += &format!("rank p50 {}, p99 {}", rank.0, rank.1);
        if self.reward_to_model.events > 0 {
            out += &format!("; reward sent → in a model version p50 {}, p99 {}", learnt.0, learnt.1);
        }
        out + "\n"
    }
}

fn row(name: &str, average: Average) -> String {
    let Average { decisions, reward, uniform, best, captured } = average;
    format!("{name:<26}{:>10}{reward:>9.3}{uniform:>11.3}{best:>9.3}{:>8.0} %\n", count(decisions), 100.0 * captured)
}
