//! `saccade-loadgen run`: sends events for a while and prints a report.

use super::values::{batch, duration, skew};
use super::watching::{Format, Output, Watching};
use crate::drive::{self, Drive};
use crate::http::Target;
use crate::live::Live;
use crate::measure;
use crate::report::{Asked, Report, Verdict};
use crate::schedule::{Arrivals, Plan, Shape};
use crate::tally::Tally;
use clap::Args;
use std::fs::File;
use std::io::BufWriter;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

const RUN_HELP: &str = "\
How it measures:
  Event i is due i/rate seconds after the start, whatever the server does; a batch is due when its last event is.
  intended   from that due time to the whole answer: what a player would wait. Includes waiting for a free connection.
  service    from the sending of the request to the whole answer: what the server needed.
  own lag    how late this program began a request that could have begun. If its p99 is above 1 ms the run is invalid.
  A server that stalls shows in intended (all requests that were due), hardly in service (the few that were under way).
  published  comes from the server's own histogram in /metrics: arrival of a batch to its contexts published.

Ids are l{seed}-{n}: give each run against the same server another --seed, or its events are duplicates.";

/// Options of `run`.
#[derive(Args, Clone)]
#[command(after_help = RUN_HELP)]
pub struct Run {
    /// Server: http://HOST:PORT
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    target: String,
    /// Events per second, all connections together
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: u64,
    /// How the rate changes: constant, ramp:from=0.1,to=1,over=60s, step:every=10s,by=0.5,steps=6,
    /// sine:period=10m,low=0.2, spike:at=10s,for=5s,times=4; factors are of --rate
    #[arg(long, default_value = "constant", value_parser = Shape::parse)]
    shape: Shape,
    /// How events are spread where the rate is what it is
    #[arg(long, value_enum, default_value_t = Arrivals::Even)]
    arrivals: Arrivals,
    /// Events per request: a number, or a range drawn from evenly
    #[arg(long, default_value = "1..20", value_parser = batch)]
    batch: RangeInclusive<u32>,
    /// Length of the run: 500ms, 30s, 2m, 1h
    #[arg(long, default_value = "30s", value_parser = duration)]
    duration: Duration,
    /// Sessions that events belong to; two sessions make a viewer
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    sessions: u64,
    /// Zipf exponent of the sessions' popularity: 0 all alike, 1 the first twice as busy as the second
    #[arg(long, default_value_t = 0.0, value_parser = skew)]
    skew: f64,
    /// Keep-alive connections
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Decides batch sizes and events: the same seed, the same traffic
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Longest wait for an answer, and for stragglers after the last request
    #[arg(long, default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Key that may send events
    #[arg(long, env = "SACCADE_WRITE_KEY", hide_env_values = true)]
    write_key: Option<String>,
    /// Token that may read contexts and /metrics
    #[arg(long, env = "SACCADE_READ_TOKEN", hide_env_values = true)]
    read_token: Option<String>,
    /// Write a line `id TAB session TAB status` for every acknowledged event
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    watching: Watching,
    #[command(flatten)]
    output: Output,
}

impl Run {
    /// Runs, prints the report and returns its verdict.
    pub fn execute(self) -> Result<Verdict, String> {
        let target = Target::new(&self.target, self.write_key.as_deref(), self.read_token.as_deref())?;
        let record: drive::Record = match &self.record {
            None => None,
            Some(path) => {
                let file = File::create(path).map_err(|e| format!("creating the record {}: {e}", path.display()))?;
                Some(Box::new(BufWriter::new(file)))
            }
        };
        let drive = self.drive(&target);
        let asked = self.asked(&drive);
        let mut live = Live::new(asked.to_string(), self.duration, self.watching.is_quiet());
        let progress = move |tally: &Tally, elapsed| live.tick(tally, elapsed);
        let report = measure::run(drive, asked, record, &self.watching.watch(), progress)?;
        self.output.give(&report)?;
        Ok(report.verdict().clone())
    }

    /// One run of a search: as asked, but for these.
    pub(super) fn measured(&self, rate: u64, duration: Duration, seed: u64) -> Result<Report, String> {
        let run = Run { rate, duration, seed, record: None, ..self.clone() };
        let target = Target::new(&run.target, run.write_key.as_deref(), run.read_token.as_deref())?;
        let drive = run.drive(&target);
        let asked = run.asked(&drive);
        measure::run(drive, asked, None, &run.watching.watch(), |_, _| ())
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn duration(&self) -> Duration {
        self.duration
    }

    pub(super) fn format(&self) -> Format {
        self.output.format
    }

    fn drive(&self, target: &Target) -> Drive {
        let events = Plan::events_in(self.rate, &self.shape, self.duration.as_nanos() as u64);
        Drive {
            target: target.clone(),
            plan: Plan {
                rate: self.rate,
                shape: self.shape,
                arrivals: self.arrivals,
                batch: self.batch.clone(),
                events,
                seed: self.seed,
            },
            sessions: self.sessions,
            skew: self.skew,
            connections: self.connections.into(),
            timeout: self.timeout,
        }
    }

    fn asked(&self, drive: &Drive) -> Asked {
        Asked {
            target: drive.target.authority.clone(),
            rate: self.rate,
            batch: [*self.batch.start(), *self.batch.end()],
            duration_s: self.duration.as_secs_f64(),
            sessions: self.sessions,
            skew: self.skew,
            connections: drive.connections,
            seed: self.seed,
            events: drive.plan.events,
        }
    }
}
