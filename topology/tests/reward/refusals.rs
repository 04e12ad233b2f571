use crate::driver::*;
use saccade_topology::Duration;
use saccade_topology::reward::*;

const CLICKED: &str = r#"clicked = { fold = "any", on = ["click"] }"#;

fn of_expression(expression: &str) -> (String, String) {
    let error = refused(&spec(expression, &[CLICKED, "watched_s = { fold = \"unique_seconds\" }"]));
    assert_eq!(error.key, "expression", "{error}");
    (error.found, error.allowed)
}

#[test]
fn errors_in_expressions_point_at_the_place() {
    for (expression, found) in [
        ("", "empty"),
        (" \n ", "empty"),
        ("clickd", "unknown variable `clickd` at line 1, column 1"),
        ("clicked +\n  'é' == 'ü' && watched > 0", "unknown variable `watched` at line 2, column 17"),
        ("1 + clip(clicked)", "unknown function `clip` at line 1, column 9"),
        ("item.title.lower() == 'a'", "unknown function `.lower` at line 1, column 17"),
        ("math.sum(clicked)", "unknown function `math.sum` at line 1, column 9"),
        ("item", "`item` by itself at line 1, column 1"),
        ("item.all(k, true)", "a walk over `item` at line 1, column 1"),
        ("item.a.b > 1", "field `b` of what has no fields at line 1, column 7"),
        ("pow(clicked)", "`pow` with 1 arguments at line 1, column 4"),
        ("{'a': 1}", "a map at line 1, column 1"),
        ("clicked == null", "`null` at line 1, column 12"),
        ("b'x' == b'y'", "bytes at line 1, column 1"),
        ("'text'", "a text or a list"),
        ("clicked > 0.0 ? 'yes' : 'no'", "a text or a list"),
        ("has(item.a) ? item.a : 'none'", "a text or a list"),
        ("[1, 2]", "a text or a list"),
        ("[1, 2].map(x, x * clicked)", "a text or a list"),
        ("1 / 0", "inf whatever it is tried on"),
    ] {
        assert_eq!(of_expression(expression).0, found, "{expression}");
    }
}

#[test]
fn syntax_errors_have_a_line_and_a_column() {
    for (expression, begin) in [
        ("clicked +", "not CEL at line 1, column 10: "),
        ("clicked +\n* 2", "not CEL at line 2, column 1: "),
        ("(clicked", "not CEL at line 1, column 9: "),
        ("clicked ? 1", "not CEL at line 1, column "),
        ("'open", "not CEL at line 1, column 1: "),
        ("99999999999999999999 + clicked", "not CEL at line 1, column 1: "),
        ("1 @ 2", "not CEL at line 1, column 3: "),
    ] {
        let (found, _) = of_expression(expression);
        assert!(found.starts_with(begin), "{expression}: {found}");
        assert!(found.lines().count() == 1 && found.len() < 300, "{found}");
    }
}

#[test]
fn unknown_names_get_the_known_ones_and_the_nearest() {
    assert_eq!(of_expression("clickd").1, "clicked, watched_s, item, default_reward; did you mean `clicked`?");
    assert_eq!(of_expression("rewards").1, "clicked, watched_s, item, default_reward");
    let (_, functions) = of_expression("maxx(clicked, 1)");
    assert!(functions.ends_with("did you mean `max`?"), "{functions}");
}

#[test]
fn what_fails_whatever_it_is_tried_on_is_refused_with_the_reason() {
    for (expression, reason) in [
        ("clicked + 'a'", "a number is needed, not a text"),
        ("clicked ? 1 : 0", "a truth value is needed, not a number: write `x > 0`"),
        ("(clicked > 0) * 2", "a number is needed, not a truth value: write `x > 0 ? 1 : 0`"),
        ("clicked < 'a'", "what is compared is not of one type, or not a number"),
        ("[1, 2][5] + clicked", "the list has no such element"),
    ] {
        assert_eq!(of_expression(expression).0, format!("failing whatever it is tried on: {reason}"), "{expression}");
    }
    // Only the item is missing, or only one of the samples fails.
    compile("item.length_s > 60 ? clicked : 0", &[CLICKED]);
    compile("item.length_s * clicked", &[CLICKED]);
    compile("[1, 2][clicked > 1 ? 7 : 0]", &[CLICKED]);
    compile("1 / clicked", &[CLICKED]);
}

