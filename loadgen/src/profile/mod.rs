//! Profiles: a population and its load as a TOML file.
//!
//! What is left out is as in `steady_evening`; unknown keys are errors. Everything is checked when a profile is loaded, so
//! that the population can rely on it: an error names file, key, value and what is allowed.

mod check;
mod rules;
mod sections;

pub use rules::{CODE_MAX, NAME_MAX, is_name};
pub use sections::{
    Away, Bots, Browse, Catalogue, Clocks, Cmcd, Country, Day, Disorder, Load, Network, Rank, Viewers, Watch,
};

use serde::Deserialize;
use std::path::Path;
use toml::{Table, Value};
use xxhash_rust::xxh3::xxh3_64;

/// Profiles that need no file.
pub const BUILT_IN: [(&str, &str); 6] = [
    ("steady_evening", include_str!("../../../configs/load/steady_evening.toml")),
    ("prime_time_spike", include_str!("../../../configs/load/prime_time_spike.toml")),
    ("bot_flood", include_str!("../../../configs/load/bot_flood.toml")),
    ("bad_network", include_str!("../../../configs/load/bad_network.toml")),
    ("one_hot_viewer", include_str!("../../../configs/load/one_hot_viewer.toml")),
    ("million_idle_sessions", include_str!("../../../configs/load/million_idle_sessions.toml")),
];

/// A population and its load.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is like, in a sentence.
    pub description: String,
    /// How much is sent, and when.
    pub load: Load,
    /// Who they are.
    pub viewers: Viewers,
    /// Where they are.
    pub countries: Vec<Country>,
    /// When they are there.
    pub day: Day,
    /// What there is to see.
    pub catalogue: Catalogue,
    /// What they do before they watch.
    pub browse: Browse,
    /// What they do while they watch.
    pub watch: Watch,
    /// How long they are gone.
    pub away: Away,
    /// What their network is like.
    pub network: Network,
    /// How their clocks are.
    pub clocks: Clocks,
    /// What happens to events on their way.
    pub disorder: Disorder,
    /// Those that are no people.
    pub bots: Bots,
    /// Decisions that are asked for.
    pub rank: Rank,
    /// Players that report by CMCD.
    pub cmcd: Cmcd,
}

impl Profile {
    /// The profile that `name` names: a built-in one, else a file.
    pub fn load(name: &str) -> Result<Profile, String> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            return Profile::read(name, text);
        }
        let text = std::fs::read_to_string(Path::new(name)).map_err(|e| {
            let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            format!("profile `{name}`: {e}; give a file or one of {}", names.join(" "))
        })?;
        Profile::read(name, &text)
    }

    /// Reads a profile; `name` is for messages.
    pub fn read(name: &str, text: &str) -> Result<Profile, String> {
        let told = |e: &dyn std::fmt::Display| format!("profile `{name}`: {}", e.to_string().trim_end());
        let given: Table = text.parse().map_err(|e| told(&e))?;
        rules::check(&given).map_err(|e| told(&e))?;
        let mut whole: Table = BUILT_IN[0].1.parse().expect("what is built in is read by a test");
        let rank = given.get("rank").and_then(Value::as_table).cloned().unwrap_or_default();
        lay_over(&mut whole, given);
        let mut profile: Profile = whole.try_into().map_err(|e| told(&e))?;
        profile.fit_candidates(&rank);
        profile.check().map_err(|e| told(&e))?;
        Ok(profile)
    }
}

impl Profile {
    /// Brings what is left out of the section `rank` down to what there is.
    fn fit_candidates(&mut self, given: &Table) {
        let (rank, items) = (&mut self.rank, self.catalogue.items);
        at_most(given, "pool", &mut rank.pool, items);
        at_most(given, "candidates", &mut rank.candidates, rank.pool);
        at_most(given, "k", &mut rank.k, rank.candidates);
    }

    /// Names all it says but for what can be asked for beside it: how much is sent, when, and of how many viewers.
    pub fn hash_of_viewers(&self) -> String {
        let load = Profile::load(BUILT_IN[0].0).expect("it is shipped").load;
        let mut rest = Profile { load, description: String::new(), ..self.clone() };
        rest.viewers.count = 0;
        format!("{:016x}", xxh3_64(format!("{rest:?}").as_bytes()))
    }
}

fn at_most(given: &Table, key: &str, value: &mut u32, max: u32) {
    if !given.contains_key(key) {
        *value = max.min(*value);
    }
}

