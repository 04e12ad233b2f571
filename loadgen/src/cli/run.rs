//! `saccade-loadgen run`: sends events for a while and prints a report.

use super::load::LoadArgs;
use super::values::duration;
use crate::beside::Beside;
use crate::drive::{self, Drive};
use crate::http::{Target, get_once};
use crate::observe::Observer;
use crate::out;
use crate::report::{Report, Verdict};
use crate::scrape::Reading;
use crate::tally::Tally;
use clap::{Args, ValueEnum};
use std::fs::File;
use std::io::{BufWriter, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

const RUN_HELP: &str = "\
How it measures:
  With --shape constant and --arrivals even, event i is due i/rate seconds after the start, whatever the server does; a batch is due
  when its last event is.
  intended   from that due time to the whole answer: what a player would wait. Includes waiting for a free connection.
  service    from the sending of the request to the whole answer: what the server needed.
  own lag    how late this program began a request that could have begun. If its p99 is above 1 ms the run is invalid.
  A server that stalls shows in intended (all requests that were due), hardly in service (the few that were under way).
  published  comes from the server's own histogram in /metrics: arrival of a batch to its contexts published.

Ids are l{seed}-{n}: give each run against the same server another --seed, or its events are duplicates.";

/// Options of `run`.
#[derive(Args)]
#[command(after_help = RUN_HELP)]
pub struct Run {
    /// Server: http://HOST:PORT
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    target: String,
    #[command(flatten)]
    load: LoadArgs,
    /// Longest wait for an answer, and for stragglers after the last request
    #[arg(long, default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Key that may send events
    #[arg(long, env = "SACCADE_WRITE_KEY", hide_env_values = true)]
    write_key: Option<String>,
    /// Token that may read contexts and /metrics
    #[arg(long, env = "SACCADE_READ_TOKEN", hide_env_values = true)]
    read_token: Option<String>,
    /// Also follow the stream of all contexts and check that versions never go back
    #[arg(long)]
    observe: bool,
    /// Write a line `id TAB session TAB status` for every acknowledged event
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Send nothing: write the events into a file, one JSON object a line, `-` for standard output. They are dated from
    /// 2026-01-15T19:00:00Z on, so that the same seed gives the same file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["observe", "record"])]
    out: Option<PathBuf>,
    /// Form of the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Form of the report.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table.
    Text,
    /// One JSON object.
    Json,
}

impl Run {
    /// Runs, prints the report and returns its verdict.
    pub fn execute(self) -> Result<Verdict, String> {
        let load = self.load.resolve()?;
        if let Some(out) = &self.out {
            return out::write(load.source(false), out).map(|()| Verdict::Ok);
        }
        let target = Target::new(&self.target, self.write_key.as_deref(), self.read_token.as_deref())?;
        let record: drive::Record = match &self.record {
            None => None,
            Some(path) => {
                let file = File::create(path).map_err(|e| format!("creating the record {}: {e}", path.display()))?;
                Some(Box::new(BufWriter::new(file)))
            }
        };
        let mut source = load.source(true);
        let before = self.scrape(&target);
        let observer = match self.observe {
            true => Some(Observer::start(target.clone(), self.timeout).map_err(|e| format!("--observe: {e}"))?),
            false => None,
        };
        let drive = Drive { target: target.clone(), connections: load.connections.into(), timeout: self.timeout };
        let progress = progress(load.plan.events);
        let done = drive::run(drive, &mut source, record, progress).map_err(|e| format!("running: {e}"))?;
        let observed = observer.map(Observer::finish).transpose().map_err(|e| format!("--observe: {e}"))?;
        let server = before.zip(self.scrape(&target)).map(|(before, after)| after.since(&before));
        let beside = Beside::new(&done.calls, source.so_far());
        let asked = load.asked(&target, done.events, source.repeated());
        let report = Report::new(asked, done.tally, server, observed);
        match self.format {
            Format::Text => print!("{report}{beside}"),
            Format::Json => println!("{}", beside.put_into(&report)),
        }
        Ok(beside.judge(report.verdict().clone()))
    }

    /// The server's metrics; a server without them is measured from outside only.
    fn scrape(&self, target: &Target) -> Option<Reading> {
        match get_once(target, "/metrics", self.timeout) {
            Ok((200, body)) => Some(Reading::parse(&String::from_utf8_lossy(&body))),
            Ok((status, _)) => {
                eprintln!(
                    "GET /metrics was answered {status}: the server's own figures are left out (see --read-token)"
                );
                None
            }
            Err(e) => {
                eprintln!("GET /metrics failed: {e}: the server's own figures are left out");
                None
            }
        }
    }
}

/// A line a second for people who watch.
fn progress(events: u64) -> impl FnMut(&Tally, Duration) {
    let shown = std::io::stderr().is_terminal();
    move |tally, elapsed| {
        if shown {
            let ms = |q| tally.intended.value_at_quantile(q) as f64 / 1e6;
            let (sent, lost) = (tally.counts.sent, tally.counts.lost);
            let (s, p50, p99) = (elapsed.as_secs(), ms(0.5), ms(0.99));
            eprintln!("{s:>4} s  {sent} of {events} events  p50 {p50:.3} ms  p99 {p99:.3} ms  lost {lost}");
        }
    }
}