#[test]
fn signals_are_refused_by_their_key() {
    for (line, key, found) in [
        ("a = { fold = \"sum\" }", "signals.a.field", "missing"),
        ("a = { fold = \"last\", field = \"plyhead\" }", "signals.a.field", "\"plyhead\""),
        ("a = { fold = \"last\", field = \"fields.\" }", "signals.a.field", "\"fields.\""),
        ("a = { fold = \"any\", field = \"value\" }", "signals.a.field", "\"value\""),
        ("a = { fold = \"time_until\", field = \"value\" }", "signals.a.field", "\"value\""),
        ("a = { fold = \"any\", on = [] }", "signals.a.on", "empty"),
        ("a = { fold = \"any\", on = [\"\"] }", "signals.a.on", "\"\""),
        ("item = { fold = \"any\" }", "signals.item", "a word of the expression language"),
        ("default_reward = { fold = \"any\" }", "signals.default_reward", "a word of the expression language"),
        ("size = { fold = \"any\" }", "signals.size", "a word of the expression language"),
        ("while = { fold = \"any\" }", "signals.while", "a word of the expression language"),
        ("explicit = { fold = \"any\" }", "signals.explicit", "a word of the expression language"),
        ("\"a-b\" = { fold = \"any\" }", "signals.a-b", "not a name that an expression can use"),
        ("\"1a\" = { fold = \"any\" }", "signals.1a", "not a name that an expression can use"),
        ("\"\" = { fold = \"any\" }", "signals.", "not a name that an expression can use"),
    ] {
        let error = refused(&spec("1", &[line]));
        assert_eq!((error.key.as_str(), error.found.as_str()), (key, found), "{line}");
    }
    for field in ["value", "playhead_s", "duration_s", "position", "fields.rating"] {
        compile("a", &[&format!("a = {{ fold = \"max\", field = \"{field}\" }}")]);
    }
}

/// The key and what was found there.
fn changed(change: impl Fn(&mut RewardSpec)) -> (String, String) {
    let mut spec = spec("clicked", &[CLICKED]);
    change(&mut spec);
    let error = refused(&spec);
    (error.key, error.found)
}

#[test]
fn ranges_are_refused_by_their_key() {
    let pair = |key: &str, found: &str| (key.to_string(), found.to_string());
    assert_eq!(changed(|s| s.version = 0), pair("version", "0"));
    assert_eq!(changed(|s| s.clip = Some([1.0, 0.0])), pair("clip", "[1, 0]"));
    assert_eq!(changed(|s| s.clip = Some([0.0, f64::INFINITY])), pair("clip", "[0, inf]"));
    assert_eq!(changed(|s| s.clip = Some([f64::NAN, 1.0])), pair("clip", "[NaN, 1]"));
    assert_eq!(changed(|s| s.default_reward = f64::NAN), pair("default_reward", "NaN"));
    assert_eq!(changed(|s| s.default_reward = -1e31), pair("default_reward", "-10000000000000000000000000000000"));
    let outside = |s: &mut RewardSpec| (s.clip, s.default_reward) = (Some([0.0, 1.0]), -0.1);
    assert_eq!(changed(outside), pair("default_reward", "-0.1"));
    assert_eq!(changed(|s| s.start_after = s.wait), pair("wait", "30m"));
    assert_eq!(changed(|s| s.wait = Duration::from_secs(90 * 86_400 + 1)), pair("wait", "7776001s"));
    let many = |s: &mut RewardSpec| {
        let signal = s.signals["clicked"].clone();
        s.signals.extend((0..32).map(|i| (format!("s{i}"), signal.clone())));
    };
    assert_eq!(changed(many), pair("signals", "33 signals"));
    let mut full = spec("clicked", &[CLICKED]);
    many(&mut full);
    full.signals.remove("s0");
    full.wait = Duration::from_secs(90 * 86_400);
    Reward::compile(&full).unwrap();
}

