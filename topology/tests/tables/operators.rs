//! Each operator against its formula.

use crate::driver::*;
use saccade_topology::*;

/// Event time in ms and value.
const VALUES: [(i64, f64); 4] = [(0, 4.0), (10_000, -1.0), (10_000, 2.5), (45_000, 8.0)];

fn valued(kind: &str) -> Vec<Event<'_>> {
    VALUES.iter().map(|(ms, value)| Event { value: Some(*value), ..at(*ms, kind) }).collect()
}

/// Σ 2^(-age / half_life) · x over [`VALUES`], at the last of them.
fn decayed(half_life_s: f64, x: impl Fn(f64) -> f64) -> f64 {
    VALUES.iter().map(|(ms, value)| libm::exp2(-(45_000 - ms) as f64 / 1000.0 / half_life_s) * x(*value)).sum()
}

#[test]
fn decayed_figures_are_sums_weighted_by_two_to_the_minus_age_over_half_life() {
    let decayed_of = |name, kind| FeatureSpec { half_lives: seconds(&[30, 600]), ..feature(name, kind) };
    let of_value = |name, kind| FeatureSpec { field: field("value"), ..decayed_of(name, kind) };
    let features = vec![
        decayed_of("count", FeatureType::DecayedCount),
        decayed_of("rate", FeatureType::DecayedRate),
        of_value("sum", FeatureType::DecayedSum),
        of_value("mean", FeatureType::DecayedMean),
    ];
    let driver = Driver::over(features, &valued("click"));
    for (half_life, name) in [(30.0, "30s"), (600.0, "10m")] {
        let (count, sum) = (decayed(half_life, |_| 1.0), decayed(half_life, |x| x));
        driver.check(&[
            (&format!("count.{name}"), count),
            (&format!("rate.{name}"), count * std::f64::consts::LN_2 / half_life),
            (&format!("sum.{name}"), sum),
            (&format!("mean.{name}"), sum / count),
        ]);
    }
}

#[test]
fn a_decayed_mean_weighs_only_events_that_carry_the_field() {
    let mean =
        FeatureSpec { field: field("value"), half_lives: seconds(&[30]), ..feature("m", FeatureType::DecayedMean) };
    let mut driver = Driver::over(vec![FeatureSpec { absent: Some(-7.0), ..mean }], &[at(0, "click")]);
    driver.check(&[("m.30s", -7.0)]);
    driver.accept(Event { value: Some(3.0), ..at(1000, "click") });
    driver.accept(at(90_000, "click"));
    driver.check(&[("m.30s", 3.0)]);
}

#[test]
fn a_steady_stream_has_its_own_rate() {
    let rate = FeatureSpec { half_lives: seconds(&[10]), ..feature("rate", FeatureType::DecayedRate) };
    let events: Vec<Event<'_>> = (0..4000).map(|i| at(i * 50, "click")).collect();
    let driver = Driver::over(vec![rate], &events);
    assert!((driver.slot("rate.10s") - 20.0).abs() < 0.1, "20 events per second: {}", driver.slot("rate.10s"));
}

#[test]
fn counts_by_type_count_listed_types_and_the_filtered_only() {
    let by = FeatureSpec { by: field("type"), values: list(&["click", "scroll"]), ..feature("by", FeatureType::Count) };
    let filtered = FeatureSpec { on: list(&["scroll", "pause"]), ..feature("on", FeatureType::Count) };
    let events = [at(0, "click"), at(1, "scroll"), at(2, "scroll"), at(3, "pause"), at(4, "play")];
    let driver = Driver::over(vec![feature("all", FeatureType::Count), by, filtered], &events);
    driver.check(&[("all", 5.0), ("by.click", 1.0), ("by.scroll", 2.0), ("on", 3.0)]);
}

