//! The records that close the loop are written and read again to the same, to the bit; bad ones are refused by name.

use super::*;
use proptest::prelude::*;
use saccade_topology::decision::{Act, Activation, Belief, Candidate, Control, Decision, ExplicitReward, Item};
use saccade_topology::decision::{Landed, Leaving, Passed, Pick, Served, Told};
use saccade_topology::{Arrived, Event, EventTime, Fields, IngestTime, Offset, Record};

fn number() -> impl Strategy<Value = f64> {
    use prop::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO, (-1000..1000_i32).prop_map(f64::from)]
}

fn numbers() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(number(), 0..4)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9-]{1,12}", any::<String>()]
}

type Integers = (i64, Option<i64>, u64, Option<u64>, Vec<u64>, u32, Option<u32>);

/// Owns what records borrow.
#[derive(Clone, Debug)]
struct Sample {
    texts: Vec<String>,
    optional: Vec<Option<String>>,
    integers: Integers,
    enums: (usize, usize, bool),
    numbers: Vec<Vec<f64>>,
    value: f64,
    fields: Vec<Vec<u8>>,
    has_fields: bool,
}

fn samples() -> impl Strategy<Value = Sample> {
    let integers = (
        any::<i64>(),
        any::<Option<i64>>(),
        any::<u64>(),
        any::<Option<u64>>(),
        prop::collection::vec(any::<u64>(), 0..3),
        any::<u32>(),
        any::<Option<u32>>(),
    );
    (
        prop::collection::vec(text(), 4),
        prop::collection::vec(prop::option::of(text()), 2),
        integers,
        (0..Served::ALL.len(), 0..3_usize, any::<bool>()),
        prop::collection::vec(numbers(), 3),
        number(),
        prop::collection::vec(super::round_trip::free_fields(), 0..3),
        any::<bool>(),
    )
        .prop_map(|(texts, optional, integers, enums, numbers, value, fields, has_fields)| Sample {
            texts,
            optional,
            integers,
            enums,
            numbers,
            value,
            fields,
            has_fields,
        })
}

impl Sample {
    fn fields(&self) -> Fields<'_> {
        Fields::from_bytes(self.fields.first().map_or(&[], Vec::as_slice))
    }

    fn decision(&self) -> Decision<'_> {
        let (event_time, _, ordinal, context_version, model_version, reward_version, preferred) = &self.integers;
        let belief = Belief { spec: *reward_version, expected: self.value, deviation: -self.value };
        let pick = |place: usize| Pick {
            candidate: place as u32,
            propensity: self.value,
            score: -self.value,
            joint: self.numbers[2].clone(),
            fields: Fields::from_bytes(&self.fields[place]),
            beliefs: vec![belief; place],
        };
        Decision {
            id: &self.texts[0],
            model: &self.texts[1],
            event_time: EventTime(*event_time),
            session: self.optional[0].as_deref(),
            viewer: self.optional[1].as_deref(),
            served: Served::ALL[self.enums.0],
            deferred: self.enums.2,
            ordinal: *ordinal,
            context_version: *context_version,
            model_version: model_version.clone(),
            reward_version: *reward_version,
            context: self.numbers[0].clone(),
            candidates: self
                .fields
                .iter()
                .map(|f| Candidate { item: &self.texts[2], features: Fields::from_bytes(f) })
                .collect(),
            distribution: self.numbers[1].clone(),
            picks: (0..self.fields.len()).map(pick).collect(),
            preferred: *preferred,
        }
    }

    fn records(&self) -> [Record<'_>; 9] {
        let (_, time, _, _, _, version, position) = self.integers;
        let event_time = time.map(EventTime);
        let [id, item] = [0, 1].map(|i| self.optional[i].as_deref());
        let action = [Act::Propose, Act::Activate, Act::Retire][self.enums.1];
        let [model, spec, by, decision] = [0, 1, 2, 3].map(|i| &*self.texts[i]);
        let reward = ExplicitReward { decision, id, item, position, value: self.value, event_time };
        let number = u64::from(version);
        let passed = |told| {
            let (from, event_time) = (version as u16, EventTime(self.integers.0));
            Record::Passed(Box::new(Passed { from, offset: number, event_time, told }))
        };
        let event =
            Event { session: Some("s"), decision: Some("d"), ..Event::new("e", "click", EventTime(1_790_000_000_000)) };
        [
            Record::Decision(Box::new(self.decision())),
            Record::Activation(Activation { decision, event_time }),
            Record::Reward(reward),
            Record::Leaving(Leaving { decision, to: version as u16 }),
            passed(Told::Reward(reward)),
            passed(Told::Event(event)),
            Record::Landed(Landed { until: number }),
            Record::Item(Item { id: decision, fields: self.has_fields.then(|| self.fields()) }),
            Record::Control(Control { model, action, version, spec, by }),
        ]
    }
}

fn line_of(arrived: &Arrived<'_>) -> String {
    let mut line = Vec::new();
    write_record(&mut line, 3, Offset(9), arrived);
    String::from_utf8(line).expect("JSON is text")
}

