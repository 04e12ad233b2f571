//! The log: the only truth. Batches of encoded records per partition, appended in order, read back in order.
//!
//! [`Log`] is the border that Kafka will stand behind too: same record encoding, same partitions, same offsets. `append` hands
//! records to the operating system, `sync` makes all that was appended survive power loss. A failure of either is final: the
//! caller stops, and restart plus replay is the only recovery.

mod embedded;
mod encoding;
mod events;
#[cfg(test)]
mod frozen;
mod memory;

pub use embedded::EmbeddedLog;
#[cfg(test)]
pub(crate) use embedded::tests::drop_records_before;
pub use encoding::{RecordBatch, decode, encode};
pub use memory::MemoryLog;

use saccade_topology::Offset;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A log that failed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A log of an earlier format cannot be read.
    #[error("{doing} the log in {path}: {source}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: fjall::Error,
    },
    /// A file cannot be used.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("the data directory {path} is in use by another process; stop it, or ask it over HTTP (--url)")]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// It was made with other settings.
    #[error(
        "the log in {path} has {found} partitions, log.partitions is {wanted}; set it to {found}, or export and import into a new directory"
    )]
    Partitions {
        /// The data directory.
        path: PathBuf,
        /// As made.
        found: u16,
        /// As configured.
        wanted: u16,
    },
    /// Bytes that are not records.
    #[error(
        "partition {partition} of the log is damaged at offset {offset}: {what}; what is whole, of all partitions, is saved by `saccade export --out FILE`, which then ends with this message"
    )]
    Damaged {
        /// Partition.
        partition: u16,
        /// First offset that cannot be read.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// Where a reader is told to go on or stop: offset and the record's bytes for [`decode`]. An error of the visitor is that of the read.
pub type Visit<'a> = &'a mut dyn FnMut(Offset, &[u8]) -> Result<ControlFlow<()>, LogError>;

/// The same of several partitions: first the place of the record's among those that were asked for.
pub type VisitEach<'a> = &'a mut dyn FnMut(usize, Offset, &[u8]) -> Result<ControlFlow<()>, LogError>;

/// What is there of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Offset of the first record kept; `next` where none is.
    pub first: Offset,
    /// No record from here on was dropped.
    pub kept_from: Offset,
    /// Offset of the next record: above every offset that was ever published, even if power was lost, so that a version is
    /// never used twice.
    pub next: Offset,
    /// Records at the beginning were dropped by age or size.
    pub is_trimmed: bool,
}

/// Partitioned, ordered, durable.
pub trait Log: Send + Sync {
    /// Partitions.
    fn partitions(&self) -> u16;

    /// Appends `batch`, whose first record gets offset `first`, and returns once the operating system has it.
    fn append(&self, partition: u16, first: Offset, batch: &RecordBatch) -> Result<(), LogError>;

    /// Returns once all that was appended before is on the disk.
    fn sync(&self) -> Result<(), LogError>;

    /// Visits the records of a partition from offset `from` on, in order.
    fn read(&self, partition: u16, from: Offset, visit: Visit<'_>) -> Result<(), LogError> {
        self.read_each(&[(partition, from)], &mut |_, offset, record| visit(offset, record))
    }

    /// Visits the records of partitions, of each from its offset on, in one pass: those of a partition are in order.
    fn read_each(&self, from: &[(u16, Offset)], visit: VisitEach<'_>) -> Result<(), LogError>;

    /// What is there of a partition.
    fn bounds(&self, partition: u16) -> Result<Bounds, LogError>;

    /// Whether all records before `offset` are there, or were before they were dropped, where it was once that of the next record. It may be
    /// behind the last record there is: after an unclean stop the next offset is above all that may have been given out.
    fn reaches(&self, partition: u16, offset: Offset) -> bool;

    /// Offsets below `limit` are never given out again by [`Log::bounds`] after a restart, those from it on were not: a proper stop. Meanwhile
    /// [`Log::append`] sees to it.
    fn reserve(&self, partition: u16, limit: Offset) -> Result<(), LogError>;

    /// Records of a partition from `from` on are needed by a restart: age and size drop none of them. At first all are.
    fn needs(&self, partition: u16, from: Offset);

    /// Whether the oldest records of the log, of whatever partition, stay because a restart needs later ones of this partition, or may.
    fn is_held_by(&self, partition: u16) -> bool;

    /// Bytes on the disk.
    fn bytes(&self) -> u64;
}

/// Bytes free for this process on the disk of `path`; `u64::MAX` where that cannot be told.
pub(crate) fn free_bytes(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(u64::MAX, |s| s.f_bavail.saturating_mul(s.f_frsize))
}
