//! Bodies of `POST /v1/rank/{model}` and `POST /v1/decisions/{id}/reward|activate`.
//!
//! They convert and check what can be checked without knowing models: types, lengths, ranges, counts. Whether a model is there, has room
//! for so many candidates or wants a context of so many numbers is not theirs to say. Unknown keys are errors, `null` is absent.

use super::check::{self, DEPTH_MAX, ID_BYTES_MAX, ITEM_BYTES_MAX, Scalar};
use super::fields::{self, FEATURES_MAX, Taken};
use super::keys::Key;
use super::members::Members;
use super::raw::Raw;
use super::{RowError, members};
use bumpalo::Bump;
use saccade_topology::decision::{Activation, Candidate, ExplicitReward};
use saccade_topology::learn::VALUE_MAX;
use saccade_topology::{EventTime, Fields};
use std::collections::HashSet;

/// Items of a request, and of its `exclude`; a model's own limit is lower.
pub const ITEMS_MAX: usize = 10_000;
/// Numbers of a request's `context`, members of its `features` and of an item's.
pub const NUMBERS_MAX: usize = FEATURES_MAX;

/// A question: which of these, in which order?
#[derive(Clone, Debug, PartialEq)]
pub struct RankRequest<'a> {
    /// Key of the decision, 1 to 128 bytes: asked again, the answer is the same.
    pub id: Option<&'a str>,
    /// Who is asked for: viewer, session, both, or neither where rewards come by decision id alone.
    pub viewer: Option<&'a str>,
    /// See `viewer`.
    pub session: Option<&'a str>,
    /// What to choose from: different items in the caller's order, without what was excluded; never empty.
    pub candidates: Vec<Candidate<'a>>,
    /// Positions to fill, 1 to [`ITEMS_MAX`]; may be more than there are candidates.
    pub k: u32,
    /// Numbers of the request by name, within [`VALUE_MAX`]; see [`RankRequest::feature`].
    pub features: Vec<(&'a str, f64)>,
    /// A context instead of a session's: up to [`NUMBERS_MAX`] numbers within [`VALUE_MAX`].
    pub context: Option<Vec<f64>>,
    /// When it is decided; none is now.
    pub event_time: Option<EventTime>,
    /// It counts only once it is activated.
    pub deferred: bool,
    /// The viewer does not want to be learnt from.
    pub opt_out: bool,
}

impl<'a> RankRequest<'a> {
    /// Reads the body of a request.
    pub fn read(body: &'a [u8], arena: &'a Bump) -> Result<RankRequest<'a>, RowError> {
        let mut of = Members::of("a rank request", whole(body, arena)?)?;
        let id = of.id("id", ID_BYTES_MAX)?;
        let viewer = of.id("viewer", ID_BYTES_MAX)?;
        let session = of.id("session", ID_BYTES_MAX)?;
        let items = of.need("items", "send what to choose from, ids or objects with `id` and `features`")?;
        let items = listed("items", items, false)?;
        let k = of.take("k").map_or(Ok(1), positions)?;
        let exclude = of.list("exclude", ITEMS_MAX)?.unwrap_or_default();
        let features = of.take("features").map(request_features).transpose()?.unwrap_or_default();
        let context = of.take("context").map(context_numbers).transpose()?;
        let event_time = event_time(&mut of)?;
        let (deferred, opt_out) = (of.flag("deferred")?, of.flag("opt_out")?);
        of.done()?;
        let candidates = without(items, &exclude)?;
        Ok(RankRequest { id, viewer, session, candidates, k, features, context, event_time, deferred, opt_out })
    }

    /// The feature called `name`; of equal names the last counts.
    pub fn feature(&self, name: &str) -> Option<f64> {
        self.features.iter().rev().find(|(n, _)| *n == name).map(|(_, x)| *x)
    }
}

/// An outcome, of the decision that the path names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RewardRequest<'a> {
    /// The reward, within [`VALUE_MAX`].
    pub value: f64,
    /// When it happened; none is now.
    pub event_time: Option<EventTime>,
    /// Which item of a slate.
    pub item: Option<&'a str>,
    /// Which position of a slate, from 0.
    pub position: Option<u32>,
    /// Key against telling it twice, 1 to 128 bytes.
    pub id: Option<&'a str>,
}

