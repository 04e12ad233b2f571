//! The shipped configurations, and what is said about configurations that cannot be used.

#[path = "../../topology/tests/w1/spec.rs"]
mod w1_spec;

use super::*;
use saccade_topology::Plan;
use std::collections::BTreeSet;

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs")
}

/// Every file below configs/, without those of the load generator.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("configs/ can be read");
    let paths = entries.map(|entry| entry.expect("configs/ can be read").path());
    let mut files = vec![];
    for path in paths.filter(|path| *path != configs().join("load")) {
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn load(name: &str) -> Config {
    Config::load(Some(&configs().join(name))).unwrap_or_else(|e| panic!("{e}"))
}

fn slots(config: &Config) -> Vec<String> {
    let plan = Plan::compile(&config.spec()).expect("a shipped plan compiles");
    plan.slots().iter().map(|slot| slot.name.clone()).collect()
}

/// The message that `text` is refused with.
fn refusal(text: &str) -> String {
    Config::parse(text, Path::new("my.toml")).expect_err("the text is refused").to_string()
}

#[test]
fn every_shipped_configuration_loads_and_compiles() {
    let files = files(&configs());
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let config = Config::load(Some(&file)).unwrap_or_else(|e| panic!("{e}"));
        Plan::compile(&config.spec()).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}

/// Keys by full name, tables of `features`, `models` and the names of `ingest.map` left out.
fn keys(table: &toml::Table, prefix: &str, into: &mut BTreeSet<String>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            toml::Value::Table(inner) if key != "ingest.map" => keys(inner, &format!("{key}."), into),
            _ if key == "features" || key == "models" => {}
            _ => assert!(into.insert(key)),
        }
    }
}

#[test]
fn the_default_file_says_every_default_and_nothing_else() {
    let written =
        Config { features: vec![], models: vec![], ..Config::load(None).expect("the default configuration loads") };
    assert_eq!(written, Config::default());
    let (mut known, mut named) = (BTreeSet::new(), BTreeSet::new());
    keys(&toml::Table::try_from(Config::default()).expect("a configuration is a table"), "", &mut known);
    keys(&DEFAULT_TOML.parse().expect("the default file is TOML"), "", &mut named);
    assert_eq!(known, named);
    assert!(DEFAULT_TOML.contains("# read_token ="), "a key without a default is named in a comment");
    let mut above = "";
    for line in DEFAULT_TOML.lines().take_while(|line| !line.starts_with("[[")) {
        let is_key = line.contains(" = ") && !line.starts_with('#');
        assert!(!is_key || above.starts_with('#'), "no comment above `{line}`");
        above = line;
    }
}

#[test]
fn the_default_plan_begins_with_events_and_is_of_a_useful_size() {
    let slots = slots(&load("default.toml"));
    assert_eq!(slots[0], "events");
    assert!((60..=90).contains(&slots.len()), "{} slots", slots.len());
}

#[test]
fn production_has_the_default_plan_and_no_secret() {
    let production = load("production.toml");
    assert_eq!(production.features, load("default.toml").features);
    assert_eq!((production.log.partitions, production.log.durability), (1, Durability::Fsync));
    assert_eq!(production.auth, Auth::default(), "keys in a shipped file are keys everybody knows");
}

#[test]
fn w1_is_the_specification_that_is_compared_with_the_reference() {
    let config = load("w1.toml");
    assert_eq!(config.spec(), w1_spec::spec());
    assert_eq!(slots(&config).len(), 32);
    let names: Vec<(&str, &MapFrom)> = config.ingest.map.iter().map(|(to, from)| (to.as_str(), from)).collect();
    let name = |from: &str| MapFrom::Name(from.into());
    let mapped = [
        ("event_time", &name("ts")),
        ("id", &name("event_id")),
        ("item", &name("item_id")),
        ("session", &name("session_id")),
        ("viewer", &name("viewer_id")),
    ];
    assert_eq!(names, mapped);
}

const EVENTS: &str = "[[features]]\nname = \"events\"\ntype = \"count\"\n";

#[test]
fn a_missing_file_is_named() {
    let message = Config::load(Some(Path::new("/nowhere/my.toml"))).expect_err("there is no such file").to_string();
    assert!(message.contains("/nowhere/my.toml") && message.contains("reading configuration"), "{message}");
}

