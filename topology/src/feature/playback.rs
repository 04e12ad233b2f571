//! What the player does, from events of any dialect: DOM media events, CMCD play states, plain `play` and `pause`.
//!
//! Time between two events is given to the state between them. Noise that real players make is taken out: waiting during a seek
//! is seeking (hls.js sends rebuffering on every seek), waiting before the first quarter second played is starting, the pause
//! that a media element fires at its end is no pause, and a pause after the end is none either (dash.js, shaka). Rate 0 is
//! buffering (shaka fires no `waiting`). Events of one millisecond come in the order of their ids, so either order of
//! `seeking` and `waiting`, or of `play` and `waiting`, gives the same.
//!
//! Unique seconds are counted from playheads, as intervals per item. Where no playhead is known (CMCD has none), every second
//! played counts as new: an upper bound. A heartbeat that tells neither state nor playhead moves nothing: shaka sends it
//! whether it plays or not.

use super::{Shown, Step, add, keep, kept};

/// What an event asks of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// Asked for.
    Play,
    /// Observed: frames advance.
    Playing,
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
///
/// `stalled` is not among them: a media element fires it when a download stops, which it may well outplay.
const MOVES: [(&str, Move); 19] = [
    ("play", Move::Play),
    ("playing", Move::Playing),
    ("pause", Move::Pause),
    ("seek", Move::Jump),
    ("seeking", Move::Seek),
    ("seeked", Move::Seeked),
    ("waiting", Move::Wait),
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
    Move::Playing,
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
    "playing",
    "paused",
    "seeking",
    "rebuffering",
    "ended",
    "played_s",
    "content_s",
    "unique_s",
    "pauses",
    "paused_s",
    "longest_pause_s",
    "rebuffers",
    "rebuffering_s",
    "rebuffer_ratio",
    "seeks",
    "seeking_s",
    "startup_s",
    "rate",
    "playhead_s",
    "completion",
    "plays",
    "state",
];

/// Watched intervals kept apart; when one more comes, the oldest retires and only its length is remembered.
const INTERVALS: usize = 8;
/// A playhead ahead of where the clock says it should be by no more than this is the same stretch of watching.
const DRIFT_MS: f64 = 2000.0;
/// A pause this short before the end is the end's own.
const END_PAUSE_MS: i64 = 500;
/// Until this much of a play was played, waiting is part of its start.
const STARTUP_PLAYED_MS: u64 = 250;
/// Buffering that a seek follows this soon was the seek's.
const SEEK_NOISE_MS: i64 = 20;

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
/// Paused in all when the pause that holds began.
const PAUSED_BEFORE_MS: usize = 21;
/// Played in all when the play that holds began.
const PLAYED_BEFORE_MS: usize = 22;
/// First event about the player, or `START_TOLD`.
const HEARD: usize = 23;
/// First time that it played; 0 again once a measured start delay was seen.
const FIRST_PLAYED: usize = 24;
/// The pause that holds is among `PAUSES`.
const PAUSE_COUNTED: usize = 25;
const FIRST_INTERVAL: usize = 26;
pub(crate) const WORDS: usize = FIRST_INTERVAL + 2 * INTERVALS;

/// The player tells its starts, so what it calls playing is playing.
const START_TOLD: u64 = u64::MAX;

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
    /// Input: code of the event type in `MOVES`.
    pub kind: usize,
    /// Input: code of `Event::state`, in the order of `PlayState`.
    pub state: usize,
    /// Inputs: numbers.
    pub playhead_s: usize,
    pub duration_s: usize,
    pub value: usize,
    pub rate_field: usize,
    /// Input: milliseconds from load to first frame, as `msd` of CMCD.
    pub start_delay_ms: usize,
    /// Input: hash of the item.
    pub item: usize,
    pub outputs: Vec<usize>,
    pub shown: Shown,
}

