use super::estimate::Estimate;
use super::*;
use crate::profile::{Load, Profile};
use crate::schedule::{Arrivals, Plan, Shape};
use crate::source::{Call, Framing, Source, Viewers};
use crate::span::Span;

/// 2026-01-15T19:00:00Z.
const START_MS: u64 = 1_768_503_600_000;

/// The log of a profile: as many events as come within so many seconds.
fn log(profile: &Profile, seconds: u64) -> Vec<u8> {
    log_from(START_MS, profile, seconds)
}

fn plan(profile: &Profile, seconds: u64) -> Plan {
    let (rate, shape) = (profile.load.rate, profile.load.shape.clone());
    let events = Plan::events_in(rate, &shape, seconds * 1_000_000_000);
    Plan { rate, shape, arrivals: Arrivals::Even, batch: 1..=1, events, seed: 8 }
}

/// The same, dated from `start_ms` on.
fn log_from(start_ms: u64, profile: &Profile, seconds: u64) -> Vec<u8> {
    let mut source = Source::Viewers(Box::new(Viewers::new(profile, plan(profile, seconds), false)));
    source.start_at(start_ms);
    source.frame(Framing::Lines);
    let mut log = Vec::new();
    while let Some(request) = source.next() {
        log.extend_from_slice(&request.body);
        source.recycle(request);
    }
    log
}

/// The same as `export` writes it, with the decisions that were asked for; nobody answers them.
fn exported(profile: &Profile, seconds: u64) -> Vec<u8> {
    let mut source = Source::Viewers(Box::new(Viewers::new(profile, plan(profile, seconds), true)));
    source.start_at(START_MS);
    source.frame(Framing::Lines);
    let mut log = String::new();
    while let Some(request) = source.next() {
        let ingest_time = START_MS + request.due_ns / 1_000_000;
        let mut body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let record = match request.call {
            Call::Events => "event",
            Call::Rank { .. } => {
                (body["model"], body["candidates"]) = ("home".into(), body["items"].take());
                body["picks"] = serde_json::json!([{}, {}]);
                "decision"
            }
            Call::Cmcd => {
                body = cmcd_event(str::from_utf8(&request.body).expect("text"), ingest_time);
                "event"
            }
            Call::Reward => continue,
        };
        log += &format!("{{\"offset\":1,\"partition\":0,\"ingest_time\":{ingest_time},\"{record}\":{body}}}\n");
        source.recycle(request);
    }
    log.into_bytes()
}

/// What the server makes of a CMCD record, as far as it matters here.
fn cmcd_event(record: &str, time: u64) -> serde_json::Value {
    let session = record.split("sid=\"").nth(1).and_then(|rest| rest.split('"').next());
    let id = format!("cmcd-{:016x}", xxh3_64(record.as_bytes()));
    let kind = if record.contains("sta=a") { "pause" } else { "playing" };
    serde_json::json!({"id": id, "type": kind, "event_time": time, "sent_at": time, "sent_at_inferred": true, "session": session})
}

fn fitted(log: &[u8]) -> Estimate {
    let mut fit = Fit::new(Duration::from_secs(30));
    fit.read(log, |_| ()).expect("memory can be read");
    fit.finish("log").expect("it holds enough")
}

fn near(name: &str, found: f64, expected: f64, part: f64) {
    assert!((found - expected).abs() <= part * expected.abs(), "{name}: {found} for {expected}");
}

