//! What all viewers share: the profile as numbers that are ready to use, items, places, evenings.

use super::tastes::Tastes;
use crate::profile::Profile;
use crate::seeded::{Draws, Popularity, Stream, keyed};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use saccade_topology::math::{exp, sin_cos_turns};

/// Offsets of time zones are those of this day.
const DAY_OF_OFFSETS: &str = "2026-01-15T00:00:00Z";
/// Parts of a day; within one, as many come.
const PARTS: usize = 96;

/// What all viewers share. Times in microseconds of theirs.
pub(super) struct World {
    pub(super) profile: Profile,
    pub(super) seed: u64,
    pub(super) tastes: Tastes,
    popularity: Popularity,
    /// Shares added up.
    devices: Vec<f64>,
    places: Vec<f64>,
    /// How many come, as a factor, by place and part of the UTC day.
    coming: Vec<[f64; PARTS]>,
    /// It is always the hour of the start.
    pub(super) is_frozen: bool,
}

impl World {
    pub(super) fn new(profile: &Profile, seed: u64) -> World {
        World {
            devices: added_up(profile.viewers.devices.values().copied()),
            places: added_up(profile.countries.iter().map(|country| country.share)),
            coming: profile.countries.iter().map(|country| coming(profile, &country.timezone)).collect(),
            popularity: Popularity::new(u64::from(profile.catalogue.items), profile.catalogue.zipf),
            tastes: Tastes::new(&profile.rank),
            profile: profile.clone(),
            seed,
            is_frozen: false,
        }
    }

    /// An item, by its popularity.
    pub(super) fn item(&self, draws: &mut Draws) -> u32 {
        self.popularity.pick(draws.bits()) as u32
    }

    /// Length of an item, milliseconds.
    pub(super) fn length_ms(&self, item: u32) -> u32 {
        let [low, high] = self.profile.catalogue.length.map(|span| span.micros() / 1000);
        (low + keyed(self.seed, Stream::Item, u64::from(item)) % (high - low + 1)) as u32
    }

    /// Device and place of a viewer, as places in the profile's lists.
    pub(super) fn belongings(&self, draws: &mut Draws) -> (u8, u8) {
        (pick(&self.devices, draws.unit()) as u8, pick(&self.places, draws.unit()) as u8)
    }

    /// How many come at `now` at a place, as a factor of the mean.
    pub(super) fn coming(&self, place: u8, now: u64) -> f64 {
        let day = &self.profile.day;
        let passed = if self.is_frozen { 0.0 } else { now as f64 / day.length.micros() as f64 };
        let part = ((day.starts / 24.0 + passed).fract() * PARTS as f64) as usize;
        self.coming[place as usize][part.min(PARTS - 1)]
    }

    /// Throughput in kbit/s and round trip in milliseconds of a new session.
    pub(super) fn network(&self, draws: &mut Draws) -> (u32, u16) {
        let network = &self.profile.network;
        let kbps = network.throughput_kbps * exp(network.throughput_spread * draws.normal());
        let rtt = network.rtt_ms * exp(network.rtt_spread * draws.normal());
        (kbps.clamp(1.0, 1e7) as u32, rtt.clamp(0.0, 60_000.0) as u16)
    }
}

fn added_up(shares: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |share| {
        sum += share;
        sum
    };
    shares.map(add).collect()
}

fn pick(added_up: &[f64], unit: f64) -> usize {
    added_up.iter().position(|end| unit <= *end).unwrap_or(added_up.len() - 1)
}

fn coming(profile: &Profile, timezone: &str) -> [f64; PARTS] {
    let day: Timestamp = DAY_OF_OFFSETS.parse().expect("a valid time");
    let zone = TimeZone::get(timezone).expect("the profile was checked");
    let offset_h = f64::from(zone.to_offset(day).seconds()) / 3600.0;
    std::array::from_fn(|part| {
        let local = (part as f64 + 0.5) / PARTS as f64 * 24.0 + offset_h;
        1.0 + profile.day.swing * sin_cos_turns((local - profile.day.evening) / 24.0).1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenings_are_at_their_own_hour_everywhere() {
        let mut profile = Profile::load("steady_evening").expect("it is shipped");
        profile.day.starts = 0.0;
        let world = World::new(&profile, 1);
        let hour_us = 3_600_000_000;
        for (place, country) in profile.countries.iter().enumerate() {
            let best = (0..24 * 4).max_by(|a, b| {
                let at = |quarter: u64| world.coming(place as u8, quarter * hour_us / 4 + 1);
                at(*a).total_cmp(&at(*b))
            });
            let zone = TimeZone::get(&country.timezone).expect("checked");
            let day: Timestamp = DAY_OF_OFFSETS.parse().expect("valid");
            let utc = f64::from(best.expect("there are hours") as u32) / 4.0;
            let local = (utc + f64::from(zone.to_offset(day).seconds()) / 3600.0).rem_euclid(24.0);
            assert!((local - 20.5).abs() <= 0.5, "{}: {local}", country.timezone);
        }
    }

    #[test]
    fn devices_and_places_have_their_shares() {
        let profile = Profile::load("steady_evening").expect("it is shipped");
        let world = World::new(&profile, 1);
        let (mut devices, mut places) = (vec![0.0; 4], vec![0.0; profile.countries.len()]);
        for n in 0..100_000 {
            let (device, place) = world.belongings(&mut Draws::new(1, Stream::Viewer, n));
            devices[device as usize] += 1e-5;
            places[place as usize] += 1e-5;
        }
        for (share, found) in profile.viewers.devices.values().zip(&devices) {
            assert!((share - found).abs() < 0.01, "{found} for {share}");
        }
        for (country, found) in profile.countries.iter().zip(&places) {
            assert!((country.share - found).abs() < 0.01, "{found} for {}", country.timezone);
        }
    }
}