#[test]
fn sum_max_min_first_and_last_take_the_field_by_event_time() {
    let of = |name, kind| FeatureSpec { field: field("value"), ..feature(name, kind) };
    use FeatureType::{First, Last, Max, Min, Sum};
    let features = vec![of("sum", Sum), of("max", Max), of("min", Min), of("first", First), of("last", Last)];
    let mut driver = Driver::over(features, &valued("click"));
    driver.check(&[("sum", 13.5), ("max", 8.0), ("min", -1.0), ("first", 4.0), ("last", 8.0)]);
    // Out of order, without the field, and again out of order.
    driver.accept(Event { value: Some(100.0), ..at(-5000, "click") });
    driver.accept(at(50_000, "click"));
    driver.accept(Event { value: Some(50.0), ..at(44_000, "click") });
    driver.check(&[("sum", 163.5), ("max", 100.0), ("first", 100.0), ("last", 8.0)]);
}

#[test]
fn time_since_is_absent_before_the_first_and_counts_to_the_latest_event() {
    let since =
        FeatureSpec { by: field("type"), values: list(&["click", "play"]), ..feature("since", FeatureType::TimeSince) };
    let mut driver = Driver::over(vec![since], &[at(500, "scroll")]);
    driver.check(&[("since.click", -1.0), ("since.play", -1.0)]);
    driver.accept(at(1000, "click"));
    driver.accept(at(3500, "scroll"));
    driver.check(&[("since.click", 2.5), ("since.play", -1.0)]);
}

#[test]
fn age_is_from_the_first_to_the_latest_event() {
    let mut driver = Driver::over(vec![feature("age", FeatureType::Age)], &[at(0, "click")]);
    driver.check(&[("age", 0.0)]);
    driver.accept(at(7250, "click"));
    driver.check(&[("age", 7.25)]);
    driver.accept(at(-750, "click"));
    driver.check(&[("age", 8.0)]);
}

#[test]
fn distinct_over_listed_values_is_exact() {
    let values: Vec<String> = (0..64).map(|i| format!("kind_{i}")).collect();
    let exact =
        FeatureSpec { field: field("type"), values: Some(values.clone()), ..feature("n", FeatureType::Distinct) };
    let mut driver = Driver::new(&spec(vec![exact]));
    for (i, kind) in values.iter().chain(&values).enumerate() {
        driver.accept(at(i as i64, kind));
        driver.check(&[("n", (i as f64 + 1.0).min(64.0))]);
    }
    driver.accept(at(1000, "not_listed"));
    driver.check(&[("n", 64.0)]);
}

#[test]
fn linear_counting_keeps_its_error_bound_and_saturates_at_m_ln_m() {
    for size in [64u32, 1024, 4096] {
        let m = f64::from(size);
        let distinct = FeatureSpec { field: field("item"), size: Some(size), ..feature("n", FeatureType::Distinct) };
        let mut driver = Driver::new(&spec(vec![distinct]));
        let items = (m * libm::log(m) * 3.0) as usize;
        for n in 1..=items {
            driver.accept(Event { item: Some(&format!("item-{n}")), ..at(n as i64, "click") });
            if n.is_power_of_two() && n <= size as usize {
                // Whang, Vander-Zanden, Taylor 1990: the standard deviation is √(m·(e^t - t - 1)), t = n/m. Four of them.
                let t = n as f64 / m;
                let bound = 4.0 * (m * (libm::exp(t) - t - 1.0)).sqrt() + 1.0;
                let error = (driver.slot("n") - n as f64).abs();
                assert!(error <= bound, "{n} items in {size} bits: off by {error}, bound {bound}");
            }
        }
        driver.check(&[("n", m * libm::log(m))]);
    }
}

#[test]
fn a_ratio_is_absent_without_base_events_and_not_bound_by_one() {
    let ratio = FeatureSpec { on: list(&["click"]), over: list(&["impression"]), ..feature("ctr", FeatureType::Ratio) };
    let mut driver = Driver::over(vec![FeatureSpec { absent: Some(-1.0), ..ratio }], &[at(0, "click")]);
    driver.check(&[("ctr", -1.0)]);
    driver.accept(at(1, "impression"));
    driver.check(&[("ctr", 1.0)]);
    driver.accept(at(2, "click"));
    driver.check(&[("ctr", 2.0)]);
    (0..3).for_each(|i| driver.accept(at(3 + i, "impression")));
    driver.check(&[("ctr", 0.5)]);
}

