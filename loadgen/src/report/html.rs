//! The report as one page that can be mailed around: verdict, charts, tables.

use super::axis::{Axis, Quantity, text};
use super::chart::{Chart, Joined, Line, summed_up};
use super::latency::Percentile;
use super::page::{badge, count, escape, page, table};
use super::{Latency, ROUGH, ROUGH_NOTE, ROUGH_OBJECTIVES, Report, Verdict};
use crate::tally::{Brief, Second, in_words};
use saccade::counted::{counted, either};
use std::fmt::Write;

/// Latencies that are shown large.
const TILES: [&str; 4] = ["intended", "service", "publish", "rank"];

/// Colour of each latency, everywhere on the page.
fn colour(name: &str) -> u8 {
    match name {
        "intended" => 0,
        "service" => 1,
        "publish" => 2,
        "rank" => 3,
        "own lag" => 4,
        "reward" => 5,
        "cmcd" => 6,
        _ => 7,
    }
}

impl Report {
    /// The page.
    pub fn to_html(&self) -> String {
        let mut body = self.head();
        body.push_str(&self.tiles());
        let _ = write!(body, "<h2>Latency and throughput</h2><div class=\"charts\">{}</div>", self.charts());
        let _ = write!(body, "<h2>Latency</h2>{}", self.latency_table());
        let _ = write!(body, "<div class=\"columns\">{}{}</div>", self.objectives_section(), self.counts_section());
        let _ = write!(body, "<div class=\"columns\">{}{}</div>", self.checked_section(), self.server_section());
        let _ = write!(body, "<div class=\"columns\">{}{}</div>", self.asked_section(), self.calls_section());
        body.push_str(FOOTER);
        page(&format!("Load on {}: {}", self.asked.target, self.verdict.word()), &body)
    }

    fn head(&self) -> String {
        let why = match &self.verdict {
            Verdict::Ok if self.unchecked().is_empty() => String::new(),
            Verdict::Ok => {
                format!("<p class=\"why unsure\">Not all was checked: {}</p>", escape(&self.unchecked().join("; ")))
            }
            Verdict::Failed(why) => format!("<p class=\"why\">{}</p>", escape(why)),
            Verdict::Invalid(why) => format!("<p class=\"why unsure\">{}</p>", escape(why)),
        };
        let beyond = self.asked.shape_beyond().map(|beyond| format!("<p class=\"why unsure\">{}</p>", escape(&beyond)));
        format!(
            "<header><div class=\"top\"><h1>Load on {}</h1>{}</div>{why}<p class=\"soft\">{} · {}</p>{}</header>\n",
            escape(&self.asked.target),
            badge(&self.verdict),
            began(self.began_ms),
            escape(&self.asked.to_string()),
            beyond.unwrap_or_default(),
        )
    }

    fn tiles(&self) -> String {
        let mut tiles = String::from("<div class=\"tiles\">");
        let mut tile = |value: String, what: &str, class: &str| {
            let _ = write!(tiles, "<div class=\"tile\"><b class=\"{class}\">{value}</b><span>{what}</span></div>");
        };
        if let Some(rate) = self.throughput() {
            tile(text(Quantity::PerSecond, rate), self.taken_text(), "");
        }
        for (name, latency) in self.latencies().filter(|(name, latency)| TILES.contains(name) && latency.count > 0) {
            let [_, _, p99, ..] = latency.percentiles();
            tile(marked(p99), &format!("{name} p99"), "");
        }
        if self.intended.count > 0 {
            tile(ms(self.intended.max_ms), "intended max", "");
        }
        tile(count(self.counts.lost), "events lost", if self.counts.lost > 0 { "bad" } else { "good" });
        tiles.push_str("</div>\n");
        tiles
    }

    fn charts(&self) -> String {
        let mut charts = vec![percentiles(self.latencies().map(|(name, l)| (name.to_owned(), colour(name), false, l)))];
        charts.extend([latency_over_time(self.schedule(), self.asked.measure_from_s), self.throughput_chart()]);
        if !self.server_seconds.is_empty() {
            charts.extend([self.processor(), self.memory()]);
        }
        charts.iter().map(Chart::html).collect()
    }

