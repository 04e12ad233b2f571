//! A log in memory: for tests that break it on purpose, and for looking at files without a data directory.

use super::{Bounds, Log, LogError, RecordBatch, VisitEach};
use saccade_topology::Offset;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[derive(Default)]
struct Partition {
    batches: Vec<(u64, Vec<u8>)>,
    end: u64,
    is_trimmed: bool,
}

/// Loses everything at the end of the process.
pub struct MemoryLog {
    partitions: Vec<Mutex<Partition>>,
    failing: AtomicBool,
    passes: AtomicU64,
}

impl MemoryLog {
    /// An empty log.
    pub fn new(partitions: u16) -> Self {
        let partitions = (0..partitions).map(|_| Mutex::default()).collect();
        MemoryLog { partitions, failing: AtomicBool::new(false), passes: AtomicU64::new(0) }
    }

    /// From now on every append and sync fails, as on a broken disk.
    pub fn fail(&self) {
        self.failing.store(true, Ordering::SeqCst);
    }

    /// Drops the first batch of a partition, as retention does.
    pub fn trim(&self, partition: u16) {
        let mut p = self.partition(partition);
        p.batches.remove(0);
        p.is_trimmed = true;
    }

    /// How often it was read, of however many partitions at once.
    pub fn passes(&self) -> u64 {
        self.passes.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), LogError> {
        if self.failing.load(Ordering::SeqCst) {
            let source = std::io::Error::other("made to fail");
            return Err(LogError::Io { doing: "writing", path: PathBuf::from("(memory)"), source });
        }
        Ok(())
    }

    fn partition(&self, partition: u16) -> std::sync::MutexGuard<'_, Partition> {
        self.partitions[usize::from(partition)].lock().expect("no thread panics while it holds the log")
    }
}

impl Log for MemoryLog {
    fn partitions(&self) -> u16 {
        self.partitions.len() as u16
    }

    fn append(&self, partition: u16, first: Offset, batch: &RecordBatch) -> Result<(), LogError> {
        self.check()?;
        let mut p = self.partition(partition);
        p.batches.push((first.0, batch.bytes().to_vec()));
        p.end = first.0 + batch.count();
        Ok(())
    }

    fn sync(&self) -> Result<(), LogError> {
        self.check()
    }

    fn read_each(&self, from: &[(u16, Offset)], visit: VisitEach<'_>) -> Result<(), LogError> {
        self.passes.fetch_add(1, Ordering::SeqCst);
        for (nth, (partition, from)) in from.iter().enumerate() {
            let batches = self.partition(*partition).batches.clone();
            for (first, bytes) in batches {
                for (offset, record) in (first..).zip(RecordBatch::records(&bytes)) {
                    let record = record.map_err(|what| LogError::Damaged { partition: *partition, offset, what })?;
                    if offset >= from.0 && visit(nth, Offset(offset), record)?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn bounds(&self, partition: u16) -> Result<Bounds, LogError> {
        let p = self.partition(partition);
        let first = Offset(p.batches.first().map_or(p.end, |(first, _)| *first));
        let kept_from = if p.is_trimmed { first } else { Offset(0) };
        Ok(Bounds { first, kept_from, next: Offset(p.end), is_trimmed: p.is_trimmed })
    }

    fn reaches(&self, partition: u16, offset: Offset) -> bool {
        offset.0 <= self.partition(partition).end
    }

    fn reserve(&self, _: u16, _: Offset) -> Result<(), LogError> {
        Ok(())
    }

    fn needs(&self, _: u16, _: Offset) {}

    fn is_held_by(&self, _: u16) -> bool {
        false
    }

    fn bytes(&self) -> u64 {
        self.partitions
            .iter()
            .map(|p| p.lock().map_or(0, |p| p.batches.iter().map(|(_, b)| b.len() as u64).sum()))
            .sum()
    }
}
