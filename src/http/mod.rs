//! The HTTP interface: events, player reports and outcomes in, contexts and decisions out.
//!
//! A thin edge: it reads, checks keys and limits, hands batches to the engine and answers when the engine has. It keeps no
//! state but open connections, holds no lock across an await, and never tells a CMCD player that something is wrong.

mod asked;
mod auth;
mod bell;
mod body;
mod cmcd;
mod connections;
mod context;
mod cors;
mod decide;
mod door;
mod error;
mod events;
mod files;
mod inspect;
mod metrics;
mod models;
mod outcomes;
mod query;
mod rank;
mod rate;
mod reader;
mod rewards;
mod routes;
mod rows;
mod stream;
#[cfg(test)]
mod testing;
mod threads;

pub use auth::check_auth_config;
pub use connections::{ServeError, serve};

use crate::config::Config;
use crate::engine::Engine;
use crate::wire::EventReader;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// What every handler sees.
struct App {
    engine: Arc<Engine>,
    config: Config,
    reader: EventReader,
    auth: auth::Auth,
    origins: cors::Origins,
    rates: rate::Rates,
    body_memory: body::BodyMemory,
    metrics: metrics::Metrics,
    streams: Arc<Semaphore>,
    ids: rank::Ids,
    /// One inspection at a time: each reads the whole log.
    inspections: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl App {
    fn new(engine: Arc<Engine>, config: Config, stopping: watch::Receiver<bool>) -> Result<Arc<App>, ServeError> {
        Ok(Arc::new(App {
            engine,
            reader: EventReader::new(&config.ingest).map_err(ServeError::Ingest)?,
            auth: auth::Auth::new(&config.auth),
            origins: cors::Origins::new(&config.ingest.allow_origins),
            rates: rate::Rates::new(config.ingest.rate_max, config.auth.write_keys.len()),
            body_memory: body::BodyMemory::new(config.ingest.body_bytes_max),
            metrics: metrics::Metrics::new(),
            streams: Arc::new(Semaphore::new(config.publish.streams_max as usize)),
            ids: rank::Ids::new(),
            inspections: Arc::new(Semaphore::new(1)),
            stopping,
            config,
        }))
    }
}

/// Returns when the server is told to stop.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error is a sender that is gone, which is a server that has stopped.
    let _ = stopping.wait_for(|stop| *stop).await;
}