    pub(super) fn throughput_chart(&self) -> Chart {
        let line = |name: &str, colour, dashed, of: fn(&Second) -> u64| {
            let rate = |s: &Second| {
                // The last second may be a part of one; what is answered in it may come after the end of that part.
                let until = if name == "acknowledged" { self.took_s() } else { self.sent_s() };
                let (begin, is_of_schedule) = (s.second as f64, (s.second as f64) < self.sent_s());
                of(s) as f64 / if is_of_schedule { (until - begin).min(1.0) } else { 1.0 }
            };
            let points = self.schedule().iter().map(|second| (second.second as f64 + 0.5, Some(rate(second))));
            let points = summed_up(points.collect(), Joined::Mean);
            Line { name: name.into(), colour, dashed, points, rough_from: None }
        };
        let mut lines = vec![line("acknowledged", 2, false, |s| s.answered), line("due", 4, true, Second::due)];
        if self.seconds.iter().any(|s| s.lost > 0) {
            lines.push(line("lost", 1, false, |s| s.lost));
        }
        Chart {
            title: "Throughput over time".into(),
            note: format!(
                "Events per second: due by the schedule, and acknowledged in that second. A stall is a hole, then a peak.{}",
                Joined::Mean.note(self.schedule().len())
            ),
            x: Axis::time(self.schedule().len() as f64),
            y: Axis::from_zero(Quantity::PerSecond, highest(&lines)),
            lines,
            filled: true,
            wide: false,
            shaded_until: self.asked.measure_from_s,
        }
    }

    /// Seconds of the schedule; after it, as long as answers were still missing.
    pub(super) fn schedule(&self) -> &[Second] {
        let scheduled = self.sent_s().ceil() as usize;
        match self.seconds.len() > scheduled + 1 {
            true => &self.seconds,
            // Only what was on its way at the end.
            false => &self.seconds[..scheduled.min(self.seconds.len())],
        }
    }

