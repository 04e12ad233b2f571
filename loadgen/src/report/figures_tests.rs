//! What is counted, how it is named in each form of a report, and where it is drawn.

use super::tests::{compared, report, run, stalled};
use super::*;
use crate::drive::Calls;
use crate::tally::{Outcome, Times};

#[test]
fn requests_that_were_sent_again_are_told_held_against_an_objective_and_unknown_of_older_reports() {
    let told = |resent| {
        let mut tally = Tally { resent, ..Tally::default() };
        tally.counts.accepted = 10;
        report(10, tally, None, "resent=0")
    };
    let again = told(12);
    assert_eq!(again.verdict(), &Verdict::Failed("missed resent=0".into()));
    let words = "12 requests were sent again: the server closed their connections";
    assert!(again.to_string().contains(words) && again.to_html().contains(words), "{again}");
    assert!(again.to_json().contains("\"resent\": 12"), "{}", again.to_json());
    assert!(told(1).to_string().contains("1 request was sent again: the server closed its connection\n"));
    let none = told(0);
    assert_eq!((none.verdict(), none.to_string().contains("sent again")), (&Verdict::Ok, false));
    let mut older: serde_json::Value = serde_json::from_str(&none.to_json()).expect("a report is JSON");
    older.as_object_mut().expect("an object").remove("resent").expect("it was there");
    let older: Report = serde_json::from_value(older).expect("older reports can be read");
    assert!(!older.values().contains_key("resent"), "{older}");
    let row = |a, b| compared(a, b).to_string().lines().find(|line| line.starts_with("resent ")).map(str::to_owned);
    assert!(row(&none, &again).is_some_and(|row| row.ends_with("worse")));
    assert!(row(&older, &again).is_some_and(|row| row.ends_with('–')), "{}", compared(&older, &again));
}

#[test]
fn what_was_due_and_is_no_new_event_is_named_beside_what_was_accepted() {
    let mut tally = Tally::default();
    (tally.counts.accepted, tally.counts.duplicates, tally.counts.late) = (33_990, 1_700, 4);
    let mut report = report(35_694, tally, None, "");
    report.asked.duration_s = 10.0;
    let line = "\n           accepted 3399/s, duplicates 170/s, late < 1/s, of 3569/s due\n";
    assert!(report.to_string().contains(line), "{report}");
}

#[test]
fn the_longest_of_a_run_is_that_of_its_seconds() {
    let mut tally = Tally::default();
    let (due, took) = (Duration::ZERO, Duration::from_nanos(42_687_065));
    let times = Times { due, intended: took, service: took, lag: Duration::ZERO, is_measured: true };
    tally.add(1, &Outcome::Acknowledged(crate::tally::Answer { accepted: 1, ..Default::default() }), times);
    let mut publish = crate::tally::histogram();
    publish.saturating_record(42_687_065);
    let brief = |max_ms| crate::tally::Brief { max_ms, ..Default::default() };
    let by_second = BTreeMap::from([(0, brief(42.687_065)), (1, brief(1.0))]);
    let findings = Findings { checked: Checked::default(), publish, by_second, refused: None };
    let report = Report::new(Run { findings: Some(findings), ..run(1, tally) }, &[]);
    let of_second = report.seconds[0].intended.map(|brief| brief.max_ms);
    assert_eq!((report.intended.max_ms, of_second), (42.687_065, Some(42.687_065)));
    assert_eq!(report.publish.as_ref().map(|publish| publish.max_ms), Some(42.687_065));
    assert!(report.intended.p9999_ms <= report.intended.max_ms, "{report}");
}

#[test]
fn charts_over_time_show_from_when_a_run_was_measured() {
    let mut report = stalled();
    let shaded = |html: &str| html.matches("class=\"before\"").count();
    assert_eq!((shaded(&report.to_html()), shaded(&compared(&report, &report).to_html())), (0, 0));
    report.asked.measure_from_s = 1.0;
    report.server_seconds = vec![ServerSecond { at_s: 1.0, cpu_cores: 0.5, rss_bytes: 1 << 20 }];
    assert_eq!(shaded(&report.to_html()), 4, "latency, throughput, processors and memory");
    assert_eq!(shaded(&compared(&report, &report).to_html()), 2);
    assert_eq!(shaded(&compared(&report, &stalled()).to_html()), 0, "of B all counts");
}

#[test]
fn a_stream_that_was_opened_again_leaves_a_run_passed_but_not_checked_all_the_time() {
    let mut tally = Tally::default();
    tally.counts.accepted = 1;
    let seen = Observed { reopened: 2, ..Observed::default() };
    let report = report(1, tally, Some(seen), "");
    let told = "ended and was opened again 2 times";
    assert_eq!(report.verdict(), &Verdict::Ok);
    assert!(report.to_string().contains(&format!("ok, but not all was checked: the stream of all contexts {told}")));
    assert!(report.to_html().contains(told), "{report}");
}

#[test]
fn cmcd_records_are_events_of_the_throughput_and_of_the_seconds() {
    let mut tally = Tally::default();
    for nth in 0..90 {
        tally.series.cmcd(Duration::from_millis(10 * nth), (nth > 0).then_some(Duration::from_millis(1)));
    }
    let mut calls = Calls::default();
    (calls.cmcd.sent, calls.cmcd.answered) = (90, 89);
    let report = Report::new(Run { beside: Beside::new(&calls, None), ..run(0, tally) }, &[]);
    assert_eq!(report.values()["throughput"].value, 89.0);
    assert_eq!((report.seconds[0].due(), report.seconds[0].answered), (90, 89));
    let what = "events and CMCD records taken";
    let text = report.to_string();
    assert!(text.contains(&format!("\n           throughput 89/s: {what}\n")), "{text}");
    assert!(report.to_html().contains(what) && crate::slo::HELP.contains("CMCD records taken (204), per second"));
    let comparison = compared(&report, &report);
    let told = comparison.to_string();
    assert!(told.lines().any(|line| line.starts_with("throughput ") && line.contains(" 89 /s ")), "{told}");
    assert!(
        told.contains(&format!("\nthroughput: {what} per second\n")) && comparison.to_html().contains(what),
        "{told}"
    );
    let (a, b) = (stalled(), stalled());
    assert!(compared(&a, &b).to_string().contains("\nthroughput: events accepted per second\n"));
}
