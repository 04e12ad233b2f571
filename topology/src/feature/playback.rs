//! What the player does, from events of any dialect: DOM media events, CMCD play states, plain `play` and `pause`.
//!
//! Time between two events is given to the state between them. Noise that real players make is taken out: waiting during a seek
//! is seeking (hls.js sends rebuffering on every seek), waiting before the first quarter second played is starting, the pause
//! that a media element fires at its end is no pause, and a pause after the end is none either (dash.js, shaka).
//!
//! Unique seconds are counted from playheads, as intervals per item. Where no playhead is known (CMCD has none), every second
//! played counts as new: an upper bound.

use super::{Shown, Step, add, keep, kept};

/// What an event asks of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Play,
    /// Asked for: a running seek goes on, and ends paused.
    Pause,
    /// Observed: whatever ran before is over.
    Paused,
    Seek,
    /// A seek without an end of its own.
    Jump,
    Seeked,
    Wait,
    Resume,
    Start,
    Preload,
    End,
    Fail,
    Quit,
    Rate,
    Observe,
}

/// Event types that move the state; their places are the codes of the input.
const MOVES: [(&str, Move); 20] = [
    ("play", Move::Play),
    ("playing", Move::Play),
    ("pause", Move::Pause),
    ("seek", Move::Jump),
    ("seeking", Move::Seek),
    ("seeked", Move::Seeked),
    ("waiting", Move::Wait),
    ("stalled", Move::Wait),
    ("buffer_start", Move::Wait),
    ("buffer_end", Move::Resume),
    ("stop", Move::End),
    ("ended", Move::End),
    ("start", Move::Start),
    ("preload", Move::Preload),
    ("quit", Move::Quit),
    ("rate", Move::Rate),
    ("rate_change", Move::Rate),
    ("ratechange", Move::Rate),
    ("progress", Move::Observe),
    ("timeupdate", Move::Observe),
];

/// Moves in the order of `PlayState`.
const OBSERVED: [Move; 9] = [
    Move::Preload,
    Move::Start,
    Move::Play,
    Move::Paused,
    Move::Seek,
    Move::Wait,
    Move::End,
    Move::Fail,
    Move::Quit,
];

/// The event types alone.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    MOVES.iter().map(|(kind, _)| *kind)
}

/// Names of the figures, in the order of `Playback::outputs`' numbers.
pub(crate) const OUTPUTS: [&str; 22] = [
    "playing", "paused", "seeking", "rebuffering", "ended", "played_s", "content_s", "unique_s", "pauses", "paused_s",
    "longest_pause_s", "rebuffers", "rebuffering_s", "rebuffer_ratio", "seeks", "seeking_s", "startup_s", "rate", "playhead_s",
    "completion", "plays", "state",
];

/// Watched intervals kept apart; when one more comes, the oldest retires and only its length is remembered.
const INTERVALS: usize = 8;
/// A playhead this near to where the clock says it should be is the same stretch of watching.
const DRIFT_MS: f64 = 2000.0;
/// A pause this short before the end is the end's own.
const END_PAUSE_MS: i64 = 500;
/// Until this much was played, waiting is part of the start.
const STARTUP_PLAYED_MS: u64 = 250;

const STATE: usize = 0;
const SINCE: usize = 1;
const RATE: usize = 2;
const PLAYED_MS: usize = 3;
const CONTENT_MS: usize = 4;
const PAUSES: usize = 5;
const PAUSED_MS: usize = 6;
const LONGEST_PAUSE_MS: usize = 7;
const REBUFFERS: usize = 8;
const REBUFFERING_MS: usize = 9;
const SEEKS: usize = 10;
const SEEKING_MS: usize = 11;
const START_ASKED: usize = 12;
const STARTUP_MS: usize = 13;
const PLAYHEAD_MS: usize = 14;
const ITEM: usize = 15;
const BEFORE_SEEK: usize = 16;
const RETIRED_MS: usize = 17;
const UNPLACED_MS: usize = 18;
const DURATION_S: usize = 19;
const PLAYS: usize = 20;
const FIRST_INTERVAL: usize = 21;
pub(crate) const WORDS: usize = FIRST_INTERVAL + 2 * INTERVALS;

// Codes of the word STATE; also the figure `state`.
const NONE: u64 = 0;
const PRELOADING: u64 = 1;
const STARTING: u64 = 2;
const PLAYING: u64 = 3;
const PAUSED: u64 = 4;
const SEEKING: u64 = 5;
const REBUFFERING: u64 = 6;
const ENDED: u64 = 7;
const FAILED: u64 = 8;
const QUIT: u64 = 9;

#[derive(Debug)]
pub(crate) struct Playback {
    /// Input: code of the event type in [`KINDS`].
    pub kind: usize,
    /// Input: code of `Event::state`, in the order of `PlayState`.
    pub state: usize,
    /// Inputs: numbers.
    pub playhead_s: usize,
    pub duration_s: usize,
    pub value: usize,
    pub rate_field: usize,
    /// Input: hash of the item.
    pub item: usize,
    pub outputs: Vec<usize>,
    pub shown: Shown,
}

