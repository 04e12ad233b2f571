//! A profile from a recorded log: numbers of its viewers, not the viewers.
//!
//! One pass, memory bounded whatever the length: counts, histograms, and the course of up to 200,000 viewers. What a log does not tell,
//! such as tastes, stays as in the default profile.

mod clock;
mod course;
mod estimate;
mod habits;
mod lengths;
mod line;
mod notes;
mod order;
mod pace;
mod rate;
mod tempo;
mod zipf;

use crate::population::Kind;
use course::{Course, Seen};
use estimate::UNKNOWN_COUNTRY;
use line::{Decision, Event, Line};
use order::{Order, Times};
use rate::Rate;
use saccade_topology::math::ln;
use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// Texts whose counts are kept; those that come first.
const TEXTS_MAX: usize = 256;
/// The player has reached the end when no more is left, milliseconds.
const END_MS: f64 = 1_500.0;

/// What was read of a log.
pub struct Fit {
    lines: u64,
    unreadable: u64,
    /// Events by type; those of types that the population does not have are only counted.
    kinds: BTreeMap<String, u64>,
    /// The first lines, until it can be told from them what the time is.
    held: Vec<String>,
    order: Order,
    rate: Rate,
    course: Course,
    /// By viewer; clocks that are right, and that are wrong.
    devices: BTreeMap<String, u64>,
    places: BTreeMap<(String, String), u64>,
    clocks: [u64; 2],
    /// Decisions and rewards told as such: calls beside events.
    calls: u64,
    /// What models were asked, by name.
    models: BTreeMap<String, Asked>,
    is_export: bool,
}

/// What a model was asked.
#[derive(Clone, Copy, Default)]
struct Asked {
    /// Decisions that belong to visits that are counted.
    counted: u64,
    /// Of the last one.
    candidates: usize,
    positions: usize,
}

/// Mean and deviation of logarithms.
#[derive(Default)]
struct Logs {
    n: f64,
    sum: f64,
    squares: f64,
}

impl Logs {
    fn take(&mut self, x: f64) {
        if x > 0.0 {
            let log = ln(x);
            self.n += 1.0;
            self.sum += log;
            self.squares += log * log;
        }
    }

    fn add(&mut self, other: &Logs) {
        (self.n, self.sum, self.squares) = (self.n + other.n, self.sum + other.sum, self.squares + other.squares);
    }

    /// Median and deviation, where there are any.
    fn spread(&self) -> Option<(f64, f64)> {
        if self.n < 10.0 {
            return None;
        }
        let mean = self.sum / self.n;
        Some((saccade_topology::math::exp(mean), (self.squares / self.n - mean * mean).max(0.0).sqrt()))
    }
}

impl Fit {
    /// Nothing was read yet. A viewer who browses and is silent for `away_after` has left.
    pub fn new(away_after: Duration) -> Fit {
        Fit {
            lines: 0,
            unreadable: 0,
            kinds: BTreeMap::new(),
            held: Vec::new(),
            order: Order::new(),
            rate: Rate::new(),
            course: Course::new(away_after.as_millis() as i64),
            devices: BTreeMap::new(),
            places: BTreeMap::new(),
            clocks: [0; 2],
            calls: 0,
            models: BTreeMap::new(),
            is_export: false,
        }
    }

    /// Reads a log to its end. `progress` is told the bytes that were read, now and then.
    pub fn read(&mut self, mut log: impl BufRead, mut progress: impl FnMut(u64)) -> io::Result<()> {
        let (mut line, mut bytes) = (String::new(), 0);
        loop {
            line.clear();
            let n = log.read_line(&mut line)?;
            if n == 0 {
                self.release();
                return Ok(());
            }
            bytes += n as u64;
            self.line(line.trim());
            if self.lines.is_multiple_of(100_000) {
                progress(bytes);
            }
        }
    }

    fn line(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.lines += 1;
        self.is_export |= text.starts_with("{\"offset\":");
        match line::read(text) {
            Some(Line::Event(event, ingest_time)) => self.event_of_line(text, &event, ingest_time),
            Some(Line::Decision(decision)) => self.decision(&decision),
            Some(Line::Reward) => self.calls += 1,
            Some(Line::Other) => {}
            None => self.unreadable += 1,
        }
    }

    /// Takes the event of a line, or holds the line back while it cannot be told what the time is.
    fn event_of_line(&mut self, text: &str, event: &Event<'_>, ingest_time: Option<i64>) {
        let Some(times) = times(event, ingest_time) else {
            self.unreadable += 1;
            return;
        };
        if self.order.knows_time(times) {
            self.release();
            self.event(event, times);
        } else {
            self.held.push(text.to_owned());
        }
    }