impl Playback {
    #[inline(never)]
    pub(crate) fn update(&self, state: &mut [u64], step: &Step<'_>) {
        let told = step.word(self.kind).map(|code| MOVES[code as usize].1);
        let observed = step.word(self.state).map(|code| OBSERVED[code as usize]);
        let playhead = step.number(self.playhead_s).map(|s| s * 1000.0);
        let speaks = told.is_some() || observed.is_some() || playhead.is_some();
        let sought = observed == Some(Move::Seek) || matches!(told, Some(Move::Seek | Move::Jump));
        let is_other_item = step.word(self.item).is_some_and(|item| item != state[ITEM]);
        // Where a seek goes, or where another item is, does not say where the stretch before it ended.
        pass_time(state, step.elapsed, playhead.filter(|_| !sought && !is_other_item));
        if !speaks {
            return;
        }
        if state[HEARD] == 0 {
            state[HEARD] = step.time as u64;
        }
        self.note_item(state, step);
        if told == Some(Move::Rate)
            && let Some(rate) = step.number(self.value).or(step.number(self.rate_field))
        {
            change_rate(state, rate, step.time);
        }
        let is_blind_heartbeat = told == Some(Move::Observe) && playhead.is_none();
        if let Some(to) = observed.or(told.filter(|_| !is_blind_heartbeat)) {
            if observed == Some(Move::Playing) && is_held(state) {
                state[RATE] = 0;
            }
            transition(state, to, step.time);
        }
        match playhead {
            Some(ms) => state[PLAYHEAD_MS] = keep(ms),
            None if sought => state[PLAYHEAD_MS] = 0,
            None => {}
        }
        if let Some(delay_ms) = step.number(self.start_delay_ms) {
            correct_start(state, delay_ms);
        }
    }

    fn note_item(&self, state: &mut [u64], step: &Step<'_>) {
        if let Some(item) = step.word(self.item)
            && item != state[ITEM]
        {
            if state[ITEM] != 0 {
                state[PLAYHEAD_MS] = 0;
                state[DURATION_S] = 0;
                state[PLAYED_BEFORE_MS] = state[PLAYED_MS];
            }
            state[ITEM] = item;
        }
        if let Some(duration) = step.number(self.duration_s) {
            state[DURATION_S] = keep(duration);
        }
    }

    #[inline(never)]
    pub(crate) fn read(&self, state: &[u64], out: &mut [f32]) {
        let figures = figures(state);
        for (slot, output) in out.iter_mut().zip(&self.outputs) {
            *slot = self.shown.slot(figures[*output]);
        }
    }
}

/// Gives the time since the previous event to the state that held.
fn pass_time(state: &mut [u64], elapsed: i64, playhead: Option<f64>) {
    let ms = elapsed as u64;
    match state[STATE] {
        PLAYING => {
            let content = ms as f64 * kept(state[RATE]).unwrap_or(1.0).max(0.0);
            state[PLAYED_MS] += ms;
            add(&mut state[CONTENT_MS], content);
            watch(state, content, playhead);
        }
        PAUSED => state[PAUSED_MS] += ms,
        REBUFFERING => state[REBUFFERING_MS] += ms,
        SEEKING => state[SEEKING_MS] += ms,
        _ => {}
    }
}

/// True while the player keeps frames back by rate 0.
fn is_held(state: &[u64]) -> bool {
    kept(state[RATE]) == Some(0.0)
}

/// Rate 0 holds what plays or is about to; any other rate after it lets go.
fn change_rate(state: &mut [u64], rate: f64, time: i64) {
    let was_held = is_held(state);
    state[RATE] = keep(rate);
    match (was_held, is_held(state), state[STATE]) {
        (false, true, PLAYING) => transition(state, Move::Wait, time),
        (true, false, SEEKING) => transition(state, Move::Seeked, time),
        (true, false, _) => transition(state, Move::Resume, time),
        _ => {}
    }
}

/// Takes back what was counted before the first frame: shaka says `playing` when the buffer is full, and only by the start
/// delay it measured, once, that the viewer began later.
fn correct_start(state: &mut [u64], delay_ms: f64) {
    if state[FIRST_PLAYED] == 0 || state[HEARD] == START_TOLD || !(0.0..=f64::from(u32::MAX)).contains(&delay_ms) {
        return;
    }
    let begun = state[HEARD] + delay_ms as u64;
    let early = begun.saturating_sub(state[FIRST_PLAYED]).min(state[PLAYED_MS]);
    state[FIRST_PLAYED] = 0;
    state[PLAYED_MS] -= early;
    let startup = kept(state[STARTUP_MS]).unwrap_or(0.0);
    state[STARTUP_MS] = keep(startup + early as f64);
    for word in [CONTENT_MS, UNPLACED_MS] {
        state[word] = (f64::from_bits(state[word]) - early as f64).max(0.0).to_bits();
    }
}

