//! Runs of two sides, with ratios: as a table for people and as a page.

mod row;

use super::axis::{Axis, Quantity};
use super::chart::{Chart, Joined, Line, Points, summed_up};
use super::html::{highest, lowest, percentiles};
use super::page::{badge, escape, page, table};
use super::{Latency, ROUGH, ROUGH_NOTE, Report, Verdict, WITH_CMCD, WITHOUT_CMCD};
use crate::slo::Values;
use crate::tally::{Brief, Second};
use row::{Better, Figure, RUNS_MIN, Row, Word};
use saccade::counted::counted;
use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter, Write};

/// Above what differs.
const DIFFERENT: &str = "The loads were not the same, so the ratios do not compare servers alone, and only what was lost or wrong is called better or worse";

/// What a report of an older version does not say: nothing is known to differ.
const UNKNOWN: &str = "?";

/// Why there are no words.
const UNFIT: &str = "Nothing is called better or worse, as the generator was late or ended early in";

/// Runs of two sides, one at least of each; ratios are `b` over `a`.
pub struct Comparison<'a> {
    /// The runs to compare with.
    pub a: &'a [Report],
    /// The runs that are compared.
    pub b: &'a [Report],
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
        let all = |reports: &[Report]| -> Vec<_> { reports.iter().map(settings).collect() };
        let (a, b) = (all(self.a), all(self.b));
        let names = a[0].iter().map(|(name, _)| *name).enumerate();
        let differ = |(i, name): (usize, &str)| {
            let known = |side: &[[(&str, String); 15]]| -> BTreeSet<String> {
                side.iter().map(|settings| settings[i].1.clone()).filter(|value| value != UNKNOWN).collect()
            };
            let (a, b) = (known(&a), known(&b));
            let said = |side: BTreeSet<String>| side.into_iter().collect::<Vec<_>>().join(" or ");
            (a.union(&b).count() > 1).then(|| format!("{name}: A {}, B {}", said(a), said(b)))
        };
        names.filter_map(differ).collect()
    }

    /// Runs with what they are called.
    fn named(&self) -> impl Iterator<Item = (String, &Report)> {
        called("A", self.a).chain(called("B", self.b))
    }

    /// What forbids every word: runs that say nothing of the server.
    fn unfit(&self) -> Option<String> {
        let is_unfit = |report: &Report| matches!(report.verdict, Verdict::Invalid(_)) || report.lateness().is_some();
        let unfit: Vec<String> = self.named().filter(|(_, report)| is_unfit(report)).map(|(name, _)| name).collect();
        (!unfit.is_empty()).then(|| format!("{UNFIT} {}", unfit.join(", ")))
    }

    fn word(&self, row: &Row) -> Option<Word> {
        row.word().filter(|_| self.unfit().is_none())
    }

    /// What ranges and words are, and what they are not.
    fn notes(&self) -> Vec<String> {
        let rows = self.rows();
        let is_single = self.a.len().max(self.b.len()) == 1;
        let is_enough = self.a.len().min(self.b.len()) >= RUNS_MIN;
        let ranges = match is_single {
            true => "ranges are those of a run's seconds",
            false => "figures are medians, ranges those of the runs",
        };
        let said: Vec<Word> = rows.iter().filter_map(|row| self.word(row)).collect();
        let words = match (is_enough, is_single) {
            (true, _) if said.is_empty() => None,
            (true, _) => Some("better and worse: the ranges of the runs do not meet"),
            (false, true) if said.contains(&Word::Apart) => Some(
                "apart: no second of one run was as in the other. Runs of one server differ, too: what is better takes three a side, see --help",
            ),
            (false, _) => Some("what is better takes three runs a side, see --help"),
        };
        let words = words.map(str::to_owned);
        let has_cmcd = self.named().any(|(_, report)| report.taken() > report.counts.accepted);
        let taken = format!("throughput: {} per second", if has_cmcd { WITH_CMCD } else { WITHOUT_CMCD });
        let rough = rows.iter().any(Row::is_rough).then(|| format!("{ROUGH} {ROUGH_NOTE}"));
        [taken, ranges.to_owned()].into_iter().chain(words).chain(rough).chain(self.unfit()).collect()
    }

    fn rows(&self) -> Vec<Row> {
        let values = |reports: &[Report]| -> Vec<_> { reports.iter().map(Report::values).collect() };
        let (of_a, of_b) = (values(self.a), values(self.b));
        let mut rows = vec![];
        let mut row = |name: &str, metric: &str, quantity, better| {
            let figure = |values: &[Values], reports: &[Report]| {
                let all = values.iter().filter_map(|values| values.get(metric).copied());
                Figure::of(all.collect(), by_second(&reports[0], metric))
            };
            let (a, b) = (figure(&of_a, self.a), figure(&of_b, self.b));
            if a.or(b).is_some() {
                rows.push(Row { name: name.into(), quantity, a, b, better });
            }
        };
        let is_same_load = self.differences().is_empty();
        let under_one_load = |better| if is_same_load { better } else { Better::Neither };
        row("throughput", "throughput", Quantity::PerSecond, under_one_load(Better::More));
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
            row(count, count, Quantity::Cores, Better::None);
        }
        row("errors", "errors", Quantity::Cores, under_one_load(Better::None));
        row("resent", "resent", Quantity::Cores, under_one_load(Better::None));
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
        body.extend(self.named().map(|(name, report)| head(&name, report)));
        let differences = self.differences();
        if !differences.is_empty() {
            let _ = write!(body, "<p class=\"why unsure\">{DIFFERENT}: {}</p>", escape(&differences.join("; ")));
        }
        body.push_str("</header>");
        let charts: String = self.charts().iter().map(Chart::html).collect();
        let _ = write!(body, "<h2>Side by side</h2><div class=\"charts\">{charts}</div>");
        if self.a.len().max(self.b.len()) > 1 {
            body.push_str("<p class=\"note\">Charts are of the first run of each side.</p>");
        }
        let cells = |row: &Row| {
            let (class, word) = match self.word(row) {
                Some(Word::Better) => ("good", " better"),
                Some(Word::Worse) => ("bad", " worse"),
                Some(Word::Apart) => ("", " apart"),
                None => ("", ""),
            };
            let side = |figure| format!("{} <span class=\"soft\">{}</span>", row.value(figure), row.range(figure));
            let ratio = format!("<b class=\"{class}\">{}{word}</b>", row.ratio_text());
            vec![row.name.clone(), side(row.a), side(row.b), ratio]
        };
        let rows: Vec<_> = self.rows().iter().map(cells).collect();
        let _ = write!(body, "<h2>Figures</h2>{}", table(&["", "A", "B", "B / A"], &rows));
        for note in self.notes() {
            let _ = write!(body, "<p class=\"note\">{}.</p>", escape(&note));
        }
        page("Two runs under load", &body)
    }

    fn charts(&self) -> Vec<Chart> {
        let named = |run: &str, colour: u8, report: &'_ Report| -> Vec<(String, u8, bool, Latency)> {
            let shown = report.latencies().filter(|(name, _)| ["intended", "publish"].contains(name));
            shown.map(|(name, l)| (format!("{run} {name}"), colour, name == "publish", l.clone())).collect()
        };
        let (a, b) = (&self.a[0], &self.b[0]);
        let curves: Vec<_> = [named("A", 0, a), named("B", 1, b)].into_iter().flatten().collect();
        let seconds = a.seconds.len().max(b.seconds.len()) as f64;
        let p99 = |r: &Report| -> Points {
            r.seconds.iter().map(|s| (s.second as f64 + 0.5, s.intended.map(|brief| brief.p99_ms))).collect()
        };
        let cores = |r: &Report| r.over_time(|s| s.cpu_cores);
        let both = |of: &dyn Fn(&Report) -> Points| {
            let line = |name: &str, colour, points| {
                let points = summed_up(points, Joined::Highest);
                Line { name: name.into(), colour, dashed: false, points, rough_from: None }
            };
            vec![line("A", 0, of(a)), line("B", 1, of(b))]
        };
        // Where neither counts.
        let shaded_until = a.asked.measure_from_s.min(b.asked.measure_from_s);
        let (latency, processors) = (both(&p99), both(&cores));
        let chart = |title: &str, y, lines| {
            let (title, x) = (title.into(), Axis::time(seconds));
            let note = Joined::Highest.note(seconds as usize);
            Chart { title, note, x, y, lines, filled: false, wide: false, shaded_until }
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
        for (name, report) in self.named() {
            writeln!(f, "{name}  {}\n   {}", report.asked, report.verdict)?;
        }
        let differences = self.differences();
        if !differences.is_empty() {
            writeln!(f, "\n{DIFFERENT}:\n   {}", differences.join("\n   "))?;
        }
        writeln!(f, "\n{:<17}{:>9} {:>14}{:>9} {:>14} {:>6}", "", "A", "", "B", "", "B / A")?;
        for row in self.rows() {
            let word = match self.word(&row) {
                Some(Word::Better) => "  better",
                Some(Word::Worse) => "  worse",
                Some(Word::Apart) => "  apart",
                None => "",
            };
            let [(a, of_a), (b, of_b)] = [row.a, row.b].map(|side| (row.value(side), row.range(side)));
            let ratio = row.ratio_text();
            writeln!(f, "{:<17}{a:>9} {of_a:>14}{b:>9} {of_b:>14} {ratio:>6}{word}", row.name)?;
        }
        writeln!(f)?;
        self.notes().iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

fn called<'a>(side: &'static str, reports: &'a [Report]) -> impl Iterator<Item = (String, &'a Report)> {
    let name = move |i| if reports.len() == 1 { side.into() } else { format!("{side}{}", i + 1) };
    reports.iter().enumerate().map(move |(i, report)| (name(i), report))
}

