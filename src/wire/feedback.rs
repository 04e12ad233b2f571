//! Decisions, activations, rewards, catalogue items and reward specs as JSON, for `export` and back.
//!
//! What is written is read again to an equal record, to the bit. Times are epoch milliseconds; what is absent, false or empty is left out.
//! Two things are not kept, and do not occur in a log of ours: numbers that are not finite, which JSON does not have (a record with one
//! is refused when it is read), and free fields whose JSON is no object or array or has line breaks between its tokens.

use super::check::{self, DEPTH_MAX, Scalar};
use super::keys::Key;
use super::members::{self, Members};
use super::raw::Raw;
use super::write::{INTO_MEMORY, number, separated, text, write_fields, write_text};
use super::{RowError, fields};
use bumpalo::Bump;
use saccade_topology::decision::{Act, Activation, Belief, Candidate, Control, Decision, ExplicitReward, Item};
use saccade_topology::decision::{Pick, Served};
use saccade_topology::{EventTime, Fields, Record};
use std::io::Write;

/// Levels of a record around a free field's value.
pub(super) const LEVELS_AROUND: usize = 5;

/// Appends `"decision":{…}`, `"activation":{…}`, `"reward":{…}`, `"item":{…}` or `"control":{…}`; nothing of other records.
pub(super) fn write(out: &mut Vec<u8>, record: &Record<'_>) {
    match record {
        Record::Event(_) | Record::Tick | Record::Leaving(_) | Record::Passed(_) | Record::Landed(_) => return,
        Record::Decision(decision) => write_decision(out, decision),
        Record::Activation(activation) => write_activation(out, activation),
        Record::Reward(reward) => write_reward(out, reward),
        Record::Item(item) => write_item(out, item),
        Record::Control(control) => write_control(out, control),
    }
    out.push(b'}');
}

/// Appends `opening`, a brace and a first member, and the text that is its value.
fn begin(out: &mut Vec<u8>, opening: &str, id: &str) {
    out.extend_from_slice(opening.as_bytes());
    write_text(out, id);
}

fn integer(out: &mut Vec<u8>, name: &str, value: Option<impl Into<i128>>) {
    if let Some(value) = value {
        write!(out, ",\"{name}\":{}", value.into()).expect(INTO_MEMORY);
    }
}

fn time(out: &mut Vec<u8>, name: &str, time: Option<EventTime>) {
    integer(out, name, time.map(|t| t.0));
}

/// Appends a comma, the name and a list, each of its elements as `one` writes it.
fn list<T>(out: &mut Vec<u8>, name: &str, elements: &[T], one: impl FnMut(&mut Vec<u8>, &T)) {
    write!(out, ",\"{name}\":[").expect(INTO_MEMORY);
    separated(out, elements, one);
    out.push(b']');
}

fn numbers(out: &mut Vec<u8>, name: &str, values: &[f64]) {
    list(out, name, values, |out, x| serde_json::to_writer(out, x).expect(INTO_MEMORY));
}

fn free(out: &mut Vec<u8>, name: &str, fields: Fields<'_>) {
    if !fields.is_empty() {
        write!(out, ",\"{name}\":").expect(INTO_MEMORY);
        write_fields(out, fields);
    }
}

fn write_decision(out: &mut Vec<u8>, decision: &Decision<'_>) {
    begin(out, "\"decision\":{\"id\":", decision.id);
    text(out, "model", Some(decision.model));
    time(out, "event_time", Some(decision.event_time));
    text(out, "session", decision.session);
    text(out, "viewer", decision.viewer);
    text(out, "served", Some(served_name(decision.served)));
    if decision.deferred {
        out.extend_from_slice(b",\"deferred\":true");
    }
    integer(out, "ordinal", Some(decision.ordinal));
    integer(out, "context_version", decision.context_version);
    list(out, "model_version", &decision.model_version, |out, x| write!(out, "{x}").expect(INTO_MEMORY));
    integer(out, "reward_version", Some(decision.reward_version));
    numbers(out, "context", &decision.context);
    list(out, "candidates", &decision.candidates, |out, candidate| {
        begin(out, "{\"item\":", candidate.item);
        free(out, "features", candidate.features);
        out.push(b'}');
    });
    numbers(out, "distribution", &decision.distribution);
    list(out, "picks", &decision.picks, write_pick);
    integer(out, "preferred", decision.preferred);
}

