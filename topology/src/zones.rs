//! Time zones by name, from the database that the program brings along. A zone is held, in inputs and in state, as the hash of
//! its name, which does not depend on the database's version; its rules are read when they are first needed.

use crate::plan::input::hash;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::sync::OnceLock;

/// IANA names are shorter.
const NAME_BYTES_MAX: usize = 64;

/// All zones that there are.
#[derive(Debug)]
pub(crate) struct Zones {
    /// By word.
    zones: Vec<(u64, String, OnceLock<TimeZone>)>,
}

/// There is only one database.
impl PartialEq for Zones {
    fn eq(&self, _: &Zones) -> bool {
        true
    }
}

impl Zones {
    pub(crate) fn new() -> Zones {
        let names = TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect::<Vec<_>>();
        let zones = names.into_iter().filter_map(|name| Some((word(&name)?, name, OnceLock::new())));
        let mut zones: Vec<_> = zones.collect();
        zones.sort_unstable_by_key(|(word, ..)| *word);
        Zones { zones }
    }

    /// The word of a zone, never 0, whatever the case of its name; `None` where there is no such zone.
    pub(crate) fn word(&self, name: &str) -> Option<u64> {
        word(name).filter(|word| self.zone(*word).is_some())
    }

    /// Seconds east of UTC at `time`, epoch ms; 0 for a word of no zone.
    pub(crate) fn offset_s(&self, word: u64, time: i64) -> i64 {
        let zone = self.zone(word).zip(jiff::Timestamp::from_millisecond(time).ok());
        zone.map_or(0, |((name, zone), at)| {
            let read = || TimeZoneDatabase::bundled().get(name).expect("the database has the zones it lists");
            i64::from(zone.get_or_init(read).to_offset(at).seconds())
        })
    }

    fn zone(&self, word: u64) -> Option<(&str, &OnceLock<TimeZone>)> {
        let at = self.zones.binary_search_by_key(&word, |(word, ..)| *word).ok()?;
        let (_, name, zone) = &self.zones[at];
        Some((name, zone))
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

    #[test]
    fn every_zone_has_a_word_of_its_own_and_the_offset_that_the_database_says() {
        let zones = Zones::new();
        assert!(zones.zones.len() > 400, "{}", zones.zones.len());
        assert!(zones.zones.windows(2).all(|pair| pair[0].0 < pair[1].0), "words differ");
        for ms in [0, 1_772_000_000_000, 1_790_000_000_000] {
            let at = jiff::Timestamp::from_millisecond(ms).expect("a time");
            for (word, name, _) in &zones.zones {
                let expected = TimeZoneDatabase::bundled().get(name).expect("a zone").to_offset(at).seconds();
                assert_eq!((zones.word(name), zones.offset_s(*word, ms)), (Some(*word), expected.into()), "{name}");
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
