//! What a report says of the calls beside events: decisions, what came of them, rewards, CMCD records.

use crate::drive::{Calls, Kept};
use crate::population::Loop;
use crate::report::Latency;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// Calls of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// Handed to connections, or lost before.
    pub sent: u64,
    /// Answered as they should be.
    pub answered: u64,
    /// Others by cause.
    pub errors: BTreeMap<String, u64>,
    /// The first of these, in words.
    #[serde(default)]
    pub first_error: Option<String>,
    /// From the intended time to the answer as it should be.
    pub intended: Latency,
}

/// What came of the decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Learning {
    #[serde(flatten)]
    sums: Loop,
    /// Expected worth that was missed, per decision shown.
    regret_per_decision: f64,
    /// 0 at chance, 1 at the best.
    gain: Option<f64>,
}

/// Calls beside events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// By kind.
    pub calls: BTreeMap<String, Counted>,
    #[serde(rename = "loop")]
    learning: Option<Learning>,
}

impl Beside {
    /// From what was counted.
    pub fn new(calls: &Calls, so_far: Option<&Loop>) -> Beside {
        let kinds = [("rank", &calls.rank), ("reward", &calls.reward), ("cmcd", &calls.cmcd)];
        let learning = so_far.filter(|sums| sums.looked > 0).map(|sums| Learning {
            regret_per_decision: sums.regret() / sums.answered.max(1) as f64,
            gain: sums.gain(),
            sums: sums.clone(),
        });
        let made = kinds.into_iter().filter(|(_, kept)| kept.sent > 0);
        Beside { calls: made.map(|(name, kept)| (name.to_owned(), Counted::of(kept))).collect(), learning }
    }

    /// Calls that were not answered as they should be, in words.
    pub fn failures(&self) -> Vec<String> {
        let failed = self.calls.iter().filter(|(_, counted)| !counted.errors.is_empty());
        let words = |(name, counted): (&String, &Counted)| {
            let n: u64 = counted.errors.values().sum();
            let causes: Vec<_> = counted.errors.keys().map(String::as_str).collect();
            let first = counted.first_error.as_ref().map_or(String::new(), |first| format!("; first: {first}"));
            format!(
                "{n} of {} {name} calls were not answered as they should be: {}{first}",
                counted.sent,
                causes.join(", ")
            )
        };
        failed.map(words).collect()
    }

    /// What came of decisions, by name; empty where none were asked for.
    pub fn learnt(&self) -> Vec<(&'static str, String)> {
        let Some(Learning { sums, regret_per_decision, gain }) = &self.learning else { return vec![] };
        let each = |sum: f64| format!("{:.4}", sum / sums.answered.max(1) as f64);
        let mut learnt = vec![
            ("decisions looked at", sums.looked.to_string()),
            ("shown", sums.answered.to_string()),
            ("unanswered in time", sums.unanswered.to_string()),
            ("worth earned, each", each(sums.earned)),
            ("worth expected, each", each(sums.expected)),
            ("by chance", each(sums.uniform)),
            ("at best", each(sums.best)),
            ("regret, each", format!("{regret_per_decision:.4}")),
        ];
        learnt.extend(gain.map(|gain| ("of what could be gained over chance", format!("{:.1} %", gain * 100.0))));
        learnt
    }
}

impl Counted {
    fn of(kept: &Kept) -> Counted {
        let (sent, answered, errors) = (kept.sent, kept.answered, kept.errors.clone());
        Counted { sent, answered, errors, first_error: kept.first_error.clone(), intended: Latency::of(&kept.intended) }
    }
}

impl Display for Beside {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, c) in &self.calls {
            write!(f, "{name:<10} {} of {} calls answered", c.answered, c.sent)?;
            c.errors.iter().try_for_each(|(cause, n)| write!(f, ", {cause}: {n}"))?;
            writeln!(f)?;
        }
        let Some(learning) = &self.learning else { return Ok(()) };
        let Loop { looked, answered, unanswered, earned, expected, uniform, best } = &learning.sums;
        writeln!(f, "decisions  {looked} looked at: {answered} shown, {unanswered} unanswered in time")?;
        let each = |sum: &f64| sum / (*answered).max(1) as f64;
        write!(f, "           worth {:.4} earned, {:.4} expected; {:.4}", each(earned), each(expected), each(uniform))?;
        writeln!(f, " by chance, {:.4} at best: regret {:.4} each", each(best), learning.regret_per_decision)?;
        if let Some(gain) = learning.gain {
            writeln!(f, "           {:.1} % of what could be gained over chance", gain * 100.0)?;
        }
        Ok(())
    }
}
