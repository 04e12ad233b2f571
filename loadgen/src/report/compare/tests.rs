//! Runs side by side.

use super::super::Asked;
use super::super::tests::{compared, stalled};
use super::*;

/// A run whose answers took this long in each of its seconds.
fn steady(ms: f64) -> Report {
    let mut report = stalled();
    (report.intended.count, report.intended.p99_ms) = (100_000, ms);
    let brief = report.seconds[0].intended.map(|brief| Brief { p99_ms: ms, ..brief });
    report.seconds = vec![Second { intended: brief, ..report.seconds[0].clone() }; 6];
    report
}

/// The row of a figure, and the word at its end.
fn row(comparison: &Comparison<'_>, name: &str) -> (String, Option<String>) {
    let text = comparison.to_string();
    let row = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    let word = row.rsplit(' ').next().filter(|word| ["better", "worse", "apart"].contains(word));
    (row.to_owned(), word.map(str::to_owned))
}

#[test]
fn two_runs_stand_side_by_side_and_are_apart_at_most() {
    let (quiet, loud) = (steady(1.0), steady(4.0));
    let comparison = compared(&quiet, &loud);
    let text = comparison.to_string();
    assert!(text.contains("batches of 1, 1 session, 1 connection, seed 1"), "{text}");
    let (row, word) = row(&comparison, "intended p99 ");
    assert!(row.contains("×4.00") && word.as_deref() == Some("apart"), "{text}");
    assert!(text.lines().filter(|line| line.contains('×')).all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("three a side"), "{text}");
    let html = comparison.to_html();
    assert!(html.contains("×4.00 apart") && html.contains("A intended") && !html.contains("NaN"));
}

#[test]
fn three_runs_a_side_that_do_not_meet_are_worse_and_those_that_do_are_not() {
    let (a, b) = ([1.0, 2.0, 3.0].map(steady), [4.0, 5.0, 6.0].map(steady));
    let comparison = Comparison { a: &a, b: &b };
    let (told, word) = row(&comparison, "intended p99 ");
    assert!(told.contains("1–3 ms") && told.contains("×2.50") && word.as_deref() == Some("worse"), "{told}");
    assert!(comparison.to_string().contains("\nB3  ") && comparison.to_html().contains("×2.50 worse"));
    let b = [3.0, 5.0, 6.0].map(steady);
    assert_eq!(row(&Comparison { a: &a, b: &b }, "intended p99 ").1, None);
}

#[test]
fn words_that_no_row_says_are_not_explained() {
    let (quiet, same, loud) = (steady(1.0), steady(1.0), steady(4.0));
    let legend = "apart: no second";
    let comparison = compared(&quiet, &same);
    assert!(!comparison.to_string().contains(legend) && !comparison.to_html().contains(legend), "{comparison}");
    assert!(comparison.to_string().contains("what is better takes three runs a side"), "{comparison}");
    assert!(compared(&quiet, &loud).to_html().contains(legend));
    let (a, b) = ([1.0, 2.0, 3.0].map(steady), [4.0, 5.0, 6.0].map(steady));
    let legend = "better and worse: the ranges";
    assert!(Comparison { a: &a, b: &b }.to_string().contains(legend));
    let comparison = Comparison { a: &a, b: &a };
    assert!(!comparison.to_string().contains(legend), "{comparison}");
}

#[test]
fn nothing_is_better_or_worse_than_a_run_whose_generator_was_late() {
    let (a, mut b) = ([1.0, 2.0, 3.0].map(steady), [4.0, 5.0, 6.0].map(steady));
    (b[1].counts.lost, b[1].verdict) = (7, Verdict::Invalid("generator fell behind".into()));
    let comparison = Comparison { a: &a, b: &b };
    assert_eq!((row(&comparison, "intended p99 ").1, row(&comparison, "lost ").1), (None, None));
    assert!(comparison.to_string().contains("ended early in B2\n"), "{comparison}");
}

#[test]
fn runs_under_different_loads_are_compared_with_a_warning() {
    let (a, mut b) = (stalled(), stalled());
    (b.asked.target, b.asked.seed) = ("127.0.0.1:2".into(), 7);
    let warning = "loads were not the same";
    let same = compared(&a, &b);
    assert!(!same.to_string().contains(warning) && !same.to_html().contains(warning), "{same}");
    (b.asked.rate, b.asked.shape, b.asked.batch) = (2, "sine:period=10m,low=0.2".into(), [1, 20]);
    b.asked.profile = Some("bot_flood".into());
    b.intended.p99_ms *= 4.0;
    (b.intended.count, b.counts.lost) = (100_000, 7);
    let different = compared(&a, &b);
    let text = different.to_string();
    for part in ["rate: A 1 events/s, B 2 events/s", "shape: A constant, B sine", "events a batch: A 1, B 1 to 20"] {
        assert!(text.contains(part) && different.to_html().contains(part), "{part}: {text}");
    }
    assert!(text.contains("what: A independent events, B profile bot_flood") && !text.contains("duration:"), "{text}");
    assert!(text.find(warning) < text.find("B / A"), "before the ratios: {text}");
    let worse: Vec<_> = text.lines().filter(|line| line.ends_with("  worse")).collect();
    assert!(matches!(&worse[..], [lost] if lost.starts_with("lost ")), "{text}");
}

#[test]
fn runs_that_were_watched_or_whose_viewers_are_in_another_way_are_not_the_same() {
    let (a, mut b) = (stalled(), stalled());
    b.asked = Asked { timeout_s: Some(2.0), probes: Some(500), observe: Some(true), ..b.asked };
    let text = compared(&a, &b).to_string();
    for part in [
        "longest wait for an answer: A 10 s, B 2 s",
        "viewers followed: A 0, B 500",
        "all contexts followed: A no, B yes",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(b.to_html().contains("<th>viewers followed</th><td>500</td>"));
    let mut older = b.clone();
    older.asked = Asked { timeout_s: None, probes: None, observe: None, ..older.asked };
    assert!(!compared(&a, &older).to_string().contains("loads were not the same"));
    let (mut a, mut b) = (a.clone(), a);
    (a.asked.profile_hash, b.asked.profile_hash) = (Some("1".into()), Some("2".into()));
    assert!(compared(&a, &b).to_string().contains("content of the profile: A 1, B 2"));
}