#[test]
fn toml_and_json_give_the_same_spec_and_refuse_unknown_keys() {
    let toml = r#"
        version = 3
        description = "clicks"
        expression = "clicked + item.boost"
        default_reward = -0.5
        clip = [-1.0, 1.0]
        start_after = "1s"
        wait = "1h 30m"
        aggregation = "median"
        [signals.clicked]
        fold = "sum"
        on = ["click"]
        field = "fields.weight"
    "#;
    let json = r#"{"version":3,"description":"clicks","expression":"clicked + item.boost","default_reward":-0.5,
        "clip":[-1,1],"start_after":"1s","wait":"1h 30m","aggregation":"median",
        "signals":{"clicked":{"fold":"sum","on":["click"],"field":"fields.weight"}}}"#;
    let spec: RewardSpec = toml::from_str(toml).unwrap();
    assert_eq!(RewardSpec::from_json(json).unwrap(), spec);
    assert_eq!(RewardSpec::from_json(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
    assert_eq!(Reward::compile(&spec).unwrap().spec(), &spec);
    assert!(toml::from_str::<RewardSpec>(&toml.replace("aggregation", "aggregate")).is_err());
    assert!(toml::from_str::<RewardSpec>(&toml.replace("field =", "feild =")).is_err());
    for broken in
        [json.replace("clip", "clamp"), json.replace("\"on\"", "\"of\""), json.replace("3", "-3"), "[".repeat(9999)]
    {
        let error = RewardSpec::from_json(&broken).unwrap_err();
        assert_eq!(error.key, "spec");
        assert!(error.found.contains("line "), "{error}");
    }
}

#[test]
fn what_can_never_mean_what_is_written_is_refused_where_it_is_new() {
    let found = |expression: &str, signal: &str| {
        let reward = Reward::compile(&spec(expression, &[signal])).expect("a log may have it");
        reward.review().err().map(|error| (error.key, error.found))
    };
    const NEVER: &str = "they are never equal";
    for (expression, expected) in [
        ("clicked == true ? 1 : 0", "`clicked` (a number) compared with a truth value"),
        ("clicked != \"1\"", "`clicked` (a number) compared with a text"),
        ("1 + (true == clicked ? 1 : 0)", "a truth value compared with `clicked` (a number)"),
        ("clicked in [\"yes\", \"no\"]", "`clicked` (a number) compared with a text"),
        ("has(item.stars) && (clicked > 0) == 1", "a truth value compared with a number"),
        ("[1, 2].exists(x, x == clicked * 2 || (clicked - 1) == false)", "a number compared with a truth value"),
    ] {
        let error = (String::from("expression"), format!("{expected}: {NEVER}"));
        assert_eq!(found(expression, CLICKED), Some(error), "{expression}");
    }
    for expression in [
        "clicked == 1",
        "(clicked > 0) == true",
        "item.kind == \"film\" && item.stars == clicked",
        "item.tags.exists(t, t == \"new\") == true",
        "(clicked > 0 ? item.a : \"b\") == 3",
        "clicked in [1, 2]",
    ] {
        assert_eq!(found(expression, CLICKED), None, "{expression}");
    }
    let on = |kind: &str| format!("clicked = {{ fold = \"any\", on = [\"play\", \"{kind}\"] }}");
    for kind in ["Click", "add-to-list", "2nd", "päuse", "click ", "decision", "item"] {
        let error = ("signals.clicked.on".to_string(), format!("{kind:?}, which no event can be called"));
        assert_eq!(found("clicked", &on(kind)), Some(error));
    }
    assert_eq!(found("clicked", &on("add_to_list2")), None);
}
