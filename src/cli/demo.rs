//! `saccade demo`: the real engine behind the real server, played at by recorded and simulated viewers, and a picture of it.
//!
//! Traffic goes over HTTP like everyone's; what is shown is read from the engine. The two do not know each other: they meet in
//! the ledger of what was sent, from which the summary is made at the end.

mod cast;
mod chart;
mod choosing;
mod client;
mod earnings;
mod focus;
mod guests;
mod ledger;
mod players;
mod pulse;
mod random;
mod scores;
mod screen;
mod setting;
mod show;
mod summary;
mod tastes;
mod terminal;
mod traffic;
mod viewers;
mod words;

use super::{Failure, Format};
use crate::engine::Engine;
use crate::{http, telemetry};
use clap::Args;
use show::Demo;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use summary::{Place, Summary};

/// See it work: recorded and simulated players, live, on this machine.
///
/// Starts the server, sends traffic to it over HTTP and shows what comes out: how long an event takes to become a fresh context,
/// and one session's vector as it changes. Three recordings of hls.js in a real browser are played with their own pauses; simulated
/// viewers browse, click, watch, pause and seek beside them, some events late and some twice.
///
/// And the loop closes: for guests with tastes that no model is told, POST /v1/rank/home decides which of twelve titles comes
/// first, they play it or not, and the model learns. Their tastes depend on device and hour, and change half-way. What decisions
/// are worth is shown between chance and the best possible, both known to the simulator alone.
///
/// While it runs, the server is yours: curl it, send events of your own, open the stream. At the end everything that was sent is
/// accounted for, or the exit code is 1.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct DemoArgs {
    /// End after this long, such as 30s or 5m, tastes change half-way; until q or Ctrl-C when absent, tastes change after 20 s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Events a second of players and viewers together, without those of guests; below 4 there is one recorded player alone
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=200_000))]
    rate: u64,
    /// Decisions a second that guests ask for; 0 for none
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    decisions: u64,
    /// The same seed, the same viewers and tastes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Address to listen on; without it, server.listen or the next free port
    #[arg(long, value_name = "ADDR", env = "SACCADE_LISTEN")]
    listen: Option<String>,
    /// Data directory; a new temporary one, which is kept, when absent
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// One line of text a second instead of the screen; so it is when output is no terminal
    #[arg(long)]
    plain: bool,
    /// Configuration file (TOML); without it the built-in default, but sessions end after 20 s of silence, and the model `home`
    /// waits 1 s for rewards and looks at device, hour and recent clicks
    #[arg(long, value_name = "FILE", env = "SACCADE_CONFIG")]
    config: Option<PathBuf>,
    /// How the summary is written; with json, lines of progress go to standard error
    #[arg(long, value_enum, default_value_t = Format::Text, env = "SACCADE_FORMAT")]
    format: Format,
}

const HELP: &str = "\
Examples:
  saccade demo                              watch; n next session, p pause the picture, q quit
  saccade demo --rate 5000                  more viewers
  saccade demo --duration 40s               learns, forgets and learns anew in 40 seconds, and sums up
  saccade demo --duration 30s --plain       for a log or a CI job
  saccade demo --duration 10s --format json | jq .learning
  saccade demo --data ./demo --config my.toml   your features on this traffic

In another terminal, while it runs (ids are on the screen):
  curl -s 127.0.0.1:8080/v1/context/session/ID          the newest vector, with names
  curl -N '127.0.0.1:8080/v1/context/stream?session=ID' every refresh, as it happens
  curl -s 127.0.0.1:8080/v1/schema                      what each slot means
  curl -s 127.0.0.1:8080/v1/models/home                 what the model knows of each title
  curl -s '127.0.0.1:8080/v1/rank/home?explain=true' -d '{\"session\":\"ID\",\"items\":[\"harbour\",\"flat-share\"]}'
  curl -s 127.0.0.1:8080/v1/events -d '{\"id\":\"1\",\"type\":\"play\",\"session\":\"me\",\"event_time\":'$(date +%s000)'}'

Afterwards: saccade inspect session ID --data DIR shows how a vector came about.";

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = saccade_topology::Duration::parse(text)?;
    Ok(Duration::from_millis(duration.0.unsigned_abs()))
}

impl DemoArgs {
    pub(crate) fn format(&self) -> Format {
        self.format
    }
}

pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let on_screen = !args.plain && args.format == Format::Text && std::io::stdout().is_terminal();
    match on_screen {
        true => terminal::install_logs(),
        false => telemetry::install_logs(args.format == Format::Json, "warn"),
    }
    telemetry::install_metrics();
    let summary = play(args, on_screen)?;
    report(args, &summary)
}

fn play(args: &DemoArgs, on_screen: bool) -> Result<Summary, Failure> {
    let mut config = setting::config(args)?;
    http::check_auth_config(&config).map_err(Failure::Usage)?;
    let runtime = super::serve::runtime()?;
    let _entered = runtime.enter();
    // The address comes first: nothing is made on the disk where none is free.
    let (listener, instead_of) = runtime.block_on(setting::listen(args, &mut config))?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    let data = setting::data(args)?;
    let engine = Arc::new(Engine::open(&config, &data).map_err(Failure::failed)?);
    let kept = match &args.config {
        Some(given) => given.clone(),
        None => setting::keep_config(&config, &data)?,
    };
    say(args, &greeting(address, instead_of.as_deref(), &data));

    let (stop_server, stop) = tokio::sync::oneshot::channel::<()>();
    let stop = async { drop(stop.await) };
    let server = runtime.spawn(http::serve(std::future::ready(engine.clone()), config.clone(), listener, stop));
    let mut demo = Demo::start(args, &config, engine.clone(), address);
    let shown = match on_screen {
        true => demo.show_screen(),
        false => {
            demo.show_lines(&mut |line| say(args, line));
            Ok(())
        }
    };
    if demo.settles() {
        say(args, "waiting for the last rewards' windows to close");
    }
    let summary = runtime.block_on(demo.finish(Place { data, config: kept }));
    drop(stop_server);
    runtime.block_on(server).map_err(Failure::failed)?.map_err(Failure::failed)?;
    engine.stop();
    shown.map_err(|error| Failure::Failed(format!("drawing on the terminal: {error}; --plain needs none")))?;
    Ok(summary)
}

fn greeting(address: SocketAddr, instead_of: Option<&str>, data: &Path) -> String {
    let taken = instead_of.map(|taken| format!(" ({taken} is taken)")).unwrap_or_default();
    format!("saccade demo on http://{address}{taken}, data in {}", data.display())
}

/// Progress for people: never among the JSON of a summary. False where nobody listens any more (`| head`).
fn say(args: &DemoArgs, line: &str) -> bool {
    let written = match args.format {
        Format::Text => writeln!(std::io::stdout(), "{line}"),
        Format::Json => writeln!(std::io::stderr(), "{line}"),
    };
    written.is_ok()
}

fn report(args: &DemoArgs, summary: &Summary) -> Result<(), Failure> {
    let text = match args.format {
        Format::Text => summary.text(),
        Format::Json => serde_json::to_string_pretty(summary).map_err(Failure::failed)? + "\n",
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    match summary.accounted {
        true => Ok(()),
        false => {
            Err(Failure::failed("some events or decisions that were sent are in no bucket, or in two; see the summary"))
        }
    }
}

#[cfg(test)]
mod tests;
