//! Verdicts, and the forms of a report.

use super::*;
use crate::tally::{Outcome, Times, Waited};

fn asked(events: u64) -> Asked {
    let target = "127.0.0.1:1".into();
    Asked {
        target,
        profile: None,
        shape: "constant".into(),
        arrivals: Some(Arrivals::Even),
        rate: 1,
        batch: [1, 1],
        duration_s: 1.0,
        measure_from_s: 0.0,
        sessions: 1,
        skew: 0.0,
        connections: 1,
        timeout_s: Some(10.0),
        probes: Some(0),
        observe: Some(false),
        profile_hash: None,
        seed: 1,
        events,
        repeated: 0,
    }
}

pub(super) fn report(events: u64, tally: Tally, observed: Option<Observed>, slo: &str) -> Report {
    let objectives =
        slo.split_terminator(',').map(|text| crate::slo::objective(text).expect("an objective")).collect::<Vec<_>>();
    Report::new(Run { observed, ..run(events, tally) }, &objectives)
}

/// A run of which nothing is known but its tally.
pub(crate) fn run(events: u64, tally: Tally) -> Run {
    let (asked, began_ms, server, server_seconds, findings) = (asked(events), 0, None, vec![], None);
    let (idle, interrupted, unrecorded, observed, beside) = (0.5, None, None, None, Beside::default());
    Run { asked, began_ms, tally, idle, interrupted, unrecorded, server, server_seconds, observed, findings, beside }
}

fn verdict(change: impl FnOnce(&mut Tally)) -> Verdict {
    let mut tally = Tally::default();
    (tally.counts.accepted, tally.counts.requests) = (10, 1);
    change(&mut tally);
    let c = &tally.counts;
    let events = c.accepted + c.duplicates + c.late + c.rejected_total() + c.lost;
    report(events, tally, None, "").verdict().clone()
}

#[test]
fn verdicts_tell_lost_rejected_duplicate_and_late_apart() {
    assert_eq!(verdict(|_| ()), Verdict::Ok);
    assert_eq!(verdict(|t| t.counts.late = 1), Verdict::Ok);
    assert!(matches!(verdict(|t| t.counts.lost = 1), Verdict::Failed(_)));
    assert!(matches!(verdict(|t| t.counts.duplicates = 1), Verdict::Failed(_)));
    assert!(matches!(verdict(|t| _ = t.counts.rejected.insert("future".into(), 1)), Verdict::Failed(_)));
}

#[test]
fn a_generator_that_began_more_than_one_in_a_hundred_late_and_more_than_three_makes_the_run_invalid() {
    let lag = |late: u64, of: u64, nanos: u64| {
        move |t: &mut Tally| {
            (0..late).for_each(|_| t.lag.saturating_record(nanos));
            (late..of).for_each(|_| t.lag.saturating_record(1_000));
        }
    };
    for (late, of, nanos) in [(12, 12, 999_000), (1, 12, 1_350_000), (3, 12, 1_350_000), (4, 400, 1_350_000)] {
        assert_eq!(verdict(lag(late, of, nanos)), Verdict::Ok, "{late} of {of}");
    }
    for (late, of) in [(4, 12), (4, 399), (5, 400)] {
        let told = verdict(lag(late, of, 1_002_000)).to_string();
        assert!(
            told.starts_with("invalid: generator fell behind (") && told.contains(&format!("{late} of {of}")),
            "{told}"
        );
    }
}

fn unsent(tally: &mut Tally, events: u64) {
    let waited = Waited { due: Duration::ZERO, intended: Duration::from_secs(10), is_measured: true };
    tally.unsent(events, waited);
}