#[test]
fn the_profile_of_a_generated_log_is_near_the_one_that_generated_it() {
    let mut profile = Profile::load("bad_network").expect("it is shipped");
    (profile.load.rate, profile.day.swing) = (60, 0.0);
    profile.disorder.retries = 0.0;
    profile.catalogue.items = 300;
    // Long enough for pauses and absences to be over.
    (profile.away.length, profile.away.return_after) = (minutes(6), minutes(2));
    profile.watch.pause_length[1] = minutes(20);
    let found = fitted(&log(&profile, 6_000));
    let (f, p) = (&found.profile, &profile);
    near("rate", f.load.rate as f64, 60.0, 0.02);
    assert_eq!((&f.load.shape, f.load.duration, f.bots.share), (&Shape::Constant, Span(Duration::from_secs(30)), 0.0));
    near("zipf", f.catalogue.zipf, p.catalogue.zipf, 0.05);
    near("step", f.browse.step.seconds(), p.browse.step.seconds(), 0.12);
    near("impression", f.browse.impression, p.browse.impression, 0.06);
    near("scroll", f.browse.scroll, p.browse.scroll, 0.06);
    near("click", f.browse.click, p.browse.click, 0.1);
    near("progress", f.watch.progress.seconds(), p.watch.progress.seconds(), 0.06);
    near("rebuffer", f.watch.rebuffer, p.watch.rebuffer, 0.06);
    near("rebuffer_length", f.watch.rebuffer_length.seconds(), p.watch.rebuffer_length.seconds(), 0.08);
    near("quality_change", f.watch.quality_change, p.watch.quality_change, 0.06);
    near("pause", f.watch.pause, p.watch.pause, 0.1);
    near("abandon", f.watch.abandon, p.watch.abandon, 0.1);
    near("startup", f.watch.startup.seconds(), p.watch.startup.seconds(), 0.1);
    near("pause_tail", f.watch.pause_tail, p.watch.pause_tail, 0.1);
    near("leave", f.watch.leave, p.watch.leave, 0.15);
    near("return_share", f.away.return_share, p.away.return_share, 0.3);
    near("away", f.away.length.seconds(), p.away.length.seconds(), 0.25);
    near("reordered", f.disorder.reordered, p.disorder.reordered, 0.1);
    near("late", f.disorder.late, p.disorder.late, 0.2);
    near("duplicates", f.disorder.duplicates, p.disorder.duplicates, 0.1);
    near("wrong clocks", f.clocks.wrong, p.clocks.wrong, 0.2);
    near("throughput", f.network.throughput_kbps, p.network.throughput_kbps, 0.35);
    near("mobile", f.viewers.devices["mobile"], 0.7, 0.1);
    near("GB", f.countries.iter().find(|c| c.code == "GB").map_or(0.0, |c| c.share), 0.16, 0.25);
    assert!(found.to_string().contains("duplicates 4.") || found.to_string().contains("duplicates 5."), "{found}");
    // What is written is what was found, and a population can live by it.
    let again = Profile::read("profile.toml", &found.toml()).unwrap_or_else(|e| panic!("{e}\n{}", found.toml()));
    near("written", again.watch.pause_tail, f.watch.pause_tail, 0.01);
    assert_eq!(again.viewers.devices.len(), f.viewers.devices.len());
    assert!(!log(&Profile { load: profile.load.clone(), ..again }, 2).is_empty());
}

fn minutes(n: u64) -> Span {
    Span(Duration::from_secs(60 * n))
}

#[test]
fn an_exported_log_is_read_and_garbage_is_counted() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    (profile.load.rate, profile.rank.share) = (50, 0.0);
    let mut log = String::from("garbage\n{\"offset\":0,\"partition\":0,\"ingest_time\":1,\"tick\":true}\n");
    log += str::from_utf8(&exported(&profile, 60)).expect("text");
    log += "{\"offset\":1,\"partition\":0,\"ingest_time\":1,\"decision\":{\"model\":\"row\",\"candidates\":[{},{},{}],\"picks\":[{},{}]}}\n";
    let found = fitted(log.as_bytes());
    near("rate", found.profile.load.rate as f64, 50.0, 0.05);
    assert_eq!(found.profile.rank.model, "row");
    assert_eq!((found.profile.rank.candidates, found.profile.rank.k), (3, 2));
    assert!(found.to_string().contains("1 not readable"), "{found}");
    assert_eq!(found.profile.disorder.duplicates, profile.disorder.duplicates);
    assert!(found.to_string().contains("duplicates not to be seen in an exported log"), "{found}");
    let keys = found.toml();
    let (before, _) = keys.split_once("\nduplicates = ").expect("it is written");
    assert!(before.ends_with("# Not of the log, which has none: as in steady_evening."), "{before}");
}

/// A bad network with so many wrong clocks that of any 65 events several are ahead.
fn bad_clocks() -> Profile {
    let mut profile = Profile::load("bad_network").expect("it is shipped");
    (profile.load.rate, profile.disorder.retries, profile.cmcd.share, profile.rank.share) = (500, 0.0, 0.0, 0.0);
    profile.clocks.wrong = 0.25;
    profile
}

