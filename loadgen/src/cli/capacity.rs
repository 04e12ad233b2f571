//! `saccade-loadgen capacity`: the highest rate that holds the objectives.

use super::run::{Run, ends_with_terminal, interrupts};
use super::values::{RATE_MAX, duration, whole};
use crate::capacity::{Found, Outcome, Said, Search, find};
use crate::live::say;
use crate::report::{Report, Verdict};
use crate::schedule::Shape;
use clap::Args;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const HELP: &str = "\
Climbs from --from in doubling steps until a rate misses, then bisects to --precision; then again from what was found, --repeats
times in all. Says the median and the spread, and whether the generator itself was the limit. Without --slo: publish_p99<5ms,lost=0.
A rate that misses may have met a hiccup of the machine: it is tried again, and the majority of up to three runs decides; not where more
than a tenth of the events was lost. A run in which the generator was late counts for nothing, and is made up to three times. Runs are told on standard error as they end, the table of rates is on standard output.
Every run has its own seed, counted up from --seed. Where intended is far above service, requests waited for a free connection: the
server, or --connections, is the limit.";

/// Options of `capacity`.
#[derive(Args)]
#[command(
    after_help = HELP,
    mut_arg("rate", |arg| arg.hide(true)),
    mut_arg("record", |arg| arg.hide(true)),
    mut_arg("out", |arg| arg.hide(true)),
    mut_arg("html", |arg| arg.hide(true)),
    mut_arg("write", |arg| arg.hide(true)),
    mut_arg("quiet", |arg| arg.hide(true)),
    mut_arg("duration", |arg| arg.default_value("10s").help("Length of each run")),
    mut_arg("slo", |arg| arg.default_value("publish_p99<5ms,lost=0"))
)]
pub struct Capacity {
    /// Lowest rate, events per second: 1 to 10000000
    #[arg(long, default_value_t = 1_000, value_parser = whole::<u64>(1, RATE_MAX))]
    from: u64,
    /// Highest rate: 1 to 10000000
    #[arg(long, default_value_t = 2_000_000, value_parser = whole::<u64>(1, RATE_MAX))]
    to: u64,
    /// How often the capacity is found anew: 1 to 100
    #[arg(long, default_value_t = 3, value_parser = whole::<u32>(1, 100))]
    repeats: u32,
    /// How close the lowest rate that misses is to the highest that holds: 0.1% to 100%
    #[arg(long, default_value = "5%", value_parser = percentage)]
    precision: f64,
    /// Length of the run before the first, which does not count
    #[arg(long, default_value = "3s", value_parser = duration)]
    warm_up: Duration,
    #[command(flatten)]
    run: Run,
}

impl Capacity {
    /// Searches, and prints what was found.
    pub fn execute(self) -> Result<Verdict, String> {
        if self.from > self.to {
            return Err(format!("--from {} is above --to {}", self.from, self.to));
        }
        if let Some(option) = self.run.of_one_run() {
            return Err(format!(
                "{option} is of `run`: `capacity` makes many runs, whose rates it chooses and keeps none of"
            ));
        }
        let load = self.run.load()?;
        load.warn();
        if load.plan.shape != Shape::Constant {
            let shape = load.plan.shape;
            eprintln!(
                "warning: {shape} changes the rate within each run: rates told here are what its factors are of, and objectives are held over all of a run"
            );
        }
        let (mut nth, interrupt) = (0, Arc::<AtomicBool>::default());
        interrupts(&interrupt)?;
        ends_with_terminal(&interrupt);
        self.run.wait(&interrupt)?;
        let mut measured = |rate, duration| {
            nth += 1;
            self.run.measured(rate, duration, nth, &interrupt)
        };
        eprintln!("warming up at {} events/s", self.from);
        let warm_up = measured(self.from, Some(self.warm_up))?;
        if warm_up.interrupted().is_some() {
            return Err("interrupted while warming up".into());
        }
        if warm_up.lost_share() == 1.0 {
            return Err(format!("nothing was accepted while warming up, so no rate can hold: {}", warm_up.verdict()));
        }
        let search = Search { from: self.from, to: self.to, repeats: self.repeats, precision: self.precision };
        let found = find(search, &mut |rate| {
            let said = of_living(judged(&measured(rate, None)?)?, || self.run.reach())?;
            say(&format!("{rate:>10} events/s  {:<22} {}", said.outcome, said.why));
            Ok(said)
        });
        let (target, seed, objectives) = self.run.searched();
        let told = Told { target, seed, objectives, found };
        self.run.format().print(&told)?;
        verdict(told.found)
    }
}

