//! The highest rate that holds an objective: climbing until one misses, bisection between, and the same again for the spread.
//!
//! The search is a pure function of what each trial says; it knows neither server nor clock.

use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// Steps of the first climb, and of those that begin near a capacity that is known.
const STRIDES: [f64; 2] = [2.0, 1.2];

/// Runs at a rate before the generator counts as too slow for it.
const TRIES: u32 = 3;

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

    /// A run in which the generator was late says nothing, and is made again: another program may have been in the way.
    fn run(&mut self, rate: u64) -> Result<Outcome, String> {
        let mut last = Outcome::GeneratorLate;
        for _ in 0..TRIES {
            let (outcome, why) = (self.trial)(rate)?;
            self.trials.push(Trial { repeat: self.repeat, rate, outcome, why });
            last = outcome;
            if outcome != Outcome::GeneratorLate {
                break;
            }
        }
        Ok(last)
    }
}

/// The next rate up, always a higher one.
fn strided(rate: u64, stride: f64) -> u64 {
    ((rate as f64 * stride) as u64).max(rate + 1)
}

impl Display for Trial {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Held => "held",
            Outcome::Missed => "missed",
            Outcome::GeneratorLate => "generator late",
        };
        write!(f, "{:>10} events/s  {outcome:<14} {}", self.rate, self.why)
    }
}

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for trial in &self.trials {
            writeln!(f, "{trial}")?;
        }
        writeln!(f)?;
        let searches = self.trials.iter().map(|trial| trial.repeat).max().unwrap_or(0);
        match (self.capacity, self.spread) {
            (Some(capacity), Some((low, high))) => {
                writeln!(f, "capacity {capacity} events/s, the median of {searches} searches from {low} to {high}")?;
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
mod tests {
    use super::*;

    const SEARCH: Search = Search { from: 1_000, to: 1_000_000, repeats: 3, precision: 0.05 };

    /// A server that holds up to `capacity`, which changes with each run by up to 4 %; the generator is late from `late` on.
    fn search(search: Search, capacity: u64, late: u64) -> Found {
        let mut n = 0;
        let mut trial = |rate| {
            n += 1;
            let today = capacity + capacity * (n * 7 % 5) / 100;
            Ok(match rate {
                _ if rate >= late => (Outcome::GeneratorLate, String::new()),
                _ if rate > today => (Outcome::Missed, "p99".to_owned()),
                _ => (Outcome::Held, String::new()),
            })
        };
        find(search, &mut trial).expect("trials do not fail")
    }

    #[test]
    fn the_capacity_is_found_within_the_precision_wherever_it_is() {
        for capacity in [1_040, 3_333, 47_000, 150_000, 900_000] {
            let found = search(SEARCH, capacity, u64::MAX);
            let at = found.capacity.expect("the lowest rate holds") as f64 / capacity as f64;
            assert!((0.94..=1.05).contains(&at), "{capacity}: {found}");
            assert_eq!(found.limit, Limit::Server);
            let (low, high) = found.spread.expect("there were searches");
            assert!(low <= high && high as f64 / capacity as f64 <= 1.05);
            assert!(found.trials.len() < 35, "{} trials", found.trials.len());
        }
    }

    #[test]
    fn a_generator_that_is_the_limit_is_told() {
        let found = search(SEARCH, 500_000, 100_000);
        assert_eq!(found.limit, Limit::Generator);
        assert!(found.capacity.is_some_and(|capacity| (90_000..100_000).contains(&capacity)), "{found}");
        assert!(found.to_string().contains("GENERATOR was the limit"));
    }

    #[test]
    fn a_generator_that_was_late_once_tries_again() {
        let mut n = 0;
        let mut trial = |rate: u64| {
            n += 1;
            let outcome = if rate > 10_000 { Outcome::Missed } else { Outcome::Held };
            Ok((if n % 3 == 1 { Outcome::GeneratorLate } else { outcome }, String::new()))
        };
        let found = find(SEARCH, &mut trial).expect("trials do not fail");
        assert_eq!(found.limit, Limit::Server, "{found}");
        assert!(found.capacity.is_some_and(|capacity| (9_500..=10_000).contains(&capacity)), "{found}");
    }

    #[test]
    fn the_ends_of_the_range_are_told_apart_from_a_capacity() {
        let found = search(SEARCH, 10, u64::MAX);
        assert_eq!((found.capacity, found.limit, found.trials.len()), (None, Limit::Lowest, 1));
        let found = search(SEARCH, 5_000_000, u64::MAX);
        assert_eq!((found.capacity, found.limit), (Some(1_000_000), Limit::Highest));
        assert!(found.to_string().contains("--to"));
    }

    #[test]
    fn small_rates_are_searched_to_the_last_event() {
        let found = search(Search { from: 1, to: 100, repeats: 1, precision: 0.001 }, 7, u64::MAX);
        assert_eq!(found.capacity, Some(7));
    }

    #[test]
    fn a_run_that_cannot_be_made_ends_the_search() {
        let error = find(SEARCH, &mut |_| Err("no server".into()));
        assert_eq!(error.err().as_deref(), Some("no server"));
    }
}
