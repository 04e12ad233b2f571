//! A model compiled against the plan: which slots it looks at, how many features that makes, what it learns by.

use super::spec::{ContextSpec, ItemFeature, ModelSpec};
use crate::learn::{Estimator, HalfLife, Learning, Setting, VALUE_MAX};
use crate::plan::{PlanError, Slot, error};
use crate::record::{Fields, Value};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// Joint features at most.
pub const JOINT_MAX: usize = 512;
/// Features of the context at most.
pub const CONTEXT_MAX: usize = 256;

/// A compiled model.
#[derive(Clone, Debug)]
pub struct ModelPlan {
    /// What it was compiled from.
    pub spec: ModelSpec,
    /// How it learns. `context` is 0 where the request brings it: its first decision says how many features there are.
    pub learning: Learning,
    /// Slots of the session's vector it looks at; none where the request brings the context.
    pub slots: Option<Vec<usize>>,
    /// Hash of all that its sums depend on: sums of one hash can be continued.
    pub hash: u64,
}

impl ModelPlan {
    pub(crate) fn compile(index: usize, spec: &ModelSpec, slots: &[Slot]) -> Result<ModelPlan, PlanError> {
        check(index, spec)?;
        let chosen = match &spec.context {
            ContextSpec::Named(_) => None,
            ContextSpec::Slots(names) => Some(choose(index, spec, names, slots)?),
        };
        let has_items = !spec.items.is_empty();
        let estimator = spec.estimator.unwrap_or(if has_items { Estimator::Hybrid } else { Estimator::PerAction });
        let context = chosen.as_ref().map_or(0, |slots| 1 + slots.len() + spec.features.len());
        let key = |name: &str| format!("models[{index}].{name} (model \"{}\")", spec.name);
        if context > CONTEXT_MAX {
            return Err(error(key("context"), format!("{context} features"), format!("{CONTEXT_MAX}")));
        }
        if estimator != Estimator::PerAction && (!has_items || chosen.is_none()) {
            let rule = "features of items (`items`), and slots as `context`";
            return Err(error(key("estimator"), "shared or hybrid without both", rule));
        }
        let joint = match estimator {
            Estimator::PerAction => 0,
            _ => joint_width(spec, context),
        };
        if joint > JOINT_MAX {
            let rule = format!("{JOINT_MAX}; write `interact = false` where an item's feature needs no products");
            return Err(error(key("items"), format!("{joint} joint features"), rule));
        }
        let learning = Learning {
            estimator,
            context,
            joint,
            prior: spec.prior,
            half_life: spec.half_life,
            ladder: spec.ladder.clone(),
            provisional: spec.provisional,
        };
        let names: Option<Vec<&str>> =
            chosen.as_ref().map(|chosen| chosen.iter().map(|slot| slots[*slot].name.as_str()).collect());
        let learnt_by = format!("{:?}", (&learning, &names, &spec.features, &spec.items));
        Ok(ModelPlan { spec: spec.clone(), learning, slots: chosen, hash: xxh3_64(learnt_by.as_bytes()) })
    }

    /// Features of a decision made from a session's vector: a constant 1, the slots, the request's numbers. A slot that is beyond what is
    /// learnt from counts as the greatest that is not, and one that is no number as 0: it is of no doing of the one who asks.
    pub fn context_of(&self, vector: &[f32], feature: &dyn Fn(&str) -> Option<f64>) -> Vec<f64> {
        let known = |x: f64| if x.is_nan() { 0.0 } else { x.clamp(-VALUE_MAX, VALUE_MAX) };
        let slots = self.slots.iter().flatten().map(|slot| known(f64::from(vector.get(*slot).copied().unwrap_or(0.0))));
        let given = self.spec.features.iter().map(|name| feature(name).unwrap_or(0.0));
        std::iter::once(1.0).chain(slots).chain(given).collect()
    }

    /// Features of a decision whose request brings its own context; a single 1 and the request's numbers without one.
    pub fn context_given(&self, context: Option<&[f64]>, feature: &dyn Fn(&str) -> Option<f64>) -> Vec<f64> {
        let given = self.spec.features.iter().map(|name| feature(name).unwrap_or(0.0));
        match context {
            Some(context) => context.iter().copied().chain(given).collect(),
            None => std::iter::once(1.0).chain(given).collect(),
        }
    }