/// Every search has to find a rate that holds.
fn verdict(found: Found) -> Result<Verdict, String> {
    match (found.ended_early, found.capacity, found.without_capacity) {
        (Some(why), ..) => Err(why),
        (None, Some(_), 0) => Ok(Verdict::Ok),
        (None, Some(_), _) => Ok(Verdict::Failed("no rate held in the last search".into())),
        (None, None, _) => Ok(Verdict::Failed("no rate holds the objectives".into())),
    }
}

/// What was searched for, where, and what was found.
#[derive(Serialize)]
struct Told {
    target: String,
    /// Of the first run less 1: each further one has the next.
    seed: u64,
    objectives: Vec<String>,
    #[serde(flatten)]
    found: Found,
}

impl Display for Told {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.found.fmt(f)
    }
}

/// Above this share of lost events a rate is missed by far.
const LOST_BY_FAR: f64 = 0.1;

/// What a late generator missed says nothing about the server; what was not measured, nothing about the rate.
fn judged(report: &Report) -> Result<Said, String> {
    if let Some(at) = report.interrupted() {
        return Err(format!("interrupted, {at:.1} s into a run"));
    }
    let outcome = match report.verdict() {
        Verdict::Ok => Outcome::Held,
        Verdict::Failed(_) if report.lost_share() > LOST_BY_FAR => Outcome::Overrun,
        Verdict::Failed(_) => Outcome::Missed,
        Verdict::Invalid(_) => Outcome::GeneratorLate,
    };
    let objectives = report.objectives().to_vec();
    match objectives.iter().find(|judged| judged.measured.is_none()) {
        Some(judged) if outcome != Outcome::Overrun => Err(format!("no rate can be judged: {judged}")),
        _ => Ok(Said { outcome, why: report.in_short(), objectives }),
    }
}

/// What a run says, unless it lost that much because nobody listens any more, or a server that was started anew.
fn of_living(said: Said, reach: impl FnOnce() -> Result<(), String>) -> Result<Said, String> {
    match said.outcome {
        Outcome::Overrun => reach().map(|()| said),
        _ => Ok(said),
    }
}

fn percentage(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let fraction = number.map(|number| number / 100.0).filter(|fraction| (0.001..=1.0).contains(fraction));
    fraction.ok_or_else(|| "write a percentage from 0.1% to 100%, for example 5%".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_died_ends_the_search_and_one_that_was_slow_does_not() {
        let said = |outcome| Said { outcome, why: String::new(), objectives: vec![] };
        let gone = || Err("nothing answers".to_owned());
        assert_eq!(of_living(said(Outcome::Overrun), gone).err().as_deref(), Some("nothing answers"));
        assert_eq!(of_living(said(Outcome::Overrun), || Ok(())), Ok(said(Outcome::Overrun)));
        assert_eq!(of_living(said(Outcome::Missed), gone), Ok(said(Outcome::Missed)));
    }

    #[test]
    fn a_capacity_that_was_not_found_again_is_no_success() {
        let found = |capacity, without_capacity| {
            verdict(Found { capacity, spread: None, without_capacity, limit: None, ended_early: None, trials: vec![] })
        };
        assert_eq!(found(Some(5_000), 0), Ok(Verdict::Ok));
        assert!(matches!(found(Some(5_000), 1), Ok(Verdict::Failed(why)) if why.contains("last search")));
        assert!(matches!(found(None, 1), Ok(Verdict::Failed(_))));
    }

    #[test]
    fn precision_is_a_percentage() {
        assert_eq!(percentage("5%"), Ok(0.05));
        for bad in ["5", "0%", "101%", "-1%", "%", "five%"] {
            assert!(percentage(bad).is_err(), "{bad}");
        }
    }
}
