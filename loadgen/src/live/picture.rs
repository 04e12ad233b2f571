//! The picture: what is sent, how far it is, what the last seconds were like, and all of it in figures.

use super::{History, View};
use crate::tally::{Brief, Tally};
use hdrhistogram::Histogram;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Gauge, Paragraph, Sparkline, Wrap};

/// Lines of the title, which is longer than a narrow terminal is wide.
const TITLE_MAX: u16 = 2;
/// Lines of a course over time.
const COURSE: u16 = 2;
/// Columns before it.
const LABEL: u16 = 28;
/// Where the course of a latency begins, microseconds: milliseconds are still seen beside a stall of seconds.
const FLOOR_US: f64 = 50.0;

/// Lines of the terminal that the picture takes.
pub(super) fn height(view: &View, width: u16) -> u16 {
    let title = if view.title.chars().count() > usize::from(width) { TITLE_MAX } else { 1 };
    let (courses, figures) = if view.is_followed { (3, 5) } else { (2, 4) };
    title + 1 + courses * COURSE + figures
}

/// What is shown of each second.
struct Course<'a> {
    /// What it was in the newest.
    newest: String,
    values: &'a [u64],
    /// A value, for people.
    text: fn(u64) -> String,
    /// How high it is drawn.
    height: fn(u64) -> u64,
    colour: Color,
}

pub(super) fn draw(frame: &mut Frame<'_>, history: &History, tally: &Tally) {
    let (courses, figures) = (courses(history), figures(history, tally));
    let below = 1 + courses.len() as u16 * COURSE + figures.len() as u16;
    let title = Constraint::Length(frame.area().height.saturating_sub(below).clamp(1, TITLE_MAX));
    let courses_at = courses.iter().map(|_| Constraint::Length(COURSE));
    let rows = [title, Constraint::Length(1)].into_iter().chain(courses_at).chain([Constraint::Min(0)]);
    let rows = Layout::vertical(rows).split(frame.area());
    let (Some((title, rows)), Some(last)) = (rows.split_first(), rows.last()) else { return };
    frame.render_widget(Paragraph::new(history.title.as_str().bold()).wrap(Wrap { trim: true }), *title);
    frame.render_widget(how_far(history), rows[0]);
    courses.iter().zip(&rows[1..]).for_each(|(course, area)| course.draw(frame, *area));
    frame.render_widget(Paragraph::new(figures), *last);
}

fn how_far(history: &History) -> Gauge<'static> {
    let seconds = format!("{} of {} s", history.elapsed.as_secs(), history.duration.as_secs_f64());
    let done = history.elapsed.as_secs_f64() / history.duration.as_secs_f64();
    Gauge::default().gauge_style(Style::new().fg(Color::Cyan)).label(seconds).ratio(done.clamp(0.0, 1.0))
}

fn courses(history: &History) -> Vec<Course<'_>> {
    let p99 = |name: &str, brief: Option<Brief>, none: &str| {
        let ms = brief.map_or(none.to_owned(), |brief| format!("{:.3} ms", brief.p99_ms));
        format!("{name} p99 {ms}")
    };
    let rates = Course {
        newest: format!("{} events/s", history.newest.answered),
        values: &history.rates,
        text: |n| n.to_string(),
        height: |n| n,
        colour: Color::Green,
    };
    let text = |us: u64| format!("{:.3} ms (log)", us as f64 / 1e3);
    let intended = Course {
        newest: p99("intended", history.newest.intended, "silent"),
        values: &history.intended_us,
        text,
        height: log,
        colour: Color::Yellow,
    };
    let publish = Course {
        newest: p99("publish", history.publish, "none came"),
        values: &history.publish_us,
        colour: Color::Magenta,
        ..intended
    };
    let publish = history.is_followed.then_some(publish);
    [Some(rates), publish, Some(intended)].into_iter().flatten().collect()
}

/// Every latency has some height: only where none is known there is nothing.
fn log(us: u64) -> u64 {
    if us == 0 { 0 } else { ((us as f64 / FLOOR_US).ln() * 1e3).max(1.0) as u64 }
}

impl Course<'_> {
    fn draw(&self, frame: &mut Frame<'_>, area: Rect) {
        let [text, picture] = area.layout(&Layout::horizontal([Constraint::Length(LABEL), Constraint::Min(10)]));
        let newest = &self.values[self.values.len().saturating_sub(usize::from(picture.width))..];
        let highest = newest.iter().max().filter(|highest| **highest > 0);
        let highest = highest.map_or(String::new(), |highest| format!("  highest {}", (self.text)(*highest)));
        let heights: Vec<u64> = newest.iter().map(|value| (self.height)(*value)).collect();
        frame.render_widget(Paragraph::new(vec![Line::from(self.newest.as_str()), highest.dim().into()]), text);
        frame.render_widget(Sparkline::default().data(&heights).style(self.colour), picture);
    }
}

fn figures(history: &History, tally: &Tally) -> Vec<Line<'static>> {
    let publish = history.is_followed.then(|| latency("publish", &history.published, history.published.max()));
    let waiting = Span::from(history.waiting());
    let waiting = if history.is_stalled() { waiting.red().bold() } else { waiting };
    let sent = [("intended", &tally.intended), ("service", &tally.service)];
    let sent = sent.map(|(name, samples)| latency(name, samples, samples.max()));
    publish.into_iter().chain(sent).chain([counts(tally), waiting.into()]).collect()
}

fn latency(name: &str, histogram: &Histogram<u64>, max: u64) -> Line<'static> {
    let ms = |nanos: u64| if histogram.is_empty() { "–".into() } else { format!("{:.3}", nanos as f64 / 1e6) };
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| ms(histogram.value_at_quantile(q).min(max)));
    let max = ms(max);
    Line::from(format!("{name:<10} p50 {p50:>9}   p99 {p99:>9}   p99.9 {p999:>9}   max {max:>9} ms"))
}

fn counts(tally: &Tally) -> Line<'static> {
    let c = &tally.counts;
    let bad = |name: &str, n: u64| {
        let text = format!("  {name} {n}");
        if n > 0 { Span::from(text).red().bold() } else { Span::from(text) }
    };
    let good = format!("accepted {}  duplicates {}  late {}", c.accepted, c.duplicates, c.late);
    let errors = c.http_errors.values().sum();
    let cause = c.main_cause().map_or(String::new(), |cause| format!(" ({cause})"));
    let [rejected, lost] = [("rejected", c.rejected_total()), ("lost", c.lost)].map(|(name, n)| bad(name, n));
    Line::from(vec![good.into(), rejected, lost, bad("errors", errors), cause.into()])
}