fn transition(state: &mut [u64], to: Move, time: i64) {
    let from = state[STATE];
    let next = match to {
        Move::Jump => {
            state[SEEKS] += 1;
            from
        }
        Move::Pause if from == SEEKING => {
            let played = u64::from(state[BEFORE_SEEK] == PLAYING);
            state[PAUSE_COUNTED] |= played;
            state[PAUSES] += played;
            state[BEFORE_SEEK] = PAUSED;
            SEEKING
        }
        Move::Play | Move::Playing if from == SEEKING && is_held(state) => {
            state[BEFORE_SEEK] = PLAYING;
            SEEKING
        }
        // The frames that were asked for are being waited for.
        Move::Play if matches!(from, STARTING | REBUFFERING) && state[SINCE] == time as u64 => from,
        Move::Play | Move::Playing if is_held(state) => waiting(state),
        Move::Play | Move::Playing => PLAYING,
        Move::Observe if from == NONE => PLAYING,
        Move::Pause | Move::Paused if !matches!(from, ENDED | QUIT | FAILED) => PAUSED,
        Move::Seek => SEEKING,
        Move::Seeked if from == SEEKING && state[BEFORE_SEEK] == PLAYING && is_held(state) => SEEKING,
        Move::Seeked if from == SEEKING => state[BEFORE_SEEK],
        Move::Wait if matches!(from, SEEKING | ENDED | PAUSED) => from,
        Move::Wait => waiting(state),
        Move::Resume if matches!(from, REBUFFERING | STARTING) => PLAYING,
        Move::Start if !matches!(from, PLAYING | SEEKING) => {
            state[HEARD] = START_TOLD;
            STARTING
        }
        Move::Preload if matches!(from, NONE | ENDED | QUIT | FAILED) => PRELOADING,
        Move::End => ENDED,
        Move::Fail => FAILED,
        Move::Quit => QUIT,
        _ => from,
    };
    enter(state, next, time);
}

/// What waiting for frames is called: the start of a play, or an interruption of it.
fn waiting(state: &[u64]) -> u64 {
    let played_ms = state[PLAYED_MS].saturating_sub(state[PLAYED_BEFORE_MS]);
    if played_ms < STARTUP_PLAYED_MS { STARTING } else { REBUFFERING }
}

fn enter(state: &mut [u64], next: u64, time: i64) {
    let from = state[STATE];
    if next == from {
        return;
    }
    let lasted = time - state[SINCE] as i64;
    leave(state, next, lasted);
    match next {
        PLAYING => {
            state[PAUSE_COUNTED] = 0;
            if state[STARTUP_MS] == 0 && state[START_ASKED] != 0 {
                state[STARTUP_MS] = keep((time - state[START_ASKED] as i64) as f64);
            }
            if state[PLAYS] == 0 {
                state[FIRST_PLAYED] = time as u64;
            }
            if matches!(from, NONE | PRELOADING | STARTING | ENDED | QUIT) || state[PLAYS] == 0 {
                state[PLAYS] += 1;
                state[PLAYED_BEFORE_MS] = state[PLAYED_MS];
            }
        }
        STARTING if state[START_ASKED] == 0 => {
            state[START_ASKED] = if from == PLAYING { state[SINCE] } else { time as u64 };
        }
        PAUSED => {
            let played = matches!(from, PLAYING | REBUFFERING) || from == SEEKING && state[BEFORE_SEEK] == PLAYING;
            state[PAUSES] += u64::from(played);
            // One that was asked for during a seek is counted already.
            if played || from != SEEKING {
                state[PAUSE_COUNTED] = u64::from(played);
            }
            state[PAUSED_BEFORE_MS] = state[PAUSED_MS];
        }
        SEEKING => {
            state[SEEKS] += 1;
            state[PAUSE_COUNTED] = 0;
            // A seek comes back to what was before it. At the end the media element has paused itself.
            state[BEFORE_SEEK] = match from {
                REBUFFERING => PLAYING,
                ENDED => PAUSED,
                before => before,
            };
        }
        REBUFFERING => state[REBUFFERS] += 1,
        ENDED => state[PAUSE_COUNTED] = 0,
        _ => {}
    }
    state[STATE] = next;
    state[SINCE] = time as u64;
}

