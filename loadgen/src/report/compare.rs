//! Two runs side by side, with ratios: as a table for people and as a page.

use super::axis::{Axis, Quantity, text};
use super::chart::{Chart, Joined, Line, Points, summed_up};
use super::html::{highest, lowest, percentiles};
use super::page::{badge, escape, page, table};
use super::{Latency, ROUGH, ROUGH_NOTE, Report};
use crate::slo::Value;
use saccade::counted::counted;
use std::fmt::{self, Display, Formatter, Write};

/// Ratios nearer to 1 are noise, and are not called better or worse.
const NOTABLE: f64 = 0.05;

/// Above what differs.
const DIFFERENT: &str = "The loads were not the same, so the ratios do not compare servers alone, and only what was lost or wrong is called better or worse";

/// What a report of an older version does not say: nothing is known to differ.
const UNKNOWN: &str = "?";

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
    a: Option<Value>,
    b: Option<Value>,
    better: Better,
}

/// Which of two different figures is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Better {
    More,
    Less,
    /// Neither: it is of the traffic, or of something that differs for other reasons.
    Neither,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.numbers().filter(|(a, _)| *a > 0.0).map(|(a, b)| b / a)
    }

    fn ratio_text(&self) -> String {
        match (self.ratio(), self.numbers()) {
            (Some(ratio), _) => format!("×{ratio:.2}"),
            (None, Some((a, b))) if a == b => "=".into(),
            _ => "–".into(),
        }
    }

    /// `good`, `bad`, or nothing where the difference is small, rests on few samples, or only one run has the figure.
    fn class(&self) -> &'static str {
        let difference = self.numbers().map_or(0.0, |(a, b)| b - a);
        let change = self.ratio().map_or(difference, |ratio| ratio - 1.0);
        match change {
            _ if change.abs() <= NOTABLE || self.is_rough() || self.better == Better::Neither => "",
            _ if (change > 0.0) == (self.better == Better::More) => "good",
            _ => "bad",
        }
    }

    fn is_rough(&self) -> bool {
        [self.a, self.b].into_iter().flatten().any(|value| value.is_rough)
    }

    fn numbers(&self) -> Option<(f64, f64)> {
        self.a.zip(self.b).map(|(a, b)| (a.value, b.value))
    }

    fn value(&self, value: Option<Value>) -> String {
        let mark = |is_rough| if is_rough { ROUGH } else { "" };
        value.map_or("–".into(), |value| format!("{}{}", mark(value.is_rough), text(self.quantity, value.value)))
    }
}

