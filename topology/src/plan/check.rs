//! What may stand in a `[[features]]` table: keys by type, ranges, and errors that name both.

use crate::spec::{Duration, FeatureSpec, FeatureType, Spec};

/// Milliseconds.
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A specification that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {found}; allowed: {allowed}")]
pub struct PlanError {
    /// Full key, with the feature's place and name.
    pub key: String,
    /// What stands there.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
}

pub(crate) fn error(key: String, found: impl ToString, allowed: impl ToString) -> PlanError {
    PlanError { key, found: found.to_string(), allowed: allowed.to_string() }
}

/// Where a key of a feature stands: `features[3].half_lives (feature "events")`.
pub(crate) fn key(index: usize, feature: &FeatureSpec, name: &str) -> String {
    format!("features[{index}].{name} (feature \"{}\")", feature.name)
}

/// Keys a type takes beside name, type, scope, scale and absent; those that it needs come with `!`.
fn keys_of(kind: FeatureType) -> &'static [&'static str] {
    use FeatureType::*;
    match kind {
        DecayedCount | DecayedRate => &["half_lives!", "on", "by", "values"],
        DecayedSum | DecayedMean => &["half_lives!", "field!", "on", "by", "values"],
        Count | TimeSince => &["on", "by", "values"],
        Sum | Max | Min => &["field!", "on", "by", "values"],
        Last | First => &["field!", "on"],
        Distinct => &["field!", "on", "values", "size"],
        Ratio => &["on!", "over!"],
        Age => &[],
        Playback | LocalTime => &["outputs"],
        Scroll => &["field", "on", "outputs"],
        OneHot | Index => &["field!", "values!", "on"],
        Hashed => &["field!", "size!", "on"],
    }
}

/// Checks which keys are there and the ranges of single values.
pub(crate) fn check_feature(index: usize, f: &FeatureSpec) -> Result<(), PlanError> {
    let allowed = keys_of(f.kind);
    let given = [
        ("half_lives", f.half_lives.is_some()),
        ("field", f.field.is_some()),
        ("on", f.on.is_some()),
        ("by", f.by.is_some()),
        ("values", f.values.is_some()),
        ("over", f.over.is_some()),
        ("outputs", f.outputs.is_some()),
        ("size", f.size.is_some()),
    ];
    let plain: Vec<&str> = allowed.iter().map(|k| k.trim_end_matches('!')).collect();
    for (name, is_given) in given {
        if is_given && !plain.contains(&name) {
            let list = if plain.is_empty() { "no further key".to_string() } else { plain.join(", ") };
            return Err(error(key(index, f, name), "not a key of this type", list));
        }
        if !is_given && allowed.iter().any(|k| k.strip_suffix('!') == Some(name)) {
            return Err(error(key(index, f, name), "missing", "this type needs it"));
        }
    }
    if f.name.is_empty() || f.name.len() > 64 || !f.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let rule = "1 to 64 letters, digits and underscores";
        return Err(error(format!("features[{index}].name"), format!("\"{}\"", f.name), rule));
    }
    if f.by.is_some() != f.values.is_some() && plain.contains(&"by") {
        return Err(error(key(index, f, "values"), "not given together with `by`", "`by` and `values` together"));
    }
    check_lists(index, f)
}

fn check_lists(index: usize, f: &FeatureSpec) -> Result<(), PlanError> {
    let lists = [("on", &f.on, 63), ("over", &f.over, 63), ("values", &f.values, 256), ("outputs", &f.outputs, 64)];
    for (name, list, max) in lists {
        let Some(list) = list else { continue };
        if list.is_empty() || list.len() > max {
            return Err(error(key(index, f, name), format!("{} values", list.len()), format!("1 to {max}")));
        }
        if let Some(twice) = list.iter().enumerate().find(|(i, v)| list[..*i].contains(v)) {
            return Err(error(key(index, f, name), format!("\"{}\" twice", twice.1), "each value once"));
        }
    }
    if let Some(half_lives) = &f.half_lives {
        if half_lives.is_empty() || half_lives.len() > 16 {
            return Err(error(key(index, f, "half_lives"), format!("{} values", half_lives.len()), "1 to 16"));
        }
        if let Some(bad) = half_lives.iter().find(|h| !(100..=3_153_600_000_000).contains(&h.0)) {
            return Err(error(key(index, f, "half_lives"), format!("\"{bad}\""), "\"100ms\" to 100 years"));
        }
    }
    // What counts from nothing is 0 where nothing was seen.
    use FeatureType::*;
    let counts = matches!(f.kind, Count | Sum | DecayedCount | DecayedSum | DecayedRate | Distinct | LocalTime);
    for (name, is_wrong) in
        [("absent", f.absent.is_some() && counts), ("scale", f.scale.is_some() && f.kind == LocalTime)]
    {
        if is_wrong {
            return Err(error(key(index, f, name), "not a key of this type", "other types"));
        }
    }
    for (name, value) in [("absent", f.absent), ("scale", f.scale)] {
        if value.is_some_and(|x| !x.is_finite() || x.abs() > 1e30) {
            return Err(error(key(index, f, name), value.unwrap_or_default(), "a finite number up to 1e30"));
        }
    }
    check_size(index, f)
}

