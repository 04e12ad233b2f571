//! `saccade serve`: the engine behind HTTP, until it is told to stop.

use super::{Common, Failure, Format, reader};
use crate::config::{self, Config};
use crate::engine::{Engine, RewardFiles};
use crate::{http, telemetry};
use clap::Args;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

#[derive(Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub common: Common,
    /// Address to listen on, instead of server.listen
    #[arg(long, value_name = "ADDR", env = "SACCADE_LISTEN")]
    listen: Option<String>,
    /// Go on with what the log still has, where its beginning was dropped by retention and the checkpoint cannot be gone on from, as after
    /// a change of features: what only the checkpoint knew is lost
    #[arg(long)]
    rebuild: bool,
    /// Read, check and count events, and keep none: what HTTP and parsing take by themselves (bench/speed.py)
    #[arg(long, hide = true)]
    discard: bool,
}

pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let mut config = args.common.config()?;
    if let Some(listen) = &args.listen {
        config.server.listen.clone_from(listen);
    }
    (config.discard, config.rebuild) = (args.discard, args.rebuild);
    http::check_auth_config(&config).map_err(Failure::Usage)?;
    reader(&config)?;
    telemetry::install_logs(args.common.format == Format::Json, "info,fjall=warn,lsm_tree=warn");
    telemetry::install_metrics();
    let runtime = runtime()?;
    let _entered = runtime.enter();
    // Where files may not grow (`ulimit -f`) a write then fails, and it is said which.
    if let Err(error) = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())) {
        tracing::warn!(%error, "SIGXFSZ cannot be watched");
    }
    // The address comes first: a second server on the same port should say so before it reads a log.
    let listener = runtime.block_on(listen(&config))?;
    let (opened, opening) = oneshot::channel();
    let server = runtime.spawn(serve(opening, config.clone(), listener));
    if !args.common.data.is_dir() {
        tracing::warn!(data = %args.common.data.display(), "there is no such directory: it is made, and the server begins with nothing");
    }
    let (version, log) = (env!("CARGO_PKG_VERSION"), &config.log);
    let named = config::named(args.common.config.as_deref()).display();
    tracing::info!(version, config = %named, partitions = log.partitions, durability = ?log.durability, "starting");
    let engine = Arc::new(Engine::open(&config, &args.common.data).map_err(Failure::failed)?);
    if args.discard {
        tracing::warn!("--discard: events are counted as accepted and thrown away");
    }
    let watching = runtime.spawn(RewardFiles::new(Arc::clone(&engine)).watch());
    // A server that has ended says why below.
    let _ = opened.send(Arc::clone(&engine));
    runtime.block_on(server).map_err(Failure::failed)?.map_err(Failure::failed)?;
    watching.abort();
    tracing::info!("stopping: writing the last checkpoint");
    engine.stop();
    Ok(())
}

/// Serves the engine that is being opened. A stop that comes before ends the process: a log that is still being replayed is as it was.
async fn serve(
    opening: oneshot::Receiver<Arc<Engine>>,
    config: Config,
    listener: TcpListener,
) -> Result<(), http::ServeError> {
    let opening = async {
        match opening.await {
            Ok(engine) => engine,
            // It could not be opened: the process ends.
            Err(_) => std::future::pending().await,
        }
    };
    if http::serve(opening, config, listener, stop_signal()).await?.is_none() {
        tracing::info!("stopping: the log was not yet replayed, and is as it was");
        std::process::exit(0);
    }
    Ok(())
}

/// What takes connections and signals; requests have threads of their own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(Failure::failed)
}

/// Binds the configured address.
pub(crate) async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let address = &config.server.listen;
    TcpListener::bind(address).await.map_err(|error| {
        Failure::Failed(format!("listening on {address}: {error}; choose another with --listen 127.0.0.1:PORT"))
    })
}

/// Done at SIGINT, SIGTERM, or SIGHUP: its terminal is gone, or somebody expects a configuration to be read anew, which a restart does.
pub(crate) async fn stop_signal() {
    let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::hangup())?)));
    match signals {
        Ok((mut terminate, mut hangup)) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => tracing::warn!("SIGHUP: it stops, as nothing is read anew while it runs"),
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be watched; only SIGINT stops the server");
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
