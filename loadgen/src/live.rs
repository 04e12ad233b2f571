//! What people see while a run goes on: a small picture in the terminal, redrawn in place; lines where there is no terminal.

use crate::drive::Waiting;
use crate::tally::{Newest, Tally};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Gauge, Paragraph, Sparkline};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use std::io::{IsTerminal, Stderr, stderr, stdin};
use std::time::Duration;

/// Lines of the terminal that the picture takes.
const HEIGHT: u16 = 10;
/// Without a terminal, seconds between lines, once a run is longer than this many of them.
const QUIET_AFTER: u64 = 10;
/// What waits longer is a stall: it is told while it lasts, as latencies are known only once it is over.
const STALLED: Duration = Duration::from_millis(500);

/// The view of one run.
pub struct Live {
    history: History,
    screen: Screen,
}

enum Screen {
    Terminal(Box<Terminal<CrosstermBackend<Stderr>>>),
    Lines,
    Nothing,
}

/// What the picture is drawn from.
#[derive(Clone)]
struct History {
    title: String,
    duration: Duration,
    elapsed: Duration,
    /// Events acknowledged, second by second.
    rates: Vec<u64>,
    /// Intended p99 of what was answered in each second, microseconds.
    p99_us: Vec<u64>,
    newest: Newest,
    waiting: Waiting,
}

impl Live {
    /// A view of a run of this length; `quiet` shows nothing.
    pub fn new(title: String, duration: Duration, quiet: bool) -> Live {
        let history = History {
            title,
            duration,
            elapsed: Duration::ZERO,
            rates: vec![],
            p99_us: vec![],
            newest: Newest::default(),
            waiting: Waiting::default(),
        };
        let screen = match quiet {
            true => Screen::Nothing,
            // The place of the cursor is asked for, and the answer comes by standard input.
            false if stderr().is_terminal() && stdin().is_terminal() => {
                let options = TerminalOptions { viewport: Viewport::Inline(HEIGHT) };
                let terminal = Terminal::with_options(CrosstermBackend::new(stderr()), options);
                terminal.map_or(Screen::Lines, |terminal| Screen::Terminal(Box::new(terminal)))
            }
            false => Screen::Lines,
        };
        Live { history, screen }
    }

    /// Another second is over, or the run is, or it was told to end.
    pub fn tick(&mut self, tally: &Tally, waiting: Waiting, elapsed: Duration) {
        let Some(newest) = tally.series.newest(elapsed) else { return };
        let was_stalled = self.history.is_stalled();
        let is_new = self.history.rates.is_empty() || newest.second != self.history.newest.second;
        let is_told_to_end = waiting.ends_within.is_some() && self.history.waiting.ends_within.is_none();
        self.history.add(newest, is_new, waiting, elapsed);
        let shown = match &mut self.screen {
            Screen::Terminal(terminal) => terminal.draw(|frame| draw(frame, &self.history, tally)).map(drop),
            Screen::Lines => {
                // That a stall is over is news, too.
                let is_news = self.history.is_round() || self.history.is_stalled() || was_stalled;
                if is_new && is_news || is_told_to_end {
                    eprintln!("{}", self.history.line(tally));
                }
                Ok(())
            }
            Screen::Nothing => Ok(()),
        };
        if shown.is_err() {
            // A terminal that went away is no reason to end a run.
            self.screen = Screen::Nothing;
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Screen::Terminal(terminal) = &mut self.screen {
            let below = terminal.get_frame().area().bottom().saturating_sub(1);
            // What cannot be tidied up stays untidy.
            let _ = terminal.set_cursor_position((0, below)).and_then(|()| terminal.show_cursor());
            eprintln!();
        }
    }
}

impl History {
    /// Takes in how it stands, `is_new` where that is of a second that was not shown before.
    fn add(&mut self, newest: Newest, is_new: bool, waiting: Waiting, elapsed: Duration) {
        (self.elapsed, self.waiting) = (elapsed, waiting);
        if !is_new {
            return;
        }
        self.rates.push(newest.answered);
        self.p99_us.push(newest.intended.map_or(0, |brief| (brief.p99_ms * 1000.0) as u64));
        self.newest = newest;
    }

    /// A second of which there is a line in any case.
    fn is_round(&self) -> bool {
        let second = self.elapsed.as_secs();
        second <= QUIET_AFTER || second.is_multiple_of(QUIET_AFTER)
    }

    fn is_stalled(&self) -> bool {
        self.waiting.oldest >= STALLED
    }

    /// What is not answered; its age only where it says something.
    fn waiting(&self) -> String {
        let Waiting { requests, oldest, ends_within } = self.waiting;
        let oldest = match self.is_stalled() {
            true => format!(", the oldest for {:.1} s", oldest.as_secs_f64()),
            false => String::new(),
        };
        let ends = ends_within.filter(|_| requests > 0).map_or(String::new(), |left| {
            format!(" (up to {:.1} s for answers; Ctrl-C again to end at once)", left.as_secs_f64())
        });
        format!("waiting {requests}{oldest}{ends}")
    }

