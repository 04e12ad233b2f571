//! Simulated viewers: they browse, click, watch, pause, seek, wait for the network and leave, faster than people do.
//!
//! A pure function of seed, rate and run: no clock, no I/O. Time is what the caller's pace makes of it: event `n` happens
//! `n / rate` seconds after the start, and playheads move with that time. Some events arrive late or twice.

use super::random::{Random, Zipf};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Time between two events of a viewer who is here: with as many viewers as this allows, the rate is that of the plan.
const MEAN_GAP_MS: u64 = 1300;
/// Items of the catalogue.
const ITEMS: u32 = 2000;
/// Events that arrive late, of a hundred, and by how much at most: within the default out-of-orderness.
const LATE_PERCENT: u64 = 4;
const LATE_MS: std::ops::RangeInclusive<u64> = 100..=1900;
/// Events that arrive a second time, of a hundred.
const TWICE_PERCENT: u64 = 1;

const DEVICES: [&str; 3] = ["tv", "mobile", "web"];
/// Countries with a time zone of theirs.
pub(super) const PLACES: [(&str, &str); 7] = [
    ("DE", "Europe/Berlin"),
    ("GB", "Europe/London"),
    ("US", "America/New_York"),
    ("US", "America/Los_Angeles"),
    ("BR", "America/Sao_Paulo"),
    ("IN", "Asia/Kolkata"),
    ("JP", "Asia/Tokyo"),
];

/// An event as it is sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Sent {
    id: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub event_time: i64,
    pub session: Arc<str>,
    viewer: Arc<str>,
    item: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    playhead_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    depth: Option<u64>,
    device: &'static str,
    country: &'static str,
    timezone: &'static str,
    throughput_kbps: u64,
    rtt_ms: u64,
    /// Whose it is, from 0.
    #[serde(skip)]
    pub number: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Away,
    Browsing,
    /// Has clicked and will play.
    Choosing,
    Playing,
    Paused,
    Rebuffering,
}

struct Viewer {
    name: Arc<str>,
    sessions: u32,
    session: Arc<str>,
    place: (&'static str, &'static str),
    device: &'static str,
    doing: Doing,
    item: usize,
    position: u32,
    depth: u64,
    playhead_ms: u64,
    /// When the playhead was true, since the start.
    playhead_at_ms: u64,
}

/// All viewers and what they will do.
pub(super) struct Viewers {
    random: Random,
    catalogue: Zipf,
    rate: u64,
    run: String,
    /// Events so far, of the schedule: late ones and repetitions are among them.
    sent: u64,
    made: u64,
    viewers: Vec<Viewer>,
    /// Who acts next, and when.
    agenda: BinaryHeap<Reverse<(u64, usize)>>,
    /// What is on its way, by time of arrival; the number keeps the order of equals.
    held: BinaryHeap<Reverse<(u64, u64, Held)>>,
}

/// An event that arrives later than it happened. Held ones are told apart by time and number alone.
struct Held(Sent);

