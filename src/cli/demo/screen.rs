//! The picture: one screen, drawn from values alone. It asks nobody and changes nothing.

use super::chart;
use super::focus::Focus;
use super::pulse::{LATELY_S, Latencies, Pulse};
use super::scores::Chart;
use super::words::{bytes, clock, count, ms, value};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline};
use saccade_topology::Slot;

/// Columns that a slot's name and value take, with the space after them.
const SLOT_WIDTH: u16 = 38;

/// What the picture is drawn from.
pub(super) struct Picture<'a> {
    pub address: &'a str,
    /// What a reader's curl must send beside the address; empty where nothing.
    pub credentials: &'a str,
    pub pulse: &'a Pulse,
    pub focus: &'a Focus,
    pub slots: &'a [Slot],
    /// What decisions are worth, and when tastes change, in words; none where nothing is decided.
    pub chart: Option<(&'a Chart, &'a str)>,
    pub paused: bool,
}

/// Draws it; at least 80 by 24 shows everything.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture<'_>) {
    let is_tall = frame.area().height >= 30;
    let learning = match picture.chart {
        Some(_) if is_tall => 10,
        Some(_) => 7,
        None => 0,
    };
    let rows = [
        Constraint::Length(1),
        Constraint::Length(5),
        Constraint::Length(2),
        Constraint::Length(learning),
        Constraint::Min(4),
        Constraint::Length(4),
        Constraint::Length(1),
    ];
    let [title, speed, counts, learning, vector, onward, keys] = frame.area().layout(&Layout::vertical(rows));
    let [rates, latency] = speed.layout(&Layout::horizontal([Constraint::Min(20), Constraint::Length(46)]));
    frame.render_widget(Paragraph::new(heading(picture)), title);
    draw_rates(frame, rates, picture.pulse);
    frame.render_widget(latencies(picture.pulse), latency);
    frame.render_widget(Paragraph::new(figures(picture.pulse)), counts);
    if let Some((chart, drift)) = picture.chart {
        chart::draw(frame, learning, chart, drift);
    }
    draw_vector(frame, vector, picture);
    frame.render_widget(Paragraph::new(calls(picture)), onward);
    frame.render_widget(Paragraph::new(key_line()), keys);
}

fn heading(picture: &Picture<'_>) -> Line<'static> {
    let address = format!(" http://{}  ", picture.address);
    let mut line = vec![" saccade demo ".bold().reversed(), address.into(), clock(picture.pulse.elapsed).dim()];
    if picture.paused {
        line.push("   picture paused, traffic goes on".yellow());
    }
    Line::from(line)
}

fn draw_rates(frame: &mut Frame<'_>, area: Rect, pulse: &Pulse) {
    let now = pulse.rates.back().copied().unwrap_or(0);
    let block = Block::bordered().title(format!(" events/s {} ", count(now)).bold()).dim();
    let shown = usize::from(area.width.saturating_sub(2));
    let newest = pulse.rates.iter().skip(pulse.rates.len().saturating_sub(shown));
    frame.render_widget(Sparkline::default().data(newest).style(Color::Cyan).block(block), area);
}

fn latencies(pulse: &Pulse) -> Paragraph<'static> {
    let row = |name: String, l: &Latencies| {
        let [p50, p99, p999, max] = [l.p50_us, l.p99_us, l.p999_us, l.max_us].map(ms);
        Line::from(vec![format!("{name:<8}").dim(), format!("{p50:>9}{p99:>9}{p999:>9}{max:>9}").into()])
    };
    let lines = vec![
        Line::from(format!("{:<8}{:>9}{:>9}{:>9}{:>9}", "", "p50", "p99", "p99.9", "max")).dim(),
        row(format!("last {LATELY_S}s"), &pulse.lately),
        row("overall".into(), &pulse.overall),
    ];
    Paragraph::new(lines).block(Block::bordered().title(" arrival → published ".bold()).border_style(Modifier::DIM))
}

