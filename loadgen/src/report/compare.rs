//! Two runs side by side, with ratios: as a table for people and as a page.

use super::axis::{Axis, Quantity, text};
use super::chart::{Chart, Line, Points, summed_up};
use super::html::{highest, lowest, percentiles};
use super::page::{badge, escape, page, table};
use super::{Latency, Report};
use std::fmt::{self, Display, Formatter, Write};

/// Ratios nearer to 1 are noise, and are not called better or worse.
const NOTABLE: f64 = 0.05;

/// Above what differs.
const DIFFERENT: &str = "The loads were not the same, so the ratios do not compare servers alone";

/// Two runs; ratios are `b` over `a`.
pub struct Comparison<'a> {
    /// The run to compare with.
    pub a: &'a Report,
    /// The run that is compared.
    pub b: &'a Report,
}

/// One figure of both runs.
#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    quantity: Quantity,
    a: Option<f64>,
    b: Option<f64>,
    /// More of it is better.
    more_is_better: bool,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.a.zip(self.b).filter(|(a, _)| *a > 0.0).map(|(a, b)| b / a)
    }

    fn ratio_text(&self) -> String {
        match (self.ratio(), self.a, self.b) {
            (Some(ratio), ..) => format!("×{ratio:.2}"),
            (None, Some(a), Some(b)) if a == b => "=".into(),
            _ => "–".into(),
        }
    }

    /// `good`, `bad`, or nothing where the difference is small or only one run has the figure.
    fn class(&self) -> &'static str {
        let difference = self.a.zip(self.b).map_or(0.0, |(a, b)| b - a);
        let change = self.ratio().map_or(difference, |ratio| ratio - 1.0);
        match change {
            _ if change.abs() <= NOTABLE => "",
            _ if (change > 0.0) == self.more_is_better => "good",
            _ => "bad",
        }
    }

    fn value(&self, value: Option<f64>) -> String {
        value.map_or("–".into(), |value| text(self.quantity, value))
    }
}

impl Comparison<'_> {
    /// What was asked of the runs differently, in words: ratios then compare loads as well as servers. Target and seed may differ.
    fn differences(&self) -> Vec<String> {
        let settings = |r: &Report| {
            let a = &r.asked;
            let from = a.profile.as_ref().map_or("independent events".into(), |profile| format!("profile {profile}"));
            let who = match (&a.profile, a.sessions) {
                (None, sessions) => format!("{sessions} sessions"),
                (Some(_), 0) => "as many viewers as fit the rate".into(),
                (Some(_), viewers) => format!("{viewers} viewers"),
            };
            [
                ("what", from),
                ("rate", format!("{} events/s", a.rate)),
                ("shape", a.shape.clone()),
                ("duration", format!("{} s", a.duration_s)),
                ("measured from", format!("{} s on", a.measure_from_s)),
                ("batches", format!("{} to {} events", a.batch[0], a.batch[1])),
                ("who", who),
                ("Zipf exponent", a.skew.to_string()),
                ("connections", a.connections.to_string()),
                ("interrupted", r.interrupted_s.map_or("no".into(), |at| format!("after {at:.1} s"))),
            ]
        };
        let pairs = settings(self.a).into_iter().zip(settings(self.b)).filter(|(a, b)| a != b);
        pairs.map(|((name, a), (_, b))| format!("{name}: A {a}, B {b}")).collect()
    }

    fn rows(&self) -> Vec<Row> {
        let (a, b) = (self.a.values(), self.b.values());
        let mut rows = vec![];
        let mut row = |name: &str, metric: &str, quantity, more_is_better| {
            let (a, b) = (a.get(metric).map(|a| a.value), b.get(metric).map(|b| b.value));
            if a.or(b).is_some() {
                rows.push(Row { name: name.into(), quantity, a, b, more_is_better });
            }
        };
        row("events accepted", "throughput", Quantity::PerSecond, true);
        for latency in ["intended", "service", "publish", "rank", "reward", "lag"] {
            for (percentile, name) in [("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"), ("max", "max")] {
                let label = if latency == "lag" { "own lag" } else { latency };
                row(&format!("{label} {name}"), &format!("{latency}_{percentile}"), Quantity::Milliseconds, false);
            }
        }
        row("server processors", "server_cpu", Quantity::Cores, false);
        row("server memory", "server_rss", Quantity::Bytes, false);
        for count in ["lost", "rejected", "duplicates", "late", "errors", "unpublished", "mismatches"] {
            row(count, count, Quantity::Cores, false);
        }
        rows
    }

    /// The page.
    pub fn to_html(&self) -> String {
        let head = |name: &str, report: &Report| {
            let asked = escape(&report.asked.to_string());
            format!("<p><b>{name}</b> {} <span class=\"soft\">{asked}</span></p>", badge(&report.verdict))
        };
        let mut body = String::from("<header><div class=\"top\"><h1>Two runs under load</h1></div>");
        let _ = write!(body, "{}{}", head("A", self.a), head("B", self.b));
        let differences = self.differences();
        if !differences.is_empty() {
            let _ = write!(body, "<p class=\"why unsure\">{DIFFERENT}: {}</p>", escape(&differences.join("; ")));
        }
        body.push_str("</header>");
        let charts: String = self.charts().iter().map(Chart::html).collect();
        let _ = write!(body, "<h2>Side by side</h2><div class=\"charts\">{charts}</div>");
        let cells = |row: &Row| {
            let ratio = format!("<b class=\"{}\">{}</b>", row.class(), row.ratio_text());
            vec![row.name.clone(), row.value(row.a), row.value(row.b), ratio]
        };
        let rows: Vec<_> = self.rows().iter().map(cells).collect();
        let _ = write!(body, "<h2>Figures</h2>{}", table(&["", "A", "B", "B / A"], &rows));
        page("Two runs under load", &body)
    }

    fn charts(&self) -> Vec<Chart> {
        let named = |run: &str, colour: u8, report: &'_ Report| -> Vec<(String, u8, bool, Latency)> {
            let shown = report.latencies().filter(|(name, _)| ["intended", "publish"].contains(name));
            shown.map(|(name, l)| (format!("{run} {name}"), colour, name == "publish", l.clone())).collect()
        };
        let curves: Vec<_> = [named("A", 0, self.a), named("B", 1, self.b)].into_iter().flatten().collect();
        let seconds = self.a.seconds.len().max(self.b.seconds.len()) as f64;
        let p99 = |r: &Report| -> Points {
            r.seconds.iter().map(|s| (s.second as f64 + 0.5, s.intended.map(|brief| brief.p99_ms))).collect()
        };
        let cores = |r: &Report| r.over_time(|s| s.cpu_cores);
        let both = |of: &dyn Fn(&Report) -> Points| {
            let line = |name: &str, colour, points| {
                let points = summed_up(points, f64::max);
                Line { name: name.into(), colour, dashed: false, points }
            };
            vec![line("A", 0, of(self.a)), line("B", 1, of(self.b))]
        };
        let (latency, processors) = (both(&p99), both(&cores));
        let chart = |title: &str, y, lines| {
            let (title, note, x) = (title.into(), String::new(), Axis::time(seconds));
            Chart { title, note, x, y, lines, filled: false, wide: false }
        };
        vec![
            percentiles(curves.iter().map(|(name, colour, dashed, l)| (name.clone(), *colour, *dashed, l))),
            chart(
                "Latency over time, intended p99",
                Axis::log(Quantity::Milliseconds, lowest(&latency), highest(&latency)),
                latency,
            ),
            chart("Server: processors in use", Axis::from_zero(Quantity::Cores, highest(&processors)), processors),
        ]
    }
}

