//! What is shown while a run goes on.

use super::*;
use crate::tally::{Answer, Outcome, Times};
use ratatui::backend::TestBackend;

fn tally() -> Tally {
    let mut tally = Tally::default();
    let times = |due_ms, ms| {
        let (due, intended) = (Duration::from_millis(due_ms), Duration::from_millis(ms));
        Times { due, intended, service: Duration::from_millis(1), lag: Duration::ZERO, is_measured: true }
    };
    let answer = Answer { accepted: 20, ..Answer::default() };
    tally.add(20, &Outcome::Acknowledged(answer), times(100, 3));
    tally.add(7, &Outcome::Refused(503, String::new()), times(200, 3));
    tally
}

fn view(is_followed: bool) -> View {
    let (title, duration) = ("127.0.0.1:1 at 20 events/s".into(), Duration::from_secs(4));
    View { title, duration, is_followed, is_quiet: true }
}

fn progress(tally: &Tally, waiting: Waiting, elapsed_ms: u64) -> Progress<'_> {
    Progress { tally, waiting, published: None, elapsed: Duration::from_millis(elapsed_ms) }
}

/// A second with a latency of each kind, and one in which everything waits.
fn history(tally: &Tally, is_followed: bool) -> History {
    let published = Published::new();
    published.came(Duration::from_millis(40), true);
    let published = is_followed.then_some(&published);
    let mut live = Live::new(view(is_followed));
    live.tick(&Progress { published, ..progress(tally, Waiting::default(), 1_050) });
    let waiting = Waiting { requests: 412, oldest: Duration::from_millis(950), ends_within: None };
    live.tick(&Progress { published, ..progress(tally, waiting, 2_050) });
    live.history.clone()
}

/// The picture in a terminal of that width, and its lines.
fn drawn(history: &History, tally: &Tally, width: u16) -> String {
    let View { duration, is_quiet, .. } = view(true);
    let view = View { title: history.title.clone(), is_followed: history.is_followed, duration, is_quiet };
    let backend = TestBackend::new(width, picture::height(&view, width));
    let mut terminal = Terminal::new(backend).expect("a terminal in memory");
    terminal.draw(|frame| picture::draw(frame, history, tally)).expect("it is drawn");
    terminal.backend().to_string()
}

#[test]
fn the_picture_shows_rate_latencies_and_what_was_lost() {
    let tally = tally();
    let shown = drawn(&history(&tally, true), &tally, 80);
    for part in [
        "127.0.0.1:1",
        "2 of 4 s",
        "0 events/s",
        "highest 20",
        "publish p99 none came",
        "highest 40.000 ms (log)",
        "intended p99 silent",
        "publish    p50    40.",
        "intended   p50     3.",
        "accepted 20",
        "lost 7",
        "errors 1 (",
        "waiting 412, oldest 0.9 s",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.contains('█'), "a second of the history had events: {shown}");
}

#[test]
fn where_nobody_is_followed_nothing_is_said_of_publishing() {
    let tally = tally();
    let history = history(&tally, false);
    let (shown, line) = (drawn(&history, &tally, 80), history.line(&tally));
    assert!(!shown.contains("publish") && !line.contains("publish"), "{shown}{line}");
    assert!(shown.contains("waiting 412"), "there is room for all: {shown}");
}

#[test]
fn what_was_not_measured_has_no_figures() {
    let empty = Tally::default();
    let shown = drawn(&History { published: histogram(), ..history(&empty, true) }, &empty, 80);
    assert!(shown.contains("publish    p50         –") && shown.contains("service    p50         –"), "{shown}");
}

#[test]
fn a_title_that_is_wider_than_the_terminal_goes_on_below() {
    let (tally, title) = (tally(), format!("{} seed 847392847", "many words ".repeat(8)));
    let history = History { title, ..history(&tally, true) };
    for width in [80, 120] {
        let shown = drawn(&history, &tally, width);
        assert!(shown.contains("847392847") && shown.contains("waiting 412"), "{width}: {shown}");
    }
}

#[test]
fn after_a_stall_the_seconds_before_and_after_it_are_still_seen() {
    let tally = tally();
    let stalled = History { intended_us: vec![1_000, 2_000_000, 3_000], ..history(&tally, false) };
    let shown = drawn(&stalled, &tally, 80);
    let lowest = shown.lines().find(|line| line.contains("highest 2000.000 ms (log)")).expect("a course");
    let bars = lowest.chars().filter(|c| ('▁'..='█').contains(c)).count();
    assert_eq!(bars, 3, "{shown}");
}

#[test]
fn without_a_terminal_a_line_says_it() {
    let tally = tally();
    let stalled = history(&tally, true);
    assert_eq!((stalled.rates.as_slice(), stalled.publish_us.len()), ([20, 0].as_slice(), 2));
    assert_eq!(
        stalled.line(&tally),
        "   2 s        0/s  publish p99     – max     –  intended p99     – max     – ms  waiting 412, oldest 0.9 s  lost 7  errors 1"
    );
    let brief = |p99_ms, max_ms| Some(Brief { p50_ms: 0.1, p99_ms, max_ms });
    let mut calm = History { waiting: Waiting { requests: 3, ..Waiting::default() }, ..stalled };
    (calm.publish, calm.newest.intended) = (brief(0.412, 12.3456), brief(234.56, 60_000.0));
    let line = calm.line(&tally);
    let latencies = "publish p99 0.412 max 12.35  intended p99 234.6 max 60000 ms  waiting 3  lost 7";
    assert!(line.contains(latencies) && line.chars().count() <= 110, "{line}");
}

#[test]
fn the_end_shows_what_came_last_and_is_no_second_of_its_own() {
    let mut tally = tally();
    let mut live = Live::new(view(false));
    live.tick(&progress(&tally, Waiting::default(), 1_010));
    tally.counts.lost = 9;
    let ends_within = Some(Duration::from_secs(4));
    live.tick(&progress(&tally, Waiting { requests: 1, ends_within, ..Waiting::default() }, 1_900));
    assert_eq!((live.history.rates.as_slice(), live.history.elapsed.as_millis()), ([20].as_slice(), 1_900));
    let line = live.history.line(&tally);
    assert!(line.contains("waiting 1 (up to 4.0 s for answers; Ctrl-C again ends at once)  lost 9"), "{line}");
}