/// What a figure was in each second of a run that counts, where seconds have it.
fn by_second(report: &Report, metric: &str) -> Vec<f64> {
    let from = report.asked.measure_from_s;
    let seconds = report.seconds.iter().filter(|second| second.second as f64 >= from.floor());
    let brief =
        |of: fn(&Second) -> Option<Brief>, ms: fn(Brief) -> f64| seconds.clone().filter_map(of).map(ms).collect();
    let p50 = |of| brief(of, |brief| brief.p50_ms);
    let p99 = |of| brief(of, |brief| brief.p99_ms);
    match metric {
        // Not the last, which the run may not fill.
        "throughput" => {
            let whole = report.seconds.iter().filter(|second| (second.second + 1) as f64 <= report.sent_s());
            whole.map(|second| second.taken.unwrap_or(second.answered) as f64).collect()
        }
        "intended_p50" => p50(|second| second.intended),
        "intended_p99" => p99(|second| second.intended),
        "service_p50" => p50(|second| second.service),
        "service_p99" => p99(|second| second.service),
        "publish_p50" => p50(|second| second.publish),
        "publish_p99" => p99(|second| second.publish),
        "server_cpu" => report.server_seconds.iter().filter(|s| s.at_s > from).map(|s| s.cpu_cores).collect(),
        _ => vec![],
    }
}

#[cfg(test)]
mod tests;