fn write_pick(out: &mut Vec<u8>, pick: &Pick<'_>) {
    write!(out, "{{\"candidate\":{}", pick.candidate).expect(INTO_MEMORY);
    number(out, "propensity", Some(pick.propensity));
    number(out, "score", Some(pick.score));
    numbers(out, "joint", &pick.joint);
    free(out, "fields", pick.fields);
    list(out, "beliefs", &pick.beliefs, |out, belief| {
        write!(out, "{{\"spec\":{}", belief.spec).expect(INTO_MEMORY);
        number(out, "expected", Some(belief.expected));
        number(out, "deviation", Some(belief.deviation));
        out.push(b'}');
    });
    out.push(b'}');
}

fn write_activation(out: &mut Vec<u8>, activation: &Activation<'_>) {
    begin(out, "\"activation\":{\"decision\":", activation.decision);
    time(out, "event_time", activation.event_time);
}

/// Appends `"reward":{…` without the last brace.
pub(super) fn write_reward(out: &mut Vec<u8>, reward: &ExplicitReward<'_>) {
    begin(out, "\"reward\":{\"decision\":", reward.decision);
    text(out, "id", reward.id);
    text(out, "item", reward.item);
    integer(out, "position", reward.position);
    number(out, "value", Some(reward.value));
    time(out, "event_time", reward.event_time);
}

fn write_item(out: &mut Vec<u8>, item: &Item<'_>) {
    begin(out, "\"item\":{\"id\":", item.id);
    if let Some(fields) = item.fields {
        out.extend_from_slice(b",\"fields\":");
        write_fields(out, fields);
    }
}

fn write_control(out: &mut Vec<u8>, control: &Control<'_>) {
    begin(out, "\"control\":{\"model\":", control.model);
    text(out, "action", Some(act_name(control.action)));
    integer(out, "version", Some(control.version));
    text(out, "spec", Some(control.spec));
    text(out, "by", Some(control.by));
}

fn served_name(served: Served) -> &'static str {
    match served {
        Served::Policy => "policy",
        Served::Apprentice => "apprentice",
        Served::LoggingOnly => "logging_only",
        Served::HeldOut => "held_out",
        Served::OptedOut => "opted_out",
        Served::Elsewhere => "elsewhere",
    }
}

fn act_name(act: Act) -> &'static str {
    match act {
        Act::Propose => "propose",
        Act::Activate => "activate",
        Act::Retire => "retire",
    }
}