/// Settles what the state that held for `lasted` ms has left, and takes it back where `next` shows that it was noise.
fn leave(state: &mut [u64], next: u64, lasted: i64) {
    match state[STATE] {
        PAUSED if next == ENDED && lasted <= END_PAUSE_MS => {
            state[PAUSES] -= state[PAUSE_COUNTED];
            state[PAUSED_MS] -= lasted as u64;
        }
        // It had not begun yet: it counts when it does.
        PLAYING if next == STARTING => state[PLAYS] -= 1,
        SEEKING if next == ENDED => state[PAUSES] -= state[PAUSE_COUNTED],
        PAUSED => state[LONGEST_PAUSE_MS] = longest_pause_ms(state),
        REBUFFERING if next == SEEKING && lasted <= SEEK_NOISE_MS => {
            state[REBUFFERS] -= 1;
            state[REBUFFERING_MS] -= lasted as u64;
            state[SEEKING_MS] += lasted as u64;
        }
        _ => {}
    }
}

fn longest_pause_ms(state: &[u64]) -> u64 {
    let holds = if state[STATE] == PAUSED { state[PAUSED_MS] - state[PAUSED_BEFORE_MS] } else { 0 };
    state[LONGEST_PAUSE_MS].max(holds)
}

/// Adds `content` milliseconds of watching, ending at `playhead` where the event tells it.
fn watch(state: &mut [u64], content: f64, playhead: Option<f64>) {
    let Some(from) = kept(state[PLAYHEAD_MS]) else {
        add(&mut state[UNPLACED_MS], content);
        return;
    };
    let expected = from + content;
    let to = match playhead {
        Some(actual) if actual >= from && actual <= expected + DRIFT_MS => actual,
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

/// Unique milliseconds, and those of the current item. What has no place or was retired is taken for this item's while no other is among the
/// intervals.
fn watched_ms(state: &[u64]) -> (f64, f64) {
    let (mut all, mut of_item) = (0, 0);
    for [owner, span] in state[FIRST_INTERVAL..].as_chunks::<2>().0.iter().filter(|[owner, _]| *owner != 0) {
        let ms = (span & u64::from(u32::MAX)) - (span >> 32);
        all += ms;
        of_item += if *owner == state[ITEM] | 1 { ms } else { 0 };
    }
    let elsewhere = state[RETIRED_MS] as f64 + f64::from_bits(state[UNPLACED_MS]);
    let unique = all as f64 + elsewhere;
    (unique, if of_item == all { unique } else { of_item as f64 })
}

/// All figures, in the order of [`OUTPUTS`]; none before the player was heard of.
fn figures(state: &[u64]) -> [Option<f64>; OUTPUTS.len()] {
    if state[STATE] == NONE && state[SEEKS] == 0 {
        return [None; OUTPUTS.len()];
    }
    let seconds = |word: usize| Some(state[word] as f64 / 1000.0);
    let is = |code: u64| Some(f64::from(u8::from(state[STATE] == code)));
    let count = |word: usize| Some(state[word] as f64);
    let (unique_ms, of_item_ms) = watched_ms(state);
    let busy = state[PLAYED_MS] + state[REBUFFERING_MS];
    [
        is(PLAYING),
        is(PAUSED),
        is(SEEKING),
        is(REBUFFERING),
        is(ENDED),
        seconds(PLAYED_MS),
        Some(f64::from_bits(state[CONTENT_MS]) / 1000.0),
        Some(unique_ms / 1000.0),
        count(PAUSES),
        seconds(PAUSED_MS),
        Some(longest_pause_ms(state) as f64 / 1000.0),
        count(REBUFFERS),
        seconds(REBUFFERING_MS),
        (busy > 0).then(|| state[REBUFFERING_MS] as f64 / busy as f64),
        count(SEEKS),
        seconds(SEEKING_MS),
        kept(state[STARTUP_MS]).map(|ms| ms / 1000.0),
        Some(kept(state[RATE]).unwrap_or(1.0)),
        kept(state[PLAYHEAD_MS]).map(|ms| ms / 1000.0),
        kept(state[DURATION_S]).filter(|s| *s > 0.0).map(|s| (of_item_ms / 1000.0 / s).min(1.0)),
        count(PLAYS),
        count(STATE),
    ]
}
