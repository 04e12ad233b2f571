//! What senders tell by `POST /v1/events` that is no event of a viewer: decisions made elsewhere and things of the catalogue.
//!
//! Both are rows of the usual kind, with a `type` of their own; here they become what they stand for. Unlike in requests, free fields
//! that are not known here are left alone: an envelope or a mapped sender may add its own to every row.

use super::RowError;
use super::check::{self, DEPTH_MAX, ID_BYTES_MAX, Scalar};
use super::keys::Key;
use super::raw::Raw;
use super::requests::{Listed, RankRequest, context_numbers, listed, request_features};
use bumpalo::Bump;
use saccade_topology::decision::{Candidate, Item};
use saccade_topology::learn::VALUE_MAX;
use saccade_topology::{Event, Fields, Value};
use std::collections::HashMap;

/// What a row is that is not something a viewer or player did.
#[derive(Clone, Debug, PartialEq)]
pub enum OtherRow<'a> {
    /// A thing of the catalogue.
    Item(Item<'a>),
    /// A decision that was made elsewhere.
    Decision(Box<ElsewhereDecision<'a>>),
}

impl<'a> OtherRow<'a> {
    /// Told by the event's type, which is [`ITEM`] or [`DECISION`]; `None` where it is another.
    pub fn of(event: &Event<'a>, arena: &'a Bump) -> Option<Result<OtherRow<'a>, RowError>> {
        match event.kind {
            ITEM => Some(item_of(event, arena).map(OtherRow::Item)),
            DECISION => Some(ElsewhereDecision::of(event, arena).map(|told| OtherRow::Decision(Box::new(told)))),
            _ => None,
        }
    }
}

/// `type` of a decision that was made elsewhere.
pub(super) const DECISION: &str = "decision";
/// `type` of a thing of the catalogue: such a row needs no session or viewer.
pub(super) const ITEM: &str = "item";

/// A decision that was made elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct ElsewhereDecision<'a> {
    /// Its key: the event's `decision`, else the event's id.
    pub id: &'a str,
    /// Name of the model that is to learn from it.
    pub model: &'a str,
    /// What could be asked with the same words: viewer, session, candidates, features, context, time; `k` is how many were shown.
    pub request: RankRequest<'a>,
    /// What was shown, by position.
    pub shown: Vec<Shown>,
}

/// One position of what was shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// Place in the request's `candidates`.
    pub candidate: u32,
    /// Probability with which it was chosen for this position, given those before; above 0, up to 1.
    pub propensity: f64,
}

impl<'a> ElsewhereDecision<'a> {
    /// From an event of type [`DECISION`] with `fields`: `model`, `items` (objects with `id` and `propensity`, in the order shown), and
    /// where they are known `candidates` (all there was to choose from; without it what was shown), `context` and `features`.
    pub fn of(event: &Event<'a>, arena: &'a Bump) -> Result<ElsewhereDecision<'a>, RowError> {
        let of = Free { fields: event.fields, arena };
        let id = event.decision.unwrap_or(event.id);
        let model = of.text("model", "send which model is to learn from it")?;
        let rule = "send what was shown, objects with `id` and `propensity`, in its order";
        let items = of.json("items")?.ok_or_else(|| missing("items", rule))?;
        let items = listed("items", items, true)?;
        let all = of.json("candidates")?.map(|list| listed("candidates", list, false)).transpose()?;
        let (candidates, shown) = places(&items, all)?;
        let request = RankRequest {
            id: Some(id),
            viewer: event.viewer,
            session: event.session,
            candidates,
            k: shown.len() as u32,
            features: of.json("features")?.map(request_features).transpose()?.unwrap_or_default(),
            context: of.json("context")?.map(context_numbers).transpose()?,
            event_time: Some(event.event_time),
            deferred: false,
            opt_out: false,
        };
        Ok(ElsewhereDecision { id, model, request, shown })
    }
}