    /// Takes the events of the lines that were held back.
    fn release(&mut self) {
        for text in std::mem::take(&mut self.held) {
            if let Some(Line::Event(event, ingest_time)) = line::read(&text)
                && let Some(times) = times(&event, ingest_time)
            {
                self.event(&event, times);
            }
        }
    }

    fn decision(&mut self, decision: &Decision<'_>) {
        self.calls += 1;
        let who = decision.viewer.as_ref().or(decision.session.as_ref());
        let is_counted = who.is_some_and(|who| self.course.counts_ask(xxh3_64(who.as_bytes()), &self.order));
        if self.models.len() < TEXTS_MAX || self.models.contains_key(decision.model.as_ref()) {
            let before = self.models.get(decision.model.as_ref()).copied().unwrap_or_default();
            let (candidates, positions) = (decision.candidates.len(), decision.picks.len());
            let model = Asked { counted: before.counted + u64::from(is_counted), candidates, positions };
            self.models.insert(decision.model.to_string(), model);
        }
    }

    fn event(&mut self, event: &Event<'_>, times: Times) {
        if self.order.is_duplicate(&event.id) {
            return;
        }
        let who = event.viewer.as_ref().or(event.session.as_ref());
        let viewer = xxh3_64(who.unwrap_or(&event.id).as_bytes());
        if event.is_cmcd() {
            // Its types are not those of events, and it knows no device or place.
            self.order.pass(times);
            self.rate.take(self.order.now(), viewer);
            return;
        }
        count(&mut self.kinds, &event.kind);
        let told = self.order.take(times);
        self.rate.take(self.order.now(), viewer);
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == event.kind);
        if let (Some(item), Some(Kind::Impression)) = (&event.item, kind)
            && !self.course.is_bot(viewer)
        {
            self.course.habits_of(viewer).look_at(xxh3_64(item.as_bytes()), 1);
        }
        if who.is_none() || !self.course.follows(viewer) {
            return;
        }
        let session = event.session.as_ref().map_or(0, |session| xxh3_64(session.as_bytes()));
        let left_ms = event.duration_s.zip(event.playhead_s).map(|(whole, at)| (whole - at) * 1e3);
        let is_at_end = left_ms.is_some_and(|left| left < END_MS);
        let Some(kind) = kind else { return };
        if self.course.take(viewer, Seen { time: told.happened, kind, session, is_at_end }, &self.order) {
            self.clocks[usize::from(told.is_corrected)] += 1;
            self.viewer(event);
        }
        if kind == Kind::Play {
            let habits = self.course.habits_of(viewer);
            event.duration_s.into_iter().for_each(|s| habits.item_length.saturating_record((s * 1e3) as u64));
            event.rtt_ms.into_iter().for_each(|ms| habits.rtt.take(ms));
            // Later, the player has changed over to what it can have.
            let begins = event.playhead_s.is_none_or(|at| at < 0.5);
            event.throughput_kbps.filter(|_| begins).into_iter().for_each(|kbps| habits.throughput.take(kbps));
        }
    }

    /// What is known of a viewer from their first event.
    fn viewer(&mut self, event: &Event<'_>) {
        if let Some(device) = &event.device {
            count(&mut self.devices, device);
        }
        let place = (event.country.as_deref().unwrap_or(UNKNOWN_COUNTRY), event.timezone.as_deref().unwrap_or("UTC"));
        // Of whom nothing is known, it is not known that they are in another place than the others.
        if event.country.is_none() && event.timezone.is_none() {
            return;
        }
        let place = (place.0.to_owned(), place.1.to_owned());
        if self.places.len() < TEXTS_MAX || self.places.contains_key(&place) {
            *self.places.entry(place).or_insert(0) += 1;
        }
    }
}

/// None where the event does not say when it happened.
fn times(event: &Event<'_>, ingest_time: Option<i64>) -> Option<Times> {
    event.event_time().map(|event_time| Times { event_time, sent_at: event.sent_at(), ingest_time })
}

fn count(counts: &mut BTreeMap<String, u64>, text: &str) {
    if let Some(n) = counts.get_mut(text) {
        *n += 1;
    } else if counts.len() < TEXTS_MAX {
        counts.insert(text.to_owned(), 1);
    }
}

#[cfg(test)]
mod tests;