impl Comparison<'_> {
    /// What was asked of the runs differently, in words: ratios then compare loads as well as servers. Target and seed may differ.
    fn differences(&self) -> Vec<String> {
        let settings = |r: &Report| {
            let a = &r.asked;
            let said = |value: Option<String>| value.unwrap_or(UNKNOWN.into());
            let from = a.profile.as_ref().map_or("independent events".into(), |profile| format!("profile {profile}"));
            let who = match (&a.profile, a.sessions) {
                (None, sessions) => counted(sessions, "session"),
                (Some(_), 0) => "as many viewers as fit the rate".into(),
                (Some(_), viewers) => counted(viewers, "viewer"),
            };
            [
                ("what", from),
                ("rate", format!("{} events/s", a.rate)),
                ("shape", a.shape.clone()),
                ("arrivals", said(a.arrivals.map(|arrivals| arrivals.to_string()))),
                ("duration", format!("{} s", a.duration_s)),
                ("measured from", format!("{} s on", a.measure_from_s)),
                ("events a batch", a.batches()),
                ("who", who),
                ("Zipf exponent", a.skew.to_string()),
                ("connections", a.connections.to_string()),
                ("content of the profile", said(a.profile_hash.clone())),
                ("longest wait for an answer", said(a.timeout_s.map(|s| format!("{s} s")))),
                ("viewers followed", said(a.probes.map(|n| n.to_string()))),
                ("all contexts followed", said(a.observe.map(|is| if is { "yes" } else { "no" }.to_owned()))),
                ("interrupted", r.interrupted_s.map_or("no".into(), |at| format!("after {at:.1} s"))),
            ]
        };
        let pairs = settings(self.a).into_iter().zip(settings(self.b));
        let differ = |a: &str, b: &str| a != b && ![a, b].contains(&UNKNOWN);
        let pairs = pairs.filter(|((_, a), (_, b))| differ(a, b));
        pairs.map(|((name, a), (_, b))| format!("{name}: A {a}, B {b}")).collect()
    }

    fn rows(&self) -> Vec<Row> {
        let (a, b) = (self.a.values(), self.b.values());
        let mut rows = vec![];
        let mut row = |name: &str, metric: &str, quantity, better| {
            let (a, b) = (a.get(metric).copied(), b.get(metric).copied());
            if a.or(b).is_some() {
                rows.push(Row { name: name.into(), quantity, a, b, better });
            }
        };
        let is_same_load = self.differences().is_empty();
        let under_one_load = |better| if is_same_load { better } else { Better::Neither };
        row("events accepted", "throughput", Quantity::PerSecond, under_one_load(Better::More));
        for latency in ["intended", "service", "publish", "rank", "reward", "cmcd", "refused", "lag"] {
            for (percentile, name) in [("p50", "p50"), ("p99", "p99"), ("p999", "p99.9"), ("max", "max")] {
                let label = if latency == "lag" { "own lag" } else { latency };
                // The longest is one sample; how late a generator is, is not the server's.
                let is_of_others = ["refused", "lag"].contains(&latency) || percentile == "max";
                let better = if is_of_others { Better::Neither } else { under_one_load(Better::Less) };
                row(&format!("{label} {name}"), &format!("{latency}_{percentile}"), Quantity::Milliseconds, better);
            }
        }
        row("server processors", "server_cpu", Quantity::Cores, under_one_load(Better::Less));
        // It grows with all that was sent since the server began, of which a report knows only its own run.
        row("server memory", "server_rss", Quantity::Bytes, Better::Neither);
        for count in ["lost", "rejected", "unpublished", "mismatches"] {
            row(count, count, Quantity::Cores, Better::Less);
        }
        row("errors", "errors", Quantity::Cores, under_one_load(Better::Less));
        for count in ["duplicates", "late"] {
            row(count, count, Quantity::Cores, Better::Neither);
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
        if self.rows().iter().any(Row::is_rough) {
            let _ = write!(body, "<p class=\"note\"><b>{ROUGH}</b> {ROUGH_NOTE}, so neither is called better.</p>");
        }
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
                let points = summed_up(points, Joined::Highest);
                Line { name: name.into(), colour, dashed: false, points }
            };
            vec![line("A", 0, of(self.a)), line("B", 1, of(self.b))]
        };
        let (latency, processors) = (both(&p99), both(&cores));
        let chart = |title: &str, y, lines| {
            let (title, x) = (title.into(), Axis::time(seconds));
            let note = Joined::Highest.note(seconds as usize);
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
        match self.rows().iter().any(Row::is_rough) {
            true => writeln!(f, "\n{ROUGH} {ROUGH_NOTE}, so neither is called better"),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(a: impl Into<Value>, b: f64, better: Better) -> Row {
        Row { name: "x".into(), quantity: Quantity::Milliseconds, a: Some(a.into()), b: Some(b.into()), better }
    }

    fn row(a: f64, b: f64, better: Better) -> (String, &'static str) {
        let row = of(a, b, better);
        (row.ratio_text(), row.class())
    }

    #[test]
    fn what_rests_on_few_samples_or_is_of_the_traffic_is_neither_better_nor_worse() {
        let rough = of(Value { is_rough: true, ..2.0.into() }, 1.0, Better::Less);
        assert_eq!((rough.ratio_text().as_str(), rough.class()), ("×0.50", ""));
        assert_eq!((rough.value(rough.a), rough.value(rough.b)), ("~2 ms".into(), "1 ms".into()));
        assert_eq!(row(2.0, 1.0, Better::Neither), ("×0.50".into(), ""));
    }

    #[test]
    fn ratios_are_b_over_a_and_small_ones_are_noise() {
        assert_eq!(row(2.0, 1.0, Better::Less), ("×0.50".into(), "good"));
        assert_eq!(row(2.0, 3.0, Better::Less), ("×1.50".into(), "bad"));
        assert_eq!(row(2.0, 3.0, Better::More), ("×1.50".into(), "good"));
        assert_eq!(row(2.0, 2.08, Better::Less), ("×1.04".into(), ""));
        assert_eq!(row(0.0, 0.0, Better::Less), ("=".into(), ""));
        assert_eq!(row(0.0, 7.0, Better::Less), ("–".into(), "bad"), "something was lost that was not before");
    }

    #[test]
    fn a_figure_that_only_one_run_has_is_shown_without_a_ratio() {
        let row =
            Row { name: "x".into(), quantity: Quantity::Cores, a: None, b: Some(1.0.into()), better: Better::Less };
        assert_eq!((row.ratio_text(), row.value(row.a), row.value(row.b)), ("–".into(), "–".into(), "1".into()));
        assert_eq!(row.class(), "");
    }
}
