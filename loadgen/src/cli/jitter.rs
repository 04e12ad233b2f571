//! `saccade-loadgen jitter`: what the machine itself takes away.

use super::values::duration;
use super::watching::Format;
use crate::jitter::watch;
use clap::Args;
use std::time::Duration;

/// Options of `jitter`.
#[derive(Args)]
#[command(after_help = "\
Run it where the server will run, with nothing else running. What it shows is below every latency that is measured there: where a loop that
does nothing is stopped for 1 ms or more during 0.5 % of the time, no p99.9 of a server is below 1 ms.

Waiting costs processor time too: 2 to 5 µs a wait where processors stay awake for a while, 15 to 50 µs on a virtual machine whose processors halt
at once. Then let them wait before they halt, as root on that machine:

  echo 200000 > /sys/module/haltpoll/parameters/guest_halt_poll_ns")]
pub struct Jitter {
    /// How long to watch; every processor is busy meanwhile
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Jitter {
    /// Watches, and prints what was seen.
    pub fn execute(self) -> Result<(), String> {
        self.format.print(&watch(self.duration))
    }
}
