//! The playback feature against hand-made sequences: what players send, and what a viewer would say happened.

use crate::driver::*;
use saccade_topology::record::PlayState;
use saccade_topology::*;

fn playback() -> Vec<FeatureSpec> {
    vec![feature("p", FeatureType::Playback)]
}

/// Plays lines of `ms kind [p=playhead s] [r=rate] [m=msd] [i=item]`, or of `ms CMCD-state`, in one letter after CTA-5004-B.
fn play(lines: &[&str]) -> Driver {
    play_with(lines, |n| format!("{n:06}"))
}

fn play_with(lines: &[&str], id: impl Fn(usize) -> String) -> Driver {
    let mut driver = Driver::new(&spec(playback()));
    for (n, line) in lines.iter().enumerate() {
        let mut words = line.split(' ');
        let ms: i64 = words.next().and_then(|ms| ms.parse().ok()).expect("a line begins with its time");
        let (kind, state) = told(words.next().expect("a line says what happened"));
        let id = id(n);
        let mut fields = vec![];
        let mut event = Event { id: &id, state, ..at(ms, kind) };
        for (name, value) in words.map(|word| word.split_once('=').expect("name=value")) {
            match name {
                "i" => event.item = Some(value),
                "p" => event.playhead_s = value.parse().ok(),
                "d" => event.duration_s = value.parse().ok(),
                "r" => event.value = value.parse().ok(),
                "m" => Fields::push(&mut fields, "msd", Value::Number(value.parse().expect("a number"))),
                _ => panic!("{line}"),
            }
        }
        event.fields = Fields::from_bytes(&fields);
        driver.accept(event);
    }
    driver
}

/// Type and state of a CMCD play state event, or the type alone.
fn told(word: &str) -> (&str, Option<PlayState>) {
    match word {
        "d" => ("preload", Some(PlayState::Preloading)),
        "s" => ("start", Some(PlayState::Starting)),
        "p" => ("playing", Some(PlayState::Playing)),
        "k" => ("seeking", Some(PlayState::Seeking)),
        "r" | "w" => ("waiting", Some(PlayState::Rebuffering)),
        "a" => ("pause", Some(PlayState::Paused)),
        "e" => ("ended", Some(PlayState::Ended)),
        "f" => ("error", Some(PlayState::Failed)),
        "q" => ("stop", Some(PlayState::Quit)),
        kind => (kind, None),
    }
}

/// Asserts figures `name=value ...`.
#[track_caller]
fn expect(driver: &Driver, figures: &str) {
    for (name, value) in figures.split_whitespace().map(|figure| figure.split_once('=').expect("name=value")) {
        let expected: f64 = value.parse().expect("a number");
        let got = driver.slot(&format!("p.{name}"));
        assert!((got - expected).abs() < 1e-5, "{name} is {got}, not {expected}");
    }
}

#[test]
fn nothing_is_shown_before_the_player_was_heard_of() {
    let absent = FeatureSpec { absent: Some(-1.0), ..feature("p", FeatureType::Playback) };
    let driver = Driver::over(vec![absent], &[at(0, "click"), at(1000, "impression")]);
    expect(&driver, "playing=-1 played_s=-1 pauses=-1 rate=-1 state=-1");
}

#[test]
fn time_is_given_to_the_state_that_held() {
    let driver = play(&["0 play", "4000 pause", "6000 play", "7000 click", "9000 stop"]);
    expect(&driver, "ended=1 playing=0 plays=1 played_s=7 pauses=1 paused_s=2 longest_pause_s=2 rebuffers=0 seeks=0");
}

#[test]
fn the_longest_pause_grows_while_it_holds() {
    let driver = play(&["0 play", "1000 pause", "4000 play", "5000 pause", "7000 click"]);
    expect(&driver, "paused=1 pauses=2 paused_s=5 longest_pause_s=3");
    let driver = play(&["0 play", "1000 pause", "4000 play", "5000 pause", "9000 click"]);
    expect(&driver, "paused=1 pauses=2 paused_s=7 longest_pause_s=4");
}

