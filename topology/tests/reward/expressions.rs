use crate::driver::*;
use saccade_topology::reward::*;
use saccade_topology::*;

const SIGNALS: [&str; 3] = [
    r#"clicked = { fold = "any", on = ["click"] }"#,
    r#"pauses = { fold = "count", on = ["pause"] }"#,
    r#"watched_s = { fold = "sum", field = "value", on = ["watched"] }"#,
];

/// After one click, two pauses and 90 seconds watched.
fn worth_of(item: &[u8], expression: &str) -> Worth {
    let reward = compile(expression, &SIGNALS);
    let mut observed = Observed::default();
    for event in [at(1, "a", "click"), at(2, "b", "pause"), at(3, "c", "pause")] {
        assert!(take(&mut observed, &reward, &event));
    }
    assert!(take(&mut observed, &reward, &Event { value: Some(90.0), ..at(4, "d", "watched") }));
    observed.value(&reward, T0, Fields::from_bytes(item)).expect("something was observed")
}

#[test]
fn numbers_mix_however_they_are_written() {
    for (expression, reward) in [
        ("clicked * 2 + watched_s / 60", 3.5),
        ("clicked > 0 ? 1 : 0", 1.0),
        ("clicked == 1", 1.0),
        ("1 == clicked && clicked == 1.0 && clicked == 1u", 1.0),
        ("2 * pauses - 1u + 0.5", 3.5),
        ("7 / 2", 3.5),
        ("watched_s % 60", 30.0),
        ("-pauses", -2.0),
        ("- - -pauses", -2.0),
        ("1 - 2 - 3", -4.0),
        ("2 + 3 * 4 - 6 / 3", 12.0),
        ("(2 + 3) * 4", 20.0),
        ("0x10 + 1e2", 116.0),
        ("!(clicked > 0)", 0.0),
        ("default_reward + 1", 1.0),
        ("pauses in [1, 2, 3] ? 5 : 6", 5.0),
        ("[1, 2, 3][pauses]", 3.0),
        ("min(pauses, 1, 3) + max([1, 2]) + math.least(4, 5) + math.greatest(4, 5)", 12.0),
        ("abs(-3) + floor(2.7) + ceil(2.2) + round(2.5) + trunc(-2.7) + sign(-9)", 8.0),
        ("sqrt(pauses * 8) + pow(2, 3) + int(2.9) + double('1.5') + double(true)", 16.5),
        ("ln(exp(pauses))", 2.0),
        ("[1, 2, 3].map(x, x * pauses)[2]", 6.0),
        ("[1, 2, 3].filter(x, x > clicked).size()", 2.0),
        ("[1, 2, 3].exists_one(x, x == pauses) ? 1 : 0", 1.0),
        ("[1, 2].all(x, [3, 4].exists(y, y > x)) ? 1 : 0", 1.0),
        ("size([1] + [2, 3])", 3.0),
        ("[[1], [2]] == [[1], [2]]", 1.0),
        ("1 == 'a' || 'b' > 'a'", 1.0),
        ("clicked > 0 && pauses > 1 && watched_s > 89 ? 1 : 0 // all three", 1.0),
    ] {
        let worth = worth_of(&[], expression);
        assert_eq!(worth, Worth { reward, failed: false }, "{expression}");
    }
}

#[test]
fn fields_of_the_item_are_numbers_truth_values_texts_and_lists_of_texts() {
    let item = item(&[
        ("length_s", Value::Number(180.0)),
        ("live", Value::Bool(true)),
        ("genre", Value::Text("drama")),
        ("tags", Value::Json(r#"["new", "härlig \"x\""]"#)),
        ("nested", Value::Json(r#"{"a": 1}"#)),
        ("odd name", Value::Number(2.0)),
    ]);
    for (expression, reward) in [
        ("watched_s / item.length_s", 0.5),
        ("item.live ? 1 : 2", 1.0),
        ("item.genre == 'drama' ? 1 : 2", 1.0),
        ("item.genre in ['comedy', \"drama\"] ? 1 : 2", 1.0),
        ("'new' in item.tags ? 1 : 2", 1.0),
        ("item.tags.exists(t, t.startsWith('här') && t.endsWith('x\"') && t.contains('lig')) ? 1 : 2", 1.0),
        ("size(item.tags) + item.genre.size()", 7.0),
        ("item['odd name']", 2.0),
        ("'odd name' in item && has(item.genre) && !has(item.other) && !has(item.nested) ? 1 : 2", 1.0),
        ("has(item.other) ? item.other : 4", 4.0),
        ("item.other > 1 || clicked > 0 ? 1 : 2", 1.0),
        ("clicked > 0 || item.other > 1 ? 1 : 2", 1.0),
    ] {
        let worth = worth_of(&item, expression);
        assert_eq!(worth, Worth { reward, failed: false }, "{expression}");
    }
}

#[test]
fn what_fails_gives_the_default_reward_and_says_so() {
    let item = item(&[("genre", Value::Text("drama")), ("nested", Value::Json("{}"))]);
    for expression in [
        "item.other + 1",
        "item.genre",
        "item.genre * 2",
        "item.nested == 1",
        "item.genre > 1",
        "1 / (clicked - 1)",
        "ln(clicked - 2)",
        "[1, 2][pauses]",
        "0 / (clicked - 1) > 1 ? 1 : 0",
        "item.other > 1 && clicked > 0 ? 1 : 2",
        "clicked > 0 ? item.genre : 1",
    ] {
        assert_eq!(worth_of(&item, expression), Worth { reward: 0.0, failed: true }, "{expression}");
    }
}

#[test]
fn clip_holds_rewards_on_both_sides() {
    let mut clipped = spec("watched_s - 100", &SIGNALS);
    clipped.clip = Some([-5.0, 5.0]);
    let reward = Reward::compile(&clipped).unwrap();
    for (watched_s, worth) in [(0.0, -5.0), (98.0, -2.0), (1e9, 5.0)] {
        let mut observed = Observed::default();
        assert!(take(&mut observed, &reward, &Event { value: Some(watched_s), ..at(4, "d", "watched") }));
        assert_eq!(observed.value(&reward, T0, Fields::default()), Some(Worth { reward: worth, failed: false }));
    }
}

#[test]
fn long_evaluations_end_in_the_default_reward() {
    let ten = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]";
    let nested =
        format!("{ten}.all(a, {ten}.all(b, {ten}.all(c, {ten}.all(d, a + b + c + d > 0)))) && clicked > 0 ? 1 : 2");
    let doubled = format!("{ten}{}.size() + clicked", ".map(x, [x, x])".repeat(20));
    let grown = format!("size({}) + clicked", vec!["item.tags"; 200].join(" + "));
    let items = item(&[("tags", Value::Json(&format!("[{}]", vec!["\"tag\""; 900].join(","))))]);
    for (expression, item) in [(&nested, &vec![]), (&grown, &items)] {
        // At compile time these fail on every sample, or for want of the field.
        match Reward::compile(&spec(expression, &SIGNALS)) {
            Err(error) => assert!(error.found.contains("more than 10000 steps"), "{error}"),
            Ok(_) => assert_eq!(worth_of(item, expression), Worth { reward: 0.0, failed: true }),
        }
    }
    assert_eq!(worth_of(&[], &doubled).reward, 11.0, "shared lists take no room");
}
