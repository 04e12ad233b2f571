//! `saccade-loadgen fit`: a profile from a recorded log.

use super::values::duration;
use super::watching::{print, write};
use crate::fit::Fit;
use clap::Args;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

/// Options of `fit`.
#[derive(Args)]
#[command(after_help = "\
Reads what `saccade export` writes of a server that is stopped, which says when events came; or events as they were sent, one a line, where
that is told from the events around. It keeps numbers, not viewers: nobody's id, item or text is in the profile. What a log does not tell
(tastes, batches, connections) is as in configs/load/steady_evening.toml. Pauses and absences longer than the log cannot be seen in it:
give one that is much longer than a session. In one that is shorter than a day, countries are those of its hours, and the profile has no
day. Where the rate changed by more than chance, the profile's shape has its course, in at most 200 levels of a second or more, and its
duration is the log's, at most a day. Where players report as often at a peak as before it, a peak is more viewers (`viewers.follow_rate`);
where they report faster, as in a log of `run`, it is the same ones in a hurry. Viewers of a peak come and go with the rate at once, in the
middle of what they do, where those of the log come one by one and choose something first. Who acts a hundred times on end at regular steps of a second or less, and never watches, is a bot.
Comments at the top of the profile say what it rests on and what was not fitted.

  saccade export --data DIR --out log.ndjson
  saccade-loadgen fit log.ndjson --out ours.toml
  saccade-loadgen run --profile ours.toml --rate 50000           the same course, higher")]
pub struct FitArgs {
    /// The log, NDJSON; `-` for standard input
    log: PathBuf,
    /// Where the profile goes
    #[arg(long, value_name = "FILE", default_value = "profile.toml")]
    out: PathBuf,
    /// Silence while browsing that counts as having left
    #[arg(long, default_value = "30s", value_parser = duration)]
    away_after: Duration,
}

impl FitArgs {
    /// Reads, writes the profile and prints what was found.
    pub fn execute(self) -> Result<(), String> {
        let reading = |e: io::Error| format!("reading {}: {e}", self.log.display());
        let (log, bytes): (Box<dyn BufRead>, u64) = match self.log.as_os_str() == "-" {
            true => (Box::new(BufReader::new(io::stdin())), 0),
            false => {
                if self.log.is_dir() {
                    let data = self.log.display();
                    return Err(format!(
                        "{data} is a directory; `saccade export --data {data} --out log.ndjson` makes a log of a server's"
                    ));
                }
                let file = File::open(&self.log).map_err(reading)?;
                let bytes = file.metadata().map_err(reading)?.len();
                (Box::new(BufReader::with_capacity(1 << 18, file)), bytes)
            }
        };
        let mut fit = Fit::new(self.away_after);
        let is_shown = io::stderr().is_terminal();
        let shown = |read: u64| {
            if is_shown {
                let part = if bytes > 0 { format!(" of {} MB", bytes >> 20) } else { String::new() };
                eprint!("\r{} MB{part}", read >> 20);
            }
        };
        fit.read(log, shown).map_err(reading)?;
        if is_shown {
            eprintln!();
        }
        let found = fit.finish(&self.log.display().to_string())?;
        write(&self.out, &found.toml())?;
        print(&format!("{found}written    {}\n", self.out.display()))
    }
}
