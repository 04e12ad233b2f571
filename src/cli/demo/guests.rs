//! Viewers who are asked for: each waits for the row, sees what is put first, and clicks and plays it or not.
//!
//! Pure: time is the caller's. What a viewer does with a title is drawn by seed and number of the decision alone.

use super::random::Random;
use super::tastes::{DEVICES, Onlooker, Outcome, TITLES};
use super::viewers::PLACES;
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// Viewers for each decision a second: about three seconds lie between two decisions of one.
const GUESTS_PER_RATE: u64 = 3;
const GUESTS_MIN: u64 = 12;
/// They come within this time: at once, they would be a burst that is no measure of a server's latency.
const ARRIVE_MS: usize = 500;
/// A row is seen at most this long after the question.
const SEEN_MS_MAX: i64 = 300;
/// Decisions of a session.
const DECISIONS: std::ops::RangeInclusive<u64> = 4..=12;

/// An event as it is sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Event {
    id: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub event_time: i64,
    viewer: String,
    session: String,
    device: &'static str,
    country: &'static str,
    timezone: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    playhead_s: Option<f64>,
}

/// The question what to put first, for one viewer.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub number: u64,
    pub guest: usize,
    pub onlooker: Onlooker,
    /// Id of the decision.
    pub id: String,
    pub asked_ms: i64,
    /// The request.
    pub body: String,
}

#[derive(Clone)]
struct Guest {
    sessions: u32,
    /// Decisions left in this session.
    left: u64,
    device: usize,
    place: (&'static str, &'static str),
    zone: TimeZone,
    /// From when the next question may be asked.
    ready_ms: i64,
}

/// All of them, and what they are about to send.
pub(super) struct Guests {
    seed: u64,
    random: Random,
    run: String,
    guests: Vec<Guest>,
    /// Who waits for a row, longest first.
    idle: VecDeque<usize>,
    made: u64,
    asked: u64,
    /// By time, and number among equals.
    due: BTreeMap<(i64, u64), Event>,
}

impl Guests {
    /// As many as make `rate` decisions a second.
    pub(super) fn new(seed: u64, rate: u64, run: &str, now_ms: i64) -> Guests {
        let mut random = Random::new(seed ^ 0x6775_6573_7473);
        let count = (rate * GUESTS_PER_RATE).max(GUESTS_MIN) as usize;
        let guest = |_| {
            let place = random.pick(&PLACES);
            let zone = TimeZone::get(place.1).unwrap_or(TimeZone::UTC);
            let device = random.below(DEVICES.len() as u64) as usize;
            Guest { sessions: 0, left: 0, device, place, zone, ready_ms: now_ms }
        };
        let (run, guests) = (run.to_string(), (0..count).map(guest).collect());
        let mut all =
            Guests { seed, random, run, guests, idle: VecDeque::new(), made: 0, asked: 0, due: BTreeMap::new() };
        (0..count).for_each(|guest| all.rests(guest, now_ms + (guest * ARRIVE_MS / count) as i64));
        all
    }

    /// The next question, where somebody waits.
    pub(super) fn ask(&mut self, now_ms: i64, drifted: bool) -> Option<Question> {
        let guest = *self.idle.front().filter(|guest| self.guests[**guest].ready_ms <= now_ms)?;
        self.idle.pop_front();
        self.guests[guest].left -= 1;
        self.asked += 1;
        let number = self.asked;
        let id = format!("{}-d{number}", self.run);
        let items: Vec<&str> = TITLES.iter().map(|title| title.id).collect();
        let (viewer, session) = self.names(guest);
        let body = serde_json::json!({
            "id": id, "viewer": viewer, "session": session, "items": items, "event_time": now_ms
        });
        let of = &self.guests[guest];
        let onlooker = Onlooker { device: of.device, hour: hour(now_ms, &of.zone), drifted };
        Some(Question { number, guest, onlooker, id, asked_ms: now_ms, body: body.to_string() })
    }

    /// The row is there, with this title first: what the viewer does with it is sent in a moment.
    ///
    /// Viewers act within a second of the question; where the machine is so slow that the answer takes as long, what they do is sent
    /// late. Half of the players name the decision, the others leave it to viewer and item. Where `told` is true, a play is not sent as
    /// events: the caller tells its worth.
    pub(super) fn sees(&mut self, asked: &Question, title: usize, now_ms: i64, told: bool) -> Outcome {
        let mut random = Random::new(self.seed.wrapping_mul(0x9e37_79b9).wrapping_add(asked.number));
        let outcome = asked.onlooker.looks_at(&TITLES[title], &mut random);
        let names = asked.guest.is_multiple_of(2).then(|| asked.id.clone());
        let seen_ms = now_ms.min(asked.asked_ms + SEEN_MS_MAX);
        let mut send = |after: u64, kind, playhead_s| {
            let event = self.event(asked.guest, kind, seen_ms + after as i64);
            let event = Event { item: Some(TITLES[title].id), decision: names.clone(), playhead_s, ..event };
            self.post(now_ms + after as i64, event);
        };
        let (click, play) = (random.between(100, 300), random.between(100, 200));
        send(1, "impression", None);
        match outcome {
            Outcome::Played if told => {}
            Outcome::Played => {
                send(click, "click", None);
                send(click + play, "play", Some(0.0));
                send(click + play + 200, "progress", Some(0.2));
            }
            Outcome::Clicked => send(click, "click", None),
            Outcome::SentAway => send(click, "not_interested", None),
            Outcome::Ignored => {}
        }
        self.rests(asked.guest, now_ms + 800);
        outcome
    }