fn check_size(index: usize, f: &FeatureSpec) -> Result<(), PlanError> {
    match (f.kind, f.size, &f.values) {
        (FeatureType::Distinct, Some(n), _) if !(64..=4096).contains(&n) || !n.is_power_of_two() => {
            Err(error(key(index, f, "size"), n, "a power of two from 64 to 4096 (bits)"))
        }
        (FeatureType::Distinct, Some(_), Some(_)) => {
            Err(error(key(index, f, "size"), "given together with `values`", "one of the two"))
        }
        (FeatureType::Distinct, _, Some(values)) if values.len() > 64 => {
            Err(error(key(index, f, "values"), format!("{} values", values.len()), "1 to 64"))
        }
        (FeatureType::Hashed, Some(n), _) if !(2..=256).contains(&n) => {
            Err(error(key(index, f, "size"), n, "2 to 256 (slots)"))
        }
        _ => Ok(()),
    }
}

/// Checks what is not about a single feature.
pub(crate) fn check_spec(spec: &Spec) -> Result<(), PlanError> {
    let (time, session) = (&spec.time, &spec.session);
    let durations = [
        ("time.out_of_orderness", time.out_of_orderness, 0, HOUR),
        ("time.allowed_lateness", time.allowed_lateness, 0, 7 * DAY),
        ("time.idle_timeout", time.idle_timeout, 100, DAY),
        ("time.max_future", time.max_future, 0, DAY),
        ("time.skew_tolerance", time.skew_tolerance, 0, DAY),
        ("session.gap", session.gap, 1000, 7 * DAY),
        ("session.max_length", session.max_length, 1000, 30 * DAY),
        ("viewer.retention", spec.viewer.retention, 60_000, 3_650 * DAY),
    ];
    for (key, value, least, most) in durations {
        if !(least..=most).contains(&value.0) {
            let allowed = format!("\"{}\" to \"{}\"", Duration(least), Duration(most));
            return Err(error(key.into(), format!("\"{value}\""), allowed));
        }
    }
    let counts = [
        ("session.sessions_max", session.sessions_max, 1, 100_000_000),
        ("session.pending_max", session.pending_max, 1, 65_536),
        ("session.items_max", session.items_max, 1, 64),
        ("viewer.viewers_max", spec.viewer.viewers_max, 1, 100_000_000),
        ("dedup.events_max", spec.dedup.events_max, 1024, 1 << 30),
    ];
    for (key, value, least, most) in counts {
        if !(least..=most).contains(&value) {
            return Err(error(key.into(), value, format!("{least} to {most}")));
        }
    }
    if spec.features.is_empty() || spec.features.len() > 256 {
        return Err(error(
            "features".into(),
            format!("{} tables", spec.features.len()),
            "1 to 256 [[features]] tables",
        ));
    }
    for (index, feature) in spec.features.iter().enumerate() {
        check_feature(index, feature)?;
        if spec.features[..index].iter().any(|f| f.name == feature.name) {
            return Err(error(
                format!("features[{index}].name"),
                format!("\"{}\" again", feature.name),
                "each name once",
            ));
        }
        if feature.scope == crate::Scope::Viewer && !spec.viewer.enabled {
            return Err(error(
                key(index, feature, "scope"),
                "\"viewer\"",
                "session or item, while viewer.enabled = false",
            ));
        }
    }
    Ok(())
}