#[test]
fn wrong_clocks_do_not_lead_the_others_astray_wherever_a_log_begins() {
    let profile = bad_clocks();
    for (name, log) in [("raw", log(&profile, 40)), ("exported", exported(&profile, 40))] {
        let lines: Vec<_> = str::from_utf8(&log).expect("text").split_inclusive('\n').collect();
        for begin in (0..12_000).step_by(3_000) {
            let found = fitted(lines[begin..begin + 6_000].concat().as_bytes());
            let f = &found.profile;
            let name = |of: &str| format!("{of} of a log that is {name} from line {begin} on");
            near(&name("rate"), f.load.rate as f64, 500.0, 0.06);
            near(&name("reordered"), f.disorder.reordered, 0.25, 0.2);
            near(&name("late"), f.disorder.late, 0.01, 0.6);
            near(&name("wrong clocks"), f.clocks.wrong, 0.25, 0.2);
            assert!(!found.toml().contains("WARNING"), "{}", name("warning"));
        }
    }
}

#[test]
fn clocks_that_are_wrong_and_do_not_say_so_spoil_nothing_and_are_told_of() {
    let profile = bad_clocks();
    for (name, log) in [("raw", log(&profile, 30)), ("exported", exported(&profile, 30))] {
        let silent = str::from_utf8(&log).expect("text").replace("\"sent_at\":", "\"said_at\":");
        let found = fitted(silent.as_bytes());
        near(&format!("{name} rate"), found.profile.load.rate as f64, 500.0, 0.06);
        assert_eq!(found.profile.clocks.wrong, 0.0);
        assert!(found.toml().contains("dated ahead of arrival"), "{name}: {}", found.toml());
    }
}

#[test]
fn a_clock_that_is_right_and_says_when_it_sent_is_no_wrong_one() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    (profile.load.rate, profile.clocks.wrong) = (100, 0.0);
    (profile.disorder.reordered, profile.disorder.late) = (0.0, 0.0);
    let log = log(&profile, 60);
    let told = str::from_utf8(&log).expect("text").lines().map(|line| {
        let mut event: serde_json::Value = serde_json::from_str(line).expect("it is an event");
        event["sent_at"] = event["event_time"].clone();
        format!("{event}\n")
    });
    let found = fitted(told.collect::<String>().as_bytes());
    assert!(found.profile.clocks.wrong < 0.005, "{}", found.profile.clocks.wrong);
}

#[test]
fn players_report_as_often_when_a_log_is_fitted_run_and_fitted_again() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    (profile.load.rate, profile.day.starts, profile.rank.share) = (1_500, 8.0, 0.0);
    for nth in 1..=3 {
        let found = fitted(&log(&profile, 60));
        near(&format!("progress of fit {nth}"), found.profile.watch.progress.seconds(), 10.0, 0.05);
        profile = Profile::read("profile.toml", &found.toml()).expect("it is a profile");
    }
}

#[test]
fn an_export_has_its_partitions_one_after_the_other() {
    let log = exported(&bad_clocks(), 30);
    let text = str::from_utf8(&log).expect("text");
    let partition = |n: usize| text.lines().filter(move |line| line.len() % 2 == n).map(|line| format!("{line}\n"));
    let found = fitted(partition(0).chain(partition(1)).collect::<String>().as_bytes());
    near("rate", found.profile.load.rate as f64, 500.0, 0.06);
    near("late", found.profile.disorder.late, 0.01, 0.4);
}

#[test]
fn what_is_fitted_has_the_countries_of_its_log_at_whatever_hour_it_runs() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    profile.load.rate = 1_500;
    let share = |profile: &Profile, code: &str| -> f64 {
        profile.countries.iter().filter(|country| country.code == code).map(|country| country.share).sum()
    };
    // It is an evening in Berlin, and a morning by what events are dated.
    let first = fitted(&log_from(START_MS + 14 * 3_600_000, &profile, 40));
    assert!(share(&first.profile, "DE") > 0.24 && share(&first.profile, "JP") < 0.045, "{first}");
    let written = Profile::read("profile.toml", &first.toml()).expect("it is a profile");
    let again = fitted(&log(&written, 40));
    for code in ["DE", "US", "BR", "IN", "JP"] {
        near(code, share(&again.profile, code), share(&first.profile, code), 0.12);
    }
    assert!(first.toml().contains("day.swing = 0"), "{}", first.toml());
}

