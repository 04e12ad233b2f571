//! What is sent, as bytes: events as JSON, CMCD records, rank requests, rewards. Written by hand into buffers that are used again, so
//! that nothing is allocated per event.
//!
//! Texts of a profile are plain ASCII (its check), so nothing has to be escaped.

mod cmcd;
mod digits;
mod event;

pub use digits::{digits, number, seconds};
pub use event::Stamp;

use crate::population::{Ask, Population, Reward};
use crate::profile::Profile;

/// Writes for one profile and seed.
pub struct Wire {
    /// `s{seed}-` and the like, of every id.
    session: Vec<u8>,
    viewer: Vec<u8>,
    id: Vec<u8>,
    decision: Vec<u8>,
    /// `,"device":…,"country":…,"timezone":…` by device and country.
    belongings: Vec<Vec<Vec<u8>>>,
    clusters: u32,
    has_features: bool,
    k: u32,
}

impl Wire {
    /// For a profile and a seed.
    pub fn new(profile: &Profile, seed: u64) -> Wire {
        let prefix = |letter: &str| format!("{letter}{seed}-").into_bytes();
        let belongings = |device: &String| {
            let country = |country: &crate::profile::Country| {
                let (code, zone) = (&country.code, &country.timezone);
                format!(r#","device":"{device}","country":"{code}","timezone":"{zone}""#).into_bytes()
            };
            profile.countries.iter().map(country).collect()
        };
        Wire {
            session: prefix("s"),
            viewer: prefix("v"),
            id: prefix("l"),
            decision: prefix("d"),
            belongings: profile.viewers.devices.keys().map(belongings).collect(),
            clusters: profile.rank.clusters,
            has_features: profile.rank.features,
            k: profile.rank.k,
        }
    }

    /// Appends the name of a session.
    pub fn session(&self, out: &mut Vec<u8>, viewer: u32, visit: u32) {
        out.extend_from_slice(&self.session);
        digits(out, u64::from(viewer));
        out.push(b'-');
        digits(out, u64::from(visit));
    }

    fn viewer(&self, out: &mut Vec<u8>, viewer: u32) {
        out.extend_from_slice(&self.viewer);
        digits(out, u64::from(viewer));
    }

    /// Appends the id of a decision.
    pub fn decision(&self, out: &mut Vec<u8>, decision: u64) {
        out.extend_from_slice(&self.decision);
        digits(out, decision);
    }

    /// Appends a rank request for `candidates`.
    pub fn ask(&self, out: &mut Vec<u8>, ask: &Ask, candidates: &[u32]) {
        out.extend_from_slice(b"{\"id\":\"");
        self.decision(out, ask.decision);
        out.extend_from_slice(b"\",\"viewer\":\"");
        self.viewer(out, ask.viewer);
        out.extend_from_slice(b"\",\"session\":\"");
        self.session(out, ask.viewer, ask.visit);
        out.extend_from_slice(b"\",\"k\":");
        digits(out, u64::from(self.k));
        out.extend_from_slice(b",\"items\":[");
        for (place, item) in candidates.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(if self.has_features { b"{\"id\":\"i" } else { b"\"i" });
            digits(out, u64::from(*item));
            out.push(b'"');
            if self.has_features {
                out.extend_from_slice(b",\"features\":{\"cluster\":\"c");
                digits(out, u64::from(item % self.clusters));
                out.extend_from_slice(b"\"}}");
            }
        }
        out.extend_from_slice(b"]}");
    }

    /// Appends a reward, told at `event_time`.
    pub fn reward(&self, out: &mut Vec<u8>, reward: &Reward, event_time: u64) {
        out.extend_from_slice(b"{\"id\":\"r");
        self.decision(out, reward.decision);
        out.extend_from_slice(b"\",\"position\":");
        digits(out, u64::from(reward.position));
        out.extend_from_slice(b",\"value\":");
        number(out, reward.value);
        out.extend_from_slice(b",\"event_time\":");
        digits(out, event_time);
        out.push(b'}');
    }

    fn belongings(&self, population: &Population, viewer: u32) -> &[u8] {
        let (device, country) = population.belongings(viewer);
        &self.belongings[device][country]
    }
}

/// The items of an answer to a rank request, in its order; none where it is no such answer.
pub fn answered_items(body: &[u8]) -> Vec<u32> {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        items: Vec<Item<'a>>,
    }
    #[derive(serde::Deserialize)]
    struct Item<'a> {
        id: &'a str,
    }
    let answer: Option<Answer> = serde_json::from_slice(body).ok();
    let number = |item: &Item| item.id.strip_prefix('i')?.parse().ok();
    answer.map(|answer| answer.items.iter().filter_map(number).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
