//! The specification of W1: 32 slots in the order of the reference. `configs/w1.toml` is held to it by a test.

use saccade_topology::*;

pub const TYPES: [&str; 7] = ["click", "pause", "scroll", "play", "seek", "impression", "stop"];
pub const DEVICES: [&str; 3] = ["tv", "mobile", "web"];
pub const COUNTRIES: [&str; 8] = ["IN", "SE", "US", "BR", "DE", "GB", "JP", "NG"];

pub fn spec() -> Spec {
    Spec {
        time: TimeSpec {
            out_of_orderness: Duration::from_secs(2),
            allowed_lateness: Duration::from_secs(0),
            ..TimeSpec::default()
        },
        session: SessionSpec {
            gap: Duration::from_secs(1800),
            max_length: Duration::from_secs(30 * 86_400),
            ..SessionSpec::default()
        },
        viewer: ViewerSpec { enabled: false, ..ViewerSpec::default() },
        features: features(),
        ..Spec::default()
    }
}

fn features() -> Vec<FeatureSpec> {
    use FeatureType::*;
    let minutes = |half_lives: &[i64]| Some(half_lives.iter().map(|s| Duration::from_secs(*s)).collect());
    let by_type = |f: FeatureSpec| FeatureSpec { by: Some("type".into()), values: list(&TYPES), ..f };
    vec![
        by_type(FeatureSpec { half_lives: minutes(&[30, 600]), ..feature("recent", DecayedCount) }),
        by_type(feature("since", TimeSince)),
        FeatureSpec { size: Some(64), ..of("items", Distinct, "item") },
        FeatureSpec { values: list(&TYPES), ..of("types", Distinct, "type") },
        feature("age", Age),
        feature("events", Count),
        of("value", Last, "value"),
        FeatureSpec { half_lives: minutes(&[600]), ..of("value_mean", DecayedMean, "value") },
        FeatureSpec { values: list(&DEVICES), ..of("device", OneHot, "device") },
        FeatureSpec { values: list(&COUNTRIES), scale: Some(0.125), ..of("country", Index, "country") },
        FeatureSpec { values: list(&TYPES), ..of("type", Index, "type") },
    ]
}

fn list(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| word.to_string()).collect())
}

fn of(name: &str, kind: FeatureType, field: &str) -> FeatureSpec {
    FeatureSpec { field: Some(field.into()), ..feature(name, kind) }
}

fn feature(name: &str, kind: FeatureType) -> FeatureSpec {
    FeatureSpec {
        name: name.into(),
        kind,
        scope: Scope::Session,
        field: None,
        on: None,
        by: None,
        values: None,
        half_lives: None,
        over: None,
        outputs: None,
        size: None,
        absent: None,
        scale: None,
    }
}