impl Playback {
    pub(crate) fn update(&self, state: &mut [u64], step: &Step<'_>) {
        let told = step.word(self.kind).map(|code| MOVES[code as usize].1);
        let observed = step.word(self.state).map(|code| OBSERVED[code as usize]);
        let playhead = step.number(self.playhead_s).map(|s| s * 1000.0);
        self.pass_time(state, step.elapsed, playhead);
        self.note_item(state, step);
        if let Some(to) = observed.or(told) {
            transition(state, to, step.time);
        }
        if told == Some(Move::Rate)
            && let Some(rate) = step.number(self.value).or(step.number(self.rate_field))
        {
            state[RATE] = keep(rate);
        }
        let sought = observed == Some(Move::Seek) || matches!(told, Some(Move::Seek | Move::Jump));
        match playhead {
            Some(ms) => state[PLAYHEAD_MS] = keep(ms),
            None if sought => state[PLAYHEAD_MS] = 0,
            None => {}
        }
    }

    /// Gives the time since the previous event to the state that held.
    fn pass_time(&self, state: &mut [u64], elapsed: i64, playhead: Option<f64>) {
        let ms = elapsed as u64;
        match state[STATE] {
            PLAYING => {
                let content = ms as f64 * kept(state[RATE]).unwrap_or(1.0);
                state[PLAYED_MS] += ms;
                add(&mut state[CONTENT_MS], content);
                watch(state, content, playhead);
            }
            PAUSED => {
                state[PAUSED_MS] += ms;
                state[LONGEST_PAUSE_MS] = state[LONGEST_PAUSE_MS].max(state[PAUSED_MS] - paused_before(state));
            }
            REBUFFERING => state[REBUFFERING_MS] += ms,
            SEEKING => state[SEEKING_MS] += ms,
            _ => {}
        }
    }

    fn note_item(&self, state: &mut [u64], step: &Step<'_>) {
        if let Some(item) = step.word(self.item)
            && item != state[ITEM]
        {
            if state[ITEM] != 0 {
                state[PLAYHEAD_MS] = 0;
                state[DURATION_S] = 0;
            }
            state[ITEM] = item;
        }
        if let Some(duration) = step.number(self.duration_s) {
            state[DURATION_S] = keep(duration);
        }
    }

    pub(crate) fn read(&self, state: &[u64], out: &mut [f32]) {
        let figures = figures(state);
        for (slot, output) in out.iter_mut().zip(&self.outputs) {
            *slot = self.shown.slot(figures[*output]);
        }
    }
}

/// Milliseconds paused before the pause that holds now: kept in a word that only seeking uses otherwise.
fn paused_before(state: &[u64]) -> u64 {
    state[BEFORE_SEEK]
}

fn transition(state: &mut [u64], to: Move, time: i64) {
    let from = state[STATE];
    let next = match to {
        Move::Play => PLAYING,
        Move::Observe if from == NONE => PLAYING,
        Move::Jump => {
            state[SEEKS] += 1;
            from
        }
        Move::Pause if from == SEEKING => {
            state[PAUSES] += u64::from(state[BEFORE_SEEK] == PLAYING);
            state[BEFORE_SEEK] = PAUSED;
            SEEKING
        }
        Move::Pause | Move::Paused if !matches!(from, ENDED | QUIT | FAILED) => PAUSED,
        Move::Seek => SEEKING,
        Move::Seeked if from == SEEKING => state[BEFORE_SEEK],
        Move::Wait if matches!(from, SEEKING | ENDED | PAUSED) => from,
        Move::Wait if state[PLAYED_MS] < STARTUP_PLAYED_MS => STARTING,
        Move::Wait => REBUFFERING,
        Move::Resume if matches!(from, REBUFFERING | STARTING) => PLAYING,
        Move::Start if !matches!(from, PLAYING | SEEKING) => STARTING,
        Move::Preload if matches!(from, NONE | ENDED | QUIT | FAILED) => PRELOADING,
        Move::End => ENDED,
        Move::Fail => FAILED,
        Move::Quit => QUIT,
        _ => from,
    };
    if next != from {
        enter(state, from, next, time);
    }
}