impl Display for Comparison<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, report) in [("A", self.a), ("B", self.b)] {
            writeln!(f, "{name}  {}\n   {}", report.asked, report.verdict)?;
        }
        let differences = self.differences();
        if !differences.is_empty() {
            writeln!(f, "\n{DIFFERENT}:\n   {}", differences.join("\n   "))?;
        }
        writeln!(f, "\n{:<20} {:>12} {:>12} {:>9}", "", "A", "B", "B / A")?;
        for row in self.rows() {
            let mark = match row.class() {
                "good" => "  better",
                "bad" => "  worse",
                _ => "",
            };
            let (a, b, ratio) = (row.value(row.a), row.value(row.b), row.ratio_text());
            writeln!(f, "{:<20} {a:>12} {b:>12} {ratio:>9}{mark}", row.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(a: f64, b: f64, more_is_better: bool) -> (String, &'static str) {
        let row = Row { name: "x".into(), quantity: Quantity::Milliseconds, a: Some(a), b: Some(b), more_is_better };
        (row.ratio_text(), row.class())
    }

    #[test]
    fn ratios_are_b_over_a_and_small_ones_are_noise() {
        assert_eq!(row(2.0, 1.0, false), ("×0.50".into(), "good"));
        assert_eq!(row(2.0, 3.0, false), ("×1.50".into(), "bad"));
        assert_eq!(row(2.0, 3.0, true), ("×1.50".into(), "good"));
        assert_eq!(row(2.0, 2.08, false), ("×1.04".into(), ""));
        assert_eq!(row(0.0, 0.0, false), ("=".into(), ""));
        assert_eq!(row(0.0, 7.0, false), ("–".into(), "bad"), "something was lost that was not before");
    }

    #[test]
    fn a_figure_that_only_one_run_has_is_shown_without_a_ratio() {
        let row = Row { name: "x".into(), quantity: Quantity::Cores, a: None, b: Some(1.0), more_is_better: false };
        assert_eq!((row.ratio_text(), row.value(row.a), row.value(row.b)), ("–".into(), "–".into(), "1".into()));
        assert_eq!(row.class(), "");
    }
}