    fn latency_table(&self) -> String {
        let row = |(name, l): (&str, &Latency)| {
            let mut row = vec![format!("<span class=\"key c{}\">{name}</span>", colour(name)), count(l.count)];
            if l.count == 0 {
                row.extend(std::iter::repeat_n("–".into(), 7));
                return row;
            }
            row.push(ms(l.mean_ms));
            row.extend(l.percentiles().map(cell));
            row.push(ms(l.max_ms));
            row
        };
        let rows: Vec<_> = self.latencies().map(row).collect();
        let rough = match self.has_rough() {
            true => format!("<p class=\"note\"><b>{ROUGH}</b> {ROUGH_NOTE}.</p>"),
            false => String::new(),
        };
        let what = |(name, _): (&str, &Latency)| match name {
            "intended" => "from the time a request was due to its acknowledgment, what a player waits",
            "service" => "from its sending to its acknowledgment",
            "refused" => "from the time a request was due to an answer that does not acknowledge it",
            "publish" => {
                "from the time an event was due to the context that contains it, received by a follower of its session"
            }
            "own lag" => "how late the generator itself was",
            _ => "from the time it was due to its answer",
        };
        let notes = self.latencies().map(|latency| format!("<b>{}</b>: {}.", latency.0, what(latency)));
        let note = format!("<p class=\"note\">{}</p>", notes.collect::<Vec<_>>().join(" "));
        table(&["", "count", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"], &rows) + &rough + &note
    }

    fn objectives_section(&self) -> String {
        if self.objectives.is_empty() {
            return "<section><h2>Objectives</h2><p class=\"soft\">None were set; give some with --slo.</p></section>"
                .into();
        }
        let row = |o: &crate::slo::Judged| {
            let (class, word) = if o.held { ("good", "held") } else { ("bad", "missed") };
            vec![
                escape(&o.objective),
                if o.measured.is_some() { o.measured_text() } else { "not measured".into() },
                format!("<b class=\"{class}\">{word}</b>"),
            ]
        };
        let rows: Vec<_> = self.objectives.iter().map(row).collect();
        let note = match self.objectives.iter().any(|judged| judged.is_rough) {
            true => format!("<p class=\"note\">{ROUGH_OBJECTIVES}.</p>"),
            false => String::new(),
        };
        let why = |o: &crate::slo::Judged| {
            let why = o.why_not.as_ref().map(|why| format!("{} was not measured: {why}", o.metric));
            why.map(|why| format!("<p class=\"note\">{}</p>", escape(&why)))
        };
        let note: String = self.objectives.iter().filter_map(why).chain([note]).collect();
        format!("<section><h2>Objectives</h2>{}{note}</section>", table(&["", "measured", ""], &rows))
    }

    fn counts_section(&self) -> String {
        let c = &self.counts;
        let rows = [
            ("accepted", c.accepted),
            ("duplicates", c.duplicates),
            ("late", c.late),
            ("rejected", c.rejected_total()),
            ("lost", c.lost),
        ];
        let mut cells: Vec<_> = rows.iter().map(|(name, n)| vec![(*name).to_owned(), count(*n)]).collect();
        let sum = rows.iter().map(|(_, n)| n).sum();
        cells.push(vec!["<b>= scheduled</b>".into(), format!("<b>{}</b>", count(sum))]);
        let mut out = format!("<section><h2>Where every event ended</h2>{}", table(&["", "events"], &cells));
        for (cause, n) in &c.http_errors {
            let _ = write!(
                out,
                "<p class=\"note\">{} {} not acknowledged: {}</p>",
                count(*n),
                either(*n, "request", "requests"),
                escape(&in_words(cause))
            );
        }
        if let Some(resent) = self.resent_text() {
            let _ = write!(out, "<p class=\"note\">{resent}</p>");
        }
        for (code, n) in &c.rejected {
            let events = either(*n, "event", "events");
            let _ = write!(out, "<p class=\"note\">{} {events} rejected: {}</p>", count(*n), escape(code));
        }
        out + "</section>"
    }

    fn asked_section(&self) -> String {
        let a = &self.asked;
        let said = |value: Option<String>| value.unwrap_or("not kept by this report".into());
        let rows = [
            ("profile", a.profile.clone().map_or("none: independent events".into(), |name| escape(&name))),
            ("rate", format!("{} events/s", count(a.rate))),
            ("shape", escape(&a.shape)),
            ("arrivals", said(a.arrivals.map(|arrivals| arrivals.to_string()))),
            (
                "duration",
                format!(
                    "{} s{}",
                    a.duration_s,
                    self.interrupted_s.map_or(String::new(), |at| format!(", interrupted after {at:.1} s"))
                ),
            ),
            ("latencies count from", format!("{} s on", a.measure_from_s)),
            ("events a batch", a.batches()),
            match (&a.profile, a.sessions) {
                (None, sessions) => ("sessions", format!("{}, Zipf exponent {}", count(sessions), a.skew)),
                (Some(_), 0) => ("viewers", "as many as fit the rate".into()),
                (Some(_), viewers) => ("viewers", count(viewers)),
            },
            ("connections", a.connections.to_string()),
            ("longest wait for an answer", said(a.timeout_s.map(|s| format!("{s} s")))),
            ("viewers followed", said(a.probes.map(|n| count(n as u64)))),
            ("all contexts followed", said(a.observe.map(|is| if is { "yes" } else { "no" }.to_owned()))),
            ("requests", count(self.counts.requests)),
            ("seed", a.seed.to_string()),
        ];
        let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
        format!("<section><h2>What was sent</h2>{}</section>", table(&[], &rows))
    }

    fn calls_section(&self) -> String {
        if self.beside.calls.is_empty() {
            return String::new();
        }
        let call = |(name, c): (&String, &crate::beside::Counted)| {
            vec![format!("{name} calls answered"), format!("{} of {}", count(c.answered), count(c.sent))]
        };
        let mut rows: Vec<_> = self.beside.calls.iter().map(call).collect();
        rows.extend(self.beside.learnt().into_iter().map(|(name, value)| vec![name.to_owned(), value]));
        format!("<section><h2>Decisions and other calls</h2>{}</section>", table(&[], &rows))
    }

    fn checked_section(&self) -> String {
        let Some(checked) = &self.checked else {
            return "<section><h2>Checks</h2><p class=\"soft\">No sessions were followed; see --probes.</p></section>"
                .into();
        };
        let none = |n: u64| format!("<b class=\"{}\">{}</b>", if n == 0 { "good" } else { "bad" }, count(n));
        let vectors = &checked.vectors;
        let unpublished = checked.uncounted.as_ref().map_or(none(checked.unpublished), |_| "not measured".into());
        let mut rows = vec![
            ("sessions followed", count(checked.sessions)),
            ("contexts received", count(checked.contexts)),
            ("accepted events in no context", unpublished),
            ("versions that went back", none(checked.backwards)),
            ("streams that broke or were refused", none(checked.broken)),
        ];
        if vectors.compared() > 0 {
            rows.push(("vectors same as the fold, bit for bit", count(vectors.same)));
            rows.push(("vectors that differ", none(vectors.different)));
            rows.push(("viewers and events folded", format!("{} / {}", count(vectors.viewers), count(vectors.events))));
        }
        if vectors.ended > 0 {
            rows.push(("sessions not compared: ended on the server", count(vectors.ended)));
        }
        let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
        let mut out = format!("<section><h2>Checks</h2>{}", table(&[], &rows));
        let not = vectors.not_all();
        let left_out = vectors.left_out.iter().map(|(why, n)| format!("{} not compared: {why}", counted(*n, "viewer")));
        let broken = checked.first_broken.iter().map(|first| format!("The first stream that broke: {first}"));
        let publish = self.publish_notes().into_iter().map(|note| format!("{note}."));
        for note in publish.chain(not).chain(broken).chain(left_out).chain(vectors.first_difference.clone()) {
            let _ = write!(out, "<p class=\"note\">{}</p>", escape(&note));
        }
        out + "</section>"
    }

    fn server_section(&self) -> String {
        let Some(server) = &self.server else { return String::new() };
        let (mut rows, from) = (vec![], self.measured_from());
        let mut row = |name: &str, value: Option<String>| rows.extend(value.map(|value| vec![name.to_owned(), value]));
        row("started anew during the run", server.restarted.then(|| "yes: its counts are left out".into()));
        row("events folded", server.accepted.map(count));
        row("of these from others than this run", self.of_others().map(count));
        row("contexts of sessions refreshed", server.contexts.map(count));
        row(&format!("events published{from}"), server.published.map(count));
        for (quantile, bound) in &server.freshness_ms_at_most {
            row(&format!("arrival → published, {quantile}{from}"), Some(format!("≤ {}", ms(*bound))));
        }
        row(&format!("processor time{from}"), server.cpu_seconds.map(|s| format!("{s:.2} s")));
        row("processor time", self.untimed().map(|why| format!("not measured: {why}")));
        row("per million events", self.cpu_per_million().map(|s| format!("{s:.2} s")));
        row("resident memory", server.rss_bytes.map(|bytes| text(Quantity::Bytes, bytes as f64)));
        format!("<section><h2>What the server says</h2>{}</section>", table(&[], &rows))
    }
}

const FOOTER: &str = "<footer>Made by saccade-loadgen. Latencies count from the time at which a request was due, whatever the server did before, so that a stall is seen by all who would have waited. Values stand under the pointer.</footer>\n";

/// What to look for in latencies by percentile.
const NINES: &str = "Each nine takes the same room. Where intended leaves service, requests waited for their turn. A line ends with its longest sample.";
/// What it means where they are dotted.
const ROUGH_CURVE: &str =
    " Dotted: fewer than 10 samples were longer, so that another run may well look otherwise there.";

/// Latency by percentile: (name, colour, dashed, latency).
pub(super) fn percentiles<'a>(latencies: impl Iterator<Item = (String, u8, bool, &'a Latency)>) -> Chart {
    let mut most = 0;
    let lines: Vec<Line> = latencies
        .filter(|(_, _, _, latency)| latency.count > 0)
        .map(|(name, colour, dashed, latency)| {
            most = most.max(latency.count);
            let points = latency.measured_curve().map(|(quantile, ms)| (quantile, Some(ms))).collect();
            Line { name, colour, dashed, points, rough_from: latency.rough_from() }
        })
        .collect();
    let rough = if lines.iter().any(Line::is_rough) { ROUGH_CURVE } else { "" };
    Chart {
        title: "Latency by percentile".into(),
        note: format!("{NINES}{rough}"),
        x: Axis::nines(most),
        y: Axis::log(Quantity::Milliseconds, lowest(&lines), highest(&lines)),
        lines,
        filled: false,
        wide: true,
        shaded_until: 0.0,
    }
}