#[test]
fn cmcd_is_a_share_of_the_players_and_no_viewer_clock_or_country() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    (profile.load.rate, profile.cmcd.share, profile.rank.share) = (400, 0.3, 0.0);
    let found = fitted(&exported(&profile, 60));
    let f = &found.profile;
    near("rate", f.load.rate as f64, 400.0, 0.03);
    near("cmcd.share", f.cmcd.share, 0.3, 0.1);
    assert!(f.clocks.wrong < 0.03, "{} for 0.02", f.clocks.wrong);
    assert!(f.countries.iter().all(|country| country.code != "ZZ"), "{:?}", f.countries);
    assert!(found.toml().contains("are CMCD records"), "{}", found.toml());
    assert_eq!(Profile::read("profile.toml", &found.toml()).map(|again| again.cmcd.share > 0.0), Ok(true));
}

#[test]
fn a_log_whose_times_of_arrival_cannot_be_true_says_so() {
    let log = exported(&bad_clocks(), 10);
    let text = str::from_utf8(&log).expect("text").replace("\"ingest_time\":17685", "\"ingest_time\":17686");
    assert!(fitted(text.as_bytes()).toml().contains("# WARNING: "));
}

#[test]
fn the_share_of_visits_that_ask_does_not_depend_on_how_long_the_log_is() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    (profile.load.rate, profile.rank.share) = (400, 0.3);
    for seconds in [120, 900] {
        let found = fitted(&exported(&profile, seconds));
        near(&format!("rank.share after {seconds} s"), found.profile.rank.share, 0.3, 0.2);
        let text = found.toml();
        assert!(text.contains("visits that began within the log") && text.contains("not fitted"), "{text}");
    }
}

#[test]
fn one_viewer_with_a_large_share_of_the_events_is_found_and_nobody_else_is() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    profile.load.rate = 100;
    assert_eq!(fitted(&log(&profile, 120)).profile.viewers.hot_share, 0.0);
    profile.viewers.hot_share = 0.3;
    let found = fitted(&log(&profile, 240));
    near("hot_share", found.profile.viewers.hot_share, 0.3, 0.1);
    assert_eq!(found.profile.bots.share, 0.0);
    let again = Profile::read("profile.toml", &found.toml()).expect("it is a profile");
    near("written", again.viewers.hot_share, 0.3, 0.1);
    assert!(found.toml().contains("changed by no more than chance"), "{}", found.toml());
}

#[test]
fn what_the_hot_viewer_does_is_in_nothing_that_is_fitted() {
    let mut profile = Profile::load("one_hot_viewer").expect("it is shipped");
    (profile.load.rate, profile.rank.share) = (1_000, 0.0);
    let found = fitted(&log(&profile, 120));
    let (f, p) = (&found.profile, &profile);
    near("hot_share", f.viewers.hot_share, p.viewers.hot_share, 0.1);
    // They do two hundred things a second, so their pauses last milliseconds.
    near("shortest pause", f.watch.pause_length[0].seconds(), p.watch.pause_length[0].seconds(), 0.1);
    // In so short a log, some of those who left for good may still come back.
    near("pause_tail", f.watch.pause_tail, p.watch.pause_tail, 0.35);
    near("progress", f.watch.progress.seconds(), p.watch.progress.seconds(), 0.03);
    near("step", f.browse.step.seconds(), p.browse.step.seconds(), 0.1);
    near("startup", f.watch.startup.seconds(), p.watch.startup.seconds(), 0.1);
    assert!(f.catalogue.items < 3_500, "{} items, those that only they looked at among them", f.catalogue.items);
    assert!(found.toml().contains("nothing else here rests on them"), "{}", found.toml());
}

/// Events by second of their arrival, or else of their own time.
fn by_second(log: &[u8], seconds: usize) -> Vec<f64> {
    let mut counts = vec![0.0; seconds];
    for line in str::from_utf8(log).expect("text").lines() {
        let time = ["\"ingest_time\":", "\"event_time\":"].into_iter().find_map(|key| line.split(key).nth(1));
        let digits = time.and_then(|text| text.split(|c: char| !c.is_ascii_digit()).next()).expect("it has a time");
        let second = (digits.parse::<u64>().expect("a number") as usize).wrapping_sub(START_MS as usize) / 1_000;
        if let Some(count) = counts.get_mut(second) {
            *count += 1.0;
        }
    }
    counts
}

