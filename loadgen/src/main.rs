//! `saccade-loadgen`: sends player events at a fixed rate and says what the server made of them.
//!
//! Open loop: the schedule does not depend on the server ([`schedule`]), latency is measured from the intended time, and a run in
//! which the generator itself fell behind is marked invalid. What is sent comes from a [`population`] of viewers that a [`profile`]
//! describes, or is drawn independently.

mod background;
mod beside;
mod capacity;
mod check;
mod cli;
mod drive;
mod fit;
mod http;
mod jitter;
mod live;
mod measure;
mod observe;
mod out;
mod population;
mod profile;
mod ready;
mod report;
mod schedule;
mod scrape;
mod seeded;
mod slo;
mod source;
mod span;
mod sse;
mod tally;
#[cfg(test)]
mod testing;
mod waking;
mod wire;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::Cli::parse().execute() {
        Ok(report::Verdict::Ok) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(why) => {
            live::say(&format!("saccade-loadgen: {why}"));
            ExitCode::from(2)
        }
    }
}