fn latency_over_time(seconds: &[Second], shaded_until: f64) -> Chart {
    let line = |name: &str, colour, dashed, of: &dyn Fn(&Second) -> Option<f64>| {
        let points = seconds.iter().map(|second| (second.second as f64 + 0.5, of(second))).collect();
        Line { name: name.into(), colour, dashed, points: summed_up(points, Joined::Highest), rough_from: None }
    };
    let p99 = |brief: Option<Brief>| brief.map(|brief| brief.p99_ms);
    let mut lines = vec![
        line("intended max", 4, false, &|s| s.intended.map(|brief| brief.max_ms)),
        line("intended p99", 0, false, &|s| p99(s.intended)),
        line("intended p50", 0, true, &|s| s.intended.map(|brief| brief.p50_ms)),
        line("service p99", 1, false, &|s| p99(s.service)),
    ];
    if seconds.iter().any(|s| s.publish.is_some()) {
        lines.push(line("publish p99", 2, false, &|s| p99(s.publish)));
    }
    Chart {
        title: "Latency over time".into(),
        note: format!("By the second in which requests were due.{}", Joined::Highest.note(seconds.len())),
        x: Axis::time(seconds.len() as f64),
        y: Axis::log(Quantity::Milliseconds, lowest(&lines), highest(&lines)),
        lines,
        filled: false,
        wide: false,
        shaded_until,
    }
}

