//! Which events are looked at closely: those of a sample of viewers, found in the bodies as they are sent.
//!
//! The text decides, not the population: the checks see what the server sees. A body without a sampled viewer costs a search for
//! `"viewer":"` and a hash each.

use memchr::memmem;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

const VIEWER: &[u8] = b"\"viewer\":\"";

/// Who does nothing for as long has left, as far as the sample is concerned.
pub const SILENT: Duration = Duration::from_secs(60);
/// How often it is looked who has left.
const LOOK: Duration = Duration::from_secs(1);

/// Chooses viewers: of those whose hash divides by the gate, the first ones that appear, and later those that appear when others have
/// left. So it lasts as long as the run. Who was chosen once stays so, as all they do is compared.
pub struct Sample {
    gate: u64,
    viewers_max: usize,
    viewers: HashMap<Box<str>, u32>,
    /// When each of them was last there, by number.
    seen: Vec<Duration>,
    /// Numbers of those who have a place.
    placed: Vec<u32>,
    /// Hashes of those who began while there was no place: what they did by then is not known, so they never get one.
    passed_over: HashSet<u64>,
    looked: Duration,
}

/// An event of a sampled viewer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Place in its batch.
    pub index: usize,
    /// Number of the viewer.
    pub viewer: u32,
    /// Deduplication key.
    pub id: Box<str>,
    /// Session, where it names one.
    pub session: Option<Box<str>>,
    /// Epoch milliseconds by the player's clock.
    pub event_time: i64,
    /// The same of its sending.
    pub sent_at: Option<i64>,
    /// The event as it was sent.
    pub text: Box<str>,
}

#[derive(Deserialize)]
struct Names<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    viewer: Option<Cow<'a, str>>,
    #[serde(borrow)]
    session: Option<Cow<'a, str>>,
    event_time: i64,
    sent_at: Option<i64>,
}

impl Sample {
    /// At most `viewers_max` at a time of about `viewers_expected`.
    pub fn new(viewers_max: usize, viewers_expected: u64) -> Sample {
        // Four times as many pass as are wanted, so that the sample is full early and yet not just the first to come.
        let gate = (viewers_expected / (4 * viewers_max.max(1) as u64)).clamp(1, 4096);
        Sample {
            gate,
            viewers_max,
            viewers: HashMap::new(),
            seen: vec![],
            placed: vec![],
            passed_over: HashSet::new(),
            looked: Duration::ZERO,
        }
    }

    /// Rows of the body, one object or an array or lines of them, whose viewers are sampled; it is due then, from the start.
    pub fn rows(&mut self, body: &[u8], due: Duration) -> Vec<Row> {
        if !self.touches(body, due) {
            return vec![];
        }
        let texts = objects(body).into_iter().enumerate();
        texts.filter_map(|(index, range)| self.row(index, std::str::from_utf8(&body[range]).ok()?)).collect()
    }

    /// Whether any viewer of the body is sampled; new ones are taken in while there is room.
    fn touches(&mut self, body: &[u8], due: Duration) -> bool {
        let mut touches = false;
        for at in memmem::find_iter(body, VIEWER) {
            let id = &body[at + VIEWER.len()..];
            let Some(end) = memchr::memchr(b'"', id) else { continue };
            touches |= self.takes(&id[..end], due);
        }
        touches
    }

    fn takes(&mut self, viewer: &[u8], due: Duration) -> bool {
        let hash = xxh3_64(viewer);
        if self.viewers_max == 0 || !hash.is_multiple_of(self.gate) {
            return false;
        }
        let Ok(viewer) = std::str::from_utf8(viewer) else { return false };
        if let Some(number) = self.viewers.get(viewer) {
            self.seen[*number as usize] = due;
            return true;
        }
        if self.passed_over.contains(&hash) || !self.has_place(due) {
            self.passed_over.insert(hash);
            return false;
        }
        let number = self.viewers.len() as u32;
        self.viewers.insert(viewer.into(), number);
        self.seen.push(due);
        self.placed.push(number);
        true
    }

    /// Whether one more can be taken in; who has left gives the place back.
    fn has_place(&mut self, due: Duration) -> bool {
        if self.placed.len() == self.viewers_max && due.saturating_sub(self.looked) >= LOOK {
            self.looked = due;
            self.placed.retain(|number| due.saturating_sub(self.seen[*number as usize]) < SILENT);
        }
        self.placed.len() < self.viewers_max
    }

