//! What a report says of the calls beside events: decisions, what came of them, rewards, CMCD records.

use crate::drive::{Calls, Kept};
use crate::population::Loop;
use crate::report::{Report, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// Calls of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Counted {
    sent: u64,
    answered: u64,
    errors: BTreeMap<String, u64>,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// What came of the decisions.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Learning {
    #[serde(flatten)]
    sums: Loop,
    /// Expected worth that was missed, per decision shown.
    regret_per_decision: f64,
    /// 0 at chance, 1 at the best.
    gain: Option<f64>,
}

/// Calls beside events.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Beside {
    calls: BTreeMap<&'static str, Counted>,
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
        Beside { calls: made.map(|(name, kept)| (name, Counted::of(kept))).collect(), learning }
    }

    /// A call that was not answered as it should be fails a run that is otherwise well.
    pub fn judge(&self, verdict: Verdict) -> Verdict {
        let failed = self.calls.iter().find(|(_, counted)| !counted.errors.is_empty());
        match (verdict, failed) {
            (Verdict::Ok, Some((name, counted))) => {
                let n: u64 = counted.errors.values().sum();
                let causes: Vec<_> = counted.errors.keys().map(String::as_str).collect();
                Verdict::Failed(format!(
                    "{n} of {} {name} calls were not answered: {}",
                    counted.sent,
                    causes.join(", ")
                ))
            }
            (verdict, _) => verdict,
        }
    }

    /// The report with this in it, as JSON.
    pub fn put_into(&self, report: &Report) -> String {
        let mut whole = serde_json::to_value(report).expect("a report is plain data");
        let beside = serde_json::to_value(self).expect("counts are plain data");
        if let (Some(whole), serde_json::Value::Object(beside)) = (whole.as_object_mut(), beside) {
            whole.extend(beside);
            whole.insert("verdict".into(), serde_json::to_value(self.judge(report.verdict().clone())).expect("a text"));
        }
        serde_json::to_string_pretty(&whole).expect("it is plain data")
    }
}

impl Counted {
    fn of(kept: &Kept) -> Counted {
        let ms = |q| kept.intended.value_at_quantile(q) as f64 / 1e6;
        let (p50_ms, p99_ms, max_ms) = (ms(0.5), ms(0.99), kept.intended.max() as f64 / 1e6);
        Counted { sent: kept.sent, answered: kept.answered, errors: kept.errors.clone(), p50_ms, p99_ms, max_ms }
    }
}

impl Display for Beside {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, c) in &self.calls {
            let (p50, p99, max) = (c.p50_ms, c.p99_ms, c.max_ms);
            write!(
                f,
                "{name:<10} {} of {} calls answered, intended p50 {p50:.3} p99 {p99:.3} max {max:.3} ms",
                c.answered, c.sent
            )?;
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