#[test]
fn what_a_late_generator_did_not_send_or_missed_says_nothing_about_the_server() {
    let late = |t: &mut Tally| (0..4).for_each(|_| t.lag.saturating_record(3_000_000));
    assert!(matches!(verdict(|t| unsent(t, 5)), Verdict::Failed(why) if why.starts_with("5 events were never sent")));
    let both = verdict(|t| {
        late(t);
        unsent(t, 5);
    });
    assert!(
        matches!(&both, Verdict::Invalid(why) if why.contains("fell behind") && why.contains("5 events")),
        "{both}"
    );
    let lost = verdict(|t| {
        late(t);
        t.counts.lost = 1;
    });
    assert!(matches!(&lost, Verdict::Failed(why) if why.contains("fell behind")), "{lost}");
    let with = |intended_ms: u64| {
        let mut tally = Tally::default();
        late(&mut tally);
        let (due, intended) = (Duration::ZERO, Duration::from_millis(intended_ms));
        let times = Times { due, intended, service: intended, lag: Duration::from_millis(3), is_measured: true };
        let answer = crate::tally::Answer { accepted: 1, ..Default::default() };
        tally.add(1, &Outcome::Acknowledged(answer), times);
        report(1, tally, None, "intended_p99<5ms").verdict().clone()
    };
    assert!(matches!(with(6), Verdict::Invalid(why) if why.contains("missed intended_p99<5ms")));
    assert!(matches!(with(2_000), Verdict::Failed(why) if why.contains("fell behind")), "3 ms do not explain 2 s");
}

#[test]
fn a_record_that_is_not_whole_fails_the_run_and_the_report_is_there() {
    let mut tally = Tally::default();
    tally.counts.accepted = 10;
    let unrecorded = Some("no storage space".to_owned());
    let report = Report::new(Run { unrecorded, ..run(10, tally) }, &[]);
    let Verdict::Failed(why) = report.verdict() else { panic!("{:?}", report.verdict()) };
    assert_eq!(why, "the record (--record) is not whole: no storage space");
}

#[test]
fn a_run_that_sent_nothing_or_was_ended_early_is_none() {
    let run = |idle, interrupted, tally: Tally| {
        let run = Run { idle, interrupted, ..run(tally.counts.accepted, tally) };
        Report::new(run, &[]).verdict().to_string()
    };
    let sent = || {
        let mut tally = Tally::default();
        (tally.counts.accepted, tally.counts.requests) = (10, 1);
        tally
    };
    assert_eq!(run(0.5, None, sent()), "ok");
    assert!(run(0.5, None, Tally::default()).starts_with("invalid: nothing was sent"));
    assert_eq!(run(0.5, Some(Duration::from_millis(700)), sent()), "invalid: interrupted after 0.7 s");
    assert!(run(0.001, None, sent()).contains("it had nothing to do for 0.1 % of the time"));
}

#[test]
fn a_stream_that_goes_back_fails_the_run() {
    let mut tally = Tally::default();
    tally.counts.accepted = 1;
    let seen = Observed { backwards: 1, ..Observed::default() };
    assert!(matches!(report(1, tally, Some(seen), "").verdict(), Verdict::Failed(_)));
}

#[test]
#[should_panic(expected = "exactly one bucket")]
fn an_event_in_no_bucket_is_a_bug() {
    report(11, Tally::default(), None, "");
}

#[test]
fn a_missed_objective_fails_the_run_and_is_named() {
    let tally = || {
        let mut tally = Tally::default();
        tally.counts.accepted = 10;
        tally.intended.saturating_record(3_000_000);
        tally
    };
    assert_eq!(report(10, tally(), None, "intended_p99<4ms,lost=0,throughput>=10").verdict(), &Verdict::Ok);
    let missed = report(10, tally(), None, "lost=0,intended_p99<2ms");
    assert_eq!(missed.verdict(), &Verdict::Failed("missed intended_p99<2ms".into()));
    assert_eq!(missed.objectives.iter().map(|o| o.held).collect::<Vec<_>>(), [true, false]);
    assert!(missed.to_string().contains("MISSED: intended_p99<2ms (measured: ~3.0"), "{missed}");
}

