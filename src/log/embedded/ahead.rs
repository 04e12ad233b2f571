//! Work on segments that nobody waits for: the next one is made ahead, those that are full give back what they do not need, old ones go.

use super::segment;
use super::{Files, Tail};
use crate::aside;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often old segments are looked for where no segment is begun.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);

/// The thread, and where it leaves the next segment's file.
pub(super) struct Ahead {
    made: Option<Receiver<io::Result<File>>>,
    thread: Option<JoinHandle<()>>,
}

pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl Ahead {
    /// Begins with the file of segment `number`.
    pub(super) fn spawn(files: Arc<Files>, number: u64) -> Ahead {
        let (sender, made) = bounded(0);
        let run = move || {
            aside::give_way();
            run(&files, number, &sender);
        };
        let thread = std::thread::Builder::new().name("log-ahead".into()).spawn(run);
        Ahead { made: Some(made), thread: Some(thread.expect("the system starts a thread")) }
    }

    /// The next segment's file.
    pub(super) fn take(&self) -> io::Result<File> {
        let made = self.made.as_ref().expect("there until the end");
        made.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that makes segments has ended")))
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        drop(self.made.take());
        let ended = self.thread.take().map(JoinHandle::join);
        debug_assert!(ended.is_none_or(|ended| ended.is_ok()), "making segments does not panic");
    }
}

fn run(files: &Files, first: u64, sender: &Sender<io::Result<File>>) {
    let mut number = first;
    loop {
        tidy(files);
        let mut made = segment::make(&files.directory, number, files.settings.segment_bytes);
        let is_made = made.is_ok();
        while let Err(unsent) = sender.send_timeout(made, RETENTION_INTERVAL) {
            match unsent {
                SendTimeoutError::Timeout(still) => made = still,
                SendTimeoutError::Disconnected(_) => {
                    // Nobody began it.
                    let _ = std::fs::remove_file(segment::path(&files.directory, number));
                    return;
                }
            }
            tidy(files);
        }
        number += u64::from(is_made);
    }
}

/// Gives back room behind the last full segment, and drops segments by age and size.
pub(super) fn tidy(files: &Files) {
    // Whoever holds it may be waiting for a file from here.
    let Ok(mut tail) = files.tail.try_lock() else { return };
    let dropped = drop_old(&mut tail, files, now_ms());
    let full = tail.segments.len().checked_sub(2).map(|nth| (tail.segments[nth].number, tail.len(nth)));
    drop(tail);
    if let Some((number, len)) = full {
        // What cannot be given back is wasted, no more.
        let file = File::options().write(true).open(segment::path(&files.directory, number));
        let _ = file.and_then(|file| if file.metadata()?.len() > len { file.set_len(len) } else { Ok(()) });
    }
    for number in dropped {
        if let Err(error) = std::fs::remove_file(segment::path(&files.directory, number)) {
            tracing::warn!(%error, number, "an old segment of the log cannot be removed");
        }
    }
}

/// Numbers of the segments that go: all in them is too old, or too much is behind them. The last one stays.
pub(super) fn drop_old(tail: &mut Tail, files: &Files, now_ms: i64) -> Vec<u64> {
    let age_max = i64::try_from(files.settings.age_max.as_millis()).unwrap_or(i64::MAX);
    let end = tail.end();
    // All of a segment is older than the next one.
    let goes = |pair: &&[segment::Head]| {
        end - pair[0].base > files.settings.bytes_max || pair[1].began_ms < now_ms.saturating_sub(age_max)
    };
    let count = tail.segments.windows(2).take_while(goes).count();
    tail.segments.drain(..count).map(|head| head.number).collect()
}