impl<'a> RewardRequest<'a> {
    /// Reads the body of a request.
    pub fn read(body: &'a [u8], arena: &'a Bump) -> Result<RewardRequest<'a>, RowError> {
        let mut of = Members::of("a reward", whole(body, arena)?)?;
        let value = number("value", of.need("value", "send the reward, a number")?.scalar())?;
        let event_time = event_time(&mut of)?;
        let item = of.id("item", ITEM_BYTES_MAX)?;
        let position = of.take("position").map(|x| check::position(&Key::own("position"), x.scalar())).transpose()?;
        let id = of.id("id", ID_BYTES_MAX)?;
        of.done()?;
        Ok(RewardRequest { value, event_time, item, position, id })
    }

    /// The record of it.
    pub fn of(&self, decision: &'a str) -> ExplicitReward<'a> {
        let RewardRequest { value, event_time, item, position, id } = *self;
        ExplicitReward { decision, id, item, position, value, event_time }
    }
}

/// That the decision which the path names was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActivateRequest {
    /// When; none is now.
    pub event_time: Option<EventTime>,
}

impl ActivateRequest {
    /// Reads the body of a request, which may be empty.
    pub fn read(body: &[u8], arena: &Bump) -> Result<ActivateRequest, RowError> {
        if body.trim_ascii().is_empty() {
            return Ok(ActivateRequest::default());
        }
        let mut of = Members::of("an activation", whole(body, arena)?)?;
        let event_time = event_time(&mut of)?;
        of.done()?;
        Ok(ActivateRequest { event_time })
    }

    /// The record of it.
    pub fn of<'a>(&self, decision: &'a str) -> Activation<'a> {
        Activation { decision, event_time: self.event_time }
    }
}

/// The id of a decision as a path names it: 1 to 128 bytes without control characters.
pub fn decision_id(id: &str) -> Result<&str, RowError> {
    check::text(&Key::own("decision"), Scalar::Text(id), ID_BYTES_MAX)
}

/// A body as one JSON value.
fn whole<'a>(body: &'a [u8], arena: &'a Bump) -> Result<Raw<'a>, RowError> {
    let text = std::str::from_utf8(body).map_err(|e| {
        let rule = format!("the body is not UTF-8 from byte {} on", e.valid_up_to());
        RowError::new("invalid_json", rule)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Err(RowError::new("invalid_json", "the body is empty; expected a JSON object".into()));
    }
    Raw::check(text, arena, DEPTH_MAX)
}

/// An item of a list, and the probability with which it was shown, if the list says so.
pub(super) struct Listed<'a> {
    pub(super) candidate: Candidate<'a>,
    pub(super) propensity: Option<f64>,
}

/// Different items, ids or objects with `id`, `features` and, where it is asked for, `propensity`; at least one.
pub(super) fn listed<'a>(name: &'static str, list: Raw<'a>, shown: bool) -> Result<Vec<Listed<'a>>, RowError> {
    let values = members::list(name, list, ITEMS_MAX)?;
    if values.is_empty() {
        return Err(RowError::new("bad_value", format!("`{name}` is empty; expected 1 to {ITEMS_MAX} items")));
    }
    let (mut items, mut ids) = (Vec::with_capacity(values.len()), HashSet::with_capacity(values.len()));
    for (place, value) in values.into_iter().enumerate() {
        let item = one_listed(value, shown).map_err(|error| at(name, place, error))?;
        if !ids.insert(item.candidate.item) {
            let id = Scalar::Text(item.candidate.item);
            return Err(RowError::new(
                "bad_value",
                format!("{name}[{place}]: {id} is given twice; send each item once"),
            ));
        }
        items.push(item);
    }
    Ok(items)
}

fn one_listed<'a>(value: Raw<'a>, shown: bool) -> Result<Listed<'a>, RowError> {
    if value.scalar() != Scalar::Object {
        return Ok(Listed {
            candidate: Candidate { item: item_id(value)?, features: Fields::default() },
            propensity: None,
        });
    }
    let mut of = Members::of("an item", value)?;
    let item = item_id(of.need("id", "send which item it is")?)?;
    let features = of.take("features").map(|object| fields::read("features", object, Taken::Features)).transpose()?;
    let propensity = if shown { of.take("propensity").map(propensity).transpose()? } else { None };
    of.done()?;
    Ok(Listed { candidate: Candidate { item, features: features.unwrap_or_default() }, propensity })
}

