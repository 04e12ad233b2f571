//! The report as a table for people.

use super::latency::Percentile;
use super::{Latency, ROUGH, ROUGH_NOTE, ROUGH_OBJECTIVES, Report, Verdict};
use crate::check::Checked;
use crate::scrape::Measured;
use crate::tally::in_words;
use saccade::counted::counted;
use std::fmt::{self, Display, Formatter};

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Ok => write!(f, "ok"),
            Verdict::Failed(why) => write!(f, "FAILED: {why}"),
            Verdict::Invalid(why) => write!(f, "invalid: {why}"),
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.asked)?;
        self.asked.shape_beyond().map_or(Ok(()), |beyond| writeln!(f, "warning: {beyond}"))?;
        self.write_counts(f)?;
        write!(f, "\n{:<8} {:>9}", "ms", "count")?;
        ["p50", "p90", "p99", "p99.9", "p99.99", "max"].iter().try_for_each(|head| write!(f, " {head:>9}"))?;
        writeln!(f)?;
        for (name, latency) in self.latencies() {
            write_latency(f, name, latency)?;
        }
        if self.has_rough() {
            writeln!(f, "           {ROUGH} {ROUGH_NOTE}")?;
        }
        write!(f, "{}", self.beside)?;
        if let Some(server) = &self.server {
            self.write_server(f, server)?;
        }
        if let Some(seen) = &self.observed {
            writeln!(
                f,
                "\nstream     {} of {}, {}, {} backwards, {} unreadable",
                counted(seen.contexts, "context"),
                counted(seen.sessions, "session"),
                counted(seen.notices, "notice"),
                seen.backwards,
                seen.unreadable
            )?;
            if seen.reopened > 0 {
                writeln!(f, "           ended and was opened again {}", counted(seen.reopened, "time"))?;
            }
        }
        if let Some(checked) = &self.checked {
            write_checked(f, checked)?;
            self.publish_notes().iter().try_for_each(|note| writeln!(f, "           {note}"))?;
        }
        for (i, judged) in self.objectives.iter().enumerate() {
            let head = if i == 0 { "\nobjectives" } else { "          " };
            writeln!(f, "{head} {judged}")?;
        }
        if self.objectives.iter().any(|judged| judged.is_rough) {
            writeln!(f, "           {ROUGH_OBJECTIVES}")?;
        }
        writeln!(f, "\n{}", self.verdict_text())
    }
}

impl Report {
    fn write_counts(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let c = &self.counts;
        let requests = counted(c.requests, "request");
        writeln!(f, "\nevents     sent {} in {requests} of {} scheduled", c.sent, self.asked.events)?;
        writeln!(
            f,
            "           accepted {}  duplicates {}  late {}  rejected {}  lost {}",
            c.accepted,
            c.duplicates,
            c.late,
            c.rejected_total(),
            c.lost
        )?;
        if self.sent_s() > 0.0 {
            writeln!(f, "           {}", self.rates_text())?;
        }
        self.resent_text().map_or(Ok(()), |resent| writeln!(f, "           {resent}"))?;
        for (code, n) in &c.rejected {
            writeln!(f, "           rejected as {code}: {n}")?;
        }
        if let Some(rate) = self.throughput().filter(|_| self.taken() > c.accepted) {
            writeln!(f, "           throughput {rate:.0}/s: {}", self.taken_text())?;
        }
        for (cause, n) in &c.http_errors {
            writeln!(f, "           requests not acknowledged, {}: {n}", in_words(cause))?;
        }
        if ["connection", "timeout", "unsent"].iter().any(|cause| c.http_errors.contains_key(*cause)) {
            writeln!(f, "           what was never answered counts in the latencies as --timeout")?;
        }
        Ok(())
    }

    /// What became of what was due, each second: what is no loss is named, so that it does not look like one.
    fn rates_text(&self) -> String {
        let c = &self.counts;
        let others =
            [("duplicates", c.duplicates), ("late", c.late), ("rejected", c.rejected_total()), ("lost", c.lost)];
        let others = others.into_iter().filter(|(_, n)| *n > 0);
        let rate = |(name, n): (&str, u64)| {
            let rate = n as f64 / self.took_s();
            // A few in a long run are some all the same.
            format!("{name} {}/s", if rate < 0.5 && n > 0 { "< 1".into() } else { format!("{rate:.0}") })
        };
        let rates: Vec<String> = [("accepted", c.accepted)].into_iter().chain(others).map(rate).collect();
        let of = if rates.len() > 1 { ", of" } else { " of" };
        format!("{}{of} {:.0}/s due", rates.join(", "), self.asked.events as f64 / self.sent_s())
    }