    /// The viewer got no answer.
    pub(super) fn gives_up(&mut self, asked: &Question, now_ms: i64) {
        self.rests(asked.guest, now_ms);
    }

    /// Events whose time has come, and the time until the next where none has.
    pub(super) fn due(&mut self, now_ms: i64) -> Vec<Event> {
        let later = self.due.split_off(&(now_ms + 1, 0));
        std::mem::replace(&mut self.due, later).into_values().collect()
    }

    /// Nothing is left to be sent.
    pub(super) fn is_done(&self) -> bool {
        self.due.is_empty()
    }

    /// The viewer waits for the next row from `ready_ms` on, in a new session where this one is over.
    fn rests(&mut self, guest: usize, ready_ms: i64) {
        self.guests[guest].ready_ms = ready_ms;
        if self.guests[guest].left == 0 {
            self.guests[guest].left = self.random.between(*DECISIONS.start(), *DECISIONS.end());
            self.guests[guest].sessions += 1;
            let opened = self.event(guest, "open", ready_ms);
            self.post(ready_ms, opened);
            self.guests[guest].ready_ms = ready_ms + self.random.between(300, 1500) as i64;
        }
        self.idle.push_back(guest);
    }

    fn names(&self, guest: usize) -> (String, String) {
        let viewer = format!("guest-{}-{guest}", self.run);
        let session = format!("g-{}-{guest}-{}", self.run, self.guests[guest].sessions);
        (viewer, session)
    }

    fn event(&mut self, guest: usize, kind: &'static str, event_time: i64) -> Event {
        self.made += 1;
        let (viewer, session) = self.names(guest);
        let Guest { device, place: (country, timezone), .. } = self.guests[guest];
        let (id, device) = (format!("{}-g{}", self.run, self.made), DEVICES[device]);
        let (item, decision, playhead_s) = (None, None, None);
        Event { id, kind, event_time, viewer, session, device, country, timezone, item, decision, playhead_s }
    }

    fn post(&mut self, due_ms: i64, event: Event) {
        self.due.insert((due_ms, self.made), event);
    }
}

/// The catalogue, as rows of `POST /v1/events`.
pub(super) fn catalogue(run: &str, now_ms: i64) -> String {
    let row = |title: &super::tastes::Title| {
        let (id, fields) =
            (format!("{run}-{}", title.id), serde_json::json!({ "title": title.name, "genre": title.genre() }));
        serde_json::json!({ "id": id, "type": "item", "item": title.id, "event_time": now_ms, "fields": fields })
    };
    serde_json::Value::from(TITLES.iter().map(row).collect::<Vec<_>>()).to_string()
}

/// Hour of the day in a zone.
fn hour(ms: i64, zone: &TimeZone) -> f64 {
    let offset_s = Timestamp::from_millisecond(ms).map_or(0, |at| i64::from(zone.to_offset(at).seconds()));
    (ms / 1000 + offset_s).rem_euclid(86_400) as f64 / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_795_000_000_000;

    #[test]
    fn a_guest_opens_a_session_before_it_is_asked_for_and_sends_what_it_does_within_a_second() {
        let mut guests = Guests::new(1, 100, "t", START);
        let (mut asked, mut kinds) = (0, BTreeMap::<&str, u32>::new());
        let come = guests.due(START + ARRIVE_MS as i64);
        assert!(come.len() == 300 && come.iter().all(|event| event.kind == "open"));
        assert!(guests.ask(START + 299, false).is_none(), "who has come looks first");
        for now in (START + ARRIVE_MS as i64..START + 20_000).step_by(10) {
            if let Some(question) = guests.ask(now, false) {
                asked += 1;
                let outcome = guests.sees(&question, asked % TITLES.len(), now, false);
                *kinds.entry(outcome.in_words()).or_default() += 1;
            }
            for event in guests.due(now) {
                assert!((0..10).contains(&(now - event.event_time)));
                *kinds.entry(event.kind).or_default() += 1;
            }
        }
        guests.due(START + 30_000).iter().for_each(|event| *kinds.entry(event.kind).or_default() += 1);
        assert!(guests.is_done() && asked > 1800, "{asked}");
        assert_eq!(kinds["impression"], asked as u32);
        assert_eq!(kinds["play"], kinds["plays it"]);
        assert_eq!(kinds["click"], kinds["plays it"] + kinds["clicks only"]);
        assert_eq!(kinds["not_interested"], kinds["sends it away"]);
    }

    #[test]
    fn the_hour_is_that_of_the_zone() {
        let tokyo = TimeZone::get("Asia/Tokyo").expect("zones are in the binary");
        assert_eq!(hour(1_795_046_400_000 / 86_400_000 * 86_400_000, &tokyo), 9.0);
    }
}