/// Sections key by key, everything else as a whole.
fn lay_over(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(section)), Value::Table(given)) if key != "devices" => lay_over(section, given),
            (_, value) => _ = under.insert(key, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_profile_loads_and_says_what_it_is_like() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/load");
        let files = std::fs::read_dir(folder).expect("the folder of profiles is there");
        let mut names: Vec<_> = files
            .map(|file| file.expect("it can be listed").path())
            .map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default())
            .collect();
        names.sort_unstable();
        let mut built_in: Vec<_> = BUILT_IN.iter().map(|(name, _)| name.to_string()).collect();
        built_in.sort_unstable();
        assert_eq!(names, built_in, "each file is built in");
        for (name, _) in BUILT_IN {
            let profile = Profile::load(name).unwrap_or_else(|e| panic!("{e}"));
            assert!(profile.description.len() > 20, "{name}");
        }
    }

    #[test]
    fn what_is_left_out_is_as_in_steady_evening() {
        let shipped = Profile::load("steady_evening").expect("it is shipped");
        let profile = Profile::read("p.toml", "[load]\nrate = 7").expect("the rest is left out");
        assert_eq!(profile, Profile { load: Load { rate: 7, ..shipped.load.clone() }, ..shipped });
    }

    #[test]
    fn profiles_of_one_name_that_differ_have_other_hashes_and_the_load_does_not_count() {
        let hash = |text: &str| Profile::read("p.toml", text).expect("a profile").hash_of_viewers();
        assert_eq!(hash("[load]\nrate = 7\n[viewers]\ncount = 9"), hash("# nothing"));
        assert_ne!(hash("[disorder]\nduplicates = 0.25"), hash(""));
    }

    #[test]
    fn what_is_left_out_of_rank_is_no_more_than_there_is() {
        let rank = |text: &str| Profile::read("p.toml", text).map(|p| (p.rank.pool, p.rank.candidates, p.rank.k));
        assert_eq!(rank("[catalogue]\nitems = 10"), Ok((10, 10, 4)));
        assert_eq!(rank("[rank]\ncandidates = 3"), Ok((48, 3, 3)));
        let error = rank("[catalogue]\nitems = 10\n[rank]\npool = 48").expect_err("it is given");
        assert!(error.contains("rank.pool is 48; allowed: 1 to 10"), "{error}");
    }

    #[test]
    fn an_error_names_file_key_value_and_what_is_allowed() {
        let country = |rest: &str| {
            format!("[[countries]]\ncode = \"DE\"\ntimezone = \"Europe/Berlin\"\nshare = 0.5\n[[countries]]\n{rest}")
        };
        let (zone, share) =
            (country("code = \"FR\"\ntimezone = \"Europe/Bonn\"\nshare = 0.5"), country("code = \"FR\"\nshare = 1.5"));
        let missing = country("timezone = \"Europe/Paris\"\nshare = 0.5");
        for (text, wanted) in [
            ("[load]\nrat = 5", vec!["p.toml", "load.rat is not known", "allowed: rate, duration"]),
            ("[laod]\nrate = 5", vec!["laod is not known", "load, viewers, countries"]),
            ("rate = 5", vec!["rate is not known, but load.rate is"]),
            ("load = 5", vec!["load is 5", "[load]"]),
            ("countries = 5", vec!["countries is 5", "[[countries]]"]),
            ("[countries]\ncode = \"DE\"", vec!["countries is {", "[[countries]]"]),
            ("countries = [5]", vec!["countries, number 1, is 5"]),
            ("[load]\nrate = 0", vec!["p.toml", "load.rate", "0", "1 to 10000000"]),
            ("[load]\nrate = \"fast\"", vec!["load.rate is \"fast\"", "a whole number from 1 to 10000000"]),
            ("[load]\nrate = 1.5", vec!["load.rate is 1.5", "a whole number from 1"]),
            ("[load]\nduration = 30", vec!["load.duration is 30", "in quotes", "ms, s, m or h"]),
            ("[load]\narrivals = \"odd\"", vec!["load.arrivals is \"odd\"", "\"even\" or \"poisson\""]),
            ("[load]\nshape = \"wave\"", vec!["p.toml", "load.shape is \"wave\"", "spike:"]),
            ("[load]\nshape = 5", vec!["load.shape is 5", "in quotes"]),
            ("[load]\nbatch = [5, 2]", vec!["load.batch", "[5, 2]", "10000"]),
            ("[load]\nbatch = [1, 2, 3]", vec!["load.batch is [1, 2, 3]", "two whole numbers"]),
            ("[catalogue]\nzipf = nan", vec!["catalogue.zipf is nan", "0 to 5"]),
            ("[watch]\npause = 1.5", vec!["watch.pause", "1.5", "0 to 1"]),
            ("[watch]\npause = 0.6\nseek = 0.6", vec!["watch", "1.2", "together"]),
            ("[watch]\npause_length = [\"5s\"]", vec!["watch.pause_length is [\"5s\"]", "two spans"]),
            ("[browse]\nstep = \"5\"", vec!["p.toml", "browse.step is \"5\"", "whole number"]),
            ("[viewers]\ndevices = { tv = 0.5 }", vec!["viewers.devices", "0.5", "1"]),
            ("[viewers]\ndevices = { tv = \"x\" }", vec!["viewers.devices.tv is \"x\"", "0 to 1"]),
            ("[viewers]\ndevices = [\"tv\"]", vec!["viewers.devices is [\"tv\"]", "shares"]),
            ("[viewers]\ndevices = { \"a b\\\"\" = 1.0 }", vec!["viewers.devices", "letters"]),
            ("[bots]\nshare = 1.0", vec!["bots.share is 1", "0 to 0.99"]),
            (&zone, vec!["countries.timezone of number 2, \"FR\", is \"Europe/Bonn\"", "time zone"]),
            (&share, vec!["countries.share of number 2, \"FR\", is 1.5", "0 to 1"]),
            (&missing, vec!["countries.code of number 2 is missing", "letters"]),
            ("[rank]\nfeatures = 1", vec!["rank.features is 1", "true or false"]),
            ("[rank]\nliking = [0.1, 0.5]", vec!["rank.liking is [0.1, 0.5]", "not above"]),
            ("[rank]\nshare = 0.5\nk = 9\ncandidates = 5", vec!["rank.k", "9", "1 to 5, which is rank.candidates"]),
        ] {
            let message = Profile::read("p.toml", text).expect_err(text);
            for part in wanted {
                assert!(message.contains(part), "{message:?} names {part:?}");
            }
        }
    }
}