fn figures(pulse: &Pulse) -> Vec<Line<'static>> {
    let line = |figures: &[(&'static str, String)]| {
        let spans = figures.iter().flat_map(|(name, value)| [format!(" {name} ").dim(), format!("{value} ").into()]);
        Line::from(spans.collect::<Vec<Span<'static>>>())
    };
    let events = &pulse.events;
    let counted = line(&[
        ("accepted", count(events.accepted)),
        ("duplicates", count(events.duplicates)),
        ("late", count(events.late)),
        ("rejected", count(events.rejected)),
        ("watermark lag", format!("{:.1} s", pulse.watermark_lag_s)),
    ]);
    let held = line(&[
        ("sessions", format!("{} alive, {} ended", count(pulse.sessions as u64), count(pulse.closed))),
        ("viewers", count(pulse.viewers as u64)),
        ("state", bytes(pulse.state_bytes)),
        ("log", bytes(pulse.log_bytes)),
    ]);
    vec![counted, held]
}

fn draw_vector(frame: &mut Frame<'_>, area: Rect, picture: &Picture<'_>) {
    let focus = picture.focus;
    let telling = focus.telling(picture.slots);
    let inner = (area.width.saturating_sub(2), area.height.saturating_sub(2));
    let columns = usize::from((inner.0 / SLOT_WIDTH).max(1));
    let width = usize::from(inner.0) / columns;
    let rows = usize::from(inner.1);
    let shown = &telling[..telling.len().min(rows * columns)];
    let lines: Vec<Line<'static>> = (0..rows)
        .map(|row| {
            let in_row = shown.iter().skip(row).step_by(rows.max(1));
            Line::from(in_row.flat_map(|k| slot(picture, *k, width)).collect::<Vec<_>>())
        })
        .collect();
    let extent = match telling.len() {
        0 => String::new(),
        n => format!(" {} of {} slots, {} silent ", shown.len(), picture.slots.len(), picture.slots.len() - n),
    };
    let block = Block::bordered()
        .title(session_title(picture))
        .title_bottom(Line::from(extent).right_aligned().dim())
        .border_style(Modifier::DIM);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn session_title(picture: &Picture<'_>) -> Line<'static> {
    let (focus, role) = (picture.focus, &picture.focus.role);
    if role.session.is_empty() {
        return Line::from(" waiting for the first session ");
    }
    let mut title = vec![" session ".into(), role.session.clone().bold(), format!(" · {} ", role.who).into()];
    let state = focus.state(picture.slots);
    if !state.is_empty() {
        title.extend(["· ".into(), Span::styled(state, Style::new().fg(state_colour(state)).bold()), " ".into()]);
    }
    if !role.did.is_empty() {
        title.push(format!("· {} ", role.did).dim());
    }
    Line::from(title)
}

fn state_colour(state: &str) -> Color {
    match state {
        "playing" => Color::Green,
        "paused" | "seeking" | "starting" | "preloading" => Color::Yellow,
        "rebuffering" | "failed" => Color::Red,
        _ => Color::Reset,
    }
}

/// `name ···· value` in `width` columns, marked where it has just changed.
fn slot(picture: &Picture<'_>, k: usize, width: usize) -> [Span<'static>; 4] {
    let value = value(picture.focus.vector.get(k).copied().unwrap_or(0.0));
    // A column for the mark, two around the dots, one after the value.
    let free = width.saturating_sub(value.len() + 4);
    let name: String = picture.slots[k].name.chars().take(free).collect();
    let dots = format!(" {} ", "·".repeat(free - name.chars().count()));
    match picture.focus.is_marked(k) {
        true => ["▸".yellow(), name.into(), dots.dim(), format!("{value} ").yellow().bold()],
        false => [" ".into(), name.dim(), dots.dim(), format!("{value} ").into()],
    }
}

fn calls(picture: &Picture<'_>) -> Vec<Line<'static>> {
    let (address, credentials) = (picture.address, picture.credentials);
    let session = match picture.focus.role.session.as_str() {
        "" => "ID",
        session => session,
    };
    let call = |text: String| Line::from(vec!["  curl ".dim(), text.cyan()]);
    vec![
        Line::from(" Try, in another terminal:").dim(),
        call(format!("-s {credentials}{address}/v1/context/session/{session}")),
        call(format!("-N {credentials}'{address}/v1/context/stream?session={session}'")),
        call(format!("-s {credentials}{address}/v1/schema    curl -s {credentials}{address}/metrics")),
    ]
}

fn key_line() -> Line<'static> {
    let key = |key: &'static str, what: &'static str| [format!(" {key} ").reversed(), format!(" {what}   ").dim()];
    Line::from([key("n", "next session"), key("p", "pause the picture"), key("q", "quit and sum up")].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::scores::Average;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn drawn(width: u16, height: u16, picture: &Picture<'_>) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test terminal");
        terminal.draw(|frame| draw(frame, picture)).expect("a test terminal takes everything");
        terminal.backend().to_string()
    }

    #[test]
    fn every_part_is_on_a_screen_of_80_by_24_and_no_size_panics() {
        let mut pulse = Pulse::default();
        pulse.rates.extend([500, 503]);
        pulse.events.accepted = 12_345;
        let mut focus = Focus::default();
        focus.role.session = "player-a1-1-1".into();
        let (pulse, focus) = (&pulse, &focus);
        let point = Average { decisions: 500, reward: 0.4321, uniform: 0.2, best: 0.5, captured: 0.77 };
        let points = vec![point; 30];
        let chart = Chart { points, drift: Some(12), last: "guest 7 gets Moon Bus".into(), ..Chart::default() };
        let picture = Picture {
            address: "127.0.0.1:8080",
            credentials: "",
            pulse,
            focus,
            slots: &[],
            chart: Some((&chart, "tastes change in 3 s")),
            paused: true,
        };
        let screen = drawn(80, 24, &picture);
        for part in [
            "events/s 503",
            "p99.9",
            "12,345",
            "player-a1-1-1",
            "/metrics",
            "next session",
            "paused",
            "0.432",
            "77 %",
            "Moon Bus",
            "in 3 s",
        ] {
            assert!(screen.contains(part), "{part} is not on\n{screen}");
        }
        for (width, height) in [(1, 1), (20, 5), (300, 100)] {
            drawn(width, height, &picture);
        }
    }
}
