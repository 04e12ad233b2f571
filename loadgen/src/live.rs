//! What people see while a run goes on: a small picture in the terminal, redrawn in place; lines where there is no terminal.

mod picture;

use crate::check::Published;
use crate::drive::{Progress, Waiting};
use crate::tally::{Brief, Newest, Tally, histogram};
use hdrhistogram::Histogram;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::io::{self, IsTerminal, Stderr, Write, stderr, stdin};
use std::time::Duration;

/// Without a terminal, seconds between lines, once a run is longer than this many of them.
const QUIET_AFTER: u64 = 10;
/// What waits longer is a stall: it is told while it lasts, as latencies are known only once it is over.
const STALLED: Duration = Duration::from_millis(500);

/// What is to be shown, and of what.
pub struct View {
    /// What is sent where, in a line.
    pub title: String,
    /// Length of the run.
    pub duration: Duration,
    /// Sessions are followed: there are publish latencies.
    pub is_followed: bool,
    /// Show nothing.
    pub is_quiet: bool,
}

/// The view of one run.
pub struct Live {
    history: History,
    screen: Screen,
    /// Without a terminal: the first error was told.
    is_error_told: bool,
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
    is_followed: bool,
    elapsed: Duration,
    /// Events acknowledged, second by second.
    rates: Vec<u64>,
    /// p99 of what was acknowledged in each second, from the intended time, microseconds.
    intended_us: Vec<u64>,
    /// Likewise of what followers received.
    publish_us: Vec<u64>,
    newest: Newest,
    /// What followers received in the newest second.
    publish: Option<Brief>,
    /// And so far, nanoseconds.
    published: Histogram<u64>,
    waiting: Waiting,
}

impl Live {
    /// To be made when nothing else is printed any more: what is would be drawn over.
    pub fn new(view: View) -> Live {
        let screen = match view.is_quiet {
            true => Screen::Nothing,
            // The place of the cursor is asked for, and the answer comes by standard input.
            false if stderr().is_terminal() && stdin().is_terminal() => match terminal(&view) {
                Ok(terminal) => Screen::Terminal(Box::new(terminal)),
                Err(_) => Screen::Lines,
            },
            false => Screen::Lines,
        };
        Live { history: History::new(view), screen, is_error_told: false }
    }

    /// Another second is over, or the run is, or it was told to end.
    pub fn tick(&mut self, progress: &Progress<'_>) {
        let Some(newest) = progress.tally.series.newest(progress.elapsed) else { return };
        let was_stalled = self.history.is_stalled();
        let is_new = self.history.rates.is_empty() || newest.second != self.history.newest.second;
        let is_told_to_end = progress.waiting.ends_within.is_some() && self.history.waiting.ends_within.is_none();
        self.history.add(is_new.then_some(newest), progress);
        let shown = match &mut self.screen {
            Screen::Terminal(terminal) => draw(terminal, &self.history, progress.tally, is_told_to_end),
            Screen::Lines => {
                let first = progress.tally.counts.first_error.as_ref().filter(|_| !self.is_error_told);
                if let Some(first) = first {
                    say(&format!("first error: {first}"));
                    self.is_error_told = true;
                }
                // That a stall is over is news, too.
                let is_news = self.history.is_round() || self.history.is_stalled() || was_stalled;
                if is_new && is_news || is_told_to_end {
                    say(&self.history.line(progress.tally));
                }
                Ok(())
            }
            Screen::Nothing => Ok(()),
        };
        if shown.is_err() {
            self.give_up();
        }
    }

    /// The terminal went away, which is no reason to end a run; to tidy it up would be, as that tells in vain that it cannot.
    fn give_up(&mut self) {
        std::mem::forget(std::mem::replace(&mut self.screen, Screen::Nothing));
    }
}

/// Writes a line to standard error, whether somebody reads it or not.
pub fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