#[test]
fn waiting_during_a_seek_is_the_seeks_in_every_dialect() {
    // hls.js: k r p. dash.js: k w p. shaka: k r p. A page: seeking waiting seeked playing.
    let hls = play(&["0 s", "10 p", "5000 k", "5004 r", "5040 p", "6000 progress"]);
    let dash = play(&["0 s", "10 p", "5000 k", "5001 w", "5040 p", "6000 progress"]);
    let page =
        play(&["0 play", "10 playing", "5000 seeking", "5001 waiting", "5040 seeked", "5040 playing", "6000 click"]);
    for driver in [hls, dash] {
        expect(&driver, "playing=1 seeks=1 seeking_s=0.04 rebuffers=0 rebuffering_s=0 played_s=5.95");
    }
    expect(&page, "playing=1 seeks=1 seeking_s=0.04 rebuffers=0 rebuffering_s=0 played_s=5.96");
}

#[test]
fn events_of_one_millisecond_give_the_same_in_either_order() {
    let lines = [
        "0 play",
        "0 waiting",
        "300 playing",
        "5000 seeking",
        "5000 waiting",
        "5040 seeked",
        "5040 playing",
        "9000 pause",
        "9000 ended",
    ];
    let forth = play(&lines);
    let back = play_with(&lines, |n| format!("{:06}", 999_999 - n));
    for driver in [forth, back] {
        expect(&driver, "ended=1 plays=1 seeks=1 seeking_s=0.04 rebuffers=0 rebuffering_s=0 pauses=0 paused_s=0");
        expect(&driver, "played_s=8.66 startup_s=0.3 longest_pause_s=0");
    }
}

#[test]
fn a_pause_around_the_end_is_no_pause() {
    // dash.js and shaka send `a` before and after `e`; a media element fires `pause` before `ended`.
    let table: [&[&str]; 4] = [
        &["0 p", "5000 a", "6000 p", "9000 a", "9002 e", "9003 a", "9500 progress"],
        &["0 p", "5000 a", "6000 p", "9000 e", "9001 a", "9500 progress"],
        &["0 play", "5000 pause", "6000 play", "9000 pause", "9000 ended", "9500 click"],
        &["0 p", "5000 a", "6000 p", "8990 k", "8995 pause", "9000 e", "9500 progress"],
    ];
    for lines in table {
        expect(&play(lines), "ended=1 paused=0 pauses=1 paused_s=1 longest_pause_s=1");
    }
}

#[test]
fn an_end_takes_back_no_pause_that_was_not_its_own() {
    // A seek from a pause comes back to the pause, which is not counted again; nor is one at the start.
    expect(&play(&["0 p", "5000 a", "7000 k", "7050 a", "7060 e"]), "ended=1 pauses=1 seeks=1 paused_s=2");
    expect(
        &play(&["0 p", "1000 a", "2000 p", "3000 a", "3100 e", "4000 s", "4100 a", "4200 e"]),
        "pauses=1 paused_s=1",
    );
}

#[test]
fn buffered_but_not_yet_playing_is_taken_back_by_the_measured_start_delay() {
    // shaka 5.2: `r` at load, `p` when the buffer is full; the viewer starts at 1600, which only `msd` tells, once.
    let driver = play(&["0 progress", "20 r", "800 p", "5000 progress m=1600", "6000 a", "8000 p", "9000 progress"]);
    expect(&driver, "playing=1 plays=1 played_s=5.4 content_s=5.4 unique_s=5.4 pauses=1 paused_s=2 startup_s=1.58");
    // dash.js tells its start; its delay is counted from the viewer's wish.
    let driver = play(&["0 s", "1600 p", "5000 progress m=15", "6000 a"]);
    expect(&driver, "played_s=4.4 startup_s=1.6");
}

#[test]
fn rate_zero_is_buffering() {
    // shaka on a page: no `waiting`, only `ratechange` to 0 and back.
    let lines = ["0 play", "0 playing", "5000 ratechange r=0", "5100 click", "8000 ratechange r=1", "10000 click"];
    expect(&play(&lines[..4]), "rebuffering=1 playing=0 rebuffers=1");
    expect(&play(&lines), "playing=1 rebuffers=1 rebuffering_s=3 played_s=7 content_s=7 rebuffer_ratio=0.3 rate=1");
    // Together with told states, in the order shaka sends them.
    let told =
        play(&["0 s", "0 p", "5000 r", "5010 rate_change r=0", "8000 p", "8010 rate_change r=1", "10000 progress"]);
    expect(&told, "playing=1 rebuffers=1 rebuffering_s=3 played_s=7 content_s=7 rate=1");
}