#[test]
fn a_peak_is_fitted_and_comes_again_when_it_was_and_as_high_as_it_was() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    (profile.load.rate, profile.load.duration, profile.rank.share) = (300, Span(Duration::from_secs(90)), 0.0);
    profile.load.shape = Shape::parse("spike:at=30s,for=20s,times=4").expect("a shape");
    for (name, log_of) in [("raw", log as fn(&Profile, u64) -> Vec<u8>), ("exported", exported)] {
        let first = log_of(&profile, 90);
        let found = fitted(&first);
        let written = Profile::read("profile.toml", &found.toml()).unwrap_or_else(|e| panic!("{e}\n{}", found.toml()));
        assert_eq!(written.load, found.profile.load, "{name}");
        assert_eq!(written.load.duration, Span(Duration::from_secs(90)), "{name}: {}", written.load.shape);
        let (first, again) = (by_second(&first, 90), by_second(&log_of(&written, 90), 90));
        // The two seconds in which it begins and ends are within one level or the other.
        for second in (0..90).filter(|second| ![29, 30, 49, 50].contains(second)) {
            let (found, expected) = (again[second], first[second]);
            let allowed = 0.06 * expected + 3.0 * expected.sqrt();
            assert!((found - expected).abs() < allowed, "{name}, second {second}: {found} for {expected}");
        }
        near(&format!("{name} in all"), again.iter().sum(), first.iter().sum(), 0.02);
        assert!(found.toml().contains("load.shape has its course in levels of 1s"), "{}", found.toml());
        assert_eq!(found.profile.bots.share, 0.0, "{name}: people in a hurry are no bots");
    }
}

/// The log of a profile beside which, for 20 s from 30 s on, three times as many others are there.
fn log_of_a_crowd(profile: &Profile) -> Vec<u8> {
    let others = Profile { load: Load { rate: 3 * profile.load.rate, ..profile.load.clone() }, ..profile.clone() };
    let (all, others) = (log(profile, 90), log_from(START_MS + 30_000, &others, 20));
    let others = ["viewer", "session", "id"].iter().fold(String::from_utf8(others).expect("text"), |text, key| {
        text.replace(&format!("\"{key}\":\""), &format!("\"{key}\":\"other-"))
    });
    let rate = profile.load.rate as f64;
    let all = str::from_utf8(&all).expect("text").lines().zip(0..).map(|(line, n)| (f64::from(n) / rate, line));
    let others = others.lines().zip(0..).map(|(line, n)| (30.0 + f64::from(n) / rate / 3.0, line));
    let mut lines: Vec<_> = all.chain(others).collect();
    lines.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    lines.into_iter().map(|(_, line)| format!("{line}\n")).collect::<String>().into_bytes()
}

/// How many viewers there are, events of each, and the time between two reports of a player that one in four is below, ms.
fn crowd(log: &[u8]) -> [f64; 3] {
    let (mut events, mut reports, mut gaps) = (BTreeMap::new(), BTreeMap::new(), vec![]);
    for line in str::from_utf8(log).expect("text").lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let (who, time) = (event["viewer"].to_string(), event["event_time"].as_i64().expect("a time"));
        *events.entry(who.clone()).or_insert(0.0) += 1.0;
        let before = reports.insert(who, (event["type"] == "progress").then_some(time)).flatten();
        gaps.extend(before.filter(|_| event["type"] == "progress").map(|before| time - before));
    }
    gaps.sort_unstable();
    [events.len() as f64, events.values().sum::<f64>() / events.len() as f64, gaps[gaps.len() / 4] as f64]
}