/// All candidates, and where among them is what was shown.
fn places<'a>(
    items: &[Listed<'a>],
    all: Option<Vec<Listed<'a>>>,
) -> Result<(Vec<Candidate<'a>>, Vec<Shown>), RowError> {
    let listed = all.as_deref().unwrap_or(items);
    let mut candidates: Vec<_> = listed.iter().map(|item| item.candidate).collect();
    let found: HashMap<&str, usize> = candidates.iter().enumerate().map(|(place, c)| (c.item, place)).collect();
    let mut shown = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let id = Scalar::Text(item.candidate.item);
        let propensity = item.propensity.ok_or_else(|| {
            let rule =
                format!("items[{position}]: `propensity` of {id} is missing; send the probability it was chosen with");
            RowError::new("missing_field", rule)
        })?;
        let place = *found.get(item.candidate.item).ok_or_else(|| {
            RowError::new("bad_value", format!("items[{position}]: {id} is none of `candidates`; list all there was"))
        })?;
        // What is said where it was shown goes before what is said in the list of all.
        if !item.candidate.features.is_empty() {
            candidates[place].features = item.candidate.features;
        }
        shown.push(Shown { candidate: place as u32, propensity });
    }
    Ok((candidates, shown))
}

/// Free fields of an event, taken by name.
struct Free<'a> {
    fields: Fields<'a>,
    arena: &'a Bump,
}

impl<'a> Free<'a> {
    fn text(&self, name: &'static str, rule: &str) -> Result<&'a str, RowError> {
        match self.fields.get(name) {
            Some(Value::Text(text)) => check::text(&Key::own(name), Scalar::Text(text), ID_BYTES_MAX),
            Some(other) => Err(check::problem(&Key::own(name), "wrong_type", scalar(other), "expected a string")),
            None => Err(missing(name, rule)),
        }
    }

    /// A list or object.
    fn json(&self, name: &'static str) -> Result<Option<Raw<'a>>, RowError> {
        match self.fields.get(name) {
            None => Ok(None),
            Some(Value::Json(text)) => Raw::check(text, self.arena, DEPTH_MAX).map(Some),
            Some(other) => {
                Err(check::problem(&Key::own(name), "wrong_type", scalar(other), "expected a list or object"))
            }
        }
    }
}

fn scalar(value: Value<'_>) -> Scalar<'_> {
    match value {
        Value::Number(x) => Scalar::Float(x),
        Value::Bool(b) => Scalar::Bool(b),
        Value::Text(text) => Scalar::Text(text),
        Value::Json(text) if text.starts_with('[') => Scalar::Array,
        Value::Json(_) => Scalar::Object,
    }
}

fn missing(name: &str, rule: &str) -> RowError {
    RowError::new("missing_field", format!("`{name}` in `fields` is missing; {rule}"))
}

/// The thing of the catalogue that an event of type [`ITEM`] tells of. Its free fields, and its `duration_s`, `value` and `country`,
/// replace what was known of it. Without any of them (`"fields": null`), or with `removed: true`, the thing is removed.
pub(super) fn item_of<'a>(event: &Event<'a>, arena: &'a Bump) -> Result<Item<'a>, RowError> {
    let id =
        event.item.ok_or_else(|| RowError::new("missing_field", "`item` is missing; send which thing it is".into()))?;
    if event.fields.get("removed") == Some(Value::Bool(true)) {
        return Ok(Item { id, fields: None });
    }
    let own = [
        ("duration_s", event.duration_s.map(Value::Number)),
        ("value", event.value.map(Value::Number)),
        ("country", event.country.map(Value::Text)),
    ];
    let own: Vec<_> = own.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect();
    for (name, value) in event.fields.iter().chain(own.iter().copied()) {
        if let Value::Number(x) = value
            && (x.is_nan() || x.abs() > VALUE_MAX)
        {
            let shown = &name[..name.floor_char_boundary(64)];
            let rule = format!("`{shown}` is {x:?}; expected a number from {:e} to {VALUE_MAX:e}", -VALUE_MAX);
            return Err(RowError::new("out_of_range", rule));
        }
    }
    if own.is_empty() {
        let fields = (!event.fields.is_empty()).then_some(event.fields);
        return Ok(Item { id, fields });
    }
    let mut bytes = vec![];
    // The last of equal names counts: those in `fields` come after.
    own.into_iter().chain(event.fields.iter()).for_each(|(name, value)| Fields::push(&mut bytes, name, value));
    Ok(Item { id, fields: Some(Fields::from_bytes(arena.alloc_slice_copy(&bytes))) })
}