/// Text, and what the message has to contain.
fn assert_refused(table: &[(&str, &[&str])]) {
    for (text, parts) in table {
        let message = refusal(&format!("{text}\n"));
        for part in *parts {
            assert!(message.contains(part), "no `{part}` in the refusal of {text:?}:\n{message}");
        }
    }
}

#[test]
fn an_unknown_key_is_refused_with_file_line_key_and_the_allowed_ones() {
    assert_refused(&[
        ("[sever]\nlisten = \"x\"", &["my.toml", "line 1", "sever", "`server`", "`features`"]),
        ("[server]\nport = 80", &["my.toml", "line 2", "`port`", "`listen`", "`body_timeout`"]),
        ("[time]\nlateness = \"1m\"", &["my.toml", "line 2", "`lateness`", "`allowed_lateness`"]),
        ("[session]\ntimeout = \"1m\"", &["my.toml", "`timeout`", "`gap`", "`items_max`"]),
        (
            "[[features]]\nname = \"n\"\ntype = \"count\"\nhalf_life = \"1m\"",
            &["my.toml", "line 4", "`half_life`", "`half_lives`"],
        ),
    ]);
}

#[test]
fn a_wrong_type_or_word_is_refused_with_what_was_expected() {
    assert_refused(&[
        ("[server]\nlisten = 8080", &["my.toml", "line 2", "listen = 8080", "integer `8080`", "string"]),
        ("[log]\npartitions = \"two\"", &["my.toml", "line 2", "string \"two\"", "u16"]),
        ("[log]\ndurability = \"maybe\"", &["my.toml", "`maybe`", "`fsync`", "`buffered`"]),
        ("[session]\ngap = \"half an hour\"", &["my.toml", "line 2", "`half an hour`", "\"30s\"", "\"1h 30m\""]),
        ("[session]\ngap = 1800", &["my.toml", "line 2", "integer `1800`", "a duration as text", "\"30s\""]),
        ("[[models]]\nname = \"m\"\nhalf_life = 2000\nreward = \"r\"", &["my.toml", "{ decisions = 2000 }"]),
        ("[[models]]\nname = \"m\"\ncontext = \"events\"\nreward = \"r\"", &["my.toml", "a list of slots"]),
        (
            "[[models]]\nname = \"m\"\npolicy = \"linucb\"\nreward = \"r\"",
            &["my.toml", "a policy as a table, { name = \"lin_ucb\" }"],
        ),
        ("[[models]]\nname = \"m\"\nitems = [\"genre\"]\nreward = \"r\"", &["my.toml", "{ field = \"genre\" }"]),
        (
            "[[models]]\nname = \"m\"\n[models.reward]\nversion = 1\nexperssion = \"1\"",
            &["my.toml", "`experssion`", "`expression`"],
        ),
        (
            "[[models]]\nname = \"m\"\n[models.reward]\nversion = 1\nexpression = \"1\"\nwait = 60",
            &["my.toml", "a duration as text"],
        ),
        ("[[models]]\nname = \"m\"\nreward = 7", &["my.toml", "a reward spec: a table, or the name of a file"]),
        (
            "[ingest.map]\nplayhead_s = { from = \"pt\", scal = 0.001 }",
            &["my.toml", "{ from = \"NAME\", scale = NUMBER }"],
        ),
        ("[log]\npartitions = 65536", &["my.toml", "line 2", "65536", "u16"]),
        ("[log]\nretention_bytes = -1", &["my.toml", "line 2", "-1", "u64"]),
        ("[[features]]\nname = \"n\"\ntype = \"average\"", &["my.toml", "`average`", "`decayed_mean`", "`count`"]),
        ("[[features]]\ntype = \"count\"", &["my.toml", "missing field `name`"]),
        ("listen = ", &["my.toml", "line 1"]),
    ]);
}

/// Key; least and most that are allowed; values below and above them, where the type has any; the range as it is told.
type Bound = (&'static str, [&'static str; 2], &'static [&'static str], &'static str);