#[test]
fn what_followers_did_not_see_was_not_measured_and_the_run_does_not_pass() {
    let mut tally = Tally::default();
    tally.counts.accepted = 10;
    let first_broken = Some("answered 429".to_owned());
    let checked = Checked { sessions: 4, broken: 4, first_broken, ..Checked::default() };
    let findings = Findings { checked, publish: crate::tally::histogram(), by_second: BTreeMap::new(), refused: None };
    let objectives = [crate::slo::objective("publish_p99<5ms").expect("an objective")];
    let report = Report::new(Run { findings: Some(findings), ..run(10, tally) }, &objectives);
    let why = "no context came of the 4 sessions that were followed; 4 streams broke or could not be opened, first: answered 429";
    assert_eq!(report.verdict(), &Verdict::Failed(format!("{why}; missed publish_p99<5ms")));
    let text = report.to_string();
    assert!(text.contains(&format!("MISSED: publish_p99<5ms (not measured: {why})")), "{text}");
    let html = report.to_html();
    assert!(text.contains("4 streams broke or could not be opened; first: answered 429"), "{text}");
    assert!(html.contains("streams that broke or were refused") && html.contains(why), "{html}");
}

#[test]
fn a_run_too_small_for_its_sample_does_not_fail_for_it() {
    let mut tally = Tally::default();
    tally.counts.accepted = 1;
    let checked = Checked::default();
    let findings = Findings { checked, publish: crate::tally::histogram(), by_second: BTreeMap::new(), refused: None };
    let report = Report::new(Run { findings: Some(findings), ..run(1, tally) }, &[]);
    assert_eq!(report.verdict(), &Verdict::Ok);
}

