//! What a report says of the calls beside events: decisions, what came of them, rewards, CMCD records.

use crate::drive::{Calls, Kept};
use crate::population::Loop;
use crate::report::Latency;
use saccade::counted;
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
    /// Expected worth that was missed, per decision shown; absent where none was.
    regret_per_decision: Option<f64>,
    /// Its standard error; absent where fewer than two were.
    #[serde(default)]
    regret_standard_error: Option<f64>,
    /// 0 at chance, 1 at the best.
    gain: Option<f64>,
}

impl Learning {
    /// Of a run in which somebody looked.
    fn of(sums: &Loop) -> Learning {
        Learning {
            regret_per_decision: sums.regret_each(),
            regret_standard_error: sums.regret_error(),
            gain: sums.gain(),
            sums: sums.clone(),
        }
    }

    /// A sum over the decisions shown, for each.
    fn each(&self, sum: f64) -> String {
        match self.sums.answered {
            0 => NOT_MEASURED.into(),
            n => format!("{:.4}", sum / n as f64),
        }
    }

    /// What was missed, with its standard error and the number of decisions.
    fn regret(&self) -> String {
        let Some(regret) = self.regret_per_decision else { return NOT_MEASURED.into() };
        let n = self.sums.answered;
        match self.regret_standard_error {
            Some(error) => format!("{regret:.4} ± {error:.4} (standard error, n = {n})"),
            None => format!("{regret:.4} (n = {n})"),
        }
    }
}

/// Where nothing was shown.
const NOT_MEASURED: &str = "not measured";
/// Why somebody may look before an answer that was quick.
const LOOKED_EARLY: &str = "looked before the answer came. Viewers look after rank.look_after of their own time, which runs ahead of the clock where they do more than they would (--rate, --viewers, a spike); the hot viewer looks when next on turn";

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
        let learning = so_far.filter(|sums| sums.looked > 0).map(Learning::of);
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
                "{n} of {} not answered as they should be: {}{first}",
                counted::counted(counted.sent, &format!("{name} call")),
                causes.join(", ")
            )
        };
        failed.map(words).collect()
    }

    /// Of those who were not shown a decision, about as many as it was still under way for: the others were refused one.
    fn looked_early(&self, sums: &Loop) -> u64 {
        let refused = self.calls.get("rank").map_or(0, |rank| rank.errors.values().sum());
        sums.unanswered.saturating_sub(refused)
    }

    /// What came of decisions, by name; empty where none were asked for.
    pub fn learnt(&self) -> Vec<(&'static str, String)> {
        let Some(learning) = &self.learning else { return vec![] };
        let (sums, gain) = (&learning.sums, learning.gain);
        let mut learnt = vec![
            ("decisions looked at", sums.looked.to_string()),
            ("shown", sums.answered.to_string()),
            ("not shown: looked before the answer came", self.looked_early(sums).to_string()),
            ("not shown: no answer as it should be", (sums.unanswered - self.looked_early(sums)).to_string()),
            ("worth earned, each", learning.each(sums.earned)),
            ("worth expected, each", learning.each(sums.expected)),
            ("by chance", learning.each(sums.uniform)),
            ("at best", learning.each(sums.best)),
            ("regret, each", learning.regret()),
        ];
        learnt.extend(gain.map(|gain| ("of what could be gained over chance", format!("{:.1} %", gain * 100.0))));
        learnt
    }
}

impl Counted {
    /// Those that were sent.
    pub fn begun(&self) -> u64 {
        self.sent - self.errors.get("unsent").copied().unwrap_or(0)
    }

    fn of(kept: &Kept) -> Counted {
        let (sent, answered, errors) = (kept.sent, kept.answered, kept.errors.clone());
        Counted { sent, answered, errors, first_error: kept.first_error.clone(), intended: Latency::of(&kept.intended) }
    }
}

impl Display for Beside {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, c) in &self.calls {
            write!(f, "{name:<10} {} of {} answered", c.answered, counted::counted(c.sent, "call"))?;
            c.errors.iter().try_for_each(|(cause, n)| write!(f, ", {cause}: {n}"))?;
            writeln!(f)?;
        }
        let Some(learning) = &self.learning else { return Ok(()) };
        let Loop { looked, answered, unanswered, earned, expected, uniform, best, .. } = &learning.sums;
        writeln!(f, "decisions  {looked} looked at: {answered} shown, {unanswered} not")?;
        let early = self.looked_early(&learning.sums);
        if *unanswered > early {
            writeln!(
                f,
                "           {} got no decision: the call was not answered as it should be",
                unanswered - early
            )?;
        }
        if early > 0 {
            writeln!(f, "           {early} {LOOKED_EARLY}")?;
        }
        if *answered == 0 {
            return writeln!(f, "           worth and regret {NOT_MEASURED}: nothing was shown");
        }
        let each = |sum: &f64| learning.each(*sum);
        write!(
            f,
            "           worth {} earned, {} expected; {} by chance, ",
            each(earned),
            each(expected),
            each(uniform)
        )?;
        writeln!(f, "{} at best: regret {} each", each(best), learning.regret())?;
        if let Some(gain) = learning.gain {
            writeln!(f, "           {:.1} % of what could be gained over chance", gain * 100.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(sums: Loop) -> Beside {
        Beside::new(&Calls::default(), Some(&sums))
    }

    #[test]
    fn regret_has_a_standard_error_and_a_count() {
        // Two decisions: nothing missed, and 0.2.
        let sums = Loop { looked: 2, answered: 2, best: 1.2, expected: 1.0, regret_squares: 0.04, ..Loop::default() };
        let text = beside(sums).to_string();
        assert!(text.contains("regret 0.1000 ± 0.1000 (standard error, n = 2) each"), "{text}");
    }

    #[test]
    fn one_decision_has_no_standard_error() {
        let sums = Loop { looked: 1, answered: 1, best: 0.5, expected: 0.4, regret_squares: 0.01, ..Loop::default() };
        assert!(beside(sums).to_string().contains("regret 0.1000 (n = 1) each"));
    }

    #[test]
    fn what_nobody_was_shown_has_no_regret() {
        let beside = beside(Loop { looked: 20, unanswered: 20, ..Loop::default() });
        let text = beside.to_string();
        assert!(text.contains("not measured: nothing was shown") && !text.contains("0.0000"), "{text}");
        assert!(text.contains("20 looked before the answer came"), "{text}");
        assert!(beside.learnt().iter().all(|(_, value)| value != "0.0000"), "{:?}", beside.learnt());
    }
}
