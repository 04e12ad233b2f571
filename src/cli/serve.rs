//! `saccade serve`: the engine behind HTTP, until it is told to stop.

use super::{Common, Failure, Format, reader};
use crate::config::Config;
use crate::engine::{Engine, EngineError, RewardFiles};
use crate::{http, telemetry};
use clap::Args;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub common: Common,
    /// Address to listen on, instead of server.listen
    #[arg(long, value_name = "ADDR", env = "SACCADE_LISTEN")]
    listen: Option<String>,
    /// Read, check and count events, and keep none: what HTTP and parsing take by themselves (bench/speed.py)
    #[arg(long, hide = true)]
    discard: bool,
}

pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let mut config = args.common.config()?;
    if let Some(listen) = &args.listen {
        config.server.listen.clone_from(listen);
    }
    config.discard = args.discard;
    http::check_auth_config(&config).map_err(Failure::Usage)?;
    reader(&config)?;
    telemetry::install_logs(args.common.format == Format::Json, "info,fjall=warn,lsm_tree=warn");
    telemetry::install_metrics();
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        // Where files may not grow (`ulimit -f`) a write then fails, and it is said which.
        if let Err(error) = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())) {
            tracing::warn!(%error, "SIGXFSZ cannot be watched");
        }
        // The address comes first: a second server on the same port should say so before it reads a log.
        let listener = listen(&config).await?;
        let address = listener.local_addr().map_err(Failure::failed)?;
        let opening = open(&config, args, address);
        match http::serve(opening, config.clone(), listener, stop_signal()).await.map_err(Failure::failed)? {
            Some(engine) => {
                tracing::info!("stopping: writing the last checkpoint");
                engine.stop();
            }
            None => tracing::info!("stopping: the log was not yet replayed, and is as it was"),
        }
        Ok(())
    });
    // A log that is still being replayed is not waited for.
    runtime.shutdown_background();
    served
}

async fn open(config: &Config, args: &ServeArgs, address: SocketAddr) -> Result<Arc<Engine>, EngineError> {
    let (given, data) = (config.clone(), args.common.data.clone());
    let opened = tokio::task::spawn_blocking(move || Engine::open(&given, &data)).await;
    let engine = Arc::new(opened.unwrap_or_else(|end| std::panic::resume_unwind(end.into_panic()))?);
    if args.discard {
        tracing::warn!("--discard: events are counted as accepted and thrown away");
    }
    tokio::spawn(RewardFiles::new(Arc::clone(&engine)).watch());
    tracing::info!(%address, data = %args.common.data.display(), slots = engine.layout().names.len(), "ready: POST http://{address}/v1/events");
    Ok(engine)
}

/// What takes connections and signals; requests have threads of their own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.map_err(Failure::failed)
}

/// Binds the configured address.
pub(crate) async fn listen(config: &Config) -> Result<tokio::net::TcpListener, Failure> {
    let address = &config.server.listen;
    tokio::net::TcpListener::bind(address).await.map_err(|error| {
        Failure::Failed(format!("listening on {address}: {error}; choose another with --listen 127.0.0.1:PORT"))
    })
}

/// Done at SIGINT or SIGTERM.
pub(crate) async fn stop_signal() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be watched; only SIGINT stops the server");
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