#[test]
fn every_loss_and_every_missed_objective_is_told() {
    let mut tally = Tally::default();
    tally.counts.lost = 3;
    tally.counts.rejected.insert("future".into(), 2);
    let Verdict::Failed(why) = report(5, tally, None, "lost=0").verdict().clone() else { panic!("it failed") };
    for part in ["3 events were not acknowledged", "2 events were rejected", "missed lost=0"] {
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn a_report_is_the_same_after_it_was_written_and_read() {
    let mut tally = Tally::default();
    tally.counts.accepted = 1;
    tally.intended.saturating_record(1_234_567);
    let mut written = report(1, tally, Some(Observed::default()), "lost=0,publish_p99<1ms");
    // Of each, some are read with another last digit unless that is taken care of.
    let (mut bits, mut curve) = (1u64, vec![]);
    for _ in 0..5_000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        curve.push((bits as f64 / u64::MAX as f64, (bits >> 11) as f64 / 1e13));
    }
    written.intended.curve = curve;
    let file = std::env::temp_dir().join(format!("saccade-report-{}.json", std::process::id()));
    std::fs::write(&file, written.to_json()).expect("the temporary directory can be written");
    let read = Report::read(&file);
    std::fs::remove_file(&file).expect("it was written");
    assert_eq!(read, Ok(written));
}

#[test]
fn answers_after_the_schedule_are_a_rate_like_others() {
    let mut tally = Tally::default();
    let answer = crate::tally::Answer { accepted: 10, ..Default::default() };
    let (due, waited) = (Duration::from_millis(500), Duration::from_secs(3));
    let times = Times { due, intended: waited, service: waited, lag: Duration::ZERO, is_measured: true };
    tally.add(10, &Outcome::Acknowledged(answer), times);
    let html = report(10, tally, None, "").to_html();
    assert!(html.contains("<title>3.5 s\nacknowledged: 10 /s\ndue: 0 /s</title>"), "{html}");
}

/// One run a side.
pub(super) fn compared<'a>(a: &'a Report, b: &'a Report) -> Comparison<'a> {
    Comparison { a: std::slice::from_ref(a), b: std::slice::from_ref(b) }
}

/// A run of three seconds in which the server was silent for one.
pub(super) fn stalled() -> Report {
    let mut tally = Tally::default();
    for request in 0..300u64 {
        let due = Duration::from_millis(request * 10);
        let waited = if (100..200).contains(&request) { 2_000 - request * 10 } else { 1 };
        let (intended, service) = (Duration::from_millis(waited), Duration::from_millis(1));
        let answer = crate::tally::Answer { accepted: 10, ..Default::default() };
        let times = Times { due, intended, service, lag: Duration::ZERO, is_measured: true };
        tally.add(10, &Outcome::Acknowledged(answer), times);
    }
    report(3_000, tally, None, "intended_p99<100ms,lost=0")
}

#[test]
fn a_stall_is_in_the_verdict_the_intended_curve_and_the_second_in_which_it_was() {
    let report = stalled();
    assert_eq!(report.verdict(), &Verdict::Failed("missed intended_p99<100ms".into()));
    assert!(report.intended.max_ms >= 999.0 && report.service.max_ms < 2.0);
    let max = |second: usize| report.seconds[second].intended.map_or(0.0, |brief| brief.max_ms);
    assert!(max(0) < 2.0 && max(1) >= 990.0 && max(2) < 2.0);
}

#[test]
fn the_page_says_everything_and_refers_to_nothing() {
    let html = stalled().to_html();
    for part in [
        "failed",
        "missed intended_p99&lt;100ms",
        "Latency by percentile",
        "Latency over time",
        "Throughput over time",
        "= scheduled",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert_eq!(html.matches("<svg").count(), 3, "no charts of the server without its metrics");
    for outside in ["http:", "https:", "url(", "@import", "<script", " src="] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(!html.contains("NaN") && !html.contains("inf"), "every number is one");
}

#[test]
fn a_page_of_a_run_without_any_answer_is_still_a_page() {
    let mut tally = Tally::default();
    unsent(&mut tally, 10);
    let report = report(10, tally, None, "publish_p99<1ms");
    let (text, html) = (report.to_string(), report.to_html());
    assert!(html.contains("10 events were never sent") && html.contains("not measured"));
    for told in [&text, &html] {
        assert!(told.contains("not sent before the end (more --connections may help)"), "{told}");
    }
    assert!(!html.contains("NaN"), "every number is one");
}

#[test]
fn what_was_refused_has_a_row_of_its_own_and_holds_no_objective() {
    let mut tally = Tally::default();
    let (due, took) = (Duration::ZERO, Duration::from_millis(1));
    let times = Times { due, intended: took, service: took, lag: Duration::ZERO, is_measured: true };
    tally.add(10, &Outcome::Refused(503, "busy".into()), times);
    let report = report(10, tally, None, "intended_p99<50ms");
    let text = report.to_string();
    assert!(text.contains("MISSED: intended_p99<50ms (not measured: no request was acknowledged)"), "{text}");
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(row("refused ").contains("         1    ~1.0"), "{text}");
    assert!(row("intended ").ends_with('–') && !row("intended ").contains("0.000"), "{text}");
    assert!(text.contains("first: the server answered 503, not 202: busy"), "{text}");
    assert!(report.to_html().contains(">refused</span>") && report.to_json().contains("\"refused\""));
}

#[test]
fn tables_have_counts_and_mark_percentiles_of_few_samples() {
    let report = stalled();
    assert!(report.in_short().contains("service p99 ~1.000 ms of 300 samples, "), "{}", report.in_short());
    let text = report.to_string();
    let row = text.lines().find(|line| line.starts_with("service ")).expect("a row");
    assert!(row.starts_with("service        300     1.000"), "{text}");
    assert_eq!(row.matches(ROUGH).count(), 3, "p99 of 300 rests on three, p90 on thirty: {text}");
    assert!(text.contains(ROUGH_NOTE) && report.to_html().contains(ROUGH_NOTE), "{text}");
    assert!(text.contains("(measured: ~") && text.contains(ROUGH_OBJECTIVES), "{text}");
    let mut many = report.clone();
    many.objectives.clear();
    for latency in [&mut many.intended, &mut many.service, &mut many.lag] {
        latency.count = 100_000;
    }
    assert!(!many.to_string().contains(ROUGH) && !many.to_html().contains(ROUGH_NOTE), "{many}");
}

#[test]
fn figures_of_the_server_say_from_when_they_count() {
    let mut report = stalled();
    let since_start = BTreeMap::from([("0.99".to_owned(), 77.0)]);
    let (accepted, contexts) = (Some(600), Some(700));
    let server = Measured {
        published: Some(500),
        cpu_seconds: Some(0.5),
        accepted,
        contexts,
        freshness_ms_since_start: since_start,
        ..Measured::default()
    };
    report.server = Some(server);
    let text = report.to_string();
    assert!(
        text.contains("published of 500 events:")
            && text.contains("processor time 0.50 s, 166.67 s per million events\n"),
        "{text}"
    );
    assert!(text.contains("events folded 600, contexts of sessions refreshed 700"), "{text}");
    assert!(!text.contains("77"), "what it counts since it began is of other runs, too: {text}");
    let html = report.to_html();
    assert!(html.contains("<th>events folded</th>") && html.contains("<th>contexts of sessions refreshed</th>"));
    // Of 1,000 events a second for three seconds, those of the last count.
    report.asked.measure_from_s = 2.0;
    let text = report.to_string();
    assert!(text.contains("published of 500 events from 2 s on:"), "{text}");
    assert!(text.contains("processor time 0.50 s from 2 s on"), "{text}");
    assert_eq!(report.cpu_per_million(), Some(500.0));
    // What others sent costs processor time, too.
    let server = report.server.as_mut().expect("it was given");
    (server.accepted, server.timed) = (Some(3_600), Some(2_000));
    assert_eq!(report.cpu_per_million(), Some(250.0));
    let (text, html) = (report.to_string(), report.to_html());
    assert!(text.contains("600 of these events came from others than this run"), "{text}");
    assert!(html.contains("<th>of these from others than this run</th>"));
}

#[test]
fn a_run_that_was_ended_early_shows_no_collapse_at_its_end() {
    let mut tally = Tally::default();
    for nth in 0..15 {
        tally.series.cmcd(Duration::from_millis(100 * nth), Some(Duration::from_millis(1)));
    }
    let mut report = report(0, tally, None, "");
    (report.asked.duration_s, report.interrupted_s) = (20.0, Some(1.5));
    let acknowledged = &report.throughput_chart().lines[0].points;
    assert_eq!(acknowledged, &[(0.5, Some(10.0)), (1.5, Some(10.0))]);
    assert!(report.to_html().contains("20 s, interrupted after 1.5 s"));
}

#[test]
fn what_was_not_checked_is_said_beside_the_verdict() {
    let mut tally = Tally::default();
    tally.counts.accepted = 10;
    let vectors = crate::check::Compared::not("the server's vectors have schema a".into());
    let first_broken = Some("answered 429".to_owned());
    let checked = Checked { sessions: 4, contexts: 9, broken: 1, first_broken, vectors, ..Checked::default() };
    let findings = Findings { checked, publish: crate::tally::histogram(), by_second: BTreeMap::new(), refused: None };
    let report = Report::new(Run { findings: Some(findings), ..run(10, tally) }, &[]);
    assert_eq!(report.verdict(), &Verdict::Ok);
    let why = "1 of 4 streams broke or could not be opened (answered 429); vectors were not compared: the server's vectors have schema a";
    let text = report.to_string();
    assert!(text.ends_with(&format!("\nok, but not all was checked: {why}\n")), "{text}");
    assert!(report.to_html().contains("Not all was checked: 1 of 4 streams"));
}

#[test]
fn a_report_says_in_how_many_seconds_publish_was_measured() {
    let mut report = stalled();
    let vectors = crate::check::Compared { same: 4, ..Default::default() };
    report.checked = Some(Checked { sessions: 4, contexts: 9, vectors, ..Checked::default() });
    report.verdict = Verdict::Ok;
    report.seconds[2].publish = report.seconds[2].intended;
    let told = "publish was measured in 1 of 3 seconds";
    let (text, html) = (report.to_string(), report.to_html());
    assert!(text.contains(&format!("ok, but not all was checked: {told}")) && html.contains(told), "{text}");
    let mut none = report.clone();
    none.seconds.clear();
    assert!(!none.to_string().contains("publish was measured"), "{none}");
    // Of the seconds that count, it is all.
    report.asked.measure_from_s = 2.0;
    let text = report.to_string();
    assert!(text.contains("publish was measured in 1 of 1 second") && text.ends_with("\nok\n"), "{text}");
}

#[test]
fn what_was_found_before_the_comparison_ended_counts_and_nothing_compared_holds_nothing() {
    let told = |vectors: crate::check::Compared| {
        let mut tally = Tally::default();
        tally.counts.accepted = 10;
        let checked = Checked { sessions: 4, contexts: 9, vectors, ..Checked::default() };
        let publish = crate::tally::histogram();
        let findings = Findings { checked, publish, by_second: BTreeMap::new(), refused: None };
        let objectives = [crate::slo::objective("mismatches=0").expect("an objective")];
        let report = Report::new(Run { findings: Some(findings), ..run(10, tally) }, &objectives);
        (report.to_string(), report.to_html())
    };
    let vectors = || crate::check::Compared { same: 3, ..Default::default() };
    let (text, _) = told(vectors());
    assert!(text.contains("held: mismatches=0 (measured: 0)") && text.ends_with("\nok\n"), "{text}");
    let why = Some("only 3 of 9 contexts were: GET / was not answered".to_owned());
    let first_difference = Some("session s: slot 1".to_owned());
    let vectors = crate::check::Compared { different: 1, first_difference, not_compared: why.clone(), ..vectors() };
    let (text, html) = told(vectors.clone());
    assert!(text.contains("MISSED: mismatches=0 (measured: 1)"), "{text}");
    assert!(text.contains("FAILED: 1 context is not the fold of what was acknowledged; first: session s"), "{text}");
    for told in [&text, &html] {
        assert!(told.contains("not all vectors were compared: only 3 of 9"), "{told}");
    }
    assert!(text.contains("3 vectors the same") && html.contains("vectors that differ"), "{text}");
    let (text, _) = told(crate::check::Compared { different: 0, first_difference: None, ..vectors });
    assert!(text.contains("MISSED: mismatches=0 (not measured: only 3 of 9"), "{text}");
    let (text, html) = told(crate::check::Compared { ended: 7, ..Default::default() });
    let why = "7 sessions had ended on the server";
    assert!(text.contains(&format!("MISSED: mismatches=0 (not measured: {why}")), "{text}");
    assert!(text.contains("7 sessions not compared") && html.contains("vectors were not compared: 7"), "{text}");
}

#[test]
fn throughput_counts_until_the_last_acknowledgment_and_of_no_time_there_is_none() {
    let mut tally = Tally::default();
    let answer = crate::tally::Answer { accepted: 10, ..Default::default() };
    let (due, waited) = (Duration::from_millis(900), Duration::from_millis(1_000));
    let times = Times { due, intended: waited, service: waited, lag: Duration::ZERO, is_measured: true };
    tally.add(10, &Outcome::Acknowledged(answer), times);
    let mut report = report(10, tally, None, "");
    assert_eq!((report.took_s(), report.values()["throughput"].value), (1.9, 10.0 / 1.9));
    assert!(report.to_string().contains("\n           accepted 5/s of 10/s due\n"), "{report}");
    report.asked.duration_s = 1.5;
    let acknowledged = report.throughput_chart().lines[0].points[1];
    assert_eq!(acknowledged.1.map(f64::round), Some(11.0), "ten within 0.9 s, not within a part of them");
    (report.interrupted_s, report.answered_s, report.counts.accepted) = (Some(0.0), Some(0.0), 0);
    assert!(!report.values().contains_key("throughput") && !report.to_html().contains("NaN"));
}

#[test]
fn processor_time_is_of_the_time_between_its_readings_and_without_both_there_is_none() {
    let judged = |server: Measured, from: f64| {
        let mut report = report(0, Tally::default(), None, "");
        (report.asked.duration_s, report.asked.measure_from_s, report.server) = (5.0, from, Some(server));
        (report.values().get("server_cpu").map(|cpu| cpu.value), report.why_not("server_cpu"), report.to_string())
    };
    let timed = |cpu, timed_s| Measured { cpu_seconds: cpu, timed_s, rss_bytes: Some(1), ..Measured::default() };
    assert_eq!(judged(timed(Some(3.0), Some(2.0)), 2.0).0, Some(1.5));
    assert_eq!(judged(timed(Some(3.0), None), 2.0).0, Some(1.0), "of an older report");
    assert_eq!(judged(timed(Some(3.0), None), 9.0).0, None, "of a run that was over before");
    let (cpu, why, text) = judged(timed(None, None), 2.0);
    let wanted = "no reading of /metrics came from 2 s on to count from";
    assert_eq!((cpu, why.as_str()), (None, wanted));
    assert!(text.contains(&format!("processor time not measured: {wanted}")), "{text}");
}

#[test]
fn the_first_of_what_was_lost_and_of_what_was_rejected_are_told_apart() {
    let mut tally = Tally::default();
    let answer = Outcome::read(202, br#"{"accepted":0,"rejected":[{"index":4,"code":"future"}]}"#, 1);
    let (due, took) = (Duration::ZERO, Duration::from_millis(1));
    let times = Times { due, intended: took, service: took, lag: Duration::ZERO, is_measured: true };
    tally.add(1, &answer, times);
    tally.add(1, &Outcome::Refused(503, "busy".into()), times);
    let why = report(2, tally, None, "").verdict().to_string();
    assert!(why.contains("1 event was not acknowledged; first: the server answered 503"), "{why}");
    assert!(why.contains("1 event was rejected; first: row 4 was rejected: future"), "{why}");
}

#[test]
fn arrivals_are_kept_shown_and_compared_and_older_reports_say_nothing_of_them() {
    let (mut a, b) = (stalled(), stalled());
    a.asked.arrivals = Some(Arrivals::Poisson);
    assert!(a.to_json().contains("\"arrivals\": \"poisson\""), "{}", a.to_json());
    assert!(a.to_string().contains("1 events/s, poisson arrivals, for 1 s") && !b.to_string().contains("arrivals"));
    assert!(a.to_html().contains("<th>arrivals</th><td>poisson</td>"));
    assert!(compared(&a, &b).to_string().contains("arrivals: A poisson, B even"));
    let mut older: serde_json::Value = serde_json::from_str(&a.to_json()).expect("a report is JSON");
    older["asked"].as_object_mut().expect("an object").remove("arrivals").expect("it was there");
    let older: Report = serde_json::from_value(older).expect("older reports can be read");
    assert!(older.to_html().contains("<th>arrivals</th><td>not kept by this report</td>"));
    let comparison = compared(&older, &b);
    assert!(!comparison.to_string().contains("loads were not the same"), "{comparison}");
}

#[test]
fn a_shape_that_did_not_come_about_is_told_of_a_kept_run_too() {
    let mut report = stalled();
    assert!(!report.to_string().contains("warning"), "{report}");
    report.asked.shape = "spike:at=60s,for=5s,times=4".into();
    for told in [report.to_string(), report.to_html()] {
        assert!(told.contains("the spike begins 60 s after the start, but the run is over after 1s"), "{told}");
    }
}

#[test]
fn the_table_fits_a_terminal_of_80_columns() {
    let mut report = stalled();
    let ms = 12_345.678;
    report.service = Latency { count: 123_456_789, p50_ms: ms, p9999_ms: ms, max_ms: ms, ..report.service };
    let text = report.to_string();
    let rows = text.lines().filter(|line| ["ms ", "service ", "own lag "].iter().any(|head| line.starts_with(head)));
    assert_eq!(rows.map(|row| row.chars().count()).collect::<Vec<_>>(), [78; 3], "{text}");
    assert!(text.contains("123456789   12345.7"), "{text}");
}
