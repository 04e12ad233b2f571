//! Time zones by name, from the database that the program brings along. A zone is held, in inputs and in state, as the hash of
//! its name, which does not depend on the database's version; its rules are read when they are first needed.

use crate::names::Names;
use crate::plan::input::hash;
use hashbrown::HashTable;
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::ops::Range;
use std::sync::OnceLock;

/// IANA names are shorter.
const NAME_BYTES_MAX: usize = 64;

/// Seconds since 1970 for which offsets are listed: 2000 to 2199, the times that events may have.
const LISTED: Range<i64> = 946_684_800..7_258_118_400;

/// Seconds of a slice of [`LISTED`]; clocks change less often.
const SLICE_S: i64 = 1 << 22;

/// All zones that there are.
#[derive(Debug)]
pub struct Zones {
    zones: HashTable<Zone>,
    /// Names as the database writes them, and the word of each: those are found without a hash.
    names: Names,
    words: Vec<u64>,
}

#[derive(Debug)]
struct Zone {
    word: u64,
    name: String,
    rules: OnceLock<Rules>,
}

/// Of one zone: its offsets as a list, which is looked through faster than rules are worked out, for the times events have.
#[derive(Debug)]
struct Rules {
    zone: TimeZone,
    /// (from when, seconds east of UTC), both in seconds, from `LISTED` on.
    offsets: Vec<(i64, i64)>,
    /// By slice: the place in `offsets` at its beginning.
    slices: Vec<u16>,
}

impl Rules {
    fn read(name: &str) -> Rules {
        let zone = TimeZoneDatabase::bundled().get(name).expect("the database has the zones it lists");
        let first = Timestamp::from_second(LISTED.start).expect("a time");
        let before = (LISTED.start, i64::from(zone.to_offset(first).seconds()));
        let later = zone.following(first).map(|t| (t.timestamp().as_second(), i64::from(t.offset().seconds())));
        let offsets: Vec<_> = std::iter::once(before).chain(later.take_while(|(from, _)| *from < LISTED.end)).collect();
        let place = |second: i64| offsets.partition_point(|(from, _)| *from <= second) - 1;
        let slices = LISTED.step_by(SLICE_S as usize).map(|second| place(second) as u16).collect();
        Rules { zone, offsets, slices }
    }

    fn offset_s(&self, time: i64) -> i64 {
        let second = time.div_euclid(1000);
        if LISTED.contains(&second) {
            let first = self.slices[((second - LISTED.start) / SLICE_S) as usize];
            let offsets = &self.offsets[usize::from(first)..];
            let later = offsets[1..].iter().take_while(|(from, _)| *from <= second).count();
            return offsets[later].1;
        }
        Timestamp::from_millisecond(time).map_or(0, |at| self.zone.to_offset(at).seconds().into())
    }
}

/// There is only one database.
impl PartialEq for Zones {
    fn eq(&self, _: &Zones) -> bool {
        true
    }
}

impl Zones {
    /// Those of the database.
    #[expect(clippy::new_without_default, reason = "it is read from a database")]
    pub fn new() -> Zones {
        let names = TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect::<Vec<_>>();
        let named: Vec<(u64, String)> = names.into_iter().filter_map(|name| Some((word(&name)?, name))).collect();
        let words = named.iter().map(|(word, _)| *word).collect();
        let names = Names::new(named.iter().map(|(_, name)| name));
        let mut zones = HashTable::with_capacity(named.len());
        for (word, name) in named {
            zones.insert_unique(word, Zone { word, name, rules: OnceLock::new() }, |zone| zone.word);
        }
        Zones { zones, names, words }
    }

    /// Whether there is a zone of this name, whatever its case.
    pub fn has(&self, name: &str) -> bool {
        self.word(name).is_some()
    }

    /// The word of a zone, never 0, whatever the case of its name; `None` where there is no such zone.
    pub(crate) fn word(&self, name: &str) -> Option<u64> {
        match self.names.place(name) {
            Some(place) => Some(self.words[place]),
            None => word(name).filter(|word| self.zone(*word).is_some()),
        }
    }

    /// Seconds east of UTC at `time`, epoch ms; 0 for a word of no zone.
    pub(crate) fn offset_s(&self, word: u64, time: i64) -> i64 {
        self.zone(word).map_or(0, |zone| zone.rules.get_or_init(|| Rules::read(&zone.name)).offset_s(time))
    }

    fn zone(&self, word: u64) -> Option<&Zone> {
        self.zones.find(word, |zone| zone.word == word)
    }
}

fn word(name: &str) -> Option<u64> {
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    Some(hash(lower).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_zone_has_a_word_of_its_own_and_the_offset_that_the_database_says() {
        let zones = Zones::new();
        assert!(zones.zones.len() > 400, "{}", zones.zones.len());
        let words: BTreeSet<u64> = zones.zones.iter().map(|zone| zone.word).collect();
        assert_eq!(words.len(), zones.zones.len(), "words differ");
        for ms in [0, 1_772_000_000_000, 1_790_000_000_000] {
            let at = jiff::Timestamp::from_millisecond(ms).expect("a time");
            for Zone { word, name, .. } in &zones.zones {
                let expected = TimeZoneDatabase::bundled().get(name).expect("a zone").to_offset(at).seconds();
                assert_eq!((zones.word(name), zones.offset_s(*word, ms)), (Some(*word), expected.into()), "{name}");
            }
        }
    }

    #[test]
    fn every_change_of_the_clocks_is_followed_to_the_millisecond() {
        let zones = Zones::new();
        for name in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata"] {
            let zone = TimeZoneDatabase::bundled().get(name).expect("a zone");
            let word = zones.word(name).expect("a zone");
            let begin = Timestamp::from_second(LISTED.start - 400 * 86_400).expect("a time");
            let changes = zone.following(begin).map(|t| t.timestamp().as_millisecond());
            let changes = changes.take_while(|ms| *ms < (LISTED.end + 400 * 86_400) * 1000);
            for ms in changes.chain([LISTED.start * 1000, LISTED.end * 1000]).flat_map(|ms| [ms - 1, ms, ms + 1]) {
                let expected = zone.to_offset(Timestamp::from_millisecond(ms).expect("a time")).seconds();
                assert_eq!(zones.offset_s(word, ms), i64::from(expected), "{name} at {ms}");
            }
        }
    }

    #[test]
    fn what_is_no_zone_has_no_word_and_no_offset() {
        let zones = Zones::new();
        for name in ["", "Mars/Olympus", "Europe", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert_eq!(zones.word(name), None, "{name}");
        }
        assert_eq!(zones.word("europe/STOCKHOLM"), zones.word("Europe/Stockholm"));
        assert_eq!((zones.offset_s(0, 0), zones.offset_s(7, 0)), (0, 0));
        let stockholm = zones.word("Europe/Stockholm").expect("a zone");
        assert_eq!(zones.offset_s(stockholm, i64::MAX), 0, "not a time");
    }
}