/// Reads the object that [`write`] wrote under `name`; `None` where no record has that name.
pub(super) fn read<'a>(name: &str, text: &'a str, arena: &'a Bump) -> Result<Option<Record<'a>>, RowError> {
    let read: fn(Raw<'a>) -> Result<Record<'a>, RowError> = match name {
        "decision" => |object| Ok(Record::Decision(Box::new(read_decision(object)?))),
        "activation" => |object| Ok(Record::Activation(read_activation(object)?)),
        "reward" => |object| Ok(Record::Reward(read_reward(object)?)),
        "item" => |object| Ok(Record::Item(read_item(object)?)),
        "control" => |object| Ok(Record::Control(read_control(object)?)),
        _ => return Ok(None),
    };
    read(Raw::check(text, arena, DEPTH_MAX + LEVELS_AROUND)?).map(Some)
}

fn read_decision(object: Raw<'_>) -> Result<Decision<'_>, RowError> {
    let mut of = Members::of("a decision", object)?;
    let decision = Decision {
        id: of.text("id")?,
        model: of.text("model")?,
        event_time: EventTime(of.integer("event_time")?),
        session: of.optional_text("session")?,
        viewer: of.optional_text("viewer")?,
        served: one_of(&mut of, "served", &Served::ALL, served_name)?,
        deferred: of.flag("deferred")?,
        ordinal: of.integer("ordinal")?,
        context_version: of.optional_integer("context_version")?,
        model_version: each(&mut of, "model_version", |value| members::integer("model_version", value))?,
        reward_version: of.integer("reward_version")?,
        context: each(&mut of, "context", |value| check::number(&Key::own("context"), value.scalar()))?,
        candidates: each(&mut of, "candidates", read_candidate)?,
        distribution: each(&mut of, "distribution", |value| check::number(&Key::own("distribution"), value.scalar()))?,
        picks: each(&mut of, "picks", read_pick)?,
        preferred: of.optional_integer("preferred")?,
    };
    of.done().map(|()| decision)
}

fn read_candidate(object: Raw<'_>) -> Result<Candidate<'_>, RowError> {
    let mut of = Members::of("a candidate", object)?;
    let candidate =
        Candidate { item: of.text("item")?, features: read_fields(&mut of, "features")?.unwrap_or_default() };
    of.done().map(|()| candidate)
}

fn read_pick(object: Raw<'_>) -> Result<Pick<'_>, RowError> {
    let mut of = Members::of("a pick", object)?;
    let pick = Pick {
        candidate: of.integer("candidate")?,
        propensity: of.number("propensity")?,
        score: of.number("score")?,
        joint: each(&mut of, "joint", |value| check::number(&Key::own("joint"), value.scalar()))?,
        fields: read_fields(&mut of, "fields")?.unwrap_or_default(),
        beliefs: each(&mut of, "beliefs", read_belief)?,
    };
    of.done().map(|()| pick)
}

fn read_belief(object: Raw<'_>) -> Result<Belief, RowError> {
    let mut of = Members::of("a belief", object)?;
    let belief =
        Belief { spec: of.integer("spec")?, expected: of.number("expected")?, deviation: of.number("deviation")? };
    of.done().map(|()| belief)
}

fn read_activation(object: Raw<'_>) -> Result<Activation<'_>, RowError> {
    let mut of = Members::of("an activation", object)?;
    let event_time = of.optional_integer("event_time")?.map(EventTime);
    let activation = Activation { decision: of.text("decision")?, event_time };
    of.done().map(|()| activation)
}

pub(super) fn read_reward(object: Raw<'_>) -> Result<ExplicitReward<'_>, RowError> {
    let mut of = Members::of("a reward", object)?;
    let reward = ExplicitReward {
        decision: of.text("decision")?,
        id: of.optional_text("id")?,
        item: of.optional_text("item")?,
        position: of.optional_integer("position")?,
        value: of.number("value")?,
        event_time: of.optional_integer("event_time")?.map(EventTime),
    };
    of.done().map(|()| reward)
}

fn read_item(object: Raw<'_>) -> Result<Item<'_>, RowError> {
    let mut of = Members::of("an item", object)?;
    let item = Item { id: of.text("id")?, fields: read_fields(&mut of, "fields")? };
    of.done().map(|()| item)
}

fn read_control(object: Raw<'_>) -> Result<Control<'_>, RowError> {
    let mut of = Members::of("a control record", object)?;
    let control = Control {
        model: of.text("model")?,
        action: one_of(&mut of, "action", &[Act::Propose, Act::Activate, Act::Retire], act_name)?,
        version: of.integer("version")?,
        spec: of.text("spec")?,
        by: of.text("by")?,
    };
    of.done().map(|()| control)
}

/// The list called `name`, each element read by `one`; empty where it is absent.
fn each<'a, T>(
    of: &mut Members<'a>,
    name: &'static str,
    one: impl FnMut(Raw<'a>) -> Result<T, RowError>,
) -> Result<Vec<T>, RowError> {
    of.list(name, usize::MAX - 1)?.unwrap_or_default().into_iter().map(one).collect()
}

fn one_of<T: Copy>(
    of: &mut Members<'_>,
    name: &'static str,
    all: &[T],
    name_of: fn(T) -> &'static str,
) -> Result<T, RowError> {
    let found = of.text(name)?;
    all.iter().copied().find(|one| name_of(*one) == found).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|one| name_of(*one)).collect();
        check::problem(
            &Key::own(name),
            "bad_value",
            Scalar::Text(found),
            &format!("expected one of {}", names.join(" ")),
        )
    })
}

fn read_fields<'a>(of: &mut Members<'a>, name: &'static str) -> Result<Option<Fields<'a>>, RowError> {
    of.take(name).map(|object| fields::read(name, object, fields::Taken::All)).transpose()
}
