//! Decisions made elsewhere and things of the catalogue, told as events.

use super::*;
use crate::wire::told::item_of;
use proptest::prelude::*;
use saccade_topology::{EventTime, Value};

fn event<'a>(text: &'a str, arena: &'a Bump) -> saccade_topology::Event<'a> {
    reader("").read_event(text, arena).unwrap_or_else(|e| panic!("{text}: {e:?}"))
}

fn decided(fields: &str) -> String {
    let text =
        format!(r#"{{"id":"e","type":"decision","event_time":1760000000000,"session":"s","fields":{{{fields}}}}}"#);
    let arena = Bump::new();
    ElsewhereDecision::of(&event(&text, &arena), &arena)
        .map_or_else(|e| format!("{} {}", e.code, e.message), |_| "ok".into())
}

#[test]
fn a_decision_made_elsewhere_is_read_with_its_propensities() {
    let text = r#"{"id":"e1","type":"decision","decision":"d1","event_time":1760000000000,"viewer":"v","app":"x","fields":{
        "model":"home","items":[{"id":"b","propensity":0.5,"features":{"hd":true}},{"id":3,"propensity":1}],
        "candidates":["a",{"id":"b","features":{"year":1}},"3"],"context":[1,0.5],"features":{"hour":21}}}"#;
    let arena = Bump::new();
    let read = ElsewhereDecision::of(&event(text, &arena), &arena).expect("good");
    assert_eq!((read.id, read.model), ("d1", "home"));
    let shown = [Shown { candidate: 1, propensity: 0.5 }, Shown { candidate: 2, propensity: 1.0 }];
    assert_eq!(read.shown, shown);
    let request = read.request;
    assert_eq!((request.id, request.viewer, request.session, request.k), (Some("d1"), Some("v"), None, 2));
    assert_eq!(request.candidates.iter().map(|c| c.item).collect::<Vec<_>>(), ["a", "b", "3"]);
    assert_eq!(request.candidates[1].features.iter().collect::<Vec<_>>(), [("hd", Value::Bool(true))]);
    assert_eq!((request.context, request.features), (Some(vec![1.0, 0.5]), vec![("hour", 21.0)]));
    assert_eq!((request.event_time, request.deferred), (Some(EventTime(1_760_000_000_000)), false));
}

#[test]
fn without_candidates_what_was_shown_is_all_there_was_and_the_event_names_the_decision() {
    let text = r#"{"id":"e1","type":"decision","event_time":1760000000000,"session":"s","model":"home",
        "items":[{"id":"b","propensity":0.25}]}"#;
    let arena = Bump::new();
    let read = ElsewhereDecision::of(&event(text, &arena), &arena).expect("good");
    assert_eq!((read.id, read.request.candidates.len(), read.shown[0].candidate), ("e1", 1, 0));
}