fn item_id(value: Raw<'_>) -> Result<&str, RowError> {
    check::id(&Key::own("id"), value.scalar(), ITEM_BYTES_MAX, value.arena())
}

fn propensity(value: Raw<'_>) -> Result<f64, RowError> {
    let key = Key::own("propensity");
    let x = check::number(&key, value.scalar())?;
    if !(x > 0.0 && x <= 1.0) {
        return Err(check::problem(&key, "out_of_range", value.scalar(), "expected a probability above 0 and up to 1"));
    }
    Ok(x)
}

/// The candidates but for those that are excluded.
fn without<'a>(items: Vec<Listed<'a>>, exclude: &[Raw<'a>]) -> Result<Vec<Candidate<'a>>, RowError> {
    let ids = exclude.iter().enumerate().map(|(place, id)| item_id(*id).map_err(|error| at("exclude", place, error)));
    let excluded: HashSet<&str> = ids.collect::<Result<_, _>>()?;
    let count = items.len();
    let candidates = items.into_iter().map(|item| item.candidate);
    let candidates: Vec<_> = candidates.filter(|c| excluded.is_empty() || !excluded.contains(c.item)).collect();
    if candidates.is_empty() {
        let rule = format!("`exclude` names all {count} of `items`; leave at least one to choose from");
        return Err(RowError::new("bad_value", rule));
    }
    Ok(candidates)
}

fn positions(value: Raw<'_>) -> Result<u32, RowError> {
    let key = Key::own("k");
    let k = check::position(&key, value.scalar())?;
    if k == 0 || k as usize > ITEMS_MAX {
        return Err(check::problem(&key, "out_of_range", value.scalar(), &format!("expected 1 to {ITEMS_MAX}")));
    }
    Ok(k)
}

/// Numbers by name.
pub(super) fn request_features(object: Raw<'_>) -> Result<Vec<(&str, f64)>, RowError> {
    let key = Key::own("features");
    if object.scalar() != Scalar::Object {
        return Err(check::problem(&key, "wrong_type", object.scalar(), "expected an object of numbers"));
    }
    let mut features = vec![];
    for (name, value) in object.entries().filter(|(_, value)| value.scalar() != Scalar::Null) {
        if features.len() == NUMBERS_MAX {
            return Err(RowError::new("too_long", format!("`features` has more than {NUMBERS_MAX} members")));
        }
        let shown = &name[..name.floor_char_boundary(64)];
        let x = number("features", value.scalar())
            .map_err(|error| RowError::new(error.code, format!("in `features`, {shown:?}: {}", error.message)))?;
        features.push((name, x));
    }
    Ok(features)
}

/// Up to [`NUMBERS_MAX`] numbers.
pub(super) fn context_numbers(list: Raw<'_>) -> Result<Vec<f64>, RowError> {
    let values = members::list("context", list, NUMBERS_MAX)?.into_iter().enumerate();
    values.map(|(place, x)| number("context", x.scalar()).map_err(|error| at("context", place, error))).collect()
}

/// A number that can be learnt from.
fn number(name: &'static str, value: Scalar<'_>) -> Result<f64, RowError> {
    let key = Key::own(name);
    let x = check::number(&key, value)?;
    if x.abs() > VALUE_MAX {
        let rule = format!("expected a number from {:e} to {VALUE_MAX:e}", -VALUE_MAX);
        return Err(check::problem(&key, "out_of_range", value, &rule));
    }
    Ok(x)
}

fn event_time(of: &mut Members<'_>) -> Result<Option<EventTime>, RowError> {
    of.take("event_time").map(|value| check::time(&Key::own("event_time"), value.scalar())).transpose()
}

/// The error with its place in a list.
fn at(name: &str, place: usize, error: RowError) -> RowError {
    RowError::new(error.code, format!("{name}[{place}]: {}", error.message))
}