#[test]
fn a_peak_of_others_is_fitted_as_such_and_one_of_viewers_in_a_hurry_as_that() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    (profile.load.rate, profile.load.duration, profile.rank.share) = (300, Span(Duration::from_secs(90)), 0.0);
    let crowded = log_of_a_crowd(&profile);
    profile.load.shape = Shape::parse("spike:at=30s,for=20s,times=4").expect("a shape");
    let hurried = log(&profile, 90);
    for (name, log_of, follow_rate) in [("others", crowded, true), ("in a hurry", hurried, false)] {
        let found = fitted(&log_of);
        assert_eq!(found.profile.viewers.follow_rate, follow_rate, "{name}");
        near(&format!("{name}: progress"), found.profile.watch.progress.seconds(), 10.0, 0.05);
        near(&format!("{name}: shortest pause"), found.profile.watch.pause_length[0].seconds(), 2.0, 0.2);
        let written = Profile::read("profile.toml", &found.toml()).expect("it is a profile");
        let again = crowd(&log(&written, 90));
        let what = ["viewers", "events of each", "time between reports"];
        for (what, (again, first)) in what.into_iter().zip(again.into_iter().zip(crowd(&log_of))) {
            near(&format!("{name}: {what}"), again, first, 0.12);
        }
    }
}

#[test]
fn the_parts_of_a_log_make_one_course() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    (profile.load.rate, profile.load.duration, profile.rank.share) = (500, Span(Duration::from_secs(40)), 0.0);
    profile.load.shape = Shape::parse("step:every=20s,by=1,steps=1").expect("a shape");
    for log in [log(&profile, 40), exported(&profile, 40)] {
        let text = str::from_utf8(&log).expect("text");
        let part = |n: usize| text.lines().filter(move |line| line.len() % 2 == n).map(|line| format!("{line}\n"));
        let found = fitted(part(0).chain(part(1)).collect::<String>().as_bytes());
        let factor = |t| found.profile.load.shape.factor(t);
        for (t, expected) in [(5.0, 2.0 / 3.0), (15.0, 2.0 / 3.0), (25.0, 4.0 / 3.0), (35.0, 4.0 / 3.0)] {
            near(&format!("second {t} of {}", found.profile.load.shape), factor(t), expected, 0.03);
        }
    }
}

#[test]
fn bots_are_found_and_do_not_count_for_people() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    (profile.load.rate, profile.load.duration) = (1_000, Span(Duration::from_secs(150)));
    (profile.bots.share, profile.bots.step) = (0.02, Span(Duration::from_millis(200)));
    let found = fitted(&log(&profile, 150));
    let (f, p) = (&found.profile, &profile);
    // Viewers' time passes like the clock's only about: of bots there are some 150, give or take a dozen.
    near("bots.step", f.bots.step.seconds(), 0.2, 0.12);
    near("bots.share", f.bots.share, 0.02, 0.35);
    // Two acts in three are of bots; with these among people, a step would take half as long, and a click follow three times as often.
    near("step", f.browse.step.seconds(), p.browse.step.seconds(), 0.12);
    near("impression", f.browse.impression, p.browse.impression, 0.05);
    near("click", f.browse.click, p.browse.click, 0.1);
    assert!(found.toml().contains("of the viewers followed are bots"), "{}", found.toml());
    // What is fitted to what was fitted has as much of them.
    let written = Profile::read("profile.toml", &found.toml()).expect("it is a profile");
    let again = fitted(&log(&written, 150));
    let clicks = |of: &Estimate| {
        let all: u64 = of.kinds.iter().map(|(_, n)| n).sum();
        of.kinds.iter().find(|(kind, _)| kind == "click").map_or(0.0, |(_, n)| *n as f64 / all as f64)
    };
    near("clicks", clicks(&again), clicks(&found), 0.06);
    assert!(found.profile.load.shape == Shape::Constant, "{}", found.profile.load.shape);
}