const BOUNDS: [Bound; 33] = [
    ("server.connections_max", ["1", "1000000"], &["0", "1000001"], "1 to 1000000"),
    ("server.threads", ["0", "1024"], &["1025"], "0 to 1024"),
    ("server.header_timeout", ["\"100ms\"", "\"1h\""], &["\"99ms\"", "\"61m\""], "\"100ms\" to \"1h\""),
    ("server.body_timeout", ["\"100ms\"", "\"1h\""], &["\"99ms\"", "\"61m\""], "\"100ms\" to \"1h\""),
    ("server.write_timeout", ["\"100ms\"", "\"1h\""], &["\"99ms\"", "\"61m\""], "\"100ms\" to \"1h\""),
    ("ingest.body_bytes_max", ["1024", "268435456"], &["1023", "268435457"], "1024 to 268435456"),
    ("ingest.batch_events_max", ["1", "1000000"], &["0", "1000001"], "1 to 1000000"),
    ("ingest.event_bytes_max", ["256", "16777216"], &["255", "16777217"], "256 to 16777216"),
    ("ingest.rate_max", ["0", "1000000000"], &["1000000001"], "0 to 1000000000"),
    ("ingest.queue_max", ["1", "1000000"], &["0", "1000001"], "1 to 1000000"),
    ("ingest.queue_wait_max", ["\"1ms\"", "\"1m\""], &["\"0s\"", "\"61s\""], "\"1ms\" to \"1m\""),
    ("cmcd.batch_records_max", ["1", "100000"], &["0", "100001"], "1 to 100000"),
    ("log.partitions", ["1", "256"], &["0", "257"], "1 to 256"),
    ("log.retention_age", ["\"1m\"", "\"3650d\""], &["\"59s\"", "\"3651d\""], "\"1m\" to \"3650d\""),
    ("log.retention_bytes", ["67108864", "9223372036854775807"], &["67108863"], "at least 67108864"),
    (
        "log.disk_reserve_bytes",
        ["16777216", "1125899906842624"],
        &["16777215", "1125899906842625"],
        "16777216 to 1125899906842624",
    ),
    ("checkpoint.interval", ["\"100ms\"", "\"1d\""], &["\"99ms\"", "\"25h\""], "\"100ms\" to \"1d\""),
    ("learner.cut_interval", ["\"1ms\"", "\"1h\""], &["\"0s\"", "\"61m\""], "\"1ms\" to \"1h\""),
    ("publish.streams_max", ["1", "1000000"], &["0", "1000001"], "1 to 1000000"),
    ("publish.stream_buffer", ["1", "65536"], &["0", "65537"], "1 to 65536"),
    ("time.out_of_orderness", ["\"0s\"", "\"1h\""], &["\"61m\""], "\"0s\" to \"1h\""),
    ("time.allowed_lateness", ["\"0s\"", "\"7d\""], &["\"8d\""], "\"0s\" to \"7d\""),
    ("time.idle_timeout", ["\"100ms\"", "\"1d\""], &["\"99ms\"", "\"25h\""], "\"100ms\" to \"1d\""),
    ("time.max_future", ["\"0s\"", "\"1d\""], &["\"25h\""], "\"0s\" to \"1d\""),
    ("time.skew_tolerance", ["\"0s\"", "\"1d\""], &["\"25h\""], "\"0s\" to \"1d\""),
    ("session.gap", ["\"1s\"", "\"7d\""], &["\"999ms\"", "\"8d\""], "\"1s\" to \"7d\""),
    ("session.max_length", ["\"1s\"", "\"30d\""], &["\"999ms\"", "\"31d\""], "\"1s\" to \"30d\""),
    ("session.sessions_max", ["1", "100000000"], &["0", "100000001"], "1 to 100000000"),
    ("session.pending_max", ["1", "65536"], &["0", "65537"], "1 to 65536"),
    ("session.items_max", ["1", "64"], &["0", "65"], "1 to 64"),
    ("viewer.retention", ["\"1m\"", "\"3650d\""], &["\"59s\"", "\"3651d\""], "\"1m\" to \"3650d\""),
    ("viewer.viewers_max", ["1", "100000000"], &["0", "100000001"], "1 to 100000000"),
    ("dedup.events_max", ["1024", "1073741824"], &["1023", "1073741825"], "1024 to 1073741824"),
];

fn with(key: &str, value: &str) -> String {
    let (section, name) = key.split_once('.').expect("section.name");
    format!("{EVENTS}[{section}]\n{name} = {value}\n")
}