    /// Appends the joint features of a context and an item: the context's own constant aside, the item's features, then for each
    /// that interacts its products with the context.
    pub fn joint_of(&self, context: &[f64], fields: &[Fields<'_>], out: &mut Vec<f64>) {
        if self.learning.joint == 0 {
            return;
        }
        let begin = out.len();
        out.push(1.0);
        for feature in &self.spec.items {
            let at = out.len();
            feature.read(fields, out);
            if feature.interact {
                for i in at..out.len() {
                    let value = out[i];
                    out.extend(context.iter().skip(1).map(|x| x * value));
                }
            }
        }
        debug_assert_eq!(out.len() - begin, self.learning.joint);
    }
}

impl ModelPlan {
    /// The features of items that these fields have with a value of another type: they count as absent.
    pub fn misread<'p>(&'p self, fields: Fields<'p>) -> impl Iterator<Item = &'p str> {
        let features = self.spec.items.iter().filter(move |feature| feature.is_misread(fields));
        features.map(|feature| feature.field.as_str())
    }
}

impl ItemFeature {
    fn is_misread(&self, fields: Fields<'_>) -> bool {
        match (fields.get(&self.field), &self.values) {
            (None, _) => false,
            (Some(Value::Number(_) | Value::Bool(_)), values) => values.is_some(),
            (Some(Value::Text(_)), values) => values.is_none(),
            (Some(Value::Json(json)), values) => values.is_none() || !json.trim_start().starts_with('['),
        }
    }

    fn width(&self) -> usize {
        self.values.as_ref().map_or(1, Vec::len)
    }

    /// Joint features it makes with a context of this size.
    pub(super) fn joint_width(&self, context: usize) -> usize {
        self.width() * if self.interact { context } else { 1 }
    }