    fn line(&self, tally: &Tally) -> String {
        let (s, rate) = (self.elapsed.as_secs(), self.newest.answered);
        let latency = |brief: Option<crate::tally::Brief>| {
            brief.map_or("-".into(), |b| format!("p50 {:.3} p99 {:.3} max {:.3} ms", b.p50_ms, b.p99_ms, b.max_ms))
        };
        let (intended, lost) = (latency(self.newest.intended), tally.counts.lost);
        let errors: u64 = tally.counts.http_errors.values().sum();
        let waiting = self.waiting();
        format!("{s:>4} s  {rate:>8} events/s  intended {intended}  {waiting}  lost {lost}  errors {errors}")
    }
}

fn draw(frame: &mut Frame<'_>, history: &History, tally: &Tally) {
    let rows = [1, 1, 2, 2, 4].map(Constraint::Length);
    let [title, gauge, rates, p99, figures] = frame.area().layout(&Layout::vertical(rows));
    let seconds = format!("{} of {} s", history.elapsed.as_secs(), history.duration.as_secs_f64());
    let done = history.elapsed.as_secs_f64() / history.duration.as_secs_f64();
    frame.render_widget(Paragraph::new(history.title.as_str().bold()), title);
    let bar = Gauge::default().gauge_style(Style::new().fg(Color::Cyan)).label(seconds).ratio(done.clamp(0.0, 1.0));
    frame.render_widget(bar, gauge);
    let p99_ms = history.newest.intended.map_or("silent".into(), |brief| format!("{:.3} ms", brief.p99_ms));
    let lines = [
        (rates, format!("{} events/s", history.newest.answered), &history.rates, Color::Green),
        (p99, format!("p99 {p99_ms}"), &history.p99_us, Color::Yellow),
    ];
    for (area, label, values, colour) in lines {
        let [text, picture] = area.layout(&Layout::horizontal([Constraint::Length(22), Constraint::Min(10)]));
        frame.render_widget(Paragraph::new(label), text);
        let room = usize::from(picture.width);
        let newest = &values[values.len().saturating_sub(room)..];
        frame.render_widget(Sparkline::default().data(newest).style(colour), picture);
    }
    let waiting = Span::from(history.waiting());
    let waiting = if history.is_stalled() { waiting.red().bold() } else { waiting };
    let lines: Vec<Line<'_>> = figures_of(tally).into_iter().chain([waiting.into()]).collect();
    frame.render_widget(Paragraph::new(lines), figures);
}

fn figures_of(tally: &Tally) -> Vec<Line<'static>> {
    let latency = |name: &str, histogram: &hdrhistogram::Histogram<u64>| {
        let ms = |q| histogram.value_at_quantile(q) as f64 / 1e6;
        let (p50, p99, p999, max) = (ms(0.5), ms(0.99), ms(0.999), histogram.max() as f64 / 1e6);
        Line::from(format!("{name:<10} p50 {p50:>9.3}   p99 {p99:>9.3}   p99.9 {p999:>9.3}   max {max:>9.3} ms"))
    };
    let c = &tally.counts;
    let bad = |name: &str, n: u64| {
        let text = format!("  {name} {n}");
        if n > 0 { Span::from(text).red().bold() } else { Span::from(text) }
    };
    let errors = c.http_errors.values().sum();
    let counts = vec![
        format!("accepted {}  duplicates {}  late {}", c.accepted, c.duplicates, c.late).into(),
        bad("rejected", c.rejected_total()),
        bad("lost", c.lost),
        bad("errors", errors),
    ];
    vec![latency("intended", &tally.intended), latency("service", &tally.service), Line::from(counts)]
}

#[cfg(test)]
mod tests {
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

    fn history(tally: &Tally) -> History {
        let (title, duration) = ("127.0.0.1:1 at 20 events/s".into(), Duration::from_secs(4));
        let mut live = Live::new(title, duration, true);
        live.tick(tally, Waiting::default(), Duration::from_millis(1_050));
        let waiting = Waiting { requests: 412, oldest: Duration::from_millis(950), ends_within: None };
        live.tick(tally, waiting, Duration::from_millis(2_050));
        live.history.clone()
    }

    #[test]
    fn the_picture_shows_rate_latency_and_what_was_lost() {
        let tally = tally();
        let mut terminal = Terminal::new(TestBackend::new(90, HEIGHT)).expect("a terminal in memory");
        terminal.draw(|frame| draw(frame, &history(&tally), &tally)).expect("it is drawn");
        let shown = terminal.backend().to_string();
        for part in [
            "127.0.0.1:1",
            "2 of 4 s",
            "0 events/s",
            "p99 silent",
            "intended",
            "accepted 20",
            "lost 7",
            "errors 1",
            "waiting 412, the oldest for 0.9 s",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(shown.contains('█'), "a second of the history had events: {shown}");
    }

    #[test]
    fn without_a_terminal_a_line_says_it() {
        let tally = tally();
        assert_eq!(history(&tally).rates, [20, 0]);
        let stalled = "   2 s         0 events/s  intended -  waiting 412, the oldest for 0.9 s  lost 7  errors 1";
        assert_eq!(history(&tally).line(&tally), stalled);
        let calm = History { waiting: Waiting { requests: 3, ..Waiting::default() }, ..history(&tally) };
        assert!(calm.line(&tally).contains("  waiting 3  lost"), "{}", calm.line(&tally));
    }

    #[test]
    fn the_end_shows_what_came_last_and_is_no_second_of_its_own() {
        let mut tally = tally();
        let mut live = Live::new("a run".into(), Duration::from_secs(1), true);
        live.tick(&tally, Waiting::default(), Duration::from_millis(1_010));
        tally.counts.lost = 9;
        let ends_within = Some(Duration::from_secs(4));
        live.tick(&tally, Waiting { requests: 1, ends_within, ..Waiting::default() }, Duration::from_millis(1_900));
        assert_eq!((live.history.rates.as_slice(), live.history.elapsed.as_millis()), ([20].as_slice(), 1_900));
        let line = live.history.line(&tally);
        assert!(line.contains("waiting 1 (up to 4.0 s for answers; Ctrl-C again to end at once)  lost 9"), "{line}");
    }
}
