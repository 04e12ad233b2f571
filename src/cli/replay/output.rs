//! Where replayed contexts go: lines of JSON, packed records, or Parquet.

use super::parquet::ParquetFile;
use super::{Failure, Kind};
use crate::wire::{Layout, write_context};
use saccade_topology::{ContextRef, Kind as ContextKind, SessionEnd, Sink};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes written at once.
const BUFFER_BYTES: usize = 1 << 16;

/// A writer of contexts. Viewers' contexts are those of their sessions, so only sessions' are written.
pub(super) struct Output {
    to: To,
    layout: Layout,
    buffer: Vec<u8>,
    triggered_by: i64,
    written: u64,
    failed: Option<io::Error>,
    path: PathBuf,
}

enum To {
    Ndjson(BufWriter<Box<dyn Write>>),
    /// Through `Output::buffer` alone.
    Packed(Box<dyn Write>),
    Parquet(Box<ParquetFile>),
}

impl Output {
    pub(super) fn create(kind: Kind, out: &Path, partition: u16, layout: Layout) -> Result<Output, Failure> {
        let mut path = out.to_path_buf();
        let is_plain = out == Path::new("-") || out == Path::new("/dev/null");
        if partition > 0 && !is_plain {
            path.as_mut_os_string().push(format!(".{partition}"));
        }
        let open = || -> io::Result<To> {
            let to: Box<dyn Write> = match path == Path::new("-") {
                true => Box::new(io::stdout()),
                false => Box::new(File::create(&path)?),
            };
            Ok(match kind {
                Kind::Ndjson => To::Ndjson(BufWriter::with_capacity(BUFFER_BYTES, to)),
                Kind::Packed => To::Packed(to),
                Kind::Parquet => {
                    return Ok(To::Parquet(Box::new(ParquetFile::create(File::create(&path)?, &layout.names)?)));
                }
            })
        };
        if kind == Kind::Parquet && path == Path::new("-") {
            return Err(Failure::Usage("--format parquet needs a file: --out contexts.parquet".into()));
        }
        let to = open().map_err(|e| Failure::Failed(format!("creating {}: {e}", path.display())))?;
        Ok(Output { to, layout, buffer: vec![], triggered_by: 0, written: 0, failed: None, path })
    }

    /// Event time of the event that what follows is caused by.
    pub(super) fn triggered_by(&mut self, event_time: i64) {
        self.triggered_by = event_time;
    }

    fn write(&mut self, c: &ContextRef<'_>) -> io::Result<()> {
        let session = c.session.unwrap_or_default();
        match &mut self.to {
            To::Ndjson(to) => {
                self.buffer.clear();
                write_context(&mut self.buffer, c, &self.layout);
                self.buffer.push(b'\n');
                to.write_all(&self.buffer)
            }
            To::Packed(to) => {
                let session = &session.as_bytes()[..session.len().min(255)];
                self.buffer.push(session.len() as u8);
                self.buffer.extend_from_slice(session);
                self.buffer.extend_from_slice(&self.triggered_by.to_le_bytes());
                self.buffer.extend(c.vector.iter().flat_map(|x| x.to_le_bytes()));
                if self.buffer.len() >= BUFFER_BYTES {
                    to.write_all(&self.buffer)?;
                    self.buffer.clear();
                }
                Ok(())
            }
            To::Parquet(to) => to.write(c),
        }
    }

    /// Flushes; gives the number of contexts written.
    pub(super) fn finish(mut self) -> Result<u64, Failure> {
        let end = match self.failed.take() {
            Some(error) => Err(error),
            None => match self.to {
                To::Ndjson(mut to) => to.flush(),
                To::Packed(mut to) => to.write_all(&self.buffer).and_then(|()| to.flush()),
                To::Parquet(to) => to.finish(),
            },
        };
        match end {
            Ok(()) => Ok(self.written),
            Err(error) => match Failure::writing(&self.path, error) {
                // What was read is summed up all the same.
                Failure::Closed => Ok(self.written),
                failure => Err(failure),
            },
        }
    }
}

impl Sink for Output {
    fn context(&mut self, c: &ContextRef<'_>) {
        if c.kind != ContextKind::Session || self.failed.is_some() {
            return;
        }
        match self.write(c) {
            Ok(()) => self.written += 1,
            Err(error) => self.failed = Some(error),
        }
    }

    fn ended(&mut self, _: &SessionEnd<'_>) {}

    fn removed(&mut self, _: ContextKind, _: u32, _: &str) {}
}