    /// The feature's numbers; the first of `fields` that has it wins.
    fn read(&self, fields: &[Fields<'_>], out: &mut Vec<f64>) {
        let value = fields.iter().find_map(|fields| fields.get(&self.field));
        match &self.values {
            None => out.push(match value {
                Some(Value::Number(x)) => x * self.scale,
                Some(Value::Bool(true)) => self.scale,
                _ => 0.0,
            }),
            Some(values) => {
                let listed = match value {
                    Some(Value::Json(json)) => texts(json),
                    _ => vec![],
                };
                let has = |wanted: &String| match value {
                    Some(Value::Text(text)) => text == wanted,
                    _ => listed.iter().any(|text| text == wanted),
                };
                out.extend(values.iter().map(|wanted| if has(wanted) { self.scale } else { 0.0 }));
            }
        }
    }
}

/// The texts of a JSON list; what else there is in it is passed over. None where it is no list.
fn texts(json: &str) -> Vec<Cow<'_, str>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Part<'a> {
        Text(#[serde(borrow)] Cow<'a, str>),
        Other(IgnoredAny),
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(json).unwrap_or_default();
    let texts = parts.into_iter().filter_map(|part| match part {
        Part::Text(text) => Some(text),
        Part::Other(_) => None,
    });
    texts.collect()
}

fn joint_width(spec: &ModelSpec, context: usize) -> usize {
    1 + spec.items.iter().map(|feature| feature.joint_width(context)).sum::<usize>()
}

fn choose(index: usize, spec: &ModelSpec, names: &[String], slots: &[Slot]) -> Result<Vec<usize>, PlanError> {
    let mut chosen = vec![];
    for name in names {
        let before = chosen.len();
        let matching = slots.iter().enumerate().filter(|(_, slot)| matches(name, &slot.name));
        let new: Vec<usize> = matching.map(|(i, _)| i).filter(|i| !chosen.contains(i)).collect();
        chosen.extend(new);
        if chosen.len() == before {
            let key = format!("models[{index}].context (model \"{}\")", spec.name);
            return Err(error(
                key,
                format!("\"{name}\""),
                "names of slots not named before, `*` for any part; GET /v1/schema lists them",
            ));
        }
    }
    Ok(chosen)
}

/// `*` stands for any part of a name.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name
            .strip_prefix(before)
            .is_some_and(|rest| (0..=rest.len()).any(|i| rest.is_char_boundary(i) && matches(after, &rest[i..]))),
    }
}

fn check(index: usize, spec: &ModelSpec) -> Result<(), PlanError> {
    let key = |name: &str| format!("models[{index}].{name} (model \"{}\")", spec.name);
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if spec.name.is_empty() || spec.name.len() > 64 || !spec.name.bytes().all(is_name) {
        let rule = "1 to 64 letters, digits, underscores and hyphens";
        return Err(error(format!("models[{index}].name"), format!("\"{}\"", spec.name), rule));
    }
    spec.policy.check().map_err(|why| error(key("policy"), why, "as the message says"))?;
    if !(0.0..=0.9).contains(&spec.hold_out) {
        return Err(error(key("hold_out"), spec.hold_out, "0 to 0.9"));
    }
    for (name, value, from, to) in [
        ("candidates_max", spec.candidates_max, 1, 10_000),
        ("actions_max", spec.actions_max, 1, 1_000_000),
        ("decisions_max", spec.decisions_max, 1, 10_000_000),
    ] {
        if !(from..=to).contains(&value) {
            return Err(error(key(name), value, format!("{from} to {to}")));
        }
    }
    if !(0..=60_000).contains(&spec.attribution_tolerance.0) {
        return Err(error(key("attribution_tolerance"), spec.attribution_tolerance, "\"0s\" to \"1m\""));
    }
    if let HalfLife::Duration(d) = spec.half_life
        && !(1000..=3_153_600_000_000).contains(&d.0)
    {
        return Err(error(key("half_life"), d, "\"1s\" to 100 years, { decisions = N }, \"none\", \"auto\""));
    }
    if !(1e-6..=1e6).contains(&spec.prior.ridge) {
        return Err(error(key("prior.ridge"), spec.prior.ridge, "1e-6 to 1e6"));
    }
    for (name, setting, least) in
        [("prior.noise", spec.prior.noise, 1e-12), ("prior.centre", spec.prior.centre, -VALUE_MAX)]
    {
        if let Setting::Fixed(x) = setting
            && !(least..=VALUE_MAX).contains(&x)
        {
            return Err(error(key(name), x, format!("{least:e} to {VALUE_MAX:e}, or \"auto\"")));
        }
    }
    if let Some(feature) = spec.items.iter().find(|f| !(-VALUE_MAX..=VALUE_MAX).contains(&f.scale)) {
        let range = format!("-{VALUE_MAX:e} to {VALUE_MAX:e}");
        return Err(error(key(&format!("items.{}.scale", feature.field)), feature.scale, range));
    }
    if spec.ladder.half_lives.is_empty() || spec.ladder.half_lives.len() > 8 {
        return Err(error(key("ladder.half_lives"), format!("{} values", spec.ladder.half_lives.len()), "1 to 8"));
    }
    if let Some(feature) = spec.items.iter().find(|f| f.values.as_ref().is_some_and(|v| v.is_empty() || v.len() > 256))
    {
        return Err(error(key(&format!("items.{}.values", feature.field)), "none or too many", "1 to 256 values"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_a_list_are_found_whatever_is_in_them() {
        let feature =
            serde_json::from_str::<ItemFeature>(r#"{"field": "genres", "values": ["Drama, Crime", "News", "a\"b"]}"#);
        let feature = feature.expect("a feature of items");
        for (value, found) in [
            (Value::Json(r#"["Drama, Crime", 7, ["News"]]"#), [1.0, 0.0, 0.0]),
            (Value::Json(r#"["a\"b","News"]"#), [0.0, 1.0, 1.0]),
            (Value::Json(r#"{"News": "News"}"#), [0.0; 3]),
            (Value::Text("News"), [0.0, 1.0, 0.0]),
        ] {
            let (mut bytes, mut out) = (vec![], vec![]);
            Fields::push(&mut bytes, "genres", value);
            feature.read(&[Fields::from_bytes(&bytes)], &mut out);
            assert_eq!(out, found, "{value:?}");
        }
    }
}