pub(super) fn highest(lines: &[Line]) -> f64 {
    values(lines).fold(0.0, f64::max)
}

pub(super) fn lowest(lines: &[Line]) -> f64 {
    values(lines).filter(|y| *y > 0.0).fold(f64::INFINITY, f64::min)
}

fn values(lines: &[Line]) -> impl Iterator<Item = f64> {
    lines.iter().flat_map(|line| line.points.iter().filter_map(|(_, y)| *y))
}

/// A percentile in its cell.
fn cell(percentile: Percentile) -> String {
    match percentile.is_rough {
        true => format!("<span class=\"soft\">{}</span>", marked(percentile)),
        false => marked(percentile),
    }
}

fn marked(Percentile { ms: value, is_rough }: Percentile) -> String {
    if is_rough { format!("{ROUGH}\u{202f}{}", ms(value)) } else { ms(value) }
}

/// Milliseconds as people write them.
pub(super) fn ms(value: f64) -> String {
    text(Quantity::Milliseconds, value)
}

/// Epoch milliseconds as a date and a time in UTC.
fn began(epoch_ms: u64) -> String {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(epoch_ms).unwrap_or(i64::MAX));
    time.map_or(String::new(), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_has_a_colour_of_its_own() {
        let names = ["intended", "service", "publish", "rank", "own lag", "reward", "cmcd", "refused"];
        let colours: std::collections::BTreeSet<u8> = names.into_iter().map(colour).collect();
        assert_eq!(colours.len(), names.len());
        let style = include_str!("style.css");
        assert!(colours.iter().all(|c| style.matches(&format!("--c{c}: #")).count() == 2), "in light and in dark");
    }
}