#[test]
fn bad_decisions_are_told_what_is_wrong() {
    for (fields, expected) in [
        (r#""items":[]"#, "missing_field `model` in `fields` is missing"),
        (r#""model":1"#, "wrong_type `model` is 1.0; expected a string"),
        (r#""model":"""#, "bad_value `model`"),
        (r#""model":"m""#, "missing_field `items` in `fields` is missing"),
        (r#""model":"m","items":"a""#, "wrong_type `items` is \"a\"; expected a list or object"),
        (r#""model":"m","items":{}"#, "wrong_type `items` is an object; expected a list"),
        (r#""model":"m","items":[]"#, "bad_value `items` is empty"),
        (r#""model":"m","items":["a"]"#, "missing_field items[0]: `propensity` of \"a\" is missing"),
        (
            r#""model":"m","items":[{"id":"a","propensity":0}]"#,
            "out_of_range items[0]: `propensity` is 0; expected a probability above 0",
        ),
        (r#""model":"m","items":[{"id":"a","propensity":1.01}]"#, "out_of_range items[0]"),
        (r#""model":"m","items":[{"id":"a","propensity":-0.0}]"#, "out_of_range items[0]"),
        (r#""model":"m","items":[{"id":"a","propensity":"1"}]"#, "wrong_type items[0]"),
        (r#""model":"m","items":[{"id":"a","propensty":1}]"#, "did you mean `propensity`?"),
        (
            r#""model":"m","items":[{"id":"a","propensity":1},{"id":"a","propensity":1}]"#,
            "bad_value items[1]: \"a\" is given twice",
        ),
        (
            r#""model":"m","items":[{"id":"a","propensity":1e-300}],"candidates":["b"]"#,
            "bad_value items[0]: \"a\" is none of `candidates`",
        ),
        (r#""model":"m","items":[{"id":"a","propensity":1}],"candidates":["a","a"]"#, "bad_value candidates[1]"),
        (r#""model":"m","items":[{"id":"a","propensity":1}],"context":[null]"#, "wrong_type context[0]"),
        (r#""model":"m","items":[{"id":"a","propensity":1}],"features":{"x":1e300}"#, "out_of_range"),
        (r#""model":"m","items":[{"id":"a","propensity":1}],"other":1"#, "ok"),
    ] {
        let found = decided(fields);
        assert!(
            if expected == "ok" { found == "ok" } else { found.contains(expected) },
            "{fields} gives {found}, not {expected}"
        );
    }
}

#[test]
fn an_item_needs_no_session_or_viewer_but_other_events_do() {
    let row = |more: &str| code(&format!(r#"{{"id":"e","event_time":1760000000000,{more}}}"#));
    assert_eq!(row(r#""type":"item","item":"i""#), "ok");
    assert_eq!(row(r#""type":"item","item":"i","viewer":"v""#), "ok");
    for more in [r#""type":"item""#, r#""type":"items","item":"i""#, r#""type":"decision","item":"i""#] {
        assert_eq!(row(more), "missing_field", "{more}");
    }
}

#[test]
fn the_fields_of_an_item_replace_what_was_known_or_remove_it() {
    let row = |more: &str| format!(r#"{{"id":"e","type":"item","event_time":1760000000000,{more}}}"#);
    for (more, expected) in [
        (r#""item":"i","fields":null"#, "i None"),
        (r#""item":"i","fields":{"year":1,"removed":true}"#, "i None"),
        (r#""item":"i","removed":true"#, "i None"),
        (r#""item":"i","removed":false"#, r#"i Some([("removed", Bool(false))])"#),
        (
            r#""item":7,"fields":{"year":1,"tags":["a"]},"hd":true"#,
            r#"7 Some([("year", Number(1.0)), ("tags", Json("[\"a\"]")), ("hd", Bool(true))])"#,
        ),
        (
            r#""item":"i","duration_s":60,"country":"SE","fields":{"year":1}"#,
            r#"i Some([("duration_s", Number(60.0)), ("country", Text("SE")), ("year", Number(1.0))])"#,
        ),
        (r#""item":"i","year":1e31"#, "out_of_range `year` is 1e31; expected a number from -1e30 to 1e30"),
        (r#""viewer":"v","year":1"#, "missing_field `item` is missing; send which thing it is"),
    ] {
        let (text, arena) = (row(more), Bump::new());
        let found = item_of(&event(&text, &arena), &arena)
            .map(|item| format!("{} {:?}", item.id, item.fields.map(|fields| fields.iter().collect::<Vec<_>>())));
        assert_eq!(found.unwrap_or_else(|e| format!("{} {}", e.code, e.message)), expected, "{more}");
    }
}

proptest! {
    #[test]
    fn arbitrary_fields_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..99), text in "[\\[\\]{}\",:\\\\ 0-9a-e.-]{0,60}") {
        use saccade_topology::{Event, Fields};
        let mut fields = vec![];
        Fields::push(&mut fields, "model", Value::Text("m"));
        for name in ["items", "candidates", "context", "features"] {
            Fields::push(&mut fields, name, Value::Json(&text));
        }
        for bytes in [&bytes, &fields] {
            let (fields, arena) = (Fields::from_bytes(bytes), Bump::new());
            let event = Event { item: Some("i"), fields, ..Event::new("e", "item", EventTime(0)) };
            let _ = (ElsewhereDecision::of(&event, &arena), item_of(&event, &arena));
        }
    }
}
