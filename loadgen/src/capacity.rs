//! The highest rate that holds an objective: climbing until one misses, bisection between, and the same again for the spread.
//!
//! The search is a pure function of what each trial says; it knows neither server nor clock.

use crate::report::ROUGH;
use crate::slo::Judged;
use saccade::counted::{counted, either};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// Steps of the first climb, and of those that begin near a capacity that is known.
const STRIDES: [f64; 2] = [2.0, 1.2];

/// Runs at a rate before the generator counts as too slow for it.
const TRIES: u32 = 3;

/// Runs that miss before a rate does, of up to one more in all.
const MISSES: u32 = 2;

/// Where and how long to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// Lowest rate that is of interest, events per second.
    pub from: u64,
    /// Highest.
    pub to: u64,
    /// How often the capacity is found anew.
    pub repeats: u32,
    /// Where bisection ends: the lowest rate that misses over the highest that holds, minus 1.
    pub precision: f64,
}

/// What one run at a rate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The objectives hold.
    Held,
    /// They do not, or something was lost.
    Missed,
    /// So much was lost that no hiccup explains it.
    Overrun,
    /// The generator itself was too slow for the numbers to mean anything.
    GeneratorLate,
}

/// What a run says, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Said {
    /// In a word.
    pub outcome: Outcome,
    /// Why, in words.
    pub why: String,
    /// What was measured for each objective.
    pub objectives: Vec<Judged>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Which search it belongs to, from 1.
    pub repeat: u32,
    /// Events per second.
    pub rate: u64,
    /// What it said.
    #[serde(flatten)]
    pub said: Said,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Median of what the searches found, events per second; none where even the lowest rate misses.
    pub capacity: Option<u64>,
    /// Searches in which even the lowest rate missed: the last one, after which there is no other.
    pub without_capacity: u32,
    /// Lowest and highest that a search found.
    pub spread: Option<(u64, u64)>,
    /// What stopped the climbing; none where no search came to its end.
    pub limit: Option<Limit>,
    /// Why the search ended before it was over.
    pub ended_early: Option<String>,
    /// Every run, in order.
    pub trials: Vec<Trial>,
}

/// What stopped the climbing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The server missed the objectives above the capacity.
    Server,
    /// The generator was late above it: the server may take more.
    Generator,
    /// The highest rate of interest holds.
    Highest,
    /// The lowest rate of interest misses.
    Lowest,
}

/// Searches; `trial` makes one run at a rate and says how it went. Where that cannot be done, the search ends with what it has.
pub fn find(search: Search, trial: &mut dyn FnMut(u64) -> Result<Said, String>) -> Found {
    let mut climber = Climber { search, trial, repeat: 0, trials: vec![] };
    let (mut capacities, mut limits, mut without_capacity, mut ended_early) = (vec![], vec![], 0, None);
    for repeat in 1..=search.repeats {
        climber.repeat = repeat;
        let (start, stride) = match median(&capacities) {
            None => (search.from, STRIDES[0]),
            Some(known) => (known, STRIDES[1]),
        };
        let (capacity, limit) = match climber.climb(start, stride) {
            Ok(climbed) => climbed,
            Err(why) => {
                ended_early = Some(why);
                break;
            }
        };
        limits.push(limit);
        match capacity {
            Some(capacity) => capacities.push(capacity),
            None => {
                without_capacity += 1;
                break;
            }
        }
    }
    capacities.sort_unstable();
    let limit = match limits.contains(&Limit::Generator) {
        true => Some(Limit::Generator),
        false => limits.last().copied(),
    };
    Found {
        capacity: median(&capacities),
        spread: capacities.first().copied().zip(capacities.last().copied()),
        without_capacity,
        limit,
        ended_early,
        trials: climber.trials,
    }
}

/// What the runs at a rate say together: one in which the generator was late counts only where there is no other that decides.
fn decision(runs: &[Trial]) -> Outcome {
    let count = |outcome| runs.iter().filter(|trial| trial.said.outcome == outcome).count();
    let (held, missed) = (count(Outcome::Held), count(Outcome::Missed));
    match runs {
        _ if count(Outcome::Overrun) > 0 => Outcome::Overrun,
        _ if held > missed => Outcome::Held,
        _ if missed > held => Outcome::Missed,
        _ => Outcome::GeneratorLate,
    }
}

/// The lower of the middle two where they are two.
fn median(values: &[u64]) -> Option<u64> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

struct Climber<'a> {
    search: Search,
    trial: &'a mut dyn FnMut(u64) -> Result<Said, String>,
    repeat: u32,
    trials: Vec<Trial>,
}

