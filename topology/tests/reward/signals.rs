use crate::driver::*;
use saccade_topology::reward::*;
use saccade_topology::*;

fn valued<'a>(ms: i64, id: &'a str, value: f64) -> Event<'a> {
    Event { value: Some(value), ..at(ms, id, "rate") }
}

/// The one signal of this fold after these events.
fn folded(line: &str, events: &[Event<'_>]) -> f64 {
    signals(&compile("s", &[&format!("s = {{ {line} }}")]), events)[0]
}

#[test]
fn each_fold_is_what_it_says() {
    let events = [valued(5000, "b", 3.0), valued(5000, "a", -4.0), valued(1000, "z", 2.0), valued(9000, "c", 7.0)];
    for (line, value) in [
        ("fold = \"any\"", 1.0),
        ("fold = \"count\"", 4.0),
        ("fold = \"sum\", field = \"value\"", 8.0),
        ("fold = \"max\", field = \"value\"", 7.0),
        ("fold = \"min\", field = \"value\"", -4.0),
        ("fold = \"first\", field = \"value\"", 2.0),
        ("fold = \"last\", field = \"value\"", 7.0),
        ("fold = \"time_until\"", 1.0),
    ] {
        assert_eq!(folded(line, &events), value, "{line}");
    }
    let ties = &events[..2];
    assert_eq!(folded("fold = \"first\", field = \"value\"", ties), -4.0, "ties by event id");
    assert_eq!(folded("fold = \"last\", field = \"value\"", ties), 3.0, "ties by event id");
}

#[test]
fn max_of_only_negative_values_is_negative_and_min_of_only_positive_ones_positive() {
    let all = |value: f64| [valued(1, "a", 3.0 * value), valued(2, "b", value), valued(3, "c", 2.0 * value)];
    assert_eq!(folded("fold = \"max\", field = \"value\"", &all(-1.0)), -1.0);
    assert_eq!(folded("fold = \"min\", field = \"value\"", &all(1.0)), 1.0);
}

#[test]
fn without_events_signals_are_zero_and_time_until_is_the_window() {
    let lines =
        ["any", "count", "unique_seconds", "time_until"].map(|fold| format!("{fold}_ = {{ fold = \"{fold}\" }}"));
    let with_field =
        ["sum", "max", "min", "first", "last"].map(|f| format!("{f}_ = {{ fold = \"{f}\", field = \"value\" }}"));
    let lines: Vec<&str> = lines.iter().chain(&with_field).map(String::as_str).collect();
    let reward = compile("1", &lines);
    for (name, value) in Observed::default().signals(&reward, T0) {
        assert_eq!(value, if name == "time_until_" { 1800.0 } else { 0.0 }, "{name}");
    }
}

#[test]
fn nothing_observed_is_no_worth() {
    let reward = compile("clicked", &[r#"clicked = { fold = "any", on = ["click"] }"#]);
    let mut observed = Observed::default();
    assert!(!take(&mut observed, &reward, &at(1, "a", "impression")));
    assert!(observed.is_empty());
    assert_eq!(observed.value(&reward, T0, Fields::default()), None);
    assert_eq!(observed, Observed::default());
    assert!(take(&mut observed, &reward, &at(1, "a", "click")));
    assert!(!observed.is_empty());
}

#[test]
fn what_is_observed_but_not_clicked_is_worth_zero() {
    let lines = [r#"clicked = { fold = "any", on = ["click"] }"#, r#"seen = { fold = "any", on = ["impression"] }"#];
    let reward = compile("clicked", &lines);
    let mut observed = Observed::default();
    assert!(take(&mut observed, &reward, &at(1, "a", "impression")));
    assert_eq!(observed.value(&reward, T0, Fields::default()), Some(Worth { reward: 0.0, failed: false }));
}

#[test]
fn the_window_holds_both_its_ends_and_nothing_else() {
    let mut window = spec("n", &["n = { fold = \"count\" }"]);
    (window.start_after, window.wait) = (Duration::from_secs(10), Duration::from_secs(60));
    let reward = Reward::compile(&window).unwrap();
    let mut observed = Observed::default();
    for (ms, is_inside) in [(-1, false), (9_999, false), (10_000, true), (60_000, true), (60_001, false)] {
        assert_eq!(take(&mut observed, &reward, &at(ms, &format!("{ms}"), "click")), is_inside, "{ms}");
    }
    for extreme in [i64::MIN, i64::MAX] {
        observed.event(&reward, extreme, 0, &at(0, "x", "click"));
        observed.event(&reward, extreme, extreme, &at(0, "y", "click"));
    }
}

#[test]
fn events_without_the_field_or_with_one_that_is_no_number_do_not_count() {
    let bytes = item(&[("weight", Value::Number(2.5)), ("name", Value::Text("x"))]);
    let event =
        Event { fields: Fields::from_bytes(&bytes), position: Some(4), duration_s: Some(9.0), ..at(1, "a", "x") };
    assert_eq!(folded("fold = \"sum\", field = \"fields.weight\"", &[event]), 2.5);
    assert_eq!(folded("fold = \"sum\", field = \"position\"", &[event]), 4.0);
    assert_eq!(folded("fold = \"sum\", field = \"duration_s\"", &[event]), 9.0);
    for field in ["fields.name", "fields.other", "value"] {
        let reward = compile("s", &[&format!("s = {{ fold = \"last\", field = \"{field}\" }}")]);
        assert!(!take(&mut Observed::default(), &reward, &event), "{field}");
    }
    let reward = compile("s", &["s = { fold = \"last\", field = \"value\" }"]);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(!take(&mut Observed::default(), &reward, &valued(1, "a", value)));
    }
}

#[test]
fn unique_seconds_count_content_once_and_leave_out_seeks() {
    let play = |points: &[(i64, f64)]| {
        let ids: Vec<String> = (0..points.len()).map(|i| format!("{i:03}")).collect();
        let events: Vec<Event<'_>> = points
            .iter()
            .zip(&ids)
            .map(|((s, playhead), id)| Event { playhead_s: Some(*playhead), ..at(s * 1000, id, "progress") })
            .collect();
        folded("fold = \"unique_seconds\"", &events)
    };
    assert_eq!(play(&[(0, 0.0), (10, 10.0), (20, 20.0)]), 20.0);
    assert_eq!(play(&[(0, 0.0), (10, 10.0), (11, 5.0), (21, 15.0)]), 15.0, "back and again");
    assert_eq!(play(&[(0, 0.0), (10, 10.0), (11, 500.0), (21, 510.0)]), 20.0, "ahead");
    assert_eq!(play(&[(0, 0.0), (10, 20.0)]), 20.0, "double speed");
}

#[test]
fn a_compiled_spec_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Reward>();
    shared::<Observed>();
}

#[test]
fn takes_and_kinds_say_which_event_types_matter() {
    let reward = compile(
        "a",
        &["a = { fold = \"any\", on = [\"play\", \"click\"] }", "b = { fold = \"any\", on = [\"play\"] }"],
    );
    assert_eq!(reward.kinds(), Some(vec!["click", "play"]));
    assert!(reward.takes("click") && reward.takes("play") && !reward.takes("pause"));
    let reward = compile("a + b", &["a = { fold = \"any\", on = [\"play\"] }", "b = { fold = \"count\" }"]);
    assert_eq!(reward.kinds(), None);
    assert!(reward.takes("pause"));
    assert_eq!(compile("item.x", &[]).kinds(), Some(vec![]));
}

#[test]
fn at_the_limit_the_oldest_settle_early_and_what_precedes_them_is_refused() {
    let reward = compile("n", &["n = { fold = \"count\" }"]);
    let mut observed = Observed::default();
    let ids: Vec<String> = (0..2 * PENDING_MAX).map(|i| format!("{i:05}")).collect();
    for (i, id) in ids.iter().enumerate().take(PENDING_MAX) {
        assert!(take(&mut observed, &reward, &at(1000 + i as i64, id, "x")));
    }
    assert!(take(&mut observed, &reward, &at(500, "early", "x")), "one more settles itself");
    assert!(!take(&mut observed, &reward, &at(499, "earlier", "x")));
    assert!(take(&mut observed, &reward, &at(999, "later", "x")));
    assert_eq!(observed.signals(&reward, T0)[0].1, PENDING_MAX as f64 + 2.0);
}

#[test]
fn an_empty_observation_takes_a_word_and_a_settled_one_little() {
    assert_eq!(size_of::<Observed>(), size_of::<usize>());
    assert_eq!(postcard::to_stdvec(&Observed::default()).unwrap().len(), 1);
    let reward = compile("n", &["n = { fold = \"count\" }", "c = { fold = \"any\", on = [\"click\"] }"]);
    let mut observed = Observed::default();
    (0..100).for_each(|i| assert!(take(&mut observed, &reward, &at(i, &format!("{i}"), "x"))));
    observed.settle(&reward, T0 + 1000);
    let bytes = postcard::to_stdvec(&observed).unwrap();
    assert!(bytes.len() < 100, "{}", bytes.len());
    assert_eq!(postcard::from_bytes::<Observed>(&bytes).unwrap(), observed);
}
