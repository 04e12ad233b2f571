//! Answers to rank requests.

use super::*;
use saccade_topology::decision::{Candidate, Decision, Pick, Served};
use saccade_topology::{EventTime, Fields};

#[test]
fn an_answer_is_a_function_of_the_decision() {
    let pick = |candidate, propensity, score| Pick {
        candidate,
        propensity,
        score,
        joint: vec![],
        fields: Fields::default(),
        beliefs: vec![],
    };
    let mut decision = Decision {
        id: "d\"1",
        model: "home",
        event_time: EventTime(0),
        session: None,
        viewer: None,
        served: Served::Policy,
        deferred: false,
        ordinal: 0,
        context_version: Some(41),
        model_version: vec![40, 7],
        reward_version: 2,
        context: vec![],
        candidates: ["a", "b"].map(|item| Candidate { item, features: Fields::default() }).to_vec(),
        distribution: vec![],
        picks: vec![pick(1, 0.1 + 0.2, 1e-7), pick(0, 1.0, -0.5)],
        preferred: None,
    };
    let answer = |decision: &Decision<'_>| {
        let mut out = vec![];
        write_rank(&mut out, decision, "linucb");
        String::from_utf8(out).expect("JSON is text")
    };
    let expected = concat!(
        r#"{"decision":"d\"1","model":"home","items":[{"id":"b","propensity":0.30000000000000004,"score":1e-7},"#,
        r#"{"id":"a","propensity":1.0,"score":-0.5}],"policy":"linucb","model_version":"40.7","reward_version":2,"#,
        r#""context_version":41}"#
    );
    assert_eq!(answer(&decision), expected);
    (decision.context_version, decision.model_version, decision.picks) = (None, vec![], vec![]);
    let expected = r#""items":[],"policy":"linucb","model_version":"","reward_version":2,"context_version":null}"#;
    assert!(answer(&decision).ends_with(expected));
}
