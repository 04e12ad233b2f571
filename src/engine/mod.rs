//! The running loop: batches in, one thread per partition, contexts out.
//!
//! `Engine::submit` is the only way in and [`Contexts`] the only way out. What happens between is
//! inbox → fold → log → publish → fsync → answer, in this order.

use crate::config::Config;
use saccade_topology::{Event, IngestTime};
use std::path::Path;

/// Events of one request, encoded for their partitions.
pub struct Batch {
    /// When the request arrived.
    pub ingest_time: IngestTime,
}

impl Batch {
    /// An empty batch for the engine's partitions.
    pub fn new(_engine: &Engine, ingest_time: IngestTime) -> Batch {
        Batch { ingest_time }
    }
    /// Adds one event that [`Engine::admit`] passed.
    pub fn push(&mut self, _event: &Event<'_>) {
        unimplemented!()
    }
    /// Events so far.
    pub fn len(&self) -> usize {
        unimplemented!()
    }
    /// No events so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How many events of a batch ended in which bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// In the log and folded.
    pub accepted: u64,
    /// Seen before; nothing changed.
    pub duplicates: u64,
    /// In the log, set aside, state unchanged.
    pub late: u64,
}

/// Why a batch was not taken; nothing of it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The partition's queue is full: 429, Retry-After.
    #[error("the queue of a partition is full; try again in a moment")]
    Overloaded,
    /// The disk is nearly full: 507.
    #[error("the disk has {free} bytes free, less than log.disk_reserve_bytes")]
    DiskFull {
        /// Bytes free.
        free: u64,
    },
    /// The process is stopping: 503.
    #[error("the server is stopping")]
    Stopping,
}

/// The running loop.
pub struct Engine {}

impl Engine {
    /// Opens or makes the data directory, restores the checkpoint, replays the log.
    pub fn open(_config: &Config, _data: &Path) -> Result<Engine, String> {
        unimplemented!()
    }
    /// Takes a batch; returns when it is durable and published.
    pub async fn submit(&self, _batch: Batch) -> Result<Receipt, SubmitError> {
        unimplemented!()
    }
    /// What the fold would refuse for its time: `Err` is the rule that was broken, with the value.
    pub fn admit(&self, _event: &Event<'_>, _ingest_time: IngestTime) -> Result<(), String> {
        unimplemented!()
    }
    /// Published contexts.
    pub fn contexts(&self) -> &Contexts {
        unimplemented!()
    }
    /// True once the log is replayed.
    pub fn ready(&self) -> bool {
        unimplemented!()
    }
}

/// Which of the two kinds of context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContextKind {
    /// One session's.
    Session,
    /// One viewer's: that of the viewer's latest session.
    Viewer,
}

/// A published context, copied out of the map.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// Session id, where there is one alive.
    pub session: Option<String>,
    /// Viewer id, where one is known.
    pub viewer: Option<String>,
    /// Offset of the record that caused it.
    pub version: u64,
    /// Greatest event time folded into it, epoch milliseconds.
    pub event_time: i64,
    /// The vector; names are in the schema.
    pub vector: Vec<f32>,
    /// Times it was refreshed since the process began; a reader that sees a jump has skipped.
    pub updates: u64,
}

/// Read side: the latest context of every live session and viewer.
pub struct Contexts {}

impl Contexts {
    /// The latest context of `id`.
    pub fn get(&self, _kind: ContextKind, _id: &str) -> Option<Context> {
        unimplemented!()
    }
    /// Follows one key: the receiver is marked changed on every refresh; read with [`Contexts::get`]. The key need not exist yet.
    pub fn watch(&self, _kind: ContextKind, _id: &str) -> tokio::sync::watch::Receiver<u64> {
        unimplemented!()
    }
    /// Follows all sessions, in batches; a receiver that lags is told by how much (`RecvError::Lagged`).
    pub fn follow(&self) -> tokio::sync::broadcast::Receiver<std::sync::Arc<Vec<Context>>> {
        unimplemented!()
    }
}
