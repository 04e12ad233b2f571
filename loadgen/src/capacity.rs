//! The highest rate that holds an objective: climbing until one misses, bisection between, and the same again for the spread.
//!
//! The search is a pure function of what each trial says; it knows neither server nor clock.

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

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Which search it belongs to, from 1.
    pub repeat: u32,
    /// Events per second.
    pub rate: u64,
    /// What it said.
    pub outcome: Outcome,
    /// Why, in words.
    pub why: String,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Median of what the searches found, events per second; none where even the lowest rate misses.
    pub capacity: Option<u64>,
    /// Lowest and highest that a search found.
    pub spread: Option<(u64, u64)>,
    /// What stopped the climbing.
    pub limit: Limit,
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

/// Searches; `trial` makes one run at a rate and says how it went.
pub fn find(search: Search, trial: &mut dyn FnMut(u64) -> Result<(Outcome, String), String>) -> Result<Found, String> {
    let mut climber = Climber { search, trial, repeat: 0, trials: vec![] };
    let (mut capacities, mut limits) = (vec![], vec![]);
    for repeat in 1..=search.repeats {
        climber.repeat = repeat;
        let (start, stride) = match median(&capacities) {
            None => (search.from, STRIDES[0]),
            Some(known) => (known, STRIDES[1]),
        };
        let (capacity, limit) = climber.climb(start, stride)?;
        limits.push(limit);
        match capacity {
            Some(capacity) => capacities.push(capacity),
            None => break,
        }
    }
    capacities.sort_unstable();
    let limit = match limits.contains(&Limit::Generator) {
        true => Limit::Generator,
        false => limits.last().copied().unwrap_or(Limit::Lowest),
    };
    Ok(Found {
        capacity: median(&capacities),
        spread: capacities.first().copied().zip(capacities.last().copied()),
        limit,
        trials: climber.trials,
    })
}

/// The lower of the middle two where they are two.
fn median(values: &[u64]) -> Option<u64> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

struct Climber<'a> {
    search: Search,
    trial: &'a mut dyn FnMut(u64) -> Result<(Outcome, String), String>,
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
        let above = self.trials.iter().filter(|trial| trial.repeat == self.repeat && trial.rate > rate);
        // Of several at one rate, the last decided.
        let lowest = above.rev().filter(|trial| trial.outcome != Outcome::Held).min_by_key(|trial| trial.rate);
        match lowest.map(|trial| trial.outcome) {
            Some(Outcome::GeneratorLate) => Limit::Generator,
            _ => otherwise,
        }
    }

    /// Whether a rate holds. One run that does will do, as what is built on it is tried, too; but one that misses may have met a hiccup of
    /// the machine: then most of up to three decide. A run in which the generator was late says nothing, and is made again.
    fn run(&mut self, rate: u64) -> Result<Outcome, String> {
        let (mut held, mut missed, mut late) = (0, 0, 0);
        loop {
            let (outcome, why) = (self.trial)(rate)?;
            self.trials.push(Trial { repeat: self.repeat, rate, outcome, why });
            match outcome {
                Outcome::Held => held += 1,
                Outcome::Missed => missed += 1,
                Outcome::GeneratorLate => late += 1,
                Outcome::Overrun => return Ok(outcome),
            }
            if held > missed || missed == MISSES || late == TRIES {
                return Ok(outcome);
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

/// The runs at one rate in a row, as one line: the last of them decided.
fn decided(trials: &[Trial]) -> String {
    let Some(last) = trials.last() else { return String::new() };
    let alike = trials.iter().filter(|trial| trial.outcome == last.outcome).count();
    let outcome = match trials.len() {
        1 => last.outcome.to_string(),
        all => format!("{}, {alike} of {all}", last.outcome),
    };
    format!("{:>10} events/s  {outcome:<22} {}", last.rate, last.why)
}

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for trials in self.trials.chunk_by(|a, b| (a.repeat, a.rate) == (b.repeat, b.rate)) {
            writeln!(f, "{}", decided(trials))?;
        }
        writeln!(f)?;
        let searches = self.trials.iter().map(|trial| trial.repeat).max().unwrap_or(0);
        match (self.capacity, self.spread) {
            (Some(capacity), Some((low, high))) => {
                write!(f, "capacity {capacity} events/s")?;
                match searches {
                    1 => writeln!(f, ", found once; --repeats shows the spread")?,
                    _ => writeln!(f, ", the median of {searches} searches from {low} to {high}")?,
                }
            }
            _ if self.limit == Limit::Generator => writeln!(f, "no capacity: nothing could be measured")?,
            _ => writeln!(f, "no capacity: the lowest rate does not hold the objectives; try a lower --from")?,
        }
        match self.limit {
            Limit::Generator => {
                writeln!(
                    f,
                    "the GENERATOR was the limit: it was late above this, so the server may take more; give it a processor of its own"
                )
            }
            Limit::Highest => writeln!(f, "the highest rate holds: give a higher --to"),
            Limit::Server | Limit::Lowest => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