#[test]
fn rate_zero_before_the_viewer_asks_starts_nothing() {
    let lines = ["0 ratechange r=0", "700 ratechange r=1", "2000 play", "2000 playing", "3000 click"];
    expect(&play(&lines[..2]), "playing=0");
    expect(&play(&lines), "playing=1 plays=1 played_s=1 rebuffers=0");
    // Asked for while held back: the start, until the rate lets go.
    let held = ["0 ratechange r=0", "500 play", "501 playing", "1500 ratechange r=1", "3000 click"];
    expect(&play(&held), "playing=1 plays=1 played_s=1.5 startup_s=1 rebuffers=0");
}

#[test]
fn rate_zero_after_a_seek_is_the_seeks() {
    let lines = [
        "0 play",
        "5000 seeking",
        "5001 ratechange r=0",
        "5040 seeked",
        "5041 playing",
        "6000 ratechange r=1",
        "8000 click",
    ];
    expect(&play(&lines), "playing=1 seeks=1 seeking_s=1 rebuffers=0 played_s=7");
    let paused = ["0 play", "4000 pause", "5000 seeking", "5001 ratechange r=0", "5040 seeked", "6000 click"];
    expect(&play(&paused), "paused=1 seeks=1 pauses=1");
}

#[test]
fn a_change_of_speed_while_buffering_ends_no_buffering() {
    let driver = play(&["0 p", "5000 r", "6000 rate_change r=1.5", "7000 p", "9000 rate_change r=1", "10000 progress"]);
    expect(&driver, "playing=1 rebuffers=1 rebuffering_s=2 played_s=8 content_s=9 rate=1");
}

#[test]
fn without_any_state_nothing_is_claimed() {
    // shaka's minified builds, dash.js without enabledKeys.
    let driver =
        play(&["0 progress", "20 play_state", "800 quality_change", "5000 progress", "9000 segment", "10000 progress"]);
    expect(&driver, "state=0 playing=0 played_s=0 unique_s=0 plays=0");
    // A heartbeat with a playhead is one of somebody who watches.
    let driver = play(&["0 progress p=30", "5000 progress p=35", "10000 progress p=40"]);
    expect(&driver, "playing=1 plays=1 played_s=10 unique_s=10 playhead_s=40");
}

#[test]
fn waiting_before_a_play_has_begun_is_its_start_and_later_is_rebuffering() {
    let driver =
        play(&["0 play", "5 waiting", "1200 playing", "1400 waiting", "1500 playing", "5000 waiting", "6000 playing"]);
    expect(&driver, "startup_s=1.2 rebuffers=1 rebuffering_s=1 plays=1 played_s=3.705");
    // Of the next item too.
    let next =
        play(&["0 play i=a", "9000 ended i=a", "9500 play i=b", "9505 waiting i=b", "9900 playing i=b", "10000 click"]);
    expect(&next, "rebuffers=0 plays=2 playing=1");
}

#[test]
fn a_stalled_download_is_no_rebuffering() {
    expect(&play(&["0 playing", "3000 stalled", "9000 timeupdate"]), "playing=1 rebuffers=0 played_s=9");
}

#[test]
fn a_seek_comes_back_to_what_was_before_it() {
    expect(&play(&["0 play", "1000 pause", "2000 seeking", "2050 seeked", "3000 click"]), "paused=1 pauses=1 seeks=1");
    expect(&play(&["0 play", "1000 seeking", "1050 seeked", "3000 click"]), "playing=1 pauses=0 played_s=2.95");
    // After the end the element is paused; before the start nothing plays.
    expect(
        &play(&["0 play", "1000 ended", "2000 seeking", "2050 seeked", "3000 click"]),
        "paused=1 pauses=0 played_s=1",
    );
    expect(&play(&["0 d", "100 seeking", "150 seeked", "900 click"]), "playing=0 paused=0 plays=0 seeks=1");
    // Paused while it seeks.
    expect(
        &play(&["0 play", "1000 seeking", "1010 pause", "1050 seeked", "3000 click"]),
        "paused=1 pauses=1 paused_s=1.95",
    );
}

