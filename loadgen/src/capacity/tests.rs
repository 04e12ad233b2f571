//! Searches with servers that are functions.

use super::*;

/// A run that says so and no more.
fn said(outcome: Outcome) -> Result<Said, String> {
    Ok(Said { outcome, why: String::new(), objectives: vec![] })
}

const SEARCH: Search = Search { from: 1_000, to: 1_000_000, repeats: 3, precision: 0.05 };

/// A server that holds up to `capacity`, which changes with each run by up to 4 %; the generator is late from `late` on.
fn search(search: Search, capacity: u64, late: u64) -> Found {
    let mut n = 0;
    let mut trial = |rate| {
        n += 1;
        let today = capacity + capacity * (n * 7 % 5) / 100;
        said(match rate {
            _ if rate >= late => Outcome::GeneratorLate,
            _ if rate > today => Outcome::Missed,
            _ => Outcome::Held,
        })
    };
    find(search, &mut trial)
}

#[test]
fn the_capacity_is_found_within_the_precision_wherever_it_is() {
    for capacity in [1_040, 3_333, 47_000, 150_000, 900_000] {
        let found = search(SEARCH, capacity, u64::MAX);
        let at = found.capacity.expect("the lowest rate holds") as f64 / capacity as f64;
        assert!((0.94..=1.05).contains(&at), "{capacity}: {found}");
        assert_eq!(found.limit, Some(Limit::Server));
        let (low, high) = found.spread.expect("there were searches");
        assert!(low <= high && high as f64 / capacity as f64 <= 1.05);
        assert!(found.trials.len() < 35, "{} trials", found.trials.len());
    }
}

#[test]
fn a_generator_that_is_the_limit_is_told() {
    let found = search(SEARCH, 500_000, 100_000);
    assert_eq!(found.limit, Some(Limit::Generator));
    assert!(found.capacity.is_some_and(|capacity| (90_000..100_000).contains(&capacity)), "{found}");
    assert!(found.to_string().contains("GENERATOR was the limit"));
}

#[test]
fn a_generator_that_was_late_once_tries_again() {
    let mut n = 0;
    let mut trial = |rate: u64| {
        n += 1;
        let outcome = if rate > 10_000 { Outcome::Missed } else { Outcome::Held };
        said(if n % 3 == 1 { Outcome::GeneratorLate } else { outcome })
    };
    let found = find(SEARCH, &mut trial);
    assert_eq!(found.limit, Some(Limit::Server), "{found}");
    assert!(found.capacity.is_some_and(|capacity| (9_500..=10_000).contains(&capacity)), "{found}");
}

/// What a search of one round up to 4,000 says where runs at a rate go like this, and the last of them is repeated.
fn told(runs: &[(u64, &[Outcome])]) -> Found {
    let mut made = std::collections::BTreeMap::new();
    let mut trial = |rate: u64| {
        let nth = made.entry(rate).and_modify(|n| *n += 1).or_insert(0);
        let outcomes = runs.iter().find(|(of, _)| *of == rate).map_or([Outcome::Held].as_slice(), |(_, of)| of);
        said(outcomes[outcomes.len().min(*nth + 1) - 1])
    };
    find(Search { from: 1_000, to: 4_000, repeats: 1, precision: 1.0 }, &mut trial)
}

#[test]
fn a_hiccup_does_not_decide_a_search_and_is_told() {
    use Outcome::{Held, Missed};
    let found = told(&[(1_000, &[Missed, Held])]);
    assert_eq!((found.capacity, found.limit), (Some(4_000), Some(Limit::Highest)), "{found}");
    assert!(found.to_string().contains("      1000 events/s  held, 2 of 3 "), "{found}");
    assert_eq!(found.to_string().matches("1000 events/s").count(), 1, "a line for each rate: {found}");
    let found = told(&[(2_000, &[Missed, Held, Missed])]);
    assert_eq!((found.capacity, found.limit), (Some(1_000), Some(Limit::Server)), "{found}");
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
    assert_eq!((found.capacity, found.limit, found.trials.len()), (None, Some(Limit::Lowest), 2));
    let found = search(SEARCH, 5_000_000, u64::MAX);
    assert_eq!((found.capacity, found.limit), (Some(1_000_000), Some(Limit::Highest)));
    assert!(found.to_string().contains("--to"));
}

#[test]
fn a_later_search_in_which_no_rate_holds_is_counted_and_told() {
    let search_until = |repeats, broken_after| {
        let mut trials = 0;
        let mut trial = |rate| {
            trials += 1;
            said(if trials <= broken_after && rate <= 50_000 { Outcome::Held } else { Outcome::Missed })
        };
        find(Search { repeats, ..SEARCH }, &mut trial)
    };
    // As of a server that breaks once the first search is over.
    let found = search_until(3, search_until(1, usize::MAX).trials.len());
    assert!(found.capacity.is_some_and(|capacity| (45_000..=50_000).contains(&capacity)), "{found}");
    assert_eq!((found.without_capacity, found.limit), (1, Some(Limit::Lowest)), "{found}");
    let text = found.to_string();
    assert!(text.contains(", found once\n") && text.contains("in the search after that NO rate held"), "{text}");
    assert_eq!(search(SEARCH, 10, u64::MAX).without_capacity, 1);
    assert_eq!(search(SEARCH, 5_000, u64::MAX).without_capacity, 0);
}

#[test]
fn small_rates_are_searched_to_the_last_event() {
    let found = search(Search { from: 1, to: 100, repeats: 1, precision: 0.001 }, 7, u64::MAX);
    assert_eq!(found.capacity, Some(7));
}

#[test]
fn a_run_that_cannot_be_made_ends_the_search_with_what_was_found() {
    let mut trial = |rate| if rate > 2_000 { Err("no server".into()) } else { said(Outcome::Held) };
    let found = find(SEARCH, &mut trial);
    assert_eq!((found.ended_early.as_deref(), found.capacity, found.trials.len()), (Some("no server"), None, 2));
    let text = found.to_string();
    assert!(text.contains("2000 events/s  held") && text.contains("before it was over: no server"), "{text}");
    assert!(!text.contains("--from"), "nothing is known of the lowest rate but that it holds: {text}");
}

#[test]
fn a_run_in_which_the_generator_was_late_counts_for_nothing() {
    use Outcome::{GeneratorLate, Held, Missed};
    let found = told(&[(1_000, &[GeneratorLate, GeneratorLate, Held])]);
    let line = "1000 events/s  held, 1 of 1 that counted (2 not: the generator was late)";
    assert!(found.to_string().contains(line), "{found}");
    let found = told(&[(1_000, &[Missed, GeneratorLate])]);
    assert_eq!((found.capacity, found.limit, found.trials.len()), (None, Some(Limit::Lowest), 4), "{found}");
    assert!(found.to_string().contains("missed, 1 of 1 that counted (3 not"), "{found}");
}

#[test]
fn a_search_that_rests_on_few_samples_says_so() {
    let text = |is_rough| {
        let mut trial = |_| {
            let judged = crate::slo::objective("publish_p99<5ms").expect("an objective").judge(&Default::default());
            Ok(Said { objectives: vec![Judged { is_rough, ..judged }], ..said(Outcome::Held)? })
        };
        find(Search { from: 1_000, to: 2_000, repeats: 1, precision: 1.0 }, &mut trial).to_string()
    };
    assert!(text(true).contains("\nwarning: 2 of 2 runs rest on objectives"), "{}", text(true));
    assert!(!text(false).contains("warning"), "{}", text(false));
}