#[test]
fn a_value_out_of_range_is_refused_with_file_key_value_and_range_and_the_limits_are_taken() {
    for (key, limits, beyond, allowed) in BOUNDS {
        for value in limits {
            Config::parse(&with(key, value), Path::new("my.toml")).unwrap_or_else(|e| panic!("{e}"));
        }
        for value in beyond {
            let message = refusal(&with(key, value));
            for part in ["my.toml", key, value, allowed] {
                assert!(message.contains(part), "no `{part}` in: {message}");
            }
        }
    }
}

#[test]
fn every_number_of_the_configuration_has_a_range_and_the_default_file_names_it() {
    let mut numbers = BTreeSet::new();
    let table = toml::Table::try_from(Config::default()).expect("a configuration is a table");
    for (section, inner) in table.iter().filter_map(|(name, value)| Some((name, value.as_table()?))) {
        for (name, value) in inner {
            let is_duration = value.as_str().is_some_and(|text| Duration::parse(text).is_ok());
            if value.is_integer() || value.is_float() || is_duration {
                numbers.insert(format!("{section}.{name}"));
            }
        }
    }
    assert_eq!(numbers, BOUNDS.iter().map(|(key, ..)| key.to_string()).collect());
    for (key, _, _, allowed) in BOUNDS {
        let (section, name) = key.split_once('.').expect("section.name");
        let (_, text) = DEFAULT_TOML.split_once(&format!("[{section}]\n")).expect("each section is there");
        let (above, _) = text.split_once(&format!("\n{name} = ")).expect("each key is there");
        let comment: Vec<&str> = above.lines().rev().take_while(|line| line.starts_with('#')).collect();
        let comment = comment.into_iter().rev().collect::<Vec<_>>().join(" ").replace(" # ", " ").to_lowercase();
        assert!(comment.contains(allowed), "no `{allowed}` above {key}: {comment}");
    }
}

#[test]
fn a_feature_that_cannot_be_is_refused_with_its_place_name_and_the_way_out() {
    let feature = |rest: &str| refusal(&format!("{EVENTS}[[features]]\nname = \"odd\"\n{rest}\n"));
    let table: [(&str, &[&str]); 12] = [
        ("type = \"decayed_count\"", &["features[1].half_lives", "\"odd\"", "missing"]),
        (
            "type = \"count\"\nhalf_lives = [\"1m\"]",
            &["features[1].half_lives", "not a key of this type", "on, by, values"],
        ),
        ("type = \"sum\"\nfield = \"valeu\"", &["features[1].field", "\"valeu\"", "throughput_kbps", "fields.NAME"]),
        ("type = \"sum\"\nfield = \"device\"", &["features[1].field", "\"device\"", "a number"]),
        ("type = \"one_hot\"\nfield = \"value\"\nvalues = [\"1\"]", &["features[1].field", "a text"]),
        ("type = \"playback\"\noutputs = [\"played\"]", &["features[1].outputs", "\"played\"", "played_s"]),
        ("type = \"distinct\"\nfield = \"item\"\nsize = 100", &["features[1].size", "100", "power of two"]),
        ("type = \"count\"\nby = \"type\"", &["features[1].values", "`by` and `values` together"]),
        ("type = \"count\"\nabsent = -1", &["features[1].absent", "not a key of this type"]),
        ("type = \"local_time\"\nscale = 2", &["features[1].scale", "not a key of this type"]),
        ("type = \"count\"\non = []", &["features[1].on", "0 values", "1 to 63"]),
        ("type = \"count\"\nscope = \"viewer\"\n[viewer]\nenabled = false", &["features[1].scope", "viewer.enabled"]),
    ];
    for (rest, parts) in table {
        let message = feature(rest);
        parts.iter().for_each(|part| assert!(message.contains(part), "no `{part}` in: {message}"));
    }
    let twice = refusal(&format!("{EVENTS}{EVENTS}"));
    assert!(twice.contains("features[1].name") && twice.contains("\"events\" again"), "{twice}");
}

#[test]
fn a_file_without_features_has_those_of_the_default() {
    let none = Config::parse("[server]\n", Path::new("test.toml")).expect("valid");
    let default = Config::load(None).expect("valid");
    assert_eq!(none.spec().features, default.features);
}