#[test]
fn whatever_is_fitted_can_be_run() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    profile.load.rate = 100;
    let text = String::from_utf8(log(&profile, 60)).expect("text");
    // Names that a profile does not take; of the place, the time zone is kept.
    let odd = text
        .replace("\"device\":\"tv\"", "\"device\":\"\"")
        .replace("\"country\":\"GB\"", "\"country\":\"United Kingdom\"");
    let found = fitted(odd.as_bytes()).profile;
    assert!(!found.viewers.devices.contains_key("") && found.viewers.devices.len() > 1, "{:?}", found.viewers.devices);
    let london = found.countries.iter().find(|country| country.timezone == "Europe/London").expect("it is there");
    assert!(london.code == "ZZ" && london.share > 0.05, "{london:?}");
    let mut fit = Fit::new(Duration::from_secs(30));
    fit.read(text.as_bytes(), |_| ()).expect("memory can be read");
    assert!(fit.finish("a \"log\"\u{1b}").is_ok(), "whatever its file is called");
    // One viewer alone.
    let alone = text.lines().map(|line| {
        let mut event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        event["viewer"] = "v".into();
        format!("{event}\n")
    });
    assert_eq!(fitted(alone.collect::<String>().as_bytes()).profile.viewers.hot_share, 0.99);
    // Six sixths are not more than a whole.
    let mut found = fitted(text.as_bytes());
    let (browse, watch) = (&mut found.profile.browse, &mut found.profile.watch);
    for share in [&mut browse.impression, &mut browse.scroll, &mut browse.hover, &mut browse.click] {
        *share = 1.0 / 6.0;
    }
    (browse.add_to_list, browse.not_interested) = (1.0 / 6.0, 1.0 / 6.0);
    (watch.pause, watch.seek, watch.rebuffer, watch.abandon) = (1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0);
    (watch.quality_change, watch.error) = (1.0 / 6.0, 1.0 / 6.0);
    let again = Profile::read("profile.toml", &found.toml()).expect("it can be run");
    assert_eq!((again.browse.click, again.watch.seek), (0.16666, 0.16666));
}

#[test]
fn decisions_of_a_log_count_for_its_rate() {
    let mut profile = Profile::load("steady_evening").expect("it is shipped");
    (profile.load.rate, profile.rank.share) = (400, 1.0);
    let log = exported(&profile, 60);
    let decisions = str::from_utf8(&log).expect("text").matches("\"decision\":{").count() as f64 / 60.0;
    assert!(decisions > 5.0, "{decisions} a second");
    near("rate", fitted(&log).profile.load.rate as f64, 400.0, 0.01);
}

#[test]
fn too_little_is_an_error_that_says_what_was_there() {
    let mut fit = Fit::new(Duration::from_secs(30));
    fit.read(b"{}\nx\n".as_slice(), |_| ()).expect("memory can be read");
    let error = fit.finish("log").err().expect("there is nothing in it");
    for part in ["0 events", "2 of 2 lines", "stopped", "saccade export --data DIR", "--write"] {
        assert!(error.contains(part), "{error:?} names {part:?}");
    }
}

#[test]
fn a_log_slower_than_any_profile_says_so() {
    let steady = Profile::load("steady_evening").expect("it is built in");
    let slow = Profile { load: Load { rate: 20, ..steady.load.clone() }, ..steady };
    let log = String::from_utf8(log(&slow, 700)).expect("text");
    // Of each event the hundredth.
    let sparse: Vec<&str> = log.lines().step_by(100).collect();
    let told = fitted(sparse.join("\n").as_bytes()).toml();
    assert!(told.contains("events/s, and load.rate is no less than 1: a run is"), "{told}");
    assert!(!fitted(log.as_bytes()).toml().contains("no less than 1"));
}

#[test]
fn sessions_on_two_devices_at_once_are_two() {
    let mut rows = vec![];
    for viewer in 0..20u64 {
        for session in 0..2u64 {
            // One of the two is over sooner.
            for nth in 0..120 / (session + 1) {
                rows.push((START_MS + viewer * 1_000 + nth * 5_000 + session * 2_500, viewer, session, nth));
            }
        }
        // And then both are.
        rows.push((START_MS + viewer * 1_000 + 700_000, viewer, 2, 0));
    }
    rows.sort_unstable();
    let event = |(i, (time, viewer, session, nth)): (usize, (u64, u64, u64, u64))| {
        let kind = if nth == 0 { "play" } else { "progress" };
        format!(
            "{{\"id\":\"e{i}\",\"type\":\"{kind}\",\"event_time\":{time},\"session\":\"s{viewer}-{session}\",\"viewer\":\"v{viewer}\"}}\n"
        )
    };
    let log: String = rows.into_iter().enumerate().map(event).collect();
    let mut fit = Fit::new(Duration::from_secs(30));
    fit.read(log.as_bytes(), |_| ()).expect("it is read");
    fit.course.finish(fit.order.latest());
    let (sessions, events) = (&fit.course.habits.session_length, &fit.course.habits.session_events);
    assert_eq!((sessions.len(), events.max(), events.min()), (40, 120, 60));
}