impl Climber<'_> {
    /// The highest rate that holds, from `start` in strides, then by bisection.
    fn climb(&mut self, start: u64, stride: f64) -> Result<(Option<u64>, Limit), String> {
        let Search { from, to, precision, .. } = self.search;
        let (mut held, mut missed) = (None, None);
        let mut rate = start.clamp(from, to);
        while held.is_none() || missed.is_none() {
            match self.run(rate)? {
                Outcome::Held if rate == to => return Ok((Some(to), Limit::Highest)),
                Outcome::Held => held = Some(rate),
                _ if rate == from => return Ok((None, self.limit_above(0, Limit::Lowest))),
                _ => missed = Some(rate),
            }
            rate = match missed {
                None => strided(rate, stride).min(to),
                Some(_) => ((rate as f64 / stride) as u64).max(from),
            };
        }
        let (mut held, mut missed) = held.zip(missed).expect("the loop ends with both");
        while missed - held > 1 && missed as f64 / held as f64 - 1.0 > precision {
            let middle = held + (missed - held) / 2;
            match self.run(middle)? {
                Outcome::Held => held = middle,
                _ => missed = middle,
            }
        }
        Ok((Some(held), self.limit_above(held, Limit::Server)))
    }

    /// The generator, where it was late in the lowest run above `rate` in this search, else `otherwise`.
    fn limit_above(&self, rate: u64, otherwise: Limit) -> Limit {
        let runs = self.trials.chunk_by(|a, b| (a.repeat, a.rate) == (b.repeat, b.rate));
        let above = runs.filter(|runs| runs[0].repeat == self.repeat && runs[0].rate > rate);
        let lowest = above.filter(|runs| decision(runs) != Outcome::Held).min_by_key(|runs| runs[0].rate);
        match lowest.map(decision) {
            Some(Outcome::GeneratorLate) => Limit::Generator,
            _ => otherwise,
        }
    }

    /// Whether a rate holds. One run that does will do, as what is built on it is tried, too; but one that misses may have met a hiccup of
    /// the machine: then most of up to three decide. A run in which the generator was late says nothing, and is made again.
    fn run(&mut self, rate: u64) -> Result<Outcome, String> {
        let (first, mut missed, mut late) = (self.trials.len(), 0, 0);
        loop {
            let said = (self.trial)(rate)?;
            missed += u32::from(said.outcome == Outcome::Missed);
            late += u32::from(said.outcome == Outcome::GeneratorLate);
            self.trials.push(Trial { repeat: self.repeat, rate, said });
            let decision = decision(&self.trials[first..]);
            if matches!(decision, Outcome::Held | Outcome::Overrun) || missed == MISSES || late == TRIES {
                return Ok(decision);
            }
        }
    }
}

/// The next rate up, always a higher one.
fn strided(rate: u64, stride: f64) -> u64 {
    ((rate as f64 * stride) as u64).max(rate + 1)
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Held => "held",
            Outcome::Missed => "missed",
            Outcome::Overrun => "missed by far",
            Outcome::GeneratorLate => "generator late",
        })
    }
}

/// The runs at one rate in a row, as one line, with the words of the last that decided.
fn decided(trials: &[Trial]) -> String {
    let decision = decision(trials);
    let count = |outcome| trials.iter().filter(|trial| trial.said.outcome == outcome).count();
    let (alike, all, late) = (count(decision), trials.len(), count(Outcome::GeneratorLate));
    let outcome = match all {
        1 => decision.to_string(),
        _ if late == 0 || decision == Outcome::GeneratorLate => format!("{decision}, {alike} of {all}"),
        _ => format!("{decision}, {alike} of {} that counted ({late} not: the generator was late)", all - late),
    };
    let Some(last) = trials.iter().rfind(|trial| trial.said.outcome == decision) else { return String::new() };
    format!("{:>10} events/s  {outcome:<22} {}", last.rate, last.said.why)
}

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for trials in self.trials.chunk_by(|a, b| (a.repeat, a.rate) == (b.repeat, b.rate)) {
            writeln!(f, "{}", decided(trials))?;
        }
        writeln!(f)?;
        let is_rough = |trial: &&Trial| trial.said.objectives.iter().any(|judged| judged.is_rough);
        match self.trials.iter().filter(is_rough).count() as u64 {
            0 => {}
            n => writeln!(
                f,
                "warning: {n} of {} {} on objectives for whose percentile fewer than 10 samples were longer ({ROUGH}): chance decides, give a longer --duration",
                counted(self.trials.len() as u64, "run"),
                either(n, "rests", "rest")
            )?,
        }
        if let Some(why) = &self.ended_early {
            writeln!(f, "the search ended before it was over: {why}")?;
            if self.capacity.is_none() {
                return Ok(());
            }
        }
        let searches = self.trials.iter().map(|trial| trial.repeat).max().unwrap_or(0) - self.without_capacity;
        match (self.capacity, self.spread) {
            (Some(capacity), Some((low, high))) => {
                write!(f, "capacity {capacity} events/s")?;
                match searches {
                    _ if self.ended_early.is_some() => {
                        writeln!(f, ", from {low} to {high}, as far as the search came")?
                    }
                    1 if self.without_capacity > 0 => writeln!(f, ", found once")?,
                    1 => writeln!(f, ", found once; --repeats shows the spread")?,
                    _ => writeln!(f, ", the median of {searches} searches from {low} to {high}")?,
                }
            }
            _ if self.limit == Some(Limit::Generator) => writeln!(f, "no capacity: nothing could be measured")?,
            _ => writeln!(f, "no capacity: the lowest rate does not hold the objectives; try a lower --from")?,
        }
        if self.capacity.is_some() && self.without_capacity > 0 {
            writeln!(
                f,
                "in the search after that NO rate held: the server, or the machine, is not what it was before"
            )?;
        }
        match self.limit {
            Some(Limit::Generator) => {
                writeln!(
                    f,
                    "the GENERATOR was the limit: it was late above this, so the server may take more; give it a processor of its own"
                )
            }
            Some(Limit::Highest) => writeln!(f, "the highest rate holds: give a higher --to"),
            Some(Limit::Server | Limit::Lowest) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