    fn row(&self, index: usize, text: &str) -> Option<Row> {
        let names: Names<'_> = serde_json::from_str(text).ok()?;
        let viewer = *self.viewers.get(names.viewer?.as_ref())?;
        let session = names.session.map(|session| session.as_ref().into());
        let Names { id, event_time, sent_at, .. } = names;
        Some(Row { index, viewer, id: id.as_ref().into(), session, event_time, sent_at, text: text.into() })
    }
}

/// Where the outermost objects of a body are.
fn objects(body: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut depth, mut begin) = (vec![], 0u32, 0);
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            b'{' => {
                begin = if depth == 0 { at } else { begin };
                depth += 1;
            }
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    found.push(begin..at + 1);
                }
            }
            b'"' => at = string_end(body, at),
            _ => {}
        }
        at += 1;
    }
    found
}

/// Place of the quote that ends the string begun at `at`.
fn string_end(body: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < body.len() && body[end] != b'"' {
        end += if body[end] == b'\\' { 2 } else { 1 };
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u32, viewer: &str) -> String {
        format!(
            r#"{{"id":"e{id}","type":"click","event_time":{id},"session":"s-{viewer}","viewer":"{viewer}","fields":{{"a":"}}\"]"}}}}"#
        )
    }

    #[test]
    fn rows_of_sampled_viewers_are_found_in_arrays_lines_and_single_objects() {
        let (a, b) = (event(1, "a"), event(2, "b"));
        for body in [format!("[{a},{b}]"), format!("{a}\n{b}\n"), format!("{{\"events\":[]}}\n[{a}, {b}]")] {
            let rows = Sample::new(1, 1).rows(body.as_bytes(), Duration::ZERO);
            assert_eq!(rows.len(), 1, "only one viewer is wanted: {body}");
            assert_eq!((&*rows[0].id, rows[0].session.as_deref(), rows[0].event_time), ("e1", Some("s-a"), 1));
            assert_eq!(&*rows[0].text, a);
        }
        let rows = Sample::new(2, 2).rows(format!("[{a},{b},{a}]").as_bytes(), Duration::ZERO);
        assert_eq!(rows.iter().map(|row| (row.index, row.viewer)).collect::<Vec<_>>(), [(0, 0), (1, 1), (2, 0)]);
    }

    #[test]
    fn a_viewer_is_sampled_from_the_first_event_or_never() {
        let mut sample = Sample::new(10, 1_000);
        let mut first_seen = std::collections::BTreeMap::new();
        for i in 0..5_000u32 {
            let viewer = format!("v{}", i % 1_000);
            let taken = sample.rows(event(i, &viewer).as_bytes(), Duration::ZERO).len();
            assert_eq!(*first_seen.entry(viewer).or_insert(taken), taken);
        }
        assert_eq!(first_seen.values().sum::<usize>(), 10);
        // One of 25 passes the gate: the sample is not simply the first ten.
        assert!(sample.viewers.keys().any(|viewer| viewer[1..].parse::<u32>().is_ok_and(|n| n > 20)));
    }

    #[test]
    fn who_has_left_gives_the_place_to_one_who_begins_then_and_stays_known() {
        let mut sample = Sample::new(1, 1);
        let mut is_taken =
            |viewer: &str, at_s| !sample.rows(event(1, viewer).as_bytes(), Duration::from_secs(at_s)).is_empty();
        assert!(is_taken("a", 0) && !is_taken("b", 1));
        assert!(is_taken("a", 30) && !is_taken("c", 70), "not silent for long");
        assert!(!is_taken("b", 100), "what was done before is not known");
        assert!(is_taken("d", 100) && is_taken("a", 101), "all that was done is known");
        assert!(!is_taken("e", 102));
    }

    #[test]
    fn nothing_is_sampled_where_nothing_is_wanted() {
        assert_eq!(Sample::new(0, 10).rows(event(1, "a").as_bytes(), Duration::ZERO), []);
        assert_eq!(Sample::new(1, 1).rows(b"\"viewer\":\"", Duration::ZERO), []);
    }
}