fn bytes_of(arrived: &Arrived<'_>) -> Vec<u8> {
    let mut bytes = vec![];
    crate::log::encode(arrived, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn every_record_written_is_read_again_to_one_of_the_same_bytes(sample in samples()) {
        for record in sample.records() {
            let arrived = Arrived { ingest_time: IngestTime(5), record };
            let (line, arena) = (line_of(&arrived), Bump::new());
            prop_assert_eq!(line.bytes().filter(|b| *b == b'\n').count(), 1);
            let (partition, offset, read) = read_record(&reader(""), &line, &arena).map_err(|e| TestCaseError::fail(format!("{e:?} {line}")))?;
            prop_assert_eq!((partition, offset), (3, Offset(9)));
            prop_assert_eq!(bytes_of(&read), bytes_of(&arrived), "{}", line);
        }
    }

    #[test]
    fn a_damaged_line_is_refused_or_read_and_never_panics(sample in samples(), place: prop::sample::Index, with in "[\\[\\]{}\",:\\\\0-9a-]{0,3}") {
        for record in sample.records() {
            let line = line_of(&Arrived { ingest_time: IngestTime(5), record });
            let at = line.floor_char_boundary(place.index(line.len()));
            let rest = line[at..].chars().next().map_or(at, |c| at + c.len_utf8());
            let (damaged, arena) = (format!("{}{with}{}", &line[..at], &line[rest..]), Bump::new());
            let _ = read_record(&reader(""), &damaged, &arena);
        }
    }
}

#[test]
fn a_decision_reads_well() {
    let mut bytes = vec![];
    Fields::push(&mut bytes, "year", saccade_topology::Value::Number(1999.0));
    Fields::push(&mut bytes, "genres", saccade_topology::Value::Json("[\"drama\"]"));
    let candidates = ["a", "b"].map(|item| Candidate { item, features: Fields::default() });
    let picks = vec![Pick {
        candidate: 1,
        propensity: 0.75,
        score: 0.1,
        joint: vec![],
        fields: Fields::from_bytes(&bytes),
        beliefs: vec![Belief { spec: 2, expected: 0.1, deviation: -0.02 }],
    }];
    let decision = Decision {
        id: "d1",
        model: "home",
        event_time: EventTime(1_760_000_000_000),
        session: Some("s1"),
        viewer: None,
        served: Served::Policy,
        deferred: false,
        ordinal: 7,
        context_version: Some(41),
        model_version: vec![40],
        reward_version: 2,
        context: vec![1.0, -0.5],
        candidates: candidates.to_vec(),
        distribution: vec![0.25, 0.75],
        picks,
        preferred: None,
    };
    let line = line_of(&Arrived { ingest_time: IngestTime(5), record: Record::Decision(Box::new(decision)) });
    let expected = concat!(
        r#"{"offset":9,"partition":3,"ingest_time":5,"decision":{"id":"d1","model":"home","event_time":1760000000000,"#,
        r#""session":"s1","served":"policy","ordinal":7,"context_version":41,"model_version":[40],"reward_version":2,"#,
        r#""context":[1.0,-0.5],"candidates":[{"item":"a"},{"item":"b"}],"distribution":[0.25,0.75],"picks":[{"candidate":1,"#,
        r#""propensity":0.75,"score":0.1,"joint":[],"fields":{"year":1999.0,"genres":["drama"]},"#,
        r#""beliefs":[{"spec":2,"expected":0.1,"deviation":-0.02}]}]}}"#,
        "\n"
    );
    assert_eq!(line, expected);
}

#[test]
fn records_with_what_does_not_belong_there_are_refused() {
    for (record, code, part) in [
        (r#""reward":{"decision":"d","value":1,"id":null}"#, "ok", ""),
        (r#""reward":{"value":1}"#, "missing_field", "`decision` of a reward is missing"),
        (r#""reward":{"decision":"d"}"#, "missing_field", "`value` of a reward"),
        (r#""reward":{"decision":"d","value":null}"#, "missing_field", "`value` of a reward"),
        (r#""reward":{"decision":"d","value":1,"value":2}"#, "bad_value", "given twice"),
        (r#""reward":{"decision":"d","value":1,"postion":2}"#, "unknown_key", "did you mean `position`?"),
        (r#""reward":{"decision":"d","value":1e999}"#, "invalid_json", ""),
        (r#""reward":{"decision":7,"value":1}"#, "wrong_type", "`decision` is 7"),
        (r#""reward":{"decision":"d","value":1,"position":-1}"#, "bad_value", "`position` is -1"),
        (r#""reward":[]"#, "wrong_type", "expected a reward as a JSON object, found an array"),
        (r#""item":{"id":"i","fields":[]}"#, "wrong_type", "`fields` is an array"),
        (r#""item":{"id":"i"}"#, "ok", ""),
        (
            r#""control":{"model":"m","action":"do","version":1,"spec":"","by":""}"#,
            "bad_value",
            "expected one of propose activate retire",
        ),
        (r#""activation":{"decision":"d","event_time":1.5}"#, "bad_value", "`event_time` is 1.5"),
        (r#""decision":{"id":"d"}"#, "missing_field", "`model` of a decision"),
        (r#""decision":{"id":"d","#, "invalid_json", ""),
        (r#""choice":{}"#, "bad_value", "no key `choice`"),
    ] {
        let line = format!("{{\"offset\":1,\"partition\":0,\"ingest_time\":1,{record}}}");
        let arena = Bump::new();
        let read = read_record(&reader(""), &line, &arena);
        let (found, message) = read.map_or_else(|e| (e.code, e.message), |_| ("ok", String::new()));
        assert!(found == code && message.contains(part), "{record}: {found} {message}");
    }
}

#[test]
fn deep_values_of_a_record_are_refused_without_using_the_stack() {
    for depth in [1_000, 1_000_000] {
        let deep = "[".repeat(depth);
        for record in ["decision", "item", "control"] {
            let line = format!(
                "{{\"offset\":1,\"partition\":0,\"ingest_time\":1,\"{record}\":{deep}{}}}",
                deep.replace('[', "]")
            );
            assert_eq!(read_record(&reader(""), &line, &Bump::new()).map_err(|e| e.code), Err("invalid_json"));
        }
    }
}
