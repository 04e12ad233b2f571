//! The picture of the loop: what decisions are worth, between chance and the best possible.

use super::scores::{Average, BUCKET, Chart, RUNNING};
use super::words::{count, ms};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart as Plot, Dataset, GraphType, Paragraph};

const FIGURES_WIDTH: u16 = 34;

/// Draws it into `area`; `drift` says when tastes will change, or that they have.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, chart: &Chart, drift: &str) {
    let window = count(BUCKET * RUNNING as u64);
    let block = Block::bordered()
        .title(format!(" average reward of the last {window} decisions ").bold())
        .title_top(Line::from(format!(" {drift} ")).right_aligned().magenta())
        .title_bottom(Line::from(format!(" {} ", chart.last)).dim())
        .dim();
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let columns = Layout::horizontal([Constraint::Min(20), Constraint::Length(FIGURES_WIDTH)]);
    let [lines, figures] = inner.layout(&columns);
    if chart.points.is_empty() {
        frame.render_widget(Paragraph::new(" waiting for the first decisions".dim()), lines);
    } else {
        draw_lines(frame, lines, chart);
    }
    frame.render_widget(Paragraph::new(legend(chart)), figures);
}

fn draw_lines(frame: &mut Frame<'_>, area: Rect, chart: &Chart) {
    let of = |value: fn(&Average) -> f64| -> Vec<(f64, f64)> {
        chart.points.iter().enumerate().map(|(k, point)| (k as f64, value(point))).collect()
    };
    let (reward, uniform, best) = (of(|p| p.reward), of(|p| p.uniform), of(|p| p.best));
    let top = best.iter().chain(&reward).map(|(_, y)| *y).fold(0.1, f64::max) * 1.05;
    let low = reward.iter().map(|(_, y)| *y).fold(0.0, f64::min);
    let drift: Vec<(f64, f64)> = chart.drift.iter().flat_map(|x| [(*x as f64, low), (*x as f64, top)]).collect();
    let line = |data, colour| {
        let dataset = Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line);
        dataset.style(Style::new().fg(colour)).data(data)
    };
    let sets = vec![
        line(&drift, Color::Magenta),
        line(&uniform, Color::DarkGray),
        line(&best, Color::Cyan),
        line(&reward, Color::Green),
    ];
    let width = (chart.points.len() - 1).max(1) as f64;
    let labels = [format!("{low:.1}"), format!("{top:.1}")];
    let plot = Plot::new(sets)
        .x_axis(Axis::default().bounds([0.0, width]))
        .y_axis(Axis::default().bounds([low, top]).labels(labels))
        .legend_position(None);
    frame.render_widget(plot, area);
}

fn legend(chart: &Chart) -> Vec<Line<'static>> {
    let now = chart.points.last();
    let figure = |name: &'static str, colour: Color, value: Option<f64>| {
        let value = value.map_or("-".into(), |value| format!("{value:.3}"));
        Line::from(vec![Span::styled(format!(" ━ {name:<16}"), colour), format!("{value:>7}").bold()])
    };
    let plain = |name: &'static str, value: String| {
        Line::from(vec![format!("   {name:<16}").dim(), format!("{value:>7}").into()])
    };
    let captured = now.map_or("-".into(), |now| format!("{:.0} %", 100.0 * now.captured));
    let learnt = if chart.learnt_p50_us == 0 { "-".into() } else { ms(chart.learnt_p50_us) };
    vec![
        figure("best possible", Color::Cyan, now.map(|now| now.best)),
        figure("decided", Color::Green, now.map(|now| now.reward)),
        figure("at random", Color::DarkGray, now.map(|now| now.uniform)),
        plain("gain captured", captured),
        plain("decisions/s", count(chart.per_second)),
        plain("rank p99", ms(chart.rank_p99_us)),
        plain("reward → model", learnt),
        plain("decisions", count(chart.decisions)),
    ]
}
