//! Work on segments that nobody waits for: the next one is made ahead, those that are full give back what they do not need, old ones go.

use super::segment;
use super::{Files, Settings, Tail};
use crate::{aside, clock};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How often old segments are looked for where no segment is begun; when it could not be looked.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);
const BUSY_INTERVAL: Duration = Duration::from_millis(100);

/// The thread, and where it leaves the next segment's file.
pub(super) struct Ahead {
    made: Option<Receiver<io::Result<File>>>,
    thread: Option<JoinHandle<()>>,
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
    let mut tidied = Tidied::default();
    let Settings { segment_bytes, spare, .. } = files.settings;
    loop {
        let mut made = segment::make(&files.directory, number, segment_bytes, spare);
        let mut is_made;
        loop {
            is_made = made.is_ok();
            // What could not be made may soon be: an error is no older than this when it is told.
            let interval = if tidied.tidy(files) && is_made { RETENTION_INTERVAL } else { BUSY_INTERVAL };
            match sender.send_timeout(made, interval) {
                Ok(()) => break,
                Err(SendTimeoutError::Timeout(Ok(file))) => made = Ok(file),
                // There may be room by now.
                Err(SendTimeoutError::Timeout(Err(_))) => {
                    made = segment::make(&files.directory, number, segment_bytes, spare);
                }
                Err(SendTimeoutError::Disconnected(_)) => {
                    // Nobody began it.
                    let _ = std::fs::remove_file(segment::path(&files.directory, number));
                    return;
                }
            }
        }
        number += u64::from(is_made);
    }
}

/// What was done already.
#[derive(Default)]
pub(super) struct Tidied {
    /// Segments up to this number have given back their room.
    trimmed: u64,
    /// Numbers of segments that were dropped, and whose files are there still.
    dropped: Vec<u64>,
}

impl Tidied {
    /// Gives back room behind full segments, and drops segments by age and size; false where it could not look.
    pub(super) fn tidy(&mut self, files: &Files) -> bool {
        // Whoever holds it may be waiting for a file from here.
        let Ok(mut tail) = files.tail.try_lock() else { return false };
        self.dropped.extend(drop_old(&mut tail, files, clock::now().0));
        let full = 0..tail.segments.len() - 1;
        let full: Vec<(u64, u64)> = full.map(|nth| (tail.segments[nth].number, tail.len(nth))).collect();
        drop(tail);
        let trimmed = self.trimmed;
        for (number, len) in full.into_iter().filter(|(number, _)| *number > trimmed) {
            // What cannot be given back is wasted, no more.
            let file = File::options().write(true).open(segment::path(&files.directory, number));
            let _ = file.and_then(|file| if file.metadata()?.len() > len { file.set_len(len) } else { Ok(()) });
            self.trimmed = number;
        }
        self.remove(files);
        true
    }

    /// Removes the files of dropped segments, the oldest first. One that cannot be removed keeps those behind it until it can: where it is found
    /// again without them, the log has a hole.
    fn remove(&mut self, files: &Files) {
        let is_gone = |number: &u64| match std::fs::remove_file(segment::path(&files.directory, *number)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, number, "an old segment of the log cannot be removed; it is tried again");
                false
            }
            _ => true,
        };
        let gone = self.dropped.iter().take_while(|number| is_gone(number)).count();
        self.dropped.drain(..gone);
    }
}

/// Numbers of the segments that go: all in them is too old, or too much is behind them. The last one stays, and what a restart needs.
pub(super) fn drop_old(tail: &mut Tail, files: &Files, now_ms: i64) -> Vec<u64> {
    let age_max = i64::try_from(files.settings.age_max.as_millis()).unwrap_or(i64::MAX);
    let (end, mut count) = (tail.end(), 0);
    for (nth, pair) in tail.segments.windows(2).enumerate() {
        let is_needed = (0..tail.needed.len()).any(|partition| tail.needs(&pair[1], partition));
        // All of a segment is older than any later one; a clock may have been ahead when the next was begun.
        let began_ms = tail.segments[nth + 1..].iter().map(|head| head.began_ms).min().unwrap_or(i64::MAX);
        let is_old = began_ms < now_ms.saturating_sub(age_max);
        if is_needed || !(is_old || end - pair[0].base > files.settings.bytes_max) {
            break;
        }
        count = nth + 1;
    }
    tail.segments.drain(..count).map(|head| head.number).collect()
}