    fn write_server(&self, f: &mut Formatter<'_>, server: &Measured) -> fmt::Result {
        let from = self.measured_from();
        writeln!(f)?;
        if server.restarted {
            writeln!(f, "server     was started anew during the run: its own counts are left out")?;
        }
        let number = |n: Option<u64>| n.map_or("–".to_owned(), |n| n.to_string());
        if server.accepted.or(server.contexts).is_some() {
            let (folded, refreshed) = (number(server.accepted), number(server.contexts));
            writeln!(f, "server     events folded {folded}, contexts of sessions refreshed {refreshed}")?;
        }
        if let Some(others) = self.of_others() {
            writeln!(f, "           {others} of these events came from others than this run")?;
        }
        if let Some(n) = server.published.filter(|n| *n > 0) {
            write!(f, "           arrival → published of {}{from}:", counted(n, "event"))?;
            for (name, ms) in &server.freshness_ms_at_most {
                write!(f, "  {name} ≤ {ms} ms")?;
            }
            writeln!(f)?;
        }
        if let Some(seconds) = server.cpu_seconds {
            let each = self.cpu_per_million().map_or(String::new(), |each| format!(", {each:.2} s per million events"));
            writeln!(f, "           processor time {seconds:.2} s{from}{each}")?;
        }
        if let Some(untimed) = self.untimed() {
            writeln!(f, "           processor time not measured: {untimed}")?;
        }
        match server.rss_bytes {
            Some(bytes) => writeln!(f, "           resident memory {:.1} MiB", bytes as f64 / f64::from(1 << 20)),
            None => Ok(()),
        }
    }
}

fn write_latency(f: &mut Formatter<'_>, name: &str, latency: &Latency) -> fmt::Result {
    write!(f, "{name:<8} {:>9}", latency.count)?;
    if latency.count == 0 {
        return writeln!(f, "{}", format!(" {:>9}", "–").repeat(6));
    }
    for Percentile { ms, is_rough } in latency.percentiles() {
        let mark = if is_rough { ROUGH } else { "" };
        write!(f, " {:>9}", format!("{mark}{}", figure(ms)))?;
    }
    writeln!(f, " {:>9}", figure(latency.max_ms))
}

/// Milliseconds that leave their column as wide as it is: the table fits a terminal of 80 columns.
fn figure(ms: f64) -> String {
    if ms < 10_000.0 { format!("{ms:.3}") } else { format!("{ms:.1}") }
}

fn write_checked(f: &mut Formatter<'_>, checked: &Checked) -> fmt::Result {
    let Checked { sessions, contexts, backwards, .. } = checked;
    let unpublished = checked.uncounted.is_none().then(|| format!("accepted but in none {}, ", checked.unpublished));
    writeln!(
        f,
        "\nchecks     {} followed, {}; {}versions back {backwards}",
        counted(*sessions, "session"),
        counted(*contexts, "context"),
        unpublished.unwrap_or_default()
    )?;
    if let Some(first) = &checked.first_broken {
        let broken = counted(checked.broken, "stream");
        writeln!(f, "           {broken} broke or could not be opened; first: {first}")?;
    }
    let vectors = &checked.vectors;
    if let Some(not_all) = vectors.not_all() {
        writeln!(f, "           {not_all}")?;
    }
    if vectors.compared() > 0 {
        writeln!(
            f,
            "           {} the same as the fold of {} of {}, {} different",
            counted(vectors.same, "vector"),
            counted(vectors.events, "event"),
            counted(vectors.viewers, "viewer"),
            vectors.different
        )?;
    }
    if vectors.ended > 0 {
        writeln!(f, "           {} not compared: ended on the server", counted(vectors.ended, "session"))?;
    }
    for (why, n) in &vectors.left_out {
        writeln!(f, "           {} not compared: {why}", counted(*n, "viewer"))?;
    }
    Ok(())
}
