//! Makes a decision again from what the log had taught when its model version was cut, and compares the two records.

use super::follow::Followed;
use super::report::{Difference, Reproduction, Status};
use crate::counted::counted;
use saccade_topology::decision::{Decision, Served};
use saccade_topology::model::{Ask, Cutter, Learnt, ModelVersion, RankScratch, elsewhere, rank};
use saccade_topology::{Plan, Value as Field};
use serde_json::Value;
use std::sync::Arc;

pub(super) struct Again {
    pub reproduction: Reproduction,
    /// The version that was asked again; none where it cannot be made.
    pub version: Option<Arc<ModelVersion>>,
}

pub(super) fn again(plan: &Arc<Plan>, partitions: u16, decision: &Decision<'_>, followed: &Followed) -> Again {
    let version = match version(plan, partitions, decision, followed) {
        Ok(version) => version,
        Err(why) => {
            let says = format!("it cannot be reproduced: {why}");
            return Again {
                reproduction: Reproduction { status: Status::Impossible, says, difference: None },
                version: None,
            };
        }
    };
    let reproduction = compare(&version, decision, followed);
    Again { reproduction, version: Some(version) }
}

/// The model version that the decision names.
fn version(
    plan: &Arc<Plan>,
    partitions: u16,
    decision: &Decision<'_>,
    followed: &Followed,
) -> Result<Arc<ModelVersion>, String> {
    let model = plan.model(decision.model).ok_or_else(|| {
        format!("the configuration has no model `{}`; name the configuration it was made under", decision.model)
    })?;
    if decision.model_version.len() != usize::from(partitions) {
        let named = decision.model_version.len();
        return Err(format!(
            "its model version covers {}, this log has {partitions}: it was imported from another",
            counted(named as u64, "partition")
        ));
    }
    let mut learnt: Vec<Learnt> = vec![];
    for (partition, part) in followed.learnt.iter().enumerate() {
        let covers = decision.model_version[partition];
        let part = part.clone().ok_or_else(|| {
            format!("its model version covers partition {partition} up to offset {covers}, where the log does not reach: it was made elsewhere")
        })?;
        learnt.push(part);
    }
    Ok(Cutter::new(plan, learnt).cut().swap_remove(model))
}

fn compare(version: &ModelVersion, decision: &Decision<'_>, followed: &Followed) -> Reproduction {
    let (mut scratch, ask) = (RankScratch::default(), Ask::again(decision));
    let is_elsewhere = decision.served == Served::Elsewhere;
    let again = match is_elsewhere {
        true => {
            let shown: Vec<(u32, f64)> = decision.picks.iter().map(|pick| (pick.candidate, pick.propensity)).collect();
            let is_there = |(candidate, _): &(u32, f64)| (*candidate as usize) < decision.candidates.len();
            if !shown.iter().all(is_there) {
                let (status, difference) = (Status::Impossible, None);
                let says = "it cannot be reproduced: it shows items that are not among its candidates".to_string();
                return Reproduction { status, says, difference };
            }
            elsewhere(version, &ask, &shown, &mut scratch)
        }
        false => rank(version, &ask, &mut scratch),
    };
    let again = match again {
        Ok(again) => again,
        Err(why) => {
            let says = format!("it cannot be reproduced: asked again, the model refuses ({why}); {}", cause(followed));
            return Reproduction { status: Status::Impossible, says, difference: None };
        }
    };
    let difference = difference(decision, &again);
    let (status, says) = match &difference {
        None if is_elsewhere => (
            Status::ReproducedBeliefs,
            "the choice was made elsewhere; what the model expected of it was reproduced bit for bit".into(),
        ),
        None => (Status::Reproduced, "reproduced bit for bit".into()),
        Some(_) if !followed.trimmed.is_empty() => {
            (Status::Impossible, format!("it cannot be reproduced: {}", cause(followed)))
        }
        Some(difference) => {
            (Status::Different, format!("not reproduced: `{}` differs first; {}", difference.field, cause(followed)))
        }
    };
    Reproduction { status, says, difference }
}

/// Why the two may differ.
fn cause(followed: &Followed) -> String {
    let trimmed: Vec<String> = followed
        .trimmed
        .iter()
        .map(|(partition, first)| format!("partition {partition} before offset {first}"))
        .collect();
    match trimmed.is_empty() {
        false => format!(
            "what its model had learnt is no longer all in the log, which was dropped in {}",
            trimmed.join(", ")
        ),
        true => {
            "its record was changed, or it was made under another configuration or by another version of saccade".into()
        }
    }
}

/// The first field of the record that is another one, in the record's order; none where the records have the same bytes.
pub(super) fn difference(recorded: &Decision<'_>, again: &Decision<'_>) -> Option<Difference> {
    let bytes = |d: &Decision<'_>| postcard::to_stdvec(d).expect("memory takes any record");
    if bytes(recorded) == bytes(again) {
        return None;
    }
    let found = first("", &json(recorded), &json(again));
    let (field, recorded, reproduced) =
        found.unwrap_or_else(|| ("encoding".into(), "other bytes".into(), "other bytes".into()));
    Some(Difference { field, recorded, reproduced })
}

/// The record as JSON, to the bit: not by way of text, which is read again with rounding.
fn json(d: &Decision<'_>) -> Value {
    let mut whole = serde_json::to_value(d).unwrap_or_default();
    for (i, pick) in d.picks.iter().enumerate() {
        let field = |(name, value): (&str, Field<'_>)| {
            let value = match value {
                Field::Number(x) => Value::from(x),
                Field::Bool(b) => Value::from(b),
                Field::Text(text) | Field::Json(text) => Value::from(text),
            };
            (name.to_string(), value)
        };
        whole["picks"][i]["fields"] = Value::Object(pick.fields.iter().map(field).collect());
    }
    whole
}

fn first(path: &str, a: &Value, b: &Value) -> Option<(String, String, String)> {
    let different = || Some((path.to_string(), a.to_string(), b.to_string()));
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let names = x.keys().chain(y.keys().filter(|name| !x.contains_key(*name)));
            let point = if path.is_empty() { "" } else { "." };
            names.into_iter().find_map(|name| first(&format!("{path}{point}{name}"), &a[name], &b[name]))
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            x.iter().zip(y).enumerate().find_map(|(i, (a, b))| first(&format!("{path}[{i}]"), a, b))
        }
        (Value::Number(x), Value::Number(y)) if x.to_string() == y.to_string() => None,
        // Not of numbers, where 0 and -0 are two.
        _ if a == b && !a.is_number() => None,
        (Value::Null, _) => Some((path.to_string(), "nothing".into(), b.to_string())),
        (_, Value::Null) => Some((path.to_string(), a.to_string(), "nothing".into())),
        _ => different(),
    }
}