fn enter(state: &mut [u64], from: u64, next: u64, time: i64) {
    let lasted = time - state[SINCE] as i64;
    if from == PAUSED && next == ENDED && lasted <= END_PAUSE_MS {
        state[PAUSES] = state[PAUSES].saturating_sub(1);
        state[PAUSED_MS] = state[PAUSED_MS].saturating_sub(lasted as u64);
    }
    match next {
        PLAYING => {
            if state[STARTUP_MS] == 0 && state[START_ASKED] != 0 {
                state[STARTUP_MS] = keep((time - state[START_ASKED] as i64) as f64);
            }
            state[PLAYS] += u64::from(matches!(from, NONE | PRELOADING | STARTING | ENDED));
        }
        STARTING if state[START_ASKED] == 0 => {
            state[START_ASKED] = if from == PLAYING { state[SINCE] } else { time as u64 };
        }
        PAUSED => {
            let played = matches!(from, PLAYING | REBUFFERING) || from == SEEKING && state[BEFORE_SEEK] == PLAYING;
            state[PAUSES] += u64::from(played);
            state[BEFORE_SEEK] = state[PAUSED_MS];
        }
        SEEKING => {
            state[SEEKS] += 1;
            state[BEFORE_SEEK] = if from == PAUSED { PAUSED } else { PLAYING };
        }
        REBUFFERING => state[REBUFFERS] += 1,
        _ => {}
    }
    state[STATE] = next;
    state[SINCE] = time as u64;
}

/// Adds `content` milliseconds of watching, ending at `playhead` where the event tells it.
fn watch(state: &mut [u64], content: f64, playhead: Option<f64>) {
    let Some(from) = kept(state[PLAYHEAD_MS]) else {
        add(&mut state[UNPLACED_MS], content);
        return;
    };
    let expected = from + content;
    let to = match playhead {
        Some(actual) if actual >= from && (actual - expected).abs() <= DRIFT_MS => actual,
        _ => expected,
    };
    state[PLAYHEAD_MS] = keep(to);
    cover(state, from.max(0.0) as u64, to.max(0.0) as u64);
}

/// Merges [from, to) of the current item into the intervals.
fn cover(state: &mut [u64], from: u64, to: u64) {
    let (mut from, mut to) = (from.min(u64::from(u32::MAX)), to.min(u64::from(u32::MAX)));
    if from >= to {
        return;
    }
    let item = state[ITEM] | 1;
    let intervals = &mut state[FIRST_INTERVAL..];
    let mut kept_count = 0;
    for i in 0..INTERVALS {
        let (owner, span) = (intervals[2 * i], intervals[2 * i + 1]);
        if owner == 0 {
            break;
        }
        let (start, end) = (span >> 32, span & u64::from(u32::MAX));
        if owner == item && start <= to && from <= end {
            (from, to) = (from.min(start), to.max(end));
        } else {
            (intervals[2 * kept_count], intervals[2 * kept_count + 1]) = (owner, span);
            kept_count += 1;
        }
    }
    if kept_count == INTERVALS {
        let retired = (intervals[1] & u64::from(u32::MAX)) - (intervals[1] >> 32);
        intervals.copy_within(2.., 0);
        kept_count -= 1;
        (intervals[2 * kept_count], intervals[2 * kept_count + 1]) = (item, from << 32 | to);
        state[RETIRED_MS] += retired;
        return;
    }
    (intervals[2 * kept_count], intervals[2 * kept_count + 1]) = (item, from << 32 | to);
    intervals[2 * (kept_count + 1)..].fill(0);
}

fn unique_ms(state: &[u64]) -> f64 {
    let spans = state[FIRST_INTERVAL..].chunks_exact(2).filter(|w| w[0] != 0);
    let placed: u64 = spans.map(|w| (w[1] & u64::from(u32::MAX)) - (w[1] >> 32)).sum();
    (placed + state[RETIRED_MS]) as f64 + f64::from_bits(state[UNPLACED_MS])
}

/// All figures, in the order of [`OUTPUTS`]; none before the player was heard of.
fn figures(state: &[u64]) -> [Option<f64>; OUTPUTS.len()] {
    if state[STATE] == NONE && state[SEEKS] == 0 {
        return [None; OUTPUTS.len()];
    }
    let seconds = |word: usize| Some(state[word] as f64 / 1000.0);
    let is = |code: u64| Some(f64::from(u8::from(state[STATE] == code)));
    let count = |word: usize| Some(state[word] as f64);
    let unique_s = unique_ms(state) / 1000.0;
    let busy = state[PLAYED_MS] + state[REBUFFERING_MS];
    [
        is(PLAYING),
        is(PAUSED),
        is(SEEKING),
        is(REBUFFERING),
        is(ENDED),
        seconds(PLAYED_MS),
        Some(f64::from_bits(state[CONTENT_MS]) / 1000.0),
        Some(unique_s),
        count(PAUSES),
        seconds(PAUSED_MS),
        seconds(LONGEST_PAUSE_MS),
        count(REBUFFERS),
        seconds(REBUFFERING_MS),
        (busy > 0).then(|| state[REBUFFERING_MS] as f64 / busy as f64),
        count(SEEKS),
        seconds(SEEKING_MS),
        kept(state[STARTUP_MS]).map(|ms| ms / 1000.0),
        Some(kept(state[RATE]).unwrap_or(1.0)),
        kept(state[PLAYHEAD_MS]).map(|ms| ms / 1000.0),
        kept(state[DURATION_S]).filter(|s| *s > 0.0).map(|s| (unique_s / s).min(1.0)),
        count(PLAYS),
        count(STATE),
    ]
}