fn terminal(view: &View) -> io::Result<Terminal<CrosstermBackend<Stderr>>> {
    let backend = CrosstermBackend::new(stderr());
    let height = picture::height(view, backend.size()?.width);
    Terminal::with_options(backend, TerminalOptions { viewport: Viewport::Inline(height) })
}

/// `is_spoilt` where a terminal has written `^C` into the picture.
fn draw(
    terminal: &mut Terminal<CrosstermBackend<Stderr>>,
    history: &History,
    tally: &Tally,
    is_spoilt: bool,
) -> io::Result<()> {
    if is_spoilt {
        terminal.clear()?;
    }
    terminal.draw(|frame| picture::draw(frame, history, tally)).map(drop)
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Screen::Terminal(terminal) = &mut self.screen {
            let (area, is_drawn) = (terminal.get_frame().area(), !self.history.rates.is_empty());
            let row = if is_drawn { area.bottom().saturating_sub(1) } else { area.top() };
            match terminal.set_cursor_position((0, row)).and_then(|()| terminal.show_cursor()) {
                // Past the picture, and a line between it and the report.
                Ok(()) if is_drawn => say("\n"),
                Ok(()) => {}
                Err(_) => self.give_up(),
            }
        }
    }
}

impl History {
    fn new(View { title, duration, is_followed, .. }: View) -> History {
        History {
            title,
            duration,
            is_followed,
            elapsed: Duration::ZERO,
            rates: vec![],
            intended_us: vec![],
            publish_us: vec![],
            newest: Newest::default(),
            publish: None,
            published: histogram(),
            waiting: Waiting::default(),
        }
    }

    /// Takes in how it stands, and a second that was not shown before.
    fn add(&mut self, newest: Option<Newest>, progress: &Progress<'_>) {
        (self.elapsed, self.waiting) = (progress.elapsed, progress.waiting);
        let Some(newest) = newest else { return };
        let p99_us = |brief: Option<Brief>| brief.map_or(0, |brief| (brief.p99_ms * 1000.0).round() as u64);
        self.rates.push(newest.answered);
        self.intended_us.push(p99_us(newest.intended));
        self.newest = newest;
        let look = progress.published.and_then(Published::look);
        self.publish = look.as_ref().and_then(|look| look.fresh);
        self.publish_us.push(p99_us(self.publish));
        // Without a look, as it was.
        if let Some(look) = look {
            self.published = look.all;
        }
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
            true => format!(", oldest {:.1} s", oldest.as_secs_f64()),
            false => String::new(),
        };
        let ends = ends_within.filter(|_| requests > 0).map_or(String::new(), |left| {
            format!(" (up to {:.1} s for answers; Ctrl-C again ends at once)", left.as_secs_f64())
        });
        format!("waiting {requests}{oldest}{ends}")
    }

    fn line(&self, tally: &Tally) -> String {
        let (s, rate) = (self.elapsed.as_secs(), self.newest.answered);
        let publish = if self.is_followed { format!("publish {}  ", latency(self.publish)) } else { String::new() };
        let (intended, lost) = (latency(self.newest.intended), tally.counts.lost);
        let errors: u64 = tally.counts.http_errors.values().sum();
        let waiting = self.waiting();
        format!("{s:>4} s {rate:>8}/s  {publish}intended {intended} ms  {waiting}  lost {lost}  errors {errors}")
    }
}

/// Milliseconds, in the same places line by line, and short enough that a line has room in 120 columns.
fn latency(brief: Option<Brief>) -> String {
    let [p99, max] = match brief {
        Some(brief) => [brief.p99_ms, brief.max_ms].map(ms),
        None => ["–", "–"].map(str::to_owned),
    };
    format!("p99 {p99:>5} max {max:>5}")
}

/// Four digits of milliseconds.
fn ms(value: f64) -> String {
    let decimals = [10.0, 100.0, 1000.0].into_iter().filter(|limit| value < *limit).count();
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests;