impl PartialEq for Held {
    fn eq(&self, _: &Held) -> bool {
        true
    }
}
impl Eq for Held {}
impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Held) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Held {
    fn cmp(&self, _: &Held) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl Viewers {
    /// Viewers who make `rate` events a second. `run` tells their ids from those of other runs.
    pub(super) fn new(seed: u64, rate: u64, run: &str) -> Viewers {
        let mut random = Random::new(seed);
        let count = (rate * MEAN_GAP_MS / 1000).max(2) as usize;
        let viewers = (0..count).map(|number| Viewer::new(number, run, &mut random)).collect();
        let agenda = (0..count).map(|number| Reverse((random.below(4000), number))).collect();
        let catalogue = Zipf::new(ITEMS);
        let (run, held) = (run.to_string(), BinaryHeap::new());
        Viewers { random, catalogue, rate, run, sent: 0, made: 0, viewers, agenda, held }
    }

    /// When the next event is sent, in milliseconds since the start.
    pub(super) fn next_ms(&self) -> u64 {
        self.sent * 1000 / self.rate
    }

    /// The next event; the start is at `start_ms` of the epoch.
    pub(super) fn next(&mut self, start_ms: i64) -> Sent {
        let now = self.next_ms();
        self.sent += 1;
        if let Some(Reverse((due, ..))) = self.held.peek()
            && *due <= now
            && let Some(Reverse((_, _, Held(event)))) = self.held.pop()
        {
            return event;
        }
        loop {
            let event = self.make(now, start_ms);
            if self.random.percent(LATE_PERCENT) {
                let late = self.random.between(*LATE_MS.start(), *LATE_MS.end());
                self.hold(now + late, event);
                continue;
            }
            if self.random.percent(TWICE_PERCENT) {
                let later = self.random.between(100, 1500);
                self.hold(now + later, event.clone());
            }
            return event;
        }
    }

    fn hold(&mut self, until_ms: u64, event: Sent) {
        self.held.push(Reverse((until_ms, self.made, Held(event))));
    }

    /// The next thing that somebody does.
    fn make(&mut self, now: u64, start_ms: i64) -> Sent {
        loop {
            let Reverse((_, number)) = self.agenda.pop().expect("everyone is on the agenda");
            let viewer = &mut self.viewers[number];
            let (kind, pause_ms) = viewer.act(now, &self.run, &self.catalogue, &mut self.random);
            self.agenda.push(Reverse((now + pause_ms, number)));
            if let Some(kind) = kind {
                self.made += 1;
                let id = format!("{}-{}", self.run, self.made);
                return viewer.event(id, kind, start_ms + now as i64, number, &mut self.random);
            }
        }
    }
}

impl Viewer {
    fn new(number: usize, run: &str, random: &mut Random) -> Viewer {
        let name: Arc<str> = format!("viewer-{run}-{number}").into();
        Viewer {
            session: name.clone(),
            name,
            sessions: 0,
            place: random.pick(&PLACES),
            device: random.pick(&DEVICES),
            doing: Doing::Away,
            item: 0,
            position: 0,
            depth: 0,
            playhead_ms: 0,
            playhead_at_ms: 0,
        }
    }

    /// What the viewer does now, if it makes an event, and how long it takes.
    fn act(&mut self, now: u64, run: &str, catalogue: &Zipf, random: &mut Random) -> (Option<&'static str>, u64) {
        match self.doing {
            Doing::Away => {
                self.sessions += 1;
                self.session =
                    format!("s-{run}-{}-{}", self.name.rsplit('-').next().unwrap_or(""), self.sessions).into();
                (self.position, self.depth, self.doing) = (0, 0, Doing::Browsing);
                self.item = catalogue.draw(random);
                (Some("impression"), random.between(200, 900))
            }
            Doing::Browsing => self.browse(catalogue, random),
            Doing::Choosing => {
                (self.playhead_ms, self.playhead_at_ms, self.doing) = (0, now, Doing::Playing);
                (Some("play"), random.between(700, 1400))
            }
            Doing::Playing => self.watch(now, random),
            Doing::Paused => {
                (self.playhead_at_ms, self.doing) = (now, Doing::Playing);
                (Some("play"), random.between(700, 1400))
            }
            Doing::Rebuffering => {
                (self.playhead_at_ms, self.doing) = (now, Doing::Playing);
                (Some("buffer_end"), random.between(700, 1400))
            }
        }
    }

    fn browse(&mut self, catalogue: &Zipf, random: &mut Random) -> (Option<&'static str>, u64) {
        match random.below(100) {
            0..50 => {
                self.item = catalogue.draw(random);
                self.position += 1;
                (Some("impression"), random.between(200, 900))
            }
            50..74 => {
                self.depth = (self.depth + random.between(3, 15)).min(100);
                (Some("scroll"), random.between(200, 800))
            }
            74..78 => (Some(random.pick(&["not_interested", "add_to_list"])), random.between(500, 1200)),
            78..95 => {
                self.doing = Doing::Choosing;
                (Some("click"), random.between(200, 600))
            }
            _ => {
                self.doing = Doing::Away;
                (None, random.between(2000, 12_000))
            }
        }
    }

    fn watch(&mut self, now: u64, random: &mut Random) -> (Option<&'static str>, u64) {
        self.playhead_ms += now.saturating_sub(self.playhead_at_ms);
        self.playhead_at_ms = now;
        let length_ms = self.length_ms();
        if self.playhead_ms >= length_ms {
            self.playhead_ms = length_ms;
            self.doing = Doing::Browsing;
            return (Some("stop"), random.between(500, 2000));
        }
        match random.below(100) {
            0..7 => {
                self.doing = Doing::Paused;
                (Some("pause"), random.between(1500, 6000))
            }
            7..12 => {
                self.playhead_ms = random.below(length_ms);
                (Some("seek"), random.between(500, 1200))
            }
            12..15 => {
                self.doing = Doing::Rebuffering;
                (Some("buffer_start"), random.between(500, 2500))
            }
            15..20 => {
                self.doing = if random.percent(60) { Doing::Browsing } else { Doing::Away };
                let pause_ms = if self.doing == Doing::Away { random.between(4000, 15_000) } else { 1000 };
                (Some("stop"), pause_ms)
            }
            _ => (Some("progress"), random.between(900, 1700)),
        }
    }

    /// Half a minute to two minutes, by item: films are short here.
    fn length_ms(&self) -> u64 {
        30_000 + (self.item as u64 * 7919) % 90_000
    }

    fn event(&self, id: String, kind: &'static str, event_time: i64, number: usize, random: &mut Random) -> Sent {
        let watching = !matches!(kind, "impression" | "scroll" | "click" | "not_interested" | "add_to_list");
        let (base_kbps, base_rtt) = match self.device {
            "tv" => (40_000, 10),
            "mobile" => (6_000, 45),
            _ => (22_000, 18),
        };
        Sent {
            id,
            kind,
            event_time,
            session: self.session.clone(),
            viewer: self.name.clone(),
            item: format!("film-{}", self.item),
            position: matches!(kind, "impression" | "click").then_some(self.position),
            playhead_s: watching.then_some(self.playhead_ms as f64 / 1000.0),
            duration_s: watching.then_some(self.length_ms() as f64 / 1000.0),
            depth: (kind == "scroll").then_some(self.depth),
            device: self.device,
            country: self.place.0,
            timezone: self.place.1,
            throughput_kbps: random.between(base_kbps / 2, base_kbps),
            rtt_ms: random.between(base_rtt, base_rtt * 3),
            number,
        }
    }
}

/// What the viewer is doing after an event of this kind.
pub(super) fn in_words(kind: &str) -> &'static str {
    match kind {
        "play" | "progress" | "buffer_end" | "seek" => "playing",
        "pause" => "paused",
        "buffer_start" => "rebuffering",
        "stop" => "stopped",
        _ => "browsing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    const START: i64 = 1_795_000_000_000;

    fn events(seed: u64, count: usize) -> Vec<Sent> {
        let mut viewers = Viewers::new(seed, 500, "t");
        (0..count).map(|_| viewers.next(START)).collect()
    }

    #[test]
    fn the_seed_decides_everything() {
        assert_eq!(events(1, 5000), events(1, 5000));
        assert_ne!(events(1, 5000), events(2, 5000));
    }

    #[test]
    fn the_rate_is_that_of_the_plan() {
        let mut viewers = Viewers::new(1, 500, "t");
        (0..5000).for_each(|_| drop(viewers.next(START)));
        assert_eq!(viewers.next_ms(), 10_000);
    }

    #[test]
    fn events_are_late_by_less_than_the_out_of_orderness_and_some_come_twice() {
        let (mut late, mut ids, mut twice) = (0, BTreeSet::new(), 0);
        for (n, event) in (0..).zip(events(3, 20_000)) {
            let behind = START + n * 2 - event.event_time;
            assert!((0..2000).contains(&behind), "{behind} ms behind");
            late += u32::from(behind >= 100);
            twice += u32::from(!ids.insert(event.id) && behind >= 100);
        }
        assert!((600..1600).contains(&late), "{late} of 20000 late");
        assert!((100..400).contains(&twice), "{twice} of 20000 twice");
    }

    #[test]
    fn a_session_plays_only_what_it_clicked_and_its_playhead_moves_with_time() {
        let mut sessions: BTreeMap<Arc<str>, Vec<Sent>> = BTreeMap::new();
        events(4, 30_000).into_iter().for_each(|e| sessions.entry(e.session.clone()).or_default().push(e));
        let mut progressed = 0;
        for events in sessions.values_mut() {
            events.sort_by(|a, b| (a.event_time, &a.id).cmp(&(b.event_time, &b.id)));
            events.dedup_by(|a, b| a.id == b.id);
            for pair in events.windows(2) {
                if pair[1].kind == "play" {
                    assert!(matches!(pair[0].kind, "click" | "pause"), "{:?}", pair[0]);
                }
                if let (Some(from), Some(to), "progress", "progress") =
                    (pair[0].playhead_s, pair[1].playhead_s, pair[0].kind, pair[1].kind)
                {
                    let passed = (pair[1].event_time - pair[0].event_time) as f64 / 1000.0;
                    assert!((to - from - passed).abs() < 1e-6, "{from} to {to} in {passed} s");
                    progressed += 1;
                }
            }
        }
        assert!(progressed > 100);
    }
}
