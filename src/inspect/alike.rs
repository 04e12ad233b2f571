//! For a session or decision that is not there: how many others are, and which have ids like it.

use crate::counted::counted;
use saccade_topology::Event;
use std::collections::HashSet;
use xxhash_rust::xxh3::xxh3_64;

/// Ids told apart; beyond, only "more than" is known.
const IDS_MAX: usize = 1_000_000;
/// Ids that are named.
const NAMED_MAX: usize = 3;

pub(super) struct Alike<'a> {
    id: &'a str,
    seen: HashSet<u64>,
    events: u64,
    /// Bytes in common and id, best first.
    nearest: Vec<(usize, String)>,
}

impl<'a> Alike<'a> {
    pub(super) fn new(id: &'a str) -> Self {
        Alike { id, seen: HashSet::new(), events: 0, nearest: vec![] }
    }

    pub(super) fn see(&mut self, event: &Event<'_>) {
        self.events += 1;
        if let Some(session) = event.session {
            self.see_id(session);
        }
    }

    pub(super) fn see_id(&mut self, id: &str) {
        if self.seen.len() >= IDS_MAX || !self.seen.insert(xxh3_64(id.as_bytes())) {
            return;
        }
        let common = in_common(self.id, id);
        if 2 * common >= self.id.len() {
            self.nearest.push((common, id.to_string()));
            self.nearest.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            self.nearest.truncate(NAMED_MAX);
        }
    }

    pub(super) fn explain(&self) -> String {
        let Alike { id, events, .. } = self;
        let (events, sessions) = (counted(*events, "event"), self.count("session"));
        let nearest = self.nearest();
        format!("no event of session {id:?} is in the log, which holds {events} of {sessions}{nearest}")
    }

    /// How many of `what` were seen.
    pub(super) fn count(&self, what: &str) -> String {
        let more = if self.seen.len() >= IDS_MAX { "more than " } else { "" };
        format!("{more}{}", counted(self.seen.len() as u64, what))
    }

    /// Ids like it, as the end of a sentence.
    pub(super) fn nearest(&self) -> String {
        let mut text = String::new();
        if !self.nearest.is_empty() {
            let names: Vec<String> = self.nearest.iter().map(|(_, name)| format!("{name:?}")).collect();
            text.push_str(&format!("; ids like it: {}", names.join(", ")));
        }
        text
    }
}

/// Bytes at both ends that are the same: a slip of the finger leaves the rest, a cut leaves the beginning.
fn in_common(a: &str, b: &str) -> usize {
    let prefix = a.bytes().zip(b.bytes()).take_while(|(x, y)| x.eq_ignore_ascii_case(y)).count();
    let left = a.len().min(b.len()) - prefix;
    prefix + a.bytes().rev().zip(b.bytes().rev()).take(left).take_while(|(x, y)| x.eq_ignore_ascii_case(y)).count()
}