fn on_device<'a>(ms: i64, device: Option<&'a str>) -> Event<'a> {
    Event { device, ..at(ms, "click") }
}

#[test]
fn one_hot_and_index_show_the_latest_value_and_nothing_for_one_that_is_not_listed() {
    let listed = |name, kind| FeatureSpec {
        field: field("device"),
        values: list(&["tv", "web", "mobile"]),
        ..feature(name, kind)
    };
    let index = FeatureSpec { absent: Some(-1.0), scale: Some(0.5), ..listed("place", FeatureType::Index) };
    let mut driver = Driver::new(&spec(vec![listed("device", FeatureType::OneHot), index]));
    let table = [
        (None, [0.0, 0.0, 0.0], -1.0),
        (Some("web"), [0.0, 1.0, 0.0], 0.5),
        (None, [0.0, 1.0, 0.0], 0.5),
        (Some("mobile"), [0.0, 0.0, 1.0], 1.0),
        (Some("refrigerator"), [0.0, 0.0, 0.0], -1.0),
        (Some("tv"), [1.0, 0.0, 0.0], 0.0),
    ];
    for (i, (device, one_hot, place)) in table.into_iter().enumerate() {
        driver.accept(on_device(i as i64, device));
        let [tv, web, mobile] = one_hot;
        driver.check(&[("device.tv", tv), ("device.web", web), ("device.mobile", mobile), ("place", place)]);
    }
}

#[test]
fn a_hashed_value_has_one_slot_always_the_same() {
    let hashed = FeatureSpec { field: field("country"), size: Some(8), ..feature("c", FeatureType::Hashed) };
    let mut places = vec![];
    for country in ["SE", "IN", "SE", "BR", "SE"] {
        let driver = Driver::over(vec![hashed.clone()], &[Event { country: Some(country), ..at(0, "click") }]);
        let ones: Vec<usize> = (0..8).filter(|i| driver.slot(&format!("c.{i}")) == 1.0).collect();
        assert_eq!(ones.len(), 1, "{country}");
        places.push(ones[0]);
    }
    assert_eq!((places[0], places[0]), (places[2], places[4]));
    let none = Driver::over(vec![hashed], &[at(0, "click")]);
    assert!((0..8).all(|i| none.slot(&format!("c.{i}")) == 0.0));
}

/// Time of an event, and the zone that it names.
type Zoned<'a> = (&'a str, Option<&'a str>);

/// Hour of day and day of the week (0 is Monday) that the slots stand for after an event.
fn clock(utc: &str, zone: Option<&str>) -> (f64, f64) {
    clock_after(&[(utc, zone)])
}

