//! Searches with servers that are functions.

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

/// What a search of one round up to 4,000 says where runs at a rate go like this, and the last of them is repeated.
fn told(runs: &[(u64, &[Outcome])]) -> Found {
    let mut made = std::collections::BTreeMap::new();
    let mut trial = |rate: u64| {
        let nth = made.entry(rate).and_modify(|n| *n += 1).or_insert(0);
        let outcomes = runs.iter().find(|(of, _)| *of == rate).map_or([Outcome::Held].as_slice(), |(_, of)| of);
        Ok((outcomes[outcomes.len().min(*nth + 1) - 1], String::new()))
    };
    find(Search { from: 1_000, to: 4_000, repeats: 1, precision: 1.0 }, &mut trial).expect("trials do not fail")
}

#[test]
fn a_hiccup_does_not_decide_a_search_and_is_told() {
    use Outcome::{Held, Missed};
    let found = told(&[(1_000, &[Missed, Held])]);
    assert_eq!((found.capacity, found.limit), (Some(4_000), Limit::Highest), "{found}");
    assert!(found.to_string().contains("      1000 events/s  held, 2 of 3 "), "{found}");
    assert_eq!(found.to_string().matches("1000 events/s").count(), 1, "a line for each rate: {found}");
    let found = told(&[(2_000, &[Missed, Held, Missed])]);
    assert_eq!((found.capacity, found.limit), (Some(1_000), Limit::Server), "{found}");
    assert!(found.to_string().contains("missed, 2 of 3"), "{found}");
}

#[test]
fn what_no_hiccup_explains_is_not_tried_again() {
    let found = told(&[(2_000, &[Outcome::Overrun, Outcome::Held])]);
    assert_eq!((found.capacity, found.trials.len()), (Some(1_000), 2), "{found}");
    assert!(found.to_string().contains("missed by far"), "{found}");
}

#[test]
fn the_ends_of_the_range_are_told_apart_from_a_capacity() {
    let found = search(SEARCH, 10, u64::MAX);
    assert_eq!((found.capacity, found.limit, found.trials.len()), (None, Limit::Lowest, 2));
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