#[test]
fn failing_and_leaving_are_states_of_their_own() {
    expect(&play(&["0 p", "2000 f", "3000 progress"]), "state=8 playing=0 played_s=2");
    expect(&play(&["0 p", "2000 q", "3000 a", "4000 progress"]), "state=9 playing=0 played_s=2 pauses=0");
    expect(&play(&["0 p", "2000 q", "3000 p", "4000 progress"]), "playing=1 plays=2 played_s=3");
}

#[test]
fn watching_again_adds_no_unique_seconds() {
    let twice = ["0 play p=0", "10000 seeking p=0", "10050 seeked p=0", "20050 pause p=10"];
    expect(&play(&twice), "played_s=20 content_s=20 unique_s=10");
    let overlapping = ["0 play p=0", "10000 seeking p=5", "10050 playing p=5", "20050 pause p=15"];
    expect(&play(&overlapping), "played_s=20 unique_s=15");
    let apart = ["0 play p=0 d=100", "10000 seeking p=50", "10050 playing p=50", "20050 pause p=60"];
    expect(&play(&apart), "unique_s=20 completion=0.2");
}

#[test]
fn where_a_seek_goes_does_not_say_where_watching_ended() {
    // A second ahead is within the drift, and yet a jump.
    expect(&play(&["0 play p=0", "5000 seeking p=6", "5050 playing p=6", "7050 pause p=8"]), "played_s=7 unique_s=7");
}

#[test]
fn a_playhead_that_stands_still_covers_nothing() {
    expect(&play(&["0 play p=0", "5000 progress p=5", "60000 progress p=6"]), "unique_s=6 playhead_s=6");
}

#[test]
fn unknown_playheads_count_every_second_as_new() {
    expect(&play(&["0 p", "10000 k", "10050 p", "20050 a"]), "unique_s=20 content_s=20");
    // After a seek without a target the place is unknown again.
    expect(&play(&["0 p p=0", "10000 k", "10050 p", "20050 a"]), "unique_s=20");
}

#[test]
fn double_speed_covers_twice_the_content() {
    let driver = play(&["0 play p=0", "5000 rate r=2", "10000 pause p=15"]);
    expect(&driver, "played_s=10 content_s=15 unique_s=15");
}

#[test]
fn of_more_than_eight_stretches_the_oldest_keeps_its_length_only() {
    let mut lines = vec!["0 play p=0".to_string()];
    for i in 1..=9i64 {
        // A second of each stretch, then 100 s further on.
        let (ms, to) = (i * 1000, i * 100);
        lines.push(format!("{ms} seeking p={to}"));
        lines.push(format!("{ms} playing p={to}"));
    }
    let sequence = |lines: &[String]| play(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    expect(&sequence(&lines), "unique_s=9");
    // Watching a kept stretch again adds nothing; the retired first one is counted anew.
    let mut kept = lines.clone();
    kept.extend(["10000 seeking p=300", "10000 playing p=300", "11000 pause p=301"].map(String::from));
    expect(&sequence(&kept), "unique_s=10");
    lines.extend(["10000 seeking p=0", "10000 playing p=0", "11000 pause p=1"].map(String::from));
    expect(&sequence(&lines), "unique_s=11");
}

#[test]
fn what_else_is_on_the_page_is_not_what_plays() {
    let lines = [
        "0 play p=0 d=40 i=a",
        "5000 impression i=b",
        "6000 click i=c",
        "10000 seeking p=0 i=a",
        "10000 playing p=0 i=a",
    ];
    expect(&play(&lines[..3]), "playhead_s=6 completion=0.15");
    let again = [&lines[..], &["20000 pause p=10 i=a"]].concat();
    expect(&play(&again), "unique_s=10 playhead_s=10 played_s=20 completion=0.25");
}

#[test]
fn another_item_has_its_own_playhead_and_seconds() {
    let lines = ["0 play p=0 i=a d=10", "10000 ended p=10 i=a", "11000 play p=0 i=b d=20", "16000 pause p=5 i=b"];
    expect(&play(&lines[..2]), "unique_s=10 completion=1");
    expect(&play(&lines[..3]), "plays=2 unique_s=10 completion=0");
    expect(&play(&lines), "plays=2 unique_s=15 playhead_s=5 completion=0.25");
}