/// The same after several events, of whose gaps none ends the session.
fn clock_after(events: &[Zoned<'_>]) -> (f64, f64) {
    let mut spec = spec(vec![feature("t", FeatureType::LocalTime)]);
    (spec.session.gap, spec.session.max_length) =
        (Duration::parse("7d").expect("a week"), Duration::parse("30d").expect("a month"));
    let mut driver = Driver::new(&spec);
    for (utc, zone) in events {
        let time: jiff::Timestamp = utc.parse().expect("the test's time is a time");
        driver.accept(Event { timezone: *zone, ..at(time.as_millisecond() - T0, "click") });
    }
    let turns = |sin: &str, cos: &str| {
        let turns = libm::atan2(driver.slot(sin), driver.slot(cos)) / std::f64::consts::TAU;
        if turns < -1e-9 { turns + 1.0 } else { turns }
    };
    (turns("t.hour_sin", "t.hour_cos") * 24.0, turns("t.weekday_sin", "t.weekday_cos") * 7.0)
}

#[test]
fn local_time_follows_the_viewers_zone_across_the_clock_change() {
    let table = [
        // Clocks in New York go back from 02:00 to 01:00 on Sunday 2026-11-01, and from 02:00 to 03:00 on 2026-03-08.
        ("2026-11-01T05:30:00Z", Some("America/New_York"), 1.5, 6.0),
        ("2026-11-01T06:30:00Z", Some("America/New_York"), 1.5, 6.0),
        ("2026-11-01T07:30:00Z", Some("America/New_York"), 2.5, 6.0),
        ("2026-03-08T06:30:00Z", Some("America/New_York"), 1.5, 6.0),
        ("2026-03-08T07:30:00Z", Some("America/New_York"), 3.5, 6.0),
        ("2026-11-01T18:30:00Z", Some("Asia/Kolkata"), 0.0, 0.0),
        ("2026-11-01T18:15:00Z", Some("Asia/Kolkata"), 23.75, 6.0),
        ("2026-11-01T18:30:00Z", None, 18.5, 6.0),
        ("2026-11-01T18:30:00Z", Some("Mars/Olympus"), 18.5, 6.0),
    ];
    for (utc, zone, hour, day) in table {
        let (got_hour, got_day) = clock(utc, zone);
        assert!((got_hour - hour).abs() < 1e-4, "{utc} in {zone:?}: hour {got_hour}, not {hour}");
        let expected = day + hour / 24.0;
        assert!((got_day - expected).abs() < 1e-4, "{utc} in {zone:?}: day {got_day}, not {expected}");
    }
}

#[test]
fn local_time_follows_a_clock_change_that_no_event_names_the_zone_after() {
    // New York is 4 hours behind UTC until 2026-11-01T06:00Z, then 5; Stockholm is 2 ahead until 2026-10-25T01:00Z, then 1.
    let (new_york, stockholm) = (Some("America/New_York"), Some("Europe/Stockholm"));
    let table: [(&[Zoned<'_>], f64); 7] = [
        (&[("2026-11-01T05:30:00Z", new_york), ("2026-11-01T05:59:59Z", None)], 1.0 + 3599.0 / 3600.0),
        (&[("2026-11-01T05:30:00Z", new_york), ("2026-11-01T06:00:00Z", None)], 1.0),
        (&[("2026-11-01T05:30:00Z", new_york), ("2026-11-01T07:30:00Z", None)], 2.5),
        (&[("2026-03-08T06:30:00Z", new_york), ("2026-03-08T07:00:00Z", None)], 3.0),
        // The event that names the zone comes last but happened first: order of arrival changes nothing.
        (&[("2026-11-01T06:10:00Z", None), ("2026-11-01T05:50:00Z", new_york)], 1.0 + 10.0 / 60.0),
        (
            &[("2026-10-25T00:30:00Z", new_york), ("2026-10-25T00:40:00Z", stockholm), ("2026-10-25T01:00:00Z", None)],
            2.0,
        ),
        (&[("2026-10-25T00:30:00Z", stockholm), ("2026-10-25T01:30:00Z", Some("Mars/Olympus"))], 2.5),
    ];
    for (events, hour) in table {
        let (got, _) = clock_after(events);
        assert!((got - hour).abs() < 1e-4, "{events:?}: hour {got}, not {hour}");
    }
}

#[test]
fn scroll_velocity_is_within_a_gesture_only() {
    let scroll = feature("scroll", FeatureType::Scroll);
    let to = |ms, depth| Event { value: Some(depth), ..at(ms, "scroll") };
    let mut driver = Driver::over(vec![scroll], &[at(0, "click")]);
    driver.check(&[("scroll.depth_max", 0.0), ("scroll.velocity", 0.0)]);
    let table = [
        // ms, depth; greatest, latest, velocity, travel
        (0, 10.0, [10.0, 10.0, 0.0, 0.0]),
        (500, 40.0, [40.0, 40.0, 60.0, 30.0]),
        (1500, 20.0, [40.0, 20.0, 20.0, 50.0]),
        // The limit of a gesture is 2 s; 1 ms more is another.
        (3500, 24.0, [40.0, 24.0, 2.0, 54.0]),
        (5501, 90.0, [90.0, 90.0, 2.0, 54.0]),
        // The same moment has no velocity.
        (5501, 95.0, [95.0, 95.0, 2.0, 54.0]),
    ];
    for (ms, depth, [depth_max, depth_last, velocity, travel]) in table {
        driver.accept(to(ms, depth));
        driver.check(&[
            ("scroll.depth_max", depth_max),
            ("scroll.depth_last", depth_last),
            ("scroll.velocity", velocity),
            ("scroll.travel", travel),
        ]);
    }
}

fn on_item<'a>(ms: i64, kind: &'a str, item: &'a str) -> Event<'a> {
    Event { item: Some(item), ..at(ms, kind) }
}

#[test]
fn item_features_are_those_of_the_latest_item_and_decay_while_others_are_seen() {
    let scoped = |f: FeatureSpec| FeatureSpec { scope: Scope::Item, ..f };
    let decayed = FeatureSpec { half_lives: seconds(&[10]), ..feature("recent", FeatureType::DecayedCount) };
    let since = FeatureSpec { on: list(&["play"]), ..feature("since_play", FeatureType::TimeSince) };
    let age = feature("age", FeatureType::Age);
    let features = [feature("n", FeatureType::Count), decayed, since, age].map(scoped).to_vec();
    let mut driver = Driver::over(features, &[at(0, "click")]);
    driver.check(&[("n", 0.0), ("recent.10s", 0.0), ("since_play", -1.0)]);
    driver.accept(on_item(0, "play", "a"));
    driver.accept(on_item(5000, "click", "b"));
    driver.check(&[("n", 1.0), ("recent.10s", 1.0), ("since_play", -1.0)]);
    // An event without an item is of the latest item's time, not of the item.
    driver.accept(at(15_000, "click"));
    driver.check(&[("n", 1.0), ("recent.10s", 0.5), ("age", 10.0)]);
    driver.accept(on_item(20_000, "click", "a"));
    driver.check(&[("n", 2.0), ("recent.10s", 1.25), ("since_play", 20.0), ("age", 20.0)]);
}

#[test]
fn the_least_recent_item_leaves_at_items_max_plus_one() {
    let count = FeatureSpec { scope: Scope::Item, ..feature("n", FeatureType::Count) };
    let mut spec = spec(vec![count]);
    spec.session.items_max = 3;
    let mut driver = Driver::new(&spec);
    // Up to the limit nothing is forgotten.
    for (ms, item, n) in [(0, "a", 1.0), (1, "b", 1.0), (2, "c", 1.0), (3, "a", 2.0), (4, "b", 2.0), (5, "c", 2.0)] {
        driver.accept(on_item(ms, "click", item));
        driver.check(&[("n", n)]);
    }
    // One more takes the place of the least recent, which begins anew when it comes back.
    for (ms, item, n) in [(6, "d", 1.0), (7, "b", 3.0), (8, "c", 3.0), (9, "d", 2.0), (10, "a", 1.0), (11, "c", 4.0)] {
        driver.accept(on_item(ms, "click", item));
        driver.check(&[("n", n)]);
    }
}

#[test]
fn free_fields_feed_features_by_name() {
    let last = FeatureSpec { field: field("fields.br"), ..feature("bitrate", FeatureType::Last) };
    let row = FeatureSpec {
        field: field("fields.row"),
        values: list(&["top", "next"]),
        ..feature("row", FeatureType::OneHot)
    };
    let mut bytes = vec![];
    Fields::push(&mut bytes, "br", Value::Number(352.0));
    Fields::push(&mut bytes, "row", Value::Text("next"));
    let driver = Driver::over(vec![last, row], &[Event { fields: Fields::from_bytes(&bytes), ..at(0, "click") }]);
    driver.check(&[("bitrate", 352.0), ("row.top", 0.0), ("row.next", 1.0)]);
}
