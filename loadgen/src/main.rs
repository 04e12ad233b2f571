//! `saccade-loadgen`: sends player events at a fixed rate and says what the server made of them.
//!
//! Open loop: the schedule does not depend on the server ([`schedule`]), latency is measured from the intended time, and a run in
//! which the generator itself fell behind is marked invalid. It does not model viewers; events are drawn independently.

mod capacity;
mod check;
mod cli;
mod drive;
mod float;
mod http;
mod live;
mod measure;
mod observe;
mod report;
mod schedule;
mod scrape;
mod seeded;
mod slo;
mod span;
mod sse;
mod tally;
mod traffic;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::Cli::parse().execute() {
        Ok(report::Verdict::Ok) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(why) => {
            eprintln!("saccade-loadgen: {why}");
            ExitCode::from(1)
        }
    }
}
